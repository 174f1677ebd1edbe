"""The history of every head in a run, read from its log as it grows, for the page and the terminal."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..common.name_ranges import layer_labels
from .log import LogReader, shown_name

# A rogue head is one of those that need the clip again and again while the others do not.
ROGUE_SHARE_OF_LOGS = 0.1


@dataclass(frozen=True)
class Head:
    """One head's figures over the run.

    Attributes:
        layer: number of its attention module, from 0, among those that have heads.
        head: number in its layer, from 0.
        module: name of the attention module.
        highest: highest max logit measured; nan if it was never measured exactly.
        clips: steps in which it was clipped.
        rogue: whether it was clipped before at least a tenth of the logs.
        first: (earliest, latest) step in which its first clip can have been, equal where every step was logged; None if
            it never was clipped.
        last: the same for its last clip.
    """

    layer: int
    head: int
    module: str
    highest: float
    clips: int
    rogue: bool
    first: tuple[int, int] | None
    last: tuple[int, int] | None


@dataclass
class RunHistory:
    """The content of a run's log, as far as it was read.

    Attributes:
        header: what was known of the run when it started; empty in logs of earlier versions.
        modules: {attention module: number of heads}.
        steps: of every training log.
        rows: per log (heads of all modules,), float32; nan where it was not measured exactly.
        highest: per log the highest max logit of the whole model; nan where no head was measured.
        peaks: (heads of all modules,), float32: each head's highest max logit so far; nan where never measured.
        clips: per log (heads of all modules,), int32: clipped steps since the log before.
        last_clip: place among the logs of the last before which any head was clipped; None if none was.
        losses: (step, training loss) where there is one; nan where it was not finite.
        eval_losses: (step, evaluation loss).
        learning_rates: (step, learning rate).
        seconds: (step, seconds of training so far).
        threshold: tau, rounded to float32 as the rows are, so that a head that lands on it is not above it; inf if the
            run only measures.
        finished: step at which training ended; None while it runs, or if it was killed.
        last_clip_step: last step in which any head was clipped, where the log says it; None if none was.
    """

    run: Path
    header: Mapping[str, Any] = field(default_factory=dict)
    modules: dict[str, int] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    highest: list[float] = field(default_factory=list)
    peaks: Tensor = field(default_factory=lambda: torch.empty(0))
    clips: list[Tensor] = field(default_factory=list)
    last_clip: int | None = None
    losses: list[tuple[int, float]] = field(default_factory=list)
    eval_losses: list[tuple[int, float]] = field(default_factory=list)
    learning_rates: list[tuple[int, float]] = field(default_factory=list)
    seconds: list[tuple[int, float]] = field(default_factory=list)
    threshold: float = math.inf
    finished: int | None = None
    last_clip_step: int | None = None

    @classmethod
    def load(cls, run: str | Path) -> "RunHistory":
        """Read a run's log as far as it is written.

        Raises:
            FileNotFoundError: there is no log.
            ValueError: it is damaged, of a later version, or its rows are of different models.
        """
        follower = Follower(run)
        follower.read_new()
        return follower.history

    def take(self, row: Mapping[str, Any]) -> None:
        """Add one row of the log.

        Raises:
            ValueError: it is of another model than those before.
        """
        if "format" in row:
            self.header = row
        elif "finished" in row:
            self.finished = row["finished"]
        elif "max_logits" not in row:
            self.eval_losses.append((row["step"], _number(row["eval_loss"])))
        else:
            self._take_log(row)

    def _take_log(self, row: Mapping[str, Any]) -> None:
        modules = {name: len(values) for name, values in row["max_logits"].items()}
        if self.modules and modules != self.modules:
            raise ValueError(
                f"all rows of a log must be of one model; at step {row['step']} the log of {self.run} changes from "
                f"{sum(self.modules.values())} heads in {len(self.modules)} modules to {sum(modules.values())} in "
                f"{len(modules)}. Train another model into another folder."
            )
        self.modules, self.finished = modules, None
        step = row["step"]
        self.steps.append(step)
        values = [_number(value) for heads in row["max_logits"].values() for value in heads]
        latest = torch.tensor(values, dtype=torch.float32)
        self.rows.append(latest)
        self.highest.append(highest(values))
        self.peaks = torch.fmax(self.peaks, latest) if len(self.peaks) else latest
        self.clips.append(torch.tensor([n for heads in row["clips"].values() for n in heads], dtype=torch.int32))
        if self.clips[-1].any():
            self.last_clip = len(self.steps) - 1
        self.threshold = math.inf if row["threshold"] is None else float(torch.tensor(row["threshold"]))
        for name, series in (("loss", self.losses), ("learning_rate", self.learning_rates), ("seconds", self.seconds)):
            if name in row:
                series.append((step, _number(row[name])))
        self.last_clip_step = row.get("last_clip_step", self.last_clip_step)

    @property
    def title(self) -> str:
        """The model's name; the run's folder if the log does not have it."""
        name = self.header.get("model_name") or self.header.get("model")
        return shown_name(name) if name else self.run.resolve().name

    @property
    def labels(self) -> list[str]:
        """The number of each module's layer; its name, without what all share, where numbers would not be unique."""
        labels = layer_labels(self.modules)
        if all(label.isdigit() for label in labels):
            return labels
        parts = [label.split(".") for label in labels]
        start, end = _shared(parts), _shared([label[::-1] for label in parts])
        shorter = [".".join(label[start : len(label) - end]) for label in parts]
        return labels if "" in shorter else shorter

    @property
    def max_steps(self) -> int | None:
        """Number of steps that the run will take; None if unknown."""
        steps = self.header.get("max_steps")
        return int(steps) if steps else None

    @property
    def peak(self) -> float:
        """The highest max logit of the whole model so far; nan if no head was measured."""
        return highest(self.peaks)

    def by_module(self, values: Tensor) -> list[list[float]]:
        """Split (heads of all modules,) into a list of values per module."""
        return [part.tolist() for part in values.split(list(self.modules.values()))]

    def heads(self) -> list[Head]:
        """Return the figures of every head, in the model's order."""
        clips = torch.stack(self.clips)
        counts, logs = clips.sum(0).tolist(), (clips > 0).sum(0).tolist()
        first = (clips > 0).int().argmax(0).tolist()
        last = (len(self.steps) - 1 - (clips > 0).int().flip(0).argmax(0)).tolist()
        peaks = self.peaks.tolist()
        spans = [(before + 1, step) for before, step in zip([0, *self.steps], self.steps, strict=False)]
        places = [(i, head, name) for i, (name, n) in enumerate(self.modules.items()) for head in range(n)]
        return [
            Head(
                layer=layer,
                head=head,
                module=name,
                highest=peaks[i],
                clips=counts[i],
                rogue=logs[i] > 0 and logs[i] >= ROGUE_SHARE_OF_LOGS * len(self.steps),
                first=spans[first[i]] if logs[i] else None,
                last=spans[last[i]] if logs[i] else None,
            )
            for i, (layer, head, name) in enumerate(places)
        ]

    def binned(self, most: int) -> "RunHistory":
        """Return a history of at most `most` logs: highest max logits and sums of clips of consecutive ones."""
        if len(self.steps) <= most:
            return self
        size = math.ceil(len(self.steps) / most)
        starts = range(0, len(self.steps), size)
        return replace(
            self,
            steps=[self.steps[min(start + size, len(self.steps)) - 1] for start in starts],
            rows=[_peaks(self.rows[start : start + size]) for start in starts],
            highest=[highest(self.highest[start : start + size]) for start in starts],
            last_clip=None if self.last_clip is None else self.last_clip // size,
            clips=[torch.stack(self.clips[start : start + size]).sum(0).int() for start in starts],
        )

    def clipped_heads(self) -> list[Head]:
        """Return the heads that were clipped: rogue ones first, and of these and the rest those clipped most often."""
        clipped = [head for head in self.heads() if head.clips]
        return sorted(clipped, key=lambda head: (not head.rogue, -head.clips, -head.highest, head.layer, head.head))


