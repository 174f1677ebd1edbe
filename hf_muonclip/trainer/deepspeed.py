"""QK-Clip beside DeepSpeed's own optimizers: ZeRO flattens parameters, so MuonClip itself cannot train them.

ZeRO keeps every weight twice: in float32, in flat pieces that its optimizer updates, and in the model's dtype, which
stage 3 cuts into pieces as well. DeepSpeed's functions for that purpose put a float32 weight together; it is scaled
there and written back to both. Only weights of clipped modules are put together, one at a time.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal

import torch
from accelerate.utils.deepspeed import DeepSpeedOptimizerWrapper  # type: ignore[import-untyped]
from torch import Tensor, nn
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..attention import detect_head_layout
from ..clip import QKClip, nonfinite_heads
from ..common.loggers import get_logger
from ..config import MuonClipConfig
from ..muon_clip import ClippedStep
from .callback import MuonClipCallback

logger = get_logger(__name__)

_SETTINGS = ("qk_clip_threshold", "qk_clip_alpha", "exact_max_logits", "nonfinite")


class DeepSpeedClip:
    """The clip of a model that DeepSpeed trains. Capture starts at construction.

    Args:
        model: the transformers model inside of the engine.
        config: settings of the clip.

    Attributes:
        config: the settings.
        clip: the `QKClip`.
        last_step: what the last call of `step` saw and did; None before the first. `taken` says whether heads could be
            clipped: DeepSpeed has written the update either way.

    Raises:
        ValueError: an attention that no rule covers.
    """

    def __init__(self, model: nn.Module, config: MuonClipConfig) -> None:
        assert config.qk_clip_threshold is not None
        self.config = config
        self.clip = QKClip(model, config, layout=detect_head_layout(with_whole_shapes(model)))
        self.last_step: ClippedStep | None = None
        self.clip.start()

    def step(self, device: torch.device) -> None:
        """Clip what the update that DeepSpeed has just written left above tau. Collective: call on every rank.

        Args:
            device: a device on which the ranks can exchange maxima.

        Raises:
            FloatingPointError: a max logit is NaN or Inf, and `nonfinite` is "raise".
        """
        max_logits = self.clip.collect(device)
        refusal = nonfinite_heads(max_logits)
        gammas = {} if refusal else self.clip.apply(max_logits, whole_weight)
        self.last_step = ClippedStep(not refusal, refusal, max_logits=max_logits, gammas=gammas)
        if refusal:
            message = f"{refusal}. DeepSpeed had taken the step already; nothing was clipped."
            if self.config.nonfinite == "raise":
                raise FloatingPointError(f"{message} Pass nonfinite='skip' to go on after such steps.")
            logger.warning(message)


class DeepSpeedClipCallback(MuonClipCallback):
    """Clip after every step of DeepSpeed's own optimizer, under ZeRO stage 0 to 3, and log as `MuonClipCallback`.

        Trainer(model, args, train_dataset=dataset, callbacks=[DeepSpeedClipCallback(qk_clip_threshold=100.0)])

    with `deepspeed=` in `args`, and DeepSpeed's Muon as the optimizer of its config, or any other. All micro-batches of
    a step count; a step that DeepSpeed skipped for an overflow is not clipped. DeepSpeed steps inside of the backward
    pass, so NaN or Inf in a max logit is seen after the update, and `step_seconds` is the time of the clip alone.

    Args:
        qk_clip_threshold: tau, in logits; inf measures without clipping.
        qk_clip_alpha: the query's share of gamma where a head owns its key.
        exact_max_logits: measure every head at every step, on a CPU too.
        nonfinite: "raise", or "skip" the clip of a step with NaN or Inf in a max logit.

    Raises:
        ValueError: a setting out of range; when training begins also a Trainer without DeepSpeed, heads divided among
            ranks, or an optimizer that does not give out its float32 weights.
    """

    def __init__(
        self,
        qk_clip_threshold: float = 100.0,
        qk_clip_alpha: float = 0.5,
        exact_max_logits: bool = False,
        nonfinite: Literal["raise", "skip"] = "raise",
    ) -> None:
        super().__init__()
        if qk_clip_threshold is None:
            raise ValueError("qk_clip_threshold must be positive; got None. Leave the callback out to train without.")
        self.config = MuonClipConfig(
            qk_clip_threshold=qk_clip_threshold,
            qk_clip_alpha=qk_clip_alpha,
            exact_max_logits=exact_max_logits,
            nonfinite=nonfinite,
        )

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the settings beside what `MuonClipCallback` keeps."""
        settings = asdict(self.config)
        return {**super().state(), "args": {name: settings[name] for name in _SETTINGS}}

    def _find_watched(
        self, args: TrainingArguments, state: TrainerState, model: nn.Module | None, optimizer: Any
    ) -> DeepSpeedClip:
        if not isinstance(optimizer, DeepSpeedOptimizerWrapper):
            optimizer = getattr(optimizer, "optimizer", optimizer)
            raise ValueError(
                f"DeepSpeedClipCallback clips beside DeepSpeed's optimizers; this Trainer uses "
                f"{type(optimizer).__name__} without DeepSpeed. Pass optimizers=muonclip(model, args) and "
                "callbacks=[MuonClipCallback()]."
            )
        assert model is not None
        _require_whole_heads(args)
        clipped = DeepSpeedClip(model, self.config)
        try:
            _require_writable(model, clipped.clip, optimizer)
        except ValueError:
            clipped.clip.detach()
            raise
        return clipped

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remove all hooks from the model and the Trainer."""
        super().on_train_end(args, state, control, **kwargs)
        if self._watched is not None:
            self._watched.clip.detach()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clip, unless DeepSpeed skipped the step, and update the statistics."""
        if isinstance(self._watched, DeepSpeedClip) and not kwargs["optimizer"].step_was_skipped:
            self._watched.step(args.device)
        super().on_optimizer_step(args, state, control, **kwargs)


