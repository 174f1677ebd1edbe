"""Instruction following as a Spec: rows, rewards, the judge's part, faults, odd completions."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from instruction_arguments import ARGUMENTS
from odd_completions import ODD
from rule_judge import RuleJudge

pytest.importorskip("if_verifiable")

from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.domains.instruction import InstructionReward, instruction_spec
from hf_muonclip.rl.domains.instruction_rows import instruction_rows

NO_COMMA, TITLE, BULLETS = "punctuation:no_comma", "detectable_format:title", "detectable_format:number_bullet_lists"


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=1, deadline=20) as made:
        yield made


def row(*ids: str, prompt: Any = "Write.", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "instruction_id_list": [*ids], "kwargs": [ARGUMENTS[name] for name in ids], **more}


def rewards(reward: InstructionReward, ids: list[str], completions: list[Any], **more: Any) -> list[float]:
    count = len(completions)
    return reward(
        prompts=["Write."] * count,
        completions=completions,
        instruction_id_list=[ids] * count,
        kwargs=[[ARGUMENTS[name] for name in ids]] * count,
        **more,
    )


def test_generated_rows_make_a_spec_whose_golds_earn_1_and_wrong_ones_nothing(pool: GraderPool) -> None:
    rows = instruction_rows(60, seed=1, most=3)
    spec = instruction_spec(rows, pool=pool)
    assert spec.report.passed
    assert not spec.report.unchecked
    assert {case.name for case in spec.report.cases} >= {"plain", "spaces", "newline", "empty", "blank", "wrong"}
    assert all(len(case.rewards) == 32 for case in spec.report.cases)
    wrong = next(case for case in spec.report.cases if case.name == "wrong")
    assert set(wrong.rewards) == {-0.5}  # they claim to follow everything
    assert len(spec.train_dataset) == 60
    assert len({name for ids in rows["instruction_id_list"] for name in ids}) == 8


def test_generated_rows_repeat_and_their_sizes_are_checked() -> None:
    assert instruction_rows(20, seed=3).to_list() == instruction_rows(20, seed=3).to_list()
    assert instruction_rows(20, seed=3)["prompt"] != instruction_rows(20, seed=4)["prompt"]
    assert instruction_rows(1, chat=True)["prompt"][0][0]["role"] == "user"
    with pytest.raises(ValueError, match=naming("most", 9)):
        instruction_rows(1, most=9)
    with pytest.raises(ValueError, match=naming("size", 0)):
        instruction_rows(0)


def test_all_instructions_must_be_followed_and_a_false_claim_costs(pool: GraderPool) -> None:
    logged: dict[str, float] = {}
    found = rewards(
        InstructionReward(claim_penalty=0.25, pool=pool),
        [NO_COMMA, TITLE],
        [
            "<<a>>\nyes",
            [{"role": "assistant", "content": "<<a>>\nyes"}],
            "<think>, , ,</think><<a>> yes",
            "yes",
            "<<a>> yes, no",
            "I used no commas, and added a title.",
            "<<a>> I have used no commas.",
            "",
        ],
        log_metric=logged.__setitem__,
    )
    assert found == [1, 1, 1, 0, 0, -0.25, 1, 0]
    assert logged == {"instruction_following/falsely_claimed": 1 / 8}


def test_rows_that_cannot_be_checked_are_left_out_and_counted(
    pool: GraderPool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = GraderPool(workers=1, deadline=20)
    monkeypatch.setenv("NLTK_DATA", "/nowhere")
    monkeypatch.setenv("HOME", "/nowhere")
    nltk = "change_case:capital_word_frequency"
    rows = [row(NO_COMMA), row(nltk), row(TITLE, nltk), row(BULLETS)]
    rows[3]["kwargs"] = [{"num_bullets": 2, "relation": None}]
    with caplog.at_level(logging.WARNING), without:
        spec = instruction_spec(Dataset.from_list(rows), pool=without)
    assert spec.train_dataset["instruction_id_list"][:] == [[NO_COMMA], [BULLETS]]
    assert "2 of 4" in caplog.text
    assert f"2 for {nltk}" in caplog.text
    assert "punkt" in caplog.text


def test_an_environment_that_can_check_nothing_is_refused(pool: GraderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLTK_DATA", "/nowhere")
    monkeypatch.setenv("HOME", "/nowhere")
    with GraderPool(workers=1, deadline=20) as without, pytest.raises(ValueError, match=naming("words:start_verb")):
        instruction_spec(Dataset.from_list([row("words:start_verb")]), pool=without)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"instruction_id_list": ["no:such"], "kwargs": [{}]}, ("row 1", "no:such")),
        ({"instruction_id_list": [BULLETS], "kwargs": [{}]}, ("row 1", "num_bullets")),
        ({"instruction_id_list": [BULLETS], "kwargs": [{"num_bullets": -1}]}, ("row 1", -1)),
        ({"instruction_id_list": [NO_COMMA], "kwargs": [{"num_bullets": 3}]}, ("row 1", "num_bullets")),
        ({"instruction_id_list": [NO_COMMA], "kwargs": [None]}, ("row 1", NO_COMMA)),
        ({"instruction_id_list": [NO_COMMA, TITLE], "kwargs": [{}]}, ("row 1", 2, 1)),
        ({"instruction_id_list": [], "kwargs": []}, ("row 1",)),
    ],
)
def test_rows_that_are_wrong_are_refused(pool: GraderPool, bad: dict[str, Any], named: tuple[Any, ...]) -> None:
    good = {"prompt": "Write.", "instruction_id_list": [BULLETS], "kwargs": [{"num_bullets": 2}]}
    with pytest.raises(ValueError, match=naming(*named)):
        instruction_spec(Dataset.from_list([good, {"prompt": "Write.", **bad}]), pool=pool)


@pytest.mark.parametrize("column", ["prompt", "instruction_id_list", "kwargs"])
def test_a_missing_column_is_refused(pool: GraderPool, column: str) -> None:
    with pytest.raises(ValueError, match=naming(column)):
        instruction_spec(instruction_rows(2).remove_columns(column), pool=pool)


def test_a_gold_answer_that_breaks_an_instruction_is_refused(pool: GraderPool) -> None:
    rows = [row(TITLE, gold="no title"), row(TITLE, gold="<<a title>>")]
    with pytest.raises(ValueError, match=naming("no title")):
        instruction_spec(Dataset.from_list(rows), pool=pool)


def test_golds_of_rows_that_most_texts_follow_are_checked_too(pool: GraderPool) -> None:
    rows = [row(NO_COMMA, gold="anything"), row(TITLE, gold="<<a title>>")]
    cases = instruction_spec(Dataset.from_list(rows), pool=pool).report.cases
    assert {len(case.rewards) for case in cases if case.name != "wrong"} == {2}


def test_judged_instructions_are_asked_of_the_judge_where_code_is_satisfied(pool: GraderPool) -> None:
    judge = RuleJudge(lambda texts, question: "FOLLOWED" if "kind" in texts["response"] else "BROKEN")
    reward = InstructionReward(judge=judge, pool=pool)
    completions = ["<<a>> kind", "<<a>> rude", "kind", "", "<<a>> rude. I have followed all instructions."]
    wanted = [["Be kind."]] * 5
    assert rewards(reward, [TITLE], completions, judged_instructions=wanted) == [1, 0, 0, 0, -0.5]
    assert len(judge.asked) == 3 * 2
    assert judge.asked[0] == {"request": "Write.", "response": "<<a>> kind"}
    assert rewards(reward, [TITLE], completions[:2], judged_instructions=[None, []]) == [1, 1]
    assert rewards(reward, [], ["kind", ""], judged_instructions=[["Be kind."]] * 2) == [1, 0]


def test_one_broken_judged_instruction_decides_over_one_that_is_not_measured(pool: GraderPool) -> None:
    judge = RuleJudge(lambda texts, question: "BROKEN" if "brief" in question else "PERHAPS")
    reward = InstructionReward(judge=judge, pool=pool)
    found = rewards(reward, [TITLE], ["<<a>>"] * 3, judged_instructions=[["Be kind.", "Be brief."], ["Be kind."], None])
    assert found[0] == 0
    assert found[1].cause == "error"
    assert found[2] == 1


def test_judged_instructions_without_a_judge_are_refused(pool: GraderPool) -> None:
    rows = Dataset.from_list([row(TITLE, judged_instructions=["Be kind."])])
    with pytest.raises(ValueError, match=naming("judge", None)):
        instruction_spec(rows, pool=pool)
    rows = Dataset.from_list([row(TITLE, judged_instructions=["Be kind."]), row(judged_instructions=["Be brief."])])
    assert len(instruction_spec(rows, judge=RuleJudge(lambda *_: "FOLLOWED"), pool=pool).train_dataset) == 2


@pytest.mark.parametrize(
    ("judge", "cause"),
    [
        (lambda chats: 1 / 0, "unreachable"),
        (lambda chats: time.sleep(2), "timeout"),
        (lambda chats: ["no verdict"] * len(chats), "error"),
        (lambda chats: ["no verdict"], "error"),
    ],
)
def test_faults_of_the_judge_reach_only_what_it_is_asked(pool: GraderPool, judge: Any, cause: str) -> None:
    reward = InstructionReward(judge=judge, judge_deadline=0.3, pool=pool)
    found = rewards(reward, [TITLE], ["<<a>>", "none", "<<a>>"], judged_instructions=[["Be kind."]] * 2 + [None])
    assert found[0].cause == cause
    assert found[1:] == [0, 1]


def test_faults_of_the_pool_are_not_measured() -> None:
    reward = InstructionReward(pool=GraderPool(workers=1))
    reward.pool.close()
    assert [value.cause for value in rewards(reward, [TITLE], ["<<a>>", ""])] == ["error", "error"]


def test_odd_completions_get_a_reward_in_range_or_a_cause(pool: GraderPool) -> None:
    reward = InstructionReward(pool=pool)
    names = [NO_COMMA, TITLE, "language:response_language", "keywords:frequency", "length_constraints:number_words"]
    began = time.monotonic()
    for ids in ([name] for name in names):
        for text, value in zip(ODD, rewards(reward, ids, [*ODD.values()]), strict=True):
            assert isinstance(value, NotMeasured) or -0.5 <= value <= 1, (ids, text)
            if not ODD[text].rpartition("</think>")[2].strip():
                assert value == 0, (ids, text)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("penalty", [-0.1, 1.5, float("nan")])
def test_a_penalty_out_of_range_is_refused(penalty: float) -> None:
    with pytest.raises(ValueError, match=naming("claim_penalty", penalty)):
        InstructionReward(claim_penalty=penalty)
