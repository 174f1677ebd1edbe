"""A run ends in the same shards however often it was killed, and refuses to go on with what would be something else."""

import json
import os
import random
import re
import resource
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from error_messages import naming
from killed_runs import running
from rule_generator import RuleGenerator

from hf_muonclip.synth import CachedGenerator, GenerationError, Rephraser, run_rephrasing
from hf_muonclip.synth.generator import Generated
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
    with pytest.raises(ValueError, match=naming("workers", "0")):
        run_rephrasing([path], tmp_path / "out", rephraser(), workers=0)


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


def stored(folder: Path) -> int:
    path = folder / "cache"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def paid(folder: Path) -> list[str]:
    path = folder / "paid"
    return path.read_text().split() if path.exists() else []


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """Each kill costs the answer under way at most; one that was stored is never paid for again."""
    draw, kills, rounds = random.Random(0), 0, 0
    with running("test_synth_run") as runner:
        while kills < 20:
            rounds += 1
            folder = tmp_path / str(rounds)
            folder.mkdir()
            write_documents(folder)
            lost, ends = 0, False
            while not ends:
                runner.start("run_slowly", folder)
                moment = time.monotonic() + draw.random() * 0.5
                while time.monotonic() < moment:
                    time.sleep(0.001)
                ends = not runner.kill() if kills < 20 else runner.ended() == 0
                kills += not ends
                assert 0 <= len(paid(folder)) - stored(folder) - lost <= 1
                lost = len(paid(folder)) - stored(folder)
            assert len({*paid(folder)}) == stored(folder)
            if rounds == 1:
                run_rephrasing([folder / "documents.jsonl"], tmp_path / "whole", rephraser(), documents_per_shard=5)
            assert rows_of(folder / "out") == rows_of(tmp_path / "whole")
            assert not [*(folder / "out").glob(".unfinished*")]
    assert kills == 20


class Dying(RuleGenerator):
    """The same by its name; notes its process in a file, and kills it, or waits, where a file says so."""

    folder = Path()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "folder": self.folder}

    def _answer(self, chat: Any, seed: int) -> Any:
        with (self.folder / "processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if (self.folder / "die").exists() and "The 7 ships" in str(chat):
            os.kill(os.getpid(), signal.SIGKILL)
        if (self.folder / "wait").exists():
            time.sleep(60)
        return super()._answer(chat, seed)


def run_with_workers(folder: Path) -> Progress:
    generator = Dying()
    generator.folder = folder
    made = rephraser(generator)
    return run_rephrasing([folder / "documents.jsonl"], folder / "out", made, documents_per_shard=5, workers=2)


@pytest.mark.slow
def test_workers_make_the_same_shards_and_one_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    (tmp_path / "die").touch()
    began = time.monotonic()
    with pytest.raises(GenerationError, match=naming("worker", "killed")):
        run_with_workers(tmp_path)
    assert time.monotonic() - began < 60
    assert len({*(tmp_path / "processes").read_text().split()} - {str(os.getpid())}) >= 1
    (tmp_path / "die").unlink()
    progress = run_with_workers(tmp_path)
    whole = run_rephrasing([path], tmp_path / "whole", rephraser(), documents_per_shard=5)
    assert progress == whole
    shards = sorted(found.name for found in (tmp_path / "whole").glob("part-*"))
    assert len(shards) == 5
    for name in shards:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["kill", "interrupt"])
def test_workers_end_with_their_run(ending: str, tmp_path: Path) -> None:
    write_documents(tmp_path)
    (tmp_path / "wait").touch()
    noted = tmp_path / "processes"
    with running("test_synth_run") as runner:
        runner.start("run_with_workers", tmp_path)
        while not (noted.exists() and len({*noted.read_text().split()}) == 2):
            time.sleep(0.01)
        if ending == "kill":
            assert runner.kill()
        else:
            os.kill(runner.process, signal.SIGINT)
            assert runner.ended() == 1
    deadline = time.monotonic() + 20
    while alive := [one for one in {*noted.read_text().split()} if Path("/proc", one).exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)


def test_one_run_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    made = rephraser()

    def run_again(_: Progress) -> None:
        with pytest.raises(ValueError, match=naming(str(tmp_path / "out"), "another run")):
            run_rephrasing([path], tmp_path / "out", made)

    assert run_rephrasing([path], tmp_path / "out", made, on_shard=run_again).documents == DOCUMENTS


