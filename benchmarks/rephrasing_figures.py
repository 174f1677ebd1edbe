from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
ROWS = Path(__file__).parent / "results" / "rephrasing.jsonl"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """What is trained on.

    Attributes:
        title: on the page.
        rephrasings: asked for of each passage, beside the passage itself.
        gate: whether the fidelity gate chooses among them.
        wrong_share: share of the generator's answers that have something wrong.
    """

    title: str
    rephrasings: int = 0
    gate: bool = False
    wrong_share: float = 0.0


ARMS = {
    "raw": Arm("the passages alone"),
    "1": Arm("1", 1, False, 0.2),
    "1, gate": Arm("1", 1, True, 0.2),
    "4": Arm("4", 4, False, 0.2),
    "4, gate": Arm("4", 4, True, 0.2),
    "4, nothing wrong": Arm("4", 4),
    "10": Arm("10", 10, False, 0.2),
    "10, gate": Arm("10", 10, True, 0.2),
    "10, nothing wrong": Arm("10", 10),
    "4 of worse": Arm("4", 4, False, 0.6),
    "4 of worse, gate": Arm("4", 4, True, 0.6),
}


def draw(rows: Sequence[Row], path: Path) -> Path:
    return path
