"""The tasks and rewards of a domain as trainers take them, and mixtures of several domains."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset, concatenate_datasets

from ...common.loggers import get_logger
from .reward_check import CheckReport, RewardFunction, check_rewards, for_rows, is_async, name_of

logger = get_logger(__name__)


@dataclass
class Spec:
    """The tasks of one domain with their reward functions, which are checked when the Spec is made.

        KimiRLTrainer(model, args=args, **spec.trainer_kwargs())

    Its attributes are those of TRL's own Specs, and GRPOTrainer takes them too.

    Args:
        name: of the domain.
        train_dataset: with a column "prompt", and those that the functions need.
        reward_funcs: of TRL's signature; those with `gold(row)` are checked by `check_rewards`, the others are named in
            a warning.
        environment_factory: as for GRPOTrainer; a dict of several with a column "environment".
        rows_checked: rows with a gold answer on which each function is tried; None for all.
        drop: try all rows of train_dataset, and leave out those that fail the check.

    Attributes:
        report: what the check found.

    Raises:
        ValueError: the check failed, with drop for more than half of the rows.
    """

    name: str
    train_dataset: Dataset
    reward_funcs: list[RewardFunction]
    environment_factory: Any = None
    rows_checked: int | None = 32
    drop: bool = False
    report: CheckReport = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.reward_funcs = list(self.reward_funcs)
        self.check(None if self.drop else self.rows_checked)
        if self.report.unchecked:
            logger.warning(
                "domain %s: the reward functions %s have no gold answers, so it was not checked whether right answers "
                "earn more than wrong ones.",
                self.name,
                ", ".join(self.report.unchecked),
            )

    def check(self, rows: int | None = 32) -> CheckReport:
        """Check the reward functions on right and wrong answers; return the report, and keep it as `report`.

        Args:
            rows: rows with a gold answer on which each function is tried; None for all.

        Raises:
            ValueError: a reward was not as expected, and its row was not dropped.
        """
        self.report = check_rewards(self.train_dataset, self.reward_funcs, rows)
        failed = self.report.failed_rows
        if self.drop and 0 < len(failed) <= len(self.train_dataset) / 2:
            kept = sorted({*range(len(self.train_dataset))} - {*failed})
            logger.warning(
                "the domain %s leaves out %d of its %d rows, which failed the check of rewards; see its report.",
                self.name,
                len(failed),
                len(self.train_dataset),
            )
            self.train_dataset = self.train_dataset.select(kept)
        elif failed:
            raise ValueError(
                f"gold answers must earn 1, however they are written, and wrong ones nothing; in the domain "
                f"{self.name} {len(failed)} rows failed. Correct the reward function, its gold answers or its "
                f"variants, or pass drop=True to leave such rows out.\n{self.report}"
            )
        return self.report

    def trainer_kwargs(self) -> dict[str, Any]:
        """Return arguments for GRPOTrainer or KimiRLTrainer: train_dataset, reward_funcs, environment_factory."""
        given: dict[str, Any] = {"train_dataset": self.train_dataset, "reward_funcs": list(self.reward_funcs)}
        if self.environment_factory is not None:
            given["environment_factory"] = self.environment_factory
        return given


def mix(specs: Sequence[Spec], weights: Sequence[float] | None = None, seed: int = 0, name: str = "mix") -> Spec:
    """Return one Spec whose rows come from several, each scored by the reward functions of its own domain alone.

    A column "domain" names the Spec of each row, and reward functions are named, hence logged, "DOMAIN/FUNCTION". Rows
    are drawn without repeats, as many as the weights allow before one Spec has none left, and shuffled. A column that a
    Spec does not have is None in its rows. A domain may have one environment, several (a dict, selected by the column
    "environment") or none.

    Args:
        specs: with different names.
        weights: relative share of rows per Spec; None for equal shares.
        seed: of the draw.
        name: of the mixture.

    Raises:
        ValueError: two names are equal, a weight is not positive, there are more or fewer weights than Specs, a column
            has two types, a Spec is a mixture or has its own column "domain", or rows name no environment where there
            are several.
    """
    names = [spec.name for spec in specs]
    weights = [1.0] * len(specs) if weights is None else weights
    if not specs or len({*names}) < len(names):
        raise ValueError(f"mix needs Specs with different names; got {names}.")
    if len(weights) != len(specs) or not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"weights must be one positive number for each of {names}; got {weights}.")
    scale = min(len(spec.train_dataset) / weight for spec, weight in zip(specs, weights, strict=True))
    parts = []
    with_environments = any(spec.environment_factory is not None for spec in specs)
    factories: dict[str, Any] = {}
    for spec, weight in zip(specs, weights, strict=True):
        _refuse_own_domain(spec)
        data, number = spec.train_dataset, max(int(scale * weight + 1e-9), 1)
        data = data.select(random.Random(f"{seed} {spec.name}").sample(range(len(data)), number))
        of_spec, environments = _environments(spec, data)
        factories |= of_spec
        data = data.remove_columns([column for column in ("environment",) if column in data.column_names])
        data = data.add_column("domain", [spec.name] * number)
        parts.append(data.add_column("environment", environments) if with_environments else data)
    _refuse_two_types(names, parts)
    return Spec(
        name,
        concatenate_datasets(parts).shuffle(seed=seed),
        [of_domain(spec.name, function) for spec in specs for function in spec.reward_funcs],
        factories if with_environments else None,
    )


def _refuse_own_domain(spec: Spec) -> None:
    if any(isinstance(function, OfDomain) for function in spec.reward_funcs):
        raise ValueError(f"mix takes Specs of one domain each; {spec.name} is a mixture. Pass the Specs that it mixes.")
    if "domain" in spec.train_dataset.column_names:
        raise ValueError(
            f"mix adds a column 'domain' with the name of each row's Spec; {spec.name} has one already, which its "
            "rewards could no longer read. Rename it."
        )


def _environments(spec: Spec, data: Dataset) -> tuple[dict[str, Any], list[str]]:
    """Return the environments of a Spec by their names in a mixture, and the name for each row."""
    factory = spec.environment_factory
    if not isinstance(factory, Mapping):
        return {spec.name: factory or NoEnvironment}, [spec.name] * len(data)
    of_rows = data["environment"] if "environment" in data.column_names else [None] * len(data)
    if unknown := {*of_rows} - {*factory}:
        raise ValueError(
            f"with several environments, the column 'environment' must name one of them in each row; in {spec.name} it "
            f"has {sorted(map(str, unknown))}, and the environments are {sorted(factory)}."
        )
    return {f"{spec.name}/{key}": value for key, value in factory.items()}, [f"{spec.name}/{key}" for key in of_rows]


class NoEnvironment:
    """The environment of rows that have none in a mixture where others have one: no tools, no observation."""

    def reset(self, **_: Any) -> None:
        """Begin an episode."""


class OfDomain:
    """A reward function for the rows of one domain; None for all others.

    Args:
        domain: value of the column "domain".
        function: the reward function.
    """

    def __init__(self, domain: str, function: RewardFunction) -> None:
        self.domain, self.function = domain, function
        self.__name__ = f"{domain}/{name_of(function)}"
        if hasattr(function, "gold"):
            self.gold = self._gold
        for name in ("variants", "wrong", "wrong_texts"):
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))

    def _gold(self, row: dict[str, Any]) -> str | None:
        gold: str | None = self.function.gold(row) if row["domain"] == self.domain else None  # type: ignore[attr-defined]
        return gold

    def __call__(self, **given: Any) -> list[Any]:
        """Return one reward per completion, None for other domains."""
        own, of_domain = self._own(given)
        return self._spread(own, len(given["domain"]), self.function(**of_domain) if own else [])

    def _own(self, given: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
        own = [place for place, domain in enumerate(given["domain"]) if domain == self.domain]
        return own, for_rows(given, own, len(given["domain"]))

    def _spread(self, own: list[int], size: int, rewards: Sequence[Any]) -> list[Any]:
        if len(rewards) != len(own):
            raise ValueError(f"{self.__name__} must return {len(own)} rewards, one per completion; got {len(rewards)}.")
        spread: list[Any] = [None] * size
        for place, reward in zip(own, rewards, strict=True):
            spread[place] = reward
        return spread


class AsyncOfDomain(OfDomain):
    """The same of an async reward function."""

    async def __call__(self, **given: Any) -> list[Any]:  # type: ignore[override]
        """Return one reward per completion, None for other domains."""
        own, of_domain = self._own(given)
        return self._spread(own, len(given["domain"]), await self.function(**of_domain) if own else [])


def of_domain(domain: str, function: RewardFunction) -> OfDomain:
    """Return the function for rows of one domain, async where it is."""
    return (AsyncOfDomain if is_async(function) else OfDomain)(domain, function)


def _refuse_two_types(names: Sequence[str], parts: Sequence[Dataset]) -> None:
    seen: dict[str, tuple[str, Any]] = {}
    for name, part in zip(names, parts, strict=True):
        for column, kind in part.features.items():
            other, other_kind = seen.setdefault(column, (name, kind))
            if kind != other_kind:
                raise ValueError(
                    f"a column must have one type in all domains; {column!r} is {other_kind} in {other} and {kind} in "
                    f"{name}. Rename it in one of them, or bring them to one type."
                )
