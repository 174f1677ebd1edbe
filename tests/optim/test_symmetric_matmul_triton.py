"""The Triton kernel against float64: run by Triton's interpreter on a CPU, and as compiled on a GPU where one is.

Operands are random: of a product that is not symmetric, the upper triangle and its mirror image are expected, so that
whatever comes from below the diagonal is noticed.
"""

import importlib.util
import io
import json
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from unittest import mock

import pytest
import torch
import triton_interpreter
from error_messages import naming
from fresh_process import run_python
from torch import Tensor

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

from hf_muonclip.optim.symmetric_matmul_triton import symmetric_baddbmm

Multiply = Callable[..., Tensor]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
tl: Any = None
upper_tile: Any = None


def _multiply_in_interpreter(saved: bytes) -> bytes:
    args, keywords = torch.load(io.BytesIO(saved))
    triton_interpreter.products_taken = 0
    result = symmetric_baddbmm(*args, **keywords)
    assert result is keywords.get("out", result)
    return _saved((result, triton_interpreter.products_taken))


def _saved(value: Any) -> bytes:
    """Keep the strides of tensors and the memory around them."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Interpreter:
    """Multiplies in the interpreter's process."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self.executor = executor
        self.products_taken = 0

    def __call__(self, *args: Any, **keywords: Any) -> Tensor:
        saved = self.executor.submit(_multiply_in_interpreter, _saved((args, keywords))).result()
        result, self.products_taken = torch.load(io.BytesIO(saved))
        return result


@pytest.fixture
def interpreter(triton_interpreter: ProcessPoolExecutor) -> Interpreter:
    return Interpreter(triton_interpreter)


def whole_memory(view: Tensor) -> Tensor:
    return torch.empty(0, dtype=view.dtype, device=view.device).set_(view.untyped_storage())


def moved(value: Any, device: str) -> Any:
    """Move a view together with the memory around it."""
    if not isinstance(value, Tensor):
        return value
    return whole_memory(value).to(device).as_strided(value.shape, value.stride(), value.storage_offset())


def multiply_on_gpu(*args: Any, **keywords: Any) -> Tensor:
    """Multiply as compiled, where any wait of the host for the device is an error."""
    args = tuple(moved(value, "cuda") for value in args)
    keywords = {name: moved(value, "cuda") for name, value in keywords.items()}
    symmetric_baddbmm(*args, **keywords)  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = symmetric_baddbmm(*args, **keywords)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return moved(result, "cpu")


@pytest.fixture(params=["interpreter", "gpu"])
def multiply(request: pytest.FixtureRequest) -> Multiply:
    if request.param == "interpreter":
        return request.getfixturevalue("interpreter")
    if not torch.cuda.is_available():
        pytest.skip("the compiled kernel needs a CUDA device")
    return multiply_on_gpu


