"""A Spec is not made with rewards that fail their check, trains as it is, and mixes with others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from tiny_rl import Watched, rl_config, tiny_policy, tool_tokenizer
from trl import GRPOConfig, GRPOTrainer

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.rewards.reward_check import VARIANTS, WRONG, check_rewards
from hf_muonclip.rl.rewards.spec import Spec, mix


class Sum:
    """A grader of additions that reads an answer as it should: marks and spaces around it do not count."""

    __name__ = "right_sum"

    def __init__(self, marks: str = " \n.*$") -> None:
        self.marks = marks

    def gold(self, row: dict[str, Any]) -> str | None:
        answer: str | None = row["answer"]
        return answer

    def wrong(self, row: dict[str, Any]) -> list[str]:
        return [f"{row['answer']}0"]

    def __call__(self, completions: list[Any], answer: list[str], **_: Any) -> list[Any]:
        texts = [text if isinstance(text, str) else text[-1]["content"] for text in completions]
        bare = [text.replace("<answer>", "").replace("</answer>", "").strip(self.marks) for text in texts]
        return [float(text == right) for text, right in zip(bare, answer, strict=True)]


class AsyncSum(Sum):
    async def __call__(self, **given: Any) -> list[Any]:  # type: ignore[override]
        await asyncio.sleep(0)
        return Sum.__call__(self, **given)


def additions(rows: int = 40, chat: bool = False, **more: Any) -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"w{i} w9"}] if chat else f"w{i} w9",
                "answer": str(i + 9),
                **more,
            }
            for i in range(10, 10 + rows)
        ]
    )


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("grader", [Sum(), AsyncSum()], ids=["sync", "async"])
def test_a_good_grader_passes(grader: Sum, chat: bool) -> None:
    spec = Spec("add", additions(chat=chat), [grader])
    assert spec.report.passed
    assert [case.name for case in spec.report.cases] == [*VARIANTS, *WRONG, "wrong"]
    assert all(len(case.rewards) == 32 for case in spec.report.cases)
    kept = asyncio.run(in_loop(lambda: check_rewards(additions(), [grader], rows=3)))
    assert kept.passed
    assert all(len(set(case.rows)) == 3 for case in kept.cases)


async def in_loop(function: Any) -> Any:
    return function()


@pytest.mark.parametrize(
    ("marks", "failing"), [(" \n.$", ["bold"]), (" \n.*", ["dollars"]), ("*$.", ["spaces", "newline", "blank"])]
)
def test_what_decides_and_should_not_is_named(marks: str, failing: list[str]) -> None:
    report = check_rewards(additions(), [Sum(marks)])
    found = [case.name for case in report.cases if case.failed]
    assert found == [name for name in failing if name != "blank"]
    with pytest.raises(ValueError, match=naming("add", "32", "right_sum", *found)):
        Spec("add", additions(), [Sum(marks)])
    lenient = Sum(marks)
    lenient.variants = [name for name in VARIANTS if name not in found]  # type: ignore[attr-defined]
    assert Spec("add", additions(), [lenient]).report.passed


class Generous(Sum):
    def __call__(self, completions: list[Any], **_: Any) -> list[Any]:
        return [1.0] * len(completions)


class Unreadable(Sum):
    def __call__(self, completions: list[Any], answer: list[str], **given: Any) -> list[Any]:
        rewards = super().__call__(completions, answer, **given)
        return [NotMeasured("gold") if int(a) % 4 == 0 else r for a, r in zip(answer, rewards, strict=True)]


def test_a_grader_that_pays_for_nothing_fails() -> None:
    report = check_rewards(additions(), [Generous()])
    assert {case.name for case in report.cases if case.failed} == {*WRONG, "wrong"}
    with pytest.raises(ValueError, match=naming("empty", "''")):
        Spec("add", additions(), [Generous()])


def test_rows_that_fail_are_left_out_if_asked(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=naming("drop=True", "gold")):
        Spec("add", additions(), [Unreadable()])
    spec = Spec("add", additions(), [Unreadable()], drop=True)
    assert len(spec.train_dataset) == 30
    assert not any(int(answer) % 4 == 0 for answer in spec.train_dataset["answer"])
    assert "10 of its 40" in caplog.text
    assert "40 gold" not in str(spec.report)
    assert "10 gold" in str(spec.report)
    with pytest.raises(ValueError, match=naming("add", "40")):  # the grader, not its rows
        Spec("add", additions(), [Generous()], drop=True)


def test_a_function_without_a_gold_answer_is_named(caplog: pytest.LogCaptureFixture) -> None:
    def shortness(completions: list[Any], **_: Any) -> list[float]:
        return [1.0 / (1 + len(text)) for text in completions]

    spec = Spec("add", additions(), [Sum(), shortness])
    assert spec.report.unchecked == ["shortness"]
    assert "shortness" in caplog.text


def test_a_function_of_wrong_length_is_refused() -> None:
    class Short(Sum):
        def __call__(self, completions: list[Any], **_: Any) -> list[Any]:
            return [1.0]

    with pytest.raises(ValueError, match=naming("right_sum", "1")):
        Spec("add", additions(), [Short()])


def test_mixtures_draw_by_weight_and_score_by_domain() -> None:
    left = Spec("left", additions(40, level=1), [Sum()])
    right = Spec("right", additions(60, source="b"), [AsyncSum()])
    mixed = mix([left, right], [3, 1], seed=5)
    domains = mixed.train_dataset["domain"]
    assert (domains.count("left"), domains.count("right")) == (40, 13)
    assert domains[:40].count("right") > 0  # shuffled
    assert len({(d, p) for d, p in zip(domains, mixed.train_dataset["prompt"], strict=True)}) == 53
    assert {row["level"] for row in mixed.train_dataset if row["domain"] == "right"} == {None}
    assert [function.__name__ for function in mixed.reward_funcs] == ["left/right_sum", "right/right_sum"]
    assert mixed.report.passed
    same, other = mix([left, right], [3, 1], seed=5), mix([left, right], [3, 1], seed=6)
    assert same.train_dataset["prompt"] == mixed.train_dataset["prompt"] != other.train_dataset["prompt"]
    first, second = mixed.reward_funcs
    given = {"completions": ["19", "19", "20"], "answer": ["19", "19", "21"], "domain": ["left", "right", "left"]}
    assert first(**given) == [1.0, None, 0.0]
    assert asyncio.run(second(**given)) == [None, 1.0, None]
    assert first(**{**given, "domain": ["right"] * 3}) == [None] * 3


def test_what_cannot_be_mixed_is_refused() -> None:
    spec = Spec("left", additions(), [Sum()])
    with pytest.raises(ValueError, match=naming("left")):
        mix([spec, spec])
    other = Spec("right", additions(chat=True), [Sum()])
    with pytest.raises(ValueError, match=naming("prompt", "left", "right")):
        mix([spec, other])
    for weights in ([1.0], [1.0, 0.0], [1.0, -1.0]):
        with pytest.raises(ValueError, match=naming("weights", str(weights))):
            mix([spec, other], weights)


def test_what_rewards_would_read_wrongly_is_not_mixed() -> None:
    left, right = Spec("left", additions(), [Sum()]), Spec("right", additions(), [Sum()])
    with pytest.raises(ValueError, match=naming("both", "mixture")):
        mix([mix([left, right], name="both"), Spec("more", additions(), [Sum()])])
    with pytest.raises(ValueError, match=naming("'domain'", "own")):
        mix([left, Spec("own", additions(domain="a"), [Sum()])])


def test_several_environments_of_a_domain_keep_their_names(tmp_path: Path) -> None:
    rooms = {"a": Room, "b": Room}
    data = additions(8, chat=True).add_column("environment", ["a", "b"] * 4)
    mixed = mix([Spec("left", additions(8, chat=True), [Sum()]), Spec("rooms", data, [], rooms)])
    assert {*mixed.environment_factory} == {"left", "rooms/a", "rooms/b"}
    answers = dict(zip(data["answer"], data["environment"], strict=True))
    for row in mixed.train_dataset:
        assert row["environment"] == ("left" if row["domain"] == "left" else f"rooms/{answers[row['answer']]}")
    trainer = Watched(
        tiny_policy(),
        args=rl_config(tmp_path, max_steps=4),
        processing_class=tool_tokenizer(),
        **mixed.trainer_kwargs(),
    )
    trainer.train()
    assert {"rewards/left/right_sum/mean", "rewards/Room/mean"} <= {n for log in trainer.state.log_history for n in log}
    assert not +trainer.not_measured.total
    with pytest.raises(ValueError, match=naming("'environment'", "rooms", "None")):
        mix([Spec("rooms", additions(), [], rooms)])


class Room:
    """An environment with one tool."""

    def reset(self, **_: Any) -> str:
        return " w8"

    def get_reward(self) -> float:
        return 0.5


@pytest.mark.parametrize("with_environment", [False, True])
def test_both_trainers_take_a_mixture_and_log_by_domain(with_environment: bool, tmp_path: Path) -> None:
    left = Spec("left", additions(8, chat=True), [Sum()])
    right = Spec(
        "right", additions(8, chat=True), [] if with_environment else [AsyncSum()], Room if with_environment else None
    )
    mixed = mix([left, right])
    trainer = Watched(
        tiny_policy(),
        args=rl_config(tmp_path, max_steps=4),
        processing_class=tool_tokenizer(),
        **mixed.trainer_kwargs(),
    )
    trainer.train()
    names = {name for log in trainer.state.log_history for name in log}
    of_right = "Room" if with_environment else "right/right_sum"
    assert {"rewards/left/right_sum/mean", f"rewards/{of_right}/mean"} <= names
    assert not +trainer.not_measured.total
    assert all(batch["sample_weights"].tolist() == [1.0] * 8 for batch in trainer.sampled)

    own = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 4, "max_steps": 1}
    args = GRPOConfig(str(tmp_path), **own, bf16=False, use_cpu=True, report_to="none", save_strategy="no")
    GRPOTrainer(tiny_policy(), args=args, processing_class=tool_tokenizer(), **mixed.trainer_kwargs()).train()
