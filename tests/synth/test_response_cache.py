"""Nothing that was answered is asked again: not in a batch, not after a kill at any moment, not by another process."""

import json
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming

from hf_muonclip.synth.generator import Chat, Generated, GenerationError, OnAnswer
from hf_muonclip.synth.response_cache import CachedGenerator

ITEMS = 60


def chat(text: object) -> Chat:
    return [{"role": "user", "content": str(text)}]


class Counting:
    """Answers in order and counts what it was asked, also in a file; fails at one text."""

    def __init__(self, identity: str = "counting", fails_at: str = "", paid: Path | None = None) -> None:
        self.identity, self.fails_at, self.paid = identity, fails_at, paid
        self.asked: list[str] = []

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated]:
        answers = []
        for place, (one, seed) in enumerate(zip(chats, seeds, strict=True)):
            text = one[0]["content"]
            if text == self.fails_at:
                raise GenerationError("the server is gone")
            self.asked.append(text)
            if self.paid is not None:
                time.sleep(0.004)
                with self.paid.open("a") as file:
                    file.write(f"{text}\n")
            answer = Generated(f"{text} \ud800 {seed} {self.identity}", 1, 2, seed % 2 == 0)
            answers.append(answer)
            if on_answer is not None:
                on_answer(place, answer)
        return answers


def test_equal_questions_are_asked_once(tmp_path: Path) -> None:
    inner, told = Counting(), {}
    cached = CachedGenerator(inner, tmp_path / "folder" / "cache.sqlite")
    chats, seeds = [chat("a"), chat("b"), chat("a"), chat("a")], [1, 1, 1, 2]
    first = cached.generate(chats, seeds)
    assert inner.asked == ["a", "b", "a"]
    assert [answer.text for answer in first] == [
        f"{text} \ud800 {seed} counting" for text, seed in zip("abaa", seeds, strict=True)
    ]
    again = cached.generate([chat("c"), *chats], [1, *seeds], lambda place, answer: told.update({place: answer}))
    assert again[1:] == first
    assert told == dict(enumerate(again))
    assert inner.asked == ["a", "b", "a", "c"]
    assert (cached.found, cached.asked) == (4, 4)
    assert CachedGenerator(Counting("another"), cached.path).generate(chats[:1], [1])[0].text.endswith("another")


def test_what_was_answered_before_a_failure_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    with pytest.raises(GenerationError):
        CachedGenerator(Counting(fails_at="c"), path).generate([chat(text) for text in "abcd"], [0] * 4)
    repaired = Counting()
    CachedGenerator(repaired, path).generate([chat(text) for text in "abcd"], [0] * 4)
    assert repaired.asked == ["c", "d"]


def test_it_can_be_sent_to_another_process(tmp_path: Path) -> None:
    cached = CachedGenerator(Counting(), tmp_path / "cache")
    cached.generate([chat("a")], [0])
    sent = pickle.loads(pickle.dumps(cached))
    sent.generate([chat("a")], [0])
    assert sent.generator.asked == ["a"]  # which it was sent with


def run(folder: Path) -> None:
    """Answer all items, by a few at a time, and write the answers; in a process of its own."""
    cached = CachedGenerator(Counting(paid=folder / "paid"), folder / "cache")
    found = []
    for first in range(0, ITEMS, 7):
        numbers = range(first, min(first + 7, ITEMS))
        found += cached.generate([chat(number) for number in numbers], [*numbers])
    (folder / "done.json").write_text(json.dumps([answer.text for answer in found]))


def start(folder: Path) -> subprocess.Popen[bytes]:
    program = f"import sys; from pathlib import Path; from test_response_cache import run; run(Path({str(folder)!r}))"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths})


@pytest.mark.slow
def test_a_kill_at_any_moment_costs_no_more_than_the_answer_under_way(tmp_path: Path) -> None:
    draw = random.Random(0)
    kills = 0
    for _ in range(20):
        process = start(tmp_path)
        paid, before = tmp_path / "paid", len(lines(tmp_path))
        while process.poll() is None and len(lines(tmp_path)) == before:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills > 10
    assert start(tmp_path).wait() == 0
    times = Counter(lines(tmp_path))
    assert {*times} == {*map(str, range(ITEMS))}
    assert sum(times.values()) - ITEMS <= kills  # the one that was under way, at most
    assert paid.exists()
    whole = tmp_path / "undisturbed"
    whole.mkdir()
    assert start(whole).wait() == 0
    assert (tmp_path / "done.json").read_bytes() == (whole / "done.json").read_bytes()


def lines(folder: Path) -> list[str]:
    path = folder / "paid"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.slow
def test_processes_share_a_cache(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with sqlite3.connect(tmp_path / "cache") as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (ITEMS,)


def test_a_cache_that_cannot_be_written_says_so_and_keeps_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    cached = CachedGenerator(Counting(), path)
    cached.generate([chat("a")], [0])
    connection: Any = cached._connection()
    connection.execute("PRAGMA max_page_count = 1")  # as a full disk
    with pytest.raises(OSError, match=naming(str(path), "full")):
        cached.generate([chat(number) for number in range(3000)], range(3000))
    kept = CachedGenerator(Counting(), path)
    kept.generate([chat("a")], [0])
    assert kept.generator.asked == []


@pytest.mark.parametrize("damage", ["no database", "half of it", "zeros in its middle", "another row"])
def test_a_damaged_cache_is_an_error_and_is_left_as_it_is(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    CachedGenerator(Counting(), path).generate([chat(number) for number in range(300)], range(300))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if damage == "another row":
            connection.execute("UPDATE answers SET answer = '{\"text\": 1}'")
    connection.close()
    content = path.read_bytes()
    if damage == "no database":
        content = b"a text" * 1000
    elif damage == "half of it":
        content = content[: len(content) // 2]
    elif damage == "zeros in its middle":
        content = content[:4096] + bytes(len(content) - 4096)
    path.write_bytes(content)
    inner = Counting()
    with pytest.raises(OSError, match=naming(str(path), "damaged")):
        CachedGenerator(inner, path).generate([chat(number) for number in range(300)], range(300))
    assert inner.asked == []  # nothing is paid for whose answer could not be kept
    assert path.read_bytes() == content


def test_another_model_setting_seed_or_chat_is_another_question(tmp_path: Path) -> None:
    """Also where their texts, put together, would be the same."""
    made = [
        (Counting("model"), chat("a"), 1),
        (Counting("model 1"), chat("a"), 1),
        (Counting("model"), chat("a"), 11),
        (Counting("model"), chat("a 1"), 1),
        (Counting("model"), [{"role": "system", "content": "a"}], 1),
        (Counting("model"), [*chat("a"), *chat("a")], 1),
        (Counting("model"), chat("A"), 1),
    ]
    for inner, one, seed in made:
        CachedGenerator(inner, tmp_path / "cache").generate([one], [seed])
    assert [len(inner.asked) for inner, _, _ in made] == [1] * len(made)
    again = Counting("model")
    CachedGenerator(again, tmp_path / "cache").generate([[{"content": "a", "role": "user"}]], [1])
    assert again.asked == []  # the order of a message's keys says nothing
