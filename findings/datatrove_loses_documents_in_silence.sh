#!/usr/bin/env bash
# datatrove 0.10.1: a reader leaves out what it cannot read, and a run with other settings writes nothing; both end well.
#
# A guess: a line that is broken, or that has its text in another column, ends the task; and a logging_dir of another
# pipeline or of another number of tasks is refused, or its tasks are run.
# Seen: such lines, and documents without text, are left out with a warning in the log and counted nowhere. What is in
# logging_dir are empty files with the number of a task: with another filter nothing is run and the old output stays;
# with two tasks after one, the first is skipped.
#   read 1 of 5 lines; with another filter: 1 document, not 0; two tasks after one, into an empty folder: 1 document of 2
# Exits with 1 if that is so no longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datatrove==0.10.1 orjson==3.11.4 numpy==2.4.6
cd "$folder"
cat > run.py <<'PYTHON'
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

LINES = '{"text": "kept"}', '{"text": ""}', '{"text": null}', '{"body": "another column"}', '{"text": "broken'


def all_documents(data, rank, world_size):
    yield from data


def none(data, rank, world_size):
    yield from (document for document in data if not document.text)


def written(step, tasks):
    steps = [JsonlReader("in"), step, JsonlWriter("out", compression=None)]
    LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir="logs").run()
    return sum(len(path.read_text().splitlines()) for path in Path("out").glob("*.jsonl"))


Path("in").mkdir()
Path("in/0.jsonl").write_text("\n".join(LINES) + "\n")
read = written(all_documents, 1)
changed = written(none, 1)
Path("in/1.jsonl").write_text(LINES[0] + "\n")
Path("out/00000.jsonl").unlink()
two = written(all_documents, 2)
print(
    f"read {read} of {len(LINES)} lines; with another filter: {changed} document, not 0; "
    f"two tasks after one, into an empty folder: {two} document of 2"
)
raise SystemExit(int((read, changed, two) != (1, 1, 1)))
PYTHON
"$folder/env/bin/python" run.py 2> errors.txt || { cat errors.txt; exit 1; }
