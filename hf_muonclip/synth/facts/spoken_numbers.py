"""Numbers that take several words of the sentence: "half past ten", "one in three", "a quarter of an hour"."""

from collections.abc import Sequence
from typing import NamedTuple

from .number_words import CARDINALS, FRACTIONS
from .tables import word_set
from .units import Unit, simple_unit

_PARTS = {"half": 0.5, "quarter": 0.25, "third": 1 / 3}
_ARTICLES = frozenset(("a", "an", "one"))
_TIMES = word_set("second minute hour day week month year decade century mile")
_COMPARED = word_set("less more fewer lower higher")
_ABOUT = word_set("about approximately around nearly almost roughly over under only some by")
_AT = frozenset(("at", "by", "until", "till", ","))
_WHOLES = frozenset((2, 3, 4, 5, 6, 8, 10, 20, 100))
_HALF_MORE = ("and", "a", "half")


class Spoken(NamedTuple):
    """A number that starts at some word.

    Attributes:
        value: of the number; of a clock, minutes since noon or midnight.
        words: how many it takes.
        unit: or None.
        kind: "clock" or "".
    """

    value: float
    words: int
    unit: Unit | None = None
    kind: str = ""


def read_spoken(words: Sequence[str], before: str = "") -> Spoken | None:
    """Return the number that the words start with, or None where it is one of the usual form.

    Args:
        words: in lower case, with hyphens as words of their own.
        before: the word before them.
    """
    return _clock(words, before) or _part_of_unit(words) or _unit_and_half(words) or _ratio(words, before)


def _value(word: str) -> int:
    return int(word) if word.isdecimal() and len(word) < 4 else CARDINALS.get(word, 0)


def _clock(words: Sequence[str], before: str) -> Spoken | None:
    """Return "half past ten", "a quarter to six", "ten minutes after two"."""
    at = 1 if words[0] == "a" else 0
    if len(words) < at + 3:
        return None
    minutes = 60 * _PARTS[words[at]] if words[at] in ("half", "quarter") else float(_value(words[at]))
    after = at + 2 if words[at + 1] in ("minutes", "minute") else at + 1
    if not 0 < minutes < 60 or after + 1 >= len(words) or words[after] not in ("past", "to", "after", "before"):
        return None
    hour = _value(words[after + 1])
    following = words[after + 2] if after + 2 < len(words) else ""
    if words[after] in ("after", "before") and before not in _AT:
        return None  # "every 20 minutes after nine"
    if not 1 <= hour <= 12 or (words[after] in ("to", "before") and at == 0 and words[at] not in _PARTS):
        return None  # "ten to twelve" is a range
    if simple_unit(following, False) or following in ("-", "percent", "%", "/"):
        return None
    return Spoken(60 * hour + (minutes if words[after] in ("past", "after") else -minutes), after + 2, kind="clock")


def _part_of_unit(words: Sequence[str]) -> Spoken | None:
    """Return "half a year", "half an hour", "a quarter of an hour", "three quarters of an hour"."""
    count = 1 if words[0] in _ARTICLES else CARDINALS.get(words[0], 0)
    at = 1 if count else 0
    if at < len(words) and words[at] == "-":
        at += 1
    if at >= len(words) or words[at].removesuffix("s") not in _PARTS:
        return None
    part = _PARTS[words[at].removesuffix("s")] * max(count, 1)
    at += 1
    if at < len(words) and words[at] == "of":
        at += 1
    elif at < len(words) and words[at] == "-":
        return None
    if at < len(words) and words[at] in ("a", "an"):
        at += 1
    elif words[0] not in ("a", "half"):
        return None
    if at >= len(words) or words[at] not in _TIMES or words[at] == "second":
        return None
    return Spoken(part, at + 1, simple_unit(words[at], False))


def _unit_and_half(words: Sequence[str]) -> Spoken | None:
    """Return "an hour and a half"."""
    if len(words) < 5 or words[0] not in _ARTICLES or words[1] not in _TIMES or tuple(words[2:5]) != _HALF_MORE:
        return None
    return Spoken(1.5, 5, simple_unit(words[1], False))


def _ratio(words: Sequence[str], before: str) -> Spoken | None:
    """Return "one in three", "9 out of 10" and "a fifth of" as shares of 1."""
    if len(words) > 2 and words[0] in _ARTICLES and words[1] + "s" in FRACTIONS and words[1] not in ("half", "second"):
        is_share = (
            words[2] in _COMPARED or before in _ABOUT or (words[2] == "of" and words[1] not in ("third", "quarter"))
        )
        return Spoken(1 / FRACTIONS[words[1] + "s"], 2) if is_share else None
    first = _value(words[0])
    at = 1
    if words[1:3] == ["out", "of"]:
        at = 3
    elif words[1:2] == ["in"] and first <= 3:
        at = 2
    if at == 1 or at >= len(words) or not first:
        return None
    if words[at : at + 2] == ["a", "hundred"]:
        return Spoken(first / 100, at + 2)
    whole = _value(words[at])
    following = words[at + 1] if at + 1 < len(words) else ""
    if (
        whole not in _WHOLES
        or first >= whole
        or simple_unit(following, False)
        or following in ("-", "%", "hundred", "thousand")
    ):
        return None
    return Spoken(first / whole, at + 1)
