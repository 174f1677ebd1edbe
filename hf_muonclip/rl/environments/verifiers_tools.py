"""Toolsets of verifiers inside the trainer's process: episodes call them without an MCP server."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

from .episode import Episode, EpisodeError
from .tools import Tool


class Loop:
    """An event loop in its own thread, in which toolsets run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="verifiers-toolsets", daemon=True).start()

    def start(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        """Begin a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Any], deadline: float, what: str) -> Any:
        """Return the result of a coroutine.

        Raises:
            EpisodeError: it does not finish within the deadline, in seconds.
        """
        future = self.start(work)
        try:
            return future.result(deadline)
        except TimeoutError as error:
            if not future.cancel():  # the coroutine itself raised it
                raise
            raise EpisodeError("timeout", f"{what} did not end within {deadline:g} s") from error


# Of the episode whose tool runs; each call is a task of the loop, with a context of its own.
_state: ContextVar[Any] = ContextVar("state")


class Served:
    """A toolset, with the tools that it registers.

    Args:
        toolset: of verifiers; the state that it would fetch from its rollout over HTTP is set here.
    """

    def __init__(self, toolset: Any) -> None:
        from mcp.server.mcpserver import MCPServer

        self.toolset = toolset
        toolset._pull_state, toolset._push_state = _pull_state, _push_state
        self._prefix = f"{toolset.server_name}_" if toolset.server_name else ""
        self._server = MCPServer(toolset.server_name or type(toolset).__name__)
        toolset.register(self._server)

    async def set_up(self, task_data: Any = None, state: Any = None) -> None:
        """Set the toolset up for all tasks, or for an episode of one.

        Raises:
            EpisodeError: the toolset's own hooks raised.
        """
        _state.set(state)
        try:
            await self.toolset.setup()
            if task_data is not None:
                await self.toolset.setup_task(task_data)
        except Exception as error:
            raise EpisodeError("error", f"{type(self.toolset).__name__}: {error!r}") from error

    async def tools(self) -> list[Tool]:
        """Return the toolset's tools under the names that the model sees."""
        found = await self._server.list_tools()
        return [Tool(f"{self._prefix}{tool.name}", tool.description or "", tool.input_schema) for tool in found]

    async def call(self, name: str, arguments: dict[str, Any], state: Any) -> Any:
        """Return a tool's result: its text, or content blocks that are not text; its exception as {"error": text}."""
        _state.set(state)
        try:
            result = await self._server.call_tool(name.removeprefix(self._prefix), arguments)
        except Exception as error:  # whatever the tool raised, in the form of MCP
            return {"error": str(error)}
        if all(block.type == "text" for block in result.content):
            return "\n".join(block.text for block in result.content) if result.content else None
        return [block.model_dump(mode="json") for block in result.content]

    async def close(self) -> None:
        """Exit the contexts that it has entered."""
        await self.toolset._exit_stack.aclose()


async def _pull_state() -> Any:
    return _state.get()


async def _push_state(before: bytes) -> None:
    """Do nothing: the state is changed in place."""


class VerifiersEpisode(Episode):
    """An episode with toolsets: those of the task are its own, those of the taskset are shared."""

    _tasks: list[Any]
    _own: Callable[[], list[Served]]
    _shared: list[Served]
    _homes: dict[str, int]  # per tool, the index of its toolset in [*own, *shared]
    _loop: Loop
    _deadline: float
    _state: Any = None
    _open: Sequence[Served] = ()

    def _begin(self, columns: dict[str, Any]) -> None:
        from .verifiers_score import new_trace

        task = self._tasks[columns["verifiers_task"]]
        self._state = new_trace(task).state
        self._open = self._own()
        for served in self._open:
            self._run(served.set_up(task.data, self._state))

    def _act(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        served = [*self._open, *self._shared][self._homes[tool.name]]
        return self._run(served.call(tool.name, arguments, self._state))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run(work, self._deadline, "a toolset")

    def _end(self) -> None:
        for served in self._open:
            self._loop.start(served.close())
        self._open = ()
