"""Numbers of a text with their units, in digits or words: what is counted, measured, timed or paid."""

import re
from typing import NamedTuple

from .dates import MONTHS, Date, date_at
from .number_words import CARDINALS, DECADES, DIGIT_SCALES, FRACTIONS, GLYPHS, ORDINALS, WORDS, read_words, roman
from .spoken_numbers import read_spoken
from .tables import word_set
from .text import Text, Token
from .units import CURRENCIES, CURRENCY_MARKS, Unit, per, power_of, raised, simple_unit, worth

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_DASHES = frozenset("-–—")
_CONNECTORS = frozenset(("-", "–", "—", "to", ",", "and", "or", "x", "×", "by", "through"))
_ARTICLE_UNITS = word_set("""decade century millennium fortnight year month week day hour minute mile metre
meter kilometre kilometer litre liter kilogram kilo gram pound inch foot""")
_LABELLED = word_set("day phase step stage part chapter round level week year point rule number no lesson section")
# Words with which a number or a date can start.
_STARTS = frozenset(("a", "an", *CARDINALS, *ORDINALS, *WORDS, *DECADES, *MONTHS, *GLYPHS))
_PARTS_OF_DAY = {
    ("in", "the", "morning"): "am",
    ("in", "the", "afternoon"): "pm",
    ("in", "the", "evening"): "pm",
    ("at", "night"): "night",
}
_ORDINAL_ENDS = frozenset(("st", "nd", "rd", "th"))
_ALSO_PREPOSITIONS = frozenset(("in", "at", "as", "us", "a"))
_POWERED = re.compile(r"^([A-Za-z]{1,2})([23²³])$")
_MORE = frozenset(
    ("more", "greater", "over", "above", "exceeding", "least", "minimum", "exceeded", "exceeds", "upwards")
)
_LESS = frozenset(("less", "fewer", "under", "below", "most", "maximum"))


class Number(NamedTuple):
    """A number and what it counts.

    Attributes:
        value: as it is written, scales like "million" included.
        unit: or None.
        first: its first token.
        last: its last token, the unit's included.
        soft: whether it may come and go: "one", "both", "first", "a year".
        bound: 1 of "more than" and the like, -1 of "less than", else 0.
        kind: "ordinal", "time" in minutes since midnight, "clock" where morning or afternoon is open, "version", or "".
        text: what tells versions apart.
    """

    value: float
    unit: Unit | None
    first: int
    last: int
    soft: bool = False
    bound: int = 0
    kind: str = ""
    text: str = ""

    @property
    def feature(self) -> str:
        """What it counts as where sentences are compared."""
        return f"#{self.value:.10g}{self.text}"

    @property
    def key(self) -> str:
        """What two spellings of the number have in common."""
        if self.kind in ("version", "time", "clock"):
            return f"{self.kind}:{self.text or self.value}"
        if self.unit is None:
            return f"{self.value:.10g}{self.kind}"
        return f"{worth(self.value, self.unit):.7g} {self.unit.dimension}"


def read_numbers(text: Text) -> tuple[list[Number], list[Date]]:
    """Return the numbers of a text and its dates, in their order; numbers of list items and citations are none."""
    numbers: list[Number] = []
    dates: list[Date] = []
    index, count = 0, len(text.tokens)
    while index < count:
        if not _may_start(text.tokens[index]) or _is_label(text, index):
            index += 1
        elif date := date_at(text, index):
            dates.append(date)
            if (end := _end_of_years(text, date)) is not None:
                dates.append(end)
            index = dates[-1].last + 1
        elif number := _number_at(text, index):
            numbers.append(number)
            index = number.last + 1
        else:
            index += 1
    return _with_shared_units(text, numbers), dates


def _may_start(token: Token) -> bool:
    if token.kind == "word":
        return token.lower in _STARTS or token.text.isupper()
    return token.kind != "mark" or token.text in GLYPHS


