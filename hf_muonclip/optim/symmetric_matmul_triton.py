"""Batched products with a symmetric result on a GPU, at little more than half the work.

A program multiplies one tile on or above the diagonal and writes it twice, the second time mirrored. With T tiles per
side it takes T·(T+1)/2 products instead of T²: from four tiles on under 63% of what `torch.baddbmm` multiplies, toward
a half.

Not yet run on a device: Triton's interpreter has executed the kernel, and its compiler has built it for NVIDIA's sm_90.
Tile sizes follow from what registers, caches and shared memory hold, not from measurements.
"""

from contextlib import nullcontext

import torch
import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]
from torch import Tensor

_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
# (largest n, rows and columns of a tile). Larger tiles read less for each product, smaller ones leave less of the
# diagonal's lower halves to be multiplied for nothing and occupy more of the device: 64 is four tiles at n = 256, where
# 128 would be two. A table and not an autotuner, which would measure, and wait for the device, amid a captured graph;
# and by n alone, so that a matrix has the same bits in whatever batch it comes.
_TILES = ((16, 16), (32, 32), (256, 64))
_LARGEST_TILE = 128
# float32 without TF32 runs outside of the tensor cores, with operands in registers: 128 by 128 would spill them.
_LARGEST_FLOAT32_TILE = 64
_ROW_BYTES = 128  # of an operand's tile: a cache line. Tiles of 128 in three stages are 96 KiB: two programs on an SM
_STAGES = 3
_BAND = 8  # columns of tiles that run together: see _upper_tile
_INTERPRETED = triton.knobs.runtime.interpret


