"""Settings of MuonClip that concern its param groups and its engine, on real models."""

from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import random_batch, tiny_model
from transformers import WhisperConfig, WhisperForConditionalGeneration

from hf_muonclip import MuonClip
from hf_muonclip.optim.newton_schulz import newton_schulz


def group_of(optimizer: MuonClip, name: str) -> dict[str, Any]:
    (group,) = [group for group in optimizer.param_groups if name in group["param_names"]]
    return group


def test_overrides_set_groups_apart_and_the_later_pattern_wins() -> None:
    model = tiny_model("llama_gqa")
    overrides = {
        "*.self_attn.*": {"lr": 1e-5},
        "*.layers.0.self_attn.q_proj.weight": {"lr": 1e-3, "weight_decay": 0.0},
        "lm_head.weight": {"algorithm": "muon", "adjust_lr_fn": "original"},
    }
    optimizer = MuonClip(model, lr=1e-4, group_overrides=overrides)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    first = optimizer.param_groups[0]  # its rate is what trainers log
    assert (first["algorithm"], first["lr"]) == ("muon", 1e-4)
    key, query = (group_of(optimizer, f"model.layers.0.self_attn.{name}_proj.weight") for name in "kq")
    assert (key["lr"], key["weight_decay"]) == (1e-5, 0.1)
    assert (query["lr"], query["weight_decay"]) == (1e-3, 0.0)
    head = group_of(optimizer, "lm_head.weight")
    assert (head["algorithm"], head["adjust_lr_fn"], head["lr"]) == ("muon", "original", 1e-4)
    planned = {entry.name: entry for entry in optimizer.plan}
    assert planned["lm_head.weight"].reason.endswith("lm_head.weight sets algorithm=muon, adjust_lr_fn=original")
    assert not planned["model.layers.0.self_attn.q_proj.weight"].decays


def test_an_override_acts_on_its_parameters_alone() -> None:
    still, moved = tiny_model("llama_gqa"), tiny_model("llama_gqa")
    overridden = MuonClip(still, lr=1e-3, group_overrides='{"*.mlp.*": {"lr": 0.0}}', ns_dtype="float32")
    for model, optimizer in ((still, overridden), (moved, MuonClip(moved, lr=1e-3, ns_dtype="float32"))):
        model(**random_batch(model)).loss.backward()
        optimizer.step()
    before = dict(tiny_model("llama_gqa").named_parameters())
    for (name, weight), other in zip(still.named_parameters(), moved.parameters(), strict=True):
        if ".mlp." in name:
            assert torch.equal(weight, before[name])
            assert not torch.equal(other, before[name])
        else:
            torch.testing.assert_close(weight, other, atol=1e-6, rtol=1e-6)


def test_a_convolution_goes_to_muon_by_an_override() -> None:
    config = WhisperConfig(
        vocab_size=64, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=4, max_source_positions=8,
        max_target_positions=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).train()
    overrides = {"*.conv?.weight": {"algorithm": "muon"}}
    optimizer = MuonClip(model, lr=0.1, weight_decay=0.0, group_overrides=overrides, ns_dtype="float32")
    assert group_of(optimizer, "model.encoder.conv1.weight")["algorithm"] == "muon"
    kernel = model.model.encoder.conv1.weight
    before = kernel.detach().clone()
    model(input_features=torch.randn(2, 4, 16), labels=torch.randint(3, 64, (2, 6))).loss.backward()
    optimizer.step()
    update = (before - kernel.detach()).flatten(1) / (0.1 * 0.2 * 16**0.5)  # (16, 4·3), scaled by its longer side
    assert torch.linalg.svdvals(update).amax() < 1.25
    assert torch.linalg.svdvals(update).amin() > 0.5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"*.nothing.weight": {"lr": 1.0}}, naming("group_overrides", "'*.nothing.weight'")),
        ({"*norm.weight": {"algorithm": "muon"}}, naming("input_layernorm.weight", "(64,)")),
        ({"*": {"betas": (0.9, 0.9)}}, naming("group_overrides", "betas")),
    ],
)
def test_overrides_that_fit_nothing_are_refused(overrides: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MuonClip(tiny_model("llama_gqa"), group_overrides=overrides)


def test_heads_are_orthogonalized_one_by_one() -> None:
    model = tiny_model("llama_gqa")  # 4 heads of 16 on 2 key heads
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = MuonClip(
        model, lr=1.0, weight_decay=0.0, split_heads=True, adjust_lr_fn="none", eps=1e-20, ns_dtype="float32"
    )
    model(**random_batch(model)).loss.backward()
    optimizer.detach()
    optimizer.step()
    for projection, heads in (("q", 4), ("k", 2), ("v", 2), ("o", 1)):
        name = f"model.layers.0.self_attn.{projection}_proj.weight"
        update = (before[name] - model.get_parameter(name).detach()).unflatten(0, (heads, -1))
        # After one step the direction is the momentum's, and its scale does not count.
        momentum = optimizer.state[model.get_parameter(name)]["momentum_buffer"].unflatten(0, (heads, -1))
        wanted = newton_schulz(momentum, eps=1e-20, dtype=torch.float32)
        torch.testing.assert_close(update, wanted, atol=2e-3, rtol=1e-2)


def test_state_settings_reach_the_engine() -> None:
    model = tiny_model("llama_gqa")
    optimizer = MuonClip(model, momentum_dtype="bfloat16", max_batch_bytes=4 * 64 * 64, cautious_weight_decay=True)
    model(**random_batch(model)).loss.backward()
    optimizer.step()
    momenta = [state["momentum_buffer"] for state in optimizer.state.values() if "momentum_buffer" in state]
    assert {momentum.dtype for momentum in momenta} == {torch.bfloat16}
    assert all(group["cautious_weight_decay"] for group in optimizer.param_groups)
