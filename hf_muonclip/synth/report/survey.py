"""What the shards of a run hold: exact counts, and samples of bounded size of what a page can show only a part of.

Shards are read once, a few rows at a time.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy

from ..fidelity import DEFAULT
from ..rephraser import Rephrased
from ..run_folder import MANIFEST, Counts, counts_of, seconds_of_shards
from .differences import excerpts
from .near_duplicates import NO_REPEATS, DuplicateSample, Hashes, Repeats, run_hashes, word_hashes
from .reservoir import Reservoir

KEPT = ""
OTHER_CHECK = "other"  # of a gate of one's own, whose thresholds are not known
_ROWS = 16  # at a time: a text may be long
_EXAMPLES = 3  # of each kind
_PLACED = 1000  # rephrasings whose embeddings are shown
_PLACED_CHARACTERS = 4000  # of each text
_SAMPLED = 1000  # texts with which all later ones are compared
_COLUMNS = [one.name for one in fields(Rephrased)]


@dataclass(frozen=True)
class Example:
    """A source and its rewriting, or the parts of them for which it was dropped.

    Attributes:
        name: of the document.
        style: of the rephrasing.
        reasons: why it was dropped.
        source: a part of some thousand characters.
        rewritten: likewise.
    """

    name: str
    style: str
    reasons: list[str]
    source: str
    rewritten: str


@dataclass(frozen=True)
class Placed:
    """A rephrasing whose embedding is shown.

    Attributes:
        style: of the rephrasing.
        kept: whether it is kept.
        source: beginning of the document.
        rewritten: beginning of what was rewritten.
    """

    style: str
    kept: bool
    source: str
    rewritten: str


@dataclass
class OfStyle:
    """Rephrasings in one style.

    Attributes:
        rephrasings: all of them.
        kept: of these.
        length: sum over the kept ones of their words by their source's.
        novelty: sum over the kept ones of the share of their runs of three words that their source has not.
    """

    rephrasings: int = 0
    kept: int = 0
    length: float = 0.0
    novelty: float = 0.0


@dataclass
class Survey:
    """What a run's folder holds.

    Attributes:
        folder: that was read.
        manifest: of the run.
        shards: that are there.
        total: documents of all inputs; None where the manifest does not say.
        counts: of documents, causes and tokens.
        documents_kept: documents of which a rephrasing is kept.
        chunks: of all rephrasings that could be begun.
        chunks_kept: of kept ones.
        tokens_of: new tokens by cause; "" those of kept ones.
        checks: rephrasings by each check of the gate that they failed; one can fail several.
        styles: by name.
        seconds: in which answers were waited for, of shards where it is known.
        timed: counts of these shards.
        timed_shards: how many they are.
        examples: by cause, and by (cause, check) of what the gate dropped.
        placed: rephrasings whose embeddings are shown.
        documents_alike: near-duplicates among documents.
        kept_alike: near-duplicates among kept rephrasings.
    """

    folder: Path
    manifest: dict[str, Any]
    shards: int = 0
    total: int | None = None
    counts: Counts = field(default_factory=Counts)
    documents_kept: int = 0
    chunks: int = 0
    chunks_kept: int = 0
    tokens_of: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    styles: dict[str, OfStyle] = field(default_factory=dict)
    seconds: float = 0.0
    timed: Counts = field(default_factory=Counts)
    timed_shards: int = 0
    examples: dict[str | tuple[str, str], list[Example]] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)
    documents_alike: Repeats = NO_REPEATS
    kept_alike: Repeats = NO_REPEATS


def survey(folder: str | Path) -> Survey:
    """Return what the shards of a run hold that are there, whether it has ended or not.

    Args:
        folder: output of `run_rephrasing`.

    Raises:
        ValueError: the folder holds no run, or a shard is broken or lacks a column.
        OSError: a file cannot be read.
    """
    folder = Path(folder)
    found = Survey(folder, _manifest(folder))
    found.total = found.manifest.get("documents")
    seconds = seconds_of_shards(folder)
    reader = _Reader(found)
    for path in sorted(folder.glob("part-*.parquet")):
        counts = Counts()
        for rows in _batches(path):
            documents = sum(row["rephrasing"] == 0 for row in rows)
            counts.add(counts_of(documents, rows))
            for row in rows:
                reader.take(row)
        found.shards += 1
        found.counts.add(counts)
        if path.name in seconds:
            found.seconds += seconds[path.name]
            found.timed.add(counts)
            found.timed_shards += 1
    reader.end()
    return found


class _Reader:
    """Takes rows in the order of the shards, in which a document's follow each other."""

    def __init__(self, found: Survey) -> None:
        self.found = found
        self._examples: dict[str | tuple[str, str], Reservoir] = {}
        self._placed = Reservoir(_PLACED)
        self._documents, self._kept = DuplicateSample(_SAMPLED), DuplicateSample(_SAMPLED)
        self._source, self._source_words, self._source_runs = "", _no_hashes(), _no_hashes()
        self._counted = False  # whether the document at hand has a kept rephrasing already

    def take(self, row: dict[str, Any]) -> None:
        found = self.found
        if row["rephrasing"] == 0:
            self._counted = False
            self._begin("".join(row["chunks"]))
            self._documents.add(row["source_id"], self._source, self._source_runs)
        if row["kept"] and not self._counted:
            found.documents_kept += 1
            self._counted = True
        found.chunks += len(row["chunks"])
        found.chunks_kept += len(row["chunks"]) if row["kept"] else 0
        found.tokens_of[row["cause"]] += row["new_tokens"]
        style = found.styles.setdefault(row["style"], OfStyle())
        style.rephrasings += 1
        if row["kept"]:
            words = word_hashes(row["text"])
            runs = run_hashes(words)
            style.kept += 1
            style.length += len(words) / max(len(self._source_words), 1)
            style.novelty += float((~numpy.isin(runs, self._source_runs)).mean()) if len(runs) else 0.0
            self._kept.add(f"{row['source_id']}, {row['style']}", row["text"], runs)
        self._take_example(row["cause"], row)
        if row["cause"] == "unfaithful":
            for check in failed_checks(row):
                found.checks[check] += 1
                self._take_example(("unfaithful", check), row)
        if row["rewritten"] and (place := self._placed.place()) is not None:
            rewritten = "".join(row["rewritten"])[:_PLACED_CHARACTERS]
            self._placed.put(
                place, Placed(row["style"], row["kept"], self._source[:_PLACED_CHARACTERS].strip(), rewritten.strip())
            )

    def end(self) -> None:
        self.found.examples = {kind: held.items for kind, held in self._examples.items()}
        self.found.placed = self._placed.items
        self.found.documents_alike, self.found.kept_alike = self._documents.repeats(), self._kept.repeats()

    def _begin(self, source: str) -> None:
        self._source, self._source_words = source, word_hashes(source)
        self._source_runs = run_hashes(self._source_words)

    def _take_example(self, kind: str | tuple[str, str], row: dict[str, Any]) -> None:
        if not row["chunks"] and not row["reasons"]:
            return
        held = self._examples.setdefault(kind, Reservoir(_EXAMPLES))
        if (place := held.place()) is not None:
            source, rewritten = excerpts(*told_pair(row))
            held.put(place, Example(row["source_id"], row["style"], row["reasons"], source, rewritten))


