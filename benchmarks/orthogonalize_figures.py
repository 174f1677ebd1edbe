"""What the rows of orthogonalize.py say: methods side by side, a sentence and a picture.

Needs no torch; matplotlib and the package are imported by the functions that draw.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = Path(__file__).parent / "results" / "orthogonalize.jsonl"
PICTURE = ROWS.with_suffix(".png")
BASELINE = "torch.optim.Muon"
DEFAULT = "minimax"
EXACT = "SVD, float32"
SINGLY = ", one by one"
MODEL = "SmolLM2-135M"
LARGE = "1024x3072"
INPUTS = {
    "momentum": "momentum of training",
    "decaying": "a spectrum over 4 decades",
    "random": "random normal",
    "dominated": "one direction 100 times the next",
    "low rank": "an eighth of the rank",
}
# Okabe and Ito's colours and a shape each, told apart by colour-blind readers.
_STYLES = {
    "default": {"color": "#D55E00", "marker": "*", "s": 190},
    "other": {"color": "#E69F00", "marker": "D", "s": 40},
    "ours": {"color": "#0072B2", "marker": "o", "s": 40},
    "one by one": {"color": "#56B4E9", "marker": "s", "s": 34},
    "exact": {"color": "#000000", "marker": "^", "s": 48},
}

Row = Mapping[str, Any]


def read_rows(path: Path = ROWS) -> list[dict[str, Any]]:
    """Return every row of a file, oldest first; none if there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def timed(rows: Sequence[Row], model: str = MODEL) -> dict[str, Row]:
    """Return {method: row} of the times on a model or shape, the fastest first."""
    found = [row for row in rows if row["question"] == "time" and row["model"] == model]
    return {row["variant"]: row for row in sorted(found, key=lambda row: row["ratio_p50"])}


def compared(rows: Sequence[Row], name: str) -> dict[str, Row]:
    """Return {method: row} of the comparison with U·Vᵀ on one kind of input."""
    return {row["variant"]: row for row in rows if row["question"] == "accuracy" and row["model"] == name}


def newest_run(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["run"] == rows[-1]["run"]]


def better(rows: Sequence[Row], name: str = "momentum", method: str = DEFAULT) -> list[str]:
    """Return the methods that are both no slower and no less accurate than another one, and better in one of them."""
    times, errors = timed(rows), compared(rows, name)

    def figures(variant: str) -> tuple[float, float]:
        return times[variant]["ratio_p50"], errors[variant]["error"]

    own = figures(method)
    return [
        variant
        for variant in times
        if all(theirs <= ours for theirs, ours in zip(figures(variant), own, strict=True)) and figures(variant) != own
    ]


def short(error: float) -> str:
    return f"{error:.3f}" if error >= 0.001 or error == 0 else f"{error:.0e}"


def sentence(rows: Sequence[Row]) -> str:
    """Return what the default costs and reaches, and whether anything measured beats it in both, in words."""
    times, errors = timed(rows), compared(rows, "momentum")
    if DEFAULT not in times or DEFAULT not in errors:
        return ""
    own = times[DEFAULT]
    share = f", and {own['share_of_floor']:.0%} of it is what its products take alone" if own["share_of_floor"] else ""
    said = (
        f"The default, {DEFAULT}, takes {own['ratio_p50']:.2f} of the time of {BASELINE}'s Newton–Schulz on all "
        f"matrices of {MODEL}{share}; on momentum of training it ends {errors[DEFAULT]['error']:.3f} from U·Vᵀ, "
        f"{BASELINE}'s {errors[BASELINE]['error']:.3f}."
    )
    beaten_by = {name: better(rows, name) for name in ("momentum", "decaying")}
    for name, names in beaten_by.items():
        kind = INPUTS[name]
        if names:
            listed = ", ".join(
                f"{v} ({times[v]['ratio_p50']:.2f} of the time, error {short(compared(rows, name)[v]['error'])})"
                for v in names
            )
            said += f" On {kind} it is not the best for its time: as fast or faster, and as close or closer: {listed}."
        else:
            said += f" On {kind} nothing measured is both as fast and as close."
    closer = [v for v in times if errors[v]["error"] < errors[DEFAULT]["error"] and v not in beaten_by["momentum"]]
    faster = [v for v in times if times[v]["ratio_p50"] < own["ratio_p50"] and v not in beaten_by["momentum"]]
    for names, what in ((closer, "Closer on momentum, and slower"), (faster, "Faster, and farther off on momentum")):
        if names:
            listed = ", ".join(f"{v} ({times[v]['ratio_p50']:.2f}, {short(errors[v]['error'])})" for v in names)
            said += f" {what}: {listed}."
    return said


