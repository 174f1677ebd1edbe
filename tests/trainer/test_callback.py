"""MuonClip in a real `transformers.Trainer`: what it logs and where, resuming."""

import json
import logging
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from error_messages import naming
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_models import tiny_model
from tiny_trainer import HEADS, THRESHOLD, assert_equal_weights, build, sharp_model, token_rows, weights_of
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import CallbackHandler

from hf_muonclip import MuonClip, MuonClipCallback
from hf_muonclip.runs.figure_names import FIGURES
from hf_muonclip.runs.log import LOG_NAME, read_log


def optimizer_of(trainer: Trainer) -> MuonClip:
    optimizer = trainer.optimizer
    optimizer = getattr(optimizer, "optimizer", optimizer)  # Accelerate's wrapper, once training
    assert isinstance(optimizer, MuonClip)
    return optimizer


def callback_of(trainer: Trainer) -> MuonClipCallback:
    return next(c for c in trainer.callback_handler.callbacks if isinstance(c, MuonClipCallback))


def kept_by(trainer: Trainer) -> dict[str, Any]:
    """Return what a checkpoint keeps of the callback, without the time that the run took."""
    kept = callback_of(trainer).state()["attributes"]
    assert kept["exported_run"].pop("seconds") > 0
    return kept


def training_logs(state: TrainerState) -> list[dict[str, Any]]:
    return [log for log in state.log_history if "loss" in log]


def figures(log: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in log.items() if name.startswith("qk_clip/")}


class WatchSteps(TrainerCallback):
    """Keep what the optimizer saw and did in every step. Add after MuonClipCallback."""

    def __init__(self) -> None:
        self.max_logits: list[Tensor] = []
        self.gammas: list[Tensor] = []
        self.clipped: list[Tensor] = []
        self.update_rms: list[float | None] = []

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        optimizer = kwargs["optimizer"].optimizer
        self.max_logits.append(torch.stack(list(optimizer.max_logits.values())))
        self.gammas.append(torch.stack(list(optimizer.gammas.values())))
        self.clipped.append(self.gammas[-1] < 1)
        self.update_rms.append(optimizer.update_rms)


# ----------------------------------------------------------------------------------------------- where the figures go


def test_figures_reach_the_log_trainer_state_tensorboard_and_the_per_head_log(tmp_path: Path) -> None:
    watch = WatchSteps()
    trainer = build(
        tmp_path,
        callbacks=[MuonClipCallback(), watch],
        report_to="tensorboard",
        eval_strategy="steps",
        eval_steps=3,
        save_strategy="steps",
        save_steps=6,
        muon={"exact_max_logits": True},
    )
    trainer.train()
    logs = training_logs(trainer.state)
    assert [log["step"] for log in logs] == [2, 4, 6]
    ever = torch.zeros(2, HEADS, dtype=torch.bool)
    for index, log in enumerate(logs):
        window = slice(2 * index, 2 * index + 2)
        seen = torch.stack(watch.max_logits[window]).amax(0)  # (layers, heads)
        clipped = torch.stack(watch.clipped[window]).any(0)
        ever |= clipped
        assert figures(log) == {
            "qk_clip/max_logit": pytest.approx(float(seen.max()), abs=1e-4),
            "qk_clip/max_logit/layer_0": pytest.approx(float(seen[0].max()), abs=1e-4),
            "qk_clip/max_logit/layer_1": pytest.approx(float(seen[1].max()), abs=1e-4),
            "qk_clip/clipped_heads": int(clipped.sum()),
            "qk_clip/clipped_heads_ever": int(ever.sum()),
            "qk_clip/min_gamma": pytest.approx(float(torch.stack(watch.gammas[window]).min()), abs=1e-6),
        }
        assert log["muon/update_rms"] == pytest.approx(watch.update_rms[2 * index + 1], abs=1e-6)
        assert log["muon/idle_matrices"] == 0.0  # every matrix of a dense model has a gradient
        assert "muon/skipped_steps" not in log  # a step that is not finite raises
        known = {re.sub(r"layer_\d+", "layer_N", name) for name in log if name.startswith(("qk_clip/", "muon/"))}
        assert known <= FIGURES.keys()
    assert 0 < ever.sum() < ever.numel()
    assert not any(figures(log) for log in trainer.state.log_history if "loss" not in log)

    saved = json.loads((tmp_path / "checkpoint-6" / "trainer_state.json").read_text())
    assert [figures(log) for log in saved["log_history"] if "loss" in log] == [figures(log) for log in logs]

    [event_file] = tmp_path.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(event_file.parent))
    events.Reload()
    for name in figures(logs[0]):
        scalars = events.Scalars(f"train/{name}")
        assert [scalar.step for scalar in scalars] == [2, 4, 6]
        assert [scalar.value for scalar in scalars] == pytest.approx([log[name] for log in logs], abs=1e-6)

    rows = read_log(tmp_path)
    names = [f"model.layers.{layer}.self_attn" for layer in range(2)]
    assert [row["step"] for row in rows] == [2, 4, 6]
    for index, row in enumerate(rows):
        window = slice(2 * index, 2 * index + 2)
        assert row["threshold"] == THRESHOLD
        assert list(row["max_logits"]) == list(row["clips"]) == names
        for layer, name in enumerate(names):
            seen = torch.stack(watch.max_logits[window]).amax(0)[layer]
            assert row["max_logits"][name] == pytest.approx(seen.tolist(), abs=1e-4)
            assert row["clips"][name] == torch.stack(watch.clipped[window]).sum(0)[layer].tolist()

    exported = saved["stateful_callbacks"]["MuonClipCallback"]["attributes"]["exported_statistics"]
    clipped = torch.stack(watch.clipped)  # (steps, layers, heads)
    for layer, name in enumerate(names):
        for head in range(HEADS):
            steps = (clipped[:, layer, head].nonzero().flatten() + 1).tolist()
            assert exported[name]["first_clip_step"][head] == (steps[0] if steps else None)
            assert exported[name]["last_clip_step"][head] == (steps[-1] if steps else None)
            assert exported[name]["clips"][head] == len(steps)
            highest = float(torch.stack(watch.max_logits)[:, layer, head].max())
            assert exported[name]["highest_max_logit"][head] == pytest.approx(highest, abs=1e-4)

    callback = callback_of(trainer)
    assert callback.step_seconds > callback.clip_seconds > 0
    assert callback.capture_seconds > 0


