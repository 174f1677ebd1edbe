#!/usr/bin/env bash
# datatrove 0.10.1 on ray 2.60.0: a run all of whose tasks have failed returns as one that went well.
#
# A guess: what a step raises leaves run(), as it does with the local executor.
# Seen: run() returns None and logs "Only 0/2 tasks completed.". What tells is executor.get_incomplete_ranks(). (A task
# whose process was killed, as by a system short of memory, is waited for until the time= of the executor.)
#   all tasks raise: run() returned None, incomplete: [0, 1]
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datatrove==0.10.1 ray==2.60.0 orjson==3.11.4 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import ray
from datatrove.executor import RayPipelineExecutor


def failing(data, rank, world_size):
    raise ValueError("a step that fails")


ray.init("local", num_cpus=2, include_dashboard=False)
executor = RayPipelineExecutor([failing], tasks=2, mem_per_cpu_gb=0.2, logging_dir="failing")
returned = executor.run()
print(f"all tasks raise: run() returned {returned}, incomplete: {executor.get_incomplete_ranks()}")
raise SystemExit(int((returned, executor.get_incomplete_ranks()) != (None, [0, 1])))
PYTHON
RAY_USAGE_STATS_ENABLED=0 "$folder/env/bin/python" run.py > out.txt 2>&1 || { cat out.txt; exit 1; }
grep "all tasks raise: run" out.txt
