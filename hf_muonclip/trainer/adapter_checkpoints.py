"""Warn of clips that a Trainer's checkpoints lack where QK-Clip scales the frozen base of a LoRA model.

A Trainer saves and loads only the adapter of a PEFT model. With `scale_lora_base=True` a clip changes the base as well,
so such a checkpoint lacks a part of what was trained: loaded again, the adapter is put on another base.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers.training_args import TrainingArguments

from ..clip import QKClip
from ..common.loggers import get_logger
from ..runs.clip_statistics import ClipStatistics

logger = get_logger(__name__)

_WAY_OUT = (
    "Use DoRA (LoraConfig(use_dora=True)), whose adapter holds its clips, or train without scale_lora_base and monitor."
)


class AdapterSaves:
    """Watches one run for clips that its checkpoints do not hold.

    Args:
        clip: the optimizer or clip of the run.
        model: the model that the Trainer saves.
    """

    def __init__(self, clip: QKClip, model: nn.Module | None) -> None:
        self._modules = _scaled_bases(clip, model) if model is not None and _saves_adapter_alone(model) else []
        self._said = False

    def check_start(self, args: TrainingArguments, saved: Mapping[str, Any] | None) -> None:
        """Refuse a run that would put an adapter on a base with other clips.

        Args:
            args: the Trainer's arguments.
            saved: statistics of the run that is resumed, as `ClipStatistics.to_dict` returns them; None for a new run.

        Raises:
            ValueError: the checkpoint was saved after a clip of the base, or the best model is to be loaded at the end.
        """
        if not self._modules:
            return
        if clipped := self._clipped(saved or {}):
            raise ValueError(
                f"a checkpoint must hold what the clip changed; this one holds a LoRA adapter alone, and QK-Clip had "
                f"scaled the frozen base beneath it in {clipped} heads (scale_lora_base=True). Start again without "
                f"resume_from_checkpoint. {_WAY_OUT}"
            )
        if args.load_best_model_at_end:
            raise ValueError(
                "load_best_model_at_end would load the adapter of an earlier step onto a base that QK-Clip has scaled "
                f"since (scale_lora_base=True). Turn it off. {_WAY_OUT}"
            )

    def warn(self, statistics: ClipStatistics) -> None:
        """Warn once, after the first clip, that the Trainer's checkpoints lack it."""
        if not self._modules or self._said:
            return
        clipped = self._clipped(statistics.to_dict())
        if clipped:
            self._said = True
            logger.warning(
                "QK-Clip has scaled the frozen base under the LoRA adapter in %d heads (scale_lora_base=True), and a "
                "Trainer saves the adapter alone: loaded onto the original base it is another model, and training "
                "cannot be resumed from it. After training, save the whole model: "
                "trainer.model.merge_and_unload().save_pretrained(folder).",
                clipped,
            )

    def _clipped(self, statistics: Mapping[str, Any]) -> int:
        return sum(count > 0 for name in self._modules if name in statistics for count in statistics[name]["clips"])


def _saves_adapter_alone(model: nn.Module) -> bool:
    """Return whether a model is one of PEFT's, or of transformers' with an adapter added to it."""
    return hasattr(model, "peft_config") or getattr(model, "_hf_peft_config_loaded", False)


def _scaled_bases(clip: QKClip, model: nn.Module) -> list[str]:
    """Return the attention modules whose clip writes to a frozen weight under an adapter."""
    found = []
    for name, layout in ({} if clip.layout is None else clip.layout).items():
        module = model.get_submodule(name)
        scaled = [rows.parameter for rows in layout.head_rows if "base_layer." in rows.parameter]
        if any(not module.get_parameter(parameter).requires_grad for parameter in scaled):
            found.append(name)
    return found
