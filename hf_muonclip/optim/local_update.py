"""Updates of parameters that a rank makes by itself: all in a single process, and those that ranks do not share."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .batching import MatrixBlock, batches
from .distributed.sharding import Box, local_shard
from .gradient_measures import MeasuredGradient
from .idle_matrices import ActiveMatrices, active_in_batch
from .matrix_view import MatrixView
from .parameters.frozen import is_updated
from .step import Part, Step, named_parameters
from .update_rules import update_scale


class LocalUpdate:
    """The transport that moves nothing: a batch is prepared, orthogonalized and applied in place, without a copy.

    Args:
        shared: ids of the parameters that other transports update.
        local_views: {name: view} of local shards that hold their matrices in another way than the whole parameter.
    """

    def __init__(self, shared: Collection[int] = (), local_views: Mapping[str, MatrixView] | None = None) -> None:
        self._shared, self._local_views = shared, local_views or {}
        # The batches of each group, and the parameters that they were made of.
        self._batches: dict[int, tuple[list[Any], list[list[MatrixBlock]]]] = {}

    def update(self, step: Step) -> None:
        """Update this rank's part of the parameters that it does not share and that have a gradient. In place."""
        for index, group in enumerate(step.groups):
            named = [
                (name, parameter)
                for name, parameter in named_parameters(group, index)
                if id(parameter) not in self._shared and is_updated(parameter)
            ]
            if group["algorithm"] == "muon":
                self._update_matrices(step, index, named)
            else:
                _update_entries(step, index, [parameter for _, parameter in named])

    def _update_matrices(self, step: Step, index: int, named: Sequence[tuple[str, Tensor]]) -> None:
        group = step.groups[index]

        def take(batch: list[MatrixBlock]) -> None:
            momenta = [step.state[block.parameter]["momentum_buffer"] for block in batch]
            directions = step.prepare(
                index,
                [block.of(gradient_of(block.parameter).contiguous()) for block in batch],
                [block.of(local_shard(momentum)) for block, momentum in zip(batch, momenta, strict=True)],
            )
            shape = batch[0].matrix_shape
            stacks = [direction.reshape(-1, *shape) for direction in directions]
            del directions  # as large as a batch, at the step's peak of memory
            masks = [block.of_mask(step.active.local(block.parameter)) for block in batch]
            neurons = []
            if group["normalize_neurons"]:
                moments = [step.state[block.parameter]["neuron_second_moment"] for block in batch]
                neurons = [block.neurons(local_shard(moment)) for block, moment in zip(batch, moments, strict=True)]
            update = step.orthogonalize(index, stacks, active_in_batch(batch, masks), neurons)
            scale = update_scale(shape, group["adjust_lr_fn"])
            parts = []
            pieces = update.split([block.num_matrices for block in batch])
            for block, piece, mask in zip(batch, pieces, masks, strict=True):
                weight = block.of(local_shard(block.parameter))
                parts.append(Part(block.parameter, index, weight, piece.reshape(weight.shape), scale, mask))
            step.apply_(parts)

        step.for_each(take, self._batches_of(step, index, named))

    def _batches_of(self, step: Step, index: int, named: Sequence[tuple[str, Tensor]]) -> list[list[MatrixBlock]]:
        """Return a group's batches; rebuilt only when other parameters have a gradient."""
        key = [(id(parameter), parameter.shape, parameter.device, parameter.dtype) for _, parameter in named]
        known, made = self._batches.get(index, ([], []))
        if known != key:
            made = batches(named, {**step.views, **self._local_views}, step.max_batch_bytes)
            self._batches[index] = (key, made)
        return made


def _update_entries(step: Step, index: int, parameters: Sequence[Tensor]) -> None:
    """Take AdamW's step for this rank's part of parameters. In place."""
    by_kind: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if local_shard(parameter).numel() > 0:
            by_kind[parameter.device, parameter.dtype].append(parameter)
        else:  # an empty shard counts steps as the others do
            state = step.state[parameter]
            state["step"] += 1 if step.finite is None else step.finite.to(state["step"].device)
    for of_kind in by_kind.values():
        states = [step.state[parameter] for parameter in of_kind]
        step.adamw_(
            index,
            [local_shard(parameter) for parameter in of_kind],
            [gradient_of(parameter) for parameter in of_kind],
            [{key: local_shard(value) for key, value in state.items()} for state in states],
        )


class OneRank:
    """The interface of `ManyRanks` for a single process: nothing is shared, and there is nothing to agree on.

    Attributes:
        transports: how its parameters are updated.
        replicated: None; no parameter has its state on several ranks.
    """

    replicated = None

    def __init__(self) -> None:
        self.transports = [LocalUpdate()]

    def box(self, parameter: Tensor) -> Box | None:
        """Return None: this rank holds all of a parameter."""
        return None

    def keeps_own_slices(self, parameter: Tensor) -> bool:
        """Return whether each rank holds other slices of a parameter."""
        return False

    def agree_on_device(self, finite: Tensor, active: ActiveMatrices) -> Tensor:
        """Return whether all gradients are finite, a 0-dim bool."""
        return finite

    def agree_on_gradients(self, measured: Mapping[str, MeasuredGradient], active: ActiveMatrices) -> list[str]:
        """Return the names of gradients that are not finite."""
        return [name for name, gradient in measured.items() if not gradient.finite]


def gradient_of(parameter: Tensor) -> Tensor:
    """Return this rank's part of a parameter's gradient."""
    assert parameter.grad is not None
    return local_shard(parameter.grad)
