"""A real KimiRLTrainer on a tiny model that keeps what each optimizer step saw, and the same gradient in slow truth."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from reference import k2_rl_loss, k25_rl_loss
from tiny_models import tiny_model
from tiny_trl import chat_tokenizer, settings, turn
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from hf_muonclip.rl import KimiRLConfig, KimiRLTrainer

Weights = dict[str, Tensor]
# Two epochs a batch, of several micro-batches; steps small enough that some ratios stay within their bounds.
SEVERAL: dict[str, Any] = {
    "max_steps": 2,
    "num_iterations": 2,
    "gradient_accumulation_steps": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "rl_tau": 0.3,
}
CLOSE = 1e-6  # how far a gradient may be from the truth, relative to it
END_TOKENS = [2, *range(100, 128)]  # many, so that completions end at different lengths


@dataclass
class Step:
    """What one optimizer step saw, on one rank.

    Attributes:
        gradient: of every parameter that trains, as the optimizer got it.
        weights: before the step.
        old_weights: with which its completions were sampled.
        batches: its micro-batches, as TRL gave them to the loss.
    """

    gradient: Weights
    weights: Weights
    old_weights: Weights
    batches: list[dict[str, Any]]


@dataclass
class Keep(TrainerCallback):
    trainer: "Watched | None" = None
    steps: list[Step] = field(default_factory=list)

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        trainer = self.trainer
        assert trainer is not None
        gradient = {n: whole(p.grad).clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
        self.steps.append(Step(gradient, weights_of(trainer.model), trainer.old_weights, trainer.batches))
        trainer.batches = []


class Watched(KimiRLTrainer):
    """A trainer that lists its `steps`, and `sampled`, every batch of completions with the temperature it had."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.batches: list[dict[str, Any]] = []
        self.sampled: list[dict[str, Any]] = []
        self.old_weights: Weights = {}
        keep = Keep()
        super().__init__(*args, **kwargs)
        keep.trainer, self.steps = self, keep.steps
        self.add_callback(keep)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self.old_weights = weights_of(self.model)
        output = super()._generate_and_score_completions(inputs)
        self.sampled.append({**output, "temperature": self.temperature, "weights": self.old_weights})
        return output

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        if self.model.training:
            self.batches.append(dict(inputs))
        return super()._compute_loss(model, inputs)


def weights_of(model: nn.Module) -> Weights:
    return {name: whole(tensor).detach().clone() for name, tensor in model.state_dict().items()}


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def value_of(ids: list[int]) -> float:
    """A reward that differs between completions: how many of its tokens are even, and a tenth of its length."""
    return sum(token % 2 == 0 for token in ids) + 0.1 * len(ids)


