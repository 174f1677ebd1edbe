"""Guard a run against its trackers (`report_to`): a failing one does not end training, and names are made storable.

A server that is gone or a disk that is full raises inside of the Trainer's callback, and would end the training. Here
training goes on to its end, and the failure is said once. What is logged before and after training raises as ever.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from transformers.trainer_callback import TrainerCallback, TrainerState

from ..common.loggers import get_logger
from ..common.patching import PatchedMethod

logger = get_logger(__name__)

_said: weakref.WeakSet[TrainerCallback] = weakref.WeakSet()


@contextmanager
def guarded(callbacks: Iterable[TrainerCallback], event: str, state: TrainerState) -> Iterator[None]:
    """Let trackers fail in an event without ending the training, and give MLflow names that it can store.

    Every other callback, a subclass of a tracker's too, is left as it is and raises as ever.

    Args:
        callbacks: the callbacks of a Trainer.
        event: the name of the callbacks' method that is about to be called.
        state: the Trainer's state, for the step.
    """
    with ExitStack() as stack:
        for callback in callbacks:
            kind = type(callback)
            if kind in _trackers() and getattr(kind, event) is not getattr(TrainerCallback, event):
                stack.enter_context(_guarded(callback, event, state))
        yield


def forget_failures() -> None:
    """Warn of the next failure of every tracker again, as another training begins."""
    _said.clear()


def mlflow_names(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return logs in which no name is the folder of another: "a" beside "a/b" becomes "a/all".

    MLflow's file store, which a server may use too, keeps a metric as a file, and loses without a word all the metrics
    of a log in which one would have to be a file and a folder.
    """
    folders = {name[:end] for name in logs for end, letter in enumerate(name) if letter == "/"}
    return {f"{name}/all" if name in folders else name: value for name, value in logs.items()}


@cache
def _trackers() -> frozenset[type]:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK  # loads with the Trainer anyway

    return frozenset(INTEGRATION_TO_CALLBACK.values())


@contextmanager
def _guarded(tracker: TrainerCallback, event: str, state: TrainerState) -> Iterator[None]:
    from transformers.integrations.integration_utils import MLflowCallback

    def call(method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if event == "on_log" and isinstance(tracker, MLflowCallback):
            options["logs"] = mlflow_names(options["logs"])
        try:
            return method(*arguments, **options)
        except Exception as error:  # of any tracker's own kinds, and of its network's, database's and disk's
            _say_once(tracker, event, state, error)
            return None

    patched = PatchedMethod(tracker, event, call)
    patched.start(tracker)
    try:
        yield
    finally:
        patched.stop(tracker)


def _say_once(tracker: TrainerCallback, event: str, state: TrainerState, error: Exception) -> None:
    name = type(tracker).__name__
    if tracker in _said:
        logger.debug("%s failed again in %s at step %d.", name, event, state.global_step, exc_info=error)
        return
    _said.add(tracker)
    logger.warning(
        "%s failed in %s at step %d (%s: %s). Training goes on, and so do the other trackers; what this one misses "
        "stays in trainer_state.json. It is tried again at every log, and further failures are not logged. Fix what it "
        "reports to, or leave it out of report_to.",
        name,
        event,
        state.global_step,
        type(error).__name__,
        error,
    )
    logger.debug("Where %s failed:", name, exc_info=error)
