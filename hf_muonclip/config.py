"""The settings of MuonClip that `TrainingArguments` does not already hold."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .optim.settings import check_settings, parse_overrides

if TYPE_CHECKING:
    Threshold = float | None
else:
    Threshold = float | str | None  # so that a parser hands "none" over as text; no instance holds any


@dataclass(frozen=True)
class MuonClipConfig:
    """Settings of MuonClip beside learning rate, weight decay and AdamW's betas and epsilon.

    Those four come from `TrainingArguments` (or from keywords), so both dataclasses fit into one `HfArgumentParser`.
    Immutable and validated at construction.

    Raises:
        ValueError: a value is out of range; the message names the rule, the value and the way out.
    """

    momentum: float = field(default=0.95, metadata={"help": "Muon's momentum mu in M = mu·M + G; in [0, 1)."})
    nesterov: bool = field(default=True, metadata={"help": "Orthogonalize G + mu·M instead of M."})
    ns_coefficients: str = field(
        default="minimax",
        metadata={
            "help": 'Polynomials of Newton–Schulz: minimax, jordan, polar_express, cans, or numbers "a, b, c" for '
            "every step; in code also a sequence of (a, b, c), one a step."
        },
    )
    ns_steps: int | None = field(
        default=None, metadata={"help": "Newton–Schulz iterations; by default as many as the polynomials want."}
    )
    eps: float = field(default=1e-7, metadata={"help": "Added to the norm that Newton–Schulz divides by."})
    ns_dtype: Literal["auto", "bfloat16", "float32"] = field(
        default="auto",
        metadata={"help": "dtype of the Newton–Schulz products; auto takes bfloat16 where the hardware multiplies it."},
    )
    adjust_lr_fn: Literal["match_rms_adamw", "original", "spectral_unclamped", "none"] = field(
        default="match_rms_adamw",
        metadata={
            "help": "Scale of an update of shape (n, m): match_rms_adamw 0.2·sqrt(max(n, m)), so that AdamW's learning "
            "rate and weight decay carry over; original sqrt(max(1, n/m)); spectral_unclamped sqrt(n/m); none 1."
        },
    )
    qk_clip_threshold: Threshold = field(
        default=100.0,
        metadata={
            "help": "QK-Clip's tau: a head whose max attention logit exceeds it is scaled back to it. inf monitors "
            "without clipping; none turns capture and clip off."
        },
    )
    qk_clip_alpha: float = field(
        default=0.5,
        metadata={"help": "Share of gamma that the query takes where a head owns its key: q gamma^alpha, k the rest."},
    )
    scale_lora_base: bool = field(
        default=False,
        metadata={
            "help": "Let QK-Clip scale the frozen base weights of LoRA layers together with their adapters. Without it "
            "such layers are only monitored; with it, save the whole model: an adapter alone would not hold the clip."
        },
    )
    exact_max_logits: bool = field(
        default=False,
        metadata={"help": "Measure every head exactly at every step, instead of only those that may exceed tau."},
    )
    nonfinite: Literal["raise", "skip"] = field(
        default="raise",
        metadata={"help": "What a step does with NaN or Inf in gradients or max logits; weights stay untouched."},
    )

    split_heads: bool = field(
        default=False,
        metadata={"help": "Orthogonalize every query, key and value head on its own, as GLM-5's Muon Split does."},
    )
    cautious_weight_decay: bool = field(
        default=False,
        metadata={"help": "Decay only the entries of matrices that the update moves towards zero anyway."},
    )
    normalize_neurons: bool = field(
        default=False,
        metadata={"help": "Even out the rows of every update by their running mean square, as NorMuon does."},
    )
    group_overrides: dict[str, dict[str, Any]] | str | None = field(
        default=None,
        metadata={
            "help": "Settings for the parameters whose names match a pattern, as JSON: "
            '{"*.embed_tokens.weight": {"lr": 1e-4}}. A pattern that matches nothing is an error.'
        },
    )
    momentum_dtype: Literal["float32", "bfloat16"] = field(
        default="float32", metadata={"help": "dtype of Muon's momentum; bfloat16 takes half the memory."}
    )
    max_batch_bytes: int | None = field(
        default=None,
        metadata={
            "help": "Bytes of the float32 matrices orthogonalized at once, which bound a step's temporary memory; "
            "by default 2 MiB for each thread of a CPU and 256 MiB elsewhere."
        },
    )
    shard_optimizer: bool = field(
        default=True,
        metadata={
            "help": "Share work and state of the parameters that every rank holds (DDP); without it each rank repeats "
            "all of it."
        },
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "qk_clip_threshold", _threshold_of(self.qk_clip_threshold))
        settings = asdict(self)
        parse_overrides(settings.pop("group_overrides"))
        check_settings(settings)


def _threshold_of(value: Any) -> Any:
    """Return the threshold that text of a command line or a YAML file means; other text is left to the rules."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("none", "null"):
        return None
    try:
        return float(value)
    except ValueError:
        return value
