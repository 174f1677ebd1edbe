"""Muon for the hidden matrices and AdamW for the rest, as one `torch.optim.Optimizer`.

One optimizer and not two, because wrappers over two optimizers break Accelerate's and FSDP2's checkpoints: every param
group names its `algorithm`, state lives per parameter as torch wants it, and schedulers, hooks and `prepare()` see
nothing unusual. This module knows matrices and nothing of attention.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from .matrix_batches import MatrixBlock, batches, fits_one_thread
from .matrix_view import MatrixView
from .muon_refusals import all_finite, check_group, check_not_flattened, check_step, check_views, nonfinite_gradients
from .muon_state import MOMENTS, checked_state
from .newton_schulz import newton_schulz
from .setting_rules import check_settings
from .thread_per_batch import for_each_batch

logger = logging.getLogger(__name__)

_NEURON_BETA2 = 0.95  # NorMuon's
_NEURON_EPS = 1e-8


def update_scale(matrix_shape: tuple[int, int], adjust_lr_fn: str) -> float:
    """Return the factor between the learning rate and an orthogonalized update of shape (out, in).

    match_rms_adamw: 0.2·sqrt(max(n, m)) gives the update the RMS that AdamW's usually has (Moonlight, arXiv 2502.16982;
    Kimi K2, Algorithm 1). original: sqrt(max(1, n/m)) (Keller Jordan). none: 1.
    """
    n, m = matrix_shape
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(n, m))
    if adjust_lr_fn == "original":
        return math.sqrt(max(1.0, n / m))
    return 1.0


class Muon(torch.optim.Optimizer):
    """Muon for groups with `algorithm="muon"`, AdamW for groups with `algorithm="adamw"`.

    Muon, per matrix: M = mu·M + G; O = NewtonSchulz(M, or G + mu·M with Nesterov)·scale; W = W - lr·(O + decay·W)
    (Kimi K2, arXiv 2507.20534, Algorithm 1). Differs: the momentum is kept times 1 - mu, an average, as
    torch.optim.Muon keeps it; Newton–Schulz divides by its norm. Matrices of one shape are orthogonalized as one batch,
    wherever in the model they stand. Parameters and moments of a narrower dtype than float32 are updated in float32 and
    rounded once.

    A step is safe to capture in a CUDA graph and to compile. There it cannot raise: a step with NaN or Inf in a
    gradient then writes nothing, and is neither named nor counted.

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
        adjust_lr_fn: "match_rms_adamw", "original" or "none"; see `update_scale`.
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
        maximize: refused; negate the loss.
        differentiable: refused; the update is written in place.

    Raises:
        ValueError: a setting is out of range, a group is empty or has a setting that Muon does not know, a parameter of
            a Muon group does not hold matrices, or `views` names a parameter that is in no group.
    """

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
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_settings(
            {
                "ns_dtype": ns_dtype,
                "momentum_dtype": momentum_dtype,
                "max_batch_bytes": max_batch_bytes,
                "nonfinite": nonfinite,
                "maximize": maximize,
                "differentiable": differentiable,
            }
        )
        self.skipped_steps = 0
        self.views = dict(views or {})
        self._ns_dtype: torch.dtype | None = None if ns_dtype == "auto" else getattr(torch, ns_dtype)
        self._momentum_dtype: torch.dtype = getattr(torch, momentum_dtype)
        self._max_batch_bytes = max_batch_bytes
        self._nonfinite = nonfinite
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

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling keeps: all but the batches, which are made anew."""
        own = ("skipped_steps", "views", "_ns_dtype", "_momentum_dtype", "_max_batch_bytes", "_nonfinite")
        return super().__getstate__() | {name: getattr(self, name) for name in own} | {"_batches": {}}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its `algorithm` is "muon" unless it says "adamw".

        Raises:
            ValueError: the group is empty, a setting of it is unknown or out of range, a parameter is complex or
                sparse, or a Muon parameter is no matrix. The group is not added.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_group(group, list(_named(group)), self.views)
        except ValueError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. In place.

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
            ValueError: as `muon_state.checked_state`; nothing was loaded.
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
        for parameter, key, saved in kept:
            # torch leaves `step` where it was saved, and the fused kernel wants it beside the moments.
            dtype = torch.float32 if key == "step" else self._dtype_of(key, parameter)
            self.state[parameter][key] = saved.to(device=parameter.device, dtype=dtype).contiguous()

    def _dtype_of(self, moment: str, parameter: Tensor) -> torch.dtype:
        wide = _wide_dtype(parameter)
        return self._momentum_dtype if moment == "momentum_buffer" and wide == torch.float32 else wide

    def _update(self) -> bool:
        """Write all updates, unless a gradient is not finite; return whether they were written."""
        check_not_flattened(self.param_groups)
        named = [(name, parameter) for name, parameter in self._named_parameters() if parameter.grad is not None]
        check_step(named, self.state)
        finite: Tensor | None = None
        if _host_must_not_wait():
            finite = all_finite([_gradient(parameter) for _, parameter in named])
        elif nonfinite := nonfinite_gradients([(name, _gradient(parameter)) for name, parameter in named]):
            self._reject(nonfinite)
            return False
        for index, group in enumerate(self.param_groups):
            if group["algorithm"] == "muon":
                self._muon_updates(group, self._batches_of(index, group), finite)
            else:
                self._adamw_update(group, finite)
        return True

    def _muon_updates(
        self, group: Mapping[str, Any], of_group: Sequence[list[MatrixBlock]], finite: Tensor | None
    ) -> None:
        side_by_side: list[list[MatrixBlock]] = []
        for batch in of_group:
            if fits_one_thread(batch, self._max_batch_bytes) and not torch.compiler.is_compiling():
                side_by_side.append(batch)
                for block in batch:  # a parameter's blocks may be in several batches, and its state is made once
                    self._momentum_buffer(block.parameter)
                    if group["normalize_neurons"]:
                        self._neuron_moment(block)
            else:
                self._muon_update(group, batch, finite)
        for_each_batch(lambda batch: self._muon_update(group, batch, finite), side_by_side)

    def _muon_update(self, group: Mapping[str, Any], batch: list[MatrixBlock], finite: Tensor | None) -> None:
        gradients = _wide([block.of(_gradient(block.parameter).contiguous()) for block in batch])
        buffers = [block.of(self._momentum_buffer(block.parameter)) for block in batch]
        momenta, lr = _wide(buffers), group["lr"]
        one = momenta[0].new_ones(())
        if finite is not None:  # a step that is not finite keeps the momentum and has no rate
            finite = finite.to(one.device)
            gradients = [torch.where(finite, g, m) for g, m in zip(gradients, momenta, strict=True)]
            one = finite.to(one.dtype)
        if isinstance(lr, Tensor) or finite is not None:
            lr = (lr * one).to(one.dtype)  # beside the weights; a product reads a host's scalar without waiting
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        _round_into_(buffers, momenta)
        directions: Sequence[Tensor] = momenta
        if group["nesterov"]:
            directions = torch._foreach_lerp(gradients, momenta, group["momentum"])

        shape = batch[0].matrix_shape
        stacks = [direction.reshape(-1, *shape) for direction in directions]
        matrices = stacks[0] if len(stacks) == 1 else torch.cat(stacks)
        del gradients, momenta, directions, stacks  # up to three batches, just where the step needs most
        update = self.orthogonalize(matrices, group)
        del matrices
        update = update.to(one.dtype)
        if group["normalize_neurons"]:
            update = self._normalize_neurons(update, batch, finite)

        parameters = [block.of(block.parameter) for block in batch]
        weights = _wide(parameters)
        scale, decay = update_scale(shape, group["adjust_lr_fn"]), group["weight_decay"]
        if decay and group["cautious_weight_decay"]:
            stacked = torch.cat([weight.reshape(-1, *shape) for weight in weights])
            update = update.add_(stacked.mul_(update * stacked > 0), alpha=decay / scale)
        elif decay:
            torch._foreach_mul_(weights, 1 - lr * decay)
        if isinstance(lr, Tensor):
            update = update * (-lr * scale)
        pieces = update.split([block.num_matrices for block in batch])
        updates = [piece.reshape(weight.shape) for piece, weight in zip(pieces, weights, strict=True)]
        torch._foreach_add_(weights, updates, alpha=1.0 if isinstance(lr, Tensor) else -lr * scale)
        _round_into_(parameters, weights)

    def _normalize_neurons(self, update: Tensor, batch: list[MatrixBlock], finite: Tensor | None) -> Tensor:
        """Even out the rows of orthogonalized updates, whose lengths differ, and keep each matrix's Frobenius norm.

        NorMuon (arXiv 2510.05491): v = beta2·v + (1 - beta2)·mean_j(O_ij²) per row i, O_ij / (sqrt(v_i) + eps).
        """
        moments = [block.neurons(self._neuron_moment(block)) for block in batch]
        mean_squares = update.square().mean(dim=-1)  # (batch, out)
        moment = torch.lerp(torch.cat(moments), mean_squares, 1 - _NEURON_BETA2)
        if finite is not None:
            moment = torch.where(finite, moment, torch.cat(moments))
        torch._foreach_copy_(moments, moment.split([block.num_matrices for block in batch]))
        norms = torch.linalg.vector_norm(update, dim=(-2, -1), keepdim=True)
        update = update / (moment.sqrt() + _NEURON_EPS).unsqueeze(-1)
        evened = torch.linalg.vector_norm(update, dim=(-2, -1), keepdim=True)
        return update.mul_(norms / evened.clamp_min(torch.finfo(update.dtype).tiny))

    def _neuron_moment(self, block: MatrixBlock) -> Tensor:
        state: dict[str, Tensor] = self.state[block.parameter]
        if "neuron_second_moment" not in state:
            neurons = sum(count * n for count, n, _ in block.view.matrix_shapes(block.parameter.shape))
            dtype, device = _wide_dtype(block.parameter), block.parameter.device
            state["neuron_second_moment"] = torch.zeros(neurons, dtype=dtype, device=device)
        return state["neuron_second_moment"]

    def _adamw_update(self, group: Mapping[str, Any], finite: Tensor | None) -> None:
        by_kind: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None and parameter.numel() > 0:
                by_kind[parameter.device, parameter.dtype].append(parameter)
        for (device, _), parameters in by_kind.items():
            states = [self._adamw_state(parameter) for parameter in parameters]
            # torch's fused kernel wants one dtype for weights, gradients and moments, and on a CPU reads all of them in
            # the order of their memory, whatever their strides.
            weights = [weight.contiguous() for weight in _wide(parameters)]
            gradients = [g.contiguous() for g in _wide([_gradient(parameter) for parameter in parameters])]
            adamw(
                weights,
                gradients,
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=device.type in ("cpu", "cuda"),
                found_inf=None if finite is None else (~finite).to(device, torch.float32),
                amsgrad=False,
                beta1=group["adamw_betas"][0],
                beta2=group["adamw_betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["adamw_eps"],
                maximize=False,
            )
            _round_into_(parameters, weights)

    def _batches_of(self, index: int, group: Mapping[str, Any]) -> list[list[MatrixBlock]]:
        """Return the group's batches of parameters with a gradient; made anew only when those are others."""
        named = [(name, parameter) for name, parameter in _named(group) if parameter.grad is not None]
        key = [(id(parameter), parameter.shape, parameter.device, parameter.dtype) for _, parameter in named]
        known, made = self._batches.get(index, ([], []))
        if known != key:
            made = batches(named, self.views, self._max_batch_bytes)
            self._batches[index] = (key, made)
        return made

    def _momentum_buffer(self, parameter: Tensor) -> Tensor:
        state: dict[str, Tensor] = self.state[parameter]
        if "momentum_buffer" not in state:
            dtype = self._dtype_of("momentum_buffer", parameter)
            # Contiguous whatever the parameter's strides are: its matrices are views.
            state["momentum_buffer"] = torch.zeros(parameter.shape, dtype=dtype, device=parameter.device)
        return state["momentum_buffer"]

    def _adamw_state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if "exp_avg" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            for moment in ("exp_avg", "exp_avg_sq"):
                state[moment] = torch.zeros(parameter.shape, dtype=_wide_dtype(parameter), device=parameter.device)
        return state

    def _reject(self, what: str) -> None:
        """Raise or skip, as configured, before any weight is written."""
        self.skipped_steps += 1
        message = f"{what}. The step was not taken: no weight and no moment changed."
        if self._nonfinite == "raise":
            raise FloatingPointError(f"{message} Pass nonfinite='skip' to skip such steps and go on.")
        logger.warning("%s Steps skipped so far: %d.", message, self.skipped_steps)

    def _named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for group in self.param_groups:
            yield from _named(group)


def _named(group: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    names = group.get("param_names") or [f"parameter {index}" for index in range(len(group["params"]))]
    yield from zip(names, group["params"], strict=True)


def _host_must_not_wait() -> bool:
    """Tell whether the step is being compiled or captured in a CUDA graph, where nothing can be read off the device."""
    return torch.compiler.is_compiling() or (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing())


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _wide_dtype(parameter: Tensor) -> torch.dtype:
    return torch.promote_types(parameter.dtype, torch.float32)


def _wide(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors in float32, or float64 where they are; themselves where nothing changes."""
    return [tensor.to(_wide_dtype(tensor)) for tensor in tensors]


def _round_into_(narrow: Sequence[Tensor], wide: Sequence[Tensor]) -> None:
    for tensor, exact in zip(narrow, wide, strict=True):
        if exact is not tensor:
            tensor.copy_(exact)
