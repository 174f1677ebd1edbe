"""The Trainer with MuonClip on several ranks trains, logs, saves and resumes as in one process."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from fsdp_on_cpu import fsdp_on_cpu
from parallel_models import whole
from processes import run_on_ranks
from tiny_trainer import sharp_model, token_rows
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, Trainer, TrainingArguments

from hf_muonclip import MuonClip, MuonClipCallback, attach, muonclip, muonclip_factory
from hf_muonclip.runs.log import LOG_NAME, read_log

GLOBAL_BATCH = 8
STEPS = 4
THRESHOLDS = {"llama_gqa": 0.35, "deepseek_v3": 0.08}


@dataclass(frozen=True)
class Run:
    """One Trainer on every rank of a group.

    Attributes:
        folder: of the output; the same for all ranks.
        how: "ddp" with optimizers=muonclip(); "fsdp2" with optimizer_cls_and_kwargs=muonclip_factory(), or "attach",
            which is fsdp2 too.
        save_steps: steps between two checkpoints; 0 for none.
        resume: checkpoint to go on from.
    """

    folder: str
    how: str
    model_name: str = "llama_gqa"
    accumulation: int = 1
    save_steps: int = 0
    resume: str | None = None
    state_dict_type: str = "FULL_STATE_DICT"
    activation_checkpointing: bool = False

    @property
    def sharded(self) -> bool:
        return self.how != "ddp"


@dataclass
class Outcome:
    """What a run left: whole weights by name, the callback's statistics, and its rows in the per-head log."""

    weights: dict[str, Tensor]
    statistics: dict[str, Any]
    log: list[dict[str, Any]]
    log_history: list[dict[str, float]]


def arguments(run: Run, world_size: int) -> TrainingArguments:
    fsdp: dict[str, Any] = {}
    if run.sharded:
        fsdp_config = {
            "state_dict_type": run.state_dict_type,
            "activation_checkpointing": run.activation_checkpointing,
        }
        fsdp = {"fsdp": True, "fsdp_config": fsdp_config}
    return TrainingArguments(
        run.folder,
        max_steps=STEPS,
        per_device_train_batch_size=GLOBAL_BATCH // world_size // run.accumulation,
        gradient_accumulation_steps=run.accumulation,
        learning_rate=0.01,
        weight_decay=0.1,
        adam_epsilon=1e-5,  # a gradient that is rounding alone makes no step of AdamW's
        logging_steps=1,
        save_strategy="steps" if run.save_steps else "no",
        save_steps=run.save_steps or 500,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **fsdp,
    )


def build(run: Run, model: PreTrainedModel, args: TrainingArguments) -> Trainer:
    settings: dict[str, Any] = {"qk_clip_threshold": THRESHOLDS[run.model_name], "ns_dtype": "float32"}
    data = token_rows(count=GLOBAL_BATCH * STEPS)
    if run.how == "attach":
        trainer = Trainer(model, args, train_dataset=data)
        attach(trainer, **settings)
        return trainer
    ways: dict[str, Any] = (
        {"optimizer_cls_and_kwargs": muonclip_factory(args, **settings)}
        if run.sharded
        else {"optimizers": muonclip(model, args, **settings)}
    )
    return Trainer(model, args, train_dataset=data, callbacks=[MuonClipCallback()], **ways)


def train(run: Run) -> Outcome:
    """Train as `run` says. Collective: call on every rank."""
    world_size = dist.get_world_size() if dist.is_initialized() else 1
    with fsdp_on_cpu():
        trainer = build(run, sharp_model(run.model_name), arguments(run, world_size))
    trainer.train(resume_from_checkpoint=run.resume)
    assert isinstance(trainer.optimizer.optimizer, MuonClip)
    assert {isinstance(parameter, DTensor) for parameter in trainer.model.parameters()} == {run.sharded}
    [callback] = [c for c in trainer.callback_handler.callbacks if isinstance(c, MuonClipCallback)]
    weights = {
        name.replace("_checkpoint_wrapped_module.", ""): whole(parameter).detach().clone()
        for name, parameter in trainer.model.named_parameters()
    }
    assert callback.statistics is not None
    log = [row for row in trainer.state.log_history if "loss" in row]
    return Outcome(weights, callback.statistics.to_dict(), read_log(run.folder), log)


