"""How do ranks share an optimizer step: the products, the state, the bytes that each sends, the time?

N processes with gloo step the same parameters and gradients: replicas as under DDP, or shards as under FSDP2. Hidden
matrices go to the optimizer under test, the rest to AdamW. Operations and collectives are counted in one step by the
dispatcher, so torch.compile is off; the times are of other steps, in turns.

Sent is what leaves a rank: of an all-to-all everything but its own part, of an all-gather its part n - 1 times, of an
all-reduce 2·(n - 1)/n times its bytes. All ranks share the processor, so the time is that of their work together.

    OMP_NUM_THREADS=1 python benchmarks/distributed_step.py    # minutes; appends rows to results/distributed_step.jsonl
    python benchmarks/tables.py                                # renders the newest run into benchmarks/README.md
"""

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from measure import append_rows, interleaved, quantiles_ms, ratio_p50
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from hf_muonclip import MuonClip

OURS, TORCH, DION = "MuonClip", "torch.optim.Muon and AdamW", "microsoft/dion, not compiled"
MUON_FSDP2 = "muon-fsdp2, not compiled"
VARIANTS = (TORCH, OURS, DION, MUON_FSDP2)
PLACEMENTS = ("DDP", "FSDP2")
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.1
SIZES = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "vocab_size": 1024}


