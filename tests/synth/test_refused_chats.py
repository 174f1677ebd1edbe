"""A chat that cannot be answered is a result of its own; a server that refuses all chats is a failure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from chat_server import address, completion, serving
from error_messages import naming
from rule_generator import RuleGenerator, passage_of
from tiny_models import tiny_model, tiny_tokenizer

from hf_muonclip.cli import main
from hf_muonclip.synth.answer_checks import CAUSES
from hf_muonclip.synth.generator import PROBE, Generated, GenerationError, Refused
from hf_muonclip.synth.rephraser import Rephraser
from hf_muonclip.synth.response_cache import CachedGenerator
from hf_muonclip.synth.server_generator import ServerGenerator
from hf_muonclip.synth.transformers_generator import TransformersGenerator

TOO_LONG = (400, {"error": {"code": "context_length_exceeded", "message": "9000 tokens are more than 4096"}})
CHATS = [[{"role": "user", "content": text}] for text in ("one", "two", "three", "four")]
Reply = Callable[[dict[str, Any]], tuple[int, Any]]


def answered(text: str) -> tuple[int, Any]:
    body = completion(text)
    body["choices"][0]["finish_reason"] = "stop"
    return 200, body | {"usage": {"prompt_tokens": 4, "completion_tokens": 2}}


def refusing(*texts: str, status: int = 400) -> Reply:
    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        asked = request["messages"][-1]["content"]
        return (status, TOO_LONG[1]) if asked in texts else answered(f"about {asked}")

    return reply


def asked_of(server: Any) -> list[str]:
    return [request["messages"][-1]["content"] for _, _, request in server.requests]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_chat_leaves_the_others_their_answers(status: int) -> None:
    told: dict[int, Generated] = {}
    with serving(refusing("two", status=status)) as server:
        made = ServerGenerator(address(server), "m", concurrency=1)
        found = made.generate(CHATS, range(4), lambda place, answer: told.update({place: answer}))
        assert asked_of(server) == ["one", "two", "three", "four"]  # one that was asked later shows that it answers
    assert [one for one in found if isinstance(one, Generated)] == [told[0], told[2], told[3]]
    refused = found[1]
    assert isinstance(refused, Refused)
    assert refused.cause == "chat_refused"
    for named in (str(status), "context_length_exceeded", "9000"):
        assert named in refused.reason
    assert {"chat_refused", "chat_too_long"} <= {*CAUSES}


def test_where_no_later_chat_is_answered_the_server_is_asked_a_short_one() -> None:
    with serving(refusing("four", "three")) as server:
        found = ServerGenerator(address(server), "m", concurrency=1).generate(CHATS, range(4))
        assert asked_of(server)[4:] == [PROBE[0]["content"]]
        (alone,) = ServerGenerator(address(server), "m").generate(CHATS[3:], [0])
    assert [type(one) for one in found] == [Generated, Generated, Refused, Refused]
    assert alone == found[3]


@pytest.mark.parametrize("answers", [0, 2])
def test_a_server_that_refuses_all_has_failed_also_one_that_answered_before(answers: int) -> None:
    seen: list[int] = []

    def reply(_: dict[str, Any]) -> tuple[int, Any]:
        seen.append(1)
        return answered("text") if len(seen) <= answers else (400, {"error": "your credit is used up"})

    told: list[int] = []
    with serving(reply) as server, pytest.raises(GenerationError, match=naming("400", "credit")):
        ServerGenerator(address(server), "m", concurrency=1).generate(
            CHATS, range(4), lambda place, answer: told.append(place)
        )
    assert told == [*range(answers)]


def test_a_server_that_dies_behind_a_refusal_has_failed() -> None:
    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        return TOO_LONG if request["messages"] == CHATS[0] else (503, {"error": "down"})

    with serving(reply) as server, pytest.raises(GenerationError, match=naming("503")):
        ServerGenerator(address(server), "m", retries=0).generate(CHATS[:1], [0])


def tiny(folder: Path, window: int) -> Path:
    tiny_model("llama_gqa", max_position_embeddings=window).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_a_chat_beyond_the_window_of_a_model_here_is_refused_and_the_others_are_answered(tmp_path: Path) -> None:
    chats = [[{"role": "user", "content": " ".join(["w7"] * words)}] for words in (3, 60, 4)]
    made = TransformersGenerator(tiny(tmp_path, 64), max_new_tokens=8, device="cpu")
    told: list[int] = []
    found = made.generate(chats, range(3), lambda place, answer: told.append(place))
    assert sorted(told) == [0, 2]
    assert [found[0], found[2]] == made.generate([chats[0], chats[2]], [0, 2])
    refused = found[1]
    assert isinstance(refused, Refused)
    assert refused.cause == "chat_too_long"
    for named in (str(len(made._prompt(chats[1]))), "max_new_tokens=8", "64"):
        assert named in refused.reason
    assert [type(one) for one in made.generate(chats[1:2], [0])] == [Refused]


def test_what_is_refused_is_not_cached(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    with serving(refusing("two")) as server:
        cached = CachedGenerator(ServerGenerator(address(server), "m"), path)
        first = cached.generate([*CHATS, CHATS[1]], [0, 1, 2, 3, 1])
        assert (cached.found, cached.asked) == (0, 3)
        asked = len(server.requests)
        again = cached.generate(CHATS, range(4))
        assert asked_of(server)[asked:] == ["two", PROBE[0]["content"]]
    assert again == first[:4]
    assert first[4] == first[1]
    with serving(refusing()) as server:
        assert all(
            isinstance(one, Generated)
            for one in CachedGenerator(ServerGenerator(address(server), "m"), path).generate(CHATS, range(4))
        )


def test_a_refused_chunk_drops_its_rephrasing_and_no_other() -> None:
    """Also in the middle of a document: what came before is shown and its tokens are counted."""

    class Choosy(RuleGenerator):
        def generate(self, chats: Any, seeds: Any, on_answer: Any = None) -> Any:
            found = super().generate(chats, seeds, on_answer)
            return [
                Refused("chat_refused", "it said no") if "forbidden" in passage_of(chat) else answer
                for chat, answer in zip(chats, found, strict=True)
            ]

    first, second = ("The ships left the harbour in 1801. " * 3, "Then came a forbidden word of 1802. " * 3)
    made = Rephraser(Choosy(), gate=None, chunk_size=120)
    row, other = made.rephrased([f"{first.strip()}\n\n{second.strip()}\n", first])
    assert (row.kept, row.cause, row.text) == (False, "chat_refused", "")
    assert row.reasons == ["chunks[1]: it said no"]
    assert len(row.rewritten) == 1
    assert row.new_tokens > 0
    assert other.kept or other.cause != "chat_refused"


@pytest.mark.parametrize("refuses_all", [False, True])
def test_a_command_counts_what_was_refused_and_ends_where_all_is(
    refuses_all: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"The {number} ships left the harbour and came back in {number + 1800}." for number in range(4)]
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        asked = request["messages"][-1]["content"]
        return (
            TOO_LONG if refuses_all or "The 2 ships" in asked else answered(f"In other words it was {request['seed']}.")
        )

    command = ["synth", "rephrase", str(path), str(tmp_path / "out"), "--model", "m", "--no-gate"]
    command += ["--documents-per-shard", "2", "--server"]
    with serving(reply) as server:
        code = main([*command, address(server)])
    told = capsys.readouterr()
    shards = sorted((tmp_path / "out").glob("part-*"))
    if refuses_all:
        assert code == 1
        assert "context_length_exceeded" in told.err
        assert shards == []
        return
    assert code == 0
    rows = [row for shard in shards for row in pyarrow.parquet.read_table(shard).to_pylist()]
    assert [row["cause"] for row in rows] == ["", "", "chat_refused", ""]
    assert "context_length_exceeded" in rows[2]["reasons"][0]
    assert any(line.split()[:2] == ["chat_refused", "1"] for line in told.out.splitlines())
