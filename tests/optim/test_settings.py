"""One list of settings: what constructors show and take of it, by position, by keyword and as one object."""

import dataclasses
import inspect
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import tiny_model
from tiny_parameters import parameter

from hf_muonclip import MuonClip, MuonClipConfig
from hf_muonclip.optim.muon import Muon
from hf_muonclip.optim.settings import GROUP_SETTINGS, MuonSettings, rules_of

TORCHS = ("params", "lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")


def muon(*positional: Any, **settings: Any) -> Muon:
    return Muon([("w", parameter(4, 6, seed=0))], *positional, **settings)


@pytest.mark.parametrize(("owner", "kind"), [(Muon, MuonSettings), (MuonClip, MuonClipConfig)])
def test_every_setting_shows_in_the_signature_and_in_the_docstring(owner: type[Muon], kind: type[MuonSettings]) -> None:
    shown = inspect.signature(owner).parameters
    for field in dataclasses.fields(kind):
        assert shown[field.name].default == field.default
        assert f"        {field.name}: {field.metadata['help'].split()[0]}" in (owner.__doc__ or "")
    assert not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in shown.values())


def test_every_setting_but_the_overrides_has_a_rule_that_its_default_keeps() -> None:
    rules = rules_of(MuonClipConfig)
    fields = {field.name: field for field in dataclasses.fields(MuonClipConfig)}
    assert fields.keys() - rules.keys() == {"group_overrides"}
    assert all(rule.holds(fields[name].default) for name, rule in rules.items())
    assert {name for name, rule in rules.items() if rule.per_group} < GROUP_SETTINGS


def test_positional_arguments_are_those_of_torchs_muon() -> None:
    assert tuple(inspect.signature(torch.optim.Muon).parameters)[: len(TORCHS)] == TORCHS
    assert tuple(inspect.signature(Muon).parameters)[: len(TORCHS)] == TORCHS
    optimizer = muon(0.1, 0.2, 0.3, False, (1.0, 2.0, 3.0), 1e-5, 4, "original")
    group = optimizer.param_groups[0]
    assert [group[name] for name in TORCHS[1:]] == [0.1, 0.2, 0.3, False, (1.0, 2.0, 3.0), 1e-5, 4, "original"]


@pytest.mark.parametrize(
    ("name", "value"), [("lr", -1.0), ("weight_decay", -1.0), ("adamw_betas", (0.9, 1.0)), ("adamw_eps", 0.0)]
)
def test_a_default_is_checked_where_every_group_overrides_it(name: str, value: Any) -> None:
    group = {"params": [parameter(4, 6, seed=0)], "lr": 0.1, "weight_decay": 0.0} | {
        "adamw_betas": (0.9, 0.95),
        "adamw_eps": 1e-8,
    }
    with pytest.raises(ValueError, match=naming(name, repr(value))):
        Muon([group], **{name: value})


@pytest.mark.parametrize(
    ("owner", "config"), [(Muon, {"momentum": 0.5}), (MuonClip, MuonSettings()), (MuonClip, {"momentum": 0.5})]
)
def test_a_config_of_another_type_is_refused(owner: type[Muon], config: Any) -> None:
    first: Any = tiny_model("llama_mha") if owner is MuonClip else [parameter(4, 6, seed=0)]
    with pytest.raises(TypeError, match=naming("config", config)):
        owner(first, config=config)


def test_settings_as_one_object_and_keywords_that_win_over_it() -> None:
    config = MuonClipConfig(momentum=0.5, ns_dtype="float32", qk_clip_threshold=7.0)
    optimizer = MuonClip(tiny_model("llama_mha"), momentum=0.6, config=config)
    assert optimizer.config == dataclasses.replace(config, momentum=0.6)
    assert optimizer.clip.config is optimizer.config
    assert {group["momentum"] for group in optimizer.param_groups} == {0.6}
    assert config.momentum == 0.5


@pytest.mark.parametrize(
    ("positional", "settings", "named"),
    [
        ((), {"momentums": 0.5}, ("Muon", "'momentums'", "momentum")),
        ((), {"qk_clip_threshold": 1.0}, ("Muon", "'qk_clip_threshold'")),  # of MuonClip alone
        ((1e-3, 0.1, 0.9), {"momentum": 0.5}, ("Muon", "momentum")),
        ((1e-3, 0.1, 0.9, True, "minimax", 1e-7, 3, "none", "auto"), {}, ("Muon", "adjust_lr_fn", "'auto'")),
    ],
)
def test_what_is_no_setting_or_given_twice_is_refused(positional: Any, settings: Any, named: tuple[str, ...]) -> None:
    with pytest.raises(TypeError, match=naming(*named)):
        muon(*positional, **settings)
