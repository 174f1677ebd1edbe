"""Attention for MuonClip: which rows feed which head, each head's exact max logit, and the clip."""

from .adapters import AdapterWatch
from .capture.max_logits import MaxLogitCapture, capture_max_logits
from .head_layout import AttentionLayout, HeadLayout, HeadRows, ProjectionPart, ProjectionRows, around_frozen
from .layout.detect import detect_head_layout
from .layout.projections import ModelProjections, read_projections
from .layout.verify import verify_head_layout
from .modules.first_batch import FirstBatch, needs_first_batch
from .qk_clip import Writable, qk_clip_, qk_clip_gamma

__all__ = [
    "AdapterWatch",
    "AttentionLayout",
    "FirstBatch",
    "HeadLayout",
    "HeadRows",
    "MaxLogitCapture",
    "ModelProjections",
    "ProjectionPart",
    "ProjectionRows",
    "Writable",
    "around_frozen",
    "capture_max_logits",
    "detect_head_layout",
    "needs_first_batch",
    "qk_clip_",
    "qk_clip_gamma",
    "read_projections",
    "verify_head_layout",
]
