"""Coding: programs that must pass unit tests, each in its own process.

spec = code_spec(Dataset.from_list([{"prompt": "Write add(a, b).", "tests": ["assert add(2, 3) == 5"]}]))
"""

import re
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from datasets import Dataset

from ...common.graders.not_measured import NotMeasured
from ...common.loggers import get_logger
from ..graders.deadline import within
from ..graders.sandbox import Execution, Executor, Limits, SubprocessExecutor
from ..rewards.spec import Spec
from .code_tests import CodeTests
from .completions import last_text

logger = get_logger(__name__)

_SLACK = 30.0  # seconds beyond its limit that an executor has to answer
_SHOWN = 5  # rows in a message
_OPENING = re.compile(r"(?:^|.*[^`~])(`{3,}|~{3,})[ \t]*([\w+.-]*)[ \t]*$")
_PYTHON = ("", "python", "python3", "py", "py3")


def code_spec(
    dataset: Dataset,
    *,
    executor: Executor | None = None,
    limits: Limits | None = None,
    workers: int = 2,
    drop: bool = False,
    rows_checked: int = 4,
    name: str = "code",
) -> Spec:
    """Return programming tasks and the reward of `CodeReward`.

    Every solution in the column "gold" must pass its tests; on some rows it is also tried in other forms, beside
    programs that earn nothing.

    Args:
        dataset: with the column "prompt", and with "tests" (statements with assertions), "io" (dicts of "input" and
            "output"), or both; "gold" (a solution, or None) is for the check.
        executor: runs the programs; None for a `SubprocessExecutor`.
        limits: of each run.
        workers: programs that run at the same time.
        drop: leave out rows whose solution fails instead of raising.
        rows_checked: rows on which other forms and wrong programs are tried.
        name: name of the domain.

    Raises:
        ValueError: a column is missing, a row has no test, a test is not valid Python or asserts nothing, a solution
            fails its tests, or the reward fails its check.
        RuntimeError: programs cannot be confined on this machine.
    """
    if "prompt" not in dataset.column_names or not {"tests", "io"} & {*dataset.column_names}:
        raise ValueError(f"dataset must have the columns prompt and tests or io; it has {dataset.column_names}.")
    reward = CodeReward(executor=executor, limits=limits, workers=workers)
    weak = total = 0
    for row, (tests, pairs) in enumerate(zip(*_columns(dataset), strict=True)):
        try:
            of_row = None if not tests else CodeTests(tests)
        except ValueError as error:
            raise ValueError(f"row {row}: {error} Correct it, or leave it out.") from None
        if of_row is None and not pairs:
            raise ValueError(f"every row must have tests or io; row {row} has none. Leave it out.")
        weak += 0 if of_row is None else of_row.weak
        total += 0 if of_row is None else len(tests)
    if weak:
        logger.warning(
            "%d assertions in %d tests are not one comparison with a literal: a program could fake their verdict. "
            "Write them as assert expression == value.",
            weak,
            total,
        )
    if "gold" in dataset.column_names:
        dataset = _with_right_solutions(dataset, reward, drop)
    return Spec(name, dataset, [reward], rows_checked=rows_checked)