def test_shards_that_are_missing_in_between_are_made_again_and_no_others(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    whole = run_rephrasing([path], tmp_path / "out", rephraser(), documents_per_shard=5)
    before = {found.name: found.read_bytes() for found in (tmp_path / "out").glob("part-*")}
    (tmp_path / "out" / "part-00001.parquet").unlink()
    (tmp_path / "out" / ".unfinished-1-part-00001.parquet").write_bytes(b"half")
    generator = RuleGenerator(log=[])
    told: list[int] = []
    made = rephraser(generator)
    again = run_rephrasing(
        [path], tmp_path / "out", made, documents_per_shard=5, on_shard=lambda p: told.append(p.shards)
    )
    assert again == whole
    assert told == [1, 2]
    assert sum(map(len, generator.log or [])) == 10
    assert {found.name: found.read_bytes() for found in (tmp_path / "out").glob("*part-*")} == before


def test_each_answer_is_told_also_those_of_a_cache(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    for folder in ("first", "second"):
        told: list[Generated] = []
        made = rephraser(CachedGenerator(RuleGenerator(), tmp_path / "cache"))
        progress = run_rephrasing([path], tmp_path / folder, made, on_answer=told.append)
        assert sum(answer.new_tokens for answer in told) == progress.new_tokens > 0


def write_to_a_full_disk(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))  # of a file, as if nothing more were free
    try:
        run_rephrasing([folder / "documents.jsonl"], folder / "out", rephraser(Growing()), documents_per_shard=5)
    except OSError as error:
        (folder / "said").write_text(str(error))


class Growing(RuleGenerator):
    """The same by its name; later shards are too large for the disk."""

    def _answer(self, chat: Any, seed: int) -> Any:
        answer = super()._answer(chat, seed)
        large = "The 12 ships" in str(chat)
        return replace(answer, text=f"{random.Random(seed).getrandbits(200_000):x}") if large else answer


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    with running("test_synth_run") as runner:
        runner.start("write_to_a_full_disk", tmp_path)
        assert runner.ended() == 0
    assert re.match(naming("part-00002.parquet", "cannot be written"), (tmp_path / "said").read_text())
    assert sorted(found.name for found in (tmp_path / "out").glob("*part*")) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    run_rephrasing([path], tmp_path / "out", rephraser(), documents_per_shard=5)
    run_rephrasing([path], tmp_path / "whole", rephraser(), documents_per_shard=5)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")


def test_an_output_in_the_input_is_refused(tmp_path: Path) -> None:
    write_documents(tmp_path)
    with pytest.raises(ValueError, match=naming(str(tmp_path / "out"), str(tmp_path))):
        run_rephrasing([tmp_path], tmp_path / "out", rephraser())
    assert not (tmp_path / "out").exists()


def test_a_column_that_a_later_file_lacks_is_found_before_anything_is_made(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    (tmp_path / "z.jsonl").write_text('{"body": "x"}\n')
    with pytest.raises(ValueError, match=naming("z.jsonl", "'text'", "['body']")):
        run_rephrasing([path, tmp_path / "z.jsonl"], tmp_path / "out", rephraser(Silent()))
    assert not (tmp_path / "out").exists()


def test_files_of_several_kinds_and_schemas_are_one_run(tmp_path: Path) -> None:
    """A column of another type, of nulls alone, or one more or less beside the text: each document is a row."""
    source = tmp_path / "in"
    source.mkdir()
    lines = '{"text": "The 7 ships left before it rained.", "title": "T"}', '{"title": 5, "text": 12}'
    (source / "a.jsonl").write_text("\n".join(lines))
    large = pyarrow.array(["The 9 ships came after the storm had gone."], pyarrow.large_string())
    tables = {
        "b": {"text": pyarrow.array([None, None]), "title": ["U", None]},
        "c": {"title": [1.5], "text": [["a", "list"]], "more": [{"x": 1}]},
        "d": {"title": [None], "text": pyarrow.array([b"bytes"])},
        "e": {"title": ["V"], "text": large.dictionary_encode()},
    }
    for name, columns in tables.items():
        pyarrow.parquet.write_table(pyarrow.table(columns), source / f"{name}.parquet")
    (source / "f.txt").write_text("The 11 ships sank in the storm that came.")
    progress = run_rephrasing(
        [source], tmp_path / "out", rephraser(title_column="title", rephrasings=1), documents_per_shard=2
    )
    rows = {row["source_id"]: (row["cause"], row["kept"]) for row in rows_of(tmp_path / "out")}
    none = ("not_text", False)
    assert rows == {
        "a.jsonl:0": ("", True),
        "a.jsonl:1": none,
        "b.parquet:0": none,
        "b.parquet:1": none,
        "c.parquet:0": none,
        "d.parquet:0": none,
        "e.parquet:0": ("", True),
        "f.txt": ("", True),
    }
    assert progress.documents == progress.total == 8
    schemas = {pyarrow.parquet.read_schema(path) for path in (tmp_path / "out").glob("part-*")}
    assert len(schemas) == 1


def test_a_column_that_is_missing_in_the_middle_of_a_file_ends_the_run_and_shards_stay(tmp_path: Path) -> None:
    path = write_documents(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:12], '{"body": "x"}', *lines[13:]]))
    generator = RuleGenerator(log=[])
    cached = rephraser(CachedGenerator(generator, tmp_path / "cache"))
    for _ in range(2):
        with pytest.raises(ValueError, match=naming("line 13", "documents.jsonl", "'text'", "['body']")):
            run_rephrasing([path], tmp_path / "out", cached, documents_per_shard=5)
        assert len([*(tmp_path / "out").glob("part-*")]) == 2
    paid = sum(map(len, generator.log or []))
    assert paid == 20
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=naming("inputs", "documents.jsonl")):
        run_rephrasing([path], tmp_path / "out", cached, documents_per_shard=5)
    run_rephrasing([path], tmp_path / "again", cached, documents_per_shard=5)
    assert sum(map(len, generator.log or [])) == 2 * (DOCUMENTS - 3)
    run_rephrasing([path], tmp_path / "whole", rephraser(), documents_per_shard=5)
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "whole")
