"""The one place where transformers is intercepted: the attention interface that every current model calls.

A model asks `AttentionInterface.get_interface` for its attention function at forward time and calls it with the final
query and key: after RoPE, after any norm, key heads not yet repeated. Wrapping that method sees the true operands of
every implementation and survives `set_attn_implementation`. A module opts in by carrying an observer, so other models
in the process are left alone, and the last observation to end takes the wrapper away again.
"""

import functools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import torch._dynamo
from torch import Tensor, nn
from transformers.modeling_utils import AttentionInterface

_OBSERVER = "_attention_observer"
_SKIP_IN_RECOMPUTE = "skip_fwd_side_effects_in_bwd_under_checkpoint"
_originals: list[Callable[..., Any]] = []  # the unwrapped get_interface, once per observation under way
_compiler_settings = ExitStack()  # while any observation is under way


class AttentionObserver(Protocol):
    """Sees the operands of every attention call of the module that carries it."""

    def observe(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, kwargs: dict[str, Any]
    ) -> None:
        """Called before the attention function, with its arguments."""
        ...


def start_observing(modules: Mapping[str, nn.Module], observers: Mapping[str, AttentionObserver]) -> None:
    """Give every module its observer and intercept the interface. Undone by `stop_observing`.

    Raises:
        ValueError: a module carries an observer already; none was added.
    """
    taken = [name for name, module in modules.items() if getattr(module, _OBSERVER, None) is not None]
    if taken:
        raise ValueError(
            f"one observer at a time can measure a module; {taken[0]} is being measured already. Call detach() on the "
            "other MuonClip optimizer of this model, or leave the other capture_max_logits block."
        )
    for name, module in modules.items():
        setattr(module, _OBSERVER, observers[name])
    if not _originals:
        original = AttentionInterface.get_interface

        @functools.wraps(original)
        def get_interface(self: AttentionInterface, attn_implementation: str, default: Callable[..., Any]) -> Any:
            return _observed(original(self, attn_implementation, default))

        AttentionInterface.get_interface = get_interface  # type: ignore[method-assign]
        _originals.append(original)
        # An observer in a compiled, checkpointed layer acts in the forward alone, never in the recompute; without
        # this, torch.compile refuses to let it act at all. Older torch has no such setting, and refuses.
        if hasattr(torch._dynamo.config, _SKIP_IN_RECOMPUTE):
            _compiler_settings.enter_context(torch._dynamo.config.patch({_SKIP_IN_RECOMPUTE: True}))
    else:
        _originals.append(_originals[-1])


def stop_observing(modules: Mapping[str, nn.Module]) -> None:
    """Take the observers away, and the interception with the last of them."""
    for module in modules.values():
        module.__dict__.pop(_OBSERVER, None)
    original = _originals.pop()
    if not _originals:
        AttentionInterface.get_interface = original  # type: ignore[method-assign]
        _compiler_settings.close()


def _observed(attention: Callable[..., Any]) -> Callable[..., Any]:
    def observed_attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **kwargs: Any
    ) -> Any:
        observer = getattr(module, _OBSERVER, None)
        if observer is not None:
            observer.observe(module, query, key, value, attention_mask, kwargs)
        return attention(module, query, key, value, attention_mask, *args, **kwargs)

    return observed_attention
