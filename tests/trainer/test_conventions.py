"""What people do with a Trainer beside training: search, start again, compile, skip, quiet; each with MuonClip."""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_models import tiny_model
from tiny_trainer import THRESHOLD, assert_equal_weights, build, sharp_model, token_rows, weights_of
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_muonclip import MuonClip, MuonClipCallback, MuonClipConfig, attach, muonclip, muonclip_factory
from hf_muonclip.runs.log import read_log

PLAIN: dict[str, Any] = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "weight_decay": 0.1}


def optimizer_of(trainer: Trainer) -> MuonClip:
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    assert isinstance(optimizer, MuonClip)
    return optimizer


class WatchSteps(TrainerCallback):
    """Keep the rate, the threshold and the state's identity of every step."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, float, float | None]] = []
        self.optimizers: list[MuonClip] = []

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        optimizer = kwargs["optimizer"].optimizer
        self.steps.append((state.global_step, optimizer.param_groups[0]["lr"], optimizer.config.qk_clip_threshold))
        if not any(optimizer is known for known in self.optimizers):
            self.optimizers.append(optimizer)


# -------------------------------------------------------------------------------------------------------------- search


@dataclass
class SearchArguments(TrainingArguments):
    """Arguments with one of MuonClip's settings, so that a search can set it."""

    qk_clip_threshold: float = 100.0


@pytest.mark.slow
@pytest.mark.parametrize(("way", "named"), [("factory", False), ("attach", True)])
def test_every_trial_of_a_search_trains_with_its_own_values(tmp_path: Path, way: str, named: bool) -> None:
    pytest.importorskip("optuna")
    rates, thresholds = (0.02, 0.001), (0.3, 1e6)
    args = SearchArguments(
        str(tmp_path),
        max_steps=2,
        logging_steps=1,
        save_steps=2,
        learning_rate=0.5,
        lr_scheduler_type="constant",
        **PLAIN,
    )

    def space(trial: Any) -> dict[str, float]:
        values = {"learning_rate": rates[trial.number], "qk_clip_threshold": thresholds[trial.number]}
        return {name: trial.suggest_float(name, value, value) for name, value in values.items()}

    watch = WatchSteps()
    options: dict[str, Any] = {
        "model_init": lambda: sharp_model(),
        "train_dataset": token_rows(),
        "eval_dataset": token_rows(),
    }
    overrides = {"exact_max_logits": True}
    if way == "factory":
        factory: Any = muonclip_factory(args, MuonClipConfig(qk_clip_threshold=7.0), **overrides)
        callbacks = [MuonClipCallback(), watch]
        trainer = Trainer(args=args, optimizer_cls_and_kwargs=factory, callbacks=callbacks, **options)
        callback = callbacks[0]
    else:
        trainer = Trainer(args=args, callbacks=[watch], **options)
        callback = attach(trainer, **overrides)
    best = trainer.hyperparameter_search(
        hp_space=space,
        hp_name=(lambda trial: f"trial_{trial.number}") if named else None,
        backend="optuna",
        n_trials=2,
        direction="minimize",
    )
    assert best.hyperparameters["learning_rate"] in rates
    assert [step[1:] for step in watch.steps] == [
        (rate, threshold) for rate, threshold in zip(rates, thresholds, strict=True) for _ in range(2)
    ]
    assert len(watch.optimizers) == 2
    first, second = (tmp_path / (f"trial_{n}" if named else f"run-{n}") for n in range(2))
    for folder, threshold in ((first, thresholds[0]), (second, thresholds[1])):
        rows = read_log(folder)
        assert [(row["step"], row["threshold"]) for row in rows] == [(1, threshold), (2, threshold)]
        assert (folder / "checkpoint-2").is_dir()
    assert read_log(first)[0]["max_logits"] == read_log(second)[0]["max_logits"]  # the same model, measured once each
    assert callback.statistics is not None
    assert callback.statistics.clipped_heads == 0  # the second trial's own: the first one clipped
    assert any(sum(clips) for clips in read_log(first)[0]["clips"].values())
    assert not (tmp_path / "qk_clip.jsonl").exists()


