"""MuonClip, Kimi K2's optimizer (Muon + QK-Clip, arXiv 2507.20534), for everything in the Hugging Face ecosystem.

    Trainer(model, args, train_dataset=dataset, optimizers=muonclip(model, args), callbacks=[MuonClipCallback()])

Names are loaded on first use, so importing the package alone is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attention import capture_max_logits, detect_head_layout, qk_clip_, verify_head_layout
    from .config import MuonClipConfig
    from .muon_clip import MuonClip
    from .trainer.callback import MuonClipCallback
    from .trainer.deepspeed import DeepSpeedClipCallback
    from .trainer.entry_points import attach, muonclip, muonclip_factory
    from .trainer.whole_checkpoint import last_whole_checkpoint

__version__ = "0.1.0"

__all__ = [
    "DeepSpeedClipCallback",
    "MuonClip",
    "MuonClipCallback",
    "MuonClipConfig",
    "attach",
    "capture_max_logits",
    "detect_head_layout",
    "last_whole_checkpoint",
    "muonclip",
    "muonclip_factory",
    "qk_clip_",
    "verify_head_layout",
]

_HOMES = {
    "DeepSpeedClipCallback": ".trainer.deepspeed",
    "MuonClip": ".muon_clip",
    "MuonClipCallback": ".trainer.callback",
    "MuonClipConfig": ".config",
    "attach": ".trainer.entry_points",
    "capture_max_logits": ".attention",
    "detect_head_layout": ".attention",
    "last_whole_checkpoint": ".trainer.whole_checkpoint",
    "muonclip": ".trainer.entry_points",
    "muonclip_factory": ".trainer.entry_points",
    "qk_clip_": ".attention",
    "verify_head_layout": ".attention",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
