"""Muon for the hidden matrices and AdamW for the rest, as one `torch.optim.Optimizer`.

One optimizer and not two, because wrappers over two optimizers break Accelerate's and FSDP2's checkpoints: every param
group names its `algorithm`, state lives per parameter as torch wants it, and schedulers, hooks and `prepare()` see
nothing unusual. This module knows matrices and nothing of attention.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from ..common.ranks import num_ranks
from .checks import check_group, check_not_flattened, check_step, check_views, describe_nonfinite
from .distributed.many_ranks import ManyRanks
from .distributed.sharding import local_shard
from .gradient_measures import all_finite, measured_gradients, place_gradients
from .idle_matrices import ActiveMatrices
from .local_update import OneRank, gradient_of
from .matrix_view import MatrixView
from .moments import make_moments, moment_dtype, zero_moments_
from .newton_schulz import newton_schulz
from .parameters.frozen import is_updated
from .saved_state import checked_state, kept_part, numbered_moments, saved_moments
from .settings import GROUP_SETTINGS, MuonSettings, check_group_settings, rules_of, settings_of, takes_settings
from .step import Step, StepResult, loss_of, named_parameters
from .update_meter import UpdateMeter
from .update_rules import shrink_momentum_

logger = logging.getLogger(__name__)


@takes_settings(MuonSettings)
class Muon(torch.optim.Optimizer):
    """Muon for groups with `algorithm="muon"`, AdamW for groups with `algorithm="adamw"`.

    Muon, per matrix: M = mu·M + G; O = NewtonSchulz(M, or G + mu·M with Nesterov)·scale; W = W - lr·(O + decay·W) (Kimi
    K2, arXiv 2507.20534, Algorithm 1). Differs: the momentum is kept times 1 - mu, an average, as torch.optim.Muon
    keeps it; Newton–Schulz divides by its norm; an idle matrix, whose gradient is zero everywhere or None, such as an
    expert without tokens, keeps its weights while its momentum shrinks. Matrices of one shape are orthogonalized as one
    batch, from anywhere in the model. Parameters and moments of a narrower dtype than float32 are updated in float32
    and rounded once. From the first step on every parameter that requires a gradient has its moments, so that
    checkpoints hold the same state, whichever parameters had a gradient.

    With torch.distributed initialized, construction, `step`, `state_dict` and `load_state_dict` are collective: call
    them on every rank. Of matrices that all ranks hold (DDP) each rank then orthogonalizes its share and keeps their
    momentum; of DTensors (FSDP2, tensor and expert parallel) momentum is sharded as they are, and whole matrices are
    gathered to one rank each. N ranks take the same step as one.

    A step is safe to capture in a CUDA graph and to compile. There it cannot raise: a step with NaN or Inf in a
    gradient then writes nothing, and is neither reported nor counted. With torch older than 2.13 a compiled step runs
    outside of the graph, and `fullgraph=True` is refused.

    Args:
        params: parameters, (name, parameter) pairs, or groups of either; a group may carry `algorithm` ("muon" by
            default) and override any of the settings from `lr` to `normalize_neurons`, and AdamW's two.
        lr: learning rate of both algorithms; finite and >= 0; a 0-dim tensor may be changed in place between steps.
        weight_decay: decoupled; finite and >= 0.
        settings: every field of `MuonSettings`.
        views: how parameters hold their matrices, by parameter name; a parameter not named is one plain matrix, or a
            stack of them if it has more than two dimensions.
        adamw_betas: betas of the AdamW groups.
        adamw_eps: epsilon of the AdamW groups.
        config: the settings as one object; keywords win over it.

    Attributes:
        config: the settings.
        measure_update_rms: whether the next steps measure `update_rms` and `idle_matrices`; False at first; the same on
            every rank.
        last_step: the `StepResult` of the last step, a new object for each; None before the first, and after one that
            raised before anything was written.
        updates: steps that wrote weights, since construction.
        skipped_steps: steps that were refused for NaN or Inf, since construction.

    Raises:
        ValueError: a setting is out of range, a group is empty or has a setting that Muon does not know, a parameter of
            a Muon group does not hold matrices, or `views` names a parameter that is in no group.
        TypeError: there is no such setting.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        *positional: Any,
        views: Mapping[str, MatrixView] | None = None,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        config: MuonSettings | None = None,
        **settings: Any,
    ) -> None:
        kind = type(config) if isinstance(config, MuonSettings) else MuonSettings
        self.config = settings_of(kind, type(self).__name__, config, positional, settings)
        self.views = dict(views or {})
        self.measure_update_rms = False
        self.last_step: StepResult | None = None
        self.updates = self.skipped_steps = 0
        self._one_rank = OneRank()
        self._many_ranks: ManyRanks | None = None  # None until there are several ranks
        self._shares_state = False  # of a copy: its moments are one rank's part until it finds the other ranks
        of_groups = {name: value for name, value in vars(self.config).items() if name in GROUP_SETTINGS}
        defaults = {
            "algorithm": "muon",
            "lr": lr,
            "weight_decay": weight_decay,
            **of_groups,
            "adamw_betas": adamw_betas,
            "adamw_eps": adamw_eps,
        }
        check_group_settings(defaults)
        super().__init__(params, defaults)
        check_views(self.views, [name for name, _ in self._named_parameters()])
        self._find_ranks()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles, without hooks and what is rebuilt from the rest."""
        kept = {
            name: value
            for name, value in self.__dict__.items()
            if not name.startswith("_optimizer_") and not isinstance(value, FunctionType | MethodType)  # a scheduler's
        }
        shares = self._shares_state or (self._many_ranks is not None and self._many_ranks.replicated is not None)
        made_again: dict[str, Any] = {"_one_rank": OneRank(), "_many_ranks": None, "_shares_state": shares}
        return kept | super().__getstate__() | made_again

    @property
    def update_rms(self) -> float | None:
        """The update RMS of the last step; see `StepResult`."""
        return None if self.last_step is None else self.last_step.update_rms

    @property
    def idle_matrices(self) -> float | None:
        """The share of idle matrices in the last step; see `StepResult`."""
        return None if self.last_step is None else self.last_step.idle_matrices

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its `algorithm` is "muon" unless it is given.

        Raises:
            ValueError: the group is empty, a setting of it is unknown or out of range, a parameter is complex or
                sparse, or a Muon parameter is no matrix; the group is not added then.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_group(group, named_parameters(group, len(self.param_groups) - 1), self.views)
        except ValueError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient and is not frozen. In place.

        Args:
            closure: recomputes the loss, as in every torch optimizer.

        Returns:
            What the closure returned, or None.

        Raises:
            FloatingPointError: a gradient holds NaN or Inf and `nonfinite` is "raise"; nothing was written.
            ValueError: a gradient is sparse, or a parameter was moved away from its moments; nothing was written.
        """
        loss, self.last_step = loss_of(closure), None
        self._finish(self._update())
        return loss

    def orthogonalize(self, matrices: Tensor, group: Mapping[str, Any]) -> Tensor:
        """Orthogonalize a batch of momentum matrices. Override to use another method.

        On a CPU several threads call it at once, each with a batch of its own.

        Args:
            matrices: (batch, out, in), float32; may be the momentum itself, so do not change it in place.
            group: the param group that they belong to.

        Returns:
            (batch, out, in), any floating dtype; a new tensor.
        """
        return newton_schulz(matrices, group["ns_coefficients"], group["ns_steps"], group["eps"], self._ns_dtype)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load state of Muon, MuonClip or torch.optim.Muon; moments keep their own dtype, which torch would cast.

        Raises:
            ValueError: as `saved_state.checked_state`; nothing was loaded.
        """
        names = [name for name, _ in self._named_parameters()]
        checked = checked_state(state_dict, self.param_groups, names)
        kept = saved_moments(checked, [parameter for _, parameter in self._named_parameters()])
        missing = [
            {key: value for key, value in self.defaults.items() if key not in group}
            for group in checked["param_groups"]
        ]
        super().load_state_dict(checked)
        for group, added in zip(self.param_groups, missing, strict=True):  # settings that the checkpoint lacks
            group.update(added)
        self._find_ranks()
        replicated = None if self._many_ranks is None else self._many_ranks.replicated
        if replicated is not None:
            replicated.forget_gathered()
        for parameter, key, saved in kept:
            # torch leaves `step` where it was saved, and the fused kernel wants it beside the moments.
            dtype = moment_dtype(key, parameter, self._momentum_dtype)
            self.state[parameter][key] = kept_part(key, parameter, saved, dtype, self._many_ranks)
        if replicated is not None:
            replicated.settle(self.state)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all parameters, whole, in the form of every torch optimizer.

        Collective where ranks share the state of parameters that all hold. A single rank may also call it, which takes
        some seconds unless every rank has called `consolidate_state_dict` before. Moments of DTensors stay DTensors.

        Raises:
            RuntimeError: the state was consolidated for other ranks, some rank does not answer, or this is a copy that
                has not stepped.
        """
        found: dict[str, Any] = super().state_dict()
        if self._many_ranks is None and self._shares_state:
            raise RuntimeError(
                "a copy of an optimizer with shared state holds only this rank's part before its first step. Call "
                "state_dict() on the original, or take a step with the copy on every rank first."
            )
        if self._many_ranks is not None and self._many_ranks.replicated is not None:
            gathered = self._many_ranks.replicated.gathered_state(self.state)
            found["state"] |= numbered_moments(gathered, self.param_groups, found["param_groups"])
        return found

    def consolidate_state_dict(self, keep: bool = True) -> None:
        """Gather the state that ranks share, so that `state_dict` needs no other rank until the next step.

        Collective: call on every rank. For trainers that call `state_dict` on one rank only.

        Args:
            keep: whether `state_dict` will be called on this rank; without it the rank saves the memory.
        """
        replicated = self._find_ranks().replicated
        if replicated is not None:
            replicated.consolidate(self.state, keep)

    def reset_moments(self) -> None:
        """Zero all moments, and AdamW's step counts with them, as before the first step. In place.

        Call on every rank: each zeroes what it keeps.
        """
        replicated = None if self._many_ranks is None else self._many_ranks.replicated
        if replicated is not None:
            replicated.forget_gathered()
        zero_moments_(self.state)
        if replicated is not None:
            replicated.settle(self.state)

    def join_hook(self, **kwargs: Any) -> Any:
        """Refuse torch's `Join`, which calls this: a rank without data cannot share a step.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "Muon does not support Join: a rank whose data has ended has no gradients for the shared step. Give all "
            "ranks equally many batches: drop_last=True, or a DistributedSampler, which pads."
        )

    @property
    def _ns_dtype(self) -> torch.dtype | None:
        return None if self.config.ns_dtype == "auto" else getattr(torch, self.config.ns_dtype)

    @property
    def _momentum_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.config.momentum_dtype)
        return dtype

    def _agreed_settings(self) -> list[str]:
        """Return the settings outside of param groups that must be equal on every rank, one line each."""
        beside_groups = [name for name in rules_of(type(self.config)) if name not in GROUP_SETTINGS]
        return [f"{name} {getattr(self.config, name)}" for name in beside_groups]

    def _find_ranks(self) -> OneRank | ManyRanks:
        """Return the ranks that share a step. Collective when several are found, or other parameters."""
        if num_ranks() == 1:
            return self._one_rank
        if self._many_ranks is None or not self._many_ranks.fits(self.param_groups):
            before = None if self._many_ranks is None else self._many_ranks.replicated
            if before is not None:
                before.consolidated = None  # some ranks may not have kept it
            shared_before = [] if before is None else before.gathered_state(self.state)
            members = [
                (i, name, p) for i, group in enumerate(self.param_groups) for name, p in named_parameters(group, i)
            ]
            self._many_ranks = ManyRanks(
                members,
                self.param_groups,
                self.views,
                self._ns_dtype,
                self.config.shard_optimizer,
                self._agreed_settings(),
            )
            for parameter, moments in shared_before:  # owners may be others now
                for key, whole in moments.items():
                    dtype = moment_dtype(key, parameter, self._momentum_dtype)
                    self.state[parameter][key] = kept_part(key, parameter, whole, dtype, self._many_ranks)
            if before is not None:
                before.answer_no_more()
            if self._many_ranks.replicated is not None:
                self._many_ranks.replicated.answer_for(self, self.state)
        return self._many_ranks

    def _update(self) -> StepResult:
        """Write all updates, unless a gradient is not finite."""
        check_not_flattened(self.param_groups)
        ranks = self._find_ranks()
        named = [(name, parameter) for name, parameter in self._named_parameters() if is_updated(parameter)]
        check_step(named, self.state)
        place_gradients([parameter for _, parameter in named])
        gradients = [(name, gradient_of(parameter)) for name, parameter in named]
        finite: Tensor | None = None
        if _host_must_not_wait():
            finite = all_finite([gradient for _, gradient in gradients])
            active = self._find_active(ranks, ())
            finite = ranks.agree_on_device(finite, active)
        else:
            measured = measured_gradients(gradients, parts=ranks.replicated is not None)
            active = self._find_active(ranks, {p for name, p in named if measured[name].norm > 0})
            if bad := ranks.agree_on_gradients(measured, active):
                return StepResult(False, describe_nonfinite(bad))
        active.make_masks(finite)
        momentum = self._momentum_dtype
        make_moments(self.param_groups, self.state, self.views, momentum, ranks.replicated, ranks.keeps_own_slices)
        if named:
            self._shrink_idle_momenta(finite)
        meter = UpdateMeter() if self.measure_update_rms and finite is None else None
        step = Step(
            self.param_groups,
            self.views,
            self.state,
            self.orthogonalize,
            self.config.max_batch_bytes,
            active,
            finite,
            meter,
        )
        for transport in ranks.transports:
            transport.update(step)
        if meter is None:
            return StepResult(True)
        return StepResult(True, "", meter.rms(active.parameters, active.num_active), active.idle_share())

    def _finish(self, result: StepResult) -> None:
        """Keep and count the result of a step; raise or warn if it was refused."""
        self.last_step = result
        if result.taken:
            self.updates += 1
            return
        self.skipped_steps += 1
        message = f"{result.refusal}. The step was not taken: no weight and no moment changed."
        if self.config.nonfinite == "raise":
            raise FloatingPointError(f"{message} Pass nonfinite='skip' to skip such steps and go on.")
        logger.warning("%s Steps skipped so far: %d.", message, self.skipped_steps)

    def _find_active(self, ranks: OneRank | ManyRanks, certain: Collection[Tensor]) -> ActiveMatrices:
        """Return which matrices have a gradient on this rank; `certain` are parameters that have one."""
        named = [
            entry
            for index, group in enumerate(self.param_groups)
            if group["algorithm"] == "muon"
            for entry in named_parameters(group, index)
        ]
        return ActiveMatrices(named, self.views, certain, ranks.box)

    def _shrink_idle_momenta(self, finite: Tensor | None) -> None:
        """Shrink the momentum of parameters without a gradient, as that of matrices whose gradient is zero shrinks."""
        for group in self.param_groups:
            if group["algorithm"] == "muon":
                idle = [p for p in group["params"] if p.grad is None and p.requires_grad and p.numel() > 0]
                shrink_momentum_([local_shard(self.state[p]["momentum_buffer"]) for p in idle], group, finite)

    def _named_parameters(self) -> list[tuple[str, Tensor]]:
        return [entry for index, group in enumerate(self.param_groups) for entry in named_parameters(group, index)]


if torch.__version__ < (2, 13):  # type: ignore[operator]
    # Inductor of torch 2.9 silently puts the writes of a step in a wrong order to save memory. 2.13 is the oldest
    # release on which compiled steps were compared with ordinary ones.
    Muon._update = torch.compiler.disable(  # type: ignore[method-assign]
        Muon._update,
        reason="compiled steps need torch 2.13 or newer (older ones compile them wrongly); leave out fullgraph=True",
    )


def _host_must_not_wait() -> bool:
    """Return whether the step is being compiled or captured in a CUDA graph, where the device cannot be read."""
    return torch.compiler.is_compiling() or (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing())
