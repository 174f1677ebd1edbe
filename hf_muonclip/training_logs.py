"""How a callback's figures reach a training log before any tracker reads it.

The Trainer calls its reporting callbacks before the user's, so figures that a callback adds in its own `on_log` come
too late. Between `start_adding` and `stop_adding` a callback's `add_figures` runs first.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments


class AddsFigures(Protocol):
    """A callback with figures of its own."""

    def add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        """Put figures into `logs` and into the last row of the Trainer's history."""


_adding: "weakref.WeakSet[AddsFigures]" = weakref.WeakSet()
_originals: list[Callable[..., Any]] = []  # the unwrapped on_log, while anybody adds


def start_adding(callback: AddsFigures) -> None:
    """Let a callback add to the logs of the Trainer that holds it. Undone by `stop_adding`."""
    _adding.add(callback)
    if _originals:
        return
    original = CallbackHandler.on_log

    @functools.wraps(original)
    def on_log(
        self: CallbackHandler,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        for callback in self.callbacks:
            if callback in _adding:
                callback.add_figures(state, logs)
        return original(self, args, state, control, logs, **kwargs)

    _originals.append(original)
    CallbackHandler.on_log = on_log  # type: ignore[method-assign]


def stop_adding(callback: AddsFigures) -> None:
    """Let a callback add no more; the last one leaves the Trainer's logging as it was."""
    _adding.discard(callback)
    if _originals and not _adding:
        CallbackHandler.on_log = _originals.pop()  # type: ignore[method-assign]
