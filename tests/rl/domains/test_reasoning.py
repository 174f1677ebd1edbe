"""Puzzles of reasoning-gym as a domain: made alike in every run, and paid for right answers alone."""

import json
import logging
from collections import Counter
from typing import Any

import numpy as np
import pytest
import reasoning_gym
from datasets import Dataset
from error_messages import naming

from hf_muonclip.common.graders.grader_pool import GraderPool, default_pool
from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.domains import reasoning
from hf_muonclip.rl.domains.puzzle_grader import make_puzzle, puzzle_entry, puzzle_of
from hf_muonclip.rl.domains.puzzles import RULES
from hf_muonclip.rl.domains.reasoning import ReasoningReward, offered_generators, reasoning_spec

# Of every kind: an own scorer, a text alone, an answer in the metadata, tuples that JSON loses, several lines, and the
# hash seed of the process, which two of them depend on.
SAMPLE = ["chain_sum", "game_of_life_halting", "graph_color", "arc_agi", "word_ladder", "isomorphic_strings"]


@pytest.fixture(scope="module")
def sample() -> Any:
    return reasoning_spec(SAMPLE, size=24, seed=5)


def paid(generator: str, index: int, answer: str, seed: int = 1) -> float:
    puzzle = default_pool().map(puzzle_of, [(generator, "{}", seed, index)])[0]
    return ReasoningReward()(completions=[f"<answer>{answer}</answer>"], puzzle=[puzzle])[0]


def entry(generator: str, index: int, seed: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = puzzle_entry(generator, "{}", seed, index)
    return found


def test_a_spec_is_checked_and_made_alike_again(sample: Any) -> None:
    assert sample.report.passed
    assert sorted(sample.train_dataset.column_names) == ["answer", "generator", "prompt", "puzzle"]
    assert Counter(sample.train_dataset["generator"]) == dict.fromkeys(SAMPLE, 4)
    assert reasoning_spec(SAMPLE, size=24, seed=5).train_dataset.to_dict() == sample.train_dataset.to_dict()


def test_seeds_share_no_puzzle(sample: Any) -> None:
    other = reasoning_spec(["chain_sum"], size=50, seed=6, chat=False, instruction="").train_dataset
    own = reasoning_spec(["chain_sum"], size=50, seed=5, chat=False, instruction="").train_dataset
    assert len({*own["prompt"]}) == 50
    assert not {*own["prompt"]} & {*other["prompt"]}
    assert all(isinstance(prompt, str) for prompt in own["prompt"])
    assert sample.train_dataset[0]["prompt"][0]["role"] == "user"


def test_no_answer_is_right_in_more_than_half() -> None:
    answers = Counter(reasoning_spec(["course_schedule"], size=30).train_dataset["answer"])
    assert answers.most_common(1)[0][1] <= 15


def test_shares_settings_and_prompts() -> None:
    weights = {"chain_sum": 3.0, "spell_backward": 1.0}
    settings = {"chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}}
    spec = reasoning_spec(weights, size=10, settings=settings, instruction="Be brief.", chat=False)
    rows = spec.train_dataset.to_list()
    assert Counter(row["generator"] for row in rows) == {"chain_sum": 8, "spell_backward": 2}
    sums = [row["prompt"] for row in rows if row["generator"] == "chain_sum"]
    assert all(prompt.count("+") + prompt.count(" - ") == 1 for prompt in sums)
    assert all(row["prompt"].endswith("\nBe brief.") for row in rows)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="'no_such'"):
        reasoning_spec(["no_such"])
    with pytest.raises(ValueError, match=naming("'rush_hour'", RULES["rush_hour"].why)):
        reasoning_spec(["rush_hour"])
    with pytest.raises(ValueError, match=naming("'chain_sum'", "-1")):
        reasoning_spec({"chain_sum": -1})
    with pytest.raises(ValueError, match=naming("size", "0")):
        reasoning_spec(["chain_sum"], size=0)
    with pytest.raises(ValueError, match=naming("chain_sum", "no_setting")):
        reasoning_spec(["chain_sum"], size=2, settings={"chain_sum": {"no_setting": 1}})
    with pytest.raises(ValueError, match="'maze'"):
        reasoning_spec(["chain_sum"], size=2, settings={"maze": {}})
    with pytest.raises(ValueError, match=naming("'count_bits'", "40")):
        reasoning_spec(["count_bits"], size=40, settings={"count_bits": {"min_n": 1, "max_n": 4}})


def test_rules_are_for_generators_that_there_are() -> None:
    assert {*RULES} <= {*reasoning_gym.factory.DATASETS}
    assert len(offered_generators()) == len(reasoning_gym.factory.DATASETS) - sum(
        rule.excluded for rule in RULES.values()
    )


@pytest.mark.parametrize(
    ("generator", "answer"),
    [
        ("complex_arithmetic", "inf"),
        ("prime_factorization", "two times three"),
        ("puzzle24", "6*4*1*1"),
        ("countdown", "9**2"),
        ("gsm_symbolic", "7 or 8"),
        ("kakurasu", "It may be 0, or 1"),
        ("quantum_lock", "because a cab"),
        ("boxnet", '{"a": [1]}'),
    ],
)
def test_what_a_scorer_pays_or_fails_on_earns_nothing(generator: str, answer: str) -> None:
    assert paid(generator, 0, answer) == 0.0


def test_near_misses_earn_nothing() -> None:
    gold = entry("game_of_life_halting", 0)["answer"]
    assert [paid("game_of_life_halting", 0, answer) for answer in (gold, gold.lower(), str(gold != "True"))] == [
        1,
        1,
        0,
    ]
    numbers = json.loads(entry("number_sorting", 0)["answer"].replace("'", '"'))
    nudged = json.dumps(
        [*numbers[:-1], str(float(numbers[-1]) + (0.5 if float(numbers[-1]) >= float(numbers[-2]) else -0.5))]
    )
    assert [paid("number_sorting", 0, json.dumps(one)) for one in (numbers, json.loads(nudged))] == [1, 0]
    word = entry("figlet_font", 0)["answer"]
    assert [paid("figlet_font", 0, one) for one in (word, word.upper(), word + word[::-1])] == [1, 1, 0]
    text = entry("letter_jumble", 0)["answer"]
    assert [paid("letter_jumble", 0, one) for one in (text, f"{text} {text}")] == [1, 0]


def test_right_answers_survive_files(sample: Any, tmp_path: Any) -> None:
    sample.train_dataset.to_json(tmp_path / "rows.jsonl")
    sample.train_dataset.to_parquet(str(tmp_path / "rows.parquet"))
    for rows in (
        [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()],
        Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path)).to_list(),
    ):
        golds, puzzles = ([row[name] for row in rows] for name in ("answer", "puzzle"))
        assert ReasoningReward()(completions=golds, puzzle=puzzles) == [1.0] * len(golds)
        assert ReasoningReward()(completions=[golds[1], *golds[:-1]], puzzle=puzzles).count(1.0) < len(golds)