def draw(rows: Sequence[Row], path: Path) -> Path:
    """Draw the newest run: time against error, on momentum of training and on a decaying spectrum."""
    from matplotlib import pyplot as plt

    run = newest_run(rows)
    times = timed(run)
    figure, panels = plt.subplots(1, 2, figsize=(12, 5.6), sharex=True, layout="constrained")
    drawn = []
    for axes, name in zip(panels, ("momentum", "decaying"), strict=True):
        errors = compared(run, name)
        points = {v: (row["ratio_p50"], errors[v]["error"]) for v, row in times.items() if v != EXACT}
        drawn.append(points)
        low, high = (of(y for _, y in points.values()) for of in (min, max))
        axes.set_ylim(low - 0.35 * (high - low), high + 0.15 * (high - low))
        axes.set_title(INPUTS[name][0].upper() + INPUTS[name][1:], fontsize="medium", loc="left")
        axes.set_xlabel(f"time on {MODEL}'s matrices, of {BASELINE}'s")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        for variant, (x, y) in points.items():
            axes.scatter(x, y, zorder=4 if variant == DEFAULT else 3, **_STYLES[_kind(variant)])
        _draw_pairs(axes, points)
        _draw_floor(axes, times[DEFAULT])
        if EXACT in times:
            # An exact method on the same axes would press all others into a line.
            said = (
                f"below: {EXACT}, {times[EXACT]['ratio_p50']:.1f} of the time, distance {short(errors[EXACT]['error'])}"
            )
            axes.text(0.99, 0.02, said, transform=axes.transAxes, ha="right", va="bottom", fontsize="small")
    shown = [x for x, _ in drawn[0].values()] + [times[DEFAULT]["floor_ratio_p50"] or 1.0]
    room = (max(shown) / min(shown)) ** 0.3
    panels[0].set_xscale("log")
    panels[0].set_xlim(min(shown) / room, max(shown) * room)
    ticks = [tick for tick in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20) if _within(tick, panels[0].get_xlim())]
    panels[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].set_xticks([], minor=True)
    panels[0].set_ylabel("relative distance to U·Vᵀ")
    figure.draw_without_rendering()  # the layout moves the axes, and labels are placed in pixels
    for axes, points in zip(panels, drawn, strict=True):
        _label(axes, points)
    figure.savefig(path, dpi=94, pil_kwargs={"optimize": True})
    plt.close(figure)
    return path


def _draw_pairs(axes: "Axes", points: Mapping[str, tuple[float, float]]) -> None:
    """Tie each method to itself without the Gram form."""
    for variant, point in points.items():
        if other := points.get(f"{variant}{SINGLY}"):
            axes.plot(*zip(point, other, strict=True), color="#56B4E9", linewidth=0.8, zorder=1)


def _draw_floor(axes: "Axes", row: Row) -> None:
    if row["floor_ratio_p50"] is None:
        return
    axes.axvline(row["floor_ratio_p50"], color="#D55E00", linewidth=1, linestyle=":")
    axes.annotate(
        f"{DEFAULT}'s products alone",
        (row["floor_ratio_p50"], 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="bottom",
        color="#D55E00",
        fontsize="small",
    )


def _label(axes: "Axes", points: Mapping[str, tuple[float, float]]) -> None:
    """Write every point's name as near to it as it meets neither another name nor a point; the default's first."""
    from matplotlib.patheffects import withStroke
    from matplotlib.text import Text

    pixels = dict(zip(points, axes.transData.transform(list(points.values())), strict=True))
    taken = [text.get_window_extent().extents for text in axes.texts]
    taken += [line.get_window_extent().padded(2).extents for line in axes.lines[-1:]]  # the floor
    taken += [(x - 7, y - 7, x + 7, y + 7) for x, y in pixels.values()]
    frame = axes.get_window_extent().extents
    for name in sorted(points, key=lambda name: name != DEFAULT):
        style: dict[str, Any] = {"fontsize": "small", "color": "#333333", "zorder": 5}
        if name == DEFAULT:
            style |= {"color": _STYLES["default"]["color"], "fontweight": "bold"}
        text = axes.annotate(
            f"{name} (default)" if name == DEFAULT else name,
            points[name],
            xytext=(0, 0),
            textcoords="offset pixels",
            arrowprops={"arrowstyle": "-", "color": "#888888", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4},
            **style,
        )
        extent = Text.get_window_extent(text)
        width, height = extent.width, extent.height
        best: tuple[float, float, float, tuple[float, float, float, float]] | None = None
        for distance, turn in product(range(14 if name == DEFAULT else 9, 130, 5), range(16)):
            x = distance * math.cos(turn * math.pi / 8)
            y = distance * math.sin(turn * math.pi / 8)
            # The nearest point of the name lies at (x, y) from the mark.
            left = x - width * (0.5 - 0.5 * math.cos(turn * math.pi / 8))
            bottom = y - height * (0.5 - 0.5 * math.sin(turn * math.pi / 8))
            corner = (pixels[name][0] + left, pixels[name][1] + bottom)
            box = (corner[0], corner[1], corner[0] + width, corner[1] + height)
            cost = distance + sum(_overlap(box, other) for other in taken) + 1000 * _outside(box, frame)
            if best is None or cost < best[0]:
                best = (cost, left, bottom, box)
        assert best is not None
        text.set_position(best[1:3])
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
        taken.append(best[3])


def _within(x: float, limits: tuple[float, float]) -> bool:
    return limits[0] < x < limits[1]


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(a: Sequence[float], frame: Sequence[float]) -> float:
    return max(0.0, frame[0] - a[0]) + max(0.0, a[2] - frame[2]) + max(0.0, frame[1] - a[1]) + max(0.0, a[3] - frame[3])


def _kind(variant: str) -> str:
    from hf_muonclip.optim.newton_schulz import COEFFICIENT_SETS

    if variant in (DEFAULT, EXACT):
        return "default" if variant == DEFAULT else "exact"
    if variant.endswith(SINGLY):
        return "one by one"
    return "ours" if variant.split(",")[0] in COEFFICIENT_SETS else "other"
