"""Weights that are frozen when a step runs keep their bits; those that are trainable are updated, or named."""

import copy
import logging
import random
import re
from typing import Any

import pytest
import torch
from error_messages import naming
from peft import LoraConfig, get_peft_model
from tiny_models import random_batch, tiny_model
from tiny_trainer import build, sharp_model
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback

from hf_muonclip import MuonClip, capture_max_logits
from hf_muonclip.optim.muon import Muon

TAU = 0.01
FIRST, SECOND = "model.layers.0.self_attn", "model.layers.1.self_attn"


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}


def trainable(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def step(model: PreTrainedModel, optimizer: torch.optim.Optimizer, seed: int = 0) -> set[str]:
    """Take a step; return the names of what changed."""
    before = weights_of(model)
    model(**random_batch(model, seed=seed)).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return changed(model, before)


def with_state(optimizer: MuonClip) -> set[str]:
    return {name for name, parameter in optimizer._named_parameters() if optimizer.state.get(parameter)}


@pytest.mark.parametrize("model_name", ["llama_mha", "deepseek_v3", "mixtral"])
def test_random_layers_train_by_turns(model_name: str) -> None:
    """As LISA does: embeddings and head train always, and of the layers other ones every few steps."""
    model = tiny_model(model_name).train()
    layers = model.model.layers
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    turns = random.Random(0)
    trained: set[str] = set()
    for turn in range(4):
        chosen = turns.randrange(len(layers))
        for place, layer in enumerate(layers):
            layer.requires_grad_(place == chosen)
        for seed in range(2):
            assert step(model, optimizer, seed) == trainable(model), turn
        trained |= trainable(model)
        assert with_state(optimizer) == trained  # moments for what has trained, and for nothing else


def test_layers_that_were_frozen_at_construction_train_as_if_they_had_not_been() -> None:
    model = tiny_model("llama_gqa").train()
    model.model.layers[0].requires_grad_(False)
    model.model.embed_tokens.requires_grad_(False)
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    groups = len(optimizer.param_groups)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 1.0 / (1 + done))
    assert step(model, optimizer) == trainable(model)
    assert not with_state(optimizer) - trainable(model)
    scheduler.step()
    model.requires_grad_(True)
    twin = copy.deepcopy(weights_of(model))
    assert step(model, optimizer, seed=1) == trainable(model)
    assert len(optimizer.param_groups) == groups
    thawed = {name: w for name, w in weights_of(model).items() if ".layers.0." in name or "embed_tokens" in name}
    optimizer.detach()
    # A first step of a fresh optimizer at the scheduled rate is what a weight without moments takes.
    other = tiny_model("llama_gqa").train()
    other.load_state_dict({**other.state_dict(), **twin})
    step(other, MuonClip(other, lr=0.5e-2, qk_clip_threshold=TAU), seed=1)
    for name, weight in thawed.items():
        torch.testing.assert_close(weight, other.get_parameter(name).detach(), rtol=0, atol=1e-7)


def test_a_frozen_weight_with_an_old_gradient_is_left_alone() -> None:
    model = tiny_model("llama_gqa").train()
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    model(**random_batch(model)).loss.backward()
    model.model.layers[1].requires_grad_(False)
    model.model.embed_tokens.requires_grad_(False)
    before = weights_of(model)
    optimizer.step()
    assert changed(model, before) == trainable(model)
    assert with_state(optimizer) == trainable(model)


def test_a_plain_tensor_with_a_gradient_is_updated_as_in_every_torch_optimizer() -> None:
    """Engines put float32 copies into groups that never require a gradient, and hand them one."""
    master = torch.ones(4, 3)
    optimizer = Muon([master], lr=0.1)
    master.grad = torch.eye(4, 3)
    optimizer.step()
    assert not torch.equal(master, torch.ones(4, 3))


@pytest.mark.parametrize(
    ("model_name", "frozen", "reaches"),
    [
        ("llama_mha", "q_proj", True),
        ("llama_mha", "k_proj", True),
        ("llama_gqa", "k_proj", True),
        ("llama_gqa", "q_proj", False),  # a key that several heads share: scaling it would move them all
        ("deepseek_v3", "kv_b_proj", True),
        ("deepseek_v3", "q_b_proj", False),  # its rotary key is shared
    ],
)
def test_the_clip_follows_what_is_frozen_now(
    model_name: str, frozen: str, reaches: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = sharp_model(model_name).train()
    batch = random_batch(model)
    with torch.no_grad(), capture_max_logits(model) as logits:
        model(**batch)
    threshold = float(logits[FIRST].max()) / 2
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold, exact_max_logits=True)
    model.get_submodule(FIRST).get_submodule(frozen).requires_grad_(False)
    for layer in model.model.layers[1:]:
        layer.requires_grad_(False)
    with caplog.at_level(logging.WARNING):
        moved = set()
        for _ in range(2):
            moved |= step(model, optimizer)
    assert not any(frozen in name or not name.startswith(FIRST) for name in moved)
    assert bool(moved) is reaches
    assert caplog.text.count(FIRST) == (model_name != "llama_gqa" or not reaches)  # said once, where it is news
    optimizer.detach()
    with torch.no_grad(), capture_max_logits(model) as after:
        model(**batch)
    over = logits[FIRST] > threshold
    wanted = logits[FIRST].clamp(max=threshold) if reaches else logits[FIRST]
    torch.testing.assert_close(after[FIRST], wanted, rtol=1e-4, atol=1e-6)
    assert over.any()


