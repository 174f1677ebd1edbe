"""b0(x) is the mean length of the starting model's correct responses, measured once, and again where it may differ."""

import json
import math
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from datasets import Dataset
from error_messages import naming
from tiny_rl import END_TOKENS, tiny_policy
from tiny_trl import chat_tokenizer, turn

from hf_muonclip.rl import ModelSampler, measure_budgets
from hf_muonclip.rl.measure_budgets import Response

LONGEST = 6


def problems(count: int = 6, messages: bool = True) -> Dataset:
    prompts = [[turn("user", row)] if messages else turn("user", row)["content"] for row in range(count)]
    return Dataset.from_dict({"prompt": prompts, "answer": [row % 2 for row in range(count)]})


def sampler(model: Any = None, **more: Any) -> ModelSampler:
    return ModelSampler(model or tiny_policy(), chat_tokenizer(), LONGEST, **more)


class Even:
    """Right where the last token has the answer's parity; keeps what it was asked."""

    def __init__(self, least: float = 1.0) -> None:
        self.lengths: dict[str, list[int]] = defaultdict(list)
        self.asked = 0

    def __call__(self, prompts: Any, completions: Any, completion_ids: Any, answer: Any, **_: Any) -> list[float]:
        self.asked += len(prompts)
        rewards = [float(ids[-1] % 2 == parity) for ids, parity in zip(completion_ids, answer, strict=True)]
        for prompt, completion, ids, reward in zip(prompts, completions, completion_ids, rewards, strict=True):
            text = completion if isinstance(completion, str) else completion[0]["content"]
            assert text == chat_tokenizer().decode(ids, skip_special_tokens=True)
            if reward == 1 and ids[-1] in END_TOKENS:
                self.lengths[json.dumps(prompt)].append(len(ids))
        return rewards


@pytest.mark.parametrize("messages", [True, False], ids=["messages", "text"])
def test_it_is_the_mean_length_of_correct_responses(messages: bool, tmp_path: Path) -> None:
    reward, data = Even(), problems(messages=messages)
    measured = measure_budgets(data, sampler(), reward, tmp_path, samples=5, problems_at_once=4)
    assert reward.asked == 30
    assert measured.remove_columns("b0").to_list() == data.to_list()
    truth = [fmean(reward.lengths[key]) if reward.lengths[key] else None for key in map(json.dumps, data["prompt"])]
    assert list(measured["b0"]) == truth
    assert any(truth)
    assert str(measured.features["b0"].dtype) == "float64"


def test_it_is_measured_once_and_again_where_it_may_differ(tmp_path: Path) -> None:
    data, model = problems(), tiny_policy()
    first = measure_budgets(data, sampler(model), Even(), tmp_path)
    second = Even()
    assert measure_budgets(data, sampler(model), second, tmp_path).to_list() == first.to_list()
    assert second.asked == 0
    assert measure_budgets(data.select([3, 3, 0]), sampler(model), second, tmp_path)["b0"] == [
        first["b0"][row] for row in (3, 3, 0)
    ]
    assert second.asked == 0
    changed: list[tuple[ModelSampler, Dataset, dict[str, Any]]] = [
        (sampler(model, temperature=0.5), data, {}),
        (sampler(model, seed=1), data, {}),
        (sampler(model), data, {"samples": 9}),
        (sampler(model), data, {"least_reward": 0.5}),
        (sampler(model), data.map(lambda row: {"answer": 1 - row["answer"]}), {}),
    ]
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.add_(0.01)  # one step of training
    changed.append((sampler(model), data, {}))
    for how, rows, more in changed:
        again = Even()
        measure_budgets(rows, how, again, tmp_path, **more)
        assert again.asked == 6 * more.get("samples", 8)


def test_sampling_draws_the_same_and_leaves_the_generator_and_the_mode_alone() -> None:
    model = tiny_policy().train()
    state = torch.get_rng_state()
    prompts = [problems()["prompt"][0]] * 6
    first = sampler(model)(prompts)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert first == sampler(model)(prompts)
    assert len({tuple(response.ids) for response in first}) > 1
    for response in first:
        assert response.ended == (response.ids[-1] in END_TOKENS)
        assert not set(response.ids[:-1]) & set(END_TOKENS)
        assert response.ended or len(response.ids) == LONGEST


class Stops(Even):
    """Breaks off at a call."""

    def __call__(self, *args: Any, **given: Any) -> list[float]:
        if self.asked == 16:
            raise KeyboardInterrupt
        return super().__call__(*args, **given)


def test_an_interrupted_measurement_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = measure_budgets(problems(), sampler(), Even(), tmp_path / "whole", problems_at_once=1)
    folder = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        measure_budgets(problems(), sampler(), Stops(), folder, problems_at_once=1)
    (path,) = folder.glob("*.jsonl")
    # Of the same name, as a program that runs again has it; and the last line was not written whole.
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    path.write_text(lines[0] + "\n" + lines[1][:20])
    rest = Stops()
    rest.asked = 100
    assert measure_budgets(problems(), sampler(), rest, folder, problems_at_once=1).to_list() == whole.to_list()
    assert rest.asked == 100 + 5 * 8


class Unsure(float):
    cause = "timeout"


def test_what_could_not_be_judged_is_no_wrong_answer(tmp_path: Path) -> None:
    broken = [True]

    def reward(prompts: Any, answer: Any, **_: Any) -> list[Any]:
        odd = [Unsure(math.nan), None] * 4 if broken[0] else [1.0] * 8
        return [value for parity in answer[::8] for value in ([0.0] * 8 if parity == 0 else odd)]

    answers = [Response([5] * 4, "w5 w5 w5 w5", True)]

    class Fixed:
        key = "fixed"

        def __call__(self, prompts: list[Any]) -> list[Response]:
            return answers * len(prompts)

    with pytest.raises(RuntimeError, match=naming("3", "6", "[1, 3, 5]", "'missing'", "'timeout'")):
        measure_budgets(problems(), Fixed(), reward, tmp_path)
    broken[0] = False
    assert list(measure_budgets(problems(), Fixed(), reward, tmp_path)["b0"]) == [None, 4, None, 4, None, 4]


def test_a_problem_without_a_correct_answer_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def never(prompts: Any, **_: Any) -> list[float]:
        return [0.0] * len(prompts)

    measured = measure_budgets(problems(), sampler(), never, tmp_path, samples=2)
    assert list(measured["b0"]) == [None] * 6
    assert str(measured.features["b0"].dtype) == "float64"
    (told,) = [record.getMessage() for record in caplog.records if "budget" in record.getMessage()]
    assert "6 of 6" in told


@pytest.mark.parametrize(
    ("data", "more", "named"),
    [
        (Dataset.from_dict({"question": ["w7"]}), {}, ["'prompt'", "['question']"]),
        (Dataset.from_dict({"prompt": ["w7"], "b0": [3.0]}), {}, ["'b0'", "['prompt', 'b0']"]),
        (problems(), {"samples": 0}, ["samples", "0"]),
        (problems(), {"reward_func": lambda **_: [1.0]}, ["1", "48"]),
    ],
    ids=["prompts", "column", "samples", "rewards"],
)
def test_bad_input(data: Dataset, more: dict[str, Any], named: list[str], tmp_path: Path) -> None:
    given = {"sampler": sampler(), "reward_func": Even(), "cache": tmp_path, **more}
    with pytest.raises(ValueError, match=naming(*named)):
        measure_budgets(data, **given)
