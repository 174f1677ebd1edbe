"""The benchmark watches every process of a run, and each way rephrases all documents."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # last: coverage.py there must not hide the package of that name

import rephrase_scale  # noqa: E402
import rephrase_scale_figures  # noqa: E402


def test_documents_are_the_same_each_time_and_of_many_lengths() -> None:
    texts = [*rephrase_scale.documents(200)]
    assert texts == [*rephrase_scale.documents(200)]
    lengths = sorted(map(len, texts))
    assert lengths[10] < 200 < lengths[100] < 600 < lengths[190]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["run_rephrasing, 2 workers, fidelity gate", "IterableDataset.map"])
def test_a_row_has_every_process(way: str, tmp_path: Path) -> None:
    rephrase_scale.write_documents(tmp_path / "in", 300)
    row = rephrase_scale.measured(way, tmp_path / "in", tmp_path / "out")
    assert 0 < row["kept"] <= 300
    assert (row["kept"] == 300) == (way == "IterableDataset.map")
    assert row["output_bytes"] > 50_000
    assert 10 < row["main_anonymous_mib"] < row["main_mib"] < 2_000
    assert len([one for one in row["others_mib"] if one > 50]) == (2 if "workers" in way else 0)


def test_the_table_shows_the_newest_row_of_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"way": "a", "documents": 1_000, "seconds": 2.0, "output_bytes": 5_000, "main_mib": 90.2}
    row |= {"main_anonymous_mib": 70, "others_mib": [80.4, 3], "others_anonymous_mib": [60, 2], "commit": "c"}
    row |= {"date": "2026-01-01", "device": "a chip", "processors": 2}
    rows = [row, row | {"way": "b", "others_mib": [], "others_anonymous_mib": []}, row | {"seconds": 4.0}]
    monkeypatch.setattr(rephrase_scale_figures, "ROWS", tmp_path / "rows")
    (tmp_path / "rows").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    shown = rephrase_scale_figures.report(rephrase_scale_figures.newest_rows()).splitlines()
    assert shown[-2:] == [
        "| a | 1,000 | 250 | 5 bytes | 90 (70) | 80 (60) |",
        "| b | 1,000 | 500 | 5 bytes | 90 (70) |  |",
    ]
