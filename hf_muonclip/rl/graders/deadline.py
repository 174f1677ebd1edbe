"""Calls of code that may raise or never return."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from ...common.graders.not_measured import NotMeasured

LONGEST_DETAIL = 500  # characters


def within(deadline: float, function: Callable[[], Any], raised: str = "error") -> Any:
    """Return the function's result, or a `NotMeasured` if it raises or is late.

    The function runs in a daemon thread, which goes on after the deadline, until the process ends at the latest.

    Args:
        deadline: seconds.
        function: without arguments.
        raised: cause if the function raises.
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
    """Return an exception as a short text."""
    return f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