def test_a_puzzle_that_is_no_longer_made_is_not_measured(sample: Any) -> None:
    row = sample.train_dataset[0]
    told = json.loads(row["puzzle"])
    moved = json.dumps({**told, "index": told["index"] + 50})
    (found,) = ReasoningReward()(completions=[row["answer"]], puzzle=[moved])
    assert isinstance(found, NotMeasured)
    assert (found.cause, told["generator"] in found.detail) == ("gold", True)


def test_a_grader_that_takes_too_long_is_not_measured(sample: Any) -> None:
    row = sample.train_dataset[0]
    with GraderPool(workers=1, deadline=1e-5) as pool:
        (found,) = ReasoningReward(pool=pool)(completions=[row["answer"]], puzzle=[row["puzzle"]])
    assert isinstance(found, NotMeasured)
    assert found.cause == "timeout"


def test_numpys_generator_is_left_alone() -> None:
    np.random.seed(3)
    due = np.random.rand(3)
    np.random.seed(3)
    spec = reasoning_spec(["pool_matrix"], size=4)
    row = spec.train_dataset[0]
    assert ReasoningReward()(completions=[row["answer"]], puzzle=[row["puzzle"]]) == [1.0]
    assert np.array_equal(np.random.rand(3), due)


def test_puzzles_without_an_answer_are_left_out_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(default_pool().map(make_puzzle, [("ab", "{}", 0, 18)])[0], str)  # its program ends with nothing
    monkeypatch.setattr(reasoning, "_seed", lambda generator, seed, turn: 100 * turn)
    with caplog.at_level(logging.WARNING):
        spec = reasoning_spec(["ab"], size=20)
    assert "1 of 22 puzzles of ab" in caplog.text
    assert all(answer.strip() for answer in spec.train_dataset["answer"])


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=naming("'puzzle'", "answer")):
        ReasoningReward()(completions=["4"], answer=["4"])
