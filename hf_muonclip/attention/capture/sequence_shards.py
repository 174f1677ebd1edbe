"""Attention over a sequence that is spread over ranks: an attention call shows only this rank's queries and keys.

torch's `context_parallel` (accelerate's cp_size) gives every rank some positions of each sequence and lets the keys
travel inside SDPA. A maximum over local keys would be wrong, so the keys are gathered here too: one all-gather per
call, beside the ring's own exchange of keys and values. Whatever else spreads a sequence is refused by name.
"""

import inspect
import re
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812, the field's name for it
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from .pair_mask import PairMask

_SPREADS = re.compile(r"ulysses|(sequence|context)_parallel|ring_?(flash_?)?att|zigzag", re.IGNORECASE)
_WAY_OUT = "Spread the heads instead (DistributedConfig(tp_size=...)), or pass qk_clip_threshold=None for Muon alone."


def require_known_sequence(name: str, attention: Any) -> None:
    """Refuse an attention function that spreads a sequence over ranks in a way that cannot be measured.

    Args:
        name: the attention module's name.
        attention: what transformers' attention interface returned.

    Raises:
        ValueError: its name says so (DeepSpeed's Ulysses, ring attention), or torch's context parallel by module is on.
    """
    called = f"{getattr(attention, '__module__', '')}.{getattr(attention, '__qualname__', '')}"
    if _SPREADS.search(called) is None:
        handlers = getattr(getattr(DTensor, "_op_dispatcher", None), "_custom_op_handlers", {})
        if torch.ops.aten._scaled_dot_product_flash_attention.default not in handlers or _patched_attention():
            return
        called = "torch's context parallel dispatcher without the context_parallel context"
    raise ValueError(
        "the max logit of a head is over all keys of its sequence; an attention call that shows one rank's part of the "
        f"sequence hides the others. Got {called} in {name}. {_WAY_OUT}"
    )


def context_parallel_mesh() -> DeviceMesh | None:
    """Return the ranks that share each sequence, inside torch's `context_parallel`; None outside.

    Raises:
        ValueError: it is on, and does not name its mesh; or this is a compiled graph, which cannot ask.
    """
    if not _patched_attention():
        return None
    if torch.compiler.is_compiling():
        raise ValueError(f"attention inside context_parallel must run uncompiled to be measured. {_WAY_OUT}")
    mesh = inspect.getclosurevars(F.scaled_dot_product_attention).nonlocals.get("device_mesh")
    if not isinstance(mesh, DeviceMesh):
        raise ValueError(
            "QK-Clip must know the ranks that share a sequence; scaled_dot_product_attention is replaced by "
            f"{F.scaled_dot_product_attention.__module__}, which does not name them. {_WAY_OUT}"
        )
    return mesh


def _patched_attention() -> bool:
    if F.scaled_dot_product_attention is torch._C._nn.scaled_dot_product_attention:
        return False  # a compiled graph gets no further: Dynamo traces no `__module__` of a builtin
    return str(getattr(F.scaled_dot_product_attention, "__module__", "")).startswith("torch.distributed.")


class SpreadCall:
    """One attention call inside `context_parallel`, with the keys of all ranks. Collective: made on every rank.

    Attributes:
        key: (batch, num_key_value_heads, key_length of all ranks, head_dim).
        mask: which pairs of this rank's queries and all keys count.
        in_order: 0-dim bool; whether positions count every token of a sequence once, so that they say who sees whom.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        attention_mask: Any,
        kwargs: dict[str, Any],
        padding: Tensor | None,
        mesh: DeviceMesh,
    ) -> None:
        positions = kwargs.get("position_ids")
        lengths = {query.shape[2], key.shape[2]} | ({positions.shape[-1]} if isinstance(positions, Tensor) else {0})
        if attention_mask is not None or len(lengths) > 1:
            found = "a mask" if attention_mask is not None else "no position_ids of its own tokens"
            raise ValueError(
                "inside context_parallel, position_ids must say which keys a query sees, and no mask beside them; "
                f"{name} was called with {found}. Pass position_ids as one of the buffers, as transformers' Trainer "
                f"does. {_WAY_OUT}"
            )
        assert isinstance(positions, Tensor)
        is_causal = kwargs.get("is_causal")
        causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
        batch, heads, query_length, _ = query.shape
        self.key = _gather(key, 2, mesh)
        query_positions = positions.reshape(-1, query_length).expand(batch, -1)
        key_positions = _gather(query_positions, 1, mesh)
        tokens = torch.arange(self.key.shape[2], device=key.device)
        self.in_order = (key_positions.sort(dim=1).values == tokens).all()
        blocked_queries = blocked_keys = None
        if padding is not None and padding.shape == query_positions.shape:
            blocked_queries, blocked_keys = padding[:, None, :, None], _gather(padding, 1, mesh)[:, None, None]

        def sees(sequence: Tensor, head: Tensor, query_index: Tensor, key_index: Tensor) -> Tensor:
            return key_positions[sequence, key_index] <= query_positions[sequence, query_index]

        self.mask = PairMask(
            query_length,
            self.key.shape[2],
            key.device,
            mask_mod=sees if causal else None,
            blocked_queries=blocked_queries,
            blocked_keys=blocked_keys,
            heads=torch.arange(heads, device=key.device),
            batch=batch,
        )


def _gather(local: Tensor, dim: int, mesh: DeviceMesh) -> Tensor:
    parts = [torch.empty_like(local, memory_format=torch.contiguous_format) for _ in range(mesh.size())]
    dist.all_gather(parts, local.contiguous(), group=mesh.get_group())
    return torch.cat(parts, dim)


def without_dtensors(name: str, states: Tensor) -> Tensor:
    """Return the local queries or keys of a rank, where a model passes them as a DTensor sharded by sequences or heads.

    Raises:
        ValueError: they are sharded along the length, or partial sums.
    """
    if not isinstance(states, DTensor):
        return states
    if all(
        placement.is_replicate() or placement.is_shard(0) or placement.is_shard(1) for placement in states.placements
    ):
        return states.to_local()
    raise ValueError(
        "queries and keys must be whole sequences of (batch, heads, length, head_dim) on each rank; "
        f"{name} passed a DTensor of shape {tuple(states.shape)} with placements {states.placements}. {_WAY_OUT}"
    )
