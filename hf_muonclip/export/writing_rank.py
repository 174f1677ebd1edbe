"""One rank writes; an error on it stops all ranks."""

from collections.abc import Callable, Iterable

import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


class WritingRank:
    """Whether this process writes, and whether others wait for it.

    Attributes:
        is_shared: tensors are spread over ranks, so that all of them must take part in saving.
        is_writer: this process writes files: the first rank, or every process that saves a model of its own.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.is_shared = any(isinstance(tensor, DTensor) for tensor in tensors)
        self.is_writer = not self.is_shared or dist.get_rank() == 0
        self._error: BaseException | None = None  # of an attempt, until `write` tells the others

    def attempt(self, part: Callable[[], None]) -> None:
        """Run a part of the next step on the writing rank only, between operations that all ranks take part in.

        What it raises waits for `write`, which stops all ranks with it; until then no further part is done. With ranks
        that do not wait for each other it is raised at once.
        """
        if not self.is_shared:
            part()
        elif self.is_writer and self._error is None:
            try:
                part()
            except BaseException as raised:  # an interrupt too: the other ranks wait for this one
                self._error = raised

    def write(self, step: Callable[[], None]) -> None:
        """Run a step on the writing rank, unless an earlier attempt failed. Collective: call on every rank.

        Raises:
            RuntimeError: on the other ranks, if the step or an attempt raised; the rank that writes raises its error
                itself.
        """
        self.attempt(step)
        if not self.is_shared:
            return
        error, self._error = self._error, None
        told = [f"{type(error).__name__}: {error}" if error else ""]
        dist.broadcast_object_list(told, src=0)
        if error is not None:
            raise error
        if told[0]:
            raise RuntimeError(f"The first rank must write the checkpoint, but could not: {told[0]}")
