"""Bad input on one rank or on all: every rank refuses together, says what and why, and nothing is written."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_messages import naming
from processes import run_on_ranks
from tiny_models import tiny_model
from tiny_parameters import VIEWS, every_kind, groups_of, parameter, set_gradients
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from hf_muonclip import MuonClip
from hf_muonclip.optim.muon import Muon

SETTINGS: dict[str, Any] = {"lr": 5e-3, "qk_clip_threshold": 0.03, "ns_dtype": "float32"}
SPOILED = "model.layers.1.mlp.up_proj.weight"


def raised(error: type[Exception], function: Callable[..., Any], *args: Any, **settings: Any) -> str:
    with pytest.raises(error) as caught:
        function(*args, **settings)
    return str(caught.value)


def local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def held(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return a copy of every weight and moment as this rank keeps it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = [optimizer.state[parameter].get(key) for parameter in parameters for key in optimizer.state[parameter]]
    return [local(tensor).detach().clone() for tensor in [*parameters, *moments]]


@contextmanager
def nothing_written(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    before = held(optimizer)
    yield
    after = held(optimizer)
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a, b)


def backward(model: nn.Module, seed: int) -> None:
    world, rank = dist.get_world_size(), dist.get_rank()
    tokens = torch.randint(1, 128, (2 * world, 12), generator=torch.Generator().manual_seed(seed)).chunk(world)[rank]
    model.zero_grad()
    model(input_ids=tokens, labels=tokens).loss.backward()


def spread(kind: str, model: nn.Module) -> nn.Module:
    if kind == "ddp":
        return DistributedDataParallel(model)
    for layer in model.model.layers:  # type: ignore[union-attr]
        fully_shard(layer)
    return fully_shard(model)


# Not a number on one rank


def nan_on_one_rank(kind: str) -> list[tuple[str, int]]:
    found = []
    for nonfinite in ("raise", "skip"):
        model = spread(kind, tiny_model("llama_gqa"))
        optimizer = MuonClip(model, nonfinite=nonfinite, **SETTINGS)
        take_good_step(model, optimizer, 0)
        for value in (float("nan"), float("-inf")):
            backward(model, 1)
            if dist.get_rank() == 1:
                bad = dict(optimizer._model.named_parameters())[SPOILED].grad
                assert bad is not None
                local(bad)[-1, -1] = value
            with nothing_written(optimizer):
                message = raised(FloatingPointError, optimizer.step) if nonfinite == "raise" else ""
                if nonfinite == "skip":
                    optimizer.step()
            assert not optimizer.gammas
            found.append((message, optimizer.skipped_steps))
            take_good_step(model, optimizer, 2)
        optimizer.detach()
    return found


def take_good_step(model: nn.Module, optimizer: MuonClip, seed: int) -> None:
    before, updates = held(optimizer), optimizer.updates
    backward(model, seed)
    optimizer.step()
    assert optimizer.updates == updates + 1
    after = held(optimizer)
    assert all(tensor.isfinite().all() for tensor in after)
    # Another rank's share of the state is empty here, but for the count of steps.
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=False) if a.numel() > 1)


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_nan_on_one_rank_stops_all(kind: str) -> None:
    for rank in run_on_ranks(2, nan_on_one_rank, kind):
        assert [skipped for _, skipped in rank] == [1, 2, 1, 2]
        for message, _ in rank[:2]:
            assert re.search(naming(SPOILED, "NaN"), message)


def nan_logits_on_one_rank() -> str:
    model = tiny_model("llama_gqa")
    optimizer = MuonClip(model, **SETTINGS)
    if dist.get_rank() == 1:
        with torch.no_grad():
            model.model.layers[0].self_attn.q_proj.weight[0].fill_(float("nan"))
    backward(model, 0)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight[0].fill_(0.0)
    with nothing_written(optimizer):
        return raised(FloatingPointError, optimizer.step)


def test_a_max_logit_that_is_nan_on_one_rank_stops_all() -> None:
    for message in run_on_ranks(2, nan_logits_on_one_rank):
        # Whether it reaches other heads and layers depends on the processor's attention kernel.
        assert re.search(naming("head 0", "model.layers.0.self_attn", "NaN"), message)


# Ranks that differ


def wider_on_rank_one() -> str:
    wider = {"intermediate_size": 104} if dist.get_rank() == 1 else {}
    return raised(ValueError, MuonClip, tiny_model("llama_gqa", **wider), **SETTINGS)


def deeper_on_rank_one() -> str:
    return raised(ValueError, MuonClip, tiny_model("llama_gqa", num_hidden_layers=2 + dist.get_rank()), **SETTINGS)


# (setting, value on rank 1, what the message says of both)
OTHER_SETTINGS = [
    ("momentum", 0.9, r"rank 0 has '[^']*momentum=0\.95.*rank 1 has '[^']*momentum=0\.9,"),
    ("qk_clip_threshold", 50.0, r"rank 0 has 'qk_clip_threshold 0\.03.*rank 1 has 'qk_clip_threshold 50\.0"),
    ("qk_clip_threshold", None, r"rank 0 has 'qk_clip_threshold 0\.03.*rank 1 has 'qk_clip_threshold None"),
    ("nonfinite", "skip", r"nonfinite raise.*nonfinite skip"),
    ("shard_optimizer", False, r"shard_optimizer True.*shard_optimizer False"),
]


def settings_on_rank_one() -> list[str]:
    model = tiny_model("llama_gqa")
    different = [{setting: value} if dist.get_rank() == 1 else {} for setting, value, _ in OTHER_SETTINGS]
    return [raised(ValueError, MuonClip, model, **{**SETTINGS, **settings}) for settings in different]


def test_ranks_with_other_models_are_refused() -> None:
    for message in run_on_ranks(3, wider_on_rank_one):
        named = ("rank 0", "rank 1", "model.layers.0.mlp.gate_proj.weight", "(96, 64)", "(104, 64)")
        assert re.search(naming(*named), message)
    for message in run_on_ranks(2, deeper_on_rank_one):
        assert "model.layers.2" in message


def test_ranks_with_other_settings_are_refused() -> None:
    for messages in run_on_ranks(2, settings_on_rank_one):
        for (_, _, named), message in zip(OTHER_SETTINGS, messages, strict=True):
            assert re.search(named, message), message


def gradient_on_one_rank() -> list[str]:
    messages = []
    for shard_optimizer in (True, False):
        parameters = every_kind()
        optimizer = Muon(groups_of(parameters), views=VIEWS, shard_optimizer=shard_optimizer)
        set_gradients(parameters, 0)
        optimizer.step()
        set_gradients(parameters, 1)
        if dist.get_rank() == 1:
            parameters["b"].grad = None
        if shard_optimizer:
            with nothing_written(optimizer):
                messages.append(raised(ValueError, optimizer.step))
        else:  # ranks share nothing, and each steps by its own gradients as with AdamW
            before = parameters["b"].detach().clone()
            optimizer.step()
            assert torch.equal(parameters["b"], before) is (dist.get_rank() == 1)
        set_gradients(parameters, 1)
        optimizer.step()
    return messages


def test_a_gradient_on_one_rank_alone_is_refused_where_ranks_share_work() -> None:
    for messages in run_on_ranks(2, gradient_on_one_rank):
        assert len(messages) == 1
        for message in messages:
            assert re.search(naming("gradient", "b", "DDP"), message)


# Names


def unnamed(sharded: bool) -> list[Tensor]:
    """Train three groups whose parameters have no names; each holds another number of matrices."""
    shapes = [(6, 6), (3, 6, 6), (6, 6)]
    weights = [parameter(*shape, seed=i).detach() for i, shape in enumerate(shapes)]
    gradients = [parameter(*shape, seed=3 + i).detach() for i, shape in enumerate(shapes)]
    if sharded:
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        weights, gradients = ([distribute_tensor(t, mesh, [Shard(0)]) for t in ts] for ts in (weights, gradients))
    parameters = [nn.Parameter(weight) for weight in weights]
    optimizer = Muon([{"params": [p]} for p in parameters], lr=0.1, ns_dtype="float32")
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = gradient
    optimizer.step()
    return [whole(p).detach() for p in parameters]


@pytest.mark.parametrize("sharded", [False, True])
def test_groups_without_names_are_told_apart(sharded: bool) -> None:
    alone = unnamed(False)
    for rank in run_on_ranks(2, unnamed, sharded):
        for found, wanted in zip(rank, alone, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def named_alike() -> str:
    groups = [{"params": [("weight", parameter(6, 6, seed=seed))]} for seed in range(2)]
    return raised(ValueError, Muon, groups)


def test_two_parameters_of_one_name_are_refused() -> None:
    for message in run_on_ranks(2, named_alike):
        assert re.search(naming(2, "weight"), message)


# Models wrapped too late, in another way, or for other ranks


def built_before_fully_shard() -> str:
    model = tiny_model("llama_gqa")
    early = MuonClip(model, **SETTINGS)
    early.detach()
    wrapped = spread("fsdp2", model)
    backward(wrapped, 0)
    message = raised(ValueError, early.step)
    late = MuonClip(wrapped, **SETTINGS)
    before = held(late)
    backward(wrapped, 0)
    late.step()
    assert late.updates == 1
    assert not all(torch.equal(a, b) for a, b in zip(before, held(late), strict=False))
    return message


def test_an_optimizer_built_before_fully_shard_is_refused() -> None:
    for message in run_on_ranks(2, built_before_fully_shard):
        assert re.search(naming("fully_shard()", "MuonClip"), message)


def wrapped_by_fsdp1() -> str:
    model = FullyShardedDataParallel(tiny_model("llama_gqa"), device_id=torch.device("cpu"), use_orig_params=True)
    return raised(ValueError, MuonClip, model, **SETTINGS)


def test_fsdp1_is_refused() -> None:
    for message in run_on_ranks(2, wrapped_by_fsdp1):
        assert "FSDP1" in message
        assert "fully_shard()" in message


def on_two_of_three_ranks() -> list[str]:
    mesh, messages = DeviceMesh("cpu", [0, 1]), []
    for placement in (Shard(0), Shard(1), Replicate()):
        apart = nn.Parameter(distribute_tensor(parameter(8, 6, seed=0).detach(), mesh, [placement]))
        messages.append(raised(ValueError, Muon, [("everywhere", parameter(6, 6, seed=1)), ("apart", apart)]))
    return messages


def test_a_mesh_without_every_rank_is_refused() -> None:
    for messages in run_on_ranks(3, on_two_of_three_ranks, timeout=60):
        for message in messages:
            assert re.search(naming("apart", "[0, 1]", "rank 2", "process group"), message)


def on_meshes_of_two() -> list[Tensor]:
    """Each half of four ranks holds the weight on a mesh of its own, as a tensor-parallel group does."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))["tp"]
    weight = nn.Parameter(distribute_tensor(parameter(8, 6, seed=0).detach(), mesh, [Shard(0)]))
    optimizer = Muon([("weight", weight)], lr=0.1, ns_dtype="float32")
    weight.grad = distribute_tensor(parameter(8, 6, seed=1).detach(), mesh, [Shard(0)])
    optimizer.step()
    return [weight.full_tensor().detach()]


