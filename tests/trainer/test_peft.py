"""Adapters: what the clip can reach lands on tau, and what it cannot is monitored, with the reason."""

import logging
import re
from typing import Any

import pytest
import torch
from error_messages import naming
from peft import LoHaConfig, LoraConfig, PeftModel, get_peft_model
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from hf_muonclip import MuonClip, capture_max_logits, detect_head_layout, verify_head_layout

LANDED = {"rtol": 1e-4, "atol": 0.0}
STILL = {"rtol": 1e-5, "atol": 0.0}


def with_adapter(
    name: str = "llama_mha", targets: tuple[str, ...] = ("q_proj", "k_proj"), **settings: Any
) -> PeftModel:
    """Return a tiny model whose adapters are no longer at zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(
            tiny_model(name, num_hidden_layers=1), LoraConfig(r=4, target_modules=list(targets), **settings)
        )
        with torch.no_grad():
            for path, parameter in model.named_parameters():
                if "lora_B" in path:
                    parameter.normal_(std=0.05)
    return model.train()


def measured(model: Any) -> dict[str, Tensor]:
    with torch.no_grad(), capture_max_logits(model) as logits:
        model(**random_batch(model.get_base_model()))
        return {name: logits[name].clone() for name in logits}


def clipped(model: PeftModel, **settings: Any) -> tuple[MuonClip, dict[str, Tensor], float]:
    """Take one step at lr 0, so that only the clip writes; return the optimizer, the maxima before, and tau."""
    before = measured(model)
    threshold = 0.7 * min(float(maxima.max()) for maxima in before.values())
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold, exact_max_logits=True, **settings)
    model(**random_batch(model.get_base_model())).loss.backward()
    optimizer.step()
    optimizer.detach()
    return optimizer, before, threshold


def assert_landed(model: PeftModel, before: dict[str, Tensor], threshold: float) -> None:
    for name, after in measured(model).items():
        over = before[name] > threshold
        assert over.any()
        torch.testing.assert_close(after[over], torch.full_like(after[over], threshold), **LANDED)
        torch.testing.assert_close(after[~over], before[name][~over], **STILL)


def test_lora_is_monitored_with_a_warning_that_says_why(caplog: pytest.LogCaptureFixture) -> None:
    model = with_adapter()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        optimizer, before, threshold = clipped(model)
    assert re.search(naming("QK-Clip", "frozen base", "scale_lora_base=True"), caplog.text)
    assert all(layout.granularity == "monitored" for layout in optimizer.layout.values())
    assert all((optimizer.max_logits[name] > threshold).any() for name in before)
    assert all((gamma == 1).all() for gamma in optimizer.gammas.values())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["llama_mha", "llama_gqa", "qwen2"])
@pytest.mark.parametrize("targets", [("q_proj", "k_proj"), ("q_proj",), ("q_proj", "v_proj")])
def test_base_scaling_on_request_lands_every_head_on_tau(name: str, targets: tuple[str, ...]) -> None:
    model = with_adapter(name, targets)
    optimizer, before, threshold = clipped(model, scale_lora_base=True)
    assert all(layout.granularity == "head" for layout in optimizer.layout.values())
    assert_landed(model, before, threshold)
    verify_head_layout(model, optimizer.layout)


def test_rank_stabilized_lora_and_lora_bias() -> None:
    model = with_adapter(use_rslora=True, lora_bias=True)
    _, before, threshold = clipped(model, scale_lora_base=True)
    assert_landed(model, before, threshold)


@pytest.mark.parametrize("name", ["llama_mha", "llama_gqa"])
def test_dora_scales_its_magnitude_vector_alone(name: str) -> None:
    model = with_adapter(name, use_dora=True)
    weights = {path: tensor.clone() for path, tensor in model.state_dict().items()}
    optimizer, before, threshold = clipped(model)
    assert_landed(model, before, threshold)
    changed = {path for path, tensor in model.state_dict().items() if not torch.equal(tensor, weights[path])}
    assert changed
    assert all("lora_magnitude_vector" in path for path in changed)
    verify_head_layout(model, optimizer.layout)


def test_dora_with_a_frozen_bias_is_monitored() -> None:
    layout = detect_head_layout(with_adapter("qwen2", use_dora=True))
    assert all("bias" in module.note for module in layout.values())


def test_dora_scales_a_trained_bias_beside_its_magnitudes() -> None:
    model = with_adapter("qwen2", use_dora=True, bias="lora_only")
    optimizer, before, threshold = clipped(model)
    assert_landed(model, before, threshold)
    named = {rows.parameter for layout in optimizer.layout.values() for rows in layout.head_rows}
    assert {name.rpartition("_proj.")[2] for name in named} == {
        "lora_magnitude_vector.default.weight",
        "base_layer.bias",
    }
    verify_head_layout(model, optimizer.layout)


@pytest.mark.parametrize("name", ["llama_mha", "llama_gqa", "qwen2"])
def test_a_copy_in_modules_to_save_is_clipped_as_the_module_that_it_copies(name: str) -> None:
    model = with_adapter(name, ("v_proj",), modules_to_save=["q_proj", "lm_head", "embed_tokens"])
    optimizer, before, threshold = clipped(model)
    assert_landed(model, before, threshold)
    (layout,) = optimizer.layout.values()
    assert (layout.kind, layout.granularity) == ("separate", "head")
    assert {rows.parameter.rpartition(".")[0] for rows in layout.head_rows} == {"q_proj.modules_to_save.default"}
    verify_head_layout(model, optimizer.layout)
    model.base_model.disable_adapter_layers()
    rows = [rows.parameter for layout in detect_head_layout(model).values() for rows in layout.head_rows]
    assert "q_proj.original_module.weight" in rows


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_adapters_that_begin_with_a_part_of_the_base_land_with_it(init: str) -> None:
    model = with_adapter(init_lora_weights=init, rank_pattern={"q_proj": 2}, alpha_pattern={"k_proj": 3})
    optimizer, before, threshold = clipped(model, scale_lora_base=True)
    assert_landed(model, before, threshold)
    verify_head_layout(model, optimizer.layout)


def second_adapter(model: PeftModel, **settings: Any) -> None:
    model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj", "k_proj"], **settings))
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if "lora_B.second" in path:
                parameter.normal_(std=0.05, generator=torch.Generator().manual_seed(1))


def test_of_several_adapters_the_active_one_is_clipped_and_trained() -> None:
    model = with_adapter(use_dora=True)
    second_adapter(model, use_dora=True)
    model.set_adapter("second")
    weights = {path: tensor.clone() for path, tensor in model.state_dict().items()}
    optimizer, before, threshold = clipped(model)
    assert_landed(model, before, threshold)
    assert all(".second." in planned.name for planned in optimizer.plan)
    changed = {path for path, tensor in model.state_dict().items() if not torch.equal(tensor, weights[path])}
    assert changed
    assert all("lora_magnitude_vector.second" in path for path in changed)


def test_several_active_adapters_are_scaled_together_with_their_base() -> None:
    model = with_adapter()
    second_adapter(model)
    model.base_model.set_adapter(["default", "second"])
    _, before, threshold = clipped(model, scale_lora_base=True)
    assert_landed(model, before, threshold)


def test_a_sum_with_dora_in_it_is_monitored() -> None:
    model = with_adapter()
    second_adapter(model, use_dora=True)
    model.base_model.set_adapter(["default", "second"])
    for layout in detect_head_layout(model, scale_lora_base=True).values():
        assert layout.granularity == "monitored"
        assert "DoRA" in layout.note


def test_a_form_of_lora_that_no_rule_knows_is_monitored() -> None:
    model = with_adapter(alora_invocation_tokens=[5])
    for layout in detect_head_layout(model, scale_lora_base=True).values():
        assert layout.granularity == "monitored"
        assert "ALoraLinearVariant" in layout.note


def backward(model: PeftModel) -> None:
    model(**random_batch(model.get_base_model())).loss.backward()


def test_a_step_with_an_adapter_merged_is_refused_and_goes_on_when_it_is_not() -> None:
    model = with_adapter(use_dora=True)
    optimizer = MuonClip(model, lr=0.01)
    backward(model)
    optimizer.step()
    model.merge_adapter()
    with pytest.raises(ValueError, match=naming("['default']", "unmerge_adapter()")):
        optimizer.step()
    model.unmerge_adapter()
    backward(model)
    optimizer.step()
    assert optimizer.updates == 2


def test_a_step_with_another_adapter_active_is_refused() -> None:
    model = with_adapter(use_dora=True)
    optimizer = MuonClip(model, lr=0.01)
    second_adapter(model, use_dora=True)
    backward(model)
    optimizer.step()  # an adapter that is not active changes nothing
    model.set_adapter("second")
    weights = {path: tensor.clone() for path, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=naming("['default']", "['second']")):
        optimizer.step()
    assert all(torch.equal(tensor, weights[path]) for path, tensor in model.state_dict().items())


def test_an_adapter_put_around_a_model_that_has_an_optimizer_is_refused() -> None:
    base: Any = tiny_model("llama_mha", num_hidden_layers=1)
    optimizer = MuonClip(base)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    backward(model)
    with pytest.raises(ValueError, match=naming("q_proj", "get_peft_model()")):
        optimizer.step()


class EightBit(nn.Linear):
    """Keeps its weight in eight bits, as quantized models do."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False)
        self.step = linear.weight.abs().amax().item() / 127
        self.weight = nn.Parameter((linear.weight / self.step).round().to(torch.int8), requires_grad=False)

    def forward(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight.float() * self.step)


