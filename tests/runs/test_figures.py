"""What a run's folder says of it: losses, settings, time and clips, also after a resume."""

import json
import os
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from error_messages import naming
from tiny_trainer import HEADS, THRESHOLD, build
from torch.optim.lr_scheduler import ConstantLR
from transformers import Trainer

import hf_muonclip
from hf_muonclip import MuonClipCallback, muonclip
from hf_muonclip.runs import figures as run_figures
from hf_muonclip.runs.figures import figures_of_run, figures_of_state, newest_state


def train(folder: Path, steps: int = 6, resume: str | None = None, **settings: object) -> Trainer:
    trainer = build(
        folder,
        max_steps=steps,
        eval_strategy="steps",
        eval_steps=3,
        eval_on_start=True,
        include_num_input_tokens_seen="all",
        **settings,
    )
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_state()
    return trainer


def test_figures_are_those_of_the_run(tmp_path: Path) -> None:
    trainer = train(tmp_path, lr_scheduler_type="cosine", warmup_steps=2, seed=3)
    run, clip = figures_of_run(tmp_path, dataset="random tokens")
    evaluations = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    assert (run.dataset, run.steps, run.seed, run.tokens) == ("random tokens", 6, 3, 6 * 4 * 12)
    assert run.train_loss == [row["loss"] for row in trainer.state.log_history if "loss" in row][-1]
    assert (run.eval_loss_before, run.eval_loss) == (evaluations[0], evaluations[-1])
    assert 0 < run.seconds < trainer.state.log_history[-1]["train_runtime"]
    assert run.emissions_grams is None
    assert run.optimizer["optimizer"] == "MuonClip"
    assert run.optimizer["learning rate, peak"] == 0.01
    assert run.optimizer["learning rate, schedule"] == "cosine, 2 warm-up steps"
    assert run.optimizer["QK-Clip, tau"] == THRESHOLD
    assert run.optimizer["sequences per step"] == 4
    assert run.versions["torch"] == version("torch")
    assert "thread" in run.hardware

    callback = next(c for c in trainer.callback_handler.callbacks if isinstance(c, MuonClipCallback))
    statistics = callback.statistics
    assert clip.heads == 2 * HEADS
    assert clip.heads_clipped == statistics.clipped_heads > 0
    assert clip.clips == int(statistics.clips.sum())
    assert clip.first_step == int(statistics.first_clip_step[statistics.first_clip_step > 0].min())
    assert clip.last_step == int(statistics.last_clip_step.max())
    assert (clip.threshold, clip.steps) == (THRESHOLD, 6)
    assert clip.highest_max_logit == pytest.approx(float(statistics.highest.max()), abs=1e-4)
    assert figures_of_state(asdict(trainer.state), dataset="random tokens") == (run, clip)


def test_a_resumed_run_has_the_figures_of_the_whole(tmp_path: Path) -> None:
    settings = {"save_strategy": "steps", "save_steps": 3, "lr_scheduler_type": "constant"}
    train(tmp_path / "whole", **settings)
    train(tmp_path / "cut", steps=3, **settings)
    before = figures_of_run(tmp_path / "cut")[0].seconds
    train(tmp_path / "cut", resume=str(tmp_path / "cut" / "checkpoint-3"), **settings)
    whole, resumed = figures_of_run(tmp_path / "whole"), figures_of_run(tmp_path / "cut")
    for name in ("tokens", "steps", "train_loss", "eval_loss_before", "eval_loss", "optimizer"):
        assert getattr(resumed[0], name) == getattr(whole[0], name)
    assert resumed[1] == whole[1]
    assert resumed[0].seconds > before


def test_a_schedule_of_the_users_own_goes_by_its_class(tmp_path: Path) -> None:
    trainer = build(tmp_path, max_steps=1)
    trainer.optimizer.detach()
    optimizer, _ = muonclip(trainer.model, trainer.args)
    trainer = Trainer(
        trainer.model,
        trainer.args,
        train_dataset=trainer.train_dataset,
        optimizers=(optimizer, ConstantLR(optimizer)),
        callbacks=[MuonClipCallback()],
    )
    trainer.train()
    run, _ = figures_of_state(asdict(trainer.state))
    assert run.optimizer["learning rate, schedule"] == "ConstantLR"


def test_emissions_of_codecarbon_are_added_up(tmp_path: Path) -> None:
    train(tmp_path)
    (tmp_path / "emissions.csv").write_text("project_name,emissions\na,0.0015\na,0.0005\n")
    assert figures_of_run(tmp_path)[0].emissions_grams == pytest.approx(2.0)


def test_a_run_without_the_clip_has_no_figures_of_it(tmp_path: Path) -> None:
    train(tmp_path, muon={"qk_clip_threshold": None})
    run, clip = figures_of_run(tmp_path)
    assert clip is None
    assert run.optimizer["optimizer"] == "MuonClip"
    assert "QK-Clip, tau" not in run.optimizer


def test_a_monitored_run_has_no_threshold(tmp_path: Path) -> None:
    train(tmp_path, muon={"qk_clip_threshold": float("inf")})
    _, clip = figures_of_run(tmp_path)
    assert clip.threshold == float("inf")
    assert clip.heads_clipped == 0
    json.loads((tmp_path / "trainer_state.json").read_text(), parse_constant=pytest.fail)  # strict JSON


def test_a_subclass_of_the_users_own_has_its_figures(tmp_path: Path) -> None:
    class Mine(MuonClipCallback):
        pass

    train(tmp_path, callbacks=[Mine()])
    run, clip = figures_of_run(tmp_path)
    assert run.optimizer["optimizer"] == "MuonClip"
    assert clip.heads_clipped > 0


def test_a_run_needs_no_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "hf_muonclip":  # it is on PYTHONPATH alone
            raise PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(run_figures, "version", version)
    train(tmp_path, steps=1)
    versions = {"hf_muonclip": hf_muonclip.__version__, "torch": "1.2.3"}
    assert versions.items() <= figures_of_run(tmp_path)[0].versions.items()


def test_a_checkpoint_without_tau_has_no_figures_of_the_clip(tmp_path: Path) -> None:
    state = asdict(train(tmp_path).state)
    del state["stateful_callbacks"]["MuonClipCallback"]["attributes"]["exported_run"]
    run, clip = figures_of_state(state)
    assert run.steps == 6
    assert clip is None


def write_state(folder: Path, step: int, written: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"global_step": step}))
    os.utime(path, (written, written))
    return path


def test_the_state_with_most_steps_counts(tmp_path: Path) -> None:
    tenth = write_state(tmp_path / "checkpoint-10", 10, written=1)
    write_state(tmp_path / "checkpoint-9", 9, written=2)  # copied here later
    assert newest_state(tmp_path) == tenth
    write_state(tmp_path, 4, written=3)  # of a run that went on after trainer.save_state()
    assert newest_state(tmp_path) == tenth
    whole = write_state(tmp_path, 10, written=0)
    assert newest_state(tmp_path) == whole


def test_a_folder_of_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=naming("trainer_state.json")):
        figures_of_run(tmp_path)
