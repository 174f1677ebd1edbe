"""Names in a sentence, and numbers with the unit in which people read them."""

from collections.abc import Collection, Sequence, Set
from typing import Any

_PREFIXES = ("", "k", "M", "G", "T", "P")


def some_of(names: Collection[Any], shown: int = 3) -> str:
    """Return the first names: "a, b" or "a, b, c and 3 more"; of a set, the first in their order."""
    names = sorted(names) if isinstance(names, Set) else list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(str, names[:shown])) + more


def all_of(names: Sequence[str]) -> str:
    """Return every name: "a", "a and b" or "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def in_letters(number: int, digits: int = 3) -> str:
    """Return a count with at most so many digits, as people read it: 950, 12.3K, 6.01M, 135M, 1.03T."""
    for limit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        scaled = float(f"{number / limit:.{digits}g}")
        if scaled >= 1:
            return f"{scaled:,.0f}{letter}" if scaled >= 1000 else f"{scaled:g}{letter}"
    return str(number)


def with_unit(value: float, unit: str) -> str:
    """Return a number in powers of 1000, with three digits: 950 B, 12.3 kB, 4.98 GB, 1,500 PFLOP."""
    for prefix in _PREFIXES:
        if float(f"{value:.3g}") < 1000 or prefix == _PREFIXES[-1]:
            break
        value /= 1000
    return f"{value:,.0f} {prefix}{unit}" if value >= 1000 or not prefix else f"{value:.3g} {prefix}{unit}"


def in_bytes(size: float) -> str:
    """Return a size as people read it: 950 B, 12.3 kB, 4.98 GB."""
    return with_unit(size, "B")