def test_the_clip_takes_weights_back_when_they_are_unfrozen() -> None:
    model = tiny_model("llama_mha").train()
    model.requires_grad_(False)
    model.model.layers[1].mlp.requires_grad_(True)
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    step(model, optimizer)
    assert (optimizer.gammas[FIRST] == 1).all()
    model.get_submodule(FIRST).requires_grad_(True)
    step(model, optimizer)
    assert (optimizer.gammas[FIRST] < 1).all()
    assert (optimizer.gammas[SECOND] == 1).all()
    assert optimizer.layout is not None
    assert optimizer.layout[FIRST].granularity == "head"


# ------------------------------------------------------------------------------------------------- groups added later


def half_frozen(model_name: str = "llama_mha") -> tuple[PreTrainedModel, MuonClip]:
    model = tiny_model(model_name).train()
    model.model.layers[0].requires_grad_(False)
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    model.requires_grad_(True)
    return model, optimizer


def test_an_added_group_is_named_cut_and_clipped_as_the_model_says() -> None:
    model, optimizer = half_frozen("deepseek_v3")
    layer = model.model.layers[0]
    optimizer.add_param_group({"params": [p for p in layer.parameters() if p.ndim > 1], "lr": 1e-3})
    optimizer.add_param_group({"params": (p for p in layer.parameters() if p.ndim == 1), "weight_decay": 0.0})
    matrices, vectors = optimizer.param_groups[-2:]
    assert (matrices["algorithm"], vectors["algorithm"]) == ("muon", "adamw")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in (matrices, vectors):
        assert group["param_names"] == [names[id(parameter)] for parameter in group["params"]]
    whole = MuonClip(tiny_model("deepseek_v3"))
    assert optimizer.views == whole.views
    assert {(p.name, p.algorithm, p.decays) for p in optimizer.plan} == {
        (p.name, p.algorithm, p.decays) for p in whole.plan
    }
    assert step(model, optimizer) == trainable(model)
    assert (optimizer.gammas[FIRST] < 1).all()
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(held) == len(set(held)) == len(names)
    resumed = half_frozen("deepseek_v3")[1]
    resumed.load_state_dict(optimizer.state_dict())
    for (name, a), (_, b) in zip(whole._named_parameters(), whole._named_parameters(), strict=True):
        assert a is b, name


def test_a_group_that_is_refused_changes_nothing() -> None:
    model, optimizer = half_frozen()
    layer = model.model.layers[0]
    before = [(list(group["params"]), list(group["param_names"])) for group in optimizer.param_groups]
    views = dict(optimizer.views)
    with pytest.raises(ValueError, match=naming("param group", "algorithm", 7)):
        optimizer.add_param_group({"params": layer.parameters()})
    with pytest.raises(ValueError, match=naming("input_layernorm.weight", "(64,)")):
        optimizer.add_param_group({"params": [layer.input_layernorm.weight], "algorithm": "muon"})
    with pytest.raises(ValueError, match="more than one parameter group"):  # torch's own sentence
        optimizer.add_param_group({"params": [model.model.layers[1].mlp.up_proj.weight]})
    assert [(group["params"], group["param_names"]) for group in optimizer.param_groups] == before
    assert optimizer.views == views
    assert step(model, optimizer) == trainable(model)


def test_layers_that_a_model_grows_must_be_handed_over_and_are_then_clipped() -> None:
    model = tiny_model("llama_mha").train()
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    step(model, optimizer)
    grown = copy.deepcopy(model.model.layers[1])
    grown.self_attn.layer_idx = 2
    model.model.layers.append(grown)
    model.config.num_hidden_layers = 3
    before = weights_of(model)
    model(**random_batch(model)).loss.backward()
    with pytest.raises(ValueError, match=naming("model.layers.2.self_attn.q_proj.weight", 8)):
        optimizer.step()
    assert not changed(model, before)
    optimizer.add_param_group({"params": [p for p in grown.parameters() if p.ndim > 1]})
    optimizer.add_param_group({"params": [p for p in grown.parameters() if p.ndim == 1]})
    assert step(model, optimizer) == trainable(model)
    assert (optimizer.gammas["model.layers.2.self_attn"] < 1).any()


