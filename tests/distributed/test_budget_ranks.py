"""Budgets on two ranks: both measure the same b0, have the same factor, and train by the same rewards."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from processes import run_on_ranks
from tiny_rl import (
    CLOSE,
    END_TOKENS,
    SEVERAL,
    Step,
    relative_error,
    rl_config,
    rl_trainer,
    tiny_policy,
    true_gradient,
    value_of,
)
from tiny_trl import chat_tokenizer, turn

from hf_muonclip.rl import MeasuredBudgets, ModelSampler, TypeBudgets, measure_budgets

BUDGETS: dict[str, Any] = {
    "types": TypeBudgets({"short": 3, "long": 6}),
    "measured": MeasuredBudgets({"short": (3.0, 1.0), "long": (1.0, 2.0)}),
}
SETTINGS: dict[str, Any] = SEVERAL | {"objective": "k2", "per_device_train_batch_size": 2, "max_steps": 4}


def problems() -> Dataset:
    return Dataset.from_list(
        [{"prompt": [turn("user", row)], "domain": ("short", "long")[row % 2]} for row in range(8)]
    )


def short_ones(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [float(len(ids) <= 3) for ids in completion_ids]


def train_on_a_rank(folder: str) -> tuple[list[float | None], dict[str, tuple[list[Step], list[dict[str, float]]]]]:
    sampler = ModelSampler(tiny_policy(), chat_tokenizer(), 7)
    data = measure_budgets(problems(), sampler, short_ones, Path(folder, "b0"), samples=2, problems_at_once=1)
    found = {}
    for name, budgets in BUDGETS.items():
        trainer = rl_trainer(Path(folder), given={"train_dataset": data, "budgets": budgets}, **SETTINGS)
        assert trainer.accelerator.num_processes == 2
        trainer.train()
        found[name] = (trainer.steps, trainer.state.log_history)
    return list(data["b0"]), found


@pytest.mark.slow
def test_two_ranks(tmp_path: Path) -> None:
    environment = {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    (b0, first), (other, second) = run_on_ranks(2, train_on_a_rank, str(tmp_path), environment=environment)
    assert b0 == other
    assert len(list((tmp_path / "b0").glob("rank-*.jsonl"))) == 2
    assert None in b0
    assert any(b0)
    rows = {
        tuple(chat_tokenizer().apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]): {
            **row,
            "b0": tokens,
        }
        for row, tokens in zip(problems(), b0, strict=True)
    }

    def of_types(prompt: Any, completion: list[int]) -> float:
        limit = BUDGETS["types"].limits[rows[tuple(prompt)]["domain"]]
        return value_of(completion) - 0.5 * (len(completion) == limit and completion[-1] not in END_TOKENS)

    def measured(progress: float) -> Any:
        def reward(prompt: Any, completion: list[int]) -> float:
            row = rows[tuple(prompt)]
            start, end = BUDGETS["measured"].factor[row["domain"]]
            limit = None if row["b0"] is None else (start + (end - start) * progress) * row["b0"]
            return -1.0 if limit is not None and len(completion) > limit else value_of(completion)

        return reward

    args = rl_config(tmp_path, **SETTINGS)
    for name in BUDGETS:
        for number, steps in enumerate(zip(first[name][0], second[name][0], strict=True)):
            reward = of_types if name == "types" else measured(number // 2 / 2)
            truth = true_gradient(list(steps), tiny_policy, args, reward=reward)
            for step in steps:
                assert relative_error(step.gradient, truth) < CLOSE, (name, number)
        for own, others in zip(first[name][1], second[name][1], strict=True):
            told = {key: value for key, value in own.items() if key.startswith("budget/")}
            assert told == {key: value for key, value in others.items() if key.startswith("budget/")}
    logs = first["measured"][1]
    assert [logs[step]["budget/short/factor"] for step in (0, 2)] == [3.0, 2.0]
    assert [logs[step]["budget/long/factor"] for step in (0, 2)] == [1.0, 1.5]
