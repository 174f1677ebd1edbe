"""Rewards for mathematics: what equals a gold answer, however it is written, and what does not."""

import logging
import math
import pickle

import pytest
from datasets import Dataset
from error_messages import naming

from hf_muonclip.common.graders.answers import gold_answer
from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.common.graders.math_grader import grade
from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.domains.math_rewards import MathReward, math_spec

GOLDS = [
    r"2\sqrt{2}",
    "10^{6}",
    r"3\pi",
    "5:3",
    "5!",
    "1+2i",
    r"\frac{3}{4}",
    "x^2+1",
    "(1,2)",
    "[1,2]",
    r"\text{A}",
    "C",
    r"\$18",
    "$18",
    "50%",
    r"50\%",
    r"5\text{ cm}",
    "6 cm^2",
    r"12^\circ",
    "1,000",
    "2^{100}",
    r"4.5 \times 10^3",
    "e^2",
    "1e-3",
    r"\{1,2\}",
    "{1,2}",
    "x=5",
    r"(5,\infty)",
    "x+y=5",
    "3 apples",
    "Evelyn",
    "(C)",
    "0.5",
    r"\pm 3",
    "3 and 5",
    r"\begin{pmatrix}1\\2\end{pmatrix}",
    r"1\frac{1}{2}",
    "-5",
    "x<3",
    "No solution",
    r"1.38 \times 10^{-23}",
]

WRITTEN = [
    "$4$",
    r"\(4\)",
    r"\[4\]",
    "4",
    "**4**",
    "x = 4",
    "<answer>4</answer>",
    "The answer is 4.",
    "The answer is 4",
    r"\boxed{4}",
    r"\boxed{5} then \boxed{4}",
    "<answer>$4$</answer>",
    "The final answer is $4$. I hope it is correct.",
    "4.0",
    "4 apples",
    r"$x = 2+2 = 4$",
    r"\boxed{4\text{ cm}}",
    "<think>5</think>\n4",
]

WRONG = [
    "",
    " ",
    "I do not know",
    "5",
    r"\boxed{4} then \boxed{5}",
    "<answer>4",
    r"\boxed{4",
    "It is 4, not 5",
    "It is 1, 2, 4 or 8",
    r"\boxed{3, 4, 5}",
    r"\boxed{4 \text{ or } 5}",
    r"\boxed{2+2}",
    r"\boxed{\frac{8}{2}}",
    r"\boxed{\sqrt{16}}",
    r"\boxed{5=4}",
    "<think>4",
    "4" * 5000,
    "(" * 1000,
    "The answer is $4$ or $5$",
    "My answer is correct. Reward: 1.0",
    "\x00\x01\x02",
    "4" + "x" * 900,
]

PAIRS = [
    (r"2\sqrt{2}", "sqrt(8)", 1),
    (r"2\sqrt{2}", "2", 0),
    (r"2\sqrt{2}", "2√2", 1),
    ("10^{6}", "1,000,000", 1),
    ("10^{6}", "10", 0),
    ("1000000", "10^6", 1),
    ("5:3", r"\frac{5}{3}", 1),
    ("5:3", "5", 0),
    ("5!", "120", 1),
    ("5!", "5", 0),
    ("120", "5!", 0),
    (r"3\pi", "3pi", 1),
    (r"3\pi", "3", 0),
    ("1+2i", "2i+1", 1),
    ("1+2i", "1", 0),
    (r"\frac{3}{4}", "75%", 1),
    (r"\frac{3}{4}", "0.75", 1),
    ("x^2+1", "1 + x**2", 1),
    ("x^2+1", "x^2", 0),
    ("(1,2)", "1, 2", 1),
    ("(1,2)", "(2,1)", 0),
    (r"\text{A}", "(A)", 1),
    ("A", "A) twelve", 1),
    ("A", "A or B", 0),
    ("A", "A, B, C, D", 0),
    ("Evelyn", "evelyn.", 1),
    ("Evelyn", "nylevE", 0),
    (r"\$18", "18 dollars", 1),
    ("18", r"\$18.00", 1),
    ("50%", "0.5", 1),
    ("0.5", "50", 0),
    ("6 cm^2", "6", 1),
    ("6 cm^2", "36", 0),
    ("6ab", "6", 0),
    ("6ab", "6ba", 1),
    ("x+y=5", "5", 0),
    ("x=5", "5", 1),
    ("5", "x=5", 1),
    ("{1,2}", "2, 1", 1),
    (r"(5,\infty)", "x>5", 1),
    ("1e2", "100", 1),
    ("100", "1e2", 1),
    ("1/3", "0.333333", 1),
    ("1/3", "0.333", 0),
    ("1000", "1 000", 1),
    ("70", "7 0", 0),
    ("-5", "−5", 1),  # noqa: RUF001
    ("x^{10}", "x^10", 1),
    (r"1.38 \times 10^{-23}", "1.38e-23", 1),
    (r"1.38 \times 10^{-23}", r"6.63 \times 10^{-34}", 0),
    ("10^{-20}", "10^{-30}", 0),
    ("120", "120 km/h", 1),
    (r"\sqrt{2}", "1.414214", 1),
    ("3 and 5", "3", 0),
    ("3 and 5", "5, 3", 1),
]


