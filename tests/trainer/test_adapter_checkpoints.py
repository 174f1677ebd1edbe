"""Real Trainer runs on PEFT models: what is saved is what was trained, or the run says what is missing."""

import copy
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from peft import LoraConfig, PeftModel, get_peft_model, inject_adapter_in_model
from tiny_trainer import THRESHOLD, assert_equal_weights, build, sharp_model, token_rows, weights_of
from torch import Tensor
from transformers import LlamaForCausalLM, Trainer, TrainingArguments

from hf_muonclip import MuonClip, MuonClipCallback, attach, capture_max_logits, muonclip_factory
from hf_muonclip.runs.clip_statistics import ClipStatistics
from hf_muonclip.trainer.adapter_checkpoints import AdapterSaves

LACKS = "merge_and_unload"
SAME = {"rtol": 1e-5, "atol": 1e-6}


def base() -> Any:
    return sharp_model(num_hidden_layers=1)


def adapted(**settings: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return get_peft_model(base(), LoraConfig(r=4, **{"target_modules": ["q_proj", "k_proj"], **settings}))


def seen(model: Any) -> tuple[Tensor, Tensor]:
    """Return the output logits and the max attention logit of every head, of fixed tokens."""
    tokens = torch.stack([row["input_ids"] for row in token_rows()])
    model = copy.deepcopy(model).eval()  # a copy is not being measured by the optimizer
    with torch.no_grad(), capture_max_logits(model) as logits:
        output = model(input_ids=tokens).logits
    return output, torch.cat(list(logits.values()))


def assert_same(model: Any, truth: tuple[Tensor, Tensor]) -> None:
    for found, expected in zip(seen(model), truth, strict=True):
        torch.testing.assert_close(found, expected, **SAME)


def callback_of(trainer: Trainer) -> MuonClipCallback:
    return next(c for c in trainer.callback_handler.callbacks if isinstance(c, MuonClipCallback))


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "logging_steps": 1}
    return TrainingArguments(str(folder), **{**defaults, "per_device_train_batch_size": 16, **settings})


@pytest.mark.parametrize("way", ["muonclip", "factory", "attach"])
def test_the_heads_of_dora_land_on_tau_in_a_trainer(way: str, tmp_path: Path) -> None:
    model = adapted(use_dora=True)
    before = seen(model)[1]
    over = before > THRESHOLD
    assert over.any()
    assert not over.all()
    # At a rate of 0 only the clip writes, and the one batch of the step is all rows.
    settings: dict[str, Any] = {"max_steps": 1, "learning_rate": 0.0, "save_strategy": "no"}
    if way == "muonclip":
        trainer = build(tmp_path, model.train(), per_device_train_batch_size=16, **settings)
    else:
        args = arguments(tmp_path, **settings)
        built = muonclip_factory(args, qk_clip_threshold=THRESHOLD) if way == "factory" else None
        callbacks: list[Any] = [MuonClipCallback()] if way == "factory" else []
        trainer = Trainer(
            model.train(), args, train_dataset=token_rows(), optimizer_cls_and_kwargs=built, callbacks=callbacks
        )
        if way == "attach":
            attach(trainer, qk_clip_threshold=THRESHOLD)
    trainer.train()
    after = seen(trainer.model)[1]
    torch.testing.assert_close(after[over], torch.full_like(after[over], THRESHOLD), rtol=1e-4, atol=0.0)
    torch.testing.assert_close(after[~over], before[~over], rtol=1e-5, atol=0.0)
    statistics = callback_of(trainer).statistics
    assert statistics is not None
    assert torch.equal(statistics.clips > 0, over)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"target_modules": "all-linear"},
        {"target_modules": ["v_proj"], "modules_to_save": ["q_proj"]},
    ],
    ids=str,
)
def test_an_adapter_resumes_exactly_and_reloads_to_the_same_logits(settings: dict[str, Any], tmp_path: Path) -> None:
    whole = build(tmp_path / "whole", adapted(**settings), save_strategy="steps", save_steps=3)
    whole.train()
    resumed = build(tmp_path / "resumed", adapted(**settings))
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert_equal_weights(weights_of(whole), weights_of(resumed))
    first, second = callback_of(whole).statistics, callback_of(resumed).statistics
    assert first is not None
    assert second is not None
    assert first.to_dict() == second.to_dict()
    # The others are monitored.
    assert (first.clips > 0).any() == bool(settings.get("use_dora") or settings.get("modules_to_save"))
    whole.save_model(str(tmp_path / "adapter"))
    truth = seen(whole.model)
    reloaded = PeftModel.from_pretrained(base(), str(tmp_path / "adapter"))
    assert_same(reloaded, truth)
    assert_same(reloaded.merge_and_unload(), truth)


def test_an_adapter_that_was_added_later_reloads_to_the_same_logits(tmp_path: Path) -> None:
    model = adapted()
    model.add_adapter("later", LoraConfig(r=4, target_modules=["q_proj", "k_proj"], use_dora=True))
    model.set_adapter("later")
    trainer = build(tmp_path, model)
    trainer.train()
    statistics = callback_of(trainer).statistics
    assert statistics is not None
    assert (statistics.clips > 0).any()
    model.save_pretrained(tmp_path / "saved", selected_adapters=["later"])
    assert_same(PeftModel.from_pretrained(base(), str(tmp_path / "saved" / "later")), seen(trainer.model))


