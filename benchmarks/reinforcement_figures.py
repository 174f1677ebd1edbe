"""What the rows of reinforcement.py say: a table, a sentence and a picture.

Only the newest run of equal settings counts, and only runs from the newest run's initial weights. Needs no torch;
matplotlib is imported by the function that draws.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence_figures import measured_with, with_spread
from sparsity_figures import is_clear, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = Path(__file__).parent / "results" / "reinforcement.jsonl"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """One way to learn.

    Attributes:
        loss: "k2", "k25", or "trl" for the default of TRL's GRPOTrainer.
        optimizer: "MuonClip" or "AdamW".
        title: on the page.
        colour: Okabe and Ito's.
        budget: whether answers have a budget of tokens.
        rate_of: the arm whose tuned rate it takes; None tunes its own.
    """

    loss: str
    optimizer: str
    title: str
    colour: str
    budget: bool = False
    rate_of: str | None = None


ARMS = {
    "k2": Arm("k2", "MuonClip", "K2's objective, MuonClip", "#0072B2"),
    "trl": Arm("trl", "AdamW", "TRL's default loss, AdamW", "#D55E00"),
    "k2, budget": Arm("k2", "MuonClip", "K2's objective, MuonClip, budget of tokens", "#56B4E9", True, rate_of="k2"),
    "k25": Arm("k25", "MuonClip", "K2.5's objective, MuonClip", "#009E73"),
    "trl, MuonClip": Arm("trl", "MuonClip", "TRL's default loss, MuonClip", "#E69F00"),
}
BASELINE = "trl"


def newest(rows: Sequence[Row]) -> list[Row]:
    """Return the newest row of equal settings, of the newest row's initial weights and other settings."""

    def others(row: Row) -> str:
        varied = ("arm", "lr", "seed", "measure_every")
        settings = {name: value for name, value in row["settings"].items() if name not in varied}
        return json.dumps([settings, row["start"]], sort_keys=True)

    kept = [row for row in rows if others(row) == others(rows[-1])]
    return list({json.dumps(row["settings"], sort_keys=True): row for row in kept}.values())


