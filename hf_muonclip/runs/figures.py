"""The figures of a training run: what `MuonClipCallback` keeps of it in the Trainer's state, read back for people.

`describe_run` and `ClipStatistics` write, `figures_of_run` reads. A figure that nobody measured stays None.
"""

import csv
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers.trainer_callback import TrainerState
from transformers.training_args import TrainingArguments

from .. import __version__
from ..config import MuonClipConfig
from ..muon_clip import MuonClip
from .clip_statistics import finite_or_none

StrPath = str | Path

# In the order in which people read them; the Trainer's state is sorted by name.
_SETTINGS = (
    "optimizer",
    "learning rate, peak",
    "learning rate, schedule",
    "weight decay",
    "momentum",
    "Newton–Schulz",
    "scale of updates",
    "AdamW, for the rest",
    "QK-Clip, tau",
    "sequences per step",
    "gradient clipping",
    "precision",
)
_EVALUATED = "eval_"
_NO_SCORES = ("loss", "runtime", "samples_per_second", "steps_per_second", "model_preparation_time", "num_tokens")
_DEPENDENCIES = ("torch", "transformers", "accelerate")
_PACKAGES = ("hf_muonclip", *_DEPENDENCIES)


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """What a training run measured and was given; the card leaves out what is None or empty.

    Attributes:
        dataset: name of the dataset, for people.
        tokens: tokens trained on; a token seen twice counts twice.
        steps: optimizer steps.
        seconds: wall clock time of training.
        hardware: for example "AMD EPYC 9554, 2 threads".
        seed: random seed.
        train_loss: training loss at the last log.
        eval_loss: evaluation loss after training.
        eval_loss_before: evaluation loss on the same data before training, for a fine-tuned model.
        token_loss: whether these losses are a language model's own, in nats per token: their exponential is then a
            perplexity. Of a model of another kind a card shows none in any case.
        eval_metrics: what `compute_metrics` returned in the last evaluation, by name.
        emissions_grams: CO2-equivalent of the run, where it was measured or estimated.
        optimizer: its settings by name.
        versions: package versions by name.
    """

    dataset: str | None = None
    tokens: int | None = None
    steps: int | None = None
    seconds: float | None = None
    hardware: str | None = None
    seed: int | None = None
    train_loss: float | None = None
    eval_loss: float | None = None
    eval_loss_before: float | None = None
    token_loss: bool = True
    eval_metrics: Mapping[str, float] = field(default_factory=dict)
    emissions_grams: float | None = None
    optimizer: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClipFigures:
    """What QK-Clip did in a run.

    Attributes:
        threshold: tau, in logits; inf if the run only measured.
        heads: attention heads of the model.
        heads_clipped: number of heads that were clipped at least once.
        clips: times that a head was clipped, summed over heads and steps.
        first_step: first step in which a head was clipped; None if none was.
        last_step: last step in which a head was clipped; None if none was.
        steps: number of steps of the run.
        highest_max_logit: over all heads and steps, before the clip.
    """

    threshold: float
    heads: int
    heads_clipped: int
    clips: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    steps: int | None = None
    highest_max_logit: float | None = None


def figures_of_run(folder: StrPath, *, dataset: str | None = None) -> tuple[RunFigures, ClipFigures | None]:
    """Read the figures of a run from the Trainer's output folder.

    Losses, steps and tokens come from `trainer_state.json` (or the newest checkpoint's), settings, time and QK-Clip's
    statistics from what `MuonClipCallback` left there. Tokens are known with `TrainingArguments(
    include_num_input_tokens_seen="all")`, a loss before training with `eval_on_start=True`, and emissions where
    CodeCarbon wrote its `emissions.csv` into the folder.

    Args:
        folder: `output_dir` of a run with `MuonClipCallback`, after `trainer.save_state()` or a checkpoint.
        dataset: its name, which no file holds.

    Returns:
        (figures of the run, figures of QK-Clip; None without it, and where the run's settings were not kept).

    Raises:
        FileNotFoundError: the folder has no `trainer_state.json`, in itself or in a checkpoint.
    """
    folder = Path(folder)
    state = json.loads(newest_state(folder).read_text(encoding="utf-8"))
    return figures_of_state(state, dataset=dataset, emissions_grams=_emissions_grams(folder / "emissions.csv"))


