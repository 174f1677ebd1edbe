"""The pictures beside a run's page, as PNG: drawn by matplotlib, for slides and papers."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .history import RunHistory
from .recorded import Recorded
from .report import RunRecord, plot_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LOGS = 1000


def write_pictures(history: RunHistory, recorded: Recorded, folder: Path, title: str) -> list[Path]:
    """Draw a run over steps, and the map of its heads; return the paths of `training.png` and `heads.png`.

    Args:
        history: a history with at least one log.
        recorded: the saved state of the same run.
        folder: the folder to write into.
        title: title of the pictures.
    """
    return [
        plot_run(_record(history, recorded), folder / "training.png", title),
        _plot_heads(history, folder / "heads.png", title),
    ]


def _record(history: RunHistory, recorded: Recorded) -> RunRecord:
    binned = history.binned(_MOST_LOGS)
    logits = torch.stack(binned.rows).split(list(history.modules.values()), dim=1)
    clips = torch.stack(binned.clips).split(list(history.modules.values()), dim=1)
    return RunRecord(
        steps=[step for step, _ in recorded.losses],
        losses=[loss for _, loss in recorded.losses],
        eval_steps=[step for step, _ in recorded.eval_losses],
        eval_losses=[loss for _, loss in recorded.eval_losses],
        logit_steps=binned.steps,
        max_logits={name: values.tolist() for name, values in zip(history.modules, logits, strict=True)},
        clips={name: values.tolist() for name, values in zip(history.modules, clips, strict=True)},
        threshold=history.threshold,
    )


def _plot_heads(history: RunHistory, path: Path, title: str) -> Path:
    from matplotlib import pyplot as plt

    rows, columns = len(history.modules), max(history.modules.values())
    figure, axes = plt.subplots(1, 2, figsize=(10, min(10.0, 2.2 + 0.18 * rows)), layout="constrained")
    figure.suptitle(f"{title}: max attention logit of every head")
    for axis, values, name in ((axes[0], history.rows[-1], "latest"), (axes[1], history.peaks, "highest")):
        _draw_map(axis, history, values, columns)
        axis.set_title(f"{name}, step {history.steps[-1]}" if name == "latest" else name)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _draw_map(axes: "Axes", history: RunHistory, values: Tensor, columns: int) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    top = min(history.threshold, history.peak)
    top = top if math.isfinite(top) and top > 0 else 1.0
    colors = colormaps["viridis"].with_extremes(over="#d55e00", bad="#c9ced6")
    grid = [heads + [math.nan] * (columns - len(heads)) for heads in history.by_module(values)]
    image = axes.imshow(grid, aspect="auto", cmap=colors, vmin=0.0, vmax=top, interpolation="nearest")
    bar = axes.figure.colorbar(image, ax=axes, extend="max" if history.peak > top else "neither")
    bar.set_label(f"max logit; tau = {history.threshold:g}")
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    every = math.ceil(len(history.labels) / 12)
    axes.set_yticks(range(0, len(history.labels), every), history.labels[::every])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
