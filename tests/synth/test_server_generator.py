"""A server that is busy, late, broken or gone: what is asked again, what is an error, which answers stay."""

import email.utils
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from chat_server import address, completion, serving
from error_messages import naming

from hf_muonclip.synth.generator import Generated, GenerationError
from hf_muonclip.synth.server_generator import ServerGenerator

CHATS = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]


def answer_to(request: dict[str, Any], ended: str = "stop") -> tuple[int, Any]:
    body = completion(f"{request['messages'][0]['content']} {request['seed']}")
    body["choices"][0]["finish_reason"] = ended
    return 200, body | {"usage": {"prompt_tokens": 4, "completion_tokens": 2}}


def first(times: int, otherwise: Callable[[dict[str, Any]], tuple[int, Any]]) -> Any:
    """Reply with `otherwise` at first, then as due."""
    seen: list[int] = []

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        seen.append(1)
        return otherwise(request) if len(seen) <= times else answer_to(request)

    return reply


def test_answers_come_in_order_with_their_tokens() -> None:
    told: dict[int, Generated] = {}
    with serving(answer_to) as server:
        made = ServerGenerator(
            address(server), "m", max_new_tokens=7, temperature=0.5, top_p=0.9, concurrency=2, api_key="secret"
        )
        answers = made.generate(CHATS, [1, 2, 3], lambda place, answer: told.update({place: answer}))
        assert made.generate([], []) == []
    assert answers == [Generated(f"{text} {seed}", 4, 2, True) for text, seed in (("one", 1), ("two", 2), ("three", 3))]
    assert told == dict(enumerate(answers))
    path, headers, request = server.requests[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer secret")
    wanted = {"model": "m", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9}
    assert {name: request[name] for name in wanted} == wanted
    assert "secret" not in made.identity
    with serving(lambda request: answer_to(request, "length")) as server:
        (cut,) = ServerGenerator(address(server), "m").generate(CHATS[:1], [1])
    assert not cut.finished


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = __import__("asyncio").sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    monkeypatch.setattr("hf_muonclip.synth.server_generator.asyncio.sleep", sleep)
    with serving(first(3, lambda _: (status, {"error": "busy"}))) as server:
        (answer,) = ServerGenerator(address(server), "m").generate(CHATS[:1], [1])
        assert answer.text == "one 1"
        assert waits == [1.0, 2.0, 4.0]
    with serving(lambda _: (status, {"error": "always busy"})) as server:
        with pytest.raises(GenerationError, match=naming(str(status), "3 attempts", "always busy")):
            ServerGenerator(address(server), "m", retries=2).generate(CHATS[:1], [1])
        assert len(server.requests) == 3


@pytest.mark.parametrize("asked", ["7", "date", "100000", "soon"])
def test_retry_after_is_obeyed_within_a_minute(asked: str) -> None:
    import httpx

    from hf_muonclip.synth.server_generator import _asked_wait

    value = email.utils.formatdate(time.time() + 30, usegmt=True) if asked == "date" else asked
    found = _asked_wait(httpx.Response(429, headers={"Retry-After": value}))
    if asked == "soon":
        assert found is None
    else:
        assert found == pytest.approx({"7": 7, "date": 30, "100000": 100_000}[asked], abs=2)


def test_a_late_server_is_an_error_after_the_deadline_of_each_attempt() -> None:
    gone = threading.Event()

    def hang(_: Any) -> tuple[int, Any]:
        gone.wait(20)
        return 200, {}

    with serving(hang) as server:
        began = time.monotonic()
        with pytest.raises(GenerationError, match=naming("0.5 s", "1 attempts")):
            ServerGenerator(address(server), "m", deadline=0.5, retries=0).generate(CHATS[:1], [1])
        assert time.monotonic() - began < 10
        gone.set()


def test_a_server_that_is_gone_is_an_error() -> None:
    with serving(answer_to) as server:
        url = address(server)
    with pytest.raises(GenerationError, match=naming("1 attempts")):
        ServerGenerator(url, "m", retries=0).generate(CHATS[:1], [1])


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (401, {"error": "no key"}, ["401", "no key"]),
        (404, {"error": "no such model"}, ["404", "no such model"]),
        (200, b"<html>", ["<html>"]),
        (200, {"choices": []}, ["choices"]),
        (200, completion("no usage"), ["usage"]),
        (200, {**completion(None), "usage": {"prompt_tokens": 4, "completion_tokens": 0}}, ["finish_reason"]),
    ],
    ids=["no key", "no model", "html", "empty", "no usage", "no end"],
)  # fmt: skip
def test_an_answer_that_is_none_is_an_error_at_once(status: int, body: Any, named: list[str]) -> None:
    with serving(lambda _: (status, body)) as server:
        with pytest.raises(GenerationError, match=naming(*named)):
            ServerGenerator(address(server), "m").generate(CHATS[:1], [1])
        assert len(server.requests) == 1


