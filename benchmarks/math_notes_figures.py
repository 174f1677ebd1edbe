"""The part of benchmarks/README.md about notes of mathematics, from the newest rows of the benchmark."""

import json
from pathlib import Path

ROWS = Path(__file__).parent / "results" / "math_notes.jsonl"
_SPLITS = {"held_out": "held out", "development": "made with"}
_ERRORS = {
    "digit": "a digit of an intermediate step",
    "sign": "a sign or an operation",
    "variables": "an equation with variables",
    "answer": "the final answer",
}


def newest_rows() -> list[dict]:
    """Return the last row of every part and kind."""
    newest = {}
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        newest[row["split"], row["by"], row.get("kind")] = row
    return list(newest.values())


def report() -> str:
    """Return the tables."""
    rows = newest_rows()
    lines = [
        f"| Error in a note | {' | '.join(f'{title}: caught' for title in _SPLITS.values())} | by the answer alone |",
        "|---|---|---|---|",
    ]
    found = {(row["split"], row["by"], row.get("kind")): row for row in rows}
    for kind, said in _ERRORS.items():
        own = [found[split, "error", kind] for split in _SPLITS]
        cells = [f"{row['caught']} of {row['notes']}" for row in own]
        cells.append(f"{sum(row['by_answer'] for row in own)} of {sum(row['notes'] for row in own)}")
        lines.append(f"| {said} | {' | '.join(cells)} |")
    right = [[row for row in rows if row["split"] == split and row["by"] == "notation"] for split in _SPLITS]
    dropped = [f"{sum(row['dropped'] for row in own)} of {sum(row['notes'] for row in own)}" for own in right]
    lines += [f"| none: dropped all the same | {' | '.join(dropped)} | |", ""]
    lines += [
        "| Right notes in | Notes | Equations | Parsed | Of them decided | Found false |",
        "|---|---|---|---|---|---|",
    ]
    notations = dict.fromkeys(row["kind"] for own in right for row in own)
    for notation in notations:
        own = [found[split, "notation", notation] for split in _SPLITS if (split, "notation", notation) in found]
        total = {name: sum(row[name] for row in own) for name in ("notes", "equations", "parsed", "decided", "false")}
        shares = f"{_share(total['parsed'], total['equations'])} | {_share(total['decided'], total['parsed'])}"
        lines.append(f"| {notation} | {total['notes']} | {total['equations']} | {shares} | {total['false']} |")
    spent = found["held_out", "time", None]
    lines += [
        "",
        f"{spent['p50_ms']:.0f} ms a note with its source, median ({spent['p90_ms']:.0f} ms at 90%), by one worker "
        f"process on {spent['device']}, commit {spent['commit']}, {spent['date']}. What is not decided has variables "
        "or is rounded. The held-out notes are by the same hand; when they were first run, 54 of their 55 errors were "
        "caught, and what that run showed was put right. Notes and errors: "
        "[math_solutions.py](../tests/synth/math_solutions.py).",
    ]
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "none"