def _is_label(text: Text, index: int) -> bool:
    """Return whether a number only names a list item ("1." or "(2)" at a line's start) or a citation ("[3]")."""
    tokens = text.tokens
    if tokens[index].kind != "number" or index + 1 >= len(tokens):
        return False
    before, after = tokens[index - 1].text if index else "", tokens[index + 1].text
    if before == "[" and after == "]":
        return True
    start = text.sentences[text.sentence_of[index]].start
    at_start = index == start or (index == start + 1 and before == "(")
    gap = text.raw[tokens[start - 1].end : tokens[start].start] if start else "\n"
    return at_start and "\n" in gap and after in (".", ")") and tokens[index + 1].glued


def _end_of_years(text: Text, date: Date) -> Date | None:
    """Return the second year of "1914-18"."""
    last = date.last
    if date.year is None or date.month is not None or last + 2 >= len(text.tokens) or date.span:
        return None
    dash, end = text.tokens[last + 1], text.tokens[last + 2]
    if dash.text not in _DASHES or not (end.glued and end.text.isdigit() and len(end.text) == 2):
        return None
    year = date.year // 100 * 100 + int(end.text)
    return Date(year, None, None, last + 2, last + 2) if year > date.year else None


def _number_at(text: Text, index: int) -> Number | None:
    token = text.tokens[index]
    if token.kind == "time":
        return _time(text, index, *map(int, token.text.split(":")[:2]))
    if token.kind in ("number", "word") and (
        spoken := read_spoken(_following(text, index), text.tokens[index - 1].lower if index else "")
    ):
        return Number(spoken.value, spoken.unit, index, index + spoken.words - 1, kind=spoken.kind)
    if token.kind == "version":
        return Number(0.0, None, index, index, kind="version", text=token.lower.lstrip("v"))
    if token.kind == "number":
        return _in_digits(text, index)
    if token.text in GLYPHS:
        return _with_unit(text, index, index, GLYPHS[token.text], True)
    if token.kind != "word":
        return None
    return _in_words(text, index)


def _following(text: Text, index: int, count: int = 12) -> list[str]:
    stop = min(index + count, text.sentences[text.sentence_of[index]].stop)
    return [token.lower for token in text.tokens[index:stop]]


def _time(text: Text, index: int, hour: int, minute: int) -> Number:
    """Return a time of day; the hour is its second word where "am" or "pm" follows."""
    following = _following(text, index, 5)[1:]
    word = following[0].replace(".", "") if following else ""
    if word == "o'clock":
        return Number(hour * 60 + minute, None, index, index + 1, kind="clock")
    if word in ("am", "pm"):
        return Number(hour % 12 * 60 + minute + 720 * (word == "pm"), None, index, index + 1, kind="time")
    kind = "time" if hour > 12 or hour == 0 else "clock"
    return Number(hour * 60 + minute, None, index, index, kind=kind)


def _part_of_day(text: Text, index: int, following: list[str], hour: float) -> Number | None:
    """Return the time of "at two in the morning"."""
    if not 1 <= hour <= 12 or hour != int(hour) or not index or text.tokens[index - 1].lower != "at":
        return None
    part = next((part for words, part in _PARTS_OF_DAY.items() if tuple(following[: len(words)]) == words), "")
    if not part:
        return None
    last = index + (3 if part != "night" else 2)
    minutes = int(hour) % 12 * 60 + 720 * (part == "pm" or (part == "night" and 6 <= hour < 12))
    return Number(minutes, None, index, last, kind="time")


