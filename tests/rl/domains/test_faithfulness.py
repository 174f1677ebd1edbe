"""Faithfulness: the share of sentences that the text supports, its check, faults of the judge, odd completions."""

import time
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from odd_completions import ODD
from rule_judge import RuleJudge

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.domains.faithfulness import FaithfulnessReward, faithfulness_spec

TEXT = "Ann has a red boat. Ben has no boat."


def by_words(texts: dict[str, str], question: str) -> str:
    """Supported is a sentence whose words all stand in the text."""
    words = {word.strip(".*") for word in texts["text"].lower().split()}
    own = {word.strip(".*") for word in texts["sentence"].lower().split()}
    return "SUPPORTED" if own <= words else "UNSUPPORTED"


def rewards(judge: Any, completions: list[Any], **more: Any) -> list[float]:
    reward = FaithfulnessReward(judge, **more)
    return reward(prompts=["?"] * len(completions), completions=completions, context=[TEXT] * len(completions))


def rows(**more: Any) -> Dataset:
    return Dataset.from_list([{"prompt": f"Say what this says: {TEXT}", "context": TEXT, **more}] * 3)


def test_the_reward_is_the_share_of_supported_sentences() -> None:
    completions = [
        "Ann has a red boat.",
        "Ann has a red boat. Ben has a plane.",
        "Ann sank. Ben sank. Ann has no boat. Ben has a red boat.",
        "Nobody knows.",
        "",
        " \n...\n",
        [{"role": "assistant", "content": "Ben has no boat."}],
        "<think>Ann sank.</think>Ben has no boat.",
    ]
    assert rewards(RuleJudge(by_words), completions) == [1, 0.5, 0.5, 0, 0, 0, 1, 1]


def test_repeating_what_is_supported_hides_nothing() -> None:
    assert rewards(RuleJudge(by_words), ["Ann has a red boat.\n" * 9 + "Ben has a plane."]) == [0.5]


def test_sentences_beyond_the_limit_count_as_unsupported_and_are_not_judged() -> None:
    judge = RuleJudge(by_words)
    completion = "Ann has. Ben has. Ann has a. Ben has a. Ann has no."
    assert rewards(judge, [completion], most_sentences=2) == [0.4]
    assert len(judge.asked) == 2 * 2


def test_one_unreadable_verdict_leaves_its_completion_alone_unmeasured() -> None:
    judge = RuleJudge(lambda texts, question: "PERHAPS" if "plane" in texts["sentence"] else by_words(texts, question))
    found = rewards(judge, ["Ann has a red boat.", "Ben has a plane. Ben has no boat.", ""])
    assert found[1].cause == "error"
    assert [found[0], found[2]] == [1, 0]


def test_a_spec_is_made_where_the_judge_confirms_the_text_itself_and_nothing_else() -> None:
    spec = faithfulness_spec(rows(), RuleJudge(by_words))
    assert spec.report.passed
    assert not spec.report.unchecked
    assert {case.name for case in spec.report.cases} >= {"plain", "bold", "empty", "no answer", "wrong"}


@pytest.mark.parametrize("verdict", ["SUPPORTED", "UNSUPPORTED", "PERHAPS"])
def test_a_judge_that_tells_nothing_apart_fails_the_check(verdict: str) -> None:
    with pytest.raises(ValueError, match=naming("faithfulness")):
        faithfulness_spec(rows(), RuleJudge(lambda texts, question: verdict))


def test_a_judge_that_heeds_only_the_order_fails_the_check() -> None:
    from rule_judge import code_of, offered

    with pytest.raises(ValueError, match=naming("faithfulness", "order")):
        faithfulness_spec(rows(), lambda chats: [f"VERDICT {code_of(chat)}: {offered(chat)[0]}" for chat in chats])


@pytest.mark.parametrize(
    ("judge", "cause"),
    [
        (lambda chats: 1 / 0, "unreachable"),
        (lambda chats: time.sleep(2), "timeout"),
        (lambda chats: ["SUPPORTED"] * len(chats), "error"),
        (lambda chats: ["VERDICT"] * (len(chats) + 1), "error"),
    ],
)
def test_faults_of_the_judge_are_not_measured(judge: Any, cause: str) -> None:
    found = rewards(judge, ["Ann has a red boat.", "", "Ben sank."], deadline=0.3)
    assert [found[0].cause, found[2].cause] == [cause, cause]
    assert found[1] == 0


def test_odd_completions_get_a_share_or_a_cause_in_time() -> None:
    began = time.monotonic()
    found = rewards(RuleJudge(by_words), [*ODD.values()], most_sentences=4)
    assert time.monotonic() - began < 60
    for kind, value in zip(ODD, found, strict=True):
        assert not isinstance(value, NotMeasured), kind
        assert 0 <= value <= 1, kind
    assert dict(zip(ODD, found, strict=True))["empty"] == 0


@pytest.mark.parametrize("column", ["prompt", "context"])
def test_a_missing_column_is_refused(column: str) -> None:
    with pytest.raises(ValueError, match=naming(column)):
        faithfulness_spec(rows().remove_columns(column), RuleJudge(by_words))


def test_a_context_without_a_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("context", 0)):
        faithfulness_spec(Dataset.from_list([{"prompt": "?", "context": " ... "}]), RuleJudge(by_words))


@pytest.mark.parametrize("setting", ["deadline", "most_sentences"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=naming(setting, 0)):
        FaithfulnessReward(RuleJudge(by_words), **{setting: 0})
