"""What runs in a worker process of `GraderPool`: calls one after another, each answered before the next.

It imports nothing but the standard library and the function's module.
"""

import contextlib
import fcntl
import importlib
import os
import pickle
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from .not_measured import NotMeasured

LONGEST_DETAIL = 500  # characters of an exception's text


def work(connection_fd: int, lifeline_fd: int, memory: int) -> None:
    """Answer messages until the pool closes the connection.

    A message is (module, qualified name, [pickled arguments, ...]). The first answer is b"" once the function is
    imported, or the text of the import's exception; then follows the pickled result of each call.

    Args:
        connection_fd: a socket to the pool.
        lifeline_fd: a pipe that the pool's process keeps open as long as it lives.
        memory: bytes of address space.
    """
    _die_with(lifeline_fd)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    connection = Connection(connection_fd)
    while True:
        try:
            module, name, calls = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            function: Any = importlib.import_module(module)
            for part in name.split("."):
                function = getattr(function, part)
        except BaseException as error:  # whatever a module raises while it is imported
            connection.send_bytes(_described(error).encode())
            continue
        connection.send_bytes(b"")
        for arguments in calls:
            connection.send_bytes(_answer(function, arguments))
            signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that a grader left behind


def _die_with(lifeline_fd: int) -> None:
    """Have the kernel end this process when the pipe's other end closes, whatever it runs then.

    SIGIO ends a process without a handler, even one that never returns from C code.
    """
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, fcntl.fcntl(lifeline_fd, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        if os.read(lifeline_fd, 1) == b"":
            os._exit(0)  # it was closed already


def _answer(function: Callable[..., Any], arguments: bytes) -> bytes:
    try:
        return pickle.dumps(function(*pickle.loads(arguments)))
    except MemoryError:
        return pickle.dumps(NotMeasured("memory", "MemoryError"))
    except BaseException as error:  # SystemExit too: a grader must not end its worker
        return pickle.dumps(NotMeasured("error", _described(error)))


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
    except Exception:  # str() of it raised
        return type(error).__name__
