"""What of the source the rewriting covers, and what of the rewriting the source supports, sentence by sentence."""

from statistics import median
from typing import NamedTuple

from .alignment import Alignment, Match
from .reading import Facts

# Shorter sentences, by the weight of their words, may say in other words what the other text says somewhere.
_LEAST_DROPPED_WEIGHT, _LEAST_INVENTED_WEIGHT = 2.5, 3.5
_DROPPED, _INVENTED = 0.38, 0.33  # of the share that is usual in a pair
_ENOUGH = 0.4


class Coverage(NamedTuple):
    """How far two texts say the same.

    Attributes:
        recall: the share of the source's content that the rewriting covers, in [0, 1].
        support: the share of the rewriting's content that the source supports, in [0, 1].
        dropped: of the source, each sentence that the rewriting covers far less than the others: it, and how clearly.
        invented: of the rewriting, the same of those that the source supports far less than the others.
    """

    recall: float
    support: float
    dropped: list[tuple[int, float]]
    invented: list[tuple[int, float]]


def compare_claims(alignment: Alignment) -> Coverage:
    """Return how far two texts cover each other.

    A sentence falls out by a share of what is usual in this pair, so that a free rewriting is not held to the words of
    a close one. Where the other text has, between what its neighbours are taken from, as much that nothing else covers,
    the sentence may say that in words of its own: its case is half as clear.
    """
    ours, theirs = alignment.of_source, alignment.of_rewritten
    return Coverage(
        _mean(ours),
        _mean(theirs),
        _outliers(ours, theirs, _DROPPED, _LEAST_DROPPED_WEIGHT),
        _outliers(theirs, ours, _INVENTED, _LEAST_INVENTED_WEIGHT),
    )


def _mean(matches: list[Match]) -> float:
    total = sum(match.weight for match in matches)
    return sum(match.share * match.weight for match in matches) / total if total else 1.0


def _outliers(matches: list[Match], others: list[Match], least: float, least_weight: float) -> list[tuple[int, float]]:
    long = [match.share for match in matches if match.weight >= least_weight]
    if not long:
        return []
    usual, open_share = median(long), 1 - _mean(others)
    found = []
    for place, match in enumerate(matches):
        if match.weight < least_weight or match.share >= 2 * least * usual:
            continue
        strength = 1 - match.share / (2 * least * usual)
        if _open_between(matches, others, place, open_share) >= _ENOUGH * match.weight * (1 - match.share):
            strength /= 2
        found.append((place, strength))
    return found


def _open_between(matches: list[Match], others: list[Match], place: int, open_share: float) -> float:
    """Return the weight that the other text says, beyond what is usual, where a sentence is to be expected."""
    before = [m.sentences[0] for m in matches[:place] if m.sentences and m.share > open_share / 2][-1:]
    after = [m.sentences[0] for m in matches[place + 1 :] if m.sentences and m.share > open_share / 2][:1]
    ends = [*(before or [0]), *(after or [len(others) - 1])]
    between = others[min(ends) : max(ends) + 1]
    return sum(max(0.0, match.weight * (1 - match.share - open_share)) for match in between)


def is_cut_off(source: Facts, rewritten: Facts) -> bool:
    """Return whether the rewriting ends within a sentence and its source does not."""
    return _ends(source) and not _ends(rewritten)


def _ends(facts: Facts) -> bool:
    raw = facts.text.raw.rstrip().rstrip("\"')]*_}|>`")
    return raw.endswith((".", "!", "?", "…", "。", "！", "？", ":")) or not raw  # noqa: RUF001
