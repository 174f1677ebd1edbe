"""The largest logit of every head, tile by tile, and a bound on it that costs almost nothing."""

import torch
from torch import Tensor

from .pair_mask import PairMask

_TILE = 256  # queries and keys whose scores are held at once; a tile stays in the cache from product to maximum
BOUND_SLACK = 1e-5  # relative; float32 rounding of the bound must never hide a head that sits right at the threshold


def exact_max_logits(query: Tensor, key: Tensor, mask: PairMask, scaling: float | Tensor) -> Tensor:
    """Return the largest scaling·q·k of each head over the pairs that its mask lets through.

    S_max of Kimi K2 (arXiv 2507.20534), Algorithm 1: signed, after the module's own scaling, before soft-cap and
    softmax, without additive biases, and never from padding. Products are accumulated in float32.

    Args:
        query: (batch, num_attention_heads, query_length, head_dim).
        key: (batch, num_key_value_heads, key_length, head_dim); the head counts divide.
        mask: which pairs count.
        scaling: the attention module's own.

    Returns:
        (num_attention_heads,), float32; -inf for a head without any pair.
    """
    batch, num_attention_heads, query_length, head_dim = query.shape
    num_key_value_heads = key.shape[1]
    keys = key.float().mT  # (batch, num_key_value_heads, head_dim, key_length)
    grouped = (query.float() * scaling).unflatten(1, (num_key_value_heads, -1))
    maximum = query.new_full((num_attention_heads,), -torch.inf, dtype=torch.float32)
    for start in range(0, query_length, _TILE):
        stop = min(start + _TILE, query_length)
        tile = grouped[:, :, :, start:stop].reshape(batch, num_key_value_heads, -1, head_dim)
        first_key, end_key = mask.key_range(start, stop)
        for first in range(first_key, end_key, _TILE):
            end = min(first + _TILE, end_key)
            scores = (tile @ keys[..., first:end]).view(batch, num_attention_heads, stop - start, end - first)
            blocked = mask.blocked(start, stop, first, end)
            if blocked is not None:
                scores.masked_fill_(blocked, -torch.inf)
            maximum = torch.maximum(maximum, scores.amax(dim=(0, 2, 3)))
    return maximum


def max_logit_bound(query: Tensor, key: Tensor, scaling: float | Tensor) -> Tensor:
    """Return an upper bound of each head's max logit: max_i‖q_i‖·max_j‖k_j‖·|scaling|, per sequence.

    Args:
        query: (batch, num_attention_heads, query_length, head_dim).
        key: (batch, num_key_value_heads, key_length, head_dim).
        scaling: the attention module's own.

    Returns:
        (num_attention_heads,), float32.
    """
    query_norm = torch.linalg.vector_norm(query, dim=-1, dtype=torch.float32).amax(dim=-1)  # (batch, heads)
    key_norm = torch.linalg.vector_norm(key, dim=-1, dtype=torch.float32).amax(dim=-1)
    key_norm = key_norm.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    bound: Tensor = (query_norm * key_norm * abs(scaling)).amax(dim=0)
    return bound
