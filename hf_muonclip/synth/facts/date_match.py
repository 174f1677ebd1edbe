"""Dates of two texts side by side: which are missing, which are new."""

from typing import NamedTuple

from .dates import Date
from .reading import Facts

_MONTHS = "January February March April May June July August September October November December"
_MONTH_NAMES = _MONTHS.split()


class DateDifferences(NamedTuple):
    """How the dates of a rewriting differ from those of its source.

    Attributes:
        missing: what the source says and the rewriting does not, in words.
        novel: what only the rewriting says.
        score: in [0, 1]: the share of both texts' dates that the other one has.
    """

    missing: list[str]
    novel: list[str]
    score: float


def compare_dates(source: Facts, rewritten: Facts) -> DateDifferences:
    """Return how the dates of two texts differ.

    A date may be taken apart ("in 1998, on 3 May") and said in any spelling. A day keeps its month, and a full date its
    year, while a month alone may be left out: "3 May 1998 and 5 June 2001" is not "3 May 2001 and 5 June 1998".
    """
    missing = _unsaid(source, rewritten)
    novel = _unsaid(rewritten, source)
    if not novel:
        missing = [date for date in missing if date not in _MONTH_NAMES]
    total = max(len(source.dates) + len(rewritten.dates), 1)
    return DateDifferences(missing, novel, max(0.0, 1 - (len(missing) + len(novel)) / total))


def _unsaid(facts: Facts, other: Facts) -> list[str]:
    """Return what the dates of one text say that no date of the other does."""
    numbers = {number.value for number in other.numbers if number.unit is None}
    said = other.dates
    unsaid: list[str] = []
    for date in dict.fromkeys(facts.dates):
        if any(date.agrees(there) and _holds(there, date) for there in said):
            continue
        years = {there.year for there in said if not there.span} | numbers
        if date.month is None:
            if date.span or date.year not in years:
                unsaid.append(in_words(date))
            continue
        days = [there for there in said if there.month is not None and there._replace(year=None).agrees(date)]
        days = [there for there in days if date.day is None or there.day is not None]
        if not days:
            unsaid.append(in_words(date._replace(year=None)))
        elif date.year is not None and all(there.year not in (None, date.year) for there in days):
            unsaid.append(in_words(date))
        elif date.year is not None and date.year not in years:
            unsaid.append(in_words(Date(date.year, None, None, 0, 0)))
    return list(dict.fromkeys(unsaid))


def _holds(there: Date, date: Date) -> bool:
    """Return whether a date that agrees says all that the other one says."""
    return not (
        (date.year is not None and there.year is None)
        or (date.month is not None and there.month is None)
        or (date.day is not None and there.day is None)
    )


def in_words(date: Date) -> str:
    """Return a date as a reader expects it."""
    year = "" if date.year is None else f"{-date.year} BC" if date.year < 0 else str(date.year)
    if date.span == "century" and date.year is not None:
        number = date.year // 100 + 1
        return f"century {number}" if number > 0 else f"century {1 - number} BC"
    if date.span:
        return f"{year}s"
    parts = [
        "" if date.day is None else str(date.day),
        "" if date.month is None else _MONTH_NAMES[date.month - 1],
        year,
    ]
    return " ".join(part for part in parts if part)
