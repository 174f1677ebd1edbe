"""How much memory does an optimizer hold, and how much more does one step take for a moment?

Each variant runs in a process of its own, on the parameters of `workloads.py`, in float32. State is the size of all
tensors that the optimizer keeps. Temporaries are the most that a step (once its state exists) has allocated at once
and frees again: on a GPU from torch's counters, on a CPU summed up from the allocator's own events. Those show what the
calling thread takes; other threads, and libraries that allocate past torch's allocator, show in the growth of the
process, which is measured in a step of its own, and counts where it is more.

    python benchmarks/memory.py          # minutes; appends rows to results/memory.jsonl
    python benchmarks/tables.py          # renders the newest run into the READMEs
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from measure import append_rows
from optimizer_step import adamw, build_optimizers, changes_gradients, device_type, step_all, variant_names, version
from peers import PEERS, reason_to_leave_out
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from workloads import WORKLOADS, Workload, quick

PROCESS = Path("/proc/self")
# glibc keeps what is freed below a threshold that grows; the process then hides in one step what it took in another.
EXACT_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

MOST_SECONDS = 600  # of a variant's process


def tensors_in(value: Any) -> Iterable[Tensor]:
    """Yield the tensors of an optimizer's state, however it nests them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from tensors_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from tensors_in(inner)


def state_bytes(optimizers: Iterable[torch.optim.Optimizer]) -> int:
    """Return the size of all state; memory that two tensors share counts once."""
    storages = {}
    for optimizer in optimizers:
        for tensor in tensors_in(dict(optimizer.state)):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def peak_temporary_bytes(step: Callable[[], None]) -> int:
    """Return the most that a step has allocated at once, beyond what was there before it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0))


def process_growth_bytes(step: Callable[[], None]) -> int | None:
    """Return by how much the process grew at most during a step; None where Linux does not say."""
    clear = PROCESS / "clear_refs"
    if not clear.exists():
        return None
    before = status_bytes("VmRSS")
    clear.write_text("5")  # sets the highest size back to the present one
    step()
    return status_bytes("VmHWM") - before


def status_bytes(field: str) -> int:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def measured(load: Workload, variant: str) -> dict[str, object]:
    """Step a workload with one variant and return its row."""
    optimizers = build_optimizers(variant, load, adamw(load.rest))
    step = partial(step_all, optimizers)
    if changes_gradients(variant):
        load.keep_gradients()
    for _ in range(2):  # compilers compile once more at the second step
        load.prepare()
        step()
    load.prepare()
    # Before the profiler's step: it leaves memory behind that this one would then use without growing.
    growth = None if torch.cuda.is_available() else process_growth_bytes(step)
    load.prepare()
    temporary = peak_temporary_bytes(step)
    return {
        "question": "memory",
        "model": load.name,
        "shape": f"{sum(parameter.numel() for parameter in load.model.parameters()):,} weights",
        "variant": variant,
        "version": version(variant),
        "dtype": "float32",
        "parameter_bytes": sum(parameter.nbytes for parameter in load.model.parameters()),
        "state_bytes": state_bytes(optimizers),
        "peak_temporary_bytes": max(temporary, growth or 0),
        "process_growth_bytes": growth,
    }


def in_a_process_of_its_own(key: str, variant: str) -> dict[str, object]:
    """Return the row of one variant, or the reason why there is none."""
    command = [sys.executable, __file__, "--models", key, "--variants", variant, "--in-this-process"]
    left_out = {"question": "left out", "model": key, "variant": variant}
    environment = os.environ | EXACT_MALLOC
    try:
        process = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return left_out | {"reason": f"its steps, compilation included, took more than {MOST_SECONDS} s"}
    if process.returncode != 0:
        reason = process.stderr.strip().splitlines()[-1]
        return left_out | {"reason": reason}
    row: dict[str, object] = json.loads(process.stdout.strip().splitlines()[-1])
    return row


def main() -> None:
    device = device_type()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(WORKLOADS), default=quick(device))
    parser.add_argument("--variants", nargs="+", choices=variant_names(), default=variant_names())
    parser.add_argument("--in-this-process", action="store_true", help="print the rows and write none")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.in_this_process:
        for key in arguments.models:
            for variant in arguments.variants:
                print(json.dumps(measured(WORKLOADS[key](device), variant)))
        return
    reasons = {peer.name: reason_to_leave_out(peer, device) for peer in PEERS if peer.name in arguments.variants}
    variants = [variant for variant in arguments.variants if not reasons.get(variant)]
    rows = [
        {"question": "left out", "model": "", "variant": name, "reason": reason}
        for name, reason in reasons.items()
        if reason
    ]
    run = datetime.now(UTC).isoformat(timespec="seconds")
    for key in arguments.models:
        for variant in variants:
            rows.append(in_a_process_of_its_own(key, variant))
            print(rows[-1], flush=True)
    append_rows("memory", [row | {"run": run} for row in rows])


if __name__ == "__main__":
    main()