def on_ranks(world_size: int, run: Run) -> Outcome:
    """Train on `world_size` ranks, which must all end with the same weights and statistics."""
    environment = {"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    first, *others = run_on_ranks(world_size, train, run, environment=environment)
    for other in others:
        assert_close(other, first, atol=0.0)
    return first


def assert_close(outcome: Outcome, expected: Outcome, atol: float) -> None:
    for name, statistics in outcome.statistics.items():
        for figure, values in statistics.items():
            assert values == pytest.approx(expected.statistics[name][figure], abs=10 * atol), (name, figure)
    assert [row["step"] for row in outcome.log] == [row["step"] for row in expected.log]
    assert [row["clips"] for row in outcome.log] == [row["clips"] for row in expected.log]
    losses = [row["loss"] for row in expected.log_history]
    assert [row["loss"] for row in outcome.log_history] == pytest.approx(losses, abs=1e-4)
    sizes = [row["muon/update_rms"] for row in expected.log_history]
    assert [row["muon/update_rms"] for row in outcome.log_history] == pytest.approx(sizes, rel=1e-4)
    assert outcome.weights.keys() == expected.weights.keys()
    for name, weight in outcome.weights.items():
        difference = float((weight - expected.weights[name]).abs().max())
        assert difference <= atol, (name, difference)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The run that all others must equal, for each model: a Trainer in this process, without any group."""
    return {
        model_name: train(Run(str(tmp_path_factory.mktemp(model_name)), "ddp", model_name)) for model_name in THRESHOLDS
    }


@pytest.mark.parametrize("model_name", THRESHOLDS)
def test_each_half_of_the_run_clips_some_heads_and_no_step_all(
    model_name: str, one_process: dict[str, Outcome]
) -> None:
    clips = torch.tensor([list(row["clips"].values()) for row in one_process[model_name].log]).flatten(
        1
    )  # (steps, heads)
    assert clips[: STEPS // 2].any()
    assert clips[STEPS // 2 :].any()
    assert not clips.all(1).any()


@dataclass
class SavedRun:
    """A whole run with a checkpoint half-way."""

    run: Run
    outcome: Outcome

    def resumed(self, world_size: int, folder: Path) -> Outcome:
        """Go on from the checkpoint, in a folder that looks as if the run had ended there."""
        checkpoint = folder / f"checkpoint-{STEPS // 2}"
        shutil.copytree(Path(self.run.folder, checkpoint.name), checkpoint)
        shutil.copy(Path(self.run.folder, LOG_NAME), folder)
        return on_ranks(world_size, replace(self.run, folder=str(folder), save_steps=0, resume=str(checkpoint)))


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SavedRun]:
    @cache
    def train_and_save(world_size: int, how: str, state_dict_type: str, model_name: str) -> SavedRun:
        folder = str(tmp_path_factory.mktemp(how))
        run = Run(folder, how, model_name, state_dict_type=state_dict_type, save_steps=STEPS // 2)
        return SavedRun(run, on_ranks(world_size, run))

    return train_and_save


WAYS = [("ddp", "FULL_STATE_DICT"), ("fsdp2", "FULL_STATE_DICT"), ("attach", "SHARDED_STATE_DICT")]


# Each way of training, with both models.
TWO_RANKS = [(*WAYS[0], "llama_gqa"), (*WAYS[1], "deepseek_v3"), (*WAYS[2], "llama_gqa")]
FOUR_RANKS = [(*WAYS[0], "deepseek_v3"), (*WAYS[1], "llama_gqa"), (*WAYS[2], "deepseek_v3")]


@pytest.mark.parametrize(
    ("how", "state_dict_type", "model_name", "world_size"),
    [*((*way, 2) for way in TWO_RANKS), *((*way, 4) for way in FOUR_RANKS)],
)
def test_ranks_train_as_one_process_does(
    how: str,
    state_dict_type: str,
    model_name: str,
    world_size: int,
    saved_run: Callable[..., SavedRun],
    one_process: dict[str, Outcome],
) -> None:
    saved = saved_run(world_size, how, state_dict_type, model_name)
    assert_close(saved.outcome, one_process[model_name], atol=1e-5)


@pytest.mark.parametrize("how", ["ddp", "fsdp2"])
def test_gradient_accumulation_on_ranks(how: str, tmp_path: Path, one_process: dict[str, Outcome]) -> None:
    outcome = on_ranks(2, Run(str(tmp_path), how, accumulation=2))
    assert_close(outcome, one_process["llama_gqa"], atol=1e-5)


def test_activation_checkpointing_under_fsdp2(tmp_path: Path, one_process: dict[str, Outcome]) -> None:
    outcome = on_ranks(2, Run(str(tmp_path), "fsdp2", activation_checkpointing=True))
    assert_close(outcome, one_process["llama_gqa"], atol=1e-5)


@pytest.mark.parametrize(("how", "state_dict_type", "model_name"), TWO_RANKS)
def test_a_resumed_run_equals_the_uninterrupted_one(
    how: str, state_dict_type: str, model_name: str, tmp_path: Path, saved_run: Callable[..., SavedRun]
) -> None:
    saved = saved_run(2, how, state_dict_type, model_name)
    assert_close(saved.resumed(2, tmp_path), saved.outcome, atol=0.0)


@pytest.mark.parametrize(
    ("how", "state_dict_type", "model_name", "before", "after"),
    [*((*way, 2, 4) for way in TWO_RANKS), *((*way, 4, 2) for way in FOUR_RANKS)],
)
def test_a_run_resumes_on_another_number_of_ranks(
    how: str,
    state_dict_type: str,
    model_name: str,
    before: int,
    after: int,
    tmp_path: Path,
    saved_run: Callable[..., SavedRun],
) -> None:
    saved = saved_run(before, how, state_dict_type, model_name)
    assert_close(saved.resumed(after, tmp_path), saved.outcome, atol=1e-5)


@pytest.mark.parametrize(("how", "name"), [("ddp", "optimizer.pt"), ("fsdp2", "optimizer.bin")])
def test_the_saved_optimizer_is_whole_and_holds_only_tensors_and_plain_values(
    how: str, name: str, saved_run: Callable[..., SavedRun]
) -> None:
    saved = saved_run(2, how, "FULL_STATE_DICT", {"ddp": "llama_gqa", "fsdp2": "deepseek_v3"}[how])
    state = torch.load(Path(saved.run.folder, f"checkpoint-{STEPS // 2}", name), weights_only=True)["state"]
    moments = [value for moments in state.values() for value in moments.values() if value.ndim > 0]
    weights = saved.outcome.weights
    assert {tuple(moment.shape) for moment in moments} == {tuple(weight.shape) for weight in weights.values()}


def save_otherwise(folder: str, strategy: str, with_callback: bool) -> list[str]:
    """Train under DDP, saving each epoch or after an evaluation that is the best so far; return the checkpoints."""
    settings: dict[str, Any] = {"save_strategy": strategy, "per_device_train_batch_size": 2, "num_train_epochs": 1}
    if strategy == "best":
        settings |= {"eval_strategy": "steps", "eval_steps": 2, "metric_for_best_model": "loss"}
    args = TrainingArguments(folder, report_to="none", use_cpu=True, disable_tqdm=True, **settings)
    model, data = sharp_model("llama_gqa"), token_rows(count=16)
    callbacks = [MuonClipCallback()] if with_callback else []
    optimizers = muonclip(model, args, ns_dtype="float32")
    Trainer(
        model, args, train_dataset=data, eval_dataset=token_rows(count=4), optimizers=optimizers, callbacks=callbacks
    ).train()
    return sorted(path.name for path in Path(folder).glob("checkpoint-*"))


@pytest.mark.parametrize(("strategy", "with_callback"), [("epoch", True), ("best", True), ("epoch", False)])
def test_the_state_is_whole_whenever_the_trainer_saves(strategy: str, with_callback: bool, tmp_path: Path) -> None:
    environment = {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    (checkpoints, _) = run_on_ranks(2, save_otherwise, str(tmp_path), strategy, with_callback, environment=environment)
    assert checkpoints
    parameters = sum(1 for _ in sharp_model("llama_gqa").parameters())
    for name in checkpoints:
        state = torch.load(tmp_path / name / "optimizer.pt", weights_only=True)["state"]
        assert len(state) == parameters
        assert all(moment.numel() for moments in state.values() for moment in moments.values())
