"""Each fault injected into each grader of the domains, in a real run: counted by cause, and what is well is rewarded.

Graders work in real worker processes, which sleep, die, raise or fill their memory in the place of some gradings.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import faulty_grader
import pytest
from datasets import Dataset
from tiny_rl import rl_trainer
from tiny_trl import turn

from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.rl import NotMeasured, SubprocessExecutor, instruction_rows
from hf_muonclip.rl.domains.coding import CodeReward
from hf_muonclip.rl.domains.instruction import InstructionReward
from hf_muonclip.rl.domains.math_rewards import MathReward
from hf_muonclip.rl.domains.reasoning import ReasoningReward, reasoning_spec
from hf_muonclip.rl.graders.sandbox import Execution, Limits

FAULTS = ["", "timeout", "crash", "error", "memory", "", "", ""]  # of each sample of a batch of eight


class FaultyPool(GraderPool):
    """A pool whose workers fail as `faults` says, call by call, once `faulty`."""

    faulty = False

    def map(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        if not self.faulty:
            return super().map(function, calls)
        os.environ[faulty_grader.MODULE] = function.__module__  # which workers read when they begin
        told = [
            (fault, function.__module__, function.__name__, call)
            for fault, call in zip(itertools.cycle(FAULTS), calls, strict=False)
        ]
        return super().map(faulty_grader.grade_or_fail, told)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyPool]:
    monkeypatch.setenv(faulty_grader.MODULE, "")
    with FaultyPool(workers=2, deadline=5.0, memory=1 << 30) as pool:
        yield pool


class Answered:
    """A reward function that grades texts of ours in the place of a random model's."""

    def __init__(self, reward: Any, texts: list[str]) -> None:
        self.reward, self.texts, self.__name__ = reward, texts, "graded"

    def __call__(self, completions: list[Any], **given: Any) -> list[float]:
        return list(self.reward(completions=self.texts, **given))


def train(folder: Path, reward: Any, texts: list[str], column: dict[str, Any]) -> Any:
    """Return a trainer after one step on one batch: two prompts, four samples of each."""
    rows = [{"prompt": [turn("user", seed)], **column} for seed in range(2)]
    given = {"train_dataset": Dataset.from_list(rows), "reward_funcs": Answered(reward, texts)}
    trainer = rl_trainer(folder, given=given, max_steps=1, max_not_measured=1.0)
    trainer.train()
    return trainer


def faulty_run(folder: Path, pool: FaultyPool, reward: Any, right: str, column: dict[str, Any]) -> None:
    """Train with each sample's answer written in another way, so that each is graded by a call of its own."""
    pool.faulty = True
    try:
        trainer = train(folder, reward, [right + " " * place for place in range(8)], column)
    finally:
        pool.faulty = False
    assert +trainer.not_measured.total == {("graded", cause): 1 for cause in FAULTS if cause}
    (logged,) = [log["rewards/graded/mean"] for log in trainer.state.log_history if "rewards/graded/mean" in log]
    assert logged == 1.0  # of the four that were measured: none of the others counts as a zero
    assert trainer.sampled[0]["sample_weights"].tolist()[1:5] == [0.0] * 4


def test_mathematics(pool: FaultyPool, tmp_path: Path) -> None:
    reward = MathReward(pool=pool)
    pool.faulty = True
    try:
        trainer = train(tmp_path, reward, [rf"\boxed{{{6 + place} - {place}}}" for place in range(8)], {"answer": "x"})
    finally:
        pool.faulty = False
    assert +trainer.not_measured.total == {("graded", cause): 1 for cause in FAULTS if cause}


def test_puzzles(pool: FaultyPool, tmp_path: Path) -> None:
    row = reasoning_spec({"chain_sum": 1}, size=2, chat=False, pool=pool).train_dataset[0]
    faulty_run(tmp_path, pool, ReasoningReward(pool=pool), row["answer"], {"puzzle": row["puzzle"]})


def test_instructions(pool: FaultyPool, tmp_path: Path) -> None:
    row = next(row for row in instruction_rows(20, seed=1) if row["gold"])
    column = {name: row[name] for name in ("instruction_id_list", "kwargs")}
    faulty_run(tmp_path, pool, InstructionReward(pool=pool), row["gold"], column)


def test_programs(tmp_path: Path) -> None:
    """An executor that runs programs elsewhere and fails there."""
    here = SubprocessExecutor()
    faults = {"two": "unreachable", "three": "error", "four": "crash"}

    def executor(program: str, tests: str, stdin: str, limits: Limits) -> Execution | NotMeasured:
        for word, cause in faults.items():
            if word in program:
                if cause == "error":
                    raise ConnectionError("the container is gone")
                return NotMeasured(cause, "told to")
        return here(program, tests, stdin, limits)

    texts = [
        f"```python\n# {word}\nadd = lambda a, b: a + b\n```" for word in ("one", "two", "three", "four") for _ in "ab"
    ]
    trainer = train(tmp_path, CodeReward(executor=executor), texts, {"tests": ["assert add(2, 3) == 5"]})
    assert +trainer.not_measured.total == {("graded", cause): 2 for cause in faults.values()}
