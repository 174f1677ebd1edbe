"""Checkpoints that the Hub and inference engines read: written in bounded memory and read back, checked, and loaded."""

from .check import Checkpoint, check_checkpoint
from .load import load_checkpoint
from .save import save_checkpoint

__all__ = ["Checkpoint", "check_checkpoint", "load_checkpoint", "save_checkpoint"]