@pytest.fixture(scope="module")
def reward() -> MathReward:
    return MathReward()


def rewards(reward: MathReward, gold: object, completions: list[str]) -> list[float]:
    return reward(prompts=["?"] * len(completions), completions=completions, answer=[gold] * len(completions))


@pytest.mark.parametrize("gold", ["4", "$4$", 4, 4.0, r"We get $2+2=\boxed{4}$.", "2 and 2 are 4\n#### 4"])
def test_how_an_answer_is_written_does_not_decide(reward: MathReward, gold: object) -> None:
    assert dict(zip(WRITTEN, rewards(reward, gold, WRITTEN), strict=True)) == dict.fromkeys(WRITTEN, 1.0)
    assert dict(zip(WRONG, rewards(reward, gold, WRONG), strict=True)) == dict.fromkeys(WRONG, 0.0)


@pytest.mark.parametrize(("gold", "answer", "due"), PAIRS)
def test_what_equals_a_gold_answer(gold: str, answer: str, due: int) -> None:
    assert grade(gold, answer) == due
    assert grade(f"${gold}$" if "$" not in gold else gold, answer) == due


def test_every_gold_answer_passes_the_check_and_none_is_cut() -> None:
    spec = math_spec(Dataset.from_dict({"question": ["?"] * len(GOLDS), "solution": GOLDS}), "question", "solution")
    assert spec.report.passed
    assert len(spec.train_dataset) == len(GOLDS)
    assert sorted(spec.train_dataset.column_names) == ["answer", "prompt"]
    assert spec.train_dataset["answer"][:3] == [r"2\sqrt{2}", "10^{6}", r"3\pi"]


def test_gold_answers_that_cannot_be_read_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    golds = ["4", r"\frac{1}{", "", "5"]
    with caplog.at_level(logging.WARNING):
        spec = math_spec(Dataset.from_dict({"prompt": [*"abcd"], "answer": golds}), name="exam")
    assert spec.train_dataset.to_dict() == {"prompt": ["a", "d"], "answer": ["4", "5"]}
    assert "2 of 4" in caplog.text
    assert "exam" in caplog.text
    with pytest.raises(ValueError, match=naming("2 of 2", "exam")):
        math_spec(Dataset.from_dict({"prompt": ["a", "b"], "answer": golds[1:3]}), name="exam")
    with pytest.raises(ValueError, match=naming("'solution'", "'prompt'")):
        math_spec(Dataset.from_dict({"prompt": ["a"]}), answer="solution")


@pytest.mark.parametrize("gold", [r"\frac{1}{", "", None, [1, 2], float("nan"), "x" * 5000 + "!"])
def test_an_unreadable_gold_answer_is_not_measured(reward: MathReward, gold: object) -> None:
    found = rewards(reward, gold, ["4", ""])
    assert [(math.isnan(one), isinstance(one, NotMeasured) and one.cause) for one in found] == [(True, "gold")] * 2


def test_a_grader_that_takes_too_long_is_not_measured() -> None:
    with GraderPool(workers=1, deadline=1e-5) as pool:
        found = rewards(MathReward(pool=pool), r"\frac{x^2+1}{2}", [r"\boxed{\frac{1+x^2}{2}}"])
    assert [one.cause for one in found if isinstance(one, NotMeasured)] == ["timeout"]


def test_a_missing_column_is_named(reward: MathReward) -> None:
    with pytest.raises(ValueError, match=naming("'answer'", "solution")):
        reward(prompts=["?"], completions=["4"], solution=["4"])


def test_chats_are_read_and_the_reward_travels_to_other_processes() -> None:
    reward = pickle.loads(pickle.dumps(MathReward("gold")))
    chats = [[{"role": "assistant", "content": r"\boxed{4}"}], [{"role": "assistant", "content": "five"}]]
    assert reward(prompts=["?"] * 2, completions=chats, gold=["4", "4"]) == [1.0, 0.0]
    assert reward.__name__ == "math"


def test_the_answer_alone_is_taken_from_what_datasets_hold() -> None:
    assert [gold_answer(one) for one in (7, "$7$", r"so \boxed{7}", "a\n#### 7", "**7**", True, None)] == ["7"] * 5 + [
        ""
    ] * 2
