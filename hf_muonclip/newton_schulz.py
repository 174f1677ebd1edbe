"""Orthogonalize a batch of matrices with matrix products alone.

Muon replaces every update matrix by (nearly) the closest semi-orthogonal one: all its singular values become about 1.
Newton–Schulz gets there by iterating an odd polynomial on the singular values, so no SVD is ever taken.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

JORDAN_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""(a, b, c) of the quintic a·s + b·s³ + c·s⁵; Keller Jordan, https://kellerjordan.github.io/posts/muon/.

Chosen for the steepest slope at 0: five steps bring singular values from about 0.01 on into roughly [0.7, 1.2]."""

# On a CPU, matrices from about this size on are faster one after the other: the batched kernel copies transposed
# operands, and one large matrix can use that its Gram matrix is symmetric. Measured: 128x192 batched 2.6x faster;
# 576x576 and larger looped 1.1x to 1.2x faster.
_LOOPED_ELEMENTS = 2**18


def preferred_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype in which `device` multiplies matrices fastest without losing the iteration.

    Newton–Schulz forgives rounding (the polynomial pulls every singular value back), so bfloat16 is right wherever the
    hardware multiplies it natively. A CPU without bfloat16 instructions emulates them and is slower than in float32.
    """
    if device.type != "cpu":
        return torch.bfloat16
    capabilities = torch.cpu.get_capabilities()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))
    return torch.bfloat16 if native else torch.float32


def newton_schulz(
    matrices: Tensor,
    coefficients: Sequence[float] = JORDAN_COEFFICIENTS,
    steps: int = 5,
    eps: float = 1e-7,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Orthogonalize every matrix of a batch: U·S·Vᵀ -> U·S'·Vᵀ with S' near 1.

    X_0 = M / (‖M‖_F + eps); X_{k+1} = a·X_k + (b·A + c·A²)·X_k with A = X_k·X_kᵀ (Jordan's quintic; Kimi K2,
    arXiv 2507.20534, Algorithm 1 calls it NewtonSchulz). The Gram matrix A is taken on the shorter side.

    Args:
        matrices: (batch, n, m), floating point, finite; of any scale that their dtype holds.
        coefficients: (a, b, c) of the quintic.
        steps: iterations.
        eps: added to the Frobenius norm; a zero matrix stays zero.
        dtype: of the products; by default what `preferred_dtype` says of the device.

    Returns:
        (batch, n, m) in `dtype`, a new tensor.
    """
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    # Squares of entries beyond 1e19 overflow float32, so the norm is taken relative to the largest entry. (Its inf-norm
    # would say the same in one call, and is ten times slower on a CPU.)
    largest = torch.maximum(x.amax(dim=(-2, -1), keepdim=True), -x.amin(dim=(-2, -1), keepdim=True))
    largest = largest.clamp_min(torch.finfo(x.dtype).tiny)
    x = x / largest
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    x = x.div_(norm + eps / largest).to(dtype or preferred_dtype(matrices.device))
    if x.device.type == "cpu" and x.shape[-2] * x.shape[-1] >= _LOOPED_ELEMENTS:
        x = torch.stack([_iterate_one(matrix, a, b, c, steps) for matrix in x])
    else:
        x = _iterate_batch(x, a, b, c, steps)
    return x.mT if tall else x


def _iterate_batch(x: Tensor, a: float, b: float, c: float, steps: int) -> Tensor:
    """Apply the quintic to a batch (batch, n, m) of spectral norms at most 1."""
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def _iterate_one(x: Tensor, a: float, b: float, c: float, steps: int) -> Tensor:
    """Apply the quintic to one matrix (n, m), n >= 2, of spectral norm at most 1.

    The Gram matrix and its polynomial are symmetric: their lower left quarter is mirrored instead of multiplied.
    """
    n = x.shape[0]
    half = n // 2
    gram, polynomial = x.new_empty(n, n), x.new_empty(n, n)
    for _ in range(steps):
        torch.mm(x[:half], x.T, out=gram[:half])
        gram[half:, :half] = gram[:half, half:].T
        gram[half:, half:] = x[half:] @ x[half:].T
        torch.addmm(gram[:half], gram[:half], gram, beta=b, alpha=c, out=polynomial[:half])
        polynomial[half:, :half] = polynomial[:half, half:].T
        polynomial[half:, half:] = torch.addmm(gram[half:, half:], gram[half:], gram[:, half:], beta=b, alpha=c)
        x = torch.addmm(x, polynomial, x, beta=a)
    return x
