"""The language of texts that are half formulas."""

import pytest

from hf_muonclip.synth.mathematics.prose import foreign, language, prose, writes_decimal_comma

ENGLISH = "The area of the square is $a^2$, and it is 9 for a side of 3, as we have seen with this."


@pytest.mark.parametrize(
    ("text", "due"),
    [
        (ENGLISH, "English"),
        ("Die Fläche des Quadrats ist $a^2$, und das ist 9 für die Seite 3.", "German"),
        ("小明有3个苹果,$x = 3$,答案是3。", "Chinese"),
        ("りんごが3個あります。$3 + 5 = 8$", "Japanese"),
        ("Сколько будет $2 + 2$?", "Russian"),
        ("$2 + 2 = 4$", ""),
    ],
)
def test_languages(text: str, due: str) -> None:
    assert language(text) == due


def test_formulas_code_and_links_are_no_prose() -> None:
    assert prose("a $x$ b `c` [d](e) f").split() == ["a", "b", "f"]


def test_decimal_commas() -> None:
    assert writes_decimal_comma("Die Summe ist 3,5 und das ist nicht viel für den Preis.")
    assert writes_decimal_comma("Preis: 3,5 + 1,25")
    assert not writes_decimal_comma("The sum of (3,5) and the rest is 3,5 in that list, as it was.")
    assert not writes_decimal_comma("f(3,5) = 1.5")


def test_what_left_its_language() -> None:
    german = "Die Fläche ist neun, und das ist nicht viel für ein Quadrat mit der Seite drei."
    assert foreign(ENGLISH, None)[0] == 0
    assert foreign(german, None)[0] == 1
    assert foreign(german, german)[0] == 0
    assert foreign(ENGLISH, german)[0] == 1
    assert foreign(f"{ENGLISH} {german}", None)[0] == pytest.approx(0.5, abs=0.1)
    assert foreign("面积是九。" * 3, None)[1] == "Han"
