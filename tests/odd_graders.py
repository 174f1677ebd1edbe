"""Graders for worker processes: good ones, and one for each way to fail. Nothing heavy is imported, as in real ones."""

import asyncio
import collections
import decimal
import itertools
import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import Any

from hf_muonclip.common.graders.not_measured import NotMeasured


def add(a: float, b: float) -> float:
    return a + b


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def never_return_from_c() -> None:
    """Stay in C code, with the interpreter lock, where no signal's handler runs."""
    collections.deque(itertools.repeat(0), maxlen=0)


def exit_with(code: int) -> None:
    os._exit(code)


def raise_error(text: str) -> None:
    raise KeyError(text)


def exit_politely() -> None:
    sys.exit("no worker ends")


def allocate(size: int) -> int:
    return len(bytearray(size))


def give_an_object() -> decimal.Decimal:
    return decimal.Decimal(1)


def not_measured(cause: str) -> NotMeasured:
    return NotMeasured(cause, "as it found")


def leave_a_child_and_sleep(path: str) -> None:
    child = subprocess.Popen(["sleep", "600"])
    with open(path, "w") as file:
        file.write(str(child.pid))
    time.sleep(600)


def alarm_works() -> bool:
    """Return whether a handler of SIGALRM runs, which it does in a main thread alone."""
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(0.05)
    return bool(rung)


def leave_an_alarm() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.1)


def inherited() -> dict[str, Any]:
    """Return what this process has of the one that started it."""
    files = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            files[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the folder itself
            continue
    return {"files": files, "modules": sorted(sys.modules), "hash": hash("same in all")}


def grade(fault: str, number: float) -> float | NotMeasured:
    """Return the number, or fail as told."""
    if fault == "timeout":
        time.sleep(600)
    elif fault == "crash":
        os._exit(7)
    elif fault == "error":
        raise ValueError("told to")
    elif fault == "memory":
        allocate(1 << 40)
    elif fault == "unreachable":
        try:
            urllib.request.urlopen("http://127.0.0.1:9", timeout=5)  # discard: nobody listens
        except OSError as error:
            return NotMeasured("unreachable", str(error))
    elif fault == "gold":
        return NotMeasured("gold", "no number in it")
    elif fault == "missing":
        return float("nan")
    elif fault == "infinite":
        return float("inf")
    return number


async def in_event_loop(function: Any, *args: Any) -> Any:
    await asyncio.sleep(0)
    return function(*args)
