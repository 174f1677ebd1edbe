"""DTensors whose matrices are divided between ranks, as under FSDP2: gathered to owners, returned as shards."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from ..idle_matrices import ActiveMatrices
from ..matrix_view import PLAIN, MatrixView
from ..parameters.frozen import is_updated
from ..update_rules import fold_gradients_, wide_dtype
from .collectives import Exchange, collective_device
from .sharding import Box, Member, Unit, assign_owners, coordinates, cut_units, local_shard
from .units import Ready, apply_to_parts_, by_group, orthogonalized, waves_of

if TYPE_CHECKING:
    from ..muon import Muon


class Scattered:
    """DTensors of one mesh whose matrices are divided between its ranks: gathered to owners, returned as shards.

    `loads` are the operations that every rank of the default group has already, and are brought up to date.

    Attributes:
        ranks: of the mesh, in the order of its process group.
        process_group: of the mesh; None is the default group.
        units: of each place in `ranks`.
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
        self._pieces: dict[str, dict[int, Box]] = {}  # of own units: a loop over ranks that no step repeats
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
        """Return what this rank holds of a unit; may be empty."""
        return self._boxes[id(unit.parameter)][self.ranks[self.place]].rows(unit.rows.start, unit.rows.stop)

    def pieces(self, unit: Unit) -> dict[int, Box]:
        """Return {place: what its rank holds of a unit}, without those that hold nothing. For the unit's owner."""
        if unit.name not in self._pieces:
            of_rank = self._boxes[id(unit.parameter)]
            boxes = [of_rank[rank].rows(unit.rows.start, unit.rows.stop) for rank in self.ranks]
            self._pieces[unit.name] = {place: box for place, box in enumerate(boxes) if box.numel}
        return self._pieces[unit.name]

    def sources(self, unit: Unit) -> dict[int, Box]:
        """Return {place: piece} of those that send to a unit's owner. For the owner."""
        return {place: box for place, box in self.pieces(unit).items() if self._sends(unit, place)}

    def _sends(self, unit: Unit, place: int) -> bool:
        """Return whether a rank sends what it holds of a unit to the owner: of replicas, those in the owner's."""
        parameter = unit.parameter
        assert isinstance(parameter, DTensor)
        theirs, owners = self._coordinates[self.ranks[place]], self._coordinates[self.ranks[unit.owner]]
        return all(a == b for a, b, p in zip(theirs, owners, parameter.placements, strict=True) if p.is_replicate())

    def update(self, optimizer: "Muon", active: ActiveMatrices, finite: Tensor | None) -> None:
        """Update every parameter with a gradient. In place. Collective."""
        present = [[unit for unit in owned if is_updated(unit.parameter)] for owned in self.units]
        by_rank = [list(waves_of(owned, optimizer._max_batch_bytes)) for owned in present]
        count = max((len(waves) for waves in by_rank), default=0)
        waves = [[waves[k] if k < len(waves) else [] for waves in by_rank] for k in range(count)]
        coming = self._gather(optimizer, waves[0], finite) if waves else None
        going = None
        for k, wave in enumerate(waves):
            following = self._gather(optimizer, waves[k + 1], finite) if k + 1 < count else None
            assert coming is not None
            made, moments = self._orthogonalized(optimizer, wave, coming, active)
            returning = self._return(optimizer, wave, made, moments)
            if going is not None:
                self._apply(optimizer, waves[k - 1], going, active)
            coming, going = following, returning
        if going is not None:
            self._apply(optimizer, waves[-1], going, active)

    def _local_part(self, unit: Unit, whole: Tensor) -> Tensor:
        """Return this rank's piece of a unit out of what the rank holds of the parameter, or of its moment."""
        first = self._boxes[id(unit.parameter)][self.ranks[self.place]].rows_before(unit.rows.start)
        return local_shard(whole)[first : first + self.piece(unit).shape[0]]

    def _gather(self, optimizer: "Muon", wave: Sequence[Sequence[Unit]], finite: Tensor | None) -> Exchange:
        """Fold this rank's gradients of a wave into momentum, and send the directions to their owners."""
        directions: dict[str, Tensor] = {}
        mine = [unit for units in wave for unit in units if self.piece(unit).numel]
        for index, units in by_group(mine).items():
            folded = fold_gradients_(
                [self._local_part(unit, unit.gradient) for unit in units],
                [self._local_part(unit, optimizer.state[unit.parameter]["momentum_buffer"]) for unit in units],
                optimizer.param_groups[index],
                finite,
            )
            directions |= {unit.name: direction for unit, direction in zip(units, folded, strict=True)}
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
        self, optimizer: "Muon", wave: Sequence[Sequence[Unit]], coming: Exchange, active: ActiveMatrices
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        own = wave[self.place]
        directions = {unit.name: torch.empty(unit.shape, dtype=unit.dtype, device=self.device) for unit in own}
        arrived = coming.wait()
        taken = [0] * len(self.ranks)
        for unit in own:
            for place, box in self.sources(unit).items():
                piece = arrived[place][taken[place]]
                box.put_(directions[unit.name], piece.view(unit.dtype).view(box.shape))
                taken[place] += 1
        moments = {
            unit.name: _neurons(optimizer, unit).to(self.device, copy=True)
            for unit in own
            if optimizer.param_groups[unit.group]["normalize_neurons"]
        }
        return orthogonalized(optimizer, own, directions, moments, active), moments

    def _return(
        self,
        optimizer: "Muon",
        wave: Sequence[Sequence[Unit]],
        made: dict[str, Tensor],
        moments: dict[str, Tensor],
    ) -> Exchange:
        sent: list[list[tuple[Tensor, torch.dtype]]] = [[] for _ in self.ranks]
        received: list[list[int]] = [[] for _ in self.ranks]
        for unit in wave[self.place]:
            pieces = self.pieces(unit)
            for place in range(len(self.ranks)):
                if place in pieces:
                    sent[place].append((pieces[place].take(made[unit.name]), unit.dtype))
                if unit.name in moments:
                    sent[place].append((moments[unit.name], moments[unit.name].dtype))
        for owner, units in enumerate(wave):
            for unit in units:
                if (box := self.piece(unit)).numel:
                    received[owner].append(box.numel * unit.dtype.itemsize)
                if optimizer.param_groups[unit.group]["normalize_neurons"]:
                    neurons = (unit.stop - unit.start) * unit.neurons_per_slice
                    received[owner].append(neurons * wide_dtype(unit.parameter).itemsize)
        return Exchange(sent, received, self.process_group, self.device)

    def _apply(
        self, optimizer: "Muon", wave: Sequence[Sequence[Unit]], going: Exchange, active: ActiveMatrices
    ) -> None:
        arrived = going.wait()
        ready: list[Ready] = []
        for owner, units in enumerate(wave):
            pieces = iter(arrived[owner])
            for unit in units:
                if (box := self.piece(unit)).numel:
                    update = next(pieces).view(unit.dtype).view(box.shape)
                    mask = active.local(unit.parameter)
                    moving = None if mask is None else self._local_part(unit, mask)
                    ready.append(Ready(unit, self._local_part(unit, unit.parameter), update, moving))
                if optimizer.param_groups[unit.group]["normalize_neurons"]:
                    moment = _neurons(optimizer, unit)
                    moment.copy_(next(pieces).view(moment.dtype).view(moment.shape))
        apply_to_parts_(optimizer, ready, self.piece)


def _neurons(optimizer: "Muon", unit: Unit) -> Tensor:
    moment: Tensor = optimizer.state[unit.parameter]["neuron_second_moment"]
    return moment[unit.start : unit.stop]
