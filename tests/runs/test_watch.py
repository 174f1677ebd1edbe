"""The live view shows where a run is, fits the terminal, waits for the run and ends with it."""

import io
import math
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from run_logs import LOGS, write_log

from hf_muonclip.cli import main
from hf_muonclip.cli import runs as command
from hf_muonclip.runs import terminal
from hf_muonclip.runs.follower import Follower
from hf_muonclip.runs.log import append_row
from hf_muonclip.runs.run import Run
from hf_muonclip.runs.terminal import frame, sparkline


def drawn(run: Run, width: int = 80, height: int = 40, color: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system="truecolor" if color else None)
    console.print(frame(run, width, height))
    return console.file.getvalue()


def test_a_frame_tells_step_loss_tau_and_clipped_heads(tmp_path: Path) -> None:
    run = write_log(tmp_path, LOGS[:2], losses=[4.0, 2.0], finished=False, model_name="tiny/model")
    text = drawn(Run.load(run))
    assert "tiny/model" in text
    assert "20 of 20" in text
    assert "█▁" in text
    assert "41.38" in text
    assert "tau 30" in text
    assert "1 of 4 heads" in text
    assert "Still clipping" in text
    assert "Ctrl-C leaves" in text


def test_the_time_left_follows_the_pace(tmp_path: Path) -> None:
    run = Run.load(write_log(tmp_path, LOGS, finished=False))
    assert "1 min 00 s left" in drawn(replace(run, max_steps=150))  # 120 steps of half a second


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (200, 60)])
@pytest.mark.parametrize(("layers", "heads"), [(1, 2), (30, 9), (61, 64), (61, 200)])
def test_a_frame_fits_the_terminal(tmp_path: Path, layers: int, heads: int, width: int, height: int) -> None:
    logs = [[[float(h % 40) for h in range(heads)] for _ in range(layers)]]
    lines = drawn(Run.load(write_log(tmp_path, logs, losses=[1.0])), width, height).splitlines()
    assert len(lines) <= height
    assert {len(line) for line in lines} == {width}


@pytest.mark.parametrize("width", [1, 2, 6, 8, 10, 20, 28, 40])
@pytest.mark.parametrize("layers", [2, 61])
def test_a_frame_is_cut_where_the_terminal_is_narrow(tmp_path: Path, layers: int, width: int) -> None:
    run = write_log(tmp_path, [[[1.0, 40.0]] * layers] * 2, losses=[1.0, 2.0], finished=False)
    assert max(len(line) for line in drawn(Run.load(run), width, 24).splitlines()) <= max(width, 4)


def test_heads_above_tau_stand_out(tmp_path: Path) -> None:
    over = "48;2;213;94;0", "38;2;213;94;0"
    hot, cold = (drawn(Run.load(write_log(tmp_path / str(tau), LOGS[:2], tau)), color=True) for tau in (30.0, math.inf))
    assert any(code in hot for code in over)
    assert not any(code in cold for code in over)
    assert "measured only" in cold


def test_a_sparkline_joins_neighbors() -> None:
    assert sparkline([0.0, 7.0], 10) == "▁█"
    assert sparkline([1.0, math.nan, 1.0], 10) == "▁·▁"
    assert len(sparkline([float(i) for i in range(1000)], 60)) <= 60


def test_once_prints_one_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(write_log(tmp_path, LOGS)), "--once"]) == 0
    assert "step 20" in " ".join(capsys.readouterr().out.split())
    assert main(["watch", str(tmp_path / "nowhere")]) == 2  # no terminal: as --once
    assert "nowhere" in capsys.readouterr().err


def test_the_view_waits_follows_and_ends_with_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_SECONDS_BETWEEN_LOOKS", 0.02)
    run = tmp_path / "run"
    follower = Follower(run)
    thread = threading.Thread(target=command._follow, args=(follower,), daemon=True)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    write_log(run, LOGS, finished=False)
    thread.join(0.3)
    assert thread.is_alive()
    append_row(run, {"finished": 30})
    thread.join(10)
    assert not thread.is_alive()
    assert follower.run.finished == 30


def test_a_frame_is_drawn_again_only_for_new_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_SECONDS_BETWEEN_LOOKS", 0.0)
    run = write_log(tmp_path, LOGS, finished=False)
    steps: list[int] = []
    monkeypatch.setattr(terminal, "frame", lambda run, width, height: steps.append(run.steps[-1]) or "")
    follower, looks = Follower(run), iter([*range(5), None])

    def read_new() -> bool:
        if next(looks) is None:
            append_row(run, {"finished": 30})
        return Follower.read_new(follower)

    monkeypatch.setattr(follower, "read_new", read_new)
    command._follow(follower)
    assert steps == [30, 30]  # the logs, and the end
