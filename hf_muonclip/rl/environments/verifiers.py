"""Tasksets of verifiers 0.4 (`verifiers.v1`) as Specs: its tasks, rewards and toolsets under TRL's own rollouts.

verifiers itself would run each rollout through a harness, by default a program that executes code in a cloud. Here TRL
samples, and verifiers only scores the finished dialogue.
"""

import inspect
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datasets import Dataset

from ...common.graders.grader_pool import GraderPool, default_pool
from ...common.graders.not_measured import NotMeasured
from ..rewards.spec import Spec
from .episode import Episode, EpisodeError, environment_class, measured

TASK = "verifiers_task"  # the column with the index of a row's task


def verifiers_spec(
    taskset: Any, *, name: str = "verifiers", pool: GraderPool | None = None, deadline: float = 60.0
) -> Spec:
    """Return a Spec of a taskset's tasks, scored by their rewards and judges, with their toolsets as tools.

    A task's rewards run in a worker process; if one raises, gives None or NaN, or is late, the completion is not
    measured (verifiers itself would drop all of the task's rewards and score 0).

    Args:
        taskset: a `verifiers.v1.Taskset`, or a `SingleAgentEnv`, whose taskset is used. Its module must be importable.
        name: name of the Spec and its reward.
        pool: workers that score; None for this process's pool. Its deadline holds for all rewards of a completion
            together; pass one with more workers if rewards wait for a judge.
        deadline: seconds that a toolset may take per call.

    Raises:
        ImportError: verifiers is not installed.
        TypeError: the environment is of another kind, whose own rollouts TRL does not run.
        ValueError: the tasks need something that TRL's rollouts do not have, which the message names.
    """
    try:
        import verifiers.v1 as vf
    except ImportError as error:
        raise ImportError(
            "verifiers_spec needs verifiers 0.4 or newer: pip install 'verifiers>=0.4', without openenv."
        ) from error
    if type(taskset) is vf.SingleAgentEnv:
        taskset = taskset.taskset
    if not isinstance(taskset, vf.Taskset):
        raise TypeError(
            f"verifiers_spec takes a Taskset or a SingleAgentEnv; got {type(taskset).__name__}, whose own run() TRL's "
            "rollouts do not execute. Pass its taskset to score single completions."
        )
    if not taskset.bounded:
        raise ValueError(f"{type(taskset).__name__} is endless; pass taskset.take(number of tasks).")
    tasks = [*taskset]
    if not tasks:
        raise ValueError(f"{type(taskset).__name__} has no tasks.")
    for place, task in enumerate(tasks):
        if unfit := _unfit(task):
            raise ValueError(f"task {place} of {type(taskset).__name__} {unfit}")
    environment = _environment(taskset, tasks, name, deadline)
    prompts = [[*_prompt(task.data)] for task in tasks]
    dataset = Dataset.from_dict({"prompt": prompts, TASK: [*range(len(tasks))]})
    return Spec(name, dataset, [VerifiersReward(name, tasks, environment, pool)], environment)


class VerifiersReward:
    """The weighted sum of a task's rewards.

    Args:
        name: under which it is logged.
        tasks: tasks of verifiers.
        environment: class of episodes with toolsets; None without.
        pool: workers that score; None for this process's pool.

    Raises:
        ValueError: tasks cannot be pickled.
    """

    def __init__(
        self, name: str, tasks: Sequence[Any], environment: type[Episode] | None, pool: GraderPool | None
    ) -> None:
        self.__name__ = name
        self.environment, self.pool = environment, pool
        try:
            self._pickled = [pickle.dumps(task) for task in tasks]
        except Exception as error:  # pickle raises several kinds
            kind = type(tasks[0]).__name__
            raise ValueError(
                f"tasks must be picklable, to reach the worker processes; {kind} is not: {error}."
            ) from error

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        verifiers_task: Sequence[int],
        environments: Sequence[Any] | None = None,
        log_metric: Any = None,
        **_: Any,
    ) -> list[float]:
        """Return one reward per completion.

        Args:
            prompts: chats.
            completions: chats.
            verifiers_task: index of each completion's task.
            environments: those in which they were sampled.
            log_metric: TRL's; logs the mean of each reward if a task has several.
        """
        from .verifiers_score import score

        results: list[Any] = [None] * len(completions)
        calls: list[tuple[int, tuple[Any, ...]]] = []
        for place, (prompt, completion, task) in enumerate(zip(prompts, completions, verifiers_task, strict=True)):
            state = None
            if self.environment is not None:
                assert environments is not None
                episode = environments[place]
                episode._end()
                results[place] = episode._failure
                try:
                    state = pickle.dumps(episode._state)
                except Exception as error:  # pickle raises several kinds
                    results[place] = NotMeasured("error", f"the state of the episode cannot be pickled: {error}")
            if results[place] is None:
                calls.append((place, (self._pickled[task], prompt, completion, state)))
        pool = self.pool or default_pool()
        scored = pool.map(score, [arguments for _place, arguments in calls])
        for (place, _arguments), result in zip(calls, scored, strict=True):
            results[place] = result
        self._log(results, log_metric)
        return [_total(result) for result in results]

    def _log(self, results: Sequence[Any], log_metric: Any) -> None:
        scores: dict[str, list[float]] = {}
        for result in results:
            for name, (value, _) in result.items() if isinstance(result, dict) else ():
                if math.isfinite(value):
                    scores.setdefault(name, []).append(value)
        if log_metric is not None and len(scores) > 1:
            for name, values in scores.items():
                log_metric(f"{self.__name__}/{name}", sum(values) / len(values))


