"""QK-Clip beside DeepSpeed's optimizers: real engines on real processes, each ZeRO stage."""

import importlib.util
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DeepSpeedPlugin
from deepspeed_uncompiled import compile_nothing
from error_messages import naming
from processes import run_on_ranks
from tiny_trainer import HEADS, THRESHOLD, sharp_model, token_rows
from torch import Tensor
from transformers import LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

from hf_muonclip import DeepSpeedClipCallback, MuonClip

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed"),
    pytest.mark.slow,
]

ENVIRONMENT = {"DS_ACCELERATOR": "cpu", "MASTER_ADDR": "localhost"}
STEPS = 3
MUON = {"type": "Muon", "params": {"lr": "auto", "weight_decay": "auto", "momentum": 0.95}}
ADAMW = {"type": "AdamW", "params": {"lr": "auto", "weight_decay": "auto", "torch_adam": True}}


def deepspeed_config(stage: int, optimizer: dict[str, Any] = MUON, **settings: Any) -> dict[str, Any]:
    zero = {"stage": stage, **({"reduce_scatter": False} if optimizer is MUON and stage == 3 else {})}
    return {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        "optimizer": optimizer,
        **settings,
    }


def query_and_key_weights(model: torch.nn.Module) -> dict[str, Any]:
    return {name: p for name, p in model.named_parameters() if "q_proj" in name or "k_proj" in name}


class Snapshot(TrainerCallback):
    """Keeps the query and key weights of every step: in float32, and in the model's dtype."""

    def __init__(self) -> None:
        self.masters: list[dict[str, Tensor]] = []
        self.copies: list[dict[str, Tensor]] = []

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        import deepspeed
        from deepspeed.utils import safe_get_full_fp32_param

        named = query_and_key_weights(kwargs["model"])
        with deepspeed.zero.GatheredParameters(list(named.values())):
            self.copies.append({name: p.detach().clone() for name, p in named.items()})
        self.masters.append(
            {
                name: self.copies[-1][name] if weight is None else weight.clone()
                for name, weight in ((name, safe_get_full_fp32_param(p)) for name, p in named.items())
            }
        )


class SnapshotAfterwards(Snapshot):
    """The Trainer warns of two callbacks of one class."""


class MaximaOfSteps(TrainerCallback):
    def __init__(self, clipper: DeepSpeedClipCallback) -> None:
        self.clipper = clipper
        self.max_logits: list[dict[str, Tensor]] = []
        self.gammas: list[dict[str, Tensor]] = []
        self.new_steps, self.last_step = 0, None

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.clipper._watched is not None
        step = self.clipper._watched.last_step
        self.new_steps += step is not None and step is not self.last_step
        self.last_step = step
        self.max_logits.append({} if step is None else dict(step.max_logits))
        self.gammas.append({} if step is None else dict(step.gammas))


class Overflow(TrainerCallback):
    """Makes the gradients of one step infinite."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        def poison(module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
            if state.global_step + 1 == self.step:
                output.register_hook(lambda gradient: gradient * float("inf"))

        kwargs["model"].get_submodule("model.layers.0.mlp.down_proj").register_forward_hook(poison)


def train(
    config: dict[str, Any],
    clip: dict[str, Any],
    overflow_at: int = 0,
    loaded_from: str = "",
    **settings: Any,
) -> dict[str, Any]:
    """Train on the same 8 rows at every step; return what every step saw and left."""
    compile_nothing()
    callback = DeepSpeedClipCallback(exact_max_logits=True, **clip)
    before, after, maxima = Snapshot(), SnapshotAfterwards(), MaximaOfSteps(callback)
    batch = {"per_device_train_batch_size": 8 // torch.distributed.get_world_size(), **settings}
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            folder,
            max_steps=STEPS,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            deepspeed=config,
            **batch,
        )
        if loaded_from:
            model = LlamaForCausalLM.from_pretrained(loaded_from)
            assert all(parameter.numel() == 0 for parameter in model.parameters())
        else:
            model = sharp_model()
        trainer = Trainer(
            model,
            args,
            train_dataset=token_rows(count=8),
            callbacks=[Overflow(overflow_at), before, callback, maxima, after],
        )
        trainer.train()
        assert not any(hasattr(module, "_attention_observer") for module in model.modules())
        assert callback.statistics is not None
        return {
            "before": before.masters,
            "after": after.masters,
            "copies": after.copies,
            "max_logits": maxima.max_logits,
            "gammas": maxima.gammas,
            "logs": [row for row in trainer.state.log_history if "loss" in row],
            "updates": maxima.new_steps,
            "statistics": callback.statistics.to_dict(),
        }


def with_and_without(config: dict[str, Any], learning_rate: float) -> tuple[dict[str, Any], dict[str, Any]]:
    settings: dict[str, Any] = {"learning_rate": learning_rate}
    clipped = train(config, {"qk_clip_threshold": THRESHOLD}, **settings)
    return clipped, train(config, {"qk_clip_threshold": float("inf")}, **settings)


def expected_weights(before: dict[str, Tensor], gammas: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scale each head's rows by the root of its gamma, in float64."""
    expected = {}
    for name, weight in before.items():
        factors = gammas[name.removesuffix(".weight").rpartition(".")[0]].double().sqrt()
        expected[name] = (weight.double().view(HEADS, -1, weight.shape[1]) * factors.view(HEADS, 1, 1)).view_as(weight)
    return expected


