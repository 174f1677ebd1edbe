"""MuonClip on a model: N ranks under DDP and FSDP2 against one process on the same global batch."""

import io
from functools import cache
from typing import Any

import pytest
import torch
import torch.distributed as dist
from processes import run_on_ranks
from tiny_models import tiny_model
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from hf_muonclip import MuonClip

BATCH, LENGTH, STEPS = 4, 12, 12
TAU = 0.03
# float32 throughout: N ranks sum gradients in another order than one process, and nothing else may differ.
SETTINGS: dict[str, Any] = {"lr": 5e-3, "qk_clip_threshold": TAU, "ns_dtype": "float32"}
POLICIES: dict[str, dict[str, Any]] = {
    "fsdp2, bfloat16": {"mp_policy": MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)},
    "fsdp2, offloaded": {"offload_policy": CPUOffloadPolicy(pin_memory=False)},
}


def tokens_of(step: int) -> Tensor:
    return torch.randint(1, 128, (BATCH, LENGTH), generator=torch.Generator().manual_seed(step))


def wrapped(model: nn.Module, kind: str) -> nn.Module:
    world = dist.get_world_size()
    if kind == "ddp":
        return DistributedDataParallel(model)
    shape, names = ((world,), ("shard",)) if kind != "hsdp" else ((2, world // 2), ("replicate", "shard"))
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
    policies = POLICIES.get(kind, {})
    for layer in model.model.layers:  # type: ignore[union-attr]
        fully_shard(layer, mesh=mesh, **policies)
    return fully_shard(model, mesh=mesh, **policies)


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def steps(
    model: nn.Module, optimizer: MuonClip, which: range, rank: int = 0, world: int = 1
) -> list[dict[str, Tensor]]:
    """Train on this rank's part of each global batch, and return what was clipped at each step."""
    gammas = []
    for step in which:
        tokens = tokens_of(step).chunk(world)[rank]
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        gammas.append({name: gamma.clone() for name, gamma in optimizer.gammas.items()})
    return gammas


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name.removeprefix("module."): whole(p).detach().clone() for name, p in model.named_parameters()}


@cache
def one_process(name: str) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    model = tiny_model(name).train()
    gammas = steps(model, MuonClip(model, **SETTINGS), range(STEPS))
    return weights_of(model), gammas


def train(name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    model = wrapped(tiny_model(name).train(), kind)
    optimizer = MuonClip(model, **{**SETTINGS, **settings})
    gammas = steps(model, optimizer, range(STEPS), dist.get_rank(), dist.get_world_size())
    state = [v.to_local() if isinstance(v, DTensor) else v for m in optimizer.state.values() for v in m.values()]
    return {
        "weights": weights_of(model),
        "gammas": gammas,
        "sharded": all(isinstance(p, DTensor) for p in model.parameters()),
        "state_bytes": sum(v.numel() * v.element_size() for v in state if v.ndim),
    }


@cache
def trained_on_ranks(world: int, name: str, kind: str) -> list[dict[str, Any]]:
    return run_on_ranks(world, train, name, kind, {})


@cache
def saved_on_ranks(world: int, kind: str) -> tuple[bytes, bytes]:
    return run_on_ranks(world, save, kind)[0]


@pytest.mark.parametrize(("kind", "world"), [("ddp", 2), ("ddp", 4), ("fsdp2", 2), ("fsdp2", 4), ("hsdp", 4)])
@pytest.mark.parametrize("name", ["llama_gqa", "deepseek_v3"])
def test_many_steps_equal_those_of_one_process(name: str, kind: str, world: int) -> None:
    weights, gammas = one_process(name)
    assert any((gamma < 1).any() for step in gammas for gamma in step.values())
    found = trained_on_ranks(world, name, kind)
    for rank in found:
        assert rank["sharded"] == (kind != "ddp")
        for step, first, wanted in zip(rank["gammas"], found[0]["gammas"], gammas, strict=True):
            assert step.keys() == wanted.keys()
            for module, gamma in wanted.items():
                assert torch.equal(step[module] < 1, gamma < 1), module
                assert torch.equal(step[module], first[module])
        for parameter, weight in weights.items():
            torch.testing.assert_close(rank["weights"][parameter], weight, atol=1e-5, rtol=1e-5, msg=parameter)
            assert torch.equal(rank["weights"][parameter], found[0]["weights"][parameter])


@pytest.mark.parametrize("kind", POLICIES)
def test_mixed_precision_and_offload_keep_float32_weights_and_the_clip(kind: str) -> None:
    weights, _ = one_process("llama_gqa")
    first, second = run_on_ranks(2, train, "llama_gqa", kind, {})
    assert first["sharded"]
    assert any((gamma < 1).any() for step in first["gammas"] for gamma in step.values())
    start = dict(tiny_model("llama_gqa").named_parameters())
    for name, weight in weights.items():
        found = first["weights"][name]
        assert found.dtype == torch.float32
        assert torch.equal(found, second["weights"][name]), name
        # Offloading changes no number; bfloat16 activations turn the path, by less than it is long.
        off, way = (found - weight).norm(), (weight - start[name]).norm()
        assert off < (0.5 if "bfloat16" in kind else 1e-4) * way, (name, float(off / way))


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_equal_runs_are_equal_bit_for_bit(kind: str) -> None:
    first, second = trained_on_ranks(2, "llama_gqa", kind)[0], run_on_ranks(2, train, "llama_gqa", kind, {})[0]
    for name, weight in first["weights"].items():
        assert torch.equal(weight, second["weights"][name]), name


def test_every_rank_keeps_its_share_of_the_state() -> None:
    (whole_state,) = {r["state_bytes"] for r in run_on_ranks(2, train, "llama_gqa", "ddp", {"shard_optimizer": False})}
    for kind in ("ddp", "fsdp2"):
        found = [rank["state_bytes"] for rank in trained_on_ranks(2, "llama_gqa", kind)]
        assert sum(found) == whole_state
        assert max(found) <= 1.1 / 2 * whole_state


def save(kind: str) -> tuple[bytes, bytes]:
    """Train half of the steps and return a whole checkpoint, as Accelerate and torch's own tools make it."""
    model = wrapped(tiny_model("llama_gqa").train(), kind)
    optimizer = MuonClip(model, **SETTINGS)
    steps(model, optimizer, range(STEPS // 2), dist.get_rank(), dist.get_world_size())
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    by_name, plain = io.BytesIO(), io.BytesIO()
    torch.save(get_optimizer_state_dict(model, optimizer, options=options), by_name)
    state = optimizer.state_dict()
    state["state"] = {i: {k: whole(v) for k, v in moments.items()} for i, moments in state["state"].items()}
    torch.save({"weights": weights_of(model), "optimizer": state}, plain)
    return by_name.getvalue(), plain.getvalue()


def resume(kind: str, saved: tuple[bytes, bytes], by_name: bool) -> dict[str, Any]:
    checkpoint = torch.load(io.BytesIO(saved[1]), weights_only=True)
    unwrapped = tiny_model("llama_gqa").train()
    state = torch.load(io.BytesIO(saved[0]), weights_only=True)
    unwrapped.load_state_dict(checkpoint["weights"], strict=False)
    model = wrapped(unwrapped, kind)
    optimizer = MuonClip(model, **SETTINGS)
    if by_name and kind == "ddp":
        optimizer.load_state_dict(state)  # the file that FSDP's full state dict makes
    elif by_name:
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(model, optimizer, optim_state_dict=state, options=options)
    else:
        optimizer.load_state_dict(checkpoint["optimizer"])
    gammas = steps(model, optimizer, range(STEPS // 2, STEPS), dist.get_rank(), dist.get_world_size())
    return {"weights": weights_of(model), "gammas": gammas}


@pytest.mark.parametrize("by_name", [False, True], ids=["state_dict", "distributed.checkpoint"])
@pytest.mark.parametrize(
    ("before", "ranks_before", "after", "ranks_after"),
    [("ddp", 2, "ddp", 4), ("fsdp2", 4, "fsdp2", 2), ("ddp", 2, "fsdp2", 2), ("fsdp2", 2, "ddp", 4)],
)
def test_a_run_goes_on_with_other_ranks(
    before: str, ranks_before: int, after: str, ranks_after: int, by_name: bool
) -> None:
    weights, _ = one_process("llama_gqa")
    found = run_on_ranks(ranks_after, resume, after, saved_on_ranks(ranks_before, before), by_name)
    for name, weight in weights.items():
        torch.testing.assert_close(found[0]["weights"][name], weight, atol=1e-5, rtol=1e-5, msg=name)
