"""Pairs of a source and a rewriting, each labelled faithful or not, made of texts with rewritings and edits.

The development pairs are those that the gate's rules and thresholds were made with; no text is in both parts.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from fidelity_texts import SAMPLES, Sample
from held_out_technical_texts import NUMERIC, TECHNICAL
from held_out_texts import ENCYCLOPEDIC, NARRATIVE

SPLITS = {"development": SAMPLES, "held_out": (*ENCYCLOPEDIC, *NARRATIVE, *TECHNICAL, *NUMERIC)}

_META = (
    "Here is a rewritten version of the passage:\n\n{}",
    "Certainly! Below you find the text in other words.\n\n{}",
    "{}\n\nLet me know if you would like me to change anything else.",
    "As an AI language model, I have kept all facts. {}",
)
_REFUSALS = (
    "I am sorry, but I am not able to help with that request.",
    "I cannot rewrite this passage, because it may be protected by copyright.",
)
_FOREIGN = (
    "Der Rest des Textes steht in einer anderen Sprache, die in dieser Gegend von den meisten Leuten gesprochen wird.",
    "Le reste de ce passage est écrit dans une autre langue que presque tout le monde comprend dans cette région.",
    "El resto de este texto está escrito en otra lengua, que casi todos los habitantes de la región entienden bien.",
)
_WORDS = {
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "8": "eight",
    "9": "nine",
    "10": "ten",
    "12": "twelve",
}
_UNITS = {"kilometres": "km", "metres": "m", " per cent": "%", " percent": "%", "°C": "degrees Celsius"}


@dataclass(frozen=True)
class Pair:
    """A source, a rewriting, and whether it says the same.

    Attributes:
        text: name of the text.
        kind_of_text: encyclopedic, narrative, technical or numeric.
        change: what was done, in a word or two.
        source: what is said.
        rewritten: what the gate judges.
        faithful: the label.
    """

    text: str
    kind_of_text: str
    change: str
    source: str
    rewritten: str
    faithful: bool


def pairs(split: str) -> list[Pair]:
    """Return the pairs of a part, "development" or "held_out", in the same order in every run."""
    return [pair for sample in SPLITS[split] for pair in _of_sample(sample)]


def _of_sample(sample: Sample) -> Iterator[Pair]:
    draw = random.Random(sample.name)
    texts = (sample.source, *sample.rewritings)
    for source, rewritten in permutations(texts, 2):
        yield _pair(sample, "paraphrased", source, rewritten, True)
    for text in texts:
        yield _pair(sample, "unchanged", text, text, True)
        for change, changed in _harmless(text):
            if changed != text:
                yield _pair(sample, change, sample.source, changed, True)
        for change, old, new in sample.edits:
            if old in text:
                yield _pair(sample, change, sample.source, text.replace(old, new, 1), False)
        for change, changed in _harmful(text, draw):
            yield _pair(sample, change, sample.source, changed, False)


def _harmless(text: str) -> Iterator[tuple[str, str]]:
    """Yield changes that leave every statement as it is."""
    worded = re.sub(r"(?<![\w.,:$€£-])(\d{1,2})(?= [a-z]{4,})", lambda found: _WORDS.get(found[1], found[1]), text)
    yield "number words", worded
    for long, short in _UNITS.items():
        if long in text:
            yield "unit spelled otherwise", text.replace(long, short)
            break
    said = sentences(text)
    yield "two paragraphs", f"{' '.join(said[: len(said) // 2])}\n\n{' '.join(said[len(said) // 2 :])}"


def _harmful(text: str, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Yield changes to a whole text."""
    said = sentences(text)
    half = len(said) // 2
    yield "truncated", " ".join(said[:half])
    yield "truncated", " ".join(said[:-2])
    yield "truncated", text[: int(len(text) * 0.75)].rsplit(" ", 1)[0]
    yield "truncated", " ".join(said[2:])
    yield "doubled", f"{text}\n\n{text}"
    repeated = draw.randrange(len(said))
    yield "doubled", " ".join([*said, said[repeated]])
    yield "half translated", " ".join([*said[:-2], draw.choice(_FOREIGN)])
    yield "half translated", " ".join([draw.choice(_FOREIGN), *said[1:]])
    yield "meta text", draw.choice(_META).format(text)
    yield "refused", draw.choice(_REFUSALS)
    yield "markup", "\n".join(f"<li>{sentence}</li>" for sentence in said)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; these texts have no abbreviations but "Mr."."""
    return re.split(r"(?<=[.!?])(?<!Mr\.) +(?=[A-Z0-9`])", text)


def _pair(sample: Sample, change: str, source: str, rewritten: str, faithful: bool) -> Pair:
    return Pair(sample.name, sample.kind, change, source, rewritten, faithful)
