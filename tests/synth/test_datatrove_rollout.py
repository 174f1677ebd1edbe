"""In datatrove's inference runner, with a real endpoint: the rows of one process, none lost and none paid for twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import address, completion, serving
from error_messages import naming
from hard_documents import hard_document
from number_gate import same_numbers
from rule_generator import RuleGenerator

pytest.importorskip("datatrove")
pytest.importorskip("aiofiles")  # these two its runner needs
pytest.importorskip("aiosqlite")

from datatrove.data import Document
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.inference.types import InferenceError
from datatrove.pipeline.writers import JsonlWriter

from hf_muonclip.synth.datatrove_rollout import RephraseRollout
from hf_muonclip.synth.generator import PROBE
from hf_muonclip.synth.rephraser import Rephraser

SETTINGS: dict[str, Any] = {"gate": same_numbers, "rephrasings": 2, "chunk_size": 300, "title_column": "title"}
DOCUMENTS = [
    *(Document(hard_document(seed)[0], f"doc-{seed}", metadata={"title": f"T {seed}"}) for seed in range(6)),
    Document("\0\0", "binary"),
]


def reply(request: dict[str, Any]) -> tuple[int, Any]:
    (answer,) = RuleGenerator().generate([request["messages"]], [request["seed"]])
    body = completion(answer.text)
    body["choices"][0]["finish_reason"] = "stop"
    usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.new_tokens, "total_tokens": 0}
    return 200, {**body, "id": "x", "object": "chat.completion", "created": 0, "model": "m", "usage": usage}


def run(folder: Path, url: str, documents: list[Document], **more: Any) -> list[Any]:
    config = InferenceConfig(
        "endpoint", "m", endpoint_url=url.removesuffix("/v1"), default_generation_params={"max_tokens": 64}
    )
    writer = JsonlWriter(str(folder), output_filename="${rank}_${chunk_index}.jsonl", compression=None)
    runner = InferenceRunner(RephraseRollout(**SETTINGS), config, writer, **more)
    runner.run(documents)
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def copies() -> list[Document]:
    return [Document(one.text, one.id, metadata=dict(one.metadata)) for one in DOCUMENTS]


def test_rows_are_those_of_one_process(tmp_path: Path) -> None:
    with serving(reply) as server:
        found = run(tmp_path, address(server), copies())
        assert {request["max_tokens"] for _, _, request in server.requests} == {64}
    expected = Rephraser(RuleGenerator(), **SETTINGS).rephrased(
        [one.text for one in DOCUMENTS],
        ids=[one.id for one in DOCUMENTS],
        titles=[one.metadata.get("title") for one in DOCUMENTS],
    )
    rows = {one["id"]: one["metadata"]["rollout_results"] for one in found}
    assert {*rows} == {one.id for one in DOCUMENTS}
    for place, one in enumerate(DOCUMENTS):
        (own,) = rows[one.id]
        wanted = [vars(row) for row in expected[2 * place : 2 * place + 2]]
        assert [{**row, "scores": json.loads(row["scores"])} for row in own] == wanted
    assert any(row.kept for row in expected)


def test_a_run_that_failed_goes_on_and_pays_only_for_what_is_missing(tmp_path: Path) -> None:
    answered: list[str] = []

    def counted(request: dict[str, Any]) -> tuple[int, Any]:
        answered.append(json.dumps([request["messages"], request["seed"]]))
        return reply(request)

    def breaking(request: dict[str, Any]) -> tuple[int, Any]:
        # Not status 400: the runner keeps it as the answer for ever.
        return counted(request) if len(answered) < 9 else (200, {"error": "broken"})

    more = {"checkpoints_local_dir": str(tmp_path / "checkpoints"), "records_per_chunk": 2}
    with serving(breaking) as server, pytest.raises(InferenceError):
        run(tmp_path / "out", address(server), copies(), **more)
    with serving(counted) as server:
        found = run(tmp_path / "out", address(server), copies(), **more)
    assert sorted(one["id"] for one in found) == sorted(one.id for one in DOCUMENTS)
    assert len(answered) == len({*answered})


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=naming("threads", "0")):
        RephraseRollout(threads=0)
    with pytest.raises(ValueError, match=naming("rephrasings", "0")):
        RephraseRollout(rephrasings=0)


@pytest.mark.parametrize("kept", [False, True], ids=["no checkpoints", "checkpoints"])
def test_a_chat_that_the_server_refuses_drops_its_rephrasing_and_no_other(kept: bool, tmp_path: Path) -> None:
    """Also where the runner keeps refusals, and the chats are asked for again from there."""
    said = {"error": {"message": "filtered, as chats that speak of T 3 are"}}

    def refusing(request: dict[str, Any]) -> tuple[int, Any]:
        if request["messages"] == PROBE:
            return reply({"messages": [{"role": "user", "content": "<passage>\nYes.\n</passage>"}], "seed": 0})
        return (400, said) if "T 3" in str(request["messages"]) else reply(request)

    more: dict[str, Any] = {"checkpoints_local_dir": str(tmp_path / "kept"), "records_per_chunk": 2} if kept else {}
    with serving(refusing) as server:
        found = run(tmp_path / "out", address(server), copies(), **more)
    rows = {one["id"]: one["metadata"]["rollout_results"][0] for one in found}
    assert {*rows} == {one.id for one in DOCUMENTS}
    refused = {name for name, own in rows.items() for row in own if row["cause"] == "chat_refused"}
    assert refused == {"doc-3"}
    assert all("filtered, as chats" in row["reasons"][0] for row in rows["doc-3"])
    assert any(row["kept"] for own in rows.values() for row in own)


@pytest.mark.parametrize("skipping", [False, True])
def test_a_server_that_refuses_all_ends_the_run(skipping: bool, tmp_path: Path) -> None:
    """Also where the runner is told to skip what is refused: that is about single documents."""
    more = {"skip_bad_requests": True} if skipping else {}
    with (
        serving(lambda _: (400, {"error": "no credit"})) as server,
        pytest.raises(InferenceError, match=naming("no credit", "all chats")),
    ):
        run(tmp_path, address(server), copies(), **more)
