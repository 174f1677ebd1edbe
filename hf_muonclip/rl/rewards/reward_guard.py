"""What reward functions return and what goes wrong in them, kept until all ranks know it.

TRL turns rewards into numbers and None into NaN, and why a reward is missing is lost. Here each function is wrapped:
causes are kept beside the numbers, and an exception on one rank does not leave the others waiting.
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

# Code of a sample's reward: a number, None, something else, none because the sample's environment failed, or 1 + the
# index of a cause.
NUMBER, NONE, MALFORMED, EPISODE = 0, -1, -2, -3
_CODES = {cause: code for code, cause in enumerate(CAUSES, start=1)}
WINDOW = 4  # batches of completions


class NotMeasuredError(RuntimeError):
    """More samples than `max_not_measured` allows had no reward; a checkpoint was saved before."""


class Guard:
    """What the last call of a reward function returned, and why rewards are missing.

    Args:
        name: under which TRL logs it.

    Attributes:
        codes: per sample of the last call, `NUMBER`, `NONE`, `MALFORMED`, `EPISODE` or the code of a cause.
        malformed: why the last return value cannot be used; "" if it can.
        details: per cause, the first detail seen.
        failures: set before a call: samples whose environments failed, which get no reward, by index.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.codes: list[int] = []
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
        """Return the indices of the samples that the function is called for."""
        return [row for row in range(samples) if row not in self.failures]

    def read(self, found: Any, samples: int) -> list[float | None]:
        """Return the rewards of all samples, from those found for `rows_of(samples)`, and keep their codes."""
        rows = self.rows_of(samples)
        try:
            rewards = [one if one is None or isinstance(one, NotMeasured) else float(one) for one in found]
        except (TypeError, ValueError, RuntimeError) as error:
            self.malformed = f"it must return numbers; it returned {repr(found)[:60]} ({error})"
        else:
            fits = len(rewards) == len(rows)
            self.malformed = "" if fits else f"it returned {len(rewards)} rewards for {len(rows)} samples"
        if self.malformed:
            self.codes = [MALFORMED] * samples
            return [float("nan")] * samples
        self.codes = [EPISODE] * samples
        whole: list[float | None] = [self.failures.get(row) for row in range(samples)]
        for row, reward in zip(rows, rewards, strict=True):
            self.codes[row], whole[row] = code_of(reward), reward
        for reward in whole:
            if isinstance(reward, NotMeasured):
                self.details.setdefault(reward.cause, reward.detail)
        return whole


class GuardedReward:
    """A reward function of TRL's signature that never raises, whose `guard` keeps why a sample has no reward."""

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
    """The same for an async reward function."""

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
    """The same for a reward model."""

    guard: Guard

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.guard = model, Guard(name)

    def forward(self, **given: Any) -> Any:
        """Return the model's output, or `logits` of NaN if it raises."""
        samples = len(given["input_ids"])
        try:
            found = self.model(**given)
        except Exception as error:
            failed = self.guard.all_failed(error, len(self.guard.rows_of(samples)))
            rewards = self.guard.read(failed, samples)
            found = SimpleNamespace(logits=torch.tensor(rewards, device=given["input_ids"].device).unsqueeze(1))
        else:
            self.guard.codes = [EPISODE if row in self.guard.failures else NUMBER for row in range(samples)]
        return found


Guarded = GuardedReward | GuardedModel


def guarded(function: Any, name: str) -> Guarded:
    """Return a reward function, sync or async, or a reward model with a guard."""
    if isinstance(function, nn.Module):
        return GuardedModel(function, name)
    return (AsyncGuardedReward if is_async(function) else GuardedReward)(function, name)


