"""Products with a symmetric result, at little more than half the work.

Everything that Newton–Schulz multiplies, but for the last product with X, is a Gram matrix or a product of two
polynomials of one, and those commute, so their product is symmetric. Only one side of the diagonal is multiplied, and
mirrored: by a Triton kernel on CUDA, by strips of columns on a CPU, not at all elsewhere.
"""

import functools
import itertools
from importlib.util import find_spec

import torch
from torch import Tensor

# Columns of a strip on a CPU: narrower strips leave out more of the product, and their products get slower. Measured in
# bfloat16 at n = 576, strips of 192 take 0.72 of the full product's time on one core and 0.78 on two; strips of 144 and
# of 288 are no faster.
_STRIP_COLUMNS = 192
_SMALLEST_ON_CPU = 384  # below, the mirroring costs more than it saves
# A tile of the kernel has 64 rows or more; below a few of them cuBLAS is as fast with all of them.
_SMALLEST_ON_CUDA = 256
_KERNEL_ALIGNMENT = 16  # other sizes are loaded two bytes at a time, and cuBLAS wins


def symmetric_baddbmm(
    a: Tensor,
    b: Tensor,
    input: Tensor | None = None,
    beta: float = 1.0,
    alpha: float = 1.0,
    *,
    b_is_symmetric: bool = False,
) -> Tensor:
    """Return beta·input + alpha·(a @ b), which must be symmetric.

    Args:
        a: (batch, n, k).
        b: (batch, k, n), of the same dtype and device.
        input: (batch, n, n), symmetric; None adds nothing.
        beta: factor of `input`.
        alpha: factor of the product.
        b_is_symmetric: whether `b` is, to the last bit or nearly; then its rows may be read for its columns.

    Returns:
        (batch, n, n), a new tensor of the dtype of `a`.
    """
    n = a.shape[-2]
    if _halves(n, a.shape[-1], a.device, a.dtype):
        if a.device.type == "cpu":
            return _by_strips(a, b.mT if b_is_symmetric else b, input, beta, alpha)
        from .symmetric_matmul_triton import symmetric_baddbmm as kernel

        return kernel(a, b, input=input, beta=beta if input is not None else 0.0, alpha=alpha)
    if input is None:
        return torch.bmm(a, b) if alpha == 1 else torch.bmm(a, b).mul_(alpha)
    return torch.baddbmm(input, a, b, beta=beta, alpha=alpha)


def symmetric_flops(n: int, k: int, device: torch.device, dtype: torch.dtype) -> int:
    """Return the floating-point operations of one (n, k) by (k, n) product with a symmetric result."""
    if not _halves(n, k, device, dtype):
        return 2 * n * n * k
    if device.type == "cpu":
        return sum(2 * k * (stop - start) * (n - start) for start, stop in _strips(n))
    return n * (n + 1) * k  # up to the tiles that the diagonal cuts


def _halves(n: int, k: int, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether only about half of a symmetric (n, k) by (k, n) product is computed."""
    if device.type == "cpu":  # a compiler makes its own loops, and takes no strided outputs
        return n >= _SMALLEST_ON_CPU and not torch.compiler.is_compiling()
    aligned = n % _KERNEL_ALIGNMENT == 0 and k % _KERNEL_ALIGNMENT == 0
    return device.type == "cuda" and n >= _SMALLEST_ON_CUDA and aligned and dtype != torch.float64 and _has_triton()


@functools.cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


@functools.cache
def _strips(n: int) -> tuple[tuple[int, int], ...]:
    """Cut n columns into equal strips of about `_STRIP_COLUMNS`."""
    count = max(1, round(n / _STRIP_COLUMNS))
    edges = [n * index // count for index in range(count + 1)]
    return tuple(itertools.pairwise(edges))


def _by_strips(a: Tensor, b: Tensor, input: Tensor | None, beta: float, alpha: float) -> Tensor:
    """Multiply matrix by matrix, strips of columns from the diagonal down, and mirror what lies below it.

    Two-dimensional operands are used without a copy, batched ones would be copied. A product packs its second operand
    each time, so the second one is cut into strips, and all strips use the rows of the first.
    """
    n = a.shape[-2]
    strips = _strips(n)
    widths = [stop - start for start, stop in strips]
    result = a.new_empty(a.shape[0], n, n)
    for index, (left, right, square) in enumerate(zip(a, b, result, strict=True)):
        columns = square.split(widths, 1)
        for (start, stop), column, rows, operand in zip(
            strips, columns, square.split(widths), right.split(widths, 1), strict=True
        ):
            strip = column[start:]
            if input is None:
                torch.mm(left[start:], operand, out=strip)
                if alpha != 1:
                    strip.mul_(alpha)
            else:
                torch.addmm(input[index, start:, start:stop], left[start:], operand, beta=beta, alpha=alpha, out=strip)
            if stop < n:
                rows[:, stop:] = column[stop:].T
    return result
