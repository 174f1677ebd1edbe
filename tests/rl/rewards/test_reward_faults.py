"""Each fault of a grader in a real run: its sample leaves mean and loss, is counted by cause; too many stop the run.

Graders run in worker processes as they do in earnest; the faults are real, not raised in their place.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import odd_graders
import pytest
from datasets import Dataset
from error_messages import naming
from tiny_rl import Watched, rl_trainer, tool_tokenizer, weights_of
from tiny_trl import turn
from transformers.trainer_utils import get_last_checkpoint

from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.common.graders.not_measured import CAUSES, NotMeasured
from hf_muonclip.rl.rewards.reward_guard import WINDOW, NotMeasuredError

NUMBERS = [1.0, 0.0, 0.5, 0.25]  # what the samples of a prompt earn


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, deadline=1.0, memory=1 << 30) as pool:
        pool.map(odd_graders.add, [(1, 1)] * 4)
        yield pool


class Graded:
    """A reward of worker processes, of which some samples of a batch of eight fail.

    Args:
        pool: of the workers.
        faults: of each sample of the batch, what `odd_graders.grade` is told; all fail where there is one alone.
    """

    __name__ = "graded"

    def __init__(self, pool: GraderPool, *faults: str) -> None:
        self.pool, self.faults = pool, faults

    def __call__(self, completions: list[Any], **_: Any) -> list[Any]:
        faults = self.faults * len(completions) if len(self.faults) == 1 else self.faults
        return self.pool.map(odd_graders.grade, list(zip(faults, NUMBERS * 2, strict=True)))


class AsyncGraded(Graded):
    async def __call__(self, **given: Any) -> list[Any]:  # type: ignore[override]
        return Graded.__call__(self, **given)


def logged(trainer: Watched, name: str) -> list[float]:
    return [log[name] for log in trainer.state.log_history if name in log]


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("cause", CAUSES)
def test_one_fault_costs_one_sample(cause: str, later: bool, pool: GraderPool, tmp_path: Path) -> None:
    graded = (AsyncGraded if later else Graded)(pool, "", cause, "", "", "", "", "", "")
    trainer = rl_trainer(tmp_path, given={"reward_funcs": graded}, max_steps=1)
    trainer.train()
    batch = trainer.sampled[0]
    mean = (1.0 + 0.5 + 0.25) / 3
    assert batch["advantages"].tolist()[:4] == pytest.approx([1 - mean, 0, 0.5 - mean, 0.25 - mean], abs=1e-6)
    assert batch["sample_weights"].tolist() == pytest.approx([4 / 3, 0, 4 / 3, 4 / 3, 1, 1, 1, 1])
    assert logged(trainer, "rewards/graded/not_measured") == [1 / 8]
    seen = {name: value for log in trainer.state.log_history for name, value in log.items() if "not_measured/" in name}
    assert seen == {f"rewards/graded/not_measured/{cause}": 1 / 8}
    assert +trainer.not_measured.total == {("graded", cause): 1}
    assert logged(trainer, "reward") == pytest.approx([(2 * sum(NUMBERS) - NUMBERS[1]) / 7])


def test_all_causes_at_once(pool: GraderPool, tmp_path: Path) -> None:
    graded = Graded(pool, *CAUSES)
    trainer = rl_trainer(tmp_path, given={"reward_funcs": [graded, odd_length]}, max_steps=1, max_not_measured=1.0)
    trainer.train()
    assert trainer.sampled[0]["sample_weights"].tolist() == [0] * 8  # the second function's numbers save no sample
    assert +trainer.not_measured.total == {("graded", cause): 1 for cause in CAUSES}
    assert all(not gradient.any() for gradient in trainer.steps[0].gradient.values())


def odd_length(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [float(len(ids) % 2) for ids in completion_ids]


@pytest.mark.parametrize("num_iterations", [1, 2])
def test_too_many_faults_stop_the_run_with_a_checkpoint(num_iterations: int, pool: GraderPool, tmp_path: Path) -> None:
    more = {"max_steps": 8, "num_iterations": num_iterations, "learning_rate": 1e-3}
    trainer = rl_trainer(tmp_path, given={"reward_funcs": Graded(pool, *["", "crash", "error", "gold"] * 2)}, **more)
    with pytest.raises(NotMeasuredError, match=naming("75%", "max_not_measured=0.5", "graded 6 by crash")) as stopped:
        trainer.train()
    step = (WINDOW - 2) * num_iterations  # after three batches of four that may be bad by half
    assert trainer.state.global_step == step
    assert f"checkpoint-{step}" in str(stopped.value)
    assert str(stopped.value).count("\n") == 0
    assert len(logged(trainer, "rewards/graded/not_measured")) == WINDOW - 1  # the last batch is logged too

    checkpoint = get_last_checkpoint(str(tmp_path))
    assert checkpoint == str(tmp_path / f"checkpoint-{step}")
    repaired = rl_trainer(tmp_path, given={"reward_funcs": Graded(pool, *[""] * 8)}, **more)
    repaired.train(resume_from_checkpoint=checkpoint)
    assert repaired.state.global_step == 8
    assert len(repaired.steps) == 8 - step
    for name, weight in repaired.steps[0].weights.items():
        assert weight.equal(weights_of(trainer.model)[name]), name


class Reports:
    """A reward of wrong length from its second batch on."""

    __name__ = "reports"
    calls = 0

    def __call__(self, completions: list[Any], **_: Any) -> list[float]:
        self.calls += 1
        return [1.0, 0.0] * 4 if self.calls == 1 else [1.0] * 3


def test_a_wrong_number_of_rewards_is_an_error_after_a_checkpoint(tmp_path: Path) -> None:
    trainer = rl_trainer(tmp_path, given={"reward_funcs": Reports()}, max_steps=3)
    with pytest.raises(ValueError, match=naming("reports", "3", "8", "checkpoint-1")):
        trainer.train()
    assert (tmp_path / "checkpoint-1" / "optimizer.pt").exists()
    rest = rl_trainer(tmp_path, given={"reward_funcs": odd_length}, max_steps=3)
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert rest.state.global_step == 3


def raising(completions: list[Any], **_: Any) -> list[float]:
    raise ZeroDivisionError("by none")


def test_a_function_that_raises_ends_nothing_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = rl_trainer(tmp_path, given={"reward_funcs": [odd_length, raising]}, max_steps=2)
    trainer.train()
    assert logged(trainer, "rewards/raising/not_measured/error") == [1.0, 1.0]
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info[0] is ZeroDivisionError


def test_evaluation_counts_and_never_stops(pool: GraderPool, tmp_path: Path) -> None:
    data = Dataset.from_list([{"prompt": [turn("user", seed)]} for seed in range(8)])
    more = {"per_device_eval_batch_size": 8, "max_not_measured": 0.0, "max_steps": 1}
    trainer = rl_trainer(tmp_path, given={"reward_funcs": Graded(pool, "gold"), "eval_dataset": data}, **more)
    trainer.evaluate()
    assert logged(trainer, "eval_rewards/graded/not_measured/gold") == [1.0]


class Walk:
    """An environment that owns its reward, which fails in the ways that environments do.

    One instance serves each place of a batch, so that the places differ.
    """

    rewards: tuple[Any, ...] = (1.0, NotMeasured("unreachable", "refused"), math.inf, 0.0, 2.0, math.nan, None, 1.0)
    made = 0

    def __init__(self) -> None:
        self.place = Walk.made
        Walk.made += 1

    def reset(self, **_: Any) -> str:
        return " w9"

    def get_reward(self) -> Any:
        return self.rewards[self.place % 8]


class FallingWalk(Walk):
    """The same, of which one place cannot be reset, and another raises where its reward is asked for."""

    rewards = (1.0, 3.0, 5.0, 0.0, 2.0, 4.0, 2.0, 0.0)
    goal: int

    def reset(self, **_: Any) -> str:
        if self.place % 8 == 1:
            raise ConnectionError("no room")
        self.goal = self.place
        return " w9"

    def get_reward(self) -> Any:
        if self.place % 8 == 6:
            raise ZeroDivisionError
        return super().get_reward()


class FallingWalkLater(FallingWalk):
    async def get_reward(self) -> Any:  # type: ignore[override]
        return super().get_reward()


def goals(environments: list[Any], **_: Any) -> list[float]:
    return [float(environment.goal % 8 == 0) for environment in environments]  # which only a reset one has


@pytest.mark.parametrize("environment", [FallingWalk, FallingWalkLater])
def test_an_environment_that_raises_costs_its_own_sample(
    environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Walk, "made", 0)
    given = {"reward_funcs": goals, "environment_factory": environment, "processing_class": tool_tokenizer()}
    trainer = rl_trainer(tmp_path, given=given, max_steps=1)
    trainer.train()
    assert trainer.sampled[0]["sample_weights"].tolist() == pytest.approx([4 / 3, 0, *[4 / 3] * 4, 0, 4 / 3])
    assert trainer.sampled[0]["advantages"].tolist() == pytest.approx([-1 / 3, 0, 8 / 3, -7 / 3, 0, 2, 0, -2])
    name = environment.__name__
    assert +trainer.not_measured.total == {(name, "error"): 2, ("goals", "error"): 1}
    assert "reset of" in trainer.not_measured.guards[0].details["error"]


def test_odd_rewards_of_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Walk, "made", 0)
    given = {"reward_funcs": None, "environment_factory": Walk, "processing_class": tool_tokenizer()}
    trainer = rl_trainer(tmp_path, given=given, max_steps=1)
    trainer.train()
    assert trainer.sampled[0]["sample_weights"].tolist() == pytest.approx([2, 0, 0, 2, 2, 0, 0, 2])
    assert trainer.sampled[0]["advantages"].tolist() == [0.5, 0, 0, -0.5, 0.5, 0, 0, -0.5]
    assert +trainer.not_measured.total == {
        ("Walk", "unreachable"): 1,
        ("Walk", "infinite"): 1,
        ("Walk", "missing"): 2,
    }