def test_a_scaled_base_is_missing_from_the_adapter_and_the_run_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    muon = {"scale_lora_base": True}
    with caplog.at_level(logging.WARNING):
        trainer = build(tmp_path / "run", adapted(), muon=muon, save_strategy="steps", save_steps=3)
        assert LACKS not in caplog.text
        trainer.train()
    assert [LACKS in record.message for record in caplog.records].count(True) == 1
    truth = seen(trainer.model)
    trainer.save_model(str(tmp_path / "adapter"))
    alone = seen(PeftModel.from_pretrained(base(), str(tmp_path / "adapter")))
    assert (alone[1] - truth[1]).abs().max() > 0.1  # the warning is true
    assert_same(_saved_whole(trainer.model, tmp_path / "merged"), truth)

    resumed = build(tmp_path / "resumed", adapted(), muon=muon)
    before = weights_of(resumed)
    with pytest.raises(ValueError, match=naming("LoRA", "QK-Clip", "scale_lora_base=True")):
        resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    frozen = [name for name in before if "base_layer" in name]
    assert all(torch.equal(weights_of(resumed)[name], before[name]) for name in frozen)


def _saved_whole(model: Any, folder: Path) -> Any:
    model.merge_and_unload().save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder)


def test_without_a_clip_nothing_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    muon = {"scale_lora_base": True, "qk_clip_threshold": 1e6}
    with caplog.at_level(logging.WARNING):
        whole = build(tmp_path / "whole", adapted(), muon=muon, save_strategy="steps", save_steps=3)
        whole.train()
        resumed = build(tmp_path / "resumed", adapted(), muon=muon)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert LACKS not in caplog.text
    assert_equal_weights(weights_of(whole), weights_of(resumed))


def test_the_best_adapter_would_meet_another_base_at_the_end(tmp_path: Path) -> None:
    best: dict[str, Any] = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 3}
    trainer = build(tmp_path, adapted(), muon={"scale_lora_base": True}, save_strategy="steps", **best)
    with pytest.raises(ValueError, match=naming("load_best_model_at_end", "adapter")):
        trainer.train()
    build(tmp_path, adapted(use_dora=True), muon={"scale_lora_base": True}, save_strategy="steps", **best).train()


def test_an_adapter_that_transformers_itself_added_is_saved_alone_too(caplog: pytest.LogCaptureFixture) -> None:
    model = base()
    plain = AdapterSaves(MuonClip(model, scale_lora_base=True), model)
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["q_proj", "k_proj"]), model)
    model._hf_peft_config_loaded = True  # as PreTrainedModel.add_adapter() leaves it
    saves = AdapterSaves(MuonClip(model, scale_lora_base=True), model)
    monitored = AdapterSaves(MuonClip(model), model)
    statistics = ClipStatistics({"model.layers.0.self_attn": 4})
    statistics.clips = torch.tensor([0, 3, 0, 1])
    caplog.clear()
    for other in (plain, monitored):
        other.warn(statistics)
        other.check_start(arguments(Path("unused"), load_best_model_at_end=False), statistics.to_dict())
    assert caplog.text == ""
    saves.warn(statistics)
    saves.warn(statistics)
    assert [bool(re.search(naming(2, "scale_lora_base=True"), text)) for text in caplog.messages] == [True]


def test_adapters_added_later_are_trained_where_the_trainer_builds_the_optimizer(tmp_path: Path) -> None:
    model = adapted()
    trainer = Trainer(model, arguments(tmp_path, max_steps=2, learning_rate=0.01), train_dataset=token_rows())
    attach(trainer)
    second = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], use_dora=True)
    model.add_adapter("second", second)
    model.set_adapter("second")
    before = weights_of(trainer)
    trainer.train()
    moved = {name for name, weight in weights_of(trainer).items() if not torch.equal(weight, before[name])}
    assert moved
    assert all(".second." in name for name in moved)


def test_an_optimizer_built_before_the_adapter_changed_refuses_to_train(tmp_path: Path) -> None:
    model = adapted()
    trainer = build(tmp_path, model)
    model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj", "k_proj"]))
    model.set_adapter("second")
    before = weights_of(trainer)
    with pytest.raises(ValueError, match=naming("['default']", "['second']")):
        trainer.train()
    assert_equal_weights(weights_of(trainer), before)


def test_a_second_trainer_on_one_model_takes_over(tmp_path: Path) -> None:
    model = base()
    first = build(tmp_path / "first", model, max_steps=2)
    first.train()
    second = build(tmp_path / "second", model, max_steps=2)
    second.train()
    assert isinstance(second.optimizer.optimizer, MuonClip)
    assert second.optimizer.optimizer.gammas
    with pytest.raises(ValueError, match=naming("MuonClip", "Trainer")):
        first.train()


def test_a_trainer_on_an_adapted_model_takes_over_from_that_on_its_base(tmp_path: Path) -> None:
    model: Any = base()
    build(tmp_path / "base", model, muon={"qk_clip_threshold": 1e6}, max_steps=1).train()
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "k_proj"], use_dora=True))
    trainer = build(tmp_path / "adapter", tuned, max_steps=1)
    trainer.train()
    statistics = callback_of(trainer).statistics
    assert statistics is not None
    assert statistics.clipped_heads > 0
