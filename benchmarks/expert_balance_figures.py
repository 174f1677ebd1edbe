"""What the rows of expert_balance.py say: a table, a sentence and a picture.

Only the newest run of equal settings counts, and only runs of the newest run's size. Needs no torch; matplotlib is
imported by the function that draws.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence_figures import with_spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

from convergence_figures import measured_with

ROWS = Path(__file__).parent / "results" / "expert_balance.jsonl"
LAST = 50  # steps that "at the end" means
RARE = 0.1  # of the mean load
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")  # Okabe and Ito's

Row = Mapping[str, Any]


def newest(rows: Sequence[Row]) -> dict[float, list[Row]]:
    """Return the runs by update rate, smallest first, one a seed; of the newest run's other settings."""

    def size(row: Row) -> dict[str, Any]:
        return {name: value for name, value in row["settings"].items() if name not in ("seed", "update_rate")}

    alike = [row for row in rows if size(row) == size(rows[-1])]
    of_settings = {json.dumps(row["settings"], sort_keys=True): row for row in alike}
    by_rate: dict[float, list[Row]] = {}
    for row in sorted(of_settings.values(), key=lambda row: (row["settings"]["update_rate"], row["settings"]["seed"])):
        by_rate.setdefault(row["settings"]["update_rate"], []).append(row)
    return by_rate


def violation_curve(row: Row) -> list[float]:
    """Return MaxVio of every step, mean over layers."""
    return [statistics.mean(layers) for layers in row["violations"]]


def final_violation(row: Row) -> float:
    return statistics.mean(violation_curve(row)[-LAST:])


def final_shares(row: Row) -> list[list[float]]:
    """Return each expert's load at the end over the mean load of its layer, by layer."""
    windows = row["loads"][-max(1, LAST // row["settings"]["window"]) :]
    layers = [[sum(loads) for loads in zip(*of_layer, strict=True)] for of_layer in zip(*windows, strict=True)]
    return [[load * len(loads) / sum(loads) for load in loads] for loads in layers]


def rare_experts(row: Row) -> int:
    return sum(share < RARE for layer in final_shares(row) for share in layer)


def label(rate: float) -> str:
    return f"bias moved by {rate:g} a step" if rate else "bias left at zero"


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table of the comparison."""
    runs = newest(rows)
    experts = sum(len(layer) for layer in final_shares(rows[-1]))
    lines = [
        f"| Router | Max violation, last {LAST} steps | Experts under {RARE:.0%} of the mean load, of {experts} | "
        "Smallest load, of the mean | Validation loss |",
        "|---|---|---|---|---|",
    ]
    columns: list[tuple[Callable[[Row], float], str]] = [
        (final_violation, ".2f"),
        (rare_experts, ".1f"),
        (lambda row: min(min(layer) for layer in final_shares(row)), ".2f"),
        (lambda row: row["validation_loss"], ".3f"),
    ]
    for rate, of_rate in runs.items():
        cells = [with_spread([("=", of_row(row)) for row in of_rate], form) for of_row, form in columns]
        lines.append(f"| {label(rate)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(rows: Sequence[Row], pictures: str) -> str:
    """Return the Markdown block for the READMEs.

    Args:
        rows: of the file.
        pictures: the folder of the pictures, as seen from the page.
    """
    if not rows:
        return "Nothing measured yet: run `python benchmarks/expert_balance.py`.\n"
    runs = newest(rows)
    used = [row for of_rate in runs.values() for row in of_rate]
    settings = used[-1]["settings"]
    layers, experts = len(used[-1]["loads"][0]), len(used[-1]["loads"][0][0])
    share = max(row["update_share"] for row in used)
    chosen = used[-1]["num_experts_per_tok"]
    about = (
        f'Preset "{settings["preset"]}" with {layers} layers of {experts} experts, {chosen} for each token, on '
        f"Shakespeare's plays: {settings['steps']} steps of MuonClip with "
        f"{settings['batch_size']}x{settings['length']} tokens, {len(next(iter(runs.values())))} seeds (mean, lowest "
        "to highest); a seed gives every router the same initial weights and batches. Max violation: the fullest "
        "expert's load over the mean load, less 1, of one step's tokens, mean over layers (MaxVio of arXiv "
        f"2408.15664); it can reach {experts / chosen - 1:g}. The bias moves by at most its rate a step, so that "
        "DeepSeek-V3's 0.001, meant for many thousand steps, has only begun here. The update takes at most "
        f"{share:.2%} of a step."
    )
    parts = [
        table(rows),
        f"![Load of the experts over training, with and without balance]({pictures}expert_balance.png)"
        if ROWS.with_suffix(".png").exists()
        else "",
        about,
        *measured_with(used),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw(rows: Sequence[Row], path: Path) -> Path:
    """Draw max violation over steps, and the load of every expert of one layer as it changes; return the path."""
    from matplotlib import pyplot as plt

    runs = newest(rows)
    figure = plt.figure(figsize=(11, 4.6), layout="constrained")
    grid = figure.add_gridspec(len(runs), 2, width_ratios=(1, 1.15))
    curves = figure.add_subplot(grid[:, 0])
    for colour, (rate, of_rate) in zip(_COLOURS, runs.items(), strict=False):
        by_step = list(zip(*(_smooth(violation_curve(row)) for row in of_rate), strict=True))
        steps = range(1, len(by_step) + 1)
        mean, low, high = ([of(step) for step in by_step] for of in (statistics.mean, min, max))
        curves.plot(steps, mean, color=colour, linewidth=1.8, label=label(rate))
        curves.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    curves.set_ylim(bottom=0)
    curves.set_xlim(left=0)
    curves.set_xlabel("optimizer step")
    curves.set_ylabel("max violation (0: every expert has the mean load)")
    curves.grid(alpha=0.25)
    curves.spines[["top", "right"]].set_visible(False)
    curves.legend(fontsize="medium", frameon=False, loc="upper right")
    seeds = len(next(iter(runs.values())))
    curves.set_title(f"Fullest expert: mean over layers and {seeds} seeds, band over seeds", fontsize="medium")
    maps = [figure.add_subplot(grid[place, 1]) for place in range(len(runs))]
    for axes, (rate, of_rate) in zip(maps, runs.items(), strict=True):
        image = _draw_loads(axes, of_rate[0])
        axes.set_title(f"Load of the last layer's experts, {label(rate)}", fontsize="medium")
        axes.tick_params(labelbottom=axes is maps[-1])
    maps[-1].set_xlabel("optimizer step")
    bar = figure.colorbar(image, ax=maps, label="load, of the mean", extend="max", aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_loads(axes: "Axes", row: Row) -> Any:
    """Draw the loads of the last layer: a line an expert, the fullest at the end on top."""
    layer = [window[-1] for window in row["loads"]]
    shares = [[load * len(loads) / sum(loads) for load in loads] for loads in layer]
    order = sorted(range(len(shares[-1])), key=lambda expert: -final_shares(row)[-1][expert])
    axes.set_yticks([])
    axes.set_ylabel(f"{len(order)} experts")
    axes.spines[:].set_visible(False)
    return axes.imshow(
        [[window[expert] for window in shares] for expert in order],
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=0,
        vmax=3,
        extent=(0, row["settings"]["steps"], len(order), 0),
    )


def _smooth(values: Sequence[float], width: int = 10) -> list[float]:
    """Return the mean of each value and up to `width` - 1 before it: a step's own load is noisy."""
    return [statistics.mean(values[max(0, i + 1 - width) : i + 1]) for i in range(len(values))]
