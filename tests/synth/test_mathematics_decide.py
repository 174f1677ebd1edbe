"""What is true, false and undecidable; held to values that the tests compute themselves."""

import random
from fractions import Fraction

import pytest

from hf_muonclip.synth.mathematics.decide import decide, holds_at

TRUE, FALSE, UNDECIDABLE, UNREAD = "true", "false", "undecidable", "unread"


def verdict(left: str, sign: str, right: str, plain: bool = False, **more: object) -> str:
    given = {"modulus": 0, "approximate": False, "rounded": (), **more}
    return str(decide((left, sign, right, plain), **given)["verdict"])  # type: ignore[arg-type]


LATEX = [
    ("2+2", "=", "4", TRUE),
    ("2+2", "=", "5", FALSE),
    (r"\frac{1}{2}+\frac13", "=", r"\frac{5}{6}", TRUE),
    (r"\sqrt[3]{27}", "=", "3", TRUE),
    (r"\sqrt{50}", "=", r"5\sqrt{2}", TRUE),
    (r"\sqrt{50}", "=", r"5\sqrt{3}", FALSE),
    (r"2 \cdot 4 + 3", "=", "11", TRUE),
    (r"2 \cdot 4 - 3", "=", "11", FALSE),
    ("-2^2", "=", "-4", TRUE),
    ("2^10", "=", "1024", TRUE),
    (r"\frac{7!}{3!\,4!}", "=", "35", TRUE),
    (r"\binom{5}{2}", "=", "10", TRUE),
    (r"\left|{-3}\right|", "=", "3", TRUE),
    (r"\lfloor 2.5 \rfloor", "=", "2", TRUE),
    (r"17 \bmod 5", "=", "2", TRUE),
    (r"\gcd(12, 18)", "=", "6", TRUE),
    ("1,000+1", "=", r"1\,001", TRUE),
    ("1{,}000+1", "=", "1002", FALSE),
    # Where sympy's own readers go wrong.
    (r"\sin 30^\circ", "=", r"\frac12", TRUE),
    (r"\sin(30^{\circ})", "=", r"\frac13", FALSE),
    ("3 4", "=", "7", UNREAD),
    ("12_7", "=", "9", UNREAD),
    (r"\{1,2\}", "=", "3", UNREAD),
    # What can be meant in two ways is false only where neither is true.
    ("6/2(1+2)", "=", "9", TRUE),
    ("6/2(1+2)", "=", "1", TRUE),
    ("6/2(1+2)", "=", "5", FALSE),
    (r"2\frac{1}{2}", "=", "2.5", TRUE),
    (r"2\frac{1}{2}", "=", "1", TRUE),
    (r"\log 100", "=", "2", TRUE),
    (r"\log e", "=", "1", TRUE),
    (r"\cos 60", "=", "0.5", TRUE),
    (r"\frac{15}{60}\times 100", "=", r"25\%", TRUE),
    (r"\frac{15}{60}", "=", r"25\%", TRUE),
    (r"\frac{15}{60}\times 100", "=", r"26\%", FALSE),
    (r"e^{i\pi}", "=", "-1", TRUE),
    # Roundings.
    (r"\frac{10}{3}", "=", "3.33", TRUE),
    (r"\frac{20}{3}", "=", "6.66", TRUE),
    (r"\frac{10}{3}", "=", "3.34", FALSE),
    (r"\pi", "≈", "3.14", TRUE),
    (r"\pi", "≈", "3.15", FALSE),
    (r"0.\overline{3}", "=", r"\frac13", TRUE),
    ("0.333...", "=", r"\frac13", TRUE),
    ("998", "≈", "1000", TRUE),
    ("998", "=", "1000", FALSE),
    ("893", "≈", "950", UNDECIDABLE),
    ("893", "≈", "500", FALSE),
    ("0.1+0.2", "=", "0.3", TRUE),
    ("0.1+0.2", "=", "0.4", FALSE),
    (r"3.14 \cdot 25", "=", "78.54", UNDECIDABLE),
    # Inequalities.
    ("5", "≥", "6", FALSE),
    (r"\sqrt{2}", "<", "1.5", TRUE),
    ("2+2", "≠", "5", TRUE),
    ("2+2", "≠", "4", FALSE),
    # Variables.
    ("x+3", "=", "7", UNDECIDABLE),
    ("(x+1)^2", "=", "x^2+2x+1", TRUE),
    ("(x+1)^2", "=", "x^2+3x+1", UNDECIDABLE),
    (r"\sin^2 x + \cos^2 x", "=", "1", TRUE),
    (r"\sqrt{x^2}", "=", "x", UNDECIDABLE),
    ("f(a)+f(b)", "=", "f(a+b)", UNDECIDABLE),
    # Units.
    (r"60 \text{ km/h} \cdot 2 \text{ h}", "=", r"120\text{ km}", TRUE),
    (r"60 \text{ km/h} \cdot 2 \text{ h}", "=", r"130\text{ km}", FALSE),
    (r"3\text{ km}", "=", r"3000\text{ m}", TRUE),
    (r"3\text{ km}", "=", r"3\text{ m}", FALSE),
    (r"180^\circ-60^\circ-50^\circ", "=", r"80^\circ", FALSE),
]
PLAIN = [
    ("5 apples + 3 apples", "=", "8 apples", TRUE),
    ("5 apples + 3 apples", "=", "9 apples", FALSE),
    ("48/2", "=", "24 clips", TRUE),
    ("48/2", "=", "25 clips", FALSE),
    ("3 dozen", "=", "36", TRUE),
    ("0.5 * 60", "=", "30 minutes", TRUE),
    ("60 * 2", "=", "2 hours", UNDECIDABLE),
    ("2 hours * 60", "=", "120 minutes", UNDECIDABLE),
    ("5 * 60", "=", "350 seconds", FALSE),
    ("100 km / 2 h", "=", "50 km/h", TRUE),
    ("7 cents", "=", "0.07 dollars", TRUE),
    ("50% of 80", "=", "40", TRUE),
    ("50% of 80", "=", "45", FALSE),
    ("2 1/2 + 1", "=", "3.5", TRUE),
    ("2**3", "=", "8", TRUE),
    ("½ + ¼", "=", "¾", TRUE),
    ("5 + 3", "=", "8!", TRUE),
    ("5!", "=", "120", TRUE),
    ("speed", "=", "60/2", UNDECIDABLE),
    ("1/2x", "=", "x/2", TRUE),
]


