"""The declared minimum versions are those that the core tests ran with."""

import json
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import versions  # noqa: E402

ROWS = {row["environment"]: row for row in map(json.loads, versions.RESULTS.read_text(encoding="utf-8").splitlines())}


def test_the_core_tests_ran_with_every_declared_minimum() -> None:
    tested = ROWS["minimum"]["versions"]
    declared = versions.minimums()
    assert tested.keys() == declared.keys()
    # "==" as pip reads it: 2.9 is 2.9.0, and a local build such as +cu128 counts as the release.
    assert {name: tested[name] for name in declared if tested[name] not in SpecifierSet(f"=={declared[name]}")} == {}


@pytest.mark.parametrize("environment", versions.ENVIRONMENTS)
def test_no_core_test_failed(environment: str) -> None:
    assert ROWS[environment]["failed"] == []
    assert ROWS[environment]["passed"] > 1000


@pytest.mark.parametrize("environment", versions.ENVIRONMENTS)
def test_no_extra_moved_torch(environment: str) -> None:
    assert ROWS[environment]["torch_before_extras"] == ROWS[environment]["versions"]["torch"]
