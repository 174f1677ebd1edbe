"""Whether a reward function can be trusted: its own gold answers earn 1, however they are written, and others nothing.

A reward function takes part by offering `gold(row)`, the text of an answer that earns 1 (None where it knows none),
and, where it likes, `wrong(row)`, a list of texts that earn nothing, `variants`, the names of those of `VARIANTS` that
may not decide, and `wrong_texts`, the names of those of `WRONG` that earn nothing.
"""

import asyncio
import functools
import inspect
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from ...common.graders.not_measured import NotMeasured

RewardFunction = Callable[..., Any]  # of TRL's signature, sync or async

# What an answer may be wrapped in without earning more or less.
VARIANTS: dict[str, str] = {
    "plain": "{}",
    "spaces": "  {}  ",
    "newline": "{}\n",
    "period": "{}.",
    "bold": "**{}**",
    "dollars": "${}$",
    "answer tags": "<answer>{}</answer>",
}
# What earns nothing, unless a function names fewer as its `wrong_texts`.
WRONG = {"empty": "", "blank": " \n", "no answer": "I do not know"}
_ENOUGH = 1e-6


@dataclass
class Case:
    """One function on one kind of completion.

    Attributes:
        function: its name.
        name: of `VARIANTS` or `WRONG`, or "wrong" for those that the function offers itself.
        due: 1 or 0 (or less).
        rewards: of each row.
        rows: their places in the dataset.
        texts: what was graded.
    """

    function: str
    name: str
    due: int
    rewards: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[int]:
        """Places in `rewards` that are not as due; a None means that the function does not apply."""
        return [i for i, reward in enumerate(self.rewards) if reward is not None and not _is_due(reward, self.due)]


@dataclass
class CheckReport:
    """What `check_rewards` found.

    Attributes:
        cases: every function on every kind of completion.
        unchecked: functions that offer no gold answer.
    """

    cases: list[Case] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every reward was as due."""
        return not any(case.failed for case in self.cases)

    @property
    def failed_rows(self) -> list[int]:
        """Rows of the dataset with a reward that is not as due, sorted."""
        return sorted({case.rows[i] for case in self.cases for i in case.failed})

    def __str__(self) -> str:
        lines = ["| function | completion | due | rows | not as due | not measured | for example |", "|---" * 7 + "|"]
        for case in self.cases:
            missing = Counter(reward.cause for reward in case.rewards if isinstance(reward, NotMeasured))
            causes = ", ".join(f"{count} {cause}" for cause, count in sorted(missing.items())) or "0"
            example = ""
            if case.failed:
                place = case.failed[0]
                example = f"row {case.rows[place]}: {case.texts[place][:60]!r} earns {case.rewards[place]!r}"
            counts = f"{len(case.rewards)} | {len(case.failed) - missing.total()} | {causes}"
            lines.append(f"| {case.function} | {case.name} | {case.due} | {counts} | {example} |")
        lines += [f"| {name} | offers no gold answer | | 0 | | | |" for name in self.unchecked]
        return "\n".join(lines)


def check_rewards(dataset: Dataset, functions: Sequence[RewardFunction], rows: int | None = 32) -> CheckReport:
    """Return what functions give to their own gold answers, written in several ways, and to answers that earn nothing.

    Args:
        dataset: with a column "prompt" and those that the functions need.
        functions: reward functions.
        rows: how many rows with a gold answer to try per function, drawn at random, always the same; None for all.
    """
    report = CheckReport()
    for function in functions:
        cases = _cases(dataset, function, rows)
        if not cases:
            report.unchecked.append(name_of(function))
            continue
        flat = [(case, row, text) for case in cases for row, text in zip(case.rows, case.texts, strict=True)]
        rewards = rewards_of(function, dataset, [row for _, row, _ in flat], [text for _, _, text in flat])
        for (case, _, _), reward in zip(flat, rewards, strict=True):
            case.rewards.append(reward)
        report.cases += cases
    return report


def rewards_of(
    function: RewardFunction, dataset: Dataset, places: Sequence[int], completions: Sequence[str]
) -> list[Any]:
    """Return what a reward function gives to completions of rows of a dataset, called as TRL calls it.

    Args:
        function: sync or async.
        dataset: with a column "prompt", of texts or chats.
        places: the row of each completion.
        completions: texts; as a chat where the prompt is one.

    Raises:
        ValueError: it does not return one reward per completion.
    """
    needed = sorted({*places})
    of_row = dict(zip(needed, dataset.select(needed).to_list(), strict=True))
    rows = [of_row[place] for place in places]
    chats = [not isinstance(row.get("prompt", ""), str) for row in rows]
    answers = [
        [{"role": "assistant", "content": text}] if chat else text
        for text, chat in zip(completions, chats, strict=True)
    ]
    columns = {
        name: [row[name] for row in rows] for name in dataset.column_names if name not in ("prompt", "completion")
    }
    given: dict[str, Any] = {
        "prompts": [row.get("prompt") for row in rows],
        "completions": answers,
        "completion_ids": [[] for _ in rows],
        "trainer_state": None,
        "log_extra": _log_nothing,
        "log_metric": _log_nothing,
        **columns,
    }
    if is_async(function):
        with ThreadPoolExecutor(1) as thread:  # where no event loop runs
            found = thread.submit(asyncio.run, function(**given)).result()
    else:
        found = function(**given)
    if len(found) != len(rows):
        raise ValueError(f"{name_of(function)} must return {len(rows)} rewards, one per completion; got {len(found)}.")
    return list(found)


def is_async(function: RewardFunction) -> bool:
    """Return whether a reward function is a coroutine function, or an object or partial of one, as TRL decides it."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def for_rows(given: Mapping[str, Any], rows: Sequence[int], size: int) -> dict[str, Any]:
    """Return what a reward function is given, for some of its samples alone.

    Args:
        given: lists with an entry per sample, and what is one for all.
        rows: places of the samples.
        size: their number in `given`.
    """
    return {
        name: [values[row] for row in rows] if isinstance(values, list) and len(values) == size else values
        for name, values in given.items()
    }


