"""Find the attention modules of a model and the head layout of each: by rule, or else by running them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from ..head_layout import AttentionLayout, HeadLayout
from ..modules.class_source import computes_own_scores, is_foreign
from ..modules.find import model_on_meta, refuse_without_attention, sort_modules, unwrap
from .parts import ContradictoryLayoutError, NeedsWeightsError, UnknownLayoutError
from .rules import read_layout


def detect_head_layout(
    model: "nn.Module | PretrainedConfig", scale_lora_base: bool = False, inputs: Mapping[str, Any] | None = None
) -> HeadLayout:
    """Find the head layout of every attention module of a model.

    Reads the running module first; a module that no rule covers is run on a few tokens, and the weights that move each
    head are found by their effect. A module whose layout is found neither way is refused by name.

    Args:
        model: a transformers model on any device, also wrapped by DDP, torch.compile or PEFT; or a config, from which
            the model is built on the meta device, without weights.
        scale_lora_base: let the clip scale the frozen base weight of LoRA layers together with their adapter. By
            default such modules are monitored only.
        inputs: the arguments of one forward, for modules that must be run; by default random tokens, pixels or sounds
            of the sizes that the config names.

    Returns:
        One `AttentionLayout` per attention module.

    Raises:
        ValueError: no softmax attention, or a module that no rule covers and whose behaviour shows none, with what
            was found in it.
    """
    model = model_on_meta(model) if isinstance(model, PretrainedConfig) else unwrap(model)
    sorted_modules = sort_modules(model, inputs)
    modules, not_applicable = sorted_modules.attending, sorted_modules.not_applicable
    if not modules:
        refuse_without_attention(model, not_applicable)
    found: dict[str, AttentionLayout] = {}
    unknown: dict[str, UnknownLayoutError] = {}
    for name, module in modules.items():
        try:
            found[name] = read_layout(name, module, scale_lora_base)
        except ContradictoryLayoutError:
            raise
        except UnknownLayoutError as refusal:
            unknown[name] = refusal.with_traceback(None)  # whose frames would keep the caller's objects alive
        except Exception as error:  # whatever a foreign module raises when it is read
            unknown[name] = UnknownLayoutError(
                f"the head layout of {name} ({type(module).__name__}) cannot be read: {type(error).__name__}: {error}."
            )
    if unknown:
        found |= _search(model, modules, unknown, inputs)
    _require_scores(
        model,
        {
            name: module
            for name, module in modules.items()
            if name in sorted_modules.seen.attended and is_foreign(module) and computes_own_scores(module)
        },
        found,
        inputs,
    )
    layouts = {name: found[name] for name in modules}
    _mark_shared_weights(modules, layouts)
    return HeadLayout(layouts, not_applicable, tuple(name for name in modules if name in unknown))


def _search(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    unknown: Mapping[str, UnknownLayoutError],
    inputs: Mapping[str, Any] | None,
) -> dict[str, AttentionLayout]:
    """Find layouts that no rule covers by behaviour, or refuse with both reasons."""
    from .search import find_layouts

    first = next(iter(unknown.values()))
    without = "qk_clip_threshold=None to train with Muon alone."
    if any(parameter.is_meta for parameter in model.parameters()):
        raise NeedsWeightsError(
            f"{first} Without weights it cannot be found by behaviour either: load the model first. Pass {without}"
        )
    try:
        return find_layouts(model, {name: modules[name] for name in unknown}, inputs)
    except Exception as error:  # whatever a foreign module raises when it is run
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}."
        raise UnknownLayoutError(
            f"{first} Running it did not help either: {said} Pass a batch that reaches it, the arguments of one "
            f"forward, as inputs={{...}}; or {without}"
        ) from error


def _require_scores(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    layouts: Mapping[str, AttentionLayout],
    inputs: Mapping[str, Any] | None,
) -> None:
    """Refuse modules of the user's own that attend where no capture can follow their scores."""
    from .probe import modules_without_scores

    if not modules or any(parameter.is_meta for parameter in model.parameters()):
        return
    for name, why in modules_without_scores(model, modules, layouts, inputs).items():
        raise ValueError(
            f"QK-Clip must see the scores of each module that attends; {name} ({type(modules[name]).__name__}) takes "
            f"a softmax over q·k, and {why}. Call transformers' attention interface, torch's softmax or "
            "scaled_dot_product_attention in its forward, or pass qk_clip_threshold=None to train with Muon alone."
        )


def _mark_shared_weights(modules: Mapping[str, nn.Module], layouts: dict[str, AttentionLayout]) -> None:
    """Mark modules that share parameters, so that each parameter is scaled once."""
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
