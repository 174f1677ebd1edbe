"""What of one text stands, in the other, where something else ought to."""

from collections.abc import Sequence
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


def compare_places(
    bound: Bound, own: Context, rival: Bound, without: frozenset[str] | set[str] = frozenset()
) -> Misfit:
    """Return how something fits another's place, compared with its own.

    Args:
        bound: of one text.
        own: what stands around the same in the other text, where it fits best; empty if it is not there.
        rival: what else stands in the other text.
        without: features that tell nothing between the two, as their own names.
    """
    pro = contra = total = common = 0.0
    theirs = rival.context
    for feature, weight in bound.context.items():
        if feature in without:
            continue
        there, here = theirs.get(feature, 0.0), own.get(feature, 0.0)
        total += weight
        there = there if there < weight else weight
        common += there
        difference = there - (here if here < weight else weight)
        if difference > 0:
            pro += difference
        else:
            contra -= difference
    return Misfit(bound, rival, common / total if total else 0.0, pro, contra)


def worst_misfit(bound: Bound, own: Sequence[Bound], rivals: Sequence[Bound]) -> Misfit | None:
    """Return how something fits the place of the rival that speaks most clearly against its own; None without any."""
    home = max((place.context for place in own), key=lambda place: shared(bound.context, place), default={})
    return max((compare_places(bound, home, rival) for rival in rivals), key=lambda misfit: misfit.gap, default=None)


def shared(one: Context, other: Context) -> float:
    """Return how much of a context the other one shares, in [0, 1]."""
    total = sum(one.values())
    common = 0.0
    for feature in one.keys() & other.keys():
        weight, there = one[feature], other[feature]
        common += weight if weight < there else there
    return common / total if total else 0.0
