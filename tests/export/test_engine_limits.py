"""A folder that an engine reads otherwise is named, with what to do; any other passes without a word."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model
from transformers import DeepseekV3ForCausalLM

from hf_muonclip.export import check_checkpoint, save_checkpoint
from hf_muonclip.export.engine_limits import ENGINE_LIMITS, limits_met

YARN = {"type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0, "beta_slow": 1.0}
# What every engine reads as transformers does.
FINE: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 28,
    "vocab_size": 128256,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "attention_bias": False,
    "hidden_act": "silu",
    "rope_interleave": True,
    "rope_scaling": None,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
}
LLAMA, VLLM = "llama.cpp", "vLLM"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"model_type": "kimi_k2", "rope_scaling": YARN}, []),
        ({"rope_interleave": False}, [("rope_interleave", LLAMA), ("rope_interleave", VLLM)]),
        ({"num_hidden_layers": 26}, [("num_hidden_layers", LLAMA)]),
        ({"num_hidden_layers": 27}, [("num_hidden_layers", LLAMA)]),
        ({"num_hidden_layers": 27, "q_lora_rank": None}, []),  # what DeepSeek-V2-Lite is
        ({"num_hidden_layers": 47}, []),
        ({"num_hidden_layers": 48}, [("num_hidden_layers", LLAMA)]),
        ({"num_hidden_layers": 48, "vocab_size": 163840}, []),
        ({"q_lora_rank": None}, [("q_lora_rank", LLAMA)]),
        ({"attention_bias": True}, [("attention_bias", LLAMA)]),
        ({"rope_scaling": YARN | {"beta_fast": 1.0}}, [("YaRN's beta_fast", LLAMA)]),
        (
            {"rope_parameters": YARN | {"type": None, "rope_type": "yarn", "beta_slow": 2}},
            [("YaRN's beta_slow", LLAMA)],
        ),
        ({"rope_scaling": {"type": "linear", "beta_fast": 1.0}}, []),
        ({"hidden_act": "gelu"}, [("hidden_act", LLAMA), ("hidden_act", VLLM)]),
        ({"scoring_func": ...}, [("no scoring_func", LLAMA), ("no scoring_func", VLLM)]),
        ({"topk_method": "greedy"}, [("topk_method", VLLM)]),
        ({"topk_method": ...}, [("topk_method", VLLM)]),
        ({"kv_lora_rank": 256}, [("kv_lora_rank", VLLM)]),
        ({"model_type": "llama", "scoring_func": ..., "attention_bias": True}, []),
    ],
)
def test_rows_that_a_config_meets(changes: dict[str, Any], named: list[tuple[str, str]]) -> None:
    fields = {name: value for name, value in (FINE | changes).items() if value is not ...}
    met = [(limit.setting, limit.engine) for limit in limits_met(fields)]
    assert len(met) == len(named), met
    for (setting, engine), (start, known) in zip(met, named, strict=True):
        assert setting.startswith(start)
        assert engine.startswith(known)


def test_every_row_says_what_to_do_and_where_it_is_from() -> None:
    for limit in ENGINE_LIMITS:
        assert all((limit.setting, limit.engine, limit.effect, limit.way_out, limit.source)), limit
        assert limit.source.startswith(("measured", "source", "`src")), limit


ENGINE_SIZES = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}


def test_saving_and_checking_say_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hf_muonclip"):
        folder = save_checkpoint(tiny_model("deepseek_v3", **ENGINE_SIZES), tmp_path / "fine")
        assert check_checkpoint(folder).engine_limits == ()
        assert caplog.records == []
        folder = save_checkpoint(tiny_model("deepseek_v3", **ENGINE_SIZES, rope_interleave=False), tmp_path / "other")
        assert len(caplog.records) == 2
        assert re.search(naming("rope_interleave = false", LLAMA, "rope_interleave=True"), caplog.messages[0])
        assert [limit.engine.split()[0] for limit in check_checkpoint(folder).engine_limits] == ["llama.cpp", "vLLM"]


def test_transformers_own_save_is_named(tmp_path: Path) -> None:
    tiny_model("deepseek_v3", **ENGINE_SIZES).save_pretrained(tmp_path / "plain")
    met = {limit.setting for limit in check_checkpoint(tmp_path / "plain").engine_limits}
    assert met == {"no scoring_func", "topk_method other than noaux_tc, or none"}


def test_a_narrowed_router_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    tiny_model("deepseek_v3", **ENGINE_SIZES).save_pretrained(folder)
    path = folder / "model.safetensors"
    stored = load_file(path)
    biases = [f"model.layers.{layer}.mlp.gate.e_score_correction_bias" for layer in (1, 2)]
    weights = [f"model.layers.{layer}.mlp.gate.weight" for layer in (1, 2)]
    if "gate.weight" not in (DeepseekV3ForCausalLM._keep_in_fp32_modules_strict or ()):  # in older transformers
        weights = []
    names = weights or biases
    save_file(stored | {name: stored[name].bfloat16() for name in names}, path, metadata={"format": "pt"})
    with caplog.at_level(logging.WARNING, "hf_muonclip"):
        assert check_checkpoint(folder).narrowed == tuple(names)
    assert re.search(naming("float32", "BF16", names[0]), caplog.text)
    save_file({name: tensor.bfloat16() for name, tensor in stored.items()}, path, metadata={"format": "pt"})
    assert set(check_checkpoint(folder).narrowed) == {*weights, *biases}
