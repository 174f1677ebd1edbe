"""A rank that is killed in the middle of a step or of a save: the others end, and the last checkpoint goes on."""

import functools
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from processes import Script, outcomes_of_ranks, run_on_ranks
from tiny_models import tiny_model
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from hf_muonclip import MuonClip

STEPS, KILLED_AT = 5, 3
GROUP_TIMEOUT = 20.0
SETTINGS: dict[str, Any] = {"lr": 5e-3, "qk_clip_threshold": 0.03, "ns_dtype": "float32"}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingMuonClip(MuonClip):
    """A MuonClip whose process is killed when the second batch of matrices of a step is due."""

    batches_left = -1

    def orthogonalize(self, matrices: Tensor, group: Any) -> Tensor:
        self.batches_left -= 1
        if self.batches_left == 0:
            die()
        return super().orthogonalize(matrices, group)


class DyingFile:
    """A file whose writer is killed after the first bytes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, data: Any) -> int:
        self._file.write(bytes(data)[:100])
        self._file.flush()
        os.fsync(self._file.fileno())
        die()
        return 0

    def flush(self) -> None:
        self._file.flush()


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name.removeprefix("module."): whole(p).detach().clone() for name, p in model.named_parameters()}


def wrapped(model: nn.Module, kind: str) -> nn.Module:
    if kind == "ddp":
        return DistributedDataParallel(model)
    for layer in model.model.layers:  # type: ignore[union-attr]
        fully_shard(layer)
    return fully_shard(model)


def save(model: nn.Module, optimizer: MuonClip, step: int, path: Path, fault: str) -> None:
    """Write a whole checkpoint beside the old one, then put it in its place."""
    dies = fault == "gather" and dist.get_rank() == 1
    if dies:
        dist.all_gather_object = lambda *_, **__: die()
    weights, state = weights_of(model), optimizer.state_dict()
    if dies:  # under FSDP2 only what follows gathers
        die()
    state["state"] = {i: {k: whole(v) for k, v in moments.items()} for i, moments in state["state"].items()}
    if dist.get_rank() == 0:
        new = path.with_suffix(".new")
        target: Any = DyingFile(new) if fault == "write" else new
        torch.save({"step": step, "weights": weights, "optimizer": state}, target)
        os.replace(new, path)


def train(kind: str, path: Path | None, fault: str) -> dict[str, Tensor]:
    """Train from the last checkpoint to the end, with one on the way after every step."""
    rank, world = dist.get_rank(), dist.get_world_size()
    unwrapped, first, saved = tiny_model("llama_gqa"), 0, None
    if path is not None and path.exists():
        saved = torch.load(path, weights_only=True)
        unwrapped.load_state_dict(saved["weights"])
        first = saved["step"]
    model = wrapped(unwrapped, kind)
    optimizer = DyingMuonClip(model, **SETTINGS)
    if saved is not None:
        optimizer.load_state_dict(saved["optimizer"])
    for step in range(first, STEPS):
        tokens = torch.randint(1, 128, (4, 12), generator=torch.Generator().manual_seed(step)).chunk(world)[rank]
        model(input_ids=tokens, labels=tokens).loss.backward()
        now = fault if step == KILLED_AT else ""
        if now == "step" and rank == 1:
            optimizer.batches_left = 2
        optimizer.step()
        optimizer.zero_grad()
        if path is not None:
            save(model, optimizer, step + 1, path, now)
    return weights_of(model)


@functools.cache
def uninterrupted(kind: str) -> dict[str, Tensor]:
    first, second = run_on_ranks(2, train, kind, None, "")
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
    return first


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        assert torch.equal(found[name], weight), name


@pytest.mark.parametrize("fault", ["step", "gather", "write"])
@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_a_killed_rank_ends_the_others_and_the_run_goes_on(kind: str, fault: str, tmp_path: Path) -> None:
    path, wanted = tmp_path / "checkpoint.pt", uninterrupted(kind)
    started = time.monotonic()  # with the ranks' server running
    outcomes = outcomes_of_ranks(2, train, kind, path, fault, timeout=60, group_timeout=GROUP_TIMEOUT)
    killed = 0 if fault == "write" else 1
    assert outcomes[killed].signal == signal.SIGKILL
    assert not outcomes[1 - killed].hung
    assert outcomes[1 - killed].error
    assert time.monotonic() - started < GROUP_TIMEOUT + 15
    assert path.with_suffix(".new").exists() == (fault == "write")
    assert torch.load(path, weights_only=True)["step"] == KILLED_AT

    for weights in run_on_ranks(2, train, kind, path, ""):
        assert_equal(weights, wanted)


def train_or_go_on(folder: Path, fault: str) -> None:
    """What every rank of torchrun's does: train with a fault at the first attempt, and without at the second."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # torchrun's own, from which this process is forked, would raise
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=GROUP_TIMEOUT))
    started_before = folder / f"started-{dist.get_rank()}"
    fault = "" if started_before.exists() else fault
    started_before.touch()
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        (folder / f"resumed-{dist.get_rank()}").write_text(str(torch.load(checkpoint)["step"]))
    weights = train("ddp", checkpoint, fault)
    torch.save(weights, folder / f"weights-{dist.get_rank()}.pt")
    dist.destroy_process_group()


# torchrun behind its command line; its ranks are forked instead of importing everything in every attempt.
TORCHRUN = """
import sys
from pathlib import Path
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from test_faults import train_or_go_on

config = LaunchConfig(
    min_nodes=1, max_nodes=1, nproc_per_node=2, max_restarts=1, monitor_interval=0.2,
    rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork",
)
elastic_launch(config, train_or_go_on)(Path(sys.argv[1]), sys.argv[2])
"""


def test_torchrun_restarts_a_killed_run(tmp_path: Path) -> None:
    # torchrun's rendezvous lends its store to every attempt, where the addresses of the last one still stand.
    environment = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    code, _, errors = Script("-c", TORCHRUN, tmp_path, "step", folder=tmp_path, environment=environment).ended(180.0)
    assert code == 0, errors

    for rank in range(2):
        assert (tmp_path / f"resumed-{rank}").read_text() == str(KILLED_AT)
        assert_equal(torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True), uninterrupted("ddp"))
