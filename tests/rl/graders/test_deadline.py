"""Calls that raise or are late."""

import time

from hf_muonclip.rl.graders.deadline import LONGEST_DETAIL, told, within


def test_results_exceptions_and_late_ones() -> None:
    began = time.monotonic()
    assert within(5, lambda: 3) == 3
    found = within(5, lambda: 1 / 0)
    assert (found.cause, found.detail) == ("error", "ZeroDivisionError: division by zero")
    assert within(5, lambda: 1 / 0, raised="unreachable").cause == "unreachable"
    assert within(5, lambda: exec("raise SystemExit")).cause == "error"
    assert within(0.1, lambda: time.sleep(2)).cause == "timeout"
    assert time.monotonic() - began < 1.5


def test_details_are_short() -> None:
    assert len(told(ValueError("a" * 10_000))) == LONGEST_DETAIL
