"""Which (query, key) pairs an attention call lets through, whatever form its mask has.

transformers hands a mask over as nothing plus `is_causal`, as a 4-D bool or additive float tensor, as 2-D padding, or
as a flex-attention `BlockMask`; windows and packing may come beside it as keyword arguments. A `PairMask` answers one
question for all of them, one tile at a time: which pairs must not count?
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import pad
from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids

from .mask_convention import MaskConvention

# An additive mask at or below this blocks a pair; above it, it is a bias (ALiBi, relative positions), which the clip
# cannot scale and the maximum leaves out. Models write -inf, the dtype's minimum, -1e9 or -1e6 for "blocked"; ALiBi
# reaches -1e5 at a hundred thousand tokens.
_LARGEST_BLOCKING_VALUE = -5e5


def blocks(additive: Tensor) -> Tensor:
    """Return where an additive mask, or a masked score, blocks its pair: bool, of the same shape."""
    return additive <= max(torch.finfo(additive.dtype).min / 2, _LARGEST_BLOCKING_VALUE)


def tells_pairs(attention_mask: Any) -> bool:
    """Return whether a mask says by itself which pairs count, whatever the attention function."""
    return isinstance(attention_mask, BlockMask) or (isinstance(attention_mask, Tensor) and attention_mask.ndim > 2)


def padded_queries(blocked: Tensor, padding: Tensor | None = None) -> Tensor:
    """Return which queries of a self-attention are padding: those that, as keys, no other query sees.

    Args:
        blocked: (batch or 1, heads or 1, length, length), bool.
        padding: (batch, length), bool; what the model was told. Without it, padding is what does not see itself either;
            a sparse attention may then lose a token that nobody attends to.

    Returns:
        (batch or 1, heads or 1, length, 1), bool.
    """
    length = blocked.shape[-1]
    unseen = blocked.diagonal(dim1=-2, dim2=-1)
    if padding is not None and padding.shape[1] == length:
        unseen = padding[:, None]
    if blocked.device.type != "cpu" or torch.compiler.is_compiling() or unseen.any():
        itself = torch.eye(length, dtype=torch.bool, device=blocked.device)
        unseen = unseen & (blocked | itself).all(dim=-2)
    return unseen.unsqueeze(-1)


# transformers cuts packed documents where positions are at their minimum, and in older versions where they are zero.
_decide: Any = prepare_fa_kwargs_from_position_ids
_STARTS_AT_MINIMUM = _decide(torch.tensor([[-1, 0]]))[0][0].tolist() == [0, 2]


def documents_of_positions(position_ids: Tensor) -> Tensor:
    """Return the packed document of each token, as transformers reads it off positions under flash attention.

    What `_is_packed_sequence` and `prepare_fa_kwargs_from_position_ids` of transformers' modeling_flash_attention_utils
    decide, without asking the device.

    Args:
        position_ids: (length,), int.

    Returns:
        (length,), int64; 0 for a token of no document, which stands before the first start.
    """
    lowest = position_ids.min()
    counting = torch.arange(len(position_ids), device=position_ids.device) + lowest
    starts = position_ids == (lowest if _STARTS_AT_MINIMUM else 0)
    return torch.where((counting != position_ids).any(), starts.cumsum(0), 1)


def has_cumulative_lengths(kwargs: dict[str, Any]) -> bool:
    """Return whether a flash attention call is packed by its cumulative lengths: transformers wants all four."""
    names = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")
    return all(kwargs.get(name) is not None for name in names)


def flash_operands(query: Tensor, key: Tensor, attention_mask: Any, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return query and key as flash attention takes them: cumulative lengths run over all sequences, end to end.

    Args:
        query: (batch, num_attention_heads, query_length, head_dim).
        key: (batch, num_key_value_heads, key_length, head_dim).
        attention_mask: what the attention call was given; beside it cumulative lengths are ignored.
        kwargs: the other arguments of the call.

    Returns:
        (1, heads, batch * length, head_dim) each where they are packed so; else as they are.
    """
    if attention_mask is not None or len(query) == 1 or not has_cumulative_lengths(kwargs):
        return query, key
    query, key = (states.transpose(0, 1).flatten(1, 2).unsqueeze(0) for states in (query, key))
    return query, key


