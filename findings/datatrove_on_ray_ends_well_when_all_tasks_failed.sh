#!/usr/bin/env bash
# datatrove 0.10.1 on ray 2.60.0: a run all of whose tasks have failed returns as one that went well, and a process that
# was killed is waited for for ever.
#
# A guess: what a step raises leaves run(), as it does with the local executor; a task whose process was killed, as by a
# system short of memory, is begun again or is an error.
# Seen: run() returns None and logs "Only 0/2 tasks completed.". A task runs in a pool inside of a Ray worker, and when
# the pool's process is killed the worker waits for its answer; with time=, which ends a task that takes too long, run()
# raises KeyError. What tells is executor.get_incomplete_ranks().
#   all tasks raise: run() returned None, incomplete: [0, 1]; killed: KeyError after the time, incomplete: [0]
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datatrove==0.10.1 ray==2.60.0 orjson==3.11.4 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import os
import signal

import ray
from datatrove.executor import RayPipelineExecutor


def failing(data, rank, world_size):
    raise ValueError("a step that fails")


def killed(data, rank, world_size):
    os.kill(os.getpid(), signal.SIGKILL)


ray.init("local", num_cpus=2, include_dashboard=False)
one = RayPipelineExecutor([failing], tasks=2, mem_per_cpu_gb=0.2, logging_dir="failing")
returned = one.run()
two = RayPipelineExecutor([killed], tasks=1, mem_per_cpu_gb=0.2, logging_dir="killed", time=30)
try:
    raised = two.run()
except KeyError as error:
    raised = type(error).__name__
print(
    f"all tasks raise: run() returned {returned}, incomplete: {one.get_incomplete_ranks()}; "
    f"killed: {raised} after the time, incomplete: {two.get_incomplete_ranks()}"
)
seen = (returned, one.get_incomplete_ranks(), raised, two.get_incomplete_ranks())
raise SystemExit(int(seen != (None, [0, 1], "KeyError", [0])))
PYTHON
RAY_USAGE_STATS_ENABLED=0 "$folder/env/bin/python" run.py > out.txt 2>&1 || { cat out.txt; exit 1; }
grep "all tasks raise: run" out.txt
