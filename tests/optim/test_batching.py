"""Batches hold every matrix once, of one shape, within the bound, and cut stacks of experts between their slices."""

import gc
import itertools
import math
import weakref

import pytest
import torch
from error_messages import naming
from tiny_parameters import VIEWS, every_kind, parameter
from torch import Tensor

from hf_muonclip.optim import batching as matrix_batches
from hf_muonclip.optim.batching import MOST_ON_ONE_THREAD, MatrixBlock, batches, fits_one_thread
from hf_muonclip.optim.matrix_view import PLAIN, MatrixView, to_matrices
from hf_muonclip.optim.muon import Muon

# Bytes: less than one matrix, of one, of some, of all.
BOUNDS = [1, 240, 500, 1000, 10**6, None]


pytestmark = pytest.mark.usefixtures("one_thread")  # threads share a bound


def matrices_only() -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in every_kind().items() if weight.ndim > 1}


def bytes_of(batch: list[MatrixBlock]) -> int:
    return sum(4 * block.num_matrices * math.prod(block.matrix_shape) for block in batch)


@pytest.mark.parametrize("bound", BOUNDS)
def test_every_entry_is_in_exactly_one_block(bound: int | None) -> None:
    parameters = matrices_only()
    counts = {name: torch.zeros_like(weight) for name, weight in parameters.items()}
    for batch in batches(parameters.items(), VIEWS, bound):
        for block in batch:
            assert block.parameter is parameters[block.name]
            block.of(counts[block.name]).add_(1)
    for name, count in counts.items():
        assert torch.equal(count, torch.ones_like(count)), name


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_blocks_of_a_parameter_are_its_matrices_in_order(bound: int | None) -> None:
    parameters = matrices_only()
    found: dict[tuple[str, int], list[Tensor]] = {}
    for batch in batches(parameters.items(), VIEWS, bound):
        for block in batch:
            matrices = block.of(block.parameter).reshape(block.num_matrices, *block.matrix_shape)
            found.setdefault((block.name, block.section), []).append(matrices)
    for name, weight in parameters.items():
        for section, stack in enumerate(to_matrices(weight, VIEWS.get(name, PLAIN))):
            assert torch.equal(torch.cat(found.pop((name, section))), stack), name
    assert not found


def test_a_block_writes_into_the_parameter() -> None:
    parameters = matrices_only()
    for batch in batches(parameters.items(), VIEWS, 500):
        for block in batch:
            block.of(block.parameter).zero_()
    assert not any(weight.any() for weight in parameters.values())


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_batch_is_within_the_bound_or_a_single_slice(bound: int | None) -> None:
    limit = bound or matrix_batches._CPU_BATCH_BYTES
    for batch in batches(matrices_only().items(), VIEWS, bound):
        single = len(batch) == 1 and batch[0].slices.stop - batch[0].slices.start == 1
        assert bytes_of(batch) <= limit or single


@pytest.mark.parametrize("bound", BOUNDS)
def test_no_two_neighbours_would_fit_in_one_batch(bound: int | None) -> None:
    limit = bound or matrix_batches._CPU_BATCH_BYTES
    made = batches(matrices_only().items(), VIEWS, bound)
    for batch, following in itertools.pairwise(made):
        if batch[0].matrix_shape == following[0].matrix_shape:
            assert bytes_of(batch) + bytes_of(following[:1]) > limit


def test_matrices_of_one_shape_share_a_batch_wherever_they_stand() -> None:
    made = batches(matrices_only().items(), VIEWS, None)
    by_shape = {batch[0].matrix_shape: [(block.name, block.section) for block in batch] for batch in made}
    assert len(by_shape) == len(made)
    assert by_shape[6, 10] == [("a", 0), ("b", 0), ("experts", 0)]
    assert by_shape[4, 6] == [("gate_up", 0), ("gate_up", 1), ("interleaved", 0), ("interleaved", 1)]
    assert by_shape[4, 5] == [("qkv", 1), ("qkv", 2), ("stacked", 0)]


