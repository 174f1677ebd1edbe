"""A picture of a schedule: learning rate and context length against tokens. matplotlib is imported when drawing."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .schedule import TokenSchedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST_WIDTH = 0.13  # of the picture, for a phase however short: Kimi K2's warm-up is 0.2% of its tokens
_POINTS = 200  # of a phase's curve
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


def plot_schedule(schedule: TokenSchedule, path: str | Path | None = None, title: str | None = None) -> "Figure":
    """Draw learning rate and context length against tokens.

    Every phase gets a readable width, so the axis is to scale within a phase only; its ticks are at the phases' ends.

    Args:
        schedule: the schedule to draw.
        path: the file to write, for example a .png; None writes none.
        title: title of the picture; by default it gives the number of tokens.

    Returns:
        The figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import numpy as np
    from matplotlib.figure import Figure

    boundaries = np.array(schedule.boundaries, dtype=float)
    shares = np.maximum(np.diff(boundaries) / boundaries[-1], _LEAST_WIDTH)
    places = np.concatenate([[0.0], np.cumsum(shares / shares.sum())])
    stretch: Any = (lambda x: np.interp(x, boundaries, places), lambda x: np.interp(x, places, boundaries))

    figure = Figure(figsize=(10, 5.4), layout="constrained")
    lr_axes, context_axes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.6))
    figure.suptitle(title or f"Training schedule over {_tokens(schedule.total_tokens)} tokens")
    for index, (phase, (start, end)) in enumerate(zip(schedule.phases, pairwise(schedule.boundaries), strict=True)):
        # The end belongs to the next phase; the curve is drawn up to it.
        tokens = np.linspace(start, end, _POINTS).round().astype(np.int64)
        rates = [phase.lr(int(count) - start) for count in tokens]
        lr_axes.plot(tokens, rates, color="tab:blue", linewidth=2)
        label = f"{phase.name}\n{_tokens(phase.tokens)}"
        lr_axes.text((places[index] + places[index + 1]) / 2, 1.02, label, transform=lr_axes.transAxes, ha="center")
        if index % 2 == 0:
            for axes in (lr_axes, context_axes):
                axes.axvspan(start, end, color="0.95", linewidth=0, zorder=0)

    contexts = [phase.context_length for phase in schedule.phases]
    style: Any = {"color": "tab:green", "linewidth": 2, "label": "trained at"}
    context_axes.stairs(contexts, schedule.boundaries, baseline=None, **style)
    final = schedule.final_context_length
    longer = [start for start, context in zip(schedule.boundaries, contexts, strict=False) if context > contexts[0]]
    if final is not None:
        begin = longer[0] if longer else schedule.total_tokens
        line = context_axes.plot([begin, schedule.total_tokens], [final, final], "--", color="tab:orange", linewidth=2)
        line[0].set_label(f"readable by YaRN, {final / contexts[0]:g}×")
        context_axes.legend(loc="center left", frameon=False)

    lr_axes.set_ylabel("learning rate")
    lr_axes.set_yscale("log")
    positive = [rate for phase in schedule.phases for rate in (phase.lr_start, phase.lr(phase.tokens)) if rate > 0]
    lr_axes.set_ylim(min(positive) / 1.6, max(positive) * 1.6)
    _mark(lr_axes.yaxis, {rate: _rate(rate) for rate in sorted(positive)})
    context_axes.set_ylabel("context")
    context_axes.set_yscale("log", base=2)
    lengths = sorted({*contexts, *([] if final is None else [final])})
    context_axes.set_ylim(lengths[0] / 2, lengths[-1] * 2)
    _mark(context_axes.yaxis, {length: f"{length:,d}" for length in lengths})
    context_axes.set_xlabel("tokens (within a phase to scale; short phases are drawn wider)")
    context_axes.set_xscale("function", functions=stretch)
    context_axes.set_xlim(0, schedule.total_tokens)
    context_axes.set_xticks(schedule.boundaries, [_tokens(count) for count in schedule.boundaries])
    for axes in (lr_axes, context_axes):
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _mark(axis: Any, labels: dict[Any, str]) -> None:
    axis.set_ticks(list(labels), list(labels.values()))
    axis.set_ticks([], minor=True)


def _rate(rate: float) -> str:
    """Return a learning rate as people write it: 2e-4, 8.7e-6."""
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _tokens(count: int) -> str:
    """Return a number of tokens as people write it: 33.5B, 15.96T."""
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return str(count)
