"""The README's benchmarks in short: one line for each question, with figures taken from the rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import convergence_figures as convergence
import orthogonalize_figures as orthogonalize

PAGE = "benchmarks/README.md"
OURS = "MuonClip"

Row = Mapping[str, Any]


def headlines(
    overhead: Sequence[Row],
    steps: Sequence[Row],
    memory: Sequence[Row],
    ranks: Sequence[Row],
    orthogonalization: Sequence[Row],
    trained: Sequence[Row],
    engines: Sequence[Row],
    coverage: Sequence[Row],
) -> str:
    """Return the README's table.

    Args:
        overhead: newest rows of overhead.py.
        steps: newest run of optimizer_step.py, of one device.
        memory: newest run of memory.py, of one device.
        ranks: newest run of distributed_step.py, of one device.
        orthogonalization: newest run of orthogonalize.py, of one device.
        trained: all rows of convergence.py.
        engines: all rows of the comparison with engines.
        coverage: all rows of coverage.py.
    """
    rows = [
        ("Tokens and time to AdamW's loss", of_training(trained), "does-it-train-better"),
        ("Logits built to explode", of_explosion(trained), "does-it-train-better"),
        ("Watching every head", of_capture(overhead), "what-capturing-max-logits-adds-to-a-training-step"),
        ("Callback and its figures", of_callback(overhead), "what-capturing-max-logits-adds-to-a-training-step"),
        ("One optimizer step", of_steps(steps), "how-long-an-optimizer-step-is"),
        (
            "Newton–Schulz",
            of_orthogonalization(orthogonalization),
            "which-orthogonalization-is-the-most-accurate-for-its-time",
        ),
        ("Memory", of_memory(memory), "how-much-memory-an-optimizer-takes"),
        ("Work and state on 4 ranks", of_ranks(ranks), "how-ranks-share-a-step"),
        ("Model types", of_coverage(coverage), "which-models-it-knows"),
        ("vLLM and llama.cpp", of_engines(engines), "do-inference-engines-give-the-same-tokens"),
    ]
    lines = ["| | Measured | |", "|---|---|---|"]
    lines += [f"| {asked} | {answer} | [rows]({PAGE}#{anchor}) |" for asked, answer, anchor in rows if answer]
    return "\n".join(lines) + "\n"


def of_training(rows: Sequence[Row]) -> str:
    compared = convergence.newest(rows, "convergence")
    found, settings = convergence.ratios(compared, "muonclip"), compared[-1]["settings"]
    return (
        f"{convergence.with_spread(found['own'])} of AdamW's tokens, {convergence.with_spread(found['seconds'])} of "
        f"its time: a Llama of {settings['layers']} layers and width {settings['hidden_size']}, both rates tuned, "
        f"{len(found['own'])} seeds"
    )


def of_explosion(rows: Sequence[Row]) -> str:
    runs = convergence.newest(rows, "explosion")
    free = next(row for row in runs if row["settings"]["variant"] == "muon")
    said = [f"highest max logit {free['highest_max_logit']:,.0f} without clip (loss {free['final_loss']:.2f})"]
    clipped = [row for row in runs if row["settings"]["variant"] == "muonclip"]
    for row in sorted(clipped, key=lambda row: -row["settings"]["tau"]):
        tau, highest = row["settings"]["tau"], row["highest_max_logit"]
        said.append(f"{highest:,.0f} with tau = {tau:g} (loss {row['final_loss']:.2f})")
    return ", ".join(said)


def of_capture(rows: Sequence[Row]) -> str:
    screened = [row for row in rows if row["question"] == "capture" and row["variant"] == "screened"]
    shares = [f"{row['share_p50']:.2%} on {row['model']}" for row in screened]
    return f"of forward and backward, {screened[0]['shape']} on a CPU: {', '.join(shares)}"


def of_callback(rows: Sequence[Row]) -> str:
    measured = [row for row in rows if row["question"] == "callback" and row["variant"] != row["baseline"]]
    shares = [f"{row['share_p50']:.2%} {row['variant'].partition(', ')[2]}" for row in measured]
    return f"of a Trainer's step, {measured[0]['model']}: {', '.join(shares)}" if measured else ""


def of_steps(rows: Sequence[Row]) -> str:
    ours = [row for row in rows if row["question"] == "step" and row["variant"] == OURS]
    ratios = [f"{row['ratio_p50']:.2f} on {row['model']}" for row in ours]
    return f"of {ours[0]['baseline']}'s time: {', '.join(ratios)}"


def of_orthogonalization(rows: Sequence[Row]) -> str:
    times, errors = orthogonalize.timed(rows), orthogonalize.compared(rows, "momentum")
    ours, theirs = orthogonalize.DEFAULT, orthogonalize.BASELINE
    return (
        f"{times[ours]['ratio_p50']:.2f} of {theirs}'s time, and nearer to U·Vᵀ: {errors[ours]['error']:.3f} "
        f"against {errors[theirs]['error']:.3f} on momentum of training"
    )


def of_memory(rows: Sequence[Row]) -> str:
    held = {row["variant"]: row for row in rows if row["question"] == "memory"}
    ours, adamw = held[OURS], next(row for name, row in held.items() if "AdamW" in name)
    temporary = ours["peak_temporary_bytes"] / ours["parameter_bytes"]
    return (
        f"{ours['state_bytes'] / adamw['state_bytes']:.0%} of AdamW's state; a step's temporaries take {temporary:.1%} "
        f"of the weights ({ours['model']})"
    )


def of_ranks(rows: Sequence[Row]) -> str:
    ours = next(row for row in rows if row["variant"] == OURS and row["model"] == "4 ranks, FSDP2")
    products = ours["flops_busiest"] / ours["flops_all_ranks"]
    state = ours["state_busiest"] / ours["state_all_ranks"]
    return f"the busiest rank computes {products:.0%} of all products and keeps {state:.0%} of the state (FSDP2)"


def of_coverage(rows: Sequence[Row]) -> str:
    counts = Counter(row["status"] for row in rows)
    with_attention = len(rows) - counts["no softmax attention"]
    return f"{counts['passes']} of the {with_attention} in transformers that have softmax attention, exact and proven"


def of_engines(rows: Sequence[Row]) -> str:
    exact = [row for row in rows if row["dtype"] == "float32" and row["same_function"]]
    equal, of = (sum(row[key] for row in exact) for key in ("greedy_equal", "greedy_tokens"))
    worst = max(row["largest"] for row in exact)
    return f"{equal} of {of} greedy tokens as in transformers, log-probabilities within {worst:.0e} (float32)"
