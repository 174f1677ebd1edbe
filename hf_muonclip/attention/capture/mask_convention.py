"""What an attention mask means to the function that it is handed to.

The same `None` lets every pair through in one attention function and the causal ones in another, and a 2-D mask is
padding to one and an error to the next. transformers decides this in two registries: `AttentionInterface` holds the
functions, and `AttentionMaskInterface` under the same name says which form of mask a function takes. A name's spelling
says nothing.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

from transformers import masking_utils
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward

MaskConvention = Literal["eager", "sdpa", "flash", "flex"]
"""How a call's pairs are read off its mask and keyword arguments.

"eager": a 4-D additive mask; without one every pair counts. "flex": a `BlockMask`; without one every pair counts.
"sdpa": a 4-D mask; without one `is_causal` decides, counted from the first key. "flash": 2-D padding, `is_causal`
counted from the last key, `sliding_window`, and packing by `cu_seq_lens_*` or `position_ids`.
"""


def convention_of_function(attention: Callable[..., Any]) -> MaskConvention | None:
    """Return the convention of transformers' own attention functions; None for a function of somebody else."""
    if attention is sdpa_attention_forward:
        return "sdpa"
    if attention is flash_attention_forward:
        return "flash"
    if attention is flex_attention_forward:
        return "flex"
    return None


def registered_convention(implementation: str | None) -> MaskConvention | None:
    """Return the convention of the mask function that is registered under the name of an implementation.

    Args:
        implementation: the name in `config._attn_implementation`; None is eager.

    Returns:
        None where no mask function, or one of somebody else's, is registered.
    """
    name = (implementation or "eager").removeprefix("paged|")
    registered: Any = masking_utils.ALL_MASK_ATTENTION_FUNCTIONS.get(name)
    while registered is not None:
        if registered is masking_utils.flash_attention_mask:
            return "flash"
        if registered is masking_utils.sdpa_mask:
            return "sdpa"
        if registered is masking_utils.eager_mask:
            return "eager"
        if registered is masking_utils.flex_attention_mask:
            return "flex"
        inner = registered.func if isinstance(registered, functools.partial) else None
        registered = inner or getattr(registered, "__wrapped__", None)
    return None


def unknown_convention(module_class: str, implementation: str | None) -> ValueError:
    """Return the error for an attention function whose mask convention is not known."""
    return ValueError(
        "QK-Clip must know which pairs of queries and keys an attention function lets through; for "
        f"{implementation!r}, which {module_class} calls, neither its torch calls nor a mask function of transformers "
        f"shows them. Register the one whose masks it takes, AttentionMaskInterface.register({implementation!r}"
        ", flash_attention_mask) or sdpa_mask, eager_mask, flex_attention_mask of transformers.masking_utils, or pass "
        "qk_clip_threshold=None to train with Muon alone."
    )
