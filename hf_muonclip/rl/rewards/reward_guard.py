"""What reward functions say and what goes wrong in them, kept until all ranks know it.

TRL turns a reward into a number, and None into NaN: why there is none is lost. Here each function is wrapped, so that
the causes go beside the numbers; and an exception on one rank does not leave the others waiting.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ...common.graders.not_measured import CAUSES, NotMeasured
from ...common.loggers import get_logger
from .reward_check import for_rows, is_async

logger = get_logger(__name__)

# What a reward function said of a sample: a number, None, something that is none, nothing because the sample's
# environment failed, or 1 + the place of a cause.
NUMBER, NONE, MALFORMED, EPISODE = 0, -1, -2, -3
_CODES = {cause: code for code, cause in enumerate(CAUSES, start=1)}
WINDOW = 4  # batches of completions


class NotMeasuredError(RuntimeError):
    """More samples than `max_not_measured` allows had no reward; a checkpoint was saved before."""


class Guard:
    """What is kept of a reward function.

    Args:
        name: under which TRL logs it.

    Attributes:
        said: of each sample of the last call, `NUMBER`, `NONE`, `MALFORMED` or the code of a cause.
        malformed: why what it returned last cannot be used; "" where it can.
        details: of each cause, what was seen first.
        failures: of the batch to come, why samples have no reward whatever the function would say, by their places.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.said: list[int] = []
        self.malformed = ""
        self.details: dict[str, str] = {}
        self.failures: dict[int, NotMeasured] = {}
        self._has_raised = False

    def all_failed(self, error: Exception, samples: int) -> list[NotMeasured]:
        """Return the rewards of a call that raised."""
        if not self._has_raised:
            self._has_raised = True
            logger.error("the reward function %s raised; its batch is not measured.", self.name, exc_info=error)
        return [NotMeasured("error", f"{type(error).__name__}: {error}")] * samples

    def rows_of(self, samples: int) -> list[int]:
        """Return the places of the samples that the function is asked about."""
        return [row for row in range(samples) if row not in self.failures]

    def read(self, found: Any, samples: int) -> list[float | None]:
        """Return what a function returned of `rows_of(samples)` as numbers and None, and keep what it says."""
        rows = self.rows_of(samples)
        try:
            rewards = [one if one is None or isinstance(one, NotMeasured) else float(one) for one in found]
        except (TypeError, ValueError, RuntimeError) as error:
            self.malformed = f"it must return numbers; it returned {repr(found)[:60]} ({error})"
        else:
            fits = len(rewards) == len(rows)
            self.malformed = "" if fits else f"it returned {len(rewards)} rewards for {len(rows)} samples"
        if self.malformed:
            self.said = [MALFORMED] * samples
            return [float("nan")] * samples
        self.said = [EPISODE] * samples
        whole: list[float | None] = [self.failures.get(row) for row in range(samples)]
        for row, reward in zip(rows, rewards, strict=True):
            self.said[row], whole[row] = code_of(reward), reward
        for reward in whole:
            if isinstance(reward, NotMeasured):
                self.details.setdefault(reward.cause, reward.detail)
        return whole


