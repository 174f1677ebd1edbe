"""Find the attention modules of a model and the head layout of each: by rule, or else by how they behave."""

import ast
import functools
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from transformers import AutoModel, PretrainedConfig
from transformers.models.auto import modeling_auto

from .head_layout import AttentionLayout, HeadLayout
from .layout_parts import ContradictoryLayoutError, UnknownLayoutError
from .layout_rules import read_layout

_WRAPPERS = (nn.parallel.DistributedDataParallel, nn.DataParallel, FullyShardedDataParallel)
_NAMED_ATTENTION = re.compile(r"(attention|attn|mla)(v\d)?$", re.IGNORECASE)
_SOFTMAX = re.compile(r"[sS]oftmax|scaled_dot_product_attention|logsumexp")
_PRODUCT = re.compile(r"matmul|bmm|einsum|scaled_dot_product_attention|\s@\s")
_OTHER_SCORES = {  # in the source of a module that takes a softmax of something else than q·k
    "sampling_offsets": "samples at learned offsets",
    "torch.fft": "correlates in the frequency domain",
}
_MIXER = re.compile(
    r"(mixer|deltanet|ssm|ssd|rglru|recurrentblock|shortconv|lstm|xlstmlayer|linearattention)$", re.IGNORECASE
)
_CROSS = re.compile(r"cross|encoder_attn|enc_dec|encdec|context_attn|inter_attention", re.IGNORECASE)


def detect_head_layout(
    model: "nn.Module | PretrainedConfig", scale_lora_base: bool = False, inputs: Mapping[str, Any] | None = None
) -> HeadLayout:
    """Find the head layout of every attention module of a model.

    Reads the running module first; a module that no rule covers is run on a few tokens, and the weights that move each
    head are found by their effect. What is found neither way is refused by name.

    Args:
        model: a transformers model on any device, also wrapped by DDP, torch.compile or PEFT; or a config, from which
            the model is built on the meta device, without weights.
        scale_lora_base: let the clip scale the frozen base weight of LoRA layers together with their adapter. By
            default such modules are monitored only.
        inputs: the arguments of one forward, for modules that must be run; by default a few random tokens.

    Returns:
        One `AttentionLayout` per attention module.

    Raises:
        ValueError: no softmax attention, or a module that no rule covers and whose behaviour does not tell, with what
            was found in it.
    """
    model = model_on_meta(model) if isinstance(model, PretrainedConfig) else unwrap(model)
    modules, not_applicable = _sort_modules(model)
    if not modules:
        _refuse_without_attention(model, not_applicable)
    found: dict[str, AttentionLayout] = {}
    unknown: dict[str, UnknownLayoutError] = {}
    for name, module in modules.items():
        try:
            found[name] = read_layout(name, module, scale_lora_base)
        except ContradictoryLayoutError:
            raise
        except UnknownLayoutError as refusal:
            unknown[name] = refusal
        except Exception as error:  # whatever a foreign module raises when it is read
            unknown[name] = UnknownLayoutError(
                f"the head layout of {name} ({type(module).__name__}) cannot be read: {type(error).__name__}: {error}."
            )
    if unknown:
        found |= _search(model, modules, unknown, inputs)
    layouts = {name: found[name] for name in modules}
    _mark_shared_weights(modules, layouts)
    return HeadLayout(layouts, not_applicable, tuple(name for name in modules if name in unknown))


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside DDP, FSDP1, DataParallel and torch.compile, whose names a layout uses."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, _WRAPPERS):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def model_on_meta(config: PretrainedConfig) -> nn.Module:
    """Build the model that a config describes, without weights: of the class it names, or the most specific Auto class.

    Raises:
        ValueError: no model class belongs to the config, or its sizes are impossible.
    """
    import transformers

    names = [name for name in (getattr(config, "architectures", None) or []) if hasattr(transformers, name)]
    for mapping in ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SEQ_TO_SEQ_CAUSAL_LM", "MASKED_LM"):
        names.append(getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES").get(config.model_type))
    model_class: Any = next((getattr(transformers, name) for name in names if isinstance(name, str)), None)
    try:
        with torch.device("meta"):
            built: nn.Module = (model_class or AutoModel.from_config)(config)
            return built
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError, AttributeError, AssertionError, KeyError) as error:
        raise ValueError(
            f"a config must describe a model that transformers can build; {type(config).__name__} does not: {error}"
        ) from error


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of a model that compute softmax attention by name.

    Raises:
        ValueError: there is none.
    """
    modules, not_applicable = _sort_modules(model)
    if not modules:
        _refuse_without_attention(model, not_applicable)
    return modules


def calls_attention_interface(module: nn.Module) -> bool:
    """Tell whether a module gets its attention function from transformers' attention interface."""
    return "get_interface" in _source(module)


def is_cross_attention(name: str, module: nn.Module) -> bool:
    """Tell whether queries and keys come from different sequences; no diagonal then says which queries are padding."""
    stated = getattr(module, "is_cross_attention", None)
    called = ".".join(name.split(".")[-2:])  # layers of a "cross-modal" encoder have self-attention as well
    return bool(stated) or _CROSS.search(f"{called} {type(module).__name__}") is not None


