"""Products with a symmetric result against float64, and how much of them is multiplied."""

import io
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import hf_muonclip.optim.symmetric_matmul as module
from hf_muonclip.optim.newton_schulz import newton_schulz
from hf_muonclip.optim.symmetric_matmul import symmetric_baddbmm, symmetric_flops

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SMALLEST = 384  # of which a CPU leaves out a half
SIZES = [1, 2, 7, 64, SMALLEST - 1, SMALLEST, SMALLEST + 1, 480, 481, 577]
# Of the largest entry: a sum of some hundred products in float32, rounded once to bfloat16.
TOLERANCES = {torch.float32: 3e-6, torch.bfloat16: 2**-8 + 1e-4, torch.float64: 1e-14}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "bfloat16", "float64"])


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_product(a: Tensor, b: Tensor, input: Tensor | None, beta: float, alpha: float, result: Tensor) -> None:
    """Compare with the product, entry by entry and with its own mirror image."""
    exact = alpha * (a.double() @ b.double()) + (0 if input is None else beta * input.double())
    tolerance = TOLERANCES[a.dtype]
    torch.testing.assert_close(result.double(), exact, atol=tolerance * float(exact.abs().max()), rtol=tolerance)
    assert result.dtype == a.dtype
    n = a.shape[-2]
    if n >= SMALLEST:  # whatever lies in other strips is a copy
        apart = (torch.arange(n)[:, None] - torch.arange(n)).abs() >= 300
        assert torch.equal(result[:, apart], result.mT[:, apart])


@DTYPES
@pytest.mark.parametrize(("beta", "alpha"), [(None, 1.0), (None, -0.5), (1.0, 1.0), (-2.25, 0.75), (0.0, 1.0)])
@pytest.mark.parametrize("n", SIZES)
def test_equals_the_product_in_float64(n: int, beta: float | None, alpha: float, dtype: torch.dtype) -> None:
    x = randn(2, n, 50).to(dtype)
    input = None if beta is None else randn(2, n, n, seed=1).add(randn(2, n, n, seed=1).mT).to(dtype)
    given = [tensor.clone() for tensor in (x, input) if tensor is not None]
    result = symmetric_baddbmm(x, x.mT, input, 1.0 if beta is None else beta, alpha)
    assert_product(x, x.mT, input, beta or 0.0, alpha, result)
    for tensor, before in zip((x, input), given, strict=False):
        assert tensor is not None
        assert torch.equal(tensor, before), "operands are only read"


@DTYPES
@pytest.mark.parametrize("n", [40, 385])
def test_strides_and_offsets(n: int, dtype: torch.dtype) -> None:
    wide = randn(3, n + 5, 131).to(dtype)
    views = {
        "cut": wide[1:, 3 : n + 3, 20:90],
        "each second": wide[::2, :n, ::2],
        "transposed": randn(2, 60, n).to(dtype).mT,
        "one matrix for all": wide[:1, :n].expand(2, -1, -1),
        "batch last": randn(n, 30, 2).to(dtype).permute(2, 0, 1),
    }
    square = randn(2, n, n, seed=1).to(dtype)
    input = square + square.mT
    for x in views.values():
        for added in (None, input, input.mT, input[:1].expand(2, -1, -1)):
            assert_product(x, x.mT, added, 0.5, 1.5, symmetric_baddbmm(x, x.mT, added, 0.5, 1.5))


@DTYPES
@pytest.mark.parametrize("n", [40, 385])
def test_products_of_polynomials_of_one_matrix(n: int, dtype: torch.dtype) -> None:
    x = randn(2, n, n) / n**0.5
    gram = (x @ x.mT).to(dtype)
    gram = torch.triu(gram) + torch.triu(gram, 1).mT
    for operand in (gram, gram.mT):
        result = symmetric_baddbmm(gram, operand, gram, -2.0, 0.5, b_is_symmetric=True)
        assert_product(gram, gram, gram, -2.0, 0.5, result)


