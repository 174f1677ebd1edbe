"""OpenEnv environments as Specs: one WebSocket session per episode, one tool per MCP tool or one for typed actions.

Speaks OpenEnv's wire format (0.10: `/schema`, `/ws`) and does not use its client: the client silently opens a new
session, hence a blank environment, if the old one was lost in the middle of an episode, and cannot be installed
together with verifiers. Only the server needs the package openenv.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from datasets import Dataset

from ..rewards.spec import Spec
from .episode import Episode, EpisodeError, EpisodeReward, environment_class, environment_columns
from .server import ask, http_client, is_loopback, parsed
from .tools import Tool, as_text

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_OF_MCP = {"Action", "CallToolAction", "ListToolsAction"}  # titles of action schemas that do not describe the tools
_CLOSING = 2.0  # seconds that a server may take to close a session


def openenv_spec(
    server: Any,
    tasks: int | Dataset | Sequence[Mapping[str, Any]],
    *,
    prompt: str | None = None,
    name: str = "openenv",
    deadline: float = 60.0,
    headers: dict[str, str] | None = None,
    episode_reward: Callable[[Sequence[float]], float] = sum,
) -> Spec:
    """Return a Spec whose completions act in an OpenEnv environment.

    Each episode has its own session, hence its own environment on the server, which must allow as many as TRL samples
    at once (`max_concurrent_envs` of `create_app`; OpenEnv's default is 1). An observation is shown without its
    metadata, which may contain the answer. Invalid arguments, and exceptions of an MCP tool, are reported to the model.
    If the server cannot be reached, dies, is late or raises, the episode is not measured.

    Args:
        server: URL of a server, or an OpenEnv client, whose `base_url` is used.
        tasks: rows whose columns, except "prompt", are passed to the environment's `reset` (`seed` and others); or a
            number of rows. Rows without a seed get their index as seed, so that the samples of a prompt begin alike.
        prompt: the user message of rows without a "prompt"; the first observation is appended to it.
        name: name of the Spec and its reward.
        deadline: seconds that the server may take per answer.
        headers: sent with every request.
        episode_reward: makes one reward from the list of an episode's step rewards: `sum` if these are gains, `max` or
            a function that returns the last if they are scores so far. The list is empty if the model took no step,
            which must not raise.

    Raises:
        ImportError: websockets is not installed.
        ConnectionError: the server does not answer as an OpenEnv server.
        ValueError: rows have no prompt, or columns that JSON cannot hold; or a tool cannot be shown to a model.
    """
    _websockets()
    url = str(server if isinstance(server, str) else server.base_url).rstrip("/")
    if url.startswith("ws"):
        url = f"http{url[2:]}"
    try:
        tools = _tools(url, deadline, headers)
    except EpisodeError as failure:
        raise ConnectionError(f"no OpenEnv server answers at {url}: {failure}") from failure
    connect = partial(_Session, url, deadline, headers)
    environment = environment_class(OpenEnvEpisode, name, tools, _connect=staticmethod(connect))
    dataset = _with_prompts(tasks, prompt)
    return Spec(name, dataset, [EpisodeReward(name, environment, episode_reward)], environment)


class OpenEnvEpisode(Episode):
    """An episode with its own session."""

    _connect: Callable[[], "_Session"]
    _session: "_Session | None" = None

    def _begin(self, columns: dict[str, Any]) -> str | None:
        self._session = self._connect()
        seen = self._observed(self._session.ask("reset", environment_columns(columns)))
        return as_text(seen)

    def _act(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        assert self._session is not None
        if not isinstance(tool, TypedAction):
            arguments = {"type": "call_tool", "tool_name": tool.name, "arguments": arguments}
        try:
            return self._observed(self._session.ask("step", arguments))
        except _InvalidActionError as refused:
            return {"error": str(refused)}

    def _observed(self, data: dict[str, Any]) -> Any:
        if data.get("reward") is not None:
            self._rewards.append(float(data["reward"]))
        self._done = bool(data.get("done"))
        observation = data.get("observation") or {}
        if "tool_name" in observation and "result" in observation:
            return _tool_result(observation)
        seen = {k: v for k, v in observation.items() if k != "metadata" and v is not None}
        if len(seen) == 1 and isinstance(only := next(iter(seen.values())), str):
            return only
        return json.dumps(seen, ensure_ascii=False) if seen else ""

    def _end(self) -> None:
        if self._session is not None:
            self._session.close(wait=self._failure is None)
            self._session = None


class TypedAction(Tool):
    """The only tool of an environment without MCP tools; the fields of its action are the arguments."""


class _InvalidActionError(Exception):
    """The server refused an action as invalid."""


class _Session:
    """A WebSocket session with a server.

    Args:
        url: URL of the server, http or https.
        deadline: seconds that an answer may take.
        headers: sent with the request that opens the session.

    Raises:
        EpisodeError: the session cannot be opened.
    """

    def __init__(self, url: str, deadline: float, headers: dict[str, str] | None) -> None:
        connect, errors = _websockets()
        self.deadline, self.url, self._errors = deadline, url, errors
        self._opened = contextlib.ExitStack()
        options: dict[str, Any] = {"proxy": None} if is_loopback(url) else {}
        try:
            self._connection: ClientConnection = self._opened.enter_context(
                connect(
                    f"ws{url[4:]}/ws",
                    open_timeout=deadline,
                    close_timeout=_CLOSING,
                    ping_interval=None,  # answers have a deadline instead
                    max_size=None,
                    additional_headers=headers,
                    **options,
                )
            )
        except (OSError, errors) as error:
            raise EpisodeError("unreachable", f"{url}: {error!r}") from error

    def ask(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data of the server's answer.

        Raises:
            EpisodeError: there is no answer, or the server reports an error.
            _InvalidActionError: the action is invalid.
        """
        try:
            # A server that is full says so and closes; its message can still be read.
            with contextlib.suppress(self._errors):
                self._connection.send(json.dumps({"type": kind, "data": data}, default=str))
            answer = json.loads(self._connection.recv(timeout=self.deadline))
            data, answered = dict(answer["data"]), answer["type"]
        except TimeoutError as error:
            raise EpisodeError("timeout", f"{kind} did not answer within {self.deadline:g} s") from error
        except (OSError, self._errors) as error:
            raise EpisodeError("unreachable", f"{self.url}, during {kind}: {error!r}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise EpisodeError("error", f"the answer to {kind} was not a message of OpenEnv: {error!r}") from error
        if answered != "error":
            return data
        code, message = data.get("code"), data.get("message")
        if code == "VALIDATION_ERROR" and kind == "step":
            raise _InvalidActionError(_invalid(data))
        if code == "CAPACITY_REACHED":
            raise EpisodeError(
                "unreachable",
                f"{self.url}: {message}. Allow as many sessions on the server as are sampled at once "
                "(max_concurrent_envs of its create_app).",
            )
        raise EpisodeError("error", f"{kind} was answered with {code}: {message}")

    def close(self, wait: bool) -> None:
        """End the session on the server.

        Args:
            wait: whether to wait for the server to do so; False if it no longer answers.
        """
        if not wait:
            threading.Thread(target=self._close, daemon=True).start()
            return
        with contextlib.suppress(OSError, self._errors):
            self._connection.send('{"type": "close"}')
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(OSError, self._errors):
            self._opened.close()


def _tools(url: str, deadline: float, headers: dict[str, str] | None) -> list[Tool]:
    """Return the tools of a server's environment."""
    with http_client(url, deadline, headers) as client:
        schema = parsed(ask(client, "GET", "/schema")).get("action") or {}
    if schema.get("title") not in _OF_MCP:
        fields = {field: of for field, of in (schema.get("properties") or {}).items() if field != "metadata"}
        return [TypedAction("step", schema.get("description") or "", {**schema, "properties": fields})]
    session = _Session(url, deadline, headers)
    try:
        found = session.ask("step", {"type": "list_tools"}).get("observation") or {}
    finally:
        session.close(wait=True)
    if not found.get("tools"):
        raise EpisodeError("error", f"it has neither a typed action nor tools; its answer was {found}")
    return [Tool(tool["name"], tool["description"], tool["input_schema"]) for tool in found["tools"]]


def _tool_result(observation: Mapping[str, Any]) -> Any:
    """Return the result of an MCP tool; its exception as {"error": text}."""
    if error := observation.get("error"):
        if error.get("error_type") in ("timeout", "transport_error"):
            cause = "timeout" if error["error_type"] == "timeout" else "error"
            raise EpisodeError(cause, str(error.get("message")))
        return {"error": error.get("message")}
    result = observation.get("result")
    if not isinstance(result, dict) or "content" not in result:
        return result
    if result.get("data") is not None:
        return result["data"]
    content = result["content"] or []
    if content and all(isinstance(block.get("text"), str) for block in content):
        return "\n".join(block["text"] for block in content)
    return content or None


def _invalid(data: Mapping[str, Any]) -> str:
    errors = [f"{'.'.join(map(str, e.get('loc', ())))}: {e.get('msg')}" for e in data.get("errors") or ()]
    return f"invalid arguments: {'; '.join(errors)}" if errors else str(data.get("message"))


def _with_prompts(tasks: int | Dataset | Sequence[Mapping[str, Any]], prompt: str | None) -> Dataset:
    if isinstance(tasks, int):
        tasks = [{"seed": seed} for seed in range(tasks)]
    dataset = tasks if isinstance(tasks, Dataset) else Dataset.from_list([dict(task) for task in tasks])
    if not len(dataset):
        raise ValueError(f"tasks must hold at least one row; got {tasks!r}.")
    if "seed" not in dataset.column_names:
        dataset = dataset.add_column("seed", list(range(len(dataset))))
    if "prompt" not in dataset.column_names:
        if prompt is None:
            raise ValueError(f"tasks need a column 'prompt', or the argument prompt; they have {dataset.column_names}.")
        dataset = dataset.add_column("prompt", [[{"role": "user", "content": prompt}]] * len(dataset))
    elif isinstance(dataset[0]["prompt"], str):
        as_messages = [[{"role": "user", "content": text}] for text in dataset["prompt"]]
        dataset = dataset.remove_columns("prompt").add_column("prompt", as_messages)
    for column, value in environment_columns(dataset[0]).items():
        try:
            json.dumps(value)
        except TypeError as error:
            raise ValueError(f"tasks' columns are sent to reset as JSON; {column!r} cannot be: {error}.") from error
    return dataset


def _websockets() -> tuple[Callable[..., Any], type[Exception]]:
    try:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect
    except ImportError as error:
        raise ImportError("openenv_spec needs websockets, which is not installed: pip install websockets.") from error
    return connect, WebSocketException
