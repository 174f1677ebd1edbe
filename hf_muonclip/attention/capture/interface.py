"""The one place where attention is intercepted: where attention scores are about to be, or just were, computed.

A model asks `AttentionInterface.get_interface` for its attention function at forward time and calls it with the final
query and key: after RoPE, after any norm, key heads not yet repeated. Wrapping that method sees the true operands of
every implementation and survives `set_attn_implementation`. A module opts in by carrying an observer, so other models
in the process are left alone, and the last observation to end takes the wrapper away again.

Older models compute their scores themselves, and some do behind an option. Inside the forward of such a module a
`ScoreTrace` follows them. Models written for transformers 4.48 to 4.57 look their attention function up in
`ALL_ATTENTION_FUNCTIONS[...]`, so that is intercepted as well.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch._dynamo
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.modeling_utils import AttentionInterface

from ...common.patching import PatchedMethod, PatchedSetting
from ..modules.class_source import calls_attention_interface, computes_own_scores, names_attention_interface
from .mask_convention import MaskConvention, convention_of_function, registered_convention, unknown_convention
from .pair_mask import tells_pairs
from .score_trace import ScoreTrace
from .sequence_shards import context_parallel_mesh, require_known_sequence

_OBSERVER = "_attention_observer"
_TRACING = "_attention_tracing"
_OBSERVED = "_attention_observed"


class AttentionObserver(Protocol):
    """Sees the operands of every attention call of the module that carries it."""

    def observe(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any,
        kwargs: dict[str, Any],
        convention: MaskConvention | None,
    ) -> None:
        """Take the arguments of an attention call, and the convention of its mask; None if that is not known."""
        ...

    def observe_scores(self, module: nn.Module, scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
        """Take the scores of a module that computes them itself, before its softmax.

        Args:
            module: the attention module.
            scores: scaled q·k without anything that was added to them, in the module's own shape.
            final_scores: what the softmax takes, same shape: with biases and masks.
            blocked: bool, same shape; pairs that the module multiplied by zero.
        """
        ...

    def wants(self, module: nn.Module) -> bool:
        """Return whether this forward of `module` is to be observed."""
        ...

    @property
    def keeps_graph(self) -> bool:
        """Whether observed scores must keep their autograd graph."""
        ...


@dataclass
class _Forward:
    """The running forward of a module that may compute its scores itself."""

    trace: ScoreTrace | None  # None: not to be observed
    held: list[Callable[[], None]] = field(default_factory=list)  # what the end of the forward shows the observer
    called_interface: bool = False


class _Tracing:
    """The hooks of one module that computes its scores itself: a trace is active from its pre-hook to its hook."""

    def __init__(self, module: nn.Module, observer: AttentionObserver) -> None:
        self.observer = observer
        self.has_other_way = calls_attention_interface(module)  # which is observed in compiled code too
        self.may_call_interface = names_attention_interface(module)
        self.forwards: list[_Forward] = []
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
            if self.tracing is not None and not self.tracing.is_left_out():
                self.tracing.start(module)

    class _Stop(_Start):
        def __call__(self, module: nn.Module, args: Any, output: Any = None) -> None:
            if self.tracing is not None and not self.tracing.is_left_out():
                self.tracing.stop()

    def is_left_out(self) -> bool:
        """Return whether to skip the trace because the forward is being compiled, where it is not possible."""
        return self.has_other_way and torch.compiler.is_compiling()

    def start(self, module: nn.Module) -> None:
        if not self.observer.wants(module):
            self.forwards.append(_Forward(None))
            return
        if torch.compiler.is_compiling():
            raise RuntimeError(
                f"{type(module).__name__} computes its scores outside of transformers' attention interface, where "
                "torch.compile cannot measure them. Leave its forward uncompiled (torch.compiler.disable), or train "
                "with qk_clip_threshold=None."
            )
        observer = self.observer

        def on_scores(scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
            self.show(lambda: observer.observe_scores(module, scores, final_scores, blocked))

        def on_operands(query: Tensor, key: Tensor, value: Tensor, mask: Any, kwargs: dict[str, Any]) -> None:
            self.show(lambda: observer.observe(module, query, key, value, mask, kwargs, "sdpa"))

        trace = ScoreTrace(on_scores, on_operands, observer.keeps_graph)
        self.forwards.append(_Forward(trace))
        trace.__enter__()  # type: ignore[no-untyped-call]

    def show(self, observe: Callable[[], None]) -> None:
        """Pass scores to the observer: now, or at the end of the forward if the module may still call the interface.

        A module that calls the interface attends there. Any other softmax of its own is then not attention: its result
        is unused, or used for something else.
        """
        if self.may_call_interface:
            self.forwards[-1].held.append(observe)
        else:
            observe()

    def remove(self) -> None:
        """Remove the hooks, and end a trace that an interrupt in the middle of a forward left active."""
        while self.forwards:
            self.leave()
        for handle in self.handles:
            handle.remove()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend the trace inside the block, where the interface's function attends and is observed already."""
        forward = self.forwards[-1] if self.forwards else None
        if forward is None or forward.trace is None:
            yield
            return
        forward.called_interface = True
        forward.trace.paused = True
        try:
            yield
        finally:
            forward.trace.paused = False

    def stop(self) -> None:
        forward = self.leave()
        if not forward.called_interface:
            for observe in forward.held:
                observe()

    def leave(self) -> _Forward:
        forward = self.forwards.pop()
        if forward.trace is not None:
            forward.trace.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        return forward


