"""config.json has what engines read and what Kimi K2 publishes, and transformers reads the same from it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_model
from transformers import AutoConfig, DeepseekV3ForCausalLM, GenerationConfig

from hf_muonclip.export.engine_config import write_configs
from hf_muonclip.kimi_k2 import KimiK2Config, kimi_k2_config

YARN = {
    "rope_type": "yarn",
    "rope_theta": 50000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 1.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
# Kimi-K2-Instruct's config.json, as published, without auto_map, quantization_config and transformers_version.
PUBLISHED = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 163584,
    "eos_token_id": 163585,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 7168,
    "initializer_range": 0.02,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 131072,
    "model_type": "kimi_k2",
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 384,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 64,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 64,
    "num_nextn_predict_layers": 0,
    "pretraining_tp": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_theta": 50000.0,
    "routed_scaling_factor": 2.827,
    "rope_scaling": {
        "beta_fast": 1.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "scoring_func": "sigmoid",
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "v_head_dim": 128,
    "vocab_size": 163840,
}


def written(model: Any, folder: Path, **arguments: Any) -> dict[str, Any]:
    write_configs(model, folder, **{"dtype": torch.float32, **arguments})
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(
    ("rope", "scaling"),
    [
        ({"rope_type": "default", "rope_theta": 50000.0}, None),
        (YARN, {"type": "yarn"} | {key: YARN[key] for key in YARN if not key.startswith("rope_")}),
    ],
)
def test_config_carries_what_engines_read(rope: dict[str, Any], scaling: Any, tmp_path: Path) -> None:
    config = written(tiny_model("deepseek_v3", rope_parameters=dict(rope)), tmp_path)
    assert (config["scoring_func"], config["topk_method"], config["moe_layer_freq"]) == ("sigmoid", "noaux_tc", 1)
    assert (config["rope_theta"], config["rope_scaling"]) == (50000.0, scaling)
    assert config["rope_parameters"] == rope
    assert config["architectures"] == ["DeepseekV3ForCausalLM"]
    assert config["model_type"] == "deepseek_v3"
    # Both forms together must still mean the same to transformers.
    reloaded = AutoConfig.from_pretrained(tmp_path)
    assert {key: reloaded.rope_parameters[key] for key in rope} == rope


def test_full_preset_writes_every_published_field(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = DeepseekV3ForCausalLM(kimi_k2_config("full"))
    config = written(model, tmp_path, dtype=torch.bfloat16, model_type="kimi_k2")
    assert {name: config.get(name) for name in PUBLISHED} == PUBLISHED
    assert not {"head_dim", "qk_head_dim", "auto_map", "quantization_config"} & config.keys()
    assert type(AutoConfig.from_pretrained(tmp_path)) is KimiK2Config


def test_a_published_config_comes_back(tmp_path: Path) -> None:
    """Read in its form of transformers 4.48, with code and quantization, and written without them."""
    code = {"auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}}
    quantization = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED | code | quantization))
    config = AutoConfig.from_pretrained(tmp_path, trust_remote_code=False)
    with torch.device("meta"):
        model = DeepseekV3ForCausalLM(config)
    config = written(model, tmp_path, dtype=torch.bfloat16, model_type="kimi_k2")
    assert {name: config.get(name) for name in PUBLISHED} == PUBLISHED
    assert not {"auto_map", "quantization_config"} & config.keys()


@pytest.mark.parametrize("chosen", [None, "deepseek_v3", "kimi_k2"])
def test_the_type_is_deepseek_v3_unless_chosen(chosen: str | None, tmp_path: Path) -> None:
    fields = {k: v for k, v in tiny_model("deepseek_v3").config.to_dict().items() if k != "model_type"}
    for model in (tiny_model("deepseek_v3"), DeepseekV3ForCausalLM(KimiK2Config(**fields))):
        assert written(model, tmp_path, model_type=chosen)["model_type"] == (chosen or "deepseek_v3")
        assert AutoConfig.from_pretrained(tmp_path).model_type == (chosen or "deepseek_v3")


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of deepseek_v3, kimi_k2, got 'kimi'\. Leave it out"):
        written(tiny_model("deepseek_v3"), tmp_path, model_type="kimi")
    with pytest.raises(ValueError, match=r"got 'kimi_k2' for a model of type 'llama'\. Leave it out"):
        written(tiny_model("llama_gqa"), tmp_path, model_type="kimi_k2")


def test_other_architectures_keep_their_config(tmp_path: Path) -> None:
    config = written(tiny_model("llama_gqa"), tmp_path, dtype=torch.bfloat16)
    assert (config["model_type"], config["architectures"]) == ("llama", ["LlamaForCausalLM"])
    assert (config["dtype"], config["torch_dtype"]) == ("bfloat16", "bfloat16")
    assert config["head_dim"] == 16
    assert not {"scoring_func", "topk_method", "moe_layer_freq", "rope_scaling"} & set(config)


def test_generation_config_is_the_models(tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3")
    model.generation_config.eos_token_id = [2, 5]
    model.generation_config.do_sample = True
    model.generation_config.temperature = 0.6
    written(model, tmp_path)
    reloaded = GenerationConfig.from_pretrained(tmp_path)
    assert (reloaded.eos_token_id, reloaded.temperature) == ([2, 5], 0.6)


def test_the_models_own_configuration_is_not_touched(tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3")
    before = json.dumps(model.config.to_dict(), sort_keys=True, default=str)
    written(model, tmp_path, dtype=torch.bfloat16, model_type="kimi_k2")
    assert json.dumps(model.config.to_dict(), sort_keys=True, default=str) == before
