"""Parameters that a rank updates by itself: all of them in a single process, of several ranks what nobody shares."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .batching import MatrixBlock, fits_one_thread
from .distributed.sharding import local_shard
from .idle_matrices import ActiveMatrices, active_in_batch
from .parameters.frozen import is_updated
from .thread_per_batch import for_each_batch
from .update_rules import adamw_, apply_updates_, fold_gradients_, normalize_neurons, update_scale

if TYPE_CHECKING:
    from .muon import Muon


def muon_updates_(
    optimizer: "Muon",
    group: Mapping[str, Any],
    of_group: Sequence[list[MatrixBlock]],
    active: ActiveMatrices,
    finite: Tensor | None,
) -> None:
    """Update batches of a Muon group's matrices; on a CPU small ones side by side. In place."""
    side_by_side: list[list[MatrixBlock]] = []
    for batch in of_group:
        if fits_one_thread(batch, optimizer._max_batch_bytes) and not torch.compiler.is_compiling():
            side_by_side.append(batch)
        else:
            _muon_update_(optimizer, group, batch, active, finite)
    for_each_batch(lambda batch: _muon_update_(optimizer, group, batch, active, finite), side_by_side)


def _muon_update_(
    optimizer: "Muon",
    group: Mapping[str, Any],
    batch: list[MatrixBlock],
    active: ActiveMatrices,
    finite: Tensor | None,
) -> None:
    momenta = [optimizer.state[block.parameter]["momentum_buffer"] for block in batch]
    directions = fold_gradients_(
        [block.of(gradient_of(block.parameter).contiguous()) for block in batch],
        [block.of(local_shard(momentum)) for block, momentum in zip(batch, momenta, strict=True)],
        group,
        finite,
    )
    shape, dtype = batch[0].matrix_shape, directions[0].dtype
    stacks = [direction.reshape(-1, *shape) for direction in directions]
    matrices = stacks[0] if len(stacks) == 1 else torch.cat(stacks)
    del directions, stacks  # up to a batch, just where the step needs most
    update = optimizer.orthogonalize(matrices, group).to(dtype)
    del matrices
    masks = [block.of_mask(active.local(block.parameter)) for block in batch]
    moving = active_in_batch(batch, masks)
    if moving is not None:
        update.masked_fill_(~moving[:, None, None], 0.0)
    if group["normalize_neurons"]:
        moments = [optimizer.state[block.parameter]["neuron_second_moment"] for block in batch]
        rows = [block.neurons(local_shard(moment)) for block, moment in zip(batch, moments, strict=True)]
        update = normalize_neurons(update, rows, moving)
    parameters = [block.of(local_shard(block.parameter)) for block in batch]
    pieces = update.split([block.num_matrices for block in batch])
    updates = [piece.reshape(weight.shape) for piece, weight in zip(pieces, parameters, strict=True)]
    scale = update_scale(shape, group["adjust_lr_fn"])
    if optimizer._meter is not None:
        for block, of_block, mask in zip(batch, updates, masks, strict=True):
            optimizer._meter.add(block.parameter, of_block, scale, mask)
    apply_updates_(parameters, updates, scale, group, masks)


def adamw_update_(optimizer: "Muon", group: Mapping[str, Any], finite: Tensor | None) -> None:
    """Update an AdamW group's parameters that have a gradient and are not frozen. In place."""
    by_kind: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
    for parameter in group["params"]:
        if is_updated(parameter):
            state = optimizer.state[parameter]
            if local_shard(parameter).numel() > 0:
                by_kind[parameter.device, parameter.dtype].append(parameter)
            else:  # an empty shard counts steps as the others do
                state["step"] += 1 if finite is None else finite.to(state["step"].device)
    for parameters in by_kind.values():
        states = [optimizer.state[parameter] for parameter in parameters]
        adamw_(
            [local_shard(parameter) for parameter in parameters],
            [gradient_of(parameter) for parameter in parameters],
            [{key: local_shard(value) for key, value in state.items()} for state in states],
            group,
            finite,
        )


def gradient_of(parameter: Tensor) -> Tensor:
    """Return what this rank holds of a parameter's gradient."""
    assert parameter.grad is not None
    return local_shard(parameter.grad)
