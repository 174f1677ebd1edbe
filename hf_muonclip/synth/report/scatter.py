"""The picture of embeddings: where rephrasings lie and where their documents do, as paths of one inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .embeddings import Embedder, projected
from .survey import Placed

WIDTH, HEIGHT = 720, 440
_MARGIN = 14
COLOURS = 10  # that the style sheet has
_CROSS = 3.6


@dataclass(frozen=True)
class Layer:
    """The rephrasings of one style.

    Attributes:
        style: its name.
        colour: number of its colour in the style sheet.
        lines: path from each document to its rephrasing.
        kept: path of dots.
        dropped: path of crosses.
        count: rephrasings that are drawn.
    """

    style: str
    colour: int
    lines: str
    kept: str
    dropped: str
    count: int


@dataclass(frozen=True)
class Scatter:
    """The picture.

    Attributes:
        layers: one per style.
        sources: path of the documents' squares.
        documents: that are drawn.
        shares: of the variance, along x and along y.
    """

    layers: list[Layer]
    sources: str
    documents: int
    shares: tuple[float, float]


def scatter_of(placed: Sequence[Placed], styles: Sequence[str], embed: Embedder) -> Scatter | None:
    """Return the picture of a sample; None of fewer than two texts.

    Args:
        placed: the sample.
        styles: names of all styles, in the order of their colours.
        embed: makes vectors of texts.
    """
    if not placed:
        return None
    sources = [*dict.fromkeys(one.source for one in placed)]
    points, shares = projected(embed([*sources, *(one.rewritten for one in placed)]))
    spots = _on_paper(points)
    spot_of = dict(zip(sources, spots[: len(sources)], strict=True))
    drawn: dict[str, list[tuple[Placed, tuple[float, float]]]] = {}
    for one, spot in zip(placed, spots[len(sources) :], strict=True):
        drawn.setdefault(one.style, []).append((one, spot))
    layers = []
    for number, style in enumerate(styles):
        if own := drawn.get(style):
            layers.append(
                Layer(
                    style,
                    number % COLOURS,
                    "".join(f"M{_spot(spot_of[one.source])}L{_spot(spot)}" for one, spot in own),
                    "".join(f"M{_spot(spot)}h0" for one, spot in own if one.kept),
                    "".join(_cross(spot) for one, spot in own if not one.kept),
                    len(own),
                )
            )
    squares = "".join(f"M{_spot(spot)}h0" for spot in spots[: len(sources)])
    return Scatter(layers, squares, len(sources), shares)


def _on_paper(points: Any) -> list[tuple[float, float]]:
    """Return places in the picture, each axis stretched to its own range."""
    low, high = points.min(0), points.max(0)
    span = [float(value) or 1.0 for value in high - low]
    return [
        (
            _MARGIN + (WIDTH - 2 * _MARGIN) * (float(x - low[0]) / span[0] if high[0] > low[0] else 0.5),
            HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * (float(y - low[1]) / span[1] if high[1] > low[1] else 0.5),
        )
        for x, y in points
    ]


def _spot(spot: tuple[float, float]) -> str:
    return f"{spot[0]:.4g} {spot[1]:.4g}"


def _cross(spot: tuple[float, float]) -> str:
    x, y = spot[0] - _CROSS, spot[1] - _CROSS
    width = 2 * _CROSS
    return f"M{x:.4g} {y:.4g}l{width:g} {width:g}m-{width:g} 0l{width:g}-{width:g}"
