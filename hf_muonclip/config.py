"""The settings of MuonClip that `TrainingArguments` does not already hold."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from .optim.settings import MuonSettings, Rule, on_or_off, parse_overrides

if TYPE_CHECKING:
    Threshold = float | None
else:
    Threshold = float | str | None  # so that a parser passes "none" on as text; no instance holds text


@dataclass(frozen=True, kw_only=True)
class MuonClipConfig(MuonSettings):
    """Settings of MuonClip except learning rate, weight decay and AdamW's betas and epsilon.

    Those four come from `TrainingArguments` (or from keywords), so both dataclasses fit into one `HfArgumentParser`.
    Immutable and checked at construction.

    Raises:
        ValueError: a value is out of range; the message names the rule, the value and the way out.
    """

    qk_clip_threshold: Annotated[
        Threshold,
        Rule(
            lambda v: v is None or v > 0,
            "positive (tau, in logits), or None",
            "100 is Kimi K2's; inf monitors without clipping; None turns QK-Clip off",
        ),
    ] = field(
        default=100.0,
        metadata={
            "help": "QK-Clip's tau: a head whose max attention logit exceeds it is scaled back to it. inf monitors "
            "without clipping; none turns capture and clip off."
        },
    )
    qk_clip_alpha: Annotated[float, Rule(lambda v: 0 <= v <= 1, "in [0, 1]", "0.5 is usual")] = field(
        default=0.5,
        metadata={
            "help": "Share of gamma that the query takes where a head owns its key: the query is scaled by "
            "gamma^alpha, the key by gamma^(1 - alpha)."
        },
    )
    scale_lora_base: Annotated[bool, on_or_off("False only monitors LoRA layers")] = field(
        default=False,
        metadata={
            "help": "Let QK-Clip scale the frozen base weights of LoRA layers together with their adapters. Without it "
            "such layers are only monitored; with it, save the whole model: an adapter alone would not hold the clip."
        },
    )
    exact_max_logits: Annotated[bool, on_or_off("False measures the heads that may exceed qk_clip_threshold")] = field(
        default=False,
        metadata={
            "help": "Measure every head exactly at every step, instead of only those that may exceed tau. On an "
            "accelerator and in compiled graphs every head is measured anyway."
        },
    )
    split_heads: Annotated[bool, on_or_off("False keeps a projection's heads together")] = field(
        default=False,
        metadata={"help": "Orthogonalize every query, key and value head on its own, as GLM-5's Muon Split does."},
    )
    group_overrides: dict[str, dict[str, Any]] | str | None = field(
        default=None,
        metadata={
            "help": "Settings for the parameters whose names match a pattern, * and ? as in file names, as JSON: "
            '{"*.embed_tokens.weight": {"lr": 1e-4}}. Where several match, the later wins. A pattern that matches '
            "nothing is an error."
        },
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "qk_clip_threshold", _threshold_of(self.qk_clip_threshold))
        parse_overrides(self.group_overrides)
        super().__post_init__()


def _threshold_of(value: Any) -> Any:
    """Return the threshold that a text from a command line or a YAML file means; other text is returned as it is."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("none", "null"):
        return None
    try:
        return float(value)
    except ValueError:
        return value
