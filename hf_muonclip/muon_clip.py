"""MuonClip: Muon with QK-Clip after the update. Joins the optimizer with the model's attention.

The attention's layout tells the optimizer two things: which matrices a projection holds, before they are orthogonalized
(`projection_views`), and which of their rows to clip after the update (`MuonClip`).
"""

import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from .attention import HeadLayout, MaxLogitCapture
from .clip import QKClip, nonfinite_heads
from .common.loggers import get_logger
from .common.ranks import num_ranks
from .common.wording import some_of
from .config import MuonClipConfig
from .models.quantized_saves import warn_of_unsaved
from .models.trained_dtypes import remember_dtypes
from .optim.checks import check_not_flattened
from .optim.muon import Muon
from .optim.parameters.added_groups import added_to_plan, completed_group
from .optim.parameters.frozen import is_updated, take_out_
from .optim.parameters.param_groups import describe_plan, override_plan, param_groups, plan_parameters
from .optim.settings import parse_overrides, settings_of, takes_settings
from .optim.step import StepResult, loss_of
from .projection_views import projection_views

logger = get_logger(__name__)
get_logger(Muon.__module__)  # which knows torch alone


@dataclass(frozen=True)
class ClippedStep(StepResult):
    """Result of a step of `MuonClip`: a `StepResult` with max logits and gammas.

    Attributes:
        max_logits: {module name: (num_attention_heads,) float32 on the CPU}; -inf for a head whose bound was already
            under tau. {} without QK-Clip.
        gammas: {module name: (num_attention_heads,) float32 on the CPU}; 1 means untouched. {} where the step was not
            taken.
    """

    max_logits: Mapping[str, Tensor] = field(default_factory=dict)
    gammas: Mapping[str, Tensor] = field(default_factory=dict)


