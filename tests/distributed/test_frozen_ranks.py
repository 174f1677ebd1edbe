"""Layers that are frozen and unfrozen while several ranks train: as in one process, and with state for what trained."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_messages import naming
from processes import run_on_ranks
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from hf_muonclip import MuonClip

SETTINGS: dict[str, Any] = {"lr": 1e-2, "qk_clip_threshold": 0.03, "ns_dtype": "float32", "adamw_eps": 1e-5}
TURNS = ((0,), (1,), (0, 1), (1,))  # layers that train


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def train(kind: str) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Return the weights in the end, and the entries of state that this rank keeps of each parameter."""
    model: nn.Module = tiny_model("llama_gqa")
    inner = model
    inner.model.layers[1].requires_grad_(False)
    if kind == "ddp":
        inner.requires_grad_(True)  # DDP exchanges gradients of what is trainable when it wraps
        model = DistributedDataParallel(model, find_unused_parameters=True)
        inner.model.layers[1].requires_grad_(False)
    elif kind == "fsdp2":
        inner.requires_grad_(True)
        for layer in inner.model.layers:
            fully_shard(layer)
        fully_shard(model)
        inner(**random_batch(inner)).loss.backward()  # FSDP2 takes requires_grad over at the first forward, for good
        inner.zero_grad()
        inner.model.layers[1].requires_grad_(False)
    optimizer = MuonClip(model, **SETTINGS)
    for turn, layers in enumerate(TURNS):
        for place, layer in enumerate(inner.model.layers):
            layer.requires_grad_(place in layers)
        before = {name: whole(p).detach().clone() for name, p in inner.named_parameters()}
        model(**random_batch(inner, seed=turn)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        for name, parameter in inner.named_parameters():
            same = torch.equal(whole(parameter), before[name])
            assert same is not parameter.requires_grad, (turn, name)
    weights = {name: whole(p).detach().clone() for name, p in inner.named_parameters()}
    kept = {
        name: sum(value.to_local().numel() if isinstance(value, DTensor) else value.numel() for value in state.values())
        for name, p in inner.named_parameters()
        if (state := {k: v for k, v in optimizer.state.get(p, {}).items() if k != "step"})
    }
    optimizer.detach()
    return weights, kept


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_layers_train_by_turns_as_in_one_process(kind: str) -> None:
    expected, kept = train("alone")
    ranks = run_on_ranks(2, train, kind)
    for weights, _ in ranks:
        for name, weight in weights.items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-5)
    assert {name: sum(of_rank.get(name, 0) for _, of_rank in ranks) for name in kept} == kept


def add_groups_while_training() -> dict[str, dict[str, Tensor]]:
    """Return the moments before and after a group was added, whole."""
    model = tiny_model("llama_gqa")
    model.model.layers[1].requires_grad_(False)
    optimizer = MuonClip(model, **SETTINGS)
    found = []
    for turn in range(3):
        if turn == 1:
            model.model.layers[1].mlp.requires_grad_(True)
        if turn == 2:
            model.requires_grad_(True)
            optimizer.add_param_group({"params": model.model.layers[1].self_attn.parameters(), "lr": 1e-3})
            optimizer.consolidate_state_dict()  # owners are others now
            found.append(moments_of(optimizer))
            break
        model(**random_batch(model, seed=turn)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if turn == 1:
            optimizer.consolidate_state_dict()
            found.append(moments_of(optimizer))
    model(**random_batch(model, seed=2)).loss.backward()
    optimizer.step()
    optimizer.detach()
    return {"before": found[0], "after": found[1], "weights": {n: p.detach() for n, p in model.named_parameters()}}


def moments_of(optimizer: MuonClip) -> dict[str, Tensor]:
    saved = optimizer.state_dict()
    names = [name for group in saved["param_groups"] for name in group["param_names"]]
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    return {
        f"{name} {key}": value.clone()
        for name, number in zip(names, numbers, strict=True)
        for key, value in saved["state"].get(number, {}).items()
    }


def test_moments_follow_their_owners_when_a_group_is_added() -> None:
    alone = add_groups_while_training()
    for rank in run_on_ranks(2, add_groups_while_training):
        assert rank["before"].keys() == rank["after"].keys() == alone["before"].keys()
        for name, moment in rank["before"].items():
            assert torch.equal(rank["after"][name], moment), name
        for name, weight in rank["weights"].items():
            torch.testing.assert_close(weight, alone["weights"][name], rtol=1e-4, atol=1e-5)


def freeze_elsewhere() -> str:
    """Layers drawn by each rank for itself, as LISA does with unequal seeds."""
    model = tiny_model("llama_gqa")
    optimizer = MuonClip(model, **SETTINGS)
    model.model.layers[dist.get_rank()].requires_grad_(False)
    model(**random_batch(model)).loss.backward()
    with pytest.raises(ValueError, match=naming("gradient", "rank")) as caught:
        optimizer.step()
    return str(caught.value)


def test_ranks_that_freeze_different_layers_are_refused_together() -> None:
    for message in run_on_ranks(2, freeze_elsewhere, timeout=60):
        assert "model.layers.0." in message
