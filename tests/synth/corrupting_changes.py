"""Changes by rule after which a text says something else. Each returns None where it finds nothing to change."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from faithful_changes import MONTHS, VALUES, sentences
from fidelity_passage import Passage
from inserted_sentences import FOREIGN, INVENTED, META_TEXT, REFUSALS


@dataclass(frozen=True)
class Change:
    """A kind of change, and the rule that makes it."""

    change: str
    make: Callable[[str, Passage, Random], str | None]

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.make.__name__


_MONTH = "|".join(MONTHS)
_NUMBER = re.compile(r"(?<![\w.,:/°^\[`*])\d+(?:,\d{3})*(?:\.\d+)?(?![\w:/\]`]|[.,]\d)")
_WORDS = [word for word, value in VALUES.items() if 2 <= value <= 12]
_WORD = re.compile(rf"(?<![\w-])({'|'.join(_WORDS)})(?![\w-])")
_COUNT = rf"(?:\d|\b(?:{'|'.join(VALUES)}|million|billion))"
_UNITS = {
    "kilometres": "metres",
    "km": "m",
    "metres": "kilometres",
    "m": "km",
    "millimetres": "centimetres",
    "mm": "cm",
    "kilograms": "grams",
    "kg": "g",
    "grams": "kilograms",
    "g": "kg",
    "mg": "g",
    "millilitres": "litres",
    "ml": "l",
    "°C": "°F",
    "minutes": "hours",
    "hours": "minutes",
    "seconds": "minutes",
    "days": "weeks",
    "weeks": "months",
    "months": "years",
    "years": "months",
    "million": "billion",
    "billion": "million",
    "dollars": "euros",
    "euros": "dollars",
    "pounds": "shillings",
    "bar": "millibar",
    "bytes": "kilobytes",
    "megawatts": "kilowatts",
    "MW": "kW",
    "mmHg": "cmHg",
}
_OPPOSITES = """
    largest/smallest highest/lowest higher/lower larger/smaller above/below fast/slow alive/dead
    oldest/youngest older/younger rose/fell fallen/risen increase/decrease grew/shrank north/south
    northern/southern east/west closed/opened deepest/shallowest wet/dry driest/wettest maximum/minimum
    success/failure won/lost better/worse early/late earlier/later hot/cold inside/outside good/bad love/hate
    true/false longer/shorter tallest/shortest started/ended begin/end full/empty easy/hard
    friend/enemy warm/cool ahead/behind faster/slower positive/negative input/output mutable/immutable
    defined/undefined valid/invalid
