"""Matrix views of the parameters that PEFT's adapters train.

LoRA's update is B·A: A maps hidden vectors to the rank, B maps the rank to outputs. Each is a linear map of its own, so
each is orthogonalized on its own. With `adjust_lr_fn="match_rms_adamw"` both move by the RMS that AdamW would give
them, whatever the rank, so a rate that suits LoRA under AdamW is a good starting point. LoRA+'s higher rate for B
(arXiv 2402.12354) is a group override, and so is AdamW for either factor. LoRA-Muon (arXiv 2606.12921) whitens each
factor's update by the other factor; this does not.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..matrix_view import PLAIN, MatrixView
from .fused_weights import view_of_experts, view_of_linear

_FACTOR_NAME = re.compile(r"\.lora_(A|B)\.([^.]+)\.weight$")
_EMBEDDING_ADAPTER_NAME = re.compile(r"\.(lora_embedding_[AB]|trainable_tokens_delta)\.")
_MAGNITUDE_NAME = re.compile(r"\.lora_magnitude_vector\.")


@dataclass(frozen=True)
class LoraFactor:
    """One of the two matrices of a LoRA layer.

    Attributes:
        outputs: number of outputs of the adapted map.
        view: how the factor holds its matrices.
        reason: description for the plan.
    """

    outputs: int
    view: MatrixView
    reason: str


def reason_for_adamw(name: str) -> str:
    """Return why AdamW updates an adapter's parameter that is no matrix; "" for any other parameter."""
    if _MAGNITUDE_NAME.search(name):
        return "DoRA magnitudes: one length for each output"
    if _EMBEDDING_ADAPTER_NAME.search(name):
        return "adapter of an embedding: rows are looked up, not multiplied"
    return ""


def is_magnitude(name: str) -> bool:
    """Return whether a parameter holds DoRA's magnitudes, whose decay would shrink the whole adapted weight."""
    return _MAGNITUDE_NAME.search(name) is not None


def read_lora_factor(model: nn.Module, name: str, views: Mapping[str, tuple[MatrixView, str]]) -> LoraFactor | None:
    """Return what a parameter is in a LoRA layer around a linear map or around stacked experts; None if it is neither.

    Args:
        model: holds the parameter.
        name: name of the parameter in the model.
        views: how projections that the caller knows hold their matrices, as in `plan_parameters`.
    """
    found = _FACTOR_NAME.search(name)
    if found is None or model.get_parameter(name).ndim != 2:
        return None
    path, factor, adapter = name[: found.start()], found.group(1), found.group(2)
    layer: Any = model.get_submodule(path)
    # PEFT adapts a parameter, and not a module, where `target_parameters` names it: stacked experts, for example.
    experts = int(layer.num_experts) if hasattr(layer, "parameter_name") else 1
    rank = layer.lora_A[adapter].weight.shape[0] // experts
    said = f"LoRA {factor} of rank {rank}, a matrix of its own"
    if experts > 1:
        said += f" for each of {experts} experts"
    view, split = _view_of_outputs(model, path, views)
    made_by = "A" if _makes_inputs(layer, view) else "B"
    outputs = int(layer.lora_A[adapter].weight.shape[1] if made_by == "A" else layer.lora_B[adapter].weight.shape[0])
    if factor == made_by:
        said = ", ".join(filter(None, [said, split]))
        if factor == "A":
            return LoraFactor(outputs, replace(view, transposed=True, stacked=experts), said)
        return LoraFactor(outputs, replace(view, transposed=False, interleaved=experts), said)
    if factor == "A":
        return LoraFactor(outputs, MatrixView(stacked=experts) if experts > 1 else PLAIN, said)
    return LoraFactor(outputs, MatrixView(interleaved=experts), said)


def _makes_inputs(layer: Any, view: MatrixView) -> bool:
    """Return whether PEFT takes the inputs of stacked experts for their outputs, so that B makes them.

    PEFT before 0.19.1 does where they are stored (out, in); later releases do where they are stored (in, out) and
    transformers does not say so.

    Args:
        layer: a LoRA layer.
        view: how the parameter under it holds its matrices.
    """
    if not hasattr(layer, "parameter_name") or layer.get_param().ndim != 3:
        return False
    makes_first = getattr(layer, "_did_swap_in_out_features", False)  # of the two dimensions behind the experts
    return bool(makes_first == view.transposed)


