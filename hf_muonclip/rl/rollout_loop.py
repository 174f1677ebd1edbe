"""Advantages of asynchronous rollouts as Kimi K2.5 defines them: rewards less their group's mean, undivided.

TRL's worker divides them by the group's deviation, counts a reward of several that is missing as zero, and keeps
samples without any in the loss.
"""

import dataclasses
from typing import Any

import torch
from trl.experimental.async_grpo.async_rollout_worker import (
    RolloutGroup,
    RolloutSample,
    TrainingSequence,
    _AsyncRolloutLoop,
)

from .objective import measured_samples


class KimiRolloutLoop(_AsyncRolloutLoop):
    """TRL's loop of generation and scoring with the advantages of K2.5. Lives in the worker's process.

    A sample whose reward is infinite, or left out (None, NaN) where the same function rewards others of its prompt, was
    not measured: it leaves its group's mean, none of its tokens is trained, and `rewards/not_measured` counts it.
    """

    def __init__(self, **of_trl: Any) -> None:
        super().__init__(**of_trl)
        names = self.reward_func_names  # by which rewards are told apart
        self.reward_func_names = [
            name if name not in names[:place] else f"{name}_{place + 1}" for place, name in enumerate(names)
        ]

    async def _score_group(self, group: RolloutGroup) -> list[RolloutSample]:
        """Return the rows that a group of rollouts is trained by."""
        # TRL scores the group with one row per rollout, in order; the real rows follow.
        one_each = [[TrainingSequence([], [], [], "")] for _ in group.completions]
        scored = await super()._score_group(dataclasses.replace(group, completions_sequences=one_each))
        rewards = torch.tensor(
            [[sample.metrics[f"rewards/{name}"] for name in self.reward_func_names] for sample in scored],
            dtype=torch.float64,
        )
        measured = measured_samples(rewards, len(scored))
        totals = rewards.nansum(1).masked_fill(~measured, torch.nan)
        advantages = (totals - totals.nanmean()).nan_to_num(nan=0.0)
        samples = []
        for place, (sample, sequences) in enumerate(zip(scored, group.completions_sequences, strict=True)):
            counts = bool(measured[place])
            metrics = sample.metrics | {"reward": float(totals[place]), "rewards/not_measured": float(not counts)}
            for sequence in sequences:
                masks = sequence.completion_mask if counts else [0] * len(sequence.completion_mask)
                rows = {"input_ids": sequence.input_ids, "completion_mask": masks}
                samples.append(
                    dataclasses.replace(
                        sample,
                        **{name: torch.tensor(row, dtype=torch.int64).numpy() for name, row in rows.items()},
                        old_log_probs=torch.tensor(sequence.old_log_probs, dtype=torch.float32).numpy(),
                        advantage=float(advantages[place]),
                        metrics=dict(metrics),
                    )
                )
        return samples
