"""The Triton kernel against brute force: run by Triton's interpreter on a CPU, and as compiled on a GPU where one is.

Tests hand the interpreter's process operands and get the result back, and the number of products that were taken.
"""

import importlib.util
import json
import math
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import reference
import torch
import triton_interpreter
from error_messages import naming
from fresh_process import run_python
from torch import Tensor

from hf_muonclip.attention.capture.pair_mask import PairMask
from hf_muonclip.attention.capture.tiled_maxima import exact_max_logits, max_logit_bound

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

Measure = Callable[..., Tensor]
LAYOUTS = {"mha": (4, 4), "gqa": (4, 2), "mqa": (4, 1)}
QUERIES, KEYS, SPAN = 128, 64, 512  # of a program, a tile, and a bound, at the head_dim of 16 of most tests


def _measure_in_interpreter(pickled: bytes) -> bytes:
    from hf_muonclip.attention.capture import max_logits_triton as triton_max_logits

    args, largest_norms = pickle.loads(pickled)
    triton_interpreter.products_taken = 0
    replacement = triton_max_logits._largest_norms if largest_norms is None else lambda *_: largest_norms.pop(0)
    with mock.patch.object(triton_max_logits, "_largest_norms", replacement):
        measured = triton_max_logits.triton_max_logits(*args)
    return pickle.dumps((measured, triton_interpreter.products_taken))


