"""Which of reasoning-gym's graders can be trusted, and which only with a rule of ours?

Every generator makes puzzles; its own scorer, and `hf_muonclip.rl`'s reward, then grade right answers written in
several ways, and wrong ones: empty, hidden in prose, the answers of other puzzles. A row also says what entries lose to
JSON, and whether the hash seed of the process decides what they are.

    OMP_NUM_THREADS=1 python benchmarks/graders.py           # appends a row per generator; --only NAME ... for some
    python benchmarks/tables.py                              # renders benchmarks/graders.md
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import reasoning_gym
from graders_figures import HERE, digests, measure
from measure import append_rows

from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.common.graders.not_measured import NotMeasured

HASH_SEED = "1"  # workers have 0
_DIGESTS = """
import json, sys
from graders_figures import digests
found = [digests(*call) for call in json.loads(sys.argv[1])]
with open(sys.argv[2], "w") as file:
    json.dump(found, file)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of generators; all by default")
    parser.add_argument("--puzzles", type=int, default=10, help="per generator (10)")
    arguments = parser.parse_args()
    names = sorted(arguments.only or reasoning_gym.factory.DATASETS)
    few = [(name, 6) for name in names]
    there = digests_elsewhere(few)
    versions = {"reasoning_gym": importlib.metadata.version("reasoning_gym")}
    with GraderPool(workers=2, deadline=600, memory=4 << 30) as pool:
        here = pool.map(digests, few)
        for name, one, other in zip(names, here, there, strict=True):
            (row,) = pool.map(measure, [(name, arguments.puzzles)])
            if isinstance(row, NotMeasured):
                row = {"generator": name, "puzzles": 0, "fault": f"{row.cause}: {row.detail}"}
            append_rows("graders", [{**row, "hash_seed_changes_it": one != other, **versions}])


def digests_elsewhere(calls: list[tuple[str, int]]) -> list[list[str]]:
    """Return the digests of puzzles made in a process with another hash seed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digests.json"
        command = [sys.executable, "-W", "ignore", "-c", _DIGESTS, json.dumps(calls), str(path)]
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.DEVNULL, check=True)
        return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
