"""The one place where transformers is intercepted: where attention scores are about to be, or just were, computed.

A model asks `AttentionInterface.get_interface` for its attention function at forward time and calls it with the final
query and key: after RoPE, after any norm, key heads not yet repeated. Wrapping that method sees the true operands of
every implementation and survives `set_attn_implementation`. A module opts in by carrying an observer, so other models
in the process are left alone, and the last observation to end takes the wrapper away again.

Older models compute their scores themselves. Inside the forward of such a module a `ScoreTrace` follows them.
"""

import functools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import torch
import torch._dynamo
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.modeling_utils import AttentionInterface

from .detect_layout import calls_attention_interface
from .score_trace import ScoreTrace
from .sequence_shards import require_known_sequence

_OBSERVER = "_attention_observer"
_TRACING = "_attention_tracing"
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

    def observe_scores(self, module: nn.Module, scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
        """Called before the softmax of a module that computes its scores itself.

        Args:
            module: the attention module.
            scores: scaled q·k without anything that was added to them, in the module's own shape.
            final_scores: what the softmax takes, same shape: with biases and masks.
            blocked: bool, same shape; pairs that the module multiplied by zero.
        """
        ...

    def wants(self, module: nn.Module) -> bool:
        """Whether this forward of `module` is to be observed."""
        ...

    @property
    def keeps_graph(self) -> bool:
        """Whether observed scores must keep their autograd graph."""
        ...


class _Tracing:
    """The hooks of one module that computes its scores itself: a trace is active from its pre-hook to its hook."""

    def __init__(self, module: nn.Module, observer: AttentionObserver) -> None:
        self.observer = observer
        self.traces: list[ScoreTrace | None] = []
        self.handles: list[RemovableHandle] = [
            module.register_forward_pre_hook(self._Start(self)),
            module.register_forward_hook(self._Stop(self), always_call=True),
        ]

    class _Start:
        def __init__(self, tracing: "_Tracing | None") -> None:
            self.tracing = tracing

        def __reduce__(self) -> tuple[type, tuple[None]]:
            return type(self), (None,)  # a copied or pickled model is not being observed

        def __call__(self, module: nn.Module, args: Any) -> None:
            if self.tracing is not None:
                self.tracing.start(module)

    class _Stop(_Start):
        def __call__(self, module: nn.Module, args: Any, output: Any = None) -> None:
            if self.tracing is not None:
                self.tracing.stop()

    def start(self, module: nn.Module) -> None:
        if not self.observer.wants(module):
            self.traces.append(None)
            return
        if torch.compiler.is_compiling():
            raise RuntimeError(
                f"{type(module).__name__} computes its scores outside of transformers' attention interface, where "
                "torch.compile cannot measure them. Leave its forward uncompiled (torch.compiler.disable), or train "
                "with qk_clip_threshold=None."
            )
        observer = self.observer

        def on_scores(scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
            observer.observe_scores(module, scores, final_scores, blocked)

        def on_operands(query: Tensor, key: Tensor, value: Tensor, mask: Any, kwargs: dict[str, Any]) -> None:
            observer.observe(module, query, key, value, mask, kwargs)

        trace = ScoreTrace(on_scores, on_operands, observer.keeps_graph)
        self.traces.append(trace)
        trace.__enter__()  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Remove the hooks, and leave what an interrupt in the middle of a forward left active."""
        while self.traces:
            self.stop()
        for handle in self.handles:
            handle.remove()

    def stop(self) -> None:
        trace = self.traces.pop()
        if trace is not None:
            trace.__exit__(None, None, None)  # type: ignore[no-untyped-call]


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
        if not calls_attention_interface(module):
            module.__dict__[_TRACING] = _Tracing(module, observers[name])
            torch._dynamo.reset()  # code that was compiled before would run without the hooks, and show nothing
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
        tracing = module.__dict__.pop(_TRACING, None)
        if tracing is not None:
            tracing.remove()
    original = _originals.pop()
    if not _originals:
        AttentionInterface.get_interface = original  # type: ignore[method-assign]
        _compiler_settings.close()


def _observed(attention: Callable[..., Any]) -> Callable[..., Any]:
    def observed_attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **kwargs: Any
    ) -> Any:
        observer = getattr(module, _OBSERVER, None)
        if observer is not None and observer.wants(module):
            if not torch.compiler.is_compiling():
                require_known_sequence(type(module).__name__, attention)
            observer.observe(module, query, key, value, attention_mask, kwargs)
        return attention(module, query, key, value, attention_mask, *args, **kwargs)

    return observed_attention