@contextmanager
def whole_weight(parameter: nn.Parameter) -> Iterator[Tensor]:
    """Yield a parameter's whole float32 weight; on exit, store it in float32 and in the model's dtype.

    A parameter of which DeepSpeed keeps no second weight is yielded itself. Collective: call on every rank.
    """
    import deepspeed
    from deepspeed.utils import safe_get_full_fp32_param, safe_set_full_fp32_param

    with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):  # does nothing below stage 3
        weight = safe_get_full_fp32_param(parameter)
        if weight is None:
            yield parameter
            return
        yield weight
        safe_set_full_fp32_param(parameter, weight)
        parameter.data.copy_(weight)


def with_whole_shapes(model: nn.Module) -> nn.Module:
    """Return the model, or a copy without weights where ZeRO stage 3 has left its parameters without their shapes."""
    whole = {
        id(parameter): nn.Parameter(
            torch.empty(parameter.ds_shape, dtype=parameter.dtype, device="meta"), parameter.requires_grad
        )
        for parameter in model.parameters()
        if hasattr(parameter, "ds_shape")
    }
    return copy.deepcopy(model, dict(whole)) if whole else model


def _require_whole_heads(args: TrainingArguments) -> None:
    config: dict[str, Any] = args.hf_deepspeed_config.config
    divided = {
        "tensor_parallel.autotp_size": config.get("tensor_parallel", {}).get("autotp_size", 1),
        "sp_size": getattr(args.parallelism_config, "sp_size", 1),
    }
    for setting, ranks in divided.items():
        if ranks > 1:
            raise ValueError(
                "QK-Clip under DeepSpeed needs all heads of a layer on every rank; "
                f"{setting}={ranks} divides them. Set it to 1, or train with FSDP2 and MuonClip."
            )


def _require_writable(model: nn.Module, clip: QKClip, optimizer: Any) -> None:
    """Refuse optimizers whose float32 weights cannot be reached, where a clip would be lost with the next step."""
    from deepspeed.utils import safe_get_full_fp32_param

    assert clip.layout is not None
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, layout in clip.layout.items():
        for rows in layout.head_rows[:1]:  # the same machinery holds all
            parameter = model.get_submodule(name).get_parameter(rows.parameter)
            if id(parameter) not in own and safe_get_full_fp32_param(parameter) is None:
                raise ValueError(
                    "QK-Clip under DeepSpeed writes the float32 weights that the optimizer updates; "
                    f"{type(optimizer.optimizer).__name__} does not give out that of {name}.{rows.parameter}. Use ZeRO "
                    "stage 1, 2 or 3, or train with FSDP2 and MuonClip."
                )
            return
