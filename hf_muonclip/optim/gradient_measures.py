"""What a step measures of its gradients before it writes anything: lengths, and whether they are finite."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class MeasuredGradient(NamedTuple):
    """What a step asks of a gradient before it writes anything.

    Attributes:
        norm: of all of it; 0 for an empty shard.
        part: norm of its middle row, or of all of a vector.
        finite: whether it holds neither NaN nor Inf.
    """

    norm: float
    part: float
    finite: bool


def measured_gradients(named: Sequence[tuple[str, Tensor]], parts: bool) -> dict[str, MeasuredGradient]:
    """Return {name: what was measured}; one host sync for all.

    Args:
        named: names of parameters and their gradients.
        parts: measure `part`, which else is the norm again.
    """
    filled = [(name, gradient) for name, gradient in named if gradient.numel() > 0]
    whole = [gradient for _, gradient in filled]
    rows = [gradient[len(gradient) // 2] if gradient.ndim > 1 else gradient for gradient in whole] if parts else []
    norms = _norms([*whole, *rows]).tolist() if whole else []
    found = {name: MeasuredGradient(0.0, 0.0, True) for name, _ in named}
    for place, (name, gradient) in enumerate(filled):
        norm = norms[place]
        # The norm of finite but huge entries overflows; only the suspects pay for the certain test.
        finite = math.isfinite(norm) or bool(gradient.isfinite().all())
        found[name] = MeasuredGradient(norm, norms[len(filled) + place] if parts else norm, finite)
    return found


def all_finite(gradients: Sequence[Tensor]) -> Tensor:
    """Return a 0-dim bool on the first gradient's device: whether no gradient holds NaN or Inf; no host sync."""
    # Largest entries, because the norm of huge ones overflows and nobody could look again.
    return _finite_norms(gradients, math.inf).all()


def _finite_norms(gradients: Sequence[Tensor], order: float) -> Tensor:
    """Return (len(gradients),) bool on the first gradient's device: whether the norm of each is finite."""
    filled = [gradient for gradient in gradients if gradient.numel() > 0]
    if not filled:
        return torch.ones(0, dtype=torch.bool, device=gradients[0].device if gradients else None)
    return _norms(filled, order).isfinite()


def _norms(tensors: Sequence[Tensor], order: float = 2.0) -> Tensor:
    """Return (len(tensors),) float32 on the first tensor's device."""
    norms = torch._foreach_norm(list(tensors), order)
    return torch.stack([norm.to(norms[0].device, torch.float32) for norm in norms])
