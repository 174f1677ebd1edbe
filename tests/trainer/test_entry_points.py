"""The three ways into a Trainer: what they take from where, what they refuse, and that all train alike."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import random_batch, tiny_model
from tiny_trainer import THRESHOLD, sharp_model, token_rows, weights_of
from transformers import Trainer, TrainingArguments

from hf_muonclip import MuonClip, MuonClipCallback, MuonClipConfig, attach, muonclip, muonclip_factory


def training_arguments(folder: Path, **settings: Any) -> TrainingArguments:
    return TrainingArguments(str(folder), report_to="none", use_cpu=True, disable_tqdm=True, **settings)


def test_muonclip_takes_what_training_arguments_hold_and_keywords_override(tmp_path: Path) -> None:
    args = training_arguments(
        tmp_path, learning_rate=0.003, weight_decay=0.25, adam_beta1=0.8, adam_beta2=0.9, adam_epsilon=1e-5
    )
    config = MuonClipConfig(momentum=0.5, ns_steps=3, qk_clip_threshold=30.0, nonfinite="skip")
    optimizer, scheduler = muonclip(tiny_model("llama_gqa"), args, config, ns_steps=4, adamw_eps=1e-4)
    assert scheduler is None
    for group in optimizer.param_groups:
        assert group["lr"] == 0.003
        assert group["adamw_betas"] == (0.8, 0.9)
        assert group["adamw_eps"] == 1e-4
        assert group["momentum"] == 0.5
        assert group["ns_steps"] == 4
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.25, 0.0]
    assert optimizer.config.qk_clip_threshold == 30.0
    assert optimizer.config.nonfinite == "skip"


def test_muonclip_without_args_has_kimi_k2s_defaults() -> None:
    optimizer, _ = muonclip(tiny_model("llama_gqa"))
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (2e-4, 0.1, 0.95)
    assert group["adjust_lr_fn"] == "match_rms_adamw"
    assert optimizer.config.qk_clip_threshold == 100.0


def test_an_unknown_keyword_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    message = naming("'tau'", "'learning_rate'", "lr", "qk_clip_threshold")
    with pytest.raises(TypeError, match=message):
        muonclip(tiny_model("llama_gqa"), tau=100.0, learning_rate=0.1)
    with pytest.raises(TypeError, match=message):
        muonclip_factory(tau=100.0, learning_rate=0.1)


@pytest.mark.parametrize("setting", ["deepspeed", "deepspeed_plugin"])  # the second alone under `accelerate launch`
def test_deepspeed_is_refused_with_the_ways_out(setting: str, tmp_path: Path) -> None:
    args = training_arguments(tmp_path)
    setattr(args, setting, "zero3.json")
    message = naming("deepspeed='zero3.json'", "FSDP2", "DeepSpeedClipCallback")
    for build in (lambda: muonclip(tiny_model("llama_gqa"), args), lambda: muonclip_factory(args)):
        with pytest.raises(ValueError, match=message):
            build()
    trainer = Trainer(tiny_model("llama_gqa"), training_arguments(tmp_path))
    trainer.args = args
    with pytest.raises(ValueError, match=message):
        attach(trainer)
    assert trainer.optimizer_cls_and_kwargs is None


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lr", -1.0),
        ("weight_decay", -0.1),
        ("momentum", 1.0),
        ("adamw_betas", (1.0, 0.9)),
        ("adamw_eps", -1e-8),
        ("eps", 0.0),
        ("ns_steps", 0),
        ("ns_coefficients", (1.0, 2.0)),
        ("ns_dtype", "float16"),
        ("adjust_lr_fn", "rms"),
        ("qk_clip_threshold", 0.0),
        ("qk_clip_threshold", float("nan")),
        ("qk_clip_alpha", 1.5),
        ("nonfinite", "ignore"),
    ],
)
def test_a_setting_out_of_range_is_refused_early_and_the_model_stays_free(setting: str, value: Any) -> None:
    model = tiny_model("llama_gqa")
    for build in (lambda: MuonClip(model, **{setting: value}), lambda: muonclip_factory(**{setting: value})):
        with pytest.raises(ValueError, match=naming(setting, repr(value))):
            build()
    assert not any(hasattr(module, "_attention_observer") for module in model.modules())


def test_the_three_ways_into_a_trainer_train_alike(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": 3, "learning_rate": 0.01, "weight_decay": 0.1, "save_strategy": "no"}
    overrides: dict[str, Any] = {"qk_clip_threshold": THRESHOLD, "ns_dtype": "float32"}
    results = []
    for way in ("optimizers", "factory", "attach"):
        args = training_arguments(tmp_path / way, **settings)
        model = sharp_model()
        rows = token_rows()
        if way == "optimizers":
            trainer = Trainer(model, args, train_dataset=rows, optimizers=muonclip(model, args, **overrides))
        elif way == "factory":
            factory: Any = muonclip_factory(args, **overrides)
            trainer = Trainer(model, args, train_dataset=rows, optimizer_cls_and_kwargs=factory)
        else:
            trainer = Trainer(model, args, train_dataset=rows)
            callback = attach(trainer, **overrides)
            assert callback in trainer.callback_handler.callbacks
        trainer.train()
        results.append(weights_of(trainer))
        if way == "attach":
            assert callback.statistics is not None
            assert callback.statistics.clipped_heads > 0
    start = dict(sharp_model().named_parameters())
    for name, weight in results[0].items():
        assert not torch.equal(weight, start[name])
        assert torch.equal(weight, results[1][name])
        assert torch.equal(weight, results[2][name])


def test_the_factory_builds_for_model_init(tmp_path: Path) -> None:
    args = training_arguments(tmp_path, max_steps=1, save_strategy="no")
    factory: Any = muonclip_factory(args, exact_max_logits=True)
    trainer = Trainer(
        args=args,
        model_init=lambda: tiny_model("llama_gqa"),
        train_dataset=token_rows(),
        optimizer_cls_and_kwargs=factory,
        callbacks=[MuonClipCallback()],
    )
    trainer.train()
    built = trainer.optimizer.optimizer  # type: ignore[union-attr]
    assert isinstance(built, MuonClip)
    assert built.updates == 1
    assert all(values.isfinite().all() for values in built.max_logits.values())


def test_attach_keeps_a_callback_that_is_there(tmp_path: Path) -> None:
    callback = MuonClipCallback()
    trainer = Trainer(tiny_model("llama_gqa"), training_arguments(tmp_path), callbacks=[callback])
    assert attach(trainer) is callback
    assert sum(isinstance(c, MuonClipCallback) for c in trainer.callback_handler.callbacks) == 1


def test_attach_refuses_a_trainer_with_an_optimizer_and_bad_settings(tmp_path: Path) -> None:
    model = tiny_model("llama_gqa")
    args = training_arguments(tmp_path)
    trainer = Trainer(model, args, optimizers=(torch.optim.SGD(model.parameters(), lr=0.1), None))
    with pytest.raises(ValueError, match=naming("attach()", "SGD")):
        attach(trainer)
    free = Trainer(model, args)
    with pytest.raises(TypeError, match=naming("'tau'")):
        attach(free, tau=3)
    with pytest.raises(ValueError, match=naming("momentum")):
        attach(free, momentum=2.0)
    assert free.optimizer_cls_and_kwargs is None
    assert not any(isinstance(callback, MuonClipCallback) for callback in free.callback_handler.callbacks)


WITHOUT = "callbacks=[MuonClipCallback()]"


@pytest.mark.parametrize("built", ["before", "by the Trainer"])
def test_without_the_callback_training_works_and_says_once_what_is_missing(
    built: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    args = training_arguments(tmp_path, max_steps=1, learning_rate=1e-6, save_strategy="no")
    model = sharp_model()
    ways: dict[str, Any] = {"optimizers": muonclip(model, args, qk_clip_threshold=THRESHOLD)}
    if built != "before":
        ways = {"optimizer_cls_and_kwargs": muonclip_factory(args, qk_clip_threshold=THRESHOLD)}
    trainer = Trainer(model, args, train_dataset=token_rows(), **ways)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    optimizer = trainer.optimizer.optimizer  # type: ignore[union-attr]
    assert (torch.cat(list(optimizer.gammas.values())) < 1).any()  # it works
    assert [WITHOUT in record.message for record in caplog.records].count(True) == 1
    assert "qk_clip.jsonl" in caplog.text


def test_with_the_callback_or_in_a_plain_loop_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    args = training_arguments(tmp_path, max_steps=1, save_strategy="no")
    model = sharp_model()
    callbacks: list[Any] = [MuonClipCallback()]
    optimizers: Any = muonclip(model, args)
    with caplog.at_level(logging.WARNING):
        Trainer(model, args, train_dataset=token_rows(), optimizers=optimizers, callbacks=callbacks).train()
        optimizer = MuonClip(model)
        model(**random_batch(model)).loss.backward()
        optimizer.step()
    assert WITHOUT not in caplog.text
