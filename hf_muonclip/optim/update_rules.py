"""Arithmetic of a step on tensors: momentum, decay and update of Muon, AdamW, and neuron normalization.

Nothing here knows whether a tensor is a whole parameter, one of its matrices or a rank's shard of it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from .settings import check_group_settings

_NEURON_BETA2 = 0.95  # NorMuon's
_NEURON_EPS = 1e-8


def update_scale(matrix_shape: tuple[int, int], adjust_lr_fn: str) -> float:
    """Return the factor between the learning rate and an orthogonalized update of shape (out, in).

    match_rms_adamw: 0.2·sqrt(max(n, m)) gives the update the RMS that AdamW's usually has (Moonlight, arXiv 2502.16982;
    Kimi K2, Algorithm 1). original: sqrt(max(1, n/m)) (Keller Jordan). spectral_unclamped: sqrt(n/m), as torch 2.14 has
    it. none: 1.

    Raises:
        ValueError: any other name.
    """
    n, m = matrix_shape
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(n, m))
    if adjust_lr_fn == "original":
        return math.sqrt(max(1.0, n / m))
    if adjust_lr_fn == "spectral_unclamped":
        return math.sqrt(n / m)
    check_group_settings({"adjust_lr_fn": adjust_lr_fn})
    return 1.0


def fold_gradients_(
    gradients: Sequence[Tensor], buffers: Sequence[Tensor], group: Mapping[str, Any], finite: Tensor | None
) -> Sequence[Tensor]:
    """Fold gradients into Muon's momentum, in place, and return the directions to orthogonalize.

    M = mu·M + (1 - mu)·G, then M, or G + mu·(M - G) with Nesterov.

    Args:
        gradients: gradients of any floating dtype.
        buffers: momentum buffers of the same shapes.
        group: param group with `momentum` and `nesterov`.
        finite: 0-dim bool; where it is False the momentum stays. None for True.

    Returns:
        Directions in float32 or float64; without Nesterov they may be the buffers themselves.
    """
    wide_gradients, momenta = _folded_(gradients, buffers, group, finite)
    if not group["nesterov"]:
        return momenta
    directions: Sequence[Tensor] = torch._foreach_lerp(wide_gradients, momenta, group["momentum"])
    return directions


def shrink_momentum_(buffers: Sequence[Tensor], group: Mapping[str, Any], finite: Tensor | None) -> None:
    """Update Muon's momentum as with gradients of zero. In place; for the arguments see `fold_gradients_`."""
    if buffers:
        _folded_(
            [buffer.new_zeros((), dtype=wide_dtype(buffer)).expand_as(buffer) for buffer in buffers],
            buffers,
            group,
            finite,
        )


def _folded_(
    gradients: Sequence[Tensor], buffers: Sequence[Tensor], group: Mapping[str, Any], finite: Tensor | None
) -> tuple[list[Tensor], list[Tensor]]:
    """Fold gradients into momentum, in place, and return both in float32 or float64."""
    wide_gradients, momenta = wide(gradients), wide(buffers)
    if finite is not None:
        wide_gradients = [torch.where(finite.to(g.device), g, m) for g, m in zip(wide_gradients, momenta, strict=True)]
    torch._foreach_lerp_(momenta, wide_gradients, 1 - group["momentum"])
    round_into_(buffers, momenta)
    return wide_gradients, momenta


def apply_updates_(
    parameters: Sequence[Tensor],
    updates: Sequence[Tensor],
    scale: float | Tensor,
    group: Mapping[str, Any],
    active: Sequence[Tensor | None],
) -> None:
    """Decay weights and subtract orthogonalized updates: W = W - lr·(scale·O + decay·W). In place.

    Args:
        parameters: weights or parts of them, of one device and dtype.
        updates: orthogonalized updates of the same shapes, float32 or float64; zero where not active.
        scale: the result of `update_scale`; a tensor that broadcasts if a weight holds matrices of several shapes.
        group: param group with `lr`, `weight_decay` and `cautious_weight_decay`.
        active: bool for each weight, broadcasting over it; where it is False nothing decays. None for True.
    """
    lr, decay = group["lr"], group["weight_decay"]
    weights = wide(parameters)
    if isinstance(lr, Tensor):
        lr = lr.to(weights[0].device, weights[0].dtype)  # a product reads a scalar on the host without waiting
    if decay and group["cautious_weight_decay"]:
        decayed = torch._foreach_mul(list(updates), weights)  # positive where the update moves a weight towards zero
        torch._foreach_sign_(decayed)
        torch._foreach_clamp_min_(decayed, 0.0)
        torch._foreach_mul_(decayed, weights)
        updates = torch._foreach_add(list(updates), _multiplied(decayed, decay / scale))
    elif decay:
        kept = 1 - lr * decay
        if all(mask is None for mask in active):
            torch._foreach_mul_(weights, kept)
        else:
            for weight, mask in zip(weights, active, strict=True):
                # In the weight's dtype, so that active matrices decay to the very bits that a number would give.
                weight.mul_(kept if mask is None else torch.where(mask, weight.new_ones(()) * kept, 1.0))
    factor = -lr * scale
    if isinstance(factor, Tensor):
        torch._foreach_add_(weights, _multiplied(updates, factor))
    else:
        torch._foreach_add_(weights, list(updates), alpha=factor)
    round_into_(parameters, weights)