@pytest.mark.parametrize("shape", [(0, 8, 5), (0, 400, 5), (2, 0, 5), (2, 8, 0), (2, 400, 0)])
def test_empty_operands(shape: tuple[int, int, int]) -> None:
    x = torch.zeros(shape)
    for input in (None, torch.ones(shape[0], shape[1], shape[1])):
        expected = torch.zeros(shape[0], shape[1], shape[1]) if input is None else 0.5 * input
        assert torch.equal(symmetric_baddbmm(x, x.mT, input, 0.5), expected)


def test_nan_stays_where_it_is() -> None:
    x = randn(2, 400, 30)
    x[1, 7, 3] = torch.nan
    result = symmetric_baddbmm(x, x.mT)
    assert result[0].isfinite().all()
    assert result[1, 7].isnan().all()
    assert result[1, :, 7].isnan().all()
    assert result[1].isnan().sum() == 2 * 400 - 1


@pytest.mark.parametrize("n", SIZES)
def test_strips_cover_all_rows_once(n: int) -> None:
    strips = module._strips(n)
    assert [row for start, stop in strips for row in range(start, stop)] == list(range(n))
    heights = [stop - start for start, stop in strips]
    assert max(heights) - min(heights) <= 1
    assert n < SMALLEST or (len(strips) > 1 and max(heights) < 300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("n", "k"), [(383, 50), (384, 50), (385, 50), (577, 20), (1200, 10)])
def test_flops_are_those_of_the_call_and_about_half(n: int, k: int, dtype: torch.dtype) -> None:
    x, input = torch.ones(2, n, k, dtype=dtype), torch.ones(2, n, n, dtype=dtype)
    for added in (None, input):
        with FlopCounterMode(display=False) as counter:
            symmetric_baddbmm(x, x.mT, added)
        assert counter.get_total_flops() == 2 * symmetric_flops(n, k, CPU, dtype)
    share = symmetric_flops(n, k, CPU, dtype) / (2 * n * n * k)
    assert share == 1 if n < SMALLEST else share < {384: 0.76, 385: 0.76, 577: 0.67, 1200: 0.6}[n]


def test_where_half_is_left_out() -> None:
    bf16 = torch.bfloat16
    with mock.patch.object(module, "_has_triton", return_value=True):
        assert module._halves(256, 16, CUDA, bf16)
        assert module._halves(256, 16, CUDA, torch.float32)
        for n, k, dtype in ((240, 16, bf16), (264, 16, bf16), (256, 24, bf16), (256, 16, torch.float64)):
            assert not module._halves(n, k, CUDA, dtype)
            assert symmetric_flops(n, k, CUDA, dtype) == 2 * n * n * k
        assert symmetric_flops(256, 16, CUDA, bf16) == 256 * 257 * 16
        for device in ("mps", "xpu", "meta"):
            assert not module._halves(1024, 1024, torch.device(device), bf16)
    with mock.patch.object(module, "_has_triton", return_value=False):
        assert not module._halves(256, 16, CUDA, bf16)
    assert module._has_triton() == (find_spec("triton") is not None)


