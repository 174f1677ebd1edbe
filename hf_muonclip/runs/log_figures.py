"""Put a callback's figures into a training log before any tracker reads it, and go on if a tracker fails.

The Trainer calls its reporting callbacks before the user's, so figures that a callback adds in its own `on_log` come
too late. Between `start_adding` and `stop_adding` a callback's `add_figures` runs first.
"""

from collections.abc import Callable
from typing import Any, Protocol

from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..common.patching import PatchedMethod
from .trackers import forget_failures, guarded


class AddsFigures(Protocol):
    """A callback with figures of its own."""

    def add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        """Put figures into `logs` and into the last row of the Trainer's history."""


def start_adding(callback: AddsFigures) -> None:
    """Let a callback add to the logs of the Trainer that holds it, until `stop_adding` or until it is gone.

    Meanwhile, a tracker of that Trainer that fails does not end the training.
    """
    _call_event.start(callback)


def stop_adding(callback: AddsFigures) -> None:
    """Stop adding a callback's figures; the last one restores the Trainer's logging."""
    _call_event.stop(callback)
    forget_failures()


def _add_and_call(
    call: Callable[..., Any],
    handler: CallbackHandler,
    event: str,
    args: TrainingArguments,
    state: TrainerState,
    control: TrainerControl,
    **kwargs: Any,
) -> Any:
    adding = [callback for callback in handler.callbacks if callback in _call_event]
    if not adding:
        return call(handler, event, args, state, control, **kwargs)
    if event == "on_log":
        for callback in adding:
            callback.add_figures(state, kwargs["logs"])
    with guarded(handler.callbacks, event, state):
        return call(handler, event, args, state, control, **kwargs)


_call_event = PatchedMethod(CallbackHandler, "call_event", _add_and_call)
