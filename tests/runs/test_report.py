"""Tables and pictures say what the run's files say."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

from hf_muonclip.runs.report import (
    RunRecord,
    _draw_clips,
    _draw_heads,
    head_table,
    max_logit_table,
    plot_comparison,
    plot_run,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder: 2 modules of 2 heads, three logs, head 1 of the second clipped twice."""
    history = [
        {"step": 10, "loss": 3.0},
        {"step": 20, "loss": 2.0},
        {"step": 20, "eval_loss": 2.5},
        {"step": 30, "loss": 1.0},
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 30, "log_history": history}))
    rows = [
        {"step": step, "threshold": 30.0, "max_logits": {"a": [1.0, 2.0], "b": [3.0, high]}, "clips": clips}
        for step, high, clips in (
            (10, None, {"a": [0, 0], "b": [0, 0]}),
            (20, 40.0, {"a": [0, 0], "b": [0, 3]}),
            (30, 30.0, {"a": [0, 0], "b": [0, 1]}),
        )
    ]
    (tmp_path / "qk_clip.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_record_holds_what_the_run_wrote(run: Path) -> None:
    record = RunRecord.load(run)
    assert record.steps == [10, 20, 30]
    assert record.losses == [3.0, 2.0, 1.0]
    assert (record.eval_steps, record.eval_losses) == ([20], [2.5])
    assert math.isnan(record.max_logits["b"][0][1])  # only the bound was taken
    assert record.highest == [3.0, 40.0, 30.0]
    assert record.threshold == 30.0


def test_a_running_run_is_read_from_its_checkpoint(run: Path) -> None:
    (run / "checkpoint-20").mkdir()
    (run / "trainer_state.json").rename(run / "checkpoint-20" / "trainer_state.json")
    assert RunRecord.load(run).losses == [3.0, 2.0, 1.0]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"trainer_state\.json"):
        RunRecord.load(tmp_path)


def test_the_table_over_time_counts_clipped_heads_since_its_last_row(run: Path) -> None:
    record = RunRecord.load(run)
    assert [line.split() for line in max_logit_table(record, rows=2).splitlines()] == [
        ["step", "loss", "0.0", "0.1", "1.0", "1.1", "clipped"],
        ["10", "3.000", "1.0", "2.0", "3.0", "-", "0"],
        ["30", "1.000", "1.0", "2.0", "3.0", "30.0", "1"],
    ]


def test_the_table_over_time_has_a_column_per_layer_where_heads_are_many(run: Path) -> None:
    record = RunRecord.load(run)
    wide = {name: [row * 10 for row in rows] for name, rows in record.max_logits.items()}
    table = max_logit_table(replace(record, max_logits=wide), rows=1)
    assert [line.split() for line in table.splitlines()] == [
        ["step", "loss", "layer", "0", "layer", "1", "clipped"],
        ["10", "3.000", "2.0", "3.0", "0"],
    ]


def test_the_table_of_heads_shows_first_and_last_clip() -> None:
    figures = {
        "first_clip_step": [None, 7],
        "last_clip_step": [None, 9],
        "clips": [0, 3],
        "highest_max_logit": [None, 41.26],
    }
    lines = head_table({"layers.0.attention": figures}).splitlines()
    assert lines[1].split() == ["layers.0.attention", "0", "-", "0", "-", "-"]
    assert lines[2].split() == ["1", "41.3", "3", "7", "9"]


def test_pictures_are_drawn(run: Path, tmp_path: Path) -> None:
    record = RunRecord.load(run)
    for path in (
        plot_run(record, tmp_path / "run.png", "a run"),
        plot_comparison({"clipped": record, "unclipped": record}, 30.0, tmp_path / "both.png", "both"),
    ):
        assert path.read_bytes()[:4] == b"\x89PNG"
        assert path.stat().st_size > 10_000


@pytest.mark.parametrize("clipped", [False, True])
def test_a_deep_model_gets_a_line_a_layer_and_few_labels(clipped: bool) -> None:
    logits = [[float(layer + head + 1) for head in range(4)] for layer in range(30)]
    record = RunRecord(
        steps=[1, 2],
        losses=[3.0, 2.0],
        eval_steps=[],
        eval_losses=[],
        logit_steps=[1, 2],
        max_logits={f"layers.{layer}": [heads, heads] for layer, heads in enumerate(logits)},
        clips={f"layers.{layer}": [[0] * 4, [int(clipped)] * 4] for layer in range(30)},
        threshold=100.0,
    )
    figure, (head_axes, clip_axes) = plt.subplots(2)
    _draw_heads(head_axes, record)
    _draw_clips(clip_axes, record)
    *lines, tau = head_axes.lines
    assert [line.get_ydata().tolist() for line in lines] == [[max(heads)] * 2 for heads in logits]
    assert set(tau.get_ydata()) == {100.0}
    assert [text.get_text() for text in head_axes.get_legend().get_texts()] == ["tau = 100"]
    labels = [label.get_text() for label in clip_axes.get_yticklabels()]
    assert labels == [f"layer {layer}" for layer in range(0, 30, 3)]
    assert clip_axes.get_yticks().tolist() == [4 * layer for layer in range(0, 30, 3)]
    assert [text.get_text() for text in clip_axes.texts] == ([] if clipped else ["no head was clipped"])
    plt.close(figure)
