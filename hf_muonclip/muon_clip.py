"""MuonClip: Muon with QK-Clip after the update. Where the optimizer and the attention column meet.

The attention's layout tells the optimizer two things: which matrices a projection holds, before they are orthogonalized
(`projection_views`), and which of their rows to clip after the update (`MuonClip`).
"""

import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from accelerate.utils import extract_model_from_parallel  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from .attention import AdapterWatch, HeadLayout, ProjectionRows, detect_head_layout, read_projections
from .clip_state import ClipState, nonfinite_heads
from .common.loggers import get_logger
from .common.wording import all_of
from .config import MuonClipConfig
from .models.quantized_saves import warn_of_unsaved
from .models.trained_dtypes import remember_dtypes
from .optim.checks import check_not_flattened
from .optim.distributed.agreement import max_over_ranks
from .optim.distributed.collectives import collective_device, num_ranks
from .optim.matrix_view import PLAIN, MatrixView
from .optim.muon import Muon
from .optim.parameters.added_groups import added_to_plan, completed_group
from .optim.parameters.frozen import is_updated, take_out_
from .optim.parameters.fused_weights import is_conv1d, is_linear
from .optim.parameters.param_groups import describe_plan, override_plan, param_groups, plan_parameters
from .optim.settings import parse_overrides

logger = get_logger(__name__)
get_logger(Muon.__module__)  # which knows torch alone

_measuring: "weakref.WeakSet[MuonClip]" = weakref.WeakSet()  # one for each model
_SPLIT_BY_HEAD = ("query", "key", "value", "query and key", "key and value")


