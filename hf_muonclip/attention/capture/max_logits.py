"""Each head's exact max attention logit, behind any attention implementation and mask.

Measuring is cheap where it can be: max‖q_i‖·max‖k_j‖·scaling bounds a head's logits, and a head whose bound is at or
below the threshold cannot need a clip. Only the others pay for the exact maximum, which is taken tile by tile.
"""

import functools
import importlib.util
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..adapters import AdapterWatch
from ..head_layout import AttentionLayout, HeadLayout
from ..local_shards import LocalHeads
from ..modules.find import attention_modules, is_cross_attention, stated_heads, unwrap
from .interface import start_observing, stop_observing
from .mask_convention import MaskConvention
from .pair_mask import PairMask, blocks, flash_operands, padded_queries
from .recomputation import Recomputations
from .sequence_shards import SpreadCall, context_parallel_mesh, without_dtensors
from .tiled_maxima import BOUND_SLACK, exact_max_logits, max_logit_bound
from .told_padding import Forward, ToldPadding


@functools.cache
def _has_kernel() -> bool:
    """Return whether the Triton kernel runs on this machine's GPU: NVIDIA, Ampere or newer."""
    if importlib.util.find_spec("triton") is None or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability() >= (8, 0)


class _Recorder:
    """The observer of an attention module that is measured: its running maximum, and the capture it reports to."""

    def __init__(
        self, name: str, capture: "MaxLogitCapture", cross: bool, layout: AttentionLayout | None = None
    ) -> None:
        self.name = name
        self.capture = capture
        self.cross = cross
        self.heads = None if layout is None else layout.num_attention_heads
        self.local_heads = None if layout is None else LocalHeads(layout)
        self.max_logits: Tensor | None = None  # of the heads that this rank computes
        self.in_order: Tensor | None = None  # whether positions said who sees whom, inside context_parallel
        self.recomputations = Recomputations()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        # A copied or pickled model carries None: the copy is not being measured.
        return type(None), ()

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
        """Fold one attention call into the running maximum."""
        compiling = torch.compiler.is_compiling()
        if not compiling and self.recomputations.is_one():
            return
        started = 0.0 if compiling else time.perf_counter()
        query, key = (without_dtensors(self.name, states.detach()) for states in (query, key))
        self._fold(self._measure(module, query, key, attention_mask, kwargs, convention, compiling))
        if not compiling:
            if self.local_heads is not None:
                self.local_heads.find(module, query.shape[1])
            self.capture.seconds += time.perf_counter() - started

    def observe_scores(self, module: nn.Module, scores: Tensor, final_scores: Tensor, blocked: Tensor | None) -> None:
        """Fold the scores of a module that computes them itself into the running maximum."""
        if self.recomputations.is_one():
            return
        started = time.perf_counter()
        with torch.no_grad():
            heads = stated_heads(module) or self.heads
            by_head = [heads_first(self.name, tensor, heads) for tensor in (scores, final_scores)]
            masked = blocks(by_head[1])
            if blocked is not None:
                masked = masked | heads_first(self.name, blocked, heads)
            if masked.ndim == 4 and masked.shape[-1] == masked.shape[-2] and not self.cross:
                padding = self.capture.told.padding
                if padding is not None and len(padding) != masked.shape[1]:
                    padding = None
                masked = masked | padded_queries(masked.transpose(0, 1), padding).transpose(0, 1)
            self._fold(by_head[0].float().masked_fill(masked, -torch.inf).flatten(1).amax(1))
        self.capture.seconds += time.perf_counter() - started

    def wants(self, module: nn.Module) -> bool:
        """Return whether a forward of `module` counts now."""
        return self.capture.wants(module)

    @property
    def keeps_graph(self) -> bool:
        """Return False: a maximum needs no graph."""
        return False

    def _fold(self, measured: Tensor) -> None:
        if self.max_logits is None:
            self.max_logits = measured
        else:
            self.max_logits = torch.maximum(self.max_logits.to(measured.device), measured)

    def of_all_heads(self, module: nn.Module | None) -> Tensor | None:
        """Return the running maximum in the order of the layout's heads; -inf for those that other ranks compute."""
        if self.in_order is not None and not self.in_order:
            raise ValueError(
                "inside context_parallel, position_ids must count the tokens of a whole sequence, each once; those of "
                f"{self.name} do not, as in packed documents. Do not pack, or pass qk_clip_threshold=None."
            )
        if self.max_logits is None or self.local_heads is None:
            return self.max_logits
        if module is not None:  # what was compiled could not ask in its forward
            self.local_heads.find(module, len(self.max_logits))
        return self.local_heads.among_all(self.max_logits)

    @torch.no_grad()
    def _measure(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        mask: Any,
        kwargs: dict[str, Any],
        convention: MaskConvention | None,
        compiling: bool,
    ) -> Tensor:
        _require_divisible_heads(self.name, query, key)
        if query.shape[0] == 1 < key.shape[0]:  # learned queries, the same for every sequence
            query = query.expand(key.shape[0], -1, -1, -1)
        scaling = kwargs.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        threshold = self.capture.screen_threshold
        mesh = context_parallel_mesh()
        spread = None
        if mesh is not None:
            spread = SpreadCall(self.name, module, query, key, mask, kwargs, self.capture.told.padding, mesh)
            key = spread.key
            self.in_order = spread.in_order if self.in_order is None else self.in_order & spread.in_order
        elif convention == "flash":
            query, key = flash_operands(query, key, mask, kwargs)

        def pair_mask() -> PairMask:
            if spread is not None:
                return spread.mask
            padding = self.capture.query_padding(query) if self.cross else None
            found = PairMask.from_attention_call(
                module, query, key, mask, kwargs, convention, self.capture.told.padding, padding, self.cross
            )
            if self.capture.crosses:
                self.capture.last_mask = (self.capture.told.forward, found)
            return found

        # Choosing heads reads the bound on the host. That is free on a CPU; elsewhere, and inside a compiled graph, it
        # would stall or break the graph: the kernel decides on the device, and without it every head is measured.
        if query.device.type == "cuda" and _has_kernel():
            from .max_logits_triton import supports, triton_max_logits

            found = pair_mask()
            if supports(found, query):
                return triton_max_logits(query, key, found, scaling, threshold)
            return exact_max_logits(query, key, found, scaling)
        if threshold is None or compiling or query.device.type != "cpu":
            return exact_max_logits(query, key, pair_mask(), scaling)
        # Not `bound > threshold`: a bound of NaN must not pass for a small one.
        suspects = ~(max_logit_bound(query, key, scaling) <= threshold * (1 - BOUND_SLACK))
        maximum = query.new_full((query.shape[1],), -torch.inf, dtype=torch.float32)
        if self.capture.crosses and not self.cross and not suspects.any():
            pair_mask()  # cross-attention reads off it which of its queries are padding
        if suspects.any():
            heads = suspects.nonzero().flatten()
            key_heads = heads // (query.shape[1] // key.shape[1])
            maximum[heads] = exact_max_logits(query[:, heads], key[:, key_heads], pair_mask().of_heads(heads), scaling)
        return maximum


