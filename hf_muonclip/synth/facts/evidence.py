"""A sign that a rewriting says something else, with how clear it is."""

from typing import NamedTuple

FAINTEST = 0.25  # what is less clear is no evidence at all


class Evidence(NamedTuple):
    """Something of the rewriting that does not agree with its source.

    Attributes:
        kind: what was compared, such as "polarity".
        strength: how clear it is, in (0, 1]; 0.5 is what a copy of the source with one change shows at least.
        reason: one sentence that names what was found.
    """

    kind: str
    strength: float
    reason: str


def graded(*ratios: float) -> float:
    """Return the strength of measures, each divided by what it must reach to count: 0.5 where the least just does."""
    return min(1.0, 0.5 * min(ratios))
