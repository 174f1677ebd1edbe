"""A run of a datatrove pipeline that is whole, of one pipeline, and never waits for a process that died.

datatrove marks a task as completed and skips it in the next run, whatever has changed meanwhile: with another filter
the old output stays, with another number of tasks documents are left out. Its Ray executor returns as if all were well
when tasks have failed, and either executor waits for ever for a process that was killed. And a compressed file that a
full disk has cut off is a completed task, for the file below the compression is closed by nobody.
"""

import errno
import functools
import hashlib
import json
import pickle
from bz2 import BZ2File
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from gzip import GzipFile
from lzma import LZMAFile
from pathlib import Path
from string import Template
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import dill
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from datatrove.io import DataFolder, OutputFileManager
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.disk_base import DiskWriter
from datatrove.utils.stats import PipelineStats

from .datatrove_step import DocumentReader, RephraseStep
from .generator import GenerationError
from .rephraser import Rephraser
from .run_folder import check_same, fingerprint, only_run, write_whole
from .shard_workers import in_workers

_MANIFEST = "pipeline.json"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def run_pipeline(executor: PipelineExecutor) -> PipelineStats:
    """Run all tasks of a pipeline that are not completed, and return the statistics of all.

        run_pipeline(RayPipelineExecutor(steps, tasks=8, workers=2, time=3600, logging_dir="logs"))

    In the executor's logging_dir stands what the pipeline was made of: the number of tasks, each step with its
    settings, and the input's files where they are of this machine. A task that failed is done again from its start by
    the next run, and its output is overwritten.

    Args:
        executor: of this machine or of Ray, with a logging_dir of one's own: without one, datatrove takes a new one
            each time, and all is done again. Ray needs a limit, `time=`, in seconds of a task.

    Raises:
        ValueError: the executor is another one, has no limit, or depends on another one; a list of documents would be
            given to several tasks; or the logging_dir holds another pipeline. Nothing is changed.
        GenerationError: a process was killed, or tasks of Ray have failed. What is completed stays.
        OSError: a disk is full. What is completed stays.
        Exception: what else a step has raised, on this machine.
    """
    _check(executor)
    for step in executor.pipeline:
        for writer in (step, *getattr(step, "__dict__", {}).values()):  # a filter has one for what it leaves out
            if isinstance(writer, DiskWriter):
                given = writer.output_mg
                writer.output_mg = _ClosedFiles(given.fs, given.mode, given.compression)
    folder = executor.logging_dir
    with only_run(Path(folder.path)) if folder.is_local() else nullcontext():
        _keep_manifest(folder, executor)
        try:
            _run(executor)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            outputs = [step.output_folder.path for step in executor.pipeline if hasattr(step, "output_folder")]
            raise OSError(
                error.errno,
                f"a file in {', '.join([*outputs, folder.path])} cannot be written: {error.strerror}. Tasks that are "
                "completed stay, and this one is done again from its start: free the disk and run again.",
            ) from error
        if failed := _incomplete(executor):
            raise GenerationError(
                f"{len(failed)} of {executor.world_size} tasks are not completed: {failed[:20]}. Logs in "
                f"{folder.path}/logs say why; a task that has none was killed, or took longer than time=. "
                "Run again: tasks that are completed stay."
            )
        total = PipelineStats()
        for rank in range(executor.world_size):
            with folder.open(f"stats/{rank:05d}.json", "r") as file:
                total += PipelineStats.from_json(json.load(file))
    return total


class _ClosedFiles(OutputFileManager):  # type: ignore[misc, unused-ignore] # untyped where datatrove is not installed
    """The files of a writer; closing one that is compressed closes the file below too, and raises what that raises."""

    def get_file(self, filename: str) -> Any:
        given = super().get_file(filename)
        file: Any = given
        if isinstance(given, GzipFile):
            file.myfileobj = file.fileobj
        elif isinstance(given, BZ2File | LZMAFile):
            file._closefp = True
        return file


def _run(executor: PipelineExecutor) -> None:
    if isinstance(executor, RayPipelineExecutor):
        with suppress(KeyError):  # what datatrove 0.10.1 raises where it has ended a task for its time
            executor.run()
        return
    if executor.workers == 1:
        executor.run()
        return
    sent = _RunTask(dill.dumps(executor))
    missing = ((rank,) for rank in _incomplete(executor))
    for _ in in_workers(sent, missing, executor.workers):
        pass


