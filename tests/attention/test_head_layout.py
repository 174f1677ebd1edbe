"""Layouts that are known are read right; all others are refused with their name and with what was found in them."""

from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import TINY_MODEL_NAMES, tiny_model
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedModel,
    ZambaConfig,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hf_muonclip import detect_head_layout, verify_head_layout
from hf_muonclip.attention import HeadRows

FIRST = "model.layers.0.self_attn"


def ranges(*bounds: tuple[int, int]) -> tuple[range, ...]:
    return tuple(range(*bound) for bound in bounds)


FOUR_HEADS = ranges((0, 16), (16, 32), (32, 48), (48, 64))
# A query head of the tiny DeepSeek-V3 is [nope 16 | rope 8], a head of kv_b_proj [k_nope 16 | value 16].
QUERY_NOPE = ranges((0, 16), (24, 40), (48, 64), (72, 88))
QUERY_ROPE = ranges((16, 24), (40, 48), (64, 72), (88, 96))
KEY_NOPE = ranges((0, 16), (32, 48), (64, 80), (96, 112))
EXPECTED: dict[str, tuple[HeadRows, ...]] = {
    "llama_mha": (HeadRows("q_proj.weight", FOUR_HEADS, "query"), HeadRows("k_proj.weight", FOUR_HEADS, "key")),
    "llama_gqa": (HeadRows("q_proj.weight", FOUR_HEADS, "query of shared key"),),
    "llama_mqa": (HeadRows("q_proj.weight", FOUR_HEADS, "query of shared key"),),
    "qwen2": (
        HeadRows("q_proj.weight", FOUR_HEADS, "query of shared key"),
        HeadRows("q_proj.bias", FOUR_HEADS, "query of shared key"),
    ),
    "mixtral": (HeadRows("q_proj.weight", FOUR_HEADS, "query of shared key"),),
    "deepseek_v3": (
        HeadRows("q_b_proj.weight", QUERY_NOPE, "query"),
        HeadRows("q_b_proj.weight", QUERY_ROPE, "query of shared key"),
        HeadRows("kv_b_proj.weight", KEY_NOPE, "key"),
    ),
    "deepseek_v3_full_q": (
        HeadRows("q_proj.weight", QUERY_NOPE, "query"),
        HeadRows("q_proj.weight", QUERY_ROPE, "query of shared key"),
        HeadRows("kv_b_proj.weight", KEY_NOPE, "key"),
    ),
    "gpt_oss": (
        HeadRows("q_proj.weight", FOUR_HEADS, "query of shared key"),
        HeadRows("q_proj.bias", FOUR_HEADS, "query of shared key"),
    ),
}
KEY_HEADS = {"llama_mha": 4, "llama_mqa": 1, "deepseek_v3": 4, "deepseek_v3_full_q": 4}


def on_meta(name: str) -> PreTrainedModel:
    model = tiny_model(name)
    with torch.device("meta"):
        return type(model)(model.config)


@pytest.mark.parametrize("build", [tiny_model, on_meta])
@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_rows_and_roles_of_every_layout(name: str, build: Any) -> None:
    model = build(name)
    layout = detect_head_layout(model)
    assert list(layout) == [f"model.layers.{index}.self_attn" for index in range(model.config.num_hidden_layers)]
    for module_name, module_layout in layout.items():
        assert module_layout.name == module_name
        assert module_layout.attention_class == type(model.get_submodule(module_name)).__name__
        assert module_layout.kind == ("mla" if name.startswith("deepseek") else "separate")
        assert module_layout.num_attention_heads == 4
        assert module_layout.num_key_value_heads == KEY_HEADS.get(name, 2)
        assert module_layout.head_dim == (24 if name.startswith("deepseek") else 16)
        assert module_layout.head_rows == EXPECTED[name]


