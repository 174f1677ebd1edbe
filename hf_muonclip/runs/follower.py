"""Following a run while it trains, by its log alone: nothing that was read is read again."""

from pathlib import Path

from .log import LogReader
from .run import Run


class Follower:
    """Reads a run's log on as it grows.

    Attributes:
        run: what was read; a new one when the log was begun again.
    """

    def __init__(self, folder: str | Path) -> None:
        self.run = Run(Path(folder))
        self._reader = LogReader(folder)
        self._restarts = 0

    def read_new(self) -> bool:
        """Take up the rows written since the last call; return whether the run changed.

        Raises:
            FileNotFoundError: there is no log.
            ValueError: it is damaged, of a later version, or its rows are of different models.
        """
        changed = False
        for row in self._reader.read_new():
            self._forget_void_rows()
            self.run.take(row)
            changed = True
        return self._forget_void_rows() or changed

    def _forget_void_rows(self) -> bool:
        if self._reader.restarts == self._restarts:
            return False
        self._restarts = self._reader.restarts
        self.run = Run(self.run.folder)
        return True
