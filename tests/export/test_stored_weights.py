"""Quantized weights whose parts do not fit, or that are quantized in another way, are refused."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from published_kimi_k2 import in_memory, write_published
from safetensors.torch import load_file
from tiny_models import tiny_model

from hf_muonclip.export.stored_weights import weights_in
from hf_muonclip.export.weight_headers import StoredTensor, read_headers, read_json

FP8 = "model.layers.0.self_attn.kv_a_proj_with_mqa.weight"
INT4 = "model.layers.1.mlp.experts.0.down_proj.weight"


@pytest.fixture(scope="module")
def instruct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instruct") / "run"
    write_published("instruct", folder)
    return folder


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinking") / "run"
    write_published("thinking", folder)
    return folder


def parts(folder: Path) -> tuple[dict[str, StoredTensor], Any]:
    return read_headers(folder), read_json(folder / "config.json")["quantization_config"]


def test_weights_have_the_names_and_shapes_of_the_plain_ones(instruct: Path, thinking: Path) -> None:
    plain = tiny_model("deepseek_v3", hidden_size=192, moe_intermediate_size=64, kv_lora_rank=72).state_dict()
    for folder in (instruct, thinking):
        weights = weights_in(folder, *parts(folder))
        read = {name: weight.shape for name, weight in weights.items() if not name.endswith("inv_freq")}
        shapes = in_memory({name: torch.empty(shape) for name, shape in read.items()})
        assert {name: tensor.shape for name, tensor in shapes.items()} == {n: t.shape for n, t in plain.items()}


def test_fp8_without_its_factors(instruct: Path) -> None:
    stored, quantization = parts(instruct)
    del stored[f"{FP8}_scale_inv"]
    with pytest.raises(ValueError, match=naming(FP8, "[80, 192]", "[1, 2]", f"{FP8}_scale_inv")):
        weights_in(instruct, stored, quantization)


def test_fp8_in_other_blocks(instruct: Path) -> None:
    stored, quantization = parts(instruct)
    with pytest.raises(ValueError, match=naming("64x64", "weight_block_size")):
        weights_in(instruct, stored, quantization | {"weight_block_size": [64, 64]})


def test_fp8_without_a_quantization_config(instruct: Path) -> None:
    stored, _ = parts(instruct)
    with pytest.raises(ValueError, match=naming("quantization_config", "config.json")):
        weights_in(instruct, stored, None)


def test_factors_without_a_weight_are_no_weight(instruct: Path) -> None:
    """They stay under their own name, which no architecture has, and so loading refuses them."""
    stored, quantization = parts(instruct)
    del stored[FP8]
    assert f"{FP8}_scale_inv" in weights_in(instruct, stored, quantization)


@pytest.mark.parametrize("part", ["scale", "shape"])
def test_int4_without_a_part(part: str, thinking: Path) -> None:
    stored, quantization = parts(thinking)
    del stored[f"{INT4}_{part}"]
    with pytest.raises(ValueError, match=naming(f"{INT4}_{part}")):
        weights_in(thinking, stored, quantization)


def test_int4_in_other_groups(thinking: Path) -> None:
    stored, quantization = parts(thinking)
    other = copy.deepcopy(quantization)
    other["config_groups"]["group_0"]["weights"]["group_size"] = 64
    with pytest.raises(ValueError, match=r"group of 64.* \S+ .*\[\d+, \d+\] .*\[\d+, \d+\]"):
        weights_in(thinking, stored, other)


def test_int4_of_another_shape(thinking: Path) -> None:
    weight = weights_in(thinking, *parts(thinking))[INT4]
    tensors = {name: tensor for path in thinking.glob("*.safetensors") for name, tensor in load_file(path).items()}
    assert weight.read(tensors.__getitem__).shape == (192, 64)
    tensors[f"{INT4}_shape"] = torch.tensor([192, 63])
    with pytest.raises(ValueError, match=naming("[192, 64]", "[192, 63]")):
        weight.read(tensors.__getitem__)


def change(quantization: Any, **fields: Any) -> Any:
    changed = copy.deepcopy(quantization)
    changed["config_groups"]["group_0"]["weights"] |= fields
    return changed


def test_other_quantizations_are_refused(thinking: Path) -> None:
    stored, quantization = parts(thinking)
    for other in (
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "fp8"},
        change(quantization, num_bits=8),
        change(quantization, symmetric=False),
        change(quantization, type="float"),
        change(quantization, strategy="channel", group_size=None),
        quantization | {"format": "int-quantized"},
        quantization | {"config_groups": {}},
    ):
        with pytest.raises(ValueError, match=naming("Kimi K2", "fp8")):
            weights_in(thinking, stored, other)
    quantization["config_groups"]["group_0"]["input_activations"] = {"num_bits": 8}
    with pytest.raises(ValueError, match=naming("Kimi K2")):
        weights_in(thinking, stored, quantization)
