"""Reinforcement learning on several ranks: each gets the gradient of the objective over the samples of all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import odd_graders
import pytest
from datasets import IterableDataset
from fsdp_on_cpu import fsdp_on_cpu
from processes import run_on_ranks
from tiny_rl import (
    CLOSE,
    SEVERAL,
    Step,
    documents,
    ptx_dataset,
    relative_error,
    rl_config,
    rl_trainer,
    tiny_policy,
    true_gradient,
    true_next_token_loss,
)
from torch import distributed
from torch.distributed.tensor import DTensor

from hf_muonclip.common.graders.grader_pool import default_pool
from hf_muonclip.rl.rewards.reward_guard import NotMeasuredError

# Of two ranks: each prompt's samples lie on both. The last shards the parameters (FSDP2).
ON_RANKS: dict[str, dict[str, Any]] = {
    "k2 with PTX": {"objective": "k2", "ptx_max_length": 12},
    "k25": {"objective": "k25"},
    "k25 with PTX, streamed": {"objective": "k25", "ptx_max_length": 12},
    "k2 with PTX, sharded": {"objective": "k2", "ptx_max_length": 12, "fsdp": True, "gradient_checkpointing": False},
}


def _rows(parts: list[list[list[int]]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield from ({"input_ids": text} for text in part)


def train_on_a_rank(folder: str) -> dict[str, tuple[list[Step], float]]:
    found = {}
    for case, more in ON_RANKS.items():
        given: dict[str, Any] = {"ptx_dataset": ptx_dataset()} if "PTX" in case else {}
        if "streamed" in case:  # to each rank two rows of whole documents
            parts = {"parts": [documents()[:3], documents()[3:]]}
            given["ptx_dataset"] = IterableDataset.from_generator(_rows, gen_kwargs=parts)
        with fsdp_on_cpu():
            trainer = rl_trainer(Path(folder), given=given, **SEVERAL | {"per_device_train_batch_size": 2} | more)
        assert trainer.accelerator.num_processes == 2
        trainer.train()
        assert {isinstance(parameter, DTensor) for parameter in trainer.model.parameters()} == {"sharded" in case}
        found[case] = (trainer.steps, trainer.state.log_history[0].get("ptx/loss", 0.0))
    return found


@pytest.mark.slow
def test_two_ranks_that_share_groups(tmp_path: Path) -> None:
    environment = {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    first, second = run_on_ranks(2, train_on_a_rank, str(tmp_path), environment=environment)
    next_token = float(true_next_token_loss(tiny_policy(), documents()))
    for case, more in ON_RANKS.items():
        args = rl_config(tmp_path, **SEVERAL | {"objective": more["objective"]})
        for steps in zip(first[case][0], second[case][0], strict=True):
            truth = true_gradient(list(steps), tiny_policy, args, texts=documents() if "PTX" in case else None)
            for step in steps:
                assert relative_error(step.gradient, truth) < CLOSE, case
        assert first[case][1] == pytest.approx(next_token if "PTX" in case else 0.0, rel=1e-5)


class FailsOnOneRank:
    """A reward of this rank's worker processes that fails on rank 1 alone, in its batch `since` and later."""

    __name__ = "graded"

    def __init__(self, fault: str, since: int = 0) -> None:
        self.fault, self.since, self.calls = fault, since, 0

    def __call__(self, completions: list[Any], **_: Any) -> list[Any]:
        failing = distributed.get_rank() == 1 and self.calls >= self.since
        self.calls += 1
        if failing and self.fault == "raise":
            raise ZeroDivisionError("on one rank")
        if failing and self.fault == "length":
            return [1.0]
        faults = [self.fault if failing and place == 0 else "" for place in range(len(completions))]
        return default_pool().map(odd_graders.grade, [(fault, float(i)) for i, fault in enumerate(faults)])


def fail_on_a_rank(folder: str) -> dict[str, Any]:
    more = {"per_device_train_batch_size": 4, "max_steps": 3}
    found: dict[str, Any] = {}
    for fault in ("crash", "error", "gold"):
        trainer = rl_trainer(Path(folder), given={"reward_funcs": FailsOnOneRank(fault)}, **more | {"max_steps": 1})
        trainer.train()
        weights = trainer.sampled[0]["sample_weights"].tolist()
        found[fault] = (weights, dict(+trainer.not_measured.total), trainer.state.log_history[0])
    for fault, stops in (("raise", NotMeasuredError), ("length", ValueError)):
        own = Path(folder, fault)
        graded = FailsOnOneRank(fault, since=1)
        trainer = rl_trainer(own, given={"reward_funcs": graded}, max_not_measured=0.1, **more)
        with pytest.raises(stops) as stopped:
            trainer.train()
        rest = rl_trainer(own, given={"reward_funcs": FailsOnOneRank("none", since=99)}, **more)
        rest.train(resume_from_checkpoint=str(own / "checkpoint-1"))
        found[fault] = (str(stopped.value), rest.state.global_step)
    return found


@pytest.mark.slow
def test_a_grader_that_fails_on_one_rank_is_known_to_both(tmp_path: Path) -> None:
    environment = {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    first, second = run_on_ranks(2, fail_on_a_rank, str(tmp_path), environment=environment)
    for fault in ("crash", "error", "gold"):
        assert first[fault][0] == pytest.approx([1, 1, 1, 1])
        assert second[fault][0] == pytest.approx([0, 4 / 3, 4 / 3, 4 / 3])
        for weights, total, log in (first[fault], second[fault]):
            assert len(weights) == 4
            assert total == {("graded", fault): 1}
            assert log["rewards/graded/not_measured"] == 1 / 8
            assert log[f"rewards/graded/not_measured/{fault}"] == 1 / 8
    for fault, named in (("raise", ["max_not_measured", "4 by error"]), ("length", ["graded", "1 rewards for 4"])):
        assert first[fault] == second[fault]
        assert first[fault][1] == 3  # both resumed
        for word in [*named, "checkpoint-1"]:
            assert word in first[fault][0]
