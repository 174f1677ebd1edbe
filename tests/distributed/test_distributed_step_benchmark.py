"""The benchmark of distributed steps counts what a rank really sends."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from processes import run_on_ranks
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: coverage.py there must not hide the package

from distributed_step import Traffic


def send_everything() -> list[dict[str, float]]:
    """Run each kind of collective by itself, and return what was counted."""
    rank, world = dist.get_rank(), dist.get_world_size()
    shard = distribute_tensor(torch.ones(6, 4), init_device_mesh("cpu", (world,)), [Shard(0)])
    ten, gathered = torch.ones(10), torch.empty(world * 10)
    splits = [1 + place for place in range(world)]  # rows of 2 entries for each rank
    rows, into = torch.ones(sum(splits), 2), torch.empty(world * (1 + rank), 2)
    collectives = (
        lambda: dist.all_reduce(ten),
        lambda: dist.all_gather_into_tensor(gathered, ten),
        lambda: dist.all_gather([torch.empty(10) for _ in range(world)], ten),
        lambda: dist.all_to_all_single(into, rows, [1 + rank] * world, splits),
        lambda: shard.full_tensor(),
        lambda: dist.gather(ten, [torch.empty(10) for _ in range(world)] if rank == 1 else None, dst=1),
        lambda: dist.scatter(torch.empty(10), [ten] * world if rank == 1 else None, src=1),
    )
    found = []
    for collective in collectives:
        with Traffic() as traffic:
            collective()
        found.append(dict(traffic.sent))
    return found


def test_bytes_that_leave_a_rank_are_counted_by_collective() -> None:
    for rank, found in enumerate(run_on_ranks(3, send_everything)):
        around = 2 * 2 / 3
        assert found == [
            {"all-reduce": around * 40},
            {"all-gather": 2 * 40},
            {"all-gather": 2 * 40},
            {"all-to-all": 4 * 2 * (1 + 2 + 3 - (1 + rank))},
            {"all-gather": 2 * 4 * 8},
            {"gather": 0 if rank == 1 else 40},
            {"scatter": 2 * 40 if rank == 1 else 0},
        ]
