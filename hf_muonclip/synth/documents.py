"""Documents of files, one after another: JSON Lines, Parquet, and text files as one document each."""

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson")
_PARQUET = (".parquet",)
_TEXT = (".txt", ".md")
_ROWS = 256  # of a Parquet file at a time


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes:
        name: file and place in it, or what its row calls it.
        text: whatever the column holds; bytes where a text file is no UTF-8.
        title: or None.
        more: further columns of its row.
    """

    name: str
    text: Any
    title: str | None
    more: Mapping[str, Any] = field(default_factory=dict)


def document_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Return the files that inputs name: a file, or all files of a known kind in a folder, sorted by name.

    Raises:
        FileNotFoundError: an input does not exist, or a folder holds no file of a known kind.
        ValueError: a file is of no known kind.
    """
    found: list[Path] = []
    known = (*_JSON_LINES, *_PARQUET, *_TEXT)
    for one in map(Path, inputs):
        if one.is_dir():
            inside = sorted(path for path in one.rglob("*") if path.is_file() and path.name.endswith(known))
            if not inside:
                raise FileNotFoundError(f"a folder of documents must hold files {known}; {one} has none.")
            found += inside
        elif not one.is_file():
            raise FileNotFoundError(f"there is no file or folder {one}.")
        elif not one.name.endswith(known):
            raise ValueError(f"a file of documents must be one of {known}; got {one}.")
        else:
            found.append(one)
    return found


def count_documents(
    files: Sequence[Path],
    column: str,
    id_column: str | None = None,
    title_column: str | None = None,
    more: Sequence[str] = (),
) -> int:
    """Return the number of documents of files, whose first rows are looked at: before anything is paid for.

    Arguments are those of `read_documents`.

    Raises:
        ValueError: a file cannot be read, its first row lacks a column, or it is a text and columns are named.
    """
    count = 0
    for path in files:
        if path.name.endswith(_TEXT):
            if more:
                raise ValueError(f"{path} has no columns, but {[*more]} are named. Use JSON Lines or Parquet.")
            count += 1
        elif path.name.endswith(_PARQUET):
            with _parquet(path) as file:
                _check_columns(str(path), _named(column, id_column, title_column, *more), file.schema_arrow.names)
                count += file.metadata.num_rows
        else:
            next(_rows(path, _named(column, id_column, title_column, *more)), None)
            count += sum(1 for _, line in _lines(path) if line.strip())
    return count


def read_documents(
    files: Sequence[Path],
    column: str,
    id_column: str | None = None,
    title_column: str | None = None,
    more: Sequence[str] = (),
) -> Iterator[Document]:
    """Yield the documents of files in order, holding a few hundred at a time.

    Args:
        files: as `document_files` returns them.
        column: of the documents, in JSON Lines and Parquet.
        id_column: of their names; None names them by file and place.
        title_column: of titles.
        more: further columns.

    Raises:
        ValueError: a file lacks a column, or a line is no JSON object; with file and line.
    """
    for path in files:
        for place, row in enumerate(_rows(path, _named(column, id_column, title_column, *more))):
            if isinstance(row, dict):
                name = f"{path.name}:{place}" if id_column is None else str(row[id_column])
                title = row[title_column] if title_column else None
                yield Document(
                    name, row[column], None if title is None else str(title), {one: row[one] for one in more}
                )
            else:
                yield Document(path.name, row, None)


def _named(*columns: str | None) -> list[str]:
    return [*dict.fromkeys(name for name in columns if name)]


def _rows(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    if path.name.endswith(_TEXT):
        content = path.read_bytes()
        try:
            yield content.decode("utf-8")
        except UnicodeDecodeError:
            yield content
    elif path.name.endswith(_PARQUET):
        with _parquet(path) as file:
            _check_columns(str(path), columns, file.schema_arrow.names)
            for batch in file.iter_batches(_ROWS, columns=[*columns]):
                yield from batch.to_pylist()
    else:
        for number, line in _lines(path):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} of {path} is no JSON: {error}. Correct it or leave it out.") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} of {path} must be a JSON object; it is {type(row).__name__}.")
            _check_columns(f"line {number} of {path}", columns, row)
            yield row


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as lines:
            yield from enumerate(lines, start=1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is broken: {error}. Fetch it again, or leave it out.") from error


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is broken: {error}. Write it again, or leave it out.") from error


def _check_columns(where: str, columns: Sequence[str], there: Any) -> None:
    for name in columns:
        if name not in there:
            raise ValueError(f"{where} must have a column {name!r}; it has {[*there]}. Name another, or add it.")
