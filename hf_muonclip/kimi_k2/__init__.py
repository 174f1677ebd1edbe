"""Kimi K2 as a model: named configurations and their sizes, and the balance of its experts."""

from .expert_balance import ExpertBalanceCallback, ExpertBalancer
from .presets import PRESETS, count_parameters, kimi_k2_config

__all__ = ["PRESETS", "ExpertBalanceCallback", "ExpertBalancer", "count_parameters", "kimi_k2_config"]
