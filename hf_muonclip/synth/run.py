"""A rephrasing of files into a folder of shards that goes on where it was ended, whenever that was.

Shard k holds the results of its own documents and is written whole or not at all. What it was made of stands in
manifest.json: a run that would make something else in the same folder is refused.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path

from .documents import Document, count_documents, document_files, read_documents
from .generator import Chat, Generated, Generator, OnAnswer, Refused
from .run_folder import (
    Counts,
    Maker,
    add_seconds,
    counts_of,
    counts_of_shard,
    keep_manifest,
    manifest_of,
    only_run,
    write_shard,
)
from .shard_workers import in_workers


@dataclass
class Progress(Counts):
    """What a run has done, earlier runs of the same folder included.

    Attributes:
        total: documents of all inputs.
        shards: that are there.
    """

    total: int = 0
    shards: int = 0

    def add(self, more: Counts) -> None:
        """Add a shard's."""
        super().add(more)
        self.shards += 1


def run_rephrasing(
    inputs: Sequence[str | Path],
    output: str | Path,
    rephraser: Maker,
    *,
    documents_per_shard: int = 256,
    workers: int = 1,
    on_shard: Callable[[Progress], None] = lambda _: None,
    on_answer: Callable[[Generated], None] | None = None,
) -> Progress:
    """Rephrase the documents of files into Parquet shards in a folder, and return what was done.

    Columns are those of `Rephrased`, or of `MathNote` where notes are made. A run that was ended in any way goes on
    with the shards that are missing; with a response cache around the generator it does not pay again for what those
    had already been answered. Documents of one shard are rephrased together, and no more than those of `workers + 2`
    shards are held. Shards are the same for any number of workers.

    Args:
        inputs: files or folders of documents: JSON Lines, Parquet, text.
        output: folder of the shards; made where there is none.
        rephraser: whose columns are those of the documents; or `MathNotes`.
        documents_per_shard: what is lost at most, of each worker, when a run without a cache is ended.
        workers: processes that make shards. Above 1 each loads the generator's model for itself: several are for
            servers, whose answers one process may not check as fast as they come.
        on_shard: called after each shard, and once before the first.
        on_answer: called with each answer, also those of a cache; with one worker only.

    Raises:
        FileNotFoundError: there is no input.
        ValueError: a column is missing, the folder holds another run, or another run is writing there; nothing is
            changed. What is no document in the middle of a file is found when it is read.
        GenerationError: the generator failed, or a worker was killed; all shards before stay.
        OSError: a shard cannot be written, such as on a full disk; all shards before stay.
    """
    for name, value in (("documents_per_shard", documents_per_shard), ("workers", workers)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more; got {value!r}.")
    files, folder = document_files(inputs), Path(output)
    _check_apart(inputs, folder)
    columns = rephraser.column, rephraser.id_column, rephraser.title_column, rephraser.more_columns
    progress = Progress(total=count_documents(files, *columns))
    manifest = manifest_of(files, rephraser, documents_per_shard) | {"documents": progress.total}
    with only_run(folder):
        keep_manifest(folder, manifest)

        def missing() -> Iterator[tuple[Path, list[Document]]]:
            documents = read_documents(files, *columns)
            for number, shard in enumerate(iter(lambda: [*islice(documents, documents_per_shard)], [])):
                path = folder / f"part-{number:05d}.parquet"
                if path.exists():
                    progress.add(counts_of_shard(path, len(shard)))
                else:
                    yield path, shard

        later = missing()
        first = [*islice(later, 1)]
        on_shard(progress)
        tasks = chain(first, later)
        make = _MakeShard(rephraser, on_answer if workers == 1 else None)
        done = (make(*task) for task in tasks) if workers == 1 else in_workers(make, tasks, workers)
        with closing(done):
            for name, counts, seconds in done:
                add_seconds(folder, name, seconds)
                progress.add(counts)
                on_shard(progress)
    return progress


def _check_apart(inputs: Sequence[str | Path], output: Path) -> None:
    for one in map(Path, inputs):
        if one.is_dir() and output.resolve().is_relative_to(one.resolve()):
            raise ValueError(
                f"the output must not be in a folder of the input, for the next run would rephrase it; got {output} in "
                f"{one}. Name another folder."
            )


@dataclass(frozen=True)
class _MakeShard:
    rephraser: Maker
    on_answer: Callable[[Generated], None] | None

    def __call__(self, path: Path, documents: list[Document]) -> tuple[str, Counts, float]:
        """Write a shard, and return its name, its counts and the seconds in which answers were waited for."""
        maker = copy.copy(self.rephraser)
        maker.generator = watched = _Watched(self.rephraser.generator, self.on_answer)
        rows = [asdict(row) for row in maker.results(documents)]
        write_shard(path, rows)
        return path.name, counts_of(len(documents), rows), watched.seconds


class _Watched:
    """A generator whose time is taken and each of whose answers is told to one more."""

    def __init__(self, generator: Generator, told: Callable[[Generated], None] | None) -> None:
        self.generator, self.told = generator, told
        self.seconds = 0.0

    @property
    def identity(self) -> str:
        return self.generator.identity

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> Sequence[Generated | Refused]:
        def tell(place: int, answer: Generated) -> None:
            if self.told is not None:
                self.told(answer)
            if on_answer is not None:
                on_answer(place, answer)

        began = time.perf_counter()
        try:
            return self.generator.generate(chats, seeds, tell)
        finally:
            self.seconds += time.perf_counter() - began
