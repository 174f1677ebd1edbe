"""Documents in other words: chunk by chunk, each after what was already rewritten, checked, and joined again.

Many documents advance together, a chunk of each at a time, so that the generator's batches are full.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from .answer_checks import ALIKE, Fault, answer_fault, document_fault, likeness, shingles, unwrapped
from .chunks import Chunk, cut, first_heading
from .generator import GenerationError, Refused
from .run_folder import code_of_this_folder, fingerprint
from .sentence_ends import last_sentences
from .styles import STYLES, Style, assign_styles, chat_for, checked_styles, digest

if TYPE_CHECKING:
    from datasets import Features

    from . import generator as generators
    from .documents import Document

CONTEXT = 600  # characters of the text before that a chat shows, at most


class Verdict(Protocol):
    """What a gate says, as `Fidelity` does."""

    @property
    def faithful(self) -> bool:
        """Whether the rewriting says what the source says."""

    @property
    def scores(self) -> dict[str, float]:
        """What was measured."""

    @property
    def reasons(self) -> list[str]:
        """Why it is not faithful."""


Gate = Callable[[str, str], Verdict]


def fidelity_gate(source: str, rewritten: str) -> Verdict:
    """Return the verdict of `check_fidelity` with its own thresholds."""
    from .fidelity import check_fidelity

    return check_fidelity(source, rewritten)


@dataclass(frozen=True)
class Rephrased:
    """One rephrasing of one document, kept or dropped.

    Attributes:
        source_id: of the document: what its row says, or a hash of its text.
        style: name of its style.
        rephrasing: its number, from 0.
        text: all of `rewritten` joined; "" where it is dropped.
        chunks: of the source; joined, they are the document. Empty where it could not be rewritten at all.
        rewritten: what stands for each of them; of a dropped rephrasing up to the answer for which it was dropped.
        kept: whether it passed all checks.
        cause: why it was dropped, one of `CAUSES`; "" where it is kept.
        reasons: the same in sentences, with the number of the chunk where it is about one.
        scores: of the gate: of the whole, or of the chunk that failed.
        prompt_tokens: of all its chats.
        new_tokens: of all its answers.
    """

    source_id: str
    style: str
    rephrasing: int
    text: str
    chunks: list[str]
    rewritten: list[str]
    kept: bool
    cause: str
    reasons: list[str]
    scores: dict[str, float]
    prompt_tokens: int
    new_tokens: int


def rephrase(
    document: str,
    generator: "generators.Generator",
    *,
    styles: Sequence[Style | str] = STYLES,
    rephrasings: int = 1,
    chunk_size: int = 2000,
    size: Callable[[str], int] = len,
    seed: int = 0,
    gate: Gate | None = fidelity_gate,
) -> list[Rephrased]:
    """Return rephrasings of one document, kept and dropped ones; `Rephraser` says how they are made.

    Raises:
        ValueError: a setting is out of range.
        GenerationError: the generator could not answer.
    """
    rephraser = Rephraser(
        generator,
        styles=styles,
        rephrasings=rephrasings,
        chunk_size=chunk_size,
        size=size,
        seed=seed,
        gate=gate,
    )
    return rephraser.rephrased([document])


class Rephraser:
    """Rephrases documents, one by one or as the batches of `map`.

        rephraser = Rephraser(generator, rephrasings=4)
        dataset.map(rephraser, batched=True, remove_columns=dataset.column_names, features=rephraser.features)

    A document is cut into chunks (`chunks.cut`). The chat for a chunk shows the end of what was rewritten before it and
    the document's title, and asks for the chunk alone. Around each answer stays the white space of the source, and
    what is no prose stays as it is: headings, code, tables, formulas.

    An answer must be finished, not empty, no loop, no echo, no repetition of the text before (`answer_checks`), and
    pass the gate. **The first one that does not drops its rephrasing, and nothing more is generated for it**: a text
    that is kept was checked all through. The joined text must pass the gate too, and a rephrasing that is like an
    earlier one that was kept is dropped. Each document gives `rephrasings` results in any case, also one that is empty,
    binary or no text.

    All depends on a document's text, the settings and the generator alone: not on its place, its batch, the number of
    processes. Equal documents get equal rephrasings.

    A chat that the generator refuses, because it is too long or for what it holds, drops its rephrasing too. **A
    generator that fails raises GenerationError**: nothing is returned then, for an item that could not be generated is
    neither done nor dropped. What was answered is not lost: a generator with a response cache has written each
    answer, also of the chunks before, and the next call pays only for those that are missing.

    `datasets` names a result by what the callable is made of. That is all here: settings, prompts, gate and generator
    (which must pickle without the model it has loaded), and a hash of this folder's code for what modules hold.

    Args:
        generator: answers chats.
        column: of the documents.
        id_column: of a name for each; None takes a hash of its text.
        title_column: of titles that chats show; None takes the first heading.
        styles: of `STYLES`, by name too, or one's own; each name once.
        rephrasings: of each document.
        chunk_size: of a chunk at most, in the unit of `size`.
        size: of a text: characters, or a tokenizer's count; it must pickle for several processes.
        most_characters: of a document; a longer one is dropped.
        seed: of styles and sampling.
        gate: from a source and a rewriting to a verdict; None has no gate, and only what an answer shows by itself is
            checked.

    Raises:
        ValueError: a number is not positive, or styles are unknown, none, or named twice.
    """

    def __init__(
        self,
        generator: "generators.Generator",
        *,
        column: str = "text",
        id_column: str | None = None,
        title_column: str | None = None,
        styles: Sequence[Style | str] = STYLES,
        rephrasings: int = 1,
        chunk_size: int = 2000,
        size: Callable[[str], int] = len,
        most_characters: int = 1_000_000,
        seed: int = 0,
        gate: Gate | None = fidelity_gate,
    ) -> None:
        for name, value in (
            ("rephrasings", rephrasings),
            ("chunk_size", chunk_size),
            ("most_characters", most_characters),
        ):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more; got {value!r}.")
        self.generator, self.gate = generator, gate
        self.column, self.id_column, self.title_column = column, id_column, title_column
        self.styles = checked_styles(styles)
        self.rephrasings, self.seed = rephrasings, seed
        self.chunk_size, self.size, self.most_characters = chunk_size, size, most_characters
        self.code = code_of_this_folder()

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Return `rephrasings` rows per row of a batch, as columns; scores are JSON, for gates differ in theirs.

        Raises:
            ValueError: a column is missing, or the batch is a single row. Nothing is generated before.
            GenerationError: the generator could not answer.
        """
        for name in filter(None, (self.column, self.id_column, self.title_column)):
            if name not in batch:
                raise ValueError(f"the dataset must have a column {name!r}; it has {sorted(batch)}. Name another.")
        documents = batch[self.column]
        if isinstance(documents, str):
            raise ValueError(f"{self.column!r} must be a list of documents; got one. Call map with batched=True.")
        found = self.rephrased(
            documents,
            ids=batch[self.id_column] if self.id_column else None,
            titles=batch[self.title_column] if self.title_column else None,
        )
        rows = [{**vars(row), "scores": json.dumps(row.scores, sort_keys=True)} for row in found]
        return {field.name: [row[field.name] for row in rows] for field in fields(Rephrased)}

    @property
    def features(self) -> "Features":
        """The columns of results, for `map`: lists that are empty in all of a first batch do not tell their type."""
        from datasets import Features, List, Value

        texts = ("chunks", "rewritten", "reasons")
        others = {"rephrasing": "int64", "kept": "bool", "prompt_tokens": "int64", "new_tokens": "int64"}
        return Features(
            {
                field.name: List(Value("string")) if field.name in texts else Value(others.get(field.name, "string"))
                for field in fields(Rephrased)
            }
        )

    def rephrased(
        self,
        documents: Sequence[Any],
        ids: Sequence[Any] | None = None,
        titles: Sequence[Any] | None = None,
    ) -> list[Rephrased]:
        """Return all rephrasings of each document, in order; documents advance together.

        Raises:
            GenerationError: the generator could not answer.
        """
        sources = [
            _Source(document, text_or_none(ids, place), text_or_none(titles, place), self)
            for place, document in enumerate(documents)
        ]
        jobs = [
            self._rewriting(source, style, number)
            for source in sources
            for number, style in enumerate(assign_styles(source.key, self.rephrasings, self.styles, self.seed))
        ]
        results = _together(jobs, self.generator)
        found: list[Rephrased] = []
        for place, source in enumerate(sources):
            own = results[place * self.rephrasings : (place + 1) * self.rephrasings]
            found += _without_alike(own, source.chunks)
        return found

    def results(self, documents: Sequence["Document"]) -> list[Rephrased]:
        """Return the rephrasings of documents of files, as `rephrased` does."""
        return self.rephrased(
            [one.text for one in documents],
            ids=[one.name for one in documents],
            titles=[one.title for one in documents],
        )

    def settings(self) -> dict[str, Any]:
        """Return all that decides what it makes, for a run's manifest."""
        names = ("column", "id_column", "title_column", "rephrasings", "chunk_size", "most_characters", "seed")
        return {
            "generator": self.generator.identity,
            "gate": None if self.gate is None else fingerprint(self.gate),
            "styles": [vars(style) for style in self.styles],
            **{name: getattr(self, name) for name in names},
            "size": fingerprint(self.size),
            "code": self.code,
        }

    @property
    def more_columns(self) -> tuple[str, ...]:
        """Columns that it reads besides those of documents: none."""
        return ()

    def _rewriting(self, source: "_Source", style: Style, number: int) -> "_Job":
        """Yield a chat and its seed for each chunk in turn, take its answer, and return the result."""
        result = Rephrased(source.name, style.name, number, "", [], [], False, "", [], {}, 0, 0)
        if source.fault:
            return replace(result, cause=source.fault.cause, reasons=source.fault.reasons)
        rewritten: list[str] = []
        tokens = [0, 0]
        result = replace(result, chunks=[chunk.text for chunk in source.chunks], rewritten=rewritten)
        before = preceding = ""  # the end of what was rewritten, and of its source
        verdict: Verdict | None = None
        for place, chunk in enumerate(source.chunks):
            text = chunk.text
            if not chunk.verbatim:
                passage = chunk.text.strip()
                written = last_sentences(before, CONTEXT)
                chat = chat_for(passage, style, written=written, title=source.title)
                answer = yield chat, self._seed_of(source, number, place)
                if isinstance(answer, Refused):
                    reasons = [f"chunks[{place}]: {answer.reason}"]
                    return replace(_counted(result, tokens), cause=answer.cause, reasons=reasons)
                tokens = [tokens[0] + answer.prompt_tokens, tokens[1] + answer.new_tokens]
                own = unwrapped(answer.text)
                text = chunk.text.replace(passage, own, 1)
                fault = answer_fault(own, answer.finished, passage, written, preceding)
                if fault is None and self.gate is not None:
                    verdict = self.gate(passage, own)
                    fault = None if verdict.faithful else Fault("unfaithful", verdict.reasons)
                    result = replace(result, scores=dict(verdict.scores))
                if fault:
                    if fault.cause == "not_utf8":
                        text = text.encode(errors="replace").decode()  # so that the row can be written
                    reasons = [f"chunks[{place}]: {reason}" for reason in fault.reasons]
                    return replace(
                        _counted(result, tokens), cause=fault.cause, reasons=reasons, rewritten=[*rewritten, text]
                    )
            rewritten.append(text)
            before = (before + text)[-2 * CONTEXT :]
            preceding = (preceding + chunk.text)[-CONTEXT:]
        result = replace(_counted(result, tokens), text="".join(rewritten), kept=True)
        if self.gate is not None and len(source.chunks) > 1:
            verdict = self.gate(source.document, result.text)
            result = replace(result, scores=dict(verdict.scores))
            if not verdict.faithful:
                result = replace(result, text="", kept=False, cause="unfaithful", reasons=list(verdict.reasons))
        return result

    def _seed_of(self, source: "_Source", number: int, place: int) -> int:
        return int(digest(f"{self.seed} {source.key} {number} {place}")[:8], 16) >> 1  # 31 bits, which all engines take