def figures_of_state(
    state: Mapping[str, Any], *, dataset: str | None = None, emissions_grams: float | None = None
) -> tuple[RunFigures, ClipFigures | None]:
    """Read the figures from `dataclasses.asdict(trainer.state)`; see `figures_of_run`."""
    kept = callback_attributes(state)
    run: Mapping[str, Any] = kept.get("exported_run", {})
    losses = [row["loss"] for row in state["log_history"] if "loss" in row]
    evaluations = [(row["step"], row["eval_loss"]) for row in state["log_history"] if "eval_loss" in row]
    after = [loss for step, loss in evaluations if step > 0]
    before = [loss for step, loss in evaluations if step == 0]
    figures = RunFigures(
        dataset=dataset,
        tokens=state["num_input_tokens_seen"] or None,
        steps=state["global_step"],
        seconds=run.get("seconds"),
        hardware=run.get("hardware"),
        seed=run.get("seed"),
        train_loss=losses[-1] if losses else None,
        eval_loss=after[-1] if after else None,
        eval_loss_before=before[0] if before else None,
        token_loss=run.get("token_loss", True),
        eval_metrics=_eval_metrics(state["log_history"]),
        emissions_grams=emissions_grams,
        optimizer={name: run["optimizer"][name] for name in _SETTINGS if name in run.get("optimizer", {})},
        versions={name: run["versions"][name] for name in _PACKAGES if name in run.get("versions", {})},
    )
    statistics: Mapping[str, Mapping[str, list[float | None]]] = kept.get("exported_statistics", {})
    # Checkpoints of earlier versions lack the threshold, and a run without one would pass for measured only.
    return figures, _clip_figures(statistics, run, state["global_step"]) if statistics and run else None


def describe_run(
    args: TrainingArguments, config: MuonClipConfig, optimizer: Any, lr_scheduler: Any, state: TrainerState
) -> dict[str, Any]:
    """Return what a run was given and where it runs, in JSON's types: optimizer, seed, threshold, hardware, versions.

    Args:
        args: the Trainer's arguments.
        config: settings of what `MuonClipCallback` watches.
        optimizer: the Trainer's optimizer.
        lr_scheduler: the Trainer's scheduler.
        state: the Trainer's state, whose batch size `auto_find_batch_size` changes.
    """
    batch_size = (args.auto_find_batch_size and state.train_batch_size) or args.train_batch_size
    optimizer = getattr(optimizer, "optimizer", optimizer)  # Accelerate's wrapper
    settings: dict[str, object] = {"optimizer": type(optimizer).__name__}
    if isinstance(optimizer, MuonClip):
        settings |= {
            "learning rate, peak": float(optimizer.defaults["lr"]),
            "learning rate, schedule": _schedule_name(args, lr_scheduler),
            "weight decay": optimizer.defaults["weight_decay"],
            "momentum": f"{config.momentum:g}{', Nesterov' if config.nesterov else ''}",
            "Newton–Schulz": f"{config.ns_coefficients}" + (f", {config.ns_steps} steps" if config.ns_steps else ""),
            "scale of updates": config.adjust_lr_fn,
            "AdamW, for the rest": "betas {:g}, {:g}; eps {:g}".format(
                *optimizer.defaults["adamw_betas"], optimizer.defaults["adamw_eps"]
            ),
        }
    else:
        settings |= {"learning rate, peak": args.learning_rate, "weight decay": args.weight_decay}
    if config.qk_clip_threshold is not None:
        settings["QK-Clip, tau"] = finite_or_none(config.qk_clip_threshold, digits=None) or "infinite: measured only"
    settings |= {
        "sequences per step": batch_size * args.gradient_accumulation_steps * args.world_size,
        "gradient clipping": args.max_grad_norm or "none",
        "precision": "bfloat16, mixed" if args.bf16 else "float16, mixed" if args.fp16 else "as the weights",
    }
    assert settings.keys() <= set(_SETTINGS)
    described = {
        "optimizer": settings,
        "threshold": finite_or_none(config.qk_clip_threshold, digits=None),
        "seed": args.seed,
        "hardware": _hardware(args.world_size),
        "world_size": args.world_size,
        "versions": {"hf_muonclip": __version__, **{name: version(name) for name in _DEPENDENCIES}},
    }
    # A setting may be one of NumPy's numbers or a tensor, and the Trainer's state would then not be written.
    return json.loads(json.dumps(described, default=_plain))  # type: ignore[no-any-return]


