"""Kimi K2: named sizes, the training recipe in tokens, the balance of the experts, and the model type `kimi_k2`."""

from .context import apply_context_, extend_context_
from .expert_balance import ExpertBalanceCallback, ExpertBalancer
from .model_type import KimiK2Config, register_kimi_k2
from .presets import PRESETS, count_parameters, kimi_k2_config
from .schedule import Phase, Stage, TokenSchedule, kimi_k2_schedule
from .schedule_picture import plot_schedule
from .schedule_trainer import TokenScheduleCallback, attach_schedule
from .token_scheduler import TokenScheduler, checkpoint_tokens

__all__ = [
    "PRESETS",
    "ExpertBalanceCallback",
    "ExpertBalancer",
    "KimiK2Config",
    "Phase",
    "Stage",
    "TokenSchedule",
    "TokenScheduleCallback",
    "TokenScheduler",
    "apply_context_",
    "attach_schedule",
    "checkpoint_tokens",
    "count_parameters",
    "extend_context_",
    "kimi_k2_config",
    "kimi_k2_schedule",
    "plot_schedule",
    "register_kimi_k2",
]

register_kimi_k2()