def _total(result: Any) -> float:
    if isinstance(result, NotMeasured):
        return result
    for name, (value, _) in result.items():
        if isinstance(odd := measured(value), NotMeasured):
            return NotMeasured(odd.cause, f"{name}: {odd.detail}")
    return float(sum(value * weight for value, weight in result.values()))


def _unfit(task: Any) -> str | None:
    """Return what a task needs that TRL's rollouts do not have; None if nothing."""
    import verifiers.v1 as vf

    kind, data = type(task), task.data
    for hook in ("setup", "finalize"):
        if getattr(kind, hook) is not getattr(vf.Task, hook):
            return f"has a hook {hook}, which needs verifiers' runtime: use its own runner."
    if kind.NEEDS_CONTAINER or data.image or data.skills:
        return "needs a container, which TRL's rollouts do not have: use verifiers' own runner."
    if task.hooks("stop") or any(hasattr(getattr(kind, member), "intercept") for member in dir(kind)):
        return "ends or rewrites dialogues while they run (stop, intercept), which TRL's rollouts cannot."
    needs = [fn.__name__ for fn in task.hooks("reward") if _needs_runtime(fn)]
    needs += [judge.reward_name for judge in task.plugged_judges() if _needs_runtime(judge.score)]
    if needs:
        return f"has rewards that need verifiers' runtime: {needs}. Leave them out, or use its own runner."
    if not task.hooks("reward") and not task.plugged_judges():
        return "has neither a reward nor a judge."
    if kind.__module__ == "__main__":
        return "is defined in the main script, from which worker processes cannot import it: move it to a module."
    messages = [] if data.prompt is None else data.prompt
    if isinstance(messages, list):
        if not messages or messages[-1].role != "user":
            return "does not end its prompt with a user message, after which TRL's rollouts begin."
        if any(not isinstance(m.content, str) or m.role == "tool" or getattr(m, "tool_calls", None) for m in messages):
            return "has a prompt with images or tool calls; only texts are supported."
    return None


def _needs_runtime(function: Any) -> bool:
    parameter = inspect.signature(function).parameters.get("runtime")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _prompt(data: Any) -> Iterator[Mapping[str, str]]:
    if data.system_prompt is not None:
        yield {"role": "system", "content": data.system_prompt}
    if isinstance(data.prompt, str):
        yield {"role": "user", "content": data.prompt}
    else:
        yield from ({"role": message.role, "content": message.content} for message in data.prompt)


def _environment(taskset: Any, tasks: Sequence[Any], name: str, deadline: float) -> type[Episode] | None:
    """Return the class of episodes with the toolsets of the tasks and of the taskset; None if there are none."""
    from .verifiers_tools import Loop, Served, VerifiersEpisode

    def own() -> list[Served]:
        return [Served(toolset) for toolset in type(tasks[0]).toolsets(tasks[0].config)]

    toolsets = [*own(), *(shared := [Served(toolset) for toolset in type(taskset).toolsets(taskset.config)])]
    if not toolsets:
        return None
    for served in toolsets:
        if served.toolset.config.url:
            raise ValueError(
                f"{type(served.toolset).__name__} is served at {served.toolset.config.url}; only toolsets that run in "
                "this process become tools. Leave its url out."
            )
    loop = Loop()
    try:
        for served in shared:
            loop.run(served.set_up(), deadline, type(served.toolset).__name__)
    except EpisodeError as failure:
        raise ValueError(f"a toolset of {type(taskset).__name__} cannot be set up: {failure}") from failure
    by_toolset = [loop.run(served.tools(), deadline, "list_tools") for served in toolsets]
    return environment_class(
        VerifiersEpisode,
        name,
        [tool for tools in by_toolset for tool in tools],
        _tasks=tasks,
        _own=staticmethod(own),
        _shared=shared,
        _homes={tool.name: place for place, tools in enumerate(by_toolset) for tool in tools},
        _loop=loop,
        _deadline=deadline,
    )
