"""Graders may hang, crash, raise and fill memory: only their call is lost, in time, and nothing waits for them."""

import asyncio
import copy
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import odd_graders
import pytest
from error_messages import naming
from fresh_process import run_python

from hf_muonclip.common.graders.grader_pool import GraderPool, default_pool
from hf_muonclip.common.graders.not_measured import NotMeasured

DEADLINE = 1.0


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, deadline=DEADLINE, memory=1 << 30) as pool:
        pool.map(odd_graders.echo, [(0,)] * 4)
        yield pool


def causes(results: list[Any]) -> list[Any]:
    return [result.cause if isinstance(result, NotMeasured) else result for result in results]


def test_results_come_in_order(pool: GraderPool) -> None:
    assert pool.map(odd_graders.add, [(i, 0.5) for i in range(500)]) == [i + 0.5 for i in range(500)]
    assert pool.map(odd_graders.add, []) == []
    values = [None, True, 3, 2.5, "a", b"b", [1, "x"], (1, 2), {"k": [1]}, {1, 2}]
    assert pool.map(odd_graders.echo, [(value,) for value in values]) == values


def test_both_workers_work(pool: GraderPool) -> None:
    began = time.monotonic()
    pool.map(odd_graders.sleep, [(0.4,), (0.4,)])
    assert time.monotonic() - began < 0.75


