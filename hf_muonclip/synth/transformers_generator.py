"""A model of transformers in this process, which samples each answer by a seed of its own."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessor, LogitsProcessorList

from .generator import PROBE, Chat, Generated, GenerationError, OnAnswer, Refused, check_same_number, check_sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


class TransformersGenerator:
    """A `Generator` of transformers.

    Chats become prompts by the tokenizer's chat template, with thinking off where the template has such a switch;
    without a template, by their messages' texts with blank lines between and behind. Sampling is the temperature's and
    top_p's alone: what the model's own generation config says of penalties and top_k is left out.

    An answer depends on its chat and seed, and on its batch mates as far as floating-point sums do: logits are rounded
    otherwise in another batch, and one token that becomes another changes all that follow. Of 12 answers of 96 tokens
    of SmolLM2-135M on a CPU, alone, by five and by twelve, all 12 were the same in float32 and none in bfloat16. Where
    a run that was ended must go on as it would have, take float32, or a batch_size of 1.

    The model is loaded with the first batch, in each process that is given this object.

    Args:
        model: a folder, a name on the Hub, or a model.
        tokenizer: of a model that is given as an object; otherwise it is loaded with it.
        max_new_tokens: of an answer.
        temperature: of sampling; 0 is greedy.
        top_p: the smallest set of tokens of at least this probability is sampled from.
        batch_size: chats per forward.
        device: where a loaded model runs; None takes an accelerator if there is one.
        dtype: of a loaded model's weights, such as "float32"; None takes that in which they were saved on an
            accelerator, and float32 on a CPU.

    Raises:
        ValueError: a number or dtype is out of range, or a model is given without its tokenizer; with the first batch,
            the model cannot be loaded.
    """

    def __init__(
        self,
        model: "str | Path | PreTrainedModel" = DEFAULT_MODEL,
        tokenizer: Any = None,
        *,
        max_new_tokens: int = 1024,
        temperature: float = 0.7,
        top_p: float = 0.95,
        batch_size: int = 8,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        self._sampling = check_sampling(max_new_tokens, temperature, top_p)
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more; got {batch_size!r}.")
        named = isinstance(model, str | Path)
        if not named and tokenizer is None:
            raise ValueError(f"a model needs its tokenizer; got {type(model).__name__} alone. Or give a folder.")
        self.name = str(model) if named else type(model).__name__
        if dtype is not None and not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise ValueError(f'dtype must be a name such as "float32" or "bfloat16"; got {dtype!r}.')
        self.batch_size, self.device, self.dtype = batch_size, device, dtype
        self._named = named
        self._model: Any = None if named else model
        self._tokenizer: Any = tokenizer
        self._weights = ""

    @property
    def identity(self) -> str:
        """The model, its weights and settings.

        Weights are named by the commit of a model of the Hub, and by a digest of all of them otherwise.
        """
        if not self._weights:
            model, tokenizer = self._loaded()
            commit = getattr(model.config, "_commit_hash", None) if self._named else None
            template = getattr(tokenizer, "chat_template", None)
            dtype = str(model.dtype).removeprefix("torch.")
            self._weights = f"{commit or _digest(model)} {dtype} {_short(json.dumps(template))}"
        return f"transformers {self.name} {self._weights} {json.dumps(self._sampling, sort_keys=True)}"

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated | Refused]:
        """Return the answer to each chat, in order. Dropout is off meanwhile.

        A chat that leaves the model's window no room for max_new_tokens is `Refused`. What is answered is told batch by
        batch, after batch_size chats.

        Raises:
            ValueError: max_new_tokens is more than the window has room for, whatever the chat.
            GenerationError: the accelerator's memory is too small for a batch.
        """
        check_same_number(chats, seeds)
        model, _ = self._loaded()
        prompts = [self._prompt(chat) for chat in chats]
        answers: dict[int, Generated | Refused] = {**self._too_long(prompts)}
        by_length = sorted({*range(len(prompts))} - {*answers}, key=lambda place: (len(prompts[place]), place))
        trained = model.training
        model.eval()
        try:
            for first in range(0, len(by_length), self.batch_size):
                places = by_length[first : first + self.batch_size]
                try:
                    batch = self._batch([prompts[place] for place in places], [seeds[place] for place in places])
                except torch.OutOfMemoryError as error:
                    raise GenerationError(
                        f"{self.name} has no memory for batches of batch_size={self.batch_size} and max_new_tokens="
                        f"{self._sampling['max_new_tokens']} on {model.device}: {error}. Lower one of them."
                    ) from error
                for place, answer in zip(places, batch, strict=True):
                    answers[place] = answer
                    if on_answer is not None:
                        on_answer(place, answer)
        finally:
            model.train(trained)
        return [answers[place] for place in range(len(chats))]

    def __getstate__(self) -> dict[str, Any]:
        if not self._named:
            raise ValueError(
                f"a TransformersGenerator of a {self.name} object cannot be sent to another process. Save the model "
                "and its tokenizer to a folder, and give the folder."
            )
        return {**vars(self), "_model": None, "_tokenizer": None, "_weights": ""}

    def _loaded(self) -> tuple[Any, Any]:
        if self._model is None:
            accelerator = torch.accelerator.current_accelerator()
            device = self.device or (accelerator.type if accelerator else "cpu")
            dtype = self.dtype or ("float32" if device == "cpu" else "auto")
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(self.name)
                model: Any = AutoModelForCausalLM.from_pretrained(self.name, dtype=dtype)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"the model {self.name!r} cannot be loaded from a folder or the Hub: {error}"
                ) from error
            self._model = model.to(device)
        return self._model, self._tokenizer

    def _prompt(self, chat: Chat) -> list[int]:
        if getattr(self._tokenizer, "chat_template", None) is None:
            text = "".join(f"{message['content']}\n\n" for message in chat)
            ids: list[int] = self._tokenizer(text)["input_ids"]
            return ids
        # Names of the switch: the first of Qwen3, GLM and SmolLM3, the second of DeepSeek and Kimi.
        text = self._tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True, enable_thinking=False, thinking=False
        )
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _too_long(self, prompts: Sequence[Sequence[int]]) -> dict[int, Refused]:
        """Return the places of prompts that do not fit, with the refusal of each."""
        window = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        new = self._sampling["max_new_tokens"]
        if window is None:
            return {}
        least = len(self._prompt(PROBE))
        if least + new > window:
            raise ValueError(
                f"a chat and its answer must fit in the model's window of {window} tokens; one of two words has "
                f"{least}, and max_new_tokens is {new}. Lower max_new_tokens."
            )
        return {
            place: Refused(
                "chat_too_long",
                f"a chat of {len(prompt)} tokens and max_new_tokens={new} exceed the model's window of {window}",
            )
            for place, prompt in enumerate(prompts)
            if len(prompt) + new > window
        }

    def _batch(self, prompts: list[list[int]], seeds: list[int]) -> list[Generated]:
        longest = max(map(len, prompts))
        ends = _end_tokens(self._model, self._tokenizer)
        padding = self._tokenizer.pad_token_id
        padding = padding if padding is not None else (ends[0] if ends else 0)
        ids = torch.tensor([[padding] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=self._sampling["max_new_tokens"],
            do_sample=False,  # `_Sampler` has sampled
            eos_token_id=ends or None,
            pad_token_id=padding,
        )
        sampler = _Sampler(seeds, self._sampling["temperature"], self._sampling["top_p"])
        with torch.no_grad():
            output = self._model.generate(
                ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([sampler]),
            )
        return [
            self._answer(row[longest:].tolist(), len(prompt), ends) for row, prompt in zip(output, prompts, strict=True)
        ]

    def _answer(self, tokens: list[int], prompt_tokens: int, ends: Sequence[int]) -> Generated:
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        own = tokens if end is None else tokens[: end + 1]
        text = self._tokenizer.decode(own, skip_special_tokens=True)
        return Generated(text, prompt_tokens, len(own), end is not None)


class _Sampler(LogitsProcessor):
    """Leaves of each row's distribution the one token that is sampled, by one number of the row's own generator."""

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature, self._top_p = temperature, top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._temperature == 0:
            return scores
        probabilities = torch.softmax(scores.double() / self._temperature, dim=-1)
        if self._top_p < 1:
            ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
            before = ordered.cumsum(-1) - ordered  # what is more probable than each
            probabilities = torch.zeros_like(probabilities).scatter_(
                -1, places, ordered.masked_fill(before >= self._top_p, 0.0)
            )
        drawn = torch.stack([torch.rand((), dtype=torch.float64, generator=one) for one in self._generators])
        sums = probabilities.cumsum(-1)
        chosen = torch.searchsorted(sums, drawn.to(sums.device).unsqueeze(-1) * sums[:, -1:], right=True)
        return torch.full_like(scores, -torch.inf).scatter_(-1, chosen.clamp(max=scores.shape[-1] - 1), 0.0)


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    found = ends if isinstance(ends, list) else [ends]
    return sorted({token for token in (*found, tokenizer.eos_token_id) if token is not None})


def _digest(model: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
