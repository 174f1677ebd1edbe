"""The words of a text without its formulas and code: their language, and whether a note left the one it must be in."""

import re
from itertools import pairwise

from ..facts.languages import foreign_share, language_of, scripts
from ..markup import protected_spans
from ..sentence_ends import sentence_ends

# Where whole texts are in a script, what they are called.
_LANGUAGES = {
    **{"Han": "Chinese", "Kana": "Japanese", "Hangul": "Korean", "Cyrillic": "Russian", "Greek": "Greek"},
    **{"Arabic": "Arabic", "Hebrew": "Hebrew", "Devanagari": "Hindi", "Thai": "Thai"},
}
_LEAST = 0.2  # share of letters in a script that makes a text one of its language; formulas bring Latin ones
_DECIMAL_COMMA = frozenset(
    ("German", "French", "Spanish", "Italian", "Portuguese", "Dutch", "Swedish", "Polish", "Turkish", "Romanian")
) | {"Russian"}
_COMMAS = re.compile(r"(?<![\d,(\[{])\d+,\d{1,2}(?![\d,)\]}])")
_POINTS = re.compile(r"\d\.\d")
_ENGLISH = "This is the text that we have and it is in the language that it must be in, as all of it was for this."


def prose(text: str) -> str:
    """Return a text without its formulas, code, links and tags."""
    place, parts = 0, []
    for span in protected_spans(text):
        parts.append(text[place : span.start])
        place = span.stop
    return " ".join([*parts, text[place:]])


def language(text: str) -> str:
    """Return the language of a text's words, in English; "" where there are too few to tell."""
    words = prose(text)
    found = scripts(words)
    total = sum(found.values())
    others = {name: count for name, count in found.items() if name in _LANGUAGES and count >= _LEAST * total}
    if "Kana" in others:
        return "Japanese"
    if others:
        return _LANGUAGES[max(others, key=others.__getitem__)]
    return language_of(words)


def writes_decimal_comma(text: str) -> bool:
    """Return whether a text is in a language that writes 3,5 for three and a half, or else writes numbers so."""
    name = language(text)
    return name in _DECIMAL_COMMA or (not name and bool(_COMMAS.search(text)) and not _POINTS.search(text))


def foreign(note: str, source: str | None) -> tuple[float, str]:
    """Return which share of a note's words is not in the language of its source, and in which language that is.

    By the check of `check_fidelity`.

    Args:
        note: what was written.
        source: None where it must be English.
    """
    words = prose(note)
    ends = [0, *sentence_ends(words), len(words)]
    pieces = [words[start:stop] for start, stop in pairwise(ends) if words[start:stop].strip()]
    return foreign_share(_ENGLISH if source is None else prose(source), pieces)
