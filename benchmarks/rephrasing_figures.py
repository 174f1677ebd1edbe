"""What the rows of rephrasing.py say: a page, a summary and a picture.

Only the newest run of equal settings and texts counts, and only runs with the newest run's other settings. Needs no
torch; matplotlib is imported by the function that draws.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergence_figures import measured_with, with_spread
from sparsity_figures import is_clear, with_error

ROWS = Path(__file__).parent / "results" / "rephrasing.jsonl"
WRONG, WORSE = 0.2, 0.6  # share of the generator's answers that have something wrong

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """What is trained on.

    Attributes:
        rephrasings: asked for of each passage, beside the passage itself.
        wrong_share: share of the generator's answers that have something wrong.
        gate: whether the fidelity gate chooses among them.
    """

    rephrasings: int = 0
    wrong_share: float = 0.0
    gate: bool = False

    @property
    def title(self) -> str:
        """The arm in words."""
        if not self.rephrasings:
            return "the passages alone"
        kept = ", gate" if self.gate else ""
        number = f"{self.rephrasings} {'rephrasing' if self.rephrasings == 1 else 'rephrasings'}"
        wrong = f"{self.wrong_share:.0%} wrong" if self.wrong_share else "nothing wrong"
        return f"{number}, {wrong}{kept}"


ARMS = {
    "raw": Arm(),
    "1": Arm(1, WRONG),
    "1, gate": Arm(1, WRONG, gate=True),
    "4": Arm(4, WRONG),
    "4, gate": Arm(4, WRONG, gate=True),
    "4, nothing wrong": Arm(4),
    "4, worse": Arm(4, WORSE),
    "4, worse, gate": Arm(4, WORSE, gate=True),
    "10": Arm(10, WRONG),
    "10, gate": Arm(10, WRONG, gate=True),
    "10, nothing wrong": Arm(10),
}
BASELINE = "raw"
# What is compared, seed by seed, and how the second is called beside the first.
COMPARED = (
    ("1", "raw", "1 rephrasing against the passages alone"),
    ("4", "raw", "4 rephrasings against the passages alone"),
    ("10", "raw", "10 rephrasings against the passages alone"),
    ("10", "1", "10 rephrasings against 1"),
    ("1, gate", "1", "The gate against none, 1 rephrasing"),
    ("4, gate", "4", "The gate against none, 4 rephrasings"),
    ("10, gate", "10", "The gate against none, 10 rephrasings"),
    ("4, worse, gate", "4, worse", f"The gate against none, 4 rephrasings, {WORSE:.0%} of them wrong"),
    ("4, nothing wrong", "4, gate", "Nothing wrong against the gate, 4 rephrasings"),
    ("10, nothing wrong", "10, gate", "Nothing wrong against the gate, 10 rephrasings"),
)


def arms(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """Return {arm: {seed: row}}, seeds rising: of the newest settings and each seed's newest texts, the newest rows."""

    def others(row: Row) -> dict[str, Any]:
        return {name: value for name, value in row["settings"].items() if name not in ("arm", "seed")}

    kept = [row for row in rows if others(row) == others(rows[-1])]
    data = {row["settings"]["seed"]: row["data"] for row in kept}
    found: dict[str, dict[int, Row]] = {}
    for name in ARMS:
        of_arm = [row for row in kept if row["settings"]["arm"] == name]
        by_seed = {row["settings"]["seed"]: row for row in of_arm if row["data"] == data[row["settings"]["seed"]]}
        if by_seed:
            found[name] = dict(sorted(by_seed.items()))
    return found


def right(row: Row) -> float:
    """Return the share of right answers to questions in a form that no training text has."""
    return float(row["measured"]["new_form"]["exact"])


def known(row: Row) -> float:
    """Return the share of right answers in a form in which the other people are asked about."""
    return float(row["measured"]["known_form"]["exact"])


def likeliest(row: Row) -> float:
    """Return the share of questions whose true answer is the likeliest of ten."""
    return float(row["measured"]["likeliest"])


def gains(
    found: Mapping[str, Mapping[int, Row]], name: str, other: str, of: Callable[[Row], float] = right
) -> list[float]:
    """Return by how much a figure of an arm is above another's, for every seed that both have."""
    one, two = found.get(name, {}), found.get(other, {})
    return [of(one[seed]) - of(two[seed]) for seed in one if seed in two]