def _check(executor: PipelineExecutor) -> None:
    if not isinstance(executor, LocalPipelineExecutor | RayPipelineExecutor):
        raise ValueError(
            f"the executor must be a LocalPipelineExecutor or a RayPipelineExecutor; got {type(executor).__name__}. "
            "Jobs of others go on after this returns: call its run()."
        )
    if executor.depends is not None:
        raise ValueError("the executor must have no depends=. Run that one by run_pipeline, before.")
    if not executor.skip_completed:
        raise ValueError("skip_completed must be True; got False. Name another logging_dir to do all again.")
    if isinstance(executor, LocalPipelineExecutor) and executor.local_tasks != executor.tasks:
        raise ValueError(f"local_tasks must be all {executor.tasks} tasks; got {executor.local_tasks}.")
    if isinstance(executor, RayPipelineExecutor) and executor.time is None:
        raise ValueError(
            "a RayPipelineExecutor must have time=, the seconds that a task may take; got None. Without it the run "
            "waits for ever for a process that was killed, for instance by a system short of memory."
        )
    listed = any(isinstance(step, Sequence) and not isinstance(step, str) for step in executor.pipeline)
    if listed and executor.world_size > 1:
        raise ValueError(
            f"a list of documents is given to each of the tasks, and would be rephrased {executor.world_size} times. "
            "Set tasks=1, or write the documents to files and begin with a reader."
        )


def _incomplete(executor: PipelineExecutor) -> list[int]:
    return list(executor.get_incomplete_ranks(range(executor.world_size)))


@dataclass(frozen=True)
class _RunTask:
    """Runs a task in a worker; each gets a pipeline that no other has used."""

    executor: bytes  # by dill, as datatrove sends it: steps may be lambdas

    def __call__(self, rank: int) -> None:
        dill.loads(self.executor)._run_for_rank(rank, local_rank=rank)


def _keep_manifest(folder: DataFolder, executor: PipelineExecutor) -> None:
    steps = [_told(step) for step in executor.pipeline]
    manifest = dict(_flat("steps", {"number": len(steps), **{f"{place}": one for place, one in enumerate(steps)}}))
    manifest = json.loads(json.dumps({"tasks": executor.world_size, **manifest}))
    if folder.isfile(_MANIFEST):
        with folder.open(_MANIFEST, "r") as file:
            check_same(folder.path, json.load(file), manifest)
    elif folder.list_files("completions"):
        raise ValueError(
            f"{folder.path} holds completed tasks and no {_MANIFEST}: of what pipeline is not known. Name another "
            "logging_dir and another output."
        )
    else:
        content = json.dumps(manifest, indent=2).encode()
        if folder.is_local():
            write_whole(Path(folder.path, _MANIFEST), content)
        else:  # which keep nothing of a file that was not closed
            with folder.open(_MANIFEST, "wb") as file:
                file.write(content)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is in a mapping, and in those inside of it, by its path: a difference is told where it is."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, one in value.items():
        yield from _flat(f"{name}.{key}", one)


def _told(value: Any) -> Any:
    """Return what a step, or a part of it, is made of, for JSON: the same in every process."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Rephraser):
        return value.settings()
    if isinstance(value, DataFolder):
        return value.path
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Template):
        return value.template
    if isinstance(value, MethodType):
        return fingerprint(value.__func__)
    if isinstance(value, FunctionType | BuiltinFunctionType | functools.partial | type):
        return fingerprint(value)
    if isinstance(value, Mapping):
        return {str(name): _told(one) for name, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_told(one) for one in value), key=json.dumps)
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if not hasattr(value, "__dict__"):
        return f"{name} {hashlib.sha256(pickle.dumps(value, protocol=5)).hexdigest()[:16]}"
    # Batches decide nothing; what begins with "_" is a state, and statistics are what a run has counted.
    left_out = {"stats", "batch_size"} if isinstance(value, RephraseStep) else {"stats"}
    settings = {key: _told(one) for key, one in vars(value).items() if key not in left_out and key[0] != "_"}
    if isinstance(value, DocumentReader):
        stats = [(path, path.stat()) for path in value.files]
        settings["files"] = [[path.name, stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    elif isinstance(value, PipelineStep) and "data_folder" in settings and value.data_folder.is_local():
        found = value.data_folder.find("", detail=True)
        settings["files"] = [[path, one["size"], one["mtime"]] for path, one in sorted(found.items())]
    return {"class": name, **settings}
