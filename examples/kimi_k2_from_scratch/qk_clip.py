"""QK-Clip by hand (Kimi K2, arXiv 2507.20534, Algorithm 1), for the attention of `model.py`.

Muon's updates can grow queries and keys until one head's logits are in the thousands. After each optimizer step, the
heads whose largest logit exceeded tau have the weights of their queries and keys scaled down, and no other head is
touched. `hf_muonclip.MuonClip` does the same inside `step()`, for any attention; a test holds the two equal.
"""

import torch
from torch import Tensor, nn


@torch.no_grad()
def qk_clip_(model: nn.Module, tau: float) -> dict[str, Tensor]:
    """Clip every head of a `KimiK2` whose largest logit since the last call exceeded tau. In place.

    Returns:
        {name of the attention: (heads,)}, the largest logits before the clip.
    """
    highest = {}
    for name, attention in model.named_modules():
        if not hasattr(attention, "max_logits"):
            continue
        highest[name] = attention.max_logits.clone()  # S_max of each head
        gamma = (tau / attention.max_logits.clamp(min=tau)).double()  # min(1, tau / S_max)
        heads, nope = attention.num_heads, attention.qk_nope_head_dim

        # A logit is q_nope·k_nope + q_rope·k_rope, and each of the two products must shrink by gamma.
        # k_nope belongs to the head: half of gamma, as a factor its root, goes to the query and half to the key.
        # k_rope belongs to all heads: it stays, and the query takes all of gamma.
        query = attention.q_b_proj.weight.unflatten(0, (heads, -1))  # (heads, nope + rope, rank)
        query[:, :nope] *= gamma.sqrt().to(query)[:, None, None]
        query[:, nope:] *= gamma.to(query)[:, None, None]
        key_value = attention.kv_b_proj.weight.unflatten(0, (heads, -1))  # (heads, nope + v, rank)
        key_value[:, :nope] *= gamma.sqrt().to(query)[:, None, None]

        attention.max_logits.fill_(-torch.inf)  # the next step begins again
    return highest
