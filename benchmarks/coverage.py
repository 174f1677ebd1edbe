"""Which model types of transformers does it know, and is what it does with them exact?

Every type that an AutoModel class of transformers knows is built tiny, in float32, and asked: is its layout found
and proven, are the captured max logits those of a brute-force recomputation, and does the clip land every chosen head
on tau without moving another? `tests/census_check.py` says how the truth is taken.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py            # minutes; writes results/coverage.jsonl again
    OMP_NUM_THREADS=1 python benchmarks/coverage.py --options  # with the options that act on attention, one by one
    python benchmarks/tables.py                                # renders the rows into benchmarks/coverage.md
"""

import argparse
import functools
import json
import multiprocessing
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "coverage.jsonl"
OPTIONS = HERE / "results" / "coverage_options.jsonl"
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


def list_options(types: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the options of the types that pass which act on attention, one by one, of each code once."""
    from census_models import CENSUS
    from census_options import options_of

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    asked: set[tuple[str, str, str]] = set()
    for model_type in types:
        if model_type in CENSUS and _plain_rows()[model_type]["status"] == "passes":
            for options in options_of(model_type, asked):
                yield model_type, options


def check_option(asked: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    from census_check import CensusResult, check_type
    from census_models import census_batch, census_model

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    model_type, options = asked
    try:
        model = census_model(model_type, **options)
        with torch.no_grad():
            model(**census_batch(model_type, model))
        row = asdict(check_type(model_type, **options))
    except Exception as error:  # what transformers does not build, or not run
        reason = f"{type(error).__name__}: {error}"
        row = asdict(CensusResult(model_type, status="not run by transformers", reason=reason[:300]))
    told = ("layouts", "granularity", "attention_modules", "not_run")
    plain = _plain_rows()[model_type]
    row["changes_layout"] = row["status"] == "passes" and any(row[k] != plain[k] for k in told)
    return row | {"options": options}


@functools.cache
def _plain_rows() -> dict[str, dict[str, Any]]:
    return {row["model_type"]: row for row in map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--options", action="store_true", help="set the options that act on attention, one by one")
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
    work: Any = list(list_options(types)) if arguments.options else types
    run, path = (check_option, OPTIONS) if arguments.options else (check, RESULTS)
    rows = []
    with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=50) as pool:
        for row in pool.imap_unordered(run, work):
            rows.append(row | stamp)
            what = f"{row['model_type']} {row.get('options', '')}".rstrip()
            print(f"{len(rows)}/{len(work)} {what}: {row['status']} {row['reason'][:200]}", flush=True)
    if not arguments.types:
        rows.sort(key=lambda row: (row["model_type"], str(row.get("options"))))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