def even_tokens(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [value_of(ids) for ids in completion_ids]


def tiny_policy(name: str = "llama_gqa", **overrides: Any) -> Any:
    model = tiny_model(name, **overrides)
    model.generation_config.eos_token_id = END_TOKENS
    return model


def rl_config(folder: Path, **more: Any) -> KimiRLConfig:
    own = {"num_generations": 4, "max_completion_length": 7, "per_device_train_batch_size": 8, "max_grad_norm": 0.0}
    return KimiRLConfig(**settings(folder, **{**own, **more}))


def rl_trainer(folder: Path, model: Any = None, given: dict[str, Any] | None = None, **more: Any) -> Watched:
    """A trainer on prompts of different lengths; `given` goes to the trainer, the rest to its config."""
    data = Dataset.from_list([{"prompt": [turn("user", seed)]} for seed in range(8)])
    with_defaults = {"train_dataset": data, "reward_funcs": even_tokens, "processing_class": chat_tokenizer()}
    return Watched(
        tiny_policy() if model is None else model, args=rl_config(folder, **more), **{**with_defaults, **(given or {})}
    )


def documents() -> list[list[int]]:
    """Texts that fill four rows of 12 tokens, none cut."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(3, 128, (n,), generator=generator).tolist() for n in (5, 7, 12, 4, 8, 2, 6, 4)]


def ptx_dataset() -> Dataset:
    return Dataset.from_dict({"input_ids": documents()})


def true_next_token_loss(model: nn.Module, texts: list[list[int]]) -> Tensor:
    """Return the mean negative log-likelihood of every token but the first of each text, one text at a time."""
    of_tokens = []
    for text in texts:
        logps = torch.log_softmax(model(input_ids=torch.tensor([text])).logits[0].double(), dim=-1)
        of_tokens += [-logps[place - 1, text[place]] for place in range(1, len(text))]
    return torch.stack(of_tokens).mean()


def true_gradient(
    steps: list[Step],
    build: Callable[[], nn.Module],
    args: KimiRLConfig,
    aux_coef: float = 0.0,
    texts: list[list[int]] | None = None,
    reward: Callable[[list[int], list[int]], float] | None = None,
) -> Weights:
    """Return the gradient of one optimizer step by the papers' equations in float64, one sequence at a time.

    Args:
        steps: the same step of every rank.
        build: makes the model.
        args: of the trainer.
        aux_coef: weight of the router's balance loss, which is the mean over micro-batches.
        texts: of PTX, all that the step saw; None without PTX.
        reward: of a prompt's tokens and a completion's; `value_of` the completion if None.
    """
    new, old = build().double().eval(), build().double().eval()
    for model in (new, old):
        model.set_experts_implementation("eager")  # grouped products know no float64
    new.load_state_dict(steps[0].weights)
    old.load_state_dict(steps[0].old_weights)
    prompts: dict[tuple[int, ...], list[tuple[Tensor, Tensor, float]]] = defaultdict(list)
    batches = [batch for step in steps for batch in step.batches]
    for batch in batches:
        for row in range(len(batch["prompt_ids"])):
            prompt = batch["prompt_ids"][row][batch["prompt_mask"][row] == 1].tolist()
            there = batch["completion_mask"][row] == 1
            completion = batch["completion_ids"][row][there].tolist()
            counted = batch["tool_mask"][row][there] == 1 if "tool_mask" in batch else there[there]
            logps = log_probabilities(new, prompt, completion, args.temperature)[counted]
            with torch.no_grad():
                old_logps = log_probabilities(old, prompt, completion, args.temperature)[counted]
            earned = value_of(completion) if reward is None else reward(prompt, completion)
            prompts[tuple(prompt)].append((logps, old_logps, earned))
    assert {len(samples) for samples in prompts.values()} == {args.num_generations}
    if args.objective == "k2":
        loss = k2_rl_loss(list(prompts.values()), args.rl_tau)
    else:
        loss = k25_rl_loss(list(prompts.values()), args.rl_tau, *args.ratio_bounds)
    for batch in batches if aux_coef else []:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        attention_mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        balance = new(input_ids=ids, attention_mask=attention_mask, output_router_logits=True).aux_loss
        loss = loss + aux_coef * balance / len(batches)
    if texts is not None:
        loss = loss + args.ptx_coef * true_next_token_loss(new, texts)
    loss.backward()
    return {name: parameter.grad for name, parameter in new.named_parameters() if parameter.grad is not None}


def log_probabilities(model: nn.Module, prompt: list[int], completion: list[int], temperature: float) -> Tensor:
    logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0] / temperature
    of_all = torch.log_softmax(logits, dim=-1)
    return torch.stack([of_all[len(prompt) + place - 1, token] for place, token in enumerate(completion)])


def relative_error(found: Weights, truth: Weights) -> float:
    """Return |found - truth| / |truth|, of all parameters as one vector."""
    assert {name for name, gradient in truth.items() if gradient.abs().max() > 0} <= found.keys()
    off = sum(((gradient.double() - truth[name]) ** 2).sum() for name, gradient in found.items() if name in truth)
    return float(off / sum((gradient**2).sum() for gradient in truth.values())) ** 0.5