def read_factor(model: nn.Module, name: str, views: Mapping[str, tuple[MatrixView, str]]) -> LoraFactor | None:
    """Return what a parameter is in an adapter of another kind that multiplies two matrices; None if it is neither.

    Recognized by shapes, whatever the method: (out, r)·(r, in) as in AdaLoRA, LoHa, DeLoRA and HiRA; stacks (..., in/k,
    r) and (..., r, out/k) as in GraLoRA and Poly; and the sides of a Kronecker product (LoKr).

    Args:
        model: holds the parameter.
        name: name of the parameter in the model.
        views: how projections that the caller knows hold their matrices, as in `plan_parameters`.
    """
    parts = name.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        layer: Any = model.get_submodule(".".join(parts[:depth])) if _is_module(model, parts[:depth]) else None
        if layer is not None and "base_layer" in layer._modules and hasattr(layer, "adapter_layer_names"):
            break
    else:
        return None
    inputs, outputs = getattr(layer, "in_features", None), getattr(layer, "out_features", None)
    if parts[depth] == "base_layer" or not isinstance(inputs, int) or not isinstance(outputs, int):
        return None
    own = model.get_parameter(name)
    others = [
        parameter
        for other, parameter in layer.named_parameters()
        if not other.startswith("base_layer.") and parameter is not own and parameter.requires_grad
    ]
    path, what = ".".join(parts[:depth]), ".".join(dict.fromkeys((parts[depth], parts[-1])))
    what = parts[depth] if parts[-1] in ("weight", *_adapter_names(layer)) else what
    for other in others:
        if other.ndim != own.ndim or own.ndim < 2 or min(*own.shape[-2:], *other.shape[-2:]) < 2:
            continue
        if own.ndim == 2 and own.shape[0] == outputs and tuple(other.shape) == (own.shape[1], inputs):
            view, split = _view_of_outputs(model, path, views)
            said = f"{what} of rank {own.shape[1]}, a matrix of its own"
            return LoraFactor(outputs, replace(view, transposed=False), ", ".join(filter(None, [said, split])))
        if own.ndim == 2 and own.shape[1] == inputs and tuple(other.shape) == (outputs, own.shape[0]):
            return LoraFactor(outputs, PLAIN, f"{what} of rank {own.shape[0]}, a matrix of its own")
        if own.ndim > 2 and _is_stacked_pair(own.shape, other.shape, inputs, outputs):
            return LoraFactor(outputs, MatrixView(transposed=True), f"{what}, each of its matrices on its own")
        if own.ndim == 2 and tuple(a * b for a, b in zip(own.shape, other.shape, strict=True)) == (outputs, inputs):
            return LoraFactor(outputs, PLAIN, f"{what}, one side of a Kronecker product")
    return _read_kronecker_factor(own, others, inputs, outputs, what)


def _read_kronecker_factor(
    own: nn.Parameter, others: list[nn.Parameter], inputs: int, outputs: int, what: str
) -> LoraFactor | None:
    """Return what one of (a, r)·(r, b) is where the product, or two such, makes one side of a Kronecker product."""
    matrices = [(other.shape[0], other.shape[1]) for other in others if other.ndim == 2 and min(other.shape) > 1]
    if own.ndim != 2 or min(own.shape) < 2:
        return None
    rows, columns = own.shape
    chained = [(rows, b, columns) for a, b in matrices if a == columns]
    chained += [(a, columns, rows) for a, b in matrices if b == rows]
    products = [(a, b) for a, r in matrices for r2, b in matrices if r == r2]
    for a, b, rank in chained:
        if any((a * c, b * d) == (outputs, inputs) for c, d in [*matrices, *products]):
            return LoraFactor(outputs, PLAIN, f"{what} of rank {rank}, a matrix of its own")
    if any((rows * c, columns * d) == (outputs, inputs) for c, d in products):
        return LoraFactor(outputs, PLAIN, f"{what}, one side of a Kronecker product")
    return None


def _is_stacked_pair(own: Sequence[int], other: Sequence[int], inputs: int, outputs: int) -> bool:
    """Return whether two shapes are (..., in/k, r) and (..., r, out/k), in either order."""
    return any(
        tuple(first[:-2]) == tuple(second[:-2])
        and first[-1] == second[-2]
        and inputs % first[-2] == 0
        and (inputs // first[-2]) * second[-1] == outputs
        for first, second in ((own, other), (other, own))
    )


def _is_module(model: nn.Module, parts: Sequence[str]) -> bool:
    module: Any = model
    for part in parts:
        module = module._modules.get(part)
        if module is None:
            return False
    return True


def _adapter_names(layer: Any) -> tuple[str, ...]:
    return tuple(layer.active_adapters) if hasattr(layer, "active_adapters") else ()


def _view_of_outputs(
    model: nn.Module, path: str, views: Mapping[str, tuple[MatrixView, str]]
) -> tuple[MatrixView, str]:
    """Return how the weight that the layer at `path` adapts holds matrices, and how their outputs are split."""
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
    return view, split
