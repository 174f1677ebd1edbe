"""Whole runs with a server that misbehaves: what a model writes is a row, what the server itself fails is none.

In no case is a document lost or doubled, or an answer paid for twice.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from chat_server import Half, address, completion, serving

from hf_muonclip.synth import CachedGenerator, GenerationError, Rephraser, ServerGenerator, run_rephrasing

SHARD = 2
DOCUMENTS = 8  # of runs that the server fails
FAULTY = 5  # of these, in the third of four shards
Reply = Callable[[dict[str, Any]], Any]


def passage_of(request: dict[str, Any]) -> str:
    return str(request["messages"][-1]["content"].split("<passage>\n")[1].split("\n</passage>")[0])


def number_of(request: dict[str, Any]) -> int:
    return int(passage_of(request).split()[1])


def good(request: dict[str, Any]) -> str:
    return passage_of(request).replace("left the harbour", "sailed from the port").replace("came back", "returned")


def answer(text: str, ended: str = "stop") -> tuple[int, Any]:
    body = completion(text)
    body["choices"][0]["finish_reason"] = ended
    return 200, body | {"usage": {"prompt_tokens": 100, "completion_tokens": 10}}


class Server:
    """Answers well but for some documents; `times` is how often it misbehaves in all.

    Attributes:
        asked: how often, of each document.
        paid: the same, where it has answered as it should.
    """

    def __init__(self, faults: dict[int, Reply], times: float = float("inf")) -> None:
        self.faults, self.times = faults, times
        self.asked: Counter[int] = Counter()
        self.paid: Counter[int] = Counter()

    def __call__(self, request: dict[str, Any]) -> Any:
        if "<passage>" not in str(request["messages"]):
            return answer("Yes.")
        number = number_of(request)
        self.asked[number] += 1
        if number in self.faults and self.times > 0:
            self.times -= 1
            return self.faults[number](request)
        self.paid[number] += 1
        return answer(good(request))


def run(folder: Path, reply: Reply, documents: int) -> list[dict[str, Any]]:
    """Rephrase the documents with a cache, and return the rows."""
    path = folder / "documents.jsonl"
    if not path.exists():
        texts = [
            f"The {number} ships left the harbour and came back in {number + 1800}." for number in range(documents)
        ]
        path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    with serving(reply) as server:
        made = ServerGenerator(address(server), "m", deadline=1.0, retries=1, concurrency=2)
        cached = CachedGenerator(made, folder / "cache.sqlite")
        run_rephrasing([path], folder / "out", Rephraser(cached), documents_per_shard=SHARD)
    return rows_of(folder / "out")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("part-*")) for row in pyarrow.parquet.read_table(path).to_pylist()]


WRITTEN: dict[str, tuple[Reply, str]] = {
    "the prompt": (lambda asked: answer(asked["messages"][-1]["content"]), "markup"),
    "the passage": (lambda asked: answer(passage_of(asked)), "echo"),
    "nothing": (lambda asked: answer(" \n"), "no_answer"),
    "no content": (lambda asked: answer(None), "no_answer"),  # type: ignore[arg-type]
    "a loop": (lambda asked: answer(" ".join([good(asked)] * 40)), "loop"),
    "a loop without end": (lambda asked: answer(" ".join([good(asked)] * 40), "length"), "unfinished"),
    "half an answer": (lambda asked: answer(good(asked)[:30], "length"), "unfinished"),
    "what is filtered": (lambda asked: answer("", "content_filter"), "unfinished"),
    "a page of HTML": (lambda asked: answer(f"<html><body><p>{good(asked)}</p></body></html>"), "unfaithful"),
    "a code fence": (lambda asked: answer(f"```markdown\n{good(asked)}\n```"), "unfaithful"),
    "bold type": (lambda asked: answer(f"**{good(asked)}**"), "unfaithful"),
    "an introduction": (lambda asked: answer(f"Here is the rewritten passage:\n\n{good(asked)}"), "unfaithful"),
    "a refusal": (lambda asked: answer("I'm sorry, but I can't help with that request."), "unfaithful"),
    "another number": (lambda asked: answer(re.sub(r"\d{4}", "1700", good(asked))), "unfaithful"),
    "nothing, for status 400": (lambda asked: (400, {"error": {"message": "filtered"}}), "chat_refused"),
}


def test_what_a_model_writes_wrong_is_a_row_with_its_cause(tmp_path: Path) -> None:
    documents = 2 * len(WRITTEN)  # every second one is as it should be
    server = Server({2 * place: fault for place, (fault, _) in enumerate(WRITTEN.values())})
    rows = run(tmp_path, server, documents)
    assert [row["source_id"] for row in rows] == [f"documents.jsonl:{number}" for number in range(documents)]
    found = {wrong: row["cause"] for wrong, row in zip(WRITTEN, rows[::2], strict=True)}
    assert found == {wrong: cause for wrong, (_, cause) in WRITTEN.items()}
    for number, row in enumerate(rows):
        assert (row["kept"], bool(row["text"]), bool(row["reasons"])) == ((False, False, True), (True, True, False))[
            number % 2
        ]
    assert server.asked == Counter(range(documents))


@contextmanager
def hanging() -> Iterator[Reply]:
    gone = threading.Event()

    def hang(request: dict[str, Any]) -> tuple[int, Any]:
        gone.wait(30)
        return answer(good(request))

    try:
        yield hang
    finally:
        gone.set()


def half(request: dict[str, Any]) -> tuple[int, Any]:
    return 200, Half(json.dumps(answer(good(request))[1]).encode())


FAILED: dict[str, Reply | None] = {
    "no JSON": lambda asked: (200, b'{"choices": ['),
    "a page of HTML": lambda asked: (200, b"<html>bad gateway</html>"),
    "half a response": half,
    "always busy": lambda asked: (503, {"error": "overloaded"}),
    "always at its limit": lambda asked: (429, {"error": "slow down"}, {"Retry-After": "0.05"}),
    "nobody is known": lambda asked: (401, {"error": "unknown key"}),
    "given up": lambda asked: answer(good(asked), "abort"),
    "hang": None,
}


def check(rows: list[dict[str, Any]], server: Server) -> None:
    """All documents are there once, well, and paid for once."""
    texts = [f"The {number} ships sailed from the port and returned in {number + 1800}." for number in range(DOCUMENTS)]
    assert [row["text"] for row in rows] == texts
    assert all(row["kept"] for row in rows)
    assert server.paid == Counter(range(DOCUMENTS))


@pytest.mark.parametrize("wrong", FAILED)
def test_what_the_server_fails_ends_the_run_which_goes_on_when_it_is_well(wrong: str, tmp_path: Path) -> None:
    with hanging() as hang:
        server = Server({FAULTY: FAILED[wrong] or hang})
        with pytest.raises(GenerationError):
            run(tmp_path, server, DOCUMENTS)
        assert len(rows_of(tmp_path / "out")) == 2 * SHARD  # those before
        server.times = 0
        check(run(tmp_path, server, DOCUMENTS), server)


@pytest.mark.parametrize("wrong", ["half a response", "always busy", "always at its limit", "given up", "hang"])
def test_what_the_server_fails_once_is_not_seen(wrong: str, tmp_path: Path) -> None:
    with hanging() as hang:
        server = Server({FAULTY: FAILED[wrong] or hang}, times=1)
        check(run(tmp_path, server, DOCUMENTS), server)
    assert server.asked[FAULTY] == 2
