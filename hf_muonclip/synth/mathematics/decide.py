"""Whether a relation between two expressions is true; runs in worker processes, for sympy may never return.

- Without variables it is true or false, in whichever way its text can be meant: false only where no reading is true.
  A number with digits behind its point may be rounded or cut off. Beside "≈" a number of whole tens may be rounded too.
- With variables it is true where it is an identity. Otherwise it is undecidable: x + 3 = 7 is no error, and neither is
  what a false expansion looks like, for it may be an equation to be solved.
- Units are factors: 3 km = 3000 m is true. Where one side has none (48 / 2 = 24 clips), numbers are compared.
"""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from .expression import Side, read_side
from .quantities import CONVERSIONS
from .tokens import UnreadError

TRUE, FALSE, UNDECIDABLE, UNREAD = "true", "false", "undecidable", "unread"

# Decimals that are known to be roundings of roots, pi and e.
ROUNDED = ("3.14", "3.142", "3.1416", "1.41", "1.414", "1.73", "1.732", "2.24", "2.236", "2.718", "2.72")
_DIGITS = 30  # that are computed of what is irrational
_ZERO = sympy.Float("1e-20", _DIGITS)
_CLOSE, _FAR = 0.01, 0.1  # relative differences beside "≈": none, and an error
_MOST_READINGS = 3  # ambiguities that are combined
_MOST_NUDGED = 4  # rounded numbers of a side
_POINTS = ((7, 3), (-11, 5), (13, 17), (19, -23), (29, 31), (37, 41))  # where identities are tried first

Texts = tuple[str, str, str, bool]  # left side, sign, right side, whether they are plain text


def decide(texts: Texts, modulus: int, approximate: bool, rounded: Sequence[str]) -> dict[str, Any]:
    """Return what is known of a relation, as plain data.

    Args:
        texts: left side, one of = ≠ < > ≤ ≥ ≈ ≡, right side, and whether they are plain text.
        modulus: of a congruence; 0 of any other relation.
        approximate: whether "=" means "≈" here, as its sentence says.
        rounded: decimals that are known to be rounded, as they are written.

    Returns:
        "verdict", "why" it was not read, "key" of both values and the sign, "names" of its variables, "assigned" (name,
        side and value) where it gives a variable a number, "rounded" with the decimals that make it true by rounding.
    """
    try:
        left, right = read_side(texts[0], texts[3]), read_side(texts[2], texts[3])
        verdicts: list[tuple[str, list[str]]] = []
        for choices in _choices(left.met | right.met):
            verdicts.append(_verdict(texts, modulus, approximate, rounded, choices))
            if verdicts[-1][0] == TRUE:
                break
    except UnreadError as error:
        return {"verdict": UNREAD, "why": str(error), "key": "", "names": [], "assigned": None, "rounded": []}
    found = next((one for one in verdicts if one[0] == TRUE), None)
    found = found or next((one for one in verdicts if one[0] == UNDECIDABLE), verdicts[0])
    return {
        "verdict": found[0],
        "why": "",
        "key": f"{left.value} {texts[1]} {right.value}",
        "names": sorted(_names(left) | _names(right)),
        "assigned": _assigned(left, right, texts) if texts[1] == "=" else None,
        "rounded": found[1],
    }


def holds_at(texts: Texts, values: Sequence[tuple[str, str, bool]]) -> str:
    """Return whether an equation is true, false or undecidable where its variables have values.

    Args:
        texts: as in `decide`.
        values: names of variables, with the text of each value and whether that is plain.
    """
    try:
        points = {sympy.Symbol(name): read_side(text, plain).value for name, text, plain in values}
        left, right = (read_side(text, texts[3]) for text in (texts[0], texts[2]))
    except UnreadError:
        return UNDECIDABLE
    for side in (left, right):
        side.value = side.value.subs(points, simultaneous=True)
        if side.value.free_symbols or side.value.has(sympy.nan, sympy.zoo, sympy.oo):
            return UNDECIDABLE
    return _numbers(left, texts[1], right, False)[0]


