"""Learning notes and translations of mathematical texts, of which no wrong answer and no false equation is kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ..common.graders.grader_pool import GraderPool
from .answer_checks import Fault, answer_fault, document_fault, unwrapped
from .facts.meta_text import meta_text
from .generator import Refused
from .math_styles import MATH_STYLES, TRANSLATION, math_chat
from .mathematics.check import MathCheck, Pair, check_pairs
from .mathematics.final_answer import final_answer, given_answer
from .mathematics.numerals import compare_numerals
from .mathematics.prose import foreign, language, writes_decimal_comma
from .rephraser import text_or_none
from .run_folder import code_of_this_folder
from .styles import Style, checked_styles, digest

if TYPE_CHECKING:
    from datasets import Features

    from .documents import Document
    from .generator import Generator

MOST_FOREIGN = 0.03  # share of a note that may be in another language, as in `check_fidelity`
_SHOWN = 5  # numbers in a reason


@dataclass(frozen=True)
class MathNote:
    """One note of one text, kept or dropped.

    Attributes:
        source_id: of the text: what its row says, or a hash of it.
        style: name of its style.
        text: the note; "" where it is dropped.
        source: the text that it is of, with its problem.
        source_language: in English; "" where too few words tell.
        note: what was answered, also where it is dropped.
        source_answer: the final answer of the source; "" where it has none.
        note_answer: that of the note.
        kept: whether it passed all checks.
        cause: why it was dropped, one of `CAUSES`; "" where it is kept.
        reasons: the same in sentences.
        remarks: what is told besides: equations that are false in the source too, and what was not measured.
        scores: of `check_math`, "numbers_kept" and "english" or "same_language"; empty where no note was checked.
        prompt_tokens: of its chat.
        new_tokens: of its answer.
    """

    source_id: str
    style: str
    text: str
    source: str
    source_language: str
    note: str
    source_answer: str
    note_answer: str
    kept: bool
    cause: str
    reasons: list[str]
    remarks: list[str]
    scores: dict[str, float]
    prompt_tokens: int
    new_tokens: int


class MathNotes:
    """Makes notes of mathematical texts, one by one or as the batches of `map`.

        notes = MathNotes(generator, column="solution", problem_column="problem", answer_column="answer")
        dataset.map(notes, batched=True, remove_columns=dataset.column_names, features=notes.features)

    A text is one chat as a whole: what it computes first is used to its end. An answer must be finished, not empty, no
    loop, no echo, in its language, and without words about itself; its final answer must be found equal to that of the
    source by math-verify, where the source has one; and no equation of it may be false that is not so in the source
    (`check_math`). A translation must have the numbers of its source and no others. What is not shown to be false is
    kept, and how much was parsed, decided and true stands in `scores`. Each text gives one row per style in any case,
    also one that is empty, binary or no text.

    All depends on a text, the settings and the generator alone, and on deadlines: an equation that is not decided
    within the pool's is "not measured" and drops nothing. An answer that is not compared in time drops its note.

    **A generator that fails raises GenerationError**, as with `Rephraser`, whose caching and resuming hold here too.

    Args:
        generator: answers chats.
        column: of solutions, or of documents.
        problem_column: of the problems that they are of; None where texts hold all.
        answer_column: of right final answers; None takes the one that a text states, if it states one.
        id_column: of a name for each; None takes a hash of its text.
        styles: of `MATH_STYLES`, by name too, or one's own; each name once. One row each.
        most_characters: of a text with its problem; a longer one is dropped.
        seed: of sampling.
        pool: of worker processes that compute; None for one that is shared, with 10 seconds for each equation.

    Raises:
        ValueError: a number is not positive, or styles are unknown, none, or named twice.
    """

    def __init__(
        self,
        generator: "Generator",
        *,
        column: str = "text",
        problem_column: str | None = None,
        answer_column: str | None = None,
        id_column: str | None = None,
        styles: Sequence[Style | str] = ("learning_note",),
        most_characters: int = 20_000,
        seed: int = 0,
        pool: GraderPool | None = None,
    ) -> None:
        if most_characters < 1:
            raise ValueError(f"most_characters must be 1 or more; got {most_characters!r}.")
        self.generator, self.pool = generator, pool
        self.column, self.problem_column, self.answer_column = column, problem_column, answer_column
        self.id_column, self.title_column = id_column, None
        self.styles = checked_styles(styles, MATH_STYLES)
        self.most_characters, self.seed = most_characters, seed
        self.code = code_of_this_folder()

    @property
    def more_columns(self) -> tuple[str, ...]:
        """Columns that it reads besides those of documents."""
        return tuple(filter(None, (self.problem_column, self.answer_column)))

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Return a row per style and row of a batch, as columns; scores are JSON.

        Raises:
            ValueError: a column is missing, or the batch is a single row. Nothing is generated before.
            GenerationError: the generator could not answer.
        """
        for name in filter(None, (self.column, self.id_column, *self.more_columns)):
            if name not in batch:
                raise ValueError(f"the dataset must have a column {name!r}; it has {sorted(batch)}. Name another.")
        texts = batch[self.column]
        if isinstance(texts, str):
            raise ValueError(f"{self.column!r} must be a list of texts; got one. Call map with batched=True.")
        found = self.notes(
            texts,
            problems=batch[self.problem_column] if self.problem_column else None,
            answers=batch[self.answer_column] if self.answer_column else None,
            ids=batch[self.id_column] if self.id_column else None,
        )
        rows = [{**vars(row), "scores": json.dumps(row.scores, sort_keys=True)} for row in found]
        return {field.name: [row[field.name] for row in rows] for field in fields(MathNote)}

    @property
    def features(self) -> "Features":
        """The columns of results, for `map`: lists that are empty in all of a first batch do not tell their type."""
        from datasets import Features, List, Value

        others = {"kept": "bool", "prompt_tokens": "int64", "new_tokens": "int64"}
        return Features(
            {
                field.name: List(Value("string"))
                if field.name in ("reasons", "remarks")
                else Value(others.get(field.name, "string"))
                for field in fields(MathNote)
            }
        )

    def results(self, documents: Sequence["Document"]) -> list[MathNote]:
        """Return the notes of documents of files, as `notes` does."""
        return self.notes(
            [one.text for one in documents],
            problems=[one.more[self.problem_column] for one in documents] if self.problem_column else None,
            answers=[one.more[self.answer_column] for one in documents] if self.answer_column else None,
            ids=[one.name for one in documents],
        )

    def settings(self) -> dict[str, Any]:
        """Return all that decides what it makes, for a run's manifest."""
        names = ("column", "problem_column", "answer_column", "id_column", "most_characters", "seed")
        limits = None if self.pool is None else [self.pool.workers, self.pool.deadline, self.pool.memory]
        return {
            "kind": "math-notes",
            "generator": self.generator.identity,
            "styles": [vars(style) for style in self.styles],
            **{name: getattr(self, name) for name in names},
            "pool": limits,
            "code": self.code,
        }

    def notes(
        self,
        texts: Sequence[Any],
        *,
        problems: Sequence[Any] | None = None,
        answers: Sequence[Any] | None = None,
        ids: Sequence[Any] | None = None,
    ) -> list[MathNote]:
        """Return a note per style of each text, in order.

        Args:
            texts: solutions or documents.
            problems: that they are of.
            answers: right final answers: numbers, texts, or solutions that end in one.
            ids: names.

        Raises:
            GenerationError: the generator could not answer.
        """
        sources = [
            _Source(text, problems and problems[place], answers and answers[place], text_or_none(ids, place), self)
            for place, text in enumerate(texts)
        ]
        rows = [source.row(style) for source in sources for style in self.styles]
        owners = [source for source in sources for _ in self.styles]
        asked = [place for place, row in enumerate(rows) if not row.cause]
        styles = {style.name: style for style in self.styles}
        chats = [owners[place].chat(styles[rows[place].style]) for place in asked]
        seeds = [int(digest(f"{self.seed} {owners[i].key} {rows[i].style}")[:8], 16) >> 1 for i in asked]
        generated = self.generator.generate(chats, seeds) if chats else []
        if len(generated) != len(chats):
            raise ValueError(f"a generator must give one answer per chat; got {len(generated)} to {len(chats)}.")
        to_check: list[int] = []
        for place, answer in zip(asked, generated, strict=True):
            if isinstance(answer, Refused):
                rows[place] = _dropped(rows[place], Fault(answer.cause, [answer.reason]))
                continue
            note = unwrapped(answer.text)
            fault = answer_fault(note, answer.finished, owners[place].whole, "", "")
            written = note.encode(errors="replace").decode()  # so that the row can be written
            row = replace(rows[place], note=written, prompt_tokens=answer.prompt_tokens, new_tokens=answer.new_tokens)
            rows[place] = _dropped(row, fault) if fault else row
            to_check += [] if fault else [place]
        pairs = [Pair(owners[place].whole, rows[place].note, owners[place].answer or None) for place in to_check]
        for place, check in zip(to_check, check_pairs(pairs, self.pool) if pairs else [], strict=True):
            rows[place] = _judged(rows[place], check)
        return rows


