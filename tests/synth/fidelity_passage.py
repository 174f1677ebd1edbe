"""A passage with its paraphrases by hand, and what is known of it to change it by hand and by rule."""

from dataclasses import dataclass, replace

KINDS_OF_TEXT = ("encyclopedic", "narrative", "technical", "numeric")

Replacement = tuple[str, str, str]  # kind of change, words, other words


@dataclass(frozen=True)
class Passage:
    """A text of 60 to 150 words.

    Attributes:
        name: unique.
        kind: one of `KINDS_OF_TEXT`.
        source: the text.
        paraphrases: whole texts by hand that say the same, no more and no less.
        corruptions: replacements after which a text says something else, each for every text that has its words.
        rewordings: replacements after which a text still says the same, likewise.
        rivals: pairs of names with different parts in the text: exchanged, it says something else.
        strangers: names, each with another name that the text does not have.
        free: sentences of the source, from 0, that say the same in any order.
        translated: the source's sentence, from 0, with which the translation of the rest begins, and this translation.
    """

    name: str
    kind: str
    source: str
    paraphrases: tuple[str, ...] = ()
    corruptions: tuple[Replacement, ...] = ()
    rewordings: tuple[Replacement, ...] = ()
    rivals: tuple[tuple[str, str], ...] = ()
    strangers: tuple[tuple[str, str], ...] = ()
    free: tuple[int, ...] = ()
    translated: tuple[int, str] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The source and its paraphrases."""
        return (self.source, *self.paraphrases)

    def on_one_line(self) -> "Passage":
        """Return the passage with its line breaks made spaces."""

        def joined(found: tuple[Replacement, ...]) -> tuple[Replacement, ...]:
            return tuple((change, _one_line(old), _one_line(new)) for change, old, new in found)

        return replace(
            self,
            source=_one_line(self.source),
            paraphrases=tuple(map(_one_line, self.paraphrases)),
            corruptions=joined(self.corruptions),
            rewordings=joined(self.rewordings),
            translated=self.translated and (self.translated[0], _one_line(self.translated[1])),
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())