class Interpreter:
    """Measures in the interpreter's process."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self.executor = executor
        self.products_taken = 0

    def __call__(self, *args: Any, largest_norms: list[Tensor] | None = None) -> Tensor:
        pickled = self.executor.submit(_measure_in_interpreter, pickle.dumps((args, largest_norms))).result()
        measured, self.products_taken = pickle.loads(pickled)
        return measured


@pytest.fixture
def interpreter(triton_interpreter: ProcessPoolExecutor) -> Interpreter:
    return Interpreter(triton_interpreter)


def measure_on_gpu(query: Tensor, key: Tensor, mask: PairMask, scaling: float | Tensor, *threshold: float) -> Tensor:
    """Measure as compiled, where any wait of the host for the device is an error."""
    from hf_muonclip.attention.capture.max_logits_triton import triton_max_logits

    values = {field.name: getattr(mask, field.name) for field in fields(mask)}
    moved = {name: value.cuda() for name, value in values.items() if isinstance(value, Tensor)}
    mask = replace(mask, device=torch.device("cuda"), **moved)
    args = (query.cuda(), key.cuda(), mask, scaling.cuda() if isinstance(scaling, Tensor) else scaling, *threshold)
    triton_max_logits(*args)  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        measured = triton_max_logits(*args)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return measured.cpu()


@pytest.fixture(params=["interpreter", "gpu"])
def measure(request: pytest.FixtureRequest) -> Measure:
    if request.param == "interpreter":
        return request.getfixturevalue("interpreter")
    if not torch.cuda.is_available():
        pytest.skip("the compiled kernel needs a CUDA device")
    return measure_on_gpu


def operands(
    heads: int = 4,
    key_heads: int = 2,
    query_length: int = 33,
    key_length: int = 33,
    head_dim: int = 16,
    dtype: torch.dtype = torch.float32,
    batch: int = 2,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, heads, query_length, head_dim, generator=generator)
    return query.to(dtype), torch.randn(batch, key_heads, key_length, head_dim, generator=generator).to(dtype)


def allowed_pairs(mask: PairMask, heads: int) -> Tensor:
    """Return (batch, heads, query_length, key_length) from what `PairMask` says of its attributes."""
    queries, keys = torch.arange(mask.query_length)[:, None], torch.arange(mask.key_length)
    allowed = torch.ones(mask.batch, heads, mask.query_length, mask.key_length, dtype=torch.bool)
    if mask.causal:
        allowed &= keys <= queries + mask.offset
    if mask.window is not None:
        allowed &= (queries + mask.offset - keys).abs() < mask.window
    for blocked in (mask.dense_blocked, mask.blocked_queries, mask.blocked_keys):
        if blocked is not None:
            allowed &= ~blocked
    if mask.query_documents is not None:
        allowed &= mask.query_documents[:, None] == mask.key_documents
    return allowed


def assert_exact(measure: Measure, query: Tensor, key: Tensor, mask: PairMask, scaling: float | Tensor = 0.3) -> Tensor:
    """Check all heads with and without a threshold that the smallest of them exceeds, and return them."""
    truth = reference.max_logits(query, key, float(scaling), allowed_pairs(mask, query.shape[1]))
    measured = measure(query, key, mask, scaling)
    assert measured.dtype == torch.float32
    torch.testing.assert_close(measured.double(), truth, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(measured, exact_max_logits(query, key, mask, scaling), rtol=1e-5, atol=1e-6)
    if truth.min() > 0:
        screened = measure(query, key, mask, scaling, float(truth.min()) * 0.999)
        torch.testing.assert_close(screened, measured, rtol=0, atol=0)
    return measured


def plain(query: Tensor, key: Tensor, **attributes: Any) -> PairMask:
    return PairMask(query.shape[2], key.shape[2], query.device, batch=query.shape[0], **attributes)


def random_blocked(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) > 0.6


DOCUMENTS = torch.arange(33) // 9
MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "causal": {"causal": True},
    "causal with an offset": {"causal": True, "offset": 5},
    "causal with queries before all keys": {"causal": True, "offset": -6},
    "window": {"causal": True, "window": 4},
    "window with an offset": {"causal": True, "window": 4, "offset": -3},
    "window to both sides": {"window": 4, "offset": 2},
    "dense": {"dense_blocked": random_blocked(2, 4, 33, 33)},
    "dense for all heads": {"dense_blocked": random_blocked(2, 1, 33, 33)},
    "dense for all sequences": {"dense_blocked": random_blocked(1, 4, 33, 33)},
    "dense by rows": {"dense_blocked": random_blocked(2, 1, 1, 33).expand(-1, -1, 33, -1)},
    "dense cut from a longer one": {"dense_blocked": random_blocked(2, 1, 33, 50)[..., :33]},
    "padding": {"blocked_queries": random_blocked(2, 1, 33, 1), "blocked_keys": random_blocked(2, 1, 1, 33, seed=2)},
    "queries padded per head": {"blocked_queries": random_blocked(1, 4, 33, 1)},
    "documents": {"causal": True, "query_documents": DOCUMENTS, "key_documents": DOCUMENTS},
    "all at once": {
        "causal": True,
        "window": 20,
        "dense_blocked": random_blocked(2, 4, 33, 33),
        "blocked_queries": random_blocked(2, 4, 33, 33).diagonal(dim1=-2, dim2=-1).unsqueeze(-1),
        "blocked_keys": random_blocked(2, 1, 1, 33, seed=2),
        "query_documents": DOCUMENTS,
        "key_documents": DOCUMENTS,
    },
}


@pytest.mark.parametrize(
    ("kind", "layout"), [*((kind, "gqa") for kind in MASKS), ("all at once", "mha"), ("all at once", "mqa")]
)
def test_every_mask_and_head_layout(measure: Measure, kind: str, layout: str) -> None:
    query, key = operands(*LAYOUTS[layout])
    mask = plain(query, key, **MASKS[kind])
    for head in range(4):  # the largest product of each head is one that must not count
        blocked = (~allowed_pairs(mask, 4)[:, head]).nonzero()
        if kind != "none":
            sequence, i, j = blocked[len(blocked) // 2].tolist()
            query[sequence, head, i] = 8 * key[sequence, head // (4 // key.shape[1]), j]
    measured = assert_exact(measure, query, key, mask)
    everything = reference.max_logits(query, key, 0.3, torch.ones(2, 33, 33, dtype=torch.bool))
    assert ((measured.double() < everything * 0.9) == (kind != "none")).all()


@pytest.mark.parametrize(("query_length", "key_length"), [(1, 1), (1, 7), (7, 7), (7, 130), (130, 7), (130, 130)])
@pytest.mark.parametrize("kind", ["none", "causal", "window"])
def test_lengths(measure: Measure, query_length: int, key_length: int, kind: str) -> None:
    query, key = operands(2, 1, query_length, key_length)
    attributes = {} if kind == "none" else {"offset": key_length - query_length} | MASKS[kind]
    assert_exact(measure, query, key, plain(query, key, **attributes))


def test_masks_over_several_tiles(measure: Measure) -> None:
    query, key = operands(2, 1, 150, 140)
    documents = torch.arange(150) // 40
    for attributes in (
        {"dense_blocked": random_blocked(2, 2, 150, 140)},
        {"blocked_queries": random_blocked(2, 1, 150, 1), "blocked_keys": random_blocked(2, 1, 1, 140)},
        {"query_documents": documents, "key_documents": documents[:140]},
        {"window": 70, "offset": -10},
    ):
        assert_exact(measure, query, key, plain(query, key, **attributes))


@pytest.mark.parametrize("head_dim", [8, 16, 24, 80, 96, 192])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_head_dims_and_dtypes(measure: Measure, head_dim: int, dtype: torch.dtype) -> None:
    query, key = operands(2, 1, 9, 9, head_dim, dtype)
    query[..., -1] *= 20  # the last dimension must count
    assert_exact(measure, query, key, plain(query, key, causal=True))


def test_operands_of_two_dtypes_and_of_float64(measure: Measure) -> None:
    query, key = operands()
    assert_exact(measure, query, key.bfloat16(), plain(query, key))
    assert_exact(measure, query.double(), key.double(), plain(query, key))


def test_operands_that_are_not_contiguous(measure: Measure) -> None:
    query, key = operands(4, 2, 33, 33, 32)
    by_token = query.transpose(1, 2).contiguous().transpose(1, 2)
    assert_exact(measure, by_token, key.mT.contiguous().mT, plain(query, key, causal=True))
    every_second = query[..., ::2]
    assert_exact(measure, every_second, key[..., :16], plain(query, key, causal=True))
    assert_exact(
        measure, query[:, ::2, ::3], key[:, :1, 5:16].expand(2, 2, 11, 32), plain(query[:, :, ::3], key[:, :, 5:16])
    )


@pytest.mark.parametrize("scaling", [-0.3, 0.0, torch.tensor(0.2), torch.tensor(-0.2, dtype=torch.float64)])
def test_scalings(measure: Measure, scaling: float | Tensor) -> None:
    query, key = operands()
    blocked = torch.zeros(1, 4, 33, 33, dtype=torch.bool)
    blocked[:, 2] = True
    measured = assert_exact(measure, query, key, plain(query, key, dense_blocked=blocked), scaling)
    assert measured[2] == -math.inf


def test_a_head_whose_logits_are_all_negative(measure: Measure) -> None:
    query, key = operands(2, 2, 130, 130)
    query[:, 1], key[:, 1] = -query[:, 1].abs(), key[:, 1].abs()
    measured = assert_exact(measure, query, key, plain(query, key))
    assert measured[1] < 0 < measured[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_threshold_never_hides_a_head_above_it(measure: Measure, layout: str) -> None:
    skipped = exact = 0
    for seed in range(4):
        query, key = operands(*LAYOUTS[layout], 20, 150, seed=seed)
        query *= 10 ** torch.linspace(-1, 1, 4).view(1, 4, 1, 1)
        mask = plain(query, key)
        truth = reference.max_logits(query, key, -0.3, allowed_pairs(mask, 4))
        threshold = float(truth.median()) * 0.999
        measured = measure(query, key, mask, -0.3, threshold)
        above, bound = truth > threshold, max_logit_bound(query, key, -0.3)
        torch.testing.assert_close(measured[above].double(), truth[above], rtol=1e-5, atol=1e-6)
        assert (measured.double() <= truth * (1 + 1e-5)).all()
        assert (measured[bound < threshold * 0.99] == -math.inf).all()
        skipped += int((bound < threshold * 0.99).sum())
        exact += int(above.sum())
    assert min(skipped, exact) >= 4


@pytest.mark.parametrize("distance", [-1e-6, -1e-7, 0.0, 1e-7, 1e-6])
def test_right_at_the_threshold(measure: Measure, distance: float) -> None:
    key = torch.randn(1, 16, 1, 16, generator=torch.Generator().manual_seed(0))
    mask = plain(key, key)
    truth = reference.max_logits(key, key, 1.0, allowed_pairs(mask, 16))  # parallel: the bound is the maximum
    for head in (0, 7, 15):
        threshold = float(truth[head] / (1 + distance))
        measured = measure(key, key, mask, 1.0, threshold)
        above = truth > threshold
        torch.testing.assert_close(measured[above].double(), truth[above], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("where", [0, 600])
@pytest.mark.parametrize("which", ["query", "key"])
@pytest.mark.parametrize("threshold", [(), (1e6,), (math.inf,)])
def test_nan_reaches_the_result_of_its_head(
    measure: Measure, where: int, which: str, threshold: tuple[float, ...]
) -> None:
    query, key = operands(3, 3, 700, 700, batch=1)
    for nan in (math.nan, -math.nan):
        (query if which == "query" else key)[0, 1, where, 3] = nan
        (key if which == "query" else query)[0, 1, 600 - where, 3] *= 1e3  # a rival
        measured = measure(query, key, plain(query, key, window=10), 0.5, *threshold)
        assert measured[1].isnan()
        assert (measured[[0, 2]] == -math.inf).all() if threshold else measured[[0, 2]].isfinite().all()


def test_nan_in_a_pair_that_does_not_count_is_no_result(measure: Measure) -> None:
    query, key = operands()
    blocked = torch.zeros(2, 1, 1, 33, dtype=torch.bool)
    blocked[..., 7] = True
    expected = measure(query, key, mask := plain(query, key, blocked_keys=blocked), 0.3)
    key[..., 7, :] = math.nan
    for threshold in ((), (float(expected.min()) * 0.9,)):
        torch.testing.assert_close(measure(query, key, mask, 0.3, *threshold), expected, rtol=0, atol=0)


@pytest.mark.parametrize("threshold", [(), (1.0,), (math.inf,)])
def test_infinity_does_not_hide_nan(measure: Measure, threshold: tuple[float, ...]) -> None:
    query, key = torch.ones(1, 1, 1, 16), torch.ones(1, 1, 700, 16)
    query[..., 0] = math.inf  # inf·1 in the first span, inf·0 in the last
    assert measure(query, key, plain(query, key), 0.5, *threshold).tolist() == [math.inf]
    key[..., 650, 0] = 0
    assert measure(query, key, plain(query, key), 0.5, *threshold).isnan().all()


@pytest.mark.parametrize("threshold", [(), (1.0,)])
def test_a_scaling_of_nan(measure: Measure, threshold: tuple[float, ...]) -> None:
    query, key = operands()
    assert measure(query, key, plain(query, key), math.nan, *threshold).isnan().all()


def test_a_head_without_any_pair_is_minus_infinity(measure: Measure) -> None:
    query, key = operands(3, 3)
    blocked = torch.zeros(1, 3, 33, 1, dtype=torch.bool)
    blocked[:, 1] = True
    for threshold in ((), (1e-3,)):
        measured = measure(query, key, plain(query, key, blocked_queries=blocked), 0.3, *threshold)
        assert measured[1] == -math.inf
        assert (measured[[0, 2]] > 0).all()


@pytest.mark.parametrize(
    ("attributes", "tiles"),
    [
        ({}, 3 * 5),
        ({"causal": True}, 2 + 4 + 5),
        ({"causal": True, "offset": -QUERIES}, 0 + 2 + 3),
        ({"causal": True, "window": 30}, 2 + 3 + 2),
        ({"window": 30}, 3 + 4 + 2),
        ({"blocked_queries": (torch.arange(300) >= 10).view(1, 1, 300, 1), "causal": True}, 1),
        ({"query_documents": torch.arange(300) // 64, "key_documents": torch.arange(300) // 64}, 2 + 2 + 1),
        ({"dense_blocked": ~torch.ones(1, 1, 300, 300, dtype=torch.bool).tril()}, 2 + 4 + 5),
    ],
)
def test_tiles_that_no_query_sees_are_not_visited(interpreter: Interpreter, attributes: Any, tiles: int) -> None:
    query, key = operands(1, 1, 300, 300, batch=1)
    mask = plain(query, key, **attributes)
    measured = interpreter(query, key, mask, 0.3)
    assert interpreter.products_taken == tiles
    truth = reference.max_logits(query, key, 0.3, allowed_pairs(mask, 1))
    torch.testing.assert_close(measured.double(), truth, rtol=1e-5, atol=1e-6)


def test_only_heads_and_spans_whose_bound_exceeds_the_threshold_cost_products(interpreter: Interpreter) -> None:
    query, key = operands(3, 3, 20, 3 * SPAN, batch=1)
    query[:, 1] *= 1e-3  # one head under the threshold
    key[:, 2, SPAN : 2 * SPAN] *= 1e-3  # and one span of another
    mask, truth = plain(query, key), interpreter(query, key, plain(query, key), 0.3)
    assert interpreter.products_taken == 3 * 3 * SPAN // KEYS
    measured = interpreter(query, key, mask, 0.3, float(truth[[0, 2]].min()) * 0.9)
    assert interpreter.products_taken == (3 + 0 + 2) * SPAN // KEYS
    torch.testing.assert_close(measured[[0, 2]], truth[[0, 2]], rtol=0, atol=0)
    assert measured[1] == -math.inf


def test_what_a_head_has_reached_spares_it_the_spans_under_that(interpreter: Interpreter) -> None:
    query, key = operands(1, 1, 2 * QUERIES, 2 * SPAN, batch=1)
    query[:, :, QUERIES:] *= 10  # programs start with the last queries, whose bound is the larger
    key[0, 0, 3] = query[0, 0, -1] / 10  # parallel, in the first span: the maximum comes close to the bound
    key[:, :, SPAN:] *= 0.1
    measured = interpreter(query, key, plain(query, key), 0.3, 1e-3)
    assert interpreter.products_taken == SPAN // KEYS, "one program, one span"
    torch.testing.assert_close(measured, interpreter(query, key, plain(query, key), 0.3), rtol=0, atol=0)
    assert interpreter.products_taken == 2 * 2 * SPAN // KEYS


def test_bounds_decide_by_the_sequence_and_the_key_head(interpreter: Interpreter) -> None:
    """Made-up norms: only query head 3 of sequence 1, whose key head is 1, seems to exceed the threshold."""
    query, key = operands()
    query_norms, key_norms = torch.zeros(2, 4, 1), torch.zeros(2, 2, 1)
    query_norms[1, 3], key_norms[1, 1] = 1.0, 1e6
    measured = interpreter(query, key, plain(query, key), 0.3, 1.0, largest_norms=[query_norms, key_norms])
    assert interpreter.products_taken == 1
    truth = reference.max_logits(query[1:], key[1:], 0.3, torch.ones(1, 33, 33, dtype=torch.bool))
    assert (measured[:3] == -math.inf).all()
    torch.testing.assert_close(measured[3].double(), truth[3], rtol=1e-5, atol=1e-6)


def test_a_head_too_wide_is_refused_with_the_way_out(interpreter: Interpreter) -> None:
    query, key = operands(1, 1, 2, 2, 513)
    with pytest.raises(ValueError, match=naming("head_dim 513", "torch.float32", 2052, "exact_max_logits")):
        interpreter(query, key, plain(query, key), 0.3)


def _supports_in_interpreter(mask: PairMask, query: Tensor) -> bool:
    from hf_muonclip.attention.capture.max_logits_triton import supports

    return supports(mask, query)


def test_masks_that_are_python_code_and_rows_that_are_too_wide_are_not_supported(interpreter: Interpreter) -> None:
    plain_mask = PairMask(3, 3, torch.device("cpu"), **MASKS["all at once"])
    for mask, head_dim, dtype, expected in (
        (plain_mask, 512, torch.float32, True),
        (plain_mask, 513, torch.float32, False),
        (plain_mask, 1024, torch.bfloat16, True),
        (plain_mask, 1025, torch.bfloat16, False),
        (PairMask(3, 3, torch.device("cpu"), mask_mod=math.prod), 16, torch.float32, False),
    ):
        query = torch.zeros(1, 1, 3, head_dim, dtype=dtype)
        assert interpreter.executor.submit(_supports_in_interpreter, mask, query).result() is expected


COMPILE = """
import json, torch, triton
import torch.utils._triton
torch.utils._triton.has_triton = lambda **_: True  # Dynamo knows Triton's kernels only where a device could run them
from triton.backends.compiler import GPUTarget
from hf_muonclip.attention.capture import max_logits_triton as module
from hf_muonclip.attention.capture.pair_mask import PairMask

