"""What QK-Clip did, counted per head: over a whole run, and since the last log."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..attention import HeadLayout
from ..common.name_ranges import layer_labels


class ClipStatistics:
    """When each head was first and last clipped, how often, and its highest max logit.

    Attributes:
        first_clip_step: (heads of all modules,), int; 0 where never clipped.
        last_clip_step: the same for the last clip.
        clips: (heads of all modules,), int; clipped steps.
        highest: (heads of all modules,), float32; -inf where never measured.
    """

    def __init__(self, num_attention_heads: Mapping[str, int]) -> None:
        self.num_attention_heads = dict(num_attention_heads)
        total = sum(self.num_attention_heads.values())
        self.first_clip_step = torch.zeros(total, dtype=torch.long)
        self.last_clip_step = torch.zeros(total, dtype=torch.long)
        self.clips = torch.zeros(total, dtype=torch.long)
        self.highest = torch.full((total,), -math.inf)

    def record(self, step: int, max_logits: Tensor, clipped: Tensor) -> None:
        """Count one step.

        Args:
            step: the step's number, from 1.
            max_logits: (heads of all modules,), float32.
            clipped: (heads of all modules,), bool.
        """
        self.highest = torch.maximum(self.highest, max_logits)
        self.clips += clipped
        self.last_clip_step[clipped] = step
        self.first_clip_step[clipped & (self.first_clip_step == 0)] = step

    @property
    def total(self) -> int:
        """Heads of all modules."""
        return len(self.clips)

    @property
    def clipped_heads(self) -> int:
        """Heads clipped at least once."""
        return int((self.clips > 0).sum())

    def to_dict(self) -> dict[str, dict[str, list[float | None]]]:
        """Return {module: {figure: one value per head}}; None where there is none."""
        figures = {
            "first_clip_step": [step or None for step in self.first_clip_step.tolist()],
            "last_clip_step": [step or None for step in self.last_clip_step.tolist()],
            "clips": self.clips.tolist(),
            "highest_max_logit": [finite_or_none(value) for value in self.highest.tolist()],
        }
        exported: dict[str, dict[str, list[float | None]]] = {}
        start = 0
        for name, count in self.num_attention_heads.items():
            exported[name] = {figure: values[start : start + count] for figure, values in figures.items()}
            start += count
        return exported

    def load_dict(self, exported: Mapping[str, Mapping[str, list[float | None]]]) -> None:
        """Take over what `to_dict` returned.

        Raises:
            ValueError: it is of other modules or head counts.
        """
        found = {name: len(figures["clips"]) for name, figures in exported.items()}
        if found != self.num_attention_heads:
            raise ValueError(
                f"the checkpoint's clip statistics must be of this model's heads; it has {found}, the model "
                f"{self.num_attention_heads}. Resume from a checkpoint of this model."
            )

        def flat(figure: str, missing: float) -> list[float]:
            values = [value for name in self.num_attention_heads for value in exported[name][figure]]
            return [missing if value is None else value for value in values]

        self.first_clip_step = torch.tensor(flat("first_clip_step", 0), dtype=torch.long)
        self.last_clip_step = torch.tensor(flat("last_clip_step", 0), dtype=torch.long)
        self.clips = torch.tensor(flat("clips", 0), dtype=torch.long)
        self.highest = torch.tensor(flat("highest_max_logit", -math.inf))


class SinceLastLog:
    """The same per head, since the last training log.

    Attributes:
        max_logits: (heads of all modules,), float32; -inf where never measured.
        clips: (heads of all modules,), int; clipped steps.
        min_gamma: the smallest gamma; 1 if no head was clipped.
    """

    def __init__(self, heads: int) -> None:
        self.max_logits = torch.full((heads,), -math.inf)
        self.clips = torch.zeros(heads, dtype=torch.long)
        self.min_gamma = 1.0

    def record(self, max_logits: Tensor, gammas: Tensor) -> None:
        """Count one step; both (heads of all modules,), float32."""
        self.max_logits = torch.maximum(self.max_logits, max_logits)
        self.clips += gammas < 1
        self.min_gamma = min(self.min_gamma, float(gammas.min()))

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes in JSON's types."""
        maxima = [finite_or_none(value) for value in self.max_logits.tolist()]
        return {"max_logits": maxima, "clips": self.clips.tolist(), "min_gamma": self.min_gamma}

    def load_dict(self, exported: Mapping[str, Any]) -> None:
        """Take over what `to_dict` returned."""
        self.max_logits = torch.tensor([-math.inf if value is None else value for value in exported["max_logits"]])
        self.clips = torch.tensor(exported["clips"], dtype=torch.long)
        self.min_gamma = exported.get("min_gamma", 1.0)  # older checkpoints have none

    def per_module(self, num_attention_heads: Mapping[str, int]) -> dict[str, dict[str, list[Any]]]:
        """Return {"max_logits": {module: one value per head, None where unmeasured}, "clips": likewise}."""
        counts = list(num_attention_heads.values())
        maxima = zip(num_attention_heads, self.max_logits.split(counts), strict=True)
        clips = zip(num_attention_heads, self.clips.split(counts), strict=True)
        return {
            "max_logits": {name: [finite_or_none(value) for value in values.tolist()] for name, values in maxima},
            "clips": {name: values.tolist() for name, values in clips},
        }

    def figures(self, layout: HeadLayout) -> dict[str, float]:
        """Return {name in trackers: figure} for a training log."""
        counts = [module.num_attention_heads for module in layout.values()]
        figures: dict[str, float] = {}
        for label, maxima in zip(layer_labels(layout), self.max_logits.split(counts), strict=True):
            highest = max(maxima.tolist())
            if highest > -math.inf:
                name = f"layer_{label}" if label.isdigit() else label
                figures[f"qk_clip/max_logit/{name}"] = round(highest, 4)
        if figures:
            figures = {"qk_clip/max_logit": max(figures.values()), **figures}
        figures["qk_clip/clipped_heads"] = int((self.clips > 0).sum())
        figures["qk_clip/min_gamma"] = round(self.min_gamma, 6)
        return figures


def finite_or_none(value: float | None, digits: int | None = 4) -> float | None:
    """Return a figure for JSON, which has no NaN and no infinity: None for both.

    Args:
        value: the figure.
        digits: decimal places; None keeps all.
    """
    if value is None or not math.isfinite(value):
        return None
    return float(value) if digits is None else round(value, digits)
