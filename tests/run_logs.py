"""Logs of runs that never ran, for tests of what shows them."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_log(
    folder: Path,
    logs: Sequence[Sequence[Sequence[float | None]]],
    threshold: float = 30.0,
    losses: Sequence[float | None] = (),
    finished: bool = True,
    header: bool = True,
    **settings: Any,
) -> Path:
    """Write a log of 10 steps a row: `logs` is [log][layer][head]; a head above the threshold is clipped once."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = [{"format": 1, "max_steps": 10 * len(logs), **settings}] if header else []
    for index, layers in enumerate(logs):
        names = [f"model.layers.{layer}.self_attn" for layer in range(len(layers))]
        row: dict[str, Any] = {
            "step": 10 * (index + 1),
            "threshold": threshold if math.isfinite(threshold) else None,
            "max_logits": dict(zip(names, layers, strict=True)),
            "clips": {
                name: [int((value or 0) > threshold) for value in heads]
                for name, heads in zip(names, layers, strict=True)
            },
            "seconds": 5.0 * index,
        }
        rows.append({**row, "loss": losses[index]} if losses else row)
    if finished:
        rows.append({"finished": 10 * len(logs)})
    (folder / "qk_clip.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def write_old_run(folder: Path) -> Path:
    """Write a run of an earlier version: a log without header and losses, which only the Trainer's state has.

    Modules a and b of two heads; head 1 of b is clipped before the second and the third of three logs.
    """
    history = [
        {"step": 10, "loss": 3.0},
        {"step": 20, "loss": 2.0},
        {"step": 20, "eval_loss": 2.5},
        {"step": 30, "loss": 1.0},
    ]
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 30, "log_history": history}))
    rows = [
        {"step": step, "threshold": 30.0, "max_logits": {"a": [1.0, 2.0], "b": [3.0, high]}, "clips": clips}
        for step, high, clips in (
            (10, None, {"a": [0, 0], "b": [0, 0]}),
            (20, 40.0, {"a": [0, 0], "b": [0, 3]}),
            (30, 30.0, {"a": [0, 0], "b": [0, 1]}),
        )
    ]
    (folder / "qk_clip.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


# Two layers of two heads; head 1.1 is clipped in the second log, 0.0 is only bounded in the third.
LOGS = [[[1.25, 2.5], [3.75, 20.0]], [[6.5, 7.25], [8.0, 41.375]], [[None, 9.5], [10.25, 28.5]]]
