"""Functions that run in processes that are killed; forked from one that has imported them, so that a start is quick."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SERVER = """
import importlib, os, pathlib, signal, sys, traceback
module = importlib.import_module(sys.argv[1])
for line in sys.stdin:
    function, folder = line.rstrip("\\n").split(" ", 1)
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        signal.alarm(300)  # which ends a process that hangs
        try:
            getattr(module, function)(pathlib.Path(folder))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Runner:
    """Runs functions of a module, one at a time, each in a process of its own that may be killed."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server
        self.process = 0

    def start(self, function: str, folder: Path) -> None:
        """Begin to run a function of a folder."""
        assert self._server.stdin
        self._server.stdin.write(f"{function} {folder}\n")
        self._server.stdin.flush()
        self.process = int(self._line())

    def kill(self) -> bool:
        """Kill -9 it; return whether it still ran."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        return self.ended() == -signal.SIGKILL

    def ended(self) -> int:
        """Wait, and return the exit code; 0 where it returned."""
        return int(self._line())

    def _line(self) -> str:
        assert self._server.stdout
        line = self._server.stdout.readline()
        assert line, "the process that forks has ended"
        return line


@contextmanager
def running(module: str) -> Iterator[Runner]:
    """A runner of a module's functions."""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, module],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield Runner(server)
