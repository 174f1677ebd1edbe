"""transformers' flash attention on a CPU: its own code decides who sees whom, and two plain functions stand in for the
kernels of flash_attn, whose documented meaning they keep, and note the largest scores that they let through."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import transformers.modeling_flash_attention_utils as flash
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, modeling_utils
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.masking_utils import flash_attention_mask

NAME = "flash_on_cpu"


class Kernels:
    """Attributes: maxima: one (heads,) float64 for each call so far."""

    def __init__(self) -> None:
        self.maxima: list[Tensor] = []

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool, window: tuple[int, int]) -> Tensor:
        """Attend within one document, (length, heads, head_dim): the last query stands at the last key."""
        groups = q.shape[1] // k.shape[1]
        k, v = (states.repeat_interleave(groups, dim=1) for states in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) * scale
        seen = torch.ones(scores.shape[1:], dtype=torch.bool)
        for query in range(seen.shape[0]):
            for key in range(seen.shape[1]):
                distance = query + seen.shape[1] - seen.shape[0] - key
                if (causal and distance < 0) or (window[0] >= 0 and not -window[1] <= distance <= window[0]):
                    seen[query, key] = False
        scores = scores.masked_fill(~seen, -torch.inf)
        if scores.numel():
            self.maxima[-1] = torch.maximum(self.maxima[-1], scores.detach().double().amax(dim=(1, 2)))
        return torch.einsum("hqk,khd->qhd", scores.softmax(-1).nan_to_num(0), v)

    def fixed(self, q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        """Stand in for flash_attn_func."""
        self.maxima.append(torch.full((q.shape[2],), -torch.inf, dtype=torch.float64))
        return torch.stack([self.attend(*each, **options) for each in zip(q, k, v, strict=True)])

    def packed(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cu_seqlens_q: Tensor,
        cu_seqlens_k: Tensor,
        max_seqlen_q: Any = None,  # older transformers passes both beside the options
        max_seqlen_k: Any = None,
        **options: Any,
    ) -> Tensor:
        """Stand in for flash_attn_varlen_func, which leaves what is in no document as it finds it."""
        self.maxima.append(torch.full((q.shape[1],), -torch.inf, dtype=torch.float64))
        output = torch.zeros(*q.shape[:2], v.shape[2])
        ends = zip(cu_seqlens_q[:-1], cu_seqlens_q[1:], cu_seqlens_k[:-1], cu_seqlens_k[1:], strict=True)
        for first_query, end_query, first_key, end_key in ends:
            keys = slice(first_key, end_key)
            output[first_query:end_query] = self.attend(q[first_query:end_query], k[keys], v[keys], **options)
        return output


def _options(
    query_length: int,
    key_length: int,
    is_causal: bool,
    softmax_scale: float,
    sliding_window: int | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Return a kernel's options, as transformers makes them."""
    windowed = sliding_window is not None and key_length > sliding_window
    window = (sliding_window - 1, sliding_window - 1) if windowed else (-1, -1)
    return {"scale": softmax_scale, "causal": is_causal and query_length > 1, "window": window}


@contextmanager
def flash_kernels() -> Iterator[Kernels]:
    """Register the implementation under `NAME` inside the block."""
    kernels = Kernels()
    functions: tuple[Any, ...] = (kernels.fixed, kernels.packed, flash._pad_input, flash._unpad_input)
    options: Any = _options
    if "flash_kvcache_fn" in inspect.getsource(flash._flash_attention_forward):
        functions, options = (*functions[:2], None, *functions[2:]), (_options, None)
    with pytest.MonkeyPatch.context() as patch:
        for module in (flash, modeling_utils):
            patch.setattr(module, "lazy_import_flash_attention", lambda *_, **__: (functions, options), raising=False)
        AttentionInterface.register(NAME, flash_attention_forward)
        AttentionMaskInterface.register(NAME, flash_attention_mask)
        try:
            yield kernels
        finally:
            AttentionInterface._global_mapping.pop(NAME)
            AttentionMaskInterface._global_mapping.pop(NAME)
