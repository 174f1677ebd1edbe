"""What the rows of idle_experts.py say: a table and a sentence, differences paired seed by seed.

Only the newest run of equal settings counts. Needs no torch.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convergence_figures import measured_with
from sparsity_figures import is_clear, with_error

ROWS = Path(__file__).parent / "results" / "idle_experts.jsonl"
TITLES = {
    "updated": "updated as all others",
    "shrinking": "no update, momentum shrinks",
    "kept": "no update, momentum kept",
    "shrinking, decayed": "no update but decay, momentum shrinks",
    "kept, decayed": "no update but decay, momentum kept",
}
BASELINE, CHOSEN = "updated", "shrinking"

Row = Mapping[str, Any]


def newest(rows: Sequence[Row]) -> dict[tuple[int, float], dict[str, dict[int, Row]]]:
    """Return {(experts, rate): {rule: {seed: row}}}, most experts first, of the newest data and other settings."""

    def others(row: Row) -> str:
        varied = ("rule", "seed", "lr", "experts", "active", "batch_size")
        settings = {name: value for name, value in row["settings"].items() if name not in varied}
        return json.dumps([settings, row["data"]], sort_keys=True)

    found: dict[tuple[int, float], dict[str, dict[int, Row]]] = {}
    for row in [row for row in rows if others(row) == others(rows[-1])]:
        settings = row["settings"]
        of_size = found.setdefault((settings["experts"], settings["lr"]), {})
        of_size.setdefault(settings["rule"], {})[settings["seed"]] = row
    ordered = sorted(found, key=lambda key: (-key[0], key[1]))
    return {
        key: {rule: dict(sorted(found[key][rule].items())) for rule in TITLES if rule in found[key]} for key in ordered
    }


def differences(of_size: Mapping[str, Mapping[int, Row]], rule: str, baseline: str) -> list[float]:
    """Return by how much a rule's validation loss is above another's, for every seed that both have."""
    own, other = of_size.get(rule, {}), of_size.get(baseline, {})
    return [own[s]["validation_loss"] - other[s]["validation_loss"] for s in own if s in other]


def best_rate(found: Mapping[tuple[int, float], Mapping[str, Mapping[int, Row]]], experts: int, rule: str) -> float:
    """Return the rate with the lowest mean loss over the seeds that all rates have."""
    of_rule = {lr: of_size[rule] for (size, lr), of_size in found.items() if size == experts and rule in of_size}
    common = set.intersection(*(set(of_rate) for of_rate in of_rule.values()))
    return min(of_rule, key=lambda lr: statistics.mean(of_rule[lr][s]["validation_loss"] for s in common))


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table of all rates and rules."""
    lines = [
        "| Experts, idle in a step | Rate | Experts without a token | Validation loss, mean ± standard error | Against "
        f'"{TITLES[BASELINE]}", seed by seed | Seeds | Their share of all movement of experts | Max violation |',
        "|---|---|---|---|---|---|---|---|",
    ]
    for (experts, lr), of_size in newest(rows).items():
        for rule, of_rule in of_size.items():
            runs = list(of_rule.values())
            apart = [] if rule == BASELINE else differences(of_size, rule, BASELINE)
            lines.append(
                f"| {experts}, {_mean(runs, 'idle_share'):.0%} | {lr:g} | {TITLES[rule]} | "
                f"{with_error([row['validation_loss'] for row in runs])} | "
                f"{with_error(apart, '+.3f') if apart else ''} | {len(runs)} | "
                f"{_mean(runs, 'idle_movement_share'):.0%} | {_mean(runs, 'max_violation'):.2f} |"
            )
    return "\n".join(lines)


def sentence(rows: Sequence[Row]) -> str:
    """Return what was found, in words and figures."""
    found = newest(rows)
    most, fewest = max(size for size, _ in found), min(size for size, _ in found)
    rate = best_rate(found, most, CHOSEN)
    many = found[most, rate]
    few = next(of_size for (size, _), of_size in found.items() if size == fewest)
    base = list(many[BASELINE].values())
    resting, between = differences(many, CHOSEN, BASELINE), differences(many, CHOSEN, "kept")
    decay, lost = differences(many, "shrinking, decayed", CHOSEN), differences(few, CHOSEN, BASELINE)
    settings = base[0]["settings"]
    tokens = settings["batch_size"] * settings["length"]
    idle, moved = (_mean(base, figure) for figure in ("idle_share", "idle_movement_share"))
    return (
        f"In a mixture of {most} experts with {tokens} tokens a step, {idle:.0%} of the experts have none in a step; "
        f"moved all the same, they make {moved:.0%} of all movement of experts. Left at rest, validation loss changes "
        f"by {with_error(resting, '+.3f')} (mean and standard error of {len(resting)} seeds' own differences, rate "
        f"{rate:g}). Whether their momentum then shrinks or is kept is {_told(between)}: "
        f"{with_error(between, '+.3f')}. It shrinks, as the algorithm says. Decaying them all the same costs "
        f"{with_error(decay, '+.3f')}. Where few are idle "
        f"({_mean(list(few[BASELINE].values()), 'idle_share'):.1%} of {fewest}), resting changes the loss by "
        f"{with_error(lost, '+.3f')}."
    )


def report(rows: Sequence[Row]) -> str:
    """Return the Markdown block for the page."""
    if not rows:
        return "Nothing measured yet: run `python benchmarks/idle_experts.py`.\n"
    used = [row for of_size in newest(rows).values() for of_rule in of_size.values() for row in of_rule.values()]
    settings = used[-1]["settings"]
    about = (
        f"Kimi K2's architecture with {settings['layers']} layers (one of them dense) and width "
        f"{settings['hidden_size']}, Shakespeare's plays, {settings['steps']} steps; a seed gives every rule the same "
        "initial weights and batches. Movement: the sum of the Frobenius norms of what a step changes, decay included. "
        "Max violation: the fullest expert's load over the mean, less 1, over the last tenth of the steps."
    )
    return "\n\n".join([table(rows), sentence(rows), about, *measured_with(used)]) + "\n"


def _mean(rows: Sequence[Row], figure: str) -> float:
    return statistics.mean(row[figure] for row in rows)


def _told(apart: Sequence[float]) -> str:
    if is_clear(apart) or is_clear([-value for value in apart]):
        return "a difference of more than two standard errors"
    return "within the noise"
