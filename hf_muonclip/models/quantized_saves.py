"""Quantized models that train whole and cannot be saved: found before the first step, not at the first checkpoint.

transformers dequantizes stacked experts while it loads them, INT4 into ordinary bfloat16 that trains, and keeps the
quantizer. `save_pretrained` then undoes what loading did, and has no way to undo that. Whether it can is tried here on
tensors without memory, for whatever quantizer a model has. Adapters over a quantized model are saved by themselves.
"""

import copy
import inspect
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ..common.loggers import get_logger

logger = get_logger(__name__)

_FAILURES = (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError)  # NotImplementedError is one


def why_not_saved(model: nn.Module) -> str:
    """Return why `save_pretrained` fails for a quantized model that trains whole; "" for any other model.

    Args:
        model: loaded; adapters over it, by PEFT or by transformers, make it one that can be saved.
    """
    quantizer = getattr(model, "hf_quantizer", None)
    is_whole = isinstance(model, PreTrainedModel) and not getattr(model, "_hf_peft_config_loaded", False)
    if quantizer is None or not is_whole or not any(parameter.requires_grad for parameter in model.parameters()):
        return ""
    assert isinstance(model, PreTrainedModel)
    return _why_not_undone(model, quantizer)


def refuse_unsaved(model: nn.Module | None, save_strategy: str) -> None:
    """Refuse a model that cannot be saved where a Trainer will save it.

    Args:
        model: the model that the Trainer trains.
        save_strategy: `args.save_strategy`.

    Raises:
        ValueError: the Trainer will save, and fail after the steps before that.
    """
    if model is not None and save_strategy != "no" and (said := _describe(model)):
        raise ValueError(said)


def warn_of_unsaved(model: nn.Module) -> None:
    """Warn that a model which trains from now on cannot be saved."""
    if said := _describe(model):
        logger.warning(said)


def _describe(model: nn.Module) -> str:
    reason = why_not_saved(model)
    if not reason:
        return ""
    config: Any = model.config
    method = method_of(config.quantization_config)
    return (
        f"What is trained must be saved, but {type(model).__name__} quantized by {method} trains and cannot be: "
        f"{reason}. {ways_out(config.quantization_config)}"
    )


def ways_out(quantization: Any) -> str:
    """Return how to train a model whole that is quantized so: loaded as plain weights, or with adapters.

    Args:
        quantization: `quantization_config`, as an object or as config.json writes it.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    ways = ["load it with hf_muonclip.export.load_checkpoint (Kimi K2's forms)"]
    known = AUTO_QUANTIZATION_CONFIG_MAPPING.get(method_of(quantization))
    if known is not None and "dequantize" in inspect.signature(known).parameters:
        ways.append(f"pass quantization_config={known.__name__}(dequantize=True) to from_pretrained")
    return f"For plain weights, {', or '.join(ways)}; or train adapters, which are saved by themselves."


def method_of(quantization: Any) -> str:
    """Return the name of a quantization method: "compressed-tensors"."""
    method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization.quant_method
    return str(getattr(method, "value", method))


def why_not_saved_once_loaded(model: nn.Module) -> str | None:
    """Return what `why_not_saved` would, for a model built from its config alone; None if that is not known.

    Args:
        model: on the meta device, with a quantization_config; it is not changed.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.quantizers.auto import AutoHfQuantizer

    if not isinstance(model, PreTrainedModel):
        return ""
    loaded: Any = copy.deepcopy(model)
    try:
        quantizer = AutoHfQuantizer.from_config(copy.deepcopy(model.config.quantization_config), pre_quantized=True)
        quantizer.validate_environment(device_map=None)
        with torch.device("meta"):
            quantizer.preprocess_model(loaded)
        loaded._weight_conversions = get_model_conversion_mapping(loaded, None, quantizer)
    except (*_FAILURES, ImportError):  # a package or a device that is not here
        return None
    if not any(parameter.requires_grad for parameter in loaded.parameters()):
        return ""
    return _why_not_undone(loaded, quantizer)


def _why_not_undone(model: PreTrainedModel, quantizer: Any) -> str:
    """Return why the tensors of a model cannot be put back into the form that they were loaded from."""
    from transformers.core_model_loading import revert_weight_conversion

    if not quantizer.is_serializable():
        return "its quantizer says that it cannot be saved"
    state = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        for name, tensor in model.state_dict().items()
        if isinstance(tensor, torch.Tensor)
    }
    try:
        revert_weight_conversion(model, state)
    except _FAILURES as error:
        if "meta" in str(error):  # what needs values cannot be tried without them
            return ""
        return f"what loading did to its weights cannot be undone ({type(error).__name__}: {error})"
    return ""
