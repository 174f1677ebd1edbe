"""Dropout off everywhere: the log-ratio of two passes with other dropout would be noise, which rl_tau squares."""

from torch import nn


def disable_dropout_(model: nn.Module) -> None:
    """Set every dropout to 0, of modules and inside of attention functions, which TRL's own leaves on. In place."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
