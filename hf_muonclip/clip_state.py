"""What QK-Clip keeps between two steps, whichever optimizer writes the weights: capture, maxima and factors."""

import math
import time
import weakref
from contextlib import nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .attention import (
    AttentionLayout,
    FirstBatch,
    HeadLayout,
    MaxLogitCapture,
    Writable,
    around_frozen,
    needs_first_batch,
    qk_clip_,
)
from .common.loggers import get_logger
from .common.wording import some_of
from .config import MuonClipConfig

logger = get_logger(__name__)


class ClipState:
    """The running capture of a model's max logits, and what the last step saw and did. Starts without a capture.

    Attributes:
        config: settings; those of the clip count here.
        layout: the model's `HeadLayout`, without the weights that were frozen when it last had to clip; None without
            QK-Clip.
        capture: the running `MaxLogitCapture`; None without QK-Clip.
        screen_threshold: what the capture screens heads with; None measures every head.
        max_logits: {module name: (num_attention_heads,) float32 on the CPU} of the last step; -inf for a head that
            the bound alone showed to be under tau.
        gammas: {module name: (num_attention_heads,) float32 on the CPU} of the last step; 1 means untouched. Empty
            after a step that was skipped.
        updates: steps that wrote weights, since construction.
        clip_seconds: host time spent on collecting maxima and clipping, since construction.
    """

    config: MuonClipConfig
    layout: HeadLayout | None
    capture: MaxLogitCapture | None
    screen_threshold: float | None
    max_logits: dict[str, Tensor]
    gammas: dict[str, Tensor]
    updates: int
    clip_seconds: float

    def _reset_clip(self) -> None:
        self.layout = None
        self.capture = None
        self.screen_threshold = None
        self.max_logits = {}
        self.gammas = {}
        self.updates = 0
        self.clip_seconds = 0.0
        self._warned_unmeasured = False
        self._detected: HeadLayout | None = None  # with frozen weights too
        self._frozen: dict[str, set[str]] = {}
        self._told: set[tuple[str, str]] = set()
        self._first_batch: FirstBatch | None = None

    def _start_capture(self, model: nn.Module, threshold: float, detected: HeadLayout) -> None:
        if hasattr(model, "_pp_stage"):
            raise ValueError(
                "QK-Clip needs every layer's attention on every rank, whole or in shards; got a model that "
                "transformers cut into pipeline stages (pp_size > 1). Use tp_size or fsdp_size instead, or pass "
                "qk_clip_threshold=None for Muon alone."
            )
        self.layout = self._detected = detected
        self._frozen = {}
        self._leave_frozen_alone(model)
        self.screen_threshold = None if self.config.exact_max_logits or math.isinf(threshold) else threshold
        self.capture = MaxLogitCapture(
            {name: model.get_submodule(name) for name in self.layout},
            screen_threshold=self.screen_threshold,
            training_only=True,
            model=model,
            layout=self.layout,
        )
        weakref.finalize(self, self.capture.close)
        if self._first_batch is not None:
            self._first_batch.close()
            self._first_batch = None
        if needs_first_batch(model):
            self._first_batch = FirstBatch(model)
            weakref.finalize(self, self._first_batch.close)

    def _leave_frozen_alone(self, model: nn.Module) -> None:
        """Bring `layout` up to date with what is frozen now, and say once for each module what is not clipped."""
        assert self._detected is not None
        assert self.layout is not None
        frozen = {
            name: self._frozen_parameters(model.get_submodule(name), layout) for name, layout in self._detected.items()
        }
        if frozen == self._frozen:
            return
        self._frozen = frozen
        self.layout = self._detected.with_modules(
            {name: around_frozen(layout, frozen[name]) for name, layout in self._detected.items()}
        )
        found: dict[tuple[str, str], list[str]] = {}
        for name, layout in self.layout.items():
            what = "leaves frozen weights alone in" if layout.head_rows else "only monitors"
            clipped_whole = layout.head_rows and layout == self._detected[name]
            if not clipped_whole and (name, layout.note) not in self._told:
                self._told.add((name, layout.note))
                found.setdefault((what, layout.note), []).append(name)
        for (what, note), names in found.items():
            logger.warning(
                "QK-Clip %s %d of %d attention modules (%s): %s.",
                what,
                len(names),
                len(self.layout),
                ", ".join(names if len(names) <= 3 else [*names[:2], "...", names[-1]]),
                note.rstrip("."),
            )

    def _frozen_parameters(self, module: nn.Module, layout: AttentionLayout) -> set[str]:
        named = {rows.parameter for rows in layout.head_rows}
        if self.config.scale_lora_base:  # the frozen base of an adapter may be scaled
            named = {parameter for parameter in named if ".base_layer." not in parameter}
        return {parameter for parameter in named if not module.get_parameter(parameter).requires_grad}

    def detach(self) -> None:
        """Stop capturing and leave no trace on the model; from then on nothing is clipped. Idempotent."""
        if self.capture is not None:
            self.capture.close()
            self.capture = None
        if self._first_batch is not None:
            self._first_batch.close()
            self._first_batch = None

    def _moves_weights(self) -> bool:
        """Return whether a step can write weights: torch makes an optimizer's state by a step at rate 0."""
        return True

    @torch.no_grad()
    def _collect_max_logits(self, capture: MaxLogitCapture, device: torch.device) -> dict[str, Tensor]:
        """Return every module's max logits over all micro-batches and ranks, and start again.

        Collective: one all-reduce of the maxima of all layers, packed; NaN travels as Inf.
        """
        started = time.perf_counter()
        assert self.layout is not None
        packed = torch.cat(
            [
                capture[name].to(device)
                if name in capture
                else torch.full((layout.num_attention_heads,), -math.inf, device=device)
                for name, layout in self.layout.items()
            ]
        )
        if len(capture) == 0 and not self._warned_unmeasured and self._moves_weights():
            self._warned_unmeasured = True
            logger.warning(
                "No attention logit was measured before this step, so QK-Clip did nothing. Only forwards with "
                "gradients in training mode count: call model.train(), and use the model given to this optimizer."
            )
        batch, measured = (self._first_batch if self._moves_weights() else None), set(capture)
        if batch is not None:  # one number more: whether a rank has none, where a sharded model runs on all or on none
            packed = torch.cat([packed, packed.new_tensor([float(batch.call is None)])])
        capture.reset()
        packed = packed.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            packed = self._joined(packed)
        if batch is not None:
            packed, lacking = packed[:-1], bool(packed[-1])
            self._name_unmeasured(batch, measured, lacking)
        counts = [layout.num_attention_heads for layout in self.layout.values()]
        collected = dict(zip(self.layout, packed.cpu().split(counts), strict=True))
        self.clip_seconds += time.perf_counter() - started
        return collected

    def _joined(self, maxima: Tensor) -> Tensor:
        """Return the maxima over all ranks. Collective."""
        dist.all_reduce(maxima, op=dist.ReduceOp.MAX)
        return maxima

    def _name_unmeasured(self, batch: FirstBatch, measured: set[str], lacking: bool) -> None:
        """Name the modules that attend and are not measured, once."""
        self._first_batch = None
        unmeasured = {} if lacking else batch.unmeasured(measured)
        batch.close()
        if unmeasured:
            logger.warning(
                "QK-Clip does not measure all that attends: %s. Logits there may grow beyond qk_clip_threshold. "
                "Let them call transformers' attention interface, torch's softmax or scaled_dot_product_attention in "
                "training mode, and build MuonClip before the model is sharded; or pass qk_clip_threshold=None.",
                some_of([f"{name} ({of_class})" for name, of_class in unmeasured.items()], 4),
            )

    def _clip(self, model: nn.Module, writable: Writable = nullcontext) -> None:
        """Count an update that was written, and clip what its maxima ask for."""
        started = time.perf_counter()
        assert self.layout is not None
        assert self.config.qk_clip_threshold is not None
        self.updates += 1
        threshold = self.config.qk_clip_threshold
        if (torch.cat(list(self.max_logits.values())) > threshold).any():
            self._leave_frozen_alone(model)
        self.gammas = qk_clip_(model, self.layout, self.max_logits, threshold, self.config.qk_clip_alpha, writable)
        self.clip_seconds += time.perf_counter() - started


def nonfinite_heads(max_logits: dict[str, Tensor]) -> str:
    """Return which collected maxima are NaN or Inf, in words; "" if none.

    Args:
        max_logits: {module name: (num_attention_heads,) float32}, as collected.
    """
    bad = [
        f"head {head} of {name}"
        for name, values in max_logits.items()
        for head in torch.isposinf(values).nonzero().flatten().tolist()
    ]
    return f"the max attention logit of {', '.join(bad[:4])} is NaN or Inf" if bad else ""
