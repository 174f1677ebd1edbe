"""Initial moments: zeros in float32 or wider, placed as their parameter is.

They are made in one place and at one time, by the first step that a parameter is trainable in, whether it has a
gradient or not: torch.distributed.checkpoint loads into the state that a fresh optimizer's dry step makes, and refuses
a checkpoint that lacks any of it. Everything else of an optimizer exists at construction. Moments do not, because then

- parameters still change: Accelerate, FSDP2 and `model.to` replace, shard and move them after the optimizer was built,
  and moments belong beside what is trained;
- a checkpoint that is loaded would need the memory of two states;
- torch, Accelerate and torch.distributed.checkpoint take an optimizer with an empty state for a fresh one.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from .distributed.sharding import local_shard, neurons_per_slice, num_slices, shard_like
from .matrix_view import PLAIN, MatrixView
from .parameters.frozen import is_updated
from .update_rules import wide_dtype

MomentsOf = MutableMapping[str, Tensor]  # of one parameter


class _Replicated(Protocol):
    """Parameters of which each rank keeps a part of the moments."""

    def holds(self, parameter: Tensor) -> bool: ...

    def make_moments(
        self, group: Mapping[str, Any], parameter: Tensor, state: MomentsOf, momentum: torch.dtype
    ) -> None: ...


def make_moments(
    groups: Sequence[Mapping[str, Any]],
    state: Mapping[Tensor, MomentsOf],
    views: Mapping[str, MatrixView],
    momentum: torch.dtype,
    replicated: _Replicated | None,
    keeps_own_slices: Callable[[Tensor], bool],
) -> None:
    """Make the moments of every parameter that requires a gradient and has none yet, in one order on all ranks.

    Args:
        groups: the param groups.
        state: the moments of each parameter, {} where there are none.
        views: how parameters hold their matrices; plain where not named.
        momentum: dtype of Muon's momentum.
        replicated: makes the moments of the parameters that it holds; None with a single rank.
        keeps_own_slices: returns whether each rank holds, and updates by itself, other slices of a parameter.
    """
    for group in groups:
        for place, parameter in enumerate(group["params"]):
            if not (parameter.requires_grad or is_updated(parameter)):
                continue
            if parameter.numel() == 0 and group["algorithm"] == "muon":
                continue  # it may get its rows later
            moments = state[parameter]
            if replicated is not None and replicated.holds(parameter):
                replicated.make_moments(group, parameter, moments, momentum)
            elif group["algorithm"] == "muon":
                momentum_buffer(moments, parameter, moment_dtype("momentum_buffer", parameter, momentum))
                if group["normalize_neurons"]:
                    names = group.get("param_names")
                    view = views.get(names[place], PLAIN) if names else PLAIN
                    neuron_moment(moments, parameter, view, keeps_own_slices(parameter))
            else:
                adamw_moments(moments, parameter)


def zero_moments_(state: Mapping[Tensor, MomentsOf]) -> None:
    """Zero what this rank keeps of all moments. In place."""
    with torch.no_grad():
        for moments in state.values():
            for moment in moments.values():
                local_shard(moment).zero_()


def moment_dtype(key: str, parameter: Tensor, momentum: torch.dtype) -> torch.dtype:
    """Return the dtype of a parameter's moment: float32 or wider, except that the setting decides for the momentum."""
    if key == "step":
        return torch.float32
    wide = wide_dtype(parameter)
    return momentum if key == "momentum_buffer" and wide == torch.float32 else wide


def momentum_buffer(state: MomentsOf, parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """Return Muon's momentum of a parameter; made of zeros if there is none."""
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = _zeros_like(parameter, dtype)
    return state["momentum_buffer"]


def neuron_moment(state: MomentsOf, parameter: Tensor, view: MatrixView, own_slices: bool) -> Tensor:
    """Return the running mean squares of a parameter's output rows, (slices, output rows of a slice).

    Args:
        state: state of the parameter, as torch keeps it: {name: tensor}.
        parameter: the parameter, with its global shape.
        view: how the parameter holds its matrices.
        own_slices: whether each rank keeps those of its own slices of a DTensor; otherwise all ranks keep all.
    """
    if "neuron_second_moment" not in state:
        shape = num_slices(parameter.shape, view), neurons_per_slice(parameter.shape, view)
        dtype, device = wide_dtype(parameter), parameter.device
        if isinstance(parameter, DTensor) and own_slices:
            rows = local_shard(parameter).shape[0] * shape[0] // parameter.shape[0]
            local = torch.zeros(rows, shape[1], dtype=dtype, device=device)
            state["neuron_second_moment"] = shard_like(parameter, local, shape)
        else:
            state["neuron_second_moment"] = torch.zeros(shape, dtype=dtype, device=device)
    return state["neuron_second_moment"]


def adamw_moments(state: MomentsOf, parameter: Tensor) -> MomentsOf:
    """Return the state with AdamW's `step`, `exp_avg` and `exp_avg_sq` of a parameter, or of a part of one."""
    if "exp_avg" not in state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        for moment in ("exp_avg", "exp_avg_sq"):
            state[moment] = _zeros_like(parameter, wide_dtype(parameter))
    return state


def _zeros_like(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """Return zeros placed as the parameter is, contiguous whatever its strides are: its matrices are views."""
    local = local_shard(parameter)
    zeros = torch.zeros(local.shape, dtype=dtype, device=local.device)
    return shard_like(parameter, zeros) if isinstance(parameter, DTensor) else zeros
