"""Assign matrices to the ranks that orthogonalize them, and find which rank holds which part of a parameter.

A `Unit` is what one rank orthogonalizes: whole matrices, as a range of a parameter's slices. Parameters that every rank
holds (DDP) give each unit to one rank, balanced by floating-point operations, and AdamW's entries in ranges that even
out what the ranks send. Of DTensors (FSDP2, HSDP, tensor parallel) every rank holds a box, and a unit's owner gathers
the boxes; slices that no rank shares, such as experts sharded by expert, stay where they are.

All this is arithmetic on shapes: the same on every rank, and also for a model on the meta device.
"""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Placement, Replicate

from ..matrix_view import MatrixView, matrix_blocks
from ..newton_schulz import newton_schulz_flops, preferred_dtype
from ..update_rules import update_scale, wide_dtype

Member = tuple[int, str, Tensor]  # index of the param group, name, parameter


Range = tuple[int, int]


class Box(NamedTuple):
    """The part of a tensor that a rank holds: in every dimension the entries of some ranges [start, stop), in order.

    Usually one range; several where gate and up are split first, as transformers' tensor parallel does.
    """

    ranges: tuple[tuple[Range, ...], ...]

    def rows(self, first: int, end: int) -> "Box":
        """Return the box of rows [first, end) of the first dimension, counted from `first`; may be empty."""
        kept = [(max(a, first) - first, min(b, end) - first) for a, b in self.ranges[0]]
        return Box((tuple((a, b) for a, b in kept if a < b), *self.ranges[1:]))

    def rows_before(self, first: int) -> int:
        """Return how many of the rank's rows come before a row of the whole tensor."""
        return sum(min(b, first) - a for a, b in self.ranges[0] if a < first)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the rank's part."""
        return tuple(sum(b - a for a, b in of_dim) for of_dim in self.ranges)

    @property
    def numel(self) -> int:
        """Number of entries in the rank's part."""
        return math.prod(self.shape)

    def take(self, whole: Tensor) -> Tensor:
        """Return the rank's part of a whole tensor; a view where one range in each dimension allows it."""
        for dim, of_dim in enumerate(self.ranges):
            parts = [whole.narrow(dim, a, b - a) for a, b in of_dim] or [whole.narrow(dim, 0, 0)]
            whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
        return whole

    def put_(self, whole: Tensor, part: Tensor) -> None:
        """Write the rank's part into a whole tensor. In place."""
        placed = [list(zip(of_dim, accumulate(b - a for a, b in of_dim), strict=True)) for of_dim in self.ranges]
        for ranges in product(*placed):
            into = tuple(slice(a, b) for (a, b), _ in ranges)
            whole[into] = part[tuple(slice(end - (b - a), end) for (a, b), end in ranges)]


@dataclass(eq=False)
class Unit:
    """Slices [start, stop) of a parameter: whole matrices that one rank orthogonalizes.

    Attributes:
        name: name of the parameter with the range.
        parameter: the parameter, with its global shape.
        view: how the unit holds its matrices.
        start: first slice; see `num_slices`.
        stop: slice after the last.
        group: index of the param group.
        flops: floating-point operations of its orthogonalization.
        dtype: dtype in which it is sent.
        owner: rank in the group of ranks that share the work.
    """

    name: str
    parameter: Tensor
    view: MatrixView
    start: int
    stop: int
    group: int
    flops: int
    dtype: torch.dtype
    owner: int = 0

    @property
    def rows(self) -> slice:
        """The unit's range of the parameter's first dimension."""
        per_slice = self.parameter.shape[0] // num_slices(self.parameter.shape, self.view)
        return slice(self.start * per_slice, self.stop * per_slice)

    @property
    def shape(self) -> torch.Size:
        """The unit's shape: its rows, and all else as in the parameter."""
        return torch.Size((self.rows.stop - self.rows.start, *self.parameter.shape[1:]))

    @property
    def part_view(self) -> MatrixView:
        """The matrix view of a tensor of the unit's shape."""
        return view_of_slices(self.view, self.parameter.shape, self.stop - self.start)

    @property
    def neurons_per_slice(self) -> int:
        """Output rows of the matrices of one slice."""
        return neurons_per_slice(self.parameter.shape, self.view)

    @property
    def gradient(self) -> Tensor:
        """The parameter's gradient; a step takes units only where there is one."""
        assert self.parameter.grad is not None
        return self.parameter.grad

    @property
    def nbytes(self) -> int:
        """Bytes that sending the unit takes."""
        return self.shape.numel() * self.dtype.itemsize


class Share(NamedTuple):
    """Entries [start, stop) of a flattened parameter that AdamW updates on one rank."""

    name: str
    parameter: Tensor
    start: int
    stop: int
    group: int

    @property
    def nbytes(self) -> int:
        """Bytes that sending the share's new weights takes."""
        return (self.stop - self.start) * self.parameter.dtype.itemsize


def num_slices(shape: Sequence[int], view: MatrixView) -> int:
    """Return how many parts of a parameter, side by side in its first dimension, hold whole matrices each."""
    return view.stacked if view.kernel or len(shape) == 2 else shape[0]