class MuonClip(Muon, ClipState):
    """Kimi K2's optimizer: Muon for the hidden matrices, AdamW for the rest, and QK-Clip after every update.

    During training forwards each head's max attention logit is captured; `step()` updates the weights and then scales
    the query and key rows of every head whose maximum exceeded `qk_clip_threshold`, so that the head lands on it
    (Kimi K2, arXiv 2507.20534, Algorithm 1). All micro-batches since the last step count; evaluation and generation
    do not.
    `str(optimizer)` lists every parameter, what updates it and why.

    A copy by `copy.deepcopy` or pickle has a model of its own, as copies of torch's optimizers have parameters of their
    own, and measures and clips that; copy `(model, optimizer)` in one call to have both. Maxima of forwards since the
    last step stay behind.

    One MuonClip at a time clips a model: one that is built on the same model later takes its place, and the earlier
    refuses to step. It trains the adapters that were active when it was built, and refuses to step with others.

    With torch.distributed initialized, construction, `step()` and `state_dict()` are collective.
    DDP, FSDP2, HSDP, tensor and expert parallel give what one process gives; see `Muon`.

    Args:
        model: a transformers model. QK-Clip needs an attention layout that `detect_head_layout` knows.
        lr: learning rate of Muon and AdamW alike.
        weight_decay: decoupled; norm gains and biases do not decay.
        momentum: Muon's mu, in [0, 1).
        nesterov: orthogonalize G + mu·M instead of M. Algorithm 1 lists none; the authors' earlier Moonlight code and
            torch.optim.Muon use it.
        ns_coefficients: "minimax", "jordan", "polar_express", "cans", or (a, b, c) for all Newton–Schulz steps or for
            each; see `newton_schulz.resolve_coefficients`.
        eps: added to the norm that Newton–Schulz divides by.
        ns_steps: Newton–Schulz iterations; None takes as many as the coefficients want (minimax 3, jordan 5).
        adjust_lr_fn: "match_rms_adamw" (0.2·sqrt(max(n, m)), so AdamW's lr and decay carry over), "original",
            "spectral_unclamped" or "none".
        qk_clip_threshold: tau, in logits. inf measures without clipping; None turns capture and clip off.
        qk_clip_alpha: the query's share of gamma where a head owns its key.
        scale_lora_base: clip LoRA layers by scaling their frozen base weights together with the adapters; by default
            they are monitored only. Then save the whole model: an adapter alone would not hold the clip.
        exact_max_logits: measure every head at every step. On a CPU the default is those that may exceed tau; on an
            accelerator and in compiled graphs every head is measured anyway.
        adamw_betas: of the AdamW groups.
        adamw_eps: of the AdamW groups.
        ns_dtype: "auto", "bfloat16" or "float32".
        nonfinite: "raise" or "skip" a step with NaN or Inf in gradients or max logits; nothing is written either way.
        split_heads: orthogonalize every query, key and value head on its own; see `projection_views`.
        cautious_weight_decay: decay only the entries of matrices that the update moves towards zero anyway.
        normalize_neurons: even out the rows of every update by their running mean square (NorMuon, arXiv 2510.05491).
        group_overrides: {pattern: settings} of param groups for the parameters whose name the pattern matches, * and ?
            as in file names, e.g. {"*.embed_tokens.weight": {"lr": 1e-4}, "*conv*": {"algorithm": "muon"}}; or that as
            JSON. Where several match, the later wins.
        momentum_dtype: "float32", or "bfloat16" for half of Muon's state.
        max_batch_bytes: of the float32 matrices orthogonalized at once; bounds the step's temporary memory.
        shard_optimizer: with several ranks, share work and state of the parameters that all hold (DDP); False repeats
            both on every rank.
        inputs: the arguments of one forward, for attention whose layout only running tells; by default random tokens,
            pixels or sounds of the sizes that the config names. Kept, for attention that is added later.

    Attributes:
        plan: what updates which parameter and why, one `PlannedParameter` each; those that were frozen at construction
            are not listed.
        layout: the model's `HeadLayout`, without the weights that were frozen when it last had to clip; None without
            QK-Clip.
        capture: the running `MaxLogitCapture`; None without QK-Clip.
        max_logits: {module name: (num_attention_heads,) float32 on the CPU} of the last step; -inf for a head that
            the bound alone showed to be under tau.
        gammas: {module name: (num_attention_heads,) float32 on the CPU} of the last step; 1 means untouched. Empty
            after a step that was skipped.
        updates: steps that wrote weights, since construction.
        skipped_steps: steps that were refused for NaN or Inf, since construction.
        measure_update_rms, update_rms, idle_matrices: as of `Muon`.
        clip_seconds: host time spent on collecting maxima and clipping, since construction.
        callback_expected: True where it was made for a Trainer, until a `MuonClipCallback` reports to it; the first
            step then says what is missing without one.

    Raises:
        ValueError: a setting out of range, a model without hidden matrices, or an attention that no rule covers.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor = 2e-4,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: str | Sequence[float] | Sequence[Sequence[float]] = "minimax",
        eps: float = 1e-7,
        ns_steps: int | None = None,
        adjust_lr_fn: str = "match_rms_adamw",
        *,
        qk_clip_threshold: float | None = 100.0,
        qk_clip_alpha: float = 0.5,
        scale_lora_base: bool = False,
        exact_max_logits: bool = False,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        ns_dtype: str = "auto",
        nonfinite: str = "raise",
        split_heads: bool = False,
        cautious_weight_decay: bool = False,
        normalize_neurons: bool = False,
        group_overrides: Mapping[str, Mapping[str, Any]] | str | None = None,
        momentum_dtype: str = "float32",
        max_batch_bytes: int | None = None,
        shard_optimizer: bool = True,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = MuonClipConfig(
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,  # type: ignore[arg-type]
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,  # type: ignore[arg-type]
            qk_clip_threshold=qk_clip_threshold,
            qk_clip_alpha=qk_clip_alpha,
            scale_lora_base=scale_lora_base,
            exact_max_logits=exact_max_logits,
            ns_dtype=ns_dtype,  # type: ignore[arg-type]
            nonfinite=nonfinite,  # type: ignore[arg-type]
            split_heads=split_heads,
            cautious_weight_decay=cautious_weight_decay,
            normalize_neurons=normalize_neurons,
            group_overrides=group_overrides,  # type: ignore[arg-type]
            momentum_dtype=momentum_dtype,  # type: ignore[arg-type]
            max_batch_bytes=max_batch_bytes,
            shard_optimizer=shard_optimizer,
        )
        threshold, self._inputs = self.config.qk_clip_threshold, inputs
        self._wrapper: weakref.ref[nn.Module] | None = weakref.ref(model)
        self._model = extract_model_from_parallel(model, keep_fp32_wrapper=True)
        _refuse_flat_parameters(model)
        warn_of_unsaved(self._model)
        detected = detect_head_layout(self._model, scale_lora_base, inputs) if threshold is not None else None
        self._detected = detected
        self._adapters = AdapterWatch(self._model)
        views = projection_views(self._model, detected, split_heads)
        # An adapter's frozen base stays frozen; every other frozen parameter may come to train.
        stays_frozen = self._adapters.found or hasattr(self._model, "peft_config")
        frozen = [] if stays_frozen else plan_parameters(self._model, views, frozen=True)
        plan = override_plan([*plan_parameters(self._model, views), *frozen], parse_overrides(group_overrides))
        self._frozen_at_first = {planned.name for planned in frozen}
        self.plan = [planned for planned in plan if planned.name not in self._frozen_at_first]
        self._beside_model: set[str] = set()  # parameters that a user added
        self._is_built = False
        super().__init__(
            param_groups(self._model, self.plan, weight_decay, [p for p in plan if p.name in self._frozen_at_first]),
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
            views={planned.name: planned.view for planned in plan},
            cautious_weight_decay=cautious_weight_decay,
            normalize_neurons=normalize_neurons,
            adamw_betas=adamw_betas,
            adamw_eps=adamw_eps,
            ns_dtype=ns_dtype,
            momentum_dtype=momentum_dtype,
            max_batch_bytes=max_batch_bytes,
            nonfinite=nonfinite,
            shard_optimizer=shard_optimizer,
        )
        remember_dtypes(self._model.parameters())
        self._reset_clip()
        self.callback_expected = False
        self._superseded = False
        self._is_built = True
        if not any(planned.algorithm == "muon" for planned in self.plan):
            logger.warning(
                "Every hidden matrix is frozen, so AdamW alone updates what is trainable (%s and %d more). Muon "
                "updates matrices from the step at which they are unfrozen.",
                self.plan[0].name,
                len(self.plan) - 1,
            )
        if threshold is not None and detected is not None:
            self._take_over()
            self._start_capture(self._model, threshold, detected)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that the optimizer does not train yet: cut as their modules are, and clipped.

        Frozen parameters of the model need not be added: they train from the step at which they are unfrozen. Adding
        them gives them settings of their own.

        Args:
            param_group: parameters or (name, parameter) pairs; parameters of the model are known by what they are, so
                names may be left out. Without `algorithm`, the one that fits them.

        Raises:
            ValueError: as `Muon.add_param_group`; or the parameters need two algorithms and the group names none.
        """
        if not self._is_built:
            super().add_param_group(param_group)
            return
        modules = projection_views(self._model, self._detected, self.config.split_heads)
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
        self._capture_new_attention()

    def _capture_new_attention(self) -> None:
        """Measure and clip attention modules that were put into the model since the capture began, too."""
        threshold = self.config.qk_clip_threshold
        if self.capture is None or self._detected is None or threshold is None:
            return
        detected = detect_head_layout(self._model, self.config.scale_lora_base, self._inputs)
        if set(detected) != set(self._detected):
            self.capture.close()
            self._start_capture(self._model, threshold, detected)

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles keep: the model too, because a copy measures and clips its own."""
        return super().__getstate__() | {
            "capture": None,
            "_first_batch": None,
            "_wrapper": None,
            "_was_measuring": self.capture is not None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become the optimizer of the state; its capture starts again, on the model that came along."""
        was_measuring = state.pop("_was_measuring", False)
        super().__setstate__(state)
        threshold = self.config.qk_clip_threshold
        if was_measuring and threshold is not None and self._detected is not None:
            self._take_over()
            self._start_capture(self._model, threshold, self._detected)

    def detach(self) -> None:
        """Stop capturing and leave no trace on the model; from then on nothing is clipped. Idempotent."""
        super().detach()
        _measuring.discard(self)

    def _take_over(self) -> None:
        """Take the place of those that were built on this model, its base or its wrapper before."""
        own = set(self._model.modules())
        for other in list(_measuring):
            if other._model in own or self._model in set(other._model.modules()):
                other.detach()
                other._superseded = True
        _measuring.add(self)

    def _joined(self, maxima: Tensor) -> Tensor:
        return max_over_ranks(maxima, "max logits", together=self.config.shard_optimizer)

    def _moves_weights(self) -> bool:
        return any(float(group["lr"]) > 0 for group in self.param_groups)

    def check_model(self) -> None:
        """Refuse a model that is no longer what the optimizer was built for; every step does.

        Raises:
            ValueError: another MuonClip was built on it since, other adapters are active, or parameters were replaced.
        """
        if self._superseded:
            raise ValueError(
                "one MuonClip at a time can clip a model; another was built on this model since, and measures it now. "
                "Step that one, or build MuonClip (in a Trainer: the Trainer) again to go on here. To step both, call "
                "detach() on the first before you build the second: it goes on as Muon without the clip."
            )
        if change := self._adapters.change():
            raise ValueError(
                f"MuonClip trains the adapters that were active when it was built; {change}. Call set_adapter() and "
                "merge_adapter() before you build it, or undo them (set_adapter(), unmerge_adapter(), leave "
                "disable_adapter()) before step()."
            )
        join: Any = getattr(self._wrapper and self._wrapper(), "_join_config", None)  # of DDP
        if join is not None and join.enable and num_ranks() > 1:
            raise ValueError(
                "Muon takes no part in join(): a rank whose data has ended has no gradients to share a step with. Give "
                "all ranks equally many batches: drop_last=True, or a DistributedSampler, which pads."
            )
        if self.updates == 0:
            self._check_parameters()
            remember_dtypes(self._model.parameters())
        self._check_left_out()

    def _check_parameters(self) -> None:
        """Refuse parameters that the model no longer has, or adapters that the optimizer knows nothing of."""
        if added := self._adapters.additions(self._model):
            raise ValueError(
                f"MuonClip trains the parameters that its model had when it was built; {added}. Call "
                "get_peft_model() or add_adapter() first and build MuonClip on what it returns; in a Trainer that adds "
                "them itself (peft_config=), use attach(trainer)."
            )
        check_not_flattened(self.param_groups)
        own = {id(parameter) for parameter in self._model.parameters()}
        gone = [
            name
            for name, parameter in self._named_parameters()
            if id(parameter) not in own and name not in self._beside_model
        ]
        if gone:
            raise ValueError(
                f"the optimizer must hold the model's parameters; {gone[0]} and {len(gone) - 1} more were replaced "
                "since it was built, as fully_shard(), moves to another device and new embeddings do. Build MuonClip "
                "afterwards, for a Trainer by attach(trainer), or pass both to accelerator.prepare(model, optimizer)."
            )

    def _check_left_out(self) -> None:
        """Refuse to leave a trainable parameter of the model without the update that its gradient asks for."""
        held = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        left_out = {
            parameter
            for module in self._model.modules()  # without names: every step looks
            for parameter in module._parameters.values()
            if parameter is not None and is_updated(parameter) and id(parameter) not in held
        }
        if left_out:
            names = [name for name, parameter in self._model.named_parameters() if parameter in left_out]
            others = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
            raise ValueError(
                f"MuonClip would leave trainable weights as they are: {names[0]}{others} unfrozen and "
                "in no param group, as weights under an adapter and those put into the model later are at first. Hand "
                "them over with optimizer.add_param_group({'params': module.parameters()}), or freeze them again."
            )

    def _miss_callback(self) -> None:
        """Warn once of what a Trainer lacks that has no callback."""
        if self.callback_expected and self._moves_weights():
            self.callback_expected = False
            logger.warning(
                "This Trainer has no MuonClipCallback. QK-Clip works, but its figures are missing from the logs, from "
                "qk_clip.jsonl and from trainer_state.json, a model with stacked experts will not resume, and with "
                "scale_lora_base=True nothing says which clips a saved adapter lacks. Pass "
                "callbacks=[MuonClipCallback()]."
            )

    def _agreed_settings(self) -> list[str]:
        clip = f"qk_clip_threshold {self.config.qk_clip_threshold}, qk_clip_alpha {self.config.qk_clip_alpha}"
        found = f"attention modules {', '.join(self._detected or ()) or 'none'}"  # some are found by running the model
        return [f"{clip}, scale_lora_base {self.config.scale_lora_base}", found, *super()._agreed_settings()]

    def _update(self) -> bool:
        """Update, then clip; write nothing at all if a gradient or a max logit is not finite."""
        self.check_model()
        self._miss_callback()
        if self.capture is None:
            written = super()._update()
            self.updates += written
            return written
        device = self.param_groups[0]["params"][0].device
        if num_ranks() > 1:
            device = collective_device(device)
        self.max_logits = self._collect_max_logits(self.capture, device)
        self.gammas = {}
        if nonfinite := nonfinite_heads(self.max_logits):
            self._reject(nonfinite)
            return False
        if not super()._update():
            return False
        self._clip(self._model)
        return True

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


