"""What of one text stands, in the other, where something else ought to."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .context import Bound, Context

_DOUBT = 0.5  # evidence, in weights of words, that is as good as none


class Misfit(NamedTuple):
    """Something, and another's place that it may fit better than its own.

    Attributes:
        bound: it, in its text.
        rival: what stands at that place in the other text.
        fit: how much of its surroundings the rival's place shares, in [0, 1].
        pro: the weight of the words around it that only the rival's place shares.
        contra: the weight of those that only its own place shares.
    """

    bound: Bound
    rival: Bound
    fit: float
    pro: float
    contra: float

    @property
    def gap(self) -> float:
        """How clearly it stands at the rival's place, in [-1, 1]."""
        return gap(self.pro, self.contra)


def gap(pro: float, contra: float) -> float:
    """Return how clearly evidence speaks for something, in [-1, 1]; 0 without any."""
    return (pro - contra) / (pro + contra + _DOUBT)


def shared(one: Context, other: Context, without: Iterable[str] = ()) -> float:
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


def compare_places(
    bound: Bound, own: Sequence[Bound], rival: Bound, without: frozenset[str] | set[str] = frozenset()
) -> Misfit:
    """Return how something fits another's place, compared with the best of its own places.

    Args:
        bound: of one text.
        own: where the same stands in the other text; may be empty.
        rival: what else stands in the other text.
        without: features that tell nothing between the two, as their own names.
    """
    best: Context = {}
    if own:
        best = max((place.context for place in own), key=lambda place: shared(bound.context, place, without))
    pro = contra = 0.0
    for feature, weight in bound.context.items():
        if feature not in without:
            difference = min(weight, rival.context.get(feature, 0.0)) - min(weight, best.get(feature, 0.0))
            if difference > 0:
                pro += difference
            else:
                contra -= difference
    return Misfit(bound, rival, shared(bound.context, rival.context, without), pro, contra)


def worst_misfit(bound: Bound, own: Sequence[Bound], rivals: Sequence[Bound]) -> Misfit | None:
    """Return how something fits the place of the rival that speaks most clearly against its own; None without any."""
    return max((compare_places(bound, own, rival) for rival in rivals), key=lambda misfit: misfit.gap, default=None)