def test_fields_of_the_arguments_win_over_the_config_and_keywords_over_both(tmp_path: Path) -> None:
    args = SearchArguments(str(tmp_path), qk_clip_threshold=40.0, **PLAIN)
    config = MuonClipConfig(qk_clip_threshold=7.0, momentum=0.5)
    optimizer, _ = muonclip(tiny_model("llama_gqa"), args, config)
    assert (optimizer.config.qk_clip_threshold, optimizer.config.momentum) == (40.0, 0.5)
    assert muonclip(tiny_model("llama_gqa"), args, config, qk_clip_threshold=9.0)[0].config.qk_clip_threshold == 9.0


# --------------------------------------------------------------------------------------------------------- start again


class OutOfMemory(TrainerCallback):
    """Run out of memory once, after the forwards and backwards of a step at the first batch size."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.batches.append(state.train_batch_size)
        if len(self.batches) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_start_again_with_smaller_batches_counts_only_itself(tmp_path: Path) -> None:
    """The Trainer keeps weights and optimizer and begins at step 0; what the failed step saw belongs to nobody."""
    watch, out_of_memory = WatchSteps(), OutOfMemory()
    trainer = build(
        tmp_path,
        callbacks=[MuonClipCallback(), watch, out_of_memory],
        auto_find_batch_size=True,
        learning_rate=0.0,
        max_steps=4,
        logging_steps=1,
        muon={"exact_max_logits": True, "qk_clip_threshold": math.inf},
    )
    trainer.train()
    smaller = trainer.state.train_batch_size
    assert smaller < 4
    assert out_of_memory.batches == [4, 4, *[smaller] * 4]
    assert [step[0] for step in watch.steps] == [0, 0, 1, 2, 3]
    assert watch.optimizers == [optimizer_of(trainer)]
    rows = read_log(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    callback = next(c for c in trainer.callback_handler.callbacks if isinstance(c, MuonClipCallback))
    assert callback.state()["attributes"]["exported_run"]["optimizer"]["sequences per step"] == smaller
    # With a rate of 0 the second start measures what a run with these batches measures.
    straight = build(
        tmp_path / "straight",
        per_device_train_batch_size=smaller,
        learning_rate=0.0,
        max_steps=4,
        logging_steps=1,
        muon={"exact_max_logits": True, "qk_clip_threshold": math.inf},
    )
    straight.train()
    for ours, theirs in zip(rows, read_log(tmp_path / "straight"), strict=True):
        for name, maxima in theirs["max_logits"].items():
            assert ours["max_logits"][name] == pytest.approx(maxima, abs=2e-3)


# ---------------------------------------------------------------------------------------------- precision and compiling


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_compiled_model_trains_as_the_plain_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": 1, "logging_steps": 1, "muon": {"ns_dtype": "float32"}}
    plain, compiled = (
        build(tmp_path / folder, sharp_model(num_hidden_layers=1), **more, **settings)
        for folder, more in (
            ("plain", {}),
            ("compiled", {"torch_compile": True, "torch_compile_backend": "aot_eager"}),
        )
    )
    for trainer in (plain, compiled):
        trainer.train()
    ours, theirs = read_log(tmp_path / "compiled"), read_log(tmp_path / "plain")
    assert [row["clips"] for row in ours] == [row["clips"] for row in theirs]
    for name, maxima in theirs[-1]["max_logits"].items():
        assert ours[-1]["max_logits"][name] == pytest.approx(maxima, abs=1e-3)
    for name, weight in weights_of(plain).items():
        torch.testing.assert_close(weights_of(compiled)[name], weight, atol=1e-4, rtol=1e-3)


def test_an_overflow_under_fp16_takes_no_step_and_leaves_no_figure(tmp_path: Path) -> None:
    """Accelerate scales on GPUs alone; a GradScaler for the CPU in its place skips in the same way."""
    trainer = build(tmp_path, max_steps=2, logging_steps=1, max_grad_norm=0.0, lr_scheduler_type="constant")
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-120)  # overflows
    trainer.accelerator.native_amp = True
    trainer.args.fp16 = True  # the Trainer refuses to be built with it where there is no GPU
    before = weights_of(trainer)

    class Halfway(TrainerCallback):
        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            if state.global_step == 1:
                assert trainer.accelerator.optimizer_step_was_skipped
                assert_equal_weights(weights_of(trainer), before)

    trainer.add_callback(Halfway())
    trainer.train()
    rows = read_log(tmp_path)
    assert all(value is None for heads in rows[0]["max_logits"].values() for value in heads)
    assert not any(sum(clips) for clips in rows[0]["clips"].values())
    assert optimizer_of(trainer).updates == 1
    assert [log["muon/skipped_steps"] for log in trainer.state.log_history if "loss" in log] == [1, 0]
    assert any(value is not None for heads in rows[1]["max_logits"].values() for value in heads)


# --------------------------------------------------------------------------------------------------------- of a Trainer


def test_clipped_gradients_leave_muons_first_update_as_it_was(tmp_path: Path) -> None:
    """An orthogonalized update does not depend on the gradient's scale, and AdamW's first hardly does."""
    runs = []
    for norm in (0.0, 1e-3):
        trainer = build(
            tmp_path / str(norm), max_steps=1, max_grad_norm=norm, muon={"ns_dtype": "float32", "eps": 1e-12}
        )
        trainer.train()
        runs.append((weights_of(trainer), {p.name for p in optimizer_of(trainer).plan if p.algorithm == "muon"}))
    (free, muon), (bounded, _) = runs
    assert len(muon) == 14
    for name in muon:
        torch.testing.assert_close(bounded[name], free[name], atol=2e-5, rtol=1e-4)


def test_noisy_embeddings_count_while_training_and_are_gone_after(tmp_path: Path) -> None:
    """NEFTune's noise reaches the attention, so its logits are those that training sees."""
    settings: dict[str, Any] = {"learning_rate": 0.0, "max_steps": 1, "logging_steps": 1}
    muon = {"exact_max_logits": True, "qk_clip_threshold": math.inf}
    maxima = []
    for folder, alpha in (("plain", None), ("noisy", 50.0)):
        trainer = build(tmp_path / folder, neftune_noise_alpha=alpha, muon=muon, **settings)
        loss = trainer.evaluate()["eval_loss"]
        trainer.train()
        assert trainer.evaluate()["eval_loss"] == pytest.approx(loss, abs=1e-6)
        assert not trainer.model.get_input_embeddings()._forward_hooks
        maxima.append(read_log(tmp_path / folder)[0]["max_logits"]["model.layers.0.self_attn"])
    assert max(abs(a - b) for a, b in zip(*maxima, strict=True)) > 0.01


