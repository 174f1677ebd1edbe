"""Dropout off everywhere: different dropout in two passes would add noise to the log-ratio, which rl_tau squares."""

from torch import nn


def disable_dropout_(model: nn.Module) -> None:
    """Set every dropout to 0, also inside attention functions, where TRL's disable_dropout leaves it on. In place."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
