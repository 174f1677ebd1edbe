"""Tables and pictures of a finished or running run, from what the callback wrote into its folder.

Reads `trainer_state.json` (or the newest checkpoint's) for losses and `qk_clip.jsonl` for the logits of every head.
matplotlib is imported by the functions that draw.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import newest_state
from .log import read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_HEAD_COLUMNS = 24
_MOST_LAYERS_BY_HEAD = 8
_MOST_LAYER_LABELS = 12
_LAYER_COLORS = "viridis"
_THRESHOLD_STYLE: dict[str, Any] = {"color": "crimson", "linestyle": "--", "linewidth": 1.2}


@dataclass(frozen=True)
class RunRecord:
    """The losses and max logits that a run wrote.

    Attributes:
        steps: step of every training log.
        losses: training loss at `steps`.
        eval_steps: step of every evaluation.
        eval_losses: evaluation loss at `eval_steps`.
        logit_steps: step of every row of the per-head log.
        max_logits: {module: rows of one value per head}; nan where it was not measured exactly.
        clips: {module: rows of clipped steps per head since the row before}.
        threshold: tau; inf if the run only monitored.
    """

    steps: list[int]
    losses: list[float]
    eval_steps: list[int]
    eval_losses: list[float]
    logit_steps: list[int]
    max_logits: dict[str, list[list[float]]]
    clips: dict[str, list[list[int]]]
    threshold: float

    @classmethod
    def load(cls, run: str | Path) -> "RunRecord":
        """Read a Trainer's output folder, after a save.

        Raises:
            FileNotFoundError: it has no `trainer_state.json`, in itself or in a checkpoint, or no per-head log.
        """
        run = Path(run)
        history = json.loads(newest_state(run).read_text(encoding="utf-8"))["log_history"]
        trained = [(row["step"], row["loss"]) for row in history if "loss" in row]
        evaluated = [(row["step"], row["eval_loss"]) for row in history if "eval_loss" in row]
        rows = read_log(run)
        modules = list(rows[0]["max_logits"]) if rows else []
        threshold = rows[-1]["threshold"] if rows else None
        return cls(
            steps=[step for step, _ in trained],
            losses=[loss for _, loss in trained],
            eval_steps=[step for step, _ in evaluated],
            eval_losses=[loss for _, loss in evaluated],
            logit_steps=[row["step"] for row in rows],
            max_logits={name: [_with_nan(row["max_logits"][name]) for row in rows] for name in modules},
            clips={name: [row["clips"][name] for row in rows] for name in modules},
            threshold=math.inf if threshold is None else threshold,
        )

    @property
    def highest(self) -> list[float]:
        """The highest max logit of the whole model at every `logit_steps`."""
        per_row = zip(*self.max_logits.values(), strict=True)
        return [_highest([value for layer in row for value in layer]) for row in per_row]


def max_logit_table(record: RunRecord, rows: int = 10) -> str:
    """Return loss and max logits over time in about `rows` rows, with the heads clipped since the row before.

    One column per head, named layer.head, or per layer where there are more than 24 heads; a dash where it was
    not measured exactly.
    """
    columns = {
        f"{layer}.{head}": [[row[head]] for row in values]
        for layer, values in enumerate(record.max_logits.values())
        for head in range(len(values[0]) if values else 0)
    }
    if len(columns) > _MOST_HEAD_COLUMNS:
        columns = {f"layer {layer}": values for layer, values in enumerate(record.max_logits.values())}
    last = len(record.logit_steps) - 1
    picked = sorted({round(index * last / max(1, rows - 1)) for index in range(rows)}) if last >= 0 else []
    losses = dict(zip(record.steps, record.losses, strict=True))
    table = [["step", "loss", *columns, "clipped"]]
    previous = -1
    for index in picked:
        clipped = sum(
            any(values[row][head] for row in range(previous + 1, index + 1))
            for values in record.clips.values()
            for head in range(len(values[0]))
        )
        highest = [_highest(values[index]) for values in columns.values()]
        cells = ["-" if math.isnan(value) else f"{value:.1f}" for value in highest]
        step = record.logit_steps[index]
        table.append([str(step), f"{losses[step]:.3f}" if step in losses else "-", *cells, str(clipped)])
        previous = index
    return _aligned(table)


def head_table(statistics: Mapping[str, Mapping[str, list[Any]]]) -> str:
    """Return one row per head: highest max logit, clipped steps, first and last of them.

    Args:
        statistics: from `ClipStatistics.to_dict`, also found in `trainer_state.json`.
    """
    table = [["module", "head", "highest", "clips", "first", "last"]]
    for name, figures in statistics.items():
        for head, highest in enumerate(figures["highest_max_logit"]):
            first, last = figures["first_clip_step"][head], figures["last_clip_step"][head]
            table.append(
                [
                    name if head == 0 else "",
                    str(head),
                    "-" if highest is None else f"{highest:.1f}",
                    str(figures["clips"][head]),
                    "-" if first is None else str(first),
                    "-" if last is None else str(last),
                ]
            )
    return _aligned(table)


def plot_run(record: RunRecord, path: str | Path, title: str) -> Path:
    """Draw loss, every head's max logit with tau, and a raster of clips over steps. Writes a PNG."""
    from matplotlib import pyplot as plt

    figure, (loss_axes, logit_axes, clip_axes) = plt.subplots(
        3, 1, figsize=(9, 10), sharex=True, height_ratios=(3, 4, 2), layout="constrained"
    )
    figure.suptitle(title)
    loss_axes.plot(record.steps, record.losses, color="tab:blue", label="training")
    loss_axes.plot(record.eval_steps, record.eval_losses, "o-", color="tab:orange", label="evaluation")
    loss_axes.set_ylabel("loss (nats per token)")
    loss_axes.grid(alpha=0.25)
    loss_axes.legend()
    _draw_heads(logit_axes, record)
    _draw_clips(clip_axes, record)
    clip_axes.set_xlabel("optimizer step")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return Path(path)


