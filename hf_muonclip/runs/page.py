"""The page of a run: its log in sentences, pictures and tables, as one HTML file without dependencies."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..common.page_style import page_style
from .charts import Scale, color, line, marks, number, scale_of, thinned
from .run import Run, highest_along
from .spectra import read_spectra
from .verdict import verdict

_MOST_POINTS = 400
_MOST_COLUMNS = 160
_MOST_HEAD_ROWS = 96
_MOST_CLIPPED_ROWS = 50
_MOST_LINES = 64
_MOST_SPECTRA = 12
_LEVELS = 4


def render_page(run: Run) -> str:
    """Return the HTML of a run's page.

    Args:
        run: a run with at least one log.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("hf_muonclip.runs", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    clipped = run.clipped_heads()
    listed = [(head, *run.clip_steps(head)) for head in clipped[:_MOST_CLIPPED_ROWS]]
    return environment.get_template("page.html.jinja").render(
        title=run.title,
        style=page_style(),
        version=__version__,
        folder=run.folder.resolve().name,
        run=run,
        tiles=list(_tiles(run)),
        verdict=verdict(run),
        status=_status(run),
        maps=_maps(run),
        curves=_curves(run),
        raster=_raster(run),
        clipped=listed,
        clipped_more=len(clipped) - len(listed),
        spans=any("–" in first + last for _, first, last in listed),
        rogue_count=sum(head.rogue for head in clipped),
        spectra=_spectra(run.folder),
        settings=run.description.get("optimizer", {}),
        environment=_environment(run),
    )


def _status(run: Run) -> str:
    step = f"{run.steps[-1]:,}"
    total = f" of {run.max_steps:,}" if run.max_steps else ""
    if run.finished is not None:
        return f"finished at step {run.finished:,}"
    return f"step {step}{total}"


def _tiles(run: Run) -> Iterator[tuple[str, str, str]]:
    """Yield (name, value, remark)."""
    total = run.max_steps
    yield "step", f"{run.steps[-1]:,}", f"of {total:,}" if total else f"{len(run.steps):,} logs"
    if run.losses:
        evaluated = run.eval_losses
        remark = f"evaluation {number(evaluated[-1][1])}" if evaluated else f"first {number(run.losses[0][1])}"
        yield "loss", number(run.losses[-1][1]), remark
    yield "max logit, latest log", number(run.highest[-1]), f"highest {number(run.peak)}"
    yield (
        "tau",
        number(run.threshold),
        "measured only" if math.isinf(run.threshold) else "threshold of the clip",
    )
    heads = run.heads()
    clipped = [head for head in heads if head.clips]
    clips = sum(head.clips for head in clipped)
    yield "heads ever clipped", f"{len(clipped):,}", f"of {len(heads):,}; {clips:,} clips"


def _maps(run: Run) -> list[dict[str, Any]]:
    latest = run.max_logits[-1]
    top = min(run.threshold, run.peak)
    top = 1.0 if math.isnan(top) or top <= 0 else top
    return [
        _map(run, latest, top, "Latest", f"in the log of step {run.steps[-1]:,}"),
        _map(run, run.peaks, top, "Highest", f"over all {len(run.steps):,} logs"),
    ]


def _map(run: Run, values: Tensor, top: float, name: str, remark: str) -> dict[str, Any]:
    labels, modules = run.labels, [heads.tolist() for heads in run.by_module(values).values()]
    unmeasured = "never ran" if math.isinf(run.threshold) else "at most tau, or it never ran"
    cells = []
    for row, heads in enumerate(modules):
        for column, value in enumerate(heads):
            said = number(value) if not math.isnan(value) else unmeasured
            over = value > run.threshold
            fill = "" if math.isnan(value) or over else color(value / top)
            kind = "n" if math.isnan(value) else "o" if over else ""
            cells.append(
                {
                    "x": column,
                    "y": row,
                    "fill": fill,
                    "kind": kind,
                    "text": said,
                    "title": f"{labels[row]}.{column} {said}",
                }
            )
    columns = max((len(heads) for heads in modules), default=1)
    rows = len(modules)
    return {
        "name": name,
        "remark": remark,
        "cells": cells,
        "columns": columns,
        "rows": rows,
        "width": columns * (72 if columns <= 4 else 36 if columns <= 16 else 16 if columns <= 32 else 8),
        "height": rows * (30 if rows <= 8 else 14 if rows <= 32 else 8),
        "written": columns <= 4 and rows <= 16,
        "row_labels": _spread(labels, 12),
        "margin": _margin(labels, 34),
        "column_labels": _spread([str(head) for head in range(columns)], 8),
        "scale": [color(index / 8) for index in range(9)],
        "low": number(0.0),
        "high": number(top),
        "bounded": any(cell["kind"] == "n" for cell in cells),
        "over": any(cell["kind"] == "o" for cell in cells),
    }


def _margin(labels: Sequence[str], least: int) -> int:
    """Return the width of row labels in pixels; they are names where layer numbers are not unique."""
    return max(least, 14 + 7 * max(map(len, labels)))


def _spread(labels: Sequence[str], most: int) -> list[tuple[float, str]]:
    """Return (middle in percent, label) of every n-th label, at most `most` in all."""
    every = math.ceil(len(labels) / most) if labels else 1
    return [(round(100 * (i + 0.5) / len(labels), 2), label) for i, label in enumerate(labels) if i % every == 0]


def _curves(run: Run) -> list[dict[str, Any]]:
    """Return the charts over steps, all with the same x axis: max logits, learning rate, loss."""
    x = _step_scale(run)
    charts = [_logit_chart(run.binned(_MOST_POINTS), x)]
    if run.losses:
        charts.append(_loss_chart(run, x))
    return charts


def _step_scale(run: Run) -> Scale:
    return Scale(0, max([1, *run.steps, *(step for step, _ in (*run.losses, *run.eval_losses))]))


def _step_before(run: Run) -> int:
    """Return the guessed start of the first log, as many steps before it as the second log covers."""
    steps = run.steps
    return max(0, 2 * steps[0] - steps[1]) if len(steps) > 1 else steps[0] - 1


def _logit_chart(run: Run, x: Scale) -> dict[str, Any]:
    tau = run.threshold
    layers = run.by_module(torch.stack(run.max_logits)).values()  # (logs, heads) each
    per_layer = [highest_along(layer, 1).tolist() for layer in layers]
    most = run.peak
    values = [value for layer in per_layer for value in layer] + ([tau] if math.isfinite(tau) else [])
    log = most > 6 * tau or (math.isinf(tau) and most > 400)
    y = scale_of(values, log=True) if log else scale_of(values, zero=True)
    every = max(1, math.ceil(len(per_layer) / _MOST_LINES))
    labels = run.labels
    last = max(1, len(per_layer) - 1)
    lines = [
        {
            "path": line(list(zip(run.steps, layer, strict=True)), x, y),
            "color": color(0.28 + 0.57 * index / last),
            "name": f"layer {labels[index]}",
        }
        for index, layer in enumerate(per_layer)
        if index % every == 0
    ]
    return {
        "id": "logits",
        "title": "Max attention logit over steps",
        "remark": "One line per layer: its highest head since the log before."
        + (f" Every {every}th layer of {len(per_layer)} is drawn." if every > 1 else "")
        + (" Scaled by powers." if log else ""),
        "lines": lines,
        "dots": [],
        "legend": [(item["name"], item["color"]) for item in lines] if len(lines) <= 8 else [],
        "layers": (labels[0], labels[-1], [color(0.28 + 0.57 * i / 4) for i in range(5)]) if len(lines) > 8 else None,
        "tau": None if math.isinf(tau) else (round(100 * y(tau), 2), number(tau)),
        "tall": True,
        **_axes(x, y),
        "hover": {"x": run.steps, "series": {"highest max logit": _for_json(run.highest)}},
    }


def _loss_chart(run: Run, x: Scale) -> dict[str, Any]:
    points = thinned(run.losses)
    y = scale_of([value for _, value in (*points, *run.eval_losses)])
    dots = [
        (round(100 * x(step), 2), round(100 * y(value), 2), f"step {step:,}: {number(value)}")
        for step, value in thinned(run.eval_losses, 60)
        if math.isfinite(value)
    ]
    broken = sum(not math.isfinite(value) for _, value in run.losses)
    return {
        "id": "loss",
        "title": "Loss",
        "remark": "In nats per token, for a language model."
        + (f" Not finite in {broken:,} log{'' if broken == 1 else 's'}, where the line breaks." if broken else ""),
        "lines": [{"path": line(points, x, y), "color": "var(--loss)", "name": "training"}],
        "dots": dots,
        "legend": [("training", "var(--loss)"), *([("evaluation", "var(--eval)")] if dots else [])],
        "layers": None,
        "tau": None,
        "tall": False,
        **_axes(x, y),
        "hover": {"x": [s for s, _ in points], "series": {"training loss": _for_json([v for _, v in points])}},
    }


def _axes(x: Scale, y: Scale) -> dict[str, Any]:
    return {"x_ticks": x.ticks(), "y_ticks": y.ticks(), "x_range": (x.low, x.high)}


def _for_json(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def _raster(run: Run) -> dict[str, Any] | None:
    """Return the raster of clips over time: a row per head that was clipped, or per layer where these are many."""
    if run.last_clip is None:
        return None
    binned = run.binned(_MOST_COLUMNS)
    clips = torch.stack(binned.clips)  # (logs, heads of all modules)
    places = [(label, i) for label, n in zip(run.labels, run.modules.values(), strict=True) for i in range(n)]
    clipped = clips.any(0).nonzero().flatten().tolist()
    by_head = len(clipped) <= _MOST_HEAD_ROWS
    if by_head:
        shares = (clips[:, clipped] / clips.max()).T.tolist()
        layers = [places[index][0] for index in clipped]
        labels = [f"{places[index][0]}.{places[index][1]}" for index in clipped]
    else:
        of_layers = torch.stack([layer.mean(1) for layer in run.by_module((clips > 0).float()).values()])
        shares = (of_layers / of_layers.max()).tolist()
        layers = labels = run.labels
    rows = len(shares)
    x = _step_scale(run)
    edges = [x(step) for step in (_step_before(binned), *binned.steps)]
    return {
        "levels": [(index, marks(shares, edges, index, _LEVELS)) for index in range(1, _LEVELS + 1)],
        "by_head": by_head,
        "margin": _margin(labels, 46),
        "height": max(60, rows * (18 if rows <= 12 else 9 if rows <= 40 else 6)),
        "row_labels": _spread(labels, 16),
        "lines": [round(1000 * i / rows, 1) for i in range(1, rows) if by_head and layers[i] != layers[i - 1]],
        "x_ticks": x.ticks(),
        "binned": math.ceil(len(run.steps) / len(binned.steps)),
    }


def _spectra(folder: Path) -> list[dict[str, Any]]:
    """Return a chart per weight: the singular values of its matrices, at the first and the last record."""
    records = read_spectra(folder)
    charts: list[dict[str, Any]] = []
    for name in list(records[-1]["spectra"])[:_MOST_SPECTRA] if records else []:
        chosen = [records[0], records[-1]] if len(records) > 1 else [records[-1]]
        curves = []
        for place, record in enumerate(chosen):
            for values in record["spectra"].get(name, [])[:4]:
                if values and values[0] > 0:
                    curves.append((place == len(chosen) - 1, [value / values[0] for value in values]))
        x = Scale(0, 1)
        y = scale_of([max(value, 1e-4) for _, values in curves for value in values], log=True)
        lines = [
            {
                "path": line(thinned([(i / max(1, len(v) - 1), max(s, 1e-4)) for i, s in enumerate(v)], 200), x, y),
                "color": "var(--loss)" if is_last else "var(--muted)",
                "name": "last" if is_last else "first",
            }
            for is_last, v in curves
        ]
        charts.append(
            {
                "id": f"spectrum-{len(charts)}",
                "title": name,
                "matrices": len(records[-1]["spectra"][name]),
                "lines": lines,
                "steps": [record["step"] for record in chosen],
                "x_ticks": [(0.0, "first"), (100.0, "last")],
                "y_ticks": y.ticks(5),
            }
        )
    return charts


def _environment(run: Run) -> list[tuple[str, str]]:
    told, header = run.description, run.header
    facts = [
        ("model", header.get("model")),
        ("weights from", header.get("model_name") and run.title),
        ("heads", f"{sum(run.modules.values()):,} in {len(run.modules):,} attention layers"),
        ("started", _moment(header.get("started"))),
        ("resumed", _moment(header.get("resumed"))),
        ("hardware", told.get("hardware")),
        ("seed", told.get("seed")),
        *(told.get("versions") or {}).items(),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _moment(time: str | None) -> str | None:
    return time and f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M %Z}"