def _in_digits(text: Text, index: int) -> Number | None:
    tokens, token = text.tokens, text.tokens[index]
    following = _following(text, index, 8)[1:]
    if token.text.isdigit() and len(token.text) < 3 and index and text.tokens[index - 1].lower in _LABELLED:
        return Number(float(token.text), None, index, index, soft=float(token.text) <= 3, kind="ordinal")
    if token.text.isdigit() and following and following[0] in FRACTIONS and following[0].endswith("s"):
        return Number(float(token.text) / FRACTIONS[following[0]], None, index, index + 1)
    plain = token.text.replace(",", "").replace(" ", "")
    value, last = float(plain), index
    if following and following[0].replace(".", "") in ("am", "pm", "o'clock") and value <= 12:
        return _time(text, index, int(value), round(value % 1 * 100))
    if part := _part_of_day(text, index, following, value):
        return part
    if following and following[0] in _ORDINAL_ENDS and tokens[index + 1].glued:
        return Number(value, None, _sign(text, index)[0], index + 1, soft=False, kind="ordinal")
    if len(following) > 1 and following[0] in ("/", "⁄") and following[1].isdigit() and tokens[index + 1].glued:  # noqa: RUF001
        if int(following[1]) > 0:
            value, last = value / int(following[1]), index + 2
    elif following and following[0] in GLYPHS:
        value, last = value + GLYPHS[following[0]], index + 1
    elif len(following) > 2 and following[0].isdigit() and following[1] == "/" and following[2].isdigit():
        if 0 < int(following[2]) <= 16 and int(following[0]) < int(following[2]):
            value, last = value + int(following[0]) / int(following[2]), index + 3
    elif len(following) > 1 and following[0] in ("×", "x", "*", "·") and following[1] == "10":
        power, last = _power(text, index + 3)
        value *= 10.0**power
    return _with_unit(text, index, last, value, True)


def _power(text: Text, index: int) -> tuple[int, int]:
    """Return the power behind "10" and its last token: "^8", "^-8", "⁸"."""
    signs = ""
    while index < len(text.tokens) and text.tokens[index].glued:
        piece = text.tokens[index].text.translate(_SUPERSCRIPTS)
        if not re.fullmatch(r"[\^-]|-?\d{1,2}", piece):
            break
        signs += piece.replace("^", "")
        index += 1
    return (int(signs), index - 1) if re.fullmatch(r"-?\d{1,2}", signs) else (1, index - 1)


def _in_words(text: Text, index: int) -> Number | None:
    token = text.tokens[index]
    before = text.tokens[index - 1].lower if index else ""
    if token.lower in ("a", "an"):
        following = _following(text, index, 4)
        if len(following) > 1 and following[1] in _ARTICLE_UNITS:
            unit = simple_unit(following[1], False)
            return Number(1.0, unit, index, index + 1, soft=True)
    is_numeral = token.text.isupper() and (len(token.text) > 1 or token.text in "IVX")
    if is_numeral and index and text.tokens[index - 1].text[0].isupper() and (value := roman(token.text)):
        return Number(value, None, index, index, soft=value < 4, kind="ordinal") if before != "." else None
    following = _following(text, index)
    found = read_words(following)
    if not found:
        return None
    last = index + found.words - 1
    after = following[found.words] if found.words < len(following) else ""
    if token.lower == "one" and found.words == 1 and not (simple_unit(after, False) or after in DIGIT_SCALES):
        return None
    if token.lower == "second" and found.words == 1 and before in ("per", "a", "each", "every", "/"):
        return None
    soft = found.words == 1 and (token.lower in WORDS or found.value <= 3) and "dozen" not in token.lower
    if after.replace(".", "") in ("am", "pm", "o'clock") and found.value <= 12:
        return _time(text, last, int(found.value), 0)._replace(first=index)
    if found.ordinal and before == "every" and found.value > 2:  # "every fifth pupil" is one in five
        return Number(1 / found.value, None, index, last)
    if found.ordinal:
        return Number(found.value, None, index, last, soft=soft, kind="ordinal")
    if part := _part_of_day(text, index, following[found.words :], found.value):
        return part
    return _with_unit(text, index, last, found.value, False, soft)


def _with_unit(text: Text, first: int, last: int, value: float, digits: bool, soft: bool = False) -> Number:
    """Return a number with its sign, scale, currency, unit and bound, which stand around it."""
    tokens = text.tokens
    start, sign = _sign(text, first)
    before = tokens[start - 1].text if start else ""
    paid = (
        simple_unit(before, True) if before in CURRENCY_MARKS or before in ("USD", "EUR", "GBP", "CHF", "Rs") else None
    )
    if paid:
        start -= 1
        if start and tokens[start - 1].text in ("US", "A", "C", "NZ", "HK") and tokens[start].glued:
            start -= 1
    scale, last = _scale(text, last, digits, paid is not None)
    value *= sign * scale
    unit, last = _unit_after(text, last, digits)
    if paid and not (unit and unit.dimension in CURRENCIES):
        unit = per(paid, unit) if unit and "/" in unit.dimension else paid
    if unit and unit.dimension == "temperature" and _following(text, last, 3)[1:] == ["below", "zero"]:
        value, last = -abs(value), last + 2
    is_one = value == 1 and not digits  # "one kilometre", "a kilometre", "the kilometre"
    return Number(value, unit, start, last, soft=is_one or (soft and unit is None), bound=_bound(text, start, last))