def plot_comparison(records: Mapping[str, RunRecord], threshold: float, path: str | Path, title: str) -> Path:
    """Draw the highest max logit and the loss of several runs, one line per run. Writes a PNG."""
    from matplotlib import pyplot as plt

    figure, (logit_axes, loss_axes) = plt.subplots(2, 1, figsize=(9, 8), sharex=True, layout="constrained")
    figure.suptitle(title)
    for index, (label, record) in enumerate(records.items()):
        # Later runs are dashed, so that equal curves show as two.
        style: dict[str, Any] = {"color": f"C{index}", "linestyle": "-" if index == 0 else "--"}
        logit_axes.plot(record.logit_steps, record.highest, **style, label=label)
        loss_axes.plot(record.steps, record.losses, **style, alpha=0.45, label=f"{label}, training")
        loss_axes.plot(record.eval_steps, record.eval_losses, "o", **style, label=f"{label}, evaluation")
    logit_axes.axhline(threshold, label=f"tau = {threshold:g}", **_THRESHOLD_STYLE)
    _scale_logits(logit_axes)
    logit_axes.set_ylabel("highest max logit")
    loss_axes.set_ylabel("loss (nats per token)")
    loss_axes.set_xlabel("optimizer step")
    for axes in (logit_axes, loss_axes):
        axes.grid(alpha=0.25)
        axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return Path(path)


def _draw_heads(axes: "Axes", record: RunRecord) -> None:
    """Draw one line per head, or per layer (its highest head) if there are many, with a color bar for a legend."""
    from matplotlib import colormaps

    layers = len(record.max_logits)
    colors = colormaps[_LAYER_COLORS].resampled(layers + 1)
    for layer, values in enumerate(record.max_logits.values()):
        if layers > _MOST_LAYERS_BY_HEAD:
            axes.plot(record.logit_steps, [_highest(row) for row in values], color=colors(layer), linewidth=1)
            continue
        for head in range(len(values[0]) if values else 0):
            axes.plot(
                record.logit_steps,
                [row[head] for row in values],
                color=colors(layer),
                linewidth=1,
                alpha=0.85,
                label=f"layer {layer}, one line a head" if head == 0 else None,
            )
    if math.isfinite(record.threshold):
        axes.axhline(record.threshold, label=f"tau = {record.threshold:g}", **_THRESHOLD_STYLE)
    if any(value > 0 for value in record.highest):
        _scale_logits(axes)
    axes.set_ylabel("max attention logit")
    axes.grid(alpha=0.25)
    if layers > _MOST_LAYERS_BY_HEAD:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        axes.set_ylabel("max attention logit, a line a layer")
        shades = ScalarMappable(Normalize(0, layers - 1), colors)
        axes.figure.colorbar(shades, cax=axes.inset_axes((1.01, 0.0, 0.015, 1.0)), label="layer")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", ncols=2)


def _scale_logits(axes: "Axes") -> None:
    """Scale an axis by powers, with ticks at 1, 3, 10, 30, ... written out."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_clips(axes: "Axes", record: RunRecord) -> None:
    """Mark each head at the logs before which it was clipped, layer below layer."""
    starts: list[int] = []
    heads = marks = 0
    for rows in record.clips.values():
        starts.append(heads)
        for head in range(len(rows[0]) if rows else 0):
            steps = [step for step, row in zip(record.logit_steps, rows, strict=True) if row[head]]
            axes.plot(steps, [heads] * len(steps), "|", color="crimson", markersize=5)
            heads, marks = heads + 1, marks + len(steps)
    if marks == 0:
        axes.text(0.5, 0.5, "no head was clipped", transform=axes.transAxes, ha="center", va="center", color="gray")
    every = math.ceil(len(starts) / _MOST_LAYER_LABELS)
    shown = range(0, len(starts), every or 1)
    axes.set_yticks([starts[layer] for layer in shown], [f"layer {layer}" for layer in shown], fontsize="small")
    axes.set_ylim(heads - 0.5, -0.5)
    axes.set_ylabel("clipped heads")
    axes.grid(axis="x", alpha=0.25)


def _highest(values: list[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _with_nan(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _aligned(table: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