@pytest.mark.parametrize(("left", "sign", "right", "due"), LATEX)
def test_latex(left: str, sign: str, right: str, due: str) -> None:
    assert verdict(left, sign, right) == due


@pytest.mark.parametrize(("left", "sign", "right", "due"), PLAIN)
def test_plain_text(left: str, sign: str, right: str, due: str) -> None:
    assert verdict(left, sign, right, plain=True) == due


def test_congruences_are_taken_by_their_modulus() -> None:
    assert verdict("17", "≡", "2", modulus=5) == TRUE
    assert verdict("17", "≡", "3", modulus=5) == FALSE
    assert verdict("17", "≡", "3") == UNDECIDABLE  # its modulus stands elsewhere
    assert verdict("x", "≡", "3", modulus=5) == UNDECIDABLE


def test_what_its_sentence_rounds_may_be_rounded() -> None:
    assert verdict("100/3", "=", "33") == FALSE
    assert verdict("100/3", "=", "33", approximate=True) == TRUE
    assert verdict("100/3", "=", "43", approximate=True) == FALSE


def test_a_number_that_is_known_to_be_rounded_proves_nothing_false() -> None:
    assert verdict(r"3 \cdot 3.33", "=", "10") == FALSE
    assert verdict(r"3 \cdot 3.33", "=", "10", rounded=("3.33",)) == UNDECIDABLE
    assert verdict(r"3 \cdot 3.33", "=", "11", rounded=("3.33",)) == FALSE


@pytest.mark.parametrize(
    "side",
    [
        r"10^{10^{10}}",
        r"9^{9^{9^{9}}}",
        "100000!",
        "(" * 5000 + "1" + ")" * 5000,
        r"\frac{1}{" * 100 + "2" + "}" * 100,
        "1" * 10_000,
        r"\frac{5}{0}",
        "0^{-1}",
        r"\log 0",
        "2 +",
        "",
        "+ + +",
        r"\sqrt",
        r"\unknown{3}",
        "3;4",
    ],
)
def test_what_is_huge_or_nothing_is_not_read(side: str) -> None:
    found = decide((side, "=", "1", False), 0, False, ())
    assert found["verdict"] == UNREAD
    assert found["why"]


def test_equations_at_the_values_of_their_variables() -> None:
    values = (("x", "4", False), ("y", r"\frac{1}{2}", False))
    assert holds_at(("2x + 3", "=", "11", False), values) == TRUE
    assert holds_at(("2x + 3", "=", "12", False), values) == FALSE
    assert holds_at(("x y", "=", "2", False), values) == TRUE
    assert holds_at(("x + z", "=", "11", False), values) == UNDECIDABLE
    assert holds_at((r"\frac{1}{x - 4}", "=", "11", False), values) == UNDECIDABLE


Term = tuple[str, str, Fraction]  # LaTeX, plain text, value


def term(draw: random.Random, depth: int) -> Term:
    """Return an expression in both notations with its value, computed here."""
    if depth == 0 or draw.random() < 0.15:
        number = draw.randint(1, 99)
        if draw.random() < 0.2:
            return f"{number / 10}", f"{number / 10}", Fraction(number, 10)
        return str(number), str(number), Fraction(number)
    (one, plain_one, value), (other, plain_other, second) = term(draw, depth - 1), term(draw, depth - 1)
    match draw.choice("+-*/^"):
        case "+":
            return f"({one} + {other})", f"({plain_one} + {plain_other})", value + second
        case "-":
            return rf"\left({one} - {other}\right)", f"({plain_one} - {plain_other})", value - second
        case "*":
            return rf"({one}) \cdot ({other})", f"({plain_one}) × ({plain_other})", value * second
        case "/" if second:
            return rf"\frac{{{one}}}{{{other}}}", f"(({plain_one}) / ({plain_other}))", value / second
    return f"({one})^{{2}}", f"({plain_one})^2", value**2


@pytest.mark.parametrize("seed", range(60))
def test_any_arithmetic_has_its_value_and_no_other(seed: int) -> None:
    draw = random.Random(seed)
    latex, plain, value = term(draw, draw.randint(1, 4))
    if len(latex) > 400 or max(abs(value.numerator), value.denominator) > 10**60:
        latex, plain, value = term(draw, 1)
    right = rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    wrong = rf"\frac{{{value.numerator + value.denominator}}}{{{value.denominator}}}"
    assert [verdict(latex, "=", right), verdict(latex, "=", wrong)] == [TRUE, FALSE]
    assert verdict(plain, "=", f"{value.numerator}/{value.denominator}", plain=True) == TRUE
    assert verdict(plain, "=", f"{value.numerator}/{value.denominator} + 1", plain=True) == FALSE
    assert verdict(latex, "<", wrong) == TRUE
