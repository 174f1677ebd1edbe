"""Write what is generated of the pages: benchmarks/README.md, benchmarks/coverage.md, benchmarks/graders.md,
benchmarks/fidelity.md, benchmarks/rephrasing.md and the READMEs' marked blocks.

Figures come from the newest rows of results/*.jsonl, tables of settings, figures, presets and engine limits from the
package (`package_tables.py`).

python benchmarks/tables.py           # writes
python benchmarks/tables.py --check   # fails if a page says something else
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import expert_balance_figures as expert_balance
import idle_experts_figures as idle_experts
import orthogonalize_figures as orthogonalize
import reinforcement_figures as reinforcement
import rephrase_scale_figures as rephrase_scale
import rephrasing_figures as rephrasing
import sparsity_figures as sparsity
from convergence_figures import read_rows, report
from fidelity_figures import fidelity_page, fidelity_summary
from graders_figures import graders_page
from headlines import headlines
from math_notes_figures import report as math_notes
from package_tables import BLOCKS
from peers import PEERS

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
KIMI_K2 = HERE.parent / "hf_muonclip" / "kimi_k2" / "README.md"
ATTENTION = HERE.parent / "hf_muonclip" / "attention" / "README.md"
OPTIM = HERE.parent / "hf_muonclip" / "optim" / "README.md"


def newest_rows(name: str) -> list[dict]:
    """Return the last row of every (question, model, variant, device)."""
    newest: dict[tuple, dict] = {}
    for line in (HERE / "results" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        newest[row["question"], row["model"], row["variant"], row["device"]] = row
    return list(newest.values())


def overhead_table() -> str:
    """Return a Markdown table of the overhead benchmark."""
    lines = [
        "| Measured | Model | Variant | Ratio (median) | Of it in capture | Time, median (p20 to p80) |",
        "|---|---|---|---|---|---|",
    ]
    found = newest_rows("overhead")
    rows = [row for row in found if row["question"] == "capture"]
    for row in rows:
        spread = f"{row['p50_ms']:,.0f} ms ({row['p20_ms']:,.0f} to {row['p80_ms']:,.0f})"
        what = f"forward + backward, {row['shape']}"
        share = f"{row['share_p50']:.2%}"
        lines.append(f"| {what} | {row['model']} | {row['variant']} | {row['ratio_p50']:.3f} | {share} | {spread} |")
    said = sorted({(r["device"], r["threads"], r["torch"], r["transformers"], r["commit"], r["date"]) for r in rows})
    for device, threads, torch, transformers, commit, date in said:
        lines.append(
            f"\n{device}, threads: {threads}, torch {torch}, transformers {transformers}, commit {commit}, {date}. "
            "Ratios are medians over rounds within one process; of two nearly equal variants they carry the machine's "
            "noise, a few percent here, which the time counted inside the capture itself does not."
        )
    return "\n".join(lines) + "\n" + callback_table([row for row in found if row["question"] == "callback"])


def callback_table(rows: list[dict]) -> str:
    """Return what the callback adds to a Trainer's step; nothing where it was not measured."""
    head = ("A Trainer's step", "Model", "Ratio (median)", "Of it in the callback", "Time, median (p20 to p80)")
    body = [
        (
            f"{row['variant']}, {row['shape']}",
            row["model"],
            f"{row['ratio_p50']:.3f}",
            f"{row['share_p50']:.3%}",
            f"{row['p50_ms']:,.0f} ms ({row['p20_ms']:,.0f} to {row['p80_ms']:,.0f})",
        )
        for row in rows
    ]
    if not body:
        return ""
    said = sorted({(r["device"], r["threads"], r["torch"], r["transformers"], r["commit"], r["date"]) for r in rows})
    where = [
        f"{device}, threads: {threads}, torch {torch}, transformers {transformers}, commit {commit}, {date}."
        for device, threads, torch, transformers, commit, date in said
    ]
    explained = (
        "Whole steps: forward, backward, MuonClip, and what the Trainer and TensorBoard do; the ratio is to the row "
        "without the callback above it. The Trainer's default is a log every 500 steps. A step that logs also measures "
        "every head exactly, which is in its ratio and, above, `always exact`."
    )
    return "\n" + "\n\n".join([table(head, body), explained, *where]) + "\n"


