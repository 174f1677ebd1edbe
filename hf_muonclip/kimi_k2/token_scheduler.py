"""A torch learning-rate scheduler whose progress is counted in tokens, so that it resumes at any batch size.

For plain loops; `attach_schedule` puts it into a Trainer.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .schedule import TokenSchedule


class TokenScheduler(LRScheduler):
    """Set every group's learning rate to what a schedule says, after the tokens trained so far.

        optimizer = MuonClip(model, lr=schedule.peak_lr)
        scheduler = TokenScheduler(optimizer, schedule)
        ...
        optimizer.step()
        scheduler.step(tokens_seen=scheduler.tokens_seen + tokens_of_all_ranks)

    A group with a learning rate of its own keeps its ratio to the optimizer's. Counting from the start makes a step
    safe to repeat: a scheduler that Accelerate has prepared steps once for each process.

    Attributes:
        schedule: the schedule that it follows.
        tokens_seen: the tokens trained so far.
        tokens_per_step: tokens that `step()` adds without an argument; None if it needs one.

    Args:
        optimizer: its `lr` is the schedule's `peak_lr`.
        schedule: the schedule to follow.
        tokens_per_step: tokens of an optimizer step, over all ranks and micro-batches, if that never changes.
        tokens_seen: where to start in the schedule, if not at 0. To resume, call `load_state_dict` instead.

    Raises:
        ValueError: the optimizer's learning rate is not the schedule's peak, or a number of tokens is out of range.
    """

    def __init__(
        self, optimizer: Optimizer, schedule: TokenSchedule, tokens_per_step: int | None = None, tokens_seen: int = 0
    ) -> None:
        if tokens_per_step is not None and tokens_per_step < 1:
            raise ValueError(f"tokens_per_step must be positive, or None; got {tokens_per_step}.")
        lr = float(optimizer.defaults.get("lr", math.nan))
        if not math.isclose(lr, schedule.peak_lr, rel_tol=1e-6):
            raise ValueError(
                "the optimizer's learning rate must be the schedule's peak, against which groups with a rate of their "
                f"own are scaled; got {lr} and {schedule.peak_lr}. Construct the optimizer with lr=schedule.peak_lr "
                "(TrainingArguments: learning_rate), or the schedule with the optimizer's."
            )
        schedule.phase_index(tokens_seen)
        self.schedule = schedule
        self.tokens_seen = tokens_seen
        self.tokens_per_step: int | None = 0  # torch's constructor steps once to set the first rates
        self._lr = lr
        super().__init__(optimizer)
        self.tokens_per_step = tokens_per_step

    def step(self, epoch: int | None = None, *, tokens_seen: int | None = None) -> None:
        """Set the rates for the next optimizer step. Call it after each step.

        Args:
            epoch: torch's own argument; not used.
            tokens_seen: all tokens trained so far, by all ranks, since the start of training; by default
                `tokens_per_step` more than before.

        Raises:
            ValueError: the number of tokens is not known, or smaller than before.
        """
        if epoch is not None:
            raise ValueError(f"this scheduler counts tokens, not epochs; got {epoch}. Call step(tokens_seen=...).")
        if tokens_seen is None:
            if self.tokens_per_step is None:
                raise ValueError(
                    "step() must know the tokens trained so far; got neither tokens_seen nor a tokens_per_step at "
                    "construction. Call step(tokens_seen=...)."
                )
            tokens_seen = self.tokens_seen + self.tokens_per_step
        if tokens_seen < self.tokens_seen:
            raise ValueError(
                f"tokens_seen counts from the start of training and never falls; got {tokens_seen} after "
                f"{self.tokens_seen}. Pass the total, not the tokens of a batch."
            )
        total, phases = self.schedule.total_tokens, self.schedule.phases
        first, last = (self.schedule.phase_index(tokens) for tokens in (self.tokens_seen, tokens_seen))
        if passed := [phase.name for phase in phases[first + 1 : last + (tokens_seen >= total)]]:
            warnings.warn(
                f"a phase shorter than a step is not trained; {tokens_seen - self.tokens_seen:,} tokens passed "
                f"{', '.join(passed)}. Give these phases more tokens, or train with smaller batches.",
                stacklevel=2,
            )
        if tokens_seen > self.tokens_seen >= total:
            warnings.warn(
                f"the schedule ended at {total:,} tokens, and training went on to {tokens_seen:,} at its last learning "
                f"rate, {self.schedule.lr(total)}. Stop there, or give the schedule another phase.",
                stacklevel=2,
            )
        self.tokens_seen = tokens_seen
        super().step()

    def get_lr(self) -> list[Any]:
        """Return every group's learning rate after `tokens_seen` tokens."""
        rate = self.schedule.lr(self.tokens_seen)
        return [rate * (base_lr / self._lr) for base_lr in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Return progress and schedule in plain types, which `torch.load(weights_only=True)` reads."""
        return {
            "tokens_seen": self.tokens_seen,
            "schedule": self.schedule.to_dict(),
            "last_epoch": self.last_epoch,
            "step_count": self._step_count,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore another scheduler's progress, and set every group's learning rate accordingly. In place.

        The schedule may differ from the saved one, for a longer run or another ending, if its learning rate does not
        jump here.

        Raises:
            ValueError: the state is of another kind of scheduler, or the learning rate would jump.
        """
        if "tokens_seen" not in state_dict:
            raise ValueError(
                f"the state must be of a TokenScheduler; it has {sorted(state_dict)}. Resume with the scheduler that "
                "the run began with, or begin at TokenScheduler(..., tokens_seen=...)."
            )
        seen = state_dict["tokens_seen"]
        saved = TokenSchedule.from_dict(state_dict["schedule"])
        before, now = saved.lr(seen), self.schedule.lr(seen)
        if not math.isclose(before, now, rel_tol=1e-6):
            raise ValueError(
                f"a resumed run must go on at its learning rate; after {seen:,} tokens the saved schedule has {before} "
                f"and this one {now}. Pass the schedule that the run began with, or one that agrees with it up to here."
            )
        self.tokens_seen = seen
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict["step_count"]
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._last_lr = self.get_lr()


def checkpoint_tokens(checkpoint: str | Path | None) -> int:
    """Return the number of tokens trained up to a Trainer's checkpoint; 0 for None.

    Raises:
        FileNotFoundError: the folder has no `scheduler.pt`.
        ValueError: the run had another scheduler.
    """
    if checkpoint is None:
        return 0
    path = Path(checkpoint) / "scheduler.pt"
    if not path.exists():
        raise FileNotFoundError(
            f"a checkpoint to resume holds scheduler.pt; {checkpoint} does not. Save with save_only_model=False."
        )
    state = torch.load(path, weights_only=True)
    if "tokens_seen" not in state:
        raise ValueError(f"{path} must be of a TokenScheduler; it has {sorted(state)}. Call attach_schedule(trainer).")
    return int(state["tokens_seen"])
