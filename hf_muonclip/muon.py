"""Muon for the hidden matrices and AdamW for the rest, as one `torch.optim.Optimizer`.

One optimizer and not two, because wrappers over two optimizers break Accelerate's and FSDP2's checkpoints: every param
group names its `algorithm`, state lives per parameter as torch wants it, and schedulers, hooks and `prepare()` see
nothing unusual. This module knows matrices and nothing of attention.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from .matrix_view import PLAIN, MatrixView, from_matrices, to_matrices
from .newton_schulz import JORDAN_COEFFICIENTS, newton_schulz
from .setting_rules import check_settings

logger = logging.getLogger(__name__)

_MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq")
# Weights that one batch may hold. It bounds the temporary memory of a step (64 MiB of float32 directions). On a CPU
# batching pays only for small matrices, and everything is faster while a batch stays in the cache.
_MAX_BATCH_ELEMENTS = 2**24
_MAX_CPU_BATCH_ELEMENTS = 2**20


class _MuonParameter(NamedTuple):
    name: str
    parameter: Tensor
    view: MatrixView
    matrix_shape: tuple[int, int]


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
    (Kimi K2, arXiv 2507.20534, Algorithm 1). Matrices of one shape are orthogonalized as one batch, wherever in the
    model they stand. All moments are float32 (float64 for float64 parameters), also after `load_state_dict`; parameters
    of a narrower dtype are updated in float32 and rounded once.

    Args:
        params: parameters, (name, parameter) pairs, or groups of either; a group may carry `algorithm` ("muon" by
            default) and override any of the settings below.
        lr: learning rate of both algorithms; finite and >= 0.
        weight_decay: decoupled; finite and >= 0.
        momentum: mu; in [0, 1).
        nesterov: orthogonalize G + mu·M instead of M.
        ns_coefficients: (a, b, c) of the Newton–Schulz quintic.
        eps: added to the norm that Newton–Schulz divides by.
        ns_steps: Newton–Schulz iterations.
        adjust_lr_fn: "match_rms_adamw", "original" or "none"; see `update_scale`.
        views: how parameters hold their matrices, by parameter name; a parameter not named is one plain matrix, or a
            stack of them if it has more than two dimensions.
        adamw_betas: betas of the AdamW groups.
        adamw_eps: epsilon of the AdamW groups.
        ns_dtype: "auto", "bfloat16" or "float32".
        nonfinite: "raise" or "skip" a step whose gradients hold NaN or Inf; no weight is written either way.

    Raises:
        ValueError: a setting is out of range, a parameter of a Muon group does not hold matrices, or `views` names a
            parameter that is in no group.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Sequence[float] = JORDAN_COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str = "match_rms_adamw",
        *,
        views: Mapping[str, MatrixView] | None = None,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        ns_dtype: str = "auto",
        nonfinite: str = "raise",
    ) -> None:
        check_settings({"ns_dtype": ns_dtype, "nonfinite": nonfinite})
        self.skipped_steps = 0
        self.views = dict(views or {})
        self._ns_dtype = None if ns_dtype == "auto" else getattr(torch, ns_dtype)
        self._nonfinite = nonfinite
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
            "adamw_betas": adamw_betas,
            "adamw_eps": adamw_eps,
        }
        check_settings(defaults)
        super().__init__(params, defaults)
        unknown = self.views.keys() - {name for name, _ in self._named_parameters()}
        if unknown:
            raise ValueError(
                f"views must name parameters of the groups; got {_enumerate(sorted(unknown))}. Pass (name, parameter) "
                "pairs and use the same names."
            )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its `algorithm` is "muon" unless it says "adamw".

        Raises:
            ValueError: a setting of the group is out of range, a parameter is complex or sparse, or a Muon parameter is
                no matrix. The group is not added.
        """
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def _check_group(self, group: Mapping[str, Any]) -> None:
        check_settings(group)
        for name, parameter in _named(group):
            if parameter.is_complex() or parameter.layout != torch.strided:
                raise ValueError(
                    f"parameters must be real and dense; {name} has dtype {parameter.dtype} and layout "
                    f"{parameter.layout}. Keep its real and imaginary part, or a dense copy, as the parameter."
                )
            if group["algorithm"] != "muon":
                continue
            if parameter.ndim < 2:
                raise ValueError(
                    f"Muon orthogonalizes matrices, so a parameter needs two dimensions or more; {name} has shape "
                    f"{tuple(parameter.shape)}. Put it in a group with algorithm='adamw'."
                )
            self.views.get(name, PLAIN).matrix_shape(parameter.shape)  # refuses what does not divide

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. In place.

        Args:
            closure: recomputes the loss, as in every torch optimizer.

        Returns:
            What the closure returned, or None.

        Raises:
            FloatingPointError: a gradient holds NaN or Inf and `nonfinite` is "raise"; nothing was written.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._update()
        return loss

    def orthogonalize(self, matrices: Tensor, group: Mapping[str, Any]) -> Tensor:
        """Orthogonalize a batch of momentum matrices. Override to use another method.

        Args:
            matrices: (batch, out, in), float32.
            group: the param group that they belong to.

        Returns:
            (batch, out, in), any floating dtype.
        """
        return newton_schulz(matrices, group["ns_coefficients"], group["ns_steps"], group["eps"], self._ns_dtype)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load state as torch does, but keep the moments as they were saved where torch casts to the parameter's dtype.

        Raises:
            ValueError: the state is another optimizer's, or a moment has another shape than its parameter; nothing was
                loaded.
        """
        saved_groups = state_dict["param_groups"]
        if any("algorithm" not in group for group in saved_groups):
            raise ValueError(
                "Only state saved by Muon or MuonClip can be loaded: its param groups name their algorithm; got groups "
                f"with {sorted(saved_groups[0]) if saved_groups else 'nothing'}. Start with fresh optimizer state."
            )
        saved_ids = [index for group in saved_groups for index in group["params"]]
        kept: list[tuple[Tensor, str, Tensor]] = []
        # torch refuses other lengths below.
        for index, (name, parameter) in zip(saved_ids, self._named_parameters(), strict=False):
            for key, saved in state_dict["state"].get(index, {}).items():
                if key in _MOMENTS and saved.shape != parameter.shape:
                    raise ValueError(
                        f"{key} must have its parameter's shape; for {name} the saved state has {tuple(saved.shape)} "
                        f"and the parameter {tuple(parameter.shape)}. Load the checkpoint of this model."
                    )
                if key in (*_MOMENTS, "step"):
                    kept.append((parameter, key, saved))
        super().load_state_dict(state_dict)
        for parameter, key, saved in kept:
            # torch leaves `step` where it was saved, and the fused kernel wants it beside the moments.
            dtype = torch.float32 if key == "step" else _moment_dtype(parameter)
            self.state[parameter][key] = saved.to(device=parameter.device, dtype=dtype)

    def _update(self) -> bool:
        """Write all updates, unless a gradient is not finite; return whether they were written."""
        bad = self._nonfinite_gradients()
        if bad:
            self._reject(f"the gradient of {_enumerate(bad)} holds NaN or Inf")
            return False
        for group in self.param_groups:
            if group["algorithm"] == "muon":
                for batch in self._same_shape_batches(group):
                    self._muon_update(group, batch)
            else:
                self._adamw_update(group)
        return True

    def _muon_update(self, group: Mapping[str, Any], batch: list[_MuonParameter]) -> None:
        parameters = [entry.parameter for entry in batch]
        gradients = [_gradient(parameter) for parameter in parameters]
        momenta = [self._momentum_buffer(parameter) for parameter in parameters]
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_add_(momenta, gradients)
        directions: Sequence[Tensor] = momenta
        if group["nesterov"]:
            directions = torch._foreach_mul(momenta, group["momentum"])
            torch._foreach_add_(directions, gradients)

        stacks = [to_matrices(direction, entry.view) for direction, entry in zip(directions, batch, strict=True)]
        matrices = stacks[0] if len(stacks) == 1 else torch.cat(stacks)
        update = self.orthogonalize(matrices, group).to(momenta[0].dtype)
        pieces = update.split([len(stack) for stack in stacks])
        updates = [
            from_matrices(piece, entry.view, entry.parameter.shape) for piece, entry in zip(pieces, batch, strict=True)
        ]
        weights = _wide(parameters)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        scale = update_scale(batch[0].matrix_shape, group["adjust_lr_fn"])
        torch._foreach_add_(weights, updates, alpha=-group["lr"] * scale)
        _round_into_(parameters, weights)

    def _adamw_update(self, group: Mapping[str, Any]) -> None:
        by_kind: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_kind[parameter.device, parameter.dtype].append(parameter)
        for parameters in by_kind.values():
            states = [self._adamw_state(parameter) for parameter in parameters]
            weights = _wide(parameters)  # torch's fused kernel wants one dtype for weights, gradients and moments
            adamw(
                weights,
                _wide([_gradient(parameter) for parameter in parameters]),
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=parameters[0].device.type in ("cpu", "cuda"),
                amsgrad=False,
                beta1=group["adamw_betas"][0],
                beta2=group["adamw_betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["adamw_eps"],
                maximize=False,
            )
            _round_into_(parameters, weights)

    def _same_shape_batches(self, group: Mapping[str, Any]) -> Iterator[list[_MuonParameter]]:
        """Yield the group's parameters with a gradient in batches of one matrix shape, device and dtype."""
        by_shape: dict[tuple[Any, ...], list[_MuonParameter]] = defaultdict(list)
        for name, parameter in _named(group):
            if parameter.grad is None or parameter.numel() == 0:
                continue
            if hasattr(parameter, "placements"):
                raise ValueError(
                    f"Muon needs whole matrices; {name} is sharded as {parameter.placements}. Train with DDP or on one "
                    "device, where every process holds the whole parameter."
                )
            view = self.views.get(name, PLAIN)
            shape = view.matrix_shape(parameter.shape)
            by_shape[shape, parameter.device, parameter.dtype].append(_MuonParameter(name, parameter, view, shape))
        for (_, device, _), entries in by_shape.items():
            limit = _MAX_CPU_BATCH_ELEMENTS if device.type == "cpu" else _MAX_BATCH_ELEMENTS
            batch: list[_MuonParameter] = []
            elements = 0
            for entry in entries:
                if batch and elements + entry.parameter.numel() > limit:
                    yield batch
                    batch, elements = [], 0
                batch.append(entry)
                elements += entry.parameter.numel()
            yield batch

    def _momentum_buffer(self, parameter: Tensor) -> Tensor:
        state: dict[str, Tensor] = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, dtype=_moment_dtype(parameter))
        return state["momentum_buffer"]

    def _adamw_state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if "exp_avg" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter, dtype=_moment_dtype(parameter))
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=_moment_dtype(parameter))
        return state

    def _nonfinite_gradients(self) -> list[str]:
        """Return the names of the parameters whose gradient holds NaN or Inf; one host sync for all."""
        named = [
            (name, parameter.grad)
            for name, parameter in self._named_parameters()
            if parameter.grad is not None and parameter.numel() > 0
        ]
        if not named:
            return []
        sparse = [name for name, gradient in named if gradient.layout != torch.strided]
        if sparse:
            raise ValueError(
                f"gradients must be dense; the gradient of {_enumerate(sparse)} is sparse. Build the embedding with "
                "sparse=False."
            )
        norms = torch._foreach_norm([gradient for _, gradient in named])
        finite = torch.stack([norm.to(norms[0].device, torch.float32) for norm in norms]).isfinite().tolist()
        suspects = [entry for entry, is_finite in zip(named, finite, strict=True) if not is_finite]
        # The norm of finite but huge entries overflows; only the suspects pay for the certain test.
        return [name for name, gradient in suspects if not gradient.isfinite().all()]

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


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _moment_dtype(parameter: Tensor) -> torch.dtype:
    return torch.promote_types(parameter.dtype, torch.float32)


def _wide(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors in float32, or float64 where they are; themselves where nothing changes."""
    return [tensor.to(_moment_dtype(tensor)) for tensor in tensors]


def _round_into_(parameters: Sequence[Tensor], wide: Sequence[Tensor]) -> None:
    for parameter, weight in zip(parameters, wide, strict=True):
        if weight is not parameter:
            parameter.copy_(weight)


def _enumerate(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