def arms(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """Return {arm: {seed: row}} of the rate and the seeds that count: those that were not tuned on.

    The rate of the arm's newest row is the tuned one, since tuning runs come first.
    """
    found: dict[str, dict[int, Row]] = {}
    for name in ARMS:
        of_arm = [row for row in newest(rows) if row["settings"]["arm"] == name and not row["tuning"]]
        if of_arm:
            rate = of_arm[-1]["settings"]["lr"]
            chosen = {row["settings"]["seed"]: row for row in of_arm if row["settings"]["lr"] == rate}
            found[name] = dict(sorted(chosen.items()))
    return found


def tried(rows: Sequence[Row], name: str) -> list[float]:
    """Return the rates that an arm was tuned over."""
    of_arm = ARMS[name].rate_of or name
    return sorted({row["settings"]["lr"] for row in newest(rows) if row["settings"]["arm"] == of_arm and row["tuning"]})


def last(row: Row, figure: str, decoding: str = "sampled") -> float:
    """Return a figure of the last measurement."""
    return float(row["curve"][-1][decoding][figure])


def first(row: Row, figure: str, decoding: str = "sampled") -> float:
    """Return a figure from before training."""
    return float(row["curve"][0][decoding][figure])


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table of the comparison."""
    found = arms(rows)
    any_row = next(iter(next(iter(found.values())).values()))
    lines = [
        "| Objective and optimizer | Rate (tried) | Right answers, sampled | Against TRL's default with AdamW, seed by "
        "seed | Right answers, greedy | Tokens of an answer |",
        "|---|---|---|---|---|---|",
        f"| before | | {first(any_row, 'accuracy'):.1%} | | {first(any_row, 'accuracy', 'greedy'):.1%} | "
        f"{first(any_row, 'length'):.1f} |",
    ]
    for name, by_seed in found.items():
        runs = list(by_seed.values())
        apart = [] if name == BASELINE else gains(found, name, BASELINE)
        rates = ", ".join(f"{lr:g}" for lr in tried(rows, name))
        cells = [
            ARMS[name].title,
            f"{runs[0]['settings']['lr']:g} ({rates})",
            with_spread([("=", last(row, "accuracy")) for row in runs], ".1%"),
            with_error(apart, "+.3f") if apart else "",
            with_spread([("=", last(row, "accuracy", "greedy")) for row in runs], ".1%"),
            with_spread([("=", last(row, "length")) for row in runs], ".1f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gains(found: Mapping[str, Mapping[int, Row]], name: str, baseline: str, decoding: str = "sampled") -> list[float]:
    """Return by how much an arm's share of right answers is above another's, for every seed that both have."""
    own, other = found.get(name, {}), found.get(baseline, {})
    return [
        last(own[seed], "accuracy", decoding) - last(other[seed], "accuracy", decoding) for seed in own if seed in other
    ]


def sentence(rows: Sequence[Row]) -> str:
    """Return what was found, in words and figures."""
    found = arms(rows)
    if "k2" not in found or BASELINE not in found:
        return ""
    start = first(next(iter(found["k2"].values())), "accuracy")
    told = [
        f"With K2's objective and MuonClip {_mean(found['k2'], 'accuracy'):.0%} of the sampled answers to held-out "
        f"problems are right, {start:.0%} before; with TRL's default loss and AdamW "
        f"{_mean(found[BASELINE], 'accuracy'):.0%}: {_verdict(gains(found, 'k2', BASELINE))}.",
        f"Of greedy answers {_mean(found['k2'], 'accuracy', 'greedy'):.0%} are, against "
        f"{_mean(found[BASELINE], 'accuracy', 'greedy'):.0%}: {_verdict(gains(found, 'k2', BASELINE, 'greedy'))}.",
    ]
    told += [
        f"{said}: {_verdict(gains(found, one, other))}."
        for one, other, said in (
            ("k2", "k25", "Against K2.5's objective"),
            ("k2", "trl, MuonClip", "Against TRL's default loss, MuonClip in both"),
        )
        if other in found
    ]
    if "k2, budget" in found:
        told.append(
            f"With a budget an answer has {_mean(found['k2, budget'], 'length'):.1f} tokens instead of "
            f"{_mean(found['k2'], 'length'):.1f} ({first(next(iter(found['k2'].values())), 'length'):.1f} before), and "
            f"{_mean(found['k2, budget'], 'accuracy'):.0%} are right: {_verdict(gains(found, 'k2, budget', 'k2'))}."
        )
    told.append(f"Of {len(found['k2'])} seeds that is weak evidence.")
    return " ".join(told)


def _mean(by_seed: Mapping[int, Row], figure: str, decoding: str = "sampled") -> float:
    return statistics.mean(last(row, figure, decoding) for row in by_seed.values())


def _verdict(apart: Sequence[float]) -> str:
    """Return a difference in words; two standard errors are taken for one."""
    clear = "more" if is_clear(apart) else "fewer" if is_clear([-value for value in apart]) else "within the noise"
    return f"{clear}, {with_error(apart, '+.3f')}"


def report(rows: Sequence[Row], pictures: str) -> str:
    """Return the Markdown block for the page.

    Args:
        rows: of the file.
        pictures: the folder of the pictures, as seen from the page.
    """
    if not rows or not arms(rows):
        return "Nothing measured yet: run `python benchmarks/reinforcement.py`.\n"
    used = [row for by_seed in arms(rows).values() for row in by_seed.values()]
    settings = used[-1]["settings"]
    seeds = max(len(by_seed) for by_seed in arms(rows).values())
    about = (
        f"A Llama with {used[-1]['parameters']:,} parameters, pretrained by MuonClip on "
        f"{settings['pretraining_steps']} batches of digits to sort or to turn round and letters to count, "
        f"{settings['wrong']:.0%} of them with a wrong answer, many with needless working; then {settings['batches']} "
        f"batches of {settings['prompts']} problems with {settings['num_generations']} answers each and "
        f"{settings['steps_per_batch']} optimizer steps per batch, the rate falling linearly to zero; rl_tau "
        f"{settings['rl_tau']:g}. Measured on {settings['held_out']} held-out problems: 4 answers each at temperature "
        f"1, and greedy. {seeds} seeds of problems and samples, from the same weights. Rates were tuned by the first "
        "figure on another seed. Mean (lowest to highest), or mean ± standard error of the seeds' own differences."
    )
    parts = [
        table(rows),
        sentence(rows),
        f"![Right answers and their length while learning]({pictures}reinforcement.png)"
        if ROWS.with_suffix(".png").exists()
        else "",
        about,
        *[f"{line} trl {used[-1]['trl']}." for line in measured_with(used)],
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw(rows: Sequence[Row], path: Path) -> Path:
    """Draw right answers and tokens of an answer over batches, means in the band of their seeds; return the path."""
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
    shown = (
        ("sampled", "accuracy", 100, "right answers to held-out problems, sampled (%)"),
        ("greedy", "accuracy", 100, "right answers to held-out problems, greedy (%)"),
        ("sampled", "length", 1, "tokens of a sampled answer"),
    )
    for axes, (decoding, of_figure, scale, title) in zip(panels, shown, strict=True):
        for name, by_seed in arms(rows).items():
            curves = [row["curve"] for row in by_seed.values()]
            batches = [point["batches"] for point in curves[0]]
            values = [[scale * point[decoding][of_figure] for point in curve] for curve in curves]
            _draw_band(axes, ARMS[name], batches, values)
        axes.set_title(title, fontsize="medium")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.set_xlabel("batches of completions")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_band(axes: "Axes", arm: Arm, batches: Sequence[int], curves: Sequence[Sequence[float]]) -> None:
    by_point = list(zip(*curves, strict=True))
    mean, low, high = ([of(values) for values in by_point] for of in (statistics.mean, min, max))
    dashes = "--" if arm.optimizer == "AdamW" else "-"
    axes.plot(batches, mean, color=arm.colour, linestyle=dashes, linewidth=1.8, label=arm.title)
    axes.fill_between(batches, low, high, color=arm.colour, alpha=0.15, linewidth=0)
