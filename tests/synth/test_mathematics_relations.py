"""Which relations stand in a text, and which do not."""

import time

import pytest

from hf_muonclip.synth.mathematics.relations import MOST, relations

FOUND = [
    ("So she sold 48/2 = 24 clips in May.", ["48/2 = 24 clips"]),
    ("She earns $10 x 5 = $<<10*5=50>>50 a week.", ["10*5 = 50", "$10 × 5 = $50"]),
    ("Natalia has 5 apples + 3 apples = 8 apples in total.", ["5 apples + 3 apples = 8 apples"]),
    ("**Total:** 5 + 3 = 8", ["5 + 3 = 8"]),
    ("**2 + 2 = 4**", ["2 + 2 = 4"]),
    ("2 × 3 = **6**", ["2 × 3 = 6"]),
    ("1. 2 + 2 = 4\n2) 3 + 3 = 6\n- 5 + 3 = 8", ["2 + 2 = 4", "3 + 3 = 6", "5 + 3 = 8"]),
    ("| a | 2 + 2 = 4 |", ["2 + 2 = 4"]),
    ("<b>2 + 2 = 4</b>", ["2 + 2 = 4"]),
    ("We have $2x + 3 = 11$, so $x = 4$.", ["2x + 3 = 11", "x = 4"]),
    (r"$$\begin{aligned} a &= 2+3 \\ &= 5 \end{aligned}$$", ["a = 2+3", "2+3 = 5"]),
    (r"\[ 3 \times 4 = 12 \implies 12 - 2 = 10 \]", [r"3 \times 4 = 12", "12 - 2 = 10"]),
    (r"$x = 3, y = 4 \text{ and } z = 5$", ["x = 3", "y = 4", "z = 5"]),
    (r"$2+3$ = $5$ and $5 \times 3$ = 15.", ["2+3 = 5", r"5 \times 3 = 15"]),
    (r"$\boxed{x = 4}$", ["x = 4"]),
    (r"\begin{cases} x + y = 3 \\ x - y = 1 \end{cases}", ["x + y = 3", "x - y = 1"]),
    ("12 × (3 + 4) = 12 × 7\n   = 84", ["12 × (3 + 4) = 12 × 7", "12 × 7 = 84"]),
    ("2 + 3 = 5 and 5 * 2 = 10", ["2 + 3 = 5", "5 * 2 = 10"]),
    ("3 < 5 and 7 >= 6", ["3 < 5", "7 ≥ 6"]),
    ("In 2020 5 + 3 = 8", ["5 + 3 = 8"]),
    ("(2 + 3) * 4 = 20 (since 5*4=20)", ["(2 + 3) * 4 = 20", "5*4 = 20"]),
    ("共有3+5=8个苹果,所以8×2=16。", ["3+5 = 8", "8×2 = 16"]),
    ("17 ≡ 2 (mod 5)", ["17 ≡ 2 (mod 5)"]),
    (r"$17 \equiv 2 \pmod{5}$", ["17 ≡ 2 (mod 5)"]),
    ("3/24 = 1/8 of a hectare", ["3/24 = 1/8"]),
    (r"So \frac{3}{4} \cdot 8 = 6 and x^{2} \approx \sqrt{2}.", [r"\frac{3}{4} \cdot 8 = 6", r"x^{2} ≈ \sqrt{2}"]),
    (
        r"\left(\frac{1}{2}\right)^2 = \frac{1}{4} \implies a_{4} = 12",
        [r"(\frac{1}{2}\right)^2 = \frac{1}{4}", "a_{4} = 12"],
    ),
    ("Half is 50% of 80 = 40 students", ["50% of 80 = 40 students"]),
]
NONE = [
    "",
    "No equation stands here, 5 apples and 3 pears.",
    "```\nx = 2 + 2 = 5\n```",
    "`2 + 2 = 5`",
    "See https://example.org/?q=3=4 for more.",
    "x => y -> z",
    "17 / 5 = 3 remainder 2",
    "17 / 5 = 3 R 2",
    "Release 3.5.2 = 4, and v1.2 = 3.",
    "{4} = 12",
    "=",
    "= 5",
    "$=$",
]


@pytest.mark.parametrize(("text", "due"), FOUND)
def test_what_stands_in_a_text(text: str, due: list[str]) -> None:
    assert [str(one) for one in relations(text)] == due


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_relation(text: str) -> None:
    assert relations(text) == []


def test_a_language_with_decimal_commas() -> None:
    text = "Das sind 2,50 € + 1,50 € = 4 €, und $1{,}5 \\cdot 2 = 3$, und 1.000 + 1 = 1.001."
    assert [str(one) for one in relations(text, True)] == [
        "2.50 € + 1.50 € = 4 €",
        r"1.5 \cdot 2 = 3",
        "1000 + 1 = 1001",
    ]


def test_what_a_sentence_says_of_its_relation() -> None:
    claimed = {
        "Is 2 + 2 = 5? No.": False,
        "Then 2 + 2 = 5, a contradiction.": False,
        "Suppose 2 + 2 = 5.": False,
        "So 2 + 2 = 5.": True,
        "That is wrong. But 2 + 2 = 5.": True,
    }
    assert {text: relations(text)[0].claimed for text in claimed} == claimed
    assert relations("100/3 = 33, rounded to whole numbers.")[0].approximate
    assert not relations("100/3 = 33. Round is the table.")[0].approximate


@pytest.mark.parametrize(
    "text", ["$" * 50_000, "1 = " * 20_000, "(" * 50_000, "$" + "{" * 20_000 + "=$", "a = b " * 9000]
)
def test_odd_texts_take_little_time(text: str) -> None:
    began = time.process_time()
    assert len(relations(text)) <= MOST
    assert time.process_time() - began < 5
