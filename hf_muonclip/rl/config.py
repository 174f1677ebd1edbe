"""Settings of Kimi's reinforcement learning, and the settings of TRL that its objectives do not support."""

import math
from dataclasses import dataclass, field
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from .rewards.reward_guard import check_share

OBJECTIVES = ("k2", "k25")

# Settings of GRPOConfig that the objectives would ignore or that would change them: what each must be, and why.
_NO_ROOM: dict[str, tuple[Any, str]] = {
    "loss_type": (None, "the objective is the loss"),
    "scale_rewards": ("none", "advantages are rewards minus their group's mean, not divided"),
    "multi_objective_aggregation": ("sum_then_normalize", "rewards are summed, then the group's mean is subtracted"),
    "importance_sampling_level": ("token", "k2 compares whole sequences and k25 tokens"),
    "beta": (0.0, "the regularizer is rl_tau, against the policy that sampled; there is no other reference"),
    "sync_ref_model": (False, "there is no reference model"),
    "delta": (None, "k2 clips nothing, k25 clips with epsilon and epsilon_high"),
    "top_entropy_quantile": (1.0, "every sampled token counts"),
    "entropy_coef": (0.0, "the objective has no entropy bonus"),
    "use_adaptive_entropy": (False, "the objective has no entropy bonus"),
    "off_policy_mask_threshold": (None, "rl_tau holds the policy near the one that sampled"),
    "vllm_importance_sampling_correction": (False, "the objective has no importance weights"),
    "disable_dropout": (True, "different dropout in two passes would add noise to the log-ratio, which rl_tau squares"),
}
_NO_ROOM_IN_K2: dict[str, tuple[Any, str]] = {
    "epsilon": (0.2, "k2 clips nothing"),
    "epsilon_high": (None, "k2 clips nothing"),
}
_OF_OTHER_LOSSES = (
    "sapo_temperature_neg",
    "sapo_temperature_pos",
    "vespo_k_pos",
    "vespo_lambda_pos",
    "vespo_k_neg",
    "vespo_lambda_neg",
)


