"""The size of a step's Muon updates is that of what was written to the weights."""

import math
from typing import Any

import pytest
import torch
from tiny_models import random_batch, tiny_model
from tiny_parameters import EXACT, VIEWS, every_kind, groups_of, set_gradients
from torch import nn

from hf_muonclip import MuonClip
from hf_muonclip.optim.muon import Muon

LR = 0.02


def optimizer_of(parameters: dict[str, nn.Parameter], **settings: Any) -> Muon:
    optimizer = Muon(groups_of(parameters), lr=LR, views=VIEWS, **{**EXACT, **settings})
    optimizer.measure_update_rms = True
    return optimizer


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_batch_bytes": 400},
        {"adjust_lr_fn": "original", "nesterov": False},
        {"normalize_neurons": True},
    ],
    ids=str,
)
def test_it_is_the_root_mean_square_of_what_is_subtracted_from_the_weights(settings: dict[str, Any]) -> None:
    parameters = every_kind()
    optimizer = optimizer_of(parameters, weight_decay=0.0, **settings)
    set_gradients(parameters, 0)
    parameters["tall"].grad = None  # no update of it, so none to count
    before = {name: weight.detach().clone() for name, weight in parameters.items()}
    optimizer.step()
    written = [
        (before[name] - weight.detach()).flatten() / LR
        for name, weight in parameters.items()
        if name not in ("embedding", "gain", "tall")
    ]
    assert optimizer.update_rms == pytest.approx(float(torch.cat(written).square().mean().sqrt()), rel=1e-4)


def test_float64_is_measured_too() -> None:
    found = []
    for dtype in (torch.float32, torch.float64):
        weight = nn.Parameter(torch.ones(4, 6, dtype=dtype))
        weight.grad = torch.arange(24, dtype=dtype).view(4, 6).sin()
        optimizer = Muon([weight], lr=LR, **EXACT)
        optimizer.measure_update_rms = True
        optimizer.step()
        found.append(optimizer.update_rms)
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_decay_and_learning_rate_do_not_count() -> None:
    found = []
    for lr, settings in (
        (0.02, {}),
        (0.5, {"weight_decay": 0.3}),
        (torch.tensor(0.1), {"cautious_weight_decay": True}),
    ):
        parameters = every_kind()
        optimizer = optimizer_of(parameters, **settings)
        for group in optimizer.param_groups:
            group["lr"] = lr
        set_gradients(parameters, 0)
        optimizer.step()
        found.append(optimizer.update_rms)
    assert found[0] is not None
    assert found == pytest.approx([found[0]] * 3, rel=1e-6)


def test_updates_of_a_model_are_as_large_as_adamw_ones() -> None:
    model = tiny_model("deepseek_v3")
    optimizer = MuonClip(model, qk_clip_threshold=None)
    optimizer.measure_update_rms = True
    model(**random_batch(model)).loss.backward()
    optimizer.step()
    assert optimizer.update_rms is not None
    assert 0.1 < optimizer.update_rms < 0.22  # 0.2 where a gradient has full rank


@pytest.mark.parametrize("threshold", [None, 100.0])
def test_a_step_that_was_not_asked_or_not_taken_has_none(threshold: float | None) -> None:
    model = tiny_model("llama_gqa")
    optimizer = MuonClip(model, qk_clip_threshold=threshold, nonfinite="skip")

    def step(poison: bool = False) -> float | None:
        model(**random_batch(model)).loss.backward()
        if poison:
            model.lm_head.weight.grad[0, 0] = math.nan
        optimizer.step()
        optimizer.zero_grad()
        return optimizer.update_rms

    assert step() is None
    optimizer.measure_update_rms = True
    assert step() is not None
    assert step(poison=True) is None
    assert step() is not None
    optimizer.measure_update_rms = False
    assert step() is None


def test_without_a_muon_parameter_that_has_a_gradient_there_is_none() -> None:
    parameters = every_kind()
    optimizer = optimizer_of(parameters)
    parameters["gain"].grad = torch.ones_like(parameters["gain"])
    optimizer.step()
    assert optimizer.update_rms is None


def test_a_compiled_step_has_none() -> None:
    parameters = {"a": every_kind()["a"]}
    optimizer = Muon(list(parameters.items()), **EXACT)
    optimizer.measure_update_rms = True
    set_gradients(parameters, 0)
    before = parameters["a"].detach().clone()
    torch.compile(optimizer.step, backend="eager")()
    assert not torch.equal(parameters["a"].detach(), before)
    runs_outside_of_the_graph = torch.__version__ < (2, 13)  # type: ignore[operator]
    assert (optimizer.update_rms is None) is not runs_outside_of_the_graph
