"""Real processes with a gloo group between them, for tests that ask what N ranks do.

They are forked from a server that has imported torch and transformers once, so that a test waits a second and not ten.
"""

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "torch",
        "torch.distributed.checkpoint.state_dict",
        "torch.distributed.fsdp",
        "accelerate",
        "transformers.trainer",
        "transformers.models.deepseek_v3.modeling_deepseek_v3",
        "transformers.models.llama.modeling_llama",
        "hf_muonclip.trainer",
    ]
)


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
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            _CONTEXT.Process(
                target=_rank, args=(rank, world_size, folder, environment or {}, function, args), daemon=True
            )
            for rank in range(world_size)
        ]
        for process in processes:
            process.start()
        hung = False
        for process in processes:
            process.join(timeout)
            hung = hung or process.is_alive()
        for process in processes:
            process.kill()
            process.join()
        errors = [path.read_text() for path in sorted(Path(folder).glob("error-*"))]
        assert not errors, "\n".join(errors)
        assert not hung, f"not all of {world_size} ranks ended within {timeout:.0f} s"
        dead = [rank for rank, process in enumerate(processes) if process.exitcode]
        assert not dead, f"ranks {dead} died"
        return [torch.load(Path(folder) / f"result-{rank}", weights_only=False) for rank in range(world_size)]


def _rank(
    rank: int, world_size: int, folder: str, environment: dict[str, str], function: Callable[..., Any], args: Any
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
            timeout=timedelta(seconds=120),
        )
        torch.save(function(*args), Path(folder) / f"result-{rank}")
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        (Path(folder) / f"error-{rank}").write_text(f"rank {rank}:\n{traceback.format_exc()}")
        os._exit(1)
