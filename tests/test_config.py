"""Settings: what is refused and how, and that they parse from a command line together with `TrainingArguments`."""

import dataclasses
import math
from typing import Any

import pytest
from transformers import HfArgumentParser, TrainingArguments

from hf_muonclip import MuonClipConfig

NAN = float("nan")


def test_defaults_are_kimi_k2s() -> None:
    config = MuonClipConfig()
    assert config.momentum == 0.95
    assert config.ns_coefficients == [3.4445, -4.7750, 2.0315]
    assert config.ns_steps == 5
    assert config.adjust_lr_fn == "match_rms_adamw"
    assert config.qk_clip_threshold == 100
    assert config.qk_clip_alpha == 0.5
    assert config.nonfinite == "raise"


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("momentum", 1.0, r"momentum must be in \[0, 1\)"),
        ("momentum", -0.1, r"momentum must be in \[0, 1\)"),
        ("momentum", NAN, r"momentum must be in \[0, 1\)"),
        ("momentum", "0.9", r"momentum must be in \[0, 1\)"),
        ("ns_coefficients", [1.0, 2.0], "ns_coefficients must be three finite numbers"),
        ("ns_coefficients", [1.0, 2.0, math.inf], "ns_coefficients must be three finite numbers"),
        ("ns_steps", 0, r"ns_steps must be a whole number in \[1, 100\)"),
        ("ns_steps", 100, r"ns_steps must be a whole number in \[1, 100\)"),
        ("ns_steps", 2.5, r"ns_steps must be a whole number in \[1, 100\)"),
        ("eps", 0.0, r"eps must be in \(0, 1\)"),
        ("eps", 1.0, r"eps must be in \(0, 1\)"),
        ("eps", NAN, r"eps must be in \(0, 1\)"),
        ("ns_dtype", "float16", "ns_dtype must be one of .*bfloat16"),
        ("adjust_lr_fn", "rms", "adjust_lr_fn must be one of .*match_rms_adamw"),
        ("adjust_lr_fn", None, "adjust_lr_fn must be one of .*match_rms_adamw"),
        ("qk_clip_threshold", 0.0, r"qk_clip_threshold must be positive"),
        ("qk_clip_threshold", -100.0, r"qk_clip_threshold must be positive"),
        ("qk_clip_threshold", NAN, r"qk_clip_threshold must be positive"),
        ("qk_clip_alpha", -0.01, r"qk_clip_alpha must be in \[0, 1\]"),
        ("qk_clip_alpha", 1.01, r"qk_clip_alpha must be in \[0, 1\]"),
        ("qk_clip_alpha", NAN, r"qk_clip_alpha must be in \[0, 1\]"),
        ("nonfinite", "ignore", "nonfinite must be one of .*skip"),
    ],
)
def test_out_of_range_is_refused_with_rule_value_and_way_out(setting: str, value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"^{rule}.*; got (.*)\. [A-Z0-9(].*\.$") as refusal:
        MuonClipConfig(**{setting: value})
    assert f"; got {value!r}." in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"momentum": 0.0},
        {"qk_clip_alpha": 0.0},
        {"qk_clip_alpha": 1.0},
        {"qk_clip_threshold": None},
        {"qk_clip_threshold": math.inf},
        {"ns_steps": 1},
        {"nonfinite": "skip", "ns_dtype": "bfloat16", "adjust_lr_fn": "none"},
    ],
)
def test_the_edges_of_the_ranges_are_taken(settings: dict[str, Any]) -> None:
    config = MuonClipConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_is_frozen_and_instances_share_no_list() -> None:
    config = MuonClipConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.momentum = 0.5  # type: ignore[misc]
    config.ns_coefficients[0] = 0.0
    assert MuonClipConfig().ns_coefficients[0] == 3.4445


def test_parses_together_with_training_arguments() -> None:
    parser = HfArgumentParser((TrainingArguments, MuonClipConfig))  # type: ignore[arg-type]
    arguments = "--output_dir out --learning_rate 0.003 --momentum 0.9 --nesterov False --qk_clip_threshold 30"
    more = "--ns_coefficients 2 -1.5 0.5 --ns_steps 7 --adjust_lr_fn original --exact_max_logits --nonfinite skip"
    args, config = parser.parse_args_into_dataclasses(f"{arguments} {more}".split())
    assert args.learning_rate == 0.003
    assert config == MuonClipConfig(
        momentum=0.9,
        nesterov=False,
        ns_coefficients=[2.0, -1.5, 0.5],
        ns_steps=7,
        adjust_lr_fn="original",
        qk_clip_threshold=30.0,
        exact_max_logits=True,
        nonfinite="skip",
    )
    assert parser.parse_args_into_dataclasses(["--output_dir", "out"])[1] == MuonClipConfig()
    assert parser.parse_args_into_dataclasses(["--qk_clip_threshold", "inf"])[1].qk_clip_threshold == math.inf


def test_every_field_has_a_help_text_that_the_parser_shows() -> None:
    help_text = HfArgumentParser(MuonClipConfig).format_help()  # type: ignore[arg-type]
    for field in dataclasses.fields(MuonClipConfig):
        assert f"--{field.name}" in help_text
        assert field.metadata["help"]
