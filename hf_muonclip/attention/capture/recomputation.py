"""Distinguish a forward from its repetition by gradient checkpointing, so that what a forward shows is counted once.

The only place that asks torch's private API whether a backward pass is under way.
"""

import torch


def backward_under_way() -> int | None:
    """Return the number of the running backward pass, in which checkpoints repeat forwards; None outside of one."""
    number = torch._C._current_graph_task_id()
    return None if number == -1 else number


class Recomputations:
    """The forwards of one module that gradient checkpointing may run again."""

    def __init__(self) -> None:
        self._due = 0

    def is_one(self) -> bool:
        """Return whether the running forward repeats one that was counted. Call once per forward that counts."""
        # Gradient checkpointing runs a layer twice. Where the first run had gradients on it was counted already; where
        # it had not (the reentrant kind), this second run inside backward is the one to count.
        repeats = backward_under_way() is not None
        if repeats and self._due > 0:
            self._due -= 1
            return True
        if not repeats:
            self._due += 1
        return False

    def forget(self) -> None:
        """Forget all forwards so far."""
        self._due = 0
