"""A pipeline of datatrove is run whole or is an error: changed, killed, or with a full disk."""

import gzip
import json
import os
import re
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from hard_documents import hard_document
from killed_runs import running
from number_gate import same_numbers
from rule_generator import RuleGenerator

pytest.importorskip("datatrove")

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.writers import JsonlWriter

from hf_muonclip.synth import GenerationError, Rephraser
from hf_muonclip.synth.datatrove_run import run_pipeline
from hf_muonclip.synth.datatrove_step import DocumentReader, RephraseStep

FILES, PER_FILE = 4, 6


class Dying(RuleGenerator):
    """The same by its name; kills its process at one document, or raises there, where a file says so."""

    folder = Path()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "folder": self.folder}

    def _answer(self, chat: Any, seed: int) -> Any:
        if "Document 2-3" in str(chat):
            if (self.folder / "die").exists():
                os.kill(os.getpid(), signal.SIGKILL)
            if (self.folder / "raise").exists():
                raise GenerationError("the server is gone")
        return super()._answer(chat, seed)


def longer_than_10(document: Any) -> bool:
    return len(document.text) > 10


def executor(folder: Path, name: str, tasks: int = FILES, workers: int = 1, **given: Any) -> LocalPipelineExecutor:
    source = folder / "in"
    if not source.exists():
        source.mkdir()
        for shard in range(FILES):
            texts = [f"Document {shard}-{place} of {hard_document(9 * shard + place)[0]}" for place in range(PER_FILE)]
            lines = [json.dumps({"text": text, "id": f"{shard}-{place}"}) for place, text in enumerate(texts)]
            (source / f"{shard}.jsonl").write_text("\n".join(lines) + "\n")
    generator = Dying()
    generator.folder = folder
    settings = {"gate": same_numbers, "rephrasings": 2, "chunk_size": 300, **given.pop("settings", {})}
    step = RephraseStep(Rephraser(generator, **settings), batch_size=given.pop("batch_size", 4))
    kept = LambdaFilter(given.pop("keep", longer_than_10))
    writer = JsonlWriter(str(folder / name), compression=given.pop("compression", None))
    steps = [*given.pop("first", [DocumentReader([source])]), kept, step, writer]
    return LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=str(folder / f"{name}-logs"), **given)


def content(folder: Path) -> dict[str, bytes]:
    """Return the lines of each file; a compressed one has its time in its first bytes."""
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl*"))}
    return {name: gzip.decompress(text) if name.endswith(".gz") else text for name, text in found.items()}


def test_workers_write_what_one_process_writes_bit_for_bit(tmp_path: Path) -> None:
    stats = run_pipeline(executor(tmp_path, "one"))
    found = content(tmp_path / "one")
    assert [*found] == [f"{rank:05d}.jsonl" for rank in range(FILES)]
    many = run_pipeline(executor(tmp_path, "two", workers=2, batch_size=5))
    assert content(tmp_path / "two") == found
    kept = [sum(step.stats["kept"].total for step in one.stats if "Rephrase" in step.name) for one in (stats, many)]
    assert kept == [sum(text.count(b"\n") for text in found.values())] * 2
    again = run_pipeline(executor(tmp_path, "two", workers=2))
    assert content(tmp_path / "two") == found
    assert [step.name for step in again.stats] == [step.name for step in many.stats]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tasks": 2}, ["tasks", "4", "2"]),
        ({"keep": lambda document: len(document.text) > 20}, ["steps.1.filter_function"]),
        ({"settings": {"gate": None}}, ["steps.2.rephraser.gate", "null"]),
        ({"settings": {"seed": 1}}, ["steps.2.rephraser.seed", "0", "1"]),
        ({"compression": "gzip"}, ["steps.3.compression", "gzip"]),
    ],
    ids=["tasks", "filter", "gate", "seed", "writer"],
)
def test_another_pipeline_with_the_same_logs_is_refused(
    change: dict[str, Any], named: list[str], tmp_path: Path
) -> None:
    run_pipeline(executor(tmp_path, "out"))
    before = content(tmp_path / "out")
    with pytest.raises(ValueError, match=naming(str(tmp_path / "out-logs"), *named)):
        run_pipeline(executor(tmp_path, "out", **change))
    assert content(tmp_path / "out") == before