def assert_scaled_as_gammas_say(run: dict[str, Any], dtype: torch.dtype = torch.float32) -> None:
    clipped = 0
    for before, after, copies, gammas in zip(run["before"], run["after"], run["copies"], run["gammas"], strict=True):
        for name, expected in expected_weights(before, gammas).items():
            assert after[name].dtype == torch.float32
            torch.testing.assert_close(after[name].double(), expected, rtol=1e-6, atol=1e-8)
            assert copies[name].dtype == dtype
            assert torch.equal(copies[name], after[name].to(dtype))
            untouched = gammas[name.removesuffix(".weight").rpartition(".")[0]] == 1
            by_head = [tensor.view(HEADS, -1)[untouched] for tensor in (after[name], before[name])]
            assert torch.equal(*by_head)
        clipped += sum(int((gamma < 1).sum()) for gamma in gammas.values())
    assert clipped > 0


@pytest.mark.parametrize(
    ("world_size", "stage", "optimizer"),
    [(2, 0, ADAMW), (2, 1, MUON), (2, 2, MUON), (2, 3, MUON), (1, 2, ADAMW), (2, 3, ADAMW)],
    ids=[
        "2 ranks zero0 adamw",
        "2 ranks zero1 muon",
        "2 ranks zero2 muon",
        "2 ranks zero3 muon",
        "1 rank zero2 adamw",
        "2 ranks zero3 adamw",
    ],
)
def test_clipped_heads_land_on_tau_and_stay_there(world_size: int, stage: int, optimizer: dict[str, Any]) -> None:
    # At a rate of zero the optimizer leaves every weight as it is, so the next step measures what the clip left.
    results = run_on_ranks(
        world_size, with_and_without, deepspeed_config(stage, optimizer), 0.0, environment=ENVIRONMENT
    )
    for clipped, free in results:
        assert_scaled_as_gammas_say(clipped)
        first, second, third = clipped["max_logits"]
        for layer, (name, maxima) in enumerate(first.items()):
            above = maxima > THRESHOLD
            assert above.any()
            assert not above.all()
            # The clip of a layer moves what the next layers see, so only the first lands exactly.
            slack = 1e-4 if layer == 0 else 0.05
            for later in (second, third):
                at_tau = torch.full_like(maxima[above], THRESHOLD)
                torch.testing.assert_close(later[name][above], at_tau, rtol=slack, atol=0)
                torch.testing.assert_close(later[name][~above], maxima[~above], rtol=slack, atol=0)
            for step in free["max_logits"]:
                torch.testing.assert_close(step[name], maxima, rtol=1e-6, atol=0)
    for clipped, _ in results[1:]:
        for step, same in zip(clipped["copies"], results[0][0]["copies"], strict=True):
            assert all(torch.equal(step[name], same[name]) for name in step)


