"""Settings: what is refused and how, and that they parse from a command line together with `TrainingArguments`."""

import dataclasses
import math
from typing import Any

import pytest
from error_messages import naming
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
    ("setting", "value"),
    [
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("momentum", NAN),
        ("momentum", "0.9"),
        ("ns_coefficients", [1.0, 2.0]),
        ("ns_coefficients", [1.0, 2.0, math.inf]),
        ("ns_coefficients", "schulz"),
        ("momentum_dtype", "float16"),
        ("max_batch_bytes", 0),
        ("max_batch_bytes", 1.5),
        ("split_heads", "yes"),
        ("cautious_weight_decay", 1),
        ("nesterov", None),
        ("ns_steps", 0),
        ("ns_steps", 100),
        ("ns_steps", 2.5),
        ("eps", 0.0),
        ("eps", 1.0),
        ("eps", NAN),
        ("ns_dtype", "float16"),
        ("adjust_lr_fn", "rms"),
        ("adjust_lr_fn", None),
        ("qk_clip_threshold", 0.0),
        ("qk_clip_threshold", -100.0),
        ("qk_clip_threshold", NAN),
        ("qk_clip_alpha", -0.01),
        ("qk_clip_alpha", 1.01),
        ("qk_clip_alpha", NAN),
        ("nonfinite", "ignore"),
    ],
)
def test_out_of_range_is_refused_with_setting_and_value(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=naming(setting, repr(value))):
        MuonClipConfig(**{setting: value})


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
    ("overrides", "named"),
    [
        ("{'*': 1", ("group_overrides", "JSON", repr("{'*': 1"))),
        ('["*"]', ("group_overrides", repr('["*"]'))),
        ({"*": 1e-4}, ("group_overrides", {"*": 1e-4})),
        ({"*": {}}, ("group_overrides", "lr", "'*'")),
        ({"*": {"betas": (0.9, 0.99)}}, ("group_overrides", "adamw_betas", "betas", "'*'")),
        ({"*": {"lr": -1.0}}, ("lr", -1.0)),
    ],
)
def test_overrides_that_set_nothing_known_are_refused(overrides: Any, named: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
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
