"""Geometry of the page's pictures: SVG paths in a box of 1000 x 1000 that the page stretches, and ticks in percent.

Text is not part of the stretched box: the page puts it beside, so that it stays legible on any screen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]

# Nine samples of matplotlib's viridis, which is even in lightness and safe for color-blind eyes.
_VIRIDIS = ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")


@dataclass(frozen=True)
class Scale:
    """Maps values to 0 (bottom, left) .. 1 (top, right).

    Attributes:
        low: value at 0.
        high: value at 1; above `low`.
        log: even in powers instead of differences; `low` is then positive.
    """

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, kept within 0 .. 1."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Return (place in percent, text) of at most `most` round values."""
        values = _powers(self.low, self.high, most) if self.log else _round_steps(self.low, self.high, most)
        return [(round(100 * self(value), 2), number(value)) for value in values]


def scale_of(values: Sequence[float], *, zero: bool = False, log: bool = False) -> Scale:
    """Return a scale that holds all finite values with some room; from 0 if asked."""
    finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    low, high = min(finite, default=0.1 if log else 0.0), max(finite, default=1.0)
    if log:
        return Scale(low / 1.1, high * 1.25, log=True)
    low = min(0.0, low) if zero else low
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return Scale(low if zero else low - room, high + room)


def line(points: Points, x: Scale, y: Scale) -> str:
    """Return the path of a curve. A value that is not finite breaks it; a single point is drawn as a short dash."""
    commands: list[str] = []
    pen_down = False
    for index, (at, value) in enumerate(points):
        if not math.isfinite(value):
            pen_down = False
            continue
        place = f"{1000 * x(at):.0f} {1000 * (1 - y(value)):.0f}"
        alone = index + 1 == len(points) or not math.isfinite(points[index + 1][1])
        commands.append(("L" if pen_down else "M") + place + ("h6" if alone and not pen_down else ""))
        pen_down = True
    return "".join(commands)


def thinned(points: Points, most: int = 800) -> list[tuple[float, float]]:
    """Return at most `most` points of a curve that keep its peaks: the lowest and highest of each piece."""
    points = list(points)
    if len(points) <= most:
        return points
    size = math.ceil(2 * len(points) / most)
    kept = []
    for start in range(0, len(points), size):
        piece = [index for index in range(start, min(start + size, len(points))) if math.isfinite(points[index][1])]
        ends = {min(piece, key=lambda i: points[i][1]), max(piece, key=lambda i: points[i][1])} if piece else {start}
        kept += [points[index] for index in sorted(ends)]
    return kept


def marks(rows: Sequence[Sequence[float]], edges: Sequence[float], level: int, levels: int) -> str:
    """Return the path of all cells of a grid whose share, above 0 and up to 1, falls into one of some levels.

    Args:
        rows: the grid from above, each row from the left.
        edges: left edges of the columns and the right edge of the last, in 0 .. 1 of the box.
        level: which level, from 1.
        levels: how many there are.
    """
    commands = []
    height = 1000 / len(rows)
    for top, row in enumerate(rows):
        start: int | None = None
        for column in range(len(row) + 1):
            inside = column < len(row) and row[column] > 0 and math.ceil(row[column] * levels) == level
            if inside and start is None:
                start = column
            elif not inside and start is not None:
                left, length = 1000 * edges[start], 1000 * (edges[column] - edges[start])
                commands.append(f"M{left:.4g} {top * height:.4g}h{length:.4g}v{height:.4g}h{-length:.4g}z")
                start = None
    return "".join(commands)


def color(share: float) -> str:
    """Return the color of a share of 0 .. 1, dark to light."""
    place = min(1.0, max(0.0, share)) * (len(_VIRIDIS) - 1)
    below = min(int(place), len(_VIRIDIS) - 2)
    first, second = (_channels(_VIRIDIS[index]) for index in (below, below + 1))
    mixed = [round(a + (b - a) * (place - below)) for a, b in zip(first, second, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def number(value: float, digits: int = 4) -> str:
    """Return a number as people read it: "1,200", "33.39", "0.0012"; a dash for nan."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if abs(value) >= 1000 and abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def _channels(text: str) -> list[int]:
    return [int(text[place : place + 2], 16) for place in (0, 2, 4)]


def _round_steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        inside = [value for value in values if low <= value <= high]
        if len(inside) <= most:
            return inside
    return inside[:: math.ceil(len(inside) / most)]
