"""In a pipeline of datatrove: the same documents as in one process, whatever the number of tasks."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from error_messages import naming
from hard_documents import hard_document
from number_gate import same_numbers
from rule_generator import RuleGenerator, change_numbers

pytest.importorskip("datatrove")

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

from hf_muonclip.synth.datatrove_step import DocumentReader, RephraseStep
from hf_muonclip.synth.rephraser import Rephraser

DOCUMENTS = [hard_document(seed)[0] for seed in range(24)] + [
    " \n",
    "\0\0",
]  # datatrove's readers leave out documents of no characters


def rephraser(**given: Any) -> Rephraser:
    generator = RuleGenerator(given.pop("misbehaves", None))
    return Rephraser(generator, **{"gate": same_numbers, "rephrasings": 2, "chunk_size": 300, **given})


def pipeline(folder: Path, name: str, tasks: int, workers: int = 1, **given: Any) -> Any:
    source = folder / "in"
    if not source.exists():
        source.mkdir()
        for shard in range(2):
            lines = [
                json.dumps(
                    {"text": text, "id": f"doc-{number}", "metadata": {"source": "test", "title": f"T {number}"}}
                )
                for number, text in enumerate(DOCUMENTS)
                if number % 2 == shard
            ]
            (source / f"{shard}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    step = RephraseStep(
        rephraser(**given),
        batch_size=5,
        exclusion_writer=JsonlWriter(str(folder / f"{name}-dropped"), compression=None),
    )
    steps = [JsonlReader(str(source)), step, JsonlWriter(str(folder / name), compression=None)]
    return LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=str(folder / f"{name}-logs")).run()


def written(folder: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    for row in found.values():
        row["metadata"].pop("file_path", None)
    return found


def test_two_tasks_give_what_one_gives(tmp_path: Path) -> None:
    pipeline(tmp_path, "one", tasks=1)
    pipeline(tmp_path, "two", tasks=2, workers=2)
    found = written(tmp_path / "one")
    assert written(tmp_path / "two") == found
    assert written(tmp_path / "two-dropped") == written(tmp_path / "one-dropped")
    rows = rephraser().rephrased(DOCUMENTS, ids=[f"doc-{number}" for number in range(len(DOCUMENTS))])
    assert {name: row["text"] for name, row in found.items()} == {
        f"{row.source_id}/{row.rephrasing}": row.text for row in rows if row.kept
    }
    assert {*found, *written(tmp_path / "one-dropped")} == {f"{row.source_id}/{row.rephrasing}" for row in rows}


def test_metadata_tells_source_and_style(tmp_path: Path) -> None:
    pipeline(tmp_path, "out", tasks=1, title_column="title")
    one = written(tmp_path / "out")["doc-1/1"]["metadata"]
    assert (one["source"], one["source_id"], one["rephrasing"], one["cause"]) == ("test", "doc-1", 1, "")
    assert one["style"] in {style.name for style in rephraser().styles}
    assert json.loads(one["scores"]) == {"numbers": 1.0}
    dropped = written(tmp_path / "out-dropped")
    assert dropped[f"doc-{len(DOCUMENTS) - 2}/0"]["metadata"]["cause"] == "empty"


def test_statistics_count_causes(tmp_path: Path) -> None:
    stats = pipeline(tmp_path, "out", tasks=1, misbehaves=change_numbers, rephrasings=1)
    (counted,) = [step.stats for step in stats.stats if "Rephrase" in step.name]
    totals = {name: counted[name].total for name in ("kept", "dropped_unfaithful", "dropped_empty", "dropped_binary")}
    assert totals["dropped_unfaithful"] > 0
    assert totals["dropped_empty"] == totals["dropped_binary"] == 1
    assert totals["kept"] == len(written(tmp_path / "out"))


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_has_documents(batch_size: int) -> None:
    with pytest.raises(ValueError, match=naming("batch_size", batch_size)):
        RephraseStep(rephraser(), batch_size=batch_size)


def test_a_reader_gives_all_documents_also_of_mixed_files(tmp_path: Path) -> None:
    texts = [{"text": "", "name": "a", "title": "T"}, {"text": None, "name": "b", "title": None}]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in texts))
    pyarrow.parquet.write_table(
        pyarrow.table(
            {
                "more": [1, 2],
                "name": [3, 4],
                "title": ["U", None],
                "text": ["The 12 ships left before it rained.", None],
            }
        ),
        tmp_path / "b.parquet",
    )
    reader = DocumentReader([tmp_path], id_column="name", title_column="title")
    found = [*reader.run(None)]
    assert [(one.id, one.text, one.metadata) for one in found] == [
        ("a", "", {"title": "T"}),
        ("b", None, {}),
        ("3", "The 12 ships left before it rained.", {"title": "U"}),
        ("4", None, {}),
    ]
    parts = [[one.id for one in reader.run(None, rank, 3)] for rank in range(3)]
    assert parts == [["a", "b"], ["3", "4"], []]
    rows = [*RephraseStep(rephraser(rephrasings=1), exclusion_writer=JsonlWriter(str(tmp_path / "dropped"))).run(found)]
    assert [one.metadata["source_id"] for one in rows] == ["3"]
    with gzip.open(tmp_path / "dropped" / "00000.jsonl.gz", "rt") as file:
        causes = {row["id"]: row["metadata"]["cause"] for row in map(json.loads, file)}
    assert causes == {"a/0": "empty", "b/0": "not_text", "4/0": "not_text"}


@pytest.mark.parametrize("line", ['{"body": "x"}', '{"text": "brok'])
def test_what_is_no_document_ends_the_task(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "The 12 ships."}}\n{line}\n')
    steps = [DocumentReader([tmp_path / "a.jsonl"]), JsonlWriter(str(tmp_path / "out"))]
    with pytest.raises(ValueError, match=naming("line 2", "a.jsonl")):
        LocalPipelineExecutor(steps, logging_dir=str(tmp_path / "logs")).run()
    assert not (tmp_path / "logs" / "completions").exists()
