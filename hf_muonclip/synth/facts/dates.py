"""Dates in any spelling: "3 May 1998", "May 3, 1998", "1998-05-03", "the 3rd of May", "44 BC", "the 1990s"."""

from typing import NamedTuple

from .number_words import DECADES, ORDINALS, SCALE_ORDINALS, read_words, roman
from .tables import word_set
from .text import Text

_NAMES = "january february march april may june july august september october november december"
MONTHS = {name: number for number, name in enumerate(_NAMES.split(), start=1)}
MONTHS |= {name[:3]: number for name, number in MONTHS.items()} | {"sept": 9}
_ERAS = {"bc": -1, "bce": -1, "ad": 1, "ce": 1}


class Date(NamedTuple):
    """A date, or what is said of it.

    Attributes:
        year: negative before Christ; None where it is not said.
        month: 1 to 12, or None.
        day: or None.
        first: its first token.
        last: its last token.
        span: "" of one year, "decade" or "century" of the time that starts in `year`.
        other: day and month the other way round, where "03/04/1998" may be either.
    """

    year: int | None
    month: int | None
    day: int | None
    first: int
    last: int
    span: str = ""
    other: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """What two spellings of the date have in common."""
        return f"{self.span}{self.year}-{self.month}-{self.day}"

    def agrees(self, said: "Date") -> bool:
        """Return whether another date says nothing else: what either leaves open agrees."""
        if (self.year is not None and said.year is not None and self.year != said.year) or self.span != said.span:
            return False
        mine, theirs = {(self.month, self.day)}, {(said.month, said.day)}
        if self.other:
            mine.add(self.other)
        if said.other:
            theirs.add(said.other)
        return any(
            (a is None or c is None or a == c) and (b is None or d is None or b == d)
            for a, b in mine
            for c, d in theirs
        )


def date_at(text: Text, index: int) -> Date | None:
    """Return the date that starts at a token, or None; bare years are dates too."""
    token = text.tokens[index]
    if token.kind == "date":
        return _of_digits(token.text, index)
    if token.kind == "number":
        return _day_first(text, index) or _century_in_digits(text, index) or _decade(text, index) or _year(text, index)
    if token.kind != "word":
        return None
    if token.lower in MONTHS and token.text[0].isupper():
        return _month_first(text, index)
    if token.lower in DECADES:
        return (
            Date(1900 + DECADES[token.lower], None, None, index, index, "decade") if _is_decade(text, index) else None
        )
    return _century(text, index) or _day_first(text, index)


def _of_digits(text: str, index: int) -> Date | None:
    if "-" in text:
        year, month, day = map(int, text.split("-"))
        return Date(year, month, day, index, index)
    first, second, year = map(int, text.split("/"))
    year += 0 if year > 99 else 1900 if year > 40 else 2000
    if first > 12:
        return Date(year, second, first, index, index)
    return Date(year, first, second, index, index, other=(second, first) if second <= 12 else None)


def _words(text: Text, index: int, count: int = 6) -> list[str]:
    sentence = text.sentences[text.sentence_of[index]]
    return [token.lower for token in text.tokens[index : min(index + count, sentence.stop)]]


def _day(text: Text, index: int) -> tuple[int, int] | None:
    """Return the day of a month that starts at a token, and its last token: "3", "3rd", "third", "twenty-first"."""
    words = _words(text, index)
    if not words:
        return None
    if text.tokens[index].kind == "number" and words[0].isdigit() and 1 <= int(words[0]) <= 31:
        suffix = len(words) > 1 and words[1] in ("st", "nd", "rd", "th") and text.tokens[index + 1].glued
        return int(words[0]), index + suffix
    found = read_words(words) if words[0] in ORDINALS or words[0] in ("twenty", "thirty") else None
    if found and found.ordinal and 1 <= found.value <= 31:
        return int(found.value), index + found.words - 1
    return None


def _day_first(text: Text, index: int) -> Date | None:
    day = _day(text, index)
    if not day:
        return None
    month_at = day[1] + 1
    words = _words(text, month_at, 2) if month_at < len(text.tokens) else []
    if words and words[0] == "of":
        month_at, words = month_at + 1, words[1:]
    if not words or words[0] not in MONTHS or not text.tokens[month_at].text[0].isupper():
        return None
    year, last = _year_after(text, month_at)
    return Date(year, MONTHS[words[0]], day[0], index, last)


def _month_first(text: Text, index: int) -> Date | None:
    words = _words(text, index, 3)
    first, after = index, index + 1
    if len(words) > 1 and words[1] == "." and len(words[0]) < 5:
        index, after = index + 1, after + 1
    elif len(words) > 1 and words[1] == "the":
        after += 1
    day = _day(text, after) if after < len(text.tokens) else None
    month = MONTHS[words[0]]
    if day:
        year, last = _year_after(text, day[1])
        return Date(year, month, day[0], first, last)
    year, last = _year_after(text, index)
    if year is None and not _is_bare_month(text, first):
        return None
    return Date(year, month, None, first, first if year is None else last)


_BEFORE_MONTHS = word_set(
    "in of since until by from to early late mid last next and during - between through after before"
)


_PARTS_OF_MONTHS = word_set("morning evening night day afternoon weather sun rain")


