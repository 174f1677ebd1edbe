"""A callback's figures stand in a log before any tracker reads it, and only while the callback adds."""

from typing import Any

import pytest
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import CallbackHandler

from hf_muonclip.common.patching import PatchedMethod
from hf_muonclip.runs import log_figures
from hf_muonclip.runs.log_figures import start_adding, stop_adding


class Tracker(TrainerCallback):
    def __init__(self) -> None:
        self.read: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any) -> None:
        self.read.append(dict(logs))


class Adder(TrainerCallback):
    def __init__(self, name: str) -> None:
        self.name = name

    def add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        logs[self.name] = state.global_step


@pytest.fixture(autouse=True)
def patch_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier test's callback whose training raised may still hold the package's own patch."""
    monkeypatch.setattr(
        log_figures, "_call_event", PatchedMethod(CallbackHandler, "call_event", log_figures._add_and_call)
    )


@pytest.fixture
def arguments(tmp_path: Any) -> TrainingArguments:
    return TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")


def logged(arguments: TrainingArguments, *callbacks: TrainerCallback) -> dict[str, Any]:
    """Log once to a tracker that stands before the callbacks, and return what it read."""
    tracker = Tracker()
    handler = CallbackHandler([tracker, *callbacks], None, None, None, None)
    state = TrainerState()
    state.global_step = 7
    handler.on_log(arguments, state, TrainerControl(), {"loss": 1.0})
    return tracker.read[0]


def test_figures_come_before_the_trackers_and_each_handler_has_its_own(arguments: TrainingArguments) -> None:
    unpatched = CallbackHandler.call_event
    first, second, silent = Adder("first"), Adder("second"), Adder("silent")
    assert logged(arguments, first) == {"loss": 1.0}
    start_adding(first)
    start_adding(second)
    start_adding(second)  # once more changes nothing
    assert logged(arguments, first, silent, second) == {"loss": 1.0, "first": 7, "second": 7}
    assert logged(arguments, second) == {"loss": 1.0, "second": 7}
    stop_adding(first)
    assert logged(arguments, first, second) == {"loss": 1.0, "second": 7}
    assert CallbackHandler.call_event is not unpatched
    stop_adding(second)
    stop_adding(second)
    assert CallbackHandler.call_event is unpatched


def test_a_callback_that_is_gone_does_not_keep_the_patch_for_ever(arguments: TrainingArguments) -> None:
    unpatched = CallbackHandler.call_event
    lost = Adder("lost")
    start_adding(lost)
    del lost  # a run that ended in an exception, and its Trainer with it
    assert CallbackHandler.call_event is unpatched
    other = Adder("other")
    start_adding(other)
    assert logged(arguments, other) == {"loss": 1.0, "other": 7}
    stop_adding(other)
    assert CallbackHandler.call_event is unpatched
