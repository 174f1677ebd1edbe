"""How many tokens the starting model needs for each problem: b0(x) of Kimi K3's budgets, measured once and kept.

Kimi K3 (arXiv 2607.24653), section 4.1, takes b0(x) from the starting model's own responses and does not say how; here
it is the mean length of the correct ones. Each problem's result is written as soon as it is known, under a key of
everything it depends on: an interrupted measurement resumes, and one with another model, reward or setting starts over.
"""

import asyncio
import hashlib
import inspect
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch.nn.utils.rnn import pad_sequence

from ..common.loggers import get_logger

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

logger = get_logger(__name__)

_LOOKED_AT = 4096  # elements of each parameter that go into a model's key


class Response(NamedTuple):
    """A sampled response.

    Attributes:
        ids: its tokens, with the end token if there is one.
        text: the same without special tokens.
        ended: whether the model ended it, and not the limit of tokens.
    """

    ids: list[int]
    text: str
    ended: bool


class Sampler(Protocol):
    """What samples one response per prompt; `key` identifies everything that responses depend on."""

    key: str

    def __call__(self, prompts: list[Any]) -> list[Response]:
        """Return a response per prompt, a text or a list of messages."""


class ModelSampler:
    """A `Sampler` that samples a transformers model as TRL does in training.

    Args:
        model: unsharded, on its device.
        tokenizer: with a chat template if prompts are chats.
        max_completion_length: largest number of tokens per response.
        temperature: > 0.
        batch_size: responses sampled at once.
        seed: of sampling.
        chat_template_kwargs: further arguments of the chat template.

    Attributes:
        key: a digest of the model's weights and config and of all arguments.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: Any,
        max_completion_length: int,
        temperature: float = 1.0,
        batch_size: int = 16,
        seed: int = 0,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self._model: Any = model
        self._tokenizer = tokenizer
        self._batch_size, self._seed, self._template = batch_size, seed, chat_template_kwargs or {}
        ends: Any = getattr(model.generation_config, "eos_token_id", None)
        self._ends = sorted({*([ends] if isinstance(ends, int) else ends or []), tokenizer.eos_token_id} - {None})
        self._settings = {
            "max_new_tokens": max_completion_length,
            "temperature": temperature,
            "do_sample": True,
            "top_k": 0,
            "top_p": 1.0,
            "repetition_penalty": 1.0,
            "eos_token_id": self._ends,
        }
        template = getattr(tokenizer, "chat_template", None)
        self.key = _digest(_model_key(model), self._settings, batch_size, seed, template, self._template)

    def __call__(self, prompts: list[Any]) -> list[Response]:
        """Return a response per prompt, a text or a list of messages; the same each time."""
        found: list[Response] = []
        training = self._model.training
        self._model.eval()
        try:
            with torch.random.fork_rng(), torch.no_grad():
                torch.manual_seed(int(_digest(self._seed, prompts)[:15], 16))
                for first in range(0, len(prompts), self._batch_size):
                    found += self._batch(prompts[first : first + self._batch_size])
        finally:
            self._model.train(training)
        return found

    def _batch(self, prompts: list[Any]) -> list[Response]:
        tokens = [torch.tensor(self._tokens(prompt)) for prompt in prompts]
        pad: Any = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else self._ends[0]
        ids = pad_sequence(tokens, batch_first=True, padding_value=pad, padding_side="left").to(self._model.device)
        mask = pad_sequence([torch.ones_like(t) for t in tokens], batch_first=True, padding_side="left").to(ids.device)
        sampled = self._model.generate(input_ids=ids, attention_mask=mask, pad_token_id=pad, **self._settings)
        found = []
        for row in sampled[:, ids.shape[1] :].tolist():
            end = next((place for place, token in enumerate(row) if token in self._ends), None)
            own = row if end is None else row[: end + 1]
            found.append(Response(own, self._tokenizer.decode(own, skip_special_tokens=True), end is not None))
        return found

    def _tokens(self, prompt: Any) -> list[int]:
        if isinstance(prompt, str):
            ids: list[int] = self._tokenizer(prompt)["input_ids"]
        else:
            ids = self._tokenizer.apply_chat_template(
                prompt, add_generation_prompt=True, tokenize=True, return_dict=True, **self._template
            )["input_ids"]
        return ids


def measure_budgets(
    dataset: "Dataset",
    sampler: Sampler,
    reward_func: Any,
    cache: str | Path,
    *,
    samples: int = 8,
    least_reward: float = 1.0,
    problems_at_once: int = 8,
    column: str = "b0",
) -> "Dataset":
    """Return the dataset with b0(x), the mean number of tokens of the correct responses per problem; None without any.

    A response is correct if its reward is `least_reward` or more and the model ended it. Collective: call on every
    rank, or before ranks start; each rank measures its share, and all return the same.

    Args:
        dataset: with a column "prompt" and those that the reward function reads.
        sampler: of the starting model, such as a `ModelSampler`.
        reward_func: as TRL calls it, with prompts, completions, completion_ids and the dataset's columns; may be async.
        cache: folder of results; the same on all ranks.
        samples: responses per problem.
        least_reward: smallest reward of a correct response.
        problems_at_once: problems whose responses are sampled and rewarded together.
        column: name of the added column.

    Raises:
        ValueError: the dataset has no prompts or already has this column, samples is not positive, or the reward
            function returns a wrong number of rewards.
        RuntimeError: the reward function returned None or NaN for responses to some problems. The other results are
            kept; the next call measures these problems again.
    """
    if "prompt" not in dataset.column_names or column in dataset.column_names:
        raise ValueError(
            f"dataset must have a column 'prompt' and none named {column!r}; it has {dataset.column_names}. Rename "
            "one, or pass column=."
        )
    if samples < 1:
        raise ValueError(f"samples must be 1 or more; got {samples}. 8 is the default.")
    folder = Path(cache)
    folder.mkdir(parents=True, exist_ok=True)
    name = getattr(reward_func, "__qualname__", type(reward_func).__qualname__)
    keys = [_digest(sampler.key, name, samples, least_reward, row) for row in dataset]
    first_of: dict[str, int] = {}
    for index, key in enumerate(keys):
        first_of.setdefault(key, index)
    known = _read(folder)
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    _wait()  # nobody writes before all have read
    unknown = [key for key in first_of if key not in known]
    mine = unknown[rank::ranks]
    causes: list[str] = []
    with _appended(folder / f"rank-{rank}.jsonl") as file:
        for first in range(0, len(mine), problems_at_once):
            some = mine[first : first + problems_at_once]
            rows = [dataset[first_of[key]] for key in some]
            judged = _correct(rows, sampler, reward_func, samples, least_reward)
            for key, lengths, failed in zip(some, *judged, strict=True):
                if failed and not lengths:
                    causes += failed
                    continue
                found = {"key": key, "b0": fmean(lengths) if lengths else None, "correct": len(lengths)}
                file.write(json.dumps(found) + "\n")
            file.flush()
    _wait()
    known = _read(folder)
    if missing := [index for key, index in first_of.items() if key not in known]:
        raise RuntimeError(
            f"{reward_func!r} returned {sorted({*causes})} for responses to {len(missing)} of {len(first_of)} "
            f"problems, first in rows {missing[:10]}. The other results are kept in {folder}; call again to measure "
            "these problems, or leave their rows out."
        )
    tokens = [known[key] for key in keys]
    if without := tokens.count(None):
        logger.warning(
            "the model gave no correct response in %d samples to %d of %d problems: they have no budget.",
            samples,
            without,
            len(keys),
        )
    from datasets import Features, Value

    added: Any = dataset.add_column(column, tokens)
    return added.cast(Features({**added.features, column: Value("float64")}))


def _correct(
    rows: Sequence[dict[str, Any]], sampler: Sampler, reward_func: Any, samples: int, least_reward: float
) -> tuple[list[list[int]], list[list[str]]]:
    """Return, per problem, the lengths of correct responses, and why other responses have no reward."""
    repeated = [row for row in rows for _ in range(samples)]
    prompts = [row["prompt"] for row in repeated]
    responses = sampler(prompts)
    rewards = reward_func(
        prompts=prompts,
        completions=[
            r.text if isinstance(prompt, str) else [{"role": "assistant", "content": r.text}]
            for prompt, r in zip(prompts, responses, strict=True)
        ],
        completion_ids=[response.ids for response in responses],
        **{name: [row[name] for row in repeated] for name in rows[0] if name != "prompt"},
    )
    if inspect.isawaitable(rewards):
        rewards = asyncio.run(_result(rewards))
    if len(rewards) != len(prompts):
        raise ValueError(
            f"the reward function must return one reward per completion; got {len(rewards)} of {len(prompts)}."
        )
    lengths: list[list[int]] = [[] for _ in rows]
    failed: list[list[str]] = [[] for _ in rows]
    for place, (response, reward) in enumerate(zip(responses, rewards, strict=True)):
        if reward is None or math.isnan(reward):
            failed[place // samples].append(str(getattr(reward, "cause", "missing")))
        elif response.ended and reward >= least_reward:
            lengths[place // samples].append(len(response.ids))
    return lengths, failed


async def _result(awaitable: Any) -> Any:
    return await awaitable


def _appended(path: Path) -> Any:
    """Open a JSONL file to append to; a line whose writing was interrupted is ended first."""
    file = path.open("a", encoding="utf-8")
    if file.tell() and not path.read_bytes().endswith(b"\n"):
        file.write("\n")
    return file


def _read(folder: Path) -> dict[str, float | None]:
    known = {}
    for path in sorted(folder.glob("rank-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found = json.loads(line)
            except json.JSONDecodeError:  # interrupted
                continue
            known[found["key"]] = found["b0"]
    return known


def _wait() -> None:
    if dist.is_initialized():
        dist.barrier()


def _model_key(model: torch.nn.Module) -> str:
    """Return a digest of a model's config and of elements spread over its weights."""
    config: Any = model.config
    of_place = ("_name_or_path", "transformers_version")
    settings = {name: value for name, value in config.to_dict().items() if name not in of_place}
    digest = hashlib.sha256(_digest(settings).encode())
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().flatten()
        some = flat[:: max(flat.numel() // _LOOKED_AT, 1)].cpu().contiguous().view(torch.uint8)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(some.numpy().tobytes())
    return digest.hexdigest()


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()
