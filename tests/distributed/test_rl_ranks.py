"""Reinforcement learning on several ranks: each gets the gradient of the objective over the samples of all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from torch.distributed.tensor import DTensor

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
