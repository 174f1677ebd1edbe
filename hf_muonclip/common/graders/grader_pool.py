"""Worker processes for graders, which may hang, crash or use up memory without harm to the trainer's process.

Nothing of this process is forked: workers are new interpreters in sessions of their own, which import the standard
library and the grader's module. A grader runs in its worker's main thread, so that its own signals and alarms work.
"""

import atexit
import contextlib
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from ..loggers import get_logger
from .not_measured import NotMeasured

logger = get_logger(__name__)

START_DEADLINE = 120.0  # seconds for an interpreter and the import of a grader's module
LARGEST_CHUNK = 64  # calls per message
_CLOSED = "the GraderPool is closed; make another."
_START = (
    "import sys; sys.path[:] = {path!r}; from hf_muonclip.common.graders.grader_worker import work; work({}, {}, {})"
)
# One thread and no device per worker; and graders that iterate over sets answer the same in every run.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONHASHSEED": "0",
}


class GraderPool:
    """Limited worker processes for functions that may fail.

    `map` can be called from any thread and from coroutines (which it blocks; `await asyncio.to_thread(pool.map, ...)`
    does not); several at a time share the workers. Workers start when they are first needed, and are replaced if they
    died. They end with `close`, with this interpreter, and when this process is killed. A forked process gets workers
    of its own, and so does a pool that is copied or sent to another process, which keeps its limits.

    This protects training from failures and is no security boundary: a worker has the rights of the process that
    started it.

    Args:
        workers: number of processes.
        deadline: seconds per call, without the start of a worker and the import of the function's module; a late worker
            is killed, with all processes of its session.
        memory: bytes of address space per worker.

    Attributes:
        closed: whether `close` has been called.

    Raises:
        ValueError: a limit is not positive.
    """

    def __init__(self, workers: int = 2, deadline: float = 10.0, memory: int = 2 << 30) -> None:
        for name, value in (("workers", workers), ("deadline", deadline), ("memory", memory)):
            if not value > 0:
                raise ValueError(f"{name} must be positive; got {value!r}.")
        self.workers, self.deadline, self.memory = workers, deadline, memory
        self.closed = False
        self._begin()
        _POOLS.add(self)

    def _begin(self) -> None:
        self._alive: set[_Worker] = set()
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()  # last used first; None: not started
        for _ in range(self.workers):
            self._slots.put(None)

    def map(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the result of `function(*call)` for each call, in order; a `NotMeasured` where there is none.

        Args:
            function: at module level, so that it can be imported by name.
            calls: arguments; they must pickle.

        Returns:
            Plain data (numbers, texts, lists, tuples, sets, dicts, NotMeasured). A result of another type is
            NotMeasured("error"), because unpickling it could run code here.

        Raises:
            ValueError: the function cannot be found by name.
            RuntimeError: a worker cannot start or import the function, or the pool is closed.
        """
        home = _home(function)
        results: list[Any] = [None] * len(calls)
        todo = deque((place, pickle.dumps(tuple(call))) for place, call in enumerate(calls))
        busy: dict[Connection, _Worker] = {}
        try:
            while todo or busy:
                while todo and (worker := self._worker(may_wait=not busy)):
                    busy[worker.connection] = worker
                    chunk = min(-(-len(todo) // (2 * self.workers)), LARGEST_CHUNK)
                    worker.take(home, [todo.popleft() for _ in range(chunk)])
                nearest = min(worker.due for worker in busy.values()) - time.monotonic()
                wait([*busy], timeout=max(nearest, 0.0))
                for worker in [*busy.values()]:
                    worker.serve(results, self.deadline)
                    if not worker.calls:
                        del busy[worker.connection]
                        todo.extendleft(reversed(worker.left_over))
                        self._give_back(worker)
        finally:
            for worker in busy.values():  # after an exception: nobody waits for their results
                worker.kill()
                self._give_back(worker)
        if self.closed:  # killed workers did not crash then
            raise RuntimeError(_CLOSED)
        return results

    def close(self) -> None:
        """End all workers. Calls of `map` that run in other threads raise."""
        self.closed = True
        for worker in [*self._alive]:
            worker.kill()
        with contextlib.suppress(queue.Empty):
            for _ in range(self.workers):
                if idle := self._slots.get_nowait():
                    self._alive.discard(idle)
                    idle.end()
        for _ in range(self.workers - len(self._alive)):
            self._slots.put(None)  # so that waiting calls see that the pool is closed

    def __reduce__(self) -> tuple[Any, ...]:
        if self.closed:
            raise ValueError(_CLOSED)
        return type(self), (self.workers, self.deadline, self.memory)

    def __enter__(self) -> "GraderPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _worker(self, may_wait: bool) -> "_Worker | None":
        """Return a running worker; None if all are busy and `may_wait` is False."""
        try:
            worker = self._slots.get(block=may_wait)
        except queue.Empty:
            return None
        try:
            if self.closed:
                raise RuntimeError(_CLOSED)
            if worker is not None and not worker.runs():
                worker.end()
                self._alive.discard(worker)
                worker = None
            if worker is None:
                worker = _Worker(self.memory)
                self._alive.add(worker)
        except BaseException:
            self._slots.put(None)
            raise
        return worker

    def _give_back(self, worker: "_Worker") -> None:
        if worker.ended:
            self._alive.discard(worker)
        self._slots.put(None if worker.ended else worker)

    def _begin_in_fork(self) -> None:
        for worker in self._alive:
            worker.leave_to_parent()
        self._begin()


class _Worker:
    """One process and the calls sent to it, of which the first is running."""

    def __init__(self, memory: int) -> None:
        self.connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        given = (theirs.fileno(), lifeline)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START.format(*given, memory, path=[*map(str, sys.path)])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
                pass_fds=given,
                start_new_session=True,
            )
        except OSError as error:
            self.connection.close()
            os.close(self._lifeline)
            raise RuntimeError(f"a grader's worker process cannot be started: {error}.") from error
        finally:
            theirs.close()
            os.close(lifeline)
        self.calls: deque[tuple[int, bytes]] = deque()
        self.left_over: list[tuple[int, bytes]] = []  # calls not begun when it ended
        self.due = 0.0
        self.ended = False
        self._home = ("", "")
        self._imported = False  # the function of the current calls
        self._served = False
        self._killing = threading.Lock()

    def runs(self) -> bool:
        return self._process.poll() is None

    def take(self, home: tuple[str, str], calls: list[tuple[int, bytes]]) -> None:
        """Send calls, each with the index of its result."""
        self.calls.extend(calls)
        self._home, self._imported = home, False
        self.due = time.monotonic() + START_DEADLINE
        with contextlib.suppress(ConnectionError):  # it has died, as `serve` will see
            self.connection.send_bytes(pickle.dumps((*home, [arguments for _, arguments in calls])))

    def serve(self, results: list[Any], deadline: float) -> None:
        """Put received answers into results, and end the worker if it died or is late."""
        try:
            while self.calls and self.connection.poll():
                self._receive(self.connection.recv_bytes(), results)
                self.due = time.monotonic() + deadline
        except (EOFError, ConnectionResetError):
            self._blame(results, NotMeasured("crash", f"the grader's process {self._end_in_words()}"))
            return
        if self.calls and time.monotonic() >= self.due:
            self._blame(results, NotMeasured("timeout", f"the grader did not end within {deadline:g} s"))

    def _receive(self, answer: bytes, results: list[Any]) -> None:
        if not self._imported:
            if answer:
                raise RuntimeError(f"a grader's worker process cannot import {'.'.join(self._home)}: {answer.decode()}")
            self._imported = self._served = True
            return
        result = _plain(answer)
        results[self.calls.popleft()[0]] = result
        if isinstance(result, NotMeasured) and result.cause == "memory":
            self._leave()  # its memory may stay full

    def _blame(self, results: list[Any], reason: NotMeasured) -> None:
        """Give the running call this result, and end the worker."""
        if self._imported:
            results[self.calls.popleft()[0]] = reason
        elif not self._served:
            self.end()
            raise RuntimeError(
                f"a grader's worker process cannot start and import {'.'.join(self._home)}: {reason.detail}."
            )
        self._leave()

    def _leave(self) -> None:
        self.left_over = [*self.calls]
        self.calls.clear()
        self.end()

    def _end_in_words(self) -> str:
        code = self.kill()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    def kill(self) -> int:
        """Kill it and all processes of its session; return its exit code. Call from any thread."""
        with self._killing:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=5)
            return self._process.returncode or 0

    def end(self) -> None:
        """Kill it and close its connections. Call from the thread that uses it."""
        self.kill()
        self.ended = True
        self.connection.close()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)

    def leave_to_parent(self) -> None:
        """Close its connections in a forked process, where it is not a child."""
        self.connection.close()
        os.close(self._lifeline)
        self._process.returncode = 0


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (NotMeasured.__module__, NotMeasured.__name__):
            return NotMeasured
        raise pickle.UnpicklingError(f"{module}.{name}")


def _plain(answer: bytes) -> Any:
    try:
        return _PlainUnpickler(io.BytesIO(answer)).load()
    except Exception as error:
        return NotMeasured("error", f"the grader's result must be plain data; it holds {error}")


def _home(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the module and the qualified name by which a worker imports the function."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if module == "__main__" or found is None or found != function:
        raise ValueError(
            f"a worker process must import the function by name; got {function!r}. Define it at the top level of a "
            "module that can be imported."
        )
    assert module is not None
    return module, name


_POOLS: "weakref.WeakSet[GraderPool]" = weakref.WeakSet()
_default: GraderPool | None = None
_making = threading.Lock()


def default_pool() -> GraderPool:
    """Return this process's pool, which graders share unless they are given another."""
    global _default
    with _making:
        if _default is None or _default.closed:
            _default = GraderPool()
        return _default


def _after_fork() -> None:
    global _making
    _making = threading.Lock()
    for pool in [*_POOLS]:
        pool._begin_in_fork()


@atexit.register
def _close_all() -> None:
    for pool in [*_POOLS]:
        pool.close()


os.register_at_fork(after_in_child=_after_fork)