@pytest.mark.parametrize(
    ("function", "arguments", "cause", "detail"),
    [
        (odd_graders.sleep, (60.0,), "timeout", "1 s"),
        (odd_graders.never_return_from_c, (), "timeout", "1 s"),
        (odd_graders.exit_with, (3,), "crash", "3"),
        (odd_graders.raise_error, ("what",), "error", "KeyError: 'what'"),
        (odd_graders.exit_politely, (), "error", "SystemExit"),
        (odd_graders.allocate, (2 << 30,), "memory", "MemoryError"),
        (odd_graders.give_an_object, (), "error", "Decimal"),
        (odd_graders.not_measured, ("unreachable",), "unreachable", "as it found"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_failure_has_its_cause(
    function: Callable[..., Any], arguments: tuple[Any, ...], cause: str, detail: str, pool: GraderPool
) -> None:
    began = time.monotonic()
    (found,) = pool.map(function, [arguments])
    assert time.monotonic() - began < DEADLINE + 1.5
    assert isinstance(found, NotMeasured)
    assert found.cause == cause
    assert detail in found.detail


def test_a_failure_costs_its_neighbours_nothing(pool: GraderPool) -> None:
    faults = ["", "crash", "", "error", "timeout", "", "memory", "gold", "", "missing"]
    found = pool.map(odd_graders.grade, [(fault, i) for i, fault in enumerate(faults)])
    assert causes(found)[:9] == [0, "crash", 2, "error", "timeout", 5, "memory", "gold", 8]
    assert found[9] != found[9]
    assert not isinstance(found[9], NotMeasured)


def test_this_process_goes_on_while_a_grader_holds_its_own_lock(pool: GraderPool) -> None:
    ticks = []
    thread = threading.Thread(target=pool.map, args=(odd_graders.never_return_from_c, [()]))
    thread.start()
    while thread.is_alive():
        ticks.append(time.monotonic())
        time.sleep(0.01)
    pauses = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    assert len(ticks) > 20
    assert max(pauses) < 0.5


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_what_a_grader_started_ends_with_it(pool: GraderPool, tmp_path: Path) -> None:
    path = tmp_path / "child"
    assert causes(pool.map(odd_graders.leave_a_child_and_sleep, [(str(path),)])) == ["timeout"]
    child = int(path.read_text())
    deadline = time.monotonic() + 5
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(child)


def test_a_worker_that_died_idle_is_replaced(pool: GraderPool) -> None:
    for process in set(pool.map(odd_graders.pid, [()] * 8)):
        os.kill(process, signal.SIGKILL)
    assert pool.map(odd_graders.add, [(1, 1)] * 4) == [2] * 4


def test_graders_run_in_a_main_thread_wherever_they_are_called_from(pool: GraderPool) -> None:
    async def reward() -> list[Any]:
        return pool.map(odd_graders.alarm_works, [()])

    async def in_thread() -> list[Any]:
        return await asyncio.to_thread(pool.map, odd_graders.alarm_works, [()])

    assert pool.map(odd_graders.alarm_works, [()]) == [True]
    assert asyncio.run(reward()) == [True]
    assert asyncio.run(in_thread()) == [True]


def test_an_alarm_that_a_grader_left_harms_no_other(pool: GraderPool) -> None:
    assert pool.map(odd_graders.leave_an_alarm, [()] * 2) == [None] * 2
    assert pool.map(odd_graders.sleep, [(0.3,)] * 2) == [0.3] * 2


def test_threads_share_the_workers(pool: GraderPool) -> None:
    def work(thread: int) -> list[Any]:
        return pool.map(odd_graders.grade, [("crash" if i == thread else "", 100 * thread + i) for i in range(30)])

    with ThreadPoolExecutor(6) as threads:
        for thread, found in enumerate(threads.map(work, range(6))):
            expected: list[Any] = [100 * thread + i for i in range(30)]
            expected[thread] = "crash"
            assert causes(found) == expected


def test_a_worker_inherits_no_socket_no_input_and_no_torch(pool: GraderPool) -> None:
    (found,) = pool.map(odd_graders.inherited, [()])
    files = found["files"]
    assert files[0] == files[1] == "/dev/null"
    own = [target for number, target in files.items() if number > 2 and not target.startswith("/proc/")]
    assert sorted(target.split(":")[0] for target in own) == ["pipe", "socket"]  # of the pool alone
    for heavy in ("torch", "transformers", "datasets", "trl", "numpy"):
        assert heavy not in found["modules"]
    assert len({result["hash"] for result in pool.map(odd_graders.inherited, [()] * 4)}) == 1


def test_functions_that_a_worker_cannot_find_are_refused(pool: GraderPool) -> None:
    def local() -> None: ...

    for function in (local, lambda: None, pool.close):
        with pytest.raises(ValueError, match=naming("module", getattr(function, "__name__", ""))):
            pool.map(function, [()])


def test_a_module_that_a_worker_cannot_import_is_an_error(
    pool: GraderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, rest, named in (
        ("grader_that_raises", "raise OSError('no data')", "no data"),
        ("grader_that_exits", "os._exit(5)", "5"),
    ):
        (tmp_path / f"{name}.py").write_text(
            f"import os, sys\ndef grade(): return 1\nif '-P' in sys.orig_argv: {rest}\n"
        )
        module = __import__(name)
        with GraderPool(workers=1) as fresh, pytest.raises(RuntimeError, match=naming(f"{name}.grade", named)):
            fresh.map(module.grade, [()])


def test_a_pool_travels_by_its_limits(pool: GraderPool) -> None:
    first, second = pickle.loads(pickle.dumps((pool, pool)))
    with first:
        assert first is second is not pool
        assert (first.workers, first.deadline, first.memory) == (2, DEADLINE, 1 << 30)
        assert first.map(odd_graders.pid, [()])[0] not in pool.map(odd_graders.pid, [()] * 4)
        copied = copy.deepcopy(first)
    copied.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(copied)


def test_limits_must_be_positive() -> None:
    for name in ("workers", "deadline", "memory"):
        with pytest.raises(ValueError, match=naming(name, "0")):
            GraderPool(**{name: 0})


def test_a_closed_pool_refuses_and_interrupts() -> None:
    pool = GraderPool(workers=1, deadline=60)
    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(pool.map, odd_graders.sleep, [(60.0,)]) for _ in range(2)]  # one waits for the other
        time.sleep(1.0)
        pool.close()
        for future in busy:
            with pytest.raises(RuntimeError, match=naming("closed")):
                future.result(timeout=10)
    with pytest.raises(RuntimeError, match=naming("closed")):
        pool.map(odd_graders.echo, [(1,)])


def test_the_default_pool_is_one() -> None:
    pool = default_pool()
    assert default_pool() is pool
    pool.close()
    assert default_pool().map(odd_graders.add, [(1, 2)]) == [3]


FORK = """
import os, sys
sys.path.insert(0, {tests!r})
import odd_graders
from hf_muonclip.common.graders.grader_pool import default_pool

assert default_pool().map(odd_graders.add, [(1, 2)]) == [3]
mine = default_pool().map(odd_graders.pid, [()])[0]
child = os.fork()
found = default_pool().map(odd_graders.add, [(i, i) for i in range(50)])
assert found == [2 * i for i in range(50)], found
if child == 0:
    assert default_pool().map(odd_graders.pid, [()])[0] != mine
    default_pool().close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_forked_process_has_its_own_workers(tmp_path: Path) -> None:
    run_python(FORK.format(tests=str(Path(odd_graders.__file__).parent)), tmp_path)


UNFINISHED = """
import sys, threading, time
sys.path.insert(0, {tests!r})
import odd_graders
from hf_muonclip.common.graders.grader_pool import GraderPool

pool = GraderPool(workers=2, deadline=600)
print(*pool.map(odd_graders.pid, [()] * 20))
threading.Thread(target=pool.map, args=(odd_graders.never_return_from_c, [()]), daemon=True).start()
time.sleep(0.5)
print("ready", flush=True)
{rest}
"""


def unfinished(rest: str, folder: Path) -> subprocess.Popen[str]:
    code = UNFINISHED.format(tests=str(Path(odd_graders.__file__).parent), rest=rest)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
    )


@pytest.mark.parametrize("killed", [False, True], ids=["ends", "killed"])
def test_workers_end_with_their_process(killed: bool, tmp_path: Path) -> None:
    """Also one that is in C code then, and when nothing of the process could run any more."""
    process = unfinished("time.sleep(600)" if killed else "", tmp_path)
    assert process.stdout is not None
    workers = [int(number) for number in process.stdout.readline().split()]
    assert process.stdout.readline().strip() == "ready"
    if killed:
        process.kill()
    assert process.wait(timeout=20) == (-signal.SIGKILL if killed else 0)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while not all(map(gone, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(map(gone, workers))
