"""Look at gradients before a step writes anything: where they are placed, their norms, and whether they are finite."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


class MeasuredGradient(NamedTuple):
    """Norms of a gradient, and whether it is finite.

    Attributes:
        norm: norm of the whole gradient; 0 for an empty shard.
        part: norm of its middle row, or of the whole gradient if it is a vector.
        finite: whether it holds neither NaN nor Inf.
    """

    norm: float
    part: float
    finite: bool


def place_gradients(parameters: Iterable[Tensor]) -> None:
    """Place the gradients of DTensors as their parameters are. Collective where that moves any."""
    for parameter in parameters:
        placements = getattr(parameter, "placements", None)
        if isinstance(parameter.grad, DTensor) and parameter.grad.placements != placements:
            parameter.grad = parameter.grad.redistribute(placements=placements)


def measured_gradients(named: Sequence[tuple[str, Tensor]], parts: bool) -> dict[str, MeasuredGradient]:
    """Return {name: measured gradient}, with one host sync for all.

    Args:
        named: names of parameters and their gradients.
        parts: measure `part` too; otherwise it equals `norm`.
    """
    filled = [(name, gradient) for name, gradient in named if gradient.numel() > 0]
    whole = [gradient for _, gradient in filled]
    rows = [gradient[len(gradient) // 2] if gradient.ndim > 1 else gradient for gradient in whole] if parts else []
    norms = _norms([*whole, *rows]).tolist() if whole else []
    found = {name: MeasuredGradient(0.0, 0.0, True) for name, _ in named}
    for place, (name, gradient) in enumerate(filled):
        norm = norms[place]
        # The norm of finite but huge entries overflows; only those gradients pay for the exact test.
        finite = math.isfinite(norm) or bool(gradient.isfinite().all())
        found[name] = MeasuredGradient(norm, norms[len(filled) + place] if parts else norm, finite)
    return found


def all_finite(gradients: Sequence[Tensor]) -> Tensor:
    """Return a 0-dim bool on the first gradient's device: whether no gradient holds NaN or Inf; no host sync."""
    # The largest entry, because the Euclidean norm of huge entries overflows, and no second test follows here.
    return _finite_norms(gradients, math.inf).all()


def _finite_norms(gradients: Sequence[Tensor], order: float) -> Tensor:
    """Return (len(gradients),) bool on the first gradient's device: whether the norm of each is finite."""
    filled = [gradient for gradient in gradients if gradient.numel() > 0]
    if not filled:
        return torch.ones(0, dtype=torch.bool, device=gradients[0].device if gradients else None)
    return _norms(filled, order).isfinite()


def _norms(tensors: Sequence[Tensor], order: float = 2.0) -> Tensor:
    """Return the norms of tensors, (len(tensors),) float32, on the first tensor's device."""
    norms = torch._foreach_norm(list(tensors), order)
    return torch.stack([norm.to(norms[0].device, torch.float32) for norm in norms])
