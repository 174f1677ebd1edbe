"""Kimi K2 as a model: named configurations and their sizes, and the model type `kimi_k2` for transformers."""

from .model_type import KimiK2Config, register_kimi_k2
from .presets import PRESETS, count_parameters, kimi_k2_config

__all__ = ["PRESETS", "KimiK2Config", "count_parameters", "kimi_k2_config", "register_kimi_k2"]

register_kimi_k2()
