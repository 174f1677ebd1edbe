"""What of one text stands, in the other, where something else ought to."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .context import Bound, Context


class Misfit(NamedTuple):
    """Something that fits another's place better than its own.

    Attributes:
        bound: it, in its text.
        rival: what stands at that place in the other text.
        fit: how much of its surroundings the rival's place shares, in [0, 1].
        gap: by how much that is more than its own place shares.
    """

    bound: Bound
    rival: Bound
    fit: float
    gap: float


def shared(one: Context, other: Context, without: Iterable[str]) -> float:
    """Return how much of a context the other one shares, in [0, 1], some features left out."""
    total = common = 0.0
    for feature, weight in one.items():
        if feature in without:
            continue
        total += weight
        if feature in other:
            there = other[feature]
            common += weight if weight < there else there
    return common / total if total else 0.0


def worst_misfit(
    bound: Bound,
    own: Sequence[Bound],
    rivals: Sequence[Bound],
    without: Callable[[Bound, Bound], set[str]] = lambda bound, rival: set(),
) -> Misfit | None:
    """Return the rival whose place fits something most of all, compared with its own places; None without rivals.

    Args:
        bound: of one text.
        own: where the same stands in the other text; may be empty.
        rivals: what else stands in the other text.
        without: features that tell nothing between the two, as their own names.
    """
    worst: Misfit | None = None
    for rival in rivals:
        hidden = without(bound, rival)
        fit = shared(bound.context, rival.context, hidden)
        if worst and fit - 1.0 > worst.gap:
            continue
        best = max((shared(bound.context, place.context, hidden) for place in own), default=0.0)
        if worst is None or fit - best > worst.gap:
            worst = Misfit(bound, rival, fit, fit - best)
    return worst
