"""The benchmark of idle experts compares the rules that it names, and its page says what the rows say."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last, as in test_benchmarks.py

import idle_experts
import idle_experts_figures as figures

from hf_muonclip import MuonClip

QUICK = idle_experts.Settings("", 0.3, 0, batch_size=1, experts=24, active=1, length=8, steps=10, hidden_size=32)
TOKENS = torch.randint(512, (12, 8), generator=torch.Generator().manual_seed(0))


def trained(rule: str) -> dict[str, Any]:
    return idle_experts.train(replace(QUICK, rule=rule), TOKENS[:8], TOKENS[8:])


def test_the_rules_differ_in_what_idle_experts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {rule: trained(rule) for rule in idle_experts.RULES}
    assert all(row["idle_share"] > 0.6 for row in rows.values())
    assert rows["updated"]["idle_movement_share"] > 0.4
    assert rows["shrinking"]["idle_movement_share"] == rows["kept"]["idle_movement_share"] == 0
    for rule in ("shrinking, decayed", "kept, decayed"):
        assert 0 < rows[rule]["idle_movement_share"] < 0.2
    assert len({row["validation_loss"] for row in rows.values()}) == len(rows)
    # The package's own rule is the one that the page calls so.
    monkeypatch.setattr(idle_experts, "RuledMuonClip", lambda *args, rule, **kwargs: MuonClip(*args, **kwargs))
    assert trained("")["validation_loss"] == pytest.approx(rows[figures.CHOSEN]["validation_loss"], abs=2e-5)


def row(rule: str, seed: int, loss: float, lr: float = 0.01, experts: int = 32) -> dict[str, Any]:
    settings = {"rule": rule, "lr": lr, "seed": seed, "experts": experts, "active": 1, "batch_size": 2, "length": 16}
    stamp = {"device": "a chip", "threads": 1, "torch": "2", "transformers": "5", "commit": "abc", "date": "2026-01-01"}
    return {
        "settings": settings | {"layers": 2, "hidden_size": 48, "steps": 9},
        "data": "d",
        "validation_loss": loss,
        "idle_share": 0.75,
        "idle_movement_share": 0.5 if rule == "updated" else 0.0,
        "max_violation": 2.0,
        **stamp,
    }


def test_the_page_says_what_the_rows_say() -> None:
    rows = [row("updated", 0, 9.0)]  # run again below
    for seed, shift in enumerate((0.0, 1.0, 0.5)):
        rows += [
            row("updated", seed, 4.2 + shift),
            row("shrinking", seed, 4.1 + shift + 0.01 * seed),
            row("shrinking", seed, 4.3 + shift, lr=0.02),
            row("kept", seed, 4.1 + shift + 0.02 * (1 - seed)),
            row("shrinking, decayed", seed, 4.2 + shift + 0.01 * seed),
            row("updated", seed, 3.0, experts=4),
            row("shrinking", seed, 3.0 + 0.03 * (seed - 1), experts=4),
        ]
    shown = figures.table(rows)
    assert "| 32, 75% | 0.01 | no update, momentum shrinks | 4.610 ± 0.292 | -0.090 ± 0.006 | 3 | 0% | 2.00 |" in shown
    assert "| 32, 75% | 0.01 | updated as all others | 4.700 ± 0.289 |  | 3 | 50% | 2.00 |" in shown
    assert len(shown.splitlines()) == 2 + 7
    said = figures.sentence(rows)
    figures_said = ("75%", "-0.090 ± 0.006", "3 seeds", 0.01, "+0.010 ± 0.017", "+0.100 ± 0.000", "+0.000 ± 0.017")
    assert re.search(naming(32, *figures_said), said)
    assert "a chip, threads: 1" in figures.report(rows)
    assert "python benchmarks/idle_experts.py" in figures.report([])


def test_what_ran_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.corpus", lambda vocab_size, length: (TOKENS[:8], TOKENS[8:]))
    path = tmp_path / "rows.jsonl"
    run = idle_experts.Runs(
        path, False, lambda settings, *_: {"settings": settings.__dict__ | {"betas": [0.9, 0.95]}}, str
    )
    idle_experts.benchmark(QUICK, [0, 1], run)
    idle_experts.benchmark(QUICK, [0], run)
    rows = [json.loads(line)["settings"] for line in path.read_text().splitlines()]
    assert len(rows) == 2 * (3 * len(idle_experts.RATES) + 2 + 3)
