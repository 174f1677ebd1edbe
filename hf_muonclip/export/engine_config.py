"""config.json and generation_config.json as engines read them."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from transformers import DeepseekV3Config, PreTrainedConfig, PreTrainedModel

from ..kimi_k2.model_type import KimiK2Config
from .left_out import builds_prediction_layers, without_announced_layers

_MODEL_TYPES = (DeepseekV3Config.model_type, KimiK2Config.model_type)
# Code of its own, and how these weights were stored before: neither is true of what is written.
_LEFT_OUT = ("auto_map", "quantization_config", "compression_config")


def write_configs(model: PreTrainedModel, folder: Path, *, dtype: torch.dtype, model_type: str | None = None) -> None:
    """Write config.json and, of a model that generates, generation_config.json.

    Args:
        model: the model whose configurations are written; they are not changed.
        folder: an existing folder.
        dtype: dtype of the weights on disk.
        model_type: see `write_config`.

    Raises:
        ValueError: the model has no such model type.
    """
    write_config(model, folder, dtype=dtype, model_type=model_type)
    generation_config = getattr(model, "generation_config", None)  # absent where a model cannot generate
    if generation_config is not None:
        generation_config.save_pretrained(folder)


def write_config(model: PreTrainedModel, folder: Path, *, dtype: torch.dtype, model_type: str | None = None) -> None:
    """Write config.json.

    Args:
        model: the model whose configuration is written; it is not changed.
        folder: an existing folder.
        dtype: dtype of the weights on disk.
        model_type: "deepseek_v3" or "kimi_k2" for DeepSeek-V3's architecture; None writes "deepseek_v3" there, and the
            model's own elsewhere.

    Raises:
        ValueError: the model has no such model type.
    """
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__.removeprefix("FSDP")]
    config.dtype = dtype
    for name in _LEFT_OUT:
        if hasattr(config, name):
            delattr(config, name)
    config.save_pretrained(folder)
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8")) | {"torch_dtype": str(dtype).removeprefix("torch.")}
    fields["model_type"] = _model_type(config, model_type)
    if isinstance(config, DeepseekV3Config):
        fields |= _deepseek_v3_fields(config)
        # Derived by transformers, absent from published configurations, and 64 is not the width of a head's query.
        del fields["head_dim"], fields["qk_head_dim"]
    if not builds_prediction_layers(name for name, _ in model.named_parameters()):
        fields = without_announced_layers(fields)
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _model_type(config: PreTrainedConfig, chosen: str | None) -> str:
    if not isinstance(config, DeepseekV3Config):
        if chosen is not None:
            raise ValueError(
                f"model_type chooses between {' and '.join(_MODEL_TYPES)} for DeepSeek-V3's architecture, got "
                f"{chosen!r} for a model of type {config.model_type!r}. Leave it out."
            )
        return config.model_type
    if chosen is not None and chosen not in _MODEL_TYPES:
        raise ValueError(
            f"model_type must be one of {', '.join(_MODEL_TYPES)}, got {chosen!r}. Leave it out for the first."
        )
    return chosen or DeepseekV3Config.model_type


def _deepseek_v3_fields(config: DeepseekV3Config) -> dict[str, Any]:
    """Return what engines look up in config.json and transformers 5 does not write.

    vLLM loads the router's correction bias only where `topk_method` is "noaux_tc", and takes a missing `scoring_func`
    for softmax: without these fields it computes something else and says nothing. transformers' own DeepSeek-V3 has
    sigmoid scores and the bias built in, and makes every layer after the dense ones a mixture of experts.
    """
    rope: dict[str, Any] = dict(config.rope_parameters or {})
    theta, rope_type = rope.pop("rope_theta"), rope.pop("rope_type")
    rope.pop("type", None)  # from a configuration in the older form
    return {
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "moe_layer_freq": 1,
        "rope_theta": theta,
        "rope_scaling": None if rope_type == "default" else {"type": rope_type} | rope,
    }
