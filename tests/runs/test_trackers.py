"""What each tracker stored of a real run, read back from its own files; and trackers that fail in the middle of one."""

import json
import logging
import re
import sqlite3
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from processes import run_on_ranks
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_trainer import build
from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from hf_muonclip import MuonClipCallback
from hf_muonclip.runs.log import read_log
from hf_muonclip.runs.trackers import mlflow_names

TRACKERS = [name for name in ("tensorboard", "wandb", "trackio", "mlflow") if find_spec(name)]
FIGURES = [
    "qk_clip/max_logit",
    "qk_clip/max_logit/layer_0",
    "qk_clip/max_logit/layer_1",
    "qk_clip/clipped_heads",
    "qk_clip/clipped_heads_ever",
    "qk_clip/min_gamma",
    "muon/update_rms",
    "muon/idle_matrices",
    "muon/skipped_steps",
]
STEPS = [2, 4, 6]
Stored = dict[str, list[tuple[int, float]]]  # name -> (step, value)


def environment(folder: Path) -> dict[str, str]:
    """Return what makes every tracker store in a folder, and nothing leave this machine."""
    return {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder),
        "WANDB_SILENT": "true",
        "TRACKIO_DIR": str(folder / "trackio"),
        "MLFLOW_TRACKING_URI": (folder / "mlflow").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }


def run(folder: Path, *more: TrainerCallback, **settings: Any) -> Trainer:
    """Train for six steps and three logs, reporting to every tracker that is installed."""
    trainer = build(
        folder / "run",
        callbacks=[MuonClipCallback(), *more],
        report_to=TRACKERS,
        run_name="tiny",
        project="trackers",
        muon={"nonfinite": "skip"},
        **settings,
    )
    trainer.train()
    return trainer


def logs_of(trainer: Trainer) -> list[dict[str, Any]]:
    return [log for log in trainer.state.log_history if "loss" in log]


# ------------------------------------------------------------------------------------------------------- what is stored


def train_and_report(folder: Path) -> list[dict[str, Any]]:
    trainer = run(folder)
    if "wandb" in TRACKERS:
        import wandb

        wandb.finish()
    return logs_of(trainer)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of one run that reported to all trackers at once, and its logs; in a process of its own."""
    folder = tmp_path_factory.mktemp("reported")
    [logs] = run_on_ranks(1, train_and_report, folder, environment=environment(folder))
    return folder, logs


def read_tensorboard(folder: Path) -> Stored:
    [file] = folder.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file))
    events.Reload()
    return {
        name.removeprefix("train/"): [(scalar.step, scalar.value) for scalar in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def wandb_records(path: Path) -> Iterator[bytes]:
    """Yield the records of a .wandb file: LevelDB's log format, blocks of 32 KiB, behind a header of 7 bytes."""
    data, at, begun = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:  # too little for the next header
            at += left
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + 7])  # after a checksum; whole, first, middle or last part
        begun = (begun if kind in (3, 4) else b"") + data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield begun


def read_wandb(folder: Path) -> Stored:
    from wandb.proto.wandb_internal_pb2 import Record

    [file] = folder.rglob("*.wandb")
    stored: Stored = {}
    for data in wandb_records(file):
        record = Record()
        record.ParseFromString(data)
        row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for name, value in row.items():
            if name.startswith("train/"):
                stored.setdefault(name.removeprefix("train/"), []).append((row["train/global_step"], value))
    return stored


def read_trackio(folder: Path) -> Stored:
    with sqlite3.connect(folder / "trackio" / "trackers.db") as database:
        rows = [json.loads(row) for (row,) in database.execute("SELECT metrics FROM metrics WHERE run_name = 'tiny'")]
    stored: Stored = {}
    for row in rows:
        for name, value in row.items():
            stored.setdefault(name.removeprefix("train/"), []).append((row["train/global_step"], value))
    return stored


def read_mlflow(folder: Path) -> Stored:
    [metrics] = folder.glob("mlflow/*/*/metrics")
    stored: Stored = {}
    for file in metrics.rglob("*"):
        if file.is_file():
            rows = [line.split() for line in file.read_text().splitlines()]  # time, value, step
            stored[file.relative_to(metrics).as_posix()] = [(int(row[2]), float(row[1])) for row in rows]
    return stored


READERS = {"tensorboard": read_tensorboard, "wandb": read_wandb, "trackio": read_trackio, "mlflow": read_mlflow}