def verdict(apart: Sequence[float]) -> str:
    """Return a difference in words; two standard errors are taken for one."""
    if is_clear(apart):
        return "more"
    return "fewer" if is_clear([-value for value in apart]) else "within the noise"


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table of all arms."""
    lines = [
        "| Trained on | Texts, with something wrong | Times read | Right answers | Of each seed | Right in a form of "
        "training | Likeliest of ten | Answers that a wrong text teaches |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, by_seed in arms(rows).items():
        runs = list(by_seed.values())
        texts = statistics.mean(row["documents"] for row in runs)
        wrong = statistics.mean(row["corrupted_documents"] / row["documents"] for row in runs)
        cells = [
            ARMS[name].title,
            f"{texts:,.0f}, {wrong:.1%}",
            f"{statistics.mean(row['passes'] for row in runs):.1f}",
            f"**{with_spread([('=', right(row)) for row in runs], '.1%')}**",
            ", ".join(f"{right(row):.1%}" for row in runs),
            with_spread([("=", known(row)) for row in runs], ".1%"),
            with_spread([("=", likeliest(row)) for row in runs], ".1%"),
            with_spread([("=", row["measured"]["misled"]) for row in runs], ".1%"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def comparisons(rows: Sequence[Row]) -> str:
    """Return the Markdown table of differences, seed by seed."""
    found = arms(rows)
    lines = [
        "| Compared | Right answers | Of each seed | Right in a form of training | Likeliest of ten |",
        "|---|---|---|---|---|",
    ]
    for one, other, said in COMPARED:
        if apart := gains(found, one, other):
            each = ", ".join(f"{value:+.3f}" for value in apart)
            cells = [f"{verdict(of)}, {with_error(of, '+.3f')}" for of in all_gains(found, one, other)]
            lines.append(f"| {said} | {cells[0]} | {each} | {cells[1]} | {cells[2]} |")
    return "\n".join(lines)


def all_gains(found: Mapping[str, Mapping[int, Row]], one: str, other: str) -> list[list[float]]:
    """Return the differences of the three figures."""
    return [gains(found, one, other, of) for of in (right, known, likeliest)]


def earlier(rows: Sequence[Row]) -> str:
    """Return what runs with another number of steps gave; nothing where there are none."""
    others: dict[int, dict[str, list[float]]] = {}
    for row in rows:
        settings = row["settings"]
        if settings["steps"] != rows[-1]["settings"]["steps"]:
            others.setdefault(settings["steps"], {}).setdefault(settings["arm"], []).append(right(row))
    told = []
    for steps, by_arm in others.items():
        spread = "; ".join(
            f"{ARMS[name].title} {', '.join(f'{value:.1%}' for value in values)}" for name, values in by_arm.items()
        )
        told.append(
            f"Runs of {steps} steps on other seeds came first and were ended, because with so few some runs of an arm "
            f"had learned to answer and others not: {spread}. Their rows stand in the file too."
        )
    return " ".join(told)


def sentence(rows: Sequence[Row]) -> str:
    """Return what was found, in words and figures."""
    found = arms(rows)
    means = {name: statistics.mean(right(row) for row in by_seed.values()) for name, by_seed in found.items()}
    if "raw" not in means or "10" not in means:
        return ""
    told = [
        f"Of the answers about people of whom no question was seen in training, {means['raw']:.0%} are right where "
        f"the passages are repeated, and "
        + ", ".join(f"{means[name]:.0%} with {name}" for name in ("1", "4", "10") if name in means)
        + " rephrasings of each beside them, some of these wrong."
    ]
    gated = [
        f"{means[name]:.0%} instead of {means[base]:.0%} {said} ({verdict(gains(found, name, base))}, "
        f"{with_error(gains(found, name, base), '+.3f')})"
        for name, base, said in (
            ("1, gate", "1", "with 1"),
            ("4, gate", "4", "with 4"),
            ("10, gate", "10", "with 10"),
            ("4, worse, gate", "4, worse", f"with 4 of which {WORSE:.0%} are wrong"),
        )
        if name in means and base in means
    ]
    if gated:
        told.append(f"With the gate: {', '.join(gated)}.")
    seeds = max(len(by_seed) for by_seed in found.values())
    told.append(f"Of {seeds} seeds that is weak evidence.")
    return " ".join(told)


def gate_counts(rows: Sequence[Row]) -> dict[float, dict[str, Counter[str]]]:
    """Return {share wrong: {kind: how many rephrasings there were and were kept}} over all seeds, and the causes."""
    counts: dict[float, dict[str, Counter[str]]] = {}
    seen: set[tuple[float, int]] = set()
    for name, by_seed in arms(rows).items():
        for seed, row in by_seed.items():
            share = ARMS[name].wrong_share
            if row["gate"] is None or (share, seed) in seen:
                continue
            seen.add((share, seed))
            for kind, found in row["gate"].items():
                counts.setdefault(share, {}).setdefault(kind, Counter()).update(found)
    return dict(sorted(counts.items()))


def gate_table(rows: Sequence[Row]) -> str:
    """Return the Markdown table of what the gate did with these rephrasings."""
    lines = ["| Rephrasings | " + " | ".join(f"{share:.0%} wrong" for share in gate_counts(rows)) + " |"]
    lines.append("|---|" + "---|" * len(gate_counts(rows)))
    counts = gate_counts(rows)
    for kind in sorted({kind for found in counts.values() for kind in found} - {"causes", "faithful"}):
        said = "all with something wrong" if kind == "corrupted" else kind.replace("one ", "one fact: ")
        lines.append(f"| {said}: caught | {' | '.join(_share(found, kind, 'caught') for found in counts.values())} |")
    lines.append(f"| faithful: kept | {' | '.join(_share(found, 'faithful', 'kept') for found in counts.values())} |")
    return "\n".join(lines)


def _share(found: Mapping[str, Counter[str]], kind: str, what: str) -> str:
    if kind not in found:
        return "–"
    count, kept = found[kind]["all"], found[kind]["kept"]
    right = kept if what == "kept" else count - kept
    return f"{right / count:.1%} ({right:,} of {count:,})"


def about(rows: Sequence[Row]) -> str:
    """Return how it was measured, in words and figures."""
    used = [row for by_seed in arms(rows).values() for row in by_seed.values()]
    row, settings = used[-1], used[-1]["settings"]
    length = settings["length"]
    return (
        f"A Llama with {row['parameters']:,} parameters and words as tokens, from scratch, trained by MuonClip: "
        f"{settings['steps']} steps of {settings['document_rows']} rows of texts and {settings['question_rows']} rows "
        f"of questions with answers, {length} tokens each: {row['document_tokens']:,} tokens of texts and "
        f"{row['question_tokens']:,} of questions in every arm. There are {settings['people']} people with six facts "
        "each: year and town of birth, employer, invention, distance with its unit, number of letters. Half of them "
        "occur in the rows of questions, the same in all arms, each fact in three forms. Measured are "
        f"{row['questions']} questions about the others, in a fourth form: an answer is right if greedy decoding gives "
        "it exactly. Likeliest of ten: the true answer has a higher log-likelihood than nine other values of the fact. "
        "Every seed draws other people, texts, initial weights and order; within a seed all arms begin alike. The "
        "settings were chosen on seed 0, which does not count."
    )


LIMITS = (
    "The people are invented and the rewriting is done by rule: each fact in one of six sentences, in the order of the "
    "passage or in another, the person called by name, surname or pronoun, by the style that is asked for. Rephrasings "
    "name a person more often than the passage does, and ahead of each fact, which is part of what helps. No model "
    "that could rewrite well was at hand: of 12 rewritings by SmolLM2-135M the gate keeps none.",
    "What is wrong was put in by the same rules, which is cleaner than what a model gets wrong. The gate gets source "
    "and rewriting and nothing else; neither it nor its thresholds were changed for these texts.",
    "A small model, short texts and few tokens: the sign may carry over to larger ones, the sizes do not.",
)


def rephrasing_page(rows: Sequence[Row]) -> str:
    """Return the page."""
    lines = ["# Does training on rephrasings matter?", ""]
    made = "Generated by `python benchmarks/tables.py` from the rows that `python benchmarks/rephrasing.py` writes."
    if not rows or not arms(rows):
        return "\n".join([*lines, made, "", "Nothing measured yet: run `python benchmarks/rephrasing.py`."]) + "\n"
    used = [row for by_seed in arms(rows).values() for row in by_seed.values()]
    picture = "![Right answers of every arm and seed](results/rephrasing.png)"
    parts = [
        "\n".join([*lines, made]),
        sentence(rows),
        picture if ROWS.with_suffix(".png").exists() else "",
        about(rows),
        earlier(rows),
        "## Right answers",
        table(rows),
        "Mean (lowest to highest of the seeds). Texts: passages and what is kept of their rephrasings. Times read: how "
        "often each text is read for the same number of tokens. In a form of training: the same questions in a form in "
        "which the other half is asked about. An answer that a wrong text teaches: a false value that a text of the "
        "arm gives for this person's fact.",
        "## Seed by seed",
        comparisons(rows),
        "Mean difference ± standard error. More or fewer: by over two standard errors of the seeds' own differences, "
        "which of few seeds is weak evidence, and with so many comparisons one or two are to be expected by chance.",
        "## What the gate caught and kept here",
        gate_table(rows),
        f'All rephrasings of all seeds, ten per passage. "{WRONG:.0%} wrong" is the share of the generator\'s answers '
        "that have one, two or three of the six facts wrong: another name, number, unit or thing, or a denial. On "
        "real texts it catches and keeps less: [fidelity.md](fidelity.md).",
        "## What this does not show",
        "\n".join(f"- {limit}" for limit in LIMITS),
        *measured_with(used),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def rephrasing_summary(rows: Sequence[Row]) -> str:
    """Return what benchmarks/README.md says of it."""
    return (sentence(rows) if rows else "Nothing measured yet.") + "\n"


def draw(rows: Sequence[Row], path: Path) -> Path:
    """Draw every seed's share of right answers, and each arm's mean, an arm a line; return the path."""
    from matplotlib import pyplot as plt

    found = arms(rows)
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.42 * len(found)), layout="constrained")
    for place, (name, by_seed) in enumerate(found.items()):
        arm, values = ARMS[name], [100 * right(row) for row in by_seed.values()]
        colour = (
            "#666666" if not arm.rephrasings else "#009E73" if arm.gate else "#D55E00" if arm.wrong_share else "#0072B2"
        )
        axes.plot([min(values), max(values)], [place, place], color=colour, alpha=0.35, linewidth=5)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=4, alpha=0.7)
        axes.plot(statistics.mean(values), place, "|", color=colour, markersize=18, markeredgewidth=2.5)
    axes.set_yticks(range(len(found)), [ARMS[name].title for name in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("right answers to questions about people whom no training question asks about (%)")
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
