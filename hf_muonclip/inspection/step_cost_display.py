"""A step's cost in a terminal, in a pipe, or as JSON."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ..common.text_table import aligned
from ..common.wording import with_unit
from .step_cost import StepCost

_HEADER = ("optimizer", "state", "products", "busiest / mean", "sent", "time in products", "in sending")


def as_json(step: StepCost, tflops: float, gbps: float) -> dict[str, Any]:
    """Return the facts as one JSON object; `hf-muonclip plan --help` documents the keys."""
    return {
        "world": step.mesh.world,
        "parameter_bytes": _spread(step.weights),
        "gradient_bytes": _spread(step.gradients),
        "placements": list(step.placements),
        "optimizers": [
            {
                "name": cost.name,
                "state_bytes": _spread(cost.state),
                "flops": _spread(cost.flops),
                "balance": cost.balance,
                "sent_bytes": {what: _spread(nbytes) for what, nbytes in cost.sent.items()},
                "seconds": dict(zip(("products", "sending"), cost.seconds(tflops, gbps), strict=True)),
            }
            for cost in step.optimizers
        ],
    }


def cost_rows(step: StepCost, tflops: float, gbps: float) -> list[tuple[str, ...]]:
    """Return one row per optimizer, of the busiest rank; columns `_HEADER`."""
    rows: list[tuple[str, ...]] = []
    for cost in step.optimizers:
        products, sending = cost.seconds(tflops, gbps)
        rows.append(
            (
                cost.name,
                in_bytes(cost.state),
                in_flops(cost.flops),
                f"{cost.balance:.3f}" if cost.flops.any() else "-",
                in_bytes(cost.all_sent),
                in_seconds(products),
                in_seconds(sending),
            )
        )
    return rows


def sent_rows(step: StepCost) -> list[tuple[str, ...]]:
    """Return one row per optimizer and collective: name, collective, bytes of the busiest rank and of the mean."""
    return [
        (cost.name, what, in_bytes(nbytes), in_bytes(nbytes.double().mean()))
        for cost in step.optimizers
        for what, nbytes in cost.sent.items()
    ]


def lines(step: StepCost) -> list[str]:
    """Return the lines around the tables: the ranks, what they hold, and where matrices are."""
    held = [
        f"{what} {in_bytes(nbytes)} on the fullest rank, {in_bytes(nbytes.double().mean())} on average"
        for what, nbytes in (("parameters", step.weights), ("gradients", step.gradients))
    ]
    return [f"{step.mesh.world:,} ranks: {held[0]}; {held[1]}", *(f"- {said}" for said in step.placements)]


def as_plain(title: str, step: StepCost, tflops: float, gbps: float) -> str:
    """Return lines for a pipe."""
    first = _aligned([_HEADER, *cost_rows(step, tflops, gbps)])
    second = _aligned([("optimizer", "collective", "sent at most", "on average"), *sent_rows(step)])
    return "\n".join([title, *lines(step), "", *first, "", *second, "", _assumed(tflops, gbps)]) + "\n"


def show(title: str, step: StepCost, tflops: float, gbps: float, console: Console) -> None:
    """Write the tables to a terminal."""
    console.print(title, style="bold", highlight=False)
    console.print("\n".join(lines(step)), highlight=False)
    for header, rows in (
        (_HEADER, cost_rows(step, tflops, gbps)),
        (("optimizer", "collective", "sent at most", "on average"), sent_rows(step)),
    ):
        table = Table(box=box.SIMPLE_HEAD)
        for column, name in enumerate(header):
            table.add_column(name, justify="left" if column == 0 or name == "collective" else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(_assumed(tflops, gbps), style="dim", highlight=False)


def in_bytes(value: Tensor) -> str:
    """Return the largest number of bytes with a unit: 1.50 GB."""
    return with_unit(float(value.max().item()), "B")


def in_flops(value: Tensor) -> str:
    """Return the largest number of operations with a unit: 1.50 TFLOP."""
    return with_unit(float(value.max().item()), "FLOP")


def in_seconds(value: float) -> str:
    """Return milliseconds, or seconds where there are many."""
    return f"{value:,.2f} s" if value >= 10 else f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.2f} s"


def _spread(value: Tensor) -> dict[str, float]:
    return {"busiest": value.max().item(), "mean": value.double().mean().item()}


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    return aligned(rows, right=range(2 if "collective" in rows[0] else 1, len(rows[0])))


def _assumed(tflops: float, gbps: float) -> str:
    return (
        f"Numbers of the busiest rank. Times assume {tflops:g} TFLOP/s in products and {gbps:g} Gbit/s sent by a rank, "
        "one after the other; element-wise work, latencies and what DDP or FSDP sends are not in them."
    )
