"""`hf-muonclip synth rephrase` as a person types it, with a model here and one behind a server."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from chat_server import address, completion, serving
from tiny_models import tiny_model, tiny_tokenizer

from hf_muonclip.cli import main


def write_documents(folder: Path) -> Path:
    path = folder / "documents.jsonl"
    texts = [f"The {number} ships left the harbour and came back in {number + 1800}." for number in range(4)]
    path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    return path


def reply(request: dict[str, Any]) -> tuple[int, Any]:
    passage = request["messages"][-1]["content"].split("<passage>\n")[1].split("\n</passage>")[0]
    text = passage.replace("left the harbour", "sailed from the port").replace("came back", "returned")
    body = completion(text)
    body["choices"][0]["finish_reason"] = "stop"
    return 200, body | {"usage": {"prompt_tokens": 100, "completion_tokens": 10}}


def test_documents_are_rephrased_by_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = write_documents(tmp_path), tmp_path / "out"
    with serving(reply) as server:
        command = ["synth", "rephrase", str(path), str(output), "--server", address(server), "--model", "m"]
        command += ["--extra-body", '{"chat_template_kwargs": {"enable_thinking": false}}']
        assert main([*command, "--no-gate", "--price", "1", "10"]) == 0
        asked = len(server.requests)
        told = capsys.readouterr()
        assert main([*command, "--no-gate"]) == 0
        assert len(server.requests) == asked == 4
    assert server.requests[0][2]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "4 documents in 1 shards" in told.out
    assert "kept" in told.out
    assert "cost 0.00" in told.err
    assert "4 of 4 documents · 4 kept · 0 dropped · 40 tokens" in told.err
    rows = pyarrow.parquet.read_table(output / "part-00000.parquet").to_pylist()
    assert [row["text"] for row in rows] == [
        f"The {number} ships sailed from the port and returned in {number + 1800}." for number in range(4)
    ]
    assert main(command) == 2  # with a gate, it would be something else
    assert "gate" in capsys.readouterr().err


def note(request: dict[str, Any]) -> tuple[int, Any]:
    first = request["messages"][-1]["content"].split("<passage>\n")[1].split(" ")[0]
    right = f"We add both: ${first} + 5 = {int(first) + 5}$. Final answer: $\\boxed{{{int(first) + 5}}}$"
    wrong = right.replace("+ 5 = ", "+ 6 = ")
    body = completion(wrong if first == "3" else right)
    body["choices"][0]["finish_reason"] = "stop"
    return 200, body | {"usage": {"prompt_tokens": 100, "completion_tokens": 10}}


def test_notes_of_mathematics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = tmp_path / "problems.jsonl", tmp_path / "out"
    given = [
        {"q": "What is the sum?", "s": f"{n} and 5 are given, {n} + 5 = {n + 5}.", "a": n + 5} for n in range(1, 5)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in given))
    with serving(note) as server:
        command = ["synth", "math-notes", str(path), str(output), "--server", address(server), "--model", "m"]
        command += ["--column", "s", "--problem-column", "q", "--answer-column", "a"]
        assert main(command) == 0
        assert len(server.requests) == 4
        told = capsys.readouterr().out
        assert main(command) == 0
        assert capsys.readouterr().out == told
        assert len(server.requests) == 4
    said = " ".join(told.split())
    for part in (
        "kept 3",
        "false_equation 1",
        "4 found",
        "4 100.0% of found",
        "3 75.0% of decided",
        "4 verified (100.0%)",
    ):
        assert part in said, said
    rows = pyarrow.parquet.read_table(output / "part-00000.parquet").to_pylist()
    assert [row["cause"] for row in rows] == ["", "", "false_equation", ""]
    assert "3 + 6 = 8" in rows[2]["reasons"][0]
    assert main([*command, "--styles", "essay"]) == 2
    assert "essay" in capsys.readouterr().err


@pytest.mark.slow
def test_workers_share_a_cache_and_make_the_same_shards(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    with serving(reply) as server:
        command = ["synth", "rephrase", str(path), "--server", address(server), "--model", "m", "--no-gate"]
        command[3:3] = [str(tmp_path / "out")]
        assert main([*command, "--documents-per-shard", "1", "--workers", "2"]) == 0
        assert len(server.requests) == 4
        command[3] = str(tmp_path / "again")
        assert main([*command, "--documents-per-shard", "1", "--cache", str(tmp_path / "out" / "answers.sqlite")]) == 0
        assert len(server.requests) == 4
    shards = sorted(found.name for found in (tmp_path / "out").glob("part-*"))
    assert len(shards) == 4
    for name in shards:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_model_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = write_documents(tmp_path), tmp_path / "model"
    tiny_model("llama_gqa", max_position_embeddings=2048).save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    command = ["synth", "rephrase", str(path), str(tmp_path / "out"), "--model", str(model), "--max-new-tokens", "8"]
    assert main(command) == 0
    assert "4 documents" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [
        (["--server", "http://127.0.0.1:9/v1"], 2, "--model"),
        (["--column", "body"], 2, "'body'"),
        (["--styles", "baroque"], 2, "baroque"),
        (["--rephrasings", "0"], 2, "rephrasings"),
        (["--workers", "0"], 2, "workers"),
        (["--documents-per-shard", "0"], 2, "documents_per_shard"),
        (["--server", "http://127.0.0.1:9/v1", "--model", "m", "--extra-body", "[1]"], 2, "[1]"),
        (["--server", "http://127.0.0.1:9/v1", "--model", "m", "--extra-body", "{"], 2, "'{'"),
        (["--extra-body", '{"a": 1}'], 2, "--server"),
        (["--model", "no/such/folder"], 2, "no/such/folder"),
    ],
)
def test_what_cannot_be(
    more: list[str], code: int, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_documents(tmp_path)
    assert main(["synth", "rephrase", str(path), str(tmp_path / "out"), *more]) == code
    assert named in capsys.readouterr().err


def test_a_missing_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "rephrase", str(tmp_path / "none.jsonl"), str(tmp_path / "out")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
