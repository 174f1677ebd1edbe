"""Weights that were rounded since training are noticed, wherever they are about to be saved."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from safetensors.torch import load_file
from tiny_models import tiny_model
from tiny_trainer import build
from transformers import PreTrainedModel, Trainer

from hf_muonclip import MuonClip
from hf_muonclip.export import save_checkpoint
from hf_muonclip.models.trained_dtypes import describe_rounding, rounded_weights

ROUNDINGS: dict[str, Callable[[PreTrainedModel], object]] = {
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "to": lambda model: model.to(torch.bfloat16),
    "one module": lambda model: model.lm_head.half(),
}


@pytest.mark.parametrize("how", ROUNDINGS)
def test_a_cast_after_training_is_noticed_and_its_export_refused(how: str, tmp_path: Path) -> None:
    model = tiny_model("llama_mha")
    optimizer = MuonClip(model)
    assert describe_rounding(model) == ""
    ROUNDINGS[how](model)
    names = {name for name, parameter in model.named_parameters() if parameter.dtype != torch.float32}
    assert rounded_weights(model) == dict.fromkeys(names, torch.float32)
    assert "lm_head.weight" in names
    with pytest.raises(ValueError, match=rf"\b{len(names)}\b.*float32.*b?float16"):
        save_checkpoint(model, tmp_path / "model")
    with pytest.raises(ValueError, match=naming("MuonClip", "checkpoint")):
        save_checkpoint(model, tmp_path / "model", dtype=torch.float32)
    assert not (tmp_path / "model").exists()
    del optimizer
    assert rounded_weights(model)  # whether or not the optimizer is still there


def test_rounded_weights_are_saved_where_their_dtype_is_asked_for(tmp_path: Path) -> None:
    model = tiny_model("llama_mha")
    MuonClip(model)
    save_checkpoint(model, tmp_path / "rounded_on_disk", dtype=torch.bfloat16)
    model.bfloat16()
    save_checkpoint(model, tmp_path / "rounded_in_memory", dtype=torch.bfloat16)
    first, second = (load_file(tmp_path / f"rounded_{how}" / "model.safetensors") for how in ("on_disk", "in_memory"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_loses_nothing_is_not_rounding(tmp_path: Path) -> None:
    model = tiny_model("llama_mha").bfloat16()
    MuonClip(model)
    assert describe_rounding(model) == ""
    model.float()
    assert describe_rounding(model) == ""
    save_checkpoint(model, tmp_path / "model")
    model.half()  # less range than bfloat16
    assert len(rounded_weights(model)) == len(list(model.parameters()))
    never_trained = tiny_model("llama_mha").half()
    assert describe_rounding(never_trained) == ""


def evaluate(trainer: Trainer) -> None:
    trainer.evaluate()


def predict(trainer: Trainer) -> None:
    trainer.predict(trainer.eval_dataset)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said of weights that were float32 and are not any more."""
    return [message for message in caplog.messages if re.search(r"float32.*\bb?float16", message)]


@pytest.mark.parametrize("run", [evaluate, predict])
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_full_evaluation_says_that_it_has_rounded_the_model(
    run: Callable[[Trainer], None], dtype: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {f"{dtype}_full_eval": True, "max_steps": 2}
    trainer = build(
        tmp_path / "run", **settings, eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=2
    )
    trainer.train()
    assert not warned(caplog)  # the Trainer does not cast while it trains
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
    run(trainer)
    run(trainer)
    (message,) = warned(caplog)
    rounded = naming("float32", "bfloat16" if dtype == "bf16" else "float16")
    assert re.search(rounded, message)
    with pytest.raises(ValueError, match=rounded):
        save_checkpoint(trainer.model, tmp_path / "model")
    whole = type(trainer.model).from_pretrained(tmp_path / "run" / "checkpoint-2")
    save_checkpoint(whole, tmp_path / "model")  # the way out
    saved = load_file(tmp_path / "model" / "model.safetensors")
    assert torch.equal(saved["lm_head.weight"], whole.lm_head.weight)


def test_training_on_after_a_cast_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = build(tmp_path, max_steps=1)
    trainer.model.bfloat16()
    trainer.train()
    assert len(warned(caplog)) == 1
