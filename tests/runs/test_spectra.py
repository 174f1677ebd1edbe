"""Singular values are recorded of the matrices that weights hold; the log of the same run tells its whole course."""

from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_trainer import build
from transformers import TrainerControl, TrainerState, TrainingArguments

from hf_muonclip import MuonClipCallback
from hf_muonclip.runs.log import LogReader
from hf_muonclip.runs.run import Run
from hf_muonclip.runs.spectra import SpectrumCallback, read_spectra


def test_a_run_records_spectra_and_its_log_losses_header_and_end(tmp_path: Path) -> None:
    callbacks = [MuonClipCallback(), SpectrumCallback("*.0.*.q_proj.weight", "lm_head*", every=4)]
    trainer = build(tmp_path, callbacks=callbacks, eval_strategy="steps", eval_steps=3)
    trainer.train()
    records = read_spectra(tmp_path)
    assert [record["step"] for record in records] == [0, 4, 6]
    name = "model.layers.0.self_attn.q_proj.weight"
    assert list(records[-1]["spectra"]) == [name, "lm_head.weight"]
    [values] = records[-1]["spectra"][name]
    expected = torch.linalg.svdvals(trainer.model.get_parameter(name).detach().double())
    torch.testing.assert_close(torch.tensor(values).double(), expected, rtol=1e-4, atol=1e-5)
    assert values != records[0]["spectra"][name][0]

    header, *_, end = LogReader(tmp_path).read_new()
    assert header["model"] == type(trainer.model).__name__
    assert header["max_steps"] == 6
    assert header["run"]["optimizer"]["optimizer"] == "MuonClip"
    assert end == {"finished": 6}
    run = Run.load(tmp_path)
    logged = [row for row in trainer.state.log_history if "loss" in row]
    assert run.losses == [(row["step"], row["loss"]) for row in logged]
    assert run.learning_rates == [(row["step"], row["learning_rate"]) for row in logged]
    assert run.eval_losses == [
        (row["step"], row["eval_loss"]) for row in trainer.state.log_history if "eval_loss" in row
    ]
    statistics = callbacks[0].statistics
    assert run.last_clip_step == int(statistics.last_clip_step.max()) > 0
    assert torch.stack(run.clips).sum(0).tolist() == statistics.clips.tolist()


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    trainer = build(tmp_path, callbacks=[SpectrumCallback("*.nothing.weight")])
    with pytest.raises(ValueError, match=naming("'*.nothing.weight'", "model.embed_tokens.weight")):
        trainer.train()


@pytest.mark.parametrize("arguments", [{"every": 10}, {"patterns": ("*",), "every": 0}])
def test_settings_out_of_range_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match=naming("patterns", "every")):
        SpectrumCallback(*arguments.get("patterns", ()), every=arguments["every"])


def test_stacked_and_broken_weights(tmp_path: Path) -> None:
    from hf_muonclip.runs.spectra import _singular_values

    assert _singular_values(torch.diag(torch.tensor([3.0, 4.0]))) == [4.0, 3.0]
    assert _singular_values(torch.full((2, 2), float("nan"))) == []
    assert read_spectra(tmp_path) == []
    (tmp_path / "spectra.jsonl").write_text('{"step": 0, "spectra": {}}\n{"step"')
    assert read_spectra(tmp_path) == [{"step": 0, "spectra": {}}]


def begin(callback: SpectrumCallback, folder: Path, model: torch.nn.Module, **state: Any) -> TrainerState:
    args = TrainingArguments(str(folder), report_to="none", use_cpu=True)
    now = TrainerState(**state)
    callback.on_train_begin(args, now, TrainerControl(), model=model, optimizer=torch.optim.SGD(model.parameters()))
    return now


def test_a_trial_records_into_its_own_folder(tmp_path: Path) -> None:
    callback, model = SpectrumCallback("weight"), torch.nn.Linear(2, 2)
    for trial in range(2):
        begin(callback, tmp_path, model, is_hyper_param_search=True)
        assert [row["step"] for row in read_spectra(tmp_path / f"run-{trial}")] == [0]
    begin(callback, tmp_path, model, is_hyper_param_search=True, trial_name="third")
    assert len(read_spectra(tmp_path / "third")) == 1
    assert not (tmp_path / "spectra.jsonl").exists()


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), torch.linalg.LinAlgError("no SVD")])
def test_what_cannot_be_recorded_is_warned_of_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    callback, model = SpectrumCallback("weight", every=1), torch.nn.Linear(2, 2)
    state = begin(callback, tmp_path, model)

    def fail(matrix: torch.Tensor) -> list[float]:
        raise failure

    monkeypatch.setattr("hf_muonclip.runs.spectra._singular_values", fail)
    with caplog.at_level("WARNING"):
        for state.global_step in (1, 2):
            callback.on_step_end(TrainingArguments(str(tmp_path)), state, TrainerControl(), model=model)
    assert [str(failure) in message for message in caplog.messages] == [True]
    assert [row["step"] for row in read_spectra(tmp_path)] == [0]


def test_a_damaged_record_is_left_as_it_is_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spectra.jsonl").write_text("{}\n")
    with caplog.at_level("WARNING"):
        begin(SpectrumCallback("weight"), tmp_path, torch.nn.Linear(2, 2), global_step=4)
    assert ["line 1" in message for message in caplog.messages] == [True]
    assert (tmp_path / "spectra.jsonl").read_text() == "{}\n"
    begin(SpectrumCallback("weight"), tmp_path, torch.nn.Linear(2, 2))  # a new run needs nothing of it
    assert [row["step"] for row in read_spectra(tmp_path)] == [0]