def accumulated_and_whole(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    clip: dict[str, Any] = {"qk_clip_threshold": THRESHOLD}
    settings: dict[str, Any] = {"learning_rate": 0.01, "bf16": True}
    accumulated = train(config, clip, per_device_train_batch_size=1, gradient_accumulation_steps=4, **settings)
    return accumulated, train(config, clip, **settings)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bfloat16_and_float32_weights_are_both_clipped_in_training(stage: int) -> None:
    config = deepspeed_config(stage, bf16={"enabled": True})
    for accumulated, whole in run_on_ranks(2, accumulated_and_whole, config, environment=ENVIRONMENT):
        for run in (accumulated, whole):
            assert_scaled_as_gammas_say(run, torch.bfloat16)
            losses = [row["loss"] for row in run["logs"]]
            assert losses == sorted(losses, reverse=True)
            highest = [max(float(maxima.max()) for maxima in step.values()) for step in run["max_logits"]]
            assert [row["qk_clip/max_logit"] for row in run["logs"]] == pytest.approx(highest, abs=1e-4)
            clipped = [sum(int((gamma < 1).sum()) for gamma in step.values()) for step in run["gammas"]]
            assert [row["qk_clip/clipped_heads"] for row in run["logs"]] == clipped
        for name, maxima in whole["max_logits"][0].items():  # of the micro-batches together
            torch.testing.assert_close(accumulated["max_logits"][0][name], maxima, rtol=1e-2, atol=0)


def overflowing(config: dict[str, Any]) -> dict[str, Any]:
    """Make the gradient of the second step overflow."""
    return train(config, {"qk_clip_threshold": THRESHOLD}, overflow_at=2, learning_rate=0.01, bf16=True)


@pytest.mark.parametrize("stage", [2, 3])
def test_a_step_that_overflowed_is_not_clipped(stage: int) -> None:
    config = deepspeed_config(stage, bf16={"enabled": True, "check_grad_overflow": True})
    for run in run_on_ranks(2, overflowing, config, environment=ENVIRONMENT):
        first, second, third = run["after"]
        assert all(torch.equal(second[name], first[name]) for name in first)
        assert any(not torch.equal(third[name], second[name]) for name in first)
        assert run["updates"] == 2
        assert max(clips for heads in run["statistics"].values() for clips in heads["clips"]) <= 2


def whole_and_in_parts(folder: str, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    clip: dict[str, Any] = {"qk_clip_threshold": THRESHOLD}
    whole = train(config, clip, learning_rate=0.01)
    return whole, train(config, clip, loaded_from=folder, learning_rate=0.01)


def test_a_model_that_was_loaded_in_parts_is_clipped_as_a_whole_one(tmp_path: Path) -> None:
    sharp_model().save_pretrained(tmp_path)
    for whole, in_parts in run_on_ranks(
        2, whole_and_in_parts, str(tmp_path), deepspeed_config(3), environment=ENVIRONMENT
    ):
        assert_scaled_as_gammas_say(in_parts)
        for step, same in zip(in_parts["after"], whole["after"], strict=True):
            for name, weight in step.items():
                torch.testing.assert_close(weight, same[name], rtol=1e-5, atol=1e-6)


def trainer_in(folder: str, config: dict[str, Any], **settings: Any) -> tuple[Trainer, DeepSpeedClipCallback]:
    compile_nothing()
    args = TrainingArguments(
        folder,
        lr_scheduler_type="constant",
        learning_rate=0.01,
        per_device_train_batch_size=4,
        logging_steps=1,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        deepspeed=config,
        **settings,
    )
    callback = DeepSpeedClipCallback(THRESHOLD)
    return Trainer(sharp_model(), args, train_dataset=token_rows(count=8), callbacks=[callback]), callback


def through_and_resumed(folder: str, config: dict[str, Any]) -> list[dict[str, Any]]:
    results = []
    for resumed in (False, True):
        trainer, callback = trainer_in(folder, config, max_steps=4, save_steps=2)
        trainer.train(resume_from_checkpoint=f"{folder}/checkpoint-2" if resumed else None)
        assert callback.statistics is not None
        results.append(callback.statistics.to_dict())
    return results


@pytest.mark.parametrize("stage", [2, 3])
def test_statistics_and_clip_resume(stage: int, tmp_path: Path) -> None:
    for through, resumed in run_on_ranks(
        2, through_and_resumed, str(tmp_path), deepspeed_config(stage, ADAMW), environment=ENVIRONMENT
    ):
        assert max(clips for heads in through.values() for clips in heads["clips"]) > 2
        assert resumed == through


def refusal_in_training(config: dict[str, Any], settings: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = trainer_in(folder, config, max_steps=1, save_strategy="no", **settings)
        with pytest.raises(ValueError) as refusal:  # noqa: PT011
            trainer.train()
        assert trainer.model is not None
        assert not any(hasattr(module, "_attention_observer") for module in trainer.model.modules())
    return str(refusal.value)


def test_an_optimizer_that_hides_its_float32_weights_is_refused() -> None:
    config = deepspeed_config(0, bf16={"enabled": True})
    for said in run_on_ranks(2, refusal_in_training, config, {"bf16": True}, environment=ENVIRONMENT):
        assert "FP16_" in said
        assert re.search(naming("model.layers.0.self_attn.q_proj.weight", "ZeRO"), said)


def muonclip_in_an_accelerate_loop(stage: int) -> tuple[str, int]:
    compile_nothing()
    config = {
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 1,
        "zero_optimization": {"stage": stage},
        "zero_force_ds_cpu_optimizer": False,
    }
    accelerator = Accelerator(deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=config))
    model = sharp_model()
    optimizer = MuonClip(model)
    engine, _ = accelerator.prepare(model, optimizer)
    tokens = torch.stack([row["input_ids"] for row in token_rows(count=4)])
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        accelerator.backward(engine(input_ids=tokens, labels=tokens).loss)
    return str(refusal.value), optimizer.updates


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_muonclip_as_the_optimizer_is_refused_before_it_writes(stage: int) -> None:
    for said, updates in run_on_ranks(2, muonclip_in_an_accelerate_loop, stage, environment=ENVIRONMENT):
        assert re.search(naming("Muon", 14, 1, "FSDP2", "DeepSpeedClipCallback"), said)
        assert updates == 0
