"""What PEFT's adapters train, and how their parameters hold matrices.

LoRA's update is B·A: A maps hidden vectors to the rank, B maps the rank to outputs. Each is a linear map of its own, so
each is orthogonalized on its own. With `adjust_lr_fn="match_rms_adamw"` both move by the RMS that AdamW would give
them, whatever the rank, so a rate that suits LoRA under AdamW is where to start. LoRA+'s higher rate for B (arXiv
2402.12354) is a group override, and so is AdamW for either factor. LoRA-Muon (arXiv 2606.12921) whitens each factor's
update by the other factor; this does not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from .matrix_view import PLAIN, MatrixView
from .module_views import view_of_experts, view_of_linear

_FACTOR_NAME = re.compile(r"\.lora_(A|B)\.([^.]+)\.weight$")
_EMBEDDING_ADAPTER_NAME = re.compile(r"\.(lora_embedding_[AB]|trainable_tokens_delta)\.")
_MAGNITUDE_NAME = re.compile(r"\.lora_magnitude_vector\.")


@dataclass(frozen=True)
class LoraFactor:
    """One of the two matrices of a LoRA layer.

    Attributes:
        outputs: of the map that it adapts.
        view: how it holds its matrices.
        reason: what it is, in words.
    """

    outputs: int
    view: MatrixView
    reason: str


def reason_for_adamw(name: str) -> str:
    """Say why AdamW updates an adapter's parameter that is no matrix to orthogonalize; "" for any other parameter."""
    if _MAGNITUDE_NAME.search(name):
        return "DoRA magnitudes: one length for each output"
    if _EMBEDDING_ADAPTER_NAME.search(name):
        return "adapter of an embedding: rows are looked up, not multiplied"
    return ""


def is_magnitude(name: str) -> bool:
    """Tell DoRA's magnitudes, whose decay would shrink the whole adapted weight and not the adapter."""
    return _MAGNITUDE_NAME.search(name) is not None


def read_lora_factor(model: nn.Module, name: str, views: Mapping[str, tuple[MatrixView, str]]) -> LoraFactor | None:
    """Return what a parameter is in a LoRA layer around a linear map or around stacked experts; None if it is neither.

    Args:
        model: holds the parameter.
        name: of the parameter in the model.
        views: how projections that the caller knows hold their matrices, as in `plan_parameters`.
    """
    found = _FACTOR_NAME.search(name)
    if found is None or model.get_parameter(name).ndim != 2:
        return None
    path, factor, adapter = name[: found.start()], found.group(1), found.group(2)
    layer: Any = model.get_submodule(path)
    outputs = int(layer.lora_B[adapter].weight.shape[0])
    # PEFT adapts a parameter, and not a module, where `target_parameters` names it: stacked experts, for example.
    experts = int(layer.num_experts) if hasattr(layer, "parameter_name") else 1
    rank = layer.lora_A[adapter].weight.shape[0] // experts
    said = f"LoRA {factor} of rank {rank}, a matrix of its own"
    if experts > 1:
        said += f" for each of {experts} experts"
    if factor == "A":
        return LoraFactor(outputs, MatrixView(stacked=experts) if experts > 1 else PLAIN, said)
    view, split = _view_of_outputs(model, path, views)
    return LoraFactor(outputs, replace(view, interleaved=experts), ", ".join(filter(None, [said, split])))


def _view_of_outputs(
    model: nn.Module, path: str, views: Mapping[str, tuple[MatrixView, str]]
) -> tuple[MatrixView, str]:
    """Return how the outputs that the LoRA layer at `path` adapts are split, as rows of its B, which makes them."""
    own = getattr(model.get_submodule(path), "parameter_name", None)
    while hasattr(model.get_submodule(path), "base_layer"):  # one adapted parameter each
        path += ".base_layer"
    adapted = f"{path}.{own or 'weight'}"
    view, split = PLAIN, ""
    if adapted in views:
        view, split = views[adapted]
    elif own is None or (own == "weight" and isinstance(model.get_submodule(path), nn.Linear)):
        view, split = view_of_linear(model, path)
    elif (experts := view_of_experts(model, adapted)) is not None:
        view, _, split = experts
    return replace(view, transposed=False), split
