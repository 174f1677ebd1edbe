"""A step shared between ranks: each orthogonalizes its own matrices, and all receive every result.

Parameters that every rank holds (`Replicated`): a rank updates its units and shares and sends them to all, in one
stream that is cut into few large all-gathers; while one is on its way the rank computes what the next will carry.
DTensors whose matrices are divided (`Scattered`): in waves, one all-to-all brings directions to their owners and one
takes updates back; the next wave's directions travel while this one's are orthogonalized.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from ...common.ranks import collective_device
from ...common.wording import some_of
from ..gradient_measures import MeasuredGradient
from ..idle_matrices import ActiveMatrices
from ..local_update import LocalUpdate
from ..matrix_view import PLAIN, MatrixView
from ..step import Transport
from .agreement import max_over_ranks
from .collectives import all_gather
from .replicated import Replicated
from .scattered import Scattered
from .sharding import (
    Box,
    Member,
    boxes_of,
    cut_units,
    holds_whole_slices,
    is_replicated,
    num_slices,
    view_of_slices,
)

# Samples that distinguish gradients: the norm of the whole, and of a part small enough to differ between batches.
_SAMPLES = ("norm", "part")
_ROUNDING, _NOISE = 1e-2, 1e-5  # relative to a gradient's own norm; to the largest norm


class ManyRanks:
    """The ranks of the default group, and how they share an optimizer's parameters. Construction is collective.

    Args:
        members: every parameter with the index of its group and its name.
        groups: the param groups.
        views: how parameters hold their matrices; plain where not named.
        ns_dtype: dtype of Newton–Schulz; None takes what the device prefers.
        shard_optimizer: share the parameters that every rank holds.
        agreed: descriptions of settings that must be equal on all ranks, one line each.

    Attributes:
        replicated: the parameters that every rank holds; None where each rank updates them itself.
        scattered: DTensors whose matrices are divided, one for each mesh.
        transports: how their parameters are updated, in the order of a step.

    Raises:
        ValueError: ranks differ in groups, parameters or `agreed`, two parameters share a name, a mesh lacks a rank, or
            the backend lacks a collective.
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
        self._check_agreement([*agreed, *_described(members, groups)])
        self._check_names()
        self._check_meshes(members)
        local_views: dict[str, MatrixView] = {}  # views of local shards, if they differ from the whole parameter's
        self._boxes: dict[int, dict[int, Box]] = {}
        self._shared: set[int] = set()
        replicated: list[Member] = []
        scattered: dict[Any, list[Member]] = defaultdict(list)
        loads = [0] * self.world  # loads of work that every rank does itself, known for all ranks
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
                    held = box.shape[0] // rows
                    local_views[name] = view_of_slices(view, parameter.shape, max(held, 1))
                    if len(boxes) == self.world:
                        for whole in cut_units(name, parameter, view, index, groups[index], ns_dtype, 1):
                            for rank, of_rank in boxes.items():
                                loads[rank] += whole.flops // whole.stop * (of_rank.shape[0] // rows)
                else:
                    scattered[parameter.device_mesh].append(member)
                    self._shared.add(id(parameter))
        self.replicated: Replicated | None = None
        if replicated:
            self.replicated = Replicated(replicated, groups, views, ns_dtype, self.rank, self.world, self.device)
        self.scattered = [
            Scattered(of_mesh, groups, views, ns_dtype, self._boxes, self.rank, loads) for of_mesh in scattered.values()
        ]
        self.transports: list[Transport] = [] if self.replicated is None else [self.replicated]
        self.transports += [*self.scattered, LocalUpdate(self._shared, local_views)]
        self._plain_and_local = {name for _, name, p in members if self.is_plain_and_local(p)}
        self._replicated_names = {name for _, name, _ in replicated}
        self._check_collectives()

    def fits(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether this object was built for these param groups."""
        return self._key == _key(groups)

    def is_local(self, parameter: Tensor) -> bool:
        """Return whether each rank updates its part of a parameter by itself."""
        return id(parameter) not in self._shared

    def is_plain_and_local(self, parameter: Tensor) -> bool:
        """Return whether each rank updates all of a parameter by itself, by a gradient that may be its own."""
        return self.is_local(parameter) and not isinstance(parameter, DTensor)

    def keeps_own_slices(self, parameter: Tensor) -> bool:
        """Return whether each rank holds, and updates by itself, other slices of a parameter."""
        return isinstance(parameter, DTensor) and self.is_local(parameter) and not is_replicated(parameter)

    def box(self, parameter: Tensor) -> Box | None:
        """Return this rank's box of a DTensor; None for any other tensor."""
        boxes = self._boxes.get(id(parameter))
        return None if boxes is None else boxes[self.rank]

    def agree_on_device(self, finite: Tensor, active: ActiveMatrices) -> Tensor:
        """Return a 0-dim bool: whether `finite` is True on every rank; no host sync. Collective: one all-reduce.

        Afterwards `active` holds the matrices that are active on any rank.
        """
        flags = torch.cat([(~finite).to(self.device, torch.uint8)[None], active.packed(self.device)])
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        active.agree(flags[1:], self.is_plain_and_local)
        return flags[0] == 0

    def agree_on_gradients(self, measured: Mapping[str, MeasuredGradient], active: ActiveMatrices) -> list[str]:
        """Return the names of gradients that are not finite on any rank. Collective: one small all-reduce.

        Args:
            measured: {name: measured gradient} of the parameters with a gradient.
            active: which matrices have a gradient here; afterwards, on any rank.

        Raises:
            ValueError: a parameter that ranks share has a gradient on some ranks only, or gradients that differ between
                ranks.
            RuntimeError: another rank is not in this step.
        """
        nothing = MeasuredGradient(0.0, 0.0, True)
        found = [measured.get(name, nothing) for name in self._names]
        rows = [
            [float(name in measured) for name in self._names],
            [float(name not in measured) for name in self._names],
            [float(not gradient.finite) for gradient in found],
            *(
                [sign * getattr(gradient, kind) if gradient.finite else 0.0 for gradient in found]
                for kind in _SAMPLES
                for sign in (1.0, -1.0)
            ),
        ]
        told = torch.tensor(rows, dtype=torch.float32).flatten().to(self.device)
        told = torch.cat([told, active.packed(self.device).float()])
        maxima = max_over_ranks(told, "gradients", together=bool(self._shared))
        own = len(rows) * len(self._names)
        active.agree(maxima[own:], self.is_plain_and_local)
        joined = maxima[:own].view(len(rows), -1).tolist()
        anywhere, lacking, bad, *samples = joined
        mixed = [
            name
            for name, a, b in zip(self._names, anywhere, lacking, strict=True)
            if a and b and name not in self._plain_and_local
        ]
        if mixed:
            raise ValueError(
                f"a parameter must have a gradient on every rank or on none; only some ranks have one for "
                f"{some_of(mixed, 1)}. Train the model wrapped by DDP or FSDP2, which exchange gradients."
            )
        if not any(bad) and (unlike := self._unlike(samples)):
            raise ValueError(
                "ranks share the work of a parameter, so its gradient must be the same on all; it differs between "
                f"ranks for {some_of(unlike, 1)}, as under LocalSGD and no_sync(), without DDP, or for "
                "weights that were frozen when DDP wrapped them. Average gradients before step(), or pass "
                "shard_optimizer=False: each rank then steps by its own gradients."
            )
        return [name for name, flag in zip(self._names, bad, strict=True) if flag]

    def _unlike(self, samples: Sequence[Sequence[float]]) -> list[str]:
        """Return the names of shared parameters whose gradients differ between ranks by more than rounding.

        Args:
            samples: the largest and the negated smallest value over ranks, of each of `_SAMPLES`.
        """
        unlike: dict[str, None] = {}
        noise = _NOISE * max(samples[0], default=0.0)
        for highest, lowest in zip(samples[::2], samples[1::2], strict=True):
            for name, high, low in zip(self._names, highest, lowest, strict=True):
                if name in self._replicated_names and high > noise and high + low > _ROUNDING * high:
                    unlike[name] = None
        return list(unlike)

    def _check_agreement(self, agreed: Sequence[str]) -> None:
        every: list[Any] = [None] * self.world
        digest = torch.tensor([_hash_of(agreed)], dtype=torch.int64, device=self.device)
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
        """Refuse parameters with the same name: ranks identify parameters by name."""
        name, count = max(Counter(self._names).items(), key=lambda found: found[1])
        if count > 1:
            raise ValueError(
                f"with several ranks every parameter needs a name of its own; {count} are named {name}. Pass "
                "(name, parameter) pairs with different names, or parameters without names."
            )

    def _check_meshes(self, members: Sequence[Member]) -> None:
        """Refuse a mesh that lacks a rank, on every rank: if only one raised, the others would wait."""
        meshes = {name: p.device_mesh.mesh.flatten().tolist() for _, name, p in members if isinstance(p, DTensor)}
        if not meshes:
            return
        # 1 + the number of this rank if it is not on the mesh, else 0.
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
                all_gather(sent.new_empty(self.world), sent).wait()
            for of_mesh in self.scattered:
                size = len(of_mesh.ranks)
                sent = torch.zeros(size, dtype=torch.uint8, device=self.device)
                dist.all_to_all_single(torch.empty_like(sent), sent, group=of_mesh.process_group)
        except (RuntimeError, NotImplementedError) as error:
            raise ValueError(
                "the process group's backend must have all_gather and all_to_all of tensors; "
                f"{dist.get_backend_config()} answers: {error}. Use nccl or gloo, or shard_optimizer=False under DDP."
            ) from error


def _described(members: Sequence[Member], groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return settings of groups and their parameters, one line each; rates may be scheduled."""
    lines = []
    for index, group in enumerate(groups):
        settings = [f"{k}={v}" for k, v in sorted(group.items()) if k not in ("params", "param_names", "lr")]
        lines.append(f"param group {index}: {', '.join(settings)}")
        for of, name, parameter in members:
            if of == index:
                placed = f" as {parameter.placements}" if isinstance(parameter, DTensor) else ""
                lines.append(f"{name}: {tuple(parameter.shape)} {parameter.dtype}{placed}")
    return lines


def _hash_of(lines: Sequence[str]) -> int:
    """Return a number that is equal in every process for equal lines."""
    return int.from_bytes(hashlib.sha256("\n".join(lines).encode()).digest()[:7], "big")


def _key(groups: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [
        (id(p), p.shape, p.device, p.dtype, group["algorithm"], str(getattr(p, "placements", "")))
        for group in groups
        for p in group["params"]
    ]
