"""Find output heads: matrices that map hidden states to a vocabulary, to classes or to a number.

A head is found, in this order, by what a transformers model states about itself, by a forward without weights
(`forward_trace`), and by the shapes around it. Nothing depends on values, devices or placements, so every rank, a model
on the meta device and a sharded one decide alike.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .forward_trace import ForwardTrace, trace_forward
from .fused_weights import is_conv1d, is_linear

# Used if neither the forward nor a shape decides.
_HEAD_NAME = re.compile(
    r"(^|[._])(heads?|classifiers?|scores?|logits|fc_out|qa_outputs|predictions?|(class|bbox)_embed)(\.layers)?(\.\d+)?$"
)
# What PEFT puts between a module and its weights.
_INSIDE_ADAPTER = re.compile(r"(\.base_layer|\.original_module|\.modules_to_save\.[^.]+|\.lora_[AB]\.[^.]+)+$")
OUTSIDE_BASE = "head: stands outside the base model"
_MOST_FUSED = 4  # outputs that one linear map makes for its neighbors, as query, key, value and gate


@dataclass(frozen=True)
class OutputHeads:
    """The output heads of a model.

    Attributes:
        reasons: {parameter name: why it is a head}.
        doubts: {parameter name: why it is uncertain}, of hidden matrices that may be heads.
        looked_up: names of matrices whose rows the forward looks up, as an embedding's.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    looked_up: frozenset[str] = frozenset()


def find_output_heads(model: nn.Module) -> OutputHeads:
    """Return the output heads of a model, wherever they are in it.

    Args:
        model: any module, with or without weights, whole or sharded; nothing in it is changed.
    """
    reasons, likely = _stated(model)
    open_ones = [path for path, module in model.named_modules() if is_linear(module)]
    open_ones = [path for path in open_ones if f"{path}.weight" not in reasons and not _is_in_layers(model, path)]
    trace = None
    if open_ones:
        trace = trace_forward(model) or _trace_of_parts(model)
    multiplied = trace.multiplied if trace else frozenset()
    for name, output in (trace.returned if trace else {}).items():
        reasons.setdefault(name, f"head: its outputs are returned{f' as {output}' if output else ''}")
    doubts: dict[str, str] = {}
    vocabularies = {module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)}
    for path, module in model.named_modules():
        name = f"{path}.weight" if path else "weight"
        if not is_linear(module) or name in reasons:
            continue
        outputs, inputs = _sizes(module)
        if outputs == 1:
            reasons[name] = "head: maps to one number"
        elif name in multiplied:  # and not returned
            continue
        elif name in likely and path in open_ones:
            reasons[name] = likely[name]
        elif outputs in vocabularies and outputs > inputs and not _is_taken(model, path, outputs):
            reasons[name] = f"head: maps to a vocabulary of {outputs}"
        elif path not in open_ones or (_in_pretrained(model, path) and not _HEAD_NAME.search(path)):
            continue
        elif not _is_taken(model, path, outputs):
            reasons[name] = f"head: no module of the model uses its {outputs} outputs"
        elif not _in_pretrained(model, path):
            if _HEAD_NAME.search(path):
                reasons[name] = "head by its name; a group override can give it to muon"
            else:
                doubts[name] = (
                    "may be a head, since the model could not be run without its weights: then give it to adamw "
                    "with group_overrides"
                )
    return OutputHeads(_with_adapters(model, reasons), doubts, trace.looked_up if trace else frozenset())


def _stated(model: nn.Module) -> tuple[dict[str, str], dict[str, str]]:
    """Return what transformers models state about themselves: {name: reason} of heads, and of what may be heads.

    Parameters outside the base model of the whole model are its head. In a model inside another, parameters outside its
    base may also lead to the other's next part.
    """
    heads: list[Any] = []
    outside: set[nn.Parameter] = set()
    outside_inner: set[nn.Parameter] = set()
    for module in model.modules():
        heads.append(getattr(_output_embeddings(module), "weight", None))
        base = _base_of(module)
        if base is not None:
            found = outside if module is model else outside_inner
            found |= set(module.parameters()) - set(base.parameters())
    weights = {id(weight) for weight in heads if isinstance(weight, nn.Parameter)}
    certain, likely = {}, {}
    for name, parameter in model.named_parameters():
        if id(parameter) in weights:
            certain[name] = "output head: maps to the vocabulary"
        elif parameter in outside:
            certain[name] = OUTSIDE_BASE
        elif parameter in outside_inner:
            likely[name] = OUTSIDE_BASE
    return certain, likely


