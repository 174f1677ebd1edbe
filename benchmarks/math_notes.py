"""Are errors in notes of mathematics found, and are right notes left alone?

Notes by hand with marked places where they may be wrong (`tests/synth/math_solutions.py`) go through `check_math`:
right ones, and each with one error: a digit of an intermediate step, a sign, the final answer, an equation with
variables. Beside it stands what comparing final answers alone finds.

    OMP_NUM_THREADS=1 python benchmarks/math_notes.py
    python benchmarks/tables.py   # renders its part of benchmarks/README.md
"""

import statistics
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from measure import append_rows

from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.synth import MathCheck, check_math

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "synth")]

from math_solutions import DEVELOPMENT, HELD_OUT, Solution  # noqa: E402

SPLITS = {"development": DEVELOPMENT, "held_out": HELD_OUT}
_COUNTS = ("equations", "parsed", "decided", "true", "false", "not_measured")


def main() -> None:
    with GraderPool(workers=1) as pool:
        first = DEVELOPMENT[0]
        check_math(first.source, first.note, pool=pool)  # the worker has started, and sympy is there
        for split, solutions in SPLITS.items():
            append_rows("math_notes", rows_of(split, solutions, pool))


def rows_of(split: str, solutions: list[Solution], pool: GraderPool) -> list[dict]:
    """Return a row per notation of right notes, one per kind of error, and one of the time."""
    notations: dict[str, Counter[str]] = defaultdict(Counter)
    errors: dict[str, Counter[str]] = defaultdict(Counter)
    seconds = []

    def checked(solution: Solution, note: str) -> MathCheck:
        began = time.perf_counter()
        check = check_math(solution.source, note, pool=pool)
        seconds.append(time.perf_counter() - began)
        return check

    for solution in solutions:
        right = checked(solution, solution.note)
        notations[solution.notation].update({name: int(right.scores[name]) for name in _COUNTS})
        notations[solution.notation].update(notes=1, dropped=bool(right.cause))
        for kind, note in solution.corrupted:
            wrong = checked(solution, note)
            other_answer = wrong.scores.get("answer_equal") == 0
            errors[kind].update(notes=1, caught=bool(wrong.cause), by_answer=other_answer)
    common = {"question": "math notes", "split": split}
    milliseconds = [round(one * 1e3, 2) for one in statistics.quantiles(seconds, n=10)]
    return [
        *({**common, "by": "notation", "kind": kind, **counts} for kind, counts in notations.items()),
        *({**common, "by": "error", "kind": kind, **counts} for kind, counts in errors.items()),
        {**common, "by": "time", "p50_ms": milliseconds[4], "p90_ms": milliseconds[8], "notes": len(seconds)},
    ]


if __name__ == "__main__":
    main()
