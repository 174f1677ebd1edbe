"""Advantages of asynchronous rollouts as Kimi K2.5 defines them: rewards minus their group's mean, not divided.

TRL's worker divides them by the group's standard deviation, counts a missing reward beside others as zero, keeps
samples without any reward in the loss, and ends when a reward function raises.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl.experimental.async_grpo.async_rollout_worker import (
    RolloutGroup,
    RolloutSample,
    TrainingSequence,
    _AsyncRolloutLoop,
)

from ..common.loggers import get_logger
from .rewards.reward_guard import NotMeasuredCount, causes_of, code_of, guarded

logger = get_logger(__name__)


class KimiRolloutLoop(_AsyncRolloutLoop):
    """TRL's loop of generation and scoring with the advantages of K2.5. Runs in the worker's process.

    A sample that was not measured (see `KimiRLTrainer`) is left out of its group's mean and of the loss, and is counted
    in `rewards/not_measured` and, per function and cause, in `rewards/NAME/not_measured`. So is a whole group for which
    a function returned something else than rewards; the trainer sees `rewards/NAME/malformed` and stops.
    """

    def __init__(self, **loop_kwargs: Any) -> None:
        super().__init__(**loop_kwargs)
        names = self.reward_func_names  # TRL's keys of the rewards
        self.reward_func_names = [
            name if name not in names[:place] else f"{name}_{place + 1}" for place, name in enumerate(names)
        ]
        self._guarded = [
            guarded(function, name) for function, name in zip(self.reward_funcs, self.reward_func_names, strict=False)
        ]  # the names of environments that own their reward follow
        self.reward_funcs: list[Any] = [*self._guarded]
        self._not_measured = NotMeasuredCount(self._guarded)

    async def _score_group(self, group: RolloutGroup) -> list[RolloutSample]:
        """Return the training rows of a group of rollouts."""
        # TRL scores the group with one row per rollout, in order; the real rows follow.
        one_each = [[TrainingSequence([], [], [], "")] for _ in group.completions]
        scored = await super()._score_group(dataclasses.replace(group, completions_sequences=one_each))
        rewards = torch.tensor(
            [[sample.metrics[f"rewards/{name}"] for name in self.reward_func_names] for sample in scored],
            dtype=torch.float64,
        )
        causes = causes_of(rewards, self._codes(group), len(scored))
        measured = (causes == 0).all(1)
        shares = self._not_measured.shares(causes[:, : len(self._guarded)]) | self._malformed()
        totals = rewards.nansum(1).masked_fill(~measured, torch.nan)
        advantages = (totals - totals.nanmean()).nan_to_num(nan=0.0)
        samples = []
        for place, (sample, sequences) in enumerate(zip(scored, group.completions_sequences, strict=True)):
            counts = bool(measured[place])
            of_sample = {"reward": float(totals[place]), "rewards/not_measured": float(not counts)}
            metrics = sample.metrics | of_sample | shares
            for sequence in sequences:
                masks = sequence.completion_mask if counts else [0] * len(sequence.completion_mask)
                samples.append(
                    dataclasses.replace(
                        sample,
                        input_ids=np.asarray(sequence.input_ids, dtype=np.int64),
                        completion_mask=np.asarray(masks, dtype=np.int64),
                        old_log_probs=np.asarray(sequence.old_log_probs, dtype=np.float32),
                        advantage=float(advantages[place]),
                        metrics=dict(metrics),
                    )
                )
        return samples

    def _codes(self, group: RolloutGroup) -> Tensor:
        """Return the code of each reward of functions and environments, (samples, functions), int."""
        of_environments = [
            [code_of(given[1] if given is not None and given[0] is kind else None) for given in group.env_rewards]
            for kind in self._env_reward_types
        ]
        return torch.tensor([*(function.guard.codes for function in self._guarded), *of_environments]).T.contiguous()

    def _malformed(self) -> dict[str, float]:
        found = {}
        for guard in (function.guard for function in self._guarded):
            if guard.malformed:
                logger.error("the reward function %s: %s.", guard.name, guard.malformed)
                found[f"rewards/{guard.name}/malformed"] = 1.0
        return found