class _Source:
    """A text and what its notes share."""

    def __init__(self, text: Any, problem: Any, answer: Any, name: str | None, settings: MathNotes) -> None:
        self.problem = problem.strip() if isinstance(problem, str) else ""
        self.text = text
        whole = f"{self.problem}\n\n{text}" if self.problem and isinstance(text, str) else text
        self.fault = document_fault(whole, settings.most_characters)
        if settings.problem_column and self.fault is None and not self.problem:
            self.fault = Fault("empty", [f"its problem holds no text but {problem!r}"])
        if self.fault is None and not text.strip():
            self.fault = Fault("empty", [f"{len(text)} characters hold nothing but white space"])
        self.key = digest(whole) if isinstance(whole, str) else digest(repr(type(whole)))
        self.name = self.key[:16] if name is None else name
        self.whole = whole if self.fault is None else ""
        self.language = language(self.whole)
        self.answer = "" if self.fault else given_answer(answer)
        self.answer = self.answer or final_answer(self.whole, writes_decimal_comma(self.whole))

    def row(self, style: Style) -> MathNote:
        """Return the row of a note that is not made yet, dropped where it cannot be."""
        row = MathNote(
            *(self.name, style.name, "", self.whole, self.language, "", self.answer, "", False, "", [], [], {}, 0, 0)
        )
        fault = self.fault
        if fault is None and style.name == TRANSLATION and self.language == "English":
            fault = Fault("already_english", ["most of the frequent words of the text are English"])
        return _dropped(row, fault) if fault else row

    def chat(self, style: Style) -> list[dict[str, str]]:
        """Return the chat that asks for a note."""
        return math_chat(self.text.strip(), style, problem=self.problem, answer=self.answer)


