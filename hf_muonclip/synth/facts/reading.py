"""Everything that is compared of one text, read once."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from .dates import Date
from .names import GENERIC, Name, name_key, read_names
from .negation import Negation, negations, negative_words
from .numbers import Number, read_numbers
from .text import Text, count_places, read


@dataclass(eq=False)
class Facts:
    """A text with its numbers, dates and names.

    Attributes:
        text: its tokens and sentences.
        numbers: in their order.
        dates: in their order, bare years included.
        names: in their order.
        contexts: what was found to stand around tokens; see `context_of`.
    """

    text: Text
    numbers: list[Number]
    dates: list[Date]
    names: list[Name]
    contexts: dict[tuple[int, int, bool], dict[str, float]] = field(default_factory=dict)

    @cached_property
    def weights(self) -> list[dict[str, float]]:
        """Of each sentence, what it says: features with their weights."""
        return [{place.feature: place.weight for place in places} for places in self.text.places]

    @cached_property
    def negations(self) -> list[Negation]:
        """What the text denies."""
        return negations(self.text)

    @cached_property
    def negative(self) -> list[Counter[str]]:
        """Of each sentence, the stems of what it says negatively, in whatever words, and how often."""
        return [negative_words(self.text, sentence) for sentence in range(len(self.text.sentences))]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Lemmas and name keys of all words, whether they are names or not."""
        words = {name_key(token.text) for token in self.text.tokens if token.kind in ("word", "code", "initials")}
        return frozenset(words.union(self.text.lemmas)) - {""}

    @cached_property
    def lower_words(self) -> frozenset[str]:
        """Words that are somewhere written without a capital."""
        return frozenset(t.text for t in self.text.tokens if t.kind == "word" and t.text[0].islower())


@lru_cache(maxsize=64)
def read_facts(raw: str) -> Facts:
    """Return the facts of a text; those of the last few texts are kept, so that a source is read once."""
    text = read(raw)
    numbers, dates = read_numbers(text)
    taken: dict[int, tuple[int, str]] = {}
    for number in numbers:
        if not number.soft:
            taken[number.first] = (number.last, number.feature)
    for date in dates:
        taken[date.first] = (date.last, f"#{date.year}" if date.year and not date.month else f"#{date.key}")
    covered = {at for first, (last, _) in taken.items() for at in range(first, last + 1)}
    covered.update(at for number in numbers for at in range(number.first, number.last + 1))
    names = read_names(text, covered)
    for name in names:
        if name.sure:
            for at in range(name.first, name.last + 1):
                if text.lemmas[at] or text.tokens[at].kind in ("code", "initials"):
                    is_generic = text.tokens[at].lower in GENERIC and text.lemmas[at]  # "the Company" is "the company"
                    taken[at] = (at, text.lemmas[at] if is_generic else name_key(text.tokens[at].text))
    count_places(text, taken)
    return Facts(text, numbers, dates, names)
