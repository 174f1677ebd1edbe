"""Token budgets: what it costs a response to be longer than its task allows.

Kimi K2 (arXiv 2507.20534), section 3.2.3, cuts a response at the budget of its task's type and penalizes it:
`TypeBudgets`. Kimi K3 (arXiv 2607.24653), section 4.1, gives -1 to a response longer than factor·b0(x), where b0(x) is
what the starting model needs for problem x and the factor changes during training: `MeasuredBudgets`. Both are one more
reward function of the trainer, named over_budget; evaluation knows no budgets.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from ..common.loggers import get_logger
from .schedule import annealed

logger = get_logger(__name__)

Row = Mapping[str, Any]
TaskType = str | Callable[[Row], str]
TOO_LONG = -1.0  # K3's reward of a response over its budget
ALL = "all"  # the type of every problem where one setting holds for all


@dataclass(frozen=True)
class TypeBudgets:
    """Kimi K2's budgets: a response over the budget of its type is cut there, and its reward is lowered.

    Reward functions, the loss and logs see only the tokens before the cut. The paper gives no numbers; the default
    penalty is ours.

    Args:
        limits: tokens per type; each > 0.
        penalty: subtracted from the reward of a response over its budget; > 0.
        task_type: a dataset column, or a function of a row.

    Raises:
        ValueError: there is no limit, a limit is not a positive integer, or the penalty is not positive and finite.
    """

    limits: Mapping[str, int]
    penalty: float = 0.5
    task_type: TaskType = "domain"

    def __post_init__(self) -> None:
        if not self.limits:
            raise ValueError("limits must hold a budget per type; got {}. For example limits={'math': 4096}.")
        for name, limit in self.limits.items():
            if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
                raise ValueError(f"limits[{name!r}] must be a whole number of tokens, 1 or more; got {limit!r}.")
        if not (_is_number(self.penalty) and self.penalty > 0):
            raise ValueError(f"penalty must be positive and finite; got {self.penalty!r}. 0.5 is the default.")

    @property
    def types(self) -> list[str]:
        """All types, sorted."""
        return sorted(self.limits)

    @property
    def columns(self) -> list[str] | None:
        """The columns that are read; None where a function reads any."""
        return None if callable(self.task_type) else [self.task_type]

    def type_of(self, row: Row) -> str:
        """Return the type of a problem.

        Raises:
            ValueError: the row has none, or one that has no budget.
        """
        return _type_of(row, self.task_type, self.limits, "limits")

    def limit(self, row: Row, step: int, steps: int) -> float:
        """Return the budget of a problem, in tokens; the same at every step."""
        return float(self.limits[self.type_of(row)])

    def largest(self, row: Row) -> float:
        """Return the largest budget that this problem will have during the run, in tokens."""
        return self.limit(row, 0, 1)


@dataclass(frozen=True)
class MeasuredBudgets:
    """Kimi K3's budgets: the reward of a response longer than factor·b0(x) becomes -1.

    Tokens are counted as TRL's max_completion_length counts them, with what tools returned.

    Args:
        factor: its first and its last value, each > 0, with linear change between them; or such a pair per type.
        steps: optimizer steps after which the second value is reached; None takes the whole run.
        task_type: a dataset column, or a function of a row; read only if `factor` is given per type.
        column: the dataset column of b0(x), in tokens, that `measure_budgets` adds. A problem with None there, to which
            the starting model gave no correct response, has no budget.

    Raises:
        ValueError: a factor is not positive and finite, or steps is not a positive integer.
    """

    factor: tuple[float, float] | Mapping[str, tuple[float, float]]
    steps: int | None = None
    task_type: TaskType = "domain"
    column: str = "b0"

    def __post_init__(self) -> None:
        if not self._by_type:
            raise ValueError("factor must hold a pair per type; got {}. For example factor=(2.0, 1.0).")
        for name, pair in self._by_type.items():
            if not (isinstance(pair, Sequence) and len(pair) == 2 and all(_is_number(f) and f > 0 for f in pair)):
                where = f"factor[{name!r}]" if isinstance(self.factor, Mapping) else "factor"
                raise ValueError(
                    f"{where} must be its first and its last value, positive and finite; got {pair!r}. To keep it "
                    "constant, give the value twice."
                )
        if self.steps is not None and not (isinstance(self.steps, int) and self.steps >= 1):
            raise ValueError(f"steps must be a whole number, 1 or more; got {self.steps!r}. None takes the whole run.")

    @property
    def _by_type(self) -> Mapping[str, tuple[float, float]]:
        return self.factor if isinstance(self.factor, Mapping) else {ALL: self.factor}

    @property
    def types(self) -> list[str]:
        """All types, sorted."""
        return sorted(self._by_type)

    @property
    def columns(self) -> list[str] | None:
        """The columns that are read; None where a function reads any."""
        if not isinstance(self.factor, Mapping):
            return [self.column]
        return None if callable(self.task_type) else [self.column, self.task_type]

    def type_of(self, row: Row) -> str:
        """Return the type of a problem.

        Raises:
            ValueError: the row has none, or one that has no factor.
        """
        return _type_of(row, self.task_type, self.factor, "factor") if isinstance(self.factor, Mapping) else ALL

    def factor_at(self, name: str, step: int, steps: int) -> float:
        """Return the factor of a type at an optimizer step of a run of `steps`."""
        start, end = self._by_type[name]
        return annealed(step, start, end, self.steps or max(steps, 1))

    def limit(self, row: Row, step: int, steps: int) -> float:
        """Return the budget of a problem, in tokens; infinite where the starting model gave no correct answer.

        Raises:
            ValueError: the row has no b0, or its b0 is not a positive number.
        """
        return self.factor_at(self.type_of(row), step, steps) * self._b0(row)

    def largest(self, row: Row) -> float:
        """Return the largest budget that this problem will have during the run, in tokens."""
        return max(self._by_type[self.type_of(row)]) * self._b0(row)

    def _b0(self, row: Row) -> float:
        if self.column not in row:
            raise ValueError(
                f"MeasuredBudgets needs the dataset column {self.column!r}; the dataset has {sorted(row)}. "
                "measure_budgets() adds it."
            )
        tokens = row[self.column]
        if tokens is None:
            return math.inf
        if not (_is_number(tokens) and tokens > 0):
            raise ValueError(
                f"column {self.column!r} must hold a positive number of tokens, or None where no correct answer is "
                f"known; got {tokens!r}."
            )
        return float(tokens)


Budgets = TypeBudgets | MeasuredBudgets


class BudgetReward:
    """The reward function over_budget, with the budgets of the batch that it rewards next.

    Args:
        budgets: the rule.
        longest: the largest number of tokens that TRL samples per response.
        end_tokens: tokens that end a complete response.
    """

    __name__ = "over_budget"

    def __init__(self, budgets: Budgets, longest: int, end_tokens: Iterable[int]) -> None:
        self.budgets = budgets
        self._longest, self._end_tokens = longest, set(end_tokens)
        self._limits: list[float] | None = None  # None in evaluation
        self._types: list[str] = []
        self._lengths: list[int] = []
        self._over: list[bool] = []
        self._at = (0, 1)

    def begin(self, rows: Sequence[Row] | None, step: int, steps: int) -> None:
        """Look up the budgets of the batch that comes next.

        Args:
            rows: dataset rows, one per response; None in evaluation.
            step: optimizer steps taken.
            steps: optimizer steps of the run.

        Raises:
            ValueError: a row has no type, no budget, or a budget above TRL's max_completion_length.
        """
        self._at = (step, steps)
        self._limits = None
        if rows is None:
            return
        last = getattr(self.budgets, "steps", None)
        if step == 0 and last is not None and last > steps:
            logger.warning(
                "the factor of the budgets would reach its last value only after steps=%d, but the run ends after %d "
                "steps. Leave steps out to reach it at the end of the run.",
                last,
                steps,
            )
        for row in rows:
            _refuse_above(self.budgets.largest(row), self._longest)
        self._types = [self.budgets.type_of(row) for row in rows]
        self._limits = [self.budgets.limit(row, step, steps) for row in rows]

    def cut(
        self, completion_ids: list[list[int]], logprobs: list[list[float]] | None
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        """Return the responses cut at their budgets, and their log-probabilities if there are any.

        Only `TypeBudgets` cut. Also notes which responses were over budget, for their rewards.
        """
        if self._limits is None or not isinstance(self.budgets, TypeBudgets):
            return completion_ids, logprobs
        self._look_at(completion_ids)
        ends = [int(limit) for limit in self._limits]
        completion_ids = [ids[:end] for ids, end in zip(completion_ids, ends, strict=True)]
        if logprobs is not None:
            logprobs = [of_tokens[:end] for of_tokens, end in zip(logprobs, ends, strict=True)]
        return completion_ids, logprobs

    def __call__(self, completion_ids: list[list[int]], **_: Any) -> Sequence[float | None]:
        """Return -penalty (`TypeBudgets`) or -1 for responses over their budgets, else 0; None in evaluation."""
        if self._limits is None:
            return [None] * len(completion_ids)
        if isinstance(self.budgets, TypeBudgets):
            return [-self.budgets.penalty * over for over in self._over]
        self._look_at(completion_ids)
        return [TOO_LONG * over for over in self._over]

    def replace_(self, rewards: Tensor) -> None:
        """Set the total reward of responses over `MeasuredBudgets` to -1. In place.

        Args:
            rewards: (samples, functions), of all ranks; the last column is over_budget's. NaN stays NaN.
        """
        if isinstance(self.budgets, MeasuredBudgets) and self._limits is not None:
            rewards[:, :-1] *= (rewards[:, -1:] == 0).to(rewards.dtype)

    def figures(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Return, per type, the share over budget, the mean length before any cut, and the factor. Collective.

        Args:
            reduce: adds up a tensor over all ranks.
        """
        types = self.budgets.types
        sums = torch.zeros(len(types), 3)
        for name, length, over in zip(self._types, self._lengths, self._over, strict=True):
            sums[types.index(name)] += torch.tensor([1.0, length, over])
        found = {}
        for name, (count, length, over) in zip(types, reduce(sums).tolist(), strict=True):
            if count:
                found[f"budget/{name}/over"] = over / count
                found[f"budget/{name}/mean_length"] = length / count
            if isinstance(self.budgets, MeasuredBudgets):
                found[f"budget/{name}/factor"] = self.budgets.factor_at(name, *self._at)
        return found

    def _look_at(self, completion_ids: list[list[int]]) -> None:
        assert self._limits is not None
        self._lengths = [len(ids) for ids in completion_ids]
        # A response that TRL ended at max_completion_length would have gone on.
        more = [len(ids) >= self._longest and ids[-1] not in self._end_tokens for ids in completion_ids]
        self._over = [
            length + goes_on > limit for length, goes_on, limit in zip(self._lengths, more, self._limits, strict=True)
        ]


