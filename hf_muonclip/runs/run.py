"""A run, read from its folder: the log of every head, joined with what the Trainer saved of the same run.

The page, the tables, the pictures and the terminal show it.
"""

import json
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
class Run:
    """What the folder of a run says, as far as it was read: `load` reads all of it, `take` adds a row of a growing log.

    Attributes:
        folder: the run's folder, with its log.
        header: what was known of the run when it started; empty in logs of earlier versions.
        modules: {attention module: number of heads}.
        steps: the step of every training log.
        max_logits: per log (heads of all modules,), float32; nan where it was not measured exactly.
        highest: per log the highest max logit of the whole model; nan where no head was measured.
        peaks: (heads of all modules,), float32: each head's highest max logit so far; nan where never measured.
        clips: per log (heads of all modules,), int32: clipped steps since the log before.
        last_clip: place among the logs of the last before which any head was clipped; None if none was.
        losses: (step, training loss) where there is one; nan where it was not finite.
        eval_losses: (step, evaluation loss).
        learning_rates: (step, learning rate).
        seconds: (step, seconds of training so far).
        threshold: tau, rounded to float32 as the max logits are, so that a head that lands on it is not above it; inf
            if the run only measures.
        finished: step at which training ended; None while it runs, or if it was killed.
        last_clip_step: last step in which any head was clipped, where a file says it; None if none was.
        max_steps: steps that the run shall take; None if they are not known.
        description: what the run was given and where it ran, as `describe_run` returns it; empty if no file says it.
        saved_step: at which the Trainer saved; 0 if it did not, or if what it saved was not read.
        statistics: per head, up to that step, as `ClipStatistics.to_dict` returns them; empty likewise.
    """

    folder: Path
    header: Mapping[str, Any] = field(default_factory=dict)
    modules: dict[str, int] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    max_logits: list[Tensor] = field(default_factory=list)
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
    max_steps: int | None = None
    description: Mapping[str, Any] = field(default_factory=dict)
    saved_step: int = 0
    statistics: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Read a run's log as far as it is written, and join it with `trainer_state.json`, where there is one.

        Logs of earlier versions need it for their losses and settings. A state of another run that is still in the
        folder does not count: its max logits differ from the log's.

        Args:
            folder: the Trainer's output folder.

        Raises:
            FileNotFoundError: there is no log.
            ValueError: it is damaged, of a later version, or its rows are of different models.
        """
        run = cls(Path(folder))
        for row in LogReader(folder).read_new():
            run.take(row)
        run._join_saved_state()
        return run

    def take(self, row: Mapping[str, Any]) -> None:
        """Add one row of the log.

        Raises:
            ValueError: it is of another model than those before.
        """
        if "format" in row:
            self.header, self.max_steps, self.description = row, row.get("max_steps") or None, row.get("run") or {}
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
                f"all rows of a log must be of one model; at step {row['step']} the log of {self.folder} changes from "
                f"{sum(self.modules.values())} heads in {len(self.modules)} modules to {sum(modules.values())} in "
                f"{len(modules)}. Train another model into another folder."
            )
        self.modules, self.finished = modules, None
        step = row["step"]
        self.steps.append(step)
        values = [_number(value) for heads in row["max_logits"].values() for value in heads]
        latest = torch.tensor(values, dtype=torch.float32)
        self.max_logits.append(latest)
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

    def _join_saved_state(self) -> None:
        # transformers comes with it, and following a log does without.
        from .figures import callback_attributes, figures_of_state, newest_state

        try:
            state: Mapping[str, Any] = json.loads(newest_state(self.folder).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            state = {}  # nothing is saved yet, or it is being written
        rows = state.get("log_history", [])
        if not self._is_the_run_of(rows):
            state, rows = {}, []
        kept = callback_attributes(state)
        if not self.description and kept.get("exported_run"):
            in_reading_order = figures_of_state(state)[0].optimizer
            self.description = {**kept["exported_run"], "optimizer": in_reading_order}
        statistics: Mapping[str, Mapping[str, Sequence[Any]]] = kept.get("exported_statistics", {})
        if {name: len(heads["clips"]) for name, heads in statistics.items()} == self.modules:
            self.statistics = statistics
        last = [self.last_clip_step, *(step for heads in self.statistics.values() for step in heads["last_clip_step"])]
        self.last_clip_step = max((step for step in last if step is not None), default=None)
        self.losses = _joined(rows, "loss", self.losses)
        self.eval_losses = _joined(rows, "eval_loss", self.eval_losses)
        self.max_steps = self.max_steps or state.get("max_steps")
        self.saved_step = state.get("global_step", 0)

    def _is_the_run_of(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        in_log = dict(zip(self.steps, self.highest, strict=True))
        pairs = [(row["qk_clip/max_logit"], in_log.get(row["step"])) for row in rows if "qk_clip/max_logit" in row]
        return all(
            logged is None or math.isnan(logged) or math.isclose(saved, logged, abs_tol=1e-3) for saved, logged in pairs
        )

    @property
    def title(self) -> str:
        """The model's name; the run's folder if the log does not have it."""
        name = self.header.get("model_name") or self.header.get("model")
        return shown_name(name) if name else self.folder.resolve().name

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
    def peak(self) -> float:
        """The highest max logit of the whole model so far; nan if no head was measured."""
        return highest(self.peaks)

    def by_module(self, values: Tensor) -> dict[str, Tensor]:
        """Cut (..., heads of all modules) into {module: (..., heads)}."""
        return dict(zip(self.modules, values.split(list(self.modules.values()), dim=-1), strict=True))

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

    def binned(self, most: int) -> "Run":
        """Return the run with at most `most` logs: highest max logits and sums of clips of consecutive ones."""
        if len(self.steps) <= most:
            return self
        size = math.ceil(len(self.steps) / most)
        starts = range(0, len(self.steps), size)
        return replace(
            self,
            steps=[self.steps[min(start + size, len(self.steps)) - 1] for start in starts],
            max_logits=[highest_along(torch.stack(self.max_logits[start : start + size]), 0) for start in starts],
            highest=[highest(self.highest[start : start + size]) for start in starts],
            last_clip=None if self.last_clip is None else self.last_clip // size,
            clips=[torch.stack(self.clips[start : start + size]).sum(0).int() for start in starts],
        )

    def clipped_heads(self) -> list[Head]:
        """Return the heads that were clipped: rogue ones first, and of these and the rest those clipped most often."""
        clipped = [head for head in self.heads() if head.clips]
        return sorted(clipped, key=lambda head: (not head.rogue, -head.clips, -head.highest, head.layer, head.head))

    def clip_steps(self, head: Head) -> tuple[str, str]:
        """Return the steps of a head's first and last clip, for people: "23", or "21–30" where no file is more precise.

        Args:
            head: that was clipped.
        """
        assert head.first is not None
        assert head.last is not None
        first, last = head.first, head.last
        if head.module in self.statistics:
            figures = self.statistics[head.module]
            saved_first, saved_last = figures["first_clip_step"][head.head], figures["last_clip_step"][head.head]
            if saved_first is not None and first[0] <= saved_first <= first[1]:
                first = saved_first, saved_first
            # A clip after the save may have been the last.
            if saved_last is not None and last[0] <= saved_last <= last[1] <= self.saved_step:
                last = saved_last, saved_last
        return _steps(*first), _steps(*last)


def highest(values: Tensor | Iterable[float]) -> float:
    """Return the highest value, ignoring nan; nan if there is no other."""
    if isinstance(values, Tensor):
        measured = values[~values.isnan()]
        return float(measured.max()) if len(measured) else math.nan
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def highest_along(values: Tensor, dim: int) -> Tensor:
    """Return the highest values along a dimension, nan left out; nan where there is none."""
    found = values.nan_to_num(nan=-math.inf).amax(dim)
    return torch.where(found == -math.inf, math.nan, found)


def _shared(parts: Sequence[Sequence[str]]) -> int:
    return next((i for i, found in enumerate(zip(*parts, strict=False)) if len(set(found)) > 1), 0)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _joined(saved: Sequence[Mapping[str, Any]], name: str, logged: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return sorted(({row["step"]: row[name] for row in saved if name in row} | dict(logged)).items())


def _steps(earliest: int, latest: int) -> str:
    return f"{earliest:,}" if earliest == latest else f"{earliest:,}–{latest:,}"
