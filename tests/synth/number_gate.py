"""A gate for tests of what a gate is asked: the same numbers, in any order."""

import re
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class NumberVerdict:
    """What the gate says."""

    faithful: bool
    scores: dict[str, float]
    reasons: list[str]


def same_numbers(source: str, rewritten: str) -> NumberVerdict:
    wanted, found = Counter(re.findall(r"\d+", source)), Counter(re.findall(r"\d+", rewritten))
    missing = list((wanted - found).elements()) + list((found - wanted).elements())
    kept = (wanted & found).total() / wanted.total() if wanted else 1.0
    return NumberVerdict(not missing, {"numbers": kept}, [f"the number {number} differs" for number in missing])


def whole_is_short(source: str, rewritten: str) -> NumberVerdict:
    """Refuse every text that has more than 400 characters in its source: a document, never a chunk of it."""
    short = len(source) <= 400
    return NumberVerdict(short, {"short": float(short)}, [] if short else ["the whole is long"])
