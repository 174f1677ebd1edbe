"""Each recipe of rephrasing runs as it stands, shortened by its own arguments."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from chat_server import address, completion, serving
from tiny_models import tiny_model, tiny_tokenizer

RECIPES = Path(__file__).parents[2] / "examples" / "synth"


def run(recipe: str, folder: Path, *more: str) -> list[dict[str, Any]]:
    """Run a recipe on two documents, and return its rows."""
    texts = [f"The {number} ships left the harbour and came back in {number + 1800}." for number in range(2)]
    (folder / "documents.jsonl").write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", str(RECIPES / recipe), "documents.jsonl", "rephrased", *more],
        cwd=folder,
        env={**os.environ, "PATH": search, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shards = sorted((folder / "rephrased").glob("part-*"))
    return [row for shard in shards for row in pyarrow.parquet.read_table(shard).to_pylist()]


@pytest.mark.slow
def test_with_a_model_here(tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny_model("llama_gqa", max_position_embeddings=2048).save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    rows = run("rephrase_here.sh", tmp_path, "--model", "model", "--max-new-tokens", "8")
    assert [(row["source_id"], row["rephrasing"]) for row in rows] == [
        (f"documents.jsonl:{number}", rephrasing) for number in range(2) for rephrasing in range(4)
    ]
    assert len({row["style"] for row in rows[:4]}) == 4
    assert all(0 < row["new_tokens"] <= 8 for row in rows)


@pytest.mark.slow
def test_with_a_server(tmp_path: Path) -> None:
    def reply(request: dict[str, Any]) -> tuple[int, Any]:
        passage = request["messages"][-1]["content"].split("<passage>\n")[1].split("\n</passage>")[0]
        body = completion(passage.replace("left the harbour", "sailed from the port").replace("came back", "returned"))
        body["choices"][0]["finish_reason"] = "stop"
        return 200, body | {"usage": {"prompt_tokens": 100, "completion_tokens": 10}}

    with serving(reply) as server:
        rows = run("rephrase_with_server.sh", tmp_path, "--server", address(server))
    assert len(server.requests) == len(rows) == 8
    for _, _, request in server.requests:
        assert request["model"] == "Qwen/Qwen3-4B"
        assert request["chat_template_kwargs"] == {"enable_thinking": False}
        assert request["max_tokens"] == 1024
    for number, own in enumerate((rows[:4], rows[4:])):
        assert own[0]["text"] == f"The {number} ships sailed from the port and returned in {number + 1800}."
        assert [row["cause"] for row in own] == ["", "alike", "alike", "alike"]  # this server knows no styles
