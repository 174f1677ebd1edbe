"""A step in three phases that do not know where a matrix came from: prepare, orthogonalize, apply.

The transports between ranks call them in this order, and nothing else of the optimizer:

- `prepare` folds gradients into momentum and returns directions, for the parts of weights that a rank holds;
- `orthogonalize` turns the directions of whole matrices into updates, batch by batch;
- `apply_` writes updates to the parts of weights that a rank holds.

In one process a batch goes through all three in place (`LocalUpdate`). Between ranks, directions are sent before the
second phase and updates after it (`Replicated`, `Scattered`). AdamW knows no matrices and takes one phase, `adamw_`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .batching import MatrixBlock, fits_one_thread
from .idle_matrices import ActiveMatrices
from .matrix_view import MatrixView
from .thread_per_batch import for_each_batch
from .update_meter import UpdateMeter
from .update_rules import adamw_, apply_updates_, fold_gradients_, normalize_neurons

State = Mapping[Tensor, MutableMapping[str, Tensor]]  # {parameter: {name of the moment: moment}}


@dataclass(frozen=True)
class StepResult:
    """Result of a step of `Muon`.

    Attributes:
        taken: whether weights were written. True of a compiled step and of one in a CUDA graph, where only the device
            knows whether a gradient was finite.
        refusal: why no weights were written, in words; "" if they were.
        update_rms: root mean square of the Muon updates over all updated weights, on all ranks, before lr and decay;
            about 0.2 with match_rms_adamw, less where gradients lack rank. None where it was not measured.
        idle_matrices: share of Muon's matrices without a gradient, of all that require one; None where it was not
            measured.
    """

    taken: bool
    refusal: str = ""
    update_rms: float | None = None
    idle_matrices: float | None = None


class Part(NamedTuple):
    """A part of a weight with its update.

    Attributes:
        parameter: the parameter that the part belongs to.
        group: index of the param group.
        weight: the part.
        update: update of the part, of its shape.
        scale: the result of `update_scale`; a tensor of the part's shape if the weight holds matrices of several
            shapes.
        active: bool, broadcasts over the part; None for True.
    """

    parameter: Tensor
    group: int
    weight: Tensor
    update: Tensor
    scale: float | Tensor
    active: Tensor | None


@dataclass(frozen=True)
class Step:
    """A step with what its three phases need.

    Attributes:
        groups: the param groups.
        views: how parameters hold their matrices; plain where not named.
        state: the moments of every parameter.
        method: orthogonalizes a batch; see `Muon.orthogonalize`.
        max_batch_bytes: see `Muon`.
        active: which matrices have a gradient.
        finite: 0-dim bool; where it is False nothing is written. None for True.
        meter: measures the updates; None if they are not measured.
    """

    groups: Sequence[Mapping[str, Any]]
    views: Mapping[str, MatrixView]
    state: State
    method: Callable[[Tensor, Mapping[str, Any]], Tensor]
    max_batch_bytes: int | None
    active: ActiveMatrices
    finite: Tensor | None
    meter: UpdateMeter | None

    def prepare(self, group: int, gradients: Sequence[Tensor], momenta: Sequence[Tensor]) -> Sequence[Tensor]:
        """Fold gradients into momentum, in place, and return the directions to orthogonalize; see `fold_gradients_`."""
        return fold_gradients_(gradients, momenta, self.groups[group], self.finite)

    def orthogonalize(
        self,
        group: int,
        stacks: list[Tensor],
        moving: Tensor | None,
        neurons: Sequence[Tensor] = (),
    ) -> Tensor:
        """Return the updates of a batch of matrices, (count, out, in), zero where they do not move.

        Args:
            group: index of the param group.
            stacks: directions, (count, out, in) each; taken out of the list, to free memory that the caller no longer
                needs.
            moving: (matrices of the batch,), bool; None for True.
            neurons: running mean squares of the matrices' rows, (..., out) each, where the group normalizes neurons;
                updated in place.
        """
        settings, dtype = self.groups[group], stacks[0].dtype
        matrices = stacks[0] if len(stacks) == 1 else torch.cat(stacks)
        stacks.clear()
        update = self.method(matrices, settings).to(dtype)
        del matrices
        if moving is not None:
            moving = moving.to(update.device)
            update.masked_fill_(~moving[:, None, None], 0.0)
        return normalize_neurons(update, neurons, moving) if settings["normalize_neurons"] else update

    def apply_(self, parts: Sequence[Part]) -> None:
        """Write updates to parts of weights. In place."""
        alike: dict[Any, list[Part]] = defaultdict(list)
        for place, part in enumerate(parts):
            if self.meter is not None:
                self.meter.add(part.parameter, part.update, part.scale, part.active)
            scale: Any = ("of its own", place) if isinstance(part.scale, Tensor) else part.scale
            alike[part.group, scale, part.weight.device, part.weight.dtype].append(part)
        for of_kind in alike.values():
            first = of_kind[0]
            apply_updates_(
                [part.weight for part in of_kind],
                [part.update for part in of_kind],
                first.scale,
                self.groups[first.group],
                [part.active for part in of_kind],
            )

    def adamw_(
        self,
        group: int,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        states: Sequence[Mapping[str, Tensor]],
    ) -> None:
        """Take AdamW's step for parts of weights, of one device and dtype. In place."""
        adamw_(weights, gradients, states, self.groups[group], self.finite)

    def for_each(self, function: Callable[[list[MatrixBlock]], None], batches: Sequence[list[MatrixBlock]]) -> None:
        """Call a function for each batch; on a CPU small batches are processed in parallel, one thread each."""
        side_by_side: list[list[MatrixBlock]] = []
        for batch in batches:
            if fits_one_thread(batch, self.max_batch_bytes) and not torch.compiler.is_compiling():
                side_by_side.append(batch)
            else:
                function(batch)
        for_each_batch(function, side_by_side)


class Transport(Protocol):
    """Brings directions to the ranks that orthogonalize them, and updates back."""

    def update(self, step: Step) -> None:
        """Update the parameters of this transport that have a gradient. In place; collective with several ranks."""


def named_parameters(group: Mapping[str, Any], index: int) -> list[tuple[str, Tensor]]:
    """Return the parameters of the group at that index; those without a name get a unique one.

    A list, because torch.compile cannot follow a generator inside another one in every release of torch.
    """
    names = group.get("param_names") or [f"parameter {place} of group {index}" for place in range(len(group["params"]))]
    return list(zip(names, group["params"], strict=True))


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """Return what a step's closure returns, run with gradients; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
