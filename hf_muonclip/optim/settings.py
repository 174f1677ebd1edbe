"""The settings of Muon in one list: each with its default, its help text and its rule.

A setting is a field of `MuonSettings`, or of `MuonClipConfig` where it is about the clip. Constructors, param groups,
command lines, saved state and pages read it from there.
"""

import dataclasses
import inspect
import json
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_type_hints

from .newton_schulz import COEFFICIENT_SETS, DEFAULT_STEPS, JORDAN_COEFFICIENTS, resolve_coefficients


class Rule(NamedTuple):
    """Rule for the values of a setting.

    Attributes:
        holds: returns whether a value is allowed; may raise for values of another type.
        rule: the same in words, after "must be".
        usual: a usual value, in words.
        per_group: whether a param group may override the setting.
    """

    holds: Callable[[Any], bool]
    rule: str
    usual: str
    per_group: bool = False


def one_of(words: Any, usual: str, per_group: bool = False) -> Rule:
    """Return the rule of a setting that is one of the words of a Literal."""
    return Rule(lambda v: v in get_args(words), f"one of {get_args(words)}", usual, per_group)


def on_or_off(usual: str, per_group: bool = False) -> Rule:
    """Return the rule of a setting that is True or False."""
    return Rule(lambda v: isinstance(v, bool), "True or False", usual, per_group)


