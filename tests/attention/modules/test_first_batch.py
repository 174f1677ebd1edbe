"""What attends and is not measured is named before the first step, from the batch that the model trains on."""

import copy
import logging
import re
import weakref

import pytest
import torch
from census_models import census_model
from error_messages import naming
from own_attention import LooksUp, Mixer, OwnLayer, OwnModel, Switching, own_model, own_tokens
from transformers.modeling_utils import AttentionInterface

from hf_muonclip import MuonClip
from hf_muonclip.attention.modules.first_batch import FirstBatch, needs_first_batch
from hf_muonclip.clip import logger


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.WARNING, logger.name)
    return caplog


def trained(model: OwnModel, steps: int = 1) -> MuonClip:
    optimizer = MuonClip(model, lr=1e-4, qk_clip_threshold=1.0)
    for _ in range(steps):
        model(own_tokens(), labels=own_tokens()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def test_a_layer_that_attends_in_training_alone_is_named(heard: pytest.LogCaptureFixture) -> None:
    model = own_model(Switching, Mixer, native=True)
    optimizer = trained(model, steps=2)
    assert list(optimizer.max_logits) == ["layers.1", "native.self_attn"]
    named = [re.search(naming("layers.0", "Switching", "qk_clip_threshold"), text) for text in heard.messages]
    assert sum(map(bool, named)) == 1
    assert not any(type(hook).__name__ == "_KeepCall" for hook in model._forward_pre_hooks.values())


def test_nothing_is_said_where_all_that_attends_is_measured(heard: pytest.LogCaptureFixture) -> None:
    trained(own_model(LooksUp, Mixer, native=True))
    assert not heard.records


def test_a_frozen_layer_is_not_named(heard: pytest.LogCaptureFixture) -> None:
    model = own_model(Switching, Mixer)
    model.layers[0].requires_grad_(False)
    trained(model)
    assert not heard.records


def test_the_look_changes_nothing() -> None:
    model = own_model(Switching, Mixer)
    alone = copy.deepcopy(model)
    torch.manual_seed(1)
    trained(model)
    drawn = torch.get_rng_state()
    torch.manual_seed(1)
    optimizer = MuonClip(alone, lr=1e-4, qk_clip_threshold=1.0)
    assert optimizer.clip._first_batch is not None
    optimizer.clip._first_batch.close()
    optimizer.clip._first_batch = None
    alone(own_tokens(), labels=own_tokens()).loss.backward()
    optimizer.step()
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), alone.parameters(), strict=True))


def test_only_training_forwards_are_kept_and_a_copy_keeps_none() -> None:
    model = own_model(Mixer)
    batch = FirstBatch(model)
    with torch.no_grad():
        model(own_tokens(), labels=own_tokens())
    assert batch.call is None
    twin = copy.deepcopy(model)
    twin(own_tokens(), labels=own_tokens())
    assert batch.call is None
    model(own_tokens(), labels=own_tokens())
    assert batch.call is not None
    batch.close()
    assert batch.call is None
    assert not model._forward_pre_hooks


def test_a_model_of_known_parts_keeps_no_batch() -> None:
    assert not needs_first_batch(census_model("llama"))
    assert needs_first_batch(own_model(Mixer))


@pytest.mark.parametrize("kind", [LooksUp, Mixer])
def test_a_second_optimizer_takes_the_place_of_the_first(kind: type[OwnLayer]) -> None:
    model = own_model(kind)
    first, second = MuonClip(model, qk_clip_threshold=1.0), MuonClip(model, lr=1e-4, qk_clip_threshold=1.0)
    model(own_tokens(), labels=own_tokens()).loss.backward()
    second.step()
    assert list(second.max_logits) == ["layers.0"]
    assert first.capture is None
    assert first.clip._first_batch is None


def test_an_optimizer_that_is_gone_leaves_no_trace() -> None:
    model = own_model(Mixer)
    optimizer = weakref.ref(MuonClip(model, qk_clip_threshold=1.0))
    assert optimizer() is None
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert "__getitem__" not in vars(AttentionInterface)
