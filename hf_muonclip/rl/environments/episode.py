"""What all environments share: episodes, made by TRL's `environment_factory`, whose failures are not rewards.

TRL makes one object per slot of a batch, resets it before each episode, and calls its public methods as tools. A reset
that raises would end training, and a reward for a failed episode would be learned from. So no failure of an
environment's server raises here: the episode becomes `NotMeasured`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...common.graders.not_measured import NotMeasured
from ...common.loggers import get_logger
from .tools import Tool, as_text, tool_method

logger = get_logger(__name__)

# What the model reads when an episode cannot go on; the reason would not help it.
NOT_AVAILABLE = "The environment is not available."
OVER = "The episode is over."
# Columns that are for the trainer.
_OF_TRAINER = {"prompt", "environment", "domain"}


class EpisodeError(Exception):
    """An episode cannot go on, through no fault of the model.

    Args:
        cause: one of `CAUSES`.
        detail: what was seen.
    """

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class Episode:
    """One slot of a batch, used for one episode after another.

    A subclass implements `_begin`, `_act` and `_end`, and must not have public methods: TRL would take them for tools,
    which `environment_class` adds. There is no `get_reward`, which TRL would append to the caller's list of functions;
    `EpisodeReward` reads the reward.
    """

    _failure: NotMeasured | None = None
    _done = False

    def __init__(self) -> None:
        self._rewards: list[float] = []  # of the episode's steps

    def reset(self, **columns: Any) -> str | None:
        """Begin an episode and return its first observation, or None.

        Args:
            columns: the dataset's row.
        """
        self._end()
        self._failure, self._done, self._rewards = None, False, []
        seen = self._guarded(lambda: self._begin({k: v for k, v in columns.items() if v is not None}))
        if seen and _last_text(columns.get("prompt")):
            return f"\n\n{seen}"  # TRL appends it to the last message unchanged
        return seen or None

    def _begin(self, columns: dict[str, Any]) -> str | None:
        """Return the first observation.

        Args:
            columns: those of the row that are not None, the trainer's own included.

        Raises:
            EpisodeError: no episode could begin.
        """
        raise NotImplementedError

    def _act(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Return the result of a call; anything but text is shown as JSON.

        Raises:
            EpisodeError: the environment cannot go on.
        """
        raise NotImplementedError

    def _end(self) -> None:
        """Close what the episode has open, if anything; also called after a failure (`self._failure`)."""

    def _call(self, tool: Tool, arguments: dict[str, Any]) -> str:
        if self._failure is not None:
            return NOT_AVAILABLE
        if self._done:
            return OVER
        shown = self._guarded(lambda: as_text(self._act(tool, arguments)))
        return NOT_AVAILABLE if self._failure is not None else str(shown)

    def _guarded(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except EpisodeError as failure:
            self._failure = NotMeasured(failure.cause, str(failure))
        except Exception as error:  # an answer of an unexpected form must not end training either
            self._failure = NotMeasured("error", repr(error)[:300])
        # KimiRLTrainer warns of the first of each cause.
        logger.info("an episode was not measured (%s): %s", self._failure.cause, self._failure.detail)
        self._end()
        return None


def environment_class(base: type[Episode], name: str, tools: Iterable[Tool], **attributes: Any) -> type[Episode]:
    """Return a subclass whose public methods are these tools, for TRL's `environment_factory`.

    Args:
        base: base class.
        name: name of the class, a Python name or not.
        tools: tools of the environment.
        attributes: attributes of the class.

    Raises:
        ValueError: a tool cannot be shown to a model, or two have one name.
    """
    methods: dict[str, Any] = {}
    for tool in tools:
        method = tool_method(tool, base._call)
        if method.__name__ in methods:
            raise ValueError(f"tools must have different names; two are {method.__name__!r}.")
        methods[method.__name__] = method
    return type(name, (base,), {**attributes, **methods})


class EpisodeReward:
    """The reward function of an environment: the reward of each episode, or why it was not measured.

    Args:
        name: under which it is logged.
        environment: a class of `environment_class`, or several; completions of other environments get None.
        episode_reward: makes one reward from the list of an episode's step rewards.
    """

    def __init__(
        self,
        name: str,
        environment: type[Episode] | tuple[type[Episode], ...],
        episode_reward: Callable[[Sequence[float]], float] = sum,
    ) -> None:
        self.__name__ = name
        self.environment = environment
        self.episode_reward = episode_reward

    def __call__(self, completions: Sequence[Any], environments: Sequence[Any], **_: Any) -> list[float | None]:
        """Return one reward per completion.

        Args:
            completions: as sampled.
            environments: those in which they were sampled, passed by TRL.
        """
        return [
            self._of(environment) if isinstance(environment, self.environment) else None for environment in environments
        ]

    def _of(self, episode: Episode) -> float:
        episode._end()
        if episode._failure is not None:
            return episode._failure
        if episode._done and not episode._rewards:
            return NotMeasured("missing", "the environment ended the episode without a reward")
        return measured(self.episode_reward(episode._rewards))


def measured(value: Any) -> float:
    """Return a reward that an environment gave as a number; `NotMeasured` if it is not one."""
    if isinstance(value, NotMeasured):
        return value
    if value is None or not isinstance(value, int | float):
        return NotMeasured("missing" if value is None else "error", f"the reward is {value!r:.100}")
    if math.isnan(value):
        return NotMeasured("missing", "the reward is NaN")
    return NotMeasured("infinite", f"the reward is {value}") if math.isinf(value) else float(value)


def environment_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that are for the environment, not the trainer's own."""
    return {name: value for name, value in columns.items() if name not in _OF_TRAINER}


def _last_text(prompt: Any) -> Any:
    return prompt[-1]["content"] if isinstance(prompt, list) and prompt else None
