"""What reasoning-gym's scorers and ours give to right and wrong answers: measured per generator, and the page of it."""

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROWS = HERE / "results" / "graders.jsonl"

# What a right answer may be written in without earning less.
WRITTEN = {
    "plain": "{}",
    "spaces": "  {}  ",
    "newline": "{}\n",
    "period": "{}.",
    "bold": "**{}**",
    "dollars": "${}$",
    "answer tags": "<answer>{}</answer>",
}
# What earns nothing. Another's answer is the gold answer of other puzzles, where it is no solution by chance.
WRONG = ("empty", "no answer", "hidden", "another's answer")


def measure(generator: str, count: int) -> dict[str, Any]:
    """Return what the scorer of a generator, and ours, give to right and wrong answers of its first puzzles.

    Runs in a worker process: some scorers evaluate answers.
    """
    from hf_muonclip.rl.domains.puzzle_grader import golds_of, grade, puzzle_dataset, puzzle_entry, puzzle_of

    try:
        dataset = puzzle_dataset(generator, "{}", 0)
    except Exception as error:
        return {"generator": generator, "puzzles": 0, "fault": f"{type(error).__name__}: {error}"}
    entries = [puzzle_entry(generator, "{}", 0, index) for index in range(count)]
    puzzles = [puzzle_of(generator, "{}", 0, index) for index in range(count)]
    own = [entry["answer"] for entry in entries]
    golds = [next(iter(golds_of(generator, entry)), None) for entry in entries]

    def raw(place: int, text: str | None) -> bool | None:
        """Return whether reasoning-gym gives full marks; None if it raises."""
        try:
            return bool(dataset.score_answer(text, copy.deepcopy(entries[place])) >= 1.0)
        except Exception:
            return None

    def ours(place: int, text: str | None) -> bool:
        return grade(puzzles[place], text or "") == 1.0

    found: dict[str, dict[str, float]] = {"raw": {}, "ours": {}}
    raised = 0
    known = [place for place in range(count) if (golds[place] or "").strip()]  # the others are never offered
    texts = {name: [(place, form.replace("{}", golds[place])) for place in known] for name, form in WRITTEN.items()}
    texts["empty"] = [(place, "") for place in range(count)]
    texts["no answer"] = [(place, "I do not know") for place in range(count)]
    texts["hidden"] = [(place, f"It may be this or that, say {golds[place]}, or none of them.") for place in known]
    others = [(place, golds[(place + step) % count]) for place in known for step in (1, 2, 3)]
    texts["another's answer"] = [(place, gold) for place, gold in others if gold and gold != golds[place]]
    for who, score in (("raw", raw), ("ours", ours)):
        for name, cases in texts.items():
            tags = "<answer>{}</answer>" if who == "ours" and name == "another's answer" else "{}"  # not its last line
            scores = [score(place, tags.replace("{}", text)) for place, text in cases]
            raised += sum(one is None for one in scores)
            found[who][name] = round(sum(map(bool, scores)) / len(scores), 3) if scores else 0.0
    lost = 0
    for place, entry in enumerate(entries):
        try:
            through = json.loads(json.dumps(entry))
            lost += own[place] is not None and dataset.score_answer(own[place], through) < 1.0
        except Exception:  # this entry is no JSON at all
            lost += 1
    common = Counter(gold for gold in golds if gold is not None).most_common(1)
    return {
        "generator": generator,
        "puzzles": count,
        "own_answers": sum(one is not None for one in own),
        "known_answers": len(known),
        "raw": found["raw"],
        "ours": found["ours"],
        "raised": raised,
        "lost_to_json": lost,
        "commonest": round(common[0][1] / count, 3) if common else None,
        "questions": len({entry["question"] for entry in entries}),
    }


def digests(generator: str, count: int) -> list[str]:
    """Return a digest of question and answer of a generator's first puzzles."""
    import hashlib

    from hf_muonclip.rl.domains.puzzle_grader import puzzle_entry

    try:
        entries = [puzzle_entry(generator, "{}", 0, index) for index in range(count)]
    except Exception:
        return []
    return [hashlib.sha256(f"{entry['question']}{entry['answer']}".encode()).hexdigest() for entry in entries]


def graders_rows() -> dict[str, dict[str, Any]]:
    """Return the newest row of each generator."""
    rows = {}
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["generator"]] = row
    return dict(sorted(rows.items()))


