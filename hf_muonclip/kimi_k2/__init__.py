"""Kimi K2 as a model: named configurations and their sizes, and its training recipe in tokens."""

from .context import apply_context_, extend_context_
from .presets import PRESETS, count_parameters, kimi_k2_config
from .schedule import Phase, Stage, TokenSchedule, kimi_k2_schedule
from .schedule_picture import plot_schedule
from .schedule_trainer import TokenScheduleCallback, attach_schedule
from .token_scheduler import TokenScheduler, checkpoint_tokens

__all__ = [
    "PRESETS",
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
]
