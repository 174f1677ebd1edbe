"""Which entries of a parameter, and which heads, one rank holds.

FSDP2, tensor and expert parallel keep a parameter as a `DTensor`, of which every rank holds some rows. A clip writes
the rows that its rank holds and asks no other: what belongs to a row is cut by torch as it cut the parameter. Under
tensor parallel attention computes on each rank the heads whose query rows that rank holds.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from .head_layout import AttentionLayout

_WAY_OUT = "Pass qk_clip_threshold=None to train with Muon alone."


def entries_held(vector: Tensor, parameter: Tensor, dim: int = 0) -> Tensor:
    """Return the entries of a vector that belong to the slices of a parameter that this rank holds. No communication.

    Args:
        vector: one entry for each index of the parameter's dimension; the same on all ranks.
        parameter: a whole tensor, or a DTensor in any mixture of Shard and Replicate, uneven, empty or strided.
        dim: the parameter's dimension that the entries belong to.

    Returns:
        One entry for each index of the local tensor's dimension, in its order; `vector` itself for a whole tensor.

    Raises:
        ValueError: the local tensor is no part of the parameter: a summand (Partial), or not what its placement says.
    """
    if len(vector) != parameter.shape[dim]:
        raise ValueError(
            f"a head layout and the parameter that it names must agree; the layout has {len(vector)} rows and the "
            f"parameter has shape {tuple(parameter.shape)}. A plain tensor that holds one rank's part must be a "
            f"DTensor, which says so. {_WAY_OUT}"
        )
    if not isinstance(parameter, DTensor):
        return vector
    placements = [_along(placement, dim, parameter) for placement in parameter.placements]
    held = distribute_tensor(vector, parameter.device_mesh, placements, src_data_rank=None).to_local()
    local = parameter.to_local()
    if local.numel() and len(held) != local.shape[dim]:
        raise ValueError(
            f"a DTensor must hold what its placements say; one of shape {tuple(parameter.shape)} with placements "
            f"{parameter.placements} should hold {len(held)} rows on this rank, and holds {local.shape[dim]}. "
            f"{_WAY_OUT}"
        )
    return held


def _along(placement: Any, dim: int, parameter: DTensor) -> Any:
    """Return how a placement cuts a vector along one dimension of the parameter."""
    if placement.is_replicate():
        return Replicate()
    if placement.is_partial() or not hasattr(placement, "dim"):
        raise ValueError(
            "QK-Clip scales weights where they are, so every rank must hold them or some of their rows (Shard, "
            f"Replicate); got a DTensor of shape {tuple(parameter.shape)} with placements {parameter.placements}. "
            f"Redistribute it before training. {_WAY_OUT}"
        )
    if placement.dim % parameter.ndim != dim % parameter.ndim:
        return Replicate()
    strided = hasattr(placement, "split_factor")  # FSDP2 over tensor parallel, or packed projections
    return type(placement)(0, split_factor=placement.split_factor) if strided else Shard(0)


@torch.no_grad()
def heads_computed(module: nn.Module, layout: AttentionLayout) -> list[int]:
    """Return the heads that an attention module computes on this rank: those whose query rows it holds.

    To be asked inside the module's forward, where FSDP2 has gathered what it cut and tensor parallel's cut is left.

    Args:
        module: the attention module.
        layout: the layout of all its heads.

    Raises:
        ValueError: the layout knows no query projection, or this rank's rows of it are not known.
    """
    found = [(rows, part) for rows in layout.projections for part in rows.parts if part.name.startswith("query")]
    if not found or found[0][0].flat:
        raise ValueError(
            "which heads a rank computes is read off its rows of the query projection; none is known of "
            f"{layout.name} ({layout.attention_class}, {layout.kind}). Leave its attention out of the tensor-parallel "
            f"plan. {_WAY_OUT}"
        )
    projection, part = found[0]
    total = projection.periods * sum(other.rows for other in projection.parts)
    weight = module.get_parameter(projection.parameter)
    held = set(entries_held(torch.arange(total), weight, projection.dim).tolist())
    return [head for head, rows in enumerate(projection.heads(part.name)) if held.issuperset(rows)]


class LocalHeads:
    """Which heads of a module this rank computes: all, unless tensor parallel shards them.

    Args:
        layout: the layout of all heads of the module.
    """

    def __init__(self, layout: AttentionLayout) -> None:
        self._layout = layout
        self._heads: list[int] | None = None  # where they are not all

    def find(self, module: nn.Module, count: int) -> None:
        """Find out which heads an attention call computed. Inside the module's forward; see `heads_computed`.

        Args:
            module: the attention module.
            count: how many heads its queries had.

        Raises:
            ValueError: they are not the heads whose query rows this rank holds.
        """
        if self._heads is not None or count == self._layout.num_attention_heads:
            return
        heads = heads_computed(module, self._layout)
        if len(heads) != count:
            raise ValueError(
                "attention must compute the heads whose query rows its rank holds, all of each; "
                f"{self._layout.name} computed {count} of {self._layout.num_attention_heads} heads, and this rank "
                f"holds {len(heads)}. Choose a tp_size that divides query and key heads, and leave attention "
                f"uncompiled where FSDP2 and tensor parallel meet. {_WAY_OUT}"
            )
        self._heads = heads

    def among_all(self, values: Tensor) -> Tensor:
        """Return one value for each head of the module: those of this rank in their places, -inf for the others."""
        if self._heads is None:
            return values
        among = values.new_full((self._layout.num_attention_heads,), -torch.inf)
        among[self._heads] = values
        return among
