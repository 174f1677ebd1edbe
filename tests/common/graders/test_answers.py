"""The final answer of a completion: one rule, for mathematics and for texts."""

import time

import pytest

from hf_muonclip.common.graders.answers import final_formula, final_text, undecorated
from hf_muonclip.rl.domains.completions import completion_text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("4", "4"),
        ("**4**", "**4**"),
        ("$4$", "4"),
        (r"\(4\)", "4"),
        ("Hence\n\\[\n4\n\\]", "\n4\n"),
        ("So it is\n$$x = 4.$$", "x = 4."),
        ("<answer>4</answer>", "4"),
        ("<ANSWER> 4\n</Answer> I am sure.", " 4\n"),
        (r"<answer>We get \boxed{4}</answer>", "4"),
        (r"\boxed{5} then \boxed{4}", "4"),
        (r"\boxed{\boxed{4}} and so on", "4"),
        (r"\boxed{\frac{1}{2}} of 3", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"<answer>5</answer>, no: \boxed{4}", "4"),
        (r"\boxed{5}, no: <answer>4</answer>", "4"),
        ("I use <answer> tags: <answer>4</answer>", "4"),
        (r"\boxed{4} and then \boxed{5", "4"),
        ("The answer is 4.", "4"),
        ("The answer is 4.5 metres. I hope so.", "4.5 metres"),
        ("**Answer:** 4", "4"),
        ("**Final answer: 4**", "4**"),
        ("The final answer is $4$. I hope it is correct.", "4"),
        ("Answer:\n\n$$4$$", "4"),
        ("The answer is 5. No, the answer is 4.", "4"),
        ("16 + 3 = 19\n#### 19", "19"),
        (r"<think>It is \boxed{5}</think>It is $4$.", "4"),
        (r"It is \boxed{5}</think>4", "4"),
    ],
)
def test_the_answer_of_mathematics(text: str, answer: str) -> None:
    assert final_formula(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "<answer>4",
        r"\boxed{4",
        "<think>4",
        "<think>The answer is 4",
        "the answer is $4$ or $5$",
        "the answer is $4$, not 5",
        "either $4$ or $5$",
    ],
)
def test_no_answer_of_mathematics(text: str) -> None:
    assert final_formula(text) is None


@pytest.mark.parametrize(
    ("text", "several_lines", "answer"),
    [
        ("1 2\n3 4", True, "1 2\n3 4"),
        ("<answer>\n1 2\n3 4\n</answer>", True, "\n1 2\n3 4\n"),
        ("The answer is:\n1 2\n3 4", True, "\n1 2\n3 4"),
        ("Let me see\nDLLU", False, "DLLU"),
        ("The answer is (a) 3.5. Really", False, "(a) 3.5. Really"),
        ("costs $5 or $6", False, "costs $5 or $6"),
        ("<answer>DLLU", False, None),
        ("", True, None),
    ],
)
def test_the_answer_that_is_a_text(text: str, several_lines: bool, answer: str | None) -> None:
    assert final_text(text, several_lines) == answer


@pytest.mark.parametrize(
    ("decorated", "plain"),
    [
        (" **4**. ", "4"),
        ("`DLLU`", "DLLU"),
        ("```\n1 2\n3 4\n```", "1 2\n3 4"),
        ("```json\n{}\n```", "{}"),
        ("$$4$$", "4"),
        (r"\(x\)", "x"),
        ('"yes"', "yes"),
        ("4**", "4"),
        ("**", ""),
        ("a*b", "a*b"),
    ],
)
def test_decoration_is_taken_off(decorated: str, plain: str) -> None:
    assert undecorated(decorated) == plain


def test_the_text_of_a_completion_is_what_the_assistant_said_last() -> None:
    chat = [
        {"role": "assistant", "content": "5", "tool_calls": []},
        {"role": "tool", "content": "6"},
        {"role": "assistant", "content": "4"},
    ]
    assert completion_text("4") == completion_text(chat) == "4"
    assert (
        completion_text([{"role": "assistant", "content": [{"type": "text", "text": "4"}, {"type": "image"}]}]) == "4"
    )
    assert completion_text([{"role": "assistant", "content": None, "tool_calls": []}]) == ""
    assert completion_text([]) == ""
    assert completion_text(chat[:-1]) == ""  # it ends with a tool's message: the model has given no answer


@pytest.mark.parametrize(
    "piece", [r"\boxed{", r"\boxed{4}", "<answer>", "{", "}", r"\(", r"\[", "$", "$$ ", "answer is ", "*", "`"]
)
def test_any_text_is_read_in_one_pass(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    final_formula(text)
    final_text(text, True)
    undecorated(text[:20_000])
    assert time.process_time() - started < 10
