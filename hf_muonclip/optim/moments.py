"""How moments begin: zeros in float32 or wider, placed as their parameter is.

From the first step on every parameter that requires a gradient has its moments, on every rank, whether it ever had a
gradient or not: torch.distributed.checkpoint loads into the state that a fresh optimizer's dry step makes, and refuses
a checkpoint that lacks any of it.
"""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from .distributed.sharding import local_shard, neurons_per_slice, num_slices, shard_like
from .matrix_view import PLAIN, MatrixView
from .parameters.frozen import is_updated
from .update_rules import wide_dtype

if TYPE_CHECKING:
    from .muon import Muon

State = MutableMapping[str, Tensor]  # of one parameter


def make_moments(optimizer: "Muon") -> None:
    """Make the moments of every parameter that requires a gradient and has none yet, in one order on all ranks."""
    sharded = optimizer._sharded
    for group in optimizer.param_groups:
        for place, parameter in enumerate(group["params"]):
            if not (parameter.requires_grad or is_updated(parameter)):
                continue
            if parameter.numel() == 0 and group["algorithm"] == "muon":
                continue  # it may get its rows later
            state = optimizer.state[parameter]
            if sharded is not None and sharded.replicated is not None and sharded.replicated.holds(parameter):
                sharded.replicated.make_moments(optimizer, parameter)
            elif group["algorithm"] == "muon":
                momentum_buffer(state, parameter, optimizer._dtype_of("momentum_buffer", parameter))
                if group["normalize_neurons"]:
                    names = group.get("param_names")
                    view = optimizer.views.get(names[place], PLAIN) if names else PLAIN
                    own_slices = sharded is not None and sharded.keeps_own_slices(parameter)
                    neuron_moment(state, parameter, view, own_slices)
            else:
                adamw_moments(state, parameter)


def momentum_buffer(state: State, parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """Return Muon's momentum of a parameter."""
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = _zeros_like(parameter, dtype)
    return state["momentum_buffer"]


def neuron_moment(state: State, parameter: Tensor, view: MatrixView, own_slices: bool) -> Tensor:
    """Return the running mean squares of a parameter's output rows, (slices, output rows of a slice).

    Args:
        state: the parameter's, as torch keeps it: {name: tensor}.
        parameter: of which the global shape counts.
        view: how it holds its matrices.
        own_slices: each rank keeps those of its own slices of a DTensor; else all ranks keep all.
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


def adamw_moments(state: State, parameter: Tensor) -> State:
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
