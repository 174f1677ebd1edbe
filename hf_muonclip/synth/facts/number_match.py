"""Numbers of two texts side by side: which are missing, which are new, which changed their unit."""

from itertools import pairwise, permutations
from typing import NamedTuple

from .context import context_of
from .misfit import shared
from .numbers import Number, small_in_words
from .reading import Facts
from .units import worth

_CONVERSION = 0.06  # how far "(3 miles)" may lie from the "5 km" that it explains
_SAME_PLACE = 0.3
_REST = frozenset(("rest", "remainder", "remaining", "other", "others"))
_POUND = 0.45359237
_MEASURES = ("share", "sterling", "dollar", "euro", "length", "mass", "time", "months")


class NumberDifferences(NamedTuple):
    """How the numbers of a rewriting differ from those of its source.

    Attributes:
        missing: numbers of the source that the rewriting does not say.
        novel: numbers that only the rewriting says.
        units: pairs of both whose value is the same and whose unit is not.
        bounds: pairs of both where "more than" has become "less than", or the other way round.
        score: of numbers, in [0, 1]: the share of both texts' numbers that the other one has.
        unit_score: the same of units and bounds.
    """

    missing: list[Number]
    novel: list[Number]
    units: list[tuple[Number, Number]]
    bounds: list[tuple[Number, Number]]
    score: float
    unit_score: float


def compare_numbers(source: Facts, rewritten: Facts) -> NumberDifferences:
    """Return how the numbers of two texts differ, years left out where they are dates.

    Small numbers in words ("one", "both", "first", "a year") may come and go, unless one seems to replace another: both
    texts have one of its own, in the same surroundings.
    """
    ours, theirs = source.numbers, rewritten.numbers
    keys, their_keys = {number.key for number in ours}, {number.key for number in theirs}
    years = {float(date.year) for date in source.dates if date.year}
    their_years = {float(date.year) for date in rewritten.dates if date.year}
    missing = [n for n in ours if n.key not in their_keys and n.value not in their_years]
    novel = [n for n in theirs if n.key not in keys and n.value not in years]
    found = [n for n in missing if any(_is_same(n, other) for other in theirs)]
    known = [n for n in novel if any(_is_same(n, other) for other in ours)]
    missing = [n for n in missing if n not in found and not _explains(source, n, their_keys)]
    novel = [n for n in novel if n not in known and not _explains(rewritten, n, keys)]
    units = _changed_units(source, rewritten, missing, novel)
    missing = [n for n in missing if all(n is not pair[0] for pair in units)]
    novel = [n for n in novel if all(n is not pair[1] for pair in units)]
    replaced = {
        at
        for a in missing
        for b in novel
        if _stand_alike(source, a, rewritten, b)
        for at in ((0, a.first), (1, b.first))
    }
    missing = [n for n in missing if (0, n.first) in replaced or not (n.soft or _follows(rewritten, source, n))]
    novel = [n for n in novel if (1, n.first) in replaced or not (n.soft or _follows(source, rewritten, n))]
    bounds = _changed_bounds(ours, theirs)
    total = max(len(ours) + len(theirs), 1)
    return NumberDifferences(
        missing,
        novel,
        units,
        bounds,
        1 - (len(missing) + len(novel)) / total,
        1 - 2 * (len(units) + len(bounds)) / total if ours and theirs else 1.0,
    )


def _is_same(one: Number, other: Number) -> bool:
    """Return whether two spellings with different keys say the same number."""
    if "clock" in (one.kind, other.kind) and {one.kind, other.kind} <= {"clock", "time"}:
        return one.value % 720 == other.value % 720
    if "version" in (one.kind, other.kind) or "time" in (one.kind, other.kind):
        return False
    if {one.kind, other.kind} == {"", "clock"}:  # "at four", "at four o'clock"
        return max(one.value, other.value) == 60 * min(one.value, other.value)
    if one.kind != other.kind:  # "the fifth year", "five years"; but "the third man" is not "three men"
        return one.value == other.value and not (one.soft or other.soft)
    if _are_reciprocal(one, other):
        return True
    share = {one.unit.dimension if one.unit else "", other.unit.dimension if other.unit else ""}
    if share == {"", "share"}:  # "half" and "50 percent"; "50" alone too
        parts = one if one.unit is None else other
        percent = other if parts is one else one
        return (
            abs(parts.value * 100 - worth(percent.value, percent.unit)) < 0.7
            if percent.unit and (0 < parts.value < 1)
            else parts.value == percent.value
        )
    if one.unit is None or other.unit is None:
        return one.value == other.value
    if one.unit.dimension == other.unit.dimension:
        a, b = worth(one.value, one.unit), worth(other.value, other.unit)
        return abs(a - b) <= 1e-6 * max(abs(a), abs(b))
    if one.value != other.value:
        return False
    dimensions = {one.unit.dimension, other.unit.dimension}
    if dimensions == {"mass", "ton"}:
        return 1000.0 in (one.unit.factor, other.unit.factor)
    if dimensions == {"mass", "sterling"}:  # "pounds" weigh or are paid
        return _POUND in (one.unit.factor, other.unit.factor)
    if any(one.startswith(f"{other}/") for one, other in permutations(dimensions, 2)):
        return True  # "0.3 mg per litre", "0.3 mg in each litre"
    # "degrees" may be of anything; "500 per square kilometre" may be said of anything
    return dimensions == {"angle", "temperature"} or any(d.startswith("count/") for d in dimensions)


