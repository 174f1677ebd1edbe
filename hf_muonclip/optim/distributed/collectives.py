"""Collectives of packed bytes: an all-to-all of pieces, and streams of bytes in few large all-gathers."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_ALIGNMENT = 8  # bytes; every dtype can be read at a multiple of it
_CHUNK_BYTES = 2**26  # bytes of an all-gather, over all ranks
_SMALLEST_CHUNK = 2**20  # bytes of one rank in it


def aligned(nbytes: int) -> int:
    """Return a number of bytes rounded up to the alignment of the next piece."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


class Exchange:
    """One all-to-all of packed pieces for every rank, started at construction."""

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
        """Wait, and return the pieces of every rank, as bytes."""
        self._work.wait()
        found = []
        for start, sizes in zip(self._starts, self._sizes, strict=False):
            ends = list(accumulate(map(aligned, sizes), initial=start))
            found.append([self._into[a : a + size] for a, size in zip(ends, sizes, strict=False)])
        return found


class GatherStream:
    """Sends every rank's bytes to all ranks, in few large all-gathers that start once their bytes are written.

    Args:
        sizes: bytes of each segment of each rank.
        rank: this rank.
        device: device of the collectives.
    """

    def __init__(self, sizes: Sequence[Sequence[int]], rank: int, device: torch.device) -> None:
        self._sizes, self._rank = sizes, rank
        self._ends = [list(accumulate(map(aligned, of_rank))) for of_rank in sizes]
        longest = max((ends[-1] for ends in self._ends if ends), default=0)
        chunk = aligned(max(_SMALLEST_CHUNK, _CHUNK_BYTES // len(sizes)))
        self._bounds = [*range(0, longest, chunk), longest]
        self._own = torch.empty(longest, dtype=torch.uint8, device=device)
        self._launched: list[tuple[Any, Tensor] | None] = []
        self._next = [0] * len(sizes)  # for each rank, the first segment that was not returned
        self._waited = 0

    def write(self, place: int, tensor: Tensor) -> None:
        """Write a tensor into this rank's segment."""
        end, size = self._ends[self._rank][place], self._sizes[self._rank][place]
        start = end - aligned(size)
        self._own[start : start + size].view(tensor.dtype).view(tensor.shape).copy_(tensor)

    def advance(self, done: int) -> list[tuple[int, int, Tensor]]:
        """Send what the first `done` segments fill, and return (rank, segment, bytes) of what was sent before.

        Does not wait for what was just sent: the caller continues to compute.
        """
        ends = self._ends[self._rank]
        filled = self._bounds[-1] if done == len(ends) else (ends[done - 1] if done else 0)
        before = len(self._launched)
        while len(self._launched) < len(self._bounds) - 1 and self._bounds[len(self._launched) + 1] <= filled:
            start, stop = self._bounds[len(self._launched) : len(self._launched) + 2]
            gathered = torch.empty(len(self._sizes) * (stop - start), dtype=torch.uint8, device=self._own.device)
            self._launched.append((all_gather(gathered, self._own[start:stop]), gathered))
        return [found for chunk in range(self._waited, before) for found in self._arrive(chunk)]

    def rest(self) -> Iterator[list[tuple[int, int, Tensor]]]:
        """Yield (rank, segment, bytes) of what has not arrived yet, chunk by chunk."""
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


def all_gather(gathered: Tensor, own: Tensor) -> Any:
    """Start gathering every rank's bytes, in order of rank, in the default group; return the work to `wait()` for."""
    # all_gather_single is torch 2.13's name of all_gather_into_tensor.
    gather: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    return gather(gathered, own, async_op=True)