def test_every_rank_may_have_a_mesh_of_its_own() -> None:
    alone = parameter(8, 6, seed=0)
    alone.grad = parameter(8, 6, seed=1).detach()
    Muon([("weight", alone)], lr=0.1, ns_dtype="float32").step()
    for (weight,) in run_on_ranks(4, on_meshes_of_two):
        torch.testing.assert_close(weight, alone.detach(), atol=1e-6, rtol=1e-5)


# Three ranks


def steps_on_three_ranks(kind: str) -> dict[str, Tensor]:
    model = spread(kind, tiny_model("llama_gqa"))
    optimizer = MuonClip(model, **SETTINGS)
    for step in range(4):
        backward(model, step)
        optimizer.step()
    return {name.removeprefix("module."): whole(p).detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_three_ranks_divide_nothing_and_equal_one_process(kind: str) -> None:
    model = tiny_model("llama_gqa")
    optimizer = MuonClip(model, **SETTINGS)
    for step in range(4):
        tokens = torch.randint(1, 128, (6, 12), generator=torch.Generator().manual_seed(step))
        model.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
    for weights in run_on_ranks(3, steps_on_three_ranks, kind):
        for name, weight in model.named_parameters():
            torch.testing.assert_close(weights[name], weight.detach(), atol=1e-5, rtol=1e-5, msg=name)


# Backends and trainers


def without_collective(missing: str, kind: str) -> str:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"Backend x does not support {missing}")

    model = spread(kind, tiny_model("llama_gqa"))
    names = ("all_gather_single", "all_gather_into_tensor") if missing == "allgather" else ("all_to_all_single",)
    for name in names:
        setattr(dist, name, refuse)
    message = raised(ValueError, MuonClip, model, **SETTINGS)
    if kind == "ddp":
        MuonClip(model, shard_optimizer=False, **SETTINGS)  # the way out
    return message


@pytest.mark.parametrize(("missing", "kind"), [("allgather", "ddp"), ("alltoall_base", "fsdp2")])
def test_a_backend_without_the_collectives_is_refused(missing: str, kind: str) -> None:
    for message in run_on_ranks(2, without_collective, missing, kind):
        assert f"Backend x does not support {missing}" in message
        assert "gloo" in message
