"""What rephrasing.py trains on: invented people, a passage about each, and a generator that rewrites it by rule.

A passage tells six facts of a person, always in the same order, and names the person once. The generator stands where a
language model would: it reads the chat, finds the facts in the passage, and says them in other sentences, another order
and another voice, by the style that the chat asks for. As language models do, it gets something wrong in a share of its
answers: one to three facts have another name, number, unit or thing, or are denied.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hf_muonclip.synth.generator import Chat, Generated, OnAnswer
from hf_muonclip.synth.styles import STYLES

FACTS = ("year", "town", "employer", "invention", "distance", "letters")
KINDS = ("name", "number", "unit", "thing", "denied")
MOST_WRONG = 3  # facts of a corrupted answer
DENIED = 0.2  # share of them that are denied


def _names(number: int, endings: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return that many different names of invented syllables."""
    draw, found = random.Random(seed), dict[str, None]()
    while len(found) < number:
        parts = [draw.choice("bdfgklmnprstv") + draw.choice("aeiou") for _ in range(draw.choice((1, 2)))]
        found["".join(parts).capitalize() + draw.choice(endings)] = None
    return tuple(found)


FIRST_NAMES = _names(40, ("lo", "rin", "na", "dus", "mek", "sa"), 1)
LAST_NAMES = _names(240, ("berg", "stov", "quist", "lund", "vane", "dorf"), 2)
TOWNS = _names(30, ("ford", "wick", "mouth", "haven", "stead"), 3)
EMPLOYERS = _names(30, ("tex", "gro", "lux", "zon"), 4)
UNITS = ("kilometres", "miles", "metres")
_QUALITIES = ("steam", "tide", "wire", "glass", "copper", "paper")
_DEVICES = ("clock", "pump", "press", "lamp", "loom")
VALUES: Mapping[str, tuple[str, ...]] = {
    "year": tuple(str(year) for year in range(1800, 1900)),
    "town": TOWNS,
    "employer": EMPLOYERS,
    "invention": tuple(f"{quality} {device}" for quality in _QUALITIES for device in _DEVICES),
    "distance": tuple(f"{number} {unit}" for number in range(11, 100) for unit in UNITS),
    "letters": tuple(str(number) for number in range(101, 200)),
}

