"""Checkpoints on their way to the Hub: pushed in one commit, with a card.

Names are loaded on first use: the command line's help and a training need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import PushError
    from .push import FileChange, PushResult, push_to_hub

__all__ = ["FileChange", "PushError", "PushResult", "push_to_hub"]

_HOMES = {"FileChange": ".push", "PushError": ".client", "PushResult": ".push", "push_to_hub": ".push"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
