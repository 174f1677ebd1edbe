"""Whether a reward function can be trusted: gold answers earn 1, however they are written, and wrong ones nothing.

A reward function is checked if it has a method `gold(row)`, which returns an answer that earns 1, or None if it knows
none. Optional are `wrong(row)`, a list of texts that earn nothing; `variants`, the names of `VARIANTS` in which gold
answers earn 1; and `wrong_texts`, the names of `WRONG` that earn nothing.
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

# Ways to write an answer that must not change its reward.
VARIANTS: dict[str, str] = {
    "plain": "{}",
    "spaces": "  {}  ",
    "newline": "{}\n",
    "period": "{}.",
    "bold": "**{}**",
    "dollars": "${}$",
    "answer tags": "<answer>{}</answer>",
}
# Texts that earn nothing, unless a function names fewer of them as `wrong_texts`.
WRONG = {"empty": "", "blank": " \n", "no answer": "I do not know"}
_TOLERANCE = 1e-6


@dataclass
class Case:
    """One function on one kind of completion.

    Attributes:
        function: its name.
        name: of `VARIANTS` or `WRONG`, or "wrong" for the function's own wrong texts.
        expected: 1, or 0 for 0 or less.
        rewards: one per text.
        rows: dataset row of each text.
        texts: the graded completions.
    """

    function: str
    name: str
    expected: int
    rewards: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[int]:
        """Indices of `rewards` that are not as expected; None counts as expected, for the function does not apply."""
        return [
            i for i, reward in enumerate(self.rewards) if reward is not None and not _as_expected(reward, self.expected)
        ]


@dataclass
class CheckReport:
    """What `check_rewards` found.

    Attributes:
        cases: every function on every kind of completion.
        unchecked: names of functions without gold answers.
    """

    cases: list[Case] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every reward was as expected."""
        return not any(case.failed for case in self.cases)

    @property
    def failed_rows(self) -> list[int]:
        """Dataset rows with a reward that was not as expected, sorted."""
        return sorted({case.rows[i] for case in self.cases for i in case.failed})

    def __str__(self) -> str:
        lines = ["| function | completion | expected | texts | failed | not measured | for example |", "|---" * 7 + "|"]
        for case in self.cases:
            missing = Counter(reward.cause for reward in case.rewards if isinstance(reward, NotMeasured))
            causes = ", ".join(f"{count} {cause}" for cause, count in sorted(missing.items())) or "0"
            example = ""
            if case.failed:
                place = case.failed[0]
                example = f"row {case.rows[place]}: {case.texts[place][:60]!r} earns {case.rewards[place]!r}"
            counts = f"{len(case.rewards)} | {len(case.failed) - missing.total()} | {causes}"
            lines.append(f"| {case.function} | {case.name} | {case.expected} | {counts} | {example} |")
        lines += [f"| {name} | has no gold answers | | 0 | | | |" for name in self.unchecked]
        return "\n".join(lines)


def check_rewards(dataset: Dataset, functions: Sequence[RewardFunction], rows: int | None = 32) -> CheckReport:
    """Return the rewards of the functions' own gold answers, written in several ways, and of answers that earn nothing.

    Args:
        dataset: with a column "prompt" and those that the functions need.
        functions: reward functions.
        rows: rows with a gold answer that are tried per function, drawn with a fixed seed; None for all.
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
    """Return the rewards of completions for rows of a dataset, from a reward function called as TRL calls it.

    Args:
        function: sync or async.
        dataset: with a column "prompt", of texts or chats.
        places: index of each completion's row.
        completions: texts; passed as chats where the prompt is one.

    Raises:
        ValueError: the function does not return one reward per completion.
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
        with ThreadPoolExecutor(1) as thread:  # which has no running event loop
            found = thread.submit(asyncio.run, function(**given)).result()
    else:
        found = function(**given)
    if len(found) != len(rows):
        raise ValueError(f"{name_of(function)} must return {len(rows)} rewards, one per completion; got {len(found)}.")
    return list(found)


def is_async(function: RewardFunction) -> bool:
    """Return whether a reward function is async, an object or partial of an async one included, as TRL decides."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def for_rows(given: Mapping[str, Any], rows: Sequence[int], size: int) -> dict[str, Any]:
    """Return the keyword arguments of a reward function, cut to some of its samples.

    Args:
        given: lists with an entry per sample, and values that hold for all.
        rows: indices of the samples.
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


def _as_expected(reward: Any, expected: int) -> bool:
    return bool(abs(reward - 1) <= _TOLERANCE) if expected else bool(reward <= _TOLERANCE)


def _log_nothing(*_: Any) -> None:
    """Stand in for TRL's loggers of columns and metrics."""