def randn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def operands(batch: int, n: int, k: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return a, b and input of which nothing is symmetric."""
    return randn(batch, n, k, dtype=dtype), randn(batch, k, n, dtype=dtype, seed=1), randn(batch, n, n, dtype=dtype)


def mirrored(matrices: Tensor) -> Tensor:
    return matrices.triu() + matrices.triu(1).mT


def assert_exact(
    multiply: Multiply,
    a: Tensor,
    b: Tensor,
    input: Tensor | None = None,
    beta: float = 0.0,
    alpha: float = 1.0,
    **keywords: Any,
) -> Tensor:
    """Check against float64: one rounding beside the error of float32 sums; and the symmetry bit by bit."""
    truth = alpha * (a.double() @ b.double())
    if input is not None:
        truth += beta * input.double()
    result = multiply(a, b, input=input, beta=beta, alpha=alpha, **keywords)
    assert result.dtype == a.dtype
    assert torch.equal(result, result.mT)
    one_rounding = max(torch.finfo(a.dtype).eps / 2, 1e-5)
    of_sums = 3e-5 * max(1.0, abs(alpha))
    torch.testing.assert_close(result.double(), mirrored(truth), rtol=one_rounding, atol=of_sums)
    return result


SHAPES = [(1, 1), (1, 70), (16, 16), (17, 3), (33, 70), (64, 64), (96, 40), (130, 257), (300, 20)]


@pytest.mark.parametrize(("n", "k"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shapes_and_dtypes(multiply: Multiply, n: int, k: int, dtype: torch.dtype) -> None:
    for batch in (1, 3):
        assert_exact(multiply, *operands(batch, n, k, dtype)[:2])
    a, b, input = operands(2, n, k, dtype)
    assert_exact(multiply, a, b, input, -4.775, 2.0315)


def test_against_loops(multiply: Multiply) -> None:
    a, _, input = operands(2, 5, 7)
    input = input + input.mT
    truth = torch.zeros(2, 5, 5, dtype=torch.float64)
    for matrix in range(2):
        for i in range(5):
            for j in range(5):
                inner = sum(float(a[matrix, i, x]) * float(a[matrix, j, x]) for x in range(7))
                truth[matrix, i, j] = 0.5 * float(input[matrix, i, j]) - 3 * inner
    result = multiply(a, a.mT, input=input, beta=0.5, alpha=-3.0)
    torch.testing.assert_close(result.double(), truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_polynomial_of_a_gram_matrix(multiply: Multiply, dtype: torch.dtype) -> None:
    """The two products of Newton–Schulz, whose operands are each other's transposes and the input itself."""
    x = randn(2, 70, 90, dtype=dtype) / 90
    gram = assert_exact(multiply, x, x.mT)
    polynomial = multiply(gram, gram, input=gram, beta=-4.775, alpha=2.0315)
    expected = torch.baddbmm(gram.double(), gram.double(), gram.double(), beta=-4.775, alpha=2.0315)
    torch.testing.assert_close(polynomial.double(), expected, rtol=max(torch.finfo(dtype).eps / 2, 1e-5), atol=1e-6)


@pytest.mark.parametrize(
    ("beta", "alpha"), [(1.0, 1.0), (0.0, 2.0), (1.0, 0.0), (-0.5, 3.0), (2, -1), (1e-3, 1e3), (0.1, 0.1)]
)
def test_factors(multiply: Multiply, beta: float, alpha: float) -> None:
    assert_exact(multiply, *operands(2, 20, 30), beta, alpha)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": Tensor.contiguous,
    "transposed": lambda dense: dense.mT.contiguous().mT,
    "batch innermost": lambda dense: dense.movedim(0, -1).contiguous().movedim(-1, 0),
    "every second": lambda dense: dense.repeat_interleave(2, -1).repeat_interleave(2, 0)[::2, :, ::2],
    "cut out": lambda dense: torch.nn.functional.pad(dense, (3, 5, 1, 2, 1, 1), value=math.nan)[1:-1, 1:-2, 3:-5],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides(multiply: Multiply, layout: str) -> None:
    a, b, input = operands(3, 70, 41)
    expected = assert_exact(multiply, a, b, input, 0.7, 1.3)
    for which in ("a", "b", "input", "out", "all") if layout != "contiguous" else ("all",):
        laid_out = {"a": a, "b": b, "input": input, "out": torch.full_like(input, math.nan)}
        for name in laid_out:
            if which in (name, "all"):
                laid_out[name] = LAYOUTS[layout](laid_out[name])
        result = assert_exact(multiply, **laid_out, beta=0.7, alpha=1.3)
        assert result.stride() == laid_out["out"].stride(), which
        torch.testing.assert_close(result, expected, rtol=0, atol=0, msg=lambda said, at=which: f"{at}: {said}")


def test_expanded_operands(multiply: Multiply) -> None:
    a, b, input = operands(1, 20, 30)
    assert_exact(multiply, a.expand(3, -1, -1), b.expand(3, -1, -1), input.expand(3, -1, -1), 1.0)
    assert_exact(multiply, randn(2, 20, 1).expand(-1, -1, 9), randn(2, 9, 20), randn(2, 1, 1).expand(-1, 20, 20), 1.0)


@pytest.mark.parametrize(("n", "dtype"), [(20, torch.float32), (150, torch.bfloat16), (300, torch.float16)])
def test_all_of_out_is_written_and_nothing_beside_it(multiply: Multiply, n: int, dtype: torch.dtype) -> None:
    around = torch.full((4, n + 9, n + 150), math.nan, dtype=dtype)
    out = around[1:3, 4:-5, 70:-80]
    a, b, _ = operands(2, n, 18, dtype)
    result = assert_exact(multiply, a, b, out=out)
    assert whole_memory(result).isfinite().sum() == 2 * n * n
    assert whole_memory(result).isnan().sum() == around.numel() - 2 * n * n


def test_a_beta_of_0_does_not_read_the_input(multiply: Multiply) -> None:
    a, b, input = operands(2, 20, 30)
    result = multiply(a, b, input=torch.full_like(input, math.nan), beta=0.0, alpha=0.3)
    torch.testing.assert_close(result, multiply(a, b, alpha=0.3), rtol=0, atol=0)
    assert multiply(a, b, input=torch.full_like(input, math.nan), beta=1e-30).isnan().all()


def test_the_lower_triangles_of_input_do_not_count(multiply: Multiply) -> None:
    a, b, input = operands(2, 150, 30)
    expected = multiply(a, b, input=input, beta=0.5)
    input[torch.ones_like(input, dtype=torch.bool).tril(-1)] = math.nan
    torch.testing.assert_close(multiply(a, b, input=input, beta=0.5), expected, rtol=0, atol=0)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_propagate_as_in_torch(multiply: Multiply, number: float) -> None:
    for n, k, row, inner in ((20, 30, 5, 29), (150, 70, 140, 3), (150, 70, 3, 69)):
        x = randn(3, n, k)
        x[1, row, inner] = number
        expected = x @ x.mT
        assert not expected[1].isfinite().all()
        assert expected[::2].isfinite().all()
        torch.testing.assert_close(multiply(x, x.mT), expected, rtol=1e-5, atol=3e-5, equal_nan=True)


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0), (0, 0, 0)])
def test_empty_shapes(multiply: Multiply, shape: tuple[int, int, int]) -> None:
    a, b, input = operands(*shape)
    assert multiply(a, b).shape == input.shape
    assert_exact(multiply, a, b, input, 0.5)
    assert torch.equal(multiply(a, b), torch.zeros_like(input))


