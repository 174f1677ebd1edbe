"""Orthogonalize a batch of matrices with only matrix products.

Muon replaces every update matrix by (nearly) the closest semi-orthogonal one, U·Vᵀ of its SVD: all its singular values
become about 1. Newton–Schulz gets there by applying odd polynomials to the singular values, so no SVD is ever taken.

A step is X <- P·X, where P = a·I + b·G + c·G² is a polynomial of the Gram matrix G = X·Xᵀ of the shorter side. A step
multiplies the long side twice and each doubling of P's degree takes one product of the short side, so few steps of a
high degree are less work than many of a low one: of degree 9, 9 and 13 they do better than five quintics.

The Gram form (Gram Newton–Schulz) keeps to the short side for several steps, with Q <- P·Q and G <- P·G·P, and
multiplies X by Q once. It saves much on long matrices and loses precision from step to step, so it starts again from X
where rounding would show; `_groups` decides when.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .symmetric_matmul import symmetric_baddbmm, symmetric_flops

Step = tuple[float, ...]
"""Coefficients of s, s³, s⁵, ... in the odd polynomial of one step: three, five or seven of them."""
Coefficients = tuple[Step, ...]

JORDAN_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""(a, b, c) of the quintic a·s + b·s³ + c·s⁵; Keller Jordan, https://kellerjordan.github.io/posts/muon/.

Chosen for the steepest slope at 0: five steps bring singular values from about 0.002 on into [0.68, 1.20]."""

MINIMAX_COEFFICIENTS: Coefficients = (
    (14.6714, -138.155, 441.956, -546.058, 228.362),
    (6.50938, -14.3079, 10.9709, -3.26797, 0.330224),
    (5.10278, -18.5307, 32.8251, -28.3035, 12.4837, -2.71131, 0.22982),
    (1.875, -1.25, 0.375),
)
"""Polynomials of degree 9, 9 and 13, each the best uniform approximation of 1 on the interval that its predecessors
leave (the construction of Polar Express, arXiv 2505.16932), from singular values of 1.8e-3 on; then, as there, divided
by safety factors per power: 1.02, 1.05 and 1.03. Further steps use the quintic of Newton–Schulz itself.

From 0.002 on they land in [0.799, 1.152], all nearer to 1 than with Jordan's five quintics, in 3/4 of their work."""

