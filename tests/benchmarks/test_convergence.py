"""The convergence benchmark: equal starts for every optimizer, runs that are not repeated, and honest arithmetic."""

import importlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
VARIANTS = [("adamw", None), ("torch-muon", None), ("muon", None), ("muonclip", 100.0), ("normuon", 100.0)]


@pytest.fixture(scope="module")
def convergence() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("convergence")


@pytest.fixture(scope="module")
def figures(convergence: ModuleType) -> ModuleType:
    return importlib.import_module("convergence_figures")


def tiny_settings(convergence: ModuleType, variant: str, tau: float | None = None, **overrides: object) -> object:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "layers": 2, "heads": 2, "vocab_size": 64, "length": 16}
    settings = convergence.Settings("convergence", variant, 1e-2, 0, 12, 12, tau, evaluate_every=4, **sizes)
    return replace(settings, **overrides)


@pytest.fixture(scope="module")
def blocks() -> torch.Tensor:
    starts = torch.arange(64).unsqueeze(1)
    return (starts + torch.arange(16)) % 64  # counting: learned within a few steps


def made_row(variant: str, seed: int, lr: float, loss: float | None, steps: int = 100, **more: object) -> dict:
    settings = {
        "question": "convergence",
        "variant": variant,
        "lr": lr,
        "seed": seed,
        "steps": steps,
        "full_steps": 100,
        "tau": None,
        "batch_size": 4,
        "length": 128,
    }
    return {
        "settings": settings,
        "data": "plays",
        "final_loss": loss,
        "diverged_at": None if loss is not None else 3,
        "highest_max_logit": 20.0,
        "seconds_per_step": 0.1 if variant == "adamw" else 0.2,
        "optimizer_seconds_per_step": 0.05,
        "curve": {"steps": [50, 100], "tokens": [500, 1000], "seconds": [5, 10], "losses": [5.0, loss]},
    } | more


@pytest.fixture(scope="module")
def made_rows() -> list[dict]:
    rows = [made_row("adamw", 0, lr, loss) for lr, loss in ((1e-3, 4.2), (2e-3, 4.0), (4e-3, None))]
    rows.append(made_row("adamw", 1, 2e-3, 4.1))
    for seed in (0, 1):
        rows += [made_row("muonclip", seed, 8e-3, loss, steps) for steps, loss in ((25, 4.4), (50, 4.2), (100, 3.8))]
    return [*rows, made_row("muonclip", 0, 4e-3, 3.9)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (5.0, ("=", 0.25)),
        (5.5, ("<", 0.25)),
        (4.5, ("=", math.sqrt(0.25 * 0.5))),
        (4.0, ("=", 0.5)),
        (3.75, ("=", math.sqrt(0.5 * 1.0))),
        (3.4, (">", 1.0)),
    ],
)
def test_budget_is_interpolated_in_its_logarithm(
    figures: ModuleType, target: float, expected: tuple[str, float]
) -> None:
    sign, part = figures.crossing({0.25: 5.0, 0.5: 4.0, 1.0: 3.5}, target)
    assert sign == expected[0]
    assert part == pytest.approx(expected[1], rel=1e-9)


def test_power_law_gives_back_its_budget(figures: ModuleType) -> None:
    def loss(part: float) -> float:
        return 3.0 + part**-0.1

    _, part = figures.crossing({part: loss(part) for part in (0.4, 0.5, 0.6, 0.75, 1.0)}, loss(0.55))
    assert part == pytest.approx(0.55, abs=1e-3)


def test_diverged_small_budget_counts_as_above_every_loss(figures: ModuleType) -> None:
    assert figures.crossing({0.5: math.inf, 1.0: 3.5}, 4.0) == ("=", 1.0)


def test_ratios_compare_equal_seeds_at_tuned_rates(figures: ModuleType, made_rows: list[dict]) -> None:
    found = figures.ratios(made_rows, "muonclip")
    # Seed by seed, AdamW ended at 4.0 and 4.1; MuonClip's losses fall from 4.2 at a half to 3.8 at the whole.
    expected = [0.5 * 2 ** ((4.2 - target) / 0.4) for target in (4.0, 4.1)]
    assert [sign for sign, _ in found["own"]] == ["=", "="]
    assert [part for _, part in found["own"]] == pytest.approx(expected, rel=1e-9)
    assert [part for _, part in found["seconds"]] == pytest.approx([2 * part for part in expected], rel=1e-9)
    assert found["naive"] == [("=", 1.0), ("=", 1.0)]