def test_nothing_is_launched_for_an_empty_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hf_muonclip.optim.symmetric_matmul_triton._INTERPRETED", True
    )  # though it is not: a launch fails
    assert symmetric_baddbmm(torch.ones(0, 5, 3), torch.ones(0, 3, 5)).shape == (0, 5, 5)
    with pytest.raises((RuntimeError, ValueError)):
        symmetric_baddbmm(torch.ones(1, 5, 3), torch.ones(1, 3, 5))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_matrix_has_the_same_bits_in_any_batch(multiply: Multiply, dtype: torch.dtype) -> None:
    a, b, input = operands(5, 70, 90, dtype)
    together = multiply(a, b, input=input, beta=0.3)
    alone = [multiply(a[i : i + 1], b[i : i + 1], input=input[i : i + 1], beta=0.3) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("n", "dtype", "tiles", "steps"),
    [
        (16, torch.bfloat16, 1, 2),  # 70 of k in steps of 64, or 32 in float32
        (33, torch.bfloat16, 1, 2),
        (256, torch.bfloat16, 10, 2),
        (257, torch.bfloat16, 6, 2),
        (257, torch.float32, 15, 3),
        (64 * 10 - 3, torch.float32, 55, 3),  # a band and a rest
        (128 * 9, torch.float16, 45, 2),
    ],
)
def test_tiles_below_the_diagonal_are_never_multiplied(
    interpreter: Interpreter, n: int, dtype: torch.dtype, tiles: int, steps: int
) -> None:
    batch = 2 if n < 300 else 1
    a, b, input = operands(batch, n, 70, dtype)
    assert_exact(interpreter, a, b, input, 1.0)
    assert interpreter.products_taken == batch * tiles * steps


