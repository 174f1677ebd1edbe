"""The gradient that the optimizer gets is the papers' equation, whatever TRL, PEFT and ranks do on the way there."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from reference import k2_rl_loss, k25_rl_loss
from tiny_rl import CLOSE, SEVERAL, Step, relative_error, rl_trainer, tiny_policy, true_gradient
from torch import Tensor, nn

from hf_muonclip.rl.objective import k2_loss, k25_loss, sample_weights

LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3, "target_modules": ["q_proj", "v_proj", "up_proj"]}
OBJECTIVES = pytest.mark.parametrize("objective", ["k2", "k25"])


def lora(model: nn.Module) -> nn.Module:
    """LoRA whose B is not zero, or A would have no gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = get_peft_model(model, LoraConfig(**LORA, init_lora_weights=False))
    return adapted


def assert_the_gradients_are_true(steps: list[Step], args: Any, build: Any = tiny_policy, aux: float = 0.0) -> None:
    assert len(steps) == args.max_steps
    for step in steps:
        assert relative_error(step.gradient, true_gradient([step], build, args, aux)) < CLOSE


@OBJECTIVES
def test_padded_batches_several_epochs_and_accumulation(objective: str, tmp_path: Path) -> None:
    trainer = rl_trainer(tmp_path, objective=objective, temperature=0.8, **SEVERAL)
    trainer.train()
    assert_the_gradients_are_true(trainer.steps, trainer.args)
    assert any((batch["prompt_mask"] == 0).any() for batch in trainer.steps[0].batches)
    lengths = torch.cat([batch["completion_mask"].sum(-1) for batch in trainer.steps[0].batches])
    assert len(lengths) == 8
    assert lengths.unique().numel() > 2
    first, second = trainer.state.log_history[:2]
    assert first["log_ratio/abs_mean"] == 0
    assert second["log_ratio/abs_mean"] > 0.1  # the regularizer counts
    if objective == "k25":
        assert 0 < second["clip_ratio"] < 1


@OBJECTIVES
def test_what_tools_return_does_not_count(objective: str, tmp_path: Path) -> None:
    def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(len(trainer.sampled))
        lengths = torch.randint(2, 9, (len(prompts),), generator=generator).tolist()
        completions = [torch.randint(3, 128, (n,), generator=generator).tolist() for n in lengths]
        masks = [torch.randint(0, 2, (n,), generator=generator).tolist() for n in lengths]
        for mask in masks:
            mask[0] = 1
        ids = [
            trainer.processing_class.apply_chat_template(p, add_generation_prompt=True)["input_ids"] for p in prompts
        ]
        return {"prompt_ids": ids, "completion_ids": completions, "logprobs": None, "env_mask": masks}

    # In float64 but for TRL's head, which is float32: of what cancels in the log-ratio, little is left in float32.
    trainer = rl_trainer(tmp_path, tiny_policy().double(), {"rollout_func": rollout}, objective=objective, **SEVERAL)
    trainer.train()
    masks = [batch["tool_mask"] for batch in trainer.steps[0].batches]
    assert any((mask == 0).any() for mask in masks)
    assert_the_gradients_are_true(trainer.steps, trainer.args)


@OBJECTIVES
def test_lora_whose_dropout_is_off(objective: str, tmp_path: Path) -> None:
    trainer = rl_trainer(tmp_path, lora(tiny_policy()), objective=objective, **SEVERAL)
    trainer.train()
    assert all("lora_" in name for name in trainer.steps[0].gradient)
    assert_the_gradients_are_true(trainer.steps, trainer.args, lambda: lora(tiny_policy()))


@pytest.mark.parametrize(
    ("name", "aux", "objective"), [("mixtral", 0.0, "k2"), ("mixtral", 0.5, "k25"), ("deepseek_v3", 0.0, "k2")]
)
def test_experts_with_and_without_the_routers_balance(name: str, aux: float, objective: str, tmp_path: Path) -> None:
    def build() -> Any:
        return tiny_policy(name)

    # Steps as small as fine-tuning's: a token whose expert changes by a rounding error would belong to no gradient.
    more = {"router_aux_loss_coef": aux} if name == "mixtral" else {}
    trainer = rl_trainer(tmp_path, build(), objective=objective, **SEVERAL | {"learning_rate": 1e-4}, **more)
    trainer.train()
    assert_the_gradients_are_true(trainer.steps, trainer.args, build, aux)
    assert ("aux_loss" in trainer.state.log_history[0]) == bool(aux)


