"""Checkpoints on their way to the Hub: pushed in one commit, from Python, from the command line, from the Trainer."""

from .client import PushError
from .push import FileChange, PushResult, push_to_hub

__all__ = ["FileChange", "PushError", "PushResult", "push_to_hub"]
