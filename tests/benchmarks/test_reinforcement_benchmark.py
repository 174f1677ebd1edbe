"""The benchmark of reinforcement learning: arms that are what they are called, honest figures, nothing run twice."""

import json
import random
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from trl import GRPOConfig

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last, as in test_benchmarks.py

import reinforcement
import reinforcement_figures as figures
import reinforcement_tasks as tasks

from hf_muonclip import MuonClip
from hf_muonclip.rl import KimiRLTrainer

QUICK = reinforcement.Settings(
    "k2", 1e-3, 1, batches=2, prompts=4, num_generations=4, pretraining_steps=30, held_out=12, measure_every=1
)


@pytest.fixture(scope="module")
def start() -> reinforcement.Start:
    return reinforcement.Start(QUICK)


def test_the_corpus_answers_its_problems(start: reinforcement.Start) -> None:
    problems = tasks.draw_problems(300, seed=5, without=start.held_out)
    prompts = {problem.prompt for problem in problems}
    assert len(prompts) == 300
    assert not prompts & {problem.prompt for problem in start.held_out}
    generator = random.Random(0)
    for problem in problems:
        text = tasks.corpus_text(problem, 0.0, generator)
        assert tasks.is_right(text.removeprefix(problem.prompt), problem.answer)
        assert start.tokenizer.decode(start.tokenizer(text).input_ids) == text
        asked, given = problem.prompt.removesuffix("?").split(" ")[0], problem.prompt.removesuffix("?").split(" ")[-1]
        right = {"sort": sorted(given), "turn": reversed(given)}.get(asked, str(given.count(asked)))
        assert "".join(right) == problem.answer
    told = [tasks.corpus_text(problem, 0.5, generator).removeprefix(problem.prompt) for problem in problems]
    right = [tasks.is_right(text, problem.answer) for text, problem in zip(told, problems, strict=True)]
    assert 0.4 < sum(right) / 300 < 0.7
    assert not tasks.is_right("85", "85")
    assert not tasks.is_right("=85=8", "85")
    assert not tasks.is_right("=85 ", "85")


def test_only_answers_count_in_the_corpus(start: reinforcement.Start) -> None:
    batch = next(tasks.corpus_batches(start.tokenizer, 8, 0, 0.0, start.held_out))
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        written = start.tokenizer.decode(ids[labels != -100])
        assert written.endswith(tasks.END)
        assert "?" not in written
        assert "=" in written
        assert start.tokenizer.decode(ids[mask == 0]) == tasks.PAD * int((mask == 0).sum())


@pytest.mark.parametrize("name", list(figures.ARMS))
def test_an_arm_is_what_it_is_called(name: str, start: reinforcement.Start, tmp_path: Path) -> None:
    arm, model = figures.ARMS[name], tasks.small_model(len(start.tokenizer), 0)
    trainer = reinforcement.make_trainer(replace(QUICK, arm=name), start, model, str(tmp_path))
    assert isinstance(trainer, KimiRLTrainer) == (arm.loss != "trl")
    assert trainer.args.loss_type == (
        GRPOConfig.__dataclass_fields__["loss_type"].default if arm.loss == "trl" else None
    )
    assert ("over_budget" in trainer.reward_func_names) == arm.budget
    assert getattr(trainer.args, "objective", "trl") == arm.loss
    trainer.create_optimizer()
    assert type(trainer.optimizer) is (MuonClip if arm.optimizer == "MuonClip" else torch.optim.AdamW)
    assert {group["lr"] for group in trainer.optimizer.param_groups} == {QUICK.lr}
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.0}
    assert all(problem["prompt"] not in {p.prompt for p in start.held_out} for problem in trainer.train_dataset)