"""
_PAIRS = [pair.split("/") for pair in _OPPOSITES.split()]
_ANTONYMS = {a: b for one, other in _PAIRS for a, b in ((one, other), (other, one))} | {"fewer": "more"}
_QUANTIFIERS = {
    "all": "some",
    "every": "almost no",
    "each": "hardly any",
    "most of": "few of",
    "many": "few",
    "some": "no",
    "always": "sometimes",
    "never": "sometimes",
    "often": "rarely",
    "usually": "rarely",
    "only": "not only",
    "at least": "at most",
    "at most": "at least",
    "more than": "less than",
    "less than": "more than",
    "everyone": "hardly anyone",
    "nobody": "almost everybody",
    "none": "most",
    "several": "two",
}


_NEGATION = re.compile(r"\b(?:not|never|nor?|none|nobody|nothing|neither|without|until|unless|before)\b|n't\b", re.I)


def number_swapped(text: str, passage: Passage, draw: Random) -> str | None:
    found = list(_NUMBER.finditer(text))
    same = re.compile(rf"\s*(?:and|to|or|by|×|–|-|,|{_MONTH})\s*")  # a range, a list or a date says the same
    choices = [
        (a, b)
        for place, a in enumerate(found)
        for b in found[place + 1 :]
        if a[0] != b[0] and not same.fullmatch(text[a.end() : b.start()])
    ]
    if not choices:
        return None
    a, b = draw.choice(choices)
    return text[: a.start()] + b[0] + text[a.end() : b.start()] + a[0] + text[b.end() :]


def off_by_one(text: str, passage: Passage, draw: Random) -> str | None:
    """Of the last digit that a number shows, or of a number word."""
    found = [*_NUMBER.finditer(text), *_WORD.finditer(text)]
    if not found:
        return None
    chosen = draw.choice(found)
    step = draw.choice((1, -1))
    if chosen[0] in VALUES:
        new = next(word for word, value in VALUES.items() if value == VALUES[chosen[0]] + 1)
        return text[: chosen.start()] + new + text[chosen.end() :]
    digits = chosen[0].replace(",", "")
    decimals = len(digits.partition(".")[2])
    units = int(digits.replace(".", ""))
    value = (units + (step if units > 1 else 1)) / 10**decimals
    return text[: chosen.start()] + _written(value, decimals, "," in chosen[0]) + text[chosen.end() :]


def times_ten(text: str, passage: Passage, draw: Random) -> str | None:
    """Of a number that is no year and no day of a month."""
    found = [
        match
        for match in _NUMBER.finditer(text)
        if not re.fullmatch(r"1\d{3}|20\d{2}", match[0])
        and not re.match(rf" (?:{_MONTH})", text[match.end() :])
        and not re.search(rf"(?:{_MONTH}) $", text[: match.start()])
        and float(match[0].replace(",", ""))
    ]
    if not found:
        return None
    chosen = draw.choice(found)
    decimals = len(chosen[0].partition(".")[2])
    value = float(chosen[0].replace(",", "")) * 10
    return text[: chosen.start()] + _written(value, decimals, value >= 1e4) + text[chosen.end() :]


def unit_changed(text: str, passage: Passage, draw: Random) -> str | None:
    units = "|".join(sorted(_UNITS, key=len, reverse=True))
    found = list(re.finditer(rf"{_COUNT}[ -]({units})(?!\w)", text))
    if money := list(re.finditer(r"[€$£](?=\d)", text)):
        chosen = draw.choice(money)
        return text[: chosen.start()] + ("€" if chosen[0] != "€" else "$") + text[chosen.end() :]
    if not found:
        return None
    chosen = draw.choice(found)
    return text[: chosen.start(1)] + _UNITS[chosen[1]] + text[chosen.end(1) :]


def negated(text: str, passage: Passage, draw: Random) -> str | None:
    """One "not" more, in a sentence that has no negation, or one less."""
    verbs = "was|is|were|are|had|has|can|could|will|would|must|should"
    following = "not|never|no|nothing|nobody|none|only|also|neither|then|a|an|the|I|he|she|it|they|we|you|about|up|at"
    added = list(re.finditer(rf"(?<!either )\b(?:{verbs})\b(?= (?!(?:{following})\b|\w+ or not\b)[a-z])", text))
    removed = list(re.finditer(r"(?<=\b(?:was|has|had|can|may|are)) (?:not|never)\b(?! only)|(?<=\bis) not\b", text))
    before = [re.split(r"[.!?] ", text[: found.start()])[-1] for found in added]
    plain = [found for found, said in zip(added, before, strict=True) if not _NEGATION.search(said)]
    choices = [(found, found[0] + " not") for found in plain] + [(found, "") for found in removed]
    return _one_replaced(text, choices, draw)


def antonym(text: str, passage: Passage, draw: Random) -> str | None:
    found = re.finditer(rf"(?<![\w-])(?<!no )(?:{'|'.join(_ANTONYMS)})(?![\w-])(?! to )", text)
    return _one_replaced(text, [(match, _ANTONYMS[match[0]]) for match in found], draw)


def quantifier_changed(text: str, passage: Passage, draw: Random) -> str | None:
    words = "|".join(sorted(_QUANTIFIERS, key=len, reverse=True))
    before = r"(?<![\w-])(?<!at )(?<![Tt]he )(?<!if )(?<!on )(?<!\b[Aa]s )(?<!\bof )(?<!\bhow )"
    numbers = "|".join(VALUES)
    found = re.finditer(rf"{before}(?:{words})(?= [a-z])(?! (?:other|and|way|of all|year|day|{numbers})\b)", text)
    return _one_replaced(text, [(match, _QUANTIFIERS[match[0]]) for match in found], draw)


def names_swapped(text: str, passage: Passage, draw: Random) -> str | None:
    """Two names exchanged wherever they stand, so that each has the other's part."""
    present = [pair for pair in passage.rivals if all(re.search(rf"\b{name}\b", text, re.I) for name in pair)]
    if not present:
        return None
    one, other = draw.choice(present)
    return _renamed(text, {one: other, other: one})


def name_replaced(text: str, passage: Passage, draw: Random) -> str | None:
    """A name that the text does not have instead of one that it has."""
    present = [pair for pair in passage.strangers if re.search(rf"\b{pair[0]}\b", text, re.I)]
    return _renamed(text, dict([draw.choice(present)])) if present else None


def sentences_exchanged(text: str, passage: Passage, draw: Random) -> str | None:
    """Two sentences of a story exchanged; at least one stands between them, and the first stays."""
    said = sentences(text)
    if not passage.paraphrases or passage.kind != "narrative" or len(said) < 4:
        return None
    first = draw.randrange(1, len(said) - 2)
    second = draw.randrange(first + 2, len(said))
    said[first], said[second] = said[second], said[first]
    return " ".join(said)


def before_for_after(text: str, passage: Passage, draw: Random) -> str | None:
    if not passage.paraphrases:
        return None
    number = rf"(?:an?|\d+|{'|'.join(VALUES)}|[A-Z]\w+-\w+)"
    found = re.finditer(rf"\b(?:before|Before)\b|\b(?<!ooked )(?:after|After)\b(?! {number} )", text)
    other = {"before": "after", "after": "before", "Before": "After", "After": "Before"}
    return _one_replaced(text, [(match, other[match[0]]) for match in found], draw)


