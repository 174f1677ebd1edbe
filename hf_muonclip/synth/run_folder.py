"""The folder of a run: its manifest, its shards, and that only one run writes there at a time.

A file is written whole or not at all, whenever the process or the machine ends.
"""

import contextlib
import functools
import hashlib
import inspect
import json
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .documents import Document
from .generator import Generator

MANIFEST = "manifest.json"
_FORMAT = 2
_SECONDS = "seconds.log"  # of each shard: not in the shards, which are the same whenever they are made
_LOCK = ".lock"
_UNFINISHED = ".unfinished-"


class Maker(Protocol):
    """What makes rows of documents: a `Rephraser`, or `MathNotes`.

    Attributes:
        generator: answers its chats.
        column: of the documents.
        id_column: of their names, or None.
        title_column: of their titles, or None.
    """

    generator: Generator
    column: str
    id_column: str | None
    title_column: str | None

    @property
    def more_columns(self) -> tuple[str, ...]:
        """Further columns that it reads."""

    def settings(self) -> dict[str, Any]:
        """Return all that decides what it makes, as JSON has it."""

    def results(self, documents: Sequence[Document]) -> Sequence[Any]:
        """Return the rows of documents, in order: objects of a dataclass."""


@dataclass
class Counts:
    """What became of documents.

    Attributes:
        documents: that were rephrased, or found to be none.
        causes: rephrasings by why they were dropped; "" counts those that are kept.
        prompt_tokens: of all chats.
        new_tokens: of all answers.
        kept_tokens: of the answers of rephrasings that are kept.
    """

    documents: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    new_tokens: int = 0
    kept_tokens: int = 0

    def add(self, more: "Counts") -> None:
        """Add those of more documents."""
        self.documents += more.documents
        self.causes = self.causes + more.causes  # another object, for who reads it meanwhile
        self.prompt_tokens += more.prompt_tokens
        self.new_tokens += more.new_tokens
        self.kept_tokens += more.kept_tokens

    @property
    def kept(self) -> int:
        """Rephrasings that are kept."""
        return self.causes[""]

    @property
    def dropped(self) -> int:
        """Rephrasings that were dropped."""
        return self.causes.total() - self.causes[""]


def counts_of(documents: int, rows: Iterable[dict[str, Any]]) -> Counts:
    """Return the counts of so many documents from their rows."""
    counts = Counts(documents)
    for row in rows:
        counts.causes[row["cause"]] += 1
        counts.prompt_tokens += row["prompt_tokens"]
        counts.new_tokens += row["new_tokens"]
        counts.kept_tokens += row["new_tokens"] if row["kept"] else 0
    return counts


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other runs out of it inside the block; what a killed one left unfinished is removed.

    Where the system has no file locks (Windows), others are not kept out.

    Raises:
        ValueError: another run is writing there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another run is writing to {folder}. Wait until it ends, or name another folder."
            ) from None
        for left in folder.glob(f"{_UNFINISHED}*"):
            left.unlink()
        yield


def manifest_of(files: Sequence[Path], maker: Maker, documents_per_shard: int) -> dict[str, Any]:
    """Return all that decides what is in the shards."""
    stats = [path.stat() for path in files]
    return {
        "format": _FORMAT,
        "inputs": [[path.name, stat.st_size, stat.st_mtime_ns] for path, stat in zip(files, stats, strict=True)],
        **maker.settings(),
        "documents_per_shard": documents_per_shard,
    }