def test_never_below_is_a_bound(figures: ModuleType) -> None:
    assert figures.first_below(made_row("muonclip", 0, 1e-3, 4.5), 4.0) == (">", 1.0)
    assert figures.with_spread([(">", 1.0), ("=", 0.8)]) == "> 90% (80% to 100%)"


def test_newest_of_equal_runs_counts_and_other_budgets_do_not(figures: ModuleType) -> None:
    old, new = made_row("adamw", 0, 1e-3, 4.0), made_row("adamw", 0, 1e-3, 3.9)
    other = made_row("adamw", 0, 1e-3, 1.0)
    other["settings"] = other["settings"] | {"full_steps": 7, "steps": 7}
    assert figures.newest([other, old, new], "convergence") == [new]


def test_tuned_takes_the_best_rate_and_all_its_seeds(figures: ModuleType, made_rows: list[dict]) -> None:
    assert figures.grid(made_rows, "adamw") == {1e-3: 4.2, 2e-3: 4.0, 4e-3: math.inf}
    assert {seed: row["final_loss"] for seed, row in figures.tuned(made_rows, "adamw").items()} == {0: 4.0, 1: 4.1}


def test_rate_rises_and_falls_to_nearly_nothing(convergence: ModuleType) -> None:
    shares = [convergence.lr_share(step, 100, 0.1) for step in range(100)]
    assert shares[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert shares[10] == 1.0
    assert all(later < earlier for earlier, later in pairwise(shares[10:]))
    assert 0 < shares[-1] == pytest.approx(1 / 90)


def test_grid_grows_until_the_best_rate_is_inside(convergence: ModuleType) -> None:
    tried = []

    def run(settings: object) -> dict:
        tried.append(settings.lr)
        return {"final_loss": None if settings.lr > 0.05 else abs(math.log(settings.lr / 0.02))}

    best = convergence.tune(tiny_settings(convergence, "adamw"), (0.0025, 0.005, 0.01), run)
    assert best == pytest.approx(0.02)
    assert tried == pytest.approx([0.0025, 0.005, 0.01, 0.02, 0.04])


def test_equal_seeds_give_every_variant_equal_weights_and_batches(
    convergence: ModuleType, blocks: torch.Tensor
) -> None:
    def start(seed: int, variant: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        model = convergence.initial_model(tiny_settings(convergence, variant, seed=seed))
        stream = convergence.batches(blocks, 4, seed)
        return [p.detach() for p in model.parameters()], [next(stream) for _ in range(40)]

    weights, seen = start(0, "adamw")
    torch.rand(3)  # whatever ran before must not matter
    same_weights, same_seen = start(0, "muonclip")
    assert all(torch.equal(a, b) for a, b in zip(weights, same_weights, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(seen, same_seen, strict=True))
    other_weights, other_seen = start(1, "adamw")
    assert not torch.equal(weights[0], other_weights[0])
    assert not torch.equal(seen[0], other_seen[0])
    # Sixteen batches are an epoch: every block once.
    assert torch.cat(seen[:16]).unique(dim=0).shape == blocks.shape


@pytest.mark.parametrize(("variant", "tau"), VARIANTS)
def test_variant_trains_and_says_what_it_saw(
    convergence: ModuleType, blocks: torch.Tensor, variant: str, tau: float | None
) -> None:
    row = convergence.train(tiny_settings(convergence, variant, tau), blocks, blocks[:8])
    json.dumps(row, allow_nan=False)
    curve = row["curve"]
    assert curve["steps"] == [0, 4, 8, 12]
    assert curve["tokens"] == [0, 256, 512, 768]
    assert all(earlier < later for earlier, later in pairwise(curve["seconds"]))
    assert curve["losses"][-1] == row["final_loss"] < curve["losses"][0] - 0.1
    assert len(row["max_logits"]["values"]) == 12
    assert row["highest_max_logit"] == max(row["max_logits"]["values"])
    assert row["clips"] == row["clipped_heads"] == 0
    assert row["capture_seconds"] > 0
    assert 0 < row["optimizer_seconds_per_step"] < row["seconds_per_step"]


def test_variants_differ(convergence: ModuleType, blocks: torch.Tensor) -> None:
    losses = {
        variant: convergence.train(tiny_settings(convergence, variant, tau), blocks, blocks[:8])["final_loss"]
        for variant, tau in VARIANTS
    }
    assert losses["muon"] == losses["muonclip"]  # no logit comes near tau here
    assert len(set(losses.values())) == 4


def test_low_threshold_clips(convergence: ModuleType, blocks: torch.Tensor) -> None:
    row = convergence.train(tiny_settings(convergence, "muonclip", 0.05), blocks, blocks[:8])
    free = convergence.train(tiny_settings(convergence, "muon"), blocks, blocks[:8])
    assert row["clips"] >= row["clipped_heads"] > 0
    assert row["highest_max_logit"] < free["highest_max_logit"]


def test_diverged_run_ends_and_has_no_loss(convergence: ModuleType, blocks: torch.Tensor) -> None:
    row = convergence.train(tiny_settings(convergence, "adamw", lr=1e30), blocks, blocks[:8])
    assert row["diverged_at"] is not None
    assert row["final_loss"] is None
    json.dumps(row["max_logits"], allow_nan=False)


def test_finished_runs_are_not_repeated(convergence: ModuleType, blocks: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "rows.jsonl"
    settings = tiny_settings(convergence, "muonclip", 100.0, steps=2, full_steps=2)

    def runs(fresh: bool = False) -> object:
        made = convergence.Runs(path, fresh)
        made._corpora[settings.vocab_size, settings.length] = (blocks, blocks[:8])
        return made

    def rows() -> int:
        return len(path.read_text().splitlines())

    first = runs()(settings)
    assert runs()(settings) == first
    assert rows() == 1
    runs()(replace(settings, seed=1))
    runs()(replace(settings, lr=2e-2))
    assert rows() == 3
    fresh = runs(fresh=True)
    fresh(settings)
    fresh(settings)  # as the tuned run of the grid, asked for again
    assert rows() == 4
    other_data = runs()
    other_data._corpora[settings.vocab_size, settings.length] = (blocks.flip(0), blocks[:8])
    other_data(settings)
    assert rows() == 5


def test_benchmark_asks_for_every_run_the_report_needs(
    convergence: ModuleType, figures: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []

    def run(settings: object) -> dict:
        loss = 4.0 + abs(math.log(settings.lr / 4e-3)) - 0.5 * (settings.variant != "adamw")
        loss += 0.4 * math.log(settings.full_steps / settings.steps)
        settings = {key: list(value) if key == "betas" else value for key, value in vars(settings).items()}
        row = made_row("adamw", 0, 1.0, loss, device="d", threads=2, torch="t", transformers="t", commit="c", date="d")
        row |= {"settings": settings, "clipped_heads": 1, "max_logits": {"every": 1, "values": [20.0]}}
        rows.append(row)
        return row

    parts = ["adamw", "torch-muon", "muonclip", "muon", "normuon", "explosion"]
    convergence.benchmark(convergence.Settings("convergence", "", 0.0, 0, 100, 100), [0, 1, 2], parts, run)
    said = figures.report(rows, "results/")
    for title in figures.TITLES.values():
        assert f"| {title} |" in said
    for part in (figures.normalization_sentence(rows), figures.explosion_sentence(rows)):
        assert part
        assert part in said
    assert "edge" not in said
    own = figures.ratios(figures.newest(rows, "convergence"), "muonclip")["own"]
    assert own == [("<", min(convergence.BUDGETS))] * 3 or all(sign == "=" for sign, _ in own)


def test_a_gain_counts_where_it_exceeds_what_seeds_differ_by(figures: ModuleType) -> None:
    assert figures.exceeds_seeds([0.3, 0.2], [4.0, 4.2])
    assert not figures.exceeds_seeds([0.3, 0.1], [4.0, 4.2])


def test_held_out_plays_are_not_trained_on(convergence: ModuleType) -> None:
    seen, held_out = convergence.plays()
    assert len(held_out) == len(convergence.HELD_OUT)
    assert len(seen) > 30
    assert not set(seen) & set(held_out)


def test_corpus_is_cut_into_blocks_of_either_side(convergence: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "plays", lambda: (["to be or not to be " * 500], ["that is the question " * 2000]))
    training, validation = convergence.corpus(300, 8)
    assert training.shape[1] == validation.shape[1] == 8
    assert len(validation) == convergence.VALIDATION_BLOCKS
    assert training.max() < 300
    # Words that the tokenizer never saw take more tokens.
    assert len(training.unique()) < len(validation.unique())


def test_pictures_are_drawn(convergence: ModuleType, figures: ModuleType, blocks: torch.Tensor, tmp_path: Path) -> None:
    rows = []
    for question, variant, tau in (("convergence", "adamw", None), ("explosion", "muonclip", 30.0)):
        settings = tiny_settings(convergence, variant, tau, question=question)
        rows.append(convergence.train(settings, blocks, blocks[:8]) | {"data": "counting"})
    paths = figures.draw(rows, tmp_path)
    assert [path.name for path in paths] == ["convergence.png", "explosion.png"]
    assert all(0 < path.stat().st_size < 150_000 for path in paths)
