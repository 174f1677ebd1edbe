"""Tables and pictures of a finished or running run. matplotlib is imported by the functions that draw."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..common.text_table import aligned
from .run import Run, highest_along

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_HEAD_COLUMNS = 24
_MOST_LAYERS_BY_HEAD = 8
_MOST_LAYER_LABELS = 12
_LAYER_COLORS = "viridis"
_THRESHOLD_STYLE: dict[str, Any] = {"color": "crimson", "linestyle": "--", "linewidth": 1.2}


def max_logit_table(run: Run, rows: int = 10) -> str:
    """Return loss and max logits over time in about `rows` rows, with the heads clipped since the row before.

    One column per head, named layer.head, or per layer where there are more than 24 heads; a dash where it was
    not measured exactly.
    """
    layers = _by_module(run, run.max_logits)
    columns = {f"{i}.{head}": layer[:, head] for i, layer in enumerate(layers) for head in range(layer.shape[1])}
    if len(columns) > _MOST_HEAD_COLUMNS:
        columns = {f"layer {i}": highest_along(layer, 1) for i, layer in enumerate(layers)}
    last = len(run.steps) - 1
    picked = sorted({round(index * last / max(1, rows - 1)) for index in range(rows)}) if last >= 0 else []
    losses = dict(run.losses)
    table = [["step", "loss", *columns, "clipped"]]
    previous = -1
    for index in picked:
        clipped = int(torch.stack(run.clips[previous + 1 : index + 1]).any(0).sum())
        cells = [_cell(float(values[index])) for values in columns.values()]
        step = run.steps[index]
        table.append([str(step), f"{losses[step]:.3f}" if step in losses else "-", *cells, str(clipped)])
        previous = index
    return "\n".join(aligned(table, right=range(len(table[0]))))


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
    return "\n".join(aligned(table, right=range(len(table[0]))))


def plot_run(run: Run, path: str | Path, title: str) -> Path:
    """Draw loss, every head's max logit with tau, and a raster of clips over steps. Writes a PNG."""
    from matplotlib import pyplot as plt

    figure, (loss_axes, logit_axes, clip_axes) = plt.subplots(
        3, 1, figsize=(9, 10), sharex=True, height_ratios=(3, 4, 2), layout="constrained"
    )
    figure.suptitle(title)
    loss_axes.plot(*_steps_and_values(run.losses), color="tab:blue", label="training")
    loss_axes.plot(*_steps_and_values(run.eval_losses), "o-", color="tab:orange", label="evaluation")
    loss_axes.set_ylabel("loss (nats per token)")
    loss_axes.grid(alpha=0.25)
    loss_axes.legend()
    _draw_heads(logit_axes, run)
    _draw_clips(clip_axes, run)
    clip_axes.set_xlabel("optimizer step")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return Path(path)


def plot_comparison(runs: Mapping[str, Run], threshold: float, path: str | Path, title: str) -> Path:
    """Draw the highest max logit and the loss of several runs, one line per run, in one picture. Writes a PNG."""
    from matplotlib import pyplot as plt

    figure, (logit_axes, loss_axes) = plt.subplots(2, 1, figsize=(9, 8), sharex=True, layout="constrained")
    figure.suptitle(title)
    for index, (label, run) in enumerate(runs.items()):
        # Later runs are dashed, so that equal curves show as two.
        style: dict[str, Any] = {"color": f"C{index}", "linestyle": "-" if index == 0 else "--"}
        logit_axes.plot(run.steps, run.highest, **style, label=label)
        loss_axes.plot(*_steps_and_values(run.losses), **style, alpha=0.45, label=f"{label}, training")
        loss_axes.plot(*_steps_and_values(run.eval_losses), "o", **style, label=f"{label}, evaluation")
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


def _draw_heads(axes: "Axes", run: Run) -> None:
    """Draw one line per head, or per layer (its highest head) if there are many, with a color bar for a legend."""
    from matplotlib import colormaps

    layers = len(run.modules)
    colors = colormaps[_LAYER_COLORS].resampled(layers + 1)
    for index, layer in enumerate(_by_module(run, run.max_logits)):
        if layers > _MOST_LAYERS_BY_HEAD:
            axes.plot(run.steps, highest_along(layer, 1).tolist(), color=colors(index), linewidth=1)
            continue
        for head, values in enumerate(layer.T.tolist()):
            axes.plot(
                run.steps,
                values,
                color=colors(index),
                linewidth=1,
                alpha=0.85,
                label=f"layer {index}, one line per head" if head == 0 else None,
            )
    if math.isfinite(run.threshold):
        axes.axhline(run.threshold, label=f"tau = {run.threshold:g}", **_THRESHOLD_STYLE)
    if any(value > 0 for value in run.highest):
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


def _draw_clips(axes: "Axes", run: Run) -> None:
    """Mark each head at the logs before which it was clipped, layer below layer."""
    starts: list[int] = []
    heads = marks = 0
    for layer in _by_module(run, run.clips):
        starts.append(heads)
        for clips in layer.T.tolist():
            steps = [step for step, count in zip(run.steps, clips, strict=True) if count]
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


def _by_module(run: Run, logs: Sequence[Tensor]) -> list[Tensor]:
    """Return (logs, heads) per module of what the run keeps as (heads of all modules,) per log."""
    return list(run.by_module(torch.stack(list(logs))).values()) if logs else []


def _steps_and_values(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _cell(value: float) -> str:
    # The log has four digits after the point; what float32 adds behind them would tip a half to either side.
    return "-" if math.isnan(value) else f"{round(value, 4):.1f}"
