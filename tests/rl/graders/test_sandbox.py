"""Programs end as they deserve within their limits, reach nothing else, and what is not their fault is no result."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from error_messages import naming

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.graders import sandbox, sandbox_runner
from hf_muonclip.rl.graders.sandbox import ENDS, Execution, Limits, SubprocessExecutor

LIMITS = Limits(cpu=1, wall=8.0, memory=512 << 20, open_files=32, file_size=1 << 20)


@pytest.fixture(scope="module")
def executor() -> SubprocessExecutor:
    return SubprocessExecutor()


def run(
    executor: SubprocessExecutor, program: str, tests: str = "", stdin: str = "", limits: Limits = LIMITS
) -> Execution:
    found = executor(program, tests, stdin, limits)
    assert isinstance(found, Execution), found
    assert found.end in ENDS
    return found


@pytest.mark.parametrize(
    ("program", "tests", "end"),
    [
        ("def f(x): return x + 1", "assert f(1) == 2", "ok"),
        ("def f(x): return x + 2", "assert f(1) == 2", "raised"),
        ("def f(x:", "", "raised"),
        ("f = 1", "raise SystemExit(0)", "raised"),
        ("import sys; sys.exit(0)", "assert False", "exit"),  # before its tests: no way to pass them
        ("import os; os._exit(0)", "assert False", "exit"),
        ("import sys; sys.exit()", "", "ok"),
        ("import sys; sys.exit(3)", "", "exit"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "", "signal"),
        ("def f(): f()\nf()", "", "raised"),
        ("while True: pass", "", "cpu"),
        ("bytearray(1 << 30)", "", "memory"),
        ("import threading; t = threading.Thread(target=print, args=(1,)); t.start(); t.join()", "", "ok"),
        ("import asyncio; asyncio.run(asyncio.sleep(0.01))", "", "ok"),
        ("import numpy; assert (numpy.ones((8, 8)) @ numpy.ones(8)).sum() == 64", "", "ok"),
    ],
)
def test_how_programs_end(program: str, tests: str, end: str, executor: SubprocessExecutor) -> None:
    found = run(executor, program, tests)
    assert found.end == end
    assert found.passed == (end == "ok")
    assert found.wall < LIMITS.wall


def test_input_and_output(executor: SubprocessExecutor) -> None:
    found = run(executor, "print(int(input()) * 2); import sys; print('é', file=sys.stderr)", stdin="21\n")
    assert (found.end, found.output, found.errors) == ("ok", "42\n", "é\n")
    assert "ZeroDivisionError" in run(executor, "1 / 0").errors
    tests_see = run(executor, "import sys\nprint(sys.stdin.read() + __name__)", tests="assert sys.argv == ['program']")
    assert (tests_see.end, tests_see.output) == ("ok", "__main__\n")


def test_a_program_that_sleeps_is_killed_at_the_wall(executor: SubprocessExecutor) -> None:
    found = run(executor, "import time; time.sleep(600)", limits=Limits(wall=2.0))
    assert found.end == "wall"
    assert 2 <= found.wall < 4
    hidden = "import os, time; os.closerange(3, 64); time.sleep(600)"  # closes the pipe that it reports to
    assert run(executor, hidden, limits=Limits(wall=2.0)).end == "wall"


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), timeout=5)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9', timeout=5)",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "import os; os.kill(os.getppid(), 0)",
        "import os; os.killpg(0, 9)",
    ],
)
def test_a_program_reaches_no_network_and_no_other_process(program: str, executor: SubprocessExecutor) -> None:
    found = run(executor, program)
    assert found.end == "raised", found.errors
    assert "Operation not permitted" in found.errors or "Permission denied" in found.errors


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("open('a', 'w').write('x' * (2 << 20))", "File too large"),
        ("print('x' * (2 << 20))", "File too large"),
        ("files = [open(str(i), 'w') for i in range(64)]", "Too many open files"),
    ],
)
def test_files_are_limited(program: str, error: str, executor: SubprocessExecutor) -> None:
    found = run(executor, program)
    assert found.end == "raised"
    assert error in found.errors
    assert len(found.output) <= LIMITS.file_size


SECURITY_MODULES = Path("/sys/kernel/security/lsm")


@pytest.mark.skipif(
    SECURITY_MODULES.exists() and "landlock" not in SECURITY_MODULES.read_text(), reason="this kernel has no Landlock"
)
def test_a_program_writes_in_its_folder_alone(executor: SubprocessExecutor, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    for program in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(tmp_path / 'kept')!r}, 'a')",
        f"import os; os.remove({str(tmp_path / 'kept')!r})",
        f"import os; os.mkdir({str(tmp_path / 'folder')!r})",
    ):
        assert "Permission denied" in run(executor, program).errors
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    own = "import os, tempfile; open('a', 'w').write('b'); os.mkdir('c'); tempfile.TemporaryFile().write(b'c'); "
    assert run(executor, own + "os.rename('a', 'c/a'); print(open('c/a').read())").output == "b\n"


def test_nothing_stays_behind(executor: SubprocessExecutor) -> None:
    folder = run(executor, "import os; os.mkdir('a'); os.chmod('a', 0); print(os.getcwd())").output.strip()
    assert not Path(folder).exists()


def test_a_program_sees_none_of_this_environment(executor: SubprocessExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    assert "hidden" not in run(executor, "import os; print(dict(os.environ))").output


def test_threads_run_programs_at_once(executor: SubprocessExecutor) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: run(executor, "print(input())", stdin=f"{i}"), range(8)))
    assert [one.output for one in found] == [f"{i}\n" for i in range(8)]


def test_a_process_that_cannot_start_is_no_result(
    executor: SubprocessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        found = executor("print(1)", "", "", LIMITS)
        assert isinstance(found, NotMeasured)
        assert found.cause == "error"
        assert "/nowhere/python" in found.detail
    found = executor("print(1)", "", "", Limits(open_files=3))  # too few to begin with
    assert isinstance(found, NotMeasured)
    assert "Too many open files" in found.detail
    monkeypatch.setattr(sandbox.sandbox_runner, "__file__", "/nowhere/runner.py")
    with pytest.raises(RuntimeError, match=naming("confined", "/nowhere/runner.py")):
        SubprocessExecutor()


def test_a_machine_without_time_for_it_is_no_result(
    executor: SubprocessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_waited", lambda _: 1.5)
    found = executor("import time; time.sleep(600)", "", "", Limits(wall=2.0))
    assert isinstance(found, NotMeasured)
    assert found.cause == "timeout"


def test_a_program_killed_from_outside_is_no_result(executor: SubprocessExecutor) -> None:
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(executor, "import time; time.sleep(600)", "", "", Limits(wall=30))
        children: list[str] = []
        deadline = time.monotonic() + 10
        while not children and time.monotonic() < deadline:
            time.sleep(0.05)
            every = [p for path in Path("/proc/self/task").glob("*/children") for p in path.read_text().split()]
            children = [p for p in every if b"sandbox_runner" in Path("/proc", p, "cmdline").read_bytes()]
        time.sleep(0.5)
        os.kill(int(children[0]), 9)
        found = future.result()
    assert isinstance(found, NotMeasured)
    assert found.cause == "crash"


def test_a_machine_without_a_filter_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_runner.platform, "machine", lambda: "vax")
    with pytest.raises(OSError, match=naming("vax", "x86_64")):
        sandbox_runner.confine_calls()


def test_limits_must_be_positive() -> None:
    for name in ("cpu", "wall", "memory", "open_files", "file_size"):
        with pytest.raises(ValueError, match=naming(name, "0")):
            Limits(**{name: 0})
