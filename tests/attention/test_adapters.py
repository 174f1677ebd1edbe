"""How adapters stand is seen from outside, and what no longer stands as it did is said in words."""

import re
from typing import Any

from error_messages import naming
from peft import LoraConfig, get_peft_model
from tiny_models import random_batch, tiny_model

from hf_muonclip import MuonClip
from hf_muonclip.attention.adapters import AdapterWatch, adapter_layers

QUERY = "base_model.model.model.layers.0.self_attn.q_proj"


def adapted(**settings: Any) -> Any:
    targets = LoraConfig(r=2, target_modules=["q_proj", "k_proj"], **settings)
    return get_peft_model(tiny_model("llama_gqa", num_hidden_layers=1), targets).train()


def test_a_plain_model_has_no_adapters() -> None:
    model = tiny_model("llama_gqa", num_hidden_layers=1)
    assert list(adapter_layers(model)) == []
    watch = AdapterWatch(model)
    assert (watch.switched_off, watch.change(), watch.additions(model)) == (False, "", "")


def test_adapters_and_copies_are_found_and_what_they_wrap_is_not() -> None:
    found = [name for name, _ in adapter_layers(adapted(modules_to_save=["lm_head"]))]
    assert found == [QUERY, QUERY.replace("q_proj", "k_proj"), "base_model.model.lm_head"]


def test_every_change_is_said_and_its_undoing_too() -> None:
    model = adapted(modules_to_save=["lm_head"])
    watch = AdapterWatch(model)
    model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj", "k_proj"]))
    assert watch.change() == ""  # it is not active yet
    model.add_adapter("third", LoraConfig(r=2, target_modules=["v_proj"]))
    assert watch.additions(model) == ""  # nor this, in layers of its own
    model.set_adapter("second")
    assert re.search(naming(QUERY, "['default']", "['second']"), watch.change())
    model.set_adapter("default")
    assert watch.change() == ""
    model.merge_adapter()
    assert re.search(naming(QUERY, "['default'] merged"), watch.change())
    model.unmerge_adapter()
    assert watch.change() == ""
    with model.disable_adapter():
        assert watch.switched_off
        assert re.search(naming(QUERY, "['default']", "off"), watch.change())
    assert not watch.switched_off
    assert watch.change() == watch.additions(model) == ""


def test_layers_that_came_later_are_said() -> None:
    model = tiny_model("llama_gqa", num_hidden_layers=1)
    watch = AdapterWatch(model)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "k_proj"]))
    assert re.search(naming("model.layers.0.self_attn.q_proj", 1), watch.additions(model))


def test_the_reference_that_a_model_is_without_its_adapters_does_not_count() -> None:
    model = adapted()
    optimizer = MuonClip(model)
    assert optimizer.capture is not None
    with model.disable_adapter():
        model(**random_batch(model.get_base_model()))
    assert len(optimizer.capture) == 0
    model(**random_batch(model.get_base_model()))
    assert len(optimizer.capture) == 1
