"""What a note of a solution keeps: the final answer, by math-verify, and true equations, by sympy.

    check = check_math(solution, note)
    check.cause, check.reasons  # 'false_equation', ['the equation 12 + 7 = 18 of the note is false']

All is computed in limited worker processes, a call for each relation: one that never ends costs itself alone, and is
"not measured", which is neither true nor false.

What an equation with variables says is decided where it is an identity, and where both texts give its variables the
same single values and all equations of the source hold there: then those of the note must hold there too.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...common.graders.grader_pool import GraderPool, default_pool
from ...common.graders.not_measured import NotMeasured
from .final_answer import final_answer, given_answer
from .prose import writes_decimal_comma
from .relations import Relation, relations

NOT_MEASURED = "not_measured"
_SHOWN = 5  # reasons of one kind
_DECIMAL = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class MathCheck:
    """What was found in a note.

    Attributes:
        cause: why it must not be kept: "wrong_answer", "answer_not_verified" or "false_equation"; "" where nothing is
            wrong.
        reasons: the same in sentences.
        remarks: what is told besides: equations that are false in the source too, and what was not measured.
        source_answer: the final answer of the source, or the given one; "" where there is none.
        note_answer: that of the note.
        scores: "answer_equal" (1 or 0) where math-verify has compared the answers; counts of the note's relations:
            "equations" (all that were found), "parsed", "decided", "true", "false", "undecidable", "not_measured"; and
            the same of the source behind "source_".
    """

    cause: str
    reasons: list[str]
    remarks: list[str]
    source_answer: str
    note_answer: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Pair:
    """A source and its note.

    Attributes:
        source: a solution or a document.
        note: what was made of it.
        answer: the right final answer, where a row gives one beside its text.
    """

    source: str
    note: str
    answer: Any = None


def check_math(source: str, note: str, *, answer: Any = None, pool: GraderPool | None = None) -> MathCheck:
    """Return what is wrong with a note in numbers and formulas.

    Args:
        source: a solution or a document, in any language.
        note: what was made of it.
        answer: the right final answer; None takes the one that the source states, if it states one.
        pool: of worker processes; None for the one that is shared.

    Raises:
        RuntimeError: no worker process can start.
    """
    return check_pairs([Pair(source, note, answer)], pool)[0]


def check_pairs(pairs: Sequence[Pair], pool: GraderPool | None = None) -> list[MathCheck]:
    """Return what `check_math` finds in each pair; what they have in common is computed once.

    Args:
        pairs: any number.
        pool: of worker processes; None for the one that is shared.

    Raises:
        RuntimeError: no worker process can start.
    """
    # sympy is imported here with the functions' module, and is slow to: only who checks pays for it.
    from ...common.graders.math_grader import grade
    from .decide import decide, holds_at

    pool = pool or default_pool()
    sources, notes = [_Read(pair.source) for pair in pairs], [_Read(pair.note) for pair in pairs]
    both = [*sources, *notes]
    found = _computed(pool, decide, [one.call(relation) for one in both for relation in one.relations])
    for one in both:
        one.results = [found[one.call(relation)] for relation in one.relations]
    again = [one for one in both if one.learn_roundings()]
    calls = [one.call(relation) for one in again for relation in one.false()]
    found = _computed(pool, decide, calls)
    for one in again:
        one.results = [
            found.get(one.call(relation), old) for relation, old in zip(one.relations, one.results, strict=True)
        ]
    _judge_at_solutions(pool, holds_at, sources, notes)
    answers = [
        (
            given_answer(pair.answer) or final_answer(pair.source, source.decimal_comma),
            final_answer(pair.note, note.decimal_comma),
        )
        for pair, source, note in zip(pairs, sources, notes, strict=True)
    ]
    grades = _computed(pool, grade, [pair for pair in answers if all(pair)])
    return [_checked(*one, grades) for one in zip(sources, notes, answers, strict=True)]


@dataclass
class _Read:
    """A text with its relations and what is known of each."""

    text: str
    relations: list[Relation] = field(init=False)
    results: list[Any] = field(default_factory=list)
    at_solution: dict[Relation, str] = field(default_factory=dict)  # what was decided with the values of variables
    values_told: str = ""

    def __post_init__(self) -> None:
        self.decimal_comma = writes_decimal_comma(self.text)
        self.relations = relations(self.text, self.decimal_comma)
        about = [one for one in self.relations if one.sign == "≈"]
        self.rounded = {text for one in about for text in _DECIMAL.findall(f"{one.left} {one.right}")}

    def call(self, relation: Relation) -> tuple[Any, ...]:
        return relation.texts, relation.modulus, relation.approximate, tuple(sorted(self.rounded))

    def learn_roundings(self) -> bool:
        """Return whether decimals of true relations are roundings that were not known as such."""
        told = {text for result in self.results if isinstance(result, dict) for text in result["rounded"]}
        new = {text for text in told if "." in text} - self.rounded
        self.rounded |= new
        return bool(new)

    def verdict(self, place: int) -> str:
        relation, result = self.relations[place], self.results[place]
        if isinstance(result, NotMeasured):
            return NOT_MEASURED
        verdict = self.at_solution.get(relation, result["verdict"])
        return "undecidable" if verdict == "false" and not relation.claimed else str(verdict)

    def false(self) -> list[Relation]:
        return [one for place, one in enumerate(self.relations) if self.verdict(place) == "false"]

    def keys_of_false(self) -> dict[str, Relation]:
        return {
            self.results[place]["key"]: one
            for place, one in enumerate(self.relations)
            if self.verdict(place) == "false"
        }

    def counts(self) -> Counter[str]:
        counts = Counter(self.verdict(place) for place in range(len(self.relations)))
        counts["equations"] = len(self.relations)
        counts["decided"] = counts["true"] + counts["false"]
        counts["parsed"] = counts["decided"] + counts["undecidable"]
        return counts

    def values(self) -> dict[str, tuple[str, bool, str]]:
        """Return the text and the value of each variable that is given one value alone."""
        found: dict[str, dict[str, tuple[str, bool, str]]] = {}
        for relation, result in zip(self.relations, self.results, strict=True):
            if isinstance(result, dict) and result["assigned"] and relation.claimed:
                name, text, value = result["assigned"]
                found.setdefault(name, {})[value] = (text, relation.plain, value)
        return {name: next(iter(values.values())) for name, values in found.items() if len(values) == 1}

    def with_values(self, names: Iterable[str]) -> list[Relation]:
        """Return the equations that hold or do not where variables of these names have values."""
        return [
            relation
            for relation, result in zip(self.relations, self.results, strict=True)
            if isinstance(result, dict)
            and result["verdict"] == "undecidable"
            and relation.sign == "="
            and relation.claimed
            and result["names"]
            and {*result["names"]} <= {*names}
            and not result["assigned"]
        ]


def _computed(pool: GraderPool, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> dict[Any, Any]:
    different = [*dict.fromkeys(calls)]
    return dict(zip(different, pool.map(function, different), strict=True))


def _judge_at_solutions(
    pool: GraderPool, holds_at: Callable[..., str], sources: Sequence[_Read], notes: Sequence[_Read]
) -> None:
    """Decide equations at the values of their variables, where those of the source all hold at them."""
    asked: list[tuple[_Read, _Read, tuple[Any, ...], list[Relation], list[Relation]]] = []
    for source, note in zip(sources, notes, strict=True):
        ours, theirs = source.values(), note.values()
        shared = {name: ours[name] for name in ours if name in theirs and ours[name][2] == theirs[name][2]}
        models, judged = source.with_values(shared), note.with_values(shared)
        if models and judged:
            values = tuple((name, text, plain) for name, (text, plain, _) in shared.items())
            asked.append((source, note, values, models, judged))
    calls = [(one.texts, values) for _, _, values, models, judged in asked for one in (*models, *judged)]
    found = _computed(pool, holds_at, calls)
    for source, note, values, models, judged in asked:
        if all(found[one.texts, values] == "true" for one in models):
            source.at_solution = dict.fromkeys(models, "true")
            said = {one: found[one.texts, values] for one in judged}
            note.at_solution = {one: verdict for one, verdict in said.items() if verdict in ("true", "false")}
            note.values_told = ", ".join(f"{name} = {text}" for name, text, _ in values)


def _checked(source: _Read, note: _Read, answers: tuple[str, str], grades: dict[Any, Any]) -> MathCheck:
    scores = {f"source_{name}": float(count) for name, count in _told(source.counts()).items()}
    scores |= {name: float(count) for name, count in _told(note.counts()).items()}
    causes: list[str] = []
    reasons: list[str] = []
    remarks: list[str] = []
    ours, theirs = answers
    if ours:
        equal, why = _compared(ours, theirs, grades)
        if equal is not None:
            scores["answer_equal"] = float(equal)
        if why:
            causes.append("answer_not_verified" if equal is None else "wrong_answer")
            reasons.append(why)
    known = source.keys_of_false()
    faults = []
    for key, relation in note.keys_of_false().items():
        if key in known:
            remarks.append(f"the equation {relation} is false in the source too")
        elif relation in note.at_solution:
            faults.append(f"the equation {relation} of the note is false for {note.values_told}")
        else:
            faults.append(f"the equation {relation} of the note is false")
    remarks += [
        f"the equation {one} of the source is false" for key, one in known.items() if key not in note.keys_of_false()
    ]
    if faults:
        causes.append("false_equation")
        reasons += faults[:_SHOWN]
    for one, result in zip(note.relations, note.results, strict=True):
        if isinstance(result, NotMeasured):
            remarks.append(f"the equation {str(one)[:80]} of the note was not measured: {result.detail}")
    return MathCheck(causes[0] if causes else "", reasons, remarks[: 2 * _SHOWN], ours, theirs, scores)


def _told(counts: Counter[str]) -> dict[str, int]:
    names = ("equations", "parsed", "decided", "true", "false", "undecidable", NOT_MEASURED)
    return {name: counts[name] for name in names}


def _compared(ours: str, theirs: str, grades: dict[Any, Any]) -> tuple[bool | None, str]:
    """Return whether the final answers are equal, None where that was not measured; and what is wrong."""
    if not theirs:
        return False, f"the note states no final answer; the source's is {ours}"
    grade = grades[ours, theirs]
    if isinstance(grade, NotMeasured):
        if ours == theirs:
            return True, ""
        return None, f"the final answers {ours} and {theirs} were not compared: {grade.detail or grade.cause}"
    return bool(grade), "" if grade else f"the final answer of the note is {theirs}, that of the source is {ours}"
