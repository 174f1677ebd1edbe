"""Environments whose errors do not end training: if `reset` or `get_reward` raises, the episode is not measured.

In TRL, an exception of an environment's `reset` or `get_reward` ends training. Here both are wrapped on the object, so
that the exception is kept as a `NotMeasured`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...common.graders.not_measured import NotMeasured

_FAILURE = "_hf_muonclip_failure"  # attribute of an environment: why its current episode has no reward


def guarded_factory(factory: Any, *, rewards_see_failures: bool) -> Any:
    """Return an `environment_factory`, or a dict of them, whose environments raise in neither reset nor get_reward.

    Args:
        factory: as TRL takes it; None for no environments.
        rewards_see_failures: whether the trainer leaves out all rewards of failed episodes, which `episode_failures`
            returns. If not, only an environment's own `get_reward` can report the failure, and without one `reset`
            still raises.
    """
    if factory is None:
        return None
    if isinstance(factory, Mapping):
        return {name: guarded_factory(one, rewards_see_failures=rewards_see_failures) for name, one in factory.items()}
    return functools.partial(_guarded_environment, factory, rewards_see_failures)


def episode_failures(environments: Sequence[Any] | None) -> dict[int, NotMeasured]:
    """Return why episodes failed, by their indices in the batch."""
    failures = {place: getattr(one, _FAILURE, None) for place, one in enumerate(environments or ())}
    return {place: failure for place, failure in failures.items() if failure is not None}


def _guarded_environment(factory: Callable[[], Any], rewards_see_failures: bool) -> Any:
    environment = factory()
    name, reset = type(environment).__name__, getattr(environment, "reset", None)
    get_reward = getattr(environment, "get_reward", None)
    if callable(reset) and (rewards_see_failures or get_reward is not None):

        def guarded_reset(**columns: Any) -> Any:
            setattr(environment, _FAILURE, None)
            try:
                return reset(**columns)
            except Exception as error:
                setattr(environment, _FAILURE, NotMeasured("error", f"reset of {name} raised {error!r}"))
                return None

        environment.reset = guarded_reset
    if get_reward is not None:
        environment.get_reward = _guarded_get_reward(environment, get_reward)
    return environment


def _guarded_get_reward(environment: Any, get_reward: Callable[[], Any]) -> Callable[[], Any]:
    def failure_of(error: Exception) -> NotMeasured:
        return NotMeasured("error", f"get_reward of {type(environment).__name__} raised {error!r}")

    if inspect.iscoroutinefunction(get_reward):

        async def guarded_async() -> Any:
            if (failure := getattr(environment, _FAILURE, None)) is not None:
                return failure
            try:
                return await get_reward()
            except Exception as error:
                return failure_of(error)

        return guarded_async

    def guarded() -> Any:
        if (failure := getattr(environment, _FAILURE, None)) is not None:
            return failure
        try:
            return get_reward()
        except Exception as error:
            return failure_of(error)

    return guarded