def _tiles_in_interpreter(num_tiles: int, indices: list[int], last_bit: int = 0) -> list[tuple[int, int]]:
    """Return row and column of tiles, with roots that are off by their last bit as a GPU's may be."""
    global tl, upper_tile
    import numpy
    import triton
    from triton.runtime import interpreter

    from hf_muonclip.optim import symmetric_matmul_triton

    tl, upper_tile = triton.language, symmetric_matmul_triton._upper_tile

    def root(self: Any, number: Any) -> Any:
        exact = numpy.sqrt(number.data)
        data = numpy.nextafter(exact, exact.dtype.type(last_bit * math.inf)) if last_bit else exact
        return interpreter.TensorHandle(data, number.dtype.scalar)

    @triton.jit
    def locate(indices_ptr, found_ptr, num_tiles, band: tl.constexpr):
        place = tl.program_id(0)
        row, column = upper_tile(tl.load(indices_ptr + place), num_tiles, band)
        tl.store(found_ptr + 2 * place, row)
        tl.store(found_ptr + 2 * place + 1, column)

    found = torch.full((len(indices), 2), -1, dtype=torch.int32)
    with mock.patch.object(interpreter.InterpreterBuilder, "create_sqrt", root):
        locate[(len(indices),)](torch.tensor(indices, dtype=torch.int32), found, num_tiles, band=8)
    return [(row, column) for row, column in found.tolist()]