def _cut_alike(query_starts: Tensor, key_starts: Tensor, mask: "PairMask") -> bool:
    """Return whether queries and keys are cut at the same places; read off the lengths where asking would wait."""
    if query_starts is key_starts:
        return True
    if query_starts.shape != key_starts.shape or mask.query_length != mask.key_length:
        return False
    waits = torch.compiler.is_compiling() or query_starts.device.type != "cpu"
    return waits or torch.equal(query_starts, key_starts.to(query_starts.dtype))


@dataclass(frozen=True)
class PairMask:
    """The pairs of one attention call that count.

    Attributes:
        query_length: queries in the call.
        key_length: keys in the call.
        device: where masks are built.
        causal: key j counts for query i only if j <= i + offset.
        offset: position of query 0 among the keys.
        window: key j counts only if |i + offset - j| < window.
        dense_blocked: (batch or 1, heads or 1, query_length, key_length), bool; True blocks.
        mask_mod: flex attention's (batch, head, query, key) -> bool; True lets through.
        blocked_queries: (batch or 1, heads or 1, query_length, 1), bool; padding.
        blocked_keys: (batch, 1, 1, key_length), bool; padding.
        query_documents: (query_length,), int; a query sees only keys of its own document; -1 sees none.
        key_documents: (key_length,), int; -2 is seen by none.
        heads: (heads or 1,), int; head indices for `mask_mod`, one where it is the same for all.
        batch: sequences in the call.
        cross: queries and keys are of different sequences, so that the mask does not say which queries are padding.
    """

    query_length: int
    key_length: int
    device: torch.device
    causal: bool = False
    offset: int = 0
    window: int | None = None
    dense_blocked: Tensor | None = None
    mask_mod: Callable[..., Tensor] | None = None
    blocked_queries: Tensor | None = None
    blocked_keys: Tensor | None = None
    query_documents: Tensor | None = None
    key_documents: Tensor | None = None
    heads: Tensor | None = None
    batch: int = 1
    cross: bool = False

    @classmethod
    def from_attention_call(
        cls,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        attention_mask: Any,
        kwargs: dict[str, Any],
        convention: MaskConvention | None,
        padding: Tensor | None = None,
        query_padding: Tensor | None = None,
        cross: bool = False,
    ) -> "PairMask":
        """Return the pairs of a call through transformers' attention interface.

        Args:
            module: the attention module.
            query: (batch, num_attention_heads, query_length, head_dim); of `flash_operands` under "flash".
            key: (batch, num_key_value_heads, key_length, head_dim).
            attention_mask: what the attention call was given.
            kwargs: the other arguments of the call.
            convention: the attention function's convention; None where it is not known and `tells_pairs`.
            padding: (batch, length), bool; what the model was told, see `padded_queries`.
            query_padding: (batch or 1, 1, query_length, 1), bool; padding among the queries of a cross-attention.
            cross: queries and keys are of different sequences.

        Raises:
            TypeError: a mask of a kind or shape that no known implementation takes.
        """
        query_length, key_length = query.shape[2], key.shape[2]
        mask = cls(
            query_length, key_length, query.device, batch=query.shape[0], blocked_queries=query_padding, cross=cross
        )
        if isinstance(attention_mask, BlockMask):
            return mask._with_mask_mod(attention_mask.mask_mod, query.shape[1])
        if isinstance(attention_mask, Tensor):
            if attention_mask.ndim == 4:
                return mask._with_dense(attention_mask, padding)
            if attention_mask.ndim == 3 and convention != "flash":
                # torch lays (heads, query_length, key_length) over the scores; a model's own code may mean the batch
                heads_first = convention == "sdpa" or attention_mask.shape[0] not in (1, query.shape[0])
                return mask._with_dense(attention_mask.unsqueeze(0 if heads_first else 1), padding)
            if attention_mask.shape == (query_length, key_length) and convention in ("eager", "sdpa"):
                return mask._with_dense(attention_mask[None, None], padding)
        is_padding = isinstance(attention_mask, Tensor) and attention_mask.ndim == 2 and convention == "flash"
        if attention_mask is not None and not is_padding:
            found = tuple(getattr(attention_mask, "shape", ())) or type(attention_mask).__name__
            raise TypeError(
                "a mask must be None, 2-D padding (flash attention), a 4-D bool or additive float tensor, or "
                f"a BlockMask; {type(module).__name__} passed {found} under the convention {convention!r}. Its pairs "
                "cannot be told apart, so it cannot be measured."
            )
        assert convention is not None
        if convention in ("eager", "flex"):  # without a mask these two attend everywhere
            return mask
        is_causal = kwargs.get("is_causal")
        is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        mask = replace(mask, causal=bool(is_causal) and query_length > 1)
        return mask._with_flash_arguments(attention_mask, kwargs) if convention == "flash" else mask

    def _with_dense(self, attention_mask: Tensor, padding: Tensor | None) -> "PairMask":
        dense = attention_mask[..., : self.key_length]
        if not (dense.is_floating_point() or dense.dtype == torch.bool):
            raise TypeError(
                "a dense attention mask must be bool (True lets through) or additive floats; got "
                f"{dense.dtype} of shape {tuple(dense.shape)}."
            )
        blocked = ~dense if dense.dtype == torch.bool else blocks(dense)
        blocked = blocked.expand(-1, -1, self.query_length, self.key_length)
        mask = replace(self, dense_blocked=blocked)
        if self.cross or self.query_length != self.key_length:
            return mask
        return replace(
            mask,
            blocked_queries=padded_queries(
                blocked, padding if padding is not None and len(padding) == self.batch else None
            ),
        )

    def _with_mask_mod(self, mask_mod: Callable[..., Tensor], num_attention_heads: int) -> "PairMask":
        mask = replace(self, mask_mod=mask_mod, heads=torch.arange(num_attention_heads, device=self.device))
        if self.cross or self.query_length != self.key_length:
            return mask
        positions = torch.arange(self.query_length, device=self.device)[:, None]
        return replace(mask, blocked_queries=~mask._call_mask_mod(positions, positions))

    def _with_flash_arguments(self, padding: Tensor | None, kwargs: dict[str, Any]) -> "PairMask":
        """Read a call as `_flash_attention_forward` of transformers.modeling_flash_attention_utils does."""
        window = kwargs.get("sliding_window")
        window = window if window is not None and window < self.key_length else None
        mask = replace(self, offset=self.key_length - self.query_length, window=window)
        if padding is not None:  # packing beside it is ignored
            return mask._with_flash_padding(padding.bool())
        query_starts, key_starts = kwargs.get("cu_seq_lens_q"), kwargs.get("cu_seq_lens_k")
        if has_cumulative_lengths(kwargs) and query_starts is not None and key_starts is not None:
            return mask._with_documents(query_starts, key_starts)
        position_ids = kwargs.get("position_ids")
        if position_ids is None or self.batch > 1 or position_ids.shape != (1, self.query_length):
            return mask
        if self.query_length != self.key_length:  # the first tokens are in a cache, and are of one document
            return mask
        documents = documents_of_positions(position_ids[0])
        query_documents, key_documents = (documents.masked_fill(documents == 0, none) for none in (-1, -2))
        return replace(mask, query_documents=query_documents, key_documents=key_documents)

    def _with_flash_padding(self, told: Tensor) -> "PairMask":
        seen = told[:, -self.key_length :] if told.shape[1] > self.key_length else told
        length = seen.shape[1]  # keys beyond it are free places of a static cache, which flash attention cuts off
        blocked_queries = ~seen[:, None, -self.query_length :, None]
        if self.blocked_queries is not None:
            blocked_queries = blocked_queries | self.blocked_queries
        mask = replace(
            self,
            offset=length - self.query_length,
            blocked_keys=~pad(seen, (0, self.key_length - length))[:, None, None],
            blocked_queries=blocked_queries,
        )
        # Padding is cut out before the window is laid, so that a hole inside of a sequence makes it reach further.
        holes = self.window is not None and (
            torch.compiler.is_compiling() or bool((seen.int().diff(dim=1) != 0).sum(1).gt(1).any())
        )
        if not holes:
            return mask
        window, positions = self.window or 0, pad(seen.cumsum(1), (0, self.key_length - length))
        query_positions = positions[:, length - self.query_length : length]

        def is_near(sequence: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (query_positions[sequence, query] - positions[sequence, key]).abs() < window

        return replace(mask, window=None, mask_mod=is_near, heads=torch.zeros(1, dtype=torch.long, device=self.device))

    def _with_documents(self, query_starts: Tensor, key_starts: Tensor) -> "PairMask":
        """Cut queries and keys at cumulative lengths; nobody sees what stands before the first or after the last."""
        queries = torch.arange(self.query_length, device=self.device)
        keys = torch.arange(self.key_length, device=self.device)
        of_queries = torch.bucketize(queries, query_starts.to(self.device), right=True)
        of_keys = torch.bucketize(keys, key_starts.to(self.device), right=True)
        mask = replace(
            self,
            query_documents=of_queries.masked_fill((of_queries == 0) | (of_queries == len(query_starts)), -1),
            key_documents=of_keys.masked_fill((of_keys == 0) | (of_keys == len(key_starts)), -2),
        )
        if not (self.causal or self.window is not None) or _cut_alike(query_starts, key_starts, self):
            return mask
        # In each document the last query stands at the last key.
        causal, window, last = self.causal, self.window, len(query_starts) - 1
        ends = of_queries.clamp(1, last)
        positions = queries + (key_starts - query_starts).to(self.device)[ends]

        def is_near(sequence: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            distance = positions[query] - key
            near = torch.ones_like(distance, dtype=torch.bool) if window is None else distance.abs() < window
            return near & (distance >= 0) if causal else near

        return replace(
            mask,
            causal=False,
            window=None,
            mask_mod=is_near,
            heads=torch.zeros(1, dtype=torch.long, device=self.device),
        )

    def of_heads(self, heads: Tensor) -> "PairMask":
        """Return the mask of some query heads, (heads,) int, in that order."""

        def select(blocked: Tensor | None) -> Tensor | None:
            return blocked if blocked is None or blocked.shape[1] == 1 else blocked[:, heads]

        return replace(
            self,
            dense_blocked=select(self.dense_blocked),
            blocked_queries=select(self.blocked_queries),
            heads=self.heads if self.heads is None or len(self.heads) == 1 else self.heads[heads],
        )

    def key_range(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first and one past the last key that queries start..stop-1 can see."""
        if not self.causal:
            return 0, self.key_length
        first = 0 if self.window is None else max(0, start + self.offset - self.window + 1)
        end = max(1, min(self.key_length, stop + self.offset))
        return min(first, end - 1), end

    def blocked(self, start: int, stop: int, first_key: int, end_key: int) -> Tensor | None:
        """Return which pairs of a tile must not count.

        Returns:
            bool, broadcastable to (batch, heads, stop - start, end_key - first_key), or None if all count.
        """
        parts = []
        queries = torch.arange(start, stop, device=self.device)[:, None]
        keys = torch.arange(first_key, end_key, device=self.device)
        if self.causal and end_key - 1 > start + self.offset:
            parts.append((keys > queries + self.offset)[None, None])
        if self.window is not None:
            parts.append(((queries + self.offset - keys).abs() >= self.window)[None, None])
        if self.dense_blocked is not None:
            parts.append(self.dense_blocked[:, :, start:stop, first_key:end_key])
        if self.mask_mod is not None:
            parts.append(~self._call_mask_mod(queries, keys))
        if self.blocked_queries is not None:
            parts.append(self.blocked_queries[:, :, start:stop])
        if self.blocked_keys is not None:
            parts.append(self.blocked_keys[..., first_key:end_key])
        if self.query_documents is not None and self.key_documents is not None:
            different = self.query_documents[start:stop, None] != self.key_documents[first_key:end_key]
            parts.append(different[None, None])
        if not parts:
            return None
        blocked = parts[0]
        for part in parts[1:]:
            blocked = blocked | part
        return blocked

    def _call_mask_mod(self, queries: Tensor, keys: Tensor) -> Tensor:
        assert self.mask_mod is not None
        assert self.heads is not None
        batch = torch.arange(self.batch, device=self.device)[:, None, None, None]
        allowed = self.mask_mod(batch, self.heads[:, None, None], queries, keys)
        return allowed.expand(self.batch, len(self.heads), *torch.broadcast_shapes(queries.shape, keys.shape))