def test_what_a_trainer_tells_of_its_optimizer(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    assert trainer.get_learning_rates() == [0.01] * len(optimizer_of(trainer).param_groups)
    groups = trainer.get_optimizer_group()
    assert len(groups) == len(optimizer_of(trainer).param_groups)
    # transformers compares tensors of one group by value, so it finds those before which none has another shape.
    first = optimizer_of(trainer).param_groups[0]["params"][0]
    assert trainer.get_optimizer_group(first)["algorithm"] == "muon"
    assert trainer.get_num_trainable_parameters() == sum(
        p.numel() for group in optimizer_of(trainer).param_groups for p in group["params"]
    )


def test_a_trainer_that_makes_its_own_optimizer(tmp_path: Path) -> None:
    class OwnTrainer(Trainer):
        def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
            if self.optimizer is None:
                self.optimizer, _ = muonclip(self.model if model is None else model, self.args, ns_dtype="float32")
            return self.optimizer

    args = TrainingArguments(str(tmp_path), max_steps=2, learning_rate=0.01, save_strategy="no", **PLAIN)
    trainer = OwnTrainer(tiny_model("llama_gqa"), args, train_dataset=token_rows(), callbacks=[MuonClipCallback()])
    trainer.train()
    assert optimizer_of(trainer).updates == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 2}, "warmup_steps": 1},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_steps": 1},
        {"label_smoothing_factor": 0.1, "torch_empty_cache_steps": 1, "eval_on_start": True},
        {"average_tokens_across_devices": True, "train_sampling_strategy": "group_by_length"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_run_with_other_arguments_is_measured_step_by_step(tmp_path: Path, settings: dict[str, Any]) -> None:
    watch = WatchSteps()
    trainer = build(tmp_path, callbacks=[MuonClipCallback(), watch], max_steps=4, logging_steps=1, **settings)
    trainer.train()
    assert optimizer_of(trainer).updates == 4
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 4]
    assert all(any(v is not None for v in heads) for row in read_log(tmp_path) for heads in row["max_logits"].values())
    rates = [log["learning_rate"] for log in trainer.state.log_history if "loss" in log]
    assert rates == pytest.approx([rate for _, rate, _ in watch.steps])
    if settings.get("lr_scheduler_type") == "warmup_stable_decay":
        assert rates[:3] == pytest.approx([0.0, 0.01, 0.01])
        assert rates[3] < 0.01