def failed_checks(row: dict[str, Any]) -> list[str]:
    """Return the checks that an unfaithful row's scores show as failed, by the gate's own thresholds.

    "judge" where a judge objected, "other" where no score tells: of a gate of one's own.
    """
    scores: dict[str, float] = json.loads(row["scores"])
    limits = {one.name: getattr(DEFAULT, one.name) for one in fields(DEFAULT)} | {"judge": 1.0}
    return [name for name, score in scores.items() if score < limits.get(name, float("-inf"))] or [OTHER_CHECK]


def told_pair(row: dict[str, Any]) -> tuple[str, str]:
    """Return the source and the rewriting that a row's verdict is about: of the last chunk, or of the whole."""
    chunks, rewritten = row["chunks"], row["rewritten"]
    of_a_chunk = any(reason.startswith(f"chunks[{len(rewritten) - 1}]: ") for reason in row["reasons"])
    if rewritten and of_a_chunk:
        return chunks[len(rewritten) - 1].strip(), rewritten[-1].strip()
    return "".join(chunks).strip(), "".join(rewritten).strip()


def _no_hashes() -> Hashes:
    return numpy.array([], dtype=numpy.uint64)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} holds no run: it has no {MANIFEST}. Name the OUTPUT of hf-muonclip synth rephrase.")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the manifest of a run: {error}. Name another folder.") from error


def _batches(path: Path) -> Iterator[Sequence[dict[str, Any]]]:
    """Yield a shard's rows, a few at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if missing := [name for name in _COLUMNS if name not in file.schema_arrow.names]:
                raise ValueError(
                    f"{path} must have the columns of a run; it lacks {missing}. Move it away and run again to have it "
                    "written anew."
                )
            for batch in file.iter_batches(_ROWS, columns=_COLUMNS):
                yield batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is broken: {error}. Remove it and run again to have it written anew.") from error
