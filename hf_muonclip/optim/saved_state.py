"""Saved optimizer state, checked and translated before it is loaded."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from .distributed.many_ranks import ManyRanks
from .distributed.sharding import Box, shard_like
from .settings import GROUP_SETTINGS, NOT_SETTINGS, check_group_settings

MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq")
# Settings that change how torch computes a step, and not its result.
_WITHOUT_EFFECT = frozenset({"foreach", "fused", "capturable"})
# Settings that torch.optim.Muon has under the same names.
_SHARED_WITH_TORCH = ("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps")


def checked_state(
    state_dict: Mapping[str, Any], own_groups: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Return a state dict that `Muon` can load, from its own or from one of torch.optim.Muon.

    Both keep momentum as an average. The groups of torch.optim.Muon must be the Muon groups of the optimizer; AdamW
    groups start fresh.

    Args:
        state_dict: saved state, with parameters by number, or by name as torch.distributed.checkpoint saves them.
        own_groups: param groups of the optimizer that loads.
        names: names of its parameters, in the order of the groups.

    Returns:
        A state dict of the optimizer's own form; the argument is not changed.

    Raises:
        ValueError: the state is another optimizer's, its groups do not fit, a setting of theirs is unknown or out of
            range, or a moment has another shape than its parameter.
    """
    state_dict = _numbered(state_dict, own_groups, names)
    groups = state_dict["param_groups"]
    if any("algorithm" not in group for group in groups):
        if not all("ns_steps" in group and "momentum" in group for group in groups):
            keys = sorted(groups[0]) if groups else "nothing"
            raise ValueError(
                "Only state saved by Muon, MuonClip or torch.optim.Muon can be loaded: AdamW's moments are not a "
                f"momentum that Muon can use; got groups with {keys}. Start with fresh optimizer state."
            )
        for group in groups:
            check_group_settings({key: group[key] for key in ("maximize", "differentiable") if group.get(key)})
            _refuse_unknown(group)
        state_dict = _from_torch(state_dict, own_groups)
    for group in state_dict["param_groups"]:
        check_group_settings(group)
    parameters = [parameter for group in own_groups for parameter in group["params"]]
    saved_ids = [index for group in state_dict["param_groups"] for index in group["params"]]
    # torch refuses other lengths when it loads.
    for index, name, parameter in zip(saved_ids, names, parameters, strict=False):
        for key, saved in state_dict["state"].get(index, {}).items():
            if key in MOMENTS and saved.shape != parameter.shape:
                raise ValueError(
                    f"{key} must have its parameter's shape; for {name} the saved state has {tuple(saved.shape)} and "
                    f"the parameter {tuple(parameter.shape)}. Load the checkpoint of this model."
                )
    return dict(state_dict)