def _dropped(row: MathNote, fault: Fault) -> MathNote:
    return replace(row, text="", kept=False, cause=fault.cause, reasons=fault.reasons)


def _judged(row: MathNote, check: MathCheck) -> MathNote:
    """Return a row with its verdict: all that is wrong in `reasons`, the first of it as cause."""
    translation = row.style == TRANSLATION
    faults = (
        [Fault("meta_text", [f'"{said}" speaks of the note, not of mathematics'])]
        if (said := _about_itself(row.source, row.note))
        else []
    )
    share, where = foreign(row.note, None if translation else row.source)
    own = language(row.note) if translation else ""
    if share > MOST_FOREIGN or own not in ("", "English"):
        faults.append(Fault("language", [f"{share:.0%} of the note is not in its language: {where or own}"]))
    if check.cause:
        faults.append(Fault(check.cause, check.reasons))
    numbers = compare_numerals(row.source, row.note)
    if translation and (numbers.missing or numbers.new):
        told = [f"the number {text} of the source is missing" for text in numbers.missing[:_SHOWN]]
        told += [f"the number {text} is not in the source" for text in numbers.new[:_SHOWN]]
        faults.append(Fault("numbers", told))
    scores = {**check.scores, "numbers_kept": numbers.kept, "language": 1 - share}
    row = replace(row, note_answer=check.note_answer, remarks=check.remarks, scores=scores)
    if faults:
        return _dropped(row, Fault(faults[0].cause, [reason for fault in faults for reason in fault.reasons]))
    return replace(row, text=row.note, kept=True)


def _about_itself(source: str, note: str) -> str:
    """Return the words in which a note speaks of itself or refuses; "Answer:" and "Note:" belong to notes."""
    said = meta_text(source, note)
    return (
        "" if said.strip(" #*\n").lower().startswith(("answer", "note", "explanation", "summary", "solution")) else said
    )
