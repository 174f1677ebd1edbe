"""Each head's exact max attention logit on a GPU: one kernel that stores no scores and never asks the host.

A program holds a block of queries of one head and passes over the keys that they see; a head's programs meet in an
atomic maximum. What cannot matter is left out on the device: max‖q_i‖·max‖k_j‖·|scaling| bounds the logits of a block
of queries and a span of keys, and where it is under the threshold, or under what the head has reached, no product is
taken.
"""

from contextlib import nullcontext

import torch
import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]
from torch import Tensor
from torch.nn.functional import pad

from .pair_mask import PairMask
from .tiled_maxima import BOUND_SLACK

# (widest row in bytes, queries per program, keys per tile, stages in flight). queries + stages·keys rows take 96 KiB at
# most: two programs share the 227 KiB of an SM of H100 or H200, so that one multiplies while the other compares, and
# one still fits the 99 KiB of smaller chips. 128 rows are two warp groups of 64, the least that Hopper multiplies at
# full rate; eight warps keep the scores and the running maximum of a tile in registers.
_BLOCKS = ((256, 128, 64, 3), (384, 128, 64, 2), (512, 64, 64, 2), (1024, 32, 32, 2), (2048, 16, 16, 2))
# Tiles share a bound: without a decision at every tile, the loop over the tiles of a span loads ahead.
_TILES_PER_SPAN = 8
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Compiled once for all lengths: specialized, each of 1 and each multiple of 16 would be compiled apart.
_LENGTHS = ["query_length", "key_length", "offset", "window", "num_blocks", "num_spans", "span_k"]


def supports(mask: PairMask, query: Tensor) -> bool:
    """Return whether the kernel takes this call: no `mask_mod`, which is Python code, nor rows of over 2048 bytes."""
    width = query.element_size() if query.dtype in _DTYPES else 4
    return mask.mask_mod is None and query.shape[-1] * width <= _BLOCKS[-1][0]


