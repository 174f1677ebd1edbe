"""A text cut into tokens and sentences, and what each token counts for where two texts are compared."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from .tables import word_set
from .words import LIGHT_STEMS, lemma, stem

_TOKEN = re.compile(
    r"""
      (?P<date>\d{4}-\d{1,2}-\d{1,2}(?![\d-])|\d{1,2}/\d{1,2}/\d{2,4}(?![\d/]))
    | (?P<time>\d{1,2}:\d{2}(?::\d{2})?(?![\d:]))
    | (?P<version>[vV]?\d+(?:\.\d+){2,}[A-Za-z0-9]*)
    | (?P<code>(?!(?:mid|pre|post|early|late|circa|ca?|non|sub|US|USD|EUR|GBP|A?U?D)-?\d)
        [A-Za-z]{1,8}-?\d[A-Za-z0-9]*)
    | (?P<number>\d+(?:\.\d+)?[eE][-+]?\d+(?!\w)
        |\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d{1,3}(?:[ ]\d{3})+(?![\d.,]*\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
    | (?P<initials>(?:[A-Za-z]\.){2,})
    | (?P<word>[^\W\d_]+(?:'[^\W\d_]+)*)
    | (?P<mark>\S)
    """,
    re.VERBOSE,
)
_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‑": "-", "‐": "-", "−": "-"}  # noqa: RUF001
    | {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u200b": "", "\ufeff": "", "ﬁ": "fi", "ﬂ": "fl"}
)
_ENDS = frozenset(".!?…。！？")  # noqa: RUF001
_CLOSES = frozenset("\"')]}*_")
_OPENS = frozenset("\"'([{*_")
_BULLETS = frozenset("-*•–—#|")
_ABBREVIATIONS = word_set("""mr mrs ms dr prof st mt sr jr rev gen col capt lt sgt hon gov sen rep pres vs etc no nos
vol fig eq ca cf al approx
    dept est inc ltd co corp bros jan feb mar apr jun jul aug sep sept oct nov dec ave blvd min max avg""")
_BREAKS = frozenset(",;:()[]—–")
_JOINERS = word_set("and but while whereas or although though because when after before until which who")


class Token(NamedTuple):
    """A word, number or mark; `glued` where no space stands before it."""

    text: str
    lower: str
    kind: str
    start: int
    end: int
    glued: bool


class Place(NamedTuple):
    """A token that counts where texts are compared.

    Attributes:
        token: its index.
        feature: what it counts as: a lemma, "@" and a name, "#" and a number.
        weight: how much it counts.
        at: its distance from the start of its sentence, in such tokens, wider across clauses.
    """

    token: int
    feature: str
    weight: float
    at: float


@dataclass(slots=True)
class Text:
    """A text as its tokens.

    Attributes:
        raw: the text, its quotes and dashes made plain.
        tokens: all of them.
        sentences: of each sentence, the range of its tokens.
        sentence_of: of each token, its sentence.
        lemmas: of each token, its lemma, or "".
        places: of each sentence, what counts in it; see `count_places`.
    """

    raw: str
    tokens: list[Token]
    sentences: list[range]
    sentence_of: list[int]
    lemmas: list[str]
    places: list[list[Place]] = field(default_factory=list)

    def words_of(self, sentence: int) -> list[str]:
        """Return the words of a sentence, in lower case."""
        return [self.tokens[at].lower for at in self.sentences[sentence]]

    def quote(self, first: int, last: int) -> str:
        """Return the words from one token to another as they stand in the text."""
        return " ".join(self.raw[self.tokens[first].start : self.tokens[last].end].split())

    def quote_sentence(self, sentence: int, longest: int = 90) -> str:
        """Return a sentence, cut in the middle of nothing longer than so many characters."""
        tokens = self.sentences[sentence]
        whole = self.quote(tokens[0], tokens[-1])
        return whole if len(whole) <= longest else whole[:longest].rsplit(" ", 1)[0] + " ..."


def read(raw: str) -> Text:
    """Return a text cut into tokens and sentences, with a lemma for each word."""
    raw = raw.translate(_PLAIN)
    tokens: list[Token] = []
    before = 0
    for found in _TOKEN.finditer(raw):
        text, (start, end) = found[0], found.span()
        tokens.append(Token(text, text.lower(), found.lastgroup or "", start, end, start == before and start > 0))
        before = end
    sentences = _sentences(raw, tokens)
    sentence_of = [number for number, sentence in enumerate(sentences) for _ in sentence]
    lemmas = [lemma(token.lower) if token.kind == "word" else "" for token in tokens]
    return Text(raw, tokens, sentences, sentence_of, lemmas)


def _sentences(raw: str, tokens: list[Token]) -> list[range]:
    found: list[range] = []
    first = 0
    for index in range(1, len(tokens)):
        before, here = tokens[index - 1], tokens[index]
        if here.glued or (before.kind == "word" and here.start == before.end + 1 and raw[before.end] == " "):
            continue
        if _starts_sentence(raw, tokens, index):
            found.append(range(first, index))
            first = index
    if tokens:
        found.append(range(first, len(tokens)))
    return found


def _starts_sentence(raw: str, tokens: list[Token], index: int) -> bool:
    here = tokens[index]
    gap = raw[tokens[index - 1].end : here.start]
    last = index - 1
    while last > 0 and tokens[last].text in _CLOSES:
        last -= 1
    ended = tokens[last].text in _ENDS
    if "\n" in gap and (gap.count("\n") > 1 or ended or tokens[last].text == ":" or here.text in _BULLETS):
        return True
    opening = index + 1 if here.text in _OPENS and index + 1 < len(tokens) else index
    if not (tokens[opening].text[0].isupper() or tokens[opening].text[0].isdigit()):
        return False
    word = tokens[last - 1] if last else tokens[0]
    if tokens[last].kind == "initials":  # "in the U.S. The"
        return here.lower in ("the", "in", "it", "he", "she", "this", "they", "a", "an") and here.text[0].isupper()
    if not ended:
        return False
    if tokens[last].text != ".":
        return True
    is_initial = len(word.text) == 1 and word.text.isupper() and word.text not in "IVX"  # "King George V."
    is_initial = is_initial and not (last > 1 and tokens[last - 2].text == "°")
    return not (word.lower in _ABBREVIATIONS or is_initial)


def count_places(text: Text, facts: dict[int, tuple[int, str]]) -> None:
    """Fill in what counts in each sentence.

    Args:
        text: whose `places` are filled in.
        facts: of the first token of each name, number and date: its last token and its feature.
    """
    for sentence in text.sentences:
        places: list[Place] = []
        at, index = 0.0, sentence.start
        while index < sentence.stop:
            token = text.tokens[index]
            if index in facts:
                last, feature = facts[index]
                places.append(Place(index, feature, 1.5, at))
                index, at = last, at + 1.0
            elif text.lemmas[index]:
                weight = 0.4 if stem(token.lower) in LIGHT_STEMS else 1.0
                places.append(Place(index, text.lemmas[index], weight, at))
                at += 1.0
            elif token.text in _BREAKS or token.lower in _JOINERS:
                at += 4.0 if token.text in ";:" else 1.5
            index += 1
        text.places.append(places)
