"""MuonClip in TRL's SFTTrainer: exact maxima under every packing, every way in, and what a trainer replaces."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from error_messages import naming
from peft import LoraConfig
from tiny_trainer import assert_equal_weights, weights_of
from tiny_trl import WatchLogits, chat_tokenizer, measured_calls, policy, settings, train, turn
from trl import SFTConfig, SFTTrainer

from hf_muonclip.runs.log import read_log

PACKED = {"packing": True, "packing_strategy": "bfd"}


def sft(folder: Path, way: str, watch: WatchLogits, model: Any = None, given: Any = None, **more: Any) -> SFTTrainer:
    rows = [{"messages": [turn("user", seed), turn("assistant", seed)]} for seed in range(16)]
    args = SFTConfig(**settings(folder, **{"max_length": 24, "assistant_only_loss": True, **more}))
    needed = {"train_dataset": Dataset.from_list(rows), "processing_class": chat_tokenizer()}
    return train(SFTTrainer, way, policy() if model is None else model, args, watch, **needed, **(given or {}))


@pytest.mark.parametrize(
    ("implementation", "packing", "matters"),
    [
        ("sdpa", PACKED, True),
        ("eager", PACKED, True),
        ("sdpa", {"packing": True, "packing_strategy": "wrapped"}, True),
        ("sdpa", {"packing": False, "padding_free": True, "max_length": None}, True),
        ("sdpa", {"packing": False}, False),
        ("eager", {"packing": False}, False),
    ],
    ids=["bfd", "bfd-eager", "wrapped", "padding-free", "padded", "padded-eager"],
)
def test_maxima_are_exact_under_every_packing_and_the_clip_lands(
    implementation: str, packing: dict[str, Any], matters: bool, tmp_path: Path
) -> None:
    watch = WatchLogits(landing=True)
    model = policy(attn_implementation=implementation)
    trainer = sft(tmp_path, "factory", watch, model, learning_rate=0.0, **packing)
    assert watch.packing_matters == matters
    assert watch.forwards == [1, 1]
    assert watch.clipped[0].any()
    assert not watch.clipped[0].all()
    assert trainer.args.gradient_checkpointing  # TRL's default
    told = {label for row in trainer.train_dataset["labels"] for label in row}
    assert -100 in told  # assistant_only_loss
    assert len(told) > 2


def test_accumulation_and_checkpointing_measure_every_forward_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, watch = measured_calls(monkeypatch), WatchLogits()
    sft(tmp_path, "factory", watch, gradient_accumulation_steps=3, per_device_train_batch_size=1, **PACKED)
    assert watch.forwards == [3, 3]
    assert len(calls) == 2 * 6  # layers × forwards


def test_the_three_ways_in_train_alike(tmp_path: Path) -> None:
    start = dict(policy().named_parameters())
    results = []
    for way in ("factory", "optimizers", "attach"):
        watch = WatchLogits()
        trainer = sft(tmp_path / way, way, watch, **PACKED)
        assert torch.stack(watch.clipped).any()
        results.append(weights_of(trainer))
        assert all(not torch.equal(weight, start[name]) for name, weight in results[-1].items())
        assert_equal_weights(results[0], results[-1])


def test_assistant_only_loss_leaves_the_maxima_of_all_tokens(tmp_path: Path) -> None:
    first = []
    for only in (True, False):
        watch = WatchLogits()
        sft(tmp_path / str(only), "factory", watch, max_steps=1, assistant_only_loss=only, learning_rate=0.0)
        first.append(watch.clipped[0])
    assert torch.equal(*first)


@pytest.mark.parametrize("way", ["factory", "attach"])
def test_a_model_by_its_name(way: str, tmp_path: Path) -> None:
    policy().save_pretrained(tmp_path / "policy")
    watch = WatchLogits()
    sft(tmp_path, way, watch, str(tmp_path / "policy"), model_init_kwargs={"dtype": "float32"}, **PACKED)
    assert watch.clipped[0].any()


def test_lora_of_the_trainer_is_monitored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = WatchLogits()
    adapter = LoraConfig(r=4, target_modules=["q_proj", "k_proj"])
    trainer = sft(tmp_path, "attach", watch, given={"peft_config": adapter}, **PACKED)
    assert re.search(naming("QK-Clip", 2, "attention modules"), caplog.text)
    assert not torch.stack(watch.clipped).any()
    moved = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
    assert moved
    assert all("lora_" in name for name in moved)


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    saved = {"save_strategy": "steps", "save_steps": 1, **PACKED}
    whole = sft(tmp_path, "attach", WatchLogits(), **saved)
    resumed = sft(tmp_path, "attach", WatchLogits(), given={"resume": str(tmp_path / "checkpoint-1")}, **saved)
    assert resumed.state.global_step == 2
    assert_equal_weights(weights_of(whole), weights_of(resumed))
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2]


def test_an_optimizer_that_is_older_than_the_trainers_adapter_is_refused(tmp_path: Path) -> None:
    adapter = LoraConfig(r=4, target_modules=["q_proj", "k_proj"])
    with pytest.raises(ValueError, match=naming("MuonClip", "attach(trainer)")):
        sft(tmp_path, "optimizers", WatchLogits(), given={"peft_config": adapter}, **PACKED)


def test_an_optimizer_that_is_older_than_new_chat_tokens_is_refused(tmp_path: Path) -> None:
    source = chat_tokenizer()
    source.add_tokens(["<turn>"], special_tokens=True)
    source.save_pretrained(tmp_path / "source")
    chat = {"chat_template_path": str(tmp_path / "source"), **PACKED}
    with pytest.raises(ValueError, match=naming("lm_head.weight", "attach(trainer)")):
        sft(tmp_path, "optimizers", WatchLogits(), **chat)
    watch = WatchLogits()
    trainer = sft(tmp_path, "attach", watch, **chat)
    assert trainer.model.get_input_embeddings().num_embeddings > 128
    assert watch.clipped[0].any()
