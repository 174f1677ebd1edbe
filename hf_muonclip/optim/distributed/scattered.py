"""DTensors whose matrices are divided between ranks, as under FSDP2: gathered to owners, returned as shards."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from ...common.ranks import collective_device
from ..matrix_view import PLAIN, MatrixView
from ..parameters.frozen import is_updated
from ..step import Step
from ..update_rules import wide_dtype
from .collectives import Exchange
from .sharding import Box, Member, Unit, assign_owners, coordinates, cut_units, local_shard
from .units import by_group, orthogonalized, part_of, waves_of


class Scattered:
    """DTensors of one mesh whose matrices are divided between its ranks: gathered to owners, returned as shards.

    `loads` are the operations that every rank of the default group already has; they are updated in place.

    Attributes:
        ranks: ranks of the mesh, in the order of its process group.
        process_group: process group of the mesh; None is the default group.
        units: units of each place in `ranks`.
    """

    def __init__(
        self,
        members: Sequence[Member],
        groups: Sequence[Mapping[str, Any]],
        views: Mapping[str, MatrixView],
        ns_dtype: torch.dtype | None,
        boxes: Mapping[int, Mapping[int, Box]],
        rank: int,
        loads: list[int],
    ) -> None:
        first = members[0][2]
        assert isinstance(first, DTensor)
        mesh = first.device_mesh
        self._boxes = boxes
        self._pieces: dict[str, dict[int, Box]] = {}  # of own units; cached, because finding them loops over ranks
        self.process_group: Any = None
        if mesh.size() < dist.get_world_size():
            self.process_group = mesh.get_group() if mesh.ndim == 1 else mesh._flatten().get_group()
        group = dist.group.WORLD if self.process_group is None else self.process_group
        self.ranks: list[int] = dist.get_process_group_ranks(group)
        self.place = self.ranks.index(rank)
        local_device = local_shard(first).device
        self.device = local_device if local_device.type == mesh.device_type else collective_device(local_device)
        cut = [
            unit
            for index, name, p in members
            for unit in cut_units(name, p, views.get(name, PLAIN), index, groups[index], ns_dtype, len(self.ranks))
        ]
        # Ranks of another part of the world do not know each other's loads, and owners must be the same to all.
        self.units = assign_owners(cut, loads if self.process_group is None else [0] * len(self.ranks))
        self._coordinates = dict(zip(mesh.mesh.flatten().tolist(), coordinates(mesh.mesh.shape), strict=True))

    def piece(self, unit: Unit) -> Box:
        """Return this rank's box of a unit; may be empty."""
        return self._boxes[id(unit.parameter)][self.ranks[self.place]].rows(unit.rows.start, unit.rows.stop)

    def pieces(self, unit: Unit) -> dict[int, Box]:
        """Return {place: its rank's box of a unit}, without empty ones. For the unit's owner."""
        if unit.name not in self._pieces:
            of_rank = self._boxes[id(unit.parameter)]
            boxes = [of_rank[rank].rows(unit.rows.start, unit.rows.stop) for rank in self.ranks]
            self._pieces[unit.name] = {place: box for place, box in enumerate(boxes) if box.numel}
        return self._pieces[unit.name]

    def sources(self, unit: Unit) -> dict[int, Box]:
        """Return {place: piece} of those that send to a unit's owner. For the owner."""
        return {place: box for place, box in self.pieces(unit).items() if self._sends(unit, place)}

    def _sends(self, unit: Unit, place: int) -> bool:
        """Return whether a rank sends its piece of a unit to the owner: of replicas, only the owner's."""
        parameter = unit.parameter
        assert isinstance(parameter, DTensor)
        theirs, owners = self._coordinates[self.ranks[place]], self._coordinates[self.ranks[unit.owner]]
        return all(a == b for a, b, p in zip(theirs, owners, parameter.placements, strict=True) if p.is_replicate())

    def update(self, step: Step) -> None:
        """Update every parameter with a gradient. In place. Collective."""
        present = [[unit for unit in owned if is_updated(unit.parameter)] for owned in self.units]
        by_rank = [list(waves_of(owned, step.max_batch_bytes)) for owned in present]
        count = max((len(waves) for waves in by_rank), default=0)
        waves = [[waves[k] if k < len(waves) else [] for waves in by_rank] for k in range(count)]
        coming = self._gather(step, waves[0]) if waves else None
        going = None
        for k, wave in enumerate(waves):
            following = self._gather(step, waves[k + 1]) if k + 1 < count else None
            assert coming is not None
            made, neurons = self._orthogonalized(step, wave, coming)
            returning = self._return(step, wave, made, neurons)
            if going is not None:
                self._apply(step, waves[k - 1], going)
            coming, going = following, returning
        if going is not None:
            self._apply(step, waves[-1], going)

    def _local_part(self, unit: Unit, whole: Tensor) -> Tensor:
        """Return this rank's piece of a unit, cut out of its part of the parameter or of a moment."""
        first = self._boxes[id(unit.parameter)][self.ranks[self.place]].rows_before(unit.rows.start)
        return local_shard(whole)[first : first + self.piece(unit).shape[0]]

    def _gather(self, step: Step, wave: Sequence[Sequence[Unit]]) -> Exchange:
        """Prepare this rank's pieces of a wave, and send the directions to their owners."""
        directions: dict[str, Tensor] = {}
        mine = [unit for units in wave for unit in units if self.piece(unit).numel]
        for index, units in by_group(mine).items():
            prepared = step.prepare(
                index,
                [self._local_part(unit, unit.gradient) for unit in units],
                [self._local_part(unit, step.state[unit.parameter]["momentum_buffer"]) for unit in units],
            )
            directions |= {unit.name: direction for unit, direction in zip(units, prepared, strict=True)}
        sent = [
            [
                (directions[unit.name], unit.dtype)
                for unit in units
                if unit.name in directions and self._sends(unit, self.place)
            ]
            for units in wave
        ]
        sources = [self.sources(unit) for unit in wave[self.place]]
        received = [
            [
                of_unit[place].numel * unit.dtype.itemsize
                for unit, of_unit in zip(wave[self.place], sources, strict=True)
                if place in of_unit
            ]
            for place in range(len(self.ranks))
        ]
        return Exchange(sent, received, self.process_group, self.device)

    def _orthogonalized(
        self, step: Step, wave: Sequence[Sequence[Unit]], coming: Exchange
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the updates of this rank's own units, and the new moments of their neurons."""
        own = wave[self.place]
        directions = {unit.name: torch.empty(unit.shape, dtype=unit.dtype, device=self.device) for unit in own}
        arrived = coming.wait()
        taken = [0] * len(self.ranks)
        for unit in own:
            for place, box in self.sources(unit).items():
                piece = arrived[place][taken[place]]
                box.put_(directions[unit.name], piece.view(unit.dtype).view(box.shape))
                taken[place] += 1
        neurons = {
            unit.name: _neurons(step, unit).to(self.device, copy=True)
            for unit in own
            if step.groups[unit.group]["normalize_neurons"]
        }
        return orthogonalized(step, own, directions, neurons), neurons

    def _return(
        self, step: Step, wave: Sequence[Sequence[Unit]], made: dict[str, Tensor], neurons: dict[str, Tensor]
    ) -> Exchange:
        """Send updates to the ranks that hold pieces of them, and moments of neurons to all."""
        sent: list[list[tuple[Tensor, torch.dtype]]] = [[] for _ in self.ranks]
        received: list[list[int]] = [[] for _ in self.ranks]
        for unit in wave[self.place]:
            pieces = self.pieces(unit)
            for place in range(len(self.ranks)):
                if place in pieces:
                    sent[place].append((pieces[place].take(made[unit.name]), unit.dtype))
                if unit.name in neurons:
                    sent[place].append((neurons[unit.name], neurons[unit.name].dtype))
        for owner, units in enumerate(wave):
            for unit in units:
                if (box := self.piece(unit)).numel:
                    received[owner].append(box.numel * unit.dtype.itemsize)
                if step.groups[unit.group]["normalize_neurons"]:
                    rows = (unit.stop - unit.start) * unit.neurons_per_slice
                    received[owner].append(rows * wide_dtype(unit.parameter).itemsize)
        return Exchange(sent, received, self.process_group, self.device)

    def _apply(self, step: Step, wave: Sequence[Sequence[Unit]], going: Exchange) -> None:
        """Apply the updates that have arrived to this rank's pieces."""
        arrived = going.wait()
        parts = []
        for owner, units in enumerate(wave):
            pieces = iter(arrived[owner])
            for unit in units:
                if (box := self.piece(unit)).numel:
                    update = next(pieces).view(unit.dtype).view(box.shape)
                    mask = step.active.local(unit.parameter)
                    moving = None if mask is None else self._local_part(unit, mask)
                    weight = self._local_part(unit, unit.parameter)
                    parts.append(part_of(step, unit, weight, update, moving, box))
                if step.groups[unit.group]["normalize_neurons"]:
                    moment = _neurons(step, unit)
                    moment.copy_(next(pieces).view(moment.dtype).view(moment.shape))
        step.apply_(parts)


def _neurons(step: Step, unit: Unit) -> Tensor:
    moment: Tensor = step.state[unit.parameter]["neuron_second_moment"]
    return moment[unit.start : unit.stop]
