"""Checks of param groups and steps that Muon cannot carry out correctly.

Every message names the rule, the value and the way out. Nothing is written before the checks.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from ..common.wording import some_of
from .matrix_view import PLAIN, MatrixView, matrix_blocks
from .saved_state import MOMENTS
from .settings import GROUP_SETTINGS, NOT_SETTINGS, check_group_settings


def check_group(group: Mapping[str, Any], named: Sequence[tuple[str, Tensor]], views: Mapping[str, MatrixView]) -> None:
    """Refuse a param group with unknown settings, or with parameters that its algorithm cannot update.

    Args:
        group: the param group with all of its settings.
        named: names and parameters of the group.
        views: how parameters hold their matrices; plain where not named.

    Raises:
        ValueError: see `Muon.add_param_group`.
    """
    if not named:
        raise ValueError("a param group must hold parameters; got one without any. Leave the group out.")
    check_group_settings(group)
    unknown = sorted(group.keys() - GROUP_SETTINGS - NOT_SETTINGS)
    if unknown:
        raise ValueError(
            f"a param group may set {', '.join(sorted(GROUP_SETTINGS))}; got {', '.join(unknown)}. Remove it: it "
            "would be ignored."
        )
    for name, parameter in named:
        if parameter.is_complex() or parameter.layout != torch.strided:
            raise ValueError(
                f"parameters must be real and dense; {name} has dtype {parameter.dtype} and layout "
                f"{parameter.layout}. Keep its real and imaginary part, or a dense copy, as the parameter."
            )
        if isinstance(group["lr"], Tensor) and group["lr"].device not in (torch.device("cpu"), parameter.device):
            raise ValueError(
                f"lr as a tensor must be on the CPU or beside the parameters; it is on {group['lr'].device} and "
                f"{name} on {parameter.device}. Move it to the CPU."
            )
        if group["algorithm"] == "muon":
            _check_matrices(name, parameter, views.get(name, PLAIN))


def _check_matrices(name: str, parameter: Tensor, view: MatrixView) -> None:
    if parameter.ndim < 2:
        raise ValueError(
            f"Muon orthogonalizes matrices, so a parameter needs two dimensions or more; {name} has shape "
            f"{tuple(parameter.shape)}. Put it in a group with algorithm='adamw'."
        )
    view.matrix_shapes(parameter.shape)  # refuses what does not divide
    if isinstance(parameter, DTensor):  # its matrices are views of local shards
        return
    try:
        matrix_blocks(parameter, view)
    except RuntimeError as error:
        raise ValueError(
            f"a parameter that holds several matrices must be contiguous; {name} has shape "
            f"{tuple(parameter.shape)} and strides {parameter.stride()}. Make it so with contiguous()."
        ) from error


def check_views(views: Mapping[str, MatrixView], names: Collection[str]) -> None:
    """Refuse views of parameters that are in no group.

    Raises:
        ValueError: a view names none of `names`.
    """
    unknown = sorted(views.keys() - set(names))
    if unknown:
        raise ValueError(
            f"views must name parameters of the groups; got {some_of(unknown, 4)}. Pass (name, parameter) pairs and "
            "use the same names."
        )


def check_not_flattened(groups: Sequence[Mapping[str, Any]]) -> None:
    """Refuse groups whose parameters were replaced since construction by flat pieces of several, as ZeRO does.

    Raises:
        ValueError: a group holds another number of parameters than names, or Muon is to update a vector.
    """
    for group in groups:
        shapes = [tuple(parameter.shape) for parameter in group["params"]]
        names = group.get("param_names") or shapes
        if len(names) != len(shapes) or (group["algorithm"] == "muon" and any(len(shape) < 2 for shape in shapes)):
            raise ValueError(
                f"Muon needs whole matrices; a group of {len(names)} parameters now holds {len(shapes)}, of shape "
                f"{', '.join(map(str, shapes[:4])) or 'none'}: flattened since, as by ZeRO. Shard with FSDP2 "
                "(fully_shard), which keeps shapes."
            )


def check_step(named: Sequence[tuple[str, Tensor]], state: Mapping[Tensor, Mapping[str, Tensor]]) -> None:
    """Refuse gradients, parameters and moments that no algorithm here can update.

    Args:
        named: names and parameters, those with a gradient.
        state: the moments of each parameter that has any.

    Raises:
        ValueError: a gradient is sparse, or a parameter was moved away from its moments.
    """
    sparse = [
        name for name, parameter in named if parameter.grad is not None and parameter.grad.layout != torch.strided
    ]
    if sparse:
        raise ValueError(
            f"gradients must be dense; the gradient of {some_of(sparse, 4)} is sparse. Build the embedding with "
            "sparse=False."
        )
    for name, parameter in named:
        moments = state.get(parameter, {})
        moved = [moment for moment in MOMENTS if moment in moments and moments[moment].device != parameter.device]
        if moved:
            raise ValueError(
                f"moments must be on their parameter's device; {moved[0]} of {name} is on {moments[moved[0]].device} "
                f"and the parameter on {parameter.device}. Move the model before the first step, or load the "
                "optimizer's state dict after moving it."
            )


def describe_nonfinite(names: Sequence[str]) -> str:
    """Return which gradients hold NaN or Inf, in words."""
    return f"the gradient of {some_of(names, 4)} holds NaN or Inf"
