"""Muon for the hidden matrices and AdamW for the rest, as one `torch.optim.Optimizer`.

One optimizer and not two, because wrappers over two optimizers break Accelerate's and FSDP2's checkpoints: every param
group names its `algorithm`, state lives per parameter as torch wants it, and schedulers, hooks and `prepare()` see
nothing unusual. This module knows matrices and nothing of attention.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from .batching import MatrixBlock, batches
from .checks import check_group, check_not_flattened, check_step, check_views, describe_nonfinite
from .distributed.collectives import num_ranks
from .distributed.sharded_update import ShardedUpdate
from .distributed.sharding import local_shard
from .gradient_measures import all_finite, measured_gradients
from .idle_matrices import ActiveMatrices
from .local_update import adamw_update_, gradient_of, muon_updates_
from .matrix_view import MatrixView
from .moments import make_moments
from .newton_schulz import newton_schulz
from .parameters.frozen import is_updated
from .saved_state import MOMENTS, checked_state, kept_part
from .settings import check_settings
from .update_meter import UpdateMeter
from .update_rules import shrink_momentum_, wide_dtype

logger = logging.getLogger(__name__)


class Muon(torch.optim.Optimizer):
    """Muon for groups with `algorithm="muon"`, AdamW for groups with `algorithm="adamw"`.

    Muon, per matrix: M = mu·M + G; O = NewtonSchulz(M, or G + mu·M with Nesterov)·scale; W = W - lr·(O + decay·W)
    (Kimi K2, arXiv 2507.20534, Algorithm 1). Differs: the momentum is kept times 1 - mu, an average, as
    torch.optim.Muon keeps it; Newton–Schulz divides by its norm; an idle matrix, whose gradient is zero everywhere or
    None, as that of an expert without a token, keeps its weights while its momentum shrinks. Matrices of one shape are
    orthogonalized as one batch, wherever in the model they stand. Parameters and moments of a narrower dtype than
    float32 are updated in float32 and rounded once. From the first step on every parameter that requires a gradient
    has its moments, so that checkpoints hold the same state whoever had a gradient.

    With torch.distributed initialized, construction, `step`, `state_dict` and `load_state_dict` are collective: call
    them on every rank. Of matrices that all ranks hold (DDP) each rank then orthogonalizes its share and keeps their
    momentum; of DTensors (FSDP2, tensor and expert parallel) momentum is sharded as they are, and whole matrices are
    gathered to one rank each. N ranks take the step that one would.

    A step is safe to capture in a CUDA graph and to compile. There it cannot raise: a step with NaN or Inf in a
    gradient then writes nothing, and is neither named nor counted. With torch older than 2.13 a compiled step runs
    outside of the graph, and `fullgraph=True` is refused.

    Args:
        params: parameters, (name, parameter) pairs, or groups of either; a group may carry `algorithm` ("muon" by
            default) and override any of the settings from `lr` to `adamw_eps`, but for `views`.
        lr: learning rate of both algorithms; finite and >= 0; a 0-dim tensor may be changed in place between steps.
        weight_decay: decoupled; finite and >= 0.
        momentum: mu; in [0, 1).
        nesterov: orthogonalize G + mu·M instead of M.
        ns_coefficients: "minimax", "jordan", "polar_express", "cans", or (a, b, c) for all steps or for each; see
            `newton_schulz.resolve_coefficients`.
        eps: added to the norm that Newton–Schulz divides by.
        ns_steps: Newton–Schulz iterations; None takes as many as the coefficients want (minimax 3, jordan 5).
        adjust_lr_fn: "match_rms_adamw", "original", "spectral_unclamped" or "none"; see `update_scale`.
        views: how parameters hold their matrices, by parameter name; a parameter not named is one plain matrix, or a
            stack of them if it has more than two dimensions.
        cautious_weight_decay: decay only the entries that the update moves towards zero anyway (arXiv 2510.12402); of
            the Muon groups.
        normalize_neurons: even out the rows of every update by their running mean square (NorMuon, arXiv 2510.05491).
        adamw_betas: betas of the AdamW groups.
        adamw_eps: epsilon of the AdamW groups.
        ns_dtype: "auto", "bfloat16" or "float32".
        momentum_dtype: "float32", or "bfloat16" for half the state; of Muon's momentum. float64 parameters keep theirs.
        max_batch_bytes: of the float32 matrices orthogonalized at once, which bounds the step's temporary memory to a
            few times as much; None takes 2 MiB for each thread of a CPU and 256 MiB elsewhere.
        nonfinite: "raise" or "skip" a step whose gradients hold NaN or Inf; no weight is written either way.
        shard_optimizer: share work and state of parameters that every rank holds; False repeats both on each rank.

    Attributes:
        measure_update_rms: whether the next steps measure the two figures below; False at first; the same on every
            rank.
        update_rms: root mean square of the last step's Muon updates over all weights that they were of, on all ranks,
            before lr and decay; about 0.2 with match_rms_adamw, less where gradients lack rank. None where the last
            step did not measure it: it was skipped, compiled, or captured in a graph.
        idle_matrices: share of Muon's matrices that were idle in the last step, of all that require a gradient; None
            where it was not measured.

    Raises:
        ValueError: a setting is out of range, a group is empty or has a setting that Muon does not know, a parameter of
            a Muon group does not hold matrices, or `views` names a parameter that is in no group.
    """

    measure_update_rms = False
    update_rms: float | None = None
    idle_matrices: float | None = None
    _meter: UpdateMeter | None = None  # of the step under way

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: str | Sequence[float] | Sequence[Sequence[float]] = "minimax",
        eps: float = 1e-7,
        ns_steps: int | None = None,
        adjust_lr_fn: str = "match_rms_adamw",
        *,
        views: Mapping[str, MatrixView] | None = None,
        cautious_weight_decay: bool = False,
        normalize_neurons: bool = False,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        ns_dtype: str = "auto",
        momentum_dtype: str = "float32",
        max_batch_bytes: int | None = None,
        nonfinite: str = "raise",
        shard_optimizer: bool = True,
    ) -> None:
        check_settings(
            {
                "ns_dtype": ns_dtype,
                "momentum_dtype": momentum_dtype,
                "max_batch_bytes": max_batch_bytes,
                "nonfinite": nonfinite,
                "shard_optimizer": shard_optimizer,
            }
        )
        self.skipped_steps = 0
        self.views = dict(views or {})
        self._ns_dtype: torch.dtype | None = None if ns_dtype == "auto" else getattr(torch, ns_dtype)
        self._momentum_dtype: torch.dtype = getattr(torch, momentum_dtype)
        self._max_batch_bytes = max_batch_bytes
        self._nonfinite = nonfinite
        self._shard_optimizer = shard_optimizer
        self._sharded: ShardedUpdate | None = None
        self._shares_state = False  # of a copy: its moments are one rank's part until it finds the other ranks
        # The batches of each group, and the parameters that they were made of.
        self._batches: dict[int, tuple[list[Any], list[list[MatrixBlock]]]] = {}
        defaults = {
            "algorithm": "muon",
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "cautious_weight_decay": cautious_weight_decay,
            "normalize_neurons": normalize_neurons,
            "adamw_betas": adamw_betas,
            "adamw_eps": adamw_eps,
        }
        check_settings(defaults)
        super().__init__(params, defaults)
        check_views(self.views, [name for name, _ in self._named_parameters()])
        self._find_sharded()

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles keep: all but hooks, and what is made again from the rest."""
        kept = {
            name: value
            for name, value in self.__dict__.items()
            if not name.startswith("_optimizer_") and not isinstance(value, FunctionType | MethodType)  # a scheduler's
        }
        shares = self._shares_state or (self._sharded is not None and self._sharded.replicated is not None)
        made_again: dict[str, Any] = {"_batches": {}, "_sharded": None, "_meter": None, "_shares_state": shares}
        return kept | super().__getstate__() | made_again

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its `algorithm` is "muon" unless it says "adamw".

        Raises:
            ValueError: the group is empty, a setting of it is unknown or out of range, a parameter is complex or
                sparse, or a Muon parameter is no matrix. The group is not added.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_group(group, _named(group, len(self.param_groups) - 1), self.views)
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
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._update()
        return loss

    def orthogonalize(self, matrices: Tensor, group: Mapping[str, Any]) -> Tensor:
        """Orthogonalize a batch of momentum matrices. Override to use another method.

        On a CPU several threads call it at once, each with a batch of its own.

        Args:
            matrices: (batch, out, in), float32; may be momentum itself, so leave it alone.
            group: the param group that they belong to.

        Returns:
            (batch, out, in), any floating dtype; a new tensor.
        """
        return newton_schulz(matrices, group["ns_coefficients"], group["ns_steps"], group["eps"], self._ns_dtype)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load state of Muon, MuonClip or torch.optim.Muon; moments keep float32 where torch casts them.

        Raises:
            ValueError: as `saved_state.checked_state`; nothing was loaded.
        """
        names = [name for name, _ in self._named_parameters()]
        checked = checked_state(state_dict, self.param_groups, names)
        saved_ids = [index for group in checked["param_groups"] for index in group["params"]]
        kept = [
            (parameter, key, saved)
            for index, (_, parameter) in zip(saved_ids, self._named_parameters(), strict=False)
            for key, saved in checked["state"].get(index, {}).items()
            if key in (*MOMENTS, "neuron_second_moment", "step")
        ]
        missing = [
            {key: value for key, value in self.defaults.items() if key not in group}
            for group in checked["param_groups"]
        ]
        super().load_state_dict(checked)
        for group, added in zip(self.param_groups, missing, strict=True):  # settings younger than the checkpoint
            group.update(added)
        sharded = self._find_sharded()
        replicated = None if sharded is None else sharded.replicated
        if replicated is not None:
            replicated.forget_gathered()
        for parameter, key, saved in kept:
            # torch leaves `step` where it was saved, and the fused kernel wants it beside the moments.
            dtype = torch.float32 if key == "step" else self._dtype_of(key, parameter)
            self.state[parameter][key] = kept_part(key, parameter, saved, dtype, self._sharded)
        if replicated is not None:
            replicated.settle(self.state)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all parameters, whole, in the form of every torch optimizer.

        Collective where ranks share the state of parameters that all hold. A rank may also call it alone, and gets what
        the others keep after some seconds; after `consolidate_state_dict` on every rank it gets it at once. Moments of
        DTensors stay DTensors.

        Raises:
            RuntimeError: the state was consolidated for other ranks, some rank does not answer, or this is a copy that
                has not stepped.
        """
        found: dict[str, Any] = super().state_dict()
        if self._sharded is None and self._shares_state:
            raise RuntimeError(
                "a copy of an optimizer whose ranks share the state holds this rank's part alone; got state_dict() "
                "before its first step. Ask the original, or take a step with the copy on every rank."
            )
        if self._sharded is not None and self._sharded.replicated is not None:
            gathered = self._sharded.replicated.gathered_state(self.state)
            ids = {
                id(parameter): index
                for group, saved in zip(self.param_groups, found["param_groups"], strict=True)
                for parameter, index in zip(group["params"], saved["params"], strict=True)
            }
            found["state"] |= {ids[id(parameter)]: state for parameter, state in gathered}
        return found

    def consolidate_state_dict(self, keep: bool = True) -> None:
        """Gather the state that ranks share, so that `state_dict` needs no other rank until the next step.

        Collective: call on every rank. For trainers that ask one rank alone for the state.

        Args:
            keep: whether this rank will be asked; others spare the memory.
        """
        sharded = self._find_sharded()
        if sharded is not None and sharded.replicated is not None:
            sharded.replicated.consolidate(self.state, keep)

    def join_hook(self, **kwargs: Any) -> Any:
        """Refuse torch's `Join`, which asks this of every member: a rank without data cannot share a step.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "Muon takes no part in Join: a rank whose data has ended has no gradients to share a step with. Give all "
            "ranks equally many batches: drop_last=True, or a DistributedSampler, which pads."
        )

    def _dtype_of(self, moment: str, parameter: Tensor) -> torch.dtype:
        wide = wide_dtype(parameter)
        return self._momentum_dtype if moment == "momentum_buffer" and wide == torch.float32 else wide

    def _agreed_settings(self) -> list[str]:
        """Return what must be equal on every rank beside groups and parameters, one line each."""
        return [
            f"ns_dtype {self._ns_dtype}, momentum_dtype {self._momentum_dtype}, nonfinite {self._nonfinite}, "
            f"max_batch_bytes {self._max_batch_bytes}, shard_optimizer {self._shard_optimizer}"
        ]

    def _find_sharded(self) -> ShardedUpdate | None:
        """Return what this optimizer's ranks share; None with one rank alone. Collective where it is made again."""
        if num_ranks() == 1:
            return None
        if self._sharded is None or not self._sharded.fits(self.param_groups):
            before = None if self._sharded is None else self._sharded.replicated
            if before is not None:
                before.consolidated = None  # some ranks may not have kept it
            shared_before = [] if before is None else before.gathered_state(self.state)
            members = [(i, name, p) for i, group in enumerate(self.param_groups) for name, p in _named(group, i)]
            self._sharded = ShardedUpdate(
                members, self.param_groups, self.views, self._ns_dtype, self._shard_optimizer, self._agreed_settings()
            )
            for parameter, moments in shared_before:  # owners may be others now
                for key, whole in moments.items():
                    dtype = torch.float32 if key == "step" else self._dtype_of(key, parameter)
                    self.state[parameter][key] = kept_part(key, parameter, whole, dtype, self._sharded)
            if before is not None:
                before.answer_no_more()
            if self._sharded.replicated is not None:
                self._sharded.replicated.answer_for(self)
        return self._sharded

    def _update(self) -> bool:
        """Write all updates, unless a gradient is not finite; return whether they were written."""
        check_not_flattened(self.param_groups)
        sharded = self._find_sharded()
        named = [(name, parameter) for name, parameter in self._named_parameters() if is_updated(parameter)]
        check_step(named, self.state)
        for _, parameter in named:
            placements = getattr(parameter, "placements", None)  # of a DTensor
            if isinstance(parameter.grad, DTensor) and parameter.grad.placements != placements:
                parameter.grad = parameter.grad.redistribute(placements=placements)
        gradients = [(name, gradient_of(parameter)) for name, parameter in named]
        finite: Tensor | None = None
        if _host_must_not_wait():
            finite = all_finite([gradient for _, gradient in gradients])
            active = self._find_active(sharded, ())
            if sharded is not None:
                finite = sharded.agree_on_device(finite, active)
        else:
            measured = measured_gradients(gradients, parts=sharded is not None and sharded.replicated is not None)
            active = self._find_active(sharded, {p for name, p in named if measured[name].norm > 0})
            if sharded is None:
                bad = [name for name, gradient in measured.items() if not gradient.finite]
            else:
                bad = sharded.agree_on_gradients(measured, active)
            if bad:
                self._reject(describe_nonfinite(bad))
                return False
        active.make_masks(finite)
        self._meter = UpdateMeter() if self.measure_update_rms and finite is None else None
        make_moments(self)
        if named:
            self._shrink_idle_momenta(finite)
        here = self.param_groups
        if sharded is not None:
            sharded.update(self, active, finite)
            here = [{**group, **_members(group, index, sharded.is_local)} for index, group in enumerate(here)]
        for index, group in enumerate(here):
            if group["algorithm"] == "muon":
                muon_updates_(self, group, self._batches_of(index, group), active, finite)
            else:
                adamw_update_(self, group, finite)
        self.update_rms = self.idle_matrices = None
        if self._meter is not None:
            self.update_rms = self._meter.rms(active.parameters, active.num_active)
            self.idle_matrices = active.idle_share()
        self._meter = None
        return True

    def _find_active(self, sharded: ShardedUpdate | None, certain: Collection[Tensor]) -> ActiveMatrices:
        """Return which matrices have a gradient on this rank; `certain` are parameters that have one."""
        named = [
            entry
            for index, group in enumerate(self.param_groups)
            if group["algorithm"] == "muon"
            for entry in _named(group, index)
        ]
        return ActiveMatrices(named, self.views, certain, _no_box if sharded is None else sharded.box)

    def _shrink_idle_momenta(self, finite: Tensor | None) -> None:
        """Shrink the momentum of parameters without a gradient, as that of matrices whose gradient is zero shrinks."""
        for group in self.param_groups:
            if group["algorithm"] == "muon":
                idle = [p for p in group["params"] if p.grad is None and p.requires_grad and p.numel() > 0]
                shrink_momentum_([local_shard(self.state[p]["momentum_buffer"]) for p in idle], group, finite)

    def _batches_of(self, index: int, group: Mapping[str, Any]) -> list[list[MatrixBlock]]:
        """Return the group's batches of parameters with a gradient; made again only when those are others."""
        named = [(name, parameter) for name, parameter in _named(group, index) if is_updated(parameter)]
        key = [(id(parameter), parameter.shape, parameter.device, parameter.dtype) for _, parameter in named]
        known, made = self._batches.get(index, ([], []))
        if known != key:
            views = self.views if self._sharded is None else {**self.views, **self._sharded.local_views}
            made = batches(named, views, self._max_batch_bytes)
            self._batches[index] = (key, made)
        return made

    def _reject(self, what: str) -> None:
        """Raise or skip, as configured, before any weight is written."""
        self.skipped_steps += 1
        self.update_rms = self.idle_matrices = None
        message = f"{what}. The step was not taken: no weight and no moment changed."
        if self._nonfinite == "raise":
            raise FloatingPointError(f"{message} Pass nonfinite='skip' to skip such steps and go on.")
        logger.warning("%s Steps skipped so far: %d.", message, self.skipped_steps)

    def _named_parameters(self) -> list[tuple[str, Tensor]]:
        return [entry for index, group in enumerate(self.param_groups) for entry in _named(group, index)]


