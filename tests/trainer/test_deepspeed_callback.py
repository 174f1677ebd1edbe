"""What the clip beside DeepSpeed does and refuses before any engine is there; with engines, tests/distributed."""

import copy
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from accelerate.utils.deepspeed import DeepSpeedOptimizerWrapper
from error_messages import naming
from tiny_models import tiny_model
from tiny_trainer import HEADS, sharp_model, token_rows
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerControl, TrainerState, TrainingArguments

from hf_muonclip import DeepSpeedClipCallback, MuonClipConfig, detect_head_layout
from hf_muonclip.trainer.deepspeed import DeepSpeedClip, with_whole_shapes

CPU = torch.device("cpu")


def forward(model: PreTrainedModel) -> None:
    tokens = torch.stack([row["input_ids"] for row in token_rows(count=4)])
    model.train()(input_ids=tokens, labels=tokens)


def partitioned(model: PreTrainedModel) -> PreTrainedModel:
    """Leave the parameters as ZeRO stage 3 does: empty, their shape beside them."""
    for parameter in model.parameters():
        untyped: Any = parameter
        untyped.ds_shape = parameter.shape
        parameter.data = torch.empty(0)
    return model


def begin(config: dict[str, Any], parallelism: Any = None) -> None:
    """Begin training with an optimizer of DeepSpeed's and this config."""
    optimizer = object.__new__(DeepSpeedOptimizerWrapper)
    args: Any = SimpleNamespace(
        hf_deepspeed_config=SimpleNamespace(config=config),
        parallelism_config=parallelism,
        output_dir="",
        save_strategy="no",
    )
    DeepSpeedClipCallback().on_train_begin(
        args, TrainerState(), TrainerControl(), model=tiny_model("llama_mha"), optimizer=optimizer
    )


def test_a_trainer_without_deepspeed_is_refused(tmp_path: Path) -> None:
    args = TrainingArguments(str(tmp_path), max_steps=1, use_cpu=True, report_to="none")
    trainer = Trainer(tiny_model("llama_mha"), args, train_dataset=token_rows(), callbacks=[DeepSpeedClipCallback()])
    with pytest.raises(ValueError, match=naming("DeepSpeedClipCallback", "AdamW", "muonclip")):
        trainer.train()


@pytest.mark.parametrize(
    ("config", "parallelism", "found"),
    [
        ({"tensor_parallel": {"autotp_size": 2}}, None, "tensor_parallel.autotp_size=2"),
        ({}, SimpleNamespace(sp_size=4), "sp_size=4"),
    ],
)
def test_heads_divided_among_ranks_are_refused(config: dict[str, Any], parallelism: Any, found: str) -> None:
    with pytest.raises(ValueError, match=naming(found, "FSDP2")):
        begin(config, parallelism)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("qk_clip_threshold", None),
        ("qk_clip_threshold", -1.0),
        ("qk_clip_alpha", 2.0),
        ("nonfinite", "ignore"),
    ],
)
def test_a_setting_out_of_range_is_refused_at_construction(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=naming(setting, repr(value))):
        DeepSpeedClipCallback(**{setting: value})


def test_a_checkpoint_keeps_the_settings() -> None:
    callback = DeepSpeedClipCallback(30.0, qk_clip_alpha=0.25, exact_max_logits=True, nonfinite="skip")
    again = DeepSpeedClipCallback(**callback.state()["args"])
    assert again.config == callback.config
    assert again.config.qk_clip_threshold == 30.0


def test_maxima_are_collected_and_logits_under_tau_clip_nothing() -> None:
    model = sharp_model()
    before = copy.deepcopy(model.state_dict())
    clip = DeepSpeedClip(model, MuonClipConfig(qk_clip_threshold=float("inf")))
    forward(model)
    clip.step(CPU)
    assert clip.last_step is not None
    assert clip.last_step.taken
    for name, maxima in clip.last_step.max_logits.items():
        assert maxima.shape == (HEADS,)
        assert maxima.isfinite().all()
        assert torch.equal(clip.last_step.gammas[name], torch.ones(HEADS))
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_the_time_of_captures_that_have_ended_counts() -> None:
    model = sharp_model()
    clip = DeepSpeedClip(model, MuonClipConfig(qk_clip_threshold=float("inf"))).clip
    forward(model)
    measured = clip.capture_seconds
    assert measured > 0
    clip.detach()
    assert clip.capture_seconds == measured


@pytest.mark.parametrize("nonfinite", ["raise", "skip"])
def test_a_max_logit_that_is_not_finite(nonfinite: Literal["raise", "skip"], caplog: pytest.LogCaptureFixture) -> None:
    model = sharp_model()
    clip = DeepSpeedClip(model, MuonClipConfig(qk_clip_threshold=0.5, nonfinite=nonfinite))
    with torch.no_grad():
        model.get_parameter("model.layers.1.self_attn.q_proj.weight").view(HEADS, -1)[2].fill_(float("nan"))
    forward(model)
    named = ("head 2", "model.layers.1.self_attn", "DeepSpeed")
    if nonfinite == "raise":
        with pytest.raises(FloatingPointError, match=naming(*named, "nonfinite='skip'")):
            clip.step(CPU)
    else:
        with caplog.at_level(logging.WARNING):
            clip.step(CPU)
        assert re.search(naming(*named), caplog.text)
    assert clip.last_step is not None
    assert not clip.last_step.taken
    assert clip.last_step.gammas == {}


@pytest.mark.parametrize("name", ["llama_gqa", "deepseek_v3"])
def test_a_partitioned_model_shows_the_layout_of_the_whole(name: str) -> None:
    whole, model = tiny_model(name), partitioned(tiny_model(name))
    shown = with_whole_shapes(model)
    assert str(detect_head_layout(shown)) == str(detect_head_layout(whole))
    assert all(parameter.is_meta for parameter in shown.parameters())
    assert all(parameter.numel() == 0 and not parameter.is_meta for parameter in model.parameters())
    assert with_whole_shapes(whole) is whole


def test_frozen_weights_stay_frozen_in_the_copy() -> None:
    model = partitioned(tiny_model("llama_mha"))
    model.get_parameter("lm_head.weight").requires_grad_(False)
    frozen = [name for name, parameter in with_whole_shapes(model).named_parameters() if not parameter.requires_grad]
    assert frozen == ["lm_head.weight"]
    assert isinstance(with_whole_shapes(model).get_parameter("lm_head.weight"), nn.Parameter)
