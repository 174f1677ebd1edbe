"""What the rows of sparsity.py say: means with standard errors, sentences, a table and a picture.

Only the newest run of equal settings counts, and only runs that differ from the newest in experts and seed alone. Needs
no torch; matplotlib is imported by the function that draws.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from convergence_figures import measured_with

ROWS = Path(__file__).parent / "results" / "sparsity.jsonl"
EARLIER = (
    "Models of width 128 on a third of the tokens, half a token for each weight that one uses beside the embeddings, "
    "showed no order in one seed; here it is sixteen."
)
PAPER = (
    "Kimi K2's own sparsity law (arXiv 2507.20534, section 2.3): at an equal validation loss of 1.5, sparsity 48 needs "
    "1.69, 1.39 and 1.15 times fewer FLOPs than 8, 16 and 32."
)

Row = Mapping[str, Any]


def newest(rows: Sequence[Row]) -> list[Row]:
    """Return the newest row of every number of experts and seed, by these, of the newest other settings and data."""

    def others(row: Row) -> str:
        settings = {name: value for name, value in row["settings"].items() if name not in ("experts", "seed")}
        return json.dumps([settings, row["data"]], sort_keys=True)

    kept = [row for row in rows if others(row) == others(rows[-1])]
    by_run = {(row["settings"]["experts"], row["settings"]["seed"]): row for row in kept}
    return [by_run[run] for run in sorted(by_run)]


def finals(rows: Sequence[Row]) -> dict[float, dict[int, float]]:
    """Return {sparsity: {seed: final validation loss}}, both rising; a diverged run has no loss."""
    losses: dict[float, dict[int, float]] = {}
    for row in newest(rows):
        if row["final_loss"] is not None:
            losses.setdefault(row["sparsity"], {})[row["settings"]["seed"]] = row["final_loss"]
    return losses


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean; nan for a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def with_error(values: Sequence[float], form: str = ".3f") -> str:
    """Return "mean ± standard error", or a single value alone."""
    mean = f"{statistics.mean(values):{form}}"
    return f"{mean} ± {standard_error(values):.3f}" if len(values) > 1 else mean


def gains(denser: Mapping[int, float], sparser: Mapping[int, float]) -> list[float]:
    """Return by how much the loss falls, for every seed that both have: equal seeds saw equal batches."""
    return [denser[seed] - sparser[seed] for seed in sorted(denser.keys() & sparser.keys())]


def is_clear(differences: Sequence[float]) -> bool:
    """Return whether a mean difference is positive by more than two of its standard errors."""
    return len(differences) > 1 and statistics.mean(differences) > 2 * standard_error(differences)


VERDICTS = {
    "lower": "The direction is the paper's: the sparser, the lower the loss",
    "lower from end to end": "From end to end the direction is the paper's, but not at every step between",
    "higher": "At this size the direction is the opposite of the paper's",
    "unclear": "At this size no direction shows beyond two standard errors",
}


def verdict(losses: Mapping[float, Mapping[int, float]]) -> str:
    """Return which of `VERDICTS` the losses of at least two sparsities with a common seed support."""
    whole = gains(losses[min(losses)], losses[max(losses)])
    steps = [gains(losses[a], losses[b]) for a, b in pairwise(losses)]
    if is_clear(whole):
        return "lower" if all(found and statistics.mean(found) > 0 for found in steps) else "lower from end to end"
    return "higher" if is_clear([-gain for gain in whole]) else "unclear"


def sentence(losses: Mapping[float, Mapping[int, float]]) -> str:
    """Return whether sparser models ended lower, in words."""
    if len(losses) < 2:
        return ""
    densest, sparsest = min(losses), max(losses)
    whole = gains(losses[densest], losses[sparsest])
    if not whole:
        return ""
    steps = {(a, b): gains(losses[a], losses[b]) for a, b in pairwise(losses)}
    told = "; ".join(
        f"{a:g} to {b:g}: {with_error([-gain for gain in found], '+.3f')}" for (a, b), found in steps.items() if found
    )
    lower = sum(gain > 0 for gain in whole)
    weak = f" Of {len(whole)} seeds that is weak evidence." if len(whole) < 10 else ""
    return (
        f"{VERDICTS[verdict(losses)]}. From sparsity {densest:g} to {sparsest:g} the loss changes by "
        f"{with_error([-gain for gain in whole], '+.3f')} (mean and standard error of the seeds' own differences), "
        f"and falls in {lower} of {len(whole)} seeds; two standard errors are taken for a direction.{weak} "
        f"Step by step: {told}. No more than the direction is claimed. {PAPER}"
    )


def table(rows: Sequence[Row], losses: Mapping[float, Mapping[int, float]]) -> str:
    """Return the Markdown table of the sweep."""
    lines = [
        "| Sparsity | Experts, active of all | Parameters, active of all | Training FLOPs per token | Final validation "
        "loss, mean ± standard error | Seed by seed | Largest load of an expert, of the mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for sparsity, by_seed in losses.items():
        runs = [row for row in rows if row["sparsity"] == sparsity and row["final_loss"] is not None]
        row, values = runs[0], list(by_seed.values())
        lines.append(
            f"| {sparsity:g} | {row['settings']['active']} of {row['settings']['experts']} | "
            f"{row['active_parameters'] / 1e3:,.0f}k of {row['parameters'] / 1e3:,.0f}k | "
            f"{row['training_flops_per_token'] / 1e3:,.0f}k | "
            f"{with_error(values)} | "
            f"{', '.join(f'{value:.3f}' for value in values)} | "
            f"{1 + statistics.mean(row['max_violation'] for row in runs):.2f} |"
        )
    return "\n".join(lines)


def report(rows: Sequence[Row], pictures: str) -> str:
    """Return the Markdown block for the pages.

    Args:
        rows: of the file.
        pictures: the folder of the pictures, as seen from the page.
    """
    if not rows:
        return "Nothing measured yet: run `python benchmarks/sparsity.py`.\n"
    kept, losses = newest(rows), finals(rows)
    settings = kept[-1]["settings"]
    seeds = len({row["settings"]["seed"] for row in kept})
    flops = [row["training_flops_per_token"] for row in kept]
    tokens = settings["steps"] * settings["batch_size"] * settings["length"]
    diverged = sum(row["final_loss"] is None for row in kept)
    about = (
        f"Kimi K2's architecture with {settings['layers']} layers and width {settings['hidden_size']}, Shakespeare's "
        f"plays (four of them held out), {settings['steps']} steps of {settings['batch_size']}x{settings['length']} "
        f"tokens, {seeds} seeds. Every model sees the same {tokens:,} tokens and sends each to {settings['active']} "
        "experts of the same size beside the shared one, so FLOPs per token differ by the router's product alone, "
        f"here up to {max(flops) / min(flops) - 1:.1%} (counted by `hf_muonclip.kimi_k2.flops`, causal mean), and an "
        f"expert's share of the tokens falls with sparsity, to {tokens / max(losses, default=1):,.0f} of them. "
        "MuonClip, rate "
        f"{settings['lr']:g} for all, not tuned for any of them, {settings['warmup']:.0%} warm-up, then linear to "
        f"zero; the router's correction bias moves by {settings['bias_update_rate']:g} a step against the experts' "
        "imbalance, which the last column shows over the last tenth of the steps, mean over layers and seeds."
    )
    about += f" {EARLIER}"
    if diverged:
        about += f" {diverged} of {len(kept)} runs diverged and are left out."
    parts = [
        table(kept, losses),
        sentence(losses),
        f"![Validation loss against sparsity]({pictures}sparsity.png)" if ROWS.with_suffix(".png").exists() else "",
        about,
        *measured_with(kept),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw(rows: Sequence[Row], path: Path) -> Path:
    """Draw loss against sparsity: every seed as a dot, their mean with its standard error. Return the path."""
    from matplotlib import pyplot as plt

    losses, experts = finals(rows), {row["sparsity"]: row["settings"]["experts"] for row in newest(rows)}
    where = list(losses)
    means = [statistics.mean(by_seed.values()) for by_seed in losses.values()]
    errors = [standard_error(list(by_seed.values())) for by_seed in losses.values()]
    figure, axes = plt.subplots(figsize=(6.6, 4.4), layout="constrained")
    for index, (sparsity, by_seed) in enumerate(losses.items()):
        axes.scatter(
            [0.94 * sparsity] * len(by_seed),  # beside the mean, which would hide them
            list(by_seed.values()),
            s=30,
            color="#0072B2",
            edgecolor="white",
            linewidth=0.6,
            zorder=2,
            label=None if index else "one seed",
        )
    axes.errorbar(
        where,
        means,
        errors,
        color="#009E73",
        linewidth=1.8,
        marker="D",
        markersize=6,
        capsize=5,
        zorder=3,
        label="mean ± standard error",
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(where, [f"{sparsity:g}\n{experts[sparsity]} experts" for sparsity in where])
    axes.minorticks_off()
    axes.margins(x=0.1, y=0.12)
    axes.set_xlabel("sparsity: experts / active experts")
    axes.set_ylabel("final validation loss (nats per token)")
    flops = [row["training_flops_per_token"] / 1e6 for row in newest(rows)]
    axes.set_title(f"Equal tokens; {min(flops):.2f} to {max(flops):.2f} MFLOP of training per token", fontsize="medium")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="small", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