class CodeReward:
    """A reward function: 1 for a program that passes all tests of its prompt, 0 for others.

    The program is the last closed code block (``` or ~~~) without a language or in Python; without any fence, the whole
    completion if it is valid Python. It fails if it raises, exits, or exceeds its limits. Tests are judged as in
    `CodeTests`; each pair of "io" is a run whose output must be the expected one, up to space at the ends of lines and
    of the text. Expected values and outputs never enter the program's process. A limitation: a program can read
    whatever its user can, including a copy of the dataset.

    Args:
        executor: runs the programs; None for a `SubprocessExecutor`.
        limits: of each run.
        workers: programs that run at the same time.

    Raises:
        ValueError: workers is not positive.
        RuntimeError: programs cannot be confined on this machine.
    """

    def __init__(self, *, executor: Executor | None = None, limits: Limits | None = None, workers: int = 2) -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more; got {workers!r}.")
        self.__name__ = "code"
        self.executor = SubprocessExecutor() if executor is None else executor
        self.limits = Limits() if limits is None else limits
        self.workers = workers

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        tests: Sequence[Sequence[str] | None] | None = None,
        io: Sequence[Sequence[dict[str, str]] | None] | None = None,
        **_: Any,
    ) -> list[float]:
        """Return 1 or 0 per completion; a `NotMeasured` if the executor failed or the row has no test."""
        if tests is None and io is None:
            raise ValueError(f"the reward {self.__name__!r} needs a column 'tests' or 'io'; the dataset has neither.")
        none = [None] * len(completions)
        programs = [program_in(last_text(completion)) for completion in completions]
        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(self._reward, programs, tests or none, io or none))

    def gold(self, row: dict[str, Any]) -> str | None:
        """Return the row's solution as a code block; None if it has none."""
        return None if row.get("gold") is None else f"```python\n{row['gold']}\n```"

    def wrong(self, row: dict[str, Any]) -> list[str]:
        """Return programs that solve nothing: that exit at once, raise, or stand outside a closed block."""
        programs = ("", "import sys\nsys.exit(0)", "import os\nos._exit(0)", "raise AssertionError")
        return [*(f"```python\n{program}\n```" for program in programs), f"My solution: {row['gold']}"]

    def _reward(
        self, program: str | None, tests: Sequence[str] | None, pairs: Sequence[dict[str, str]] | None
    ) -> float:
        if not tests and not pairs:
            return NotMeasured("gold", "the row has no test")
        if program is None:
            return 0.0
        if tests:
            word = f"v{secrets.token_hex(8)}"
            of_row = CodeTests(tests)
            found = self._run(program, of_row.source(word), "")
            if isinstance(found, NotMeasured):
                return found
            if not (found.passed and of_row.passed(word, found.output)):
                return 0.0
        for pair in pairs or []:
            found = self._run(program, "", pair["input"])
            if isinstance(found, NotMeasured):
                return found
            if not (found.passed and _lines(found.output) == _lines(pair["output"])):
                return 0.0
        return 1.0

    def _run(self, program: str, tests: str, stdin: str) -> Execution | NotMeasured:
        found = within(self.limits.wall + _SLACK, lambda: self.executor(program, tests, stdin, self.limits))
        if isinstance(found, Execution | NotMeasured):
            return found
        return NotMeasured("error", f"the executor gave {type(found).__name__} and no Execution")


def program_in(text: str) -> str | None:
    """Return the program of a completion, None if there is none: see `CodeReward`."""
    blocks: list[str] = []
    lines: list[str] = []
    fence, is_python, any_fence = "", False, False
    for line in text.splitlines():
        if fence:
            rest = line.strip().removeprefix(fence)
            if line.strip().startswith(fence) and not re.fullmatch(r"[ \t]*\w[\w+.-]*", rest):
                blocks += ["\n".join(lines)] if is_python else []
                fence = ""
            else:
                lines.append(line)
        elif opening := _OPENING.match(line):
            fence, lines, any_fence = opening[1], [], True
            is_python = opening[2].lower() in _PYTHON
    if any_fence:
        return blocks[-1] if blocks else None
    return text if text.strip() and _is_python(text) else None


def _is_python(text: str) -> bool:
    try:
        compile(text, "<completion>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _columns(dataset: Dataset) -> list[list[Any]]:
    return [dataset[name] if name in dataset.column_names else [None] * len(dataset) for name in ("tests", "io")]


def _with_right_solutions(dataset: Dataset, reward: CodeReward, drop: bool) -> Dataset:
    """Return the rows whose solution passes its tests, or has none."""
    rows = [row for row, gold in enumerate(dataset["gold"]) if gold is not None]
    tests, pairs = ([column[row] for row in rows] for column in _columns(dataset))
    golds = [reward.gold({"gold": dataset["gold"][row]}) for row in rows]
    given = reward([None] * len(rows), golds, tests=tests, io=pairs)
    failed = {row: found for row, found in zip(rows, given, strict=True) if found != 1}
    if not failed:
        return dataset
    shown = "; ".join(f"row {row}: {found!r}" for row, found in list(failed.items())[:_SHOWN])
    if not drop or len(failed) > len(rows) / 2:
        raise ValueError(
            f"every solution must pass its tests; {len(failed)} of {len(rows)} do not ({shown}). Correct them, give "
            "them more time with limits=, or pass drop=True to leave such rows out; most must pass even then."
        )
    logger.warning(
        "%d of %d rows are left out, because their solution fails its tests: %s.", len(failed), len(rows), shown
    )
    return dataset.select([row for row in range(len(dataset)) if row not in failed])
