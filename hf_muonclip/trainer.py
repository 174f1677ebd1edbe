"""What the Trainer sees of MuonClip: figures in its logs and trackers, and statistics per head in its state."""

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_callback import ExportableState, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import SaveStrategy
from transformers.training_args import TrainingArguments

from . import __version__
from .attention import HeadLayout
from .checkpoint import load_saved_form, loads_saved_form
from .clip_state import ClipState
from .hub.trainer_push import complete_config, complete_next_push, forget_push, newest_checkpoint
from .muon_clip import MuonClip
from .run_figures import describe_run
from .run_log import LOG_NAME as LOG_NAME
from .run_log import append_row, start_log
from .run_log import read_log as read_log
from .training_logs import start_adding, stop_adding


class ClipStatistics:
    """Per head: when it was first and last clipped, how often, and the highest max logit measured.

    Attributes:
        first_clip_step: (heads of all modules,), int; 0 where never clipped.
        last_clip_step: likewise.
        clips: (heads of all modules,), int; clipped steps.
        highest: (heads of all modules,), float32; -inf where never measured.
    """

    def __init__(self, num_attention_heads: Mapping[str, int]) -> None:
        self.num_attention_heads = dict(num_attention_heads)
        total = sum(self.num_attention_heads.values())
        self.first_clip_step = torch.zeros(total, dtype=torch.long)
        self.last_clip_step = torch.zeros(total, dtype=torch.long)
        self.clips = torch.zeros(total, dtype=torch.long)
        self.highest = torch.full((total,), -math.inf)

    def record(self, step: int, max_logits: Tensor, clipped: Tensor) -> None:
        """Count one step.

        Args:
            step: the step's number, from 1.
            max_logits: (heads of all modules,), float32.
            clipped: (heads of all modules,), bool.
        """
        self.highest = torch.maximum(self.highest, max_logits)
        self.clips += clipped
        self.last_clip_step[clipped] = step
        self.first_clip_step[clipped & (self.first_clip_step == 0)] = step

    @property
    def clipped_heads(self) -> int:
        """Heads clipped at least once."""
        return int((self.clips > 0).sum())

    def to_dict(self) -> dict[str, dict[str, list[float | None]]]:
        """Return {module: {figure: one value per head}}; None where there is none."""
        figures = {
            "first_clip_step": [int(step) or None for step in self.first_clip_step],
            "last_clip_step": [int(step) or None for step in self.last_clip_step],
            "clips": self.clips.tolist(),
            "highest_max_logit": [_finite_or_none(value) for value in self.highest.tolist()],
        }
        exported: dict[str, dict[str, list[float | None]]] = {}
        start = 0
        for name, count in self.num_attention_heads.items():
            exported[name] = {figure: values[start : start + count] for figure, values in figures.items()}
            start += count
        return exported

    def load_dict(self, exported: Mapping[str, Mapping[str, list[float | None]]]) -> None:
        """Take over what `to_dict` returned.

        Raises:
            ValueError: it is of other modules or head counts.
        """
        found = {name: len(figures["clips"]) for name, figures in exported.items()}
        if found != self.num_attention_heads:
            raise ValueError(
                f"the checkpoint's clip statistics must be of this model's heads; it has {found}, the model "
                f"{self.num_attention_heads}. Resume from a checkpoint of this model."
            )

        def flat(figure: str, missing: float) -> list[float]:
            values = [value for name in self.num_attention_heads for value in exported[name][figure]]
            return [missing if value is None else value for value in values]

        self.first_clip_step = torch.tensor(flat("first_clip_step", 0), dtype=torch.long)
        self.last_clip_step = torch.tensor(flat("last_clip_step", 0), dtype=torch.long)
        self.clips = torch.tensor(flat("clips", 0), dtype=torch.long)
        self.highest = torch.tensor(flat("highest_max_logit", -math.inf))