def _choices(met: set[str]) -> Iterator[frozenset[str]]:
    """Yield the ways in which a text can be meant, the first one first."""
    for size in range(len(met) + 1 if len(met) <= _MOST_READINGS else 2):
        yield from map(frozenset, itertools.combinations(sorted(met), size))


def _names(side: Side) -> set[str]:
    return {symbol.name for symbol in side.value.free_symbols} - side.units


def _assigned(left: Side, right: Side, texts: Texts) -> list[Any] | None:
    for name, other, text in ((left, right, texts[2]), (right, left, texts[0])):
        if name.is_name and not other.value.free_symbols:
            return [next(iter(_names(name))), text, str(other.value)]
    return None


def _verdict(
    texts: Texts, modulus: int, approximate: bool, rounded: Sequence[str], choices: frozenset[str]
) -> tuple[str, list[str]]:
    left, right = (read_side(text, texts[3], choices) for text in (texts[0], texts[2]))
    sign = texts[1]
    if any(side.value.has(sympy.nan, sympy.zoo, sympy.oo) for side in (left, right)):
        return UNDECIDABLE, []
    if modulus:
        whole = left.value.is_Integer and right.value.is_Integer
        return (_said((left.value - right.value) % modulus == 0) if whole else UNDECIDABLE), []
    if _names(left) | _names(right) or left.value.has(AppliedUndef) or right.value.has(AppliedUndef):
        same = sign in ("=", "≡") and _is_identity(left.value - right.value)
        return (TRUE if same else UNDECIDABLE), []
    if any(side.units and side.value.is_zero and not side.is_computed for side in (left, right)):
        return UNDECIDABLE, []
    if left.units or right.units or left.converted or right.converted:
        return _with_units(left, sign, right, approximate, texts, choices)
    verdict, decimals = _numbers(left, sign, right, approximate)
    if verdict == FALSE and sign == "≡":
        return UNDECIDABLE, []  # its modulus stands elsewhere
    if verdict == FALSE and sign in ("=", "≈") and _may_be_rounded(texts, choices, {*rounded, *ROUNDED}):
        return UNDECIDABLE, []
    return verdict, decimals


def _with_units(
    left: Side, sign: str, right: Side, approximate: bool, texts: Texts, choices: frozenset[str]
) -> tuple[str, list[str]]:
    """Return the verdict on quantities: compared as such, or by their numbers where one side has no unit."""
    comparable = not right.value.is_zero and not sympy.cancel(left.value / right.value).free_symbols
    bare = [read_side(text, texts[3], choices, convert=False) for text in (texts[0], texts[2])]
    as_written = _numbers(_stripped(bare[0]), sign, _stripped(bare[1]), approximate)
    converted = _numbers(_stripped(left), sign, _stripped(right), approximate)
    if comparable:
        if converted[0] == FALSE and as_written[0] == TRUE and (left.is_computed or right.is_computed):
            return UNDECIDABLE, []  # 2 hours * 60 = 120 minutes
        return converted
    if TRUE in (as_written[0], converted[0]):
        return as_written if as_written[0] == TRUE else converted
    computed = [side for side in (left, right) if side.is_computed]
    quantity = [side for side in (left, right) if side.literal and side.units]
    wrong = len(computed) == 1 and len(quantity) == 1 and not _is_conversion(*map(_stripped, bare))
    return (FALSE if wrong else UNDECIDABLE), []


def _is_conversion(left: Side, right: Side) -> bool:
    """Return whether one number is the other one in another unit: 60 * 2 = 2 hours, where minutes are meant."""
    one, other = left.value, right.value
    if not (one.is_Rational and other.is_Rational) or one.is_zero or other.is_zero:
        return False
    return Fraction(int(one.p), int(one.q)) / Fraction(int(other.p), int(other.q)) in CONVERSIONS


def _stripped(side: Side) -> Side:
    """Return a side whose units are 1."""
    value = side.value.subs({sympy.Symbol(name): 1 for name in side.units})
    return Side(value, literal=side.literal, inexact=side.inexact, decimals=side.decimals)


