"""Units on their way through a step: cut into waves, orthogonalized in batches, applied to parts of weights."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..batching import MatrixBlock, batches
from ..idle_matrices import ActiveMatrices, active_in_batch
from ..thread_per_batch import for_each_batch
from ..update_rules import apply_updates_, normalize_neurons, wide_dtype
from .sharding import Box, Unit, unit_scale

if TYPE_CHECKING:
    from ..muon import Muon

_CPU_WAVE_BYTES = 2**25  # of float32 matrices that a rank takes at once
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
    optimizer: "Muon",
    units: Sequence[Unit],
    directions: Mapping[str, Tensor],
    moments: Mapping[str, Tensor],
    active: ActiveMatrices,
) -> dict[str, Tensor]:
    """Return {name: update of the unit's shape in the dtype that it travels in}.

    Args:
        optimizer: orthogonalizes.
        units: of any param groups.
        directions: {name: tensor of the unit's shape}.
        moments: {name: (slices, output rows of a slice)} of units whose neurons are normalized; updated in place.
        active: which matrices of the step have a gradient.
    """
    masks = {unit.name: _rows_of(active.whole(unit.parameter), unit) for unit in units}
    made = {unit.name: torch.empty(unit.shape, dtype=unit.dtype, device=directions[unit.name].device) for unit in units}
    for index, of_group in by_group(units).items():
        group = optimizer.param_groups[index]
        named = [(unit.name, directions[unit.name].contiguous()) for unit in of_group]
        wide = wide_dtype(of_group[0].parameter)

        def take(batch: list[MatrixBlock], group: Mapping[str, Any] = group, wide: torch.dtype = wide) -> None:
            shape = batch[0].matrix_shape
            matrices = torch.cat([block.of(block.parameter).reshape(-1, *shape).to(wide) for block in batch])
            update = optimizer.orthogonalize(matrices, group).to(wide)
            moving = active_in_batch(batch, [block.of_mask(masks[block.name]) for block in batch])
            if moving is not None:
                moving = moving.to(update.device)
                update.masked_fill_(~moving[:, None, None], 0.0)
            if group["normalize_neurons"]:
                update = normalize_neurons(update, [block.neurons(moments[block.name]) for block in batch], moving)
            for block, piece in zip(batch, update.split([block.num_matrices for block in batch]), strict=True):
                target = block.of(made[block.name])
                target.copy_(piece.reshape(target.shape))

        views = {unit.name: unit.part_view for unit in of_group}
        for_each_batch(take, batches(named, views, optimizer._max_batch_bytes))
    return made


class Ready(NamedTuple):
    """A part of a weight, and the update of it.

    Attributes:
        unit: of which it is a part.
        weight: the part.
        update: of the part.
        active: bool, broadcasts over the part; None for True.
    """

    unit: Unit
    weight: Tensor
    update: Tensor
    active: Tensor | None


def apply_to_parts_(optimizer: "Muon", ready: Sequence[Ready], box_of: Callable[[Unit], Box] | None = None) -> None:
    """Apply updates to parts of weights. In place.

    Args:
        optimizer: whose groups count.
        ready: parts of weights, and their updates.
        box_of: which part of the unit it is; None for all of it.
    """
    alike: dict[Any, list[tuple[Tensor, Tensor, Tensor | None]]] = defaultdict(list)
    for unit, weight, update, active in ready:
        update = update.to(weight.device, wide_dtype(weight))
        scale = unit_scale(unit, optimizer.param_groups[unit.group])
        if isinstance(scale, Tensor) and box_of is not None:
            scale = box_of(unit).take(scale)
        if optimizer._meter is not None:
            optimizer._meter.add(unit.parameter, update, scale, active)
        if isinstance(scale, Tensor):
            apply_updates_([weight], [update], scale, optimizer.param_groups[unit.group], [active])
        else:
            alike[unit.group, scale, weight.device, weight.dtype].append((weight, update, active))
    for (index, scale, _, _), parts in alike.items():
        weights, updates, masks = zip(*parts, strict=True)
        apply_updates_(weights, updates, scale, optimizer.param_groups[index], masks)


def _rows_of(mask: Tensor | None, unit: Unit) -> Tensor | None:
    return None if mask is None else mask[unit.rows]