class MuonClipCallback(TrainerCallback, ExportableState):
    """Log what QK-Clip sees and does.

    With every training log, to all trackers and `trainer_state.json`: `qk_clip/max_logit` (the highest since the last
    log), `qk_clip/max_logit/layer_N`, `qk_clip/clipped_heads` (distinct heads clipped since the last log) and
    `qk_clip/clipped_heads_ever`. Steps that log measure every head exactly; on a CPU the steps between measure those
    that may exceed the threshold. Per head, one line per log goes to `qk_clip.jsonl` in the output folder, and first
    and last clipped step, clip count and highest max logit go into the Trainer's state, from which they resume.

    Capture rests in evaluation and generation: only forwards with gradients in training mode count.

    It also makes the Trainer resume mixture-of-experts models, whose experts it saves in another form than it loads,
    adds to the config.json of checkpoints what engines read, and with `push_to_hub=True` puts the run's model card into
    the repository, at every push; a card that somebody wrote by hand stays.

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
        self._clip: ClipState | None = None
        self._step_started = 0.0
        self._updates_seen = 0
        self._log_folder: str | None = None
        self._since_log_max = torch.empty(0)
        self._since_log_clips = torch.empty(0, dtype=torch.long)

    @property
    def capture_seconds(self) -> float:
        """Host time spent measuring max logits."""
        capture = None if self._clip is None else self._clip.capture
        return 0.0 if capture is None else capture.seconds

    @property
    def clip_seconds(self) -> float:
        """Host time spent collecting maxima and clipping."""
        return 0.0 if self._clip is None else self._clip.clip_seconds

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: no arguments, what the run was given, and the statistics per head."""
        if not self._run:
            return {"args": {}, "attributes": {}}
        run = {"exported_run": {**self._run, "seconds": round(self.train_seconds, 3)}}
        if self.statistics is None:
            return {"args": {}, "attributes": run}
        since_log = {
            "max_logits": [_finite_or_none(value) for value in self._since_log_max.tolist()],
            "clips": self._since_log_clips.tolist(),
        }
        exported = {"exported_statistics": self.statistics.to_dict(), "exported_since_log": since_log}
        return {"args": {}, "attributes": {**run, **exported}}

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Let the Trainer resume experts, which it saves in another form than it loads."""
        if kwargs.get("model") is not None:
            load_saved_form(kwargs["model"])

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Find the clip, take up the statistics of a resumed run, and open the log."""
        forget_push(self)  # one that failed
        self._clip = clip = self._find_clip(args, state, kwargs.get("model"), kwargs["optimizer"])
        self._updates_seen = clip.updates
        if isinstance(clip, MuonClip):
            clip.state_is_consolidated = True  # by this callback, before every save
        self._log_folder = None
        self._run = describe_run(args, clip, kwargs["optimizer"], kwargs.get("lr_scheduler"))
        saved = self._saved_attributes(state)
        self.train_seconds = saved.get("exported_run", {}).get("seconds", 0.0)
        self._clock_started = time.perf_counter()
        if clip.layout is None:
            return
        counts = {name: layout.num_attention_heads for name, layout in clip.layout.items()}
        self.statistics = ClipStatistics(counts)
        self._forget_since_log()
        if "exported_statistics" in saved:
            self.statistics.load_dict(saved["exported_statistics"])
            since_log = saved["exported_since_log"]
            self._since_log_max = torch.tensor([-math.inf if v is None else v for v in since_log["max_logits"]])
            self._since_log_clips = torch.tensor(since_log["clips"], dtype=torch.long)
        if state.is_world_process_zero and args.output_dir:
            self._log_folder = args.output_dir
            start_log(args.output_dir, self._log_header(state, kwargs.get("model")), state.global_step)
        start_adding(self)

    def _saved_attributes(self, state: TrainerState) -> dict[str, Any]:
        """Return what `state` kept of the run that is resumed; nothing for a new one."""
        stored: Any = state.stateful_callbacks
        saved = (stored or {}).get(type(self).__name__)
        return saved["attributes"] if state.global_step > 0 and isinstance(saved, dict) else {}

    def _find_clip(
        self, args: TrainingArguments, state: TrainerState, model: nn.Module | None, optimizer: Any
    ) -> ClipState:
        optimizer = getattr(optimizer, "optimizer", optimizer)  # Accelerate's wrapper
        if not isinstance(optimizer, MuonClip):
            raise ValueError(
                f"MuonClipCallback watches a MuonClip optimizer; this Trainer uses {type(optimizer).__name__}. Pass "
                "optimizers=muonclip(model, args), or call attach(trainer); beside DeepSpeed's own optimizer, pass "
                "callbacks=[DeepSpeedClipCallback()]."
            )
        if state.global_step > 0 and model is not None and not loads_saved_form(model):
            experts = [p.name for p in optimizer.plan if len(p.shape) == 3 and p.algorithm == "muon"]
            if experts:
                raise ValueError(
                    f"the Trainer does not resume tensors of several experts by itself; {experts[0]} is one, and this "
                    "model and MuonClipCallback did not enter the Trainer together (model_init, or add_callback). "
                    "Construct it as Trainer(model, args, callbacks=[MuonClipCallback()], ...)."
                )
        return optimizer

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the Trainer's logging as it was, and the statistics in its state, for `trainer.save_state()`."""
        stop_adding(self)
        self._append_to_log({"finished": state.global_step})
        kept: Any = state.stateful_callbacks
        kept[type(self).__name__] = self.state()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure every head exactly in a step that will be logged."""
        if self._clip is None or self._clip.capture is None:
            return
        step = state.global_step + 1
        logs = args.logging_strategy == "epoch"  # any step may be the last of one
        if args.logging_strategy == "steps":
            logs = step % max(1, state.logging_steps) == 0 or (step == 1 and args.logging_first_step)
        self._clip.capture.screen_threshold = None if logs else self._clip.screen_threshold

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._step_started = time.perf_counter()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count what the step saw and clipped."""
        self.step_seconds += time.perf_counter() - self._step_started
        clip = self._clip
        if clip is None or clip.capture is None or self.statistics is None:
            return
        if clip.updates == self._updates_seen:
            # The step was not taken: a GradScaler found an overflow, or a gradient was not finite. Its logits do not
            # belong to the next one.
            clip.capture.reset()
            return
        self._updates_seen = clip.updates
        max_logits = torch.cat(list(clip.max_logits.values()))
        untouched = {name: torch.ones_like(logits) for name, logits in clip.max_logits.items()}
        clipped = torch.cat(list((untouched | clip.gammas).values())) < 1
        self.statistics.record(state.global_step + 1, max_logits, clipped)
        self._since_log_max = torch.maximum(self._since_log_max, max_logits)
        self._since_log_clips += clipped

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Gather the optimizer's state where a save follows: the Trainer asks one rank alone for it."""
        self.train_seconds += time.perf_counter() - self._clock_started
        self._clock_started = time.perf_counter()
        if control.should_save:
            self._consolidate(args)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """As after a step."""
        if control.should_save:
            self._consolidate(args)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """As after a step, where the evaluation decides whether to save."""
        self._clock_started = time.perf_counter()
        if args.save_strategy == SaveStrategy.BEST:
            self._consolidate(args)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Let engines read the checkpoint too, and leave the save out of the training time."""
        if args.should_save:
            complete_config(kwargs.get("model"), newest_checkpoint(args, state), resumable=True)
        self._clock_started = time.perf_counter()

    def on_push_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Complete what is pushed: a config.json that engines read, and the run's model card."""
        if state.is_world_process_zero:
            complete_config(kwargs.get("model"), newest_checkpoint(args, state), resumable=True)
            complete_next_push(kwargs.get("model"), args, state, self)

    def _consolidate(self, args: TrainingArguments) -> None:
        if isinstance(self._clip, MuonClip) and not args.save_only_model:
            self._clip.consolidate_state_dict(keep=args.should_save)

    def add_figures(self, state: TrainerState, logs: dict[str, Any]) -> None:
        """Put the figures since the last log into `logs`, the Trainer's history and the per-head log."""
        if self.statistics is None or self._clip is None:
            return
        if "eval_loss" in logs:
            self._append_to_log({"step": state.global_step, "eval_loss": _json_number(logs["eval_loss"])})
        if "loss" not in logs:
            return
        assert self._clip.layout is not None
        per_module = self._since_log_max.split(list(self.statistics.num_attention_heads.values()))
        figures: dict[str, float] = {}
        for label, maxima in zip(_layer_labels(self._clip.layout), per_module, strict=True):
            if maxima.max() > -math.inf:
                figures[f"qk_clip/max_logit/{label}"] = round(float(maxima.max()), 4)
        if figures:
            figures = {"qk_clip/max_logit": max(figures.values()), **figures}
        figures["qk_clip/clipped_heads"] = int((self._since_log_clips > 0).sum())
        figures["qk_clip/clipped_heads_ever"] = self.statistics.clipped_heads
        logs.update(figures)
        state.log_history[-1].update(figures)
        counts = list(self.statistics.num_attention_heads.values())
        names = list(self.statistics.num_attention_heads)
        row: dict[str, Any] = {
            "step": state.global_step,
            "threshold": _finite_or_none(self._clip.config.qk_clip_threshold),
            "max_logits": {n: [_finite_or_none(v) for v in t.tolist()] for n, t in zip(names, per_module, strict=True)},
            "clips": {n: t.tolist() for n, t in zip(names, self._since_log_clips.split(counts), strict=True)},
            "last_clip_step": int(self.statistics.last_clip_step.max()) or None,
            "seconds": round(self.train_seconds, 3),
        }
        row |= {name: _json_number(logs[name]) for name in ("loss", "learning_rate", "epoch") if name in logs}
        self._append_to_log(row)
        self._forget_since_log()

    def _log_header(self, state: TrainerState, model: nn.Module | None) -> dict[str, Any]:
        config = getattr(model, "config", None)
        return {
            "hf_muonclip": __version__,
            "model": None if model is None else type(model).__name__,
            "model_name": getattr(config, "name_or_path", "") or None,
            "max_steps": state.max_steps,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": self._run,
        }

    def _append_to_log(self, row: Mapping[str, Any]) -> None:
        if self._log_folder is not None:
            append_row(self._log_folder, row)

    def _forget_since_log(self) -> None:
        assert self.statistics is not None
        self._since_log_max = torch.full_like(self.statistics.highest, -math.inf)
        self._since_log_clips = torch.zeros_like(self.statistics.clips)


def _layer_labels(layout: HeadLayout) -> list[str]:
    """Return "layer_3" for "model.layers.3.self_attn"; module names where that would not be unique."""
    numbers = [re.findall(r"\d+", name) for name in layout]
    labels = [f"layer_{found[0]}" if len(found) == 1 else name for found, name in zip(numbers, layout, strict=True)]
    return labels if len(set(labels)) == len(labels) else list(layout)


def _finite_or_none(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def _json_number(value: float) -> float | None:
    """Return a figure as JSON can hold it, which knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
