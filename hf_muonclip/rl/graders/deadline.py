"""Calls of what others wrote, which may raise or never return."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from ...common.graders.not_measured import NotMeasured

LONGEST_DETAIL = 500  # characters of what was seen


def within(deadline: float, function: Callable[[], Any], raised: str = "error") -> Any:
    """Return what a function returns, or a `NotMeasured` where it raises or is late.

    It runs in a thread of its own. One that is late stays behind, and ends with the process at the latest.

    Args:
        deadline: seconds.
        function: without arguments.
        raised: cause of NotMeasured where the function raises.
    """
    box: SimpleQueue[Any] = SimpleQueue()

    def call() -> None:
        try:
            box.put(function())
        except BaseException as error:  # SystemExit too
            box.put(NotMeasured(raised, told(error)))

    threading.Thread(target=call, name="within", daemon=True).start()
    try:
        return box.get(timeout=deadline)
    except Empty:
        return NotMeasured("timeout", f"no answer within {deadline} s")


def told(error: BaseException) -> str:
    """Return an exception in one short text."""
    return f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
