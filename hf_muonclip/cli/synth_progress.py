"""How far a rephrasing is: a bar on a terminal, a line per shard elsewhere, and a table when it has ended."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ..common.text_table import aligned
from ..synth.answer_checks import CAUSES
from ..synth.generator import Generated
from ..synth.run import Progress

_SECONDS_BETWEEN_LINES = 60.0


class ProgressLine:
    """Says in a line how far a run is.

    Args:
        price: of a million tokens read and of a million written; None shows no cost.
    """

    def __init__(self, price: Sequence[float] | None) -> None:
        self.price = price
        self.progress = Progress()
        self._began = time.monotonic()
        self._before: int | None = None  # tokens of earlier runs
        self._under_way: list[Generated] = []  # answers whose shard is not done

    def on_shard(self, progress: Progress) -> None:
        """Take what is done."""
        self.progress, self._under_way = progress, []
        if self._before is None:
            self._began, self._before = time.monotonic(), progress.new_tokens

    def on_answer(self, answer: Generated) -> None:
        """Take an answer."""
        self._under_way.append(answer)

    def __str__(self) -> str:
        progress, under_way = self.progress, self._under_way
        read = progress.prompt_tokens + sum(answer.prompt_tokens for answer in under_way)
        written = progress.new_tokens + sum(answer.new_tokens for answer in under_way)
        speed = (written - (self._before or 0)) / max(time.monotonic() - self._began, 1e-9)
        causes = ", ".join(f"{cause} {count:,}" for cause, count in progress.causes.most_common() if cause)
        parts = [
            f"{progress.documents:,} of {progress.total:,} documents",
            f"{progress.kept:,} kept",
            f"{progress.dropped:,} dropped" + (f" ({causes})" if causes else ""),
            f"{written:,} tokens, {speed:,.0f} per second",
        ]
        if under_way:
            parts.append(f"{len(under_way):,} answers in this shard")
        if self.price:
            parts.append(f"cost {_cost(read, written, self.price):,.2f}")
        return " · ".join(parts)


@contextlib.contextmanager
def shown(price: Sequence[float] | None, console: Console) -> Iterator[ProgressLine]:
    """Show on a console what the line is told inside the block."""
    with _Lines(price, console) if not console.is_terminal else _Drawn(price, console) as line:
        yield line


class _Lines(ProgressLine):
    """Writes a line per shard, and one a minute in between."""

    def __init__(self, price: Sequence[float] | None, console: Console) -> None:
        super().__init__(price)
        self._console, self._written = console, time.monotonic()

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_shard(self, progress: Progress) -> None:
        super().on_shard(progress)
        self._write()

    def on_answer(self, answer: Generated) -> None:
        super().on_answer(answer)
        if time.monotonic() - self._written >= _SECONDS_BETWEEN_LINES:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        self._console.file.write(f"{self}\n")
        self._console.file.flush()


class _Drawn(ProgressLine):
    """Draws a bar of documents with the line below it, from the first call on: until then a model is loaded."""

    def __init__(self, price: Sequence[float] | None, console: Console) -> None:
        super().__init__(price)
        columns: list[Any] = [BarColumn(None), MofNCompleteColumn(), TextColumn("documents"), TimeRemainingColumn()]
        self._bar = Bar(*columns, console=console, expand=True)
        self._task = self._bar.add_task("", total=None)
        self._live = Live(get_renderable=lambda: Group(self._bar, Text(str(self))), console=console)

    def __enter__(self) -> "_Drawn":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def on_shard(self, progress: Progress) -> None:
        super().on_shard(progress)
        if not self._live.is_started:
            self._bar.reset(self._task, total=progress.total, completed=progress.documents)
            self._live.start()
        self._bar.update(self._task, completed=progress.documents)


def summary(progress: Progress, price: Sequence[float] | None, output: str) -> str:
    """Return what a run did, for the end: rephrasings by what became of them, and what kept tokens cost."""
    rows = [["kept", f"{progress.kept:,}", f"{progress.kept_tokens:,} tokens"]]
    rows += [[cause, f"{progress.causes[cause]:,}", CAUSES[cause]] for cause in CAUSES if progress.causes[cause]]
    lines = [f"{progress.documents:,} documents in {progress.shards} shards of {output}", *aligned(rows)]
    if price:
        cost = _cost(progress.prompt_tokens, progress.new_tokens, price)
        each = f", {cost / progress.kept_tokens * 1e6:,.2f} per million kept tokens" if progress.kept_tokens else ""
        lines.append(f"cost {cost:,.2f}{each}")
    return "\n".join(lines) + "\n"


def _cost(read: int, written: int, price: Sequence[float]) -> float:
    return (read * price[0] + written * price[1]) / 1e6
