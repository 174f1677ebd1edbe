"""What N ranks do to weights and moments of every kind, against what one process does."""

import gc
import weakref
from collections.abc import Sequence
from functools import cache
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from processes import run_on_ranks
from tiny_models import tiny_model
from tiny_parameters import KINDS, MATRICES, VIEWS, every_kind, groups_of, set_gradients, set_gradients_of_some
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from hf_muonclip import MuonClip
from hf_muonclip.optim import muon as muon_module
from hf_muonclip.optim.distributed import collectives as rank_collectives
from hf_muonclip.optim.muon import Muon

STEPS = 3
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "small batches": {"max_batch_bytes": 400},
    "neurons": {"normalize_neurons": True},
    "cautious": {"cautious_weight_decay": True, "nesterov": False},
    "original scale": {"adjust_lr_fn": "original"},
    "bfloat16 momentum": {"momentum_dtype": "bfloat16"},
}
# Some matrices rest in some steps, and of others some ranks' parts have a gradient of zeros.
VARIANTS |= {f"idle, {name}": settings for name, settings in VARIANTS.items() if name != "original scale"}
VARIANTS["captured"] = VARIANTS["idle, captured"] = {}


def optimizer_of(parameters: dict[str, nn.Parameter], **settings: Any) -> Muon:
    return Muon(groups_of(parameters), lr=0.02, views=VIEWS, **{"ns_dtype": "float32", **settings})


@cache
def one_process(variant: str) -> tuple[dict[str, Tensor], dict[int, dict[str, Tensor]], list[float | None]]:
    parameters = every_kind()
    optimizer = optimizer_of(parameters, **VARIANTS[variant])
    optimizer.measure_update_rms = "captured" not in variant
    for step in range(STEPS):
        (set_gradients_of_some if "idle" in variant else set_gradients)(parameters, step)
        optimizer.step()
    measured = [optimizer.update_rms, optimizer.idle_matrices]
    return {name: p.detach() for name, p in parameters.items()}, optimizer.state_dict()["state"], measured


