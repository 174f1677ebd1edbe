"""Names and numbers in sentences."""

from typing import Any

import pytest

from hf_muonclip.common.wording import all_of, in_letters, some_of, with_unit


@pytest.mark.parametrize(
    ("names", "shown", "said"),
    [
        ([], 2, ""),
        (["a", "b"], 2, "a, b"),
        (["a", "b", "c"], 2, "a, b and 1 more"),
        ([0, 1, 2], 1, "0 and 2 more"),
        ({"b", "a"}, 1, "a and 1 more"),
    ],
)
def test_the_first_names_and_how_many_more(names: Any, shown: int, said: str) -> None:
    assert some_of(names, shown) == said


def test_every_name() -> None:
    assert [all_of(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 B"),
        (7.4, "7 B"),
        (950, "950 B"),
        (999.9, "1 kB"),  # not 1e+03 B
        (12_345, "12.3 kB"),
        (999_999, "1 MB"),
        (4.98e9, "4.98 GB"),
        (2.5e15, "2.5 PB"),
        (1.5e18, "1,500 PB"),
    ],
)
def test_a_number_with_the_unit_in_which_people_read_it(value: float, said: str) -> None:
    assert with_unit(value, "B") == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (950, "950"),
        (12_345, "12.3K"),
        (999_999, "1M"),
        (6_012_224, "6.01M"),
        (134_515_008, "135M"),
        (1_026_408_209_408, "1.03T"),
        (1_500 * 10**12, "1,500T"),
    ],
)
def test_a_count_in_letters(number: int, said: str) -> None:
    assert in_letters(number) == said


def test_a_count_with_more_digits() -> None:
    assert in_letters(1_026_408_209_408, 4) == "1.026T"
