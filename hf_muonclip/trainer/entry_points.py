"""The three ways to use MuonClip in a `transformers.Trainer`: optimizer, factory, or attached afterwards.

All three take the learning rate, decay, betas and epsilon from `TrainingArguments`, and every other setting from a
`MuonClipConfig` or from keywords.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from torch import nn

from ..config import MuonClipConfig
from ..models.quantized_saves import refuse_unsaved
from ..muon_clip import MuonClip
from ..optim.settings import check_group_settings
from .missing_callback import expect_callback

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

    from .callback import MuonClipCallback


def muonclip(
    model: nn.Module, args: "TrainingArguments | None" = None, config: MuonClipConfig | None = None, **overrides: Any
) -> tuple[MuonClip, None]:
    """Return the value for `Trainer(optimizers=...)`: the optimizer, and None so that the Trainer makes its scheduler.

    Args:
        model: the model to train.
        args: gives learning_rate, weight_decay, adam_beta1, adam_beta2 and adam_epsilon; without it, `MuonClip`'s own
            defaults apply. A subclass with fields of `MuonClipConfig`, as a hyper-parameter search over them needs,
            gives these too.
        config: the settings that `TrainingArguments` does not hold.
        overrides: any keyword of `MuonClip`; wins over `args`, and both over `config`.

    Returns:
        (optimizer, None).

    Raises:
        TypeError: an override that `MuonClip` does not take.
        ValueError: as `MuonClip`; or the Trainer would save a quantized model that transformers cannot save.
    """
    return _of_trainer(args, config, model, **overrides), None


def muonclip_factory(
    args: "TrainingArguments | None" = None, config: MuonClipConfig | None = None, **overrides: Any
) -> tuple[Callable[[], Callable[..., MuonClip]], dict[str, Any]]:
    """Return the value for `Trainer(optimizer_cls_and_kwargs=...)`, so that the Trainer builds the optimizer itself.

    For `model_init`, hyper-parameter search and every other case in which the final model exists only later. Arguments
    and errors as `muonclip`; `args` is read whenever an optimizer is built, so a trial's values count.
    """
    _settings(args, config, overrides)  # what is out of range would else be refused only when training starts
    # The Trainer calls this without arguments, and the result with the model and the overrides.
    return functools.partial(functools.partial, _of_trainer, args, config), overrides


def attach(trainer: "Trainer", config: MuonClipConfig | None = None, **overrides: Any) -> "MuonClipCallback":
    """Make any constructed Trainer train with MuonClip, also one that loads, wraps or extends its model itself.

    Args:
        trainer: not yet training; its `args` give learning rate, weight decay, betas and epsilon.
        config: the settings that `TrainingArguments` does not hold.
        overrides: any keyword of `MuonClip`.

    Returns:
        The trainer's `MuonClipCallback`, added if there was none.

    Raises:
        ValueError: the trainer has an optimizer already, or a setting is out of range.
        TypeError: an override that `MuonClip` does not take.
    """
    from .callback import MuonClipCallback
    from .resume_experts import load_saved_form

    refuse_unsaved(trainer.model, trainer.args.save_strategy)
    if trainer.optimizer is not None:
        raise ValueError(
            f"attach() needs a trainer without an optimizer; this one has {type(trainer.optimizer).__name__}. Call it "
            "before train(), and construct the trainer without optimizers=."
        )
    # The Trainer's own type names optimizer classes only, and its code takes factories too.
    factory: Any = muonclip_factory(trainer.args, config, **overrides)
    trainer.optimizer_cls_and_kwargs = factory
    if trainer.model is not None:
        load_saved_form(trainer.model)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, MuonClipCallback):
            return callback
    callback = MuonClipCallback()
    trainer.add_callback(callback)
    return callback


def _of_trainer(
    args: "TrainingArguments | None", config: MuonClipConfig | None, model: nn.Module, **overrides: Any
) -> MuonClip:
    if args is not None:
        refuse_unsaved(model, args.save_strategy)
    optimizer = MuonClip(model, **_settings(args, config, overrides))
    expect_callback(optimizer)
    return optimizer


def _settings(
    args: "TrainingArguments | None", config: MuonClipConfig | None, overrides: dict[str, Any]
) -> dict[str, Any]:
    known = list(inspect.signature(MuonClip).parameters)[1:]
    unknown = [name for name in overrides if name not in known]
    if unknown:
        raise TypeError(f"MuonClip takes no {', '.join(map(repr, unknown))}; it takes {', '.join(known)}.")
    settings: dict[str, Any] = {}
    if config is not None:
        settings |= asdict(config)
    if args is not None:
        if deepspeed := getattr(args, "deepspeed", None) or getattr(args, "deepspeed_plugin", None):
            raise ValueError(
                "DeepSpeed flattens parameters, and MuonClip needs whole matrices; got TrainingArguments with "
                f"deepspeed={deepspeed!r}. Train with FSDP2 instead, or with DeepSpeed's own Muon and "
                "callbacks=[DeepSpeedClipCallback()] for the clip."
            )
        settings |= {
            "lr": args.learning_rate,
            "weight_decay": args.weight_decay,
            "adamw_betas": (args.adam_beta1, args.adam_beta2),
            "adamw_eps": args.adam_epsilon,
        }
        settings |= {
            field.name: getattr(args, field.name) for field in fields(MuonClipConfig) if hasattr(args, field.name)
        }
    settings |= overrides
    check_group_settings(settings)
    MuonClipConfig(**{field.name: settings[field.name] for field in fields(MuonClipConfig) if field.name in settings})
    return settings
