"""MuonClip in TRL's DPO, KTO and reward trainers: the policy alone is measured, never its reference."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tiny_trainer import assert_equal_weights, weights_of
from tiny_trl import WatchLogits, chat_tokenizer, measured_calls, policy, reward_model, settings, train, turn
from transformers import PreTrainedModel, Trainer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer


def pairs(count: int = 8) -> Dataset:
    rows = [
        {"prompt": [turn("user", i)], "chosen": [turn("assistant", i)], "rejected": [turn("assistant", f"bad {i}")]}
        for i in range(count)
    ]
    return Dataset.from_list(rows)


def judged(count: int = 8) -> Dataset:
    rows = [
        {"prompt": [turn("user", i)], "completion": [turn("assistant", i)], "label": i % 2 == 0} for i in range(count)
    ]
    return Dataset.from_list(rows)


def sharper(model: PreTrainedModel) -> PreTrainedModel:
    """Return a reference whose logits would drown the policy's."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("q_proj.weight"):
                parameter.mul_(50)
    return model


def dpo(folder: Path, way: str, watch: WatchLogits, model: Any = None, **more: Any) -> Trainer:
    given = {name: more.pop(name) for name in ("ref_model", "peft_config") if name in more}
    args = DPOConfig(**settings(folder, max_length=24, **more))
    data = {"train_dataset": pairs(), "processing_class": chat_tokenizer()}
    return train(DPOTrainer, way, policy() if model is None else model, args, watch, **data, **given)


def kto(folder: Path, way: str, watch: WatchLogits, model: Any = None, **more: Any) -> Trainer:
    given = {name: more.pop(name) for name in ("ref_model",) if name in more}
    args = KTOConfig(**settings(folder, max_length=24, **more))
    data = {"train_dataset": judged(), "processing_class": chat_tokenizer()}
    return train(KTOTrainer, way, policy() if model is None else model, args, watch, **data, **given)


def reward(folder: Path, way: str, watch: WatchLogits, **more: Any) -> Trainer:
    args = RewardConfig(**settings(folder, max_length=24, **more))
    data = {"train_dataset": pairs(), "processing_class": chat_tokenizer()}
    return train(RewardTrainer, way, reward_model(), args, watch, **data)


@pytest.mark.parametrize(("run", "way"), [(dpo, "attach"), (kto, "optimizers")])
def test_a_reference_model_is_not_measured(run: Any, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, watch = measured_calls(monkeypatch), WatchLogits(landing=True)
    run(tmp_path, way, watch, ref_model=sharper(policy()), learning_rate=0.0)
    assert watch.clipped[0].any()
    assert not watch.clipped[0].all()
    assert watch.forwards == [1, 1]
    assert len(calls) == 2 * 2  # layers × forwards, though every layer runs again in the backward pass


@pytest.mark.parametrize("run", [dpo, kto])
def test_reference_log_probabilities_in_advance_are_not_measured(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, watch = measured_calls(monkeypatch), WatchLogits(landing=True)
    run(tmp_path, "optimizers", watch, precompute_ref_log_probs=True, learning_rate=0.0)
    assert watch.clipped[0].any()
    assert len(calls) == 2 * 2


def test_a_reference_by_its_name(tmp_path: Path) -> None:
    policy().save_pretrained(tmp_path / "policy")
    watch = WatchLogits()
    dpo(tmp_path, "attach", watch, str(tmp_path / "policy"), model_init_kwargs={"dtype": "float32"})
    assert watch.clipped[0].any()


@pytest.mark.parametrize("given", ["config", "model"])
def test_the_reference_of_an_adapter_is_not_measured(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, watch = measured_calls(monkeypatch), WatchLogits()
    adapter = LoraConfig(r=4, target_modules=["q_proj", "k_proj"], init_lora_weights=False)
    if given == "config":
        trainer = dpo(tmp_path, "attach", watch, peft_config=adapter)
    else:  # the trainer adds a frozen copy of the adapter, as the reference
        trainer = dpo(tmp_path, "attach", watch, get_peft_model(policy(), adapter))
        assert "ref" in trainer.model.peft_config
    assert not torch.stack(watch.clipped).any()
    assert len(calls) == 2 * 2


def test_the_clip_of_a_reward_model_lands(tmp_path: Path) -> None:
    watch = WatchLogits(landing=True)
    reward(tmp_path, "factory", watch, learning_rate=0.0)
    assert watch.clipped[0].any()
    assert watch.forwards == [1, 1]


@pytest.mark.parametrize(
    ("run", "ways"),
    [
        (dpo, ("attach", "optimizers")),
        (kto, ("attach", "optimizers")),
        (reward, ("attach", "optimizers", "factory")),
    ],
)
def test_the_ways_in_train_alike(run: Any, ways: tuple[str, ...], tmp_path: Path) -> None:
    results = []
    for way in ways:
        more = {} if run is reward else {"ref_model": policy()}
        results.append(weights_of(run(tmp_path / way, way, WatchLogits(), **more)))
        assert_equal_weights(results[0], results[-1])
    start = dict((reward_model() if run is reward else policy()).named_parameters())
    assert not any(torch.equal(weight, start[name]) for name, weight in results[0].items())
