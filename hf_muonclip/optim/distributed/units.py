"""Process units in a step: cut them into waves, orthogonalize them in batches, apply them to parts of weights."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ..batching import MatrixBlock, batches
from ..idle_matrices import active_in_batch
from ..step import Part, Step
from ..update_rules import wide_dtype
from .sharding import Box, Unit, unit_scale

_CPU_WAVE_BYTES = 2**25  # bytes of float32 matrices that a rank takes at once
_ACCELERATOR_WAVE_BYTES = 2**28


def waves_of(units: Sequence[Unit], max_batch_bytes: int | None) -> Iterator[list[Unit]]:
    """Yield consecutive units of bounded size in float32, at least one."""
    wave: list[Unit] = []
    filled = 0
    for unit in units:
        size = 4 * unit.shape.numel()
        on_cpu = unit.parameter.device.type == "cpu"
        most = max_batch_bytes or (_CPU_WAVE_BYTES if on_cpu else _ACCELERATOR_WAVE_BYTES)
        if wave and filled + size > most:
            yield wave
            wave, filled = [], 0
        wave.append(unit)
        filled += size
    if wave:
        yield wave


def by_group(units: Sequence[Unit]) -> dict[int, list[Unit]]:
    """Return {index of the param group: its units}."""
    found: dict[int, list[Unit]] = defaultdict(list)
    for unit in units:
        found[unit.group].append(unit)
    return found


def orthogonalized(
    step: Step, units: Sequence[Unit], directions: Mapping[str, Tensor], neurons: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return {name: update of the unit's shape, in the dtype in which it is sent}.

    Args:
        step: the step, whose `orthogonalize` is called.
        units: units of any param groups.
        directions: {name: tensor of the unit's shape}.
        neurons: {name: running mean squares, (slices, output rows of a slice)} of units whose neurons are normalized;
            updated in place.
    """
    masks = {unit.name: _rows_of(step.active.whole(unit.parameter), unit) for unit in units}
    made = {unit.name: torch.empty(unit.shape, dtype=unit.dtype, device=directions[unit.name].device) for unit in units}
    for index, of_group in by_group(units).items():
        wide = wide_dtype(of_group[0].parameter)

        def take(batch: list[MatrixBlock], index: int = index, wide: torch.dtype = wide) -> None:
            shape = batch[0].matrix_shape
            stacks = [block.of(block.parameter).reshape(-1, *shape).to(wide) for block in batch]
            moving = active_in_batch(batch, [block.of_mask(masks[block.name]) for block in batch])
            rows = [block.neurons(neurons[block.name]) for block in batch if block.name in neurons]
            update = step.orthogonalize(index, stacks, moving, rows)
            for block, piece in zip(batch, update.split([block.num_matrices for block in batch]), strict=True):
                target = block.of(made[block.name])
                target.copy_(piece.reshape(target.shape))

        named = [(unit.name, directions[unit.name].contiguous()) for unit in of_group]
        views = {unit.name: unit.part_view for unit in of_group}
        step.for_each(take, batches(named, views, step.max_batch_bytes))
    return made


def part_of(
    step: Step, unit: Unit, weight: Tensor, update: Tensor, active: Tensor | None, box: Box | None = None
) -> Part:
    """Return a part of a unit's weight with its update, as a step applies it.

    Args:
        step: the step, for its param groups.
        unit: the unit that the part belongs to.
        weight: the part.
        update: update of the part, of its shape, as it was sent.
        active: bool, broadcasts over the part; None for True.
        box: the part's box within the unit; None for the whole.
    """
    scale = unit_scale(unit, step.groups[unit.group])
    if isinstance(scale, Tensor) and box is not None:
        scale = box.take(scale)
    wide = update.to(weight.device, wide_dtype(weight))
    return Part(unit.parameter, unit.group, weight, wide, scale, active)


def _rows_of(mask: Tensor | None, unit: Unit) -> Tensor | None:
    return None if mask is None else mask[unit.rows]