def test_biases_go_with_their_rows() -> None:
    layout = detect_head_layout(tiny_model("llama_mha", attention_bias=True))[FIRST]
    assert [(rows.parameter, rows.role) for rows in layout.head_rows] == [
        ("q_proj.weight", "query"),
        ("q_proj.bias", "query"),
        ("k_proj.weight", "key"),
        ("k_proj.bias", "key"),
    ]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_exponents(alpha: float) -> None:
    assert HeadRows("q_proj.weight", FOUR_HEADS, "query").exponent(alpha) == alpha
    assert HeadRows("k_proj.weight", FOUR_HEADS, "key").exponent(alpha) == 1 - alpha
    assert HeadRows("q_proj.weight", FOUR_HEADS, "query of shared key").exponent(alpha) == 1


def test_the_table_is_readable() -> None:
    lines = str(detect_head_layout(tiny_model("llama_gqa"))).splitlines()
    assert len(lines) == 3
    assert lines[0].split("  ")[0] == "module"
    for line, index in zip(lines[1:], range(2), strict=True):
        cells = [cell.strip() for cell in line.split("  ") if cell]
        assert cells == [
            f"model.layers.{index}.self_attn",
            "LlamaAttention",
            "separate",
            "4",
            "2",
            "16",
            "head",
            "q_proj.weight (query of shared key)",
        ]
    columns = {
        line.index(word) for line, word in zip(lines, ("class", "LlamaAttention", "LlamaAttention"), strict=True)
    }
    assert len(columns) == 1, "columns must line up"


_SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
}


def build_on_meta(model_type: str, **overrides: Any) -> PreTrainedModel:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **{**_SMALL, **overrides}))


@pytest.mark.parametrize(
    ("model_type", "overrides"), [("cohere", {}), ("olmo", {}), ("llama4_text", {"use_qk_norm": False})]
)
def test_the_same_models_without_norm_or_clamp_are_known(model_type: str, overrides: dict[str, Any]) -> None:
    assert len(detect_head_layout(build_on_meta(model_type, **overrides))) == 2


@pytest.mark.parametrize("model_type", ["mamba", "rwkv"])
def test_a_model_without_attention_is_refused(model_type: str) -> None:
    model = build_on_meta(model_type, attention_hidden_size=32)
    if model_type == "rwkv":  # its modules are called attention, and are none
        message = naming("RwkvForCausalLM", "RwkvSelfAttention")
    else:
        message = naming("QK-Clip", "MambaForCausalLM", "backbone, lm_head")
    with pytest.raises(ValueError, match=message):
        detect_head_layout(model)


def test_a_module_that_is_no_transformers_model_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("QK-Clip", "Linear")):
        detect_head_layout(nn.Linear(2, 2))


def test_an_encoder_decoder_has_self_and_cross_attention() -> None:
    with torch.device("meta"):
        model = BartForConditionalGeneration(BartConfig(d_model=32, encoder_layers=1, decoder_layers=1))
    assert [name.removeprefix("model.") for name in detect_head_layout(model)] == [
        "encoder.layers.0.self_attn",
        "decoder.layers.0.self_attn",
        "decoder.layers.0.encoder_attn",
    ]


def test_weights_that_two_modules_share_are_refused() -> None:
    model = tiny_model("llama_mha")
    layers: Any = model.get_submodule("model.layers")
    layers[1].self_attn.k_proj.weight = layers[0].self_attn.k_proj.weight
    with pytest.raises(ValueError, match=naming("model.layers.1.self_attn", FIRST)):
        detect_head_layout(model)


def test_zamba_uses_one_attention_in_several_layers_and_scales_it_once() -> None:
    config = ZambaConfig(
        **{**_SMALL, "num_hidden_layers": 5, "num_key_value_heads": 4},
        attn_layer_period=2,
        attn_layer_offset=1,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    )
    layout = detect_head_layout(AutoModelForCausalLM.from_config(config))
    first, *others = layout.values()
    assert first.shares_weights_with is None
    assert [other.shares_weights_with for other in others] == [first.name] * len(others)
    assert len(others) == 1


