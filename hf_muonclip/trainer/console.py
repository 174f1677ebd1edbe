"""A readable progress bar for the terminal, and Ctrl-C that saves a checkpoint.

Trainer(..., callbacks=[MuonClipCallback(), SaveOnInterrupt()])
trainer.remove_callback(ProgressCallback)
trainer.add_callback(ProgressBar)
"""

import math
import signal
import threading
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from transformers.trainer_callback import ProgressCallback, TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..common.ranks import num_ranks


class ProgressBar(ProgressCallback):
    """The Trainer's bar with loss, max logit and clipped heads, instead of a line with every figure per log."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the figures of a training log beside the bar."""
        bar: Any = self.training_bar
        if bar is None or "loss" not in (logs or {}):
            return
        shown = {"loss": f"{logs['loss']:.3f}"}
        if "qk_clip/clipped_heads" in logs:
            shown |= {
                "max logit": f"{logs.get('qk_clip/max_logit', math.nan):.1f}",
                "clipped": f"{logs['qk_clip/clipped_heads']}",
            }
        bar.set_postfix(shown)


class SaveOnInterrupt(TrainerCallback):
    """Turn Ctrl-C into a checkpoint: finish the step, save, stop. A second Ctrl-C stops at once.

    Attributes:
        interrupted: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._previous: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Install the handler of SIGINT, in the main thread only."""
        self.interrupted = False
        if threading.current_thread() is threading.main_thread():
            previous = signal.signal(signal.SIGINT, self._handle)
            if previous != self._handle:  # else an earlier train() failed before it could give SIGINT back
                self._previous = previous

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, self._previous)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save and stop after the step in which Ctrl-C was pressed. Collective: all processes stop together."""
        if num_ranks() > 1:
            interrupted = torch.tensor(float(self.interrupted), device=args.device)
            dist.all_reduce(interrupted, op=dist.ReduceOp.MAX)
            self.interrupted = bool(interrupted)
        if self.interrupted:
            control.should_save = True
            control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Restore the handler of SIGINT."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
