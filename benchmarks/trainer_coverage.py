"""Which model types does a Trainer with MuonClipCallback train, save, resume, push and load again?

Every type that coverage.py counts as passing is trained two steps by a real Trainer, saved at each, resumed from the
first save until its weights are bit-equal to those of the run that was never interrupted, pushed to a Hub on this
machine, and loaded by the code that its model card shows. `tests/trainer_check.py` says how.

    OMP_NUM_THREADS=1 python benchmarks/trainer_coverage.py     # an hour; writes results/trainer_coverage.jsonl again
    python benchmarks/tables.py                                 # renders the rows into benchmarks/coverage.md
"""

import argparse
import gc
import json
import logging
import platform
import subprocess
import sys
import tempfile
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
import transformers
from huggingface_hub.utils import disable_progress_bars

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "trainer_coverage.jsonl"
sys.path.insert(0, str(HERE.parent / "tests"))


def passing_types() -> list[str]:
    """Return the types that coverage.py counts as passing."""
    lines = (HERE / "results" / "coverage.jsonl").read_text(encoding="utf-8").splitlines()
    return [row["model_type"] for row in map(json.loads, lines) if row["status"] == "passes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="keep the rows of other types than those named")
    parser.add_argument("types", nargs="*", help="print these types' rows instead of writing all rows")
    arguments = parser.parse_args()
    from hub_server import hub_server
    from hub_visits import take_for_the_hub
    from trainer_check import check_training

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    disable_progress_bars()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
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
    types = arguments.types or passing_types()
    rows = {}
    if arguments.keep:
        rows = {row["model_type"]: row for row in map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())}
    writes = arguments.keep or not arguments.types
    with tempfile.TemporaryDirectory() as scratch, hub_server() as hub, pytest.MonkeyPatch.context() as patch:
        take_for_the_hub(hub, patch, Path(scratch))
        for count, model_type in enumerate(types, 1):
            gc.collect()
            gc.freeze()  # the Trainer collects garbage at every start, which would go through all of transformers
            row = asdict(check_training(model_type, Path(scratch) / model_type, hub))
            rows[model_type] = row | stamp
            said = f"at {row['failed_at']}: {row['reason'][:200]}" if row["failed_at"] else row["card"]
            print(f"{count}/{len(types)} {model_type}: {row['status']} {said} {row['seconds']:.1f} s", flush=True)
            if writes:  # after each type: an hour is long
                lines = [json.dumps(rows[name]) + "\n" for name in sorted(rows)]
                RESULTS.write_text("".join(lines), encoding="utf-8")
    gc.unfreeze()


if __name__ == "__main__":
    main()
