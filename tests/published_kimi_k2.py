"""Tiny checkpoints laid out as Moonshot AI publishes Kimi K2, and what they hold, computed slowly.

Taken from the published folders: names, dtypes, block and group sizes, shard names, config fields, code that must not
run, and the buffer that nobody reads. What the weights stand for is worked out in float64, block by block, column by
column, and from the definition of the 8-bit format.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model
from torch import Tensor

LAYOUTS = ("instruct", "thinking", "moonlight", "bf16 copy")
BLOCK, GROUP = 128, 32
_YARN = {
    "beta_fast": 1.0,
    "beta_slow": 1.0,
    "factor": 4.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 32,
    "type": "yarn",
}
_FP8 = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}
_INT4 = {
    "config_groups": {
        "group_0": {
            "input_activations": None,
            "output_activations": None,
            "targets": ["Linear"],
            "weights": {
                "actorder": None,
                "block_structure": None,
                "dynamic": False,
                "group_size": GROUP,
                "num_bits": 4,
                "observer": "minmax",
                "observer_kwargs": {},
                "strategy": "group",
                "symmetric": True,
                "type": "int",
            },
        }
    },
    "format": "pack-quantized",
    "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
    "kv_cache_scheme": None,
    "quant_method": "compressed-tensors",
    "quantization_status": "compressed",
}


def write_published(layout: str, folder: Path) -> dict[str, Tensor]:
    """Write a tiny checkpoint in one of `LAYOUTS`; return its weights in float32, by name on disk.

    Its shapes are not whole blocks: 192 and 80 of 128.
    """
    model = tiny_model("deepseek_v3", hidden_size=192, moe_intermediate_size=64, kv_lora_rank=72).to(torch.bfloat16)
    model.save_pretrained(folder)
    plain = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stored: dict[str, Tensor] = {}
    truth: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        if name.endswith("e_score_correction_bias"):
            stored[name] = truth[name] = tensor.float()
        elif layout == "instruct" and _is_fp8(name, tensor):
            parts, truth[name] = _fp8(tensor)
            stored |= {name + suffix: part for suffix, part in parts.items()}
        elif layout == "thinking" and ".mlp.experts." in name:
            parts, truth[name] = _int4(tensor)
            stored |= {name + suffix: part for suffix, part in parts.items()}
        else:
            stored[name], truth[name] = tensor, tensor.float()
    for layer in range(3):
        stored[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.zeros(56, dtype=torch.bfloat16)
    _write_shards(
        stored, folder, {"instruct": "model-{}-of-3", "moonlight": "model-{}-of-3"}.get(layout, "model-{:05}-of-000003")
    )
    _write_config(layout, model.config.to_dict(), folder)
    for code in ("configuration_deepseek.py", "modeling_deepseek.py"):
        (folder / code).write_text("raise AssertionError('remote code was run')\n")
    return truth


def in_memory(truth: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as transformers holds them: the experts of a layer in one tensor."""
    joined = {name: tensor for name, tensor in truth.items() if ".mlp.experts." not in name}
    for layer in (1, 2):
        experts = [f"model.layers.{layer}.mlp.experts.{expert}" for expert in range(4)]
        both = [torch.cat([truth[f"{e}.gate_proj.weight"], truth[f"{e}.up_proj.weight"]]) for e in experts]
        joined[f"model.layers.{layer}.mlp.experts.gate_up_proj"] = torch.stack(both)
        down = torch.stack([truth[f"{e}.down_proj.weight"] for e in experts])
        joined[f"model.layers.{layer}.mlp.experts.down_proj"] = down
    return joined


def _is_fp8(name: str, tensor: Tensor) -> bool:
    return tensor.ndim == 2 and not name.endswith(("mlp.gate.weight", "embed_tokens.weight", "lm_head.weight"))


def _fp8(weight: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    rows, columns = weight.shape
    grid = (math.ceil(rows / BLOCK), math.ceil(columns / BLOCK))
    factors = torch.empty(grid, dtype=torch.float32)
    encoded = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    truth = torch.empty(rows, columns, dtype=torch.float64)
    values = torch.tensor([_e4m3(bits) for bits in range(256)], dtype=torch.float64)
    for i in range(grid[0]):
        for j in range(grid[1]):
            block = slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK)
            factors[i, j] = weight[block].float().abs().max() / 448
            encoded[block] = (weight[block].float() / factors[i, j]).to(torch.float8_e4m3fn)
            truth[block] = values[encoded[block].view(torch.uint8).long()] * factors[i, j].item()
    return {"": encoded, "_scale_inv": factors}, truth.float()


def _e4m3(bits: int) -> float:
    """1 sign, 4 exponent and 3 mantissa bits, bias 7, subnormals at exponent 0."""
    sign, exponent, mantissa = (-1.0) ** (bits >> 7), bits >> 3 & 15, bits & 7
    return sign * (mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))


def _int4(weight: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    rows, columns = weight.shape
    factors = (weight.float().reshape(rows, -1, GROUP).abs().amax(-1) / 7.5).to(torch.bfloat16)
    words = torch.zeros(rows, columns // 8, dtype=torch.int64)
    truth = torch.empty(rows, columns, dtype=torch.float64)
    for column in range(columns):
        factor = factors[:, column // GROUP].double()
        integers = (weight[:, column].double() / factor).round().clamp(-8, 7)
        words[:, column // 8] += (integers.long() + 8) << 4 * (column % 8)
        truth[:, column] = integers * factor
    packed = words.to(torch.int32)  # the highest bit of a word becomes its sign
    return {
        "_packed": packed,
        "_scale": factors,
        "_shape": torch.tensor([rows, columns], dtype=torch.int32),
    }, truth.float()


def _write_shards(stored: dict[str, Tensor], folder: Path, pattern: str) -> None:
    names, weight_map = sorted(stored), {}
    for shard in range(3):
        file = pattern.format(shard + 1) + ".safetensors"
        part = {name: stored[name].contiguous() for name in names[shard::3]}  # a weight apart from its scale
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(t.nbytes for t in stored.values())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _write_config(layout: str, fields: dict[str, Any], folder: Path) -> None:
    written_by_5 = ("rope_parameters", "dtype", "head_dim", "qk_head_dim", "rope_interleave", "output_router_logits")
    config = {name: value for name, value in fields.items() if name not in written_by_5} | {
        "architectures": ["DeepseekV3ForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_deepseek.DeepseekV3Config",
            "AutoModel": "modeling_deepseek.DeepseekV3Model",
            "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
        },
        "aux_loss_alpha": 0.001,
        "ep_size": 1,
        "model_type": "deepseek_v3" if layout == "moonlight" else "kimi_k2",
        "moe_layer_freq": 1,
        "num_nextn_predict_layers": 0,
        "rope_theta": 50000.0,
        "rope_scaling": None if layout == "moonlight" else _YARN,
        "scoring_func": "sigmoid",
        "seq_aux": True,
        "topk_method": "noaux_tc",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.48.3",
    }
    if layout in ("instruct", "thinking"):
        config["quantization_config"] = _FP8 if layout == "instruct" else _INT4
    (folder / "config.json").write_text(json.dumps(config))