@pytest.mark.parametrize("ended", ["abort", "error", None, "tool_calls"])
def test_an_answer_that_the_server_gave_up_is_asked_for_again_and_is_no_text(ended: Any) -> None:
    """Else half an answer of a server that was shut down would stay in a cache for ever."""
    with serving(first(1, lambda request: answer_to(request, ended))) as server:
        assert ServerGenerator(address(server), "m").generate(CHATS[:1], [1])[0].finished
        assert len(server.requests) == 2
    with serving(lambda request: answer_to(request, ended)) as server, pytest.raises(GenerationError):
        ServerGenerator(address(server), "m", retries=0).generate(CHATS[:1], [1])


@pytest.mark.parametrize(("message", "text"), [({"content": None}, ""), ({"content": None, "refusal": "No."}, "No.")])
def test_a_model_that_ended_without_content_has_answered(message: dict[str, Any], text: str) -> None:
    """So that one chat at which a model only thinks, or declines, does not end the run."""

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        status, body = answer_to(request)
        body["choices"][0]["message"] = message
        return status, body

    with serving(reply) as server:
        assert ServerGenerator(address(server), "m").generate(CHATS[:1], [1]) == [Generated(text, 4, 2, True)]


@pytest.mark.parametrize("ended", ["length", "content_filter"])
def test_a_model_that_was_cut_before_its_first_word_has_written_nothing_and_is_not_finished(ended: str) -> None:
    def thinking(request: dict[str, Any]) -> tuple[int, Any]:
        status, body = answer_to(request, ended)
        body["choices"][0]["message"]["content"] = None
        return status, body

    with serving(thinking) as server:
        assert ServerGenerator(address(server), "m").generate(CHATS[:1], [1]) == [Generated("", 4, 2, False)]


def test_fields_that_a_server_needs_are_sent_and_belong_to_the_identity() -> None:
    more = {"chat_template_kwargs": {"enable_thinking": False}, "top_p": 0.5}
    with serving(answer_to) as server:
        made = ServerGenerator(address(server), "m", extra_body=more)
        made.generate(CHATS[:1], [1])
    request = server.requests[0][2]
    assert {name: request[name] for name in more} == more
    assert made.identity != ServerGenerator("http://localhost/v1", "m").identity
    assert ServerGenerator("http://a/v1", "m").identity == ServerGenerator("http://b/v1", "m").identity


INTERRUPTED = """
import signal, sys
from hf_muonclip.synth.server_generator import ServerGenerator
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background does not have
made = ServerGenerator(sys.argv[1], "m", concurrency=2)
try:
    made.generate([[{"role": "user", "content": "x"}]] * 9, range(9))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_asks_nothing_more_and_waits_for_nothing() -> None:
    gone = threading.Event()

    def hang(request: dict[str, Any]) -> tuple[int, Any]:
        gone.wait(60)
        return answer_to(request)

    with serving(hang) as server:
        command = [sys.executable, "-c", INTERRUPTED, address(server)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            while len(server.requests) < 2 and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            try:
                printed, _ = process.communicate(timeout=20)
            finally:
                process.kill()
                gone.set()
    assert (process.returncode, printed) == (0, "interrupted\n")
    assert len(server.requests) == 2


def test_what_was_answered_before_a_failure_is_told() -> None:
    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        return (401, {}) if request["seed"] == 3 else answer_to(request)

    told: list[int] = []
    with serving(reply) as server, pytest.raises(GenerationError):
        ServerGenerator(address(server), "m", concurrency=1).generate(
            CHATS, [1, 2, 3], lambda place, answer: told.append(place)
        )
    assert told == [0, 1]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"base_url": "localhost:1"}, ["base_url", "localhost:1"]),
        ({"base_url": "http:///v1"}, ["base_url", "http:///v1"]),
        ({"base_url": "http://localhost:99999/v1"}, ["base_url", "http://localhost:99999/v1"]),
        ({"deadline": 0}, ["deadline=0"]),
        ({"concurrency": 0}, ["concurrency=0"]),
        ({"retries": -1}, ["retries=-1"]),
        ({"temperature": -1}, ["temperature", "-1"]),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        ServerGenerator(**{"base_url": "http://localhost:1/v1", "model": "m", **settings})