def newest_runs(name: str) -> dict[str, list[dict]]:
    """Return, by device, the rows of the newest run of each (question, model): ratios hold within one run alone."""
    path = HERE / "results" / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    newest: dict[tuple, str] = {}
    for row in rows:
        newest[row["device"], row["question"], row["model"]] = row["run"]
    kept: dict[str, list[dict]] = {}
    for row in rows:
        if row["run"] == newest[row["device"], row["question"], row["model"]]:
            kept.setdefault(row["device"], []).append(row)
    return kept


def by_device(name: str, tables: Callable[[list[dict]], list[str]]) -> str:
    """Render the newest runs of a benchmark, one device after the other, each with what it ran on and left out."""
    parts = []
    for device, rows in newest_runs(name).items():
        parts += tables(rows)
        left_out = {row["variant"]: row["reason"] for row in rows if row["question"] == "left out"}
        if left_out:
            parts.append("Left out: " + "; ".join(f"{peer} ({reason})" for peer, reason in left_out.items()) + ".")
        versions = sorted({f"{row['variant']} {row['version']}" for row in rows if row.get("version")})
        parts.append(f"Versions: {', '.join(versions)}." if versions else "")
        said = sorted({(row["threads"], row["torch"], row["commit"], row["date"]) for row in rows})
        parts += [f"{device}, threads: {threads}, torch {t}, commit {c}, {date}." for threads, t, c, date in said]
    parts = [part for part in parts if part]
    return "\n\n".join(parts or [f"Nothing measured yet: run `python benchmarks/{name}.py`."]) + "\n"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def optimizer_step_table() -> str:
    """Return Markdown tables of the optimizer step: time, then how orthogonal the updates are."""

    def tables(rows: list[dict]) -> list[str]:
        steps = [row for row in rows if row["question"] == "step"]
        models = list(dict.fromkeys(row["model"] for row in steps))
        steps.sort(key=lambda row: (models.index(row["model"]), row["ratio_p50"]))
        timed = [
            (
                row["model"],
                row["variant"],
                f"{row['ratio_p50']:.3f}",
                f"{row['p50_ms']:,.1f} ms ({row['p20_ms']:,.1f} to {row['p80_ms']:,.1f})",
            )
            for row in steps
        ]
        shapes = dict.fromkeys(f"{row['model']}: {row['shape']}" for row in steps)
        floors = [f"{row['ours_ratio_p50']:.2f} times on {row['model']}" for row in steps if row.get("ours_ratio_p50")]
        above = f" MuonClip's whole step takes its products' time {', '.join(floors)}." if floors else ""
        baselines = ", ".join(sorted({row["baseline"] for row in steps}))
        written = [row for row in rows if row["question"] == "quality"]
        written.sort(key=lambda row: (row["model"], row["orthogonality_error"]))
        compared = [
            (
                row["shape"],
                row["variant"],
                f"{row['orthogonality_error']:.3f}",
                f"{row['smallest_singular_value']:.3f} to {row['largest_singular_value']:.3f}",
            )
            for row in written
        ]
        return [
            table(("Model", "Optimizer", f"Ratio to {baselines} (median)", "One step, median (p20 to p80)"), timed),
            f"All parameters, float32. {'. '.join(shapes)}.{above}",
            "How orthogonal one update is: the relative distance to U·Vᵀ at the best scale, and its singular values.",
            table(("Matrix", "Optimizer", "Error", "Singular values"), compared),
        ]

    return by_device("optimizer_step", tables)


