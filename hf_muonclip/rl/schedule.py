"""A setting that changes linearly during a run."""


def annealed(step: int, start: float, end: float, steps: int) -> float:
    """Return the value at a step: from `start` at step 0 linearly to `end` at `steps`, then `end`."""
    return start + (end - start) * min(step / steps, 1.0)
