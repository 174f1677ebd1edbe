"""A run is what its log says, joined with what the Trainer saved of the same run."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from run_logs import LOGS, write_log, write_old_run

from hf_muonclip.runs.run import Head, Run

NAMES = ["model.layers.0.self_attn", "model.layers.1.self_attn"]


def write_state(run: Path, rows: list[dict[str, Any]], step: int = 30, **attributes: Any) -> None:
    """Write the Trainer's state beside a log, with what the callback kept in it."""
    state = {
        "global_step": step,
        "max_steps": 44,
        "num_input_tokens_seen": 0,
        "log_history": rows,
        "stateful_callbacks": {"MuonClipCallback": {"args": {}, "attributes": attributes}},
    }
    (run / "trainer_state.json").write_text(json.dumps(state))


def statistics_of(*modules: str, last: int) -> dict[str, dict[str, list[int | None]]]:
    """Return the statistics of modules of two heads, the second of which was clipped once."""
    figures = {"clips": [0, 1], "first_clip_step": [None, last], "last_clip_step": [None, last]}
    return {name: {**figures, "highest_max_logit": [9.0, 41.375]} for name in modules}


def test_a_run_holds_what_its_log_says(tmp_path: Path) -> None:
    rows = [{"step": 20, "eval_loss": 2.5}, {"finished": 30}]
    folder = write_log(tmp_path, LOGS, losses=[3.0, None, 1.0], finished=False, model_name="tiny/model")
    with (folder / "qk_clip.jsonl").open("a") as log:
        log.write("".join(json.dumps(row) + "\n" for row in rows))
    run = Run.load(folder)
    assert (run.folder, run.title, run.header["format"]) == (folder, "tiny/model", 1)
    assert (run.steps, run.modules, run.threshold) == ([10, 20, 30], dict.fromkeys(NAMES, 2), 30.0)
    assert [step for step, _ in run.losses] == [10, 20, 30]
    assert math.isnan(run.losses[1][1])
    assert (run.losses[0][1], run.eval_losses, run.seconds[-1]) == (3.0, [(20, 2.5)], (30, 10.0))
    assert run.max_logits[1].tolist() == [6.5, 7.25, 8.0, 41.375]
    assert run.clips[1].tolist() == [0, 0, 0, 1]
    assert (run.finished, run.max_steps, run.saved_step, run.statistics) == (30, 30, 0, {})
    assert {name: heads.tolist() for name, heads in run.by_module(run.max_logits[1]).items()} == {
        NAMES[0]: [6.5, 7.25],
        NAMES[1]: [8.0, 41.375],
    }


def test_losses_that_the_log_lacks_are_the_trainers(tmp_path: Path) -> None:
    run = Run.load(write_old_run(tmp_path))
    assert run.losses == [(10, 3.0), (20, 2.0), (30, 1.0)]
    assert run.eval_losses == [(20, 2.5)]
    assert math.isnan(run.max_logits[0][3])  # only the bound was taken
    assert run.highest == [3.0, 40.0, 30.0]
    assert (run.threshold, run.saved_step) == (30.0, 30)


def test_a_running_run_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    folder = write_old_run(tmp_path)
    (folder / "checkpoint-20").mkdir()
    (folder / "trainer_state.json").rename(folder / "checkpoint-20" / "trainer_state.json")
    assert [loss for _, loss in Run.load(folder).losses] == [3.0, 2.0, 1.0]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=naming("qk_clip.jsonl", "trainer_state.json", tmp_path)):
        Run.load(tmp_path)


def test_what_the_trainer_saved_is_joined_with_the_log_which_counts_more(tmp_path: Path) -> None:
    folder = write_log(tmp_path, LOGS, losses=[3.0, 2.0, 1.5], header=False)
    rows = [{"step": 5, "loss": 9.0}, {"step": 20, "loss": 7.0, "qk_clip/max_logit": 41.375}]
    rows.append({"step": 33, "eval_loss": 2.25})
    described = {"optimizer": {"momentum": "0.9", "optimizer": "MuonClip"}, "seed": 3, "threshold": 30.0}
    statistics = statistics_of(*NAMES, last=17)
    write_state(folder, rows, exported_run=described, exported_statistics=statistics)
    run = Run.load(folder)
    assert run.losses == [(5, 9.0), (10, 3.0), (20, 2.0), (30, 1.5)]
    assert run.eval_losses == [(33, 2.25)]
    assert (run.max_steps, run.saved_step, run.last_clip_step) == (44, 30, 17)
    assert run.description == described
    assert list(run.description["optimizer"]) == ["optimizer", "momentum"]  # as people read them
    assert run.statistics == statistics

    write_log(folder, LOGS, run={"seed": 4})
    run = Run.load(folder)
    assert (run.max_steps, run.description) == (30, {"seed": 4})