def test_a_stack_of_experts_is_cut_between_its_slices() -> None:
    experts = parameter(7, 4, 6, seed=0)  # 96 bytes a slice
    (one, two, three) = batches([("experts", experts)], {}, 3 * 96 + 95)
    assert [batch[0].slices for batch in (one, two, three)] == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert [batch[0].num_matrices for batch in (one, two, three)] == [3, 3, 1]
    # A slice with the matrices of two heads in it stays whole.
    by_head = batches([("experts", experts)], {"experts": MatrixView(sections=(4,), head_rows=(2,))}, 2 * 96)
    assert [batch[0].num_matrices for batch in by_head] == [4, 4, 4, 2]


def test_a_matrix_larger_than_the_bound_is_a_batch_of_its_own() -> None:
    named = [
        ("small", parameter(4, 6, seed=0)),
        ("large", parameter(40, 6, seed=1)),
        ("twin", parameter(40, 6, seed=2)),
    ]
    made = batches(named, {}, 100)
    assert [[block.name for block in batch] for batch in made] == [["small"], ["large"], ["twin"]]


def test_dtypes_and_devices_are_kept_apart() -> None:
    named = [
        ("float32", torch.zeros(4, 6)),
        ("bfloat16", torch.zeros(4, 6, dtype=torch.bfloat16)),
        ("meta", torch.zeros(4, 6, device="meta")),
        ("float32 too", torch.zeros(4, 6)),
    ]
    made = batches(named, {}, None)
    assert [[block.name for block in batch] for batch in made] == [["float32", "float32 too"], ["bfloat16"], ["meta"]]


def test_the_bound_by_default_suits_the_device_and_is_told() -> None:
    bounds = {}
    for device in ("cpu", "meta"):
        experts = torch.zeros((), device=device).expand(2000, 256, 256)  # 256 KiB a matrix, and no memory
        bounds[device] = bytes_of(batches([("experts", experts)], {}, None)[0])
    told = [f"{bound >> 20} MiB" for bound in bounds.values()]
    assert bounds == {"cpu": matrix_batches._CPU_BATCH_BYTES, "meta": matrix_batches._ACCELERATOR_BATCH_BYTES}
    assert all(bound in " ".join((Muon.__doc__ or "").split()) for bound in told)
    with pytest.raises(ValueError, match=naming("max_batch_bytes", 0, *told)):
        Muon([parameter(4, 4, seed=0)], max_batch_bytes=0)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 4, 4), (3, 0, 4)])
def test_an_empty_parameter_is_left_out(shape: tuple[int, ...]) -> None:
    full = parameter(4, 4, seed=0)
    ((block,),) = batches([("empty", torch.zeros(shape)), ("full", full)], {}, None)
    assert block.parameter is full
    assert batches([("empty", torch.zeros(shape))], {}, None) == []


def test_a_block_keeps_its_parameter_so_that_nothing_takes_its_id() -> None:
    weight = torch.zeros(4, 4)
    held = weakref.ref(weight)
    made = batches([("weight", weight)], {}, None)
    del weight
    gc.collect()
    assert held() is not None
    del made
    gc.collect()
    assert held() is None


def test_the_threads_of_a_cpu_share_a_bound() -> None:
    stack = torch.zeros(8, 6, 10)
    for threads, sizes in ((1, [4, 4]), (2, [2, 2, 2, 2]), (3, [1] * 8)):
        torch.set_num_threads(threads)
        made = batches([("stack", stack)], {}, 4 * 240)
        assert [batch[0].num_matrices for batch in made] == sizes
        assert all(fits_one_thread(batch, 4 * 240) for batch in made)
        assert not any(fits_one_thread(batch, threads * 239) for batch in made)


def test_a_matrix_fits_one_thread_up_to_a_size_and_on_a_cpu_alone() -> None:
    rows = MOST_ON_ONE_THREAD // (4 * 64)
    for shape, device, fits in (((rows, 64), "cpu", True), ((rows + 1, 64), "cpu", False), ((4, 4), "meta", False)):
        ((block,),) = batches([("weight", torch.zeros(shape, device=device))], {}, None)
        assert fits_one_thread([block], None) == fits
