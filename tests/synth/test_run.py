"""A run ends in the same shards however often it was killed, and refuses to go on with what would be something else."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from error_messages import naming
from rule_generator import RuleGenerator

from hf_muonclip.synth import CachedGenerator, GenerationError, Rephraser, run_rephrasing
from hf_muonclip.synth.run import Progress

DOCUMENTS = 23


def write_documents(folder: Path) -> Path:
    rows = [
        {"text": f"# Chapter {number}\n\nThe {number} ships left the harbour. They came back in {number + 1800}.\n"}
        for number in range(DOCUMENTS - 3)
    ]
    odd = [{"text": ""}, {"text": None}, {"text": "a\0\1" * 50}]
    path = folder / "documents.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows + odd))
    return path


def rephraser(generator: Any = None, **settings: Any) -> Rephraser:
    return Rephraser(generator or RuleGenerator(), **{"rephrasings": 2, "gate": None, **settings})


def rows_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*.parquet")):
        found += pyarrow.parquet.read_table(path).to_pylist()
    return found


def test_every_document_is_in_the_shards_once(tmp_path: Path) -> None:
    path, told = write_documents(tmp_path), []
    made = rephraser()
    progress = run_rephrasing(
        [path], tmp_path / "out", made, documents_per_shard=5, on_shard=lambda p: told.append(p.documents)
    )
    assert told == [0, 5, 10, 15, 20, 23]
    assert (progress.documents, progress.shards) == (DOCUMENTS, 5)
    rows = rows_of(tmp_path / "out")
    texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    expected = made.rephrased(texts, ids=[f"documents.jsonl:{number}" for number in range(DOCUMENTS)])
    assert [row | {"scores": json.loads(row["scores"])} for row in rows] == [vars(row) for row in expected]
    assert progress.kept == sum(row["kept"] for row in rows) > 30
    assert progress.dropped == len(rows) - progress.kept
    assert {row["cause"] for row in rows} >= {"", "empty", "not_text", "binary"}
    assert progress.new_tokens == sum(row["new_tokens"] for row in rows)
    again = run_rephrasing([path], tmp_path / "out", rephraser(Silent()), documents_per_shard=5)
    assert again == progress


class Silent(RuleGenerator):
    """The same by its name, which must not be asked."""

    def generate(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("all was there")


class Breaking(RuleGenerator):
    """The same by its name, whose server dies with the third batch."""

    batches = 0

    def generate(self, *given: Any, **more: Any) -> Any:
        self.batches += 1
        if self.batches > 2:
            raise GenerationError("the server is gone")
        return super().generate(*given, **more)


def test_a_generator_that_fails_leaves_the_shards_before(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    with pytest.raises(GenerationError):
        run_rephrasing([path], tmp_path / "out", rephraser(Breaking()), documents_per_shard=5)
    assert sorted(found.name for found in (tmp_path / "out").glob("part*")) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    run_rephrasing([path], tmp_path / "out", rephraser(), documents_per_shard=5)
    run_rephrasing([path], tmp_path / "whole", rephraser(), documents_per_shard=5)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda path: (path, {"seed": 1}, 5), ["seed", "0", "1"]),
        (lambda path: (path, {"styles": ["plain"]}, 5), ["styles"]),
        (lambda path: (path, {"gate": len}, 5), ["gate", "len"]),
        (lambda path: (path, {"generator": RuleGenerator(identity="another")}, 5), ["generator", "rule", "another"]),
        (lambda path: (path, {}, 6), ["documents_per_shard", "5", "6"]),
        (lambda path: (path.rename(path.with_name("others.jsonl")), {}, 5), ["inputs", "others.jsonl"]),
    ],
    ids=["seed", "styles", "gate", "generator", "shards", "input"],
)
def test_another_run_in_the_same_folder_is_refused(change: Any, named: list[str], tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    run_rephrasing([path], tmp_path / "out", rephraser(), documents_per_shard=5)
    before = {found.name: found.read_bytes() for found in (tmp_path / "out").iterdir()}
    path, settings, size = change(path)
    with pytest.raises(ValueError, match=naming(str(tmp_path / "out"), *named)):
        run_rephrasing([path], tmp_path / "out", rephraser(**settings), documents_per_shard=size)
    assert {found.name: found.read_bytes() for found in (tmp_path / "out").iterdir()} == before


def test_shards_of_something_else_are_not_touched(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.parquet").write_bytes(b"mine")
    with pytest.raises(ValueError, match=naming("part-00000.parquet")):
        run_rephrasing([path], tmp_path / "out", rephraser())
    with pytest.raises(ValueError, match=naming("documents_per_shard", "0")):
        run_rephrasing([path], tmp_path / "out", rephraser(), documents_per_shard=0)


class Slow(RuleGenerator):
    """The same by its name, which takes its time and notes in a file what it is paid for."""

    paid = Path()

    def _answer(self, chat: Any, seed: int) -> Any:
        time.sleep(0.01)
        with self.paid.open("a") as file:
            file.write(f"{seed}\n")
        return super()._answer(chat, seed)


def run_slowly(folder: Path) -> Progress:
    generator = Slow()
    generator.paid = folder / "paid"
    cached = CachedGenerator(generator, folder / "cache")
    return run_rephrasing([folder / "documents.jsonl"], folder / "out", rephraser(cached), documents_per_shard=5)


def start(folder: Path) -> subprocess.Popen[bytes]:
    program = f"from pathlib import Path; from test_run import run_slowly; run_slowly(Path({str(folder)!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    write_documents(tmp_path)
    draw, kills = random.Random(0), 0
    for _ in range(8):
        before = paid(tmp_path)
        process = start(tmp_path)
        while process.poll() is None and paid(tmp_path) == before:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.1)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills > 3
    assert start(tmp_path).wait() == 0
    seeds = (tmp_path / "paid").read_text().split()
    assert len(seeds) - len({*seeds}) <= kills
    run_rephrasing([tmp_path / "documents.jsonl"], tmp_path / "whole", rephraser(), documents_per_shard=5)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")
    assert not [*(tmp_path / "out").glob(".part*")] or kills  # what a kill left is no shard


def paid(folder: Path) -> int:
    path = folder / "paid"
    return path.stat().st_size if path.exists() else 0