@pytest.mark.slow
@pytest.mark.parametrize("tracker", READERS)
def test_a_tracker_stores_every_figure_of_every_log(tracker: str, reported: tuple[Path, list[dict[str, Any]]]) -> None:
    pytest.importorskip(tracker, reason=f"{tracker} is not installed")
    folder, logs = reported
    stored = READERS[tracker](folder)
    for figure in FIGURES:
        name = "qk_clip/max_logit/all" if (tracker, figure) == ("mlflow", "qk_clip/max_logit") else figure
        assert [step for step, _ in stored[name]] == STEPS, name
        assert [value for _, value in stored[name]] == pytest.approx([log[figure] for log in logs], abs=1e-6), name
    assert {name for name in stored if name.startswith(("qk_clip", "muon"))} == {
        "qk_clip/max_logit/all" if (tracker, figure) == ("mlflow", "qk_clip/max_logit") else figure
        for figure in FIGURES
    }
    assert logs[0]["qk_clip/min_gamma"] < 1
    assert 0.1 < logs[0]["muon/update_rms"] < 0.3


def test_mlflow_gets_no_name_that_is_a_folder_of_another() -> None:
    logs = {"loss": 1.0, "a/b": 2.0, "a/b/c/d": 3.0, "a/bc": 4.0}
    assert mlflow_names(logs) == {"loss": 1.0, "a/b/all": 2.0, "a/b/c/d": 3.0, "a/bc": 4.0}
    assert mlflow_names({"a": 1.0, "ab": 2.0}) == {"a": 1.0, "ab": 2.0}


# -------------------------------------------------------------------------------------------------- trackers that fail


class Outage(TrainerCallback):
    """After the first log, take from some trackers what they report to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trainer: Trainer | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step != 3:
            return
        if "wandb" in TRACKERS:
            import wandb

            wandb.finish()  # as code of the user's may
        if "mlflow" in TRACKERS:
            (self.folder / "mlflow").rename(self.folder / "mlflow is gone")
            (self.folder / "mlflow").write_text("")


class Collect(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def train_through_an_outage(folder: Path) -> tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]:
    heard = Collect()
    logging.getLogger("hf_muonclip.runs.trackers").addHandler(heard)
    trainer = run(folder, Outage(folder), save_strategy="steps", save_steps=6)
    return logs_of(trainer), heard.said, read_log(folder / "run")


@pytest.mark.slow
def test_training_outlives_trackers_and_says_so_once(tmp_path: Path) -> None:
    failing = [name for name in ("wandb", "mlflow") if name in TRACKERS]
    if not failing:
        pytest.skip("neither wandb nor mlflow is installed")
    [(logs, said, rows)] = run_on_ranks(1, train_through_an_outage, tmp_path, environment=environment(tmp_path))
    assert len(said) == len(failing), said
    for name, what in (
        ("wandb", "WandbCallback failed in on_log at step 4 (Error: "),
        ("mlflow", "MLflowCallback fail"),
    ):
        assert sum(message.startswith(what) for message in said) == (name in failing), said
    assert [log["step"] for log in logs] == [row["step"] for row in rows] == STEPS
    saved = json.loads((tmp_path / "run" / "checkpoint-6" / "trainer_state.json").read_text())
    assert [log for log in saved["log_history"] if "loss" in log] == logs
    assert all(set(FIGURES) <= set(log) for log in logs)
    for tracker in {"tensorboard", "trackio"} & set(TRACKERS):  # which stand before and between the failing ones
        assert [step for step, _ in READERS[tracker](tmp_path)["muon/update_rms"]] == STEPS


class FullDisk:
    """A TensorBoard writer that can write no more."""

    def add_text(self, *args: Any) -> None:
        pass

    def add_scalar(self, *args: Any) -> None:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        pass


def test_a_failure_names_the_tracker_the_error_and_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = build(tmp_path, callbacks=[TensorBoardCallback(FullDisk()), MuonClipCallback()])
    trainer.train()
    [said] = [record.getMessage() for record in caplog.records if record.name == "hf_muonclip.runs.trackers"]
    assert re.search(naming("TensorBoardCallback", "on_log", "step 2", "No space left on device", "report_to"), said)
    [tracker] = [c for c in trainer.callback_handler.callbacks if isinstance(c, TensorBoardCallback)]
    assert "on_log" not in vars(tracker)
    tracker.tb_writer = FullDisk()
    trainer.train()  # another training says it again
    assert sum(record.name == "hf_muonclip.runs.trackers" for record in caplog.records) == 2


def test_callbacks_of_the_user_raise_as_ever(tmp_path: Path) -> None:
    class Own(TensorBoardCallback):
        def on_log(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError("a mistake")

    trainer = build(tmp_path, callbacks=[Own(FullDisk()), MuonClipCallback()])
    with pytest.raises(KeyError, match="a mistake"):
        trainer.train()


def test_a_tracker_that_cannot_start_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    class Refuses(FullDisk):
        def add_text(self, *args: Any) -> None:
            raise OSError(28, "No space left on device")

    trainer = build(tmp_path, callbacks=[TensorBoardCallback(Refuses()), MuonClipCallback()])
    with pytest.raises(OSError, match="No space left"):
        trainer.train()
    assert trainer.state.global_step == 0
