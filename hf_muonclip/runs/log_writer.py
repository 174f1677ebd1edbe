"""Writing a run's log while it trains, which never ends the training."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from .. import __version__
from ..common.loggers import get_logger
from .log import LOG_NAME, append_row, shown_name, start_log

logger = get_logger(__name__)


def run_header(model: nn.Module | None, max_steps: int, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the first line of a run's log holds.

    Args:
        model: any module that a Trainer trains.
        max_steps: steps of the whole run.
        run: as `describe_run` returns it.
    """
    name = getattr(getattr(model, "config", None), "name_or_path", None)
    return {
        "hf_muonclip": __version__,
        "model": None if model is None else type(model).__name__,
        "model_name": shown_name(name) or None if isinstance(name, str) else None,
        "max_steps": max_steps,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run,
    }


class LogWriter:
    """Writes the log of a run that is under way. A log that cannot be written is given up, with one warning.

    Args:
        run: the Trainer's output folder.
        header: returns what is known of the run, as of `start_log`; called once, and may fail as the writing may.
        step: see `start_log`.
    """

    def __init__(self, run: str | Path, header: Callable[[], Mapping[str, Any]], step: int) -> None:
        self._run, self._writes = run, True
        self._try(lambda: start_log(run, header(), step))

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row at the log's end."""
        if self._writes:
            self._try(lambda: append_row(self._run, row))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # on this rank alone: the others would wait for it until the timeout
            self._writes = False
            logger.warning(
                "The log of every head, %s, cannot be written (%s). Training goes on without it; trainer_state.json "
                "and the trackers have the figures of all layers. Fix that and resume to write it again.",
                Path(self._run) / LOG_NAME,
                error,
            )
