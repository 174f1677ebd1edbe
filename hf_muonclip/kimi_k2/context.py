"""YaRN on a live model, through transformers' own rope parameters: it then equals one loaded with the new config.

Models read their rope parameters once, at construction: the rotary embedding makes its frequencies, and MLA attention
multiplies its scaling by YaRN's mscale². Instead of naming these places for each architecture, this builds the model on
the meta device with and without YaRN and sets, in the live one, what differs.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..attention.modules.find import unwrap
from .schedule import TokenSchedule

_EXTENDED = "_context_extended"  # on a model: from and to which context
_Scalars = dict[tuple[str, str], bool | int | float | str]  # {(module, attribute): value}


def extend_context_(
    model: nn.Module,
    context_length: int,
    original_context_length: int | None = None,
    beta_fast: float = 1.0,
    beta_slow: float = 1.0,
) -> dict[str, Any]:
    """Extend a model's context by YaRN (arXiv 2309.00071). In place; the weights stay. Idempotent.

    Sets `rope_parameters` and `max_position_embeddings` in the model's config, and all that the model derived from them
    when it was constructed: saved and loaded, it computes the same, bit for bit. QK-Clip and its capture follow, for
    they read each module's scaling in the forward.

    The defaults are Kimi K2's. So are mscale = mscale_all_dim = 1, where the architecture's attention reads them (MLA);
    elsewhere they would leave the softmax without YaRN's temperature, and transformers' own default gives it. A model
    that has YaRN with other values gets these.

    Args:
        model: a transformers model, also inside DDP, FSDP2 or torch.compile; not between a forward and its backward.
        context_length: the new context, in tokens; `factor` is its ratio to the original.
        original_context_length: the context that the model was trained at. By default the one its rope parameters name,
            if it has YaRN already, and else `max_position_embeddings`.
        beta_fast: rotations within the original context above which a frequency stays.
        beta_slow: rotations below which a frequency is divided by `factor`.

    Returns:
        The new `config.rope_parameters`.

    Raises:
        ValueError: the architecture has no rotary embedding that can be extended so, its rope type does not combine
            with YaRN, or the lengths contradict one another. The model is then as it was.
    """
    model = unwrap(model)
    _require_rotary(model)
    config: Any = model.config
    rope = dict(config.rope_parameters)
    trained_at = rope.get("original_max_position_embeddings") if rope["rope_type"] == "yarn" else None
    original = original_context_length or trained_at or config.max_position_embeddings
    if trained_at not in (None, original):
        raise ValueError(
            f"YaRN counts from the context that a model was first trained at, which is {trained_at} by its rope "
            f"parameters; got original_context_length={original}. Leave it out."
        )
    if context_length <= original:
        raise ValueError(
            f"context_length must exceed the context that the model was trained at, {original}; got {context_length}."
        )
    plain = {name: rope[name] for name in ("rope_theta", "partial_rotary_factor") if name in rope}
    yarn = rope | {
        "rope_type": "yarn",
        "factor": context_length / original,
        "original_max_position_embeddings": original,
        "beta_fast": beta_fast,
        "beta_slow": beta_slow,
    }
    mscales = {"mscale": 1.0, "mscale_all_dim": 1.0}
    yarn = {name: value for name, value in yarn.items() if name not in mscales}
    try:
        before = _construct(model, _changed(config, {**plain, "rope_type": "default"}, original))
        extended = _changed(config, yarn, context_length)
        after = _construct(model, extended)
        with_mscales = _construct(model, _changed(config, yarn | mscales, context_length))
        rotaries = _rotary_modules(after)
        if any(module not in rotaries for module, _ in _different_scalars(after, with_mscales)):
            extended = _changed(config, yarn | mscales, context_length)
            after = with_mscales
        fresh = {name: _fresh_buffers(model, name, extended) for name in rotaries}
    except (AttributeError, KeyError, TypeError) as error:  # a configuration that transformers' YaRN cannot read
        raise ValueError(f"transformers does not build {type(model).__name__} with YaRN: {error}") from error
    if not fresh or _shapes(before) != _shapes(after):
        raise ValueError(
            f"YaRN needs rotary embeddings and no learned positions; {type(model).__name__} is not supported."
        )
    different = _different_scalars(before, after)

    setattr(model, _EXTENDED, (original, context_length))
    config.rope_parameters = extended.rope_parameters
    config.max_position_embeddings = context_length
    for (module, attribute), value in different.items():
        setattr(model.get_submodule(module), attribute, value)
    for module, buffers in fresh.items():
        live = model.get_submodule(module)
        for name, buffer in buffers.items():
            old = live.get_buffer(name)
            if old.dtype == buffer.dtype and not old.is_meta:
                old.copy_(buffer)  # what was compiled or wrapped holds on to this tensor
            else:
                setattr(live, name, buffer.to(old.device))
    return dict(config.rope_parameters)


def apply_context_(model: nn.Module, schedule: TokenSchedule, tokens_seen: int) -> int:
    """Bring a model to the context of a schedule's phase, extending it by YaRN where the schedule says so. In place.

    Args:
        model: as for `extend_context_`.
        schedule: the schedule of the training.
        tokens_seen: the tokens trained so far.

    Returns:
        The phase's context length, to cut data to.

    Raises:
        ValueError: the model's positions end before the phase's context, or as `extend_context_`.
    """
    context_length = schedule.context_length(tokens_seen)
    original = schedule.phases[0].context_length
    model, final = unwrap(model), schedule.final_context_length
    done = getattr(model, _EXTENDED, None) == (original, final)  # a loop asks at every step
    if context_length > original and final is not None and not done:
        extend_context_(model, final, original)
    allowed = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if allowed is not None and allowed < context_length:
        raise ValueError(
            f"a phase's context must not exceed the model's max_position_embeddings; phase "
            f"{schedule.phase(tokens_seen).name!r} has {context_length}, the model {allowed}. Give the schedule a "
            "final_context_length, for YaRN, or the model more positions."
        )
    return context_length


def _require_rotary(model: nn.Module) -> None:
    """Raise ValueError if YaRN cannot be applied to the model."""
    if not isinstance(model, PreTrainedModel):
        raise ValueError(
            f"the model must be a transformers PreTrainedModel; got {type(model).__name__}. From a PEFT model pass "
            "model.get_base_model()."
        )
    config: Any = model.config
    name = type(model).__name__
    if config.get_text_config() is not config:
        raise ValueError(f"{name} holds several models, each with its own config. Pass its language model.")
    rope = getattr(config, "rope_parameters", None)
    if not rope or getattr(config, "max_position_embeddings", None) is None:
        raise ValueError(
            f"YaRN needs rotary embeddings; {name} has no config.rope_parameters, or no max_position_embeddings beside "
            "them, and is not supported."
        )
    if rope.get("rope_type") not in ("default", "yarn"):
        kind = repr(rope["rope_type"]) if "rope_type" in rope else f"one for each of {sorted(rope)}"
        raise ValueError(
            f"YaRN extends rope_type 'default' or 'yarn'; {name} has {kind}. Extend it as its authors say, or train "
            "with final_context_length=None."
        )


def _changed(config: PreTrainedConfig, rope_parameters: dict[str, Any], context_length: int) -> PreTrainedConfig:
    changed: Any = copy.deepcopy(config)
    # Positions first: transformers checks rope parameters against them.
    changed.max_position_embeddings = context_length
    changed.rope_parameters = dict(rope_parameters)
    changed.standardize_rope_params()
    changed.validate_rope()
    return changed  # type: ignore[no-any-return]


def _construct(model: nn.Module, config: PreTrainedConfig) -> nn.Module:
    constructor: Any = type(model)
    with torch.device("meta"):
        return constructor(copy.deepcopy(config))  # type: ignore[no-any-return]


def _different_scalars(before: nn.Module, after: nn.Module) -> _Scalars:
    old, new = _scalars(before), _scalars(after)
    return {place: value for place, value in new.items() if old.get(place) != value}


def _scalars(model: nn.Module) -> _Scalars:
    return {
        (name, attribute): value
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if not attribute.startswith("_") and isinstance(value, bool | int | float | str)
    }


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def _rotary_modules(model: nn.Module) -> list[str]:
    """Return the names of the modules that transformers treats as rotary embeddings when it loads a model."""
    return [
        name
        for name, module in model.named_modules()
        if "RotaryEmbedding" in type(module).__name__ and hasattr(module, "original_inv_freq")
    ]


def _fresh_buffers(model: nn.Module, name: str, config: PreTrainedConfig) -> dict[str, Tensor]:
    """Return the buffers that a rotary embedding makes from a config, in float32 on the CPU."""
    constructor: Any = type(model.get_submodule(name))
    with torch.device("cpu"):
        return dict(constructor(config=config).named_buffers())