graphs = []

def keep(graph, inputs):
    graphs.append("triton_kernel_wrapper_mutation" in graph.code)
    return lambda *args: (torch.zeros(4),)

def measured(query, key, scaling, threshold):
    return module.triton_max_logits(query, key, PairMask(33, 33, query.device, causal=True), scaling, threshold)

query = torch.zeros(1, 4, 33, 24)
for scaling, threshold, dynamic in ((0.3, None, True), (0.3, 9.0, False), (torch.tensor(0.3), 9.0, True)):
    torch._dynamo.reset()
    torch.compile(measured, backend=keep, fullgraph=True, dynamic=dynamic)(query, query, scaling, threshold)

class Hopper:
    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)
    def get_current_device(self):
        return 0
    def get_current_stream(self, device):
        return 0

triton.runtime.driver.set_active(Hopper())
kernel, binaries = module._max_logits_kernel, []
compile_and_launch = kernel.run
kernel.run = lambda *args, **kwargs: binaries.append(compile_and_launch(*args, **{**kwargs, "warmup": True}))

def compile_kernel(length, head_dim, dtype, threshold, **attributes):
    query, key = torch.zeros(2, 4, length, head_dim, dtype=dtype), torch.zeros(2, 2, length, head_dim, dtype=dtype)
    module.triton_max_logits(query, key, PairMask(length, length, query.device, **attributes), 0.3, threshold)

