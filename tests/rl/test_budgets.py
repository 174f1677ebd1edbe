"""A response over its budget costs what the papers say, whoever rewards it, and nothing of TRL's hides that."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from tiny_rl import (
    CLOSE,
    END_TOKENS,
    SEVERAL,
    Watched,
    relative_error,
    rl_trainer,
    tiny_policy,
    true_gradient,
    value_of,
)
from tiny_trl import chat_tokenizer, turn

from hf_muonclip.rl import MeasuredBudgets, TypeBudgets
from hf_muonclip.rl.budgets import BudgetReward, add_budgets_

LIMITS = {"short": 3, "long": 6}
LONGEST = 7  # that the trainer samples


def problems(**columns: Callable[[int], Any]) -> Dataset:
    """Prompts of two domains; each column by its row's number."""
    given = {"domain": lambda row: ("short", "long")[row % 2], **columns}
    return Dataset.from_list(
        [{"prompt": [turn("user", row)], **{name: value(row) for name, value in given.items()}} for row in range(8)]
    )


def row_of(data: Dataset) -> dict[tuple[int, ...], dict[str, Any]]:
    """Return the rows by the tokens of their prompts."""
    tokenizer = chat_tokenizer()
    return {
        tuple(tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]): row
        for row in data
    }


def completions_of(batch: dict[str, Any]) -> list[tuple[tuple[int, ...], list[int]]]:
    """Return prompts and completions of a batch, without padding."""
    return [
        (tuple(prompt[prompt_mask == 1].tolist()), completion[mask == 1].tolist())
        for prompt, prompt_mask, completion, mask in zip(
            *(batch[name] for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")), strict=True
        )
    ]


def true_advantages(batch: dict[str, Any], reward: Callable[[Any, list[int]], float]) -> list[float]:
    rewards = [reward(prompt, completion) for prompt, completion in completions_of(batch)]
    means = [sum(rewards[first : first + 4]) / 4 for first in range(0, len(rewards), 4)]
    return [reward - means[place // 4] for place, reward in enumerate(rewards)]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("by_function", [False, True], ids=["column", "function"])
def test_a_response_over_the_budget_of_its_type_is_cut_and_costs(
    by_function: bool, asynchronous: bool, tmp_path: Path
) -> None:
    data = problems()
    rows = row_of(data)
    seen: list[tuple[list[int], Any]] = []

    def even(completion_ids: list[list[int]], completions: list[Any], **_: Any) -> list[float]:
        seen.extend(zip(completion_ids, completions, strict=True))
        return [value_of(ids) for ids in completion_ids]

    async def even_later(**given: Any) -> list[float]:
        return even(**given)

    task_type = (lambda row: row["domain"]) if by_function else "domain"
    given = {
        "train_dataset": data,
        "reward_funcs": even_later if asynchronous else even,
        "budgets": TypeBudgets(LIMITS, penalty=0.75, task_type=task_type),
    }
    trainer = rl_trainer(tmp_path, given=given, objective="k2", **SEVERAL | {"max_steps": 4})
    trainer.train()

    def reward(prompt: Any, completion: list[int]) -> float:
        limit = LIMITS[rows[tuple(prompt)]["domain"]]
        assert len(completion) <= limit
        return value_of(completion) - 0.75 * (len(completion) == limit and completion[-1] not in END_TOKENS)

    assert len(trainer.steps) == 4
    for step in trainer.steps:
        truth = true_gradient([step], tiny_policy, trainer.args, reward=reward)
        assert relative_error(step.gradient, truth) < CLOSE
    decode = chat_tokenizer().decode
    for ids, completion in seen:
        assert completion[0]["content"] == decode(ids, skip_special_tokens=True)
    for batch, log in zip(trainer.sampled, trainer.state.log_history[:4:2], strict=True):
        counts, over = Counter[str](), Counter[str]()
        for prompt, completion in completions_of(batch):
            domain = rows[prompt]["domain"]
            counts[domain] += 1
            over[domain] += reward(prompt, completion) != value_of(completion)
        assert counts.keys() == {name.split("/")[1] for name in log if name.startswith("budget/")}
        for domain, count in counts.items():
            assert log[f"budget/{domain}/over"] == pytest.approx(over[domain] / count)
        assert log["rewards/over_budget/mean"] == pytest.approx(-0.75 * sum(over.values()) / 8)
        assert log["completions/max_length"] <= max(LIMITS[domain] for domain in counts)
    overs = [value for log in trainer.state.log_history for name, value in log.items() if name.endswith("/over")]
    assert max(overs) > 0
    assert min(overs) < 1


def test_a_response_that_trl_ended_at_the_budget_is_over_it(tmp_path: Path) -> None:
    budgets = TypeBudgets({"short": LONGEST, "long": LONGEST})
    trainer = rl_trainer(tmp_path, given={"train_dataset": problems(), "budgets": budgets}, max_steps=2)
    trainer.train()
    assert any(
        len(completion) == LONGEST and completion[-1] not in END_TOKENS
        for batch in trainer.sampled
        for _, completion in completions_of(batch)
    )
    for batch in trainer.sampled:
        truth = true_advantages(
            batch, lambda _, ids: value_of(ids) - 0.5 * (len(ids) == LONGEST and ids[-1] not in END_TOKENS)
        )
        assert batch["advantages"].tolist() == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("factor", [(3.0, 1.0), {"short": (3.0, 1.0), "long": (1.0, 2.0)}], ids=["one", "by type"])
def test_the_reward_of_a_response_over_its_own_budget_becomes_minus_one(factor: Any, tmp_path: Path) -> None:
    data = problems(b0=lambda row: None if row < 2 else 1.0 + row / 8)
    rows = row_of(data)
    given = {"train_dataset": data, "budgets": MeasuredBudgets(factor)}
    trainer = rl_trainer(
        tmp_path, given=given, objective="k25", reward_weights=[2.0], **SEVERAL | {"max_steps": 4, "seed": 2}
    )
    trainer.train()
    assert len(trainer.sampled) == 2
    changed = []
    for number, batch in enumerate(trainer.sampled):

        def reward(prompt: Any, completion: list[int], number: int = number) -> float:
            row = rows[tuple(prompt)]
            start, end = factor[row["domain"]] if isinstance(factor, dict) else factor
            now = start + (end - start) * number / 2  # sampled at steps 0 and 2 of 4
            over = row["b0"] is not None and len(completion) > now * row["b0"]
            return -1.0 if over else 2 * value_of(completion)

        assert batch["advantages"].tolist() == pytest.approx(true_advantages(batch, reward), abs=1e-5)
        for step in trainer.steps[2 * number : 2 * number + 2]:
            truth = true_gradient([step], tiny_policy, trainer.args, reward=reward)
            assert relative_error(step.gradient, truth) < CLOSE
        rewards = [reward(prompt, completion) for prompt, completion in completions_of(batch)]
        changed += [reward == -1 for reward in rewards]
        log = trainer.state.log_history[2 * number]
        assert log["reward"] == pytest.approx(sum(rewards) / 8, abs=1e-5)
        for name in factor if isinstance(factor, dict) else ["all"]:
            start, end = factor[name] if isinstance(factor, dict) else factor
            assert log[f"budget/{name}/factor"] == pytest.approx(start + (end - start) * number / 2)
        lengths = [len(completion) for _, completion in completions_of(batch)]
        if not isinstance(factor, dict):
            assert log["budget/all/mean_length"] == pytest.approx(sum(lengths) / 8)
            assert log["budget/all/over"] == pytest.approx(rewards.count(-1.0) / 8)
    assert True in changed
    assert False in changed


def test_what_was_not_measured_stays_so(tmp_path: Path) -> None:
    """A budget alone gives no sample a reward."""
    data = problems(b0=lambda row: 1e-3)  # everything is over
    given = {
        "train_dataset": data,
        "budgets": MeasuredBudgets((1.0, 1.0)),
        "reward_funcs": lambda completions, **_: [None, 1.0, 2.0, math.inf, *[None] * 4],
    }
    trainer = rl_trainer(tmp_path, given=given, max_steps=1)
    trainer.train()
    assert trainer.sampled[0]["sample_weights"].tolist() == pytest.approx([0, 4, 4, *[0] * 5])
    assert trainer.sampled[0]["advantages"].tolist() == [0] * 8
    log = trainer.state.log_history[0]
    assert log["reward"] == -1
    assert log.get("rewards/over_budget/not_measured", 0) == 0
    assert log["budget/all/over"] == 1


@pytest.mark.parametrize("budgets", [TypeBudgets({"short": 1, "long": 1}), MeasuredBudgets((0.01, 0.01))], ids=repr)
def test_evaluation_knows_no_budgets(budgets: Any, tmp_path: Path) -> None:
    given = {
        "train_dataset": problems(b0=lambda row: 2.0),
        "eval_dataset": Dataset.from_list([{"prompt": [turn("user", 3)]}] * 2),  # and needs no columns
        "budgets": budgets,
    }
    trainer = rl_trainer(tmp_path, given=given, max_steps=1)
    trainer.train()
    trainer.evaluate()
    batch = trainer.sampled[-1]
    assert max(len(completion) for _, completion in completions_of(batch)) > 1
    assert batch["advantages"].tolist() == pytest.approx(true_advantages(batch, lambda _, ids: value_of(ids)), abs=1e-5)
    log = trainer.state.log_history[-1]
    assert log["eval_reward"] > 0
    assert not any(name.startswith("eval_budget") for name in log)


def test_a_model_that_rewards_judges_what_is_left(tmp_path: Path) -> None:
    from tiny_trl import reward_model

    judge = reward_model()
    seen: list[int] = []
    judge.register_forward_pre_hook(
        lambda *given: seen.append(int(given[-1]["attention_mask"].sum(-1).max())), with_kwargs=True
    )
    found = []
    for budgets in (None, TypeBudgets({"short": 1, "long": 1})):
        given = {"train_dataset": problems(), "reward_funcs": judge, "reward_processing_classes": chat_tokenizer()}
        trainer = rl_trainer(tmp_path, given={**given, "budgets": budgets}, max_steps=1, seed=1)
        trainer.train()
        found.append(seen.pop())
    assert found[1] < found[0]


def test_a_factor_past_its_end_stays_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    budgets = MeasuredBudgets((3.0, 1.0), steps=2)
    assert [budgets.factor_at("all", step, 8) for step in range(4)] == [3.0, 2.0, 1.0, 1.0]
    data = problems(b0=lambda row: 2.0)
    given = {"train_dataset": data, "budgets": MeasuredBudgets((3.0, 1.0), steps=50)}
    rl_trainer(tmp_path, given=given, max_steps=1).train()
    told = [record.getMessage() for record in caplog.records if "factor" in record.getMessage()]
    assert len(told) == 1
    assert "steps=50" in told[0]
    assert "after 1" in told[0]


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: TypeBudgets({}), ["limits", "{}"]),
        (lambda: TypeBudgets({"math": 0}), ["limits['math']", "0"]),
        (lambda: TypeBudgets({"math": -5}), ["limits['math']", "-5"]),
        (lambda: TypeBudgets({"math": 10.5}), ["limits['math']", "10.5"]),
        (lambda: TypeBudgets({"math": True}), ["limits['math']", "True"]),
        (lambda: TypeBudgets({"math": 9}, penalty=0.0), ["penalty", "0.0"]),
        (lambda: TypeBudgets({"math": 9}, penalty=math.nan), ["penalty", "nan"]),
        (lambda: MeasuredBudgets({}), ["factor", "{}"]),
        (lambda: MeasuredBudgets((0.0, 1.0)), ["factor", "(0.0, 1.0)"]),
        (lambda: MeasuredBudgets((2.0,)), ["factor", "(2.0,)"]),  # type: ignore[arg-type]
        (lambda: MeasuredBudgets({"math": (1.0, math.inf)}), ["factor['math']", "(1.0, inf)"]),
        (lambda: MeasuredBudgets((2.0, 1.0), steps=0), ["steps", "0"]),
        (lambda: MeasuredBudgets((2.0, 1.0), steps=2.5), ["steps", "2.5"]),  # type: ignore[arg-type]
    ],
)
def test_budgets_that_cannot_be(build: Callable[[], Any], named: list[str]) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        build()


