"""A rephrasing of files into a folder of shards that goes on where it was ended, whenever that was.

Shard k holds the results of its own documents and is written whole or not at all. What it was made of stands in
manifest.json: a run that would make something else in the same folder is refused.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from .documents import Document, document_files, read_documents
from .rephraser import Rephraser

MANIFEST = "manifest.json"
_FORMAT = 1


@dataclass
class Progress:
    """What a run has done, earlier runs of the same folder included.

    Attributes:
        documents: that were rephrased, or found to be none.
        shards: written.
        causes: rephrasings by why they were dropped; "" counts those that are kept.
        prompt_tokens: of all chats.
        new_tokens: of all answers.
        kept_tokens: of the answers of rephrasings that are kept.
    """

    documents: int = 0
    shards: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    new_tokens: int = 0
    kept_tokens: int = 0

    @property
    def kept(self) -> int:
        """Rephrasings that are kept."""
        return self.causes[""]

    @property
    def dropped(self) -> int:
        """Rephrasings that were dropped."""
        return self.causes.total() - self.causes[""]

    def add(self, documents: int, rows: Iterable[dict[str, Any]]) -> None:
        """Count the rows of a shard."""
        self.documents += documents
        self.shards += 1
        for row in rows:
            self.causes[row["cause"]] += 1
            self.prompt_tokens += row["prompt_tokens"]
            self.new_tokens += row["new_tokens"]
            self.kept_tokens += row["new_tokens"] if row["kept"] else 0


def run_rephrasing(
    inputs: Sequence[str | Path],
    output: str | Path,
    rephraser: Rephraser,
    *,
    documents_per_shard: int = 256,
    on_shard: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Rephrase the documents of files into Parquet shards in a folder, and return what was done.

    Columns are those of `Rephrased`. A run that was ended in any way goes on with the first shard that is missing; with
    a response cache around the rephraser's generator it does not pay again for what that shard had already been
    answered. Documents of one shard are rephrased together, and no more are held.

    Args:
        inputs: files or folders of documents: JSON Lines, Parquet, text.
        output: folder of the shards; made where there is none.
        rephraser: whose columns are those of the documents.
        documents_per_shard: what is lost at most when a run without a cache is ended.
        on_shard: called after each shard, and once before the first.

    Raises:
        FileNotFoundError: there is no input.
        ValueError: a column is missing, or the folder holds another run; nothing is changed.
        GenerationError: the generator failed; all shards before stay.
        OSError: a shard cannot be written, such as on a full disk; all shards before stay.
    """
    if documents_per_shard < 1:
        raise ValueError(f"documents_per_shard must be 1 or more; got {documents_per_shard!r}.")
    files, folder = document_files(inputs), Path(output)
    columns = rephraser.column, rephraser.id_column, rephraser.title_column
    next(read_documents(files, *columns), None)  # a wrong column is told before a model is loaded
    _keep_manifest(folder, _manifest(files, rephraser, documents_per_shard))
    progress = Progress()
    shards = enumerate(_shards(read_documents(files, *columns), documents_per_shard))
    missing = None
    for number, shard in shards:
        path = folder / f"part-{number:05d}.parquet"
        if not path.exists():
            missing = number, shard
            break
        progress.add(len(shard), _counted_rows(path))
    on_shard(progress)
    while missing is not None:
        number, shard = missing
        rows = [asdict(row) for row in _rephrased(rephraser, shard)]
        _write(folder / f"part-{number:05d}.parquet", rows)
        progress.add(len(shard), rows)
        on_shard(progress)
        missing = next(shards, None)
    return progress


def _rephrased(rephraser: Rephraser, shard: Sequence[Document]) -> Iterable[Any]:
    return rephraser.rephrased(
        [one.text for one in shard], ids=[one.name for one in shard], titles=[one.title for one in shard]
    )


def _shards(documents: Iterator[Document], size: int) -> Iterator[list[Document]]:
    while shard := [*islice(documents, size)]:
        yield shard


def _manifest(files: Sequence[Path], rephraser: Rephraser, documents_per_shard: int) -> dict[str, Any]:
    """Return all that decides what is in the shards."""
    gate = rephraser.gate
    return {
        "format": _FORMAT,
        "inputs": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
        "generator": rephraser.generator.identity,
        "gate": None if gate is None else getattr(gate, "__qualname__", repr(gate)),
        "styles": [asdict(style) for style in rephraser.styles],
        **{
            name: getattr(rephraser, name)
            for name in ("column", "id_column", "title_column", "rephrasings", "chunk_size", "most_characters", "seed")
        },
        "size": getattr(rephraser.size, "__qualname__", repr(rephraser.size)),
        "documents_per_shard": documents_per_shard,
        "code": rephraser.code,
    }


def _keep_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    path = folder / MANIFEST
    manifest = json.loads(json.dumps(manifest))  # as it will be read
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if left := sorted(found.name for found in folder.glob("part-*.parquet")):
            raise ValueError(f"{folder} holds {left[0]} of something else and no {MANIFEST}. Name another folder.")
        _replace(path, json.dumps(manifest, indent=2).encode())
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    differ = sorted(name for name in {*before, *manifest} if before.get(name) != manifest.get(name))
    if differ:
        told = "; ".join(f"{name} was {_told(before.get(name))} and is {_told(manifest.get(name))}" for name in differ)
        raise ValueError(
            f"{folder} holds another run: {told}. Name another folder; answers that are in the response cache are not "
            "paid for again."
        )


def _told(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _counted_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    columns = ["cause", "kept", "prompt_tokens", "new_tokens"]
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(path, columns=columns).to_pylist()
    return found


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    texts, lists = pyarrow.string(), pyarrow.list_(pyarrow.string())
    others = {"rephrasing": pyarrow.int64(), "kept": pyarrow.bool_()}
    others |= {"prompt_tokens": pyarrow.int64(), "new_tokens": pyarrow.int64()}
    others |= dict.fromkeys(("chunks", "rewritten", "reasons"), lists)
    names = [*rows[0]] if rows else []
    schema = pyarrow.schema([(name, others.get(name, texts)) for name in names])
    of_file = [{**row, "scores": json.dumps(row["scores"], sort_keys=True)} for row in rows]
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(of_file, schema=schema), buffer)
    _replace(path, buffer.getvalue().to_pybytes())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, also where the process or the machine ends in between."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(
            error.errno, f"{path} cannot be written: {error.strerror}. All shards before are there"
        ) from error
