"""Changes by rule that keep what a text says. Each returns None where it finds nothing to change."""

import re
from collections.abc import Callable, Mapping

from fidelity_passage import Passage

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_UP_TO_20 = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = [
    *_UP_TO_20,
    *(f"{ten}-{one}" if place else ten for ten in _TENS for place, one in enumerate(["", *_UP_TO_20[1:10]])),
]
VALUES = {word: value for value, word in enumerate(_WORDS)}
_MONTH = "|".join(MONTHS)
_UNITS = {
    "kilometres": "km",
    "metres": "m",
    "millimetres": "mm",
    "kilograms": "kg",
    "grams": "g",
    "millilitres": "ml",
    "megawatts": "MW",
    "degrees Celsius": "°C",
    "percent": "%",
}
_CONTRACTED = {
    **{
        f"{verb} not": f"{verb}n't"
        for verb in ["did", "does", "do", "was", "were", "is", "are", "had", "has", "have", "could", "should", "would"]
    },
    "cannot": "can't",
    "will not": "won't",
    "I will": "I'll",
    "it is": "it's",
    "they are": "they're",
}
_SYNONYMS = {
    "began": "started",
    "finished": "completed",
    "because": "since",
    "largest": "biggest",
    "usually": "normally",
    "quickly": "rapidly",
    "wanted": "wished",
    "answered": "replied",
    "at once": "immediately",
    "often": "frequently",
    "chose": "picked",
    "needs": "requires",
    "needed": "required",
    "chooses": "selects",
    "purchased": "bought",
    "taken out": "removed",
    "discovered": "found",
    "approximately": "roughly",
    "foe": "enemy",
    "foes": "enemies",
    "sorrow": "grief",
    "speak": "talk",
    "begin": "start",
    "begins": "starts",
    "allows": "permits",
    "contains": "includes",
    "for example": "for instance",
    "therefore": "hence",
    "journey": "trip",
    "labourers": "workers",
    "close to": "near",
}


def sentences(text: str) -> list[str]:
    """Return the sentences of a text without abbreviations that end in a period."""
    return re.split(r'(?<=[.!?])\s+(?="?[A-Z0-9€£])', text)


def digits_for_words(text: str, passage: Passage) -> str | None:
    words = "|".join(sorted(_WORDS[2:], key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])({words})(?![\w-]| and a half)", re.IGNORECASE)
    return _changed(text, pattern.sub(lambda found: str(VALUES[found[1].lower()]), text))


def words_for_digits(text: str, passage: Passage) -> str | None:
    """Of whole numbers that count something; not of dates, names or measurements."""
    before = r"(?<=\b[a-z]{2} )|(?<=\b(?:was|and|for|had|the) )|(?<=\b(?:with|over|were) )"
    pattern = re.compile(rf"(?:{before})([2-9]|[1-9]\d)(?= (?!(?:{_MONTH}|percent|million|billion)\b)[a-z]{{4,}})")
    return _changed(text, pattern.sub(lambda found: _WORDS[int(found[1])], text))


def other_dates(text: str, passage: Passage) -> str | None:
    """19 October 1911, October 19, 1911."""
    day_first = re.compile(rf"(?<![\d.,:])(\d\d?) ({_MONTH})( \d{{4}})?\b")
    month_first = re.compile(rf"\b({_MONTH}) (\d\d?)(?![\d:])(?:, (\d{{4}}))?")
    if day_first.search(text):
        return day_first.sub(lambda found: f"{found[2]} {found[1]}" + (f",{found[3]}" if found[3] else ""), text)
    changed = month_first.sub(lambda found: f"{found[2]} {found[1]}" + (f" {found[3]}" if found[3] else ""), text)
    return _changed(text, changed)


def other_units(text: str, passage: Passage) -> str | None:
    """Kilometres, km; percent, %; euros, €."""
    short = text
    for long, abbreviation in _UNITS.items():
        space = "" if abbreviation == "%" else " "
        short = re.sub(rf"(?<=\d)[ -]{long}\b", f"{space}{abbreviation}", short)
    short = re.sub(r"(?<![\w.,])(\d[\d.,]*(?: million)?) euros\b", r"€\1", short)
    if short != text:
        return short
    spelled = text
    for long, abbreviation in _UNITS.items():
        spelled = re.sub(rf"(?<=\d) ?{abbreviation}(?!\w)", f" {long}", spelled)
    return _changed(text, re.sub(r"€(\d[\d.,]*\d(?: million)?)", r"\1 euros", spelled))


def contracted(text: str, passage: Passage) -> str | None:
    return _changed(text, _replace_words(text, _CONTRACTED))


def synonyms(text: str, passage: Passage) -> str | None:
    return _changed(text, _replace_words(text, _SYNONYMS))


def merged_sentences(text: str, passage: Passage) -> str | None:
    """Two sentences joined by a semicolon."""
    joined = re.sub(
        r"(?<=[a-z]{2})\. (The|It|He|She|They|This|These|In|After|On) ", lambda f: f"; {f[1].lower()} ", text, count=1
    )
    return _changed(text, joined)


def two_paragraphs(text: str, passage: Passage) -> str | None:
    said = sentences(text)
    return f"{' '.join(said[: len(said) // 2])}\n\n{' '.join(said[len(said) // 2 :])}"


def free_sentences_rotated(text: str, passage: Passage) -> str | None:
    return _free_sentences(text, passage, (*passage.free[1:], *passage.free[:1]))


def free_sentences_reversed(text: str, passage: Passage) -> str | None:
    return _free_sentences(text, passage, passage.free[::-1])


def _free_sentences(text: str, passage: Passage, order: tuple[int, ...]) -> str | None:
    """Return the text with its free sentences in this order, each where one of them was."""
    said = sentences(text)
    moved = list(said)
    for place, other in zip(passage.free, order, strict=True):
        moved[place] = said[other]
    return _changed(text, " ".join(moved))


def several_rules(text: str, passage: Passage) -> str | None:
    """All of them that keep the wording of numbers readable, one after the other."""
    changed = text
    for change in (synonyms, contracted, other_dates, other_units, merged_sentences, two_paragraphs):
        changed = change(changed, passage) or changed
    return _changed(text, changed)


FAITHFUL: tuple[tuple[str, Callable[[str, Passage], str | None]], ...] = (
    ("number words", digits_for_words),
    ("number words", words_for_digits),
    ("other date format", other_dates),
    ("unit spelled otherwise", other_units),
    ("contractions", contracted),
    ("synonyms", synonyms),
    ("sentences merged", merged_sentences),
    ("two paragraphs", two_paragraphs),
    ("sentences reordered", free_sentences_rotated),
    ("sentences reordered", free_sentences_reversed),
    ("several rules", several_rules),
)


def _changed(text: str, changed: str) -> str | None:
    return None if changed == text else changed


def _replace_words(text: str, table: Mapping[str, str]) -> str:
    pattern = re.compile(rf"\b({'|'.join(sorted(table, key=len, reverse=True))})(?![\w'])")
    return pattern.sub(lambda found: table[found[1]], text)