@OBJECTIVES
def test_steps_that_share_groups_add_up_to_the_objective(objective: str, tmp_path: Path) -> None:
    """A batch of completions is shuffled and cut into steps: each weighs its samples as the whole batch does."""
    still = {
        "learning_rate": 0.0,
        "steps_per_generation": 4,
        "max_steps": 4,
        "per_device_train_batch_size": 2,
        "seed": 1,
    }
    trainer = rl_trainer(tmp_path, objective=objective, **still)
    trainer.train()
    batches = [batch for step in trainer.steps for batch in step.batches]
    of_groups = [batch["prompt_ids"].unique(dim=0).shape[0] for batch in batches]
    assert max(of_groups) > 1  # some step holds parts of two groups
    assert len(trainer.sampled) == 1
    whole = Step({}, trainer.steps[0].weights, trainer.steps[0].old_weights, batches)
    mean = {
        name: torch.stack([step.gradient[name] for step in trainer.steps]).mean(0) for name in trainer.steps[0].gradient
    }
    assert relative_error(mean, true_gradient([whole], tiny_policy, trainer.args)) < CLOSE


def test_functional_attention_dropout_is_off(tmp_path: Path) -> None:
    """TRL's disable_dropout leaves out what attention functions drop themselves."""
    trainer = rl_trainer(tmp_path, tiny_policy(attention_dropout=0.5), **SEVERAL)
    trainer.train()
    assert_the_gradients_are_true(trainer.steps, trainer.args)


def random_prompts(seed: int = 0) -> tuple[list[list[tuple[Tensor, Tensor, float]]], Tensor, Tensor, Tensor]:
    """Three prompts with four samples each, as loops take them and as batches do: log-ratios, mask, advantages."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(12, 6, generator=generator) < 0.6
    mask[:, 0] = True
    old = -torch.rand(12, 6, generator=generator, dtype=torch.float64)
    new = old + 0.4 * torch.randn(12, 6, generator=generator, dtype=torch.float64)
    rewards = torch.rand(12, generator=generator, dtype=torch.float64)
    prompts = [
        [(new[i][mask[i]], old[i][mask[i]], float(rewards[i])) for i in range(first, first + 4)] for first in (0, 4, 8)
    ]
    advantages = rewards - rewards.view(3, 4).mean(1).repeat_interleave(4)
    return prompts, (new - old).masked_fill(~mask, torch.nan), mask, advantages


def test_losses_are_those_of_the_papers_and_masked_tokens_may_be_nan() -> None:
    prompts, log_ratios, mask, advantages = random_prompts()
    everything = torch.ones(12, dtype=torch.bool)
    for objective, losses, truth in (
        ("k2", k2_loss(log_ratios, mask, advantages, 0.3), k2_rl_loss(prompts, 0.3)),
        ("k25", k25_loss(log_ratios, mask, advantages, 0.3, (0.8, 1.3)), k25_rl_loss(prompts, 0.3, 0.8, 1.3)),
    ):
        loss = (losses * sample_weights(objective, everything, mask.sum(1), 4).double()).mean()
        torch.testing.assert_close(loss, truth, rtol=1e-6, atol=1e-8)


@OBJECTIVES
def test_samples_that_were_not_measured_are_as_if_they_were_not_there(objective: str) -> None:
    prompts, log_ratios, mask, _ = random_prompts()
    measured = torch.tensor([1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1], dtype=torch.bool)
    kept = [[s for s, there in zip(prompts[0], measured.tolist(), strict=False) if there], prompts[2]]
    rewards = torch.tensor([reward for samples in prompts for _, _, reward in samples], dtype=torch.float64)
    means = rewards.masked_fill(~measured, torch.nan).view(3, 4).nanmean(1).nan_to_num().repeat_interleave(4)
    if objective == "k2":
        losses, truth = k2_loss(log_ratios, mask, rewards - means, 0.3), k2_rl_loss(kept, 0.3)
    else:
        losses = k25_loss(log_ratios, mask, rewards - means, 0.3, (0.8, 1.2))
        truth = k25_rl_loss(kept, 0.3, 0.8, 1.2)
    loss = (losses * sample_weights(objective, measured, mask.sum(1), 4).double()).mean()
    torch.testing.assert_close(loss, truth, rtol=1e-6, atol=1e-8)
    nothing = sample_weights(objective, torch.zeros(12, dtype=torch.bool), mask.sum(1), 4)
    assert nothing.tolist() == [0] * 12


def test_an_infinite_ratio_has_no_gradient_of_nan() -> None:
    log_ratios = torch.tensor([[1000.0, 0.1]], requires_grad=True)
    k25_loss(log_ratios, torch.ones(1, 2), torch.ones(1), 0.1, (0.8, 1.2)).sum().backward()
    assert log_ratios.grad is not None
    torch.testing.assert_close(log_ratios.grad, torch.tensor([[200.0, 0.02 - torch.tensor(0.1).exp()]]))