def causes_of(rewards: Tensor, codes: Tensor, num_generations: int) -> Tensor:
    """Return why each reward is missing.

    A function that gives None to all samples of a prompt does not apply to that prompt, unless no function would. One
    that gives a reward to some of a prompt's samples should have given one to all. Samples whose environment failed do
    not count in this.

    Args:
        rewards: (samples, functions); of all ranks, the samples of a prompt adjacent; NaN where there is no reward.
        codes: of the same shape, int; as from `codes_of`.
        num_generations: samples of one prompt.

    Returns:
        (samples, functions), int; 0 where nothing is missing, else 1 + the index in `CAUSES`.
    """
    failed = codes == EPISODE
    none = (codes == NONE) | failed
    applies = ~none.view(-1, num_generations, rewards.shape[1]).all(1)
    applies |= ~applies.any(1, keepdim=True)
    causes = codes.clamp(min=0).masked_fill(failed, _CODES["error"])
    causes = causes.masked_fill((causes == 0) & rewards.isnan(), _CODES["missing"])
    causes = causes.masked_fill(rewards.isinf(), _CODES["infinite"])
    return causes.masked_fill(~applies.repeat_interleave(num_generations, dim=0), 0)


class NotMeasuredWindow:
    """The share of samples without a reward in the last batches, and whether training must stop because of it.

    Args:
        largest: share of the samples of `WINDOW` batches that may lack a reward; 1 never stops.
    """

    def __init__(self, largest: float) -> None:
        self.largest = largest
        self._shares: deque[float] = deque(maxlen=WINDOW)

    def add(self, share: float) -> None:
        """Add a training batch.

        Args:
            share: of its samples without a reward.
        """
        self._shares.append(share)

    @property
    def stop_reason(self) -> str:
        """Why training must stop, as the beginning of a message; "" if it need not.

        Before `WINDOW` batches, missing ones count as measured: a limit of 1 / `WINDOW` or more forgives one bad batch.
        """
        if sum(self._shares) <= self.largest * WINDOW:
            return ""
        batches = len(self._shares)
        return (
            f"{sum(self._shares) / batches:.0%} of the samples of the last {batches} batches had no reward, more than "
            f"max_not_measured={self.largest:g} of {WINDOW} batches"
        )


class NotMeasuredCount:
    """Counts of missing rewards per function and cause.

    Args:
        functions: guarded reward functions.

    Attributes:
        total: per function and cause, since training began.
    """

    def __init__(self, functions: Sequence[Guarded]) -> None:
        self.guards = [function.guard for function in functions]
        self.total: Counter[tuple[str, str]] = Counter()

    def shares(self, causes: Tensor) -> dict[str, float]:
        """Return a batch's metrics: per function, the share of samples without a reward, in total and per cause.

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
                    self._warn(guard, cause, count, len(causes))
                self.total[name, cause] += count
                if self.total[name, cause]:
                    shares[f"rewards/{name}/not_measured/{cause}"] = count / len(causes)
        return shares

    def _warn(self, guard: Guard, cause: str, count: int, samples: int) -> None:
        logger.warning(
            "the reward function %s gave no reward to %d of %d samples (%s: %s). They are left out of their group's "
            "mean and of the loss; rewards/%s/not_measured/%s counts them from now on.",
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
        """The most frequent causes since training began, as text."""
        return ", ".join(f"{name} {count} by {cause}" for (name, cause), count in self.total.most_common(4) if count)


def check_share(max_not_measured: float) -> None:
    """Refuse a share out of range.

    Raises:
        ValueError: it is not in [0, 1].
    """
    if not 0 <= max_not_measured <= 1:
        raise ValueError(
            f"max_not_measured must be in [0, 1]; got {max_not_measured!r}. 0.5 is the default, and 1 never stops."
        )


def codes_of(functions: Sequence[Guarded], device: torch.device) -> Tensor:
    """Return the codes of the last batch's rewards, (samples, functions), int."""
    return torch.tensor([function.guard.codes for function in functions], device=device).T.contiguous()


def code_of(reward: float | None) -> int:
    """Return the code of a reward: `NUMBER`, `NONE`, or that of its cause."""
    if isinstance(reward, NotMeasured):
        return _CODES[reward.cause]
    return NONE if reward is None else NUMBER
