"""Kimi K2 as a model: named configurations and their sizes."""

from .presets import PRESETS, count_parameters, kimi_k2_config

__all__ = ["PRESETS", "count_parameters", "kimi_k2_config"]
