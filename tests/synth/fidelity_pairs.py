"""Pairs of a source and a rewriting, each labelled faithful or corrupted: what the gate is calibrated and judged by.

Passages with paraphrases and replacements by hand lie in `development_*.py` and `held_out_*.py`, real ones are read
from installed packages; rules change both. A passage and all that is made of it lie in one split: "development",
with which the gate's rules and thresholds are made, or "held_out", which they have never seen. Calibrate with
`pairs("development")` alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from random import Random

from corrupting_changes import CHANGES_OF_FACTS, CHANGES_OF_WHOLE_TEXTS
from development_encyclopedic import DEVELOPMENT_ENCYCLOPEDIC
from development_encyclopedic_history import DEVELOPMENT_ENCYCLOPEDIC_HISTORY
from development_encyclopedic_nature import DEVELOPMENT_ENCYCLOPEDIC_NATURE
from development_narrative import DEVELOPMENT_NARRATIVE
from development_narrative_road import DEVELOPMENT_NARRATIVE_ROAD
from development_narrative_village import DEVELOPMENT_NARRATIVE_VILLAGE
from development_numeric import DEVELOPMENT_NUMERIC
from development_numeric_nature import DEVELOPMENT_NUMERIC_NATURE
from development_numeric_society import DEVELOPMENT_NUMERIC_SOCIETY
from development_technical import DEVELOPMENT_TECHNICAL
from development_technical_computers import DEVELOPMENT_TECHNICAL_COMPUTERS
from development_technical_workshop import DEVELOPMENT_TECHNICAL_WORKSHOP
from faithful_changes import FAITHFUL, several_rules
from fidelity_passage import Passage
from held_out_encyclopedic import HELD_OUT_ENCYCLOPEDIC
from held_out_encyclopedic_paraphrased import HELD_OUT_ENCYCLOPEDIC_PARAPHRASED
from held_out_narrative import HELD_OUT_NARRATIVE
from held_out_narrative_paraphrased import HELD_OUT_NARRATIVE_PARAPHRASED
from held_out_numeric import HELD_OUT_NUMERIC
from held_out_numeric_paraphrased import HELD_OUT_NUMERIC_PARAPHRASED
from held_out_sentences import CORRUPTED_SENTENCES, FAITHFUL_SENTENCES
from held_out_technical import HELD_OUT_TECHNICAL
from held_out_technical_paraphrased import HELD_OUT_TECHNICAL_PARAPHRASED
from installed_passages import installed_passages

SPLITS = ("development", "held_out")
WRITTEN = {
    "development": (
        DEVELOPMENT_ENCYCLOPEDIC,
        DEVELOPMENT_ENCYCLOPEDIC_HISTORY,
        DEVELOPMENT_ENCYCLOPEDIC_NATURE,
        DEVELOPMENT_NARRATIVE,
        DEVELOPMENT_NARRATIVE_ROAD,
        DEVELOPMENT_NARRATIVE_VILLAGE,
        DEVELOPMENT_TECHNICAL,
        DEVELOPMENT_TECHNICAL_COMPUTERS,
        DEVELOPMENT_TECHNICAL_WORKSHOP,
        DEVELOPMENT_NUMERIC,
        DEVELOPMENT_NUMERIC_NATURE,
        DEVELOPMENT_NUMERIC_SOCIETY,
    ),
    "held_out": (
        HELD_OUT_ENCYCLOPEDIC,
        HELD_OUT_ENCYCLOPEDIC_PARAPHRASED,
        HELD_OUT_NARRATIVE,
        HELD_OUT_NARRATIVE_PARAPHRASED,
        HELD_OUT_TECHNICAL,
        HELD_OUT_TECHNICAL_PARAPHRASED,
        HELD_OUT_NUMERIC,
        HELD_OUT_NUMERIC_PARAPHRASED,
    ),
}


@dataclass(frozen=True)
class Pair:
    """A source, a rewriting, and whether it says the same.

    Attributes:
        passage: name of the passage that both are made of.
        kind_of_text: encyclopedic, narrative, technical or numeric.
        origin: "written" here, "installed" with a package, or a "sentence" written here.
        change: what was done, in a word or two.
        source: what is said.
        rewritten: what the gate judges.
        faithful: the label.
        unchanged: the text that was changed into the rewritten one: the source, or a text that says the same.
    """

    passage: str
    kind_of_text: str
    origin: str
    change: str
    source: str
    rewritten: str
    faithful: bool
    unchanged: str


def pairs(split: str) -> list[Pair]:
    """Return the pairs of a split, always in the same order."""
    found = [pair for passage in written_passages(split) for pair in _of_passage(passage, "written")]
    found += [pair for passage in installed_passages(split) for pair in _of_passage(passage, "installed")]
    if split == "held_out":
        found += _of_sentences()
    return list(dict.fromkeys(found))


@cache
def written_passages(split: str) -> tuple[Passage, ...]:
    """Return the passages of a split that are written here, with spaces for line breaks."""
    return tuple(passage.on_one_line() for group in WRITTEN[split] for passage in group)


def _of_passage(passage: Passage, origin: str) -> Iterator[Pair]:
    yield from _faithful(passage, origin)
    for text in passage.texts:
        for change, old, new in passage.corruptions:
            if old in text:
                yield _pair(passage, origin, change, text.replace(old, new, 1), False, text)
    texts = passage.texts if passage.paraphrases else (passage.source, several_rules(passage.source, passage))
    texts = tuple(filter(None, texts))
    for place, text in enumerate(texts):
        for number, rule in enumerate((*CHANGES_OF_FACTS, *CHANGES_OF_WHOLE_TEXTS)):
            by_hand = rule in CHANGES_OF_FACTS and passage.corruptions  # these are better
            once = rule in CHANGES_OF_WHOLE_TEXTS  # they are easy to catch, so that one text is enough
            wanted = not by_hand and (not once or number % len(texts) == place)
            draw = Random(f"{passage.name}, {place}, {rule.name}")
            if wanted and (changed := rule.make(text, passage, draw)) is not None:
                yield _pair(passage, origin, rule.change, changed, False, text)


def _faithful(passage: Passage, origin: str) -> Iterator[Pair]:
    source = passage.source
    for one, other in permutations(passage.texts, 2):
        yield Pair(passage.name, passage.kind, origin, "paraphrased", one, other, True, one)
    yield _pair(passage, origin, "unchanged", source, True, source)
    for text in passage.texts:
        for change, old, new in passage.rewordings:
            if old in text:
                yield _pair(passage, origin, change, text.replace(old, new, 1), True, text)
    for change, keep in FAITHFUL:
        if (kept := keep(source, passage)) is not None:
            yield _pair(passage, origin, change, kept, True, source)


def _of_sentences() -> list[Pair]:
    return [
        Pair(f"{label} sentence {number}", kind, "sentence", change, source, rewritten, label == "faithful", source)
        for label, rows in (("faithful", FAITHFUL_SENTENCES), ("corrupted", CORRUPTED_SENTENCES))
        for number, (kind, change, source, rewritten) in enumerate(rows)
    ]


def _pair(passage: Passage, origin: str, change: str, rewritten: str, faithful: bool, unchanged: str) -> Pair:
    return Pair(passage.name, passage.kind, origin, change, passage.source, rewritten, faithful, unchanged)
