"""Real processes with a gloo group between them, for tests that ask what N ranks do; and scripts in their own process.

They are forked from a server that has imported what ranks use once, so that a test waits a second and not ten.
"""

import atexit
import faulthandler
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch.distributed as dist

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "torch",
        "torch.distributed.checkpoint.state_dict",
        "torch.distributed.fsdp",
        "accelerate",
        "deepspeed",  # accelerate imports it wherever it is installed, which takes longer than most tests' training
        "transformers.trainer",
        "transformers.models.deepseek_v3.modeling_deepseek_v3",
        "transformers.models.gemma3.modeling_gemma3",
        "transformers.models.gpt2.modeling_gpt2",
        "transformers.models.gpt_neox.modeling_gpt_neox",
        "transformers.models.gpt_oss.modeling_gpt_oss",
        "transformers.models.llama.modeling_llama",
        "transformers.models.mixtral.modeling_mixtral",
        "transformers.models.olmo2.modeling_olmo2",
        "transformers.models.phi3.modeling_phi3",
        "transformers.models.qwen2.modeling_qwen2",
        "transformers.models.qwen3.modeling_qwen3",
        "hf_muonclip.export",
        "hf_muonclip.kimi_k2",
        "hf_muonclip.trainer.callback",
        "torch._inductor.compile_fx",  # which DeepSpeed's engine imports
        # With the function that a rank calls, its test file is imported, and what that imports.
        "pytest",
        "parallel_models",
        "tiny_trainer",
        # What scripts import.
        "datasets",
        "matplotlib.pyplot",
        "hf_muonclip.evaluation",
        "hf_muonclip.hub.model_card",
        "hf_muonclip.runs.report",
        "frozen_imports",
    ]
)


class Outcome(NamedTuple):
    """How a rank ended.

    Attributes:
        result: what the function returned; None if it did not.
        error: the traceback of what it raised; "" if it did not.
        signal: that killed it; 0 if none did.
        hung: it had to be killed after the timeout.
    """

    result: Any
    error: str
    signal: int
    hung: bool


def run_on_ranks(
    world_size: int, function: Callable[..., Any], *args: Any, timeout: float = 180.0, environment: Any = None
) -> list[Any]:
    """Call `function(*args)` in each of `world_size` processes of one gloo group; return what each returned, by rank.

    Args:
        world_size: number of processes.
        function: of a module, not of another function; what it returns must pickle.
        args: must pickle.
        timeout: seconds until all are killed.
        environment: more environment variables.

    Raises:
        AssertionError: a rank raised (its traceback is the message), died, or did not end in time.
    """
    outcomes = outcomes_of_ranks(world_size, function, *args, timeout=timeout, environment=environment)
    errors = [outcome.error for outcome in outcomes if outcome.error]
    assert not errors, "\n".join(errors)
    assert not any(outcome.hung for outcome in outcomes), f"not all of {world_size} ranks ended within {timeout:.0f} s"
    dead = [rank for rank, outcome in enumerate(outcomes) if outcome.signal]
    assert not dead, f"ranks {dead} died"
    return [outcome.result for outcome in outcomes]


def outcomes_of_ranks(
    world_size: int,
    function: Callable[..., Any],
    *args: Any,
    timeout: float = 180.0,
    group_timeout: float = 120.0,
    environment: Any = None,
) -> list[Outcome]:
    """As `run_on_ranks`, for ranks that may raise, die or hang: tell how each ended, by rank.

    Args:
        world_size: number of processes.
        function: as there.
        args: must pickle.
        timeout: seconds until all are killed.
        group_timeout: seconds that a collective waits for the other ranks.
        environment: more environment variables.
    """
    _start_server()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            _CONTEXT.Process(
                target=_rank,
                args=(rank, world_size, folder, group_timeout, environment or {}, function, args),
                daemon=True,
            )
            for rank in range(world_size)
        ]
        for process in processes:
            process.start()
        deadline = time.monotonic() + timeout
        for process in processes:
            process.join(max(deadline - time.monotonic(), 0.0))
        hung = [process.is_alive() for process in processes]
        for process in processes:
            process.kill()
            process.join()
        return [
            _outcome(rank, Path(folder), process.exitcode or 0, late)
            for rank, (process, late) in enumerate(zip(processes, hung, strict=True))
        ]


class Ended(NamedTuple):
    """How a script ended: its exit code, what it printed, and its errors."""

    code: int
    printed: str
    errors: str


