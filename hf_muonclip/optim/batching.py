"""Batches of matrices that are orthogonalized together: of one shape, from anywhere in the model, of bounded size.

One batched product of many small matrices is far faster than many products, and a batch bounds the temporary memory of
a step. A stack of experts that is larger than a batch is cut between its slices; a single matrix never is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .distributed.sharding import local_shard
from .matrix_view import PLAIN, MatrixView, matrix_blocks

# Bytes of the float32 matrices in one batch. On a CPU, where every thread takes its own batches, a batch should fit in
# the cache: larger ones are slower. A GPU needs large batches to be fully used.
_CPU_BATCH_BYTES = 2**21
_ACCELERATOR_BATCH_BYTES = 2**28
MOST_ON_ONE_THREAD = 2**22  # one matrix of 1536 x 576; for a larger batch all threads share each product


class MatrixBlock(NamedTuple):
    """Some of the matrices of one section of a parameter, all of one shape.

    `first_neuron` counts the output rows that a slice of the parameter has in the sections before this.
    """

    name: str
    parameter: Tensor
    view: MatrixView
    section: int
    slices: slice
    num_matrices: int
    first_neuron: int
    matrix_shape: tuple[int, int]

    def of(self, tensor: Tensor) -> Tensor:
        """Return the block's part of a tensor of the (local) parameter's shape; shares its memory."""
        return matrix_blocks(tensor, self.view)[self.section][self.slices]

    def of_mask(self, mask: Tensor | None) -> Tensor | None:
        """Return the block's part of a mask; None if there is no mask."""
        return None if mask is None else self.of(mask)

    def neurons(self, tensor: Tensor) -> Tensor:
        """Return the block's part of a (slices, output rows of a slice) tensor as (slices, ..., out); shares memory."""
        per_slice = self.num_matrices // (self.slices.stop - self.slices.start)
        width = per_slice * self.matrix_shape[0]
        part = tensor[self.slices, self.first_neuron : self.first_neuron + width]
        return part.view(len(part), per_slice, self.matrix_shape[0])


def batches(
    named: Iterable[tuple[str, Tensor]], views: Mapping[str, MatrixView], max_batch_bytes: int | None
) -> list[list[MatrixBlock]]:
    """Cut parameters into batches of one matrix shape, device and dtype.

    Args:
        named: names and parameters; of DTensors the local shards are batched. Empty ones are left out.
        views: how parameters hold their matrices; plain where not named.
        max_batch_bytes: maximum bytes of the float32 matrices in one batch (at least one matrix), on a CPU over all
            threads; None takes the device's default.

    Returns:
        Batches of blocks.
    """
    by_shape: dict[tuple[tuple[int, int], torch.device, torch.dtype], list[MatrixBlock]] = defaultdict(list)
    for name, parameter in named:
        local = local_shard(parameter)
        if local.numel() == 0:
            continue
        view = views.get(name, PLAIN)
        shapes = view.matrix_shapes(local.shape)
        first_neuron = 0
        for section, (stored, (count, n, m)) in enumerate(zip(matrix_blocks(local, view), shapes, strict=True)):
            per_slice = count // len(stored)
            most = max(1, _batch_bytes(local.device, max_batch_bytes) // (4 * per_slice * n * m))
            for start in range(0, len(stored), most):
                slices = slice(start, min(start + most, len(stored)))
                num_matrices = (slices.stop - start) * per_slice
                by_shape[(n, m), local.device, local.dtype].append(
                    MatrixBlock(name, parameter, view, section, slices, num_matrices, first_neuron, (n, m))
                )
            first_neuron += per_slice * n
    made: list[list[MatrixBlock]] = []
    for ((n, m), device, _), blocks in by_shape.items():
        most = _batch_bytes(device, max_batch_bytes) // (4 * n * m)
        filled = most + 1  # so that the first block opens a batch
        for block in blocks:
            if filled + block.num_matrices > most:
                made.append([])
                filled = 0
            made[-1].append(block)
            filled += block.num_matrices
    return made


def fits_one_thread(batch: list[MatrixBlock], max_batch_bytes: int | None) -> bool:
    """Return whether a batch is on a CPU and small enough for one of its threads."""
    n, m = batch[0].matrix_shape
    size = 4 * n * m * sum(block.num_matrices for block in batch)
    most = MOST_ON_ONE_THREAD if max_batch_bytes is None else _batch_bytes(torch.device("cpu"), max_batch_bytes)
    return batch[0].parameter.device.type == "cpu" and size <= most


def _batch_bytes(device: torch.device, max_batch_bytes: int | None) -> int:
    if device.type == "cpu":
        return _CPU_BATCH_BYTES if max_batch_bytes is None else max_batch_bytes // torch.get_num_threads()
    return _ACCELERATOR_BATCH_BYTES if max_batch_bytes is None else max_batch_bytes
