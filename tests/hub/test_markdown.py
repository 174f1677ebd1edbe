"""Numbers in model cards are written as people read them."""

import pytest

from hf_muonclip.hub.markdown import count, duration


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (950, "950"),
        (12_345, "12.3K"),
        (6_012_224, "6.01M"),
        (134_515_008, "135M"),
        (1_026_408_209_408, "1.03T"),
    ],
)
def test_counts_are_written_for_people(number, text):
    assert count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.6, "42 s"), (59.7, "1 min 0 s"), (492.4, "8 min 12 s"), (11_100, "3 h 5 min")]
)
def test_durations_are_written_for_people(seconds, text):
    assert duration(seconds) == text