class MaxLogitCapture(Mapping[str, Tensor]):
    """The running max logits of a model's attention modules: {module name: (num_attention_heads,) float32}.

    Modules that were not measured are absent. Values are on the device of their attention module.
    Under tensor parallel a rank measures the heads that it computes. With a layout the result has an entry for every
    head of the module, -inf for those of other ranks, so the maximum over ranks is complete; without a layout it has
    only this rank's heads.

    Attributes:
        screen_threshold: measure only heads whose bound exceeds it; None measures every head.
        told: which tokens are padding in the forward under way, as the model was told.
        crosses: whether any module is a cross-attention.
        last_mask: the mask of the last self-attention, and its forward; a cross-attention of the same forward reads off
            it which of its queries are padding.
        seconds: host time spent measuring so far (on an accelerator: time to launch).
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        screen_threshold: float | None = None,
        training_only: bool = False,
        model: nn.Module | None = None,
        layout: HeadLayout | None = None,
    ) -> None:
        self.screen_threshold = screen_threshold
        self.seconds = 0.0
        self._training_only = training_only
        self._paused = 0
        self._adapters = None if model is None else AdapterWatch(model)
        self._modules = dict(modules)
        crosses = {name: is_cross_attention(name, module) for name, module in modules.items()}
        self.crosses = any(crosses.values())
        self.last_mask: tuple[Forward | None, PairMask] | None = None
        layouts: Mapping[str, AttentionLayout] = {} if layout is None else layout
        self._recorders = {name: _Recorder(name, self, cross, layouts.get(name)) for name, cross in crosses.items()}
        start_observing(self._modules, self._recorders)
        self.told = ToldPadding(model)

    def close(self) -> None:
        """Stop measuring and remove all hooks from the model. Idempotent."""
        if not self._modules:
            return
        stop_observing(self._modules)
        self._modules = {}
        self.told.close()

    def reset(self) -> None:
        """Forget all maxima; the next forward starts again."""
        for recorder in self._recorders.values():
            recorder.max_logits = recorder.in_order = None
            recorder.recomputations.forget()
        self.last_mask = None
        self.told.forget()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Measure nothing inside the block."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def query_padding(self, query: Tensor) -> Tensor | None:
        """Return which queries of a cross-attention are padding, as the self-attention before it saw them."""
        forward, mask = self.last_mask or (None, None)
        if mask is None or mask.cross or mask.blocked_queries is None or forward is not self.told.forward:
            return None
        matches = mask.batch == query.shape[0] and mask.query_length == query.shape[2]
        return mask.blocked_queries if matches else None

    def wants(self, module: nn.Module) -> bool:
        """Return whether a forward of `module` counts now."""
        if self._paused:
            return False
        if not self._training_only:
            return True
        # With its adapters off a model is its own reference, whose logits no training moves.
        reference = self._adapters is not None and self._adapters.switched_off
        return module.training and torch.is_grad_enabled() and not reference

    def __getitem__(self, name: str) -> Tensor:
        measured = self._recorders[name].of_all_heads(self._modules.get(name))
        if measured is None:
            raise KeyError(name)
        return measured

    def __iter__(self) -> Iterator[str]:
        return (name for name, recorder in self._recorders.items() if recorder.max_logits is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@contextmanager
def capture_max_logits(model: nn.Module, layout: HeadLayout | None = None) -> Iterator[MaxLogitCapture]:
    """Measure every head's exact max logit in the forwards inside the block, whatever the mode of the model.

    Args:
        model: any model that `detect_head_layout` knows.
        layout: the model's layout; by default its attention modules are looked for. Under tensor parallel it says where
            the heads that a rank computes stand among all.

    Yields:
        {module name: (num_attention_heads,) float32}: the maximum over all forwards so far; see `exact_max_logits`.

    Raises:
        ValueError: the model has no attention module, or another capture is measuring it.
    """
    model = unwrap(model)
    modules = attention_modules(model) if layout is None else {name: model.get_submodule(name) for name in layout}
    capture = MaxLogitCapture(modules, model=model, layout=layout)
    try:
        yield capture
    finally:
        capture.close()


def heads_first(name: str, scores: Tensor, heads: int | None) -> Tensor:
    """Return the scores of a module that computes them itself as (heads, ...), whatever shape it gives them.

    Raises:
        ValueError: no dimension of the scores is the module's number of heads.
    """
    if heads is not None:
        if scores.ndim == 3 and scores.shape[0] % heads == 0:  # (batch * heads, query_length, key_length)
            scores = scores.unflatten(0, (-1, heads))
        for axis in (1, 2):
            if scores.ndim >= 4 and scores.shape[axis] == heads:
                return scores.movedim(axis, 0)
    elif scores.ndim == 4:  # (batch, heads, query_length, key_length), as everybody has them
        return scores.movedim(1, 0)
    raise ValueError(
        f"scores must have one dimension for the heads; {name} computes them as {tuple(scores.shape)} with {heads} "
        "heads and is not supported. Pass qk_clip_threshold=None to train with Muon alone."
    )


def _require_divisible_heads(name: str, query: Tensor, key: Tensor) -> None:
    if query.ndim != 4 or key.ndim != 4 or query.shape[1] % key.shape[1]:
        raise ValueError(
            "query and key must be (batch, heads, length, head_dim) and the key's heads must divide the query's; "
            f"{name} passed {tuple(query.shape)} and {tuple(key.shape)}. This attention is not supported."
        )
