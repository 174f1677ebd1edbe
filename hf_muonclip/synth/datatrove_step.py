"""Steps of a datatrove pipeline: one reads documents and loses none, one rephrases them, one per rephrasing kept.

Needs `pip install datatrove`; nothing else of the package imports this file.
"""

import contextlib
import functools
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import multiprocess
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.disk_base import DiskWriter

from .documents import document_files, read_documents
from .rephraser import Rephrased, Rephraser


class DocumentReader(PipelineStep):  # type: ignore[misc, unused-ignore] # untyped where datatrove is not installed
    """Reads documents of JSON Lines, Parquet and text files, each task every n-th file: all of them, or it is an error.

    datatrove's readers leave out lines that are broken and documents without text, with a warning in the log. Here
    what is no text goes on, for `RephraseStep` drops it with its cause; a line or a file that is no document ends the
    task.

    Args:
        inputs: files or folders.
        column: of the documents.
        id_column: of their names; None names them by file and place.
        title_column: of titles, which become the metadata "title".
    """

    name = "Documents"
    type = "READER"

    def __init__(
        self,
        inputs: Sequence[str | Path],
        column: str = "text",
        id_column: str | None = None,
        title_column: str | None = None,
    ) -> None:
        super().__init__()
        self.inputs = [Path(one) for one in inputs]
        self.columns = column, id_column, title_column

    @property
    def files(self) -> list[Path]:
        """All files, in order.

        Raises:
            FileNotFoundError: there is no input.
            ValueError: a file is of no known kind.
        """
        return document_files(self.inputs)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yield what came before, and then the documents of this task's files.

        Raises:
            ValueError: a file lacks a column or is broken, with file and line.
        """
        yield from data or ()
        for one in read_documents(self.files[rank::world_size], *self.columns):
            self.stat_update("documents")
            yield Document(one.text, one.name, metadata={} if one.title is None else {"title": one.title})


class RephraseStep(PipelineStep):  # type: ignore[misc, unused-ignore] # untyped where datatrove is not installed
    """Rephrases documents in a datatrove pipeline.

        steps = [DocumentReader(["in"]), RephraseStep(Rephraser(generator)), JsonlWriter("out")]
        run_pipeline(LocalPipelineExecutor(steps, tasks=2, logging_dir="logs"))

    Results depend on the documents alone: the same for any number of tasks and workers. Each has the metadata of its
    source, and source_id, style, rephrasing (its number), cause, reasons, scores (JSON), prompt_tokens and new_tokens.
    Statistics count what was kept, and what was dropped by cause. A generator that fails ends the task with its
    GenerationError; datatrove then does all of the task again, and a response cache saves what was answered.

    Args:
        rephraser: with its settings. Its `title_column` names an entry of metadata, its `column` and `id_column` are
            not read: datatrove's documents have text and id.
        batch_size: documents that advance together.
        exclusion_writer: takes what is dropped, with what was rewritten until then.

    Raises:
        ValueError: batch_size is not positive.
    """

    name = "Rephrase"
    type = "SYNTHESIS"

    def __init__(self, rephraser: Rephraser, batch_size: int = 64, exclusion_writer: DiskWriter | None = None) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more; got {batch_size!r}.")
        super().__init__()
        self.rephraser, self.batch_size, self.exclusion_writer = rephraser, batch_size, exclusion_writer

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yield the rephrasings of each document that are kept, in order."""
        _end_with_the_parent(os.getpid())
        with self.exclusion_writer or contextlib.nullcontext() as writer:
            for batch in _batches(data or (), self.batch_size):
                with self.track_time("batch"):
                    found = self._rephrased(batch)
                for source, row in found:
                    self.stat_update("kept" if row.kept else f"dropped_{row.cause}")
                    self.stat_update("prompt_tokens", value=row.prompt_tokens)
                    self.stat_update("new_tokens", value=row.new_tokens)
                    if row.kept:
                        yield _document(source, row, row.text)
                    elif writer is not None:
                        writer.write(_document(source, row, "".join(row.rewritten)), rank)

    def _rephrased(self, batch: list[Document]) -> Iterator[tuple[Document, Rephrased]]:
        title = self.rephraser.title_column
        rows = self.rephraser.rephrased(
            [document.text for document in batch],
            ids=[document.id for document in batch],
            titles=[document.metadata.get(title) for document in batch] if title else None,
        )
        sources = (document for document in batch for _ in range(self.rephraser.rephrasings))
        return zip(sources, rows, strict=True)


@functools.cache
def _end_with_the_parent(process: int) -> None:
    """End this process, where it is one of datatrove's pool, when the one that started it has ended.

    Ray begins a task again when its worker was killed; what that worker had started would write to the same file.
    """
    if multiprocess.parent_process() is not None:
        threading.Thread(target=_wait_and_end, args=(os.getppid(),), daemon=True).start()


def _wait_and_end(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)  # nothing that is still to be written is written


def _document(source: Document, row: Rephrased, text: str) -> Document:
    entries: dict[str, Any] = {
        "source_id": row.source_id,
        "style": row.style,
        "rephrasing": row.rephrasing,
        "cause": row.cause,
        "reasons": row.reasons,
        "scores": json.dumps(row.scores, sort_keys=True),
        "prompt_tokens": row.prompt_tokens,
        "new_tokens": row.new_tokens,
    }
    return Document(text=text, id=f"{row.source_id}/{row.rephrasing}", metadata={**source.metadata, **entries})


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    remaining = iter(documents)
    while batch := list(islice(remaining, size)):
        yield batch
