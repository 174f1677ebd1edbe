"""What is added to a run on top of training may be missing, and never ends it: each addition is guarded by itself."""

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
        """Leave out what the block adds where it raises, and say so once.

        For additions of one process alone: an error inside of a collective would leave the other ranks waiting.

        Args:
            what: is left out; begins the logged sentence.
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
