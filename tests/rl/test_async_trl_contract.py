"""Every name of TRL that the asynchronous trainer overrides or reads; a release that moves one fails here by name."""

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sampling_server import WeightsOverHTTP
from tiny_rl import tiny_policy
from tiny_trl import chat_tokenizer, settings, turn
from trl.experimental.async_grpo import AsyncGRPOTrainer, async_grpo_trainer, async_rollout_worker
from trl.experimental.async_grpo.async_grpo_trainer import DataCollatorForRollout
from trl.experimental.async_grpo.async_rollout_worker import (
    AsyncRolloutWorker,
    RolloutGroup,
    RolloutSample,
    TrainingSequence,
    _AsyncRolloutLoop,
)
from trl.experimental.async_grpo.packing import TreeRow
from trl.experimental.async_grpo.vllm_client import VLLMClient

import hf_muonclip.rl.async_trainer as trainer_module
from hf_muonclip.rl import KimiAsyncRLConfig, KimiAsyncRLTrainer

OVERRIDDEN = {
    "compute_loss": ["self", "model", "inputs", "return_outputs", "num_items_in_batch"],
    "get_batch_samples": ["self", "epoch_iterator", "num_batches", "device"],
    "get_train_dataloader": ["self"],
}
# What a constructed trainer has, and its type.
ATTRIBUTES = {
    "_metrics": dict,
    "_step_forward_s": float,
    "_step_forward_tokens": float,
    "_step_trained_tokens": float,
    "_step_seq_len_weighted": float,
    "_step_samples": float,
    "aux_loss_enabled": bool,
    "router_aux_loss_coef": float,
    "rollout_worker": AsyncRolloutWorker,
    "vllm_client": VLLMClient,
}
OF_WING = {"_recent", "_stop_where_rewards_fail"}
OF_TRANSFORMERS = {"args", "accelerator", "current_gradient_accumulation_steps", "model", "optimizer"}
FIELDS = {
    RolloutGroup: {"completions", "completions_sequences", "env_rewards"},
    RolloutSample: {"input_ids", "completion_mask", "old_log_probs", "advantage", "metrics"},
    TrainingSequence: {"input_ids", "completion_mask", "old_log_probs", "rollout_id"},
}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KimiAsyncRLTrainer]:
    folder = tmp_path_factory.mktemp("contract")
    tiny_policy().save_pretrained(folder)
    with pytest.MonkeyPatch.context() as here:
        here.setattr(async_rollout_worker, "is_vllm_available", lambda: True)
        here.setattr(async_grpo_trainer, "get_peak_flops_per_device", lambda *_: None)
        yield KimiAsyncRLTrainer(
            str(folder),
            print,
            KimiAsyncRLConfig(**settings(folder, num_generations=2)),
            train_dataset=Dataset.from_list([{"prompt": [turn("user", 0)]}]),
            processing_class=chat_tokenizer(),
            weight_transfer=WeightsOverHTTP("http://127.0.0.1:1"),
        )


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_method(name: str) -> None:
    for owner in (AsyncGRPOTrainer, KimiAsyncRLTrainer):
        parameters = list(inspect.signature(getattr(owner, name)).parameters)
        assert parameters == OVERRIDDEN[name], f"trl moved the parameters of {owner.__name__}.{name}"


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute(name: str, trainer: KimiAsyncRLTrainer) -> None:
    assert isinstance(getattr(trainer, name, None), ATTRIBUTES[name]), f"trl moved AsyncGRPOTrainer.{name}"


def test_losses_are_scaled_for_accumulation_by_the_trainer_itself() -> None:
    assert AsyncGRPOTrainer.loss_is_scaled_for_ga is True, "trl lets transformers divide AsyncGRPOTrainer's loss"


def test_the_worker_starts_the_loop_that_it_names() -> None:
    assert AsyncRolloutWorker._loop_cls is _AsyncRolloutLoop
    assert "self._loop_cls," in inspect.getsource(AsyncRolloutWorker.start), "trl starts another loop"
    assert list(inspect.signature(_AsyncRolloutLoop._score_group).parameters) == ["self", "group"]
    for name in ("reward_funcs = reward_funcs", "reward_func_names = [", "_env_reward_types = []"):
        assert f"self.{name}" in inspect.getsource(_AsyncRolloutLoop.__init__), f"trl moved {name}"
    assert "for reward_func in self.reward_funcs" in inspect.getsource(_AsyncRolloutLoop._score_group)
    assert "env_rewards.append((env_type, reward))" in inspect.getsource(_AsyncRolloutLoop), "trl moved env_rewards"
    for call in ("environment.reset, **reset_kwargs", "get_reward = environment.get_reward"):
        assert call in inspect.getsource(_AsyncRolloutLoop), f"trl calls environments otherwise: {call}"


@pytest.mark.parametrize("owner", FIELDS, ids=lambda owner: owner.__name__)
def test_fields(owner: Any) -> None:
    assert FIELDS[owner] <= {field.name for field in dataclasses.fields(owner)}, f"trl moved fields of {owner.__name__}"


def names_read() -> tuple[set[str], set[str]]:
    """Return the attributes of `self` and the keys of `inputs` in the trainer's file."""
    attributes, keys = set(), set()
    for node in ast.walk(ast.parse(Path(trainer_module.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            attributes.add(node.attr)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "inputs":
            keys |= {part.value for part in ast.walk(node.slice) if isinstance(part, ast.Constant)}
    return attributes, keys


def test_batches_have_every_key() -> None:
    row = TreeRow()
    sample = {"input_ids": [3, 4, 5], "completion_mask": [0, 1, 1], "old_log_probs": [0.0, -1.0, -1.0]}
    arrays = {name: torch.tensor(values).numpy() for name, values in sample.items()}
    row.add({**arrays, "advantage": 1.0, "group_id": 0, "metrics": {}})
    batch = DataCollatorForRollout(0)([[row]])
    _, keys = names_read()
    assert len(keys) > 10
    assert keys - batch.keys() == set(), "trl's batches lack keys"


def test_the_list_is_complete() -> None:
    attributes, _ = names_read()
    of_config = {field.name for field in dataclasses.fields(KimiAsyncRLConfig)} | {"ratio_bounds"}
    assert attributes - ATTRIBUTES.keys() - OF_TRANSFORMERS - OF_WING - of_config - OVERRIDDEN.keys() == set()
