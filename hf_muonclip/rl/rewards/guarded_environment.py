"""Environments of one's own whose failures end no training: what `reset` raises makes the episode not measured.

TRL resets an environment before each episode, and what `reset` or `get_reward` raises there ends training. Here the
environment's own methods are laid over with ones that keep the error.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...common.graders.not_measured import NotMeasured

_FAILURE = "_hf_muonclip_failure"  # attribute of an environment: why its present episode has no reward


def guarded_factory(factory: Any, *, rewards_see_failures: bool) -> Any:
    """Return an `environment_factory`, or a dict of them, whose environments raise in neither reset nor get_reward.

    Args:
        factory: as TRL takes it; None for no environments.
        rewards_see_failures: whether all rewards of an episode that failed are left out, as `episode_failures` tells
            them. Where they are not, only an environment's own `get_reward` can say that there is none, and without
            one `reset` goes on raising.
    """
    if factory is None:
        return None
    if isinstance(factory, Mapping):
        return {name: guarded_factory(one, rewards_see_failures=rewards_see_failures) for name, one in factory.items()}
    return functools.partial(_guarded_environment, factory, rewards_see_failures)


def episode_failures(environments: Sequence[Any] | None) -> dict[int, NotMeasured]:
    """Return why episodes failed, by their places in the batch."""
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

        async def later() -> Any:
            if (failure := getattr(environment, _FAILURE, None)) is not None:
                return failure
            try:
                return await get_reward()
            except Exception as error:
                return failure_of(error)

        return later

    def now() -> Any:
        if (failure := getattr(environment, _FAILURE, None)) is not None:
            return failure
        try:
            return get_reward()
        except Exception as error:
            return failure_of(error)

    return now