def test_logged_steps_are_exact_and_the_others_screened(tmp_path: Path) -> None:
    watch = WatchSteps()
    trainer = build(
        tmp_path,
        callbacks=[MuonClipCallback(), watch],
        logging_steps=3,
        logging_first_step=True,
        max_steps=7,
        muon={"qk_clip_threshold": 1e6},
    )
    trainer.train()
    exact = [bool(seen.isfinite().all()) for seen in watch.max_logits]
    assert [rms is not None for rms in watch.update_rms] == exact
    screened = [bool((seen == -math.inf).all()) for seen in watch.max_logits]
    assert exact == [True, False, True, False, False, True, False]
    assert screened == [not is_exact for is_exact in exact]
    assert [row["step"] for row in read_log(tmp_path)] == [1, 3, 6]
    assert all(
        value is not None for row in read_log(tmp_path) for heads in row["max_logits"].values() for value in heads
    )


@pytest.mark.parametrize(("strategy", "exact"), [("steps", True), ("epoch", True), ("no", False)])
def test_exactness_follows_the_logging_strategy(tmp_path: Path, strategy: str, exact: bool) -> None:
    watch = WatchSteps()
    callbacks, settings = [MuonClipCallback(), watch], {"logging_strategy": strategy, "logging_steps": 1}
    build(tmp_path, callbacks=callbacks, muon={"qk_clip_threshold": 1e6}, **settings).train()
    assert {bool(seen.isfinite().all()) for seen in watch.max_logits} == {exact}


def test_a_head_that_was_only_bounded_is_null_in_the_log(tmp_path: Path) -> None:
    trainer = build(tmp_path, muon={"qk_clip_threshold": 1e6})
    trainer.train()
    callback = callback_of(trainer)
    assert callback.statistics is not None
    logs: dict[str, Any] = {"loss": 1.0}
    callback.add_figures(trainer.state, logs)
    assert logs == {"loss": 1.0, "qk_clip/clipped_heads": 0, "qk_clip/clipped_heads_ever": 0, "qk_clip/min_gamma": 1.0}
    row = json.loads((tmp_path / LOG_NAME).read_text().splitlines()[-1], parse_constant=pytest.fail)
    assert set(row["max_logits"]["model.layers.0.self_attn"]) == {None}


def test_training_leaves_the_trainers_logging_as_it_was(tmp_path: Path) -> None:
    original = CallbackHandler.call_event
    trainer = build(tmp_path)
    trainer.train()
    assert CallbackHandler.call_event is original
    assert any("qk_clip/max_logit" in row for row in trainer.state.log_history)


def test_without_qk_clip_there_are_no_figures(tmp_path: Path) -> None:
    trainer = build(tmp_path, muon={"qk_clip_threshold": None}, save_strategy="steps", save_steps=3)
    trainer.train()
    assert len(training_logs(trainer.state)) == 3
    assert not any(figures(log) for log in trainer.state.log_history)
    assert all(0.1 < log["muon/update_rms"] < 0.3 for log in training_logs(trainer.state))
    assert not (tmp_path / LOG_NAME).exists()
    assert callback_of(trainer).statistics is None
    assert callback_of(trainer).capture_seconds == 0.0
    resumed = build(tmp_path, muon={"qk_clip_threshold": None})
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert_equal_weights(weights_of(resumed), weights_of(trainer))


