"""Chat models: asked within a deadline; a pipeline of transformers; a real server and its faults."""

import threading
import time
from typing import Any

import pytest
from chat_server import address, completion, serving
from error_messages import naming
from tiny_models import tiny_model, tiny_tokenizer
from tiny_trl import chat_tokenizer, turn
from transformers import TextGenerationPipeline

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.domains.model import PipelineChatModel, ServerChatModel, ask

CHATS = [[turn("user", seed)] for seed in range(3)]


def tiny_chat_model(**more: Any) -> PipelineChatModel:
    pipeline = TextGenerationPipeline(tiny_model("llama_gqa"), tokenizer=chat_tokenizer())
    return PipelineChatModel(pipeline, max_new_tokens=5, **more)


def test_a_pipeline_replies_greedily_to_each_chat_and_leaves_the_model_as_it_was() -> None:
    model = tiny_chat_model()
    model.pipeline.model.train()
    replies = ask(model, CHATS, 60)
    assert model.pipeline.model.training
    assert len(replies) == 3
    assert all(isinstance(reply, str) and reply for reply in replies)
    assert [ask(model, [chat], 60)[0] for chat in CHATS] == replies
    assert ask(tiny_chat_model(batch_size=3), CHATS, 60) == replies


def test_a_pipeline_without_a_chat_template_is_refused() -> None:
    pipeline = TextGenerationPipeline(tiny_model("llama_gqa"), tokenizer=tiny_tokenizer())
    with pytest.raises(ValueError, match=naming("chat_template")):
        PipelineChatModel(pipeline)


def test_a_server_gives_the_replies_of_its_model_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_saved")
    local = tiny_chat_model()
    lock = threading.Lock()

    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        with lock:
            return 200, completion(local([request["messages"]])[0])

    with serving(reply) as server:
        replies = ServerChatModel(address(server), "tiny", max_tokens=5)(CHATS)
        ServerChatModel(address(server) + "/", "tiny", api_key="key")(CHATS[:1])
    assert replies == local(CHATS)
    path, headers, request = server.requests[0]
    assert path == "/v1/chat/completions"
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("tiny", 5, 0.0)
    assert "Authorization" not in headers
    assert server.requests[-1][0] == path
    assert server.requests[-1][1]["Authorization"] == "Bearer key"


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (500, {}, "unreachable"),
        (503, {}, "unreachable"),
        (429, {}, "unreachable"),
        (400, {"error": "too long"}, "error"),
        (404, {}, "error"),
        (200, b"<html>", "error"),
        (200, {"choices": []}, "error"),
        (200, [], "error"),
        (200, completion(None), "error"),
    ],
)
def test_what_a_server_does_instead_of_replying_is_told_by_its_cause(status: int, body: Any, cause: str) -> None:
    with serving(lambda request: (status, body)) as server:
        (found,) = ask(ServerChatModel(address(server), "tiny"), CHATS[:1], 10)
    assert isinstance(found, NotMeasured)
    assert found.cause == cause
    assert str(server.server_port) in found.detail


def test_one_chat_without_a_reply_takes_none_from_the_others() -> None:
    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        return (500, {}) if request["messages"] == CHATS[1] else (200, completion("yes"))

    with serving(reply) as server:
        found = ask(ServerChatModel(address(server), "tiny", concurrency=2), CHATS, 10)
    assert found[0] == found[2] == "yes"
    assert found[1].cause == "unreachable"


def test_a_server_that_is_down_or_late() -> None:
    with serving(lambda request: time.sleep(1) or (200, completion("late"))) as server:
        late = ServerChatModel(address(server), "tiny", timeout=0.2)(CHATS[:1])
    down = ServerChatModel(address(server), "tiny")(CHATS[:1])
    assert late[0].cause == "timeout"
    assert down[0].cause == "unreachable"


def test_ask_gives_the_model_copies_and_nothing_where_nothing_is_asked() -> None:
    chats = [[{"role": "user", "content": "a"}]]

    def greedy(given: list[list[dict[str, str]]]) -> list[str]:
        given[0][0]["content"] = "b"
        return ["yes"]

    assert ask(greedy, chats, 5) == ["yes"]
    assert chats == [[{"role": "user", "content": "a"}]]
    assert ask(lambda given: 1 / 0, [], 5) == []


@pytest.mark.parametrize(
    ("setting", "value"), [("base_url", "localhost:8000"), ("timeout", 0.0), ("max_tokens", 0), ("concurrency", 0)]
)
def test_settings_of_a_server_out_of_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=naming(setting, value)):
        ServerChatModel(**{"base_url": "http://localhost:1/v1", "model": "tiny", setting: value})


def test_a_deadline_must_be_positive() -> None:
    with pytest.raises(ValueError, match=naming("deadline", 0)):
        ask(lambda given: [], CHATS, 0)