def _are_reciprocal(one: Number, other: Number) -> bool:
    """Return whether one number is the part and the other the factor: "1/14 of", "14 times smaller"."""
    small, large = sorted((one.value, other.value))
    return one.unit is None and other.unit is None and 0 < small < 1 and large >= 2 and abs(small * large - 1) < 1e-9


def _explains(facts: Facts, number: Number, shared_keys: set[str]) -> bool:
    """Return whether a number only says, in another unit, one beside it that both texts have: "5 km (3.1 miles)"."""
    if number.unit is None:
        return False
    for other in facts.numbers:
        if other is number or other.unit is None or other.key not in shared_keys:
            continue
        close = min(abs(other.first - number.last), abs(number.first - other.last)) <= 4
        if close and other.unit.dimension == number.unit.dimension:
            a, b = worth(number.value, number.unit), worth(other.value, other.unit)
            if abs(a - b) <= _CONVERSION * max(abs(a), abs(b)):
                return True
    return False


def _follows(source: Facts, rewritten: Facts, number: Number) -> bool:
    """Return whether a number of one text only sums up the other: how many a sentence lists, or years between dates."""
    if number.unit and number.unit.dimension == "share":  # "60 percent, and the rest"
        words = {token.lower for token in source.text.tokens}
        parts = [
            worth(other.value, other.unit) for other in source.numbers if other.unit and other.unit.dimension == "share"
        ]
        wanted = 100 - worth(number.value, number.unit)
        sums = {
            *parts,
            sum(parts),
            *(a + b for a, b in pairwise(parts)),
            *map(sum, zip(parts, parts[1:], parts[2:], strict=False)),
        }
        return bool(words & _REST) and any(abs(one - wanted) < 1e-6 for one in sums)
    if number.unit and number.unit.dimension == "months":
        years = sorted({date.year for date in source.dates if date.year})
        spans = {abs(b - a) for i, a in enumerate(years) for b in years[i + 1 :]}
        return number.value * number.unit.factor / 12 in spans
    if not small_in_words(number, rewritten.text):
        return False
    for sentence in source.text.sentences:
        said = [source.text.tokens[at].lower for at in sentence]
        commas = said.count(",") + said.count(";")
        if ("and" in said or "or" in said) and number.value in (commas + 1, commas + 2):
            return True
    return False


def _changed_units(
    source: Facts, rewritten: Facts, missing: list[Number], novel: list[Number]
) -> list[tuple[Number, Number]]:
    pairs = []
    for a in missing:
        b = next((b for b in novel if b.value == a.value and a.unit and b.unit and a.unit != b.unit), None)
        if b:
            pairs.append((a, b))
    return pairs


def _stand_alike(source: Facts, one: Number, rewritten: Facts, other: Number) -> bool:
    if (one.kind == "ordinal") != (other.kind == "ordinal"):
        return False
    ours = context_of(source, one.first, one.last)
    return shared(context_of(rewritten, other.first, other.last), ours) >= _SAME_PLACE


def _changed_bounds(ours: list[Number], theirs: list[Number]) -> list[tuple[Number, Number]]:
    """Return pairs of the same number, "more than" it in one text and "less than" it in the other."""
    pairs = []
    for b in (number for number in theirs if number.bound):
        same = [a for a in ours if a.key == b.key]
        if same and all(a.bound == -b.bound for a in same):
            pairs.append((same[0], b))
    return pairs


def can_be_swapped(one: str, other: str) -> bool:
    """Return whether numbers of two classes can be swapped unnoticed: "twelve pounds, but she had nine"."""
    return one == other or (not one and other in _MEASURES) or (not other and one in _MEASURES)


def unit_class(number: Number) -> str:
    """Return the dimension of a number, or that it is a time or an ordinal; "" of plain numbers."""
    dimension = number.unit.dimension if number.unit else number.kind
    return "sterling" if number.unit and number.unit.factor == _POUND else dimension
