"""What a solution states as its answer, in several languages."""

import pytest

from hf_muonclip.synth.mathematics.final_answer import final_answer, given_answer

STATED = [
    (r"So $x = 3$ or rather $\boxed{4}$.", "4"),
    ("a lot\n#### 1,250", "1,250"),
    ("The answer is 8 apples.", "8"),
    ("The final answer is $2\\sqrt{2}$.", r"2\sqrt{2}"),
    ("Final answer: $\\boxed{\\frac{1}{2}}$", r"\frac{1}{2}"),
    ("The answer is (A).", "(A)"),
    ("Answer: 80°", "80"),
    ("The answer is $x = 4$.", "x = 4"),
    ("The answer is 2 hours and 20 minutes.", "2 hours and 20 minutes"),
    ("Die Antwort lautet 16,10 €.", "16.10"),
    ("Antwort: 1.250 Euro", "1250"),
    ("La réponse est 2,5 km.", "2.5"),
    ("Réponse : 250", "250"),
    ("La respuesta es 12.", "12"),
    ("答案是4。", "4"),
    ("答:一共有180千米。", "180"),
    ("答案:$40$", "40"),
    ("The last line is 5.\n5", ""),
    ("Thus 2 + 2 = 4.", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "due"), STATED)
def test_stated_answers(text: str, due: str) -> None:
    assert final_answer(text, decimal_comma=any(sign in text for sign in ("Antwort", "réponse"))) == due


def test_given_answers() -> None:
    given = (7, 0.5, "$7$", "a\n#### 7", "7 apples", "", None, float("nan"), ["7"])
    assert [given_answer(one) for one in given] == ["7", "0.5", "7", "7", "7", "", "", "", ""]
