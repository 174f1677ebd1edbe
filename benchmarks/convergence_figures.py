"""What the rows of convergence.py say: ratios, spreads, sentences, a table and two pictures.

Only the newest run of equal settings counts, and only runs of the newest full budget. Needs no torch; matplotlib is
imported by the functions that draw.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = Path(__file__).parent / "results" / "convergence.jsonl"
TITLES = {
    "adamw": "AdamW",
    "torch-muon": "torch.optim.Muon",
    "muon": "Muon without clip",
    "muonclip": "MuonClip",
    "normuon": "MuonClip, neurons normalized",
}
# Okabe and Ito's colours, told apart by colour-blind readers; runs that may lie on each other differ in their dashes.
_STYLES: dict[str, dict[str, Any]] = {
    "adamw": {"color": "#D55E00", "linestyle": "-"},
    "torch-muon": {"color": "#56B4E9", "linestyle": "-"},
    "muon": {"color": "#000000", "linestyle": "-"},
    "muonclip": {"color": "#009E73", "linestyle": (0, (4, 2))},
    "normuon": {"color": "#CC79A7", "linestyle": "-."},
}
_EXPLOSION_STYLES: dict[tuple[str, float | None], dict[str, Any]] = {
    ("adamw", None): {"color": "#D55E00", "linestyle": "-"},
    ("muon", None): {"color": "#000000", "linestyle": "-"},
    ("muonclip", 100.0): {"color": "#009E73", "linestyle": (0, (4, 2))},
    ("muonclip", 30.0): {"color": "#0072B2", "linestyle": "-."},
}

Row = Mapping[str, Any]


def read_rows(path: Path = ROWS) -> list[dict[str, Any]]:
    """Return every row of a file, oldest first; none if there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def newest(rows: Sequence[Row], question: str) -> list[Row]:
    """Return one row per setting of a question, of the newest full budget and data."""
    asked = [row for row in rows if row["settings"]["question"] == question]
    if not asked:
        return []

    def budget(row: Row) -> tuple[Any, ...]:
        return row["settings"]["full_steps"], row["data"]

    of_budget = [row for row in asked if budget(row) == budget(asked[-1])]
    return list({json.dumps(row["settings"], sort_keys=True): row for row in of_budget}.values())


def loss_of(row: Row) -> float:
    """Return the final validation loss; inf for a run that diverged."""
    return math.inf if row["final_loss"] is None else float(row["final_loss"])


def full_runs(rows: Sequence[Row], variant: str) -> list[Row]:
    settings = [(row, row["settings"]) for row in rows]
    return [row for row, s in settings if s["variant"] == variant and s["steps"] == s["full_steps"]]


def grid(rows: Sequence[Row], variant: str) -> dict[float, float]:
    """Return {rate: final loss} of the seed that the rates were tuned on, by rate."""
    runs = full_runs(rows, variant)
    by_seed: dict[int, dict[float, float]] = {}
    for row in runs:
        by_seed.setdefault(row["settings"]["seed"], {})[row["settings"]["lr"]] = loss_of(row)
    tuned_on = max(by_seed.values(), key=len, default={})
    return dict(sorted(tuned_on.items()))


def tuned(rows: Sequence[Row], variant: str) -> dict[int, Row]:
    """Return {seed: full run} at a variant's best rate."""
    losses = grid(rows, variant)
    best = min(losses, key=lambda lr: losses[lr], default=None)
    runs = [row for row in full_runs(rows, variant) if row["settings"]["lr"] == best]
    return {row["settings"]["seed"]: row for row in sorted(runs, key=lambda row: row["settings"]["seed"])}


def own_budgets(rows: Sequence[Row], variant: str, seed: int) -> dict[float, float]:
    """Return {part of the full budget: final loss of the run that had this budget} at a variant's best rate."""
    best = tuned(rows, variant)
    runs = [
        row
        for row in rows
        if row["settings"]["variant"] == variant
        and row["settings"]["seed"] == seed
        and seed in best
        and row["settings"]["lr"] == best[seed]["settings"]["lr"]
    ]
    return dict(sorted((row["settings"]["steps"] / row["settings"]["full_steps"], loss_of(row)) for row in runs))


def crossing(losses: Mapping[float, float], target: float) -> tuple[str, float]:
    """Return the budget whose final loss is the target, interpolated linearly in log(budget).

    Args:
        losses: {budget: final loss}, at least one.
        target: the loss to reach.

    Returns:
        ("=", budget); or ("<", the smallest budget) if even that one ends below the target, and (">", the largest) if
        none reaches it.
    """
    points = sorted(losses.items())
    if points[0][1] <= target:
        return ("=" if points[0][1] == target else "<"), points[0][0]
    for (small, above), (large, below) in pairwise(points):
        if below <= target:
            part = (above - target) / (above - below) if math.isfinite(above) else 1.0
            return "=", math.exp(math.log(small) + part * (math.log(large) - math.log(small)))
    return ">", points[-1][0]


