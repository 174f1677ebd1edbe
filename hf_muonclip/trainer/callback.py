"""The Trainer's callback for MuonClip: figures in logs and trackers, and statistics per head in the Trainer's state."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_callback import ExportableState, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, SaveStrategy
from transformers.training_args import TrainingArguments

from ..clip import QKClip
from ..common.loggers import get_logger
from ..config import MuonClipConfig
from ..models.quantized_saves import refuse_unsaved
from ..models.token_loss import TokenLoss
from ..models.trained_dtypes import describe_rounding
from ..muon_clip import ClippedStep, MuonClip
from ..runs.clip_statistics import ClipStatistics, SinceLastLog, finite_or_none
from ..runs.figures import describe_run
from ..runs.log import folder_of_run
from ..runs.log_figures import start_adding, stop_adding
from ..runs.log_writer import LogWriter, run_header
from .adapter_checkpoints import AdapterSaves
from .additions import Additions
from .missing_callback import callback_reports
from .push import complete_config, complete_next_push, forget_push
from .resume_experts import load_saved_form, loads_saved_form
from .resuming import resume_well

logger = get_logger(__name__)


class Watched(Protocol):
    """Interface of what `MuonClipCallback` watches: MuonClip, or the clip beside another optimizer.

    Attributes:
        config: the settings.
        clip: measures and clips.
        last_step: the result of the last step; a new object for each, None before the first.
    """

    config: MuonClipConfig
    clip: QKClip
    last_step: ClippedStep | None


class MuonClipCallback(TrainerCallback, ExportableState):
    """Log the figures of Muon and QK-Clip.

    The figures `qk_clip/...` and `muon/...` go with every training log to all trackers and `trainer_state.json`;
    `hf_muonclip.runs.figure_names.FIGURES` says what each means.

    Logged steps measure every head exactly; on a CPU the steps between measure only those that may exceed the
    threshold. Per head, one line per log goes to `qk_clip.jsonl` in the output folder, and first and last clipped step,
    clip count and highest max logit go into the Trainer's state, from which they resume. A tracker that fails during
    training causes one warning, and the training goes on.

    Nothing is captured in evaluation and generation: only forwards with gradients in training mode count.

    It also makes the Trainer resume mixture-of-experts models, whose experts it saves in another form than it loads,
    adds to the config.json of checkpoints what engines read, and with `push_to_hub=True` puts the run's model card into
    the repository, at every push; a card that somebody wrote by hand stays. If any of this fails, it is left out, one
    warning says why, and the run goes on.

    Attributes:
        statistics: per head, over the run so far; None before training.
        train_seconds: wall clock of training so far, without evaluations and saves; resumes.
        step_seconds: host time spent in optimizer steps, clip included.
        capture_seconds: host time spent measuring max logits.
        clip_seconds: host time spent collecting maxima and clipping.
    """

    def __init__(self) -> None:
        self.statistics: ClipStatistics | None = None
        self.train_seconds = 0.0
        self.step_seconds = 0.0
        self._run: dict[str, Any] = {}
        self._clock_started = 0.0
        self._watched: Watched | None = None
        self._adapter_saves: AdapterSaves | None = None
        self._additions = Additions()
        self._token_loss: TokenLoss | None = None
        self._step_started = 0.0
        self._last_step: ClippedStep | None = None
        self._trial = -1
        self._folder = Path()
        self._log: LogWriter | None = None
        self._since_log = SinceLastLog(0)
        self._since_log_skipped = 0
        self._skips = False
        self._update_rms: float | None = None
        self._idle_matrices: float | None = None
        self._first_step = 0
        self._said_rounding = ""
        resume_well(self)

    @property
    def capture_seconds(self) -> float:
        """Host time spent measuring max logits."""
        return 0.0 if self._watched is None else self._watched.clip.capture_seconds

    @property
    def clip_seconds(self) -> float:
        """Host time spent collecting maxima and clipping."""
        return 0.0 if self._watched is None else self._watched.clip.seconds

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the description of the run, and the statistics per head."""
        if self._watched is None:
            return {"args": {}, "attributes": {}}
        run = {"exported_run": {**self._run, "seconds": round(self.train_seconds, 3)}}
        if self.statistics is None:
            return {"args": {}, "attributes": run}
        exported = {
            "exported_statistics": self.statistics.to_dict(),
            "exported_since_log": self._since_log.to_dict(),
        }
        return {"args": {}, "attributes": {**run, **exported}}

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Enable the Trainer to resume experts, which it saves in another form than it loads."""
        if kwargs.get("model") is not None:
            load_saved_form(kwargs["model"])

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Find the optimizer, restore the statistics of a resumed run, and open the log."""
        forget_push(self)  # one that failed
        refuse_unsaved(kwargs.get("model"), args.save_strategy)
        watched = self._find_watched(args, state, kwargs.get("model"), kwargs["optimizer"])
        clip = watched.clip
        # A start again with smaller batches (auto_find_batch_size) is no new trial: it keeps its optimizer.
        self._trial += state.is_hyper_param_search and watched is not self._watched
        self._folder = folder_of_run(str(args.output_dir), state, self._trial)
        self._watched, self._last_step = watched, watched.last_step
        self._first_step = state.global_step
        self._warn_of_rounding(kwargs.get("model"))
        self._skips = args.fp16 or watched.config.nonfinite == "skip"
        self._since_log_skipped, self._update_rms, self._idle_matrices = 0, None, None
        callback_reports(watched)
        self._log = None
        self._note_loss()  # of a training that ended by an error
        self._run = {}
        with self._additions.adding("The description of the run in checkpoints and cards"):
            self._run = describe_run(args, watched.config, kwargs["optimizer"], kwargs.get("lr_scheduler"), state)
        if (model := kwargs.get("model")) is not None:
            self._token_loss = TokenLoss(model)
        saved = self._saved_attributes(state)
        self._adapter_saves = AdapterSaves(clip, kwargs.get("model"))
        self._adapter_saves.check_start(args, saved.get("exported_statistics"))
        self.train_seconds = saved.get("exported_run", {}).get("seconds", 0.0)
        self._clock_started = time.perf_counter()
        if clip.layout is None:
            self.statistics = None
            start_adding(self)
            return
        clip.forget()  # a forward before, such as one that ran out of memory
        counts = {name: layout.num_attention_heads for name, layout in clip.layout.items()}
        self.statistics = ClipStatistics(counts)
        self._since_log = SinceLastLog(self.statistics.total)
        if "exported_statistics" in saved:
            self.statistics.load_dict(saved["exported_statistics"])
            self._since_log.load_dict(saved["exported_since_log"])
        if state.is_world_process_zero and args.output_dir:
            model, run = kwargs.get("model"), self._run
            self._log = LogWriter(self._folder, lambda: run_header(model, state.max_steps, run), state.global_step)
        start_adding(self)

    def _newest_checkpoint(self, state: TrainerState) -> Path:
        return self._folder / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"

    def _saved_attributes(self, state: TrainerState) -> dict[str, Any]:
        """Return what `state` saved of the resumed run; {} for a new one."""
        stored: Any = state.stateful_callbacks
        saved = (stored or {}).get(type(self).__name__)
        return saved["attributes"] if state.global_step > 0 and isinstance(saved, dict) else {}

    def _find_watched(
        self, args: TrainingArguments, state: TrainerState, model: nn.Module | None, optimizer: Any
    ) -> Watched:
        optimizer = getattr(optimizer, "optimizer", optimizer)  # Accelerate's wrapper
        if not isinstance(optimizer, MuonClip):
            raise ValueError(
                f"MuonClipCallback needs a MuonClip optimizer; this Trainer uses {type(optimizer).__name__}. Pass "
                "optimizers=muonclip(model, args), or call attach(trainer); beside DeepSpeed's own optimizer, pass "
                "callbacks=[DeepSpeedClipCallback()]."
            )
        if state.global_step > 0 and isinstance(model, PreTrainedModel) and not loads_saved_form(model):
            experts = [p.name for p in optimizer.plan if len(p.shape) == 3 and p.algorithm == "muon"]
            if experts:
                raise ValueError(
                    f"the Trainer does not resume tensors of several experts by itself; {experts[0]} is one, and this "
                    "model did not pass through Trainer.train beside MuonClipCallback. Let a train() of your own call "
                    "super().train(), or construct the Trainer as Trainer(model, args, callbacks=[MuonClipCallback()])."
                )
        optimizer.check_model()  # now, and not only at the first step
        return optimizer

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Restore the Trainer's logging, and put the statistics into its state, for `trainer.save_state()`."""
        stop_adding(self)
        self._note_loss()
        if isinstance(self._watched, MuonClip):
            self._watched.measure_update_rms = False
        if args.should_save:
            self._warn_of_adapter_saves()
        self._append({"finished": state.global_step})
        kept: Any = state.stateful_callbacks
        kept[type(self).__name__] = self.state()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure every head exactly, and the update, in a step that will be logged."""
        watched = self._watched
        if watched is None:
            return
        step = state.global_step + 1
        logs = args.logging_strategy == "epoch"  # any step may be the last of one
        if args.logging_strategy == "steps":
            logs = step % max(1, state.logging_steps) == 0 or (step == 1 and args.logging_first_step)
        if isinstance(watched, MuonClip):
            watched.measure_update_rms = logs
        watched.clip.measure_exactly(logs)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record when the optimizer step starts."""
        self._step_started = time.perf_counter()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add the step's max logits and clips to the statistics."""
        self.step_seconds += time.perf_counter() - self._step_started
        watched = self._watched
        if watched is None:
            return
        before, step = self._last_step, watched.last_step
        self._last_step = step
        if step is None or step is before or not step.taken:
            # A GradScaler found an overflow, or a gradient was not finite. The logits do not belong to the next step.
            self._since_log_skipped += 1
            watched.clip.forget()
            return
        self._update_rms, self._idle_matrices = step.update_rms, step.idle_matrices
        if not step.max_logits or self.statistics is None:
            return
        max_logits = torch.cat(list(step.max_logits.values()))
        gammas = torch.cat(list(step.gammas.values()))
        self.statistics.record(state.global_step + 1, max_logits, gammas < 1)
        self._since_log.record(max_logits, gammas)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Gather the optimizer's state before a save, because the Trainer asks a single rank for it."""
        self.train_seconds += time.perf_counter() - self._clock_started
        self._clock_started = time.perf_counter()
        self._note_loss()
        if control.should_save:
            self._consolidate(args)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Gather the optimizer's state as `on_step_end`; a finished run that is resumed is not saved again."""
        if state.global_step == self._first_step:
            control.should_save = False
        if control.should_save:
            self._consolidate(args)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Gather the optimizer's state as `on_step_end`, if the evaluation decides whether to save."""
        self._clock_started = time.perf_counter()
        self._warn_of_rounding(kwargs.get("model"))
        if args.save_strategy == SaveStrategy.BEST:
            self._consolidate(args)

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any
    ) -> None:
        """Warn if the prediction has rounded the model's weights."""
        self._warn_of_rounding(kwargs.get("model"))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Complete the checkpoint's config.json for engines, and exclude the save from the training time."""
        if args.should_save:
            self._complete_checkpoint(kwargs.get("model"), state)
            self._warn_of_adapter_saves()
            self._warn_of_rounding(kwargs.get("model"))
        self._clock_started = time.perf_counter()

    def on_push_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add a config.json that engines read and the run's model card to the push."""
        if state.is_world_process_zero:
            self._complete_checkpoint(kwargs.get("model"), state)
            with self._additions.adding("The model card of the run"):
                complete_next_push(kwargs.get("model"), args, state, self, self._additions)

    def _note_loss(self) -> None:
        """Record whether the loss is a language model's own, for the card."""
        if self._token_loss is not None:
            self._token_loss.close()
            self._run["token_loss"] = bool(self._token_loss.seen)
            self._token_loss = None

    def _complete_checkpoint(self, model: nn.Module | None, state: TrainerState) -> None:
        with self._additions.adding("What engines read in a checkpoint's config.json"):
            complete_config(model, self._newest_checkpoint(state), resumable=True)

    def _warn_of_adapter_saves(self) -> None:
        if self._adapter_saves is not None and self.statistics is not None:
            with self._additions.adding("The warning of what an adapter's checkpoint lacks"):
                self._adapter_saves.warn(self.statistics)

    def _warn_of_rounding(self, model: nn.Module | None) -> None:
        """Warn once that the model's weights have been rounded since they were trained."""
        rounding = "" if model is None else describe_rounding(model)
        if rounding and rounding != self._said_rounding:
            logger.warning(
                "The model has changed: %s. Weights saved, pushed or trained from now on have lost that precision. "
                "Load the last checkpoint again, and save before you evaluate.",
                rounding,
            )
        self._said_rounding = rounding

    def _consolidate(self, args: TrainingArguments) -> None:
        if isinstance(self._watched, MuonClip) and not args.save_only_model:
            self._watched.consolidate_state_dict(keep=args.should_save)

    def add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        """Put the figures since the last log into `logs`, the Trainer's history and the per-head log."""
        if self._watched is None:
            return
        with self._additions.adding("What Muon and QK-Clip add to the training log"):
            self._add_figures(state, logs)

    def _add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        if "eval_loss" in logs:
            self._append({"step": state.global_step, "eval_loss": finite_or_none(logs["eval_loss"], digits=None)})
        if "loss" not in logs:
            return
        figures = {**self._clip_figures(), **self._muon_figures()}
        logs.update(figures)
        state.log_history[-1].update(figures)
        if self.statistics is not None:
            self._append(self._log_row(state, logs))
            self._since_log = SinceLastLog(self.statistics.total)

    def _clip_figures(self) -> dict[str, float]:
        if self.statistics is None or self._watched is None or self._watched.clip.layout is None:
            return {}
        return {
            **self._since_log.figures(self._watched.clip.layout),
            "qk_clip/clipped_heads_ever": self.statistics.clipped_heads,
        }

    def _muon_figures(self) -> dict[str, float]:
        figures: dict[str, float] = {}
        if self._update_rms is not None:
            figures["muon/update_rms"] = round(self._update_rms, 6)
        if self._idle_matrices is not None:
            figures["muon/idle_matrices"] = round(self._idle_matrices, 4)
        if self._skips and isinstance(self._watched, MuonClip):
            figures["muon/skipped_steps"] = self._since_log_skipped
        self._update_rms, self._idle_matrices, self._since_log_skipped = None, None, 0
        return figures

    def _append(self, row: Mapping[str, Any]) -> None:
        if self._log is not None:
            self._log.append(row)

    def _log_row(self, state: TrainerState, logs: Mapping[str, Any]) -> dict[str, Any]:
        assert self.statistics is not None
        assert self._watched is not None
        return {
            "step": state.global_step,
            "threshold": finite_or_none(self._watched.config.qk_clip_threshold, digits=None),
            **self._since_log.per_module(self.statistics.num_attention_heads),
            "last_clip_step": int(self.statistics.last_clip_step.max()) or None,
            "seconds": round(self.train_seconds, 3),
            **{
                name: finite_or_none(logs[name], digits=None)
                for name in ("loss", "learning_rate", "epoch")
                if name in logs
            },
        }