@pytest.mark.parametrize(("name", "told"), [("tools", "tools"), ("environment_factories", "environment_factory")])
def test_an_episode_is_not_cut(name: str, told: str, tmp_path: Path) -> None:
    trainer = rl_trainer(tmp_path, given={"train_dataset": problems(b0=lambda row: 3.0)})
    setattr(trainer, name, {"tool": print})
    with pytest.raises(ValueError, match=naming("TypeBudgets", told, "MeasuredBudgets")):
        add_budgets_(trainer, TypeBudgets(LIMITS))
    assert len(trainer.reward_funcs) == 1
    add_budgets_(trainer, MeasuredBudgets((1.0, 1.0)))
    assert len(trainer.reward_funcs) == 2


@pytest.mark.parametrize(
    ("budgets", "settings", "given", "named"),
    [
        (TypeBudgets(LIMITS), {"mask_truncated_completions": True}, {}, ["mask_truncated_completions", "True"]),
        (TypeBudgets(LIMITS), {"max_completion_length": 5}, {}, ["max_completion_length=5", "6"]),
        (TypeBudgets(LIMITS), {"max_completion_length": None}, {}, ["max_completion_length", "None"]),
        (TypeBudgets({"short": 3}), {}, {}, ["limits", "'long'", "['short']"]),
        (TypeBudgets(LIMITS, task_type="task"), {}, {}, ["'task'", "domain", "task_type"]),
        (TypeBudgets(LIMITS, task_type=lambda row: "none"), {}, {}, ["limits", "'none'"]),
        (TypeBudgets(LIMITS), {}, {"rollout_func": print}, ["TypeBudgets", "rollout_func", "MeasuredBudgets"]),
        (MeasuredBudgets((2.0, 1.0)), {}, {}, ["'b0'", "domain", "measure_budgets()"]),
        (MeasuredBudgets((2.0, 1.0), column="zero"), {}, {}, ["'zero'", "0"]),
        (
            MeasuredBudgets((2.0, 1.0), column="three"),
            {"max_completion_length": 5},
            {},
            ["max_completion_length=5", "6"],
        ),
        (MeasuredBudgets((1.0, 3.0), column="three"), {}, {}, ["max_completion_length=7", "9"]),
        (MeasuredBudgets({"long": (1.0, 1.0)}, column="three"), {}, {}, ["factor", "'short'", "['long']"]),
    ],
)
def test_what_would_hide_a_penalty_or_leave_a_problem_without_a_budget(
    budgets: Any, settings: dict[str, Any], given: dict[str, Any], named: list[str], tmp_path: Path
) -> None:
    data = problems(zero=lambda row: 0, three=lambda row: 3)
    with pytest.raises(ValueError, match=naming(*named)):
        rl_trainer(tmp_path, given={"train_dataset": data, "budgets": budgets, **given}, **settings)