def view_of_slices(view: MatrixView, shape: Sequence[int], count: int) -> MatrixView:
    """Return the view of `count` slices of a parameter of that shape."""
    return replace(view, stacked=count) if (view.kernel or len(shape) == 2) and view.stacked != count else view


def neurons_per_slice(shape: Sequence[int], view: MatrixView) -> int:
    """Return the output rows of all matrices in one slice."""
    return sum(count * n for count, n, _ in view.matrix_shapes(shape)) // num_slices(shape, view)


def travel_dtype(group: Mapping[str, Any], parameter: Tensor, ns_dtype: torch.dtype | None) -> torch.dtype:
    """Return the dtype in which a group's updates are sent between ranks: that of Newton–Schulz, which loses nothing.

    With neuron normalization updates are computed and sent in float32; those of float64 parameters in float64.
    """
    wide = wide_dtype(parameter)
    if group["normalize_neurons"] or wide == torch.float64:
        return wide
    return ns_dtype or preferred_dtype(parameter.device)


def cut_units(
    name: str,
    parameter: Tensor,
    view: MatrixView,
    index: int,
    group: Mapping[str, Any],
    ns_dtype: torch.dtype | None,
    parts: int,
) -> list[Unit]:
    """Cut a Muon parameter into at most `parts` units, without owners: one for a matrix, up to `parts` for a stack.

    Args:
        name: name of the parameter in the model.
        parameter: the parameter, with its global shape.
        view: how the parameter holds its matrices.
        index: index of its param group.
        group: the param group.
        ns_dtype: dtype of Newton–Schulz; None takes what the device prefers.
        parts: number of ranks that share the work.
    """
    slices = num_slices(parameter.shape, view)
    if parameter.numel() == 0:
        return []
    dtype = travel_dtype(group, parameter, ns_dtype)
    most = -(-slices // parts)
    per_slice = sum(
        newton_schulz_flops(
            (count // slices, n, m), group["ns_coefficients"], group["ns_steps"], ns_dtype, parameter.device
        )
        for count, n, m in view.matrix_shapes(parameter.shape)
    )
    return [
        Unit(f"{name}[{start}]", parameter, view, start, stop, index, per_slice * (stop - start), dtype)
        for start in range(0, slices, most)
        for stop in [min(slices, start + most)]
    ]


def assign_owners(units: Sequence[Unit], loads: list[int]) -> list[list[Unit]]:
    """Return the units of each rank: every unit goes to the rank with the least work so far, the largest first.

    `loads` are the floating-point operations that each rank already has; they are updated in place.

    Each rank's units are sorted so that matrices of one shape are next to each other. Longest-processing-time-first is
    within 4/3 of the best balance (Graham 1969), and close to it where units are many.
    """
    heap = [(load, rank) for rank, load in enumerate(loads)]
    heapq.heapify(heap)
    owned: list[list[Unit]] = [[] for _ in loads]
    for unit in sorted(units, key=lambda unit: -unit.flops):
        _, unit.owner = heapq.heappop(heap)
        loads[unit.owner] += unit.flops
        heapq.heappush(heap, (loads[unit.owner], unit.owner))
        owned[unit.owner].append(unit)
    order = {id(unit): place for place, unit in enumerate(units)}
    for of_rank in owned:
        of_rank.sort(
            key=lambda unit: (unit.group, -unit.flops // (unit.stop - unit.start), unit.shape, order[id(unit)])
        )
    return owned


def cut_shares(members: Sequence[tuple[str, Tensor, int]], sent: Sequence[int]) -> list[list[Share]]:
    """Cut AdamW's parameters into one range of entries for each rank, so that all ranks send equally many bytes.

    Args:
        members: (name, parameter, index of its group).
        sent: bytes that each rank sends already.

    Returns:
        The shares of each rank.
    """
    total = sum(parameter.numel() * parameter.dtype.itemsize for _, parameter, _ in members)
    quotas = _fill(sent, total)
    shares: list[list[Share]] = [[] for _ in sent]
    rank, left = 0, quotas[0]
    for name, parameter, group in members:
        start, size = 0, parameter.dtype.itemsize
        while start < parameter.numel():
            while left < size and rank < len(sent) - 1:
                rank += 1
                left += quotas[rank]
            last = rank == len(sent) - 1
            stop = parameter.numel() if last else min(parameter.numel(), start + left // size)
            shares[rank].append(Share(name, parameter, start, stop, group))
            left -= (stop - start) * size
            start = stop
    return shares


def _fill(levels: Sequence[int], amount: int) -> list[int]:
    """Return how much of `amount` each level takes so that the lowest rise to one height, as if filled with water."""
    ordered = sorted(levels)
    for count in range(1, len(ordered) + 1):
        height = -(-(amount + sum(ordered[:count])) // count)
        if count == len(ordered) or height <= ordered[count]:
            break
    taken = [max(0, height - level) for level in levels]
    surplus = sum(taken) - amount
    for rank in reversed(range(len(taken))):
        less = min(surplus, taken[rank])
        taken[rank] -= less
        surplus -= less
    return taken


def unit_scale(unit: Unit, group: Mapping[str, Any]) -> float | Tensor:
    """Return the factor of a unit's update; a tensor of its shape if its matrices have several shapes."""
    shapes = unit.part_view.matrix_shapes(unit.shape)
    scales = [update_scale((n, m), group["adjust_lr_fn"]) for _, n, m in shapes]
    if len(set(scales)) == 1:
        return scales[0]
    scale = torch.empty(unit.shape, dtype=wide_dtype(unit.parameter), device=local_shard(unit.parameter).device)
    for block, value in zip(matrix_blocks(scale, unit.part_view), scales, strict=True):
        block.fill_(value)
    return scale


def local_shard(tensor: Tensor) -> Tensor:
    """Return this rank's part of a DTensor, sharing its memory; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shard_like(parameter: DTensor, local: Tensor, shape: Sequence[int] | None = None) -> DTensor:
    """Return a DTensor with the placements of a parameter and with `local` as this rank's part."""
    whole = torch.Size(parameter.shape if shape is None else shape)
    stride = torch.empty(whole, device="meta").stride()
    return DTensor.from_local(
        local, parameter.device_mesh, parameter.placements, run_check=False, shape=whole, stride=stride
    )


def is_replicated(tensor: Tensor) -> bool:
    """Return whether every rank of the tensor's mesh holds all of it."""
    return not isinstance(tensor, DTensor) or all(isinstance(p, Replicate) for p in tensor.placements)


def boxes_of(parameter: DTensor, name: str = "the parameter") -> dict[int, Box]:
    """Return {global rank: its box} for every rank of a DTensor's mesh.

    Raises:
        ValueError: a placement is neither Shard nor Replicate, as Partial is.
    """
    mesh = parameter.device_mesh
    return placed_boxes(
        tuple(parameter.shape), tuple(mesh.mesh.shape), mesh.mesh.flatten().tolist(), parameter.placements, name
    )


def placed_boxes(
    shape: Sequence[int],
    mesh_shape: Sequence[int],
    ranks: Sequence[int],
    placements: Sequence[Placement],
    name: str = "the parameter",
) -> dict[int, Box]:
    """Return `boxes_of` from shapes alone."""
    boxes = {}
    for rank, coordinate in zip(ranks, coordinates(mesh_shape), strict=True):
        ranges = [[(0, length)] for length in shape]
        for size, position, placement in zip(mesh_shape, coordinate, placements, strict=True):
            if isinstance(placement, Replicate):
                continue
            dim = getattr(placement, "dim", None)
            if dim is None:
                raise ValueError(
                    f"Muon needs parameters that are sharded or replicated; {name} is placed as "
                    f"{tuple(placements)}. Reduce it first: redistribute() with Shard or Replicate."
                )
            ranges[dim] = _shard(ranges[dim], size, position, getattr(placement, "split_factor", 1))
        boxes[rank] = Box(tuple(_merged(of_dim) for of_dim in ranges))
    return boxes


def coordinates(mesh_shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Return the coordinates of a mesh's ranks in the order of the flattened mesh."""
    return product(*map(range, mesh_shape))


def holds_whole_slices(boxes: Mapping[int, Box], shape: Sequence[int], view: MatrixView) -> bool:
    """Return whether no matrix of a parameter is divided between ranks."""
    per_slice = shape[0] // num_slices(shape, view)
    rest = tuple(((0, length),) for length in shape[1:])
    return all(
        box.numel == 0
        or (box.ranges[1:] == rest and all(a % per_slice == 0 == b % per_slice for a, b in box.ranges[0]))
        for box in boxes.values()
    )


def _shard(ranges: list[Range], size: int, position: int, split_factor: int) -> list[Range]:
    """Return a rank's part of some ranges, cut as torch.chunk cuts: within each of `split_factor` pieces."""
    total = sum(b - a for a, b in ranges)
    piece = -(-total // split_factor)
    taken = []
    for first in range(0, total, max(piece, 1)):
        length = min(piece, total - first)
        per_rank = -(-length // size)
        start, stop = min(length, position * per_rank), min(length, (position + 1) * per_rank)
        taken += _take(ranges, first + start, first + stop)
    return taken


def _take(ranges: list[Range], first: int, end: int) -> list[Range]:
    """Return entries [first, end) of the concatenated ranges, as ranges."""
    taken, before = [], 0
    for a, b in ranges:
        start, stop = max(a, a + first - before), min(b, a + end - before)
        if start < stop:
            taken.append((start, stop))
        before += b - a
    return taken


def _merged(ranges: list[Range]) -> tuple[Range, ...]:
    """Return ascending ranges, with adjacent ones joined."""
    merged: list[Range] = []
    for a, b in ranges:
        if merged and merged[-1][1] == a:
            merged[-1] = (merged[-1][0], b)
        else:
            merged.append((a, b))
    return tuple(merged)