@takes_settings(MuonClipConfig)
class MuonClip(Muon):
    """Kimi K2's optimizer: Muon for the hidden matrices, AdamW for the rest, and QK-Clip after every update.

    During training forwards each head's max attention logit is captured; `step()` updates the weights and then scales
    the query and key rows of every head whose maximum exceeded `qk_clip_threshold`, so that the head lands on it
    (Kimi K2, arXiv 2507.20534, Algorithm 1). All micro-batches since the last step count; evaluation and generation
    do not.
    `str(optimizer)` lists every parameter, what updates it and why.

    A copy by `copy.deepcopy` or pickle has a model of its own, as copies of torch's optimizers have parameters of their
    own, and measures and clips that; copy `(model, optimizer)` in one call to have both. Max logits of forwards since
    the last step are not copied.

    One MuonClip at a time clips a model: if another is built on the same model later, it replaces the earlier one,
    which then refuses to step. It trains the adapters that were active when it was built, and refuses to step with
    others.

    With torch.distributed initialized, construction, `step()` and `state_dict()` are collective.
    DDP, FSDP2, HSDP, tensor and expert parallel give what one process gives; see `Muon`.

    Args:
        model: a transformers model. QK-Clip needs an attention layout that `detect_head_layout` knows.
        lr: learning rate of Muon and AdamW alike.
        weight_decay: decoupled; norm gains and biases do not decay.
        settings: every field of `MuonClipConfig`.
        adamw_betas: betas of the AdamW groups.
        adamw_eps: epsilon of the AdamW groups.
        config: the settings as one object; keywords win over it.
        inputs: the arguments of one forward, for attention whose layout is only found by running it; by default random
            tokens, pixels or sounds of the sizes that the config names. Kept for attention that is added later.

    Attributes:
        config: the settings.
        plan: what updates which parameter and why, one `PlannedParameter` each; those that were frozen at construction
            are not listed.
        clip: the `QKClip`; measures and clips nothing where qk_clip_threshold is None.
        last_step: the `ClippedStep` of the last step, a new object for each; None before the first, and after one that
            raised before anything was written.
        updates: steps that wrote weights, since construction.
        skipped_steps: steps that were refused for NaN or Inf, since construction.
        measure_update_rms: see `Muon`.

    Raises:
        ValueError: a setting out of range, a model without hidden matrices, or an attention that no rule covers.
        TypeError: there is no such setting.
    """

    config: MuonClipConfig
    last_step: ClippedStep | None

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor = 2e-4,
        weight_decay: float = 0.1,
        *positional: Any,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        config: MuonClipConfig | None = None,
        inputs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        config = settings_of(MuonClipConfig, type(self).__name__, config, positional, settings)
        self._wrapper: weakref.ref[nn.Module] | None = weakref.ref(model)
        self._model = extract_model_from_parallel(model, keep_fp32_wrapper=True)
        _refuse_flat_parameters(model)
        warn_of_unsaved(self._model)
        self.clip = QKClip(self._model, config, inputs)
        views = projection_views(self._model, self.clip.detected, config.split_heads)
        # An adapter's frozen base stays frozen; every other frozen parameter may come to train.
        stays_frozen = self.clip.adapters.found or hasattr(self._model, "peft_config")
        frozen = [] if stays_frozen else plan_parameters(self._model, views, frozen=True)
        plan = override_plan([*plan_parameters(self._model, views), *frozen], parse_overrides(config.group_overrides))
        self._frozen_at_first = {planned.name for planned in frozen}
        self.plan = [planned for planned in plan if planned.name not in self._frozen_at_first]
        self._beside_model: set[str] = set()  # parameters that a user added
        self._is_built = False
        super().__init__(
            param_groups(self._model, self.plan, weight_decay, [p for p in plan if p.name in self._frozen_at_first]),
            lr,
            weight_decay,
            views={planned.name: planned.view for planned in plan},
            adamw_betas=adamw_betas,
            adamw_eps=adamw_eps,
            config=config,
        )
        remember_dtypes(self._model.parameters())
        self._is_built = True
        if not any(planned.algorithm == "muon" for planned in self.plan):
            logger.warning(
                "Every hidden matrix is frozen, so only AdamW updates what is trainable (%s and %d more). Muon "
                "updates matrices from the step at which they are unfrozen.",
                self.plan[0].name,
                len(self.plan) - 1,
            )
        self.clip.start()

    @property
    def layout(self) -> HeadLayout | None:
        """The model's attention layout, without the weights that were frozen when it last had to clip."""
        return self.clip.layout

    @property
    def capture(self) -> MaxLogitCapture | None:
        """The running capture; None without QK-Clip."""
        return self.clip.capture

    @property
    def max_logits(self) -> Mapping[str, Tensor]:
        """The max logits of the last step; see `ClippedStep`."""
        return {} if self.last_step is None else self.last_step.max_logits

    @property
    def gammas(self) -> Mapping[str, Tensor]:
        """The gammas of the last step; see `ClippedStep`."""
        return {} if self.last_step is None else self.last_step.gammas

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update as `Muon.step`, then clip; write nothing at all if a gradient or a max logit is not finite.

        Args:
            closure: recomputes the loss, as in every torch optimizer.

        Returns:
            What the closure returned, or None.

        Raises:
            FloatingPointError: a gradient or a max logit is NaN or Inf and `nonfinite` is "raise"; nothing was written.
            ValueError: as `check_model`, or as `Muon.step`; nothing was written.
        """
        loss, self.last_step = loss_of(closure), None
        self.check_model()
        max_logits = self._collect()
        refusal = nonfinite_heads(max_logits)
        result = StepResult(False, refusal) if refusal else self._update()
        seen = ClippedStep(**vars(result), max_logits=max_logits)
        self._finish(seen)
        if result.taken:
            self.last_step = replace(seen, gammas=self.clip.apply(max_logits))
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that the optimizer does not train yet, with the matrix views and the clip of their modules.

        Frozen parameters of the model need not be added: they train from the step at which they are unfrozen. Adding
        them gives them settings of their own.

        Args:
            param_group: parameters or (name, parameter) pairs; parameters of the model are recognized, so names may be
                left out. Without `algorithm`, the planned one is used.

        Raises:
            ValueError: as `Muon.add_param_group`; or the parameters need two algorithms and the group names none.
        """
        if not self._is_built:
            super().add_param_group(param_group)
            return
        modules = projection_views(self._model, self.clip.detected, self.config.split_heads)
        known = {
            planned.name: planned
            for frozen in (False, True)
            for planned in plan_parameters(self._model, modules, frozen=frozen)
        }
        group = completed_group(param_group, self._model, known.values())
        before = [dict(held) for held in self.param_groups]
        names = {name for name, _ in group["params"]}
        waiting = [
            (name, parameter)
            for name, parameter in group["params"]
            if name in self._frozen_at_first and parameter not in self.state
        ]
        views = dict(self.views)
        self.views.update({name: planned.view for name, planned in known.items() if name in names})
        take_out_(self.param_groups, [parameter for _, parameter in waiting])
        try:
            super().add_param_group(group)
        except Exception:
            self.views = views
            for held, was in zip(self.param_groups, before, strict=True):
                held.update(was)
            raise
        self._beside_model.update(names - known.keys())
        self._frozen_at_first.difference_update(name for name, _ in waiting)
        self.plan = added_to_plan(self.plan, known, self.param_groups[-1])
        self.clip.look_again()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles, without the model's wrapper."""
        return super().__getstate__() | {"_wrapper": None}

    def _collect(self) -> dict[str, Tensor]:
        """Return the max logits since the last step; {} without a capture, and then `lr` is not read."""
        if self.clip.capture is None:
            return {}
        device = self.param_groups[0]["params"][0].device
        return self.clip.collect(device, moves_weights=self.moves_weights(), together=self.config.shard_optimizer)

    def detach(self) -> None:
        """Stop capturing and remove all hooks from the model; nothing is clipped afterwards. Idempotent."""
        self.clip.detach()

    def moves_weights(self) -> bool:
        """Return whether a step can write weights; one at rate 0, by which torch makes an optimizer's state, cannot."""
        return any(float(group["lr"]) > 0 for group in self.param_groups)

    def check_model(self) -> None:
        """Refuse a model that has changed since the optimizer was built. Called by every step.

        Raises:
            ValueError: another MuonClip was built on it since, other adapters are active, or parameters were replaced.
        """
        if self.clip.superseded:
            raise ValueError(
                "one MuonClip at a time can clip a model, and another one was built on this model later. Step that "
                "one, or build MuonClip (in a Trainer: the Trainer) again. To step both, call detach() on the first "
                "before you build the second: it then continues as Muon without the clip."
            )
        if change := self.clip.adapters.change():
            raise ValueError(
                f"MuonClip trains the adapters that were active when it was built; {change}. Call set_adapter() and "
                "merge_adapter() before you build it, or undo them (set_adapter(), unmerge_adapter(), leave "
                "disable_adapter()) before step()."
            )
        join: Any = getattr(self._wrapper and self._wrapper(), "_join_config", None)  # of DDP
        if join is not None and join.enable and num_ranks() > 1:
            raise ValueError(
                "Muon does not support join(): a rank whose data has ended has no gradients for the shared step. Give "
                "all ranks equally many batches: drop_last=True, or a DistributedSampler, which pads."
            )
        if self.updates == 0:
            self._check_parameters()
            remember_dtypes(self._model.parameters())
        self._check_left_out()

    def _check_parameters(self) -> None:
        """Refuse if the model lost parameters of the optimizer, or got adapters since it was built."""
        if added := self.clip.adapters.additions(self._model):
            raise ValueError(
                f"MuonClip trains the parameters that its model had when it was built; {added}. Call "
                "get_peft_model() or add_adapter() first and build MuonClip on what it returns; in a Trainer that adds "
                "them itself (peft_config=), use attach(trainer)."
            )
        try:
            check_not_flattened(self.param_groups)
        except ValueError as error:
            raise ValueError(f"{error} Beside DeepSpeed's own optimizers, DeepSpeedClipCallback clips.") from None
        own = {id(parameter) for parameter in self._model.parameters()}
        gone = [
            name
            for name, parameter in self._named_parameters()
            if id(parameter) not in own and name not in self._beside_model
        ]
        if gone:
            raise ValueError(
                "the optimizer must hold the model's parameters; since it was built, others took the place of "
                f"{some_of(gone, 1)}, as fully_shard(), moves to another device and new embeddings do. Build MuonClip "
                "afterwards, for a Trainer by attach(trainer), or pass both to accelerator.prepare(model, optimizer)."
            )

    def _check_left_out(self) -> None:
        """Refuse if a parameter of the model that has a gradient and is not frozen is in no param group."""
        held = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        left_out = {
            parameter
            for module in self._model.modules()  # without names: every step looks
            for parameter in module._parameters.values()
            if parameter is not None and is_updated(parameter) and id(parameter) not in held
        }
        if left_out:
            names = [name for name, parameter in self._model.named_parameters() if parameter in left_out]
            raise ValueError(
                f"MuonClip would not update trainable weights: {some_of(names, 1)}, unfrozen and in no param group, as "
                "happens to weights under an adapter and to those added to the model later. Call "
                "optimizer.add_param_group({'params': module.parameters()}), or freeze them again."
            )

    def _agreed_settings(self) -> list[str]:
        found = f"attention modules {', '.join(self.clip.detected or ()) or 'none'}"  # some are found by running
        return [*super()._agreed_settings(), found]

    def __str__(self) -> str:
        """Return every parameter with its algorithm and reason, then the attention layout and how it is clipped."""
        sizes = {p.name: math.prod(p.shape) for p in self.plan}
        count = {name: sum(1 for p in self.plan if p.algorithm == name) for name in ("muon", "adamw")}
        numel = {name: sum(sizes[p.name] for p in self.plan if p.algorithm == name) for name in ("muon", "adamw")}
        lines = [
            f"MuonClip: {count['muon']} parameters ({numel['muon']:,} weights) by Muon, "
            f"{count['adamw']} ({numel['adamw']:,}) by AdamW",
            describe_plan(self.plan),
        ]
        if self._frozen_at_first:
            lines.append(
                f"Frozen when this was built: {len(self._frozen_at_first)} more parameters, which train once unfrozen"
            )
        if self.layout is None or self.capture is None:
            lines.append("QK-Clip: off")
        else:
            lines.append(f"QK-Clip: threshold {self.config.qk_clip_threshold:g}")
            lines.append(str(self.layout))
        return "\n".join(lines)


def _refuse_flat_parameters(model: nn.Module) -> None:
    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        raise ValueError(
            "Muon needs parameters with their own shapes; got a model wrapped by FSDP1 (FullyShardedDataParallel), "
            "which flattens them. Use FSDP2: fsdp_version: 2 in Accelerate's config, or torch's fully_shard()."
        )