def test_over_a_quantized_base_adapters_are_trained_and_heads_monitored(caplog: pytest.LogCaptureFixture) -> None:
    base: Any = tiny_model("llama_mha", num_hidden_layers=1)
    attention = base.model.layers[0].self_attn
    for name in ("q_proj", "k_proj", "v_proj"):
        setattr(attention, name, EightBit(getattr(attention, name)))
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "k_proj", "v_proj"]))
    optimizer = MuonClip(model, lr=0.01, weight_decay=0.0, qk_clip_threshold=1e-3, scale_lora_base=True)
    assert re.search(naming("q_proj.base_layer", "EightBit", "torch.int8"), caplog.text)
    weights = {path: tensor.clone() for path, tensor in model.state_dict().items()}
    backward(model)
    optimizer.step()
    changed = {path for path, tensor in model.state_dict().items() if not torch.equal(tensor, weights[path])}
    assert len(changed) == 3
    assert all("lora_B" in path for path in changed)  # A has no gradient while B is 0


def test_adapters_elsewhere_leave_the_attention_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    model = with_adapter(targets=("down_proj",))
    layout = detect_head_layout(model)
    assert all(module.granularity == "head" for module in layout.values())
    with caplog.at_level(logging.WARNING):
        clipped(model)
    assert "frozen" in caplog.text  # PEFT freezes the base


