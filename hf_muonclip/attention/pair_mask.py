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

# An additive mask at or below this blocks a pair; above it, it is a bias (ALiBi, relative positions), which the clip
# cannot scale and the maximum leaves out. Models write -inf, the dtype's minimum, -1e9 or -1e6 for "blocked"; ALiBi
# reaches -1e5 at a hundred thousand tokens.
_LARGEST_BLOCKING_VALUE = -5e5


def blocks(additive: Tensor) -> Tensor:
    """Return where an additive mask, or a masked score, blocks its pair: bool, of the same shape."""
    return additive <= max(torch.finfo(additive.dtype).min / 2, _LARGEST_BLOCKING_VALUE)


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
        query_documents: (query_length,), int; a query sees only keys of its own document.
        key_documents: (key_length,), int.
        heads: (heads,), int; head indices for `mask_mod`.
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
        padding: Tensor | None = None,
        query_padding: Tensor | None = None,
        cross: bool = False,
    ) -> "PairMask":
        """Read the mask of a call through transformers' attention interface.

        Args:
            module: the attention module; its config names the implementation, which decides what a missing mask means.
            query: (batch, num_attention_heads, query_length, head_dim).
            key: (batch, num_key_value_heads, key_length, head_dim).
            attention_mask: as passed.
            kwargs: as passed.
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
        if isinstance(attention_mask, Tensor) and attention_mask.ndim == 4:
            return mask._with_dense(attention_mask, padding)
        if isinstance(attention_mask, Tensor) and attention_mask.ndim == 3:  # (batch, query_length, key_length)
            return mask._with_dense(attention_mask.unsqueeze(1), padding)
        if attention_mask is not None and not (isinstance(attention_mask, Tensor) and attention_mask.ndim == 2):
            found = getattr(attention_mask, "shape", type(attention_mask).__name__)
            raise TypeError(
                "an attention mask must be None, 2-D padding, a 4-D bool or additive float tensor, or a BlockMask; "
                f"{type(module).__name__} passed {found}. Its pairs cannot be told apart, so it cannot be measured."
            )
        implementation = getattr(getattr(module, "config", None), "_attn_implementation", None) or "eager"
        implementation = implementation.removeprefix("paged|")
        if implementation in ("eager", "flex_attention"):  # without a mask these two attend everywhere
            return mask
        is_causal = kwargs.get("is_causal")
        is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        mask = replace(mask, causal=bool(is_causal) and query_length > 1)
        if "flash" in implementation or "/" in implementation:  # a kernel of the Hub, "owner/name", is called alike
            mask = mask._with_flash_arguments(attention_mask, kwargs)
        return mask

    def _with_dense(self, attention_mask: Tensor, padding: Tensor | None) -> "PairMask":
        dense = attention_mask[..., : self.key_length]
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
        mask = replace(self, offset=self.key_length - self.query_length, window=kwargs.get("sliding_window"))
        if padding is not None:
            blocked = ~padding.bool()
            mask = replace(
                mask,
                blocked_keys=blocked[:, None, None, -self.key_length :],
                blocked_queries=blocked[:, None, -self.query_length :, None],
            )
        query_starts, key_starts = kwargs.get("cu_seq_lens_q"), kwargs.get("cu_seq_lens_k")
        position_ids = kwargs.get("position_ids")
        if query_starts is not None and key_starts is not None:
            queries = torch.arange(self.query_length, device=self.device)
            keys = torch.arange(self.key_length, device=self.device)
            mask = replace(
                mask,
                query_documents=torch.bucketize(queries, query_starts[1:], right=True),
                key_documents=torch.bucketize(keys, key_starts[1:], right=True),
            )
        elif padding is None and position_ids is not None and self.batch == 1 and position_ids.ndim == 2:
            # Packed without padding: positions start over where a document does.
            documents = (position_ids[0].diff(prepend=position_ids[0, :1] - 1) != 1).cumsum(0)
            if len(documents) == self.query_length == self.key_length:
                mask = replace(mask, query_documents=documents, key_documents=documents)
        return mask

    def of_heads(self, heads: Tensor) -> "PairMask":
        """Return the mask of some query heads, (heads,) int, in that order."""

        def select(blocked: Tensor | None) -> Tensor | None:
            return blocked if blocked is None or blocked.shape[1] == 1 else blocked[:, heads]

        return replace(
            self,
            dense_blocked=select(self.dense_blocked),
            blocked_queries=select(self.blocked_queries),
            heads=None if self.heads is None else self.heads[heads],
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
