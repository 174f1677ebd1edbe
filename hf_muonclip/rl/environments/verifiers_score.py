"""Scores completions of verifiers' tasks in a worker process of `GraderPool`.

It runs in a process's main thread, because verifiers' own check of mathematics gives right answers 0 in any other
thread, and with a deadline, because a reward that blocks would hold up all others.
"""

import asyncio
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import verifiers.v1 as vf


def score(
    task: bytes, prompt: Sequence[Mapping[str, Any]], completion: Sequence[Mapping[str, Any]], state: bytes | None
) -> dict[str, tuple[float, float]]:
    """Return each reward of a task and its weight.

    Args:
        task: a pickled task.
        prompt: chat.
        completion: chat.
        state: the episode's pickled state; None for a new one.

    Raises:
        TaskError: a reward raised, so that verifiers gives none.
        ValueError: a reward is missing.
    """
    scored = pickle.loads(task)
    trace = new_trace(scored)
    if state is not None:
        trace.state = pickle.loads(state)
    for message, sampled in [*((m, False) for m in _messages(prompt)), *((m, True) for m in _messages(completion))]:
        parent = len(trace.nodes) - 1 if trace.nodes else None
        is_sampled = sampled and message.role == "assistant"
        trace.nodes.append(vf.MessageNode(parent=parent, message=message, sampled=is_sampled))
    trace.stop("agent_completed")
    trace.ok = True
    asyncio.run(scored.score(trace))
    unknown = [name for name, reward in trace.rewards.items() if reward is None]
    if unknown or not trace.rewards:
        raise ValueError(f"no score of the rewards {unknown}")
    return {name: (reward.score, reward.weight) for name, reward in trace.rewards.items() if reward is not None}


def new_trace(task: vf.Task) -> vf.Trace:
    """Return an empty trace of a task, with a state of its class."""
    from verifiers.v1.state import state_cls

    of_task = vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
    return vf.Trace(task=of_task, state=state_cls(type(task))(), agent=vf.AgentInfo(config=vf.AgentConfig()))


def _messages(chat: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    calls: list[str] = []  # without a result yet
    for place, message in enumerate(chat):
        role, text = message["role"], message.get("content") or ""
        if role == "tool":
            yield vf.ToolMessage(tool_call_id=calls.pop(0) if calls else "", content=text, name=message.get("name"))
        elif role == "assistant":
            tool_calls: list[Any] = []
            for one in message.get("tool_calls") or ():
                arguments = one["function"]["arguments"]
                arguments = arguments if isinstance(arguments, str) else json.dumps(arguments)
                calls.append(f"call_{place}_{len(tool_calls)}")
                tool_calls.append(vf.ToolCall(id=calls[-1], name=one["function"]["name"], arguments=arguments))
            thought = message.get("reasoning_content") or message.get("thinking")
            yield vf.AssistantMessage(content=text, reasoning_content=thought, tool_calls=tool_calls or None)
        else:
            yield (vf.SystemMessage if role == "system" else vf.UserMessage)(content=text)
