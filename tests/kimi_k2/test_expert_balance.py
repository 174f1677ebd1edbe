"""The experts' loads and the router's bias against the slow truth, and what a Trainer logs and resumes of them."""

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
from error_messages import naming
from routed_models import ROUTED_MODELS, routed_model
from tiny_models import random_batch, tiny_model
from tiny_trainer import assert_equal_weights, build, weights_of
from torch import Tensor, nn
from transformers import DeepseekV3ForCausalLM, PreTrainedModel, TrainerCallback
from transformers.trainer_callback import CallbackHandler

from hf_muonclip import MuonClipCallback
from hf_muonclip.kimi_k2 import ExpertBalanceCallback, ExpertBalancer
from hf_muonclip.kimi_k2.expert_balance import max_violation
from hf_muonclip.kimi_k2.routers import BIAS
from hf_muonclip.runs import figure_names

RATE = 0.01
EXPERTS, CHOSEN, MOE_LAYERS = 4, 2, 2
FIGURES = {name.removeprefix("expert_load/") for name in figure_names.FIGURES if name.startswith("expert_load/")}


@contextmanager
def recorded_routers(model: PreTrainedModel) -> Iterator[dict[str, list[Tensor]]]:
    """Keep what goes into every router, by the name of its mixture of experts: (batch, length, hidden) a forward."""
    seen: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in model.named_modules():
        if hasattr(module, BIAS):

            def record(module: nn.Module, args: tuple[Any, ...], name: str = name) -> None:
                seen.setdefault(name.removesuffix(".gate"), []).append(args[0].detach().clone())

            hooks.append(module.register_forward_pre_hook(record))
    yield seen
    for hook in hooks:
        hook.remove()


def routers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return DeepseekV3's routers by the name of their mixture of experts."""
    return {name.removesuffix(".gate"): module for name, module in model.named_modules() if hasattr(module, BIAS)}


def one_step(model: PreTrainedModel, balancer: ExpertBalancer, *batches: dict[str, Tensor]) -> dict[str, Tensor]:
    for batch in batches:
        model(**batch).loss.backward()
    balancer.update()
    model.zero_grad()
    return balancer.loads