def test_budgets_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=naming("TypeBudgets", "MeasuredBudgets", "dict")):
        rl_trainer(tmp_path, given={"train_dataset": problems(), "budgets": {"math": 3}})


def test_a_stream_is_looked_at_batch_by_batch(tmp_path: Path) -> None:
    data = problems(b0=lambda row: 4.0).to_iterable_dataset()
    given = {"train_dataset": data, "budgets": MeasuredBudgets((1.0, 2.0))}
    with pytest.raises(ValueError, match=naming("max_completion_length=7", "8")):
        rl_trainer(tmp_path, given=given, max_steps=1).train()
    given["budgets"] = MeasuredBudgets((1.0, 1.0))
    trainer = rl_trainer(tmp_path, given=given, max_steps=1)
    trainer.train()
    assert "budget/all/over" in trainer.state.log_history[0]


def test_log_probabilities_are_cut_with_their_tokens() -> None:
    reward = BudgetReward(TypeBudgets({"a": 2, "b": 3}, task_type="kind"), 4, [0])
    reward.begin([{"kind": "a"}, {"kind": "b"}, {"kind": "b"}, {"kind": "a"}], 0, 1)
    ids, logprobs = reward.cut(
        [[1, 1, 1, 1], [1, 1, 0], [1, 1, 1, 0], [1, 0]],
        [[-1.0, -2, -3, -4], [-1.0, -2, -3], [-4.0, -3, -2, -1], [-1, -2]],
    )
    assert ids == [[1, 1], [1, 1, 0], [1, 1, 1], [1, 0]]
    assert logprobs == [[-1.0, -2], [-1.0, -2, -3], [-4.0, -3, -2], [-1, -2]]
    assert reward(completion_ids=ids) == [-0.5, 0, -0.5, 0]


def test_the_callers_list_of_rewards_is_left_alone(tmp_path: Path) -> None:
    functions = [lambda completions, **_: [1.0] * len(completions)]
    given = {"train_dataset": problems(), "reward_funcs": functions, "budgets": TypeBudgets(LIMITS)}
    trainer: Watched = rl_trainer(tmp_path, given=given)
    assert len(functions) == 1
    assert trainer.reward_func_names[-1] == "over_budget"