@dataclass
class KimiRLConfig(GRPOConfig):
    """Settings of `KimiRLTrainer` in addition to those of TRL's GRPOConfig.

    Differs from GRPOConfig: advantages are not divided by a standard deviation and dropout is off by default, and a
    setting that the objective would ignore is refused. The paper gives no numbers for rl_tau, the temperatures and
    ptx_coef.

    Args:
        objective: "k2", the squared-regularized loss of whole sequences, or "k25", its per-token form, for several
            steps per batch and asynchronous sampling, which keeps ratios in [1 - epsilon, 1 + epsilon_high].
        rl_tau: strength of the regularizer against the sampling policy; > 0. It has an effect only if completions are
            used for several optimizer steps.
        reset_optimizer: zero the optimizer's moments whenever new completions are sampled, because pi_old changes then,
            as in K1.5. None is True for k2 and False for k25.
        temperature_end: temperature of the last step; None keeps `temperature`.
        temperature_steps: optimizer steps after which temperature_end is reached; None takes the whole run.
        max_not_measured: share of the samples in the last four batches of completions that may lack a reward; above it,
            every rank saves a checkpoint and training raises. In [0, 1]; 1 never stops.
        ptx_coef: weight of the next-token loss on the trainer's ptx_dataset; > 0.
        ptx_batch_size: packed rows per device and micro-batch; > 0.
        ptx_max_length: tokens per packed row; > 1.

    Raises:
        ValueError: a setting is out of range, or the objective would ignore it.
    """

    objective: str = field(default="k2", metadata={"help": "k2: squared loss per sequence; k25: per token, clipped."})
    rl_tau: float = field(default=0.1, metadata={"help": "Strength of the regularizer against the sampling policy."})
    reset_optimizer: bool | None = field(
        default=None,
        metadata={"help": "Zero the moments whenever new completions are sampled. None: True for k2, False for k25."},
    )
    temperature_end: float | None = field(
        default=None, metadata={"help": "Temperature of the last step; None keeps temperature."}
    )
    temperature_steps: int | None = field(
        default=None, metadata={"help": "Steps until temperature_end is reached; None: the whole run."}
    )
    max_not_measured: float = field(
        default=0.5, metadata={"help": "Share of samples without a reward, over four batches, that stops the run."}
    )
    ptx_coef: float = field(default=0.1, metadata={"help": "Weight of the next-token loss on ptx_dataset."})
    ptx_batch_size: int = field(default=1, metadata={"help": "Packed rows of ptx_dataset per device and micro-batch."})
    ptx_max_length: int = field(default=1024, metadata={"help": "Tokens per packed row of ptx_dataset."})

    loss_type: str | None = field(default=None, metadata={"help": "Leave it out: the objective is the loss."})  # type: ignore[assignment]
    scale_rewards: str = field(default="none", metadata={"help": "Leave it out: advantages are not scaled."})
    disable_dropout: bool = field(default=True, metadata={"help": "Leave it out: ratios need dropout off."})
    vllm_importance_sampling_correction: bool = field(
        default=False, metadata={"help": "Leave it out: the objective has no importance weights."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        _require(self.objective in OBJECTIVES, f"objective must be one of {OBJECTIVES}", self.objective, "k2 is K2's")
        _require(_is_positive(self.rl_tau), "rl_tau must be positive and finite", self.rl_tau, "0.1 is the default")
        self._refuse_what_is_ignored()
        self._check_bounds()
        self._check_temperature()
        check_share(self.max_not_measured)
        _require(
            _is_positive(self.ptx_coef), "ptx_coef must be positive", self.ptx_coef, "Without PTX, pass no dataset"
        )
        _require(self.ptx_batch_size >= 1, "ptx_batch_size must be 1 or more", self.ptx_batch_size, "1 is the default")
        _require(
            self.ptx_max_length >= 2, "ptx_max_length must be 2 or more", self.ptx_max_length, "1024 is the default"
        )
        if self.reset_optimizer is None:
            self.reset_optimizer = self.objective == "k2"
        _require(
            not (self.reset_optimizer and (self.deepspeed or self.deepspeed_plugin)),
            "reset_optimizer must be False with DeepSpeed, which keeps moments where they cannot be reset",
            self.reset_optimizer,
            "Pass reset_optimizer=False and optimizers= with another optimizer than MuonClip",
        )

    @property
    def ratio_bounds(self) -> tuple[float, float]:
        """The bounds of k25's ratio, alpha and beta in the paper."""
        return 1 - self.epsilon, 1 + (self.epsilon if self.epsilon_high is None else self.epsilon_high)

    def _refuse_what_is_ignored(self) -> None:
        table = _NO_ROOM | (_NO_ROOM_IN_K2 if self.objective == "k2" else {})
        for name in _OF_OTHER_LOSSES:
            table[name] = (GRPOConfig.__dataclass_fields__[name].default, "it belongs to another loss")
        for name, (needed, why) in table.items():
            if (value := getattr(self, name)) != needed:
                raise ValueError(
                    f"objective={self.objective!r} does not support {name}={value!r}: {why}. Leave {name} out."
                )

    def _check_bounds(self) -> None:
        low, high = self.ratio_bounds
        _require(
            0 < low <= 1 <= high < math.inf,
            "k25 keeps ratios in [1 - epsilon, 1 + epsilon_high], so epsilon must be in [0, 1) and epsilon_high >= 0",
            (self.epsilon, self.epsilon_high),
            "epsilon=0.2 is the default",
        )

    def _check_temperature(self) -> None:
        if "temperature" in (self.generation_kwargs or {}):
            raise ValueError(
                f"generation_kwargs must hold no temperature; got {self.generation_kwargs!r}. TRL would sample at it "
                "and compute log-probabilities at another. Pass temperature= instead."
            )
        _require(_is_positive(self.temperature), "temperature must be positive", self.temperature, "1.0 is the default")
        if self.temperature_end is None:
            _require(
                self.temperature_steps is None,
                "temperature_steps needs a temperature_end",
                self.temperature_steps,
                "Leave it out, or set temperature_end",
            )
            return
        _require(
            _is_positive(self.temperature_end),
            "temperature_end must be positive",
            self.temperature_end,
            "0.7 is usual; None keeps temperature",
        )
        _require(
            self.temperature_steps is None or self.temperature_steps >= 1,
            "temperature_steps must be 1 or more",
            self.temperature_steps,
            "None takes the whole run",
        )


def _is_positive(value: float) -> bool:
    return 0 < value < math.inf


def _require(holds: bool, rule: str, value: Any, way_out: str) -> None:
    if not holds:
        raise ValueError(f"{rule}; got {value!r}. {way_out}.")