if torch.__version__ < (2, 13):  # type: ignore[operator]
    # Inductor of torch 2.9 puts the writes of a step in a wrong order to save memory, and says nothing of it. 2.13 is
    # the oldest release on which compiled steps were compared with ordinary ones.
    Muon._update = torch.compiler.disable(  # type: ignore[method-assign]
        Muon._update, reason="steps are compiled with torch 2.13 or newer, before it wrongly; leave out fullgraph=True"
    )


def _named(group: Mapping[str, Any], index: int) -> list[tuple[str, Tensor]]:
    """Return the parameters of the group at that index; those without a name get one that no other group has.

    A list, because torch.compile cannot follow a generator inside another one in every release of torch.
    """
    names = group.get("param_names") or [f"parameter {place} of group {index}" for place in range(len(group["params"]))]
    return list(zip(names, group["params"], strict=True))


def _host_must_not_wait() -> bool:
    """Return whether the step is being compiled or captured in a CUDA graph, where the device cannot be read."""
    return torch.compiler.is_compiling() or (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing())


def _no_box(parameter: Tensor) -> None:
    """Return what a single process knows of shards: nothing."""


def _members(group: Mapping[str, Any], index: int, wanted: Callable[[Tensor], bool]) -> dict[str, Any]:
    kept = [(name, parameter) for name, parameter in _named(group, index) if wanted(parameter)]
    return {"params": [parameter for _, parameter in kept], "param_names": [name for name, _ in kept]}
