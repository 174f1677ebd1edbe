"""The frame that `hf-muonclip watch` draws: where a run is, its heads as colored blocks, and who was clipped."""

import math
from collections.abc import Sequence

import torch
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..common.wording import some_of
from .charts import color, number
from .run import Run, highest
from .verdict import verdict

_SPARKS = "▁▂▃▄▅▆▇█"
_OVER = "#d55e00"
_UNMEASURED = "#6b7480"
_LINES_AROUND_THE_MAP = 14
_MOST_CLIPPED_NAMED = 6


def frame(run: Run, width: int, height: int) -> RenderableType:
    """Return what a terminal shows of a run.

    Args:
        run: a run with at least one log.
        width: width of the terminal, in characters.
        height: height of the terminal, in lines.
    """
    inside = max(1, width - 4)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=9)
    table.add_column(no_wrap=True, overflow="ellipsis")
    room = max(10, inside - 14)
    table.add_row("step", _progress(run, room))
    if run.losses:
        losses = [value for _, value in run.losses]
        shown = Text(f"{number(losses[-1]):<8}", style="bold")
        table.add_row("loss", shown + Text(f" {sparkline(losses, min(60, room - 10))}", style="#56b4e9"))
    if run.eval_losses:
        step, value = run.eval_losses[-1]
        table.add_row("eval loss", f"{number(value)} at step {step:,}")
    table.add_row("max logit", _against_tau(run, room))
    table.add_row("clipped", _clipped(run, room))
    lines = max(2, height - _LINES_AROUND_THE_MAP - bool(run.losses) - bool(run.eval_losses))
    return Panel(
        Group(
            table,
            Text(),
            Text("max logit of every head: a row per layer, a column per head", style="dim"),
            heat_map(run, inside, lines),
            _key(run),
            Text(),
            Text(verdict(run), style="bold"),
        ),
        title=Text(run.title),
        subtitle=Text("finished" if run.finished is not None else "Ctrl-C leaves", style="dim"),
        width=width,
        border_style="dim",
    )


def sparkline(values: Sequence[float], width: int) -> str:
    """Return at most `width` bars, means of neighboring values if there are more; a dot where none is finite."""
    size = max(1, math.ceil(len(values) / max(1, width)))
    pieces = [[v for v in values[i : i + size] if math.isfinite(v)] for i in range(0, len(values), size)]
    means = [sum(piece) / len(piece) if piece else math.nan for piece in pieces]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, span = min(finite, default=0.0), (max(finite, default=0.0) - min(finite, default=0.0)) or 1.0
    return "".join("·" if math.isnan(mean) else _SPARKS[round((mean - low) / span * 7)] for mean in means)


def heat_map(run: Run, width: int, lines: int) -> Text:
    """Return the latest max logits as blocks; many layers and heads are joined to their highest, to fit.

    Args:
        run: a run with at least one log.
        width: width of the map and its labels, in characters.
        lines: number of lines of the map.
    """
    labels = run.labels
    modules = [heads.tolist() for heads in run.by_module(run.max_logits[-1]).values()]
    margin = max(len(label) for label in labels) + 1
    columns = max(len(heads) for heads in modules)
    room = max(1, width - margin)
    joined = math.ceil(columns / room)
    cell = max(1, min(4, room // math.ceil(columns / joined)))
    halves = 1 if len(modules) <= lines else 2
    layers = math.ceil(len(modules) / (lines * halves))
    top = min(run.threshold, run.peak)
    top = top if math.isfinite(top) and top > 0 else 1.0
    grid = []
    for start in range(0, len(modules), layers):
        group = modules[start : start + layers]
        rows = [[heads[i : i + joined] for heads in group if heads[i : i + joined]] for i in range(0, columns, joined)]
        grid.append([_color([v for heads in row for v in heads], run.threshold, top) for row in rows])
    text = Text(no_wrap=True)
    for line in range(0, len(grid), halves):
        text.append(f"{labels[line * layers]:>{margin - 1}} ", style="dim")
        below = grid[line + 1] if halves == 2 and line + 1 < len(grid) else None
        for column, upper in enumerate(grid[line]):
            lower = below[column] if below else (upper if halves == 1 else None)
            text.append("▀" * cell if lower != upper else "█" * cell, style=_style(upper, lower))
        text.append("\n")
    text.rstrip()
    return text


def _color(values: Sequence[float], threshold: float, top: float) -> str | None:
    if not values:
        return None
    value = highest(values)
    return _UNMEASURED if math.isnan(value) else _OVER if value > threshold else color(value / top)


def _style(upper: str | None, lower: str | None) -> str:
    return f"{upper or 'default'} on {lower or 'default'}" if upper != lower else upper or "default"


def _key(run: Run) -> Text:
    top = min(run.threshold, run.peak)
    text = Text().append("0 ", style="dim")
    for index in range(8):
        text.append("█", style=color(index / 7))
    text.append(f" {number(top)}", style="dim")
    if math.isfinite(run.threshold):
        text.append("   █", style=_OVER).append(" above tau", style="dim")
    if run.max_logits[-1].isnan().any():
        text.append("   █", style=_UNMEASURED).append(" at most tau, or not run", style="dim")
    return text


def _progress(run: Run, room: int) -> Text:
    step, total = run.steps[-1], run.max_steps
    text = Text(f"{step:,}", style="bold")
    if not total:
        return text
    text.append(f" of {total:,}  ", style="not bold")
    said = "" if run.finished is not None else _time_left(run, total)
    bar = max(5, min(30, room - len(text) - len(said) - 2))
    full = round(bar * min(1.0, step / total))
    text.append("━" * full, style="#21918c").append("━" * (bar - full), style="dim")
    return text.append(f"  {said}", style="not bold dim")


def _time_left(run: Run, total: int) -> str:
    recent = run.seconds[-20:]
    if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
        return ""
    pace = (recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])
    seconds = round(max(0, total - run.steps[-1]) * pace)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes:02} min left" if hours else f"{minutes} min {seconds % 60:02} s left"


def _against_tau(run: Run, room: int) -> Text:
    latest, tau = run.highest[-1], run.threshold
    text = Text(f"{number(latest):<8}", style="bold")
    if math.isinf(tau):
        return text.append(" tau is infinite: measured only", style="not bold dim")
    bar = max(5, min(30, room - 26))
    share = 0.0 if math.isnan(latest) else max(0.0, min(1.0, latest / tau))
    full = round(bar * share)
    text.append(" " + "━" * full, style=_OVER if latest > tau else "#5ec962").append("━" * (bar - full), style="dim")
    return text.append(f"  tau {number(tau)}", style="not bold dim")


def _clipped(run: Run, room: int) -> Text:
    last = run.clips[-1]
    places = [(label, i) for label, n in zip(run.labels, run.modules.values(), strict=True) for i in range(n)]
    order = torch.argsort(last, descending=True, stable=True)[: int((last > 0).sum())].tolist()
    clipped = [f"{places[i][0]}.{places[i][1]}" for i in order]
    text = Text(f"{len(order)} of {len(places)} heads since the log before", style="bold" if order else "")
    if clipped:
        text.append(f": {some_of(clipped, _MOST_CLIPPED_NAMED)}", style="not bold")
    elif run.last_clip_step is not None:
        text.append(f"; last at step {run.last_clip_step:,}")
    text.truncate(room, overflow="ellipsis")
    return text