def first_below(row: Row, target: float) -> tuple[str, float]:
    """Return the part of a full run's tokens at its first evaluation at or below the target: the naive ratio."""
    tokens = row["curve"]["tokens"]
    for seen, loss in zip(tokens, row["curve"]["losses"], strict=True):
        if loss <= target:
            return "=", seen / tokens[-1]
    return ">", 1.0


def ratios(rows: Sequence[Row], variant: str) -> dict[str, list[tuple[str, float]]]:
    """Return, one value per seed, how much of AdamW's tokens and training time a variant needs for AdamW's loss.

    Keys: "own" (budgets of its own, interpolated; empty for a variant that ran at the full budget alone), "naive"
    (first evaluation of the full run below it), "seconds" ("own", times the ratio of the median seconds per step).
    """
    found: dict[str, list[tuple[str, float]]] = {"own": [], "naive": [], "seconds": []}
    targets = tuned(rows, "adamw")
    for seed, row in tuned(rows, variant).items():
        if seed not in targets or not math.isfinite(loss_of(targets[seed])):
            continue
        target = loss_of(targets[seed])
        found["naive"].append(first_below(row, target))
        budgets = own_budgets(rows, variant, seed)
        if len(budgets) > 1:
            sign, part = crossing(budgets, target)
            found["own"].append((sign, part))
            found["seconds"].append((sign, part * row["seconds_per_step"] / targets[seed]["seconds_per_step"]))
    return found


def with_spread(values: Sequence[tuple[str, float]], form: str = ".0%") -> str:
    """Return "mean (lowest to highest)"; with a sign in front where a value is only a bound."""
    if not values:
        return "–"
    numbers = [value for _, value in values]
    bounds = {sign for sign, _ in values} - {"="}
    sign = {0: "", 1: f"{next(iter(bounds), '')} "}.get(len(bounds), "≈ ")
    return f"{sign}{statistics.mean(numbers):{form}} ({min(numbers):{form}} to {max(numbers):{form}})"


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table of the comparison."""
    lines = [
        "| Optimizer | Rate (tried) | Final validation loss, mean (lowest to highest) | Tokens to AdamW's final loss, "
        "own budget | naive | Seconds per step | Highest max logit |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, title in TITLES.items():
        runs = tuned(rows, variant)
        if not runs:
            continue
        tried = grid(rows, variant)
        rate = f"{next(iter(runs.values()))['settings']['lr']:g}"
        rate += f" ({', '.join(f'{lr:g}' for lr in tried)})" if len(tried) > 1 else " (MuonClip's)"
        losses = with_spread([("=", loss_of(row)) for row in runs.values()], ".3f")
        needed = {"own": [], "naive": []} if variant == "adamw" else ratios(rows, variant)
        seconds = statistics.mean(row["seconds_per_step"] for row in runs.values())
        logit = max(row["highest_max_logit"] for row in runs.values())
        lines.append(
            f"| {title} | {rate} | {losses} | {with_spread(needed['own'])} | {with_spread(needed['naive'])} | "
            f"{seconds:.3f} | {logit:.0f} |"
        )
    return "\n".join(lines)


def token_sentence(rows: Sequence[Row]) -> str:
    """Return how many tokens and how much time MuonClip needs for AdamW's final loss, in words."""
    found = ratios(rows, "muonclip")
    if not found["own"]:
        return ""
    runs, settings = tuned(rows, "muonclip"), newest(rows, "convergence")[-1]["settings"]
    targets = tuned(rows, "adamw")
    step_ratio = statistics.mean(
        row["seconds_per_step"] / targets[seed]["seconds_per_step"] for seed, row in runs.items() if seed in targets
    )
    in_optimizer = statistics.mean(row["optimizer_seconds_per_step"] / row["seconds_per_step"] for row in runs.values())
    return (
        f"To AdamW's final loss MuonClip needs {with_spread(found['own'])} of AdamW's tokens, mean and range over "
        f"{len(found['own'])} seeds, where every budget has its own warm-up and decay. In training time that is "
        f"{with_spread(found['seconds'])} of AdamW's: with {settings['batch_size'] * settings['length']:,} tokens a "
        f"step here, a step takes {step_ratio:.2f} times as long, and the optimizer has {in_optimizer:.0%} of it, "
        "a share that falls as the tokens of a step grow."
    )


def exceeds_seeds(gains: Sequence[float], losses: Sequence[float]) -> bool:
    """Return whether a mean gain is larger than the distance between the seeds' own losses."""
    return statistics.mean(gains) > max(losses) - min(losses)


