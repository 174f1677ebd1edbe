"""Kimi K2: named configurations and their sizes, the balance of its experts, and the model type `kimi_k2`."""

from .expert_balance import ExpertBalanceCallback, ExpertBalancer
from .model_type import KimiK2Config, register_kimi_k2
from .presets import PRESETS, count_parameters, kimi_k2_config

__all__ = [
    "PRESETS",
    "ExpertBalanceCallback",
    "ExpertBalancer",
    "KimiK2Config",
    "count_parameters",
    "kimi_k2_config",
    "register_kimi_k2",
]

register_kimi_k2()