def _is_bare_month(text: Text, index: int) -> bool:
    """Return whether a month stands alone and is no name ("Jan Aker", "June Carter") and no verb ("March on")."""
    if len(text.tokens[index].text) < 5 and text.tokens[index].lower not in ("may", "june", "july"):
        return False
    if index > 0 and text.tokens[index - 1].lower in _BEFORE_MONTHS:
        return True
    following = text.tokens[index + 1].lower if index + 1 < len(text.tokens) else ""
    return following in _PARTS_OF_MONTHS


def _year_after(text: Text, index: int) -> tuple[int | None, int]:
    """Return the year behind a token, a comma or "of" between or not, and its last token; (None, index) without one."""
    words = _words(text, index + 1, 6) if index + 1 < len(text.tokens) else []
    skipped = 1 if words[:1] in ([","], ["of"], ["in"]) else 0
    at = index + 1 + skipped
    if skipped == len(words) or at >= len(text.tokens):
        return None, index
    if words[skipped].isdigit() and len(words[skipped]) == 4:
        year, last = int(words[skipped]), at
    else:
        found = read_words(words[skipped:])
        if not found or found.ordinal or not 1000 <= found.value <= 2100 or found.value != int(found.value):
            return None, index
        year, last = int(found.value), at + found.words - 1
    return _with_era(text, year, last)


def _with_era(text: Text, year: int, last: int) -> tuple[int, int]:
    following = text.tokens[last + 1] if last + 1 < len(text.tokens) else None
    if following and following.lower.replace(".", "") in _ERAS and following.text[0].isupper():
        return year * _ERAS[following.lower.replace(".", "")], last + 1
    return year, last


def _year(text: Text, index: int) -> Date | None:
    """Return a bare year: four digits from 1000 to 2100 that count nothing, or any number before BC or AD."""
    token = text.tokens[index]
    if not token.text.isdigit():
        return None
    year, last = _with_era(text, int(token.text), index)
    if last > index:
        return Date(year, None, None, index, last)
    if index and text.tokens[index - 1].lower.replace(".", "") == "ad":
        return Date(year, None, None, index, index)
    if not (len(token.text) == 4 and 1000 <= year <= 2100):
        return None
    before = text.tokens[index - 1].text if index else ""
    after = text.tokens[index + 1] if index + 1 < len(text.tokens) else None
    if before in "$€£¥₹#:" and before:
        return None
    if after and (after.text in ("%", "°") or (after.glued and after.kind == "word") or after.lower in _COUNTED):
        return None
    return Date(year, None, None, index, index)


_COUNTED = word_set("""m km kg g mg cm mm ml l kb mb gb hz khz mhz w kw mw metres meters kilometres kilometers miles
feet ft people men
    women soldiers troops dollars euros pounds tonnes tons grams kilograms hours days years copies employees students
    workers residents inhabitants votes units items pages words bytes litres liters hectares acres pixels rpm hp percent
    degrees kelvin steps houses homes families members horses ships aircraft books patients participants""")


def _decade(text: Text, index: int) -> Date | None:
    """Return "1990s", "1990's", "the '90s"; a hundred years where the number ends in 00."""
    token, after = text.tokens[index], text.tokens[index + 1] if index + 1 < len(text.tokens) else None
    if not (after and token.text.isdigit()):
        return None
    last = index + 1
    if after.text == "'" and after.glued and last + 1 < len(text.tokens):
        last += 1
        after = text.tokens[last]
    if not (after.lower == "s" and after.glued):
        return None
    value = int(token.text)
    if len(token.text) == 4 and value % 100 == 0:
        return Date(value, None, None, index, last, "century")
    if len(token.text) == 4 and value % 10 == 0:
        return Date(value, None, None, index, last, "decade")
    if len(token.text) == 2 and value % 10 == 0 and value >= 20:
        return Date(1900 + value, None, None, index, last, "decade")
    return None


def _is_decade(text: Text, index: int) -> bool:
    return index > 0 and text.tokens[index - 1].lower in ("the", "early", "late", "mid", "-", "nineteen")


def _century(text: Text, index: int) -> Date | None:
    """Return "nineteenth century", "XIX century"."""
    words = _words(text, index, 5)
    value, used = roman(text.tokens[index].text) or 0, 1
    if not value and (words[0] in ORDINALS or words[0] in ("twenty", "thirty")):
        found = read_words(words)
        if found and found.ordinal and words[0] not in SCALE_ORDINALS:
            value, used = int(found.value), found.words
    return _century_of(text, value, index, index + used) if value else None


def _century_of(text: Text, number: int, first: int, after: int) -> Date | None:
    """Return a century where that word follows, hyphen or not: the 19th is the one of the 1800s."""
    while after < len(text.tokens) and text.tokens[after].text == "-":
        after += 1
    if after >= len(text.tokens) or text.tokens[after].lower not in ("century", "centuries", "cent"):
        return None
    year, last = _with_era(text, number, after)
    return Date((number - 1) * 100 if year > 0 else -number * 100, None, None, first, last, "century")


def _century_in_digits(text: Text, index: int) -> Date | None:
    """Return "19th century"."""
    token, suffix = text.tokens[index], text.tokens[index + 1] if index + 1 < len(text.tokens) else None
    if not suffix or not suffix.glued or suffix.lower not in ("st", "nd", "rd", "th") or not token.text.isdigit():
        return None
    return _century_of(text, int(token.text), index, index + 2)