def on_mesh(kind: str) -> dict[str, nn.Parameter]:
    world = dist.get_world_size()
    if kind == "hsdp":
        mesh = init_device_mesh("cpu", (2, world // 2))
        placements: Any = [Replicate(), Shard(0)]
    elif kind == "columns":
        mesh, placements = init_device_mesh("cpu", (world,)), [Shard(-1)]
    elif kind == "rows and columns":
        mesh, placements = init_device_mesh("cpu", (2, world // 2)), [Shard(0), Shard(1)]
    else:
        mesh, placements = init_device_mesh("cpu", (world,)), [Shard(0)]
    made = {}
    for name, p in every_kind().items():
        spread = [
            Shard(s.dim % p.ndim) if isinstance(s, Shard) and s.dim < p.ndim else Replicate() if s.is_shard() else s
            for s in placements
        ]
        made[name] = nn.Parameter(distribute_tensor(p.detach(), mesh, spread))
    return made


def gradients_like(parameters: dict[str, nn.Parameter], step: int, of_some: bool = False) -> None:
    whole = every_kind()
    (set_gradients_of_some if of_some else set_gradients)(whole, step)
    for name, p in parameters.items():
        gradient = whole[name].grad
        assert gradient is not None
        if isinstance(p, DTensor):
            gradient = distribute_tensor(gradient, p.device_mesh, p.placements)
        p.grad = gradient


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def train(
    kind: str, variant: str, **more: Any
) -> tuple[dict[str, Tensor], dict[int, dict[str, Tensor]], list[float | None], list[bool]]:
    parameters = every_kind() if kind == "replicated" else on_mesh(kind)
    optimizer = optimizer_of(parameters, **VARIANTS[variant], **more)
    optimizer.measure_update_rms = True
    with mock.patch.object(muon_module, "_host_must_not_wait", return_value="captured" in variant):
        for step in range(STEPS):
            gradients_like(parameters, step, "idle" in variant)
            optimizer.step()
    state = {
        index: {key: whole(value) for key, value in moments.items()}
        for index, moments in optimizer.state_dict()["state"].items()
    }
    return (
        {n: whole(p).detach() for n, p in parameters.items()},
        state,
        [optimizer.update_rms, optimizer.idle_matrices],
        [isinstance(p, DTensor) for p in parameters.values()],
    )


def train_variants(kind: str, variants: Sequence[str]) -> dict[str, Any]:
    return {variant: train(kind, variant) for variant in variants}


# Each transport meets all variants once, and these wherever weights lie otherwise or on another number of ranks.
SOME = ("default", "idle, small batches", "idle, neurons", "idle, captured")


@pytest.mark.parametrize(
    ("kind", "world", "variants"),
    [
        ("replicated", 2, SOME),
        ("replicated", 3, tuple(VARIANTS)),
        ("rows", 2, SOME),
        ("rows", 3, tuple(VARIANTS)),
        ("rows", 4, SOME),
        ("columns", 2, SOME),
        ("hsdp", 4, SOME),
        ("rows and columns", 4, SOME),
    ],
    ids=lambda value: None if isinstance(value, str | int) else f"{len(value)} variants",
)
def test_n_ranks_do_what_one_does(kind: str, world: int, variants: Sequence[str]) -> None:
    ranks = run_on_ranks(world, train_variants, kind, variants)
    for variant in variants:
        assert_equal_to_one_process([rank[variant] for rank in ranks], kind, variant)


def reset_between_steps(kind: str) -> tuple[dict[str, Tensor], dict[str, Tensor], list[float]]:
    parameters = every_kind() if kind == "replicated" else on_mesh(kind)
    optimizer = optimizer_of(parameters, normalize_neurons=True)
    for step in range(2):
        gradients_like(parameters, step)
        optimizer.step()
    optimizer.consolidate_state_dict()  # what was gathered before a reset is no longer true after it
    optimizer.reset_moments()
    largest = [
        float(whole(value).abs().max())
        for moments in optimizer.state_dict()["state"].values()
        for value in moments.values()
    ]
    before = {name: whole(p).detach().clone() for name, p in parameters.items()}
    gradients_like(parameters, 2)
    optimizer.step()
    return before, {name: whole(p).detach() for name, p in parameters.items()}, largest


@pytest.mark.parametrize("kind", ["replicated", "rows"])
def test_moments_that_are_reset_are_those_of_a_new_optimizer(kind: str) -> None:
    for before, after, largest in run_on_ranks(2, reset_between_steps, kind):
        assert len(largest) > 0
        assert set(largest) == {0.0}
        parameters = {name: nn.Parameter(weight) for name, weight in before.items()}
        set_gradients(parameters, 2)
        optimizer_of(parameters, normalize_neurons=True).step()
        for name, weight in parameters.items():
            torch.testing.assert_close(after[name], weight.detach(), atol=1e-5, rtol=1e-5, msg=name)


def assert_equal_to_one_process(found: list[Any], kind: str, variant: str) -> None:
    weights, state, measured = one_process(variant)
    for rank, (theirs, moments, figures, sharded) in enumerate(found):
        where = f"on rank {rank}, {variant}"
        assert all(sharded) == (kind != "replicated")
        assert figures == ([None, None] if "captured" in variant else pytest.approx(measured, rel=1e-4)), where
        for name, weight in weights.items():
            torch.testing.assert_close(theirs[name], weight, atol=1e-5, rtol=1e-5, msg=f"{name} {where}")
            assert torch.equal(theirs[name], found[0][0][name]), f"{name} {where}"
        assert moments.keys() == state.keys()
        for index, wanted in state.items():
            assert moments[index].keys() == wanted.keys()
            for key, value in wanted.items():
                said = f"{key} of {index} {where}"
                torch.testing.assert_close(moments[index][key], value, atol=1e-5, rtol=1e-3, msg=said)


def test_the_size_of_updates_is_the_same_where_every_rank_repeats_them() -> None:
    _, _, measured = one_process("idle, default")
    for _, _, figures, _ in run_on_ranks(2, train_unshared, "idle, default"):
        assert figures == pytest.approx(measured, rel=1e-5)


def train_unshared(variant: str) -> Any:
    return train("replicated", variant, shard_optimizer=False)


def counted(kind: str, settings: dict[str, Any]) -> dict[str, int]:
    """Return the bytes that this rank sends to others in one step, by collective."""
    parameters = every_kind() if kind == "replicated" else on_mesh(kind)
    optimizer = optimizer_of(parameters, **settings)
    gradients_like(parameters, 0)
    sent = {"all_gather": 0, "all_to_all": 0, "all_reduce": 0}
    rank, others = dist.get_rank(), dist.get_world_size() - 1
    gather, exchange, reduce = rank_collectives.all_gather, dist.all_to_all_single, dist.all_reduce

    def count_gather(gathered: Tensor, own: Tensor) -> Any:
        sent["all_gather"] += own.nbytes * others
        return gather(gathered, own)

    def count_exchange(into: Tensor, out: Tensor, into_sizes: list[int], out_sizes: list[int], **kwargs: Any) -> Any:
        sent["all_to_all"] += sum(size for place, size in enumerate(out_sizes) if place != rank)
        return exchange(into, out, into_sizes, out_sizes, **kwargs)

    def count_reduce(tensor: Tensor, **kwargs: Any) -> Any:
        sent["all_reduce"] += tensor.nbytes
        return reduce(tensor, **kwargs)

    with (
        mock.patch.object(rank_collectives, "all_gather", count_gather),
        mock.patch.object(dist, "all_to_all_single", count_exchange),
        mock.patch.object(dist, "all_reduce", count_reduce),
    ):
        optimizer.step()
    return sent


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_a_step_sends_one_all_gather_of_the_updates_or_two_passes_of_the_shards(dtype: torch.dtype) -> None:
    settings = {"ns_dtype": str(dtype).removeprefix("torch.")}
    matrices = {n: p for n, p in every_kind().items() if n not in ("embedding", "gain")}
    updates = sum(p.numel() for p in matrices.values()) * dtype.itemsize
    vectors = 4 * sum(p.numel() for n, p in every_kind().items() if n not in matrices)
    world = 2
    rounding = 8 * 30  # pieces begin at multiples of eight bytes
    found = run_on_ranks(world, counted, "replicated", settings)
    once = (updates + vectors) * (world - 1)
    assert once <= sum(rank["all_gather"] for rank in found) <= once * 1.1 + rounding
    assert all(rank["all_to_all"] == 0 for rank in found)
    found = run_on_ranks(world, counted, "rows", settings)
    assert all(rank["all_gather"] == 0 for rank in found)
    assert 0 < sum(rank["all_to_all"] for rank in found) <= 2 * updates * (world - 1) / world + rounding
    every = every_kind()
    flags = sum(count for name, view in MATRICES.items() for count, _, _ in view.matrix_shapes(every[name].shape))
    # Float32: what call it is, twice; seven numbers of each parameter, and one flag of each matrix.
    assert all(rank["all_reduce"] == 4 * (2 + 7 * len(KINDS) + flags) for rank in found)


def only_experts() -> dict[str, int]:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    experts = nn.Parameter(distribute_tensor(torch.randn(5, 6, 4), mesh, [Shard(0)]))
    optimizer = Muon([("experts", experts)], ns_dtype="float32")
    experts.grad = distribute_tensor(torch.randn(5, 6, 4), mesh, [Shard(0)])
    with mock.patch.object(dist, "all_to_all_single", side_effect=AssertionError("experts must not travel")):
        optimizer.step()
    return {"local": experts.to_local().shape[0]}


def test_experts_sharded_by_expert_do_not_travel() -> None:
    assert [rank["local"] for rank in run_on_ranks(2, only_experts)] == [3, 2]


def freed_with_the_optimizer(placed: bool) -> bool:
    """Return whether a parameter goes with its optimizer, without the garbage collector's help."""
    weight: Any = nn.Parameter(torch.ones(8, 6))
    if placed:
        weight = nn.Parameter(distribute_tensor(weight.detach(), init_device_mesh("cpu", (2,)), [Shard(0)]))
    optimizer = Muon([("weight", weight)], lr=0.1)
    weight.grad = weight.detach().clone()
    optimizer.step()
    gone = weakref.ref(weight)
    gc.collect()
    gc.disable()
    try:
        del optimizer, weight
        return gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("placed", [False, True], ids=["ddp", "fsdp2"])
def test_what_ranks_share_goes_with_the_optimizer(placed: bool) -> None:
    assert run_on_ranks(2, freed_with_the_optimizer, placed) == [True, True]


def overrides_in_two_spellings() -> float:
    overrides: Any = '{"*": {"lr": 1e-4}}' if dist.get_rank() else {"*": {"lr": 1e-4}}
    return float(MuonClip(tiny_model("llama_mha"), group_overrides=overrides).param_groups[0]["lr"])


def test_equal_overrides_may_be_spelled_in_two_ways() -> None:
    assert run_on_ranks(2, overrides_in_two_spellings) == [1e-4, 1e-4]
