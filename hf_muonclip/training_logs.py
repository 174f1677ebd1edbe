"""How a callback's figures reach a training log before any tracker reads it.

The Trainer calls its reporting callbacks before the user's, so figures that a callback adds in its own `on_log` come
too late. Between `start_adding` and `stop_adding` a callback's `add_figures` runs first.
"""

from collections.abc import Callable
from typing import Any, Protocol

from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from .patched_method import PatchedMethod


class AddsFigures(Protocol):
    """A callback with figures of its own."""

    def add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        """Put figures into `logs` and into the last row of the Trainer's history."""


def start_adding(callback: AddsFigures) -> None:
    """Let a callback add to the logs of the Trainer that holds it, until `stop_adding` or until it is gone."""
    _on_log.start(callback)


def stop_adding(callback: AddsFigures) -> None:
    """Let a callback add no more; the last one leaves the Trainer's logging as it was."""
    _on_log.stop(callback)


def _add_and_log(
    log: Callable[..., Any],
    handler: CallbackHandler,
    args: TrainingArguments,
    state: TrainerState,
    control: TrainerControl,
    logs: dict[str, Any],
    **kwargs: Any,
) -> Any:
    for callback in handler.callbacks:
        if callback in _on_log:
            callback.add_figures(state, logs)
    return log(handler, args, state, control, logs, **kwargs)


_on_log = PatchedMethod(CallbackHandler, "on_log", _add_and_log)
