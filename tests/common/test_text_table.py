"""Columns of text tables stand below each other."""

from hf_muonclip.common.text_table import aligned


def test_columns_stand_below_each_other_and_numbers_at_the_right() -> None:
    rows = [("name", "size", "said"), ("a", "1,234", "yes"), ("longer", "5", "")]
    assert aligned(rows, right=[1]) == ["name     size  said", "a       1,234  yes", "longer      5"]
    assert aligned([("a", "b"), ("cc", "d")]) == ["a   b", "cc  d"]


def test_a_table_without_rows_has_no_lines() -> None:
    assert aligned([]) == []
