"""The sparsity benchmark: models that differ in their experts' number alone, honest statistics, every verdict."""

import importlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from error_messages import naming

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def sparsity() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("sparsity")


@pytest.fixture(scope="module")
def figures(sparsity: ModuleType) -> ModuleType:
    return importlib.import_module("sparsity_figures")


def made_rows(losses: dict[int, list[float | None]], **more: object) -> list[dict]:
    """Return rows of {experts: [loss of seed 0, of seed 1, ...]}."""
    return [
        {
            "settings": {
                "experts": experts,
                "active": 2,
                "seed": seed,
                "steps": 10,
                "lr": 0.01,
                "bias_update_rate": 0.01,
                "batch_size": 8,
                "length": 128,
                "layers": 3,
                "hidden_size": 128,
                "warmup": 0.1,
            },
            "sparsity": experts / 2,
            "final_loss": loss,
            "parameters": 10**6 * experts,
            "active_parameters": 2 * 10**6,
            "training_flops_per_token": 6e6,
            "max_violation": 0.5,
            "data": "plays",
            "device": "a chip",
            "threads": 1,
            "torch": "2",
            "transformers": "5",
            "commit": "abc",
            "date": "2026-01-01",
        }
        | more
        for experts, of_seeds in losses.items()
        for seed, loss in enumerate(of_seeds)
    ]


def test_models_differ_in_experts_alone(sparsity: ModuleType) -> None:
    settings = sparsity.Settings(8, 0, 1)
    configs = [sparsity.model_config(replace(settings, experts=experts)) for experts in sparsity.EXPERTS]
    assert [config.n_routed_experts / config.num_experts_per_tok for config in configs] == [4, 8, 16, 32]
    fields = [config.to_dict() | {"n_routed_experts": None} for config in configs]
    assert all(other == fields[0] for other in fields)
    costs = [sparsity.training_flops(config, 1, settings.length) for config in configs]
    assert len({cost.total - cost.router for cost in costs}) == 1
    assert costs[-1].total < 1.05 * costs[0].total


def test_a_run_learns_balances_and_says_what_it_saw(sparsity: ModuleType, tmp_path: Path) -> None:
    blocks = (torch.arange(64).unsqueeze(1) + torch.arange(16)) % 64  # counting: learned within a few steps
    settings = sparsity.Settings(8, 0, 12, batch_size=8, hidden_size=32, vocab_size=64, length=16, evaluate_every=4)
    run = sparsity.Runs(tmp_path / "rows.jsonl", False, sparsity.train, sparsity.told)
    run._corpora[64, 16] = (blocks, blocks[:8])
    row = run(settings)
    assert run(settings) == json.loads(json.dumps(row, allow_nan=False))
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1
    assert row["curve"]["tokens"] == [0, 512, 1024, 1536]
    assert row["final_loss"] == row["curve"]["losses"][-1] < row["curve"]["losses"][0] - 0.1
    assert row["sparsity"] == 4
    assert 0 < row["max_violation"] <= 3
    assert row["active_parameters"] < row["parameters"]
    unbalanced = sparsity.train(replace(settings, bias_update_rate=0.0), blocks, blocks[:8])
    assert unbalanced["final_loss"] != row["final_loss"]
    assert "8 experts, seed 0: loss" in sparsity.told(row)


def test_a_diverged_run_ends_and_has_no_loss(sparsity: ModuleType) -> None:
    blocks = torch.zeros(16, 16, dtype=torch.long)
    settings = sparsity.Settings(8, 0, 4, lr=1e30, hidden_size=32, vocab_size=64, length=16)
    row = sparsity.train(settings, blocks, blocks[:8])
    assert row["diverged_at"] is not None
    assert row["final_loss"] is None
    json.dumps({name: row[name] for name in ("settings", "max_violation", "seconds")}, allow_nan=False)


def test_statistics_are_those_of_the_seeds(figures: ModuleType) -> None:
    assert figures.standard_error([1.0, 2.0, 3.0]) == pytest.approx(1 / math.sqrt(3))
    assert math.isnan(figures.standard_error([1.0]))
    assert figures.gains({0: 4.0, 1: 4.2}, {1: 4.1, 2: 3.0}) == pytest.approx([0.1])
    assert figures.is_clear([0.1, 0.12, 0.11])
    assert not figures.is_clear([0.1, -0.2, 0.3])
    assert not figures.is_clear([0.1])


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ({8: [4.0, 4.1], 16: [3.9, 4.0], 32: [3.8, 3.9]}, "lower"),
        ({8: [4.0, 4.1], 16: [4.1, 4.2], 32: [3.8, 3.9]}, "lower from end to end"),
        ({8: [4.0, 4.1], 16: [3.9, 4.0], 32: [4.1, 3.9]}, "unclear"),
        ({8: [4.0, 4.1], 16: [4.1, 4.2], 32: [4.2, 4.3]}, "higher"),
    ],
)
def test_the_verdict_follows_the_rows(figures: ModuleType, losses: dict[int, list[float | None]], verdict: str) -> None:
    finals = figures.finals(made_rows(losses))
    assert figures.verdict(finals) == verdict
    assert figures.VERDICTS[verdict] in figures.sentence(finals)


def test_the_report_shows_means_seeds_and_what_diverged(figures: ModuleType) -> None:
    shown = figures.report(made_rows({8: [4.0, 4.2], 64: [3.9, None]}), "results/")
    assert "| 4 | 2 of 8 | 2,000k of 8,000k | 6,000k | 4.100 ± 0.100 | 4.000, 4.200 | 1.50 |" in shown
    assert "| 32 | 2 of 64 | 2,000k of 64,000k | 6,000k | 3.900 | 3.900 | 1.50 |" in shown
    assert re.search(naming(1, 4, "diverged"), shown)
    assert "python benchmarks/sparsity.py" in figures.report([], "results/")


def test_only_the_newest_sweep_counts(figures: ModuleType) -> None:
    old = made_rows({8: [9.0]})
    old[0]["settings"]["steps"] = 5
    rows = [*old, *made_rows({8: [5.0, 4.1]}), *made_rows({8: [4.0]}), *made_rows({16: [3.0]})]
    assert figures.finals(rows) == {4: {0: 4.0, 1: 4.1}, 8: {0: 3.0}}


def test_the_picture_is_drawn(figures: ModuleType, tmp_path: Path) -> None:
    picture = figures.draw(made_rows({8: [4.0, 4.2, 4.1], 64: [3.9, 3.8, 3.85]}), tmp_path / "picture.png")
    assert 0 < picture.stat().st_size < 120_000