class Traffic(TorchDispatchMode):
    """Counts the bytes that this rank sends, by collective."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # counted as the operations on shards that it becomes
        if func.namespace in ("c10d", "_c10d_functional"):
            self._count(func.name().partition("::")[2].partition(".")[0], args)
        return func(*args, **(kwargs or {}))

    def _count(self, name: str, args: Any) -> None:
        world, rank = dist.get_world_size(), dist.get_rank()
        around = (world - 1) / world
        if name in ("allreduce_", "all_reduce"):
            self.sent["all-reduce"] += 2 * around * size_of(args[0])
        elif name in ("allgather_", "_allgather_base_", "all_gather_into_tensor"):
            self.sent["all-gather"] += (world - 1) * size_of(args[0 if name.startswith("all_") else 1])
        elif name in ("reduce_scatter_tensor", "_reduce_scatter_base_"):
            self.sent["reduce-scatter"] += around * size_of(args[0 if name.startswith("r") else 1])
        elif name == "alltoall_":
            self.sent["all-to-all"] += sum(size_of(part) for place, part in enumerate(args[1]) if place != rank)
        elif name in ("alltoall_base_", "all_to_all_single"):
            sent, splits = (args[1], args[4]) if name == "alltoall_base_" else (args[0], args[2])
            own = splits[rank] * sent[:1].numel() if splits else sent.numel() // world
            self.sent["all-to-all"] += size_of(sent) - own * sent.element_size()
        elif name == "gather_":
            self.sent["gather"] += size_of(args[1]) * (rank != args[3])
        elif name == "scatter_":
            self.sent["scatter"] += sum(
                size_of(part) for of in args[1] for place, part in enumerate(of) if place != rank
            )
        elif name not in ("wait_tensor", "_wrap_tensor_autograd", "barrier"):
            raise NotImplementedError(f"Traffic must know what a collective sends; it does not know {name}.")


def size_of(value: Any) -> int:
    """Return the bytes of a tensor, or of all in nested lists."""
    return value.numel() * value.element_size() if isinstance(value, Tensor) else sum(map(size_of, value))


def build(variant: str, placement: str) -> list[Optimizer]:
    """Return optimizers that together step all parameters of a model; gradients are equal on all ranks."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(num_attention_heads=4, tie_word_embeddings=False, **SIZES))
    mesh = init_device_mesh("cpu", (dist.get_world_size(),)) if placement == "FSDP2" else None
    if mesh is not None:
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    for parameter in model.parameters():
        gradient = torch.randn(parameter.shape)
        parameter.grad = gradient if mesh is None else distribute_tensor(gradient, mesh, parameter.placements)
    planned = MuonClip(model, LEARNING_RATE, WEIGHT_DECAY, qk_clip_threshold=None)
    if variant == OURS:
        return [planned]
    by_muon = [p for g in planned.param_groups if g["algorithm"] == "muon" for p in g["params"]]
    by_adamw = [p for g in planned.param_groups if g["algorithm"] != "muon" for p in g["params"]]
    if variant == TORCH:
        return [
            torch.optim.Muon(by_muon, LEARNING_RATE, WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(by_adamw, LEARNING_RATE, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY),
        ]
    if variant == MUON_FSDP2:
        from muon_fsdp2 import Muon as MuonFsdp2

        rates = {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}
        return [
            MuonFsdp2(
                [{"params": by_muon, "use_muon": True, **rates}, {"params": by_adamw, "use_muon": False, **rates}]
            )
        ]
    from dion import Muon as DionMuon

    groups = [{"params": by_muon}, {"params": by_adamw, "algorithm": "adamw"}]
    shared = dist.group.WORLD if mesh is None else mesh
    return [DionMuon(groups, shared, LEARNING_RATE, weight_decay=WEIGHT_DECAY, adjust_lr="rms_norm", nesterov=True)]


def step_all(optimizers: Sequence[Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.step()


def state_bytes(optimizers: Sequence[Optimizer]) -> int:
    """Return what this rank holds of the optimizers' state."""
    tensors = [value for o in optimizers for of in o.state.values() for value in of.values() if torch.is_tensor(value)]
    return sum(size_of(t.to_local() if isinstance(t, DTensor) else t) for t in tensors)


def counted(step: Callable[[], None]) -> tuple[int, Counter[str]]:
    """Return the operations in products of one step on this rank, and the bytes that it sends."""
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        step()
    return flops.get_total_flops(), traffic.sent


def on_rank(rank: int, world: int, folder: str, placement: str, variants: Sequence[str], rounds: int) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    torch.set_num_threads(1)
    torch.compiler.set_stance("force_eager")  # what is compiled hides its operations from the dispatcher
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    rows: list[dict[str, Any]] = []
    steps: dict[str, Callable[[], None]] = {}
    model = f"{world} ranks, {placement}"
    for variant in variants:
        try:
            optimizers = build(variant, placement)
            step = partial(step_all, optimizers)
            step()
            flops, sent = counted(step)
        except Exception as error:  # of foreign code, which may raise anything; ours must not
            if variant == OURS:
                raise
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            rows.append({"question": "left out", "model": model, "variant": variant, "reason": reason})
            continue
        steps[variant] = step
        every: list[Any] = [None] * world
        dist.all_gather_object(every, (flops, state_bytes(optimizers), dict(sent)))
        kinds = sorted({kind for _, _, of_rank in every for kind in of_rank})
        rows.append(
            {
                "question": "distributed",
                "model": model,
                "variant": variant,
                "flops_busiest": max(flops for flops, _, _ in every),
                "flops_all_ranks": sum(flops for flops, _, _ in every),
                "state_busiest": max(state for _, state, _ in every),
                "state_all_ranks": sum(state for _, state, _ in every),
                "sent_busiest": {kind: round(max(of_rank.get(kind, 0) for _, _, of_rank in every)) for kind in kinds},
            }
        )
    seconds, _ = interleaved(steps, rounds, prepare=lambda name: dist.barrier())
    for row in rows:
        if row["variant"] in seconds:
            measured = seconds[row["variant"]]
            row |= quantiles_ms(measured) | {"ratio_p50": ratio_p50(measured, seconds[OURS]), "rounds": rounds}
    if rank == 0:
        torch.save(rows, Path(folder) / "rows")
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--placements", nargs="+", choices=PLACEMENTS, default=PLACEMENTS)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as the ranks have
    run = datetime.now(UTC).isoformat(timespec="seconds")
    shape = ", ".join(f"{name} {size}" for name, size in SIZES.items())
    told: dict[str, Any] = {"run": run, "shape": shape, "dtype": "float32"}
    for world in arguments.ranks:
        for placement in arguments.placements:
            with tempfile.TemporaryDirectory() as folder:
                given = (world, folder, placement, arguments.variants, arguments.rounds)
                mp.spawn(on_rank, given, nprocs=world)
                rows = torch.load(Path(folder) / "rows", weights_only=False)
            append_rows("distributed_step", [row | told for row in rows])
            for row in rows:
                print({key: value for key, value in row.items() if key != "question"}, flush=True)


if __name__ == "__main__":
    main()
