"""QK-Clip of one model, for any optimizer: its attention layout, capture of max logits, gammas and adapters."""

import math
import time
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .attention import (
    AdapterWatch,
    AttentionLayout,
    FirstBatch,
    HeadLayout,
    MaxLogitCapture,
    Writable,
    around_frozen,
    detect_head_layout,
    needs_first_batch,
    qk_clip_,
)
from .common.loggers import get_logger
from .common.ranks import collective_device, num_ranks
from .common.wording import some_of
from .config import MuonClipConfig
from .optim.distributed.agreement import max_over_ranks

logger = get_logger(__name__)


_clipping: "weakref.WeakSet[QKClip]" = weakref.WeakSet()  # one for each model


class QKClip:
    """Measures the max logits of a model while it trains, and clips its heads after an update.

    Args:
        model: a transformers model.
        config: the settings; only those of the clip are read.
        inputs: the arguments of one forward, for attention whose layout is only found by running it.
        layout: the model's layout; by default it is detected.

    Attributes:
        config: the settings.
        detected: the model's `HeadLayout`; None without QK-Clip.
        layout: `detected`, without the weights that were frozen when it last had to clip.
        capture: the running `MaxLogitCapture`, between `start` and `detach`.
        screen_threshold: the threshold by which the capture screens heads; None measures every head.
        adapters: watches which of the model's adapters train.
        superseded: whether another `QKClip` was started on the model since.
        seconds: host time spent on collecting maxima and clipping, since construction.
    """

    def __init__(
        self,
        model: nn.Module,
        config: MuonClipConfig,
        inputs: Mapping[str, Any] | None = None,
        layout: HeadLayout | None = None,
    ) -> None:
        self.config = config
        self._model, self._inputs = model, inputs
        self.adapters = AdapterWatch(model)
        self.detected = self._detect() if layout is None else layout
        self.layout: HeadLayout | None = None
        self.capture: MaxLogitCapture | None = None
        self.screen_threshold: float | None = None
        self.superseded = False
        self.seconds = 0.0
        self._captured_seconds = 0.0  # of captures that have ended
        self._warned_unmeasured = False
        self._frozen: dict[str, set[str]] = {}
        self._told: set[tuple[str, str]] = set()
        self._first_batch: FirstBatch | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles, with the model, because a copy measures and clips its own."""
        return self.__dict__ | {"capture": None, "_first_batch": None, "_was_measuring": self.capture is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state; the capture starts again on the model in it."""
        was_measuring = state.pop("_was_measuring")
        self.__dict__.update(state)
        if was_measuring:
            self.start()

    def _detect(self) -> HeadLayout | None:
        if self.config.qk_clip_threshold is None:
            return None
        return detect_head_layout(self._model, self.config.scale_lora_base, self._inputs)

    def start(self) -> None:
        """Start measuring, and detach clips that were started on this model, its base or its wrapper before."""
        if self.detected is None:
            return
        own = set(self._model.modules())
        for other in list(_clipping):
            if other._model in own or self._model in set(other._model.modules()):
                other.detach()
                other.superseded = True
        _clipping.add(self)
        self._start_capture(self.detected)

    def look_again(self) -> None:
        """Also measure and clip attention modules that were added to the model since the capture began."""
        if self.capture is None or self.detected is None:
            return
        detected = self._detect()
        if detected is not None and set(detected) != set(self.detected):
            self._end_capture()
            self._start_capture(detected)

    def measure_exactly(self, exactly: bool) -> None:
        """Measure every head until the next call, or, on a CPU, only those that may exceed the threshold."""
        if self.capture is not None:
            self.capture.screen_threshold = None if exactly else self.screen_threshold

    def forget(self) -> None:
        """Discard the max logits of forwards whose step was not taken."""
        if self.capture is not None:
            self.capture.reset()

    def _start_capture(self, detected: HeadLayout) -> None:
        model, threshold = self._model, self.config.qk_clip_threshold
        assert threshold is not None
        if hasattr(model, "_pp_stage"):
            raise ValueError(
                "QK-Clip needs every layer's attention on every rank, whole or in shards; got a model that "
                "transformers cut into pipeline stages (pp_size > 1). Use tp_size or fsdp_size instead, or pass "
                "qk_clip_threshold=None for Muon alone."
            )
        self.layout = self.detected = detected
        self._frozen = {}
        self._leave_frozen_alone()
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

    def _leave_frozen_alone(self) -> None:
        """Update `layout` to the weights that are frozen now, and log once per module what is not clipped."""
        assert self.detected is not None
        assert self.layout is not None
        frozen = {
            name: self._frozen_parameters(self._model.get_submodule(name), layout)
            for name, layout in self.detected.items()
        }
        if frozen == self._frozen:
            return
        self._frozen = frozen
        self.layout = self.detected.with_modules(
            {name: around_frozen(layout, frozen[name]) for name, layout in self.detected.items()}
        )
        found: dict[tuple[str, str], list[str]] = {}
        for name, layout in self.layout.items():
            what = "leaves frozen weights alone in" if layout.head_rows else "only monitors"
            clipped_whole = layout.head_rows and layout == self.detected[name]
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
        """Stop capturing and remove all hooks from the model; nothing is clipped afterwards. Idempotent."""
        self._end_capture()
        if self._first_batch is not None:
            self._first_batch.close()
            self._first_batch = None
        _clipping.discard(self)

    def _end_capture(self) -> None:
        if self.capture is not None:
            self.capture.close()
            self._captured_seconds += self.capture.seconds
            self.capture = None

    @property
    def capture_seconds(self) -> float:
        """Host time spent on measuring max logits, since construction."""
        return self._captured_seconds + (0.0 if self.capture is None else self.capture.seconds)

    @torch.no_grad()
    def collect(self, device: torch.device, *, moves_weights: bool = True, together: bool = False) -> dict[str, Tensor]:
        """Return every module's max logits over all micro-batches and ranks, and reset the capture.

        Collective: one all-reduce of the maxima of all layers, packed; NaN travels as Inf.

        Args:
            device: device of the weights.
            moves_weights: whether the step can write weights; torch creates an optimizer's state by a step at rate 0,
                which cannot.
            together: see `max_over_ranks`.

        Returns:
            {module name: (num_attention_heads,) float32 on the CPU}; -inf for a head whose bound was already under tau.
            {} where nothing is measured.
        """
        if self.capture is None:
            return {}
        started, capture, several = time.perf_counter(), self.capture, num_ranks() > 1
        assert self.layout is not None
        device = collective_device(device) if several else device
        packed = torch.cat(
            [
                capture[name].to(device)
                if name in capture
                else torch.full((layout.num_attention_heads,), -math.inf, device=device)
                for name, layout in self.layout.items()
            ]
        )
        if len(capture) == 0 and not self._warned_unmeasured and moves_weights:
            self._warned_unmeasured = True
            logger.warning(
                "No attention logit was measured before this step, so QK-Clip did nothing. Only forwards with "
                "gradients in training mode count: call model.train(), and use the model given to this optimizer."
            )
        batch, measured = (self._first_batch if moves_weights else None), set(capture)
        if batch is not None:  # one more number: whether a rank has no batch; sharded models run on all ranks or none
            packed = torch.cat([packed, packed.new_tensor([float(batch.call is None)])])
        capture.reset()
        packed = packed.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        if several:
            packed = max_over_ranks(packed, "max logits", together)
        if batch is not None:
            packed, lacking = packed[:-1], bool(packed[-1])
            self._name_unmeasured(batch, measured, lacking)
        counts = [layout.num_attention_heads for layout in self.layout.values()]
        collected = dict(zip(self.layout, packed.cpu().split(counts), strict=True))
        self.seconds += time.perf_counter() - started
        return collected

    def _name_unmeasured(self, batch: FirstBatch, measured: set[str], lacking: bool) -> None:
        """Warn once of modules that attend and are not measured."""
        self._first_batch = None
        unmeasured = {} if lacking else batch.unmeasured(measured)
        batch.close()
        if unmeasured:
            logger.warning(
                "QK-Clip does not measure some attention modules: %s. Logits there may grow beyond qk_clip_threshold. "
                "Let them call transformers' attention interface, torch's softmax or scaled_dot_product_attention in "
                "training mode, and build MuonClip before the model is sharded; or pass qk_clip_threshold=None.",
                some_of([f"{name} ({of_class})" for name, of_class in unmeasured.items()], 4),
            )

    def apply(self, max_logits: dict[str, Tensor], writable: Writable = nullcontext) -> dict[str, Tensor]:
        """Scale the rows of every head whose maximum exceeds tau. In place.

        Args:
            max_logits: returned by `collect`.
            writable: yields what is written for a parameter; see `qk_clip_`.

        Returns:
            {module name: (num_attention_heads,) float32 on the CPU}: gammas; 1 means untouched.
        """
        if not max_logits:
            return {}
        started, threshold = time.perf_counter(), self.config.qk_clip_threshold
        assert threshold is not None
        if (torch.cat(list(max_logits.values())) > threshold).any():
            self._leave_frozen_alone()
        assert self.layout is not None
        gammas = qk_clip_(self._model, self.layout, max_logits, threshold, self.config.qk_clip_alpha, writable)
        self.seconds += time.perf_counter() - started
        return gammas


def nonfinite_heads(max_logits: dict[str, Tensor]) -> str:
    """Return in words which max logits are NaN or Inf; "" if none is.

    Args:
        max_logits: {module name: (num_attention_heads,) float32}.
    """
    bad = [
        f"head {head} of {name}"
        for name, values in max_logits.items()
        for head in torch.isposinf(values).nonzero().flatten().tolist()
    ]
    return f"the max attention logit of {', '.join(bad[:4])} is NaN or Inf" if bad else ""