class Follower:
    """Reads a run's log on as it grows.

    Attributes:
        history: what was read; a new one when the log was begun again.
    """

    def __init__(self, run: str | Path) -> None:
        self.history = RunHistory(Path(run))
        self._reader = LogReader(run)
        self._restarts = 0

    def read_new(self) -> bool:
        """Read the rows written since the last call; return whether the history changed.

        Raises:
            FileNotFoundError: there is no log.
            ValueError: it is damaged, of a later version, or its rows are of different models.
        """
        changed = False
        for row in self._reader.read_new():
            self._forget_void_rows()
            self.history.take(row)
            changed = True
        return self._forget_void_rows() or changed

    def _forget_void_rows(self) -> bool:
        if self._reader.restarts == self._restarts:
            return False
        self._restarts = self._reader.restarts
        self.history = RunHistory(self.history.run)
        return True


def highest(values: Tensor | Iterable[float]) -> float:
    """Return the highest value, ignoring nan; nan if there is no other."""
    if isinstance(values, Tensor):
        measured = values[~values.isnan()]
        return float(measured.max()) if len(measured) else math.nan
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _shared(parts: Sequence[Sequence[str]]) -> int:
    return next((i for i, found in enumerate(zip(*parts, strict=False)) if len(set(found)) > 1), 0)


def _peaks(rows: Sequence[Tensor]) -> Tensor:
    peaks = torch.stack(list(rows)).nan_to_num(nan=-math.inf).amax(0)
    return torch.where(peaks == -math.inf, math.nan, peaks)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
