"""What every setting of MuonClip must hold, in one table for constructors, param groups and configurations."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .newton_schulz import COEFFICIENT_SETS, JORDAN_COEFFICIENTS, resolve_coefficients

_ADJUST_LR_FNS = ("match_rms_adamw", "original", "spectral_unclamped", "none")
_NS_DTYPES = ("auto", "bfloat16", "float32")
_MOMENTUM_DTYPES = ("float32", "bfloat16")
_NONFINITE = ("raise", "skip")
# Setting -> does a value hold, what must hold, what is usual.
_RULES: dict[str, tuple[Callable[[Any], bool], str, str]] = {
    "lr": (
        lambda v: getattr(v, "ndim", 0) == 0 and 0 <= v < math.inf,
        "finite and >= 0",
        "2e-4 is Kimi K2's; a tensor must be 0-dim",
    ),
    "weight_decay": (lambda v: 0 <= v < math.inf, "finite and >= 0", "0.1 is Kimi K2's; 0 turns it off"),
    "momentum": (lambda v: 0 <= v < 1, "in [0, 1)", "0.95 is usual"),
    "ns_coefficients": (
        lambda v: bool(resolve_coefficients(v, 1)),
        f"one of {sorted(COEFFICIENT_SETS)}, three, five or seven finite numbers, or so many for each step",
        f"Jordan's are {JORDAN_COEFFICIENTS}",
    ),
    "eps": (lambda v: 0 < v < 1, "in (0, 1)", "1e-7 is usual"),
    "ns_steps": (
        lambda v: v is None or (isinstance(v, int) and 1 <= v < 100),
        "a whole number in [1, 100), or None",
        "None takes as many as the coefficients want",
    ),
    "adjust_lr_fn": (lambda v: v in _ADJUST_LR_FNS, f"one of {_ADJUST_LR_FNS}", "match_rms_adamw is Kimi K2's"),
    "adamw_betas": (
        lambda v: len(v) == 2 and all(0 <= beta < 1 for beta in v),
        "two numbers in [0, 1)",
        "(0.9, 0.95) is usual",
    ),
    "adamw_eps": (lambda v: 0 < v < 1, "in (0, 1)", "1e-8 is usual"),
    "qk_clip_threshold": (
        lambda v: v is None or v > 0,
        "positive (tau, in logits), or None",
        "100 is Kimi K2's; inf monitors without clipping; None turns QK-Clip off",
    ),
    "qk_clip_alpha": (lambda v: 0 <= v <= 1, "in [0, 1]", "0.5 is usual"),
    "ns_dtype": (lambda v: v in _NS_DTYPES, f"one of {_NS_DTYPES}", "auto follows the hardware"),
    "momentum_dtype": (lambda v: v in _MOMENTUM_DTYPES, f"one of {_MOMENTUM_DTYPES}", "bfloat16 halves the state"),
    "max_batch_bytes": (
        lambda v: v is None or (isinstance(v, int) and v > 0),
        "a positive number of bytes, or None",
        "None takes 2 MiB for each thread of a CPU and 256 MiB elsewhere",
    ),
    "cautious_weight_decay": (lambda v: isinstance(v, bool), "True or False", "False decays every entry"),
    "normalize_neurons": (lambda v: isinstance(v, bool), "True or False", "False leaves updates orthogonal"),
    "split_heads": (lambda v: isinstance(v, bool), "True or False", "False keeps a projection's heads together"),
    "nesterov": (lambda v: isinstance(v, bool), "True or False", "True is usual"),
    "shard_optimizer": (lambda v: isinstance(v, bool), "True or False", "False repeats all work on every rank"),
    "maximize": (lambda v: v is False, "False", "negate the loss instead"),
    "differentiable": (
        lambda v: v is False,
        "False",
        "the update is written in place, and nothing differentiates through it",
    ),
    "nonfinite": (lambda v: v in _NONFINITE, f"one of {_NONFINITE}", "raise stops at the first such step"),
    "algorithm": (lambda v: v in ("muon", "adamw"), "'muon' or 'adamw'", "muon is for matrices, adamw for the rest"),
}

# What a param group may override.
GROUP_SETTINGS = frozenset(
    {"algorithm", "lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn"}
    | {"cautious_weight_decay", "normalize_neurons", "adamw_betas", "adamw_eps"}
)
# What else may stand in one: torch's own (which puts `differentiable` among the defaults of whatever was unpickled or
# loaded), and what its schedulers keep there.
NOT_SETTINGS = frozenset(
    {"params", "param_names", "maximize", "differentiable"}
    | {"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"}
)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check every setting of `Muon` and of its param groups that has a rule; other keys pass.

    Raises:
        ValueError: a value is out of range; the message names the rule, the value and a usual one.
    """
    for name, (holds, rule, usual) in _RULES.items():
        if name not in settings:
            continue
        try:
            held = holds(settings[name])
        except (TypeError, ValueError, RuntimeError):  # of another type altogether
            held = False
        if not held:
            raise ValueError(
                f"{name} must be {rule}; got {settings[name]!r}. {usual[0].upper()}{usual[1:]}.{_hint(settings[name])}"
            )


def _hint(value: Any) -> str:
    """Return what is wrong with a number that is text."""
    if not isinstance(value, str) or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        return ""
    if re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", value):
        return f" That is text; YAML takes {value} for a number if it has a point, as in 1.0e-7."
    return " That is text; leave out the quotes."


def parse_overrides(overrides: Mapping[str, Mapping[str, Any]] | str | None) -> dict[str, dict[str, Any]]:
    """Return {pattern: settings of a param group} from that, from JSON, or from None.

    Raises:
        ValueError: anything else, or a setting that no group has or that is out of range.
    """
    example = 'Write {"*.embed_tokens.weight": {"lr": 1e-4}}.'
    parsed: Any = overrides or {}
    if isinstance(overrides, str):
        try:
            parsed = json.loads(overrides)
        except json.JSONDecodeError as error:
            raise ValueError(f"group_overrides must be JSON; got {overrides!r} ({error}). {example}") from error
    if not isinstance(parsed, Mapping) or not all(isinstance(settings, Mapping) for settings in parsed.values()):
        raise ValueError(f"group_overrides must map patterns to settings; got {overrides!r}. {example}")
    for pattern, settings in parsed.items():
        unknown = sorted(settings.keys() - GROUP_SETTINGS)
        if unknown or not settings:
            raise ValueError(
                f"group_overrides may set {', '.join(sorted(GROUP_SETTINGS))}; got {', '.join(unknown) or 'nothing'} "
                f"for {pattern!r}. {example}"
            )
        check_settings(settings)
    return {pattern: dict(settings) for pattern, settings in parsed.items()}