blocked, documents = torch.zeros(2, 1, 33, 33, dtype=torch.bool), torch.zeros(33, dtype=torch.long)
everything = dict(dense_blocked=blocked, blocked_queries=blocked[..., :1], blocked_keys=blocked[:, :, :1],
                  query_documents=documents, key_documents=documents, causal=True, window=9)
compile_kernel(33, 192, torch.bfloat16, 9.0, causal=True)
compile_kernel(33, 80, torch.float16, None)
compile_kernel(33, 64, torch.bfloat16, 9.0, **everything)
compile_kernel(33, 32, torch.float32, 9.0)
marks = ("wgmma", "cp.async", "max.NaN.f32", "tf32")
binary_marks = [[mark for mark in marks if mark in binary.asm["ptx"]] for binary in binaries]
shared = [binary.metadata.shared for binary in binaries]
binaries.clear()
for length in (1, 7, 64, 512, 2048):
    compile_kernel(length, 64, torch.bfloat16, None, causal=True)
lengths = len({binary.hash for binary in binaries})
print(json.dumps(dict(graphs=graphs, binary_marks=binary_marks, shared=shared, binaries_for_5_lengths=lengths)))
"""


@pytest.mark.slow
def test_triton_and_torch_compile_take_the_kernel_without_a_device(tmp_path: Path) -> None:
    compiled = json.loads(run_python(COMPILE, tmp_path))
    assert compiled["binary_marks"] == [
        ["wgmma", "cp.async", "max.NaN.f32"],  # Hopper's products, keys loaded ahead
        ["wgmma", "cp.async", "max.NaN.f32"],
        ["wgmma", "max.NaN.f32"],  # a dense mask or documents: a tile is loaded once a pair in it counts
        ["cp.async", "max.NaN.f32"],  # float32 by float32
    ]
    assert max(compiled["shared"]) <= 96 * 1024
    assert compiled["binaries_for_5_lengths"] == 1
    assert compiled["graphs"] == [True] * 3, "the launch must be in the graph"
