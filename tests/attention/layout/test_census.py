"""Every model type of transformers does what the published coverage says: no type may fall behind its row."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import transformers
from census_check import CAPTURE_TOLERANCE, LANDING_TOLERANCE, STILLNESS_TOLERANCE, check_type
from census_models import CENSUS, CENSUS_ABSENT
from packaging.version import Version

ROWS: dict[str, dict[str, Any]] = {
    row["model_type"]: row
    for row in map(
        json.loads,
        (Path(__file__).parents[3] / "benchmarks" / "results" / "coverage.jsonl")
        .read_text(encoding="utf-8")
        .splitlines(),
    )
}
OPTIONS: list[dict[str, Any]] = [
    row
    for row in map(
        json.loads,
        (Path(__file__).parents[3] / "benchmarks" / "results" / "coverage_options.jsonl")
        .read_text(encoding="utf-8")
        .splitlines(),
    )
    if row["changes_layout"]
]
PROVEN: set[Any] = set()  # in this process: what many types compute alike, with other weights, is proven once
WITHOUT_ATTENTION = ("falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm")


def skip_before(version: str) -> None:
    """Skip a row of a later transformers than is installed, which may lack the type, or build it in another way."""
    if Version(transformers.__version__) < Version(version):
        pytest.skip(f"published for transformers {version}")


def test_the_published_rows_cover_every_type() -> None:
    assert ROWS.keys() == {*CENSUS, *CENSUS_ABSENT}
    assert all(ROWS[model_type]["status"] == "absent" for model_type in CENSUS_ABSENT)


def test_more_than_nine_in_ten_types_pass() -> None:
    counts = Counter(row["status"] for row in ROWS.values())
    with_attention = len(ROWS) - counts["no softmax attention"]
    assert counts["passes"] / with_attention > 0.9, counts


def test_every_causal_language_model_with_softmax_attention_passes() -> None:
    causal = [model_type for model_type, entry in CENSUS.items() if entry.causal]
    assert len(causal) >= 185  # none is lost
    assert {model_type for model_type in causal if ROWS[model_type]["status"] != "passes"} == set(WITHOUT_ATTENTION)
    assert all(ROWS[model_type]["status"] == "no softmax attention" for model_type in WITHOUT_ATTENTION)


@pytest.mark.parametrize("model_type", sorted(CENSUS))
def test_a_type_does_what_its_row_says(model_type: str) -> None:
    row = ROWS[model_type]
    skip_before(row["transformers"])
    if row["status"] == "fails":
        pytest.skip(f"published as failing: {row['reason'][:200]}")
    result = check_type(model_type, PROVEN)
    assert result.status == row["status"], result.reason
    assert result.layouts == row["layouts"]
    assert result.granularity == row["granularity"]
    assert (result.attention_modules, result.not_run) == (row["attention_modules"], row["not_run"])
    assert result.capture_error <= CAPTURE_TOLERANCE
    assert result.landing_error <= LANDING_TOLERANCE
    assert result.stillness_error <= STILLNESS_TOLERANCE


@pytest.mark.parametrize("row", OPTIONS, ids=[f"{row['model_type']} {row['options']}" for row in OPTIONS])
def test_an_option_that_changes_a_layout_does_what_its_row_says(row: dict[str, Any]) -> None:
    skip_before(row["transformers"])
    result = check_type(row["model_type"], PROVEN, **row["options"])
    assert (result.status, result.layouts, result.granularity) == ("passes", row["layouts"], row["granularity"])
