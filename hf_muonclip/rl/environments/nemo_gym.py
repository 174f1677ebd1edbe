"""NeMo-Gym's resource servers as Specs: a session per episode, the row's tools, and the server's own verification.

Speaks the servers' HTTP (nemo-gym 0.4 to 0.7: `/seed_session`, a POST per tool, `/verify`, sessions by cookie); only
the server needs the package, which requires Python 3.12 or 3.13.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from datasets import Dataset

from ..rewards.spec import Spec
from .episode import Episode, EpisodeError, EpisodeReward, environment_class, measured
from .server import ask, http_client, parsed
from .tools import Tool, exposed_name

ROW = "nemo_gym_row"  # the column that holds a row of the server's dataset, as JSON
_AT_ONCE = 16  # concurrent verifications
_MODELS_FAULT = {400, 422}  # statuses of a tool that are shown to the model
_ROLES = {"developer": "system"}


def nemo_gym_spec(
    url: str,
    rows: str | os.PathLike[str] | Sequence[Mapping[str, Any]],
    *,
    name: str = "nemo_gym",
    deadline: float = 60.0,
    headers: dict[str, str] | None = None,
) -> Spec:
    """Return a Spec whose completions are verified by a NeMo-Gym resource server, and call its tools.

    Each episode has its own session. The model sees the tools of its row; a tool's answer, also one of status 400 or
    422, is shown unchanged. If the server cannot be reached, is late, answers with another error, or says that its
    verdict is invalid (a judge that failed, a sample to mask), the episode is not measured. A restart of the server in
    the middle of an episode goes unnoticed if the server verifies sessions that it does not know.

    Rows with different tools become different environments (the column "environment").

    Args:
        url: URL of the resource server.
        rows: a JSONL file of NeMo-Gym's format, or its rows, each with "responses_create_params".
        name: name of the Spec and its reward.
        deadline: seconds that the server may take per answer.
        headers: sent with every request.

    Raises:
        ConnectionError: the server does not answer.
        ValueError: there are no rows, or the server or a row needs what TRL's rollouts cannot do: replies to the model
            as a user (`/step`), tools that are not functions of the server, or images.
    """
    listed = [*_rows(rows)]
    if not listed:
        raise ValueError(f"rows must hold at least one row; got {rows!r}.")
    connect = partial(http_client, url.rstrip("/"), deadline, headers)
    sets = [_tools(row) for row in listed]
    try:
        _refuse_unfit(connect, {tool.name for tools in sets for tool in tools})
    except EpisodeError as failure:
        raise ConnectionError(f"no NeMo-Gym server answers at {url}: {failure}") from failure
    classes: dict[str, type[Episode]] = {}
    environments = []
    for tools in sets:
        key = json.dumps([[tool.name, tool.description, tool.parameters] for tool in tools], sort_keys=True)
        if key not in classes:
            label = f"{name}_{len(classes)}" if classes else name
            classes[key] = environment_class(NemoGymEpisode, label, tools, _connect=staticmethod(connect))
        environments.append(classes[key].__name__)
    columns: dict[str, list[Any]] = {"prompt": [_prompt(row) for row in listed], ROW: [json.dumps(r) for r in listed]}
    by_name = {of_tools.__name__: of_tools for of_tools in classes.values()}
    factory: Any = None
    if len(by_name) > 1:
        columns["environment"], factory = environments, by_name
    elif any(sets):
        (factory,) = by_name.values()
    return Spec(name, Dataset.from_dict(columns), [NemoGymReward(name, tuple(by_name.values()))], factory)


class NemoGymEpisode(Episode):
    """An episode with its own session."""

    _connect: Callable[[], httpx.Client]
    _client: httpx.Client | None = None
    _row: dict[str, Any]

    def _begin(self, columns: dict[str, Any]) -> None:
        self._row = json.loads(columns[ROW])
        self._client = self._connect()
        seeded = parsed(ask(self._client, "POST", "/seed_session", self._row))
        if seeded.get("mcp") and not _tools(self._row):
            raise EpisodeError("error", "the server offers this row's tools over MCP only; list them in the row")

    def _act(self, tool: Tool, arguments: dict[str, Any]) -> str:
        assert self._client is not None
        response = ask(self._client, "POST", f"/{tool.name}", arguments)
        if not response.is_success and response.status_code not in _MODELS_FAULT:
            raise EpisodeError("error", f"/{tool.name} answered {response.status_code}: {response.text[:200]}")
        return response.text

    def _verify(self, completion: Any) -> float:
        """Return the server's reward; `NotMeasured` if there is none."""
        verdict = self._guarded(lambda: self._verdict(completion))
        reward = self._failure if self._failure is not None else verdict
        self._end()
        return measured(reward)

    def _verdict(self, completion: Any) -> Any:
        if self._failure is not None:
            return None
        assert self._client is not None
        verdict = parsed(
            ask(self._client, "POST", "/verify", self._row | {"response": _response(completion, self._row)})
        )
        if failure := verdict.get("_ng_failure_class"):
            raise EpisodeError("error", f"{failure}: {verdict.get('_ng_failure_judge_error', '')}"[:300])
        if any(isinstance(at, Mapping) and at.get("mask_sample") for at in (verdict, verdict.get("instance_config"))):
            raise EpisodeError("error", "the server asks to mask this sample")
        return verdict.get("reward")

    def _end(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class NemoGymReward(EpisodeReward):
    """The server's verification of each completion."""

    environment: tuple[type[NemoGymEpisode], ...]

    def __call__(self, completions: Sequence[Any], environments: Any = None, **columns: Any) -> list[float | None]:
        """Return one reward per completion.

        Args:
            completions: as sampled, chats.
            environments: those in which they were sampled. If no row has tools there are none, or in a mixture those of
                other domains; the session then begins here.
            columns: the dataset's columns.
        """
        none = [None] * len(completions)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return [*threads.map(self._verify, environments or none, columns.get(ROW) or none, completions)]

    def _verify(self, environment: Any, row: str | None, completion: Any) -> float | None:
        if isinstance(environment, self.environment):
            return environment._verify(completion)
        if row is None:
            return None
        episode = self.environment[0]()
        episode.reset(**{ROW: row})
        return episode._verify(completion)


def _rows(rows: str | os.PathLike[str] | Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    if isinstance(rows, str | os.PathLike):
        rows = [json.loads(line) for line in Path(rows).read_text(encoding="utf-8").splitlines() if line.strip()]
    for place, row in enumerate(rows):
        if not isinstance(row.get("responses_create_params"), Mapping):
            raise ValueError(f"rows must have responses_create_params; row {place} has {[*row]}.")
        yield dict(row)


def _tools(row: Mapping[str, Any]) -> list[Tool]:
    tools = row["responses_create_params"].get("tools") or []
    for tool in tools:
        if tool.get("type") != "function":
            raise ValueError(
                f"tools must be functions of the server, because TRL's rollouts can call no others; got one of type "
                f"{tool.get('type')!r}. Leave such rows out."
            )
    return [Tool(tool["name"], tool.get("description") or "", tool.get("parameters") or {}) for tool in tools]


def _refuse_unfit(connect: Callable[[], httpx.Client], tools: set[str]) -> None:
    with connect() as client:
        response = ask(client, "GET", "/openapi.json")
        if not response.is_success:
            return  # the server does not list its paths
        paths = parsed(response).get("paths") or {}
    if "/verify" not in paths:
        raise ValueError(
            f"a resource server must have /verify; {client.base_url} has {sorted(paths)}. Servers with /step answer "
            "each reply of the model as a user would, which TRL's rollouts do not do."
        )
    if not any("{" in path for path in paths) and (missing := sorted(t for t in tools if f"/{t}" not in paths)):
        raise ValueError(f"the server must have the tools that rows name; {missing} are not among {sorted(paths)}.")


def _prompt(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the row's input as a chat.

    Every message has the same keys, and the arguments of calls stay JSON texts, because Arrow fills missing keys with
    None.
    """
    params = row["responses_create_params"]
    items = params["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    messages = [{"role": "system", "content": params["instructions"]}] if params.get("instructions") else []
    names: dict[str, str] = {}
    for item in items:
        kind = item.get("type") or "message"
        if kind == "message":
            messages.append({"role": _ROLES.get(item["role"], item["role"]), "content": _text(item["content"])})
        elif kind == "function_call":
            names[item["call_id"]] = item["name"]
            function = {"name": exposed_name(item["name"]), "arguments": item["arguments"]}
            messages.append(
                {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
            )
        elif kind == "function_call_output":
            name = names.get(item["call_id"], "")
            messages.append({"role": "tool", "name": exposed_name(name), "content": _text(item["output"])})
        elif kind != "reasoning":
            raise ValueError(f"a row's input must be messages and function calls; got an item of type {kind!r}.")
    return messages


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    for part in content:
        if "text" not in part:
            raise ValueError(f"a row's messages must be text; got a part of type {part.get('type')!r}.")
    return "\n".join(part["text"] for part in content)


def _response(completion: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a completion as the Responses object that a model's server would have returned."""
    params = row["responses_create_params"]
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "created_at": time.time(),
        "model": str(params.get("model") or "policy"),
        "object": "response",
        "status": "completed",
        "output": [*_items(completion, {exposed_name(tool.name): tool.name for tool in _tools(row)})],
        "parallel_tool_calls": params.get("parallel_tool_calls", True),
        "tool_choice": params.get("tool_choice") or "auto",
        "tools": params.get("tools") or [],
    }


def _items(completion: Any, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if isinstance(completion, str):
        completion = [{"role": "assistant", "content": completion}]
    waiting: list[str] = []  # calls without an answer
    for message in completion:
        text = message.get("content") or ""
        if message["role"] == "tool":
            call_id = waiting.pop(0) if waiting else f"call_{uuid.uuid4().hex}"
            yield {"type": "function_call_output", "call_id": call_id, "output": text}
            continue
        if thought := message.get("reasoning_content") or message.get("thinking"):
            summary = [{"type": "summary_text", "text": thought}]
            yield {"id": f"rs_{uuid.uuid4().hex}", "type": "reasoning", "summary": summary}
        calls = message.get("tool_calls") or []
        if text or not calls:
            part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
            item = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "status": "completed"}
            yield {**item, "content": [part]}
        for one in calls:
            function = one["function"]
            arguments = function["arguments"]
            waiting.append(f"call_{uuid.uuid4().hex}")
            yield {
                "type": "function_call",
                "call_id": waiting[-1],
                "name": names.get(function["name"], function["name"]),
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
            }