def graders_page() -> str:
    """Return the page that lists every generator."""
    from hf_muonclip.rl.domains.puzzles import RULES

    rows = graders_rows()
    measured = [row for row in rows.values() if row["puzzles"]]
    known = [row for row in measured if row["known_answers"]]
    offered = [row for row in known if not (row["generator"] in RULES and RULES[row["generator"]].excluded)]
    right = {who: sum(_all_right(row, who) for row in offered) for who in ("raw", "ours")}
    clean = {who: sum(not _paid_wrongly(row, who) for row in offered) for who in ("raw", "ours")}
    excluded = [name for name in rows if name in RULES and RULES[name].excluded]
    first = next(iter(measured))
    lines = [
        "# reasoning-gym's graders",
        "",
        "Generated by `python benchmarks/tables.py` from the rows that `python benchmarks/graders.py` writes: "
        f"reasoning-gym {first['reasoning_gym']}, {first['puzzles']} puzzles per generator at its default settings, "
        f"commit {first['commit']}, {first['date']}. Rules stand in "
        "[puzzles.py](../hf_muonclip/rl/domains/puzzles.py), and the grader in [puzzle_grader.py]"
        "(../hf_muonclip/rl/domains/puzzle_grader.py); [what an answer is](../hf_muonclip/common/graders/answers.py) "
        "holds for all.",
        "",
        "| | reasoning-gym's scorer, full marks | `reasoning_spec`'s reward |",
        "|---|---|---|",
        f"| generators offered | {len(rows)} | {len(rows) - len(excluded)} |",
        f"| of {len(offered)}: right answers earn 1 however written | {right['raw']} | {right['ours']} |",
        f"| of {len(offered)}: wrong ones earn nothing | {clean['raw']} | {clean['ours']} |",
        "",
        "Written: " + ", ".join(f"{name} (`{form!r}`)".replace("'", "") for name, form in WRITTEN.items()) + ". "
        "Wrong: an empty answer, *I do not know*, the right answer hidden in prose, and those of three other puzzles.",
        "",
        "*Lost* are the ways of writing a right answer for which some puzzle gives less than full marks. "
        "*Commonest* is the share of the commonest gold answer, which a constant answer would earn; `reasoning_spec` "
        "draws puzzles so that it is at most a half. *JSON* and *hash seed*: the right answer of an entry is lost when "
        "it goes through JSON; the process's hash seed decides what is asked or right. Both are solved for all by "
        "making each puzzle again where it is graded, with one hash seed.",
        "",
        "| Generator | Lost by its scorer | Wrong answers that its scorer pays | Raises | JSON | Hash seed | Commonest "
        "| Lost by ours | Paid wrongly by ours | Here | Why |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        rule = RULES.get(name)
        here = "as it is" if rule is None else "excluded" if rule.excluded else "by rule"
        why = "" if rule is None else f"it {rule.why}"
        if not row["puzzles"]:
            lines.append(f"| {name} | {row['fault']} | | | | | | | | {here} | {why} |")
            continue
        commonest = "" if row["commonest"] is None else f"{row['commonest']:.0%}"
        lines.append(
            f"| {name} | {_lost(row, 'raw')} | {_paid_wrongly(row, 'raw')} | {'yes' if row['raised'] else ''} | "
            f"{'lost' if row['lost_to_json'] == row['puzzles'] else ''} | "
            f"{'yes' if row['hash_seed_changes_it'] else ''} | "
            f"{commonest} | {_lost(row, 'ours')} | {_paid_wrongly(row, 'ours')} | {here} | {why} |"
        )
    return "\n".join(lines) + "\n"


def _lost(row: dict[str, Any], who: str) -> str:
    """Return the ways of writing a right answer that lose marks."""
    if not row["known_answers"]:
        return "no answer known"
    lost = [name for name in WRITTEN if row[who][name] < 1]
    return "all" if len(lost) == len(WRITTEN) else ", ".join(lost)


def _paid_wrongly(row: dict[str, Any], who: str) -> str:
    """Return the wrong answers that earn full marks, with the share that does."""
    return ", ".join(f"{name} ({row[who][name]:.0%})" for name in WRONG if row[who][name] > 0)


def _all_right(row: dict[str, Any], who: str) -> bool:
    return not _lost(row, who)