UpdateScale = Literal["match_rms_adamw", "original", "spectral_unclamped", "none"]
ProductDtype = Literal["auto", "bfloat16", "float32"]
MomentumDtype = Literal["float32", "bfloat16"]
OnNonfinite = Literal["raise", "skip"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MuonSettings:
    """Settings of `Muon` except learning rate, weight decay and AdamW's betas and epsilon. Checked at construction.

    Raises:
        ValueError: a value is out of range; the message names the rule, the value and a usual one.
    """

    momentum: Annotated[float, Rule(lambda v: 0 <= v < 1, "in [0, 1)", "0.95 is usual", per_group=True)] = field(
        default=0.95, metadata={"help": "Muon's momentum mu in M = mu·M + G; in [0, 1)."}
    )
    nesterov: Annotated[bool, on_or_off("True is usual", per_group=True)] = field(
        default=True,
        metadata={
            "help": "Orthogonalize G + mu·M instead of M. Algorithm 1 of Kimi K2 lists none; the authors' earlier "
            "Moonlight code and torch.optim.Muon use it."
        },
    )
    ns_coefficients: Annotated[
        str,
        Rule(
            lambda v: bool(resolve_coefficients(v, 1)),
            f"one of {sorted(COEFFICIENT_SETS)}, three, five or seven finite numbers, or so many for each step",
            f"Jordan's are {JORDAN_COEFFICIENTS}",
            per_group=True,
        ),
    ] = field(
        default="minimax",
        metadata={
            "help": f'Polynomials of Newton–Schulz: {", ".join(COEFFICIENT_SETS)}, or numbers "a, b, c" for every step;'
            " in code also a sequence of (a, b, c), one per step; see `newton_schulz.resolve_coefficients`."
        },
    )
    eps: Annotated[float, Rule(lambda v: 0 < v < 1, "in (0, 1)", "1e-7 is usual", per_group=True)] = field(
        default=1e-7, metadata={"help": "Added to the norm that Newton–Schulz divides by."}
    )
    ns_steps: Annotated[
        int | None,
        Rule(
            lambda v: v is None or (isinstance(v, int) and 1 <= v < 100),
            "a whole number in [1, 100), or None",
            "None takes as many as the coefficients need",
            per_group=True,
        ),
    ] = field(
        default=None,
        metadata={
            "help": "Newton–Schulz iterations; by default as many as the polynomials need "
            f"({', '.join(f'{name} {steps}' for name, steps in DEFAULT_STEPS.items())})."
        },
    )
    adjust_lr_fn: Annotated[UpdateScale, one_of(UpdateScale, "match_rms_adamw is Kimi K2's", per_group=True)] = field(
        default="match_rms_adamw",
        metadata={
            "help": "Scale of an update of shape (n, m): match_rms_adamw 0.2·sqrt(max(n, m)), so that AdamW's learning "
            "rate and weight decay carry over; original sqrt(max(1, n/m)); spectral_unclamped sqrt(n/m); none 1."
        },
    )
    cautious_weight_decay: Annotated[bool, on_or_off("False decays every entry", per_group=True)] = field(
        default=False,
        metadata={
            "help": "Decay only the entries of matrices that the update moves towards zero anyway (arXiv 2510.12402)."
        },
    )
    normalize_neurons: Annotated[bool, on_or_off("False leaves updates orthogonal", per_group=True)] = field(
        default=False,
        metadata={
            "help": "Even out the rows of every update by their running mean square, as NorMuon does (arXiv "
            "2510.05491)."
        },
    )
    ns_dtype: Annotated[ProductDtype, one_of(ProductDtype, "auto follows the hardware")] = field(
        default="auto",
        metadata={
            "help": "dtype of the Newton–Schulz products; auto takes bfloat16 if the hardware multiplies it natively."
        },
    )
    momentum_dtype: Annotated[MomentumDtype, one_of(MomentumDtype, "bfloat16 halves the state")] = field(
        default="float32",
        metadata={
            "help": "dtype of Muon's momentum; bfloat16 takes half the memory. float64 parameters keep it in float64."
        },
    )
    max_batch_bytes: Annotated[
        int | None,
        Rule(
            lambda v: v is None or (isinstance(v, int) and v > 0),
            "a positive number of bytes, or None",
            "None takes 2 MiB for each thread of a CPU and 256 MiB elsewhere",
        ),
    ] = field(
        default=None,
        metadata={
            "help": "Bytes of the float32 matrices orthogonalized at once, which bound a step's temporary memory to a "
            "few times as much; by default 2 MiB for each thread of a CPU and 256 MiB elsewhere."
        },
    )
    nonfinite: Annotated[OnNonfinite, one_of(OnNonfinite, "raise stops at the first such step")] = field(
        default="raise",
        metadata={
            "help": "What a step does if gradients or max logits hold NaN or Inf: raise an error, or skip the step and "
            "log it. No weight is written either way."
        },
    )
    shard_optimizer: Annotated[bool, on_or_off("False repeats all work on every rank")] = field(
        default=True,
        metadata={
            "help": "Share work and state of the parameters that every rank holds (DDP); without it every rank repeats "
            "all work and keeps all state."
        },
    )

    def __post_init__(self) -> None:
        for name, rule in rules_of(type(self)).items():
            _check(name, getattr(self, name), rule)


def rules_of(kind: type[MuonSettings]) -> dict[str, Rule]:
    """Return {setting: its rule} of a settings dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: rule
        for name, hint in hints.items()
        for rule in getattr(hint, "__metadata__", ())
        if isinstance(rule, Rule)
    }


# Settings of param groups that are no field: the first four come from a Trainer or schedulers, the last from Muon.
_OF_GROUPS_ALONE = {
    "lr": Rule(
        lambda v: getattr(v, "ndim", 0) == 0 and 0 <= v < math.inf,
        "finite and >= 0",
        "2e-4 is Kimi K2's; a tensor must be 0-dim",
    ),
    "weight_decay": Rule(lambda v: 0 <= v < math.inf, "finite and >= 0", "0.1 is Kimi K2's; 0 turns it off"),
    "adamw_betas": Rule(
        lambda v: len(v) == 2 and all(0 <= beta < 1 for beta in v), "two numbers in [0, 1)", "(0.9, 0.95) is usual"
    ),
    "adamw_eps": Rule(lambda v: 0 < v < 1, "in (0, 1)", "1e-8 is usual"),
    "algorithm": Rule(
        lambda v: v in ("muon", "adamw"), "'muon' or 'adamw'", "muon is for matrices, adamw for the rest"
    ),
}
# Settings of torch's optimizers that saved state may name.
_REFUSED = {
    "maximize": Rule(lambda v: v is False, "False", "negate the loss instead"),
    "differentiable": Rule(
        lambda v: v is False, "False", "the update is written in place, and nothing differentiates through it"
    ),
}
_PER_GROUP = {name: rule for name, rule in rules_of(MuonSettings).items() if rule.per_group}

# Settings that a param group may override.
GROUP_SETTINGS = frozenset(_OF_GROUPS_ALONE | _PER_GROUP)
# Other keys that a param group may hold: torch's own (it adds `differentiable` to the defaults of any optimizer that
# was unpickled or loaded), and those that its schedulers keep there.
NOT_SETTINGS = frozenset(
    {"params", "param_names", *_REFUSED} | {"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"}
)


def check_group_settings(group: Mapping[str, Any]) -> None:
    """Check those settings of a param group that have a rule; other keys pass.

    Raises:
        ValueError: a value is out of range; the message names the rule, the value and a usual one.
    """
    for name, rule in (_OF_GROUPS_ALONE | _PER_GROUP | _REFUSED).items():
        if name in group:
            _check(name, group[name], rule)


def _check(name: str, value: Any, rule: Rule) -> None:
    try:
        held = rule.holds(value)
    except (TypeError, ValueError, RuntimeError):  # a value of another type
        held = False
    if not held:
        usual = rule.usual[0].upper() + rule.usual[1:]
        raise ValueError(f"{name} must be {rule.rule}; got {value!r}. {usual}.{_hint(value)}")


Settings = TypeVar("Settings", bound=MuonSettings)


def settings_of(
    kind: type[Settings], owner: str, config: Settings | None, positional: Sequence[Any], keywords: Mapping[str, Any]
) -> Settings:
    """Return the settings that a constructor was called with.

    Args:
        kind: dataclass of the settings.
        owner: the constructor's name.
        config: the settings that keywords override; None for the defaults.
        positional: further positional arguments, in the order of torch.optim.Muon's.
        keywords: the keyword arguments.

    Raises:
        TypeError: there is no such setting, one is given twice, or `config` is something else.
        ValueError: a value is out of range.
    """
    if config is not None and not isinstance(config, kind):
        raise TypeError(f"config must be a {kind.__name__}; got {config!r}. Pass {kind.__name__}(...), or keywords.")
    given = dict(zip(_POSITIONAL, positional, strict=False))
    names = {own.name for own in dataclasses.fields(kind)}
    if len(positional) > len(_POSITIONAL):
        raise TypeError(f"{owner} takes no positional arguments after {_POSITIONAL[-1]}; got {positional[-1]!r}.")
    if unknown := sorted(keywords.keys() - names):
        raise TypeError(
            f"{owner} takes no {', '.join(map(repr, unknown))}; its settings are {', '.join(sorted(names))}."
        )
    if twice := sorted(keywords.keys() & given):
        raise TypeError(f"{owner} got {', '.join(twice)} twice, by position and by keyword.")
    if config is not None and not given and not keywords:
        return config
    return dataclasses.replace(config or kind(), **given, **keywords)


# Arguments of torch.optim.Muon after its weight decay, which it takes by position too.
_POSITIONAL = ("momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")

Class = TypeVar("Class", bound=type)


def takes_settings(kind: type[MuonSettings]) -> Callable[[Class], Class]:
    """Return a decorator of an optimizer class that shows every setting in its signature and its docstring.

    In the docstring, they replace the line "settings:".
    """

    def decorated(cls: Class) -> Class:
        types = get_type_hints(kind)
        listed = [
            textwrap.fill(
                f"{one.name}: {one.metadata['help'].rstrip('.')}.",
                width=120,
                initial_indent=" " * 8,
                subsequent_indent=" " * 12,
            )
            for one in dataclasses.fields(kind)
        ]
        text = re.sub(r"^ +settings:.*\n", lambda _: "\n".join(listed) + "\n", cls.__doc__ or "", flags=re.MULTILINE)
        cls.__doc__ = text
        constructor: Any = cls.__init__  # type: ignore[misc]
        own = inspect.signature(constructor)
        shown = {
            one.name: inspect.Parameter(
                one.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD if one.name in _POSITIONAL else inspect.Parameter.KEYWORD_ONLY,
                default=one.default,
                annotation=types[one.name],
            )
            for one in dataclasses.fields(kind)
        }
        named = [p for p in own.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        first, last = [p for p in named if p.kind != p.KEYWORD_ONLY], [p for p in named if p.kind == p.KEYWORD_ONLY]
        ordered = sorted([*first, *shown.values(), *last], key=lambda p: p.kind)
        constructor.__signature__ = own.replace(parameters=ordered)
        return cls

    return decorated


def _hint(value: Any) -> str:
    """Return a hint for a number that was given as text; "" for any other value."""
    if not isinstance(value, str) or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        return ""
    if re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", value):
        return f" That is text; YAML takes {value} for a number if it has a point, as in 1.0e-7."
    return " That is text; leave out the quotes."


def parse_overrides(overrides: Mapping[str, Mapping[str, Any]] | str | None) -> dict[str, dict[str, Any]]:
    """Return {pattern: settings of a param group} from such a mapping, from JSON, or from None.

    Raises:
        ValueError: the argument is none of these, or a setting is unknown or out of range.
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
        check_group_settings(settings)
    return {pattern: dict(settings) for pattern, settings in parsed.items()}
