"""Shards made by several processes. One that is killed ends the run; when the run ends, in any way, all of them end."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

from .generator import GenerationError

_make: Callable[..., Any]  # in a worker


def in_workers(make: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], workers: int) -> Generator[Any, None, None]:
    """Yield what `make(*task)` returns for each task, in the order in which they are done.

    Args:
        make: must pickle; it is sent to each process once.
        tasks: read as they are begun; a few more than there are processes are held.
        workers: number of processes. They are started anew, so that a script needs `if __name__ == "__main__":`. Each
            has its part of the processors for OpenMP, where OMP_NUM_THREADS does not say otherwise.

    Raises:
        GenerationError: a process ended before its task was done.
        Exception: what `make` raised; the tasks that others are at are done before.
    """
    sent = pickle.dumps(make)  # what does not pickle is refused here, and not while processes start
    context = multiprocessing.get_context("spawn")
    life, ours = context.Pipe(duplex=False)
    threads = max((os.cpu_count() or 1) // workers, 1)
    with (
        ours,
        life,
        ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(sent, life, threads)) as pool,
    ):
        running: set[Future[Any]] = set()
        try:
            for task in tasks:
                running.add(pool.submit(_run, task))
                if len(running) > workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        except BrokenProcessPool as error:
            raise GenerationError(
                "a worker process ended before its shard was done: it was killed, for instance by a system short of "
                "memory, or could not start and has said why above. All shards that are done stay. Run again to go on, "
                "with fewer workers where memory is short."
            ) from error
        except Exception:
            for one in running:
                one.cancel()
            raise
        except BaseException:  # Ctrl-C, or nobody asks for more: nothing is waited for
            ours.close()
            raise


def _begin(sent: bytes, life: Connection, threads: int) -> None:
    global _make
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run
    threading.Thread(target=_end_with_the_run, args=(life,), daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported, which unpickling may do
    _make = pickle.loads(sent)


def _end_with_the_run(life: Connection) -> None:
    """End this process when the run's end of the pipe is closed: also a run that was killed closes it."""
    try:
        life.recv()
    except (EOFError, OSError):
        os._exit(1)


def _run(task: tuple[Any, ...]) -> Any:
    return _make(*task)
