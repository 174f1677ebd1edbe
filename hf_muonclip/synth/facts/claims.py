"""What of the source the rewriting covers, and what of the rewriting the source supports, sentence by sentence."""

from statistics import median
from typing import NamedTuple

from .alignment import Alignment, Match
from .reading import Facts

# Shorter sentences, by the weight of their words, may say in other words what the other text says somewhere.
_LEAST_DROPPED_WEIGHT, _LEAST_INVENTED_WEIGHT = 2.5, 3.5


class Coverage(NamedTuple):
    """How far two texts say the same.

    Attributes:
        recall: the share of the source's content that the rewriting covers, in [0, 1].
        support: the share of the rewriting's content that the source supports, in [0, 1].
        dropped: of the source, each sentence that the rewriting covers far less than the others, with its share.
        invented: of the rewriting, each sentence that the source supports far less than the others, with its share.
    """

    recall: float
    support: float
    dropped: list[tuple[int, float]]
    invented: list[tuple[int, float]]


def compare_claims(alignment: Alignment, least_dropped: float, least_invented: float) -> Coverage:
    """Return how far two texts cover each other.

    A sentence falls out by two measures at once: below a fixed share, and below a share of what is usual in this pair,
    so that a free rewriting is not held to the words of a close one.

    Args:
        alignment: of the sentences.
        least_dropped: share of the median below which a sentence of the source counts as dropped.
        least_invented: share of the median below which a sentence of the rewriting counts as invented.
    """
    return Coverage(
        _mean(alignment.of_source),
        _mean(alignment.of_rewritten),
        _outliers(alignment.of_source, least_dropped, _LEAST_DROPPED_WEIGHT),
        _outliers(alignment.of_rewritten, least_invented, _LEAST_INVENTED_WEIGHT),
    )


def _mean(matches: list[Match]) -> float:
    total = sum(match.weight for match in matches)
    return sum(match.share * match.weight for match in matches) / total if total else 1.0


def _outliers(matches: list[Match], least: float, least_weight: float) -> list[tuple[int, float]]:
    long = [match.share for match in matches if match.weight >= least_weight]
    if not long:
        return []
    limit = least * median(long)
    return [(i, m.share) for i, m in enumerate(matches) if m.weight >= least_weight and m.share < limit]


def is_cut_off(source: Facts, rewritten: Facts) -> bool:
    """Return whether the rewriting ends within a sentence and its source does not."""
    return _ends(source) and not _ends(rewritten)


def _ends(facts: Facts) -> bool:
    raw = facts.text.raw.rstrip().rstrip("\"')]*_}|>`")
    return raw.endswith((".", "!", "?", "…", "。", "！", "？", ":")) or not raw  # noqa: RUF001