def name_of(function: RewardFunction) -> str:
    """Return the name under which TRL logs a reward function."""
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _cases(dataset: Dataset, function: RewardFunction, rows: int | None) -> list[Case]:
    known = list(_golds(dataset, function, rows))
    if not known:
        return []
    places = [place for place, _, _ in known]
    name, cases = name_of(function), []
    for variant in getattr(function, "variants", VARIANTS):
        texts = [VARIANTS[variant].replace("{}", gold) for _, _, gold in known]
        cases.append(Case(name, variant, 1, rows=places, texts=texts))
    for wrong in getattr(function, "wrong_texts", WRONG):
        cases.append(Case(name, wrong, 0, rows=places, texts=[WRONG[wrong]] * len(places)))
    if hasattr(function, "wrong"):
        own = [(place, text) for place, row, _ in known for text in function.wrong(row)]
        cases.append(Case(name, "wrong", 0, rows=[place for place, _ in own], texts=[text for _, text in own]))
    return cases


def _golds(dataset: Dataset, function: RewardFunction, rows: int | None) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Yield rows for which the function knows a gold answer: place, row, answer."""
    offered = getattr(function, "gold", None)
    if offered is None:
        return
    left = len(dataset) if rows is None else rows
    for place in random.Random(0).sample(range(len(dataset)), len(dataset)):
        if left == 0:
            return
        row = dataset[place]
        gold = offered(row)
        if gold is not None:
            left -= 1
            yield place, row, gold


def _is_due(reward: Any, due: int) -> bool:
    return bool(abs(reward - 1) <= _ENOUGH) if due else bool(reward <= _ENOUGH)


def _log_nothing(*_: Any) -> None:
    """Stand in for TRL's loggers of columns and metrics."""