def _sign(text: Text, index: int) -> tuple[int, int]:
    """Return where a number starts with its sign, and the sign: a dash glued to it alone, or "minus"."""
    tokens = text.tokens
    if index and tokens[index - 1].lower in ("minus", "negative"):
        return index - 1, -1
    alone = index > 0 and tokens[index].glued and not (tokens[index - 1].glued and tokens[index - 2].text not in "($€£")
    return (index - 1, -1) if alone and tokens[index - 1].text in ("-", "–") else (index, 1)


def _scale(text: Text, last: int, digits: bool, paid: bool) -> tuple[float, int]:
    after = text.tokens[last + 1] if last + 1 < len(text.tokens) else None
    if after and after.text == "-" and last + 2 < len(text.tokens) and text.tokens[last + 2].lower in DIGIT_SCALES:
        after, last = text.tokens[last + 2], last + 1
        if len(after.lower) < 4:
            return 1.0, last - 1
    if not after or after.lower not in DIGIT_SCALES or after.kind != "word":
        return 1.0, last
    short = len(after.lower) < 4
    if short and not digits:
        return 1.0, last
    if after.lower in ("m", "b") and not (paid or (after.text == "M" and after.glued)):
        return 1.0, last
    if after.lower == "k" and not (after.glued and (paid or after.text == "k")):
        return 1.0, last
    return float(DIGIT_SCALES[after.lower]), last + 1


def _unit_after(text: Text, last: int, digits: bool) -> tuple[Unit | None, int]:
    """Return the unit behind a token, and its last token."""
    words = [token.text for token in text.tokens[last + 1 : min(last + 8, text.sentences[text.sentence_of[last]].stop)]]
    at = 1 if words[:1] == ["-"] and len(words) > 1 and text.tokens[last + 1].glued else 0
    if words[at : at + 1] and words[at] in _ALSO_PREPOSITIONS and not text.tokens[last + 1].glued:
        return None, last
    unit, used = _one_unit(words[at:], digits)
    if not unit:
        for noun in (1, 2):  # "500 people per square kilometre"
            if words[noun : noun + 1] == ["per"]:
                other, _ = _one_unit(words[noun + 1 :], True)
                if other and other.dimension not in ("share", "time", "months"):
                    return per(Unit("count", 1.0), other), last
        return None, last
    at += used
    joined = words[at] if at < len(words) else ""
    if joined in ("per", "/", "a", "an"):
        other, used = _one_unit(words[at + 1 :], True)
        is_rate = joined in ("per", "/") or (unit.dimension == "length" and other and other.dimension == "time")
        if other and other.dimension != "share" and is_rate:
            return per(unit, other), last + at + 1 + used
    return unit, last + at


def _one_unit(words: list[str], digits: bool) -> tuple[Unit | None, int]:
    """Return the unit that the words start with, and how many they are: "square miles", "km²", "degrees Celsius"."""
    if not words:
        return None, 0
    word, second = words[0], words[1] if len(words) > 1 else ""
    if word in ("°", "º") and second in ("C", "F", "K"):
        return simple_unit("°C" if second == "C" else "°F" if second == "F" else "K", True), 2
    if word.lower() in ("degree", "degrees"):
        scale = {"c": "celsius", "f": "fahrenheit"}.get(second.lower(), second.lower())
        if scale in ("celsius", "fahrenheit", "centigrade"):
            return simple_unit(scale, True), 2
    if word.lower() in ("per", "light") and second.lower() in ("cent", "year", "years"):
        return simple_unit("percent" if word.lower() == "per" else "lightyear", True), 2
    if word == "-" or not word:
        return None, 0
    if pair := simple_unit(f"{word.lower()} {second.lower()}", digits):
        return pair, 2
    power = power_of(word)
    if power > 1:
        unit = simple_unit(second, True)
        return (raised(unit, power), 2) if unit and unit.dimension == "length" else (None, 0)
    powered = _POWERED.match(word)
    if powered and (unit := simple_unit(powered[1], True)) and unit.dimension == "length":
        return raised(unit, 2 if powered[2] in "2²" else 3), 1
    found = simple_unit(word, digits)
    if found and found.dimension == "length" and power_of(second) > 1 and second not in ("square", "cubic"):
        return raised(found, power_of(second)), 2
    return (found, 1) if found else (None, 0)