def orthogonalize_table(pictures: str, whole: bool = True) -> str:
    """Return what there is to say of orthogonalizations: a table, the sentence and the picture.

    Args:
        pictures: the folder of the pictures, as seen from the page.
        whole: whether the table belongs to it, or the sentence and the picture alone.
    """

    def tables(rows: list[dict]) -> list[str]:
        times, large = (orthogonalize.timed(rows, model) for model in (orthogonalize.MODEL, orthogonalize.LARGE))
        errors = {name: orthogonalize.compared(rows, name) for name in orthogonalize.INPUTS}
        body = []
        for variant, row in times.items():
            found = errors["momentum"][variant]
            body.append(
                (
                    f"**{variant}**" if variant == orthogonalize.DEFAULT else variant,
                    f"{row['ratio_p50']:.2f}",
                    f"{large[variant]['ratio_p50']:.2f}",
                    *(orthogonalize.short(kind[variant]["error"]) for kind in errors.values()),
                    f"{found['smallest']:.2f}, {found['p1']:.2f}, {found['p50']:.2f}, {found['largest']:.2f}",
                    "" if row["share_of_floor"] is None else f"{row['share_of_floor']:.0%}",
                    f"{row['p50_ms']:,.0f} ms ({row['p20_ms']:,.0f} to {row['p80_ms']:,.0f})",
                )
            )
        head = (
            "Method",
            f"Time, of {orthogonalize.BASELINE}'s",
            f"on {orthogonalize.LARGE}",
            *(f"Error on {kind}" for kind in orthogonalize.INPUTS.values()),
            "Singular values there: min, p1, p50, max",
            "Products' share",
            "Time, median (p20 to p80)",
        )
        shown = f"![Time against distance to U·Vᵀ]({pictures}orthogonalize.png)"
        momentum = next(iter(errors["momentum"].values()))
        return [
            table(head, body) if whole else "",
            orthogonalize.sentence(rows),
            shown if (HERE / "results" / "orthogonalize.png").exists() else "",
            f"Time: all matrices of {orthogonalize.MODEL} ({next(iter(times.values()))['shape']}), in MuonClip's "
            "batches. Error: the relative Frobenius distance to U·Vᵀ of an SVD in float64, at the method's own scale; "
            f"singular values are those on momentum of training ({momentum['shape']}). One by one: never in the Gram "
            "form. Products' share: what a method's FLOPs would take at the rate of plain products of the same shapes "
            "and dtype, measured in the same rounds, of the time that it takes.",
        ]

    return by_device("orthogonalize", tables)


def memory_table() -> str:
    """Return a Markdown table of what optimizers hold and what a step takes for a moment."""

    def tables(rows: list[dict]) -> list[str]:
        measured = [row for row in rows if row["question"] == "memory"]
        adamw = {row["model"]: row["state_bytes"] for row in measured if "AdamW" in row["variant"]}
        body = []
        for row in measured:
            growth = row["process_growth_bytes"]
            body.append(
                (
                    row["model"],
                    row["variant"],
                    f"{row['state_bytes'] / adamw[row['model']]:.3f}" if row["model"] in adamw else "",
                    f"{row['peak_temporary_bytes'] / row['parameter_bytes']:.3f}",
                    f"{row['state_bytes'] / 2**20:,.1f} MiB",
                    f"{row['peak_temporary_bytes'] / 2**20:,.1f} MiB",
                    "" if growth is None else f"{growth / 2**20:,.1f} MiB",
                )
            )
        head = (
            "Model",
            "Optimizer",
            "State, of AdamW's",
            "Temporaries, of the weights",
            "State",
            "Temporaries",
            "Growth of the process",
        )
        return [table(head, body)]

    return by_device("memory", tables)


def peers_paragraph() -> str:
    """Return how to make other people's optimizers importable."""
    packages = " ".join(peer.packages for peer in PEERS if peer.packages)
    checkouts = ", ".join(peer.name for peer in PEERS if not peer.packages and peer.module != "torch")
    return (
        "Other people's optimizers are measured where they are importable, and named with the reason where they are "
        f"not. `pip install --no-deps {packages}` brings them; with `--no-deps`, torch stays the build that it is. "
        f"{checkouts} comes from a checkout on `PYTHONPATH`.\n"
    )