def test_a_state_of_another_run_does_not_count(tmp_path: Path) -> None:
    folder = write_log(tmp_path, LOGS, losses=[3.0, 2.0, 1.5])
    alone = Run.load(folder)
    rows = [{"step": 20, "loss": 7.0, "qk_clip/max_logit": 12.0}, {"step": 40, "loss": 8.0, "eval_loss": 1.0}]
    write_state(folder, rows, exported_run={"seed": 3}, exported_statistics=statistics_of(*NAMES, last=17))
    run = Run.load(folder)
    for name in ("losses", "eval_losses", "last_clip_step", "max_steps", "description", "saved_step", "statistics"):
        assert getattr(run, name) == getattr(alone, name), name


def test_statistics_of_other_modules_do_not_count(tmp_path: Path) -> None:
    folder = write_log(tmp_path, LOGS)
    write_state(folder, [], exported_statistics=statistics_of("transformer.h.0.attn", last=17))
    run = Run.load(folder)
    assert (run.statistics, run.last_clip_step, run.saved_step) == ({}, None, 30)


def test_a_state_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    folder = write_log(tmp_path, LOGS, losses=[3.0, 2.0, 1.5])
    (folder / "trainer_state.json").write_text('{"global_step": 3')
    run = Run.load(folder)
    assert (run.losses, run.saved_step) == ([(10, 3.0), (20, 2.0), (30, 1.5)], 0)


@pytest.mark.parametrize(
    ("saved_step", "kept", "shown"),
    [
        (0, {}, ("11–20", "11–20")),
        (30, {"last": 17}, ("17", "17")),
        (18, {"last": 17}, ("17", "11–20")),  # it may have been clipped again at step 19 or 20
        (30, {"last": 23}, ("11–20", "11–20")),  # which the log contradicts
    ],
)
def test_steps_of_clips_are_as_close_as_the_files_tell(
    tmp_path: Path, saved_step: int, kept: dict[str, int], shown: tuple[str, str]
) -> None:
    run = Run.load(write_log(tmp_path, LOGS))
    run.saved_step, run.statistics = saved_step, statistics_of(*NAMES, **kept) if kept else {}
    [head] = run.clipped_heads()
    assert head == Head(1, 1, NAMES[1], 41.375, 1, True, (11, 20), (11, 20))
    assert run.clip_steps(head) == shown


def test_figures_that_run_along_are_those_of_all_rows(tmp_path: Path) -> None:
    run = Run.load(write_log(tmp_path, [*LOGS, [[None, 9.0], [10.0, 29.0]]]))
    assert run.highest == [20.0, 41.375, 28.5, 29.0]
    assert run.peaks.tolist() == [6.5, 9.5, 10.25, 41.375]
    assert (run.peak, run.last_clip) == (41.375, 1)
    binned = run.binned(2)
    assert (binned.steps, binned.highest, binned.last_clip) == ([20, 40], [41.375, 29.0], 0)


def test_layers_without_numbers_of_their_own_are_told_apart(tmp_path: Path) -> None:
    modules = {f"model.{part}.layers.{layer}.attn": 1 for part in ("text", "vision") for layer in (0, 1)}
    assert Run(tmp_path, modules=modules).labels == [
        "text.layers.0",
        "text.layers.1",
        "vision.layers.0",
        "vision.layers.1",
    ]
    assert Run(tmp_path, modules={"attn": 1}).labels == ["attn"]


def test_a_head_that_lands_on_tau_is_not_above_it(tmp_path: Path) -> None:
    run = Run.load(write_log(tmp_path, [[[0.07]]], 0.07))  # which float32 does not hold
    assert not run.max_logits[0].item() > run.threshold