def test_changed_input_is_refused_and_so_are_tasks_of_an_unknown_pipeline(tmp_path: Path) -> None:
    run_pipeline(executor(tmp_path, "out"))
    with (tmp_path / "in" / "1.jsonl").open("a") as file:
        file.write('{"text": "One more of 12 words."}\n')
    with pytest.raises(ValueError, match=naming("1.jsonl")):
        run_pipeline(executor(tmp_path, "out"))
    (tmp_path / "out-logs" / "pipeline.json").unlink()
    with pytest.raises(ValueError, match=naming(str(tmp_path / "out-logs"), "pipeline.json")):
        run_pipeline(executor(tmp_path, "out"))


def test_a_worker_that_is_killed_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    run_pipeline(executor(tmp_path, "whole"))
    (tmp_path / "die").touch()
    with pytest.raises(GenerationError, match=naming("worker", "killed")):
        run_pipeline(executor(tmp_path, "out", workers=2))
    done = [path.name for path in (tmp_path / "out-logs" / "completions").glob("*")]
    assert "00002" not in done
    (tmp_path / "die").unlink()
    run_pipeline(executor(tmp_path, "out", workers=2))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_generator_that_fails_is_that_error(workers: int, tmp_path: Path) -> None:
    run_pipeline(executor(tmp_path, "whole"))
    (tmp_path / "raise").touch()
    with pytest.raises(GenerationError, match=naming("server")):
        run_pipeline(executor(tmp_path, "out", workers=workers))
    (tmp_path / "raise").unlink()
    run_pipeline(executor(tmp_path, "out", workers=workers))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def write_to_a_full_disk(folder: Path) -> None:
    compression, limit = json.loads((folder / "given").read_text())
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # of a file, as if nothing more were free
    try:
        run_pipeline(executor(folder, "out", compression=compression))
    except OSError as error:
        (folder / "said").write_text(str(error))


@pytest.mark.parametrize(("compression", "limit"), [(None, 20_000), ("gzip", 7_000)])
def test_a_full_disk_ends_the_task_which_is_done_again(compression: str | None, limit: int, tmp_path: Path) -> None:
    run_pipeline(executor(tmp_path, "whole", compression=compression))
    assert max(path.stat().st_size for path in (tmp_path / "whole").iterdir()) > limit
    (tmp_path / "given").write_text(json.dumps([compression, limit]))
    with running("test_datatrove_run") as runner:
        runner.start("write_to_a_full_disk", tmp_path)
        assert runner.ended() == 0
    assert re.match(naming(str(tmp_path / "out")), (tmp_path / "said").read_text())
    assert len([*(tmp_path / "out-logs" / "completions").glob("*")]) < FILES
    run_pipeline(executor(tmp_path, "out", compression=compression))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"first": [[Document("12 words", "a")]]}, ["list", "4", "tasks"]),
        ({"skip_completed": False}, ["skip_completed", "False"]),
        ({"local_tasks": 2}, ["local_tasks", "4", "2"]),
    ],
    ids=["list", "skip", "part"],
)
def test_executors_that_would_lose_or_double_documents(given: dict[str, Any], named: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        run_pipeline(executor(tmp_path, "out", **given))
    assert not (tmp_path / "out").exists()


def test_executors_that_cannot_be(tmp_path: Path) -> None:
    one = executor(tmp_path, "one")
    with pytest.raises(ValueError, match=naming("depends")):
        run_pipeline(executor(tmp_path, "out", depends=one))
    with pytest.raises(ValueError, match=naming("RayPipelineExecutor", "time", "None")):
        run_pipeline(RayPipelineExecutor(one.pipeline, tasks=2, logging_dir=str(tmp_path / "ray-logs")))
    slurm = SlurmPipelineExecutor(one.pipeline, tasks=2, time="1:00:00", partition="p", logging_dir=str(tmp_path / "s"))
    with pytest.raises(ValueError, match=naming("SlurmPipelineExecutor")):
        run_pipeline(slurm)
    assert not (tmp_path / "ray-logs").exists()
