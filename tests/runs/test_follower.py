"""A run that is followed grows by the rows of its log, and begins again where the log does."""

import json
from pathlib import Path

from run_logs import LOGS, write_log, write_old_run

from hf_muonclip.runs.follower import Follower
from hf_muonclip.runs.log import append_row
from hf_muonclip.runs.run import Run


def test_a_growing_run_is_the_one_that_is_loaded_at_its_end(tmp_path: Path) -> None:
    whole = write_log(tmp_path / "whole", LOGS, losses=[3.0, 2.0, 1.5], run={"seed": 3})
    header, *rows = [json.loads(line) for line in (whole / "qk_clip.jsonl").read_text().splitlines()]
    growing = tmp_path / "growing"
    growing.mkdir()
    append_row(growing, header)
    follower = Follower(growing)
    for row in rows:
        assert follower.read_new()
        assert not follower.read_new()
        append_row(growing, row)
    assert follower.run.finished is None
    assert follower.read_new()
    loaded = Run.load(whole)
    for name in ("header", "modules", "steps", "highest", "losses", "seconds", "threshold", "finished", "max_steps"):
        assert getattr(follower.run, name) == getattr(loaded, name), name
    assert [log.tolist() for log in follower.run.clips] == [log.tolist() for log in loaded.clips]
    assert follower.run.description == {"seed": 3}


def test_a_run_is_followed_by_its_log_alone(tmp_path: Path) -> None:
    folder = write_old_run(tmp_path)
    follower = Follower(folder)
    assert follower.read_new()
    assert (follower.run.steps, follower.run.losses, follower.run.saved_step) == ([10, 20, 30], [], 0)
    assert Run.load(folder).losses


def test_a_run_begun_again_is_followed_from_its_start(tmp_path: Path) -> None:
    follower = Follower(write_log(tmp_path, LOGS, started="first"))
    assert follower.read_new()
    assert not follower.read_new()
    write_log(tmp_path, [[[1.0]]], started="again")
    assert follower.read_new()
    assert follower.run.steps == [10]
    assert follower.run.modules == {"model.layers.0.self_attn": 1}
