"""What a Trainer lacks that has MuonClip and no `MuonClipCallback`, said once, at its first step."""

import weakref
from typing import Any

from ..common.loggers import get_logger
from ..muon_clip import MuonClip

logger = get_logger(__name__)

_without: "weakref.WeakSet[object]" = weakref.WeakSet()  # optimizers to which no callback has reported


def expect_callback(optimizer: MuonClip) -> None:
    """Warn at the first step that moves weights, unless a callback has reported by then."""
    _without.add(optimizer)
    optimizer.register_step_pre_hook(_warn_without)


def callback_reports(watched: object) -> None:
    """Note that a callback watches an optimizer."""
    _without.discard(watched)


def _warn_without(optimizer: Any, args: Any, kwargs: Any) -> None:
    if optimizer in _without and optimizer.moves_weights():
        _without.discard(optimizer)
        logger.warning(
            "This Trainer has no MuonClipCallback. QK-Clip works, but its figures are missing from the logs, from "
            "qk_clip.jsonl and from trainer_state.json, a model with stacked experts will not resume, and with "
            "scale_lora_base=True nothing says which clips a saved adapter lacks. Pass callbacks=[MuonClipCallback()]."
        )