def _numbered(
    state_dict: Mapping[str, Any], own_groups: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Mapping[str, Any]:
    """Return a state dict whose parameters are numbered as the optimizer's own, from one in which they are named."""
    state_dict = _named(state_dict, own_groups, names)
    saved_groups, saved_state = state_dict["param_groups"], state_dict["state"]
    by_name = {name: group for group in saved_groups for name in group["params"]}
    if not by_name or not all(isinstance(name, str) for name in by_name):
        return state_dict
    # Frozen parameters have no state; an optimizer may hold them or not.
    parameters = [parameter for own in own_groups for parameter in own["params"]]
    missing = [name for name, p in zip(names, parameters, strict=True) if name not in by_name and p.requires_grad]
    missing += sorted(name for name in by_name.keys() - set(names) if saved_state.get(name))
    if missing:
        raise ValueError(
            f"saved state must have the same parameters as the optimizer; {missing[0]} is only in one of them. Load "
            "the checkpoint of this model."
        )
    numbers = {name: number for number, name in enumerate(names)}
    groups, first = [], 0
    for own in own_groups:
        members = names[first : first + len(own["params"])]
        first += len(members)
        saved = next((by_name[name] for name in members if name in by_name), own)
        settings = {key: value for key, value in saved.items() if key not in ("params", "param_names")}
        groups.append(settings | {"params": [numbers[name] for name in members], "param_names": list(members)})
    state = {numbers[name]: moments for name, moments in saved_state.items() if name in numbers}
    return {"state": state, "param_groups": groups}


def _named(
    state_dict: Mapping[str, Any], own_groups: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Mapping[str, Any]:
    """Return a state dict with names instead of numbers, if other parameters were frozen when it was saved.

    Groups then hold the same parameters in another order, and numbers would mix them up. Numbers are kept if no name is
    known, as under another prefix.
    """
    saved_groups = state_dict["param_groups"]
    if not all("param_names" in group for group in saved_groups):
        return state_dict
    saved_names = [list(group["param_names"]) for group in saved_groups]
    own_names = [list(group.get("param_names", ())) for group in own_groups]
    if saved_names == own_names or not {name for group in saved_names for name in group} & set(names):
        return state_dict
    name_of = {
        number: name
        for group, members in zip(saved_groups, saved_names, strict=True)
        for number, name in zip(group["params"], members, strict=True)
    }
    return {
        "state": {name_of[number]: moments for number, moments in state_dict["state"].items()},
        "param_groups": [
            {**group, "params": members} for group, members in zip(saved_groups, saved_names, strict=True)
        ],
    }


def _refuse_unknown(group: Mapping[str, Any]) -> None:
    """Refuse a group of torch's Muon with a setting that is turned on and that `Muon` does not have."""
    known = GROUP_SETTINGS | NOT_SETTINGS | _WITHOUT_EFFECT
    unknown = [key for key in sorted(group.keys() - known) if group[key] is not None and group[key] is not False]
    if unknown:
        said = ", ".join(f"{key}={group[key]!r}" for key in unknown)
        raise ValueError(
            f"State of torch.optim.Muon may set {', '.join(_SHARED_WITH_TORCH)} and adjust_lr_fn; got {said}, which "
            "has no counterpart here. Start with fresh optimizer state."
        )


def _from_torch(state_dict: Mapping[str, Any], own_groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    saved_groups, saved_state = state_dict["param_groups"], state_dict["state"]
    muon_sizes = [len(group["params"]) for group in own_groups if group["algorithm"] == "muon"]
    if [len(group["params"]) for group in saved_groups] != muon_sizes:
        raise ValueError(
            "State of torch.optim.Muon must hold the same groups of matrices as the Muon groups here; got groups of "
            f"{[len(group['params']) for group in saved_groups]} parameters for {muon_sizes}. torch.optim.Muon takes "
            "only 2-D parameters: give both the same ones, or start with fresh optimizer state."
        )
    groups, state, index, remaining = [], {}, 0, iter(saved_groups)
    for own in own_groups:
        settings = {key: value for key, value in own.items() if key != "params"}
        indices = list(range(index, index + len(own["params"])))
        index += len(indices)
        if own["algorithm"] == "muon":
            saved = next(remaining)
            settings |= {key: saved[key] for key in _SHARED_WITH_TORCH if key in saved}
            settings["adjust_lr_fn"] = saved.get("adjust_lr_fn") or "original"  # torch's None
            for own_index, saved_index in zip(indices, saved["params"], strict=True):
                if "momentum_buffer" in saved_state.get(saved_index, {}):
                    state[own_index] = {"momentum_buffer": saved_state[saved_index]["momentum_buffer"]}
        groups.append(settings | {"params": indices})
    return {"state": state, "param_groups": groups}


def saved_moments(state_dict: Mapping[str, Any], parameters: Sequence[Tensor]) -> list[tuple[Tensor, str, Tensor]]:
    """Return (parameter, key, moment) for all that a checked state dict holds of parameters, which are in its order."""
    saved_ids = [index for group in state_dict["param_groups"] for index in group["params"]]
    return [
        (parameter, key, saved)
        for index, parameter in zip(saved_ids, parameters, strict=False)
        for key, saved in state_dict["state"].get(index, {}).items()
        if key in (*MOMENTS, "neuron_second_moment", "step")
    ]


def numbered_moments(
    moments: Iterable[tuple[Tensor, dict[str, Tensor]]],
    own_groups: Sequence[Mapping[str, Any]],
    saved_groups: Sequence[Mapping[str, Any]],
) -> dict[int, dict[str, Tensor]]:
    """Return the moments of parameters under the numbers that a state dict gives to these."""
    numbers = {
        id(parameter): number
        for own, saved in zip(own_groups, saved_groups, strict=True)
        for parameter, number in zip(own["params"], saved["params"], strict=True)
    }
    return {numbers[id(parameter)]: of_parameter for parameter, of_parameter in moments}


def kept_part(key: str, parameter: Tensor, saved: Tensor, dtype: torch.dtype, ranks: ManyRanks | None) -> Tensor:
    """Return this rank's part of a saved moment.

    Args:
        key: the moment's key in the parameter's state.
        parameter: plain or a DTensor.
        saved: the whole moment, plain or a DTensor, or the parameter's own placement of it.
        dtype: dtype of the result.
        ranks: the ranks that share a step; None with a single rank.
    """
    device = parameter.device
    if key == "step":
        return saved.to(device=device, dtype=dtype)
    whole = saved.full_tensor() if isinstance(saved, DTensor) and not isinstance(parameter, DTensor) else saved
    mine = None if ranks is None or isinstance(whole, DTensor) else ranks.box(parameter)
    if mine is not None and isinstance(parameter, DTensor):
        part = mine
        if key == "neuron_second_moment":
            if ranks is None or not ranks.keeps_own_slices(parameter):
                return whole.to(device=device, dtype=dtype).contiguous()
            per_slice = parameter.shape[0] // whole.shape[0]
            slices = tuple((a // per_slice, b // per_slice) for a, b in mine.ranges[0])
            part = Box((slices, ((0, whole.shape[1]),)))
        local = part.take(whole).to(device=device, dtype=dtype, copy=True).contiguous()
        return shard_like(parameter, local, whole.shape)
    if ranks is not None and ranks.replicated is not None and ranks.replicated.holds(parameter):
        whole = ranks.replicated.own_part(key, parameter, whole)
    return whole.to(device=device, dtype=dtype).contiguous()