@pytest.mark.parametrize("last_bit", [-1, 0, 1])
@pytest.mark.parametrize("num_tiles", [1, 2, 7, 8, 9, 17])
def test_every_upper_tile_has_one_program(interpreter: Interpreter, num_tiles: int, last_bit: int) -> None:
    indices = list(range(num_tiles * (num_tiles + 1) // 2))
    found = interpreter.executor.submit(_tiles_in_interpreter, num_tiles, indices, last_bit).result()
    assert sorted(found) == [(row, column) for row in range(num_tiles) for column in range(row, num_tiles)]


def test_tiles_that_run_together_share_rows_and_columns(interpreter: Interpreter) -> None:
    found = interpreter.executor.submit(_tiles_in_interpreter, 64, list(range(1203, 1267))).result()
    rows, columns = ({tile[side] for tile in found} for side in (0, 1))
    assert (len(rows), len(columns)) == (9, 8), "64 tiles, not 52 rows of two columns"


@pytest.mark.parametrize("last_bit", [-1, 0, 1])
@pytest.mark.parametrize("band", [3000, 4096, 5700])
def test_places_that_float32_cannot_count_to(interpreter: Interpreter, band: int, last_bit: int) -> None:
    num_tiles, first = 46_336, 8 * band
    above, width = first * (first + 1) // 2, 8
    triangle = above + first * width
    expected = {
        above - 1: (first - 1, first - 1),
        above: (0, first),
        above + 1: (0, first + 1),
        triangle - 1: (first - 1, first + 7),
        triangle: (first, first),
        triangle + 35: (first + 7, first + 7),
        triangle + 36: (0, first + 8),
    }
    found = interpreter.executor.submit(_tiles_in_interpreter, num_tiles, list(expected), last_bit).result()
    assert found == list(expected.values())


def _far_apart_in_interpreter(which: str, dim: int) -> bytes:
    """Multiply 3 by 3 where one tensor's elements lie 2³⁰ apart in one dimension: 32 bits do not reach the third."""
    from triton.runtime import interpreter

    tensors = dict(zip(("a", "b", "input"), operands(3, 3, 3, torch.bfloat16), strict=True))
    tensors["out"] = torch.full((3, 3, 3), math.nan, dtype=torch.bfloat16)
    strides = [9, 9, 9]
    strides[dim], strides[dim - 1] = 2**30, 3
    memory = torch.UntypedStorage(2 * (2**31 + 64))  # the system gives only the pages that are written
    far = torch.empty(0, dtype=torch.bfloat16).set_(memory, 0, (3, 3, 3), strides).copy_(tensors[which])
    # The operands are on the host; the interpreter would copy their whole memory onto itself.
    with mock.patch.object(interpreter.GridExecutor, "_restore_args_dev"):
        result = symmetric_baddbmm(**{**tensors, which: far}, beta=0.5)
    return _saved(result.clone(memory_format=torch.contiguous_format))


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("which", ["a", "b", "input", "out"])
def test_offsets_beyond_32_bits(interpreter: Interpreter, which: str, dim: int) -> None:
    saved = interpreter.executor.submit(_far_apart_in_interpreter, which, dim).result()
    a, b, input = operands(3, 3, 3, torch.bfloat16)
    expected = interpreter(a, b, input=input, beta=0.5)
    torch.testing.assert_close(torch.load(io.BytesIO(saved)), expected, rtol=0, atol=0)


def test_steps_along_k_beyond_32_bits(interpreter: Interpreter) -> None:
    """Steps of 32 or 64 columns, 2²⁶ apart."""
    for which in ("a", "b"):
        saved = interpreter.executor.submit(_long_steps_in_interpreter, which).result()
        a, b, _ = operands(1, 2, 33)
        torch.testing.assert_close(torch.load(io.BytesIO(saved)), interpreter(a, b), rtol=0, atol=0)


def _long_steps_in_interpreter(which: str) -> bytes:
    from triton.runtime import interpreter

    tensors = dict(zip(("a", "b"), operands(1, 2, 33)[:2], strict=True))
    shape = tensors[which].shape
    memory = torch.UntypedStorage(4 * (2**31 + 64))
    strides = (0, 1, 2**26) if which == "a" else (0, 2**26, 1)
    far = torch.empty(0).set_(memory, 0, shape, strides).copy_(tensors[which])
    with mock.patch.object(interpreter.GridExecutor, "_restore_args_dev"):
        return _saved(symmetric_baddbmm(**{**tensors, which: far}))


A, B, INPUT = operands(2, 5, 3)
MEMORY = torch.zeros(79)


@pytest.mark.parametrize(
    ("args", "keywords", "said"),
    [
        ((A[0], B[0]), {}, naming("(batch, n, k)", "(5, 3)", "(3, 5)", "unsqueeze")),
        ((A[None], B[None]), {}, naming("(1, 2, 5, 3)")),
        ((A, A), {}, naming("(2, 5, 3) and (2, 5, 3)")),
        ((A, B[:1]), {}, naming("(2, 5, 3)", "(1, 3, 5)")),
        ((A.double(), B.double()), {}, naming("torch.float64", "torch.baddbmm")),
        ((A.int(), B.int()), {}, naming("torch.int32")),
        ((A, B.half()), {}, naming("b", "torch.float32", "torch.float16")),
        ((A, B.to("meta")), {}, naming("b", "torch.float32 on meta")),
        ((A, B), {"beta": 0.5}, naming("beta=0.5", "input=")),
        ((A, B), {"beta": 1.0, "input": INPUT[:1]}, naming("input", "(2, 5, 5)", "(1, 5, 5)")),
        ((A, B), {"beta": 1.0, "input": INPUT.half()}, naming("input", "torch.float32", "torch.float16")),
        ((A, B), {"out": INPUT[..., :4]}, naming("out", "(2, 5, 5)", "(2, 5, 4)")),
        ((A, B), {"out": INPUT.bfloat16()}, naming("out", "torch.float32", "torch.bfloat16")),
        ((INPUT, B.new_zeros(2, 5, 5)), {"out": INPUT}, naming("out", "overlaps a")),
        ((B.new_zeros(2, 5, 5), INPUT.mT), {"out": INPUT}, naming("out", "overlaps b")),
        ((A, B), {"out": INPUT, "input": INPUT, "beta": 1.0}, naming("out", "overlaps input")),
        ((MEMORY[:30].view(2, 5, 3), B), {"out": MEMORY[29:].view(2, 5, 5)}, naming("out", "overlaps a")),
        ((MEMORY[49:].view(2, 5, 3), B), {"out": MEMORY[:50].view(2, 5, 5)}, naming("out", "overlaps a")),
        (
            (A, B),
            {"out": INPUT.view(-1)[-25:].view(1, 5, 5).expand(2, -1, -1), "input": INPUT},
            naming("out", "overlaps input"),
        ),
        ((A, B), {}, naming("cuda", "cpu", "torch.baddbmm")),
        ((A[:0], B[:0]), {}, naming("cpu")),
    ],
)
def test_what_does_not_fit_is_refused(args: tuple[Tensor, ...], keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        symmetric_baddbmm(*args, **keywords)


def test_neighbours_in_one_memory_do_not_overlap(multiply: Multiply) -> None:
    memory = torch.zeros(4, 5, 5)
    memory[:2] = INPUT
    assert_exact(multiply, A, B, memory[:2], 1.0, out=memory[2:])
    assert_exact(multiply, memory[:1], memory[1:2], memory[2:3], 1.0, out=memory[3:])


def test_a_captured_graph_replays() -> None:
    if not torch.cuda.is_available():
        pytest.skip("CUDA graphs need a CUDA device")
    x = randn(3, 300, 70, dtype=torch.bfloat16).cuda()
    symmetric_baddbmm(x, x.mT)  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gram = symmetric_baddbmm(x, x.mT)
    x.copy_(randn(3, 300, 70, dtype=torch.bfloat16, seed=7))
    graph.replay()
    torch.testing.assert_close(gram, symmetric_baddbmm(x, x.mT), rtol=0, atol=0)


COMPILE = """
import json, torch, triton
import torch.utils._triton
torch.utils._triton.has_triton = lambda **_: True  # Dynamo knows Triton's kernels only where a device could run them
from triton.backends.compiler import GPUTarget
from hf_muonclip.optim import symmetric_matmul_triton as module

module._INTERPRETED = True  # takes tensors of the CPU
graphs = []

def keep(graph, inputs):
    graphs.append("triton_kernel_wrapper_mutation" in graph.code)
    return lambda *args: (torch.zeros(2, 33, 33),)

def polynomial(x, beta, alpha):
    gram = module.symmetric_baddbmm(x, x.mT)
    return module.symmetric_baddbmm(gram, gram, input=gram, beta=beta, alpha=alpha, out=torch.empty_like(gram))

for dynamic in (True, False):
    torch._dynamo.reset()
    torch.compile(polynomial, backend=keep, fullgraph=True, dynamic=dynamic)(torch.zeros(2, 33, 24), -4.775, 2.0315)

class Hopper:
    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)
    def get_current_device(self):
        return 0
    def get_current_stream(self, device):
        return 0

triton.runtime.driver.set_active(Hopper())
kernel, binaries = module._symmetric_kernel, []
compile_and_launch = kernel.run
kernel.run = lambda *args, **kwargs: binaries.append(compile_and_launch(*args, **{**kwargs, "warmup": True}))

def compile_kernel(n, k, dtype, beta=0.5, batch=2):
    x, input = torch.zeros(batch, n, k, dtype=dtype), torch.zeros(batch, n, n, dtype=dtype)
    module.symmetric_baddbmm(x, x.mT, input=input, beta=beta)

for n, dtype in ((512, torch.bfloat16), (64, torch.float16), (16, torch.bfloat16), (512, torch.float32)):
    compile_kernel(n, 256, dtype)
compile_kernel(1, 1, torch.bfloat16)
compile_kernel(33, 7, torch.float32, 0.0)
marks = ("wgmma", "mma.sync", "cp.async.cg", "st.global.v4", "tf32")
binary_marks = [[mark for mark in marks if mark in binary.asm["ptx"]] for binary in binaries]
stores = [binary.asm["ptx"].count("st.global") - binary.asm["ptx"].count("st.global.v4") for binary in binaries[:4]]
shared = [binary.metadata.shared for binary in binaries]
binaries.clear()
for n, k, batch in ((512, 512, 1), (512, 512, 3), (1024, 4096, 2), (2048, 160, 2)):
    compile_kernel(n, k, torch.bfloat16, batch=batch)
print(json.dumps(dict(graphs=graphs, binary_marks=binary_marks, narrow_stores=stores, shared=shared,
                      binaries_for_4_sizes=len({binary.hash for binary in binaries}))))
"""


@pytest.mark.slow
def test_triton_and_torch_compile_take_the_kernel_without_a_device(tmp_path: Any) -> None:
    compiled = json.loads(run_python(COMPILE, tmp_path))
    assert compiled["binary_marks"] == [
        ["wgmma", "cp.async.cg", "st.global.v4"],  # Hopper's products, operands loaded ahead
        ["wgmma", "cp.async.cg", "st.global.v4"],
        ["mma.sync", "cp.async.cg", "st.global.v4"],  # a tile of 16, too small for a warp group
        ["cp.async.cg", "st.global.v4"],  # float32 by float32
        ["mma.sync"],
        [],
    ]
    assert compiled["narrow_stores"] == [0] * 4, "the mirrored tile, too, is written 16 bytes at a time"
    assert max(compiled["shared"]) <= 96 * 1024
    assert compiled["binaries_for_4_sizes"] == 1
    assert compiled["graphs"] == [True] * 2, "the launch must be in the graph"
