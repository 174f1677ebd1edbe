"""config.json has what engines read and what Kimi K2 publishes, and transformers reads the same from it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from published_fields import PUBLISHED
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
# What decides nothing that is computed, or is true of the published folder alone.
NOT_WRITTEN = {"auto_map", "quantization_config", "transformers_version", "aux_loss_alpha", "seq_aux"}
WRITTEN = {name: value for name, value in PUBLISHED.items() if name not in NOT_WRITTEN}


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
    assert {name: config.get(name) for name in WRITTEN} == WRITTEN
    assert not {"head_dim", "qk_head_dim", "auto_map", "quantization_config"} & config.keys()
    assert type(AutoConfig.from_pretrained(tmp_path)) is KimiK2Config


def test_a_published_config_comes_back(tmp_path: Path) -> None:
    """Read in its form of transformers 4.48, with code and quantization, and written without them."""
    code = {"auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}}
    quantization = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    (tmp_path / "config.json").write_text(json.dumps(WRITTEN | code | quantization))
    config = AutoConfig.from_pretrained(tmp_path, trust_remote_code=False)
    with torch.device("meta"):
        model = DeepseekV3ForCausalLM(config)
    config = written(model, tmp_path, dtype=torch.bfloat16, model_type="kimi_k2")
    assert {name: config.get(name) for name in WRITTEN} == WRITTEN
    assert not {"auto_map", "quantization_config"} & config.keys()


@pytest.mark.parametrize("chosen", [None, "deepseek_v3", "kimi_k2"])
def test_the_type_is_deepseek_v3_unless_chosen(chosen: str | None, tmp_path: Path) -> None:
    fields = {k: v for k, v in tiny_model("deepseek_v3").config.to_dict().items() if k != "model_type"}
    for model in (tiny_model("deepseek_v3"), DeepseekV3ForCausalLM(KimiK2Config(**fields))):
        assert written(model, tmp_path, model_type=chosen)["model_type"] == (chosen or "deepseek_v3")
        assert AutoConfig.from_pretrained(tmp_path).model_type == (chosen or "deepseek_v3")


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming("deepseek_v3", "kimi_k2", "'kimi'")):
        written(tiny_model("deepseek_v3"), tmp_path, model_type="kimi")
    with pytest.raises(ValueError, match=naming("'kimi_k2'", "'llama'")):
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