def test_merged_adapters_leave_a_plain_model() -> None:
    model = with_adapter()
    merged: Any = model.merge_and_unload()
    layout = detect_head_layout(merged)
    assert [rows.parameter for rows in next(iter(layout.values())).head_rows] == ["q_proj.weight", "k_proj.weight"]
    verify_head_layout(merged, layout)


def test_an_adapter_merged_in_place_is_scaled_through_its_base() -> None:
    model = with_adapter()
    model.merge_adapter()
    layout = detect_head_layout(model)
    names = {rows.parameter for module in layout.values() for rows in module.head_rows}
    assert names == {"q_proj.base_layer.weight", "k_proj.base_layer.weight"}
    verify_head_layout(model, layout)


def test_adapters_of_other_kinds_are_monitored_with_the_reason() -> None:
    model = get_peft_model(tiny_model("llama_mha"), LoHaConfig(r=2, target_modules=["q_proj", "k_proj"]))
    layout = detect_head_layout(model)
    assert all(module.granularity == "monitored" for module in layout.values())
    assert all("adapter" in module.note for module in layout.values())


def test_lora_beside_a_conv1d_scales_the_rows_of_both() -> None:
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2, n_positions=32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)
        model = get_peft_model(GPT2LMHeadModel(config), settings)
        with torch.no_grad():
            for path, parameter in model.named_parameters():
                if "lora_B" in path:
                    parameter.normal_(std=0.05)
    layout = detect_head_layout(model, scale_lora_base=True)
    verify_head_layout(model, layout)
