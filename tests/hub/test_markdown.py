"""Durations in model cards are written as people read them."""

import pytest

from hf_muonclip.hub.markdown import duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.6, "42 s"), (59.7, "1 min 0 s"), (492.4, "8 min 12 s"), (11_100, "3 h 5 min")]
)
def test_durations_are_written_for_people(seconds, text):
    assert duration(seconds) == text
