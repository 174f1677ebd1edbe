"""What one optimizer step costs each of many ranks: bytes held, floating-point operations, bytes sent.

The numbers follow from shapes, so a model on the meta device and a planned mesh are enough. Owners, shares and boxes
are those of `sharding`, which a real step uses. AdamW and a Muon that every rank computes by itself are added for
comparison.

Bytes sent are those that leave a rank: in an all-to-all everything but its own part, in an all-gather its part n - 1
times, and in an all-reduce its bytes 2·(n - 1)/n times, as around a ring. Element-wise work, latencies, and what DDP or
FSDP itself sends for gradients and weights are not counted.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import Replicate, Shard

from ..optim.distributed.collectives import aligned
from ..optim.distributed.replicated import Replicated
from ..optim.distributed.sharding import (
    Box,
    Unit,
    assign_owners,
    cut_units,
    holds_whole_slices,
    num_slices,
    placed_boxes,
)
from ..optim.parameters.param_groups import PlannedParameter

ADAMW, REPLICATED, OURS = "AdamW", "Muon, replicated", "MuonClip"
_GROUP = {"ns_coefficients": "minimax", "ns_steps": None, "normalize_neurons": False}
_MOMENT_BYTES = 4  # float32
_PADDED = aligned(1)  # bytes that the smallest piece takes
_WORDS = "ddp, fsdp, hsdp:RxS, or sizes such as replicate=8,fsdp=256 and ep=16,fsdp=128"


@dataclass(frozen=True)
class Mesh:
    """The layout of ranks.

    Attributes:
        replicate: number of groups of ranks that hold the same.
        fsdp: number of ranks over which FSDP2 shards an expert's or, times `ep`, any other parameter.
        ep: number of ranks over which expert parallelism distributes the experts first.
        ddp: every rank holds everything.
        experts_dim: the dimension that FSDP2 shards of expert tensors: 0, its default, or 1.
    """

    replicate: int = 1
    fsdp: int = 1
    ep: int = 1
    ddp: bool = False
    experts_dim: int = 0

    @property
    def shard(self) -> int:
        """Number of ranks that hold one copy of the model together."""
        return self.fsdp * self.ep

    @property
    def world(self) -> int:
        """Number of all ranks."""
        return self.replicate * self.shard

    @classmethod
    def parse(cls, text: str, world: int, experts_dim: int = 0) -> "Mesh":
        """Return the mesh that a command line argument describes.

        Raises:
            ValueError: a word or a size is not known, or the sizes do not multiply to `world`.
        """
        if world < 1:
            raise ValueError(f"world must be at least 1 rank, got {world}.")
        if text in ("ddp", "fsdp"):
            return cls(world, ddp=True) if text == "ddp" else cls(fsdp=world, experts_dim=experts_dim)
        sizes: dict[str, int] = {}
        described = text
        if text.startswith("hsdp:"):
            described = "replicate={},fsdp={}".format(*text[5:].split("x")) if text.count("x") == 1 else text
        for part in described.split(","):
            name, _, size = part.strip().partition("=")
            name = {"shard": "fsdp"}.get(name, name)
            if name not in ("replicate", "fsdp", "ep") or name in sizes or not size.isdecimal() or int(size) < 1:
                raise ValueError(f"mesh must be one of {_WORDS}; got {text!r}, of which {part.strip()!r} is not known.")
            sizes[name] = int(size)
        mesh = cls(sizes.get("replicate", 1), sizes.get("fsdp", 1), sizes.get("ep", 1), experts_dim=experts_dim)
        if mesh.world != world:
            product = " x ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(
                f"the sizes of a mesh must multiply to the world; {text} has {product} = {mesh.world} ranks and world "
                f"is {world}. Give --world {mesh.world}, or other sizes."
            )
        return mesh

    def boxes(self, shape: Sequence[int], experts: bool) -> dict[int, Box]:
        """Return {rank: its box} of a parameter under FSDP2, where the ranks of `ep` are neighbours."""
        ranks = list(range(self.world))
        if self.ddp or not shape:
            return placed_boxes(shape, (self.world,), ranks, (Replicate(),))
        if not experts:
            return placed_boxes(shape, (self.replicate, self.shard), ranks, (Replicate(), Shard(0)))
        ranks = torch.arange(self.world).view(self.replicate, self.fsdp, self.ep).mT.flatten().tolist()
        placements = (Replicate(), Shard(0), Shard(self.experts_dim))
        return placed_boxes(shape, (self.replicate, self.ep, self.fsdp), ranks, placements)


@dataclass(frozen=True)
class OptimizerCost:
    """The cost of one optimizer per rank; tensors are (ranks,), int64.

    Attributes:
        name: name of the optimizer.
        state: bytes of its moments.
        flops: operations of orthogonalizations, in matrix products.
        sent: {what: bytes} per step.
    """

    name: str
    state: Tensor
    flops: Tensor
    sent: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def balance(self) -> float:
        """Operations of the busiest rank over the mean; 1 is perfectly even."""
        mean = self.flops.double().mean().item()
        return self.flops.max().item() / mean if mean else 1.0

    @property
    def all_sent(self) -> Tensor:
        """Bytes that each rank sends per step."""
        return torch.stack([*self.sent.values(), torch.zeros_like(self.flops)]).sum(dim=0)

    def seconds(self, tflops: float, gbps: float) -> tuple[float, float]:
        """Return the seconds of products of the busiest rank, and of sending of the rank that sends most.

        Args:
            tflops: speed of products, in 10^12 operations per second.
            gbps: speed at which a rank sends, in 10^9 bits per second.
        """
        return self.flops.max().item() / (tflops * 1e12), self.all_sent.max().item() * 8 / (gbps * 1e9)


@dataclass(frozen=True)
class StepCost:
    """The cost of a step on a mesh.

    Attributes:
        mesh: the mesh of all ranks.
        weights: (ranks,) bytes of parameters.
        gradients: (ranks,) bytes of gradients.
        optimizers: AdamW, a replicated Muon, and ours.
        placements: sentences about where the mesh places the matrices.
    """

    mesh: Mesh
    weights: Tensor
    gradients: Tensor
    optimizers: tuple[OptimizerCost, ...]
    placements: tuple[str, ...]


def count_step(
    model: nn.Module, plan: Iterable[PlannedParameter], heads: int, mesh: Mesh, ns_dtype: torch.dtype | None = None
) -> StepCost:
    """Return the cost of one step for every rank.

    Args:
        model: on any device; only shapes, dtypes and the device count. On the meta device products are counted as an
            accelerator without our Triton kernel takes them.
        plan: the model's parameter plan; see `plan_parameters`.
        heads: number of attention heads whose maxima are reduced.
        mesh: the mesh of the ranks.
        ns_dtype: dtype of Newton–Schulz; None takes the device's preference.
    """
    return _Count(model, list(plan), heads, mesh, ns_dtype).result()


class _Count:
    def __init__(
        self, model: nn.Module, plan: list[PlannedParameter], heads: int, mesh: Mesh, ns_dtype: torch.dtype | None
    ) -> None:
        self.parameters = dict(model.named_parameters())
        self.planned = {planned.name: planned for planned in plan}
        self.heads, self.mesh, self.ns_dtype = heads, mesh, ns_dtype
        self._boxes: dict[Any, dict[int, Box]] = {}
        self._bounds: dict[Any, tuple[Tensor, ...]] = {}
        self._pieces: dict[Any, Tensor] = {}

    def result(self) -> StepCost:
        weights, gradients, entries = self._zeros(), self._zeros(), {"muon": self._zeros(), "adamw": self._zeros()}
        for name, parameter in self.parameters.items():
            held = self._held(name)
            weights += held * parameter.dtype.itemsize
            if name in self.planned:
                gradients += held * parameter.dtype.itemsize
                entries[self.planned[name].algorithm] += held
        moments = _MOMENT_BYTES * (entries["muon"] + 2 * entries["adamw"])
        adamw = OptimizerCost(ADAMW, 2 * _MOMENT_BYTES * (entries["muon"] + entries["adamw"]), self._zeros())
        replicated = OptimizerCost(REPLICATED, moments, *self._replicated())
        ours = self._owned() if self.mesh.ddp else self._scattered(moments)
        return StepCost(self.mesh, weights, gradients, (adamw, replicated, ours), tuple(self._placements()))

    # What ranks hold ------------------------------------------------------------------------------------------------

    def _zeros(self) -> Tensor:
        return torch.zeros(self.mesh.world, dtype=torch.int64)

    def _has_experts(self, name: str) -> bool:
        """Return whether a parameter is a stack of matrices, such as experts."""
        planned = self.planned.get(name)
        if planned is None or planned.algorithm != "muon" or planned.view.kernel:
            return False
        return num_slices(planned.shape, planned.view) > 1

    def _place(self, name: str) -> tuple[tuple[int, ...], bool]:
        return tuple(self.parameters[name].shape), self._has_experts(name)

    def _boxes_of(self, name: str) -> dict[int, Box]:
        """Return {rank: box}, made once for each shape."""
        place = self._place(name)
        if place not in self._boxes:
            found = self._boxes[place] = self.mesh.boxes(*place)
            found_in_order = [found[rank] for rank in range(self.mesh.world)]
            # One range in each dimension at most: placements of a mesh cut one after the other.
            ranges = [[of_dim[0] if of_dim else (0, 0) for of_dim in box.ranges] for box in found_in_order]
            self._bounds[place] = tuple(
                torch.tensor([[bounds[end] for bounds in of_rank] for of_rank in ranges], dtype=torch.int64)
                for end in (0, 1)
            )
        return self._boxes[place]

    def _held(self, name: str) -> Tensor:
        """Return (ranks,) number of entries of a parameter that each rank holds."""
        self._boxes_of(name)
        start, stop = self._bounds[self._place(name)]
        return (stop - start).prod(dim=-1)

    def _is_local(self, name: str) -> bool:
        planned = self.planned[name]
        return holds_whole_slices(self._boxes_of(name), planned.shape, planned.view)

    def _muon(self) -> list[tuple[str, PlannedParameter]]:
        return [(name, planned) for name, planned in self.planned.items() if planned.algorithm == "muon"]

    def _units(self, name: str, planned: PlannedParameter, parts: int) -> list[Unit]:
        return cut_units(name, self.parameters[name], planned.view, 0, _GROUP, self.ns_dtype, parts)

    # Muon on every rank by itself -----------------------------------------------------------------------------------

    def _replicated(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return operations and bytes sent if each rank gathers what FSDP shards and orthogonalizes all of it."""
        flops, sent = self._zeros(), self._zeros()
        place_in_ep = torch.arange(self.mesh.world) % self.mesh.ep
        for name, planned in self._muon():
            spread = self.mesh.fsdp if self._has_experts(name) else self.mesh.shard
            (unit,) = self._units(name, planned, 1) or (None,)
            if unit is None:
                continue
            share = torch.ones(self.mesh.world, dtype=torch.float64)
            if self._has_experts(name):
                slices = unit.stop
                per_rank = -(-slices // self.mesh.ep)
                share = (slices - place_in_ep * per_rank).clamp(0, per_rank).double() / slices
            flops += (unit.flops * share).round().long()
            if not self.mesh.ddp:
                sent += (unit.nbytes * share * (spread - 1) / spread).round().long()
        return flops, {} if self.mesh.ddp else {"all-gather of directions": sent}

    # Ours -----------------------------------------------------------------------------------------------------------

    def _owned(self) -> OptimizerCost:
        """Add the cost of parameters that every rank holds."""
        world, device = self.mesh.world, torch.device("cpu")
        kinds = [("muon", True), ("adamw", True), ("adamw", False)]  # with and without weight decay
        groups = [{"algorithm": algorithm, **_GROUP} for algorithm, _ in kinds]
        members = [(kinds.index((p.algorithm, p.decays)), n, self.parameters[n]) for n, p in self.planned.items()]
        views = {name: planned.view for name, planned in self.planned.items()}
        work = Replicated(members, groups, views, self.ns_dtype, 0, world, device)
        of_rank = [
            (
                sum(_MOMENT_BYTES * unit.shape.numel() for unit in units)
                + sum(2 * _MOMENT_BYTES * (share.stop - share.start) for share in shares),
                sum(unit.flops for unit in units),
                sum(aligned(share.nbytes) for share in shares) + sum(aligned(unit.nbytes) for unit in units),
            )
            for units, shares in zip(work.units, work.shares, strict=True)
        ]
        state, flops, stream = (torch.tensor(column) for column in zip(*of_rank, strict=True))
        longest = self._zeros() + stream.max() * (world - 1)
        return OptimizerCost(OURS, state, flops, {"all-gather of results": longest, **self._agreement()})

    def _scattered(self, moments: Tensor) -> OptimizerCost:
        """Add the cost of parameters that FSDP2 shards: matrices that are divided go to owners and back."""
        flops, gather, back = self._zeros(), self._zeros(), self._zeros()
        meshes: dict[bool, list[Unit]] = defaultdict(list)
        for name, planned in self._muon():
            if not self._is_local(name):
                meshes[self._has_experts(name) and self.mesh.ep > 1] += self._units(name, planned, self.mesh.world)
            elif units := self._units(name, planned, 1):
                slices = units[0].stop
                flops += self._held(name) // (math.prod(planned.shape) // slices) * (units[0].flops // slices)
        loads = flops.tolist()
        for units in meshes.values():
            for owner, owned in enumerate(assign_owners(units, loads)):
                copy = slice(owner - owner % self.mesh.shard, owner - owner % self.mesh.shard + self.mesh.shard)
                for unit in owned:
                    pieces = self._pieces_of(unit)
                    flops[owner] += unit.flops
                    gather[copy] += pieces[copy]
                    gather[owner] -= pieces[owner]
                    back[owner] += pieces.sum() - pieces[owner]
        sent = {"all-to-all to owners": gather, "all-to-all back": back, **self._agreement()}
        return OptimizerCost(OURS, moments, flops, sent)

    def _pieces_of(self, unit: Unit) -> Tensor:
        """Return (ranks,) bytes of each rank's piece of a unit."""
        place = self._place(unit.name[: unit.name.rindex("[")])
        first, end = unit.rows.start, unit.rows.stop
        key = (place, first, end, unit.dtype)
        if key not in self._pieces:
            start, stop = (bound.clone() for bound in self._bounds[place])
            start[:, 0], stop[:, 0] = start[:, 0].clamp(first, end), stop[:, 0].clamp(first, end)
            nbytes = (stop - start).clamp(min=0).prod(dim=-1) * unit.dtype.itemsize
            self._pieces[key] = -(-nbytes // _PADDED) * _PADDED
        return self._pieces[key]

    def _agreement(self) -> dict[str, Tensor]:
        """Return the bytes of the two float32 all-reduces: checks of gradients, and maxima per head.

        Three flags per parameter, the least and the largest of two norms of its gradient, one flag per matrix; each
        message begins with two numbers that say what it is.
        """
        around = 2 * (self.mesh.world - 1)
        matrices = sum(
            count
            for planned in self.planned.values()
            if planned.algorithm == "muon"
            for count, _, _ in planned.view.matrix_shapes(planned.shape)
        )
        told = 4 * (2 + (3 + 2 * 2) * len(self.planned) + matrices)
        return {
            "all-reduce of flags": self._zeros() + told * around // self.mesh.world,
            "all-reduce of max logits": self._zeros() + 4 * (2 + self.heads) * around // self.mesh.world,
        }

    def _placements(self) -> list[str]:
        mesh = self.mesh
        if mesh.ddp:
            return [f"every matrix is on every rank; each of {mesh.world} orthogonalizes what it owns"]
        counted: Counter[tuple[bool, bool]] = Counter()
        holders: dict[bool, set[int]] = defaultdict(set)
        for name, planned in self._muon():
            experts = self._has_experts(name)
            slices = num_slices(planned.shape, planned.view)
            counted[experts, self._is_local(name)] += slices
            holders[experts].add(int((self._held(name) > 0).sum()))
        said = []
        for (experts, local), count in sorted(counted.items()):
            what = f"{count:,} {'experts in stacks' if experts else 'weights'}"
            over = f"Shard({mesh.experts_dim if experts else 0})"
            over += f" over {mesh.fsdp if experts else mesh.shard} ranks"
            if experts and mesh.ep > 1:
                over = f"Shard(0) over {mesh.ep} ranks of ep, then {over}"
            where = "whole on a rank, which orthogonalizes them" if local else "divided; they go to owners and back"
            said.append(f"{what}, {over}: {where}")
            if (most := max(holders[experts])) < mesh.world:
                said[-1] += f"; {most:,} of {mesh.world:,} ranks hold some"
        return said