def test_what_ran_is_kept_and_begins_alike(start: reinforcement.Start, tmp_path: Path) -> None:
    before = {name: weight.clone() for name, weight in start.model.state_dict().items()}
    run = reinforcement.Runs(tmp_path / "rows.jsonl")
    run._starts[QUICK.pretraining_steps, QUICK.wrong, QUICK.held_out] = start
    row = run(QUICK)
    assert run(QUICK) == json.loads(json.dumps(row, allow_nan=False))
    other = run(replace(QUICK, arm="trl", seed=2))
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2
    assert all(torch.equal(weight, before[name]) for name, weight in start.model.state_dict().items())
    assert row["curve"][0] == other["curve"][0] == {"batches": 0} | start.measured
    assert [point["batches"] for point in row["curve"]] == [0, 1, 2]
    assert len(row["rewards"]) == 2
    assert all(0 <= reward <= 1 for reward in row["rewards"])
    assert row["finite"]
    for point in row["curve"]:
        for decoding in ("sampled", "greedy"):
            assert 0 <= point[decoding]["accuracy"] <= 1
            assert 1 <= point[decoding]["length"] <= QUICK.cap
    assert (row["tuning"], other["tuning"]) == (False, False)


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (1e-3, [3e-4, 1e-3, 3e-3]),
        (1e-2, [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]),
        (3e-5, [3e-5, 1e-4, 3e-4, 1e-3, 3e-3]),
    ],
)
def test_the_grid_grows_at_its_edges(best: float, tried: list[float]) -> None:
    asked: list[float] = []

    def run(settings: reinforcement.Settings) -> dict[str, Any]:
        asked.append(settings.lr)
        accuracy = 1 - abs(reinforcement.RATES.index(settings.lr) - reinforcement.RATES.index(best)) / 10
        finite = settings.lr <= 10 * best  # or else right answers are worth nothing
        return {"finite": finite, "curve": [{"sampled": {"accuracy": accuracy if finite else 2.0}}]}

    assert reinforcement.tune(QUICK, run) == best
    assert sorted(asked) == tried


def made_row(arm: str, seed: int, accuracy: float, length: float = 5.0, lr: float = 1e-3) -> dict[str, Any]:
    settings = {"arm": arm, "lr": lr, "seed": seed, "batches": 2, "prompts": 4, "num_generations": 4, "rl_tau": 0.1}
    curve = [
        {
            "batches": batches,
            "sampled": {"accuracy": value, "length": tokens},
            "greedy": {"accuracy": value + 0.05, "length": tokens},
        }
        for batches, value, tokens in ((0, 0.3, 9.0), (2, accuracy, length))
    ]
    stamp = {"device": "a chip", "threads": 1, "torch": "2", "transformers": "5", "commit": "abc", "date": "2026-01-01"}
    return {
        "settings": settings | {"steps_per_batch": 2, "wrong": 0.3, "held_out": 12, "pretraining_steps": 10},
        "tuning": seed == 0,
        "start": "w",
        "parameters": 1234,
        "curve": curve,
        "seconds": 10.0,
        "trl": "1",
        **stamp,
    }


def made_rows() -> list[dict[str, Any]]:
    rows = [made_row("k2", 1, 0.9) | {"start": "older weights"}]
    for lr in (1e-3, 3e-3):
        rows += [made_row("k2", 0, 0.9, lr=lr), made_row("trl", 0, 0.9, lr=lr)]
    for seed, shift in ((1, 0.0), (2, 0.02), (3, 0.01)):
        rows += [
            made_row("k2", seed, 0.7 + shift),
            made_row("k2, budget", seed, 0.7 + shift + 0.01 * (seed - 2), length=3.0),
            made_row("trl", seed, 0.6 + 2 * shift, lr=3e-3),
        ]
    return rows


def test_the_page_says_what_the_rows_say() -> None:
    shown = figures.table(made_rows())
    assert "| before | | 30.0% | | 35.0% | 9.0 |" in shown
    k2 = "| K2's objective, MuonClip | 0.001 (0.001, 0.003) | 71.0% (70.0% to 72.0%) | +0.090 ± 0.006 |"
    assert f"{k2} 76.0% (75.0% to 77.0%) | 5.0 (5.0 to 5.0) |" in shown
    assert "| K2's objective, MuonClip, budget of tokens | 0.001 (0.001, 0.003) |" in shown
    assert "| TRL's default loss, AdamW | 0.003 (0.001, 0.003) | 62.0% (60.0% to 64.0%) |  |" in shown
    assert len(shown.splitlines()) == 2 + 4
    said = figures.sentence(made_rows())
    assert re.search(naming("71%", "30%", "62%", "more, +0.090 ± 0.006", "3.0", "5.0", "9.0"), said)
    assert re.search(naming("within the noise, +0.000 ± 0.006"), said)
    assert "a chip, threads: 1" in figures.report(made_rows(), "results/")
    assert figures.report([], "results/") == "Nothing measured yet: run `python benchmarks/reinforcement.py`.\n"


def test_fewer_right_answers_are_told_as_such() -> None:
    rows = [made_row("k2", seed, 0.5 + 0.01 * seed) for seed in (1, 2, 3)]
    rows += [made_row("trl", seed, 0.6 + 0.011 * seed) for seed in (1, 2, 3)]
    assert "fewer, -0.102 ± 0.001" in figures.sentence(rows)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    picture = figures.draw(made_rows(), tmp_path / "picture.png")
    assert 0 < picture.stat().st_size < 120_000
