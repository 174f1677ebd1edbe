"""Loggers that heed the verbosity of transformers, so that one call quiets everything that a training prints."""

import logging

from transformers.utils.logging import get_verbosity


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module, silent below `transformers.logging.set_verbosity`.

    It stays under its own name, so that `logging.getLogger("hf_muonclip")` and handlers of the user reach it too.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_is_heard)
    return logger


def _is_heard(record: logging.LogRecord) -> bool:
    return record.levelno >= get_verbosity()
