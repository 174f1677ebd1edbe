"""A real Trainer on a tiny model with random tokens, some of whose heads exceed the threshold."""

from pathlib import Path
from typing import Any

import torch
from tiny_models import tiny_model
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from hf_muonclip import MuonClipCallback, muonclip

HEADS = 4
THRESHOLD = 0.5


def token_rows(count: int = 16, length: int = 12, seed: int = 0) -> list[dict[str, Tensor]]:
    tokens = torch.randint(3, 128, (count, length), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row, "labels": row} for row in tokens]


def sharp_model(model_name: str = "llama_mha", **overrides: Any) -> PreTrainedModel:
    """A tiny model with some heads above THRESHOLD and others below."""
    model = tiny_model(model_name, **overrides)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("q_proj.weight", "q_b_proj.weight")):
                heads = parameter.view(HEADS, -1, parameter.shape[1])
                heads.mul_(torch.tensor([6.0, 2.0, 12.0, 0.5]).view(HEADS, 1, 1))
    return model


def build(
    folder: Path,
    model: PreTrainedModel | None = None,
    callbacks: list[TrainerCallback] | None = None,
    rows: list[dict[str, Tensor]] | None = None,
    muon: dict[str, Any] | None = None,
    **settings: Any,
) -> Trainer:
    defaults: dict[str, Any] = {
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "weight_decay": 0.1,
        "logging_steps": 2,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    args = TrainingArguments(str(folder), **{**defaults, **settings})
    model = sharp_model() if model is None else model
    return Trainer(
        model,
        args,
        train_dataset=token_rows() if rows is None else rows,
        eval_dataset=token_rows(seed=1),
        optimizers=muonclip(model, args, **{"qk_clip_threshold": THRESHOLD, **(muon or {})}),
        callbacks=[MuonClipCallback()] if callbacks is None else callbacks,
    )


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def assert_equal_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name, weight in first.items() if not torch.equal(weight, second[name])] == []
