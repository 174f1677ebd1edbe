"""Parameters that every rank holds, as under DDP: each rank updates what it owns and sends the result to all."""

import functools
import itertools
import math
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..matrix_view import PLAIN, MatrixView
from ..moments import adamw_moments, moment_dtype
from ..parameters.frozen import is_updated
from ..step import State, Step
from ..update_rules import wide_dtype
from .agreement import all_come
from .collectives import GatherStream, aligned
from .lone_saves import Answers, KeptMoment
from .sharding import (
    Member,
    Share,
    Unit,
    assign_owners,
    cut_shares,
    cut_units,
    local_shard,
    neurons_per_slice,
    num_slices,
)
from .units import by_group, orthogonalized, part_of, waves_of

_constructed = itertools.count()


class Replicated:
    """Parameters that every rank holds: each rank updates what it owns of them and sends the result to all.

    Attributes:
        units: units of each rank.
        shares: shares of each rank.
        consolidated: [(parameter, state)], gathered ahead of `state_dict`; () if only other ranks keep it; None if it
            was not gathered.
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
        self._views = {id(parameter): views.get(name, PLAIN) for _, name, parameter in members}
        self.units: list[list[Unit]] = [[] for _ in range(world)]
        self.shares: list[list[Share]] = [[] for _ in range(world)]
        self.consolidated: Sequence[tuple[Tensor, dict[str, Tensor]]] | None = None
        self._number = next(_constructed)
        self._changes = self._gathered = 0  # changes of the state, and how often it was gathered since
        self._answers: Answers | None = None
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
        """Return whether the parameter is replicated here."""
        return id(parameter) in self._parameters

    def own_part(self, key: str, parameter: Tensor, whole: Tensor) -> Tensor:
        """Return this rank's part of a parameter's whole moment; an empty tensor if it has none."""
        if key in ("exp_avg", "exp_avg_sq"):
            mine = [whole.reshape(-1)[s.start : s.stop] for s in self.shares[self.rank] if s.parameter is parameter]
            return torch.cat(mine).clone() if mine else whole.new_empty(0)
        mine = []
        for unit in self.units[self.rank]:
            if unit.parameter is parameter:
                rows = slice(unit.start, unit.stop) if key == "neuron_second_moment" else unit.rows
                mine.append(whole[rows])
        return torch.cat(mine).clone() if mine else whole.new_empty(0, *whole.shape[1:])

    def make_moments(
        self, group: Mapping[str, Any], parameter: Tensor, state: MutableMapping[str, Tensor], momentum: torch.dtype
    ) -> None:
        """Make this rank's part of a parameter's moments, of zeros, if there is none yet; it may be empty."""
        if group["algorithm"] == "adamw":
            own = sum(share.stop - share.start for share in self.shares[self.rank] if share.parameter is parameter)
            adamw_moments(state, _flat(parameter)[:own])
            return
        view = self._views[id(parameter)]
        slices, all_slices = self._own_slices[id(parameter)], max(1, num_slices(parameter.shape, view))
        if "momentum_buffer" not in state:
            shape = (slices * parameter.shape[0] // all_slices, *parameter.shape[1:])
            dtype = moment_dtype("momentum_buffer", parameter, momentum)
            state["momentum_buffer"] = torch.zeros(shape, dtype=dtype, device=parameter.device)
        if group["normalize_neurons"] and "neuron_second_moment" not in state:
            rows, dtype = neurons_per_slice(parameter.shape, view), wide_dtype(parameter)
            state["neuron_second_moment"] = torch.zeros(slices, rows, dtype=dtype, device=parameter.device)

    def update(self, step: Step) -> None:
        """Update every parameter with a gradient. In place. Collective."""
        self.forget_gathered()
        shares = [[share for share in owned if is_updated(share.parameter)] for owned in self.shares]
        units = [[unit for unit in owned if is_updated(unit.parameter)] for owned in self.units]
        segments: list[list[Share | Unit]] = [[*s, *u] for s, u in zip(shares, units, strict=True)]
        stream = GatherStream([[part.nbytes for part in of_rank] for of_rank in segments], self.rank, self.device)
        self._update_shares(step, shares[self.rank])
        for place, share in enumerate(shares[self.rank]):
            stream.write(place, _flat(share.parameter)[share.start : share.stop])
        done = len(shares[self.rank])
        self._apply(step, stream.advance(done), segments)
        for wave in waves_of(units[self.rank], step.max_batch_bytes):
            made = self._orthogonalized(step, wave)
            for unit in wave:
                stream.write(done, made.pop(unit.name))
                done += 1
            self._apply(step, stream.advance(done), segments)
        for arrived in stream.rest():
            self._apply(step, arrived, segments)
        self.settle(step.state)

    def _update_shares(self, step: Step, shares: Sequence[Share]) -> None:
        by_kind: dict[Any, list[Share]] = defaultdict(list)
        for share in shares:
            by_kind[share.group, share.parameter.device, share.parameter.dtype].append(share)
        for (index, _, _), of_kind in by_kind.items():
            weights = [_flat(share.parameter)[share.start : share.stop] for share in of_kind]
            gradients = [_flat(share.parameter.grad)[share.start : share.stop] for share in of_kind]
            step.adamw_(index, weights, gradients, [step.state[share.parameter] for share in of_kind])
            for share, weight in zip(of_kind, weights, strict=True):
                _put_back_(share, weight)

    def _moment(self, step: Step, unit: Unit, key: str) -> Tensor:
        """Return a unit's part of a moment that this rank keeps."""
        moment: Tensor = step.state[unit.parameter][key]
        per_slice = len(moment) // self._own_slices[id(unit.parameter)]
        first = self._slices_before[id(unit)] * per_slice
        return moment[first : first + (unit.stop - unit.start) * per_slice]

    def _orthogonalized(self, step: Step, wave: Sequence[Unit]) -> dict[str, Tensor]:
        directions: dict[str, Tensor] = {}
        for index, units in by_group(wave).items():
            prepared = step.prepare(
                index,
                [local_shard(unit.gradient)[unit.rows].contiguous() for unit in units],
                [self._moment(step, unit, "momentum_buffer") for unit in units],
            )
            directions |= {unit.name: direction for unit, direction in zip(units, prepared, strict=True)}
        neurons = {
            unit.name: self._moment(step, unit, "neuron_second_moment")
            for unit in wave
            if step.groups[unit.group]["normalize_neurons"]
        }
        return orthogonalized(step, wave, directions, neurons)

    def _apply(
        self, step: Step, arrived: Sequence[tuple[int, int, Tensor]], segments: Sequence[Sequence[Share | Unit]]
    ) -> None:
        parts = []
        for rank, place, data in arrived:
            part = segments[rank][place]
            if isinstance(part, Unit):
                weight, mask = local_shard(part.parameter)[part.rows], step.active.local(part.parameter)
                update = data.view(part.dtype).view(part.shape)
                parts.append(part_of(step, part, weight, update, None if mask is None else mask[part.rows]))
            elif rank != self.rank:
                _put_back_(part, data.view(part.parameter.dtype))
        step.apply_(parts)

    def forget_gathered(self) -> None:
        """Record a change of the state, which invalidates what was gathered."""
        if self._answers is not None:
            self._answers.unsettle()
        self.consolidated = None
        self._changes += 1
        self._gathered = 0

    def consolidate(self, state: State, keep: bool) -> None:
        """Gather the state now, and keep it on this rank or not. Collective."""
        self.consolidated = None
        found = self.gathered_state(state, keep)
        self.consolidated = found if keep else ()

    def gathered_state(self, state: State, keep: bool = True) -> Sequence[tuple[Tensor, dict[str, Tensor]]]:
        """Return every parameter with its whole state, on the CPU.

        Collective if all ranks call it; a single rank that calls it asks the others, which takes longer.

        Raises:
            RuntimeError: it was consolidated for other ranks, or some rank does not answer.
        """
        if self.consolidated is not None:
            if self.consolidated == ():
                raise RuntimeError(
                    "this rank did not keep the consolidated state; call consolidate_state_dict(keep=True) on it, or "
                    "state_dict() on every rank without consolidating."
                )
            return self.consolidated
        own = self._own_parts(state)
        if not dist.is_initialized() or not all_come(f"state/{self._number}/{self._changes}/{self._gathered}"):
            assert self._answers is not None
            if not keep:
                return []  # a thread answers for this rank
            return self._whole([(self.rank, own), *self._answers.of_others(self._changes)])
        self._gathered += 1
        arrived = self._exchanged(own)
        if keep:
            return self._whole(arrived)
        for _ in arrived:
            pass
        return []

    def answer_for(self, owner: object, state: State) -> None:
        """Answer single ranks that ask for the state of an optimizer, also after the optimizer is gone."""
        self._answers = Answers(f"answers/{self._number}", self.device)
        self._end = weakref.finalize(owner, self._answers.outlive)
        self._end.atexit = False
        self.settle(state)

    def answer_no_more(self) -> None:
        """Stop answering for the optimizer, whose state is kept elsewhere now."""
        if self._answers is not None:
            self._end.detach()
            self._answers.end()

    def settle(self, state: State) -> None:
        """Answer questions about the state again, because the change that `forget_gathered` announced is complete."""
        if self._answers is not None:
            self._answers.settle(self._changes, functools.partial(self._own_parts, state))

    def _own_parts(self, state: State) -> list[KeptMoment]:
        parts: list[Share | Unit] = [*self.shares[self.rank], *self.units[self.rank]]
        return [
            (place, key, self._own_tensor(part, key, state))
            for place, part in enumerate(parts)
            for key in state.get(part.parameter, {})
        ]

    def _exchanged(self, own: Sequence[KeptMoment]) -> Iterator[tuple[int, list[KeptMoment]]]:
        """Yield (rank, moments that it keeps) of every rank, in pieces as they arrive. Collective."""
        told: list[Any] = [None] * len(self.units)
        dist.all_gather_object(told, [(place, key, tuple(t.shape), t.dtype) for place, key, t in own])
        sizes = [[math.prod(shape) * dtype.itemsize for _, _, shape, dtype in of_rank] for of_rank in told]
        stream = GatherStream(sizes, self.rank, self.device)
        for number, (_, _, tensor) in enumerate(own):
            stream.write(number, tensor)
        for arrived in itertools.chain([stream.advance(len(own))], stream.rest()):
            for rank, number, data in arrived:
                place, key, shape, dtype = told[rank][number]
                yield rank, [(place, key, data.view(dtype).view(shape))]

    def _whole(self, kept: Iterable[tuple[int, Sequence[KeptMoment]]]) -> Sequence[tuple[Tensor, dict[str, Tensor]]]:
        whole: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for rank, parts in kept:
            of_rank: list[Share | Unit] = [*self.shares[rank], *self.units[rank]]
            for place, key, tensor in parts:
                self._place_whole(whole[id(of_rank[place].parameter)], of_rank[place], key, tensor.cpu())
        return [(self._parameters[parameter], moments) for parameter, moments in whole.items()]

    def _own_tensor(self, part: Share | Unit, key: str, state: State) -> Tensor:
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
