"""Which shares of the equations and answers of notes were parsed, decided, true and verified."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.text_table import aligned

_EQUATIONS = ("equations", "parsed", "decided", "true", "false", "undecidable", "not_measured")


@dataclass(frozen=True)
class MathShares:
    """Counts of the notes that were checked, kept or not; as a text, their shares.

    Attributes:
        notes: that were checked: those with an answer that is not dropped for what it is.
        equations: of all notes: found, parsed and so on, as `check_math` counts them.
        source_equations: likewise of their sources.
        with_answer: notes of sources that have a final answer.
        equal: of them, those whose answer math-verify finds equal.
        different: those that have another answer or none.
    """

    notes: int
    equations: Counter[str]
    source_equations: Counter[str]
    with_answer: int
    equal: int
    different: int

    def __str__(self) -> str:
        return "\n".join(
            [
                *aligned([*self._rows("equations of notes", self.equations)]),
                *aligned([*self._rows("equations of sources", self.source_equations)]),
                f"final answers of {self.with_answer:,} notes: {self.equal:,} verified "
                f"({_share(self.equal, self.with_answer)}), {self.different:,} different or missing, "
                f"{self.with_answer - self.equal - self.different:,} not compared",
            ]
        )

    def _rows(self, name: str, counts: Counter[str]) -> Iterable[list[str]]:
        found, parsed, decided = counts["equations"], counts["parsed"], counts["decided"]
        yield [name, f"{found:,} found", f"{found / self.notes:.1f} per note" if self.notes else ""]
        yield ["  parsed", f"{parsed:,}", f"{_share(parsed, found)} of found"]
        yield ["  decided", f"{decided:,}", f"{_share(decided, parsed)} of parsed"]
        yield ["  true", f"{counts['true']:,}", f"{_share(counts['true'], decided)} of decided"]
        yield ["  not measured", f"{counts['not_measured']:,}", "neither true nor false"]


def shares_of(folder: str | Path) -> MathShares:
    """Return the shares of all shards of a run in a folder.

    Raises:
        FileNotFoundError: it holds no shard.
    """
    import pyarrow.parquet

    shards = sorted(Path(folder).glob("part-*.parquet"))
    if not shards:
        raise FileNotFoundError(f"{folder} holds no part-*.parquet. Name the folder of a run.")
    columns = ["scores", "source_answer"]

    def rows() -> Iterable[Mapping[str, Any]]:
        for shard in shards:
            for batch in pyarrow.parquet.ParquetFile(shard).iter_batches(1024, columns=columns):
                yield from batch.to_pylist()

    return shares_of_rows(rows())


def shares_of_rows(rows: Iterable[Mapping[str, Any]]) -> MathShares:
    """Return the shares of rows of notes, read once.

    Args:
        rows: with "scores", as JSON or a dict, and "source_answer".
    """
    notes = with_answer = equal = different = 0
    of_notes: Counter[str] = Counter()
    of_sources: Counter[str] = Counter()
    for row in rows:
        scores = json.loads(row["scores"]) if isinstance(row["scores"], str) else row["scores"]
        if "equations" not in scores:
            continue
        notes += 1
        for name in _EQUATIONS:
            of_notes[name] += int(scores[name])
            of_sources[name] += int(scores[f"source_{name}"])
        if row["source_answer"]:
            with_answer += 1
            equal += scores.get("answer_equal") == 1
            different += scores.get("answer_equal") == 0
    return MathShares(notes, of_notes, of_sources, with_answer, equal, different)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