def normalize_neurons(update: Tensor, moments: Sequence[Tensor], active: Tensor | None) -> Tensor:
    """Even out the rows of orthogonalized updates, whose lengths differ, and keep each matrix's Frobenius norm.

    NorMuon (arXiv 2510.05491): v = beta2·v + (1 - beta2)·mean_j(O_ij²) per row i, O_ij / (sqrt(v_i) + eps).

    Args:
        update: (batch, out, in), float32 or float64.
        moments: running mean squares v of the batch's rows, (..., out) each; updated in place.
        active: (batch,), bool; where it is False the moments stay. None for True.

    Returns:
        (batch, out, in); a new tensor.
    """
    before = torch.cat([moment.reshape(-1, update.shape[1]) for moment in moments])
    moment = torch.lerp(before, update.square().mean(dim=-1), 1 - _NEURON_BETA2)
    if active is not None:
        moment = torch.where(active[:, None], moment, before)
    counts = [math.prod(part.shape[:-1]) for part in moments]
    for part, made in zip(moments, moment.split(counts), strict=True):
        part.copy_(made.view(part.shape))
    norms = torch.linalg.vector_norm(update, dim=(-2, -1), keepdim=True)
    update = update / (moment.sqrt() + _NEURON_EPS).unsqueeze(-1)
    evened = torch.linalg.vector_norm(update, dim=(-2, -1), keepdim=True)
    return update.mul_(norms / evened.clamp_min(torch.finfo(update.dtype).tiny))


def adamw_(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[Mapping[str, Tensor]],
    group: Mapping[str, Any],
    finite: Tensor | None,
) -> None:
    """Take an AdamW step. In place.

    Args:
        parameters: weights or parts of them, of one device and dtype.
        gradients: gradients of the same shapes.
        states: `step`, `exp_avg` and `exp_avg_sq` of each.
        group: param group with `lr`, `weight_decay`, `adamw_betas` and `adamw_eps`.
        finite: 0-dim bool; where it is False nothing changes. None for True.
    """
    device = parameters[0].device
    # torch's fused kernel wants one dtype for weights, gradients and moments, and on a CPU reads all of them in the
    # order of their memory, whatever their strides.
    weights = [weight.contiguous() for weight in wide(parameters)]
    adamw(
        weights,
        [gradient.contiguous() for gradient in wide(gradients)],
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        [state["step"] for state in states],
        fused=device.type in ("cpu", "cuda"),
        found_inf=None if finite is None else (~finite).to(device, torch.float32),
        amsgrad=False,
        beta1=group["adamw_betas"][0],
        beta2=group["adamw_betas"][1],
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["adamw_eps"],
        maximize=False,
    )
    round_into_(parameters, weights)


def _multiplied(tensors: Sequence[Tensor], factor: float | Tensor) -> list[Tensor]:
    """Return the tensors multiplied by a number or a broadcasting tensor."""
    if isinstance(factor, Tensor) and factor.ndim > 0:
        return [tensor * factor for tensor in tensors]
    return list(torch._foreach_mul(list(tensors), factor))


def wide_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype in which a tensor is updated: float32, or float64 if it is float64."""
    return torch.promote_types(tensor.dtype, torch.float32)


def wide(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors in float32, or in float64 if they are float64; without a copy where nothing changes."""
    return [tensor.to(wide_dtype(tensor)) for tensor in tensors]


def round_into_(narrow: Sequence[Tensor], exact: Sequence[Tensor]) -> None:
    """Write wide values into the tensors that they came from, unless they are the same."""
    for tensor, value in zip(narrow, exact, strict=True):
        if value is not tensor:
            tensor.copy_(value)
