"""The picture shows the schedule's own numbers, where its axis says."""

from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from hf_muonclip.kimi_k2 import Phase, TokenSchedule, kimi_k2_schedule, plot_schedule

B = 10**9


def labels(axes: Axes, which: str) -> dict[float, str]:
    axis = getattr(axes, f"{which}axis")
    return dict(zip(axis.get_ticklocs(), [label.get_text() for label in axis.get_ticklabels()], strict=True))


def test_curves_ticks_and_labels_are_the_schedules() -> None:
    schedule = kimi_k2_schedule()
    figure = plot_schedule(schedule)
    lr_axes, context_axes = figure.axes
    assert len(lr_axes.lines) == len(schedule.phases)
    points = 0
    for line, phase, start in zip(lr_axes.lines, schedule.phases, schedule.boundaries, strict=False):
        tokens, rates = line.get_data()
        assert (tokens[0], tokens[-1]) == (start, start + phase.tokens)
        assert list(rates[:-1]) == [schedule.lr(int(count)) for count in tokens[:-1]]
        assert rates[-1] == phase.lr_end
        points += len(tokens)
    assert points == 1000
    [stairs] = [patch for patch in context_axes.patches if hasattr(patch, "get_data")]
    assert list(stairs.get_data().values) == [4096, 4096, 4096, 4096, 32768]
    assert tuple(stairs.get_data().edges) == schedule.boundaries
    [yarn] = context_axes.lines
    assert [list(values) for values in yarn.get_data()] == [[15_900 * B, 15_960 * B], [131072, 131072]]
    assert labels(context_axes, "x") == {
        0: "0",
        33.5 * B: "33.5B",
        10_000 * B: "10T",
        15_500 * B: "15.5T",
        15_900 * B: "15.9T",
        15_960 * B: "15.96T",
    }
    assert list(labels(lr_axes, "y").values()) == ["7e-6", "8.7e-6", "2e-5", "2e-4"]
    assert labels(context_axes, "y") == {4096: "4,096", 32768: "32,768", 131072: "131,072"}
    names = [text.get_text().split("\n")[0] for text in lr_axes.texts]
    assert names == ["warm-up", "constant", "cosine", "anneal", "long context"]


def test_every_phase_is_wide_enough_to_read_and_in_its_place() -> None:
    schedule = kimi_k2_schedule()
    axes = plot_schedule(schedule).axes[1]
    places = [axes.transAxes.inverted().transform(axes.transData.transform((x, 4096)))[0] for x in schedule.boundaries]
    widths = [after - before for before, after in pairwise(places)]
    assert min(widths) > 0.09
    assert widths[1] > widths[2] > widths[3]
    assert places[0] == pytest.approx(0)
    assert places[-1] == pytest.approx(1)
    middle = axes.transAxes.inverted().transform(axes.transData.transform((33.5 * B / 2, 4096)))[0]
    assert middle == pytest.approx(places[1] / 2, rel=1e-6)  # to scale within a phase


def test_a_schedule_without_yarn_or_with_one_phase_is_drawn_too(tmp_path: Path) -> None:
    schedule = TokenSchedule((Phase("all", 5000, 1e-3, 0.0, 64, "linear"),))
    figure = plot_schedule(schedule, tmp_path / "one.png", "Mine")
    assert figure.get_suptitle() == "Mine"
    assert not figure.axes[1].lines
    assert imread(tmp_path / "one.png").shape[:2] == (810, 1500)
    assert plot_schedule(schedule).get_suptitle() == "Training schedule over 5k tokens"