def _plain(value: Any) -> float | str:
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def newest_state(folder: Path) -> Path:
    """Return the path of a run's `trainer_state.json`: its own or a checkpoint's, whichever has most steps.

    Raises:
        FileNotFoundError: neither is there.
    """
    candidates = (folder / "trainer_state.json", *folder.glob("checkpoint-*/trainer_state.json"))
    states = [path for path in candidates if path.exists()]
    if not states:
        raise FileNotFoundError(
            f"a run's folder holds trainer_state.json or a checkpoint; {folder} has neither. Call "
            "trainer.save_state() after training."
        )
    # Of equals max takes the first, the run's own.
    return max(states, key=lambda path: json.loads(path.read_text(encoding="utf-8"))["global_step"])


def callback_attributes(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `MuonClipCallback` kept, found by its content: a subclass is stored under its own name."""
    for kept in (state.get("stateful_callbacks") or {}).values():
        attributes: Mapping[str, Any] = kept["attributes"] if isinstance(kept, dict) else {}
        if "exported_run" in attributes or "exported_statistics" in attributes:
            return attributes
    return {}


def _eval_metrics(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the scores of the last evaluation, without its loss and its speed."""
    rows = [row for row in history if any(name.startswith(_EVALUATED) for name in row)]
    last = rows[-1] if rows else {}
    scores = {name.removeprefix(_EVALUATED): value for name, value in last.items() if name.startswith(_EVALUATED)}
    return {
        name: float(value)
        for name, value in scores.items()
        if name not in _NO_SCORES and isinstance(value, int | float) and math.isfinite(value)
    }


def _clip_figures(
    statistics: Mapping[str, Mapping[str, list[float | None]]], run: Mapping[str, Any], steps: int
) -> ClipFigures:
    def of_heads(figure: str) -> list[float]:
        return [value for heads in statistics.values() for value in heads[figure] if value is not None]

    threshold = run.get("threshold")
    clips, first, last = of_heads("clips"), of_heads("first_clip_step"), of_heads("last_clip_step")
    return ClipFigures(
        threshold=math.inf if threshold is None else threshold,
        heads=len(clips),
        heads_clipped=len(first),
        clips=int(sum(clips)),
        first_step=int(min(first)) if first else None,
        last_step=int(max(last)) if last else None,
        steps=steps,
        highest_max_logit=max(of_heads("highest_max_logit"), default=None),
    )


def _schedule_name(args: TrainingArguments, lr_scheduler: Any) -> str:
    """Return the Trainer's schedule with its warm-up, or the class of one that the user built."""
    scheduler = getattr(lr_scheduler, "scheduler", lr_scheduler)  # Accelerate's wrapper
    if scheduler is None or type(scheduler) is LambdaLR:  # what transformers' own schedules are
        warmup = ""
        if args.warmup_steps:
            share = args.warmup_steps < 1
            warmup = f", {args.warmup_steps:.0%} warm-up" if share else f", {args.warmup_steps:g} warm-up steps"
        return f"{getattr(args.lr_scheduler_type, 'value', args.lr_scheduler_type)}{warmup}"
    return type(scheduler).__name__


def _hardware(world_size: int) -> str:
    if torch.cuda.is_available():
        return f"{world_size} x {torch.cuda.get_device_name()}"
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    processes = f"{world_size} processes of " if world_size > 1 else ""
    return f"{processor}, {processes}{threads} {'thread' if threads == 1 else 'threads'}"


def _emissions_grams(path: Path) -> float | None:
    """Return the emissions of all rows of CodeCarbon's file, which gives kilograms."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return sum(float(row["emissions"]) for row in csv.DictReader(file)) * 1e3
