"""What a person reads while a rephrasing runs: on a terminal, and in a log."""

import io
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from hf_muonclip.cli import synth_progress
from hf_muonclip.cli.synth_progress import shown, summary
from hf_muonclip.synth.generator import Generated
from hf_muonclip.synth.run import Progress

ANSWER = Generated("text", prompt_tokens=100, new_tokens=50, finished=True)
START = Progress(total=20)
HALF = Progress(10, Counter({"": 6, "unfaithful": 3, "echo": 1}), 1_000_000, 500, 300, total=20, shards=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(synth_progress.time, "monotonic", lambda: now[0])
    return now


def console(**settings: Any) -> Console:
    return Console(file=io.StringIO(), width=200, **settings)


def written(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_a_log_has_a_line_per_shard_and_one_a_minute(clock: list[float]) -> None:
    log = console()
    with shown((2.0, 4000.0), log) as line:
        line.on_shard(START)
        for now in (10.0, 59.0, 61.0, 62.0):
            clock[0] = now
            line.on_answer(ANSWER)
        clock[0] = 100.0
        line.on_shard(HALF)
    assert written(log).splitlines() == [
        "0 of 20 documents · 0 kept · 0 dropped · 0 tokens, 0 per second · cost 0.00",
        "0 of 20 documents · 0 kept · 0 dropped · 150 tokens, 2 per second · 3 answers in this shard · cost 0.60",
        "10 of 20 documents · 6 kept · 4 dropped (unfaithful 3, echo 1) · 500 tokens, 5 per second · cost 4.00",
    ]


def test_the_speed_is_that_of_this_run(clock: list[float]) -> None:
    log = console()
    with shown(None, log) as line:
        line.on_shard(HALF)
        clock[0] = 10.0
        line.on_shard(Progress(12, Counter({"": 8}), 10, 700, 300, total=20, shards=2))
    assert "700 tokens, 20 per second" in written(log)


def test_a_terminal_has_a_bar_that_starts_where_the_run_does() -> None:
    terminal = console(force_terminal=True, color_system=None)
    with shown(None, terminal) as line:
        assert written(terminal) == ""
        line.on_shard(HALF)
        line.on_answer(ANSWER)
    drawn = written(terminal)
    assert "10/20 documents" in drawn
    assert "10 of 20 documents · 6 kept · 4 dropped (unfaithful 3, echo 1) · 550 tokens" in drawn
    assert "\x1b[?25h" in drawn  # the cursor is there again


def test_a_terminal_is_left_alone_where_nothing_begins() -> None:
    terminal = console(force_terminal=True)
    with pytest.raises(ValueError, match="refused"), shown(None, terminal):
        raise ValueError("refused")
    assert written(terminal) == ""


def test_the_summary_counts_what_was_dropped_and_what_kept_tokens_cost() -> None:
    lines = summary(HALF, (2.0, 4000.0), "out").splitlines()
    assert lines[0] == "10 documents in 1 shards of out"
    assert [line.split()[:2] for line in lines[1:4]] == [["kept", "6"], ["echo", "1"], ["unfaithful", "3"]]
    assert lines[4] == "cost 4.00, 13,333.33 per million kept tokens"
    assert summary(START, (2.0, 4000.0), "out").splitlines()[-1] == "cost 0.00"
