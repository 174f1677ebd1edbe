"""Which modules of a model attend: as they run, and as their code reads where they do not run."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor
from transformers import AutoModel, PretrainedConfig
from transformers.models.auto import modeling_auto

from .attending import Attending, see_attending
from .class_source import NAMED_ATTENTION, calls_attention_interface, is_foreign, may_attend, other_scores
from .random_inputs import call_model, evaluation_mode

_WRAPPERS = (nn.parallel.DistributedDataParallel, nn.DataParallel, FullyShardedDataParallel)
_MIXER = re.compile(
    r"(mixer|deltanet|ssm|ssd|rglru|recurrentblock|shortconv|lstm|xlstmlayer|linearattention)$", re.IGNORECASE
)
_CROSS = re.compile(r"cross|encoder_attn|enc_dec|encdec|context_attn|inter_attention", re.IGNORECASE)

_HEAD_COUNT = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "num_attn_heads", "nb_heads", "groups")


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


def attention_modules(model: nn.Module, run: bool = True) -> dict[str, nn.Module]:
    """Return the modules of a model that compute softmax attention by name.

    Args:
        model: on any device.
        run: run the model on a few tokens where its code does not show it; else go by the code alone.

    Raises:
        ValueError: there is none.
    """
    found = sort_modules(model, run=run)
    if not found.attending:
        refuse_without_attention(model, found.not_applicable)
    return found.attending


def is_cross_attention(name: str, module: nn.Module) -> bool:
    """Return whether queries and keys are of different sequences; then no diagonal shows which queries are padding."""
    stated = getattr(module, "is_cross_attention", None)
    called = ".".join(name.split(".")[-2:])  # layers of a "cross-modal" encoder have self-attention as well
    return bool(stated) or _CROSS.search(f"{called} {type(module).__name__}") is not None


@dataclass(frozen=True)
class SortedModules:
    """The modules of a model that attend, {name: reason} of those that only look like it, and which of them ran."""

    attending: dict[str, nn.Module]
    not_applicable: dict[str, str]
    seen: Attending = field(default_factory=Attending)


def sort_modules(model: nn.Module, inputs: Mapping[str, Any] | None = None, run: bool = True) -> SortedModules:
    """Return which modules attend: as they run, and as their code reads where they do not run."""
    modules = {name: module for name, module in model.named_modules() if any(True for _ in module.parameters())}
    calling = {name for name, module in modules.items() if calls_attention_interface(module)}
    named = {name for name, module in modules.items() if NAMED_ATTENTION.search(type(module).__name__) is not None}
    likely = calling | named
    mixers = {
        name for name, module in modules.items() if _MIXER.search(type(module).__name__) and not _inside(likely, name)
    }
    # What calls transformers' interface attends through it. What else a model of transformers' own parts is, its code
    # shows in most cases, and running it in all.
    open_ = (named | mixers) - calling
    open_ = {name for name in open_ if not _inside(calling, name)}
    open_ |= {name for name, module in modules.items() if is_foreign(module)}
    seen = _see(model, inputs) if run and open_ else Attending()
    candidates, not_applicable = {}, {}
    for name, module in modules.items():
        of_class = type(module).__name__
        why = other_scores(module) if name in named else ""
        # All of it ran, and something inside of it attended or nothing did.
        settled = name in seen.used and name not in seen.attended
        if name in seen.attended:
            candidates[name] = module
        elif name in calling:
            if not _projects(module):
                not_applicable[name] = f"{of_class} projects no queries and keys"
            elif not (settled and _inside(seen.attended, name)):
                candidates[name] = module
        elif why:
            not_applicable[name] = f"{of_class} {why}"
        elif not settled and may_attend(module):
            candidates[name] = module
        elif not _inside(likely | seen.attended, name) and (
            name in named or (name in mixers and not _around(not_applicable, name))
        ):
            not_applicable[name] = f"{of_class} takes no softmax over q·k"
    attending: dict[str, nn.Module] = {}
    for name, module in candidates.items():
        if not _around(attending, name) and (name in calling or not _inside(candidates, name)):
            attending[name] = module
    not_applicable = {name: reason for name, reason in not_applicable.items() if not _around(attending, name)}
    return SortedModules(attending, not_applicable, seen)


def _see(model: nn.Module, inputs: Mapping[str, Any] | None) -> Attending:
    """Return what one forward shows, if this rank holds all weights; a sharded model is not run."""
    spread = any(isinstance(parameter, DTensor) or hasattr(parameter, "ds_id") for parameter in model.parameters())
    if spread:
        return Attending()
    with evaluation_mode(model):
        return see_attending(model, lambda: call_model(model, inputs))


def _inside(names: Collection[str], outer: str) -> bool:
    """Return whether one of the modules is inside of another one."""
    return any(name != outer and (not outer or name.startswith(f"{outer}.")) for name in names)


def _around(names: Collection[str], inner: str) -> bool:
    """Return whether another module is inside of one of the modules."""
    return any(name != inner and (not name or inner.startswith(f"{name}.")) for name in names)


def _projects(module: nn.Module) -> bool:
    """Return whether a module has matrices of its own or below it, apart from single vectors that act as a query."""
    below = (p for child in module.children() for p in child.parameters())
    own = (p for name, p in module.named_parameters(recurse=False) if name != "query")
    return any(p.ndim > 1 for p in (*below, *own))


def refuse_without_attention(model: nn.Module, not_applicable: Mapping[str, str]) -> None:
    """Raise the error for a model without softmax attention, naming a module that only looks like it."""
    children = ", ".join(name for name, _ in model.named_children()) or "none"
    found = f" Not softmax attention: {next(iter(not_applicable.values()))}." if not_applicable else ""
    raise ValueError(
        f"QK-Clip needs softmax attention, and {type(model).__name__} has no module that computes it (its children: "
        f"{children}).{found} Pass qk_clip_threshold=None for Muon alone."
    )


def stated_heads(module: nn.Module) -> int | None:
    """Return the number of attention heads that a module, or its config, states."""
    for owner in (module, getattr(module, "config", None)):
        for attribute in _HEAD_COUNT:
            value = getattr(owner, attribute, None)
            if isinstance(value, int) and value > 0:
                return value
    return None
