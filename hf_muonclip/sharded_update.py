"""What ranks do together in a step: each orthogonalizes its own matrices, and all get every result.

Parameters that every rank holds (`Replicated`): a rank updates its units and shares and sends them to all, in one
stream that is cut into few large all-gathers; while one is on its way the rank computes what the next will carry.
DTensors whose matrices are divided (`Scattered`): in waves, one all-to-all brings directions to their owners and one
takes updates back; the next wave's directions travel while this one's are orthogonalized.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from .matrix_batches import MatrixBlock, batches
from .matrix_view import PLAIN, MatrixView
from .sharding import (
    Box,
    Share,
    Unit,
    assign_owners,
    boxes_of,
    cut_shares,
    cut_units,
    holds_whole_slices,
    is_replicated,
    local_shard,
    num_slices,
    unit_scale,
    view_of_slices,
)
from .thread_per_batch import for_each_batch
from .update_rules import adamw_, apply_updates_, fold_gradients_, normalize_neurons, wide_dtype

if TYPE_CHECKING:
    from .muon import Muon

_ALIGNMENT = 8  # bytes; every dtype can be read at a multiple of it
_CHUNK_BYTES = 2**26  # of an all-gather, over all ranks
_SMALLEST_CHUNK = 2**20  # of one rank in it
_CPU_WAVE_BYTES = 2**25  # of float32 matrices that a rank gathers at once
_ACCELERATOR_WAVE_BYTES = 2**28
Member = tuple[int, str, Tensor]  # index of the group, name, parameter


def num_ranks() -> int:
    """Return the size of the default process group; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def aligned(nbytes: int) -> int:
    """Return bytes rounded up to where the next piece may begin."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def collective_device(device: torch.device) -> torch.device:
    """Return where collectives of the default group want the tensors that live on `device`."""
    served = [entry.partition(":")[0] for entry in dist.get_backend_config().split(",")]
    if device.type in served:
        return device
    found = torch.device(served[0])
    return torch.device(found.type, torch.accelerator.current_device_index()) if found.type != "cpu" else found


class ShardedUpdate:
    """What the ranks of the default group share of an optimizer's parameters. Construction is collective.

    Args:
        members: every parameter with the index of its group and its name.
        groups: the param groups.
        views: how parameters hold their matrices; plain where not named.
        ns_dtype: of Newton–Schulz; None takes what the device prefers.
        shard_optimizer: share the parameters that every rank holds.
        agreed: lines that must be equal on all ranks.

    Attributes:
        replicated: the parameters that every rank holds; None where each rank updates them itself.
        scattered: DTensors whose matrices are divided, one for each mesh.
        local_views: views of DTensors' local shards that differ from the whole parameter's.

    Raises:
        ValueError: ranks differ in `agreed`, two parameters share a name, a mesh lacks a rank, or the backend lacks a
            collective.
    """

    def __init__(
        self,
        members: Sequence[Member],
        groups: Sequence[Mapping[str, Any]],
        views: Mapping[str, MatrixView],
        ns_dtype: torch.dtype | None,
        shard_optimizer: bool,
        agreed: Sequence[str],
    ) -> None:
        self._key = _key(groups)
        self._names = [name for _, name, _ in members]
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.device = collective_device(members[0][2].device)
        self._check_agreement(agreed)
        self._check_names()
        self._check_meshes(members)
        self.local_views: dict[str, MatrixView] = {}
        self._boxes: dict[int, dict[int, Box]] = {}
        self._shared: set[int] = set()
        replicated: list[Member] = []
        scattered: dict[Any, list[Member]] = defaultdict(list)
        for member in members:
            index, name, parameter = member
            muon = groups[index]["algorithm"] == "muon"
            if isinstance(parameter, DTensor):
                boxes = self._boxes[id(parameter)] = boxes_of(parameter, name)
            if is_replicated(parameter):
                mesh_size = parameter.device_mesh.size() if isinstance(parameter, DTensor) else self.world
                if shard_optimizer and mesh_size == self.world:
                    replicated.append(member)
                    self._shared.add(id(parameter))
            elif muon and isinstance(parameter, DTensor):
                view = views.get(name, PLAIN)
                if holds_whole_slices(boxes, parameter.shape, view):
                    box = boxes[self.rank]
                    rows = parameter.shape[0] // num_slices(parameter.shape, view)
                    held = (box.stop[0] - box.start[0]) // rows
                    self.local_views[name] = view_of_slices(view, parameter.shape, max(held, 1))
                else:
                    scattered[parameter.device_mesh].append(member)
                    self._shared.add(id(parameter))
        self.replicated: Replicated | None = None
        if replicated:
            self.replicated = Replicated(replicated, groups, views, ns_dtype, self.rank, self.world, self.device)
        self.scattered = [
            Scattered(of_mesh, groups, views, ns_dtype, self._boxes, self.rank) for of_mesh in scattered.values()
        ]
        self._check_collectives()

    def fits(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Tell whether this was made for these parameters."""
        return self._key == _key(groups)

    def is_local(self, parameter: Tensor) -> bool:
        """Tell whether each rank updates what it holds of a parameter by itself."""
        return id(parameter) not in self._shared

    def box(self, parameter: Tensor) -> Box | None:
        """Return what this rank holds of a DTensor; None of any other tensor."""
        boxes = self._boxes.get(id(parameter))
        return None if boxes is None else boxes[self.rank]

    def update(self, optimizer: "Muon", finite: Tensor | None) -> None:
        """Update what ranks share, of the parameters with a gradient. In place. Collective."""
        if self.replicated is not None:
            self.replicated.update(optimizer, finite)
        for of_mesh in self.scattered:
            of_mesh.update(optimizer, finite)

    def finite_everywhere(self, finite: Tensor) -> Tensor:
        """Return a 0-dim bool: whether `finite` is True on every rank; no host sync. Collective."""
        flag = finite.to(self.device, torch.int32)
        dist.all_reduce(flag, op=dist.ReduceOp.MIN)
        return flag.bool()

    def agree_on_gradients(self, named: Sequence[tuple[str, Tensor]], bad: Sequence[str]) -> list[str]:
        """Return the names of gradients that are not finite on any rank. Collective: one all-reduce of a few bytes.

        Raises:
            ValueError: a parameter has a gradient on some ranks alone.
        """
        present, not_finite = {name for name, _ in named}, set(bad)
        has = [name in present for name in self._names]
        flags = torch.tensor([*has, *[not flag for flag in has], *[name in not_finite for name in self._names]])
        flags = flags.to(self.device, torch.uint8)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        anywhere, lacking, found = flags.view(3, -1).bool().tolist()
        mixed = [name for name, a, b in zip(self._names, anywhere, lacking, strict=True) if a and b]
        if mixed:
            raise ValueError(
                f"a parameter must have a gradient on every rank or on none; {mixed[0]} and {len(mixed) - 1} more have "
                "one on some ranks alone. Train the model wrapped by DDP or FSDP2, which exchange gradients."
            )
        return [name for name, flag in zip(self._names, found, strict=True) if flag]

    def _check_agreement(self, agreed: Sequence[str]) -> None:
        every: list[Any] = [None] * self.world
        digest = torch.tensor([hash_of(agreed)], dtype=torch.int64, device=self.device)
        low, high = digest.clone(), digest.clone()
        dist.all_reduce(low, op=dist.ReduceOp.MIN)
        dist.all_reduce(high, op=dist.ReduceOp.MAX)
        if bool(low == high):
            return
        dist.all_gather_object(every, list(agreed))
        other = next(rank for rank, lines in enumerate(every) if lines != every[0])
        pairs = zip([*every[0], "nothing more"], [*every[other], "nothing more"], strict=False)
        first, second = next((a, b) for a, b in pairs if a != b)
        raise ValueError(
            "every rank must build the optimizer from the same model with the same settings; rank 0 has "
            f"{first!r} and rank {other} has {second!r}. Give all ranks one config."
        )

    def _check_names(self) -> None:
        """Refuse parameters of one name: ranks tell each other of parameters by name."""
        name, count = max(Counter(self._names).items(), key=lambda found: found[1])
        if count > 1:
            raise ValueError(
                f"with several ranks every parameter needs a name of its own; {count} are named {name}. Pass "
                "(name, parameter) pairs with different names, or parameters without names."
            )

    def _check_meshes(self, members: Sequence[Member]) -> None:
        """Refuse a mesh that lacks a rank, on every rank: one that raised alone would leave the others waiting."""
        meshes = {name: p.device_mesh.mesh.flatten().tolist() for _, name, p in members if isinstance(p, DTensor)}
        if not meshes:
            return
        # Where a rank is not on the mesh, 1 + its number.
        lacking = [self.rank + 1 if self.rank not in ranks else 0 for ranks in meshes.values()]
        flags = torch.tensor(lacking, dtype=torch.int64, device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        for (name, ranks), missing in zip(meshes.items(), flags.tolist(), strict=True):
            if missing:
                raise ValueError(
                    f"every rank must be on the mesh of a parameter; {name} is on ranks {ranks} and rank "
                    f"{missing - 1} is not among them. Build the optimizer on the ranks of the mesh, with a process "
                    "group of their own."
                )

    def _check_collectives(self) -> None:
        try:
            if self.replicated is not None:
                sent = torch.zeros(1, dtype=torch.uint8, device=self.device)
                _all_gather(sent.new_empty(self.world), sent).wait()
            for of_mesh in self.scattered:
                size = len(of_mesh.ranks)
                sent = torch.zeros(size, dtype=torch.uint8, device=self.device)
                dist.all_to_all_single(torch.empty_like(sent), sent, group=of_mesh.process_group)
        except (RuntimeError, NotImplementedError) as error:
            raise ValueError(
                "the process group's backend must have all_gather and all_to_all of tensors; "
                f"{dist.get_backend_config()} answers: {error}. Use nccl or gloo, or shard_optimizer=False under DDP."
            ) from error


class Replicated:
    """Parameters that every rank holds: each rank updates what it owns of them and sends the result to all.

    Attributes:
        units: of each rank.
        shares: of each rank.
        consolidated: [(parameter, state)], gathered ahead of `state_dict`; () where other ranks keep it.
    """

    def __init__(
        self,
        members: Sequence[Member],
        groups: Sequence[Mapping[str, Any]],
        views: Mapping[str, MatrixView],
        ns_dtype: torch.dtype | None,
        rank: int,
        world: int,
        device: torch.device,
    ) -> None:
        self.rank, self.device = rank, device
        self._parameters = {id(parameter): parameter for _, _, parameter in members}
        self.units: list[list[Unit]] = [[] for _ in range(world)]
        self.shares: list[list[Share]] = [[] for _ in range(world)]
        self.consolidated: Sequence[tuple[Tensor, dict[str, Tensor]]] | None = None
        loads, sent = [0] * world, [0] * world
        for index, group in enumerate(groups):  # one by one, so that a group added later moves nothing
            named = [(name, parameter) for of, name, parameter in members if of == index]
            if group["algorithm"] == "muon":
                cut = [
                    unit
                    for name, p in named
                    for unit in cut_units(name, p, views.get(name, PLAIN), index, group, ns_dtype, world)
                ]
                for owner, owned in enumerate(assign_owners(cut, loads)):
                    self.units[owner] += owned
                    sent[owner] += sum(aligned(unit.nbytes) for unit in owned)
            else:
                for owner, share in enumerate(cut_shares([(name, p, index) for name, p in named], sent)):
                    self.shares[owner] += share
                    sent[owner] += sum(aligned(s.nbytes) for s in share)
        # A rank keeps the moments of its units of one parameter in one tensor, one after the other.
        self._slices_before: dict[int, int] = {}
        self._own_slices: dict[int, int] = defaultdict(int)
        for unit in self.units[rank]:
            self._slices_before[id(unit)] = self._own_slices[id(unit.parameter)]
            self._own_slices[id(unit.parameter)] += unit.stop - unit.start

    def holds(self, parameter: Tensor) -> bool:
        """Tell whether the parameter is one of these."""
        return id(parameter) in self._parameters

    def own_part(self, key: str, parameter: Tensor, whole: Tensor) -> Tensor:
        """Return what this rank keeps of a parameter's whole moment; nothing at all is an empty tensor."""
        if key in ("exp_avg", "exp_avg_sq"):
            mine = [whole.reshape(-1)[s.start : s.stop] for s in self.shares[self.rank] if s.parameter is parameter]
            return torch.cat(mine).clone() if mine else whole.new_empty(0)
        mine = []
        for unit in self.units[self.rank]:
            if unit.parameter is parameter:
                rows = slice(unit.start, unit.stop) if key == "neuron_second_moment" else unit.rows
                mine.append(whole[rows])
        return torch.cat(mine).clone() if mine else whole.new_empty(0, *whole.shape[1:])

    def update(self, optimizer: "Muon", finite: Tensor | None) -> None:
        """Update every parameter with a gradient. In place. Collective."""
        self.consolidated = None
        shares = [[share for share in owned if share.parameter.grad is not None] for owned in self.shares]
        units = [[unit for unit in owned if unit.parameter.grad is not None] for owned in self.units]
        segments: list[list[Share | Unit]] = [[*s, *u] for s, u in zip(shares, units, strict=True)]
        stream = _GatherStream([[part.nbytes for part in of_rank] for of_rank in segments], self.rank, self.device)
        self._update_shares(optimizer, shares[self.rank], finite)
        for place, share in enumerate(shares[self.rank]):
            stream.write(place, _flat(share.parameter)[share.start : share.stop])
        done = len(shares[self.rank])
        self._apply(optimizer, stream.advance(done), segments, finite)
        for wave in _waves(units[self.rank], optimizer._max_batch_bytes):
            made = self._orthogonalized(optimizer, wave, finite)
            for unit in wave:
                stream.write(done, made.pop(unit.name))
                done += 1
            self._apply(optimizer, stream.advance(done), segments, finite)
        for arrived in stream.rest():
            self._apply(optimizer, arrived, segments, finite)

    def _update_shares(self, optimizer: "Muon", shares: Sequence[Share], finite: Tensor | None) -> None:
        by_kind: dict[Any, list[Share]] = defaultdict(list)
        for share in shares:
            by_kind[share.group, share.parameter.device, share.parameter.dtype].append(share)
        for (index, device, _), of_kind in by_kind.items():
            weights, gradients, states = [], [], []
            for share in of_kind:
                state: dict[str, Tensor] = optimizer.state[share.parameter]
                if "exp_avg" not in state:
                    state["step"] = torch.zeros((), dtype=torch.float32, device=device)
                    for moment in ("exp_avg", "exp_avg_sq"):
                        size, dtype = share.stop - share.start, wide_dtype(share.parameter)
                        state[moment] = torch.zeros(size, dtype=dtype, device=device)
                states.append(state)
                weights.append(_flat(share.parameter)[share.start : share.stop])
                gradients.append(_flat(share.parameter.grad)[share.start : share.stop])
            adamw_(weights, gradients, states, optimizer.param_groups[index], finite)
            for share, weight in zip(of_kind, weights, strict=True):
                _put_back_(share, weight)

    def _moment(self, optimizer: "Muon", unit: Unit, key: str) -> Tensor:
        """Return a unit's part of a moment that this rank keeps, made of zeros at first."""
        state: dict[str, Tensor] = optimizer.state[unit.parameter]
        neurons = key == "neuron_second_moment"
        slices = self._own_slices[id(unit.parameter)]
        per_slice = 1 if neurons else (unit.rows.stop - unit.rows.start) // (unit.stop - unit.start)
        if key not in state:
            rest = (unit.neurons_per_slice,) if neurons else tuple(unit.parameter.shape[1:])
            dtype = wide_dtype(unit.parameter) if neurons else optimizer._dtype_of(key, unit.parameter)
            state[key] = torch.zeros(slices * per_slice, *rest, dtype=dtype, device=unit.parameter.device)
        first = self._slices_before[id(unit)] * per_slice
        return state[key][first : first + (unit.stop - unit.start) * per_slice]

    def _orthogonalized(self, optimizer: "Muon", wave: Sequence[Unit], finite: Tensor | None) -> dict[str, Tensor]:
        directions: dict[str, Tensor] = {}
        for index, units in _by_group(wave).items():
            folded = fold_gradients_(
                [local_shard(_gradient(unit))[unit.rows].contiguous() for unit in units],
                [self._moment(optimizer, unit, "momentum_buffer") for unit in units],
                optimizer.param_groups[index],
                finite,
            )
            directions |= {unit.name: direction for unit, direction in zip(units, folded, strict=True)}
        moments = {
            unit.name: self._moment(optimizer, unit, "neuron_second_moment")
            for unit in wave
            if optimizer.param_groups[unit.group]["normalize_neurons"]
        }
        return orthogonalized(optimizer, wave, directions, moments, finite)

    def _apply(
        self,
        optimizer: "Muon",
        arrived: Sequence[tuple[int, int, Tensor]],
        segments: Sequence[Sequence[Share | Unit]],
        finite: Tensor | None,
    ) -> None:
        ready: list[tuple[Unit, Tensor, Tensor]] = []
        for rank, place, data in arrived:
            part = segments[rank][place]
            if isinstance(part, Unit):
                weight = local_shard(part.parameter)[part.rows]
                ready.append((part, weight, data.view(part.dtype).view(part.shape)))
            elif rank != self.rank:
                _put_back_(part, data.view(part.parameter.dtype))
        apply_to_parts_(optimizer, ready, finite)

    def consolidate(self, state: Mapping[Tensor, dict[str, Tensor]], keep: bool) -> None:
        """Gather the state now, and keep it on this rank or not. Collective."""
        self.consolidated = None
        found = self.gathered_state(state, keep)
        self.consolidated = found if keep else ()

    def gathered_state(
        self, state: Mapping[Tensor, dict[str, Tensor]], keep: bool = True
    ) -> Sequence[tuple[Tensor, dict[str, Tensor]]]:
        """Return every parameter with its whole state, on the CPU. Collective, unless it was consolidated before."""
        if self.consolidated is not None:
            if not self.consolidated:
                raise RuntimeError(
                    "this rank did not keep the consolidated state; call consolidate_state_dict(keep=True) on it, or "
                    "state_dict() on every rank without consolidating."
                )
            return self.consolidated
        # What this rank has, as (key, shape, dtype) of each tensor, is told to all; then the tensors follow.
        parts: list[Share | Unit] = [*self.shares[self.rank], *self.units[self.rank]]
        kept = [(place, key) for place, part in enumerate(parts) for key in state.get(part.parameter, {})]
        tensors = [self._own_tensor(parts[place], key, state) for place, key in kept]
        told: list[Any] = [None] * len(self.units)
        dist.all_gather_object(told, [(p, k, tuple(t.shape), t.dtype) for (p, k), t in zip(kept, tensors, strict=True)])
        sizes = [[math.prod(shape) * dtype.itemsize for _, _, shape, dtype in of_rank] for of_rank in told]
        stream = _GatherStream(sizes, self.rank, self.device)
        for place, tensor in enumerate(tensors):
            stream.write(place, tensor)
        whole: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for arrived in [stream.advance(len(tensors)), *stream.rest()]:
            for rank, place, data in arrived if keep else ():
                of_part, key, shape, dtype = told[rank][place]
                part = [*self.shares[rank], *self.units[rank]][of_part]
                self._place_whole(whole[id(part.parameter)], part, key, data.view(dtype).view(shape).cpu())
        return [(self._parameters[parameter], moments) for parameter, moments in whole.items()]

    def _own_tensor(self, part: Share | Unit, key: str, state: Mapping[Tensor, dict[str, Tensor]]) -> Tensor:
        tensor = state[part.parameter][key]
        if isinstance(part, Share):
            return tensor
        first, count = self._slices_before[id(part)], part.stop - part.start
        per_slice = tensor.shape[0] // self._own_slices[id(part.parameter)]
        return tensor[first * per_slice : (first + count) * per_slice]

    @staticmethod
    def _place_whole(moments: dict[str, Tensor], part: Share | Unit, key: str, found: Tensor) -> None:
        if key == "step":
            moments[key] = found.clone()
            return
        neurons = key == "neuron_second_moment"
        shape: Sequence[int] = part.parameter.shape
        if neurons and isinstance(part, Unit):
            shape = (num_slices(shape, part.view), part.neurons_per_slice)
        if key not in moments:
            moments[key] = torch.zeros(shape, dtype=found.dtype)
        if isinstance(part, Share):
            moments[key].view(-1)[part.start : part.stop] = found
        else:
            moments[key][slice(part.start, part.stop) if neurons else part.rows] = found


class Scattered:
    """DTensors of one mesh whose matrices are divided between its ranks: gathered to owners, returned as shards.

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
    ) -> None:
        first = members[0][2]
        assert isinstance(first, DTensor)
        mesh = first.device_mesh
        self._boxes = boxes
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
        self.units = assign_owners(cut, [0] * len(self.ranks))
        self._coordinates = dict(zip(mesh.mesh.flatten().tolist(), _coordinates(tuple(mesh.mesh.shape)), strict=True))

    def pieces(self, unit: Unit) -> dict[int, Box]:
        """Return {place: what its rank holds of a unit}, without those that hold nothing."""
        found = {}
        for place, rank in enumerate(self.ranks):
            box = self._boxes[id(unit.parameter)][rank].rows(unit.rows.start, unit.rows.stop)
            if box.numel:
                found[place] = box
        return found

    def sources(self, unit: Unit) -> dict[int, Box]:
        """Return {place: piece} of those that send to a unit's owner: of replicas, the ones in the owner's own."""
        parameter = unit.parameter
        assert isinstance(parameter, DTensor)
        repeated = [dim for dim, placement in enumerate(parameter.placements) if placement.is_replicate()]

        def replica(place: int) -> tuple[int, ...]:
            return tuple(self._coordinates[self.ranks[place]][dim] for dim in repeated)

        wanted = replica(unit.owner)
        return {place: box for place, box in self.pieces(unit).items() if replica(place) == wanted}

    def update(self, optimizer: "Muon", finite: Tensor | None) -> None:
        """Update every parameter with a gradient. In place. Collective."""
        present = [[unit for unit in owned if unit.parameter.grad is not None] for owned in self.units]
        by_rank = [list(_waves(owned, optimizer._max_batch_bytes)) for owned in present]
        count = max((len(waves) for waves in by_rank), default=0)
        waves = [[waves[k] if k < len(waves) else [] for waves in by_rank] for k in range(count)]
        coming = self._gather(optimizer, waves[0], finite) if waves else None
        going = None
        for k, wave in enumerate(waves):
            following = self._gather(optimizer, waves[k + 1], finite) if k + 1 < count else None
            assert coming is not None
            made, moments = self._orthogonalized(optimizer, wave, coming, finite)
            returning = self._return(optimizer, wave, made, moments)
            if going is not None:
                self._apply(optimizer, waves[k - 1], going, finite)
            coming, going = following, returning
        if going is not None:
            self._apply(optimizer, waves[-1], going, finite)

    def _local_part(self, unit: Unit, whole: Tensor) -> Tensor:
        """Return this rank's piece of a unit out of what the rank holds of the parameter, or of its moment."""
        box = self._boxes[id(unit.parameter)][self.ranks[self.place]]
        piece = box.rows(unit.rows.start, unit.rows.stop)
        first = unit.rows.start + piece.start[0] - box.start[0]
        return local_shard(whole)[first : first + piece.shape[0]]

    def _gather(self, optimizer: "Muon", wave: Sequence[Sequence[Unit]], finite: Tensor | None) -> "_Exchange":
        """Fold this rank's gradients of a wave into momentum, and send the directions to their owners."""
        directions: dict[str, Tensor] = {}
        mine = [unit for units in wave for unit in units if self.place in self.pieces(unit)]
        for index, units in _by_group(mine).items():
            folded = fold_gradients_(
                [self._local_part(unit, _gradient(unit)) for unit in units],
                [self._local_part(unit, optimizer._momentum_buffer(unit.parameter)) for unit in units],
                optimizer.param_groups[index],
                finite,
            )
            directions |= {unit.name: direction for unit, direction in zip(units, folded, strict=True)}
        sent = [
            [(directions[unit.name], unit.dtype) for unit in units if self.place in self.sources(unit)]
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
        return _Exchange(sent, received, self.process_group, self.device)

    def _orthogonalized(
        self, optimizer: "Muon", wave: Sequence[Sequence[Unit]], coming: "_Exchange", finite: Tensor | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        own = wave[self.place]
        directions = {unit.name: torch.empty(unit.shape, dtype=unit.dtype, device=self.device) for unit in own}
        arrived = coming.wait()
        taken = [0] * len(self.ranks)
        for unit in own:
            for place, box in self.sources(unit).items():
                piece = arrived[place][taken[place]]
                directions[unit.name][box.slices] = piece.view(unit.dtype).view(box.shape)
                taken[place] += 1
        moments = {
            unit.name: _neurons(optimizer, unit).to(self.device, copy=True)
            for unit in own
            if optimizer.param_groups[unit.group]["normalize_neurons"]
        }
        return orthogonalized(optimizer, own, directions, moments, finite), moments

    def _return(
        self,
        optimizer: "Muon",
        wave: Sequence[Sequence[Unit]],
        made: dict[str, Tensor],
        moments: dict[str, Tensor],
    ) -> "_Exchange":
        sent: list[list[tuple[Tensor, torch.dtype]]] = [[] for _ in self.ranks]
        received: list[list[int]] = [[] for _ in self.ranks]
        for unit in wave[self.place]:
            pieces = self.pieces(unit)
            for place in range(len(self.ranks)):
                if place in pieces:
                    sent[place].append((made[unit.name][pieces[place].slices], unit.dtype))
                if unit.name in moments:
                    sent[place].append((moments[unit.name], moments[unit.name].dtype))
        for owner, units in enumerate(wave):
            for unit in units:
                if (box := self.pieces(unit).get(self.place)) is not None:
                    received[owner].append(box.numel * unit.dtype.itemsize)
                if optimizer.param_groups[unit.group]["normalize_neurons"]:
                    neurons = (unit.stop - unit.start) * unit.neurons_per_slice
                    received[owner].append(neurons * wide_dtype(unit.parameter).itemsize)
        return _Exchange(sent, received, self.process_group, self.device)

    def _apply(
        self, optimizer: "Muon", wave: Sequence[Sequence[Unit]], going: "_Exchange", finite: Tensor | None
    ) -> None:
        arrived = going.wait()
        ready: list[tuple[Unit, Tensor, Tensor]] = []
        for owner, units in enumerate(wave):
            pieces = iter(arrived[owner])
            for unit in units:
                if (box := self.pieces(unit).get(self.place)) is not None:
                    update = next(pieces).view(unit.dtype).view(box.shape)
                    ready.append((unit, self._local_part(unit, unit.parameter), update))
                if optimizer.param_groups[unit.group]["normalize_neurons"]:
                    moment = _neurons(optimizer, unit)
                    moment.copy_(next(pieces).view(moment.dtype).view(moment.shape))
        apply_to_parts_(optimizer, ready, finite, lambda unit: self.pieces(unit)[self.place])


class _Exchange:
    """One all-to-all under way: pieces for every rank, packed."""

    def __init__(
        self,
        sent: Sequence[Sequence[tuple[Tensor, torch.dtype]]],
        received: Sequence[Sequence[int]],
        process_group: Any,
        device: torch.device,
    ) -> None:
        self._sizes = received
        out = [sum(aligned(piece.numel() * dtype.itemsize) for piece, dtype in to_rank) for to_rank in sent]
        into = [sum(map(aligned, from_rank)) for from_rank in received]
        self._out = torch.empty(sum(out), dtype=torch.uint8, device=device)
        self._into = torch.empty(sum(into), dtype=torch.uint8, device=device)
        self._starts = [0, *accumulate(into)]
        at = 0
        for to_rank in sent:
            for piece, dtype in to_rank:
                nbytes = piece.numel() * dtype.itemsize
                self._out[at : at + nbytes].view(dtype).view(piece.shape).copy_(piece)
                at += aligned(nbytes)
        self._work: Any = dist.all_to_all_single(self._into, self._out, into, out, group=process_group, async_op=True)

    def wait(self) -> list[list[Tensor]]:
        """Return the pieces of every rank, as bytes."""
        self._work.wait()
        found = []
        for start, sizes in zip(self._starts, self._sizes, strict=False):
            ends = list(accumulate(map(aligned, sizes), initial=start))
            found.append([self._into[a : a + size] for a, size in zip(ends, sizes, strict=False)])
        return found


class _GatherStream:
    """Every rank's bytes to every rank, in few large all-gathers that start as soon as their bytes are there.

    Args:
        sizes: bytes of each segment of each rank.
        rank: this one.
        device: of the collectives.
    """

    def __init__(self, sizes: Sequence[Sequence[int]], rank: int, device: torch.device) -> None:
        self._sizes, self._rank = sizes, rank
        self._ends = [list(accumulate(map(aligned, of_rank))) for of_rank in sizes]
        longest = max((ends[-1] for ends in self._ends if ends), default=0)
        chunk = aligned(max(_SMALLEST_CHUNK, _CHUNK_BYTES // len(sizes)))
        self._bounds = [*range(0, longest, chunk), longest]
        self._own = torch.empty(longest, dtype=torch.uint8, device=device)
        self._launched: list[tuple[Any, Tensor] | None] = []
        self._next = [0] * len(sizes)  # of each rank, the first segment that was not handed out
        self._waited = 0

    def write(self, place: int, tensor: Tensor) -> None:
        """Fill this rank's segment."""
        end, size = self._ends[self._rank][place], self._sizes[self._rank][place]
        start = end - aligned(size)
        self._own[start : start + size].view(tensor.dtype).view(tensor.shape).copy_(tensor)

    def advance(self, done: int) -> list[tuple[int, int, Tensor]]:
        """Send what the first `done` segments fill, and return (rank, segment, bytes) of what arrived before.

        What was sent just now is left to travel: the caller has more to compute.
        """
        ends = self._ends[self._rank]
        filled = self._bounds[-1] if done == len(ends) else (ends[done - 1] if done else 0)
        before = len(self._launched)
        while len(self._launched) < len(self._bounds) - 1 and self._bounds[len(self._launched) + 1] <= filled:
            start, stop = self._bounds[len(self._launched) : len(self._launched) + 2]
            gathered = torch.empty(len(self._sizes) * (stop - start), dtype=torch.uint8, device=self._own.device)
            self._launched.append((_all_gather(gathered, self._own[start:stop]), gathered))
        return [found for chunk in range(self._waited, before) for found in self._arrive(chunk)]

    def rest(self) -> Iterator[list[tuple[int, int, Tensor]]]:
        """Yield what is still to arrive, chunk by chunk."""
        for chunk in range(self._waited, len(self._launched)):
            yield self._arrive(chunk)

    def _arrive(self, chunk: int) -> list[tuple[int, int, Tensor]]:
        launched = self._launched[chunk]
        assert launched is not None
        launched[0].wait()
        self._waited = chunk + 1
        found = []
        for rank, ends in enumerate(self._ends):
            while self._next[rank] < len(ends) and ends[self._next[rank]] <= self._bounds[chunk + 1]:
                found.append((rank, self._next[rank], self._segment(rank, self._next[rank])))
                self._next[rank] += 1
        starts = [
            ends[place] - aligned(self._sizes[rank][place])
            for rank, (ends, place) in enumerate(zip(self._ends, self._next, strict=True))
            if place < len(ends)
        ]
        for old in range(chunk + 1):  # nothing is left in them
            if self._bounds[old + 1] <= min(starts, default=self._bounds[-1]):
                self._launched[old] = None
        return found

    def _segment(self, rank: int, place: int) -> Tensor:
        size = self._sizes[rank][place]
        start = self._ends[rank][place] - aligned(size)
        parts = []
        for chunk, (first, end) in enumerate(zip(self._bounds, self._bounds[1:], strict=False)):
            a, b = max(start, first), min(start + size, end)
            if a < b:
                launched = self._launched[chunk]
                assert launched is not None
                at = rank * (end - first) - first
                parts.append(launched[1][at + a : at + b])
        return parts[0] if len(parts) == 1 else torch.cat(parts) if parts else self._own[:0]


def orthogonalized(
    optimizer: "Muon",
    units: Sequence[Unit],
    directions: Mapping[str, Tensor],
    moments: Mapping[str, Tensor],
    finite: Tensor | None,
) -> dict[str, Tensor]:
    """Return {name: update of the unit's shape in the dtype that it travels in}.

    Args:
        optimizer: orthogonalizes.
        units: of any param groups.
        directions: {name: tensor of the unit's shape}.
        moments: {name: (slices, output rows of a slice)} of units whose neurons are normalized; updated in place.
        finite: as `fold_gradients_`.
    """
    made = {unit.name: torch.empty(unit.shape, dtype=unit.dtype, device=directions[unit.name].device) for unit in units}
    for index, of_group in _by_group(units).items():
        group = optimizer.param_groups[index]
        named = [(unit.name, directions[unit.name].contiguous()) for unit in of_group]
        wide = wide_dtype(of_group[0].parameter)

        def take(batch: list[MatrixBlock], group: Mapping[str, Any] = group, wide: torch.dtype = wide) -> None:
            shape = batch[0].matrix_shape
            matrices = torch.cat([block.of(block.parameter).reshape(-1, *shape).to(wide) for block in batch])
            update = optimizer.orthogonalize(matrices, group).to(wide)
            if group["normalize_neurons"]:
                update = normalize_neurons(update, [block.neurons(moments[block.name]) for block in batch], finite)
            for block, piece in zip(batch, update.split([block.num_matrices for block in batch]), strict=True):
                target = block.of(made[block.name])
                target.copy_(piece.reshape(target.shape))

        views = {unit.name: unit.part_view for unit in of_group}
        for_each_batch(take, batches(named, views, optimizer._max_batch_bytes))
    return made


def apply_to_parts_(
    optimizer: "Muon",
    ready: Sequence[tuple[Unit, Tensor, Tensor]],
    finite: Tensor | None,
    box_of: Callable[[Unit], Box] | None = None,
) -> None:
    """Apply updates to parts of weights. In place.

    Args:
        optimizer: whose groups count.
        ready: units, the parts of their weights, and the updates of these.
        finite: as `fold_gradients_`.
        box_of: which part of the unit it is; None for all of it.
    """
    alike: dict[Any, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for unit, weight, update in ready:
        update = update.to(weight.device, wide_dtype(weight), copy=update.dtype == wide_dtype(weight))
        scale = unit_scale(unit, optimizer.param_groups[unit.group])
        if isinstance(scale, Tensor):
            part = scale if box_of is None else scale[box_of(unit).slices]
            apply_updates_([weight], [update], part, optimizer.param_groups[unit.group], finite)
        else:
            alike[unit.group, scale, weight.device, weight.dtype].append((weight, update))
    for (index, scale, _, _), pairs in alike.items():
        weights, updates = zip(*pairs, strict=True)
        apply_updates_(weights, updates, scale, optimizer.param_groups[index], finite)


def hash_of(lines: Sequence[str]) -> int:
    """Return a number that is equal in every process for equal lines."""
    import hashlib

    return int.from_bytes(hashlib.sha256("\n".join(lines).encode()).digest()[:7], "big")


def _all_gather(gathered: Tensor, own: Tensor) -> Any:
    # all_gather_single is torch 2.13's name of all_gather_into_tensor.
    gather: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    return gather(gathered, own, async_op=True)


def _key(groups: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [
        (id(p), p.shape, p.device, p.dtype, group["algorithm"], str(getattr(p, "placements", "")))
        for group in groups
        for p in group["params"]
    ]


def _waves(units: Sequence[Unit], max_batch_bytes: int | None) -> Iterator[list[Unit]]:
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


def _by_group(units: Sequence[Unit]) -> dict[int, list[Unit]]:
    found: dict[int, list[Unit]] = defaultdict(list)
    for unit in units:
        found[unit.group].append(unit)
    return found


def _coordinates(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for place in range(math.prod(shape)):
        coordinate = []
        for size in reversed(shape):
            coordinate.append(place % size)
            place //= size
        yield tuple(reversed(coordinate))


def _gradient(unit: Unit) -> Tensor:
    assert unit.parameter.grad is not None
    return unit.parameter.grad


def _neurons(optimizer: "Muon", unit: Unit) -> Tensor:
    name = unit.name[: unit.name.rindex("[")]
    return optimizer._neuron_moment(unit.parameter, name)[unit.start : unit.stop]


def _flat(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return local_shard(tensor).detach().reshape(-1)


def _put_back_(share: Share, values: Tensor) -> None:
    """Write new weights into a share of a parameter, whatever its strides are."""
    local = local_shard(share.parameter).detach()
    flat = local.reshape(-1)
    flat[share.start : share.stop] = values
    if flat.data_ptr() != local.data_ptr():
        local.copy_(flat.view(local.shape))
