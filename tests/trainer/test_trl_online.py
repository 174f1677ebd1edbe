"""MuonClip in TRL's GRPO and RLOO trainers: generation and old log-probabilities are not measured, updates are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tiny_trainer import assert_equal_weights, weights_of
from tiny_trl import WatchLogits, chat_tokenizer, measured_calls, policy, settings, train, turn
from transformers import AutoModelForCausalLM, Trainer
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

CLASSES = {"grpo": (GRPOConfig, GRPOTrainer), "rloo": (RLOOConfig, RLOOTrainer)}


@pytest.fixture(scope="module")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved policy, from which the trainers load their reference."""
    folder = tmp_path_factory.mktemp("policy")
    policy().save_pretrained(folder)
    return folder


def even_words(completions: list[Any], **_: Any) -> list[float]:
    """Reward words of even number; short and long completions differ, so that advantages are not zero."""
    contents = [completion[0]["content"] for completion in completions]
    return [sum(word[1:].isdigit() and int(word[1:]) % 2 == 0 for word in text.split()) for text in contents]


def online(kind: str, folder: Path, way: str, watch: WatchLogits, policy_folder: Path, **more: Any) -> Trainer:
    config, trainer_class = CLASSES[kind]
    args = config(**settings(folder, num_generations=2, max_completion_length=6, per_device_train_batch_size=4, **more))
    data = Dataset.from_list([{"prompt": [turn("user", seed)]} for seed in range(8)])
    model = AutoModelForCausalLM.from_pretrained(policy_folder, dtype=torch.float32).train()
    given = {"train_dataset": data, "processing_class": chat_tokenizer(), "reward_funcs": even_words}
    return train(trainer_class, way, model, args, watch, **given)


@pytest.mark.parametrize(
    ("kind", "way", "more"),
    [
        ("grpo", "attach", {}),
        ("grpo", "optimizers", {"beta": 0.1, "num_iterations": 2}),  # a reference and old log-probabilities
        ("grpo", "attach", {"gradient_accumulation_steps": 2}),
        ("rloo", "attach", {}),  # has both by default
    ],
    ids=["grpo", "grpo-reference", "grpo-accumulation", "rloo"],
)
def test_updates_alone_are_measured_once_and_the_clip_lands(
    kind: str, way: str, more: dict[str, Any], tmp_path: Path, policy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, watch = measured_calls(monkeypatch), WatchLogits(landing=True)
    trainer = online(kind, tmp_path, way, watch, policy_folder, learning_rate=0.0, **more)
    forwards = more.get("gradient_accumulation_steps", 1)
    assert watch.forwards == [forwards] * 2
    assert len(calls) == 2 * 2 * forwards  # layers × steps × forwards
    assert watch.clipped[0].any()
    assert not watch.clipped[0].all()
    assert trainer.args.gradient_checkpointing
    assert (trainer.ref_model is not None) == bool(more.get("beta", kind == "rloo"))


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_the_ways_in_train_alike(kind: str, tmp_path: Path, policy_folder: Path) -> None:
    results = []
    for way in ("attach", "optimizers"):
        results.append(weights_of(online(kind, tmp_path / way, way, WatchLogits(), policy_folder)))
        assert_equal_weights(results[0], results[-1])
    start = dict(policy().named_parameters())
    assert not any(torch.equal(weight, start[name]) for name, weight in results[0].items())
