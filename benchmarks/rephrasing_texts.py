"""The texts of rephrasing.py: what each arm trains on, and which questions are asked, in training and afterwards."""

import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rephrasing_figures import ARMS
from rephrasing_world import (
    FACTS,
    QUESTIONS,
    STYLES_USED,
    VALUES,
    Person,
    RuleGenerator,
    Wrong,
    draw_people,
    passage_about,
)

from hf_muonclip.synth import Rephrased, Rephraser
from hf_muonclip.synth.rephraser import fidelity_gate

END = "<end>"
MOST_REPHRASINGS = max(arm.rephrasings for arm in ARMS.values())
CANDIDATES = 10  # of which an answer is the likeliest or not


class Words:
    """Words and marks as tokens, without case."""

    def __init__(self, texts: Sequence[str]) -> None:
        words = sorted({word for text in texts for word in self.cut(text)})
        self.ids = {word: place for place, word in enumerate([END, *words])}

    @staticmethod
    def cut(text: str) -> list[str]:
        return re.findall(r"\w+|[^\w\s]", text.casefold())

    def encode(self, text: str) -> list[int]:
        return [self.ids[word] for word in self.cut(text)]


@dataclass(frozen=True)
class Asked:
    """A question about a fact of a person: the text up to the answer, and the answer."""

    person: str
    fact: str
    prompt: str
    answer: str


def ask(person: Person, fact: str, form: str) -> Asked:
    """Return the question in a form of `QUESTIONS`."""
    return Asked(person.name, fact, f"Question: {form.format(name=person.name)} Answer:", person.facts[fact])


class World:
    """What all arms of a seed share: people, passages, rephrasings, questions, tokens.

    Attributes:
        passages: one of each person.
        rephrasings: {(share of answers with something wrong, whether there is a gate): results of `Rephraser`}, ten for
            each person in turn.
        wrong: {share: {text of a rephrasing: what it has wrong}}.
        practice: questions and answers about the first half of the people, for training.
        asked: questions about the other half, in forms that no training text has.
        asked_in_known_forms: the same in a form in which the first half is asked about.
        words: of all texts.
        digest: a hash of all texts.
    """

    def __init__(self, seed: int, people: int) -> None:
        self.people = draw_people(people, seed)
        self.passages = [passage_about(person, seed) for person in self.people]
        self.rephrasings: dict[tuple[float, bool], list[Rephrased]] = {}
        self.wrong: dict[float, dict[str, list[Wrong]]] = {}
        of_arms = {(arm.wrong_share, arm.gate) for arm in ARMS.values()}
        for share in sorted({share for share, _ in of_arms}):
            generator = RuleGenerator(share)
            for gated in (False, True) if (share, True) in of_arms else (False,):
                rephraser = Rephraser(
                    generator,
                    styles=STYLES_USED,
                    rephrasings=MOST_REPHRASINGS,
                    seed=seed,
                    gate=fidelity_gate if gated else None,
                )
                self.rephrasings[share, gated] = rephraser.rephrased(self.passages)
            self.wrong[share] = generator.wrong
        trained, held_out = self.people[: people // 2], self.people[people // 2 :]
        self.practice = [ask(p, fact, form) for p in trained for fact in FACTS for form in QUESTIONS[fact][:-1]]
        self.asked = [ask(p, fact, QUESTIONS[fact][-1]) for p in held_out for fact in FACTS]
        self.asked_in_known_forms = [ask(p, fact, QUESTIONS[fact][0]) for p in held_out for fact in FACTS]
        told = [row.rewritten[-1] for rows in self.rephrasings.values() for row in rows if row.rewritten]
        questions = [f"{one.prompt} {one.answer}" for one in (*self.practice, *self.asked)]
        values = [value for fact in FACTS for value in VALUES[fact]]
        self.words = Words([*self.passages, *told, *questions, *values])
        kept = [[row.kept, *row.rewritten] for rows in self.rephrasings.values() for row in rows]
        everything = json.dumps([self.passages, kept, questions, [one.prompt for one in self.asked_in_known_forms]])
        self.digest = hashlib.sha256(everything.encode()).hexdigest()[:12]

    def documents(self, arm: str) -> list[str]:
        """Return the texts that an arm trains on: each passage, and the rephrasings of it that are kept."""
        found = ARMS[arm]
        if not found.rephrasings:
            return self.passages
        rows = self.rephrasings[found.wrong_share, found.gate]
        return [*self.passages, *(row.text for row in rows if row.kept and row.rephrasing < found.rephrasings)]

    def gate_counts(self, share: float) -> dict[str, Any]:
        """Return what the gate did with answers that have something wrong, by kind, and with those that have not.

        A text that no gate would drop either, such as one that is like an earlier one, does not count.
        """
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        causes: Counter[str] = Counter()
        for plain, gated in zip(self.rephrasings[share, False], self.rephrasings[share, True], strict=True):
            if not plain.kept:
                continue
            wrong = self.wrong[share].get(plain.text, [])
            kinds = ["faithful"] if not wrong else ["corrupted", f"{len(wrong)} wrong"]
            if len(wrong) == 1:
                kinds.append(f"one {wrong[0].kind}")
            for kind in kinds:
                counts[kind]["all"] += 1
                counts[kind]["kept"] += gated.kept
            causes[gated.cause] += not gated.kept and not wrong
        return {kind: dict(found) for kind, found in sorted(counts.items())} | {"causes": dict(+causes)}


def wrong_values(world: World, arm: str) -> Mapping[tuple[str, str], list[str]]:
    """Return {(person, fact): values} that an arm's texts give and that are not true."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    share, told = ARMS[arm].wrong_share, {*world.documents(arm)}
    for place, row in enumerate(world.rephrasings[share, False]):
        person = world.people[place // MOST_REPHRASINGS]
        for one in world.wrong[share].get(row.text, []) if row.text in told else []:
            if one.value is not None:
                found[person.name, one.fact].append(one.value)
    return found


def candidates(asked: Sequence[Asked], people: Sequence[Person], seed: int) -> list[list[str]]:
    """Return for each question its answer and up to nine other values, all of which this fact has for some person."""
    draw, found = random.Random(seed), []
    for one in asked:
        others = sorted({person.facts[one.fact] for person in people} - {one.answer})
        found.append([one.answer, *draw.sample(others, min(len(others), CANDIDATES - 1))])
    return found