def test_several_steps_are_those_of_the_slow_truth():
    model = tiny_model("deepseek_v3", routed_scaling_factor=2.5)
    balancer = ExpertBalancer(model, RATE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    expected = {name: router.e_score_correction_bias.double() for name, router in routers(model).items()}
    moved: set[float] = set()
    for step in range(4):
        batches = [random_batch(model, seed=10 * step + micro, padding="right") for micro in range(2)]
        weights = {name: router.weight.detach().clone() for name, router in routers(model).items()}
        with recorded_routers(model) as seen:
            for batch in batches:
                model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        balancer.update()
        assert list(balancer.loads) == list(seen) == list(expected)
        for name, inputs in seen.items():
            load = [0] * EXPERTS
            for hidden, batch in zip(inputs, batches, strict=True):
                real = batch["attention_mask"].bool()
                chosen, _ = reference.route(hidden[real], weights[name], expected[name], CHOSEN)
                for expert in (expert for of_token in chosen for expert in of_token):
                    load[expert] += 1
            assert balancer.loads[name].tolist() == load
            before = expected[name]
            expected[name] = reference.balanced_bias(before, load, RATE)
            moved |= set((expected[name] - before).div(RATE).round().tolist())
            torch.testing.assert_close(balancer.biases()[name].double(), expected[name], atol=1e-6, rtol=1e-6)
    assert moved >= {-1.0, 1.0}


def route(block, hidden):
    """Return the experts of each token and their weights, (tokens, CHOSEN) both."""
    routed = block.gate(hidden)
    if isinstance(routed, torch.Tensor):  # logits, of which the block chooses in older transformers
        return block.route_tokens_to_experts(routed)
    _, weights, indices = routed
    return indices, weights


def test_the_models_router_is_the_slow_truths():
    model = tiny_model("deepseek_v3")
    block = model.model.layers[1].mlp
    router = block.gate
    hidden = torch.randn(20, 64, generator=torch.Generator().manual_seed(3))
    indices, weights = route(block, hidden)
    chosen, expected = reference.route(hidden, router.weight.detach(), router.e_score_correction_bias, CHOSEN, 2.5)
    order = indices.argsort(dim=1)
    assert indices.gather(1, order).tolist() == [sorted(of_token) for of_token in chosen]
    by_expert = [[w for _, w in sorted(zip(c, e, strict=True))] for c, e in zip(chosen, expected, strict=True)]
    torch.testing.assert_close(weights.gather(1, order), torch.tensor(by_expert), atol=1e-5, rtol=1e-5)


def test_an_expert_at_the_mean_stays():
    model = tiny_model("deepseek_v3")
    balancer = ExpertBalancer(model, RATE)
    before = balancer.biases()
    one_step(model, balancer, random_batch(model))
    for router in balancer._routers.values():
        router.counts = torch.tensor([5, 5, 3, 7])
    middle = balancer.biases()
    balancer.update()
    for name, bias in balancer.biases().items():
        assert not torch.equal(middle[name], before[name])
        assert torch.equal((bias - middle[name]).div(RATE).round(), torch.tensor([0.0, 0.0, 1.0, -1.0]))


@pytest.mark.parametrize("padding", ["left", "right"])
def test_padding_does_not_count(padding):
    model = tiny_model("deepseek_v3")
    balancer = ExpertBalancer(model)
    batch = random_batch(model, batch_size=3, padding=padding)
    real = int(batch["attention_mask"].sum())
    assert real < batch["input_ids"].numel()
    assert {int(load.sum()) for load in one_step(model, balancer, batch).values()} == {real * CHOSEN}
    positional = {"labels": batch["labels"]}
    model(batch["input_ids"], batch["attention_mask"], **positional).loss.backward()
    balancer.update()
    assert {int(load.sum()) for load in balancer.loads.values()} == {real * CHOSEN}
    # The mask of one forward does not outlive it.
    del batch["attention_mask"]
    whole = batch["input_ids"].numel()
    assert {int(load.sum()) for load in one_step(model, balancer, batch).values()} == {whole * CHOSEN}


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_the_padding_of_a_forward_is_its_own(use_reentrant):
    model = tiny_model("deepseek_v3")
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    balancer = ExpertBalancer(model)
    batches = [random_batch(model, seed=seed) for seed in range(2)]
    mask = torch.ones_like(batches[0]["input_ids"])
    mask[0, 3:] = 0
    real = int(mask.sum()) + mask.numel()
    # Two micro-batches in flight, one of them by the base model alone, and a forward without gradients between.
    states = [model.model(input_ids=batches[0]["input_ids"], attention_mask=mask).last_hidden_state]
    with torch.no_grad():
        model(input_ids=batches[1]["input_ids"], attention_mask=1 - mask)
    states.append(model.model(input_ids=batches[1]["input_ids"]).last_hidden_state)
    for state in states:
        state.square().mean().backward()
    balancer.update()
    assert {int(load.sum()) for load in balancer.loads.values()} == {real * CHOSEN}


def test_only_training_forwards_with_gradients_count():
    model = tiny_model("deepseek_v3")
    balancer = ExpertBalancer(model)
    batch = random_batch(model)
    with torch.no_grad():
        model(**batch)
        model.generate(batch["input_ids"], max_new_tokens=2, do_sample=False)
    model.eval()
    model(**batch)
    model.train()
    with pytest.raises(ValueError, match=naming("update")):
        balancer.update()
    loads = one_step(model, balancer, batch)
    assert {int(load.sum()) for load in loads.values()} == {batch["input_ids"].numel() * CHOSEN}
    with pytest.raises(ValueError, match=naming("model.layers.1.mlp", "model.layers.2.mlp")):
        balancer.update()


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_counts_once(use_reentrant):
    plain, checkpointed = tiny_model("deepseek_v3"), tiny_model("deepseek_v3")
    checkpointed.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    calls = []
    checkpointed.model.layers[1].mlp.experts.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    batches = [random_batch(plain, seed=seed) for seed in range(2)]
    expected, found = (ExpertBalancer(model, RATE) for model in (plain, checkpointed))
    for _ in range(2):
        one_step(plain, expected, *batches)
        one_step(checkpointed, found, *batches)
        for name, load in expected.loads.items():
            assert torch.equal(found.loads[name], load)
            assert torch.equal(found.biases()[name], expected.biases()[name])
    assert len(calls) == 8  # each of two micro-batches twice, in two steps
    assert calls.count(False) == (4 if use_reentrant else 0)


@pytest.mark.parametrize("model_type", ROUTED_MODELS)
def test_other_architectures_with_such_a_bias(model_type):
    model = routed_model(model_type)
    balancer = ExpertBalancer(model, RATE)
    before = balancer.biases()
    loads = one_step(model, balancer, random_batch(model))
    assert len(loads) == (3 if model_type == "minimax_m2" else 2)
    for name, bias in balancer.biases().items():
        assert loads[name].sum() == 32 * CHOSEN
        expected = reference.balanced_bias(before[name], loads[name].tolist(), RATE)
        torch.testing.assert_close(bias.double(), expected, atol=1e-7, rtol=1e-6)
    owners = [getattr(module, BIAS) for module in model.modules() if isinstance(getattr(module, BIAS, None), Tensor)]
    for owner, bias in zip(owners, balancer.biases().values(), strict=True):
        assert torch.equal(owner.flatten(), bias)


def test_repeated_updates_balance_a_router_that_prefers_one_expert():
    model = tiny_model("deepseek_v3", n_routed_experts=8)
    for router in routers(model).values():
        router.e_score_correction_bias.zero_()
        router.e_score_correction_bias[0] = 0.2
    balancer = ExpertBalancer(model, 5e-3)
    batch = random_batch(model, batch_size=8, length=32)
    violations = []
    for _ in range(60):
        model(**batch)
        balancer.update()
        violations.append(max(float(max_violation(load)) for load in balancer.loads.values()))
    assert violations[0] == 3.0  # of eight experts with two for each token: all choose the one
    assert max(violations[-10:]) < 0.3


def test_without_a_rate_loads_are_counted_and_the_bias_stays():
    model = tiny_model("deepseek_v3")
    balancer = ExpertBalancer(model, 0.0)
    before = balancer.biases()
    loads = one_step(model, balancer, random_batch(model))
    assert all(load.sum() > 0 for load in loads.values())
    assert all(torch.equal(bias, before[name]) for name, bias in balancer.biases().items())
    balancer.update_rate = RATE
    one_step(model, balancer, random_batch(model))
    assert all(not torch.equal(bias, before[name]) for name, bias in balancer.biases().items())


def test_the_gates_gradient_does_not_see_the_bias():
    gradients = []
    for offset in (0.0, 0.25):
        model = tiny_model("deepseek_v3")
        for router in routers(model).values():
            router.e_score_correction_bias.zero_().add_(offset)  # of all experts: the choice is the same
        ExpertBalancer(model)
        model(**random_batch(model)).loss.backward()
        gradients.append([router.weight.grad for router in routers(model).values()])
        assert all(router.e_score_correction_bias.grad is None for router in routers(model).values())
    for first, second in zip(*gradients, strict=True):
        assert first.abs().max() > 0
        assert torch.equal(first, second)


def test_the_bias_stays_float32_in_a_bfloat16_model(tmp_path: Path):
    model = tiny_model("deepseek_v3").to(torch.bfloat16)
    tensors = {name: router.e_score_correction_bias for name, router in routers(model).items()}
    for tensor in tensors.values():
        tensor.fill_(0.5)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    balancer = ExpertBalancer(model, 1e-3)
    for _ in range(3):
        one_step(model, balancer, random_batch(model))
    for name, router in routers(model).items():
        assert router.e_score_correction_bias is tensors[name]  # DDP may hold it
        assert router.e_score_correction_bias.dtype == torch.float32
        assert 0.0005 < (router.e_score_correction_bias - 0.5).abs().max() < 0.0035
    model.save_pretrained(tmp_path, save_original_format=True)
    again = DeepseekV3ForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    for name, router in routers(again).items():
        assert router.e_score_correction_bias.dtype == torch.float32
        assert torch.equal(router.e_score_correction_bias, balancer.biases()[name])
    model.to(torch.bfloat16)  # after the balancer was made
    one_step(model, balancer, random_batch(model))
    assert {bias.dtype for bias in balancer.biases().values()} == {torch.float32}


def test_a_compiled_mixture_of_experts_counts_the_same():
    model = tiny_model("deepseek_v3")
    if not hasattr(torch.nn.functional, "grouped_mm"):  # older torch compiles its forerunner for bfloat16 alone
        model.set_experts_implementation("batched_mm")
    balancer = ExpertBalancer(model, RATE)
    block = model.model.layers[1].mlp
    hidden = torch.randn(1, 20, 64, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(block, backend="eager")
    for _ in range(2):
        compiled(hidden).sum().backward()
    compiled(hidden.detach()).sum()
    chosen = route(block, hidden)[0].flatten()
    balancer.update()
    load, other = balancer.loads.values()
    assert torch.equal(load, 3 * torch.bincount(chosen, minlength=EXPERTS))
    assert other.sum() == 0  # a layer without tokens


def test_detach_leaves_the_model_as_it_was():
    model = tiny_model("deepseek_v3")
    hooks = [len(module._forward_pre_hooks) for module in model.modules()]
    balancer = ExpertBalancer(model)
    model(**random_batch(model)).loss.backward()
    balancer.detach()
    assert [len(module._forward_pre_hooks) for module in model.modules()] == hooks
    with pytest.raises(ValueError, match=r"before detach\(\)"):
        balancer.update()


@pytest.mark.parametrize(
    ("model_name", "rate", "message"),
    [
        ("llama_gqa", 1e-3, naming("e_score_correction_bias", "LlamaForCausalLM")),
        ("mixtral", 1e-3, naming("e_score_correction_bias", "MixtralForCausalLM")),
        ("deepseek_v3", -1e-3, naming("update_rate", -0.001)),
        ("deepseek_v3", float("nan"), naming("update_rate", "nan")),
    ],
)
def test_what_cannot_be_balanced_is_refused(model_name, rate, message):
    with pytest.raises(ValueError, match=message):
        ExpertBalancer(tiny_model(model_name), rate)


def test_a_bias_without_experts_is_refused():
    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e_score_correction_bias = nn.Buffer(torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(ValueError, match=naming("experts")):
        ExpertBalancer(nn.Sequential(Router()))
    model = nn.ModuleDict({"gate": Router(), "experts": nn.Identity()})
    balancer = ExpertBalancer(model)
    assert list(balancer._routers) == [""]
    with pytest.raises(ValueError, match=naming("experts", "integer")):
        model["experts"](torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("load", "violation"), [([4, 4, 4, 4], 0.0), ([16, 0, 0, 0], 3.0), ([7, 5, 3, 1], 0.75), ([0, 0], 0.0)]
)
def test_max_violation(load, violation):
    assert max_violation(torch.tensor(load)).item() == pytest.approx(violation)


class Tracker(TrainerCallback):
    """Notes what a reporting callback reads. Handlers call it first, as the Trainer's own trackers."""

    def __init__(self) -> None:
        self.read: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        self.read.append(dict(logs))


def test_the_trainer_logs_and_balances(tmp_path: Path):
    call_event = CallbackHandler.call_event
    tracker, seen = Tracker(), []

    class Loads(TrainerCallback):
        def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            assert callback.balancer is not None
            seen.append(copy.deepcopy(callback.balancer.loads))

    callback = ExpertBalanceCallback(RATE)
    model = tiny_model("deepseek_v3")
    callbacks = [tracker, MuonClipCallback(), callback, Loads()]
    trainer = build(tmp_path, model, callbacks, gradient_accumulation_steps=2, max_steps=4, eval_strategy="epoch")
    before = {name: router.e_score_correction_bias.clone() for name, router in routers(model).items()}
    trainer.train()
    assert CallbackHandler.call_event is call_event
    assert callback.balancer is None
    rows = [row for row in tracker.read if "loss" in row]
    assert [row["step"] for row in trainer.state.log_history if "loss" in row] == [2, 4]
    tokens = 2 * 4 * 12
    assert {int(load.sum()) for step in seen for load in step.values()} == {tokens * CHOSEN}
    for row, first in zip(rows, (0, 2), strict=True):
        assert {name for name in row if name.startswith("expert_load/")} == {f"expert_load/{n}" for n in FIGURES}
        assert "qk_clip/max_logit" in row
        steps = [list(step.values()) for step in seen[first : first + 2]]
        violations = torch.tensor([[max(load) / (sum(load) / EXPERTS) - 1 for load in step] for step in steps]).mean(0)
        shares = [sum(loads) / (sum(loads).sum() / EXPERTS) for loads in zip(*steps, strict=True)]
        assert row["expert_load/max_violation"] == pytest.approx(float(violations.mean()), abs=1e-4)
        assert row["expert_load/max_violation_worst_layer"] == pytest.approx(float(violations.max()), abs=1e-4)
        assert row["expert_load/min_share"] == pytest.approx(float(min(share.min() for share in shares)), abs=1e-4)
    for name, router in routers(model).items():
        expected = before[name]
        for step in seen:
            expected = reference.balanced_bias(expected, step[name].tolist(), RATE)
        bias = router.e_score_correction_bias
        torch.testing.assert_close(bias.double(), expected, atol=1e-6, rtol=1e-6)
    biases = [router.e_score_correction_bias for router in routers(model).values()]
    spread = max(float(bias.max() - bias.min()) for bias in biases)
    assert rows[-1]["expert_load/bias_range"] == pytest.approx(spread, abs=1e-4)
    history = [row for row in trainer.state.log_history if "loss" in row]
    for written, read in zip(history, rows, strict=True):
        assert all(written[f"expert_load/{name}"] == read[f"expert_load/{name}"] for name in FIGURES)


def test_a_run_that_broke_leaves_no_hooks_behind(tmp_path: Path):
    class Broken(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

    model, callback = tiny_model("deepseek_v3"), ExpertBalanceCallback(RATE)
    trainer = build(tmp_path, model, [callback, Broken()], max_steps=2)
    hooks = [len(module._forward_pre_hooks) for module in model.modules()]
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.remove_callback(Broken)
    trainer.train()
    assert [len(module._forward_pre_hooks) for module in model.modules()] == hooks


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path):
    def trained(folder: str, resume: bool) -> Any:
        callbacks: list[TrainerCallback] = [MuonClipCallback(), ExpertBalanceCallback(RATE)]
        trainer = build(
            tmp_path / folder,
            tiny_model("deepseek_v3"),
            callbacks,
            save_strategy="steps",
            save_steps=3,
            logging_steps=2,
        )
        trainer.train(resume_from_checkpoint=resume or None)
        return trainer

    whole = trained("whole", False)
    (tmp_path / "stopped").mkdir()
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "stopped" / "checkpoint-3")
    resumed = trained("stopped", True)
    assert_equal_weights(weights_of(resumed), weights_of(whole))
    for name, router in routers(whole.model).items():
        assert torch.equal(routers(resumed.model)[name].e_score_correction_bias, router.e_score_correction_bias)
    histories = [
        [{n: v for n, v in row.items() if n.startswith("expert_load/")} for row in trainer.state.log_history]
        for trainer in (whole, resumed)
    ]
    assert histories[0] == histories[1]
    assert sum("expert_load/max_violation" in row for row in histories[0]) == 3
