"""Ctrl-C at a real process leaves a checkpoint that goes on as if nothing had been; the bar shows what matters."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from processes import Script
from tiny_trainer import assert_equal_weights, build, sharp_model, weights_of
from torch import Tensor
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_muonclip import MuonClipCallback
from hf_muonclip.runs.log import read_log
from hf_muonclip.trainer.console import ProgressBar, SaveOnInterrupt


def test_the_bar_shows_loss_max_logit_and_clipped_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = build(tmp_path, sharp_model(), callbacks=[MuonClipCallback()], disable_tqdm=False)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(ProgressBar)
    trainer.train()
    logged = [row for row in trainer.state.log_history if "loss" in row]
    shown = capsys.readouterr().err
    for row in logged:
        figures = f"loss={row['loss']:.3f}, max logit={row['qk_clip/max_logit']:.1f}"
        assert f"{figures}, clipped={row['qk_clip/clipped_heads']}" in shown
    assert "layer_0" not in shown


class AnnounceSteps(TrainerCallback):
    """Say when a step begins, and wait a while in one of them, so that a signal can hit it."""

    def __init__(self, slow_step: int, seconds: float) -> None:
        self.slow_step = slow_step
        self.seconds = seconds

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step + 1 == self.slow_step:
            print("waiting", flush=True)
            time.sleep(self.seconds)
            print("waited", flush=True)


def interruptible_run(folder: Path, slow_step: int, seconds: float, resume: bool = False) -> dict[str, Tensor]:
    interrupt = SaveOnInterrupt()
    callbacks = [MuonClipCallback(), interrupt, AnnounceSteps(slow_step, seconds)]
    trainer = build(folder, sharp_model("deepseek_v3"), callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    print(f"interrupted: {interrupt.interrupted} at {trainer.state.global_step}", flush=True)
    return weights_of(trainer)


def start_run(folder: Path, seconds: float) -> Script:
    """Start a run in a process of its own, and return when its third step has begun."""
    program = (
        f"from pathlib import Path; import test_console as t; t.interruptible_run(Path({str(folder)!r}), 3, {seconds})"
    )
    process = Script("-c", program, folder=folder.parent)
    process.wait_for("waiting")
    return process


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    process = start_run(tmp_path / "interrupted", seconds=2.0)
    process.interrupt()
    code, output, errors = process.ended(timeout=60)
    assert code == 0, errors
    assert "interrupted: True at 3" in output
    assert [path.name for path in (tmp_path / "interrupted").glob("checkpoint-*")] == ["checkpoint-3"]
    resumed = interruptible_run(tmp_path / "interrupted", 0, 0.0, resume=True)
    whole = interruptible_run(tmp_path / "whole", 0, 0.0)
    assert_equal_weights(resumed, whole)
    assert read_log(tmp_path / "interrupted") == read_log(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    process = start_run(tmp_path, seconds=300.0)
    process.interrupt()
    time.sleep(1.0)
    assert process.runs()  # the first one waits for the step to end
    process.interrupt()
    code, output, errors = process.ended(timeout=120)
    assert code > 0, errors  # and was not killed for going on
    assert "KeyboardInterrupt" in errors
    assert "waited" not in output
    assert not list(tmp_path.glob("checkpoint-*"))


class InterruptAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step + 1 == self.step:
            signal.raise_signal(signal.SIGINT)


def test_one_callback_serves_several_trainings_and_gives_sigint_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupt, when = SaveOnInterrupt(), InterruptAt(2)
    trainer = build(tmp_path, callbacks=[MuonClipCallback(), interrupt, when])
    trainer.train()
    assert interrupt.interrupted
    assert trainer.state.global_step == 2
    assert (tmp_path / "checkpoint-2" / "optimizer.pt").exists()
    assert signal.getsignal(signal.SIGINT) is before

    when.step = 0
    trainer.train(resume_from_checkpoint=True)
    assert not interrupt.interrupted
    assert trainer.state.global_step == 6
    assert signal.getsignal(signal.SIGINT) is before


def test_a_training_that_failed_does_not_keep_sigint_from_the_next(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    class Fail(TrainerCallback):
        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            raise RuntimeError("no more memory")

    interrupt, fail = SaveOnInterrupt(), Fail()
    trainer = build(tmp_path, callbacks=[MuonClipCallback(), interrupt, fail])
    try:
        with pytest.raises(RuntimeError, match="no more memory"):
            trainer.train()
        trainer.remove_callback(fail)
        trainer.add_callback(InterruptAt(1))
        trainer.add_callback(InterruptAt(1))
        with pytest.raises(KeyboardInterrupt):  # the second one stops at once, as ever
            trainer.train()
    finally:
        signal.signal(signal.SIGINT, before)