class GuardedReward:
    """A reward function of TRL's signature that never raises, with a `guard` that keeps why a sample has no reward."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function, self.guard = function, Guard(name)
        self.__name__ = name

    def __call__(self, **given: Any) -> list[float | None]:
        """Return a reward per completion; None and NaN where there is none."""
        samples = len(given["completions"])
        rows = self.guard.rows_of(samples)
        try:
            found = self.function(**for_rows(given, rows, samples)) if rows else []
        except Exception as error:
            found = self.guard.all_failed(error, len(rows))
        return self.guard.read(found, samples)


class AsyncGuardedReward(GuardedReward):
    """The same of an async reward function."""

    async def __call__(self, **given: Any) -> list[float | None]:  # type: ignore[override]
        """Return a reward per completion; None and NaN where there is none."""
        samples = len(given["completions"])
        rows = self.guard.rows_of(samples)
        try:
            found = await self.function(**for_rows(given, rows, samples)) if rows else []
        except Exception as error:
            found = self.guard.all_failed(error, len(rows))
        return self.guard.read(found, samples)


class GuardedModel(nn.Module):
    """The same of a reward model."""

    guard: Guard

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.guard = model, Guard(name)

    def forward(self, **given: Any) -> Any:
        """Return what the model does; `logits` of NaN where it raises."""
        samples = len(given["input_ids"])
        try:
            found = self.model(**given)
        except Exception as error:
            failed = self.guard.all_failed(error, len(self.guard.rows_of(samples)))
            rewards = self.guard.read(failed, samples)
            found = SimpleNamespace(logits=torch.tensor(rewards, device=given["input_ids"].device).unsqueeze(1))
        else:
            self.guard.said = [EPISODE if row in self.guard.failures else NUMBER for row in range(samples)]
        return found


Guarded = GuardedReward | GuardedModel


def guarded(function: Any, name: str) -> Guarded:
    """Return a reward function, sync or async, or a reward model with a guard."""
    if isinstance(function, nn.Module):
        return GuardedModel(function, name)
    return (AsyncGuardedReward if is_async(function) else GuardedReward)(function, name)


def causes_of(rewards: Tensor, said: Tensor, num_generations: int) -> Tensor:
    """Return why each reward is missing.

    A function that gives None to all samples of a prompt does not apply to it, unless none does. One that gives a
    reward to some of a prompt's samples should have given it to all. A sample whose environment failed says nothing of
    whether a function applies.

    Args:
        rewards: (samples, functions); of all ranks, a prompt's together; NaN where there is none.
        said: of the same shape, int; what functions said.
        num_generations: samples of one prompt.

    Returns:
        (samples, functions), int; 0 where nothing is missing, else 1 + the place in `CAUSES`.
    """
    failed = said == EPISODE
    none = (said == NONE) | failed
    applies = ~none.view(-1, num_generations, rewards.shape[1]).all(1)
    applies |= ~applies.any(1, keepdim=True)
    causes = said.clamp(min=0).masked_fill(failed, _CODES["error"])
    causes = causes.masked_fill((causes == 0) & rewards.isnan(), _CODES["missing"])
    causes = causes.masked_fill(rewards.isinf(), _CODES["infinite"])
    return causes.masked_fill(~applies.repeat_interleave(num_generations, dim=0), 0)


class NotMeasuredWindow:
    """The share of samples without a reward in the last batches, and whether training must stop for it.

    Args:
        largest: share of the samples of `WINDOW` batches that may have none; 1 for all.
    """

    def __init__(self, largest: float) -> None:
        self.largest = largest
        self._shares: deque[float] = deque(maxlen=WINDOW)

    def add(self, share: float) -> None:
        """Count a batch of training.

        Args:
            share: of its samples that lack a reward they should have.
        """
        self._shares.append(share)

    @property
    def too_many(self) -> str:
        """Why the training must stop, as the beginning of a sentence; "" where it need not.

        Batches that are still to come count as measured: a share of 1 / `WINDOW` or more forgives one bad batch.
        """
        if sum(self._shares) <= self.largest * WINDOW:
            return ""
        batches = len(self._shares)
        return (
            f"{sum(self._shares) / batches:.0%} of the samples of the last {batches} batches had no reward, more than "
            f"max_not_measured={self.largest:g} of {WINDOW} batches"
        )


class NotMeasuredCount:
    """How many rewards were missing, by function and cause.

    Args:
        functions: of rewards, guarded.

    Attributes:
        total: of each function and cause, since the training began.
    """

    def __init__(self, functions: Sequence[Guarded]) -> None:
        self.guards = [function.guard for function in functions]
        self.total: Counter[tuple[str, str]] = Counter()

    def shares(self, causes: Tensor) -> dict[str, float]:
        """Return what to log of a batch: of each function, the share without a reward, and by each cause seen so far.

        Args:
            causes: as `causes_of` returns them.
        """
        shares = {}
        for place, guard in enumerate(self.guards):
            name = guard.name
            of_function = causes[:, place]
            shares[f"rewards/{name}/not_measured"] = (of_function > 0).float().mean().item()
            for cause, code in _CODES.items():
                count = int((of_function == code).sum())
                if count and not self.total[name, cause]:
                    self._tell(guard, cause, count, len(causes))
                self.total[name, cause] += count
                if self.total[name, cause]:
                    shares[f"rewards/{name}/not_measured/{cause}"] = count / len(causes)
        return shares

    def _tell(self, guard: Guard, cause: str, count: int, samples: int) -> None:
        logger.warning(
            "the reward function %s gave no reward to %d of %d samples (%s: %s). They leave their group's mean and the "
            "loss; rewards/%s/not_measured/%s counts them from now on.",
            guard.name,
            count,
            samples,
            cause,
            guard.details.get(cause) or CAUSES[cause],
            guard.name,
            cause,
        )

    @property
    def worst(self) -> str:
        """What was missing most since the training began, in words."""
        return ", ".join(f"{name} {count} by {cause}" for (name, cause), count in self.total.most_common(4) if count)


def check_share(max_not_measured: float) -> None:
    """Refuse a share that is none.

    Raises:
        ValueError: it is not in [0, 1].
    """
    if not 0 <= max_not_measured <= 1:
        raise ValueError(
            f"max_not_measured must be in [0, 1]; got {max_not_measured!r}. 0.5 is the default, and 1 never stops."
        )


def said_by(functions: Sequence[Guarded], device: torch.device) -> Tensor:
    """Return what guarded functions said of their last batch, (samples, functions), int."""
    return torch.tensor([function.guard.said for function in functions], device=device).T.contiguous()


def code_of(reward: float | None) -> int:
    """Return what a function says by a reward: `NUMBER`, `NONE`, or the code of a cause."""
    if isinstance(reward, NotMeasured):
        return _CODES[reward.cause]
    return NONE if reward is None else NUMBER