@pytest.mark.parametrize("n", [16, 400])
def test_compiles_whole_and_without_strips(n: int) -> None:
    operations: set[str] = set()

    def listed(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        operations.update(str(node.target) for node in graph.graph.nodes)
        return graph

    x, input = randn(2, n, 20), randn(2, n, n, seed=1)
    input = input + input.mT
    torch._dynamo.reset()
    compiled = torch.compile(symmetric_baddbmm, backend=listed, fullgraph=True)
    assert_product(x, x.mT, input, 0.5, 2.0, compiled(x, x.mT, input, 0.5, 2.0))
    assert not any("mm" in operation and "baddbmm" not in operation for operation in operations)


# --- The kernel, as Triton's interpreter runs it: see test_symmetric_matmul_triton.py.


class OnCuda(Tensor):
    """A tensor of the CPU that says it is on a GPU."""

    device = property(lambda self: CUDA)


def _run(name: str, *saved: bytes) -> bytes:
    """Call a function of this module on tensors "on a GPU" and count the kernel's launches."""
    from hf_muonclip.optim import symmetric_matmul_triton as triton_symmetric

    kernel, launches = triton_symmetric.symmetric_baddbmm, 0

    def counted(*args: Tensor, **keywords: Tensor | float | None) -> Tensor:
        nonlocal launches
        launches += 1
        on_cpu = [value.as_subclass(Tensor) for value in args]
        named = {
            key: value.as_subclass(Tensor) if isinstance(value, Tensor) else value for key, value in keywords.items()
        }
        return kernel(*on_cpu, **named).as_subclass(OnCuda)

    tensors = [torch.load(io.BytesIO(value)) for value in saved]
    with mock.patch.object(triton_symmetric, "symmetric_baddbmm", counted):
        result = globals()[name](*(None if tensor is None else tensor.as_subclass(OnCuda) for tensor in tensors))
    buffer = io.BytesIO()
    torch.save((result.as_subclass(Tensor), launches), buffer)
    return buffer.getvalue()


def _gram(x: Tensor) -> Tensor:
    return symmetric_baddbmm(x, x.mT)


def _weighed(x: Tensor, input: Tensor) -> Tensor:
    return symmetric_baddbmm(x, x.mT, input, -0.5, 2.0)


def _square(gram: Tensor) -> Tensor:
    return symmetric_baddbmm(gram, gram, gram, -0.5, 2.0, b_is_symmetric=True)


def _newton_schulz(x: Tensor) -> Tensor:
    return newton_schulz(x)


def run(triton_interpreter: ProcessPoolExecutor, name: str, *tensors: Tensor) -> tuple[Tensor, int]:
    buffers = []
    for tensor in tensors:
        buffers.append(io.BytesIO())
        torch.save(tensor, buffers[-1])
    saved = triton_interpreter.submit(_run, name, *(buffer.getvalue() for buffer in buffers)).result()
    return torch.load(io.BytesIO(saved))


def test_a_gpu_takes_the_kernel(triton_interpreter: ProcessPoolExecutor) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x, square = randn(2, 256, 48).to(dtype), randn(2, 256, 256, seed=1)
        input = (square + square.mT).to(dtype)
        for name, tensors, product in (
            ("_gram", (x,), (x, x.mT, None, 0.0, 1.0)),
            ("_weighed", (x, input), (x, x.mT, input, -0.5, 2.0)),
        ):
            result, launches = run(triton_interpreter, name, *tensors)
            assert launches == 1
            assert_product(*product, result)
            assert torch.equal(result, result.mT)
    for n, k in ((255, 48), (240, 48), (256, 47)):  # too small, or sizes that do not fit
        x = randn(1, n, k)
        result, launches = run(triton_interpreter, "_gram", x)
        assert launches == 0
        assert_product(x, x.mT, None, 0.0, 1.0, result)


def test_a_symmetric_factor_on_a_gpu(triton_interpreter: ProcessPoolExecutor) -> None:
    x = randn(1, 256, 256) / 16
    gram = x @ x.mT
    gram = (gram + gram.mT) / 2
    result, launches = run(triton_interpreter, "_square", gram)
    assert launches == 1
    assert_product(gram, gram, gram, -0.5, 2.0, result)


def test_newton_schulz_on_a_gpu_takes_the_kernel(triton_interpreter: ProcessPoolExecutor) -> None:
    x = randn(1, 256, 640)
    result, launches = run(triton_interpreter, "_newton_schulz", x)
    assert result.dtype == torch.bfloat16
    assert launches >= 9, "five steps, four of them with two products"
    expected = newton_schulz(x, dtype=torch.float32)
    assert (result.float() - expected).norm() / expected.norm() < 0.06