def coverage_rows() -> list[dict]:
    lines = (HERE / "results" / "coverage.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def option_rows() -> list[dict]:
    return read_rows(HERE / "results" / "coverage_options.jsonl")


def options_sentence() -> str:
    """Return in words how the options did that act on attention."""
    rows = option_rows()
    counts = Counter(row["status"] for row in rows)
    ran = len(rows) - counts["not run by transformers"]
    return (
        f"In {len({row['model_type'] for row in rows})} types, options that act on attention were changed one by one, "
        f"once for types that share their code, {ran} in all: "
        f"{counts['passes']} pass, {counts['no softmax attention']} leave no softmax attention, {counts['fails']} fail."
    )


def options_table() -> str:
    """Return a Markdown table of the options that change a layout, fail, or do not run."""
    body = []
    for row in option_rows():
        if row["status"] == "passes" and not row["changes_layout"]:
            continue
        options = ", ".join(f"`{name}={value}`" for name, value in row["options"].items())
        reason = row["reason"].replace("|", "\\|").replace("\n", " ")
        found = f"{', '.join(row['layouts'])}; clipped by {', '.join(row['granularity'])}"
        said = found if row["status"] == "passes" else f"{row['status']}: {reason[:200]}"
        body.append((row["model_type"], options, said))
    return table(("Type", "Option", "Layout"), body)


def coverage_summary() -> str:
    """Return the counts of the coverage table in words."""
    rows = coverage_rows()
    counts = Counter(row["status"] for row in rows)
    with_attention = len(rows) - counts["no softmax attention"]
    by_behavior = sum(row["status"] == "passes" and row["found_by_behavior"] > 0 for row in rows)
    worst = {key: max(row[key] for row in rows if row["status"] == "passes") for key in _ERRORS}
    said = sorted({(row["transformers"], row["torch"], row["commit"], row["date"]) for row in rows})
    paragraph = (
        f"Of the {len(rows)} model types that transformers' AutoModel classes know, "
        f"{counts['no softmax attention']} have no softmax attention and are refused with a message. Of the other "
        f"{with_attention}, {counts['passes']} ({counts['passes'] / with_attention:.1%}) pass: built tiny, their "
        "layout is found and proven, the captured max logits equal a brute-force recomputation, and every chosen head "
        "lands on tau while no other moves (largest relative errors "
        f"{worst['capture_error']:.0e}, {worst['landing_error']:.0e} and "
        f"{worst['stillness_error']:.0e}, float32). In {by_behavior} of them no rule knows some module, and its layout "
        f"was found by running it. {counts['absent']} could not be built tiny here and {counts['fails']} fail; the "
        f"table says why. {options_sentence()}"
    )
    return (
        paragraph + "\n\n" + "\n".join(f"transformers {t}, torch {p}, commit {c}, {d}." for t, p, c, d in said) + "\n"
    )


_ERRORS = ("capture_error", "landing_error", "stillness_error")


def coverage_page() -> str:
    """Return the page that lists every model type."""
    lines = [
        "# Coverage",
        "",
        "Generated by `python benchmarks/tables.py` from the rows that `python benchmarks/coverage.py` writes.",
        "",
        coverage_summary(),
        'Granularity: what the clip scales as one; "monitored" modules are measured and not scaled, because norms',
        "without a gain bound their logits. Errors are the largest relative ones over all heads. Modules that a plain",
        "forward does not reach (towers for images or sound on text alone) are counted and not checked.",
        "",
        "| Type | Layout | Captured exactly (error) | Clipped exactly (landing, others) | Granularity | Modules "
        "(not reached) | Seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in coverage_rows():
        if row["status"] != "passes":
            reason = row["reason"].replace("|", "\\|").replace("\n", " ")
            reason = reason if len(reason) <= 200 else f"{reason[:200]}..."
            what = row["status"] if row["status"] == "no softmax attention" else f"{row['status']}: {reason}"
            lines.append(f"| {row['model_type']} | {what} | | | | | |")
            continue
        layouts = ", ".join(row["layouts"])
        clipped = f"yes ({row['landing_error']:.0e}, {row['stillness_error']:.0e})"
        if row["granularity"] == ["monitored"]:
            clipped = "bounded by norms"
        modules = f"{row['attention_modules']}" + (f" ({row['not_run']})" if row["not_run"] else "")
        lines.append(
            f"| {row['model_type']} | {layouts} | yes ({row['capture_error']:.0e}) | {clipped} | "
            f"{', '.join(row['granularity'])} | {modules} | {row['seconds']:.2f} |"
        )
    lines += [
        "",
        "## With options",
        "",
        "Options that the attention of a type reads: booleans flipped, words and kinds of layers set to every other",
        "value that its code knows, one by one. Where types share the code of their attention, one stands for all.",
        "Those that pass and change neither layout nor modules are not listed.",
        "",
        options_table(),
    ]
    return "\n".join(lines) + "\n"


def trainer_coverage_section() -> str:
    """Return what a real Trainer did with each type that the coverage counts as passing."""
    path = HERE / "results" / "trainer_coverage.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    counts = Counter(row["status"] for row in rows)
    said = sorted({(row["transformers"], row["torch"], row["commit"], row["date"]) for row in rows})
    by_coverage = sum(row["status"] == "passes" for row in coverage_rows())
    paragraph = (
        f"Of the {by_coverage} types above that pass, {len(rows)} were run so: trained two steps by a real Trainer "
        "with `MuonClipCallback` and saved at each, resumed from the first save by a model with other weights until "
        "all weights were bit-equal to the first run's, pushed to a Hub on this machine, and loaded by the code of the "
        f"pushed card, bit-equal again. {counts['passes']} pass, {counts['fails']} fail, and "
        f"{counts['fails without MuonClip too']} end at the same place with the Trainer's own AdamW and no callback. "
        f"{sum(row.get('inputs') == 'given' for row in rows)} of all need a batch: their attention is found by running "
        "them, and random tokens, pixels or sounds do not reach it, so that MuonClip asks for `inputs=`. "
        f"{counts['refused']} are refused before the first step, for the reason given."
    )
    body = []
    for row in rows:
        reason = row["reason"].replace("|", "\\|")
        reason = reason if len(reason) <= 120 else f"{reason[:120]}..."
        result = row["status"] if row["status"] == "passes" else f"{row['status']} ({row['failed_at']}): {reason}"
        body.append(
            (row["model_type"], row["model_class"], row["card"], row["loss"], row.get("inputs", "random"), result)
        )
    where = [f"transformers {t}, torch {p}, commit {c}, {d}." for t, p, c, d in said]
    head = ("Type", "Class", "Task on its card", "Loss", "Inputs", "Result")
    return "\n\n".join(
        ["## In a real Trainer", "`python benchmarks/trainer_coverage.py`", paragraph, *where, table(head, body)]
    )


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count >= 1e5 else "under 0.1"


def builds_table() -> str:
    """Return a Markdown table of this build's step beside another one's; the newest rows."""
    rows = {(row["model"], row["ranks"]): row for row in read_rows(HERE / "results" / "builds.jsonl")}
    body = [
        (
            row["model"],
            f"{row['ranks']}, {row['threads']} {'thread' if row['threads'] == 1 else 'threads'} each",
            f"`{row['commit']}` to `{row['other']}`",
            *("{p50:.3f} ({p25:.3f} to {p75:.3f})".format(**row[name]) for name in ("ratio", "noise")),
            f"{row['peak_temporary_bytes']['this'] / row['peak_temporary_bytes']['other']:.2f}",
            f"{row['bit_equal_after']} of {row['rounds'] + 1} steps" if row["bit_equal_after"] else "no",
        )
        for row in rows.values()
    ]
    head = (
        "Model",
        "Ranks",
        "Builds",
        "Time of a step, ratio: median (quartiles)",
        "Of the other build to itself",
        "Temporaries, ratio",
        "Weights bit-equal after",
    )
    device = ", ".join(dict.fromkeys(f"{row['device']}, torch {row['torch']}" for row in rows.values()))
    explained = (
        "QK-Clip on, real forwards and backwards, which do not count; ranks under DDP. Temporaries are those of the "
        "thread that steps; other threads are not seen."
    )
    return f"{device}:\n\n{table(head, body)}\n\n{explained}\n"


def distributed_step_table() -> str:
    """Return a Markdown table of what each of N ranks computes, keeps and sends in a step."""

    def tables(rows: list[dict]) -> list[str]:
        measured = [row for row in rows if row["question"] == "distributed"]
        body = [
            (
                row["model"],
                row["variant"],
                f"{row['flops_busiest'] / 1e9:.2f} of {row['flops_all_ranks'] / 1e9:.2f}",
                f"{row['state_busiest'] / 1e6:.1f} of {row['state_all_ranks'] / 1e6:.1f}",
                ", ".join(f"{kind} {megabytes(sent)}" for kind, sent in row["sent_busiest"].items()) or "nothing",
                f"{row['ratio_p50']:.2f}",
                f"{row['p50_ms']:,.0f} ms ({row['p20_ms']:,.0f} to {row['p80_ms']:,.0f})",
            )
            for row in measured
        ]
        head = (
            "Ranks",
            "Optimizer",
            "Products, GFLOP: busiest rank of all",
            "State, MB: fullest rank of all",
            "Sent by a rank, MB",
            "Time to MuonClip's",
            "One step, median (p20 to p80)",
        )
        shapes = ", ".join(dict.fromkeys(row["shape"] for row in measured))
        explained = (
            f"A Llama ({shapes}), float32, gloo. All ranks share one core, so times are of the work of all ranks "
            "together; a rank's products are what its own device would compute. MuonClip takes 3 Newton–Schulz steps "
            "by default, the others 5. Ratios are medians over rounds."
        )
        return [table(head, body), explained] if body else []

    return by_device("distributed_step", tables)


def engines_table() -> str:
    """Return how near engines come to transformers on exported checkpoints."""
    rows = read_rows(HERE / "results" / "engines.jsonl")
    head = (
        "Engine",
        "Checkpoint",
        "float32: largest difference",
        "bfloat16: mean (transformers' own rounding)",
        "Greedy tokens, float32",
    )
    names = {
        "default": "`deepseek_v3`, plain RoPE",
        "yarn": "`deepseek_v3`, YaRN",
        "kimi_k2": "`kimi_k2`, YaRN",
    }
    body = []
    for exact in rows:
        settings = {name: value for name, value in exact["settings"].items() if name != "mla"}
        if exact["dtype"] != "float32" or not exact["same_function"] or "mla" in exact["settings"]:
            continue
        key = (exact["engine"], exact["checkpoint"])
        rounded = [
            f"{row['mean']:.4f} ({row['mean_noise']:.4f})"
            for row in rows
            if (row["engine"], row["checkpoint"]) == key and row["dtype"] == "bfloat16" and row["same_function"]
        ]
        how = ", ".join(f"`{name}={value}`" for name, value in settings.items())
        body.append(
            (
                f"{exact['engine']} {exact['version']}{', ' + how if how else ''}",
                names[exact["checkpoint"]],
                f"{exact['largest']:.0e}",
                rounded[-1],
                f"{exact['greedy_equal']} of {exact['greedy_tokens']}",
            )
        )
    controls = {row["checkpoint"]: row["largest"] for row in rows if not row["same_function"]}
    newest = rows[-1]
    explained = (
        "One small model of 3 layers, saved in several forms. Teacher-forced log-probabilities of "
        f"{newest['positions']} positions in nats, against transformers {newest['transformers']}. In bfloat16, greedy "
        "tokens differ only where two are nearer to each other than its rounding. The comparison sees faults: a zeroed "
        f"correction bias changes a log-probability by {controls['zero bias']:.2f}, a missing `scoring_func` by "
        f"{controls['no scoring_func']:.2f}."
    )
    where = f"{newest['device']}, torch {newest['torch']}, commit {newest['commit']}."
    return f"{table(head, body)}\n\n{explained}\n\n{where}\n"


def versions_table() -> str:
    """Return what the core tests said with the declared minimum versions, and with the newest of everything."""
    rows = read_rows(HERE / "results" / "versions.jsonl")
    shown = ("torch", "transformers", "accelerate", "huggingface_hub", "safetensors", "peft", "trl")
    body = [
        (
            row["environment"],
            ", ".join(f"{name} {row['versions'][name]}" for name in shown),
            f"{row['passed']:,}",
            str(len(row["failed"])),
            str(len(row["failed_at_first"])),
            str(row["skipped"]),
            f"{row['torch_before_extras']} to {row['versions']['torch']}",
        )
        for row in rows
    ]
    head = (
        "Environment",
        "Versions",
        "Passed",
        "Failed",
        "Passed only when run again",
        "Skipped",
        "torch, before and after all extras",
    )
    where = sorted({f"Python {row['python']}, commit {row['commit']}, {row['date']}." for row in rows})
    return f"{table(head, body)}\n\n{' '.join(where)}\n"


def with_block(text: str, name: str, content: str) -> str:
    """Return a page with the text between two markers replaced."""
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    assert block.search(text), f"the page has no block {name}"
    return block.sub(lambda match: match[1] + content + match[2], text)


def main() -> None:
    overhead, steps, memory = overhead_table(), optimizer_step_table(), memory_table()
    distributed = distributed_step_table()
    convergence = read_rows()
    sparse = read_rows(sparsity.ROWS)
    runs = {
        name: next(iter(newest_runs(name).values()))
        for name in ("optimizer_step", "memory", "distributed_step", "orthogonalize")
    }
    short = headlines(
        newest_rows("overhead"), *runs.values(), convergence, read_rows(HERE / "results/engines.jsonl"), coverage_rows()
    )
    readme = with_block(README.read_text(encoding="utf-8"), "headlines", short)
    attention = with_block(ATTENTION.read_text(encoding="utf-8"), "coverage", coverage_summary())
    idle = read_rows(idle_experts.ROWS)
    sentence = idle_experts.sentence(idle) + "\n"
    optim = with_block(OPTIM.read_text(encoding="utf-8"), "idle experts sentence", sentence)
    kimi_k2 = with_block(KIMI_K2.read_text(encoding="utf-8"), "engines table", engines_table())
    direction = sparsity.sentence(sparsity.finals(sparse)) + "\n"
    pages = {
        HERE / "README.md": "# Benchmarks\n\nGenerated by `python benchmarks/tables.py` from the rows in `results/`. "
        "Ratios hold within one run on one machine. `Kimi K2 nano` is the preset of the rows' commits, with 6.0M "
        "parameters; it has 6.4M since its heads have the dimensions that inference engines are built for.\n\n"
        f"## What capturing max logits adds to a training step\n\n`python benchmarks/overhead.py`\n\n{overhead}\n"
        f"## How long an optimizer step is\n\n`python benchmarks/optimizer_step.py`\n\n{peers_paragraph()}\n{steps}\n"
        "## Which orthogonalization is the most accurate for its time?\n\n`python benchmarks/orthogonalize.py`\n\n"
        f"{orthogonalize_table('results/')}\n"
        f"## How much memory an optimizer takes\n\n`python benchmarks/memory.py`\n\n{memory}\n"
        f"## How ranks share a step\n\n`python benchmarks/distributed_step.py`\n\n{distributed}\n"
        f"## Has a step become slower?\n\n`python benchmarks/builds.py CHECKOUT`\n\n{builds_table()}\n"
        f"## Does it train better?\n\n`python benchmarks/convergence.py`\n\n"
        f"{report(convergence, pictures='results/')}\n"
        "## Does it learn by reinforcement?\n\n`python benchmarks/reinforcement.py`\n\n"
        f"{reinforcement.report(read_rows(reinforcement.ROWS), 'results/')}\n"
        "## Does the fidelity gate know what a rewriting changed?\n\n`python benchmarks/fidelity.py`; on texts that it "
        f"was not made with, kind by kind in [fidelity.md](fidelity.md)\n\n{fidelity_summary()}\n"
        f"## Are errors in notes of mathematics found?\n\n`python benchmarks/math_notes.py`\n\n{math_notes()}\n"
        "## Does rephrasing more documents take more memory?\n\n`python benchmarks/rephrase_scale.py`\n\n"
        f"{rephrase_scale.report(rephrase_scale.newest_rows())}\n"
        "## Does training on rephrasings matter, and the gate?\n\n`python benchmarks/rephrasing.py`; every arm and "
        f"seed in [rephrasing.md](rephrasing.md)\n\n{rephrasing.rephrasing_summary(read_rows(rephrasing.ROWS))}\n"
        "## Are the experts balanced?\n\n`python benchmarks/expert_balance.py`\n\n"
        f"{expert_balance.report(read_rows(expert_balance.ROWS), 'results/')}\n"
        "## What becomes of idle experts?\n\n`python benchmarks/idle_experts.py`\n\n"
        f"{idle_experts.report(idle)}\n"
        "## Is a sparser mixture of experts better at equal FLOPs?\n\n`python benchmarks/sparsity.py`\n\n"
        f"{sparsity.report(sparse, pictures='results/')}\n"
        "## Do inference engines give the same tokens?\n\n`python tests/engines/report.py`\n\n"
        f"{engines_table()}\n"
        "## Do the declared minimum versions hold?\n\n`python benchmarks/versions.py`\n\n"
        f"{versions_table()}\n"
        f"## Which models it knows\n\n`python benchmarks/coverage.py`; every type in [coverage.md](coverage.md)\n\n"
        f"{coverage_summary()}",
        HERE / "coverage.md": f"{coverage_page()}\n{trainer_coverage_section()}\n",
        HERE / "graders.md": graders_page(),
        HERE / "fidelity.md": fidelity_page(),
        HERE / "rephrasing.md": rephrasing.rephrasing_page(read_rows(rephrasing.ROWS)),
        README: readme,
        ATTENTION: attention,
        OPTIM: optim,
        KIMI_K2: with_block(kimi_k2, "sparsity sentence", direction),
    }
    for page, blocks in BLOCKS.items():
        path = HERE.parent / page
        for name, table_of_package in blocks.items():
            text = pages[path] if path in pages else path.read_text(encoding="utf-8")
            pages[path] = with_block(text, name, table_of_package())
    for path, text in pages.items():
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.exit(f"{path} is not what would be generated; run python benchmarks/tables.py")
        else:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
