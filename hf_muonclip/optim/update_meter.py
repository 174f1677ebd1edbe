"""The size of a Muon update: one number per step, independent of which ranks computed it.

A parameter's updates are applied in parts, by one rank or several, some of them twice (replicas). So sums of squares
and numbers of entries are added up over all ranks, parameter by parameter; their ratio does not depend on which rank
counted which part.
"""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ..common.ranks import collective_device, num_ranks


class UpdateMeter:
    """Collects the updates of one step, without waiting for the device."""

    def __init__(self) -> None:
        self._added: list[tuple[int, Tensor, Tensor | int]] = []  # appended to from several threads

    def add(self, parameter: Tensor, update: Tensor, scale: float | Tensor, active: Tensor | None) -> None:
        """Add an update, or a part of one.

        Args:
            parameter: the parameter that is updated.
            update: the orthogonalized update, any shape.
            scale: the result of `update_scale`; broadcasts.
            active: bool, broadcasts; where it is False there is no update, and none is counted. None for True.
        """
        scaled = update * scale if isinstance(scale, Tensor) else update
        wide = torch.promote_types(scaled.dtype, torch.float32)
        norm = torch.linalg.vector_norm(scaled, dtype=wide).float()
        entries = update.numel() if active is None else active.sum() * (update.numel() // active.numel())
        self._added.append((id(parameter), norm if isinstance(scale, Tensor) else norm * scale, entries))

    def rms(self, parameters: Sequence[Tensor], num_active: Callable[[Tensor], Tensor | int]) -> float | None:
        """Return the root mean square over all entries of all updates; None if there were none. Collective.

        Waits for the device once; one all-reduce of two numbers per parameter.

        Args:
            parameters: all Muon parameters, in the same order on every rank.
            num_active: returns how many weights of a parameter have an update, on all ranks.
        """
        if not parameters:
            return None
        device = parameters[0].device
        if num_ranks() > 1:
            device = collective_device(device)
        places = {id(parameter): place for place, parameter in enumerate(parameters)}
        totals = torch.zeros(2, len(parameters), device=device)  # sums of squares, and entries
        if self._added:
            index = torch.tensor([places[key] for key, _, _ in self._added], device=device)
            squares = torch.stack([norm.to(device) for _, norm, _ in self._added]).square()
            entries = torch.stack([torch.as_tensor(count, device=device) for _, _, count in self._added])
            totals.index_add_(1, index, torch.stack([squares, entries.float()]))
        if num_ranks() > 1:
            dist.all_reduce(totals)
        active = torch.stack([torch.as_tensor(num_active(parameter), device=device) for parameter in parameters])
        counted = [
            (square / entries, weights)
            for square, entries, weights in zip(*torch.cat([totals, active[None]]).tolist(), strict=True)
            if entries
        ]
        weights = sum(numel for _, numel in counted)
        return (sum(mean * numel for mean, numel in counted) / weights) ** 0.5 if weights else None
