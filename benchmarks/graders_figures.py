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
    from hf_muonclip.rl.puzzle_grader import golds_of, grade, puzzle_dataset, puzzle_entry, puzzle_of

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

    from hf_muonclip.rl.puzzle_grader import puzzle_entry

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