def _bound(text: Text, first: int, last: int) -> int:
    before = [token.lower for token in text.tokens[max(first - 3, 0) : first]]
    after = [token.lower for token in text.tokens[last + 1 : last + 3]]
    if after[:1] == ["or"] and after[1:] in (["more"], ["above"], ["greater"], ["over"]):
        return 1
    if after[:1] == ["or"] and after[1:] in (["less"], ["fewer"], ["below"], ["under"]):
        return -1
    if after[:1] == ["+"]:
        return 1
    if before[-2:] == ["up", "to"]:
        return -1
    words = before[-1:] if not before or before[-1] not in ("than", "of", "a") else before[-2:-1]
    found = 1 if words and words[0] in _MORE else -1 if words and words[0] in _LESS else 0
    if words and words[0] in ("least", "most") and before[-2:-1] != ["at"]:
        return 0
    return -found if before[:1] in (["no"], ["not"]) and before[-1:] == ["than"] else found


def _with_shared_units(text: Text, numbers: list[Number]) -> list[Number]:
    """Return the numbers, those of "5-10 km" and "10, 20 and 30 km" all with the unit that stands behind the last."""
    shared = list(numbers)
    for place in range(len(shared) - 2, -1, -1):
        here, after = shared[place], shared[place + 1]
        if here.kind or after.kind or after.first - here.last > 4:
            continue
        between = [token.lower for token in text.tokens[here.last + 1 : after.first]]
        if not between or not all(word in _CONNECTORS for word in between):
            continue
        if between[0] in _DASHES and after.unit is None and here.unit and here.unit.dimension in CURRENCIES:  # "$5-10"
            after = shared[place + 1] = after._replace(unit=here.unit)
        given = here.unit
        apart = "," in between and between[-1] in ("and", "or")  # "aged 57.4, and 48 percent of them" shares nothing
        if here.unit is None and after.unit is not None and not (apart and not _is_in_list(text, shared, place)):
            here = here._replace(unit=after.unit)
        opens = here.first > 0 and text.tokens[here.first - 1].lower == "between"
        is_range = between[0] in _DASHES or between[0] == "to" or (between == ["and"] and opens)
        scale = next((s for s in (1e12, 1e9, 1e6) if after.value >= s and after.value / s < 1000), 1.0)
        if (
            is_range
            and given in (None, after.unit)
            and scale > 1
            and here.value < 10 * after.value / scale
            and here.value < 1000
        ):
            here = here._replace(value=here.value * scale)
        shared[place] = here
        scale = next((s for s in (1e12, 1e9, 1e6) if here.value >= s), 1.0)
        if between == ["to"] and scale > 1 and after.unit is None and after.value < 1000:  # "from 3.1 million to 2.4"
            shared[place + 1] = after._replace(value=after.value * scale, unit=here.unit)
    return shared


def _is_in_list(text: Text, numbers: list[Number], place: int) -> bool:
    """Return whether only a comma stands between a number and the one before it."""
    before = numbers[place - 1] if place else None
    return before is not None and [t.text for t in text.tokens[before.last + 1 : numbers[place].first]] == [","]


def small_in_words(number: Number, text: Text) -> bool:
    """Return whether a number is written as one small word, as counts of what a sentence lists are."""
    return text.tokens[number.first].lower in CARDINALS and number.value <= 12 and number.unit is None