def symmetric_baddbmm(
    a: Tensor,
    b: Tensor,
    *,
    input: Tensor | None = None,
    beta: float = 0.0,
    alpha: float = 1.0,
    out: Tensor | None = None,
) -> Tensor:
    """Return beta·input + alpha·(a @ b), which must be symmetric.

    Same result as `torch.baddbmm`, from half of the products. The symmetry is not checked: of an input or a product
    that is not symmetric, the upper triangle is used, and the lower is its mirror image, bit by bit. Products are
    accumulated in float32, those of float32 operands without TF32, and the result is rounded once. NaN and infinity
    propagate. Not differentiable.

    Sizes and strides that 16 divides load 16 bytes at a time and ahead of their use. Others load number by number, and
    `torch.baddbmm` is then likely the faster one.

    Never waits for the device. The first call with new kinds of sizes and strides (1, a multiple of 16, any other)
    compiles, so call once before capturing a CUDA graph. `torch.compile` takes the launch into its graph as it is;
    there is no custom operator, which would only hide it.

    Args:
        a: (batch, n, k), bfloat16, float16 or float32, any strides.
        b: (batch, k, n), any strides; often `a.mT`, or `a` itself where that is symmetric.
        input: (batch, n, n), symmetric, any strides; not read where beta is 0.
        beta: factor of the input.
        alpha: factor of the product.
        out: (batch, n, n), any strides, each element at an address of its own; overlaps neither a, b nor input. By
            default a new tensor.

    Returns:
        (batch, n, n) in the dtype of `a`; `out` where given.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, beta has nothing to weigh, or `out` overlaps an operand.
    """
    batch, n, k = _require_operands(a, b, input, beta)
    if out is None:
        out = a.new_empty(batch, n, n)
    else:
        _require_result(out, a, b, input)
    if a.device.type != "cuda" and not _INTERPRETED:
        raise ValueError(f"the kernel runs on devices that torch calls cuda; got {a.device}. Use torch.baddbmm.")
    if not out.numel():
        return out
    weighed = None if beta == 0 else input
    tile = _tile_size(n, a.dtype)
    num_tiles = triton.cdiv(n, tile)
    # Triton launches on the current device, which need not be the operands'. A compiled graph sees to that itself.
    with nullcontext() if torch.compiler.is_compiling() else torch.cuda.device_of(a):
        # fmt: off
        _symmetric_kernel[(batch * (num_tiles * (num_tiles + 1) // 2),)](
            a, b, weighed, out,
            float(alpha), float(beta),
            n, k,
            *a.stride(), *b.stride(), *(out if weighed is None else weighed).stride(), *out.stride(),
            tile=tile, block_k=_ROW_BYTES // a.element_size(), band=_BAND,
            num_warps=tile // 16, num_stages=_STAGES,
        )
        # fmt: on
    return out


def _tile_size(n: int, dtype: torch.dtype) -> int:
    for largest_n, tile in _TILES:
        if n <= largest_n:
            return tile
    return _LARGEST_FLOAT32_TILE if dtype == torch.float32 else _LARGEST_TILE


def _require_operands(a: Tensor, b: Tensor, input: Tensor | None, beta: float) -> tuple[int, int, int]:
    """Return (batch, n, k) of operands that fit together."""
    if a.ndim != 3 or b.ndim != 3 or b.shape != a.mT.shape:
        raise ValueError(
            f"a symmetric product takes a of (batch, n, k) and b of (batch, k, n); got {tuple(a.shape)} and "
            f"{tuple(b.shape)}. Give a single matrix its batch by unsqueeze(0)."
        )
    if a.dtype not in _DTYPES:
        raise ValueError(f"a symmetric product takes bfloat16, float16 or float32; got {a.dtype}. Use torch.baddbmm.")
    _require_like(a, "b", b)
    if input is not None:
        _require_square(a, "input", input)
    elif beta != 0:
        raise ValueError(f"beta weighs the input; got beta={beta} and no input. Pass input=, or leave beta at 0.")
    batch, n, k = a.shape
    return batch, n, k


def _require_result(out: Tensor, a: Tensor, b: Tensor, input: Tensor | None) -> None:
    _require_square(a, "out", out)
    if torch.compiler.is_compiling():
        return  # traced tensors have no addresses yet
    for name, operand in (("a", a), ("b", b), ("input", input)):
        if operand is not None and _overlap(out, operand):
            raise ValueError(
                f"out must not overlap an operand, which programs still read while others write; it overlaps {name}. "
                "Pass a tensor of its own, or none."
            )


def _require_square(a: Tensor, name: str, tensor: Tensor) -> None:
    square = (a.shape[0], a.shape[1], a.shape[1])
    if tensor.shape != square:
        raise ValueError(
            f"{name} must have the shape of the product, {square}; got {tuple(tensor.shape)}. "
            "Expand it, or give it its batch by unsqueeze(0)."
        )
    _require_like(a, name, tensor)


def _require_like(a: Tensor, name: str, tensor: Tensor) -> None:
    if tensor.dtype != a.dtype or tensor.device != a.device:
        raise ValueError(
            f"{name} must have the dtype and the device of a, {a.dtype} on {a.device}; got {tensor.dtype} on "
            f"{tensor.device}. Convert it by to(a)."
        )


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Return whether the spans of addresses meet; interleaved views count as overlapping."""
    if not (one.numel() and other.numel()):
        return False
    (first, last), (other_first, other_last) = _span(one), _span(other)
    return first <= other_last and other_first <= last


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return the addresses of the first and the last element."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + reach * tensor.element_size()


@triton.jit
def _triangle_column(index):  # type: ignore[no-untyped-def]
    """Return the column of the index-th entry of an upper triangle counted column by column: 0, 1, 1, 2, 2, 2, ..."""
    column = ((tl.sqrt(8.0 * index.to(tl.float32) + 1.0) - 1.0) * 0.5).to(tl.int32)
    # float32 holds no index past 2²⁴ exactly, and a GPU's root is approximate: the column may be off by one.
    column = tl.where(column * (column + 1) // 2 > index, column - 1, column)
    return tl.where((column + 1) * (column + 2) // 2 <= index, column + 1, column)


@triton.jit  # type: ignore[untyped-decorator]
def _upper_tile(index, num_tiles, band: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return (row, column), row <= column, of the index-th of num_tiles·(num_tiles + 1)/2 tiles.

    Bands of `band` columns are taken from left to right, and in a band row after row, down to the triangle at the
    diagonal. What runs at a time is then about square and shares its rows of `a` and columns of `b` in the L2 cache.
    """
    first = _triangle_column(index) // band * band  # the band's first column, and its first row on the diagonal
    width = tl.minimum(band, num_tiles - first)
    index -= first * (first + 1) // 2  # the tiles of the bands before
    in_triangle = tl.maximum(index - first * width, 0)
    triangle_column = _triangle_column(in_triangle)
    triangle_row = in_triangle - triangle_column * (triangle_column + 1) // 2
    above = index < first * width
    row = tl.where(above, index // width, first + triangle_row)
    return row, first + tl.where(above, index % width, triangle_column)


# fmt: off
@triton.jit  # type: ignore[untyped-decorator]
def _symmetric_kernel(  # type: ignore[no-untyped-def]
    a_ptr,  # (batch, n, k)
    b_ptr,  # (batch, k, n)
    input_ptr,  # (batch, n, n), or None
    out_ptr,  # (batch, n, n)
    alpha, beta,
    n, k,
    a_stride_b, a_stride_n, a_stride_k,
    b_stride_b, b_stride_k, b_stride_n,
    input_stride_b, input_stride_row, input_stride_column,
    out_stride_b, out_stride_row, out_stride_column,
    tile: tl.constexpr, block_k: tl.constexpr, band: tl.constexpr,
):
    # fmt: on
    num_tiles = tl.cdiv(n, tile)
    programs = num_tiles * (num_tiles + 1) // 2
    matrix = (tl.program_id(0) // programs).to(tl.int64)  # 64 bits, here and below: no tensor is too large
    tile_row, tile_column = _upper_tile(tl.program_id(0) % programs, num_tiles, band)
    rows = (tile_row * tile + tl.arange(0, tile)).to(tl.int64)[:, None]
    columns = (tile_column * tile + tl.arange(0, tile)).to(tl.int64)[None, :]
    inner = tl.arange(0, block_k)

    a_ptrs = a_ptr + matrix * a_stride_b + rows * a_stride_n + inner.to(tl.int64)[None, :] * a_stride_k
    b_ptrs = b_ptr + matrix * b_stride_b + inner.to(tl.int64)[:, None] * b_stride_k + columns * b_stride_n
    result = tl.zeros((tile, tile), tl.float32)
    for first in range(0, k, block_k):
        left = inner < k - first  # past the end, 0 on both sides: 0·NaN would be NaN
        a = tl.load(a_ptrs, mask=(rows < n) & left[None, :], other=0.0)
        b = tl.load(b_ptrs, mask=left[:, None] & (columns < n), other=0.0)
        result = tl.dot(a, b, result, input_precision="ieee")
        a_ptrs += tl.cast(block_k, tl.int64) * a_stride_k
        b_ptrs += tl.cast(block_k, tl.int64) * b_stride_k

    inside = (rows < n) & (columns < n)
    result *= alpha
    if input_ptr is not None:
        input_ptrs = input_ptr + matrix * input_stride_b + rows * input_stride_row + columns * input_stride_column
        result += beta * tl.load(input_ptrs, mask=inside, other=0.0).to(tl.float32)
    result = result.to(out_ptr.dtype.element_ty)

    out_ptr += matrix * out_stride_b
    if tile_row == tile_column:
        # Sums on both sides of the diagonal need not have been taken in the same order.
        result = tl.where(rows <= columns, result, tl.trans(result))
    else:
        tl.store(out_ptr + columns * out_stride_row + rows * out_stride_column, result, mask=inside)
    tl.store(out_ptr + rows * out_stride_row + columns * out_stride_column, result, mask=inside)