class Script:
    """`python *arguments` in a folder, away from the network; only what it imports may have been imported before.

    Args:
        arguments: a file, or "-c" and code, and what follows.
        folder: to run in.
        environment: more environment variables; what is read while a library is imported was read before.
    """

    def __init__(self, *arguments: object, folder: Path, environment: dict[str, str] | None = None) -> None:
        _start_server()
        self._outputs = tempfile.TemporaryDirectory()
        of_script = ([*map(str, arguments)], folder, Path(self._outputs.name), environment or {})
        self._process = _CONTEXT.Process(target=_script, args=of_script)
        self._process.start()

    def wait_for(self, text: str, timeout: float = 120.0) -> None:
        """Wait until it has printed this."""
        printed, deadline = Path(self._outputs.name, "printed"), time.monotonic() + timeout
        while not (printed.exists() and text in printed.read_text(encoding="utf-8")):
            assert time.monotonic() < deadline, f"{text!r} was not printed: {self.ended(0.0)}"
            assert self.runs(), self.ended()
            time.sleep(0.02)

    def runs(self) -> bool:
        """Return whether it has not ended."""
        return self._process.is_alive()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGINT)

    def ended(self, timeout: float = 300.0) -> Ended:
        """Wait, kill it after so many seconds, and tell how it ended; a killed one's errors end with its stack."""
        self._process.join(timeout)
        if timeout and self.runs():
            assert self._process.pid
            os.kill(self._process.pid, signal.SIGUSR1)
            time.sleep(1.0)
        self._process.kill()
        self._process.join()
        with self._outputs as folder:
            outputs = [Path(folder, name) for name in ("printed", "errors")]
            printed, errors = (path.read_text(encoding="utf-8") if path.exists() else "" for path in outputs)
        return Ended(self._process.exitcode or 0, printed, errors)


def run_script(*arguments: object, folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a `Script` to its end, which must be a good one, and return what it printed."""
    code, printed, errors = Script(*arguments, folder=folder, environment=environment).ended()
    assert code == 0, f"{printed}\n{errors}"
    return printed


def run_script_on_ranks(
    world_size: int, *arguments: object, folder: Path, environment: dict[str, str] | None = None
) -> str:
    """Run a script in each of `world_size` processes, with the environment that torchrun gives to its ranks.

    Returns:
        What they printed, errors too.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    size = str(world_size)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    shared |= environment or {}
    ranks = [
        Script(*arguments, folder=folder, environment={**shared, "RANK": rank, "LOCAL_RANK": rank})
        for rank in map(str, range(world_size))
    ]
    ended = [rank.ended() for rank in ranks]
    output = "\n".join(printed + errors for _, printed, errors in ended)
    assert all(code == 0 for code, _, _ in ended), output
    return output


def _start_server() -> None:
    # deepspeed chooses while it is imported; and the server looks for the tests' own modules where this process does.
    paths = os.pathsep.join(sys.path)
    with patch.dict(os.environ, DS_ACCELERATOR="cpu", PYTHONPATH=paths, HF_HUB_OFFLINE="1", MPLBACKEND="agg"):
        forkserver.ensure_running()


def _script(arguments: list[str], folder: Path, outputs: Path, environment: dict[str, str]) -> None:
    for stream, name in ((1, "printed"), (2, "errors")):
        with Path(outputs, name).open("wb") as file:
            os.dup2(file.fileno(), stream)
    faulthandler.register(signal.SIGUSR1)  # writes the stacks of all threads
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    os.chdir(folder)
    os.environ.update(environment)
    # Kept to the end: torch can hang where DDP's reducer, and with it a process group of gloo, is freed right after a
    # collective, by a thread that holds the interpreter's lock.
    script: dict[str, Any] = {"__name__": "__main__"}
    try:
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            sys.path.insert(0, "")
            exec(compile(arguments[1], "<string>", "exec"), script)
        else:
            sys.argv = arguments
            sys.path.insert(0, str(Path(arguments[0]).parent))
            script = runpy.run_path(arguments[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # a forked process leaves them out


def _outcome(rank: int, folder: Path, exitcode: int, hung: bool) -> Outcome:
    result, error = folder / f"result-{rank}", folder / f"error-{rank}"
    return Outcome(
        torch.load(result, weights_only=False) if result.exists() and exitcode == 0 else None,
        error.read_text() if error.exists() else f"rank {rank} exited with {exitcode}" if exitcode > 0 else "",
        0 if hung else max(-exitcode, 0),
        hung,
    )


def _rank(
    rank: int,
    world_size: int,
    folder: str,
    group_timeout: float,
    environment: dict[str, str],
    function: Callable[..., Any],
    args: Any,
) -> None:
    os.environ.update(
        {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size), "OMP_NUM_THREADS": "1"}
    )
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/rendezvous",
            rank=rank,
            world_size=world_size,
            timeout=timedelta(seconds=group_timeout),
        )
        torch.save(function(*args), Path(folder) / f"result-{rank}")
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        (Path(folder) / f"error-{rank}").write_text(f"rank {rank}:\n{traceback.format_exc()}")
        os._exit(1)
