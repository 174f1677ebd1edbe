"""Copies and pickles of the package's objects work as those of torch and transformers do, and never on the original."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import run_on_ranks
from tiny_models import random_batch, tiny_model
from tiny_parameters import every_kind, muon, set_gradients, take_steps
from torch import Tensor, nn
from transformers import TrainingArguments

from hf_muonclip import MuonClip, MuonClipCallback, MuonClipConfig, capture_max_logits, detect_head_layout
from hf_muonclip.optim.muon import Muon
from hf_muonclip.trainer.entry_points import muonclip_factory


def through_torch(thing: Any) -> Any:
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def through_pickle(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


WAYS = pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle, through_torch])


def trained_pair(**settings: Any) -> tuple[Any, MuonClip]:
    model = tiny_model("llama_gqa", num_hidden_layers=1)
    optimizer = MuonClip(model, lr=0.01, exact_max_logits=True, **{"qk_clip_threshold": 0.01, **settings})
    step(model, optimizer)
    return model, optimizer


def step(model: nn.Module, optimizer: MuonClip, seed: int = 0) -> None:
    model(**random_batch(model, seed=seed)).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


@WAYS
def test_a_pair_copied_together_goes_on_bit_for_bit_and_apart(copied: Any) -> None:
    model, optimizer = trained_pair()
    before = weights(model)
    twin, other = copied((model, optimizer))
    step(twin, other, seed=1)
    assert_equal(weights(model), before)
    assert all((gamma < 1).any() for gamma in other.gammas.values())
    step(model, optimizer, seed=1)
    assert_equal(weights(twin), weights(model))
    assert other.max_logits.keys() == optimizer.max_logits.keys()
    assert all(torch.equal(other.max_logits[name], optimizer.max_logits[name]) for name in other.max_logits)
    assert str(other) == str(optimizer)
    assert other.updates == optimizer.updates == 2


@WAYS
def test_an_optimizer_copied_alone_steps_parameters_of_its_own(copied: Any) -> None:
    model, optimizer = trained_pair()
    before = weights(model)
    other = copied(optimizer)
    for group in other.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    other.step()
    assert str(other).startswith("MuonClip: ")
    assert_equal(weights(model), before)
    step(model, optimizer)  # goes on


@WAYS
def test_a_copy_of_one_without_a_clip_or_detached_has_none(copied: Any) -> None:
    _, without = trained_pair(qk_clip_threshold=None)
    _, detached = trained_pair()
    detached.detach()
    for optimizer in (without, detached):
        other = copied(optimizer)
        assert other.capture is None
        for group in other.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        other.step()


@WAYS
def test_hooks_and_schedulers_of_the_original_stay_there(copied: Any) -> None:
    model, optimizer = trained_pair()
    called: list[int] = []
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.5)
    twin, other = copied((model, optimizer))
    step(twin, other)
    assert called == []
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == 0.005
    step(model, optimizer)
    scheduler.step()
    assert called == [1]


@WAYS
def test_muon_steps_after_a_copy(copied: Any) -> None:
    parameters = every_kind()
    optimizer = muon(parameters, lr=0.02)
    take_steps(parameters, optimizer, range(2))
    twins, other = copied((parameters, optimizer))
    assert isinstance(other, Muon)
    for each, held in ((parameters, optimizer), (twins, other)):
        set_gradients(each, 5)
        held.step()
    assert_equal(dict(twins), dict(parameters))


@WAYS
def test_a_copy_of_a_model_that_is_measured_is_not(copied: Any) -> None:
    model, optimizer = trained_pair()
    reference = copied(model)
    reference(**random_batch(reference)).loss.backward()
    assert len(optimizer.capture) == 0
    with capture_max_logits(reference) as logits:  # nor is anything in the way of measuring it
        reference(**random_batch(reference))
        assert len(logits) == 1
    MuonClip(reference)
    step(model, optimizer)


@WAYS
def test_settings_layouts_and_callbacks_copy(copied: Any, tmp_path: Path) -> None:
    config = MuonClipConfig(momentum=0.9, group_overrides={"*": {"lr": 0.1}})
    assert copied(config) == config
    layout = detect_head_layout(tiny_model("llama_gqa"))
    assert copied(layout) == layout
    assert str(copied(layout)) == str(layout)
    assert isinstance(copied(MuonClipCallback()), MuonClipCallback)
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to=[], learning_rate=0.3)
    make, settings = copied(muonclip_factory(arguments, qk_clip_threshold=5.0))
    built = make()(tiny_model("llama_gqa"), **settings)
    assert built.param_groups[0]["lr"] == 0.3
    assert built.config.qk_clip_threshold == 5.0


def _built_elsewhere(factory: Any) -> float:
    make, settings = factory
    return float(make()(tiny_model("llama_gqa", num_hidden_layers=1), **settings).param_groups[0]["lr"])


def test_a_factory_reaches_another_process() -> None:
    assert run_on_ranks(1, _built_elsewhere, muonclip_factory(lr=0.25)) == [0.25]