def _sort_modules(model: nn.Module) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Return the softmax attention modules, and {name: reason} of those that only look like one."""
    candidates, not_applicable = {}, {}
    for name, module in model.named_modules():
        if not any(True for _ in module.parameters()):
            continue
        if calls_attention_interface(module):
            if not _projects(module):
                not_applicable[name] = f"{type(module).__name__} projects no queries and keys"
            else:
                candidates[name] = module
        elif _NAMED_ATTENTION.search(type(module).__name__) is not None:
            other = next((why for text, why in _OTHER_SCORES.items() if text in _source(module)), None)
            if other is not None:
                not_applicable[name] = f"{type(module).__name__} {other}"
            elif _source_computes_scores(module):
                candidates[name] = module
            elif not any(True for _ in _attention_inside(module)):
                not_applicable[name] = f"{type(module).__name__} takes no softmax over q·k"
        elif (
            _MIXER.search(type(module).__name__) is not None
            and not any(True for _ in _attention_inside(module))
            and not any(name.startswith(f"{other}.") for other in not_applicable)
        ):
            not_applicable[name] = f"{type(module).__name__} takes no softmax over q·k"
    modules: dict[str, nn.Module] = {}
    for name, module in candidates.items():
        holds_another = any(other.startswith(f"{name}.") or (not name and other) for other in candidates)
        inside_another = any(name.startswith(f"{other}.") for other in modules)
        if inside_another or (holds_another and not calls_attention_interface(module)):
            continue
        modules[name] = module
    inside = {name for name in not_applicable if any(name.startswith(f"{other}.") for other in modules)}
    return modules, {name: reason for name, reason in not_applicable.items() if name not in inside}


def _projects(module: nn.Module) -> bool:
    """Tell whether a module has matrices of its own or below it, apart from single vectors that act as a query."""
    below = (p for child in module.children() for p in child.parameters())
    own = (p for name, p in module.named_parameters(recurse=False) if name != "query")
    return any(p.ndim > 1 for p in (*below, *own))


def _attention_inside(module: nn.Module) -> Any:
    for child in module.children():
        for submodule in child.modules():
            if _NAMED_ATTENTION.search(type(submodule).__name__) or calls_attention_interface(submodule):
                yield submodule


def _source_computes_scores(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return True
    source = _source(module)
    return bool(_SOFTMAX.search(source) and _PRODUCT.search(source))


def _source(module: nn.Module) -> str:
    return _source_of_class(cast(Any, type(module)))


@functools.cache
def _source_of_class(cls: Any) -> str:
    """Return the source of a class and its bases up to nn.Module; what cannot be read may do anything, so says all."""
    parts = []
    for base in cls.__mro__:
        if base in (nn.Module, object) or base.__module__.startswith(("torch.", "transformers.modeling_utils")):
            continue
        try:
            classes = _classes_of_module(base.__module__)
            parts.append(classes.get(base.__qualname__) or inspect.getsource(base))
        except (OSError, TypeError):
            parts.append("softmax matmul get_interface" if _NAMED_ATTENTION.search(base.__name__) else "")
    return "\n".join(parts)


@functools.cache
def _classes_of_module(name: str) -> dict[str, str]:
    """Return the source of every class of a module; parsed once, where `inspect.getsource` parses for every class.

    Raises:
        OSError, TypeError: the module has no source.
    """
    module = sys.modules.get(name)
    if module is None:
        raise OSError(f"{name} is not loaded")
    source = inspect.getsource(module)
    lines, found = source.splitlines(keepends=True), {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = "".join(lines[node.lineno - 1 : node.end_lineno])
    return found


def _search(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    unknown: Mapping[str, UnknownLayoutError],
    inputs: Mapping[str, Any] | None,
) -> dict[str, AttentionLayout]:
    """Find by behaviour what no rule covers, or refuse with the reasons of both."""
    from .layout_search import find_layouts

    first = next(iter(unknown.values()))
    way_out = "Pass qk_clip_threshold=None to train with Muon alone."
    if any(parameter.is_meta for parameter in model.parameters()):
        raise UnknownLayoutError(
            f"{first} Without weights it cannot be found by behaviour either: load the model first. {way_out}"
        )
    try:
        return find_layouts(model, {name: modules[name] for name in unknown}, inputs)
    except Exception as error:  # whatever a foreign module raises when it is run
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}."
        raise UnknownLayoutError(f"{first} Running it did not tell either: {said} {way_out}") from error


def _mark_shared_weights(modules: Mapping[str, nn.Module], layouts: dict[str, AttentionLayout]) -> None:
    """Tell modules that scale the same parameters to do it once."""
    owners: dict[nn.Parameter, str] = {}
    for name, module in modules.items():
        layout = layouts[name]
        if not layout.head_rows:
            continue
        shared = {owners.get(module.get_parameter(rows.parameter)) for rows in layout.head_rows}
        if shared == {None}:
            owners |= {module.get_parameter(rows.parameter): name for rows in layout.head_rows}
            continue
        owner = next(iter(shared - {None}))
        first = layouts[owner or ""]
        if len(shared) > 1 or replace(first, name=name, attention_class=layout.attention_class) != layout:
            raise ValueError(
                f"attention modules that share weights must share all that the clip scales; {name} shares some with "
                f"{', '.join(sorted(o for o in shared if o))} and splits them otherwise. Pass qk_clip_threshold=None "
                "to train with Muon alone."
            )
        layouts[name] = replace(layout, shares_weights_with=owner)


def _refuse_without_attention(model: nn.Module, not_applicable: Mapping[str, str]) -> None:
    children = ", ".join(name for name, _ in model.named_children()) or "none"
    found = f" Not softmax attention: {next(iter(not_applicable.values()))}." if not_applicable else ""
    raise ValueError(
        f"QK-Clip needs softmax attention, and {type(model).__name__} has no module that computes it (its children: "
        f"{children}).{found} Pass qk_clip_threshold=None for Muon alone."
    )