def end_dropped(text: str, passage: Passage, draw: Random) -> str | None:
    """The last sentences are missing: a quarter of the words or more."""
    said = sentences(text)
    kept = len(said) - 1
    while kept > 1 and len(" ".join(said[:kept]).split()) > 0.75 * len(text.split()):
        kept -= 1
    return " ".join(said[:kept])


def cut_off(text: str, passage: Passage, draw: Random) -> str | None:
    """The text ends in the middle of a sentence."""
    words = text.split()
    kept = words[: int(len(words) * draw.uniform(0.5, 0.85))]
    while kept and kept[-1][-1] in ".!?;:,":
        kept.pop()
    return " ".join(kept)


def start_dropped(text: str, passage: Passage, draw: Random) -> str | None:
    """The first sentences are missing: a quarter of the words or more."""
    said = sentences(text)
    dropped = 1
    while dropped < len(said) - 1 and len(" ".join(said[dropped:]).split()) > 0.75 * len(text.split()):
        dropped += 1
    return " ".join(said[dropped:])


def all_doubled(text: str, passage: Passage, draw: Random) -> str | None:
    return f"{text}\n\n{text}"


def sentence_doubled(text: str, passage: Passage, draw: Random) -> str | None:
    """A sentence of eight words or more comes again at the end."""
    said = sentences(text)
    return " ".join([*said, draw.choice([sentence for sentence in said if len(sentence.split()) >= 8])])


def invented(text: str, passage: Passage, draw: Random) -> str | None:
    said = sentences(text)
    names = [name for name, _ in passage.rivals + passage.strangers if name[0].isupper() and name in text]
    bank = [sentence for sentence in INVENTED[passage.kind] if names or "{name}" not in sentence]
    said.insert(draw.randrange(1, len(said) + 1), draw.choice(bank).format(name=draw.choice(names) if names else ""))
    return " ".join(said)


def half_translated(text: str, passage: Passage, draw: Random) -> str | None:
    """The end in another language: a translation where there is one by hand, else sentences of that length."""
    said = sentences(text)
    if passage.translated:
        first, rest = passage.translated
        return " ".join([*said[: round(len(said) * first / len(sentences(passage.source)))], rest])
    kept = len(said) // 2 or 1
    foreign = FOREIGN[draw.choice(sorted(FOREIGN))]
    return " ".join(said[:kept] + draw.sample(foreign, min(len(foreign), max(len(said) - kept, 1))))


def start_translated(text: str, passage: Passage, draw: Random) -> str | None:
    """A sentence of another language instead of the first."""
    return " ".join([draw.choice(FOREIGN[draw.choice(sorted(FOREIGN))]), *sentences(text)[1:]])


def meta_text(text: str, passage: Passage, draw: Random) -> str | None:
    return draw.choice(META_TEXT).format(text)


def refused(text: str, passage: Passage, draw: Random) -> str | None:
    return draw.choice(REFUSALS)


def marked_up(text: str, passage: Passage, draw: Random) -> str | None:
    return "\n".join(f"<li>{sentence}</li>" for sentence in sentences(text))


CHANGES_OF_FACTS = (
    Change("number swapped", number_swapped),
    Change("number off by one", off_by_one),
    Change("number times ten", times_ten),
    Change("unit changed", unit_changed),
    Change("negated", negated),
    Change("antonym", antonym),
    Change("quantifier changed", quantifier_changed),
    Change("names swapped", names_swapped),
    Change("name replaced", name_replaced),
    Change("events reordered", sentences_exchanged),
    Change("events reordered", before_for_after),
)
CHANGES_OF_WHOLE_TEXTS = (
    Change("truncated", end_dropped),
    Change("truncated", cut_off),
    Change("truncated", start_dropped),
    Change("doubled", all_doubled),
    Change("doubled", sentence_doubled),
    Change("invented", invented),
    Change("half translated", half_translated),
    Change("half translated", start_translated),
    Change("meta-text", meta_text),
    Change("refused", refused),
    Change("markup", marked_up),
)


def _written(value: float, decimals: int, grouped: bool) -> str:
    return f"{value:,.{decimals}f}" if grouped else f"{value:.{decimals}f}"


def _one_replaced(text: str, choices: Sequence[tuple[re.Match[str], str]], draw: Random) -> str | None:
    if not choices:
        return None
    found, new = draw.choice(choices)
    return text[: found.start()] + new + text[found.end() :]


def _renamed(text: str, names: dict[str, str]) -> str:
    """Return the text with other names, each with a capital where its predecessor had one."""
    by_lower = {old.lower(): new for old, new in names.items()}

    def other(found: re.Match[str]) -> str:
        new = by_lower[found[0].lower()]
        return new[0].upper() + new[1:] if found[0][0].isupper() else new

    return re.sub(rf"\b(?:{'|'.join(map(re.escape, names))})\b", other, text, flags=re.IGNORECASE)