_Job = Generator[tuple[list[dict[str, str]], int], "generators.Generated | Refused", Rephrased]


class _Source:
    """A document and what all its rephrasings share."""

    def __init__(self, document: Any, name: str | None, title: str | None, settings: Rephraser) -> None:
        self.document = document
        self.key = digest(document) if isinstance(document, str) else digest(repr(type(document)))
        self.name = self.key[:16] if name is None else name
        self.fault = document_fault(document, settings.most_characters)
        self.chunks: list[Chunk] = [] if self.fault else cut(document, settings.chunk_size, settings.size)
        if not self.fault and all(chunk.verbatim for chunk in self.chunks):
            count = len(self.chunks)
            self.fault = Fault("nothing_to_rewrite", [f"none of the document's {count} chunks is prose to rewrite"])
        self.title = "" if self.fault else title or first_heading(document)


def _together(jobs: Sequence[_Job], generator: "generators.Generator") -> list[Rephrased]:
    """Return what each job returns; the next chats of all that go on are one batch of the generator."""
    results: dict[int, Rephrased] = {}
    asked: dict[int, tuple[list[dict[str, str]], int]] = {}

    def go_on(place: int, answer: "generators.Generated | Refused | None") -> None:
        try:
            asked[place] = next(jobs[place]) if answer is None else jobs[place].send(answer)
        except StopIteration as ended:
            results[place] = ended.value
            asked.pop(place, None)

    for place in range(len(jobs)):
        go_on(place, None)
    while asked:
        places = [*asked]
        try:
            answers = generator.generate([asked[place][0] for place in places], [asked[place][1] for place in places])
        except GenerationError as error:
            error.add_note(
                f"{len(results)} of {len(jobs)} rephrasings of this batch were finished. None is returned: answers "
                "that a response cache holds are not paid for again when the same batch is rephrased."
            )
            raise
        if len(answers) != len(places):
            raise ValueError(f"a generator must give one answer per chat; got {len(answers)} to {len(places)}.")
        for place, answer in zip(places, answers, strict=True):
            go_on(place, answer)
    return [results[place] for place in range(len(jobs))]


def _without_alike(found: Sequence[Rephrased], chunks: Sequence[Chunk]) -> list[Rephrased]:
    """Return a document's rephrasings; those like an earlier one that is kept are dropped."""
    words: dict[int, frozenset[tuple[str, ...]]] = {}
    checked = []
    for row in found:
        if row.kept and len(found) > 1:
            prose = [text for text, chunk in zip(row.rewritten, chunks, strict=True) if not chunk.verbatim]
            own = shingles("\n".join(prose))
            like, first = max(((likeness(own, other), number) for number, other in words.items()), default=(0.0, 0))
            if like >= ALIKE:
                said = f"{like:.0%} of its runs of three words are those of rephrasing {first}"
                row = replace(row, kept=False, text="", cause="alike", reasons=[said])
            else:
                words[row.rephrasing] = own
        checked.append(row)
    return checked


def _counted(result: Rephrased, tokens: Sequence[int]) -> Rephrased:
    return replace(result, prompt_tokens=tokens[0], new_tokens=tokens[1])


def text_or_none(values: Sequence[Any] | None, place: int) -> str | None:
    """Return a value of a column as text; None where there is no column or no value."""
    return None if values is None or values[place] is None else str(values[place])
