"""A run's log is read while it grows, by this version and not by an older one, and goes on after a resume."""

import errno
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming

from hf_muonclip.runs.log import LOG_FORMAT, LOG_NAME, LogReader, append_row, read_log, shown_name, start_log


def log_row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "threshold": 30.0, "max_logits": {"a": [1.5, None]}, "clips": {"a": [0, 2]}, **more}


def test_a_log_gives_back_what_was_written(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    start_log(run, {"model": "Tiny"}, 0)
    rows = [log_row(2, loss=1.0), {"step": 2, "eval_loss": 3.0}, {"finished": 2}]
    for row in rows:
        append_row(run, row)
    assert list(LogReader(run).read_new()) == [{"format": LOG_FORMAT, "model": "Tiny"}, *rows]
    assert read_log(run) == [log_row(2)]


def test_a_log_without_header_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).write_text(json.dumps(log_row(2)) + "\n")
    assert read_log(tmp_path) == [log_row(2)]


def test_a_log_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).write_text(json.dumps({"format": LOG_FORMAT + 1, "hf_muonclip": "9.9"}) + "\n")
    with pytest.raises(ValueError, match=naming("format 1", "format 2", "hf_muonclip 9.9")):
        read_log(tmp_path)


def test_a_half_line_does_not_count_until_it_is_whole(tmp_path: Path) -> None:
    start_log(tmp_path, {}, 0)
    reader = LogReader(tmp_path)
    assert len(list(reader.read_new())) == 1
    text = json.dumps(log_row(4)) + "\n"
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write(text[:20])
        file.flush()
        assert list(reader.read_new()) == []
        file.write(text[20:])
    assert list(reader.read_new()) == [log_row(4)]
    assert list(reader.read_new()) == []
    assert reader.restarts == 0


@pytest.mark.parametrize("line", ["{not json}", "[1]", '{"step": 3}', '{"eval_loss": 3.0}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / LOG_NAME).write_text(json.dumps(log_row(2)) + f"\n{line}\n" + json.dumps(log_row(4)) + "\n")
    with pytest.raises(ValueError, match=naming("line 2", "qk_clip.jsonl")):
        read_log(tmp_path)


def test_a_resumed_run_keeps_its_rows_and_the_time_of_its_start(tmp_path: Path) -> None:
    start_log(tmp_path, {"started": "first", "max_steps": 4}, 0)
    for row in (log_row(2), {"step": 2, "eval_loss": 1.0}, log_row(4), {"finished": 4}):
        append_row(tmp_path, row)
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write('{"step": 5, "thre')  # killed
    reader = LogReader(tmp_path)
    assert len(list(reader.read_new())) == 5
    start_log(tmp_path, {"started": "second", "max_steps": 8}, 3)
    header, *rows = reader.read_new()
    assert datetime.fromisoformat(header.pop("resumed"))
    assert header == {"format": LOG_FORMAT, "started": "first", "max_steps": 8}
    assert rows == [log_row(2), {"step": 2, "eval_loss": 1.0}]
    assert reader.restarts == 1
    start_log(tmp_path, {}, 0)
    assert list(reader.read_new()) == [{"format": LOG_FORMAT}]
    assert reader.restarts == 2


def test_a_reader_that_did_not_look_while_the_log_was_short_reads_it_again(tmp_path: Path) -> None:
    header = {"started": "once", "max_steps": 8}
    start_log(tmp_path, header, 0)
    for step in (2, 4, 6):
        append_row(tmp_path, log_row(step))
    reader = LogReader(tmp_path)
    assert len(list(reader.read_new())) == 4
    start_log(tmp_path, header, 2)
    for step in (3, 5, 7, 9):
        append_row(tmp_path, log_row(step, loss=1.0))
    assert [row.get("step") for row in reader.read_new()] == [None, 2, 3, 5, 7, 9]


def test_lines_are_kept_as_they_stand(tmp_path: Path) -> None:
    line = json.dumps(log_row(2), indent=None, separators=(",", ":")) + "\n"
    (tmp_path / LOG_NAME).write_text(line)
    start_log(tmp_path, {}, 2)
    assert (tmp_path / LOG_NAME).read_text().splitlines(keepends=True)[1:] == [line]


def test_a_resume_that_fails_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_log(tmp_path, {}, 0)
    append_row(tmp_path, log_row(2))
    before = (tmp_path / LOG_NAME).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("hf_muonclip.runs.log.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        start_log(tmp_path, {}, 2)
    assert [path.name for path in tmp_path.iterdir()] == [LOG_NAME]
    assert (tmp_path / LOG_NAME).read_bytes() == before


def test_of_a_local_model_only_the_folders_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (
        "/home/me/models/tiny",
        "./tiny",
        "../tiny/",
        "~/tiny",
        "runs/old/tiny",
        "C:\\models\\tiny",
        "C:/tiny",
    ):
        assert shown_name(path) == "tiny", path
    for name in ("tiny", "org/tiny", ""):
        assert shown_name(name) == name
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    assert shown_name("runs/tiny") == "tiny"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=naming(tmp_path / "nowhere")):
        read_log(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=naming("qk_clip.jsonl", "trainer_state.json", tmp_path)):
        read_log(tmp_path)
    (tmp_path / "trainer_state.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=naming("MuonClip", "qk_clip_threshold")):
        read_log(tmp_path)
