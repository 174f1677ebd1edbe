"""The pictures beside a run's page, as PNG: drawn by matplotlib, for slides and papers."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from .report import plot_run
from .run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LOGS = 1000


def write_pictures(run: Run, folder: Path, title: str) -> list[Path]:
    """Draw a run over steps, and the map of its heads; return the paths of `training.png` and `heads.png`.

    Args:
        run: a run with at least one log.
        folder: the folder to write into.
        title: title of the pictures.
    """
    return [
        plot_run(run.binned(_MOST_LOGS), folder / "training.png", title),
        _plot_heads(run, folder / "heads.png", title),
    ]


def _plot_heads(run: Run, path: Path, title: str) -> Path:
    from matplotlib import pyplot as plt

    rows, columns = len(run.modules), max(run.modules.values())
    figure, axes = plt.subplots(1, 2, figsize=(10, min(10.0, 2.2 + 0.18 * rows)), layout="constrained")
    figure.suptitle(f"{title}: max attention logit of every head")
    for axis, values, name in ((axes[0], run.max_logits[-1], "latest"), (axes[1], run.peaks, "highest")):
        _draw_map(axis, run, values, columns)
        axis.set_title(f"{name}, step {run.steps[-1]}" if name == "latest" else name)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _draw_map(axes: "Axes", run: Run, values: Tensor, columns: int) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    top = min(run.threshold, run.peak)
    top = top if math.isfinite(top) and top > 0 else 1.0
    colors = colormaps["viridis"].with_extremes(over="#d55e00", bad="#c9ced6")
    grid = [heads.tolist() + [math.nan] * (columns - len(heads)) for heads in run.by_module(values).values()]
    image = axes.imshow(grid, aspect="auto", cmap=colors, vmin=0.0, vmax=top, interpolation="nearest")
    bar = axes.figure.colorbar(image, ax=axes, extend="max" if run.peak > top else "neither")
    bar.set_label(f"max logit; tau = {run.threshold:g}")
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    every = math.ceil(len(run.labels) / 12)
    axes.set_yticks(range(0, len(run.labels), every), run.labels[::every])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
