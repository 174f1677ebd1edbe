"""Operations on expressions that refuse what does not exist and what would be huge, before it is computed."""

import math
from typing import Any

import sympy

from .tokens import UnreadError

_MOST_BITS = 20_000  # of a power that is computed
MOST_FACTORIAL = 1000
_LARGEST_POWER = 60  # of what has variables


def quotient(top: Any, bottom: Any) -> Any:
    """Return a quotient; there is none by zero."""
    if bottom.is_zero:
        raise UnreadError("a division by zero")
    return top / bottom


def modulo(value: Any, other: Any) -> Any:
    """Return the remainder of whole numbers."""
    if not (value.is_Integer and other.is_Integer and other > 0):
        raise UnreadError("a remainder of something else than numbers")
    return value % other


def factorial(value: Any) -> Any:
    """Return a factorial of a variable, or of a small number."""
    if value.is_Integer and not 0 <= value <= MOST_FACTORIAL:
        raise UnreadError("a factorial that is not computed")
    return sympy.factorial(value)


def raised(base: Any, exponent: Any) -> Any:
    """Return a power; what would be huge is refused before it is computed."""
    if base.is_zero and (exponent.is_negative or exponent.is_zero):
        raise UnreadError("a power of zero that does not exist")
    if base.is_Rational and exponent.is_Rational:
        bits = math.log2(max(abs(base.p), base.q, 1)) * abs(exponent)
        if bits > _MOST_BITS:
            raise UnreadError("a power with too many digits")
    elif exponent.is_Rational and abs(exponent) > _LARGEST_POWER:
        raise UnreadError("too high a power of an expression")
    elif exponent.is_number and not exponent.is_Rational and abs(sympy.N(exponent, 15)) > _MOST_BITS:
        raise UnreadError("a power with too many digits")
    return base**exponent
