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
    assert config.ns_coefficients == "minimax"
    assert config.ns_steps is None
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
        ("ns_coefficients", [1.0, 2.0], "ns_coefficients must be one of .*three, five or seven finite"),
        (
            "ns_coefficients",
            [1.0, 2.0, math.inf],
            "ns_coefficients must be one of .*three, five or seven finite",
        ),
        ("ns_coefficients", "schulz", "ns_coefficients must be one of .*minimax"),
        ("momentum_dtype", "float16", "momentum_dtype must be one of .*bfloat16"),
        ("max_batch_bytes", 0, "max_batch_bytes must be a positive number of bytes, or None"),
        ("max_batch_bytes", 1.5, "max_batch_bytes must be a positive number of bytes, or None"),
        ("split_heads", "yes", "split_heads must be True or False"),
        ("cautious_weight_decay", 1, "cautious_weight_decay must be True or False"),
        ("nesterov", None, "nesterov must be True or False"),
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


def test_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MuonClipConfig().momentum = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("overrides", "rule"),
    [
        ("{'*': 1", r"group_overrides must be JSON; got \"\{'\*': 1\""),
        ('["*"]', "group_overrides must map patterns to settings; got "),
        ({"*": 1e-4}, "group_overrides must map patterns to settings; got "),
        ({"*": {}}, r"group_overrides may set .*, lr, .*; got nothing for '\*'"),
        ({"*": {"betas": (0.9, 0.99)}}, r"group_overrides may set .*adamw_betas.*; got betas for '\*'"),
        ({"*": {"lr": -1.0}}, "lr must be finite and >= 0; got -1.0"),
    ],
)
def test_overrides_that_set_nothing_known_are_refused(overrides: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}"):
        MuonClipConfig(group_overrides=overrides)


def test_parses_together_with_training_arguments() -> None:
    parser = HfArgumentParser((TrainingArguments, MuonClipConfig))  # type: ignore[arg-type]
    arguments = "--output_dir out --learning_rate 0.003 --momentum 0.9 --nesterov False --qk_clip_threshold 30"
    more = "--ns_coefficients 2,-1.5,0.5 --ns_steps 7 --adjust_lr_fn original --exact_max_logits --nonfinite skip"
    rest = '--split_heads --max_batch_bytes 1024 --group_overrides {"*embed*":{"lr":1e-4}}'
    args, config = parser.parse_args_into_dataclasses(f"{arguments} {more} {rest}".split())
    assert args.learning_rate == 0.003
    assert config == MuonClipConfig(
        momentum=0.9,
        nesterov=False,
        ns_coefficients="2,-1.5,0.5",
        ns_steps=7,
        adjust_lr_fn="original",
        qk_clip_threshold=30.0,
        exact_max_logits=True,
        nonfinite="skip",
        split_heads=True,
        max_batch_bytes=1024,
        group_overrides='{"*embed*":{"lr":1e-4}}',
    )
    assert parser.parse_args_into_dataclasses(["--output_dir", "out"])[1] == MuonClipConfig()
    assert parser.parse_args_into_dataclasses(["--qk_clip_threshold", "inf"])[1].qk_clip_threshold == math.inf


def test_every_field_has_a_help_text_that_the_parser_shows() -> None:
    help_text = HfArgumentParser(MuonClipConfig).format_help()  # type: ignore[arg-type]
    for field in dataclasses.fields(MuonClipConfig):
        assert f"--{field.name}" in help_text
        assert field.metadata["help"]