def test_a_module_beside_the_model_may_be_added() -> None:
    model = tiny_model("llama_mha").train()
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    value_head = nn.Linear(4, 1)
    optimizer.add_param_group({"params": value_head.named_parameters(), "algorithm": "adamw"})
    value_head(torch.ones(2, 4)).sum().backward()
    before = weights_of(value_head)
    step(model, optimizer)
    assert changed(value_head, before) == {"weight", "bias"}


# ------------------------------------------------------------------------------------------------------ what is named


def test_a_head_that_trains_alone_is_followed_by_the_layers(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model("llama_gqa").train()
    model.model.requires_grad_(False)
    with caplog.at_level(logging.WARNING):
        optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    assert re.search(naming("AdamW", "lm_head.weight"), caplog.text)
    assert "more parameters, which train once unfrozen" in str(optimizer)
    assert step(model, optimizer) == {"lm_head.weight"}
    model.model.layers.requires_grad_(True)
    assert step(model, optimizer) == trainable(model)


def test_a_base_that_is_unfrozen_under_adapters_is_named_before_anything_is_written() -> None:
    model = get_peft_model(tiny_model("llama_gqa"), LoraConfig(target_modules=["q_proj", "up_proj"])).train()
    optimizer = MuonClip(model, lr=1e-2)
    assert all("lora_" in name for name, _ in optimizer._named_parameters())  # no frozen base in the groups
    norm = model.base_model.model.model.norm
    norm.requires_grad_(True)
    before = weights_of(model)
    model(**random_batch(model.base_model.model)).loss.backward()
    with pytest.raises(ValueError, match=naming("norm.weight", "add_param_group")):
        optimizer.step()
    assert not changed(model, before)
    optimizer.add_param_group({"params": norm.parameters()})
    optimizer.step()
    # Behind a B of zeros no A has a gradient: it rests.
    assert changed(model, before) == {name for name in trainable(model) if "lora_A" not in name}


# -------------------------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_loads_where_other_layers_are_frozen() -> None:
    """Groups hold the same parameters in another order then, and as many of them: only names tell them apart."""
    model = tiny_model("llama_gqa").train()
    model.model.layers[0].requires_grad_(False)
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    for seed in range(2):
        step(model, optimizer, seed)
    saved = copy.deepcopy(optimizer.state_dict())
    moments = {name: dict(optimizer.state[p]) for name, p in optimizer._named_parameters() if optimizer.state.get(p)}
    other = tiny_model("llama_gqa").train()
    other.load_state_dict(model.state_dict())
    other.model.layers[1].requires_grad_(False)
    resumed = MuonClip(other, lr=1e-2, qk_clip_threshold=TAU)
    resumed.load_state_dict(saved)
    assert with_state(resumed) == set(moments)
    for name, parameter in resumed._named_parameters():
        for key, value in moments.get(name, {}).items():
            assert torch.equal(resumed.state[parameter][key], value), name
    model.requires_grad_(True)
    other.requires_grad_(True)
    step(model, optimizer, 2)
    step(other, resumed, 2)
    for name, weight in weights_of(model).items():
        assert torch.equal(other.get_parameter(name), weight), name


def test_a_checkpoint_that_lacks_what_was_frozen_loads_and_one_that_lacks_more_does_not() -> None:
    """As checkpoints did that held the trainable parameters alone."""
    model = tiny_model("llama_gqa").train()
    model.model.layers[0].requires_grad_(False)
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    step(model, optimizer)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"] = [g for g in saved["param_groups"] if any(n for n in g["params"] if n in saved["state"])]
    resumed = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    resumed.load_state_dict(saved)
    assert with_state(resumed) == trainable(model)
    model.requires_grad_(True)
    fresh = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU)
    with pytest.raises(ValueError, match=naming("model.layers.0.self_attn.q_proj.weight", "checkpoint")):
        fresh.load_state_dict(saved)


# ---------------------------------------------------------------------------------------------------------- a Trainer


class UnfreezeAtSecondEpoch(TrainerCallback):
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kwargs["model"].model.layers[0].requires_grad_(state.epoch >= 1)


def test_a_trainer_callback_unfreezes_at_an_epoch(tmp_path: Any) -> None:
    model = sharp_model("llama_mha")
    model.model.layers[0].requires_grad_(False)
    before = weights_of(model)
    seen: list[set[str]] = []

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append(changed(kwargs["model"], before))

    trainer = build(
        tmp_path, model=model, callbacks=[UnfreezeAtSecondEpoch(), Watch()], num_train_epochs=2, max_steps=-1
    )
    trainer.train()
    half = len(seen) // 2
    assert not any(".layers.0." in name for name in seen[half - 1])
    assert {name for name in before if ".layers.0." in name} <= seen[half]
    assert len({group["lr"] for group in trainer.optimizer.optimizer.param_groups}) == 1