def _output_embeddings(module: nn.Module) -> Any:
    get_output_embeddings = getattr(module, "get_output_embeddings", None)
    if not callable(get_output_embeddings):
        return None
    try:
        return get_output_embeddings()
    except (AttributeError, NotImplementedError):  # of a class that has none, or forwards the call to one
        return None


def _base_of(module: nn.Module) -> nn.Module | None:
    """Return the base model under the heads of a transformers model; None for all other modules."""
    inner: Any = module
    if hasattr(module, "get_base_model"):  # PEFT's wrapper
        inner = inner.get_base_model()
    prefix = getattr(inner, "base_model_prefix", "")
    base = getattr(inner, prefix, None) if isinstance(prefix, str) and prefix else None
    return base if isinstance(base, nn.Module) else None


def _trace_of_parts(model: nn.Module) -> ForwardTrace | None:
    """Trace the transformers models inside a module that does not run on guessed inputs; None without any."""
    returned: dict[str, str] = {}
    multiplied: set[str] = set()
    looked_up: set[str] = set()
    found = False
    for path, module in _outermost_pretrained(model):
        if path and (trace := trace_forward(module)) is not None:
            found = True
            returned |= {f"{path}.{name}": output for name, output in trace.returned.items()}
            multiplied |= {f"{path}.{name}" for name in trace.multiplied}
            looked_up |= {f"{path}.{name}" for name in trace.looked_up}
    return ForwardTrace(returned, frozenset(multiplied), frozenset(looked_up)) if found else None


def _outermost_pretrained(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    found: list[str] = []
    for path, module in model.named_modules():
        if _is_pretrained(module) and not any(path.startswith(f"{outer}.") or not outer for outer in found):
            found.append(path)
            yield path, module


def _is_pretrained(module: nn.Module) -> bool:
    return hasattr(type(module), "base_model_prefix") and hasattr(module, "config")


def _in_pretrained(model: nn.Module, path: str) -> bool:
    parts = path.split(".")
    return any(_is_pretrained(model.get_submodule(".".join(parts[:depth]))) for depth in range(len(parts)))


def _is_in_layers(model: nn.Module, path: str) -> bool:
    """Return whether a module is inside one of several modules of a kind, such as the layers of a model."""
    parts = path.split(".")
    for depth in range(1, len(parts)):
        container = model.get_submodule(".".join(parts[: depth - 1]))
        if isinstance(container, nn.ModuleList | nn.Sequential | nn.ModuleDict):
            child = container.get_submodule(parts[depth - 1])
            if sum(type(other) is type(child) for other in container.children()) > 1 or parts[depth - 1].isdigit():
                return True
    return False


def _sizes(linear: nn.Module) -> tuple[int, int]:
    weight: Any = linear.weight
    if is_conv1d(linear):
        return int(weight.shape[1]), int(weight.shape[0])
    return int(getattr(linear, "out_features", weight.shape[0])), int(getattr(linear, "in_features", weight.shape[-1]))


def _is_taken(model: nn.Module, path: str, outputs: int) -> bool:
    """Return whether another module takes states as wide as a linear map's outputs, or a part of them beside it."""
    siblings = path.rpartition(".")[0]
    for other_path, other in model.named_modules():
        if other_path == path:
            continue
        widths = set(_widths_taken(other))
        if outputs in widths:
            return True
        if other_path.rpartition(".")[0] == siblings and is_linear(other):
            width = _sizes(other)[1]
            if outputs % width == 0 and outputs // width <= _MOST_FUSED:
                return True
    return False


def _widths_taken(module: nn.Module) -> Iterator[int]:
    """Yield the widths of the states that a module takes, adds to, or scales."""
    if is_linear(module):
        yield _sizes(module)[1]
        return
    for name in (
        "in_features",
        "in_channels",
        "num_features",
        "embedding_dim",
        "embed_dim",
        "input_size",
        "num_channels",
    ):
        value = getattr(module, name, None)
        if isinstance(value, int):
            yield value
    for own, parameter in module.named_parameters(recurse=False):
        if own.endswith("weight") and parameter.ndim == 1:  # a norm's gain
            yield parameter.shape[0]
        elif parameter.ndim == 3:  # experts
            yield from parameter.shape[1:]


def _with_adapters(model: nn.Module, reasons: dict[str, str]) -> dict[str, str]:
    """Return the heads with the parameters of their PEFT adapters, which map to the same outputs."""
    around = {
        _INSIDE_ADAPTER.sub("", path): why
        for path, why in ((name.rpartition(".")[0], why) for name, why in reasons.items())
        if _INSIDE_ADAPTER.search(path)
    }
    if around:
        for name, _ in model.named_parameters():
            for path, why in around.items():
                if name.startswith(f"{path}."):
                    reasons.setdefault(name, why)
    return reasons