POLAR_EXPRESS_COEFFICIENTS: Coefficients = (
    *(
        (a / 1.01, b / 1.01**3, c / 1.01**5)
        for a, b, c in (
            (8.28721201814563, -23.595886519098837, 17.300387312530933),
            (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
            (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
            (3.3184196573706015, -2.488488024314874, 0.51004894012372),
            (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
            (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
            (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
        )
    ),
    (1.875, -1.25, 0.375),
)
"""Polar Express (arXiv 2505.16932), from singular values of 1e-3 on, with its safety factor of 1.01."""

CANS_COEFFICIENTS: Coefficients = (
    *(
        (a / 1.01, b / 1.01**3, 0.0)
        for a, b in (
            (5.182503604966906, -5.178098480082684),
            (2.586120737395915, -0.6479542005271643),
            (2.567364126726186, -0.6454968804392178),
            (2.520560084348265, -0.6393528082067044),
            (2.410759275435182, -0.6248683598710716),
            (2.1883348130094173, -0.5952022073798908),
            (1.8595760874873613, -0.5504490972723968),
            (1.589020160467417, -0.5126569802066718),
            (1.5051653981684994, -0.5007377068751799),
        )
    ),
    (1.5, -0.5, 0.0),
)
"""Chebyshev-accelerated cubics (CANS, arXiv 2506.10935), from singular values of 8.5e-4 on, with Polar Express's safety
factor of 1.01: without it the first cubic brings 1 to 0.004, where bfloat16 keeps neither size nor sign.

Five of its steps are short of Jordan's; seven match them."""

COEFFICIENT_SETS: dict[str, Coefficients] = {
    "minimax": MINIMAX_COEFFICIENTS,
    "jordan": (JORDAN_COEFFICIENTS,),
    "polar_express": POLAR_EXPRESS_COEFFICIENTS,
    "cans": CANS_COEFFICIENTS,
}

DEFAULT_STEPS = {"minimax": 3, "jordan": 5, "polar_express": 5, "cans": 7}
"""Steps after which a set is about as close to U·Vᵀ as Jordan's, or closer."""

# How much a group of the Gram form may have amplified the rounding of its Gram matrix before its last step. Small
# singular values grow by a step's `a`, so their squares, and what rounding put in their place, by a².
_MAX_AMPLIFICATION = 2**12
# Smaller Gram matrices cost nothing, and their rounding averages out the least.
_SMALLEST_IN_GRAM_FORM = 128


def preferred_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype in which `device` multiplies matrices fastest without losing the iteration.

    Newton–Schulz forgives rounding (the polynomial pulls every singular value back), so bfloat16 is right wherever the
    hardware multiplies it natively. A CPU without bfloat16 instructions emulates them and is slower than in float32.
    """
    if device.type != "cpu":
        return torch.bfloat16
    if not hasattr(torch.cpu, "get_capabilities"):  # torch 2.9 lacks it, and checks only x86
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    capabilities = torch.cpu.get_capabilities()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))
    return torch.bfloat16 if native else torch.float32


_NUMBERS = (int, float)  # not int | float, which the compiler of torch 2.9 does not know


def resolve_coefficients(
    coefficients: "str | Sequence[float] | Sequence[Sequence[float]]", steps: int | None = None
) -> Coefficients:
    """Return the coefficients of every step.

    Args:
        coefficients: a name in `COEFFICIENT_SETS`; (a, b, c), also as text "a, b, c", for every step; or one (a, b, c)
            for each step. c = 0 makes a step a cubic, which saves a product; five numbers make it of degree 9, seven of
            degree 13.
        steps: number of steps; shorter coefficients repeat their last one. None takes as many as were given, a set's
            `DEFAULT_STEPS`, or five for a single polynomial.

    Raises:
        ValueError: an unknown name, or anything else than three, five or seven finite numbers per step.
    """
    if isinstance(coefficients, str):
        if coefficients in COEFFICIENT_SETS:
            given: Sequence[Any] = COEFFICIENT_SETS[coefficients]
        else:
            try:
                given = [float(number) for number in coefficients.split(",")]
            except ValueError:
                given = ()
    else:
        given = coefficients
    rows: Sequence[Sequence[Any]] = [given] if all(isinstance(entry, _NUMBERS) for entry in given) else given
    each = tuple(tuple(float(number) for number in row) for row in rows)
    if not each or any(len(step) not in (3, 5, 7) or not all(map(math.isfinite, step)) for step in each):
        raise ValueError(
            f"ns_coefficients must be one of {sorted(COEFFICIENT_SETS)}, three, five or seven finite numbers, or so "
            f"many for each step; got {coefficients!r}. Jordan's are {JORDAN_COEFFICIENTS}."
        )
    if steps is None:
        named = DEFAULT_STEPS.get(coefficients) if isinstance(coefficients, str) else None
        steps = named or (len(each) if len(each) > 1 else 5)
    return (each + each[-1:] * (steps - len(each)))[:steps]


def newton_schulz(
    matrices: Tensor,
    coefficients: "str | Sequence[float] | Sequence[Sequence[float]]" = "minimax",
    steps: int | None = None,
    eps: float = 1e-7,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Orthogonalize every matrix of a batch: U·S·Vᵀ -> U·S'·Vᵀ with S' near 1.

    X_0 = M / (‖M‖_F + eps); X_{k+1} = a·X_k + (b·G + c·G²)·X_k with G = X_k·X_kᵀ (Kimi K2, arXiv 2507.20534,
    Algorithm 1 calls it NewtonSchulz). The Gram matrix is taken on the shorter side; long matrices stay on it for
    several steps where that is less work.

    Args:
        matrices: (batch, n, m), floating point, finite; any scale that their dtype can represent.
        coefficients: see `resolve_coefficients`.
        steps: iterations; None takes as many as the coefficients need, see `DEFAULT_STEPS`.
        eps: added to the Frobenius norm; a zero matrix stays zero.
        dtype: dtype of the products; by default `preferred_dtype` of the device.

    Returns:
        (batch, n, m) in `dtype`, a new tensor.

    Raises:
        ValueError: as `resolve_coefficients`.
    """
    dtype = dtype or preferred_dtype(matrices.device)
    n, m = sorted(matrices.shape[-2:])
    each = resolve_coefficients(coefficients, steps)
    x = _normalized(matrices, eps, dtype)
    for group in _plan(n, m, each, dtype, x.device):
        x = _apply(group, x)
    return x


def newton_schulz_flops(
    shape: Sequence[int],
    coefficients: "str | Sequence[float] | Sequence[Sequence[float]]" = "minimax",
    steps: int | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> int:
    """Return the floating-point operations in matrix products that `newton_schulz` takes for (batch, n, m) matrices."""
    device = device or torch.device("cpu")
    batch, n, m = shape
    n, m = min(n, m), max(n, m)
    dtype = dtype or preferred_dtype(device)
    plan = _plan(n, m, resolve_coefficients(coefficients, steps), dtype, device)
    return batch * sum(_group_flops(group, n, m, device, dtype) for group in plan)


def _normalized(x: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Return every matrix divided by its Frobenius norm, in `dtype`."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        smallest = torch.finfo(x.dtype).tiny ** 0.5
        ordinary = bool(((norm > smallest) & norm.isfinite()).all())
    else:
        ordinary = False  # the test would make the host wait for the device
    if ordinary:
        factor, normalized = (norm + eps).reciprocal_(), torch.empty(x.shape, dtype=dtype)
        # In parts, because torch multiplies in float32 and rounds afterwards: what it holds meanwhile is a part's.
        for part, rounded in zip(x.chunk(4, dim=-2), normalized.chunk(4, dim=-2), strict=True):
            torch.mul(part, factor, out=rounded)
        return normalized
    # Squares of entries beyond 1e19 overflow float32, and under 1e-19 they vanish, so the norm is taken relative to the
    # largest entry. (The inf-norm would give it in one call, and is ten times slower on a CPU.)
    largest = torch.maximum(x.amax(dim=(-2, -1), keepdim=True), -x.amin(dim=(-2, -1), keepdim=True))
    largest = largest.clamp_min(torch.finfo(x.dtype).tiny)
    x = x / largest
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    scaled: Tensor = x.div_(norm + eps / largest)
    return scaled.to(dtype)


@functools.cache
def _plan(
    n: int, m: int, coefficients: Coefficients, dtype: torch.dtype, device: torch.device
) -> tuple[Coefficients, ...]:
    """Return the steps in groups, each in the Gram form, or one by one if that is less work; n <= m."""
    one_by_one = tuple((step,) for step in coefficients)
    if n < _SMALLEST_IN_GRAM_FORM:
        return one_by_one
    plans = (one_by_one, _groups(coefficients, dtype))
    flops = [sum(_group_flops(group, n, m, device, dtype) for group in plan) for plan in plans]
    return plans[flops.index(min(flops))]


def _groups(coefficients: Coefficients, dtype: torch.dtype) -> tuple[Coefficients, ...]:
    """Cut the steps where a longer group in the Gram form would amplify the rounding of its Gram matrix too much.

    That is after every one in bfloat16. Two steps in one group gave singular values up to 3178 in 20 of 520,000
    matrices with few rows or a dominating direction: rounding in a group carries them out of the next one's interval.
    """
    groups: list[Coefficients] = []
    amplification = math.inf
    for step in coefficients:
        if amplification > _MAX_AMPLIFICATION or dtype.itemsize < 4:
            groups.append(())
            amplification = 1.0
        groups[-1] += (step,)
        amplification *= step[0] ** 2
    return tuple(groups)


def _group_flops(group: Coefficients, n: int, m: int, device: torch.device, dtype: torch.dtype) -> int:
    later = len(group) - 1  # each step after the first multiplies G twice, and Q
    squares = sum(_squares(step) for step in group) + 2 * later
    halved = symmetric_flops(n, m, device, dtype) + squares * symmetric_flops(n, n, device, dtype)
    return halved + later * 2 * n**3 + 2 * n * n * m


def _apply(group: Coefficients, x: Tensor) -> Tensor:
    """Apply the polynomials of a group to the singular values of a batch (batch, n, m)."""
    tall = x.shape[-2] > x.shape[-1]
    left, right = (x.mT, x) if tall else (x, x.mT)
    products = [symmetric_baddbmm(left, right)]
    q = _gram_form(products.pop(), group) if len(group) > 1 else _polynomial(products, group[0])
    return torch.bmm(x, q) if tall else torch.bmm(q, x)


def _gram_form(g: Tensor, group: Coefficients) -> Tensor:
    """Return the polynomial of the Gram matrices G that takes all steps of a group at once.

    Q is multiplied whole though it is symmetric: mirrored, its rounding reaches directions that X hardly has, and the
    next group takes them for small singular values. (On a low-rank matrix in bfloat16 that doubles the error.)
    """
    q = p = _polynomial([g], group[0])
    for step in group[1:]:
        pg = symmetric_baddbmm(p, g, b_is_symmetric=True)
        g = symmetric_baddbmm(p, pg, b_is_symmetric=True)
        p = _polynomial([g], step)
        q = torch.bmm(p, q)
    return q


def _squares(step: Step) -> int:
    """Return the number of products that `_polynomial` takes."""
    return len(step) // 2 if len(step) > 3 else int(step[2] != 0)


def _polynomial(held: list[Tensor], step: Step) -> Tensor:
    """Return a·I + b·G + c·G² + ..., as many powers of G as the step has coefficients.

    G is taken out of the list that holds it. An argument would stay alive in the frame of the caller, and G's memory
    with it, wherever Python does not run the call itself: torch.compile leaves its frame evaluation on in a process.

    Beyond G² it is the square of a polynomial R of half the degree and a remainder, which takes fewest products and is
    well conditioned: what stays near 1 on an interval is nearly a square.
    """
    g = held.pop()
    if len(step) == 7:  # lead·R² + ... with R = G³ + x·G² + y·G + z·I
        a, b, c, d, e, f, lead = step
        x = f / (2 * lead)
        y = (e / lead - x * x) / 2
        z = (d / lead - 2 * x * y) / 2
        quadratic = _plus_diagonal(symmetric_baddbmm(g, g, g, x, b_is_symmetric=True), y)
        root = _plus_diagonal(symmetric_baddbmm(quadratic, g, b_is_symmetric=True), z)
        of_g2 = c - lead * (y * y + 2 * x * z)
        of_g = b - lead * 2 * y * z - of_g2 * x
        remainder = quadratic.mul_(of_g2).add_(g, alpha=of_g)
        del g  # the most that a step holds is here
        p = symmetric_baddbmm(root, root, remainder, 1.0, lead, b_is_symmetric=True)
        return _plus_diagonal(p, a - lead * z * z - of_g2 * y)
    if len(step) == 5:  # lead·R² + ... with R = G² + x·G + y·I
        a, b, c, d, lead = step
        x = d / (2 * lead)
        y = (c / lead - x * x) / 2
        root = _plus_diagonal(symmetric_baddbmm(g, g, g, x, b_is_symmetric=True), y)
        p = symmetric_baddbmm(root, root, g, b - 2 * lead * x * y, lead, b_is_symmetric=True)
        return _plus_diagonal(p, a - lead * y * y)
    a, b, c = step
    return _plus_diagonal(symmetric_baddbmm(g, g, g, b, c, b_is_symmetric=True) if c else g * b, a)


def _plus_diagonal(g: Tensor, addend: float) -> Tensor:
    """Add to the diagonals of a batch. In place."""
    g.diagonal(dim1=-2, dim2=-1).add_(addend)
    return g
