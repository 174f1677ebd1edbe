"""Scale back the query and key rows of every head whose max logit exceeds the threshold, and of no other head."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .head_layout import AttentionLayout, HeadLayout, HeadRows
from .local_shards import entries_held
from .modules.find import unwrap

Writable = Callable[[nn.Parameter], AbstractContextManager[Tensor]]
"""Opens a parameter that is stored in parts: yields its whole value, and stores what was written to it on exit."""


def qk_clip_gamma(max_logits: Tensor, threshold: float) -> Tensor:
    """Return the factor that brings each head's max logit down to the threshold.

    Kimi K2 (arXiv 2507.20534), Algorithm 1: gamma_h = min(1, tau / S_max_h). Differs: a head whose maximum is not
    positive is never clipped.

    Args:
        max_logits: (num_attention_heads,), float32; after scaling, before soft-cap and softmax; the maximum over
            batch, positions, micro-batches and data-parallel ranks. -inf where nothing was measured.
        threshold: tau, in logits; > 0.

    Returns:
        (num_attention_heads,), float32, in (0, 1]; 1 means untouched.

    Raises:
        ValueError: the threshold is not positive.
        FloatingPointError: a max logit is NaN or +Inf.
    """
    if not threshold > 0:
        raise ValueError(f"threshold (tau) must be positive; got {threshold!r}. Kimi K2 uses 100.")
    if (torch.isnan(max_logits) | torch.isposinf(max_logits)).any():
        heads = (torch.isnan(max_logits) | torch.isposinf(max_logits)).nonzero().flatten().tolist()
        raise FloatingPointError(f"max logits must not be NaN or +Inf; heads {heads} are. No weight was written.")
    exceeds = max_logits > threshold
    return torch.where(exceeds, threshold / torch.where(exceeds, max_logits, 1.0), 1.0)


@torch.no_grad()
def qk_clip_(
    model: nn.Module,
    layout: HeadLayout,
    logits: Mapping[str, Tensor],
    threshold: float = 100.0,
    alpha: float = 0.5,
    writable: Writable = nullcontext,
) -> dict[str, Tensor]:
    """Scale the heads that exceed the threshold back to it. In place.

    Kimi K2 (arXiv 2507.20534), Algorithm 1, generalized by one rule: where a head owns its key, the query takes
    gamma^alpha and the key gamma^(1-alpha); where heads share a key (GQA, MQA, MLA's rotary key), the key is left alone
    and the query takes gamma. So each clipped head lands on the threshold and no other head moves. Heads that share the
    weight to be scaled (a norm's gain, a layer used twice) take the smallest gamma among them.

    Args:
        model: the model that `layout` was detected on.
        layout: from `detect_head_layout`.
        logits: {module name: (num_attention_heads,) float32} max logits, from `capture_max_logits`; modules that are
            absent are left alone.
        threshold: tau, in logits; > 0.
        alpha: the query's share where a head owns its key, in [0, 1].
        writable: opens a parameter that is stored in parts; by default parameters are scaled where they are. Called for
            the parameters of clipped modules only, in the same order on every rank that has the same logits.

    Returns:
        {module name: (num_attention_heads,) float32, on the CPU} gammas; 1 means untouched, as in modules that are only
        monitored.

    Raises:
        ValueError: a module or head count that the layout does not have, or a threshold or alpha out of range.
        FloatingPointError: a max logit is NaN or +Inf.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1]; got {alpha!r}. 0.5 splits the factor evenly.")
    model = unwrap(model)
    owner = {name: layout[name].shares_weights_with or name for name in logits if name in layout}
    smallest: dict[str, Tensor] = {}  # of the modules that share one set of weights
    for name, max_logits in logits.items():
        if name not in layout:
            raise ValueError(f"logits must name modules of the layout; got {name!r}, and it has {', '.join(layout)}.")
        if max_logits.shape != (layout[name].num_attention_heads,):
            raise ValueError(
                f"{name} has {layout[name].num_attention_heads} attention heads; got max logits of shape "
                f"{tuple(max_logits.shape)}. Detect the layout on the model that the logits come from."
            )
        if layout[name].head_rows:
            gamma = _of_groups(qk_clip_gamma(max_logits.float().cpu(), threshold), layout[name].gamma_groups)
            smallest[owner[name]] = torch.minimum(gamma, smallest.get(owner[name], gamma))
    for name, gamma in smallest.items():
        if (gamma < 1).any():
            scale_heads_(model.get_submodule(name), layout[name], gamma, alpha, writable)
    unclipped = {name: torch.ones(layout[name].num_attention_heads) for name in logits}
    return {name: smallest.get(owner[name], unclipped[name]) for name in logits}


def _of_groups(gamma: Tensor, groups: tuple[int, ...]) -> Tensor:
    """Return the smallest gamma among the heads that are scaled as one, for each head."""
    if not groups:
        return gamma
    index = torch.tensor(groups)
    smallest = torch.ones(int(index.max()) + 1).scatter_reduce(0, index, gamma, "amin")
    return smallest[index]


@torch.no_grad()
def scale_heads_(
    module: nn.Module, layout: AttentionLayout, gamma: Tensor, alpha: float, writable: Writable = nullcontext
) -> None:
    """Scale every head's logits by its gamma, through the rows that feed it. In place.

    Of a DTensor each rank scales what it holds, without communication.

    Args:
        module: the attention module.
        layout: the layout of its heads.
        gamma: (num_attention_heads,), positive; 1 leaves a head bit for bit as it is. Equal within a gamma group.
        alpha: the query's share where a head owns its key.
        writable: opens a parameter that is stored in parts.
    """
    for head_rows in layout.head_rows:
        with writable(module.get_parameter(head_rows.parameter)) as weight:
            _scale_rows_(weight, head_rows, gamma.double().pow(head_rows.exponent(alpha)))


def _scale_rows_(weight: Tensor, head_rows: HeadRows, factors: Tensor) -> None:
    last_row = max(rows.stop for rows in head_rows.rows) - 1
    per_row = torch.ones(max(weight.shape[head_rows.dim], last_row + 1), dtype=torch.float64)
    for rows, factor in zip(head_rows.rows, factors.tolist(), strict=True):
        per_row[rows.start : rows.stop : rows.step] = factor
    per_row = entries_held(per_row.float(), weight, head_rows.dim)
    local = weight.to_local() if isinstance(weight, DTensor) else weight
    if not local.numel():  # the shard of a rank beyond the last row
        return
    shape = [1] * local.ndim
    shape[head_rows.dim] = -1
    per_row = per_row.to(local.device).view(shape)
    if head_rows.offset:
        # (offset + w)·f - offset, written so that a factor of one leaves every bit as it is.
        local.mul_(per_row).add_(head_rows.offset * (per_row - 1))
    else:
        local.mul_(per_row)