def code_of_this_folder() -> str:
    """Return a hash of this folder's code and of what grades for it."""
    here = Path(__file__).parent
    sources = sorted([*here.rglob("*.py"), *(here.parent / "common" / "graders").glob("*.py")])
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a callable's name and a hash of what it is made of, the same in every process.

    That is the text of its module and what is bound to it. Of a function of a script or inside of another it is its own
    code, its defaults and the globals that it uses, as `datasets` sees them. What other modules hold is not seen.
    """
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    home = getattr(named, "__module__", None)
    digest = hashlib.sha256()
    try:
        bound = None if home == "__main__" else pickle.dumps(function, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):  # a lambda, or a function inside of another
        bound = None
    if bound is None:
        from datasets.fingerprint import Hasher

        digest.update(Hasher.hash(function).encode())
    else:
        digest.update(bound)
        with contextlib.suppress(TypeError):  # built in
            digest.update(Path(inspect.getfile(named)).read_bytes())
    return f"{home}.{named.__qualname__} {digest.hexdigest()[:16]}"


def keep_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or compare it with that of the run that goes on.

    Raises:
        ValueError: the folder holds another run, or shards without a manifest; nothing is changed.
    """
    path = folder / MANIFEST
    manifest = json.loads(json.dumps(manifest))  # as it will be read
    if not path.exists():
        if left := sorted(found.name for found in folder.glob("part-*.parquet")):
            raise ValueError(f"{folder} holds {left[0]} of something else and no {MANIFEST}. Name another folder.")
        write_whole(path, json.dumps(manifest, indent=2).encode())
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is not the manifest of a run: {error}. Name another folder.") from error
    check_same(folder, before, manifest)


def check_same(folder: str | Path, before: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Refuse a folder whose manifest is another one.

    Raises:
        ValueError: with each setting that differs.
    """
    differ = sorted(name for name in {*before, *manifest} if before.get(name) != manifest.get(name))
    if differ:
        told = "; ".join(_difference(name, before.get(name), manifest.get(name)) for name in differ)
        raise ValueError(
            f"{folder} holds another run: {told}. Name another folder; answers that are in the response cache are not "
            "paid for again."
        )


def _difference(name: str, before: Any, now: Any) -> str:
    """Return how a setting differs; of lists, how their first different entries do."""
    if isinstance(before, list) and isinstance(now, list):
        pairs = zip([*before, *[None] * len(now)], [*now, *[None] * len(before)], strict=False)
        before, now = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{name} was {_told(before)} and is {_told(now)}"


def _told(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def counts_of_shard(path: Path, documents: int) -> Counts:
    """Return the counts of a shard that was written before."""
    import pyarrow.parquet

    columns = ["cause", "kept", "prompt_tokens", "new_tokens"]
    return counts_of(documents, pyarrow.parquet.read_table(path, columns=columns).to_pylist())


def add_seconds(folder: Path, shard: str, seconds: float) -> None:
    """Note how long answers for a shard were waited for.

    Raises:
        OSError: it cannot be written; the shard stays.
    """
    path = folder / _SECONDS
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{shard} {seconds:.3f}\n")
    except OSError as error:
        raise OSError(
            error.errno, f"{path} cannot be written: {error.strerror}. Free the disk and run again."
        ) from error


def seconds_of_shards(folder: Path) -> dict[str, float]:
    """Return for each shard's name how long its answers were waited for, where it was noted.

    Of a shard that was made again, after it was removed, both times count. A process that is killed notes nothing of
    the shard that it was at.
    """
    path, found = folder / _SECONDS, dict[str, float]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):  # the last line of a full disk is a part of one
            shard, seconds = line.split()
            found[shard] = found.get(shard, 0.0) + float(seconds)
    return found


def write_shard(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows whose keys are the fields of `Rephrased` or of `MathNote`.

    Raises:
        OSError: it cannot be written; no shard is there then.
    """
    import pyarrow
    import pyarrow.parquet

    texts, lists = pyarrow.string(), pyarrow.list_(pyarrow.string())
    others = {"rephrasing": pyarrow.int64(), "kept": pyarrow.bool_()}
    others |= {"prompt_tokens": pyarrow.int64(), "new_tokens": pyarrow.int64()}
    others |= dict.fromkeys(("chunks", "rewritten", "reasons", "remarks"), lists)
    schema = pyarrow.schema([(name, others.get(name, texts)) for name in rows[0]])
    of_file = [{**row, "scores": json.dumps(row["scores"], sort_keys=True)} for row in rows]
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(of_file, schema=schema), buffer)
    write_whole(path, buffer.getvalue())


def write_whole(path: Path, content: Any) -> None:
    """Write a file whole or not at all.

    Args:
        path: of the file, new or old.
        content: bytes, or a buffer of them.

    Raises:
        OSError: it cannot be written, such as on a full disk; an old one stays.
    """
    unfinished = path.with_name(f"{_UNFINISHED}{os.getpid()}-{path.name}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{path} cannot be written: {error.strerror}. What was there before stays; free the disk and run again.",
        ) from error
