"""Settings that cannot be, or that the objective would ignore, are refused by name before anything is built."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from tiny_rl import rl_config
from transformers import HfArgumentParser
from trl import GRPOConfig

from hf_muonclip.rl import KimiRLConfig
from hf_muonclip.rl import config as settings_module


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"objective": "k3"}, ["objective", "'k3'", "k25"]),
        ({"rl_tau": 0.0}, ["rl_tau", "0.0"]),
        ({"rl_tau": -1.0}, ["rl_tau", "-1.0"]),
        ({"rl_tau": float("inf")}, ["rl_tau", "inf"]),
        ({"rl_tau": float("nan")}, ["rl_tau", "nan"]),
        ({"temperature": 0.0}, ["temperature", "0.0"]),
        ({"temperature_end": -0.1}, ["temperature_end", "-0.1"]),
        ({"temperature_steps": 5}, ["temperature_steps", "temperature_end"]),
        ({"temperature_end": 0.5, "temperature_steps": 0}, ["temperature_steps", "0"]),
        ({"generation_kwargs": {"temperature": 0.5}}, ["generation_kwargs", "0.5", "temperature="]),
        ({"objective": "k25", "epsilon": 1.0}, ["epsilon", "1.0"]),
        ({"objective": "k25", "epsilon_high": -0.5}, ["epsilon_high", "-0.5"]),
        ({"max_not_measured": -0.1}, ["max_not_measured", "-0.1"]),
        ({"max_not_measured": 1.5}, ["max_not_measured", "1.5"]),
        ({"ptx_coef": 0.0}, ["ptx_coef", "0.0"]),
        ({"ptx_batch_size": 0}, ["ptx_batch_size", "0"]),
        ({"ptx_max_length": 1}, ["ptx_max_length", "1"]),
    ],
    ids=str,
)
def test_values_out_of_range(settings: dict[str, Any], named: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        rl_config(tmp_path, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss_type": "grpo"},
        {"loss_type": "dapo"},
        {"scale_rewards": "group"},
        {"scale_rewards": "batch"},
        {"scale_rewards": True},
        {"multi_objective_aggregation": "normalize_then_sum"},
        {"importance_sampling_level": "sequence"},
        {"beta": 0.04},
        {"sync_ref_model": True},
        {"epsilon": 0.1},
        {"epsilon_high": 0.28},
        {"delta": 1.5},
        {"top_entropy_quantile": 0.2},
        {"entropy_coef": 0.01},
        {"use_adaptive_entropy": True},
        {"off_policy_mask_threshold": 0.5},
        {"vllm_importance_sampling_correction": True},
        {"disable_dropout": False},
        {"sapo_temperature_neg": 2.0},
        {"vespo_k_pos": 1.0},
    ],
    ids=str,
)
def test_settings_that_the_objective_would_ignore(settings: dict[str, Any], tmp_path: Path) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=naming("objective", name)):
        rl_config(tmp_path, **settings)


def test_every_setting_of_the_loss_is_used_or_refused() -> None:
    """A setting that TRL adds to its losses has to be looked at here."""
    refused = {*settings_module._NO_ROOM, *settings_module._NO_ROOM_IN_K2, *settings_module._OF_OTHER_LOSSES}
    used = {"num_iterations", "reward_weights", "mask_truncated_completions", "temperature"}
    # What has no effect without what is refused: a reference model, an entropy bonus, importance weights.
    idle = {"ref_model_mixup_alpha", "ref_model_sync_steps", "use_bias_correction_kl"}
    idle |= {"entropy_coef_min", "entropy_coef_max", "entropy_coef_delta", "entropy_target"}
    idle |= {f"vllm_importance_sampling_{name}" for name in ("mode", "cap", "clip_min", "clip_max")}
    elsewhere = ("vllm_", "log_", "num_", "max_", "transformers_", "use_", "entropy_", "ref_model_")
    of_trl = {own.name for own in dataclasses.fields(GRPOConfig)} - {
        own.name for own in dataclasses.fields(GRPOConfig.__mro__[1])
    }
    of_generation = {"model_init_kwargs", "trust_remote_code", "router_aux_loss_coef", "cast_lm_head_to_fp32"}
    of_generation |= {"shuffle_dataset", "pad_to_multiple_of", "generation_batch_size", "steps_per_generation"}
    of_generation |= {"top_p", "top_k", "min_p", "generation_kwargs", "chat_template_kwargs", "repetition_penalty"}
    of_generation |= {"cache_implementation", "ds3_gather_for_generation"}
    unknown = {name for name in of_trl - refused - used - idle - of_generation if not name.startswith(elsewhere)}
    assert unknown == set()
    assert refused <= of_trl
    assert idle <= of_trl


def test_k25_takes_bounds_of_the_ratio_and_k2_resets(tmp_path: Path) -> None:
    k25 = rl_config(tmp_path, objective="k25", epsilon=0.3, epsilon_high=0.5)
    assert k25.ratio_bounds == (0.7, 1.5)
    assert rl_config(tmp_path, objective="k25", epsilon=0.25).ratio_bounds == (0.75, 1.25)
    assert k25.reset_optimizer is False
    assert rl_config(tmp_path).reset_optimizer is True
    assert rl_config(tmp_path, reset_optimizer=False).reset_optimizer is False


def test_deepspeed_keeps_its_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "false")  # TrainingArguments sets it for the process
    zero = {"zero_optimization": {"stage": 2}, "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto"}
    with pytest.raises(ValueError, match=naming("reset_optimizer=False", "DeepSpeed", "MuonClip")):
        rl_config(tmp_path, deepspeed=zero)


def test_a_command_line_gives_every_setting(tmp_path: Path) -> None:
    given = ["--rl_tau", "0.5", "--objective", "k25", "--reset_optimizer", "true", "--temperature_end", "0.7"]
    common = ["--output_dir", str(tmp_path), "--bf16", "false", "--use_cpu"]
    (parsed,) = HfArgumentParser(KimiRLConfig).parse_args_into_dataclasses([*given, *common])
    assert (parsed.rl_tau, parsed.objective, parsed.reset_optimizer, parsed.temperature_end) == (0.5, "k25", True, 0.7)
    assert parsed.loss_type is None
