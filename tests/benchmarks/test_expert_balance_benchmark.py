"""The balance benchmark trains what it says, and its table, sentence and picture say what the rows say."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last, as in test_benchmarks.py

import expert_balance
import expert_balance_figures as figures

QUICK = expert_balance.Settings(0.0, seed=0, steps=3, batch_size=2, length=16, vocab_size=512, window=2)


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = torch.randint(512, (12, 16), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(expert_balance, "corpus", lambda vocab_size, length: (tokens[:8], tokens[8:]))


@pytest.mark.usefixtures("plays")
def test_runs_differ_in_the_bias_alone_and_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "results" / "rows.jsonl"
    expert_balance.benchmark(QUICK, [0, 1], expert_balance.Runs(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["settings"]["update_rate"] for row in rows] == 2 * list(expert_balance.RATES)
    assert [row["settings"]["seed"] for row in rows] == [0, 0, 0, 1, 1, 1]
    for of_seed in (rows[:3], rows[3:]):
        assert len({row["losses"][0] for row in of_seed}) == 1
        assert len({json.dumps(row["violations"][0]) for row in of_seed}) == 1
    assert rows[0]["losses"][0] != rows[3]["losses"][0]
    for row in rows:
        rate = row["settings"]["update_rate"]
        assert all(0 < spread <= 2 * 3 * rate + 1e-6 for spread in row["bias_range"]) or rate == 0
        assert max(row["bias_range"]) > 0 or rate == 0
        assert len(row["losses"]) == len(row["violations"]) == 3
        loads = torch.tensor(row["loads"])
        assert loads.shape == (2, 2, 16)  # windows of 2 and 1 steps
        assert loads.sum(-1).tolist() == [[128, 128], [64, 64]]  # 2 experts for each of 32 tokens a step
        violation = loads[-1].amax(-1) / loads[-1].float().mean(-1) - 1
        assert row["violations"][-1] == pytest.approx(violation.tolist(), abs=1e-3)
    expert_balance.benchmark(QUICK, [0, 1], expert_balance.Runs(path))
    assert len(path.read_text().splitlines()) == 6


def row(rate: float, seed: int, loads: list[list[int]], validation: float, steps: int = 100) -> dict[str, Any]:
    """A run whose two layers have these loads in every window, and a violation of 1 and 3 in every step."""
    settings = {"update_rate": rate, "seed": seed, "steps": steps, "preset": "micro", "window": 10}
    stamp = {"device": "a chip", "threads": 1, "torch": "2", "transformers": "5", "commit": "abc", "date": "2026-01-01"}
    return {
        "settings": settings | {"batch_size": 4, "length": 8},
        "num_experts_per_tok": 2,
        "violations": [[1.0, 3.0]] * steps,
        "loads": [loads] * (steps // 10),
        "validation_loss": validation,
        "update_share": 0.012,
        **stamp,
    }


def test_the_table_says_what_the_rows_say() -> None:
    full, even = [[40, 38, 1, 1], [20, 20, 20, 20]], [[22, 18, 20, 20], [20, 20, 20, 20]]
    rows = [
        row(0.0, 0, full, 9.0, steps=200),  # of another size
        row(0.01, 0, even, 4.5),
        row(0.0, 0, even, 9.0),  # run again below
        row(0.0, 0, full, 4.6),
        row(0.0, 1, full, 4.8),
        row(0.01, 1, even, 4.7),
    ]
    for of_row in rows[3:5]:
        of_row["violations"][-50:] = [[2.0, 4.0]] * 50
    shown = figures.table(rows)
    assert "Experts under 10% of the mean load, of 8 |" in shown
    assert (
        "| bias left at zero | 3.00 (3.00 to 3.00) | 2.0 (2.0 to 2.0) | 0.05 (0.05 to 0.05) | 4.700 (4.600 to 4.800) |"
        in shown
    )
    assert "| bias moved by 0.01 a step | 2.00 (2.00 to 2.00) | 0.0 (0.0 to 0.0) | 0.90 (0.90 to 0.90) |" in shown
    assert len(shown.splitlines()) == 4
    page = figures.report(rows, "pictures/")
    assert re.search(naming("2 layers", "4 experts", "100 steps", "4x8 tokens", "2 seeds", "1.20%"), page)
    assert re.search(naming("a chip", "torch 2", "transformers 5", "abc", "2026-01-01"), page)
    assert "python benchmarks/expert_balance.py" in figures.report([], "")


def test_the_picture_is_drawn_from_the_rows(tmp_path: Path) -> None:
    loads = [[40, 38, 1, 1], [20, 20, 20, 20]]
    rows = [row(rate, seed, loads, 4.0) for rate in (0.0, 0.01) for seed in range(2)]
    picture = figures.draw(rows, tmp_path / "picture.png")
    assert 0 < picture.stat().st_size < 150_000
