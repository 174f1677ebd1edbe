"""What the tests of TRL's trainers share: a tokenizer that chats, and a watcher that recomputes every maximum."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_tokenizer
from tiny_trainer import THRESHOLD, sharp_model
from torch import Tensor, nn
from transformers import (
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from true_logits import brute_force

from hf_muonclip import MuonClip, MuonClipCallback, attach, muonclip, muonclip_factory
from hf_muonclip.attention.capture import max_logits

# One end token a turn, inside of the generation block, as TRL's own training templates have it.
CHAT_TEMPLATE = (
    "[UNK] {% for message in messages %}"
    "{% if message['role'] == 'assistant' %}[BOS] w5 {% generation %}{{ message['content'] }} [EOS]{% endgeneration %}"
    "{% else %}[BOS] w4 {{ message['content'] }} [EOS]{% endif %} "
    "{% endfor %}{% if add_generation_prompt %}[BOS] w5 {% endif %}"
)
BEGINNING = 3  # the token that a dialogue, and nothing else in it, begins with
FORWARD_INPUTS = ("input_ids", "attention_mask", "position_ids", "cu_seq_lens_q", "cu_seq_lens_k")
SETTINGS: dict[str, Any] = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 0.01,
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,  # TRL's default is True
    "disable_tqdm": True,
}
MUON: dict[str, Any] = {"qk_clip_threshold": THRESHOLD, "exact_max_logits": True, "ns_dtype": "float32"}


def chat_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def words(seed: object, least: int = 1, most: int = 6) -> str:
    draw = random.Random(str(seed))
    return " ".join(f"w{draw.randint(6, 127)}" for _ in range(draw.randint(least, most)))


def turn(role: str, seed: object) -> dict[str, str]:
    return {"role": role, "content": words(f"{role} {seed}")}


def policy(**overrides: Any) -> PreTrainedModel:
    """A tiny Llama with some heads above THRESHOLD and others below."""
    return sharp_model("llama_gqa", **overrides)


def reward_model() -> LlamaForSequenceClassification:
    """The policy's weights under a head of one number."""
    base = policy()
    base.config.num_labels = 1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForSequenceClassification(base.config)
    model.model.load_state_dict(base.model.state_dict())
    return model.train()


class WatchLogits(TrainerCallback):
    """Recompute the maxima of every step by brute force, from the batches of the forwards that gradients flow through.

    Asserts at every step that nothing was measured before its first such forward (generation, reference and old
    log-probabilities), and that the optimizer saw the maxima of brute force.

    Args:
        landing: assert too that every clipped head landed; at a rate of 0, so that the clip alone moves weights.

    Attributes:
        batches: what the policy was given since the last step, forward by forward.
        forwards: of each step.
        clipped: of each step, (layers, heads), bool.
        packing_matters: whether some head's maximum were another if documents were read the other way round: as one
            where they are apart, as apart where they are one.
    """

    def __init__(self, landing: bool = False) -> None:
        self.landing = landing
        self.batches: list[dict[str, Tensor]] = []
        self.forwards: list[int] = []
        self.clipped: list[Tensor] = []
        self.packing_matters = False
        self._truth: dict[str, Tensor] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        capture = kwargs["optimizer"].optimizer.capture

        def keep(model: nn.Module, positional: Any, given: dict[str, Any]) -> None:
            if torch.is_grad_enabled() and model.training:
                assert self.batches or len(capture) == 0
                self.batches.append({name: given[name] for name in FORWARD_INPUTS if given.get(name) is not None})

        kwargs["model"].register_forward_pre_hook(keep, with_kwargs=True)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        assert self.batches
        self._truth = self._recompute(kwargs["model"])
        other = self._recompute(kwargs["model"], swap=True)
        self.packing_matters |= any((other[name] - truth).abs().max() > 0.01 for name, truth in self._truth.items())

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        optimizer = kwargs["optimizer"].optimizer
        assert isinstance(optimizer, MuonClip)
        assert optimizer.max_logits.keys() == self._truth.keys()
        for name, expected in self._truth.items():
            assert expected.isfinite().all()
            torch.testing.assert_close(optimizer.max_logits[name].double(), expected, rtol=1e-5, atol=1e-6)
        self.clipped.append(torch.stack(list(optimizer.gammas.values())) < 1)
        if self.landing:
            # Of the first layer, whose operands no other layer's clip changes.
            first, truth = next(iter(self._truth.items()))
            landed = self._recompute(kwargs["model"])[first]
            torch.testing.assert_close(landed, truth.clamp(max=THRESHOLD), rtol=1e-5, atol=1e-6)
        self.forwards.append(len(self.batches))
        self.batches.clear()

    def _recompute(self, model: PreTrainedModel, swap: bool = False) -> dict[str, Tensor]:
        maxima = []
        for batch in self.batches:
            tokens = batch["input_ids"]
            apart = "position_ids" in batch
            documents = (tokens == BEGINNING).cumsum(-1) if apart != swap else None
            maxima.append(brute_force(model, batch, documents))
        return {name: torch.stack([of_batch[name] for of_batch in maxima]).amax(0) for name in maxima[0]}


def train(
    trainer_class: type[Trainer],
    way: str,
    model: Any,
    args: Any,
    watch: WatchLogits,
    resume: str | None = None,
    **given: Any,
) -> Trainer:
    """Train by one of the ways in: "optimizers", "factory" (as a keyword) or "attach"."""
    callbacks: list[TrainerCallback] = [MuonClipCallback(), watch]
    if way == "optimizers":
        given["optimizers"] = muonclip(model, args, **MUON)
    elif way == "factory":
        given["optimizer_cls_and_kwargs"] = muonclip_factory(args, **MUON)
    trainer = trainer_class(model=model, args=args, callbacks=callbacks, **given)
    if way == "attach":
        attach(trainer, **MUON)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {"output_dir": str(folder), **SETTINGS, **more}


def measured_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by a module's name whenever its logits are measured."""
    calls: list[str] = []
    original = max_logits._Recorder._measure

    def measure(recorder: max_logits._Recorder, *args: Any) -> Tensor:
        calls.append(recorder.name)
        return original(recorder, *args)

    monkeypatch.setattr(max_logits._Recorder, "_measure", measure)
    return calls