def test_the_callback_without_muonclip_is_refused(tmp_path: Path) -> None:
    model = tiny_model("llama_mha")
    args = TrainingArguments(str(tmp_path), max_steps=1, report_to="none", use_cpu=True)
    trainer = Trainer(model, args, train_dataset=token_rows(), callbacks=[MuonClipCallback()])
    with pytest.raises(ValueError, match=naming("MuonClipCallback", "AdamW", "optimizers=muonclip(model, args)")):
        trainer.train()


def test_a_second_training_starts_its_statistics_and_log_again(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    trainer.train()
    build(tmp_path, max_steps=2).train()
    assert [row["step"] for row in read_log(tmp_path)] == [2]


def test_a_training_that_ends_by_an_error_leaves_nothing_on_the_model_once_another_has_ended(tmp_path: Path) -> None:
    class FailAtFirst(TrainerCallback):
        fails = True

        def on_step_begin(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            if self.fails:
                self.fails = False
                raise RuntimeError("no data today")

    trainer = build(tmp_path, callbacks=[MuonClipCallback(), FailAtFirst()])
    before = len(trainer.model._forward_hooks)
    with pytest.raises(RuntimeError, match="no data today"):
        trainer.train()
    trainer.train()
    assert len(trainer.model._forward_hooks) == before


# -------------------------------------------------------------------------------------------------------- what counts


def test_evaluation_and_generation_between_steps_record_nothing(tmp_path: Path) -> None:
    class Disturb(TrainerCallback):
        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            model = kwargs["model"]
            assert model.training
            prompt = token_rows(count=1, length=20, seed=9)[0]["input_ids"][None]
            model.generate(prompt, max_new_tokens=2, do_sample=False)

    quiet = build(tmp_path / "quiet", muon={"exact_max_logits": True})
    quiet.train()
    disturbed = build(
        tmp_path / "disturbed",
        callbacks=[MuonClipCallback(), Disturb()],
        muon={"exact_max_logits": True},
        eval_strategy="steps",
        eval_steps=1,
    )
    disturbed.train()
    assert sum("eval_loss" in log for log in disturbed.state.log_history) == 6
    assert read_log(tmp_path / "disturbed") == read_log(tmp_path / "quiet")
    assert kept_by(disturbed) == kept_by(quiet)
    assert_equal_weights(weights_of(disturbed), weights_of(quiet))


def test_gradient_accumulation_sees_all_micro_batches(tmp_path: Path) -> None:
    seen, weights = [], []
    for folder, batch_size, accumulation in (("whole", 4, 1), ("split", 1, 4)):
        watch = WatchSteps()
        trainer = build(
            tmp_path / folder,
            callbacks=[MuonClipCallback(), watch],
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            max_steps=3,
            logging_steps=1,
            muon={"ns_dtype": "float32"},
        )
        trainer.accelerator.gradient_accumulation_steps = 1  # older Trainers divide by theirs once more
        trainer.train()
        assert len(watch.max_logits) == 3
        seen.append(torch.stack(watch.max_logits))
        weights.append(weights_of(trainer))
    torch.testing.assert_close(seen[0], seen[1], atol=1e-4, rtol=1e-4)
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], atol=1e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_gradient_checkpointing_gives_the_same_run(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain", muon={"ns_dtype": "float32"})
    checkpointed = build(tmp_path / "checkpointed", muon={"ns_dtype": "float32"}, gradient_checkpointing=True)
    for trainer in (plain, checkpointed):
        trainer.train()
    assert checkpointed.model.is_gradient_checkpointing
    for ours, theirs in zip(read_log(tmp_path / "plain"), read_log(tmp_path / "checkpointed"), strict=True):
        assert ours["clips"] == theirs["clips"]
        for name, maxima in ours["max_logits"].items():
            assert theirs["max_logits"][name] == pytest.approx(maxima, abs=1e-3)


def test_bf16_mixed_precision(tmp_path: Path) -> None:
    trainer = build(tmp_path, bf16=True)
    trainer.train()
    logs = training_logs(trainer.state)
    assert len(logs) == 3
    assert all(math.isfinite(log["loss"]) for log in logs)
    assert logs[0]["qk_clip/max_logit"] > THRESHOLD
    assert logs[-1]["qk_clip/clipped_heads_ever"] > 0
    assert logs[-1]["loss"] < logs[0]["loss"]
    states = optimizer_of(trainer).state.values()
    assert {t.dtype for state in states for t in state.values()} == {torch.float32}


def test_a_step_that_a_grad_scaler_skipped_leaks_no_logits(tmp_path: Path) -> None:
    model = sharp_model()
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=math.inf)
    callback, control, state = MuonClipCallback(), TrainerControl(), TrainerState(logging_steps=1)
    args = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    event: Any = (args, state, control)
    callback.on_train_begin(*event, optimizer=SimpleNamespace(optimizer=optimizer))
    small, large = (torch.stack([row["input_ids"] for row in token_rows(count=n, seed=3)]) for n in (1, 16))

    def backward_and_announce(tokens: Tensor, taken: bool) -> None:
        callback.on_step_begin(*event)
        model(input_ids=tokens, labels=tokens).loss.backward()
        callback.on_pre_optimizer_step(*event)
        if taken:
            optimizer.step()
        callback.on_optimizer_step(*event)

    assert callback.statistics is not None
    backward_and_announce(small, taken=True)
    highest = callback.statistics.highest.clone()
    backward_and_announce(large, taken=False)
    assert torch.equal(callback.statistics.highest, highest)
    backward_and_announce(small, taken=True)
    torch.testing.assert_close(callback.statistics.highest, highest, atol=1e-6, rtol=1e-6)
    backward_and_announce(large, taken=True)
    assert (callback.statistics.highest > highest + 0.1).any()  # or the skipped step had nothing to leak


def test_a_skipped_step_is_no_clipped_step(tmp_path: Path) -> None:
    class Poison(TrainerCallback):
        def on_pre_optimizer_step(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            if state.global_step == 0:
                kwargs["model"].lm_head.weight.grad[0, 0] = math.nan

    trainer = build(
        tmp_path,
        callbacks=[MuonClipCallback(), Poison()],
        max_steps=1,
        logging_steps=1,
        max_grad_norm=0.0,
        muon={"nonfinite": "skip"},
    )
    trainer.train()
    statistics = callback_of(trainer).statistics
    assert statistics is not None
    assert statistics.clipped_heads == 0
    assert (statistics.highest == -math.inf).all()
    assert optimizer_of(trainer).skipped_steps == 1
    [log] = training_logs(trainer.state)
    assert log["muon/skipped_steps"] == 1
    assert "muon/update_rms" not in log
    assert "qk_clip/max_logit" not in log
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())


def test_load_best_model_at_end(tmp_path: Path) -> None:
    trainer = build(
        tmp_path, load_best_model_at_end=True, eval_strategy="steps", eval_steps=2, save_strategy="steps", save_steps=2
    )
    trainer.train()
    best = trainer.state.best_model_checkpoint
    assert best is not None
    saved = type(trainer.model).from_pretrained(best)
    for name, weight in saved.named_parameters():
        assert torch.equal(weight, trainer.model.get_parameter(name))
    assert [row["step"] for row in read_log(tmp_path)] == [2, 4, 6]


# ------------------------------------------------------------------------------------------------------------ resuming


@pytest.mark.parametrize("restore_callbacks", [False, True])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path: Path, restore_callbacks: bool) -> None:
    # Three steps between saves and two between logs: the checkpoint falls between two logs.
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 3, "max_steps": 8}
    whole = build(tmp_path / "whole", sharp_model("deepseek_v3"), **settings)
    whole.train()
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "resumed" / "checkpoint-3")
    shutil.copy(tmp_path / "whole" / LOG_NAME, tmp_path / "resumed" / LOG_NAME)

    resumed = build(
        tmp_path / "resumed",
        sharp_model("deepseek_v3"),
        restore_callback_states_from_checkpoint=restore_callbacks,
        **settings,
    )
    resumed.train(resume_from_checkpoint=str(tmp_path / "resumed" / "checkpoint-3"))

    assert_equal_weights(weights_of(resumed), weights_of(whole))
    assert read_log(tmp_path / "resumed") == read_log(tmp_path / "whole")
    assert [row["step"] for row in read_log(tmp_path / "whole")] == [2, 4, 6, 8]
    logs = [[figures(log) for log in training_logs(trainer.state)] for trainer in (whole, resumed)]
    assert logs[0] == logs[1]
    assert kept_by(resumed) == kept_by(whole)
    statistics = callback_of(whole).statistics
    assert statistics is not None
    assert 0 < statistics.clipped_heads < len(statistics.clips)


def test_a_log_that_cannot_be_written_is_said_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class LoseTheFolder(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 1:
                (tmp_path / LOG_NAME).unlink()
                (tmp_path / LOG_NAME).mkdir()  # nobody, root neither, writes lines into a folder

    trainer = build(tmp_path, callbacks=[MuonClipCallback(), LoseTheFolder()])
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert len(training_logs(trainer.state)) == 3
    assert sum(LOG_NAME in message for message in caplog.messages) == 1
    assert "qk_clip/max_logit" in trainer.state.log_history[-2]