_SOURCE = (
    ("{name} was born in {year} in the town of {town}.", "{name} was born in {town} in the year {year}."),
    ("{He} worked for {employer} Works.", "{He} was an engineer at {employer} Works."),
    ("{He} invented the {invention}.", "{He} was the inventor of the {invention}."),
    ("{His} workshop stood {distance} from the sea.", "{His} workshop was {distance} away from the sea."),
    ("After {his} death {letters} letters were found.", "{He} left {letters} letters."),
)
_REWRITTEN: Mapping[str, tuple[str, ...]] = {
    "year": (
        "{whose} year of birth is {value}.",
        "in {value} {who} came into the world.",
        "{whose} life began in {value}.",
        "{value} is the year in which {who} was born.",
        "{whose} birth fell in the year {value}.",
        "{who} was born in {value}.",
    ),
    "town": (
        "{whose} birthplace is {value}.",
        "{value} is the town in which {who} was born.",
        "{who} came from {value}.",
        "{who} was a native of {value}.",
        "it was in {value} that {who} was born.",
        "{whose} native town was {value}.",
    ),
    "employer": (
        "{value} Works employed {whom}.",
        "{whose} employer was {value} Works.",
        "{who} was on the staff of {value} Works.",
        "{who} earned a living at {value} Works.",
        "it was {value} Works that employed {whom}.",
        "{who} was employed by {value} Works.",
    ),
    "invention": (
        "the {value} was invented by {whom}.",
        "{whose} invention was the {value}.",
        "we owe the {value} to {whom}.",
        "{who} is known for inventing the {value}.",
        "the {value} is an invention of {whom}.",
        "{who} came up with the {value}.",
    ),
    "distance": (
        "it was {value} from {whose} workshop to the sea.",
        "between {whose} workshop and the sea lay {value}.",
        "{who} had a workshop {value} from the sea.",
        "the sea was {value} away from {whose} workshop.",
        "{whose} workshop lay {value} from the sea.",
        "from the sea to {whose} workshop it was {value}.",
    ),
    "letters": (
        "{value} letters were found after {whose} death.",
        "{whose} estate held {value} letters.",
        "{value} letters were left by {whom}.",
        "after {whose} death there were {value} letters.",
        "{who} left behind {value} letters.",
        "at {whose} death {value} letters remained.",
    ),
}
_DENIED = {
    "year": "{who} was not born in {value}.",
    "town": "{who} did not come from {value}.",
    "employer": "{value} Works did not employ {whom}.",
    "invention": "{who} did not invent the {value}.",
    "distance": "{whose} workshop did not lie {value} from the sea.",
    "letters": "{who} did not leave {value} letters.",
}
# Of each fact: three forms in which some people's facts are asked in training, and one that no training text has.
QUESTIONS: Mapping[str, tuple[str, str, str, str]] = {
    "year": (
        "When was {name} born?",
        "What is the year of birth of {name}?",
        "Which year was {name} born in?",
        "In which year was {name} born?",
    ),
    "town": (
        "Where was {name} born?",
        "What is the birthplace of {name}?",
        "Which town was {name} born in?",
        "In which town was {name} born?",
    ),
    "employer": (
        "Who employed {name}?",
        "Where did {name} earn a living?",
        "Which employer did {name} have?",
        "Who was the employer of {name}?",
    ),
    "invention": (
        "What did {name} invent?",
        "What do we owe to {name}?",
        "Which invention is by {name}?",
        "What was the invention of {name}?",
    ),
    "distance": (
        "How far from the sea was the workshop of {name}?",
        "What lay between the workshop of {name} and the sea?",
        "How far away from the sea did {name} have a workshop?",
        "How far was it from the workshop of {name} to the sea?",
    ),
    "letters": (
        "How many letters did {name} leave behind?",
        "How many letters were found after the death of {name}?",
        "How many letters did the estate of {name} hold?",
        "How many letters were left by {name}?",
    ),
}


@dataclass(frozen=True)
class Person:
    """An invented person.

    Attributes:
        name: first and last.
        pronouns: "he", "him", "his", or hers.
        facts: the value of each of `FACTS`.
    """

    name: str
    pronouns: tuple[str, str, str]
    facts: Mapping[str, str]


HE, SHE = ("he", "him", "his"), ("she", "her", "her")


def draw_people(number: int, seed: int) -> list[Person]:
    """Return that many people of different last names."""
    draw = random.Random(seed)
    names = [f"{draw.choice(FIRST_NAMES)} {last}" for last in draw.sample(LAST_NAMES, number)]
    return [Person(name, draw.choice((HE, SHE)), {fact: draw.choice(VALUES[fact]) for fact in FACTS}) for name in names]


def passage_about(person: Person, seed: int) -> str:
    """Return the document about a person; the seed and the name decide its sentences."""
    draw = random.Random(f"{seed} {person.name}")
    subject, _, own = person.pronouns
    slots = {"name": person.name, "He": subject.capitalize(), "His": own.capitalize(), "his": own, **person.facts}
    return " ".join(draw.choice(forms).format(**slots) for forms in _SOURCE)


def _as_pattern(form: str) -> str:
    """Return a regular expression that finds a sentence of the source and what stands in its slots."""
    return re.sub(r"\\{(\w+)\\}", lambda slot: f"(?P<{slot[1]}>[^.]+?)", re.escape(form))


_PATTERNS = [[re.compile(_as_pattern(form)) for form in forms] for forms in _SOURCE]


def read_passage(passage: str) -> Person:
    """Return the person that a passage tells of."""
    found: dict[str, str] = {}
    for sentence, patterns in zip(re.findall(r"[^.]+\.", passage), _PATTERNS, strict=True):
        found |= next(match.groupdict() for p in patterns if (match := p.fullmatch(sentence.strip())))
    pronouns = HE if re.search(r"\b(he|his)\b", passage, re.IGNORECASE) else SHE
    return Person(found["name"], pronouns, {fact: found[fact] for fact in FACTS})