def add_budgets_(trainer: Any, budgets: Budgets) -> BudgetReward:
    """Add over_budget as the last of a GRPOTrainer's reward functions, with weight 1, and return it. In place.

    Args:
        trainer: a GRPOTrainer.
        budgets: the rule.

    Raises:
        TypeError: budgets is of another class.
        ValueError: TRL's own limits would hide a penalty, responses of several turns would have to be cut, or a dataset
            row has no budget.
    """
    if not isinstance(budgets, TypeBudgets | MeasuredBudgets):
        raise TypeError(f"budgets must be TypeBudgets or MeasuredBudgets; got {type(budgets).__name__}.")
    if trainer.args.mask_truncated_completions:
        raise ValueError(
            "mask_truncated_completions=True would hide penalties: it takes truncated responses out of the loss, and "
            "their penalty with them. Leave it out."
        )
    if trainer.max_completion_length is None:
        raise ValueError(
            "budgets need a max_completion_length; got None, so that responses have no known longest length. Set it to "
            "the largest budget or more."
        )
    if isinstance(budgets, TypeBudgets):
        _refuse_above(max(budgets.limits.values()), trainer.max_completion_length)
        for name in ("tools", "environment_factories", "rollout_func"):
            if getattr(trainer, name):
                raise ValueError(
                    f"TypeBudgets cut a response at its budget, which is not possible for one of several turns, and "
                    f"{name.replace('ies', 'y')} is given. Pass MeasuredBudgets, which cut nothing."
                )
    if isinstance(trainer.train_dataset, Dataset):
        for row in _read_rows(budgets, trainer.train_dataset):
            _refuse_above(budgets.largest(row), trainer.max_completion_length)
    reward = BudgetReward(budgets, trainer.max_completion_length, trainer.eos_token_ids)
    trainer.reward_funcs.append(reward)
    trainer.reward_func_names.append(reward.__name__)
    trainer.reward_processing_classes.append(None)
    trainer.reward_weights = torch.cat([trainer.reward_weights, torch.ones(1)])
    return reward


def _read_rows(budgets: Budgets, dataset: Dataset) -> Dataset:
    """Return only the columns that budgets read: others may hold images, each of which would be decoded."""
    read = budgets.columns
    return dataset if read is None or not {*read} <= {*dataset.column_names} else dataset.select_columns(read)


def _type_of(row: Row, task_type: TaskType, known: Mapping[str, Any], setting: str) -> str:
    if callable(task_type):
        name = task_type(row)
    elif task_type not in row:
        raise ValueError(
            f"budgets need the dataset column {task_type!r}, the type of each problem; the dataset has {sorted(row)}. "
            "Pass task_type= with another column, or a function of the row."
        )
    else:
        name = row[task_type]
    if name not in known:
        raise ValueError(f"{setting} must hold every type of problem; it has {sorted(known)}, not {name!r}. Add it.")
    return str(name)


def _refuse_above(budget: float, longest: int) -> None:
    if longest < budget < math.inf:
        raise ValueError(
            f"max_completion_length={longest} ends responses before a budget of {budget:g} tokens, so that none could "
            f"exceed it. Raise it to {math.ceil(budget)} or more, or lower the budget."
        )


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
