"""Which model types of transformers does it know, and is what it does with them exact?

Every type that an AutoModel class of transformers knows is built tiny, in float32, and asked: is its layout found
and proven, are the captured max logits those of a brute-force recomputation, and does the clip land every chosen head
on tau without moving another? `tests/census_check.py` says how the truth is taken.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py            # minutes; writes results/coverage.jsonl anew
    python benchmarks/tables.py                                # renders the rows into benchmarks/coverage.md
"""

import argparse
import json
import multiprocessing
import platform
import subprocess
import sys
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "coverage.jsonl"
sys.path.insert(0, str(HERE.parent / "tests"))


def check(model_type: str) -> dict[str, Any]:
    from census_check import CensusResult, check_type

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    try:
        return asdict(check_type(model_type))
    except Exception as error:
        return asdict(CensusResult(model_type, status="fails", reason=f"{type(error).__name__}: {error}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("types", nargs="*", help="print these types' rows instead of writing all rows")
    arguments = parser.parse_args()
    from census_models import CENSUS, CENSUS_ABSENT

    types = arguments.types or sorted([*CENSUS, *CENSUS_ABSENT])
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    )
    stamp = {
        "device": platform.machine(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "commit": commit.stdout.strip(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = []
    with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=50) as pool:
        for row in pool.imap_unordered(check, types):
            rows.append(row | stamp)
            print(f"{len(rows)}/{len(types)} {row['model_type']}: {row['status']} {row['reason'][:200]}", flush=True)
    if not arguments.types:
        rows.sort(key=lambda row: row["model_type"])
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