def _numbers(left: Side, sign: str, right: Side, approximate: bool) -> tuple[str, list[str]]:
    """Return the verdict on two sides without symbols, and the decimals that are rounded in it."""
    one, other = _evaluated(left.value), _evaluated(right.value)
    equal = bool(abs(one - other) <= _ZERO * max(1, abs(one)))
    if sign == "≠":
        return _said(not equal), []
    if sign in "<>≤≥":
        if not (one.is_real and other.is_real):
            return UNDECIDABLE, []
        less = bool(one < other) and not equal
        return _said({"<": less, ">": not less and not equal, "≤": less or equal, "≥": not less}[sign]), []
    if equal:
        return TRUE, []
    near = sign == "≈" or approximate or left.inexact or right.inexact
    for side, value, exact in ((left, one, other), (right, other, one)):
        if side.literal and ("." in side.literal or near) and _is_rounding(side, value, exact):
            return TRUE, [side.literal]
    if not near:
        return FALSE, []
    difference = abs(one - other) / max(abs(one), abs(other))
    if any(side.literal and "." in side.literal for side in (left, right)):
        return _said(False), []
    if not left.literal and not right.literal and difference <= _CLOSE:
        return TRUE, []
    return (FALSE if difference > _FAR else UNDECIDABLE), []


def _is_rounding(side: Side, value: Any, exact: Any) -> bool:
    """Return whether a number is another one, rounded to its digits or cut off there."""
    assert side.literal is not None
    whole, _, behind = side.literal.partition(".")
    zeros = len(whole) - len(whole.rstrip("0")) if "." not in side.literal and whole.strip("0") else 0
    written = sympy.Rational(side.literal)
    unit = sympy.Integer(10) ** zeros / sympy.Integer(10) ** len(behind)
    unit = unit * abs(value / written) if written else unit
    off = abs(value - exact)
    if bool(off <= unit / 2 + _ZERO):
        return True
    return bool(off < unit) and bool(abs(value) < abs(exact)) and "." in side.literal


def _may_be_rounded(texts: Texts, choices: frozenset[str], rounded: set[str]) -> bool:
    """Return whether a relation can be true where some of its decimals are roundings of other numbers."""
    sides = [read_side(text, texts[3], choices) for text in (texts[0], texts[2])]
    used = sorted({text for side in sides for text in side.decimals if text in rounded and side.literal is None})
    if not used or len(used) > _MOST_NUDGED:
        return False
    signs = set()
    for corner in itertools.product((-1, 1), repeat=len(used)):
        nudged = {
            text: Fraction(text) + Fraction(way, 2 * 10 ** len(text.partition(".")[2]))
            for text, way in zip(used, corner, strict=True)
        }
        one, other = (read_side(text, texts[3], choices, nudged=nudged) for text in (texts[0], texts[2]))
        if _numbers(one, "=", other, True)[0] == TRUE:
            return True
        difference = _evaluated(one.value - other.value)
        signs.add(bool(difference.is_real and difference > 0))
    return len(signs) == 2


def _is_identity(difference: Any) -> bool:
    if difference.is_zero:
        return True
    if difference.has(AppliedUndef):
        return False
    symbols = sorted(difference.free_symbols, key=str)
    for shift in range(3):
        points = {
            symbol: sympy.Rational(*_POINTS[(place + shift) % len(_POINTS)]) + place
            for place, symbol in enumerate(symbols)
        }
        value = difference.subs(points)
        if value.has(sympy.nan, sympy.zoo, sympy.oo):
            continue
        if not bool(abs(_evaluated(value)) <= _ZERO * 1000):
            return False
    return bool(sympy.expand(difference) == 0) or bool(sympy.simplify(difference) == 0)


def _evaluated(value: Any) -> Any:
    return value if value.is_Rational else sympy.N(value, _DIGITS)


def _said(true: bool) -> str:
    return TRUE if true else FALSE
