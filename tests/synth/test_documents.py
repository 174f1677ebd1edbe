"""Documents of JSON Lines, Parquet and text files come in order, and what is no document is named with its place."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from error_messages import naming

from hf_muonclip.synth.documents import Document, document_files, read_documents


def write_lines(path: Path, rows: list[Any]) -> Path:
    content = "".join(f"{json.dumps(row)}\n" for row in rows)
    if path.name.endswith(".gz"):
        with gzip.open(path, "wt") as file:
            file.write(content)
    else:
        path.write_text(content)
    return path


def test_each_kind_of_file(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "name": number, "title": None} for number in range(600)]
    write_lines(tmp_path / "a.jsonl", rows[:2])
    write_lines(tmp_path / "b.jsonl.gz", [rows[2], {"text": 7, "more": True, "name": "x", "title": "T"}])
    (tmp_path / "sub").mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "sub" / "c.parquet")
    (tmp_path / "sub" / "d.txt").write_bytes(b"first\r\nsecond")
    (tmp_path / "e.md").write_bytes(b"\xff\xfe no UTF-8")
    (tmp_path / "ignored.csv").write_text("text\n")
    files = document_files([tmp_path])
    assert [path.name for path in files] == ["a.jsonl", "b.jsonl.gz", "e.md", "c.parquet", "d.txt"]
    found = [*read_documents(files, "text")]
    assert found[:3] == [
        Document(name, f"text {n}", None) for n, name in enumerate(["a.jsonl:0", "a.jsonl:1", "b.jsonl.gz:0"])
    ]
    assert found[3].text == 7
    assert found[4] == Document("e.md", b"\xff\xfe no UTF-8", None)
    assert [one.text for one in found[5:-1]] == [row["text"] for row in rows]
    assert found[-1] == Document("d.txt", "first\r\nsecond", None)
    named = [*read_documents(files[:2], "text", "name", "title")]
    assert [(one.name, one.title) for one in named] == [("0", None), ("1", None), ("2", None), ("x", "T")]


def test_inputs_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=naming("nothing.jsonl")):
        document_files([tmp_path / "nothing.jsonl"])
    with pytest.raises(FileNotFoundError, match=naming(str(tmp_path), ".jsonl")):
        document_files([tmp_path])
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(ValueError, match=naming("a.csv", ".parquet")):
        document_files([tmp_path / "a.csv"])


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ('{"body": "x"}', ["line 2", "a.jsonl", "'text'", "['body']"]),
        ("{text", ["line 2", "a.jsonl"]),
        ("[1]", ["line 2", "a.jsonl", "list"]),
    ],
    ids=["another column", "no JSON", "a list"],
)
def test_a_line_that_is_no_document(second: str, named: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "x"}}\n{second}\n')
    documents = read_documents([path], "text")
    assert next(documents).text == "x"
    with pytest.raises(ValueError, match=naming(*named)):
        next(documents)


def test_a_schema_that_changes_between_files(tmp_path: Path) -> None:
    for name, column in (("a", "text"), ("b", "body")):
        pyarrow.parquet.write_table(pyarrow.table({column: ["x"]}), tmp_path / f"{name}.parquet")
    documents = read_documents(document_files([tmp_path]), "text")
    assert next(documents).text == "x"
    with pytest.raises(ValueError, match=naming("b.parquet", "'text'", "['body']")):
        next(documents)
