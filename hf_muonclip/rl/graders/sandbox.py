"""A program that a model wrote, run with its tests in a limited process of its own.

The kernel enforces the limits: CPU seconds, memory, open files, file sizes (rlimits); no sockets, no other processes,
no signals to them (a seccomp filter); no writing outside its folder (Landlock, Linux 5.13 or newer). None of this needs
privileges. It protects training and its files from faulty programs. It is no security boundary: a program can read what
this user can, and exploit bugs of the kernel. Pass another `Executor` for programs that cannot be trusted.
"""

import json
import os
import resource
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...common.graders.not_measured import NotMeasured
from ...common.loggers import get_logger
from . import sandbox_runner

logger = get_logger(__name__)

# How a program can end. Each of these is a result: all but "ok" are the program's own fault.
ENDS = {
    "ok": "it and its tests ran to the end",
    "raised": "it or a test raised an exception, or it is not valid Python",
    "exit": "it exited before its tests ended, or with an exit code",
    "signal": "it was ended by a signal that it caused",
    "cpu": "it used up its CPU seconds",
    "wall": "it did not end in time, and had a CPU for most of it",
    "memory": "it needed more memory than allowed",
}


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Args:
        cpu: CPU seconds of all its threads, a whole number.
        wall: seconds until it is killed.
        memory: bytes of address space.
        open_files: files open at once.
        file_size: bytes per file it writes, and of its output and of its errors.

    Raises:
        ValueError: a limit is not positive.
    """

    cpu: int = 5
    wall: float = 20.0
    memory: int = 1 << 30
    open_files: int = 64
    file_size: int = 4 << 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be positive; got {value!r}.")


@dataclass(frozen=True)
class Execution:
    """How a program ended.

    Attributes:
        end: one of `ENDS`.
        output: its standard output.
        errors: its standard error, with the traceback of its exception.
        cpu: seconds used.
        wall: seconds that passed.
    """

    end: str
    output: str = field(repr=False)
    errors: str = field(repr=False)
    cpu: float
    wall: float

    @property
    def passed(self) -> bool:
        """Whether the program and its tests ran to the end."""
        return self.end == "ok"


# Runs a program, then tests (Python that sees its names, "" for none), with a text as standard input. Errors of the
# program, exceeded limits included, give an Execution; all other failures give NotMeasured.
Executor = Callable[[str, str, str, Limits], Execution | NotMeasured]


class SubprocessExecutor:
    """An `Executor` on this machine: a Python process per program, in a temporary folder. Callable from any thread.

    The program can import what is installed beside this package. It cannot start other processes.

    Raises:
        RuntimeError: the kernel cannot block network access and other processes.
    """

    def __init__(self) -> None:
        with tempfile.NamedTemporaryFile() as outside:
            found = self(_WRITE_PROBE, "", outside.name, Limits())
        if isinstance(found, NotMeasured) or not found.passed:
            reason = found.detail if isinstance(found, NotMeasured) else found.errors
            raise RuntimeError(
                f"programs cannot be confined on this machine, so none is run: {reason}. Pass another executor, one "
                "that runs them in a container or elsewhere."
            )
        if "written" in found.output:
            logger.warning(
                "this kernel has no Landlock: programs can write and remove whatever this user can. Use Linux 5.13 or "
                "newer, or pass another executor, one that runs them in a container or elsewhere."
            )

    def __call__(self, program: str, tests: str, stdin: str, limits: Limits) -> Execution | NotMeasured:
        """Return how the program ended; NotMeasured if it could not start, was killed, or got too little CPU time."""
        word = secrets.token_hex(8)
        task = {
            "program": program,
            "tests": tests,
            "stdin": stdin,
            "word": word,
            "limits": {
                "RLIMIT_CPU": limits.cpu,
                "RLIMIT_AS": limits.memory,
                "RLIMIT_NOFILE": limits.open_files,
                "RLIMIT_FSIZE": limits.file_size,
            },
        }
        try:
            with (
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
                tempfile.TemporaryFile() as given,
                tempfile.TemporaryFile() as output,
                tempfile.TemporaryFile() as errors,
            ):
                given.write(json.dumps(task).encode())
                given.seek(0)
                said, exit_code, usage, wall, waited = _run(folder, given, output, errors, limits.wall)
                texts = _text(output), _text(errors)
        except OSError as error:
            return NotMeasured("error", f"a program's process cannot be started: {error}")
        if not said.startswith("s"):
            return NotMeasured("error", f"a program's process ended before the program began: {texts[1][-500:]}")
        cpu = usage.ru_utime + usage.ru_stime
        end = _end(said == "s" + word, exit_code, cpu, wall, limits)
        if end == "wall" and waited > wall / 2:
            return NotMeasured("timeout", f"the program waited {waited:.1f} of {wall:.1f} s for a CPU")
        if end == "killed":
            return NotMeasured("crash", "the program's process was killed from outside")
        return Execution(end, *texts, cpu=cpu, wall=wall)


def _run(
    folder: str, given: BinaryIO, output: BinaryIO, errors: BinaryIO, wall: float
) -> tuple[str, int, resource.struct_rusage, float, float]:
    """Return its text on the status pipe, exit code, resource usage, and seconds: elapsed, and waiting for a CPU."""
    status, theirs = os.pipe()
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", sandbox_runner.__file__, str(theirs)],
            stdin=given,
            stdout=output,
            stderr=errors,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", **_ONE_THREAD},
            start_new_session=True,
            pass_fds=(theirs,),
        )
    except OSError:
        os.close(status)
        raise
    finally:
        os.close(theirs)
    said, waited, ended = "", 0.0, 0
    poll = select.poll()
    poll.register(status)
    try:
        while (left := began + wall - time.monotonic()) > 0 and poll.poll(left * 1000):
            if not (part := os.read(status, 64)):
                break  # the process ends, or the program has closed the pipe
            said = (said + part.decode("latin-1"))[:64]
        while not ended and time.monotonic() < began + wall:
            ended, code, usage = os.wait4(process.pid, os.WNOHANG)
            if not ended:
                time.sleep(0.001)
    finally:
        if not ended:
            waited = _waited(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
        os.close(status)
    return said, process.returncode, usage, time.monotonic() - began, waited


def _end(well: bool, exit_code: int, cpu: float, wall: float, limits: Limits) -> str:
    """Return how a program ended: one of `ENDS`, or "killed" if from outside."""
    if exit_code == 0 and well:
        return "ok"
    if exit_code == -signal.SIGXCPU or (exit_code == -signal.SIGKILL and cpu >= limits.cpu):
        return "cpu"
    if exit_code == -signal.SIGKILL:
        return "wall" if wall >= limits.wall else "killed"
    if exit_code < 0:
        return "signal"
    return {sandbox_runner.OUT_OF_MEMORY: "memory", sandbox_runner.RAISED: "raised"}.get(exit_code, "exit")


def _waited(pid: int) -> float:
    """Return the seconds for which a process was runnable and had no CPU."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:  # a kernel without it
        return 0.0


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


_WRITE_PROBE = """
import os
os.mkdir("folder")
open("folder/file", "w").close()
os.remove("folder/file")
open(os.devnull, "w").close()
try:
    open(input(), "w").close()
    print("written")
except PermissionError:
    pass
"""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
