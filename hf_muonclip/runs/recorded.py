"""The Trainer's saved state of a run, joined with the run's log."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .figures import callback_attributes, figures_of_state, newest_state
from .history import Head, RunHistory


@dataclass(frozen=True)
class Recorded:
    """The Trainer's saved state, if it belongs to the run in the log.

    Attributes:
        run: settings as `describe_run` returns them.
        losses: (step, training loss).
        eval_losses: (step, evaluation loss).
        last_clip_step: last step in which a head was clipped, or None.
        max_steps: number of steps of the run, or None.
        saved_step: step of the last save; 0 before the first.
        statistics: per head, up to that step, as `ClipStatistics.to_dict` returns them.
    """

    run: Mapping[str, Any]
    losses: Sequence[tuple[int, float]]
    eval_losses: Sequence[tuple[int, float]]
    last_clip_step: int | None = None
    max_steps: int | None = None
    saved_step: int = 0
    statistics: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)

    def clip_steps(self, head: Head) -> tuple[str, str]:
        """Return the steps of a head's first and last clip as text: "23", or "21-30" where no file is more exact.

        Args:
            head: a clipped head.
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


def recorded_of(history: RunHistory) -> Recorded:
    """Join the log with `trainer_state.json`, which logs of earlier versions need for their losses and settings.

    A state of another run that is still in the folder does not count: its max logits differ from the log's.
    """
    try:
        state: Mapping[str, Any] = json.loads(newest_state(history.run).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        state = {}  # nothing is saved yet, or it is being written
    rows = state.get("log_history", [])
    if not _is_of_the_same_run(rows, history):
        state, rows = {}, []
    attributes = callback_attributes(state)
    run = attributes.get("exported_run", {})
    if run:
        run = {**run, "optimizer": figures_of_state(state)[0].optimizer}  # in the order in which people read it
    statistics: Mapping[str, Mapping[str, Sequence[Any]]] = attributes.get("exported_statistics", {})
    if {name: len(heads["clips"]) for name, heads in statistics.items()} != history.modules:
        statistics = {}
    losses = {row["step"]: row["loss"] for row in rows if "loss" in row} | dict(history.losses)
    eval_losses = {row["step"]: row["eval_loss"] for row in rows if "eval_loss" in row} | dict(history.eval_losses)
    last_steps = [step for heads in statistics.values() for step in heads["last_clip_step"] if step is not None]
    known = [step for step in (max(last_steps, default=None), history.last_clip_step) if step is not None]
    return Recorded(
        run=history.header.get("run") or run,
        losses=sorted(losses.items()),
        eval_losses=sorted(eval_losses.items()),
        last_clip_step=max(known, default=None),
        max_steps=history.max_steps or state.get("max_steps"),
        saved_step=state.get("global_step", 0),
        statistics=statistics,
    )


def _is_of_the_same_run(rows: Sequence[Mapping[str, Any]], history: RunHistory) -> bool:
    in_log = dict(zip(history.steps, history.highest, strict=True))
    pairs = [(row["qk_clip/max_logit"], in_log.get(row["step"])) for row in rows if "qk_clip/max_logit" in row]
    return all(
        logged is None or math.isnan(logged) or math.isclose(saved, logged, abs_tol=1e-3) for saved, logged in pairs
    )


def _steps(earliest: int, latest: int) -> str:
    return f"{earliest:,}" if earliest == latest else f"{earliest:,}–{latest:,}"
