"""Shards, dtypes and memory of what is written."""

import json
import sys
from pathlib import Path

import pytest
import torch
from census_models import census_model
from error_messages import naming
from processes import run_script
from safetensors.torch import load_file
from tiny_models import tiny_model
from torch import Tensor
from transformers import DeepseekV3ForCausalLM
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.export import save_checkpoint
from hf_muonclip.export.check import check_checkpoint

BIASES = [f"model.layers.{layer}.mlp.gate.e_score_correction_bias" for layer in (1, 2)]
ROUTERS = [f"model.layers.{layer}.mlp.gate.weight" for layer in (1, 2)]
if "gate.weight" not in (DeepseekV3ForCausalLM._keep_in_fp32_modules_strict or ()):  # in older transformers
    ROUTERS = []


def tensors_in(folder: Path) -> dict[str, Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("max_shard_size", [40_000, "100KB", "5GB"])
def test_shards_have_the_chosen_size(max_shard_size: int | str, tmp_path: Path) -> None:
    folder = save_checkpoint(tiny_model("deepseek_v3"), tmp_path / "run", max_shard_size=max_shard_size)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    limit = {"100KB": 100_000, "5GB": 5_000_000_000}.get(max_shard_size, max_shard_size)
    paths = sorted(folder.glob("*.safetensors"))
    assert len(paths) == {40_000: 16, "100KB": 6, "5GB": 1}[max_shard_size]
    for path in paths:
        assert sum(tensor.nbytes for tensor in load_file(path).values()) <= limit
        assert {name for name, shard in index["weight_map"].items() if shard == path.name} == set(load_file(path))
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors_in(folder).values())
    assert index["metadata"]["total_parameters"] == 131_904
    assert check_checkpoint(folder).shards == tuple(path.name for path in paths)


def test_one_file_of_a_dense_model_has_no_index(tmp_path: Path) -> None:
    folder = save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run")
    assert not list(folder.glob("*.index.json"))
    assert check_checkpoint(folder).shards == ("model.safetensors",)


def test_a_tensor_larger_than_a_shard_has_its_own(tmp_path: Path) -> None:
    folder = save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", max_shard_size=20_000)
    assert list(load_file(min(folder.glob("*.safetensors")))) == ["lm_head.weight"]


@pytest.mark.parametrize(("argument", "value"), [("max_shard_size", 0), ("max_shard_size", "5 parsecs")])
def test_an_impossible_size_is_refused(argument: str, value: int | str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{value}"):
        save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", **{argument: value})
    assert list(tmp_path.iterdir()) == []


def test_weights_are_rounded_once_and_the_router_is_not(tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3")
    folder = save_checkpoint(model, tmp_path / "run", dtype=torch.bfloat16)
    stored = tensors_in(folder)
    assert {name for name, tensor in stored.items() if tensor.dtype != torch.bfloat16} == {*BIASES, *ROUTERS}
    state = model.state_dict()
    for name in (*BIASES, *ROUTERS):
        assert stored[name].dtype == torch.float32
        assert torch.equal(stored[name], state[name])
    name = "model.layers.1.mlp.experts.3.down_proj.weight"
    assert torch.equal(stored[name], state["model.layers.1.mlp.experts.down_proj"][3].bfloat16())
    config = json.loads((folder / "config.json").read_text())
    assert (config["dtype"], config["torch_dtype"]) == ("bfloat16", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())


def test_each_weight_keeps_its_own_dtype_otherwise(tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3").to(torch.bfloat16)
    model.model.layers[1].mlp.shared_experts.float()
    stored = tensors_in(save_checkpoint(model, tmp_path / "run"))
    wide = {name for name, tensor in stored.items() if tensor.dtype == torch.float32}
    shared = {f"model.layers.1.mlp.shared_experts.{part}_proj.weight" for part in ("gate", "up", "down")}
    assert wide == {*shared, *BIASES, *ROUTERS}  # the routers were rounded in memory, and are wide again


# The dtype that each class of transformers loads its tensors in, asked of transformers itself.
@pytest.mark.parametrize("model_type", ["ernie4_5_moe", "kimi_linear", "minimax_m2", "flint", "gpt_oss", "hy_v4"])
def test_what_a_class_keeps_in_float32_is_written_so(model_type: str, tmp_path: Path) -> None:
    model = census_model(model_type)
    saved = save_checkpoint(model, tmp_path / "run", dtype=torch.bfloat16)
    loaded = AutoModelForCausalLM.from_pretrained(saved, dtype=torch.bfloat16).state_dict()
    state = model.state_dict()
    biases = {name for name in loaded if name.endswith("e_score_correction_bias")}
    kept = {name for name, tensor in loaded.items() if tensor.dtype == torch.float32}
    for name in kept | biases:
        assert torch.equal(loaded[name].to(state[name].dtype), state[name]) or name not in kept, name
    assert check_checkpoint(saved).narrowed == ()
    wide = sum(tensor.numel() for tensor in tensors_in(saved).values() if tensor.dtype == torch.float32)
    assert wide == sum(state[name].numel() for name in kept | biases)
    assert bool(kept) == (model_type not in ("minimax_m2", "gpt_oss"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.float8_e4m3fn])
def test_a_narrower_dtype_is_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming("torch.float32", "torch.bfloat16", dtype)):
        save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", dtype=dtype)


# A model of 134 MiB in shards of 8 MB; what saving adds to this process's own memory, in MiB.
_MEASURE = """
import sys, threading, time
import torch
from transformers import DeepseekV3ForCausalLM
from hf_muonclip.export import save_checkpoint
from hf_muonclip.kimi_k2 import kimi_k2_config

def own_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def watch():
    while not done:
        peak[0] = max(peak[0], own_memory())
        time.sleep(0.001)

sizes = {"hidden_size": 512, "moe_intermediate_size": 512, "num_hidden_layers": 3, "num_experts_per_tok": 2}
model = DeepseekV3ForCausalLM(kimi_k2_config("nano", n_routed_experts=18, **sizes))
save_checkpoint(DeepseekV3ForCausalLM(kimi_k2_config("nano", num_hidden_layers=2)), "warm")
done, peak = False, [own_memory()]
before = peak[0]
thread = threading.Thread(target=watch)
thread.start()
if sys.argv[1] == "ours":
    save_checkpoint(model, "out", max_shard_size="8MB", dtype=getattr(torch, sys.argv[2]))
else:
    model.save_pretrained("out", max_shard_size="8MB")
done = True
thread.join()
print(sum(p.nbytes for p in model.parameters()) / 2**20, peak[0] - before)
"""


def added_memory(how: str, dtype: str, folder: Path) -> tuple[float, float]:
    folder.mkdir()
    model, added = map(float, run_script("-c", _MEASURE, how, dtype, folder=folder).splitlines()[-1].split())
    return model, added


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_saving_takes_no_more_memory_than_a_few_shards(tmp_path: Path) -> None:
    """transformers copies every gate and up projection before it writes the first shard."""
    for dtype in ("float32", "bfloat16"):
        # The lesser of two: what the interpreter and the allocator happen to do meanwhile only adds.
        runs = [added_memory("ours", dtype, tmp_path / f"{dtype}-{run}") for run in range(2)]
        assert min(model for model, _ in runs) > 130
        assert min(added for _, added in runs) < 48
    _, added = added_memory("transformers", "float32", tmp_path / "transformers")
    assert added > 64  # or this test cannot tell one from the other
