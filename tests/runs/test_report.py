"""Tables and pictures say what the run's files say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt
from run_logs import write_log, write_old_run
from torch import Tensor

from hf_muonclip.runs.report import (
    _draw_clips,
    _draw_heads,
    head_table,
    max_logit_table,
    plot_comparison,
    plot_run,
)
from hf_muonclip.runs.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of 2 modules of 2 heads, three logs, head 1 of the second clipped twice."""
    return Run.load(write_old_run(tmp_path))


def test_the_table_over_time_counts_clipped_heads_since_its_last_row(run: Run) -> None:
    assert [line.split() for line in max_logit_table(run, rows=2).splitlines()] == [
        ["step", "loss", "0.0", "0.1", "1.0", "1.1", "clipped"],
        ["10", "3.000", "1.0", "2.0", "3.0", "-", "0"],
        ["30", "1.000", "1.0", "2.0", "3.0", "30.0", "1"],
    ]


def test_the_table_over_time_has_a_column_per_layer_where_heads_are_many(run: Run) -> None:
    def widened(logs: Sequence[Tensor]) -> list[Tensor]:
        return [torch.cat([heads.repeat(10) for heads in run.by_module(log).values()]) for log in logs]

    wide = replace(run, modules={"a": 20, "b": 20}, max_logits=widened(run.max_logits), clips=widened(run.clips))
    table = max_logit_table(wide, rows=1)
    assert [line.split() for line in table.splitlines()] == [
        ["step", "loss", "layer", "0", "layer", "1", "clipped"],
        ["10", "3.000", "2.0", "3.0", "0"],
    ]


def test_the_table_over_time_rounds_what_the_log_says(tmp_path: Path) -> None:
    logged = [0.45, 0.55, 8.05, 9.95, 28.25, 41.35]  # of which float32 puts some on the other side of the half
    table = max_logit_table(Run.load(write_log(tmp_path, [[logged]], 50.0)))
    assert table.splitlines()[1].split() == ["10", "-", *(f"{value:.1f}" for value in logged), "0"]


def test_before_the_first_log_the_table_over_time_is_empty(tmp_path: Path) -> None:
    assert max_logit_table(Run.load(write_log(tmp_path, []))).split() == ["step", "loss", "clipped"]


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


def test_pictures_are_drawn(run: Run, tmp_path: Path) -> None:
    for path in (
        plot_run(run, tmp_path / "run.png", "a run"),
        plot_comparison({"clipped": run, "unclipped": run}, 30.0, tmp_path / "both.png", "both"),
    ):
        assert path.read_bytes()[:4] == b"\x89PNG"
        assert path.stat().st_size > 10_000


@pytest.mark.parametrize("clipped", [False, True])
def test_a_deep_model_gets_a_line_a_layer_and_few_labels(tmp_path: Path, clipped: bool) -> None:
    logits = [[float(layer + head + 1) for head in range(4)] for layer in range(30)]
    run = Run(tmp_path)
    for step, clips in ((1, [0] * 4), (2, [int(clipped)] * 4)):
        run.take(
            {
                "step": step,
                "threshold": 100.0,
                "max_logits": {f"layers.{layer}": heads for layer, heads in enumerate(logits)},
                "clips": {f"layers.{layer}": clips for layer in range(30)},
            }
        )
    figure, (head_axes, clip_axes) = plt.subplots(2)
    _draw_heads(head_axes, run)
    _draw_clips(clip_axes, run)
    *lines, tau = head_axes.lines
    assert [line.get_ydata().tolist() for line in lines] == [[max(heads)] * 2 for heads in logits]
    assert set(tau.get_ydata()) == {100.0}
    assert [text.get_text() for text in head_axes.get_legend().get_texts()] == ["tau = 100"]
    labels = [label.get_text() for label in clip_axes.get_yticklabels()]
    assert labels == [f"layer {layer}" for layer in range(0, 30, 3)]
    assert clip_axes.get_yticks().tolist() == [4 * layer for layer in range(0, 30, 3)]
    assert len(clip_axes.texts) == (0 if clipped else 1)  # which says that no head was
    plt.close(figure)
