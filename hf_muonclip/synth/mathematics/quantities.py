"""Units as factors: which words are the same, and what some are in terms of others."""

import re
from fractions import Fraction
from typing import NamedTuple

_TIME: dict[str, int | Fraction] = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "day": 86400,
}
_LENGTH: dict[str, int | Fraction] = {
    "mm": Fraction(1, 1000),
    "cm": Fraction(1, 100),
    "dm": Fraction(1, 10),
    "m": 1,
    "meter": 1,
    "metre": 1,
}
_MASS: dict[str, int | Fraction] = {"mg": Fraction(1, 1000), "g": 1, "gram": 1, "kg": 1000, "kilogram": 1000}
_VOLUME: dict[str, int | Fraction] = {
    "ml": Fraction(1, 1000),
    "milliliter": Fraction(1, 1000),
    "l": 1,
    "liter": 1,
    "litre": 1,
}
_FEET: dict[str, int | Fraction] = {"inch": 1, "inches": 1, "foot": 12, "feet": 12, "ft": 12, "yard": 36, "yd": 36}
_SCALES: dict[str, int | Fraction] = {"dozen": 12, "pair": 2, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_KINDS: dict[str, dict[str, int | Fraction]] = {
    "s": {**_TIME, "week": 7 * 86400},
    "m": {**_LENGTH, "km": 1000, "kilometer": 1000},
    "g": _MASS,
    "l": _VOLUME,
    "inch": _FEET,
    "cent": {"cent": 1, "dollar": 100, "euro": 100},
    "": _SCALES,
}
# Of each unit, the one that it is converted to, and how many of that it is.
_KNOWN = {word: (base, Fraction(factor)) for base, factors in _KINDS.items() for word, factor in factors.items()}
# What one of a unit is in another of its kind, either way.
CONVERSIONS = frozenset(
    one / other
    for base, one in _KNOWN.values()
    for other_base, other in _KNOWN.values()
    if base == other_base and one != other
)
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_PIECE = re.compile(r"(/|\bper\b)|([^\W\d_]+)\s*(?:\^?\{?([23])\}?|([²³]))?|([·*.,()\s-]+)")


class Unit(NamedTuple):
    """A factor of a unit.

    Attributes:
        name: of what it is converted to; "" where it is a number alone.
        factor: of one of it; 1 where nothing is known of the word.
        power: -1 of what stands below a stroke.
        known: whether it is converted.
    """

    name: str
    factor: Fraction
    power: int
    known: bool


def units_of(words: str, convert: bool = True) -> list[Unit] | None:
    """Return the factors of words such as "km/h", "apples" or "square feet"; None where they hold something else.

    Args:
        words: without the number before them.
        convert: whether those that are known are converted; else each word is a unit of its own.
    """
    found: list[Unit] = []
    place, below, power = 0, False, 1
    while place < len(words):
        piece = _PIECE.match(words, place)
        if piece is None:
            return None
        place = piece.end()
        stroke, word, raised, sign, _ = piece.groups()
        if stroke:
            below = True
        elif word and word.lower() in _POWERS:
            power = _POWERS[word.lower()]
        elif word:
            power *= int(raised) if raised else {"²": 2, "³": 3}.get(sign, 1)
            name, factor, known = _known(word, convert)
            found.append(Unit(name, factor, -power if below else power, known))
            power = 1
    return found


def _known(word: str, convert: bool) -> tuple[str, Fraction, bool]:
    lower = word.lower() if len(word) > 1 else word
    single = lower[:-1] if len(lower) > 3 and lower.endswith("s") and not lower.endswith("ss") else lower
    for one in (lower, single):
        if convert and one in _KNOWN:
            return *_KNOWN[one], True
    return single, Fraction(1), False