def projection_views(
    model: nn.Module, layout: HeadLayout | None = None, split_heads: bool = False
) -> dict[str, tuple[MatrixView, str]]:
    """Return how the attention projections of a model hold matrices, for `plan_parameters`.

    Queries, keys and values that share a weight are matrices of their own, whatever the order of their rows; so is a
    gate beside the queries. Latent attention's projections are cut as in DeepSeek-V2 (arXiv 2405.04434): kv_b_proj is
    W_UK and W_UV, kv_a_proj_with_mqa is W_DKV and W_KR; a query's parts with and without position stay together.

    Args:
        model: on any device.
        layout: of the model; by default its projections are read by rule. What no rule knows stays whole, with a
            warning where it is fused by its name.
        split_heads: cut queries, keys and values by head too, as GLM-5's Muon Split (arXiv 2602.15763) does. Gates,
            down-projections and output projections stay whole.

    Returns:
        {parameter name: (view, what is split, in words)}.
    """
    projections = read_projections(model, layout)
    first_names = {parameter: name for name, parameter in model.named_parameters()}
    every_name = dict(model.named_parameters(remove_duplicate=False))
    views: dict[str, tuple[MatrixView, str]] = {}
    whole = {name: f"fused projection kept whole: {why}" for name, why in projections.kept_whole.items()}
    for name, rows in projections.known.items():
        if name in every_name:
            first, view = first_names[every_name[name]], _projection_view(rows, split_heads)
            if views.setdefault(first, view) != view:
                whole[first] = "kept whole: modules that share it cut it differently"
    trained = []
    for name, why in whole.items():
        module = model.get_submodule(name.rpartition(".")[0])
        if name in every_name and is_linear(module):
            views[name] = (MatrixView(transposed=True) if is_conv1d(module) else PLAIN, why)
            trained += [name] * every_name[name].requires_grad
    if trained:
        others = f", and {len(trained) - 1} more" if len(trained) > 1 else ""
        logger.warning("Orthogonalized as one matrix: %s (%s)%s.", trained[0], whole[trained[0]], others)
    return views


def _projection_view(rows: ProjectionRows, split_heads: bool) -> tuple[MatrixView, str]:
    heads = tuple(part.head_rows if split_heads and part.name in _SPLIT_BY_HEAD else 0 for part in rows.parts)
    names = [part.name for part in rows.parts]
    by_head = [name for name, head in zip(names, heads, strict=True) if head]
    said = f"{all_of(names)} split" if len(names) > 1 else ""
    if by_head:
        said += f"{', ' if said else ''}{'each' if len(by_head) == len(names) > 1 else all_of(by_head)} per head"
    if not said:
        return MatrixView(transposed=rows.dim == 1, kernel=rows.flat), ""
    sections = tuple(part.rows for part in rows.parts)
    return MatrixView(sections, rows.periods, heads if by_head else (), rows.dim == 1, kernel=rows.flat), said