@pytest.mark.parametrize("name", ["llama_gqa", "deepseek_v3"])
def test_a_part_of_unknown_purpose_is_refused_without_weights_and_tried_with_them(name: str) -> None:
    model = on_meta(name)
    model.get_submodule(FIRST).add_module("mystery", nn.Linear(4, 6))
    with pytest.raises(ValueError, match=naming(FIRST, "mystery", "Linear (6, 4)")):
        detect_head_layout(model)
    model = tiny_model(name)
    model.get_submodule(FIRST).add_module("mystery", nn.Linear(4, 6))
    layout = detect_head_layout(model)
    assert layout.found_by_behavior == (FIRST,)
    assert "behavior" in str(layout)
    verify_head_layout(model, layout)


def test_dropout_and_attention_sinks_change_no_logit_and_are_let_through() -> None:
    model = tiny_model("gpt_oss")
    assert model.get_submodule(FIRST).get_parameter("sinks").shape == (4,)
    model.get_submodule(FIRST).add_module("attn_dropout", nn.Dropout(0.1))
    assert len(detect_head_layout(model)) == 2


class TanhLinear(nn.Linear):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return super().forward(states).tanh()


@pytest.mark.parametrize("projection", ["q_proj", "k_proj"])
def test_where_one_projection_cannot_be_scaled_the_other_takes_gamma(projection: str) -> None:
    model = tiny_model("llama_mha")
    attention: Any = model.get_submodule(FIRST)
    setattr(attention, projection, TanhLinear(64, 64))
    layout = detect_head_layout(model)
    assert layout.found_by_behavior == (FIRST,)
    other, role = ("k_proj", "key alone") if projection == "q_proj" else ("q_proj", "query of shared key")
    assert layout[FIRST].head_rows == (HeadRows(f"{other}.weight", FOUR_HEADS, role),)
    verify_head_layout(model, layout)


def test_what_no_weight_scales_is_refused_with_both_reasons() -> None:
    model = tiny_model("llama_mha")
    attention: Any = model.get_submodule(FIRST)
    attention.q_proj, attention.k_proj = TanhLinear(64, 64), TanhLinear(64, 64)
    message = naming("q_proj", "TanhLinear", FIRST)
    with pytest.raises(ValueError, match=message):
        detect_head_layout(model)


@pytest.mark.parametrize(
    ("name", "attribute", "value", "message"),
    [
        ("llama_gqa", "head_dim", 24, naming("k_proj", 32, 24)),
        (
            "llama_gqa",
            "num_key_value_groups",
            3,
            naming(4, 16, "k_proj", 2, "num_key_value_groups", 3),
        ),
        ("deepseek_v3", "qk_rope_head_dim", 7, naming("q_b_proj", 96, 23)),
        ("deepseek_v3", "v_head_dim", 8, naming("kv_b_proj", 128, 4, 16, 8)),
    ],
)
def test_heads_that_do_not_divide_are_refused(name: str, attribute: str, value: Any, message: str) -> None:
    model = tiny_model(name)
    setattr(model.get_submodule(FIRST), attribute, value)
    with pytest.raises(ValueError, match=message):
        detect_head_layout(model)


def test_latent_attention_that_hides_a_width_is_refused() -> None:
    model = tiny_model("deepseek_v3")
    del model.get_submodule(FIRST).qk_nope_head_dim
    with pytest.raises(ValueError, match=naming("qk_nope_head_dim")):
        detect_head_layout(model)


def test_query_heads_that_key_heads_do_not_divide_are_refused() -> None:
    model = tiny_model("llama_gqa")
    attention: Any = model.get_submodule(FIRST)
    attention.k_proj = nn.Linear(64, 48)
    with pytest.raises(ValueError, match=naming("q_proj", 4, 16, "k_proj", 3)):
        detect_head_layout(model)


def test_an_attention_of_ones_own_is_known_by_its_parts() -> None:
    class OwnAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head_dim = 4
            self.q_proj, self.k_proj = nn.Linear(8, 8, bias=False), nn.Linear(8, 4, bias=False)

        def forward(self, hidden: torch.Tensor) -> Any:
            return ALL_ATTENTION_FUNCTIONS.get_interface("sdpa", None)(self, hidden, hidden, hidden, None)

    layout = detect_head_layout(nn.ModuleDict({"own": OwnAttention()}))["own"]
    assert layout.head_rows == (HeadRows("q_proj.weight", ranges((0, 4), (4, 8)), "query of shared key"),)
