"""The table of graders lists what reasoning-gym has now, and a sample of it is measured again."""

import sys
from pathlib import Path

import pytest
import reasoning_gym

from hf_muonclip.common.graders.grader_pool import default_pool
from hf_muonclip.rl.domains.puzzles import RULES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # last: coverage.py there must not hide the package of that name

import graders_figures  # noqa: E402

ROWS = graders_figures.graders_rows()


def test_every_generator_is_in_the_table() -> None:
    assert {*ROWS} == {*reasoning_gym.factory.DATASETS}
    page = (BENCHMARKS / "graders.md").read_text(encoding="utf-8")
    for name in ROWS:
        assert f"| {name} | " in page
    for name, rule in RULES.items():
        assert rule.why in page, name


@pytest.mark.parametrize("name", sorted(ROWS))
def test_an_offered_generator_pays_right_answers_alone(name: str) -> None:
    row = ROWS[name]
    if name in RULES and RULES[name].excluded:
        return
    assert row["known_answers"] > 0
    assert {kind: row["ours"][kind] for kind in graders_figures.WRITTEN} == dict.fromkeys(graders_figures.WRITTEN, 1.0)
    own_solutions = {"another's answer"} if name == "graph_color" else set()  # a coloring may fit another graph too
    assert {kind for kind in graders_figures.WRONG if row["ours"][kind] > 0} <= own_solutions


@pytest.mark.parametrize("name", ["chain_sum", "game_of_life_halting", "kakurasu", "puzzle24", "prime_factorization"])
def test_a_sample_is_as_in_the_table(name: str) -> None:
    (found,) = default_pool().map(graders_figures.measure, [(name, 3)])
    for kind in (*graders_figures.WRITTEN, "empty", "no answer", "hidden"):
        assert found["ours"][kind] == ROWS[name]["ours"][kind], kind
    flawed = {kind for kind in graders_figures.WRITTEN if ROWS[name]["raw"][kind] == 0}
    assert {kind for kind in flawed if found["raw"][kind] == 0} == flawed