def triton_max_logits(
    query: Tensor, key: Tensor, mask: PairMask, scaling: float | Tensor, threshold: float | None = None
) -> Tensor:
    """Return the largest scaling·q·k of each head over the pairs that its mask lets through.

    `exact_max_logits` (Kimi K2, arXiv 2507.20534, Algorithm 1) without its tiles in memory. Products are accumulated in
    float32, those of float32 operands without TF32; NaN in a pair that counts reaches the result of its head.

    Args:
        query: (batch, num_attention_heads, query_length, head_dim), any strides.
        key: (batch, num_key_value_heads, key_length, head_dim), any strides; the head counts divide.
        mask: which pairs count; without a `mask_mod`.
        scaling: the attention module's own; a tensor has one element.
        threshold: tau, in logits, > 0; None measures every head.

    Returns:
        (num_attention_heads,), float32; -inf for a head without any pair. Under a threshold, a head that does not
        exceed it holds something between -inf and its maximum; a head that does is exact.

    Raises:
        ValueError: a row of a head is too wide for the kernel.
    """
    assert mask.mask_mod is None
    if query.dtype != key.dtype or query.dtype not in _DTYPES:
        query, key = query.float(), key.float()
    batch, num_attention_heads, query_length, head_dim = query.shape
    num_key_value_heads, key_length = key.shape[1:3]
    block_q, block_k, num_stages = _block_sizes(head_dim, query.dtype)
    # A product takes powers of two, 16 and up: 192 is 128 + 64, 80 is 64 + 16.
    main_dim = max(16, triton.next_power_of_2(head_dim + 1) // 2)
    tail_dim = max(16, triton.next_power_of_2(head_dim - main_dim)) if head_dim > main_dim else 0
    num_blocks = triton.cdiv(query_length, block_q)
    span_k = key_length  # keys that are skipped, or visited, together
    query_norms = key_norms = largest_key_norm = None
    if threshold is not None:
        span_k = _TILES_PER_SPAN * block_k
        query_norms, key_norms = _largest_norms(query, block_q), _largest_norms(key, span_k)
        largest_key_norm = key_norms.amax(dim=-1)
    if isinstance(scaling, Tensor):
        scaling = scaling.to(query.device, torch.float32)
    else:
        scaling = query.new_full((), scaling, dtype=torch.float32)  # written by the device, not copied to it
    maximum = query.new_full((num_attention_heads,), -torch.inf, dtype=torch.float32)
    # Triton launches on the current device, which need not be the operands'. A compiled graph sees to that itself.
    with nullcontext() if torch.compiler.is_compiling() else torch.cuda.device_of(query):
        # fmt: off
        _max_logits_kernel[(batch * num_attention_heads * num_blocks,)](
            query, key, maximum, scaling,
            query_norms, key_norms, largest_key_norm, 0.0 if threshold is None else float(threshold),
            mask.dense_blocked, mask.blocked_queries, mask.blocked_keys, mask.query_documents, mask.key_documents,
            num_attention_heads, num_key_value_heads, query_length, key_length, mask.offset, mask.window,
            num_blocks, triton.cdiv(key_length, span_k), span_k,
            *query.stride(), *key.stride(),
            *_broadcast_strides(mask.dense_blocked, 4),
            *_broadcast_strides(mask.blocked_queries, 3), *_broadcast_strides(mask.blocked_keys, 4)[::3],
            *_broadcast_strides(mask.query_documents, 1), *_broadcast_strides(mask.key_documents, 1),
            causal=mask.causal, head_dim=head_dim, main_dim=main_dim, tail_dim=tail_dim,
            block_q=block_q, block_k=block_k, slack=1 - BOUND_SLACK,
            num_warps=8 if block_q >= 64 else 4, num_stages=num_stages,
        )
        # fmt: on
    return maximum


def _block_sizes(head_dim: int, dtype: torch.dtype) -> tuple[int, int, int]:
    row = head_dim * dtype.itemsize
    for widest, block_q, block_k, num_stages in _BLOCKS:
        if row <= widest:
            return block_q, block_k, num_stages
    raise ValueError(
        f"a query or key of one head must fit in {_BLOCKS[-1][0]} bytes; head_dim {head_dim} in {dtype} takes {row}. "
        "Use exact_max_logits."
    )


def _largest_norms(operand: Tensor, block: int) -> Tensor:
    """Return the largest norm in each block of rows, NaN where one is: (batch, heads, blocks), float32."""
    norms = torch.linalg.vector_norm(operand, dim=-1, dtype=torch.float32)
    largest: Tensor = pad(norms, (0, -norms.shape[-1] % block)).unflatten(-1, (-1, block)).amax(dim=-1)
    return largest


def _broadcast_strides(tensor: Tensor | None, dims: int) -> tuple[int, ...]:
    """Return the strides of the first dims, 0 where the tensor has one entry for all."""
    if tensor is None:
        return (0,) * dims
    return tuple(0 if tensor.shape[dim] == 1 else tensor.stride(dim) for dim in range(dims))


@triton.jit  # type: ignore[untyped-decorator]
def _load_rows(  # type: ignore[no-untyped-def]
    ptr, row_stride, dim_stride, num_rows, first_dim, head_dim, block: tl.constexpr, dims: tl.constexpr
):
    """Load (block, dims) numbers; rows and dims past the end are 0."""
    row, dim = tl.arange(0, block), first_dim + tl.arange(0, dims)
    inside = (row < num_rows)[:, None] & (dim < head_dim)[None, :]
    return tl.load(ptr + row[:, None] * row_stride + dim[None, :] * dim_stride, mask=inside, other=0.0)


@triton.jit
def _load_blocked(ptr, positions, stride, length):  # type: ignore[no-untyped-def]
    """Load which positions are blocked; those past the end are."""
    return tl.load(ptr + positions.to(tl.int64) * stride, mask=positions < length, other=1) != 0


# fmt: off
@triton.jit(do_not_specialize=_LENGTHS)  # type: ignore[untyped-decorator]
def _max_logits_kernel(  # type: ignore[no-untyped-def]
    query_ptr, key_ptr,
    maximum_ptr,  # (num_attention_heads,), float32
    scaling_ptr,  # (), float32
    query_norms_ptr,  # (batch, num_attention_heads, num_blocks), float32, or None: measure everything
    key_norms_ptr,  # (batch, num_key_value_heads, num_spans), float32
    largest_key_norm_ptr,  # (batch, num_key_value_heads), float32
    threshold,
    # Of PairMask, each may be None:
    dense_blocked_ptr, blocked_queries_ptr, blocked_keys_ptr, query_documents_ptr, key_documents_ptr,
    num_attention_heads, num_key_value_heads, query_length, key_length, offset, window,
    num_blocks, num_spans, span_k,
    query_stride_b, query_stride_h, query_stride_t, query_stride_d,
    key_stride_b, key_stride_h, key_stride_t, key_stride_d,
    dense_stride_b, dense_stride_h, dense_stride_q, dense_stride_k,
    blocked_queries_stride_b, blocked_queries_stride_h, blocked_queries_stride_t,
    blocked_keys_stride_b, blocked_keys_stride_t,
    query_documents_stride, key_documents_stride,
    causal: tl.constexpr, head_dim: tl.constexpr, main_dim: tl.constexpr, tail_dim: tl.constexpr,
    block_q: tl.constexpr, block_k: tl.constexpr, slack: tl.constexpr,
):
    # fmt: on
    # Neighbours share a head, whose keys then stay in the L2 cache; the longest of causal blocks start first.
    block = num_blocks - 1 - tl.program_id(0) % num_blocks
    row = (tl.program_id(0) // num_blocks).to(tl.int64)  # 64 bits: offsets into whole tensors do not fit in 32
    batch, head = row // num_attention_heads, row % num_attention_heads
    key_head = head // (num_attention_heads // num_key_value_heads)
    key_row = batch * num_key_value_heads + key_head
    start = block * block_q
    scaling = tl.load(scaling_ptr)

    if query_norms_ptr is not None:
        # The maximum that other programs have stored may be outdated, but is never too large.
        limit = tl.maximum(threshold, tl.load(maximum_ptr + head)) * slack
        query_norm = tl.load(query_norms_ptr + row * num_blocks + block) * tl.abs(scaling)
        # Skip by `<` alone, here and below: a comparison with NaN is false, and an infinite bound may hide a NaN.
        if query_norm * tl.load(largest_key_norm_ptr + key_row) < limit:
            return

    # Whatever concerns a query alone becomes the last key that it sees.
    queries = start + tl.arange(0, block_q)
    last_key = tl.where(queries < query_length, key_length - 1, -1)
    first_key = 0
    if causal:
        last_key = tl.minimum(last_key, queries + offset)
    if window is not None:
        last_key = tl.minimum(last_key, queries + (offset + window - 1))
        first_key = tl.maximum(start + offset - window + 1, 0) // block_k * block_k
    if blocked_queries_ptr is not None:
        ptr = blocked_queries_ptr + batch * blocked_queries_stride_b + head * blocked_queries_stride_h
        last_key = tl.where(_load_blocked(ptr, queries, blocked_queries_stride_t, query_length), -1, last_key)
    if query_documents_ptr is not None:
        query_documents = tl.load(query_documents_ptr + queries * query_documents_stride, mask=queries < query_length)
    end_key = tl.max(last_key, 0) + 1

    query_ptr += batch * query_stride_b + head * query_stride_h + start.to(tl.int64) * query_stride_t
    left = query_length - start
    q = _load_rows(query_ptr, query_stride_t, query_stride_d, left, 0, head_dim, block_q, main_dim)
    if tail_dim:
        q_tail = _load_rows(query_ptr, query_stride_t, query_stride_d, left, main_dim, head_dim, block_q, tail_dim)

    key_ptr += batch * key_stride_b + key_head * key_stride_h
    if dense_blocked_ptr is not None:
        dense_blocked_ptr += batch * dense_stride_b + head * dense_stride_h + start.to(tl.int64) * dense_stride_q
    if blocked_keys_ptr is not None:
        blocked_keys_ptr += batch * blocked_keys_stride_b
    best = tl.full((block_q, block_k), float("-inf"), tl.float32)
    for span in range(first_key // span_k, tl.cdiv(end_key, span_k)):
        visit = True
        if query_norms_ptr is not None:
            visit = not (query_norm * tl.load(key_norms_ptr + key_row * num_spans + span) < limit)
        if visit:
            for first in range(tl.maximum(first_key, span * span_k), tl.minimum(end_key, (span + 1) * span_k), block_k):
                keys = first + tl.arange(0, block_k)
                seen_by = keys
                if blocked_keys_ptr is not None:
                    blocked = _load_blocked(blocked_keys_ptr, keys, blocked_keys_stride_t, key_length)
                    seen_by = tl.where(blocked, key_length, keys)
                allowed = seen_by[None, :] <= last_key[:, None]
                if window is not None:
                    allowed &= keys[None, :] > (queries + (offset - window))[:, None]
                if key_documents_ptr is not None:
                    key_documents = tl.load(key_documents_ptr + keys * key_documents_stride, mask=keys < key_length)
                    allowed &= query_documents[:, None] == key_documents[None, :]
                if dense_blocked_ptr is not None:
                    tile = dense_blocked_ptr + tl.cast(first, tl.int64) * dense_stride_k
                    tile += tl.arange(0, block_q)[:, None] * dense_stride_q
                    tile += tl.arange(0, block_k)[None, :] * dense_stride_k
                    allowed &= tl.load(tile, mask=allowed, other=1) == 0
                some = True
                if key_documents_ptr is not None or dense_blocked_ptr is not None:
                    some = tl.max(tl.max(allowed.to(tl.int32), 1), 0) > 0
                if some:
                    rows = key_ptr + tl.cast(first, tl.int64) * key_stride_t
                    left = key_length - first
                    k = _load_rows(rows, key_stride_t, key_stride_d, left, 0, head_dim, block_k, main_dim)
                    scores = tl.dot(q, tl.trans(k), input_precision="ieee")
                    if tail_dim:
                        k = _load_rows(rows, key_stride_t, key_stride_d, left, main_dim, head_dim, block_k, tail_dim)
                        scores = tl.dot(q_tail, tl.trans(k), scores, input_precision="ieee")
                    scores = tl.where(allowed, scores * scaling, float("-inf"))
                    best = tl.maximum(best, scores, propagate_nan=tl.PropagateNan.ALL)
            if query_norms_ptr is not None:
                limit = tl.maximum(limit, tl.max(tl.max(best, 1), 0) * slack)

    # tl.max drops NaN; tl.atomic_max compares bits, so that NaN wins if its sign is positive and loses if not.
    is_nan = best != best
    largest = tl.max(tl.max(tl.where(is_nan, float("-inf"), best), 1), 0)
    largest = tl.where(tl.max(tl.max(is_nan.to(tl.int32), 1), 0) > 0, float("nan"), largest)
    tl.atomic_max(maximum_ptr + head, largest, sem="relaxed")