def test_a_run_that_saves_the_model_alone_keeps_no_optimizer(tmp_path: Path) -> None:
    trainer = build(tmp_path, max_steps=2, save_strategy="steps", save_steps=2, save_only_model=True)
    trainer.train()
    assert not (tmp_path / "checkpoint-2" / "optimizer.pt").exists()
    saved = type(trainer.model).from_pretrained(tmp_path / "checkpoint-2")
    assert_equal_weights({n: w.detach() for n, w in saved.named_parameters()}, weights_of(trainer))


# ----------------------------------------------------------------------------------------------------------- verbosity


NAMES = (
    "optim.muon",
    "muon_clip",
    "clip",
    "trainer.callback",
    "runs.trackers",
    "trainer.adapter_checkpoints",
    "hub.client",
)


def test_verbosity_of_transformers_quiets_our_loggers(caplog: pytest.LogCaptureFixture) -> None:
    def warn() -> str:
        caplog.clear()
        for name in NAMES:
            logging.getLogger(f"hf_muonclip.{name}").warning("said by %s", name)
        return caplog.text

    import hf_muonclip.hub.client  # noqa: F401

    before = transformers.logging.get_verbosity()
    try:
        transformers.logging.set_verbosity_warning()
        assert warn().count("said by") == len(NAMES)
        transformers.logging.set_verbosity_error()
        assert warn() == ""
    finally:
        transformers.logging.set_verbosity(before)
    logging.getLogger("hf_muonclip").setLevel(logging.ERROR)
    try:
        assert warn() == ""
    finally:
        logging.getLogger("hf_muonclip").setLevel(logging.NOTSET)


# ---------------------------------------------------------------------------------------------------- callback's state


def test_the_callbacks_state_is_the_saved_one_and_its_threshold_is_json(tmp_path: Path) -> None:
    trainer = build(tmp_path, max_steps=2, save_strategy="steps", save_steps=2, muon={"qk_clip_threshold": math.inf})
    trainer.train()
    callback = next(c for c in trainer.callback_handler.callbacks if isinstance(c, MuonClipCallback))
    text = (tmp_path / "checkpoint-2" / "trainer_state.json").read_text()
    saved = json.loads(text, parse_constant=pytest.fail)["stateful_callbacks"]["MuonClipCallback"]
    restored = MuonClipCallback.from_state(saved)
    assert restored.exported_statistics == callback.state()["attributes"]["exported_statistics"]  # type: ignore[attr-defined]
    assert (
        max(
            value
            for heads in restored.exported_statistics.values()
            for value in heads["highest_max_logit"]  # type: ignore[attr-defined]
        )
        > THRESHOLD
    )
