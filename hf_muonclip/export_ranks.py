"""One rank writes, and what stops it stops all."""

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

    def write(self, step: Callable[[], None]) -> None:
        """Do a step on the rank that writes. Collective: call on every rank.

        Raises:
            RuntimeError: on the other ranks, if the step raised; the rank that writes raises its error itself.
        """
        if not self.is_shared:
            step()
            return
        error: BaseException | None = None
        if self.is_writer:
            try:
                step()
            except BaseException as raised:  # an interrupt too: the other ranks wait for this one
                error = raised
        told = [f"{type(error).__name__}: {error}" if error else ""]
        dist.broadcast_object_list(told, src=0)
        if error is not None:
            raise error
        if told[0]:
            raise RuntimeError(f"The first rank must write the checkpoint, but could not: {told[0]}")