@dataclass(frozen=True)
class _Voice:
    """How a style tells facts.

    Attributes:
        shuffled: whether they come in any order, or in that of the passage.
        again: how the person is called after the first sentence: "name", "surname" or "pronoun".
    """

    shuffled: bool
    again: str


_VOICES = {
    "encyclopedic": _Voice(True, "surname"),
    "textbook": _Voice(False, "name"),
    "lecture_notes": _Voice(True, "name"),
    "conversational": _Voice(True, "pronoun"),
    "plain": _Voice(False, "pronoun"),
    "concise": _Voice(False, "surname"),
    "report": _Voice(True, "name"),
    "essay": _Voice(True, "pronoun"),
}
STYLES_USED = tuple(style for style in STYLES if style.name in _VOICES)


@dataclass(frozen=True)
class Wrong:
    """A fact that an answer has wrong: its kind, one of `KINDS`, and the value that it gives; None where it denies."""

    kind: str
    fact: str
    value: str | None


_KIND_OF = {"year": "number", "town": "name", "employer": "name", "invention": "thing", "letters": "number"}


def make_wrong(facts: Mapping[str, str], draw: random.Random) -> list[Wrong]:
    """Return what an answer has wrong: one to three facts, a fifth of them denied and the others with another value."""
    found = []
    for fact in draw.sample(FACTS, draw.randint(1, MOST_WRONG)):
        kind = "denied" if draw.random() < DENIED else _KIND_OF.get(fact) or draw.choice(("number", "unit"))
        number, _, unit = facts[fact].partition(" ")
        others = [other for other in VALUES[fact] if other != facts[fact]]
        if kind == "unit":
            others = [other for other in others if other.startswith(f"{number} ")]
        elif kind == "number":
            others = [other for other in others if other.endswith(unit)]
        found.append(Wrong(kind, fact, None if kind == "denied" else draw.choice(others)))
    return found


@dataclass
class RuleGenerator:
    """Rewrites passages by rule; an answer depends on chat and seed alone.

    Attributes:
        wrong_share: of answers that have something wrong. All else of an answer is the same with any share.
        wrong: what each answer has wrong, by its text.
    """

    wrong_share: float
    wrong: dict[str, list[Wrong]] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        return f"rules, {self.wrong_share} wrong"

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated]:
        """Return the answer to each chat."""
        answers = [self._answer(chat[-1]["content"], seed) for chat, seed in zip(chats, seeds, strict=True)]
        for place, answer in enumerate(answers):
            if on_answer is not None:
                on_answer(place, answer)
        return answers

    def _answer(self, request: str, seed: int) -> Generated:
        style = next(style.name for style in STYLES_USED if request.startswith(style.instruction))
        person = read_passage(request.partition("<passage>\n")[2].removesuffix("\n</passage>"))
        wrong: list[Wrong] = []
        draw = random.Random(f"wrong {seed}")
        if draw.random() < self.wrong_share:
            wrong = make_wrong(person.facts, draw)
        text = rewrite(person, _VOICES[style], wrong, random.Random(seed))
        if wrong:
            self.wrong[text] = wrong
        return Generated(text, len(request.split()), len(text.split()), finished=True)


def rewrite(person: Person, voice: _Voice, wrong: Sequence[Wrong], draw: random.Random) -> str:
    """Return a person's facts in other sentences."""
    order = draw.sample(FACTS, len(FACTS)) if voice.shuffled else list(FACTS)
    forms = {fact: draw.choice(_REWRITTEN[fact]) for fact in FACTS}
    facts = dict(person.facts)
    for one in wrong:
        if one.value is None:
            forms[one.fact] = _DENIED[one.fact]
        else:
            facts[one.fact] = one.value
    surname = person.name.split()[1]
    calls = {
        "name": (person.name, person.name, f"{person.name}'s"),
        "surname": (surname, surname, f"{surname}'s"),
        "pronoun": person.pronouns,
    }
    sentences = []
    for place, fact in enumerate(order):
        who, whom, whose = calls["name" if place == 0 else voice.again]
        sentence = forms[fact].format(who=who, whom=whom, whose=whose, value=facts[fact])
        sentences.append(sentence[0].upper() + sentence[1:])
    return " ".join(sentences)
