"""Numbers of a text in another language that its translation has, lacks, or adds."""

import pytest

from hf_muonclip.synth.mathematics.numerals import compare_numerals

KEPT = [
    ("Das kostet 12,50 € und 1.250 €.", "It costs €12.50 and €1,250."),
    ("La distance est 1 250 km, soit $2{,}5$ fois.", "The distance is 1,250 km, or 2.5 times."),
    ("小明有3个苹果,又买了15个。", "Xiao Ming has three apples and buys 15 more."),
    ("Ein Drittel von 27.", "A third of 27, in 1 step."),
    ("Zahlen: 1,2,3", "Numbers: 1, 2, 3"),
    ("", "Nothing."),
]


@pytest.mark.parametrize(("source", "translation"), KEPT)
def test_the_same_numbers(source: str, translation: str) -> None:
    found = compare_numerals(source, translation)
    assert (found.missing, found.new, found.kept) == ([], [], 1.0)


def test_other_numbers() -> None:
    found = compare_numerals("Er hat 25 Äpfel und 31 Birnen, je 1,5 kg.", "He has 26 apples and 31 pears of 15 kg.")
    assert found.missing == ["25", "1,5"]
    assert found.new == ["26"]  # 15 may be a word there
    assert found.kept == pytest.approx(1 / 3)
