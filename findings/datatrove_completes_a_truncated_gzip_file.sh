#!/usr/bin/env bash
# datatrove 0.10.1 with fsspec 2026.9.0: a gzip file that could not be written whole is a completed task.
#
# A guess: where the disk is full, the task fails, whatever the writer's compression is, and is done again by the next
# run.
# Seen: without compression it does. With gzip, which is JsonlWriter's default, closing the file closes the compression
# and not the file below; that is closed when it is collected, where Python ignores errors. What was in its buffer is
# lost, run() returns, and the task is marked as completed.
#   no compression: OSError, 0 completed; gzip: returned, 1 completed, the file ends before its end
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datatrove==0.10.1 fsspec==2026.9.0 orjson==3.11.4 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
import gzip
import random
import resource
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.writers import JsonlWriter

TEXT = "".join(random.Random(0).choices("0123456789abcdef", k=20_000))  # 10 kB compressed


def run(compression):
    steps = [[Document(TEXT, "a")], JsonlWriter(f"out-{compression}", compression=compression)]
    logs = f"logs-{compression}"
    try:
        LocalPipelineExecutor(steps, logging_dir=logs).run()
        ended = "returned"
    except OSError:
        ended = "OSError"
    return ended, len([*Path(logs, "completions").glob("*")])


resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))  # of a file, as if nothing more were free
plain, compressed = run(None), run("gzip")
try:
    gzip.decompress(Path("out-gzip/00000.jsonl.gz").read_bytes())
    whole = True
except EOFError:
    whole = False
print(
    f"no compression: {plain[0]}, {plain[1]} completed; gzip: {compressed[0]}, {compressed[1]} completed, "
    + ("the file is whole" if whole else "the file ends before its end")
)
raise SystemExit(int((plain, compressed, whole) != (("OSError", 0), ("returned", 1), False)))
PYTHON
"$folder/env/bin/python" run.py > out.txt 2> errors.txt || { cat out.txt errors.txt; exit 1; }
grep "no compression" out.txt
