"""Serves two OpenEnv environments on openenv's own classes, as `python openenv_server.py PORT SESSIONS`."""

import os
import sys
import time
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI
from fastmcp import FastMCP
from openenv.core.env_server import Action, Environment, Observation, State, create_app
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
from pydantic import Field


class Guess(Action):
    """Guess the hidden number."""

    number: int = Field(ge=0, le=9, description="What you think it is.")
    tone: Literal["calm", "loud"] = "calm"


class Hint(Observation):
    text: str = ""


class Guessing(Environment[Guess, Hint, State]):
    """Hides seed % 10. A near guess earns 0.25, the right one 1. What it hides stands in the metadata."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.guesses = 0, 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, fault: str = "", **_: Any) -> Hint:
        if fault == "reset raises":
            raise RuntimeError("no database")
        if fault == "reset is late":
            time.sleep(3)
        self.fault, self.hidden = fault, (seed or 0) % 10
        text = f"It is between 0 and 9. {self.guesses} guesses so far."
        return Hint(text=text, metadata={"hidden": self.hidden})

    def step(self, action: Guess, timeout_s: float | None = None, **_: Any) -> Hint:
        self.guesses += 1
        if self.fault == "step raises":
            raise RuntimeError("no database")
        if self.fault == "step is late":
            time.sleep(3)
        if self.fault == "dies":
            os._exit(1)
        off = action.number - self.hidden
        if self.fault == "no reward":
            return Hint(text="over", done=True)
        text = "right" if not off else "too high" if off > 0 else "too low"
        return Hint(text=text, done=not off, reward=1.0 if not off else 0.25 if abs(off) == 1 else 0.0)

    @property
    def state(self) -> State:
        return State()


class Counting(MCPEnvironment):
    """Tools of a server of MCP; `submit` ends the episode with a reward."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        server = FastMCP("counting")
        self.total, self.start = 0, 0

        @server.tool
        def add(number: int, class_: list[str] | None = None) -> int:
            """Add to the total.

            Args:
                number: to add.
                class_: words that are not used.
            """
            self.total += number
            return self.total

        @server.tool
        def several() -> list[int]:
            """List the total and its double."""
            return [self.total, 2 * self.total]

        @server.tool
        def nothing() -> None:
            """Do nothing."""

        @server.tool
        def refuse() -> str:
            """Raise an exception."""
            raise ValueError("not today")

        @server.tool
        def submit(total: int) -> str:
            """Say what the total is."""
            return "thank you"

        super().__init__(server)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Observation:
        self.total = self.start = seed or 0
        return Observation()

    def _rewarded(self, action: Action, seen: Observation) -> Observation:
        if isinstance(action, CallToolAction) and action.tool_name == "submit":
            right = action.arguments.get("total") == self.total
            return seen.model_copy(update={"reward": float(right), "done": True})
        return seen

    def step(self, action: Action, timeout_s: float | None = None, **given: Any) -> Observation:
        return self._rewarded(action, super().step(action, timeout_s, **given))

    async def step_async(self, action: Action, timeout_s: float | None = None, **given: Any) -> Observation:
        return self._rewarded(action, await super().step_async(action, timeout_s, **given))

    def _step_impl(self, action: Action, timeout_s: float | None = None, **_: Any) -> Observation:
        raise ValueError(f"unknown action {action}")

    @property
    def state(self) -> State:
        return State()


if __name__ == "__main__":
    port, sessions = int(sys.argv[1]), int(sys.argv[2])
    both = FastAPI()
    both.mount("/guessing", create_app(Guessing, Guess, Hint, max_concurrent_envs=sessions))
    both.mount("/counting", create_app(Counting, CallToolAction, CallToolObservation, max_concurrent_envs=sessions))
    uvicorn.run(both, host="127.0.0.1", port=port, log_level="error")
