"""torch.distributed.checkpoint saves and loads an optimizer whose matrices did not all have a gradient."""

import copy
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from parallel_models import whole
from processes import run_on_ranks
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from hf_muonclip.optim.muon import Muon

STEPS, SAVED = 6, 3
Outcome = dict[str, dict[str, Tensor]]


class Experts(nn.Module):
    """Experts in a list, of which only some have a gradient, and a stack of which a slice has none."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = nn.ModuleList(nn.Linear(8, 6, bias=False) for _ in range(3))
        self.stack = nn.Parameter(torch.randn(4, 6, 8))
        self.scales = nn.ParameterList([torch.ones(8), torch.ones(8)])

    def forward(self, x: Tensor, step: int) -> Tensor:
        """Use expert 0 always, expert 1 from the step after the save on, expert 2 never; likewise the scales."""
        y = self.listed[0](x * self.scales[0]) + torch.einsum("tm,enm->tn", x, self.stack[:2])
        return y + self.listed[1](x * self.scales[1]) if step >= SAVED else y


def made(kind: str, **settings: Any) -> tuple[nn.Module, Muon]:
    torch.manual_seed(0)
    model: nn.Module = Experts()
    if kind == "fsdp2":
        fully_shard(model, mesh=init_device_mesh("cpu", (int(os.environ["WORLD_SIZE"]),)))
    groups = [
        {"params": [(n, p) for n, p in model.named_parameters() if p.ndim > 1]},
        {"params": [(n, p) for n, p in model.named_parameters() if p.ndim == 1], "algorithm": "adamw"},
    ]
    return model, Muon(groups, lr=0.02, ns_dtype="float32", **settings)


def train(model: nn.Module, optimizer: Muon, steps: range) -> None:
    for step in steps:
        x = torch.randn(5, 8, generator=torch.Generator().manual_seed(step))
        model(x, step).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def outcome(model: nn.Module, optimizer: Muon) -> Outcome:
    weights = {name: whole(p).clone() for name, p in model.named_parameters()}
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    moments = {
        f"{names[index]} {key}": whole(value).clone()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }
    return {"weights": weights, "moments": moments}


def options(flat: bool) -> StateDictOptions:
    return StateDictOptions(flatten_optimizer_state_dict=flat)


def save(kind: str, flat: bool, folder: str, settings: dict[str, Any]) -> Outcome:
    """Train, save in the middle, and return what the whole training makes."""
    model, optimizer = made(kind, **settings)
    train(model, optimizer, range(SAVED))
    saved = {
        "model": get_model_state_dict(model),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=options(flat)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(saved, checkpoint_id=folder)
    train(model, optimizer, range(SAVED, STEPS))
    return outcome(model, optimizer)


def resume(kind: str, flat: bool, folder: str, settings: dict[str, Any]) -> Outcome:
    model, optimizer = made(kind, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    state = {
        "model": get_model_state_dict(model),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=options(flat)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(state, checkpoint_id=folder)
    set_model_state_dict(model, state["model"])
    set_optimizer_state_dict(model, optimizer, state["optimizer"], options=options(flat))
    train(model, optimizer, range(SAVED, STEPS))
    return outcome(model, optimizer)


def assert_equal(found: Outcome, wanted: Outcome) -> None:
    for part, tensors in wanted.items():
        assert found[part].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert torch.equal(found[part][name], tensor), name


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("settings", [{}, {"normalize_neurons": True, "momentum_dtype": "bfloat16"}], ids=str)
def test_one_process_goes_on_bit_for_bit(flat: bool, settings: dict[str, Any], tmp_path: Path) -> None:
    wanted = save("plain", flat, str(tmp_path), settings)
    assert wanted["moments"]["listed.2.weight momentum_buffer"].eq(0).all()
    assert_equal(resume("plain", flat, str(tmp_path), settings), wanted)


@pytest.mark.parametrize("kind", ["fsdp2", "replicated"])
@pytest.mark.parametrize("flat", [False, True])
def test_ranks_go_on_bit_for_bit_in_a_fresh_group(kind: str, flat: bool, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"normalize_neurons": True}
    saved = run_on_ranks(2, save, kind, flat, str(tmp_path), settings)
    for found, wanted in zip(run_on_ranks(2, resume, kind, flat, str(tmp_path), settings), saved, strict=True):
        assert_equal(found, wanted)


def owned_and_empty() -> dict[str, Any]:
    """Return what a rank holds of the state of a single matrix, which one rank owns, after a step."""
    weight = nn.Parameter(torch.ones(4, 6))
    optimizer = Muon([("weight", weight)], ns_dtype="float32")
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    shapes = {key: tuple(moment.shape) for key, moment in optimizer.state[weight].items()}
    return {"shapes": shapes, "saved": copy.deepcopy(optimizer.state_dict()["state"]), "rank": dist.get_rank()}


def test_every_rank_has_state_although_one_owns_the_matrix() -> None:
    # torch.distributed.checkpoint takes a step of its own where an optimizer has no state: on one rank alone it hangs.
    found = run_on_ranks(2, owned_and_empty)
    assert sorted(rank["shapes"]["momentum_buffer"] for rank in found) == [(0, 6), (4, 6)]
    assert all(rank["saved"][0]["momentum_buffer"].shape == (4, 6) for rank in found)
