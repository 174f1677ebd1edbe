"""The log of a run with every head in it, `qk_clip.jsonl`: its format, written while training and read at any time.

One JSON object per line. The first is the header: `format`, and what is known of the run when it starts. Then, in the
order of training, rows of three kinds: one per training log (`max_logits`, `clips`, loss, learning rate, ...), one per
evaluation (`eval_loss`), and `finished` when training ended. Logs of earlier versions have no header, and rows of the
first kind only. An incomplete last line is being written, or was left by a killed process: it is ignored.
"""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers.trainer_callback import TrainerState

LOG_NAME = "qk_clip.jsonl"
LOG_FORMAT = 1

_HEAD_FIGURES = ("step", "threshold", "max_logits", "clips")
# What the rows of each kind hold at least.
_ROWS = ({"format"}, set(_HEAD_FIGURES), {"step", "eval_loss"}, {"finished"})


def folder_of_run(output_dir: str | Path, state: "TrainerState", trial: int) -> Path:
    """Return where the Trainer keeps a run's checkpoints: under the trial's name in a hyper-parameter search.

    Args:
        output_dir: the Trainer's output folder.
        state: the Trainer's state.
        trial: number of the trial, from 0, for the name of one that `hp_name` does not name; a callback is not
            given it and has to count. It means nothing outside of a search.
    """
    return Path(output_dir) / (state.trial_name or f"run-{trial}") if state.is_hyper_param_search else Path(output_dir)


def start_log(run: str | Path, header: Mapping[str, Any], step: int) -> None:
    """Start a run's log, or continue it after `step`.

    The new log takes the old one's place only when it is whole. Its header then tells when it was resumed, and so
    differs from the old one, by which readers know that rows that they have read may be gone.

    Args:
        run: the Trainer's output folder; made if it is not there.
        header: what is known of the run, in JSON's types.
        step: from which training resumes; rows after it are dropped. 0 starts an empty log.

    Raises:
        OSError: it cannot be written; the old log is as it was.
        ValueError: the log to go on with is damaged, or of a later version.
    """
    path = Path(run) / LOG_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{LOG_NAME}.tmp")
    first = {"format": LOG_FORMAT, **header}
    goes_on = step > 0 and path.exists()
    if goes_on:
        first["resumed"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        old = next(LogReader(run).read_new(), {})
        if "started" in old:
            first["started"] = old["started"]
    try:
        with new.open("wb") as file:
            file.write(_line(first))
            # Line by line, as they stand: a log may be larger than what one wants to hold or to write again.
            for line, row in LogReader(run).read_lines() if goes_on else ():
                if row.get("step", step + 1) <= step:
                    file.write(line)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def append_row(run: str | Path, row: Mapping[str, Any]) -> None:
    """Write one row at the log's end."""
    with (Path(run) / LOG_NAME).open("ab") as file:
        file.write(_line(row))


def read_log(run: str | Path) -> list[dict[str, Any]]:
    """Read the figures of every head from a run's log.

    Args:
        run: the Trainer's output folder.

    Returns:
        One row per training log: `step`, `threshold` (None for inf), `max_logits` {module: one value per head, None
        where it was not measured exactly, since it is at most the threshold or the module never ran} and `clips`
        {module: clipped steps per head since the row before}.

    Raises:
        FileNotFoundError: there is no log.
        ValueError: it is damaged, or of a later version.
    """
    rows = LogReader(run).read_new()
    return [{name: row[name] for name in _HEAD_FIGURES} for row in rows if "max_logits" in row]


def shown_name(name_or_path: str) -> str:
    """Return a model's name as it may be shown: a Hub name, or the last part of a folder's path.

    Logs and pages are pushed with the run, and a whole path would reveal the machine and its user.
    """
    if PureWindowsPath(name_or_path).drive or "\\" in name_or_path:
        return PureWindowsPath(name_or_path).name
    path = Path(name_or_path)
    is_local = path.is_absolute() or name_or_path.startswith((".", "~")) or len(path.parts) > 2 or path.is_dir()
    return path.resolve().name if is_local and name_or_path else name_or_path


class LogReader:
    """Reads a growing log, each line once.

    Attributes:
        restarts: how often the log was found restarted or truncated, which invalidates the rows read before.
    """

    def __init__(self, run: str | Path) -> None:
        self.restarts = 0
        self._path = Path(run) / LOG_NAME
        self._offset = 0
        self._lines = 0
        self._first_line = b""

    def read_new(self) -> Iterator[dict[str, Any]]:
        """Yield the rows written since the last call, the header too; all of them after a restart.

        Raises:
            FileNotFoundError: there is no log.
            ValueError: it is damaged, or of a later version.
        """
        for _, row in self.read_lines():
            yield row

    def read_lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield (line as it stands, row); else as `read_new`."""
        if not self._path.exists():
            raise FileNotFoundError(_what_is_missing(self._path.parent))
        with self._path.open("rb") as file:
            first_line = file.readline()
            if self._offset and (first_line != self._first_line or os.fstat(file.fileno()).st_size < self._offset):
                self.restarts += 1
                self._offset = self._lines = 0
            self._first_line = first_line
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._lines += 1
                yield line, self._row(line)

    def _row(self, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:  # not JSON, or not UTF-8
            raise self._damaged(str(error)) from error
        if not isinstance(row, dict) or not any(names <= row.keys() for names in _ROWS):
            raise self._damaged("it is no row of a run's log")
        if "format" in row and row["format"] != LOG_FORMAT:
            raise ValueError(
                f"this hf_muonclip reads logs of format {LOG_FORMAT}; {self._path} is of format {row['format']}, "
                f"written by hf_muonclip {row.get('hf_muonclip', 'of an unknown version')}. Upgrade hf_muonclip."
            )
        return row

    def _damaged(self, reason: str) -> ValueError:
        return ValueError(
            f"every line of a run's log is one JSON object; line {self._lines} of {self._path} is damaged: {reason}. "
            "Take the log from a copy, or delete that line."
        )


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _what_is_missing(run: Path) -> str:
    if not run.is_dir():
        return f"there is no folder {run}. Pass a run's folder, the Trainer's output_dir."
    if (run / "trainer_state.json").exists() or any(run.glob("checkpoint-*/trainer_state.json")):
        return (
            f"the report needs {LOG_NAME}, the log of every head; the run in {run} has none. Train with MuonClip, a "
            "qk_clip_threshold (inf measures only) and MuonClipCallback()."
        )
    return (
        f"a run's folder holds {LOG_NAME}, and trainer_state.json once it was saved; {run} has neither. Name the "
        "output_dir of a Trainer with MuonClipCallback()."
    )