def normalization_sentence(rows: Sequence[Row]) -> str:
    """Return whether neuron normalization beats MuonClip by more than the seeds differ, in words."""
    plain, normalized = tuned(rows, "muonclip"), tuned(rows, "normuon")
    seeds = sorted(plain.keys() & normalized.keys())
    if not seeds:
        return ""
    gains = [loss_of(plain[seed]) - loss_of(normalized[seed]) for seed in seeds]
    losses = [loss_of(plain[seed]) for seed in seeds]
    spread, gain = max(losses) - min(losses), statistics.mean(gains)
    verdict = "earns its place" if exceeds_seeds(gains, losses) else "does not earn its place"
    return (
        "Neuron normalization (NorMuon, arXiv 2510.05491; `normalize_neurons=True`) changes the final loss "
        f"by {-gain:+.3f} ({-max(gains):+.3f} to {-min(gains):+.3f}, seed by seed); MuonClip's own seeds lie "
        f"{spread:.3f} apart. By that measure it {verdict}."
    )


def explosion_sentence(rows: Sequence[Row]) -> str:
    """Return what became of logits and loss in the setting built to explode, in words."""
    runs = newest(rows, "explosion")
    if not runs:
        return ""
    told = []
    for row in sorted(runs, key=lambda row: list(_EXPLOSION_STYLES).index(_kind(row))):
        end = (
            f"final loss {row['final_loss']:.3f}"
            if row["diverged_at"] is None
            else f"ends at step {row['diverged_at']}"
        )
        clipped = f", {row['clipped_heads']} heads clipped" if row["settings"]["tau"] is not None else ""
        told.append(
            f"{_label(row)}: highest max logit {row['highest_max_logit']:,.0f}, "
            f"{row['max_logits']['values'][-1]:,.0f} at the end, {end}{clipped}"
        )
    settings = runs[-1]["settings"]
    return (
        f"Built to explode (rate {settings['lr']:g}, {settings['steps']} steps, one seed). {'; '.join(told)}. A step's "
        "max logit is measured in its forward, before its clip, so it stands above tau by what the last update added."
    )


def measured_with(rows: Sequence[Row]) -> list[str]:
    """Return where and with what rows were measured, a line for each machine and set of versions."""
    stamps: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        stamps.setdefault((row["device"], row["threads"], row["torch"], row["transformers"]), []).append(row)
    return [
        f"{device}, threads: {threads}, torch {torch}, transformers {transformers}, commit "
        f"{', '.join(sorted({row['commit'] for row in made}))}, {max(row['date'] for row in made)}."
        for (device, threads, torch, transformers), made in stamps.items()
    ]


