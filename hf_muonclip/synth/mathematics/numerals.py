"""Which numbers a text writes in digits, and those of another that it lacks: 1.000,5 and 1,000.5 are one."""

import re
from fractions import Fraction
from typing import NamedTuple

_NUMERAL = re.compile(r"\d+(?:(?:[.,]|\{,\}|\\,|[\u00a0\u2009\u202f ](?=\d{3}(?!\d)))\d+)*")
_MARK = re.compile(r"\{,\}|\\,|[\u00a0\u2009\u202f ]")
_WIDE = {0xFF10 + digit: str(digit) for digit in range(10)}
_COUNTED = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty"""
_ORDINALS = {"first": 1, "second": 2, "third": 3, "half": 2, "quarter": 4, "twice": 2, "double": 2, "dozen": 12}
_IN_WORDS = {**{word: place for place, word in enumerate(_COUNTED.split())}, **_ORDINALS}
_LARGEST_IN_WORDS = 20  # a number up to it may be a word in the other language


class Compared(NamedTuple):
    """Numbers of two texts.

    Attributes:
        missing: of the source, as it writes them, that the other text has not.
        new: of the other text that the source has not.
        kept: share of the source's different numbers that the other text has.
    """

    missing: list[str]
    new: list[str]
    kept: float


def compare_numerals(source: str, other: str) -> Compared:
    """Return which numbers two texts have in common, each once, whatever language groups their digits.

    Numbers up to twenty may be words in the other text: they are missing where an English text has neither, and never
    new.

    Args:
        source: in any language.
        other: in English.
    """
    ours, theirs = _numerals(source), _numerals(other)
    said = {Fraction(_IN_WORDS[word]) for word in re.findall(r"[a-z]+", other.lower()) if word in _IN_WORDS}
    all_ours, all_theirs = frozenset().union(*ours.values()), frozenset().union(*theirs.values(), said)
    missing = [text for text, values in ours.items() if not values & all_theirs]
    new = [
        text
        for text, values in theirs.items()
        if not values & all_ours and not any(value <= _LARGEST_IN_WORDS and value.denominator == 1 for value in values)
    ]
    return Compared(missing, new, 1 - len(missing) / len(ours) if ours else 1.0)


def _numerals(text: str) -> dict[str, frozenset[Fraction]]:
    """Return each numeral with what it can mean."""
    return {found[0]: _values(found[0]) for found in _NUMERAL.finditer(text.translate(_WIDE))}


def _values(numeral: str) -> frozenset[Fraction]:
    plain = _MARK.sub(",", numeral) if "." not in numeral else _MARK.sub("", numeral)
    marks = [sign for sign in plain if sign in ".,"]
    grouped = all(len(group) == 3 for group in re.split("[.,]", plain)[1:])
    meant = {plain.replace(",", "").replace(".", "")} if grouped else set()
    if len(marks) == 1:
        meant.add(plain.replace(",", "."))
    elif len(marks) > 1 and marks[-1] not in marks[:-1]:
        whole, _, behind = plain.rpartition(marks[-1])
        meant.add(f"{whole.replace(',', '').replace('.', '')}.{behind}")
    if not meant:  # a list without spaces: 1,2,3
        return frozenset(Fraction(part) for part in re.split("[.,]", plain))
    return frozenset(Fraction(one) for one in meant)