def is_observed(module: nn.Module) -> bool:
    """Return whether a module carries an observer."""
    return getattr(module, _OBSERVER, None) is not None


@contextmanager
def set_aside(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Let others observe the modules inside the block; earlier observers are suspended meanwhile."""
    observed = {name: module for name, module in modules.items() if is_observed(module)}
    observers = {name: getattr(module, _OBSERVER) for name, module in observed.items()}
    stop_observing(observed)
    try:
        yield
    finally:
        start_observing(observed, observers)


def start_observing(modules: Mapping[str, nn.Module], observers: Mapping[str, AttentionObserver]) -> None:
    """Give every module its observer and intercept the interface. Undone by `stop_observing`.

    Raises:
        ValueError: a module carries an observer already; none was added.
    """
    taken = [name for name, module in modules.items() if is_observed(module)]
    if taken:
        raise ValueError(
            f"one observer at a time can measure a module; {taken[0]} is being measured already. Call detach() on the "
            "other MuonClip optimizer of this model, or leave the other capture_max_logits block."
        )
    for name, module in modules.items():
        setattr(module, _OBSERVER, observers[name])
        if computes_own_scores(module):
            module.__dict__[_TRACING] = _Tracing(module, observers[name])
        if not calls_attention_interface(module):
            torch._dynamo.reset()  # code that was compiled before would run without the hooks, and show nothing
    for module in modules.values():
        _get_interface.start(module)
        _look_up.start(module)
        # An observer in a compiled, checkpointed layer acts in the forward alone, never in the recompute; without
        # this, torch.compile refuses to let it act at all. Older torch has no such setting: it runs such layers
        # outside of the graph, and refuses them under fullgraph=True.
        _skip_in_recompute.start(module)


def stop_observing(modules: Mapping[str, nn.Module]) -> None:
    """Take the observers away, and the interception with the last of them."""
    for module in modules.values():
        module.__dict__.pop(_OBSERVER, None)
        tracing = module.__dict__.pop(_TRACING, None)
        if tracing is not None:
            tracing.remove()
        _get_interface.stop(module)
        _look_up.stop(module)
        _skip_in_recompute.stop(module)


def _get_and_observe(
    get: Callable[..., Any], interface: AttentionInterface, attn_implementation: str | None, default: Callable[..., Any]
) -> Any:
    attention = get(interface, attn_implementation, default)
    if hasattr(attention, _OBSERVED):  # it was looked up
        return attention
    convention = convention_of_function(attention)
    if convention is None and attention is default:
        convention = "eager"  # the model's own function; only without a name of another is it asked for
    return _observed(attention, attn_implementation, convention)


def _look_up_and_observe(look_up: Callable[..., Any], interface: AttentionInterface, attn_implementation: str) -> Any:
    attention = look_up(interface, attn_implementation)
    return _observed(attention, attn_implementation, convention_of_function(attention))


def _observed(
    attention: Callable[..., Any], attn_implementation: str | None, convention: MaskConvention | None
) -> Callable[..., Any]:
    def observed_attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **kwargs: Any
    ) -> Any:
        observer = getattr(module, _OBSERVER, None)
        if observer is None or not observer.wants(module):
            return attention(module, query, key, value, attention_mask, *args, **kwargs)
        compiling = torch.compiler.is_compiling()
        if not compiling:
            require_known_sequence(type(module).__name__, attention)
        call = (module, query, key, value, attention_mask)
        tracing = module.__dict__.get(_TRACING)
        if tracing is not None and not tracing.is_left_out():
            with tracing.paused():
                return observe_and_attend(observer, compiling, call, args, kwargs)
        return observe_and_attend(observer, compiling, call, args, kwargs)

    def observe_and_attend(
        observer: AttentionObserver,
        compiling: bool,
        call: tuple[nn.Module, Tensor, Tensor, Tensor, Any],
        args: Any,
        kwargs: dict[str, Any],
    ) -> Any:
        module, attention_mask = call[0], call[-1]
        # Inside context_parallel a call shows a part of the pairs; its keys are gathered instead.
        if convention is None and not compiling and not observer.keeps_graph and context_parallel_mesh() is None:
            output, scored = _follow(observer, lambda: attention(*call, *args, **kwargs), *call)  # a kernel shows none
            if scored:
                return output
        else:
            output = None
        meaning = convention or registered_convention(attn_implementation)
        if meaning is None and not observer.keeps_graph and not tells_pairs(attention_mask):
            raise unknown_convention(type(module).__name__, attn_implementation)
        observer.observe(*call, kwargs, meaning)
        return attention(*call, *args, **kwargs) if output is None else output

    setattr(observed_attention, _OBSERVED, True)
    return observed_attention


def _follow(
    observer: AttentionObserver,
    attend: Callable[[], Any],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
) -> tuple[Any, bool]:
    """Run an attention function of somebody else, and show the observer the scores that it computes.

    Returns:
        The function's output, and whether its torch calls showed the scores of all queries and keys.
    """
    seen: list[Callable[[], None]] = []
    whole: list[bool] = []
    heads, lengths = query.shape[1], (query.shape[2], key.shape[2])

    def on_scores(scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
        tensors = [None if t is None else _by_head(t, heads, lengths) for t in (scores, final_scores, blocked)]
        whole.append(tensors[0] is not None)  # the final scores have the same shape
        seen.append(lambda: observer.observe_scores(module, *tensors))  # type: ignore[arg-type]

    def on_operands(q: Tensor, k: Tensor, v: Tensor, mask: Any, kwargs: dict[str, Any]) -> None:
        whole.append(q.shape[1] == heads and (q.shape[2], k.shape[2]) == lengths)
        seen.append(lambda: observer.observe(module, q, k, v, mask, kwargs, "sdpa"))

    with ScoreTrace(on_scores, on_operands):
        output = attend()
    scored = bool(whole) and all(whole)
    if scored:
        for show in seen:
            show()
    return output, scored


def _by_head(scores: Tensor, heads: int, lengths: tuple[int, int]) -> Tensor | None:
    """Return scores as (batch, heads, query_length, key_length), without sinks beside the keys; None if they are not.

    Args:
        scores: (batch, heads, ...), (batch, key heads, queries of each, ...) or (batch * heads, ...).
        heads: number of query heads.
        lengths: lengths of queries and keys.
    """
    if scores.ndim == 5 and scores.shape[1] * scores.shape[2] == heads:
        scores = scores.flatten(1, 2)
    if scores.ndim == 3 and scores.shape[0] % heads == 0:
        scores = scores.unflatten(0, (-1, heads))
    fits = scores.ndim == 4 and scores.shape[1:3] == (heads, lengths[0]) and scores.shape[3] >= lengths[1]
    return scores[..., : lengths[1]] if fits else None


_get_interface = PatchedMethod(AttentionInterface, "get_interface", _get_and_observe)
_look_up = PatchedMethod(AttentionInterface, "__getitem__", _look_up_and_observe)
_skip_in_recompute = PatchedSetting(torch._dynamo.config, "skip_fwd_side_effects_in_bwd_under_checkpoint", True)