def report(rows: Sequence[Row], pictures: str) -> str:
    """Return the Markdown block for the READMEs.

    Args:
        rows: of the file.
        pictures: the folder of the pictures, as seen from the page.
    """
    compared = newest(rows, "convergence")
    if not compared:
        return "No rows yet.\n"
    settings = compared[-1]["settings"]
    edges = [
        TITLES[variant]
        for variant in ("adamw", "muonclip")
        if (losses := grid(compared, variant)) and min(losses, key=lambda lr: losses[lr]) in (min(losses), max(losses))
    ]
    seeds = len({row["settings"]["seed"] for row in compared})
    about = (
        f"A Llama of {settings['layers']} layers and width {settings['hidden_size']} without QK-norm, Shakespeare's "
        f"plays (four of them held out), {settings['full_steps']} steps of "
        f"{settings['batch_size']}x{settings['length']} tokens, {seeds} seeds; a seed gives every optimizer the same "
        "initial weights and batches. Weight decay "
        f"{settings['weight_decay']:g}, {settings['warmup']:.0%} warm-up, then linear to zero. Rates of AdamW and "
        "MuonClip were tuned on one seed, the others take MuonClip's. Naive: the first evaluation "
        "of the full run below AdamW's final loss, with most of its decay still to come. No time holds evaluations or "
        "the exact measuring of every head at every step, which all variants have here."
    )
    if edges:
        about += f" The best rate is at the edge of the grid for {', '.join(edges)}."
    parts = [
        table(compared),
        token_sentence(compared),
        normalization_sentence(compared),
        _image(pictures, "convergence.png", "Validation loss against tokens and against training time"),
        explosion_sentence(rows),
        _image(pictures, "explosion.png", "Highest max logit and loss where logits explode, with and without the clip"),
        about,
        *measured_with([*compared, *newest(rows, "explosion")]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw what there are rows for; return the paths of the pictures."""
    made = []
    if any(newest(rows, "convergence")):
        made.append(_draw_convergence(newest(rows, "convergence"), folder / "convergence.png"))
    if any(newest(rows, "explosion")):
        made.append(_draw_explosion(newest(rows, "explosion"), folder / "explosion.png"))
    return made


def _draw_convergence(rows: Sequence[Row], path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, (by_tokens, by_seconds) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    shown: list[float] = []
    for variant, title in TITLES.items():
        runs = [row for row in tuned(rows, variant).values() if row["diverged_at"] is None]
        if not runs:
            continue
        # The first evaluations would only stretch the axis.
        points = range(max(1, len(runs[0]["curve"]["steps"]) // 5), len(runs[0]["curve"]["steps"]))
        losses = [[row["curve"]["losses"][point] for row in runs] for point in points]
        mean, low, high = (list(map(of, losses)) for of in (statistics.mean, min, max))
        shown += mean
        for axes, name, unit in ((by_tokens, "tokens", 1e3), (by_seconds, "seconds", 1)):
            where = [statistics.mean(row["curve"][name][point] for row in runs) / unit for point in points]
            axes.plot(where, mean, label=title, linewidth=1.8, **_STYLES[variant])
            axes.fill_between(where, low, high, color=_STYLES[variant]["color"], alpha=0.15, linewidth=0)
    _draw_own_budgets(by_tokens, rows)
    target = [loss_of(row) for row in tuned(rows, "adamw").values()]
    for axes, label in ((by_tokens, "AdamW's final loss"), (by_seconds, None)):
        if target:
            axes.axhline(statistics.mean(target), color="#D55E00", linewidth=1, linestyle=":", label=label)
        axes.set_ylim(min(shown) - 0.1, max(shown) + 0.1)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    by_tokens.set_xlabel("tokens (thousands)")
    by_tokens.set_ylabel("validation loss (nats per token)")
    by_seconds.set_xlabel("training time (s)")
    by_tokens.legend(fontsize="small", frameon=False)
    seeds = len({row["settings"]["seed"] for row in rows})
    figure.suptitle(f"Mean over {seeds} seeds; bands from the lowest to the highest", fontsize="medium")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_own_budgets(axes: "Axes", rows: Sequence[Row]) -> None:
    """Draw MuonClip's final losses over budgets of their own, mean over seeds."""
    seeds = tuned(rows, "muonclip")
    by_part: dict[float, list[float]] = {}
    for seed in seeds:
        for part, loss in own_budgets(rows, "muonclip", seed).items():
            by_part.setdefault(part, []).append(loss)
    if len(by_part) > 1:
        full = next(iter(seeds.values()))["curve"]["tokens"][-1] / 1e3
        where, mean = [part * full for part in by_part], [statistics.mean(losses) for losses in by_part.values()]
        style = {"color": "#009E73", "marker": "o", "markersize": 5, "linewidth": 1, "linestyle": ":"}
        axes.plot(where, mean, label="MuonClip, final loss of smaller budgets", **style)


def _draw_explosion(rows: Sequence[Row], path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, (logit_axes, loss_axes) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for kind, style in _EXPLOSION_STYLES.items():
        for row in (row for row in rows if _kind(row) == kind):
            every, values = row["max_logits"]["every"], row["max_logits"]["values"]
            logit_axes.plot([(i + 1) * every for i in range(len(values))], values, linewidth=1.6, **style)
            steps, losses = row["curve"]["steps"][1:], row["curve"]["losses"][1:]
            loss_axes.plot(steps, losses, linewidth=1.6, label=_label(row), **style)
            tau = row["settings"]["tau"]
            if tau is not None:
                logit_axes.axhline(tau, color=style["color"], linewidth=0.8, alpha=0.7)
                logit_axes.annotate(
                    f"tau = {tau:g}",
                    (0.99, tau),
                    xycoords=("axes fraction", "data"),
                    xytext=(0, -3),
                    textcoords="offset points",
                    ha="right",
                    va="top",
                    color=style["color"],
                    fontsize="small",
                )
    logit_axes.set_yscale("log")
    logit_axes.set_ylabel("highest max logit of all heads")
    loss_axes.set_ylabel("validation loss (nats per token)")
    loss_axes.legend(fontsize="small", frameon=False)
    for axes in (logit_axes, loss_axes):
        axes.set_xlabel("optimizer step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _kind(row: Row) -> tuple[str, float | None]:
    return row["settings"]["variant"], row["settings"]["tau"]


def _label(row: Row) -> str:
    tau = row["settings"]["tau"]
    return TITLES[row["settings"]["variant"]] + ("" if tau is None else f", tau = {tau:g}")


def _image(folder: str, name: str, text: str) -> str:
    return f"![{text}]({folder}{name})" if (ROWS.parent / name).exists() else ""
