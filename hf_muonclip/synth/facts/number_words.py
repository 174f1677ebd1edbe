"""Numbers written in words: "two million", "twenty-first", "three quarters", "nineteen ninety-eight", "Henry VIII"."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen
eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
CARDINALS = {word: value for value, word in enumerate(_UNITS.split())}
CARDINALS |= {word: 20 + 10 * place for place, word in enumerate(_TENS.split())}
_PLACES = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
fifteenth
sixteenth seventeenth eighteenth nineteenth twentieth"""
ORDINALS = {word: value for value, word in enumerate(_PLACES.split(), start=1)}
ORDINALS |= {word[:-1] + "ieth": value for word, value in CARDINALS.items() if value >= 20}
SCALES = {
    "hundred": 100,
    "thousand": 1_000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
    "trillion": 1_000_000_000_000,
    "lakh": 100_000,
    "crore": 10_000_000,
}
SCALE_ORDINALS = {word + "th": value for word, value in SCALES.items()}
DIGIT_SCALES = SCALES | {"m": 10**6, "mn": 10**6, "mln": 10**6, "bn": 10**9, "b": 10**9, "tn": 10**12, "k": 10**3}
DECADES = {word[:-1] + "ies": value for word, value in CARDINALS.items() if value >= 20}
FRACTIONS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourths": 4} | {
    word + "s": value for word, value in ORDINALS.items() if value > 4
}
# One word for a number; "both" and the like come and go with the sentence, so that none of them has to stay.
WORDS = {
    "dozen": 12, "dozens": 12, "couple": 2, "pair": 2, "both": 2, "twin": 2, "twins": 2, "twice": 2, "double": 2,
    "doubled": 2, "twofold": 2, "trio": 3, "triple": 3, "tripled": 3, "threefold": 3, "thrice": 3, "quartet": 4,
    "quadruple": 4, "quadrupled": 4, "fourfold": 4, "fivefold": 5, "tenfold": 10, "score": 20, "once": 1, "single": 1,
    "sole": 1, "solo": 1, "half": 0.5, "halved": 0.5,
}  # fmt: skip
GLYPHS = {"½": 0.5, "⅓": 1 / 3, "⅔": 2 / 3, "¼": 0.25, "¾": 0.75, "⅛": 0.125, "⅕": 0.2}
_ROMAN = re.compile(r"^(?=[MDCLXVI])M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})$")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


class InWords(NamedTuple):
    """A number that starts at some word.

    Attributes:
        value: of the number.
        words: how many it takes, hyphens counted.
        ordinal: whether it says a place: "third".
    """

    value: float
    words: int
    ordinal: bool = False


