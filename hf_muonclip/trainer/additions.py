"""Guard additions to a run, such as its card: one that fails is left out and does not end the run."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..common.loggers import get_logger

logger = get_logger(__name__)


class Additions:
    """Guards what one callback adds to checkpoints, pushes and logs."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    @contextmanager
    def adding(self, what: str) -> Iterator[None]:
        """Suppress errors of the block, and log once what is left out.

        For additions of a single process: an error inside a collective would leave the other ranks waiting.

        Args:
            what: the addition; starts the logged sentence.
        """
        try:
            yield
        except Exception as error:
            self.say(what, f"{type(error).__name__}: {error}")
            logger.debug("why it is left out", exc_info=True)

    def say(self, what: str, why: str) -> None:
        """Log once that an addition is left out, and why."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s is left out, and the run goes on without it: %s", what, why)