def roman(text: str) -> int | None:
    """Return the value of a Roman numeral in capitals, or None."""
    if not _ROMAN.match(text):
        return None
    values = [_ROMAN_VALUES[letter] for letter in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def read_words(words: Sequence[str]) -> InWords | None:
    """Return the number that the words start with, or None.

    Args:
        words: in lower case, with hyphens as words of their own.
    """
    fraction = _fraction(words)
    if fraction:
        return fraction
    first = words[0]
    if first in WORDS:
        return _dozens(words) if first != "half" else _half(words)
    if first not in CARDINALS and first not in ORDINALS and not _article_of_scale(words):
        return None
    return _year(words) or _cardinal(words)


def _article_of_scale(words: Sequence[str]) -> bool:
    return len(words) > 1 and words[0] == "a" and words[1] in (*SCALES, "dozen", "half")


def _dozens(words: Sequence[str]) -> InWords:
    return InWords(WORDS[words[0]], 1)


def _half(words: Sequence[str]) -> InWords:
    """Return "half", "half a million", "half a dozen"."""
    if len(words) > 2 and words[1] == "a" and words[2] in SCALES:
        return InWords(SCALES[words[2]] / 2, 3)
    if len(words) > 2 and words[1] == "a" and words[2] == "dozen":
        return InWords(6, 3)
    return InWords(0.5, 1)


def _fraction(words: Sequence[str]) -> InWords | None:
    """Return "two thirds", "three-quarters", "a third of", "one half"."""
    count = 1 if words[0] == "a" else CARDINALS.get(words[0])
    at = 2 if len(words) > 1 and words[1] == "-" else 1
    if not count or at >= len(words) or words[at] not in FRACTIONS:
        return None
    following = words[at + 1] if at + 1 < len(words) else ""
    # "a third man" is a place, "a third of the men" a share; "two second" is no fraction, "a quarter" mostly is.
    if words[at] in ("third", "quarter") and words[0] in ("a", "one") and following not in ("of", "the", "as"):
        return None
    if words[at] == "half" and words[0] == "a" and following in ("million", "dozen"):
        return None
    return InWords(count / FRACTIONS[words[at]], at + 1)


def _year(words: Sequence[str]) -> InWords | None:
    """Return "nineteen ninety-eight", "eighteen oh five", "twenty twenty-one"; years from 1100 to 2099."""
    century = CARDINALS.get(words[0], 0)
    if not 11 <= century <= 20 or len(words) < 2:
        return None
    if words[1] in ("oh", "o") and len(words) > 2 and 0 < CARDINALS.get(words[2], 0) < 10:
        return InWords(century * 100 + CARDINALS[words[2]], 3)
    tens = CARDINALS.get(words[1], 0)
    if tens < 10:
        return None
    if tens < 20:
        return InWords(century * 100 + tens, 2)
    after = 3 if len(words) > 3 and words[2] == "-" else 2
    ones = CARDINALS.get(words[after], 0) if len(words) > after else 0
    return InWords(century * 100 + tens + ones, after + 1) if 0 < ones < 10 else InWords(century * 100 + tens, 2)


def _cardinal(words: Sequence[str]) -> InWords | None:
    """Return cardinals and ordinals of any size, up to the first word that belongs to none."""
    total, current, used, index, ordinal = 0.0, 0.0, 0, 0, False
    smallest = float("inf")  # scale read so far: "two thousand three million" is two numbers
    room = 1000.0  # what may still be added below the last number read: "twenty" takes 1 to 9
    while index < len(words):
        word = words[index]
        if word in CARDINALS and CARDINALS[word] < room and (CARDINALS[word] or not used):
            current += CARDINALS[word]
            room = 10 if CARDINALS[word] >= 20 else 0
        elif word in ORDINALS and ORDINALS[word] < room:
            current += ORDINALS[word]
            ordinal, used = True, index + 1
            break
        elif word in SCALES or word in SCALE_ORDINALS:
            scale = SCALES.get(word) or SCALE_ORDINALS[word]
            if scale == 100:
                if not (used or index == 1) or current >= 100:
                    break
                current = (current or 1) * 100
                room = 100
            elif scale < smallest:
                total += (current or 1) * scale
                current, smallest, room = 0.0, scale, 1000
            else:
                break
            if word in SCALE_ORDINALS:
                ordinal, used = True, index + 1
                break
        elif word == "dozen" and used:
            current *= 12
            room = 0
        elif (word == "a" and index == 0) or (word in ("-", "and") and used and _goes_on(words, index, room)):
            index += 1
            continue
        else:
            break
        index += 1
        used = index
    if not used:
        return None
    value = total + current
    half = list(words[used : used + 3])
    if half == ["and", "a", "half"] and not ordinal:
        return InWords(value + 0.5, used + 3)
    return InWords(value, used, ordinal)


def _goes_on(words: Sequence[str], index: int, room: float) -> bool:
    """Return whether a hyphen or "and" goes on with the number: "twenty-one", "a hundred and five"."""
    if index + 1 >= len(words):
        return False
    following = CARDINALS.get(words[index + 1], ORDINALS.get(words[index + 1]))
    if words[index] == "-":
        return (following is not None and 0 < following < room) or words[index + 1] in SCALES
    return room >= 100 and following is not None and 0 < following < 100 and words[index - 1] in SCALES
