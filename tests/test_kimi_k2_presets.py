"""The presets against the published configuration, the counts against built models, and every refusal."""

import re

import pytest
import torch
from tiny_models import tiny_model
from transformers import DeepseekV3ForCausalLM
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.kimi_k2 import PRESETS, count_parameters, kimi_k2_config

PUBLISHED = {
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 1,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 384,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "routed_scaling_factor": 2.827,
    "norm_topk_prob": True,
    "vocab_size": 163840,
    "bos_token_id": 163584,
    "eos_token_id": 163585,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-6,
    "num_nextn_predict_layers": 0,
    "max_position_embeddings": 131072,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 50000.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 1.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
}


def test_full_preset_has_every_published_field():
    written = kimi_k2_config("full").to_dict()
    assert {name: written[name] for name in PUBLISHED} == PUBLISHED


def test_full_preset_counts_the_published_size():
    total, active = count_parameters(kimi_k2_config("full"))
    assert (total, active) == (1_026_408_209_408, 32_861_477_888)
    # The paper's table, which does not say how it counts.
    assert total == pytest.approx(1.04e12, rel=0.015)
    assert active == pytest.approx(32.6e9, rel=0.01)


def test_full_preset_counts_what_its_sizes_say():
    """The same count by hand, from the published sizes and nothing else."""
    hidden, heads, layers, experts, active_experts = 7168, 64, 61, 384, 8
    query = hidden * 1536 + 1536 + 1536 * heads * (128 + 64)
    key_value = hidden * (512 + 64) + 512 + 512 * heads * (128 + 128)
    attention = query + key_value + heads * 128 * hidden + 2 * hidden
    expert = 3 * hidden * 2048
    dense_layer = attention + 3 * hidden * 18432

    def model(routed: int) -> int:
        moe_layer = attention + experts * hidden + (routed + 1) * expert
        return 2 * 163840 * hidden + hidden + dense_layer + (layers - 1) * moe_layer

    assert count_parameters(kimi_k2_config("full")) == (model(experts), model(active_experts))


def test_nano_counts_its_built_model_and_runs():
    config = kimi_k2_config("nano")
    model = DeepseekV3ForCausalLM(config)
    total, active = count_parameters(config)
    assert total == sum(parameter.numel() for parameter in model.parameters())
    unused = (
        14 / 16 * sum(p.numel() for name, p in model.named_parameters() if name.endswith(("_up_proj", "s.down_proj")))
    )
    assert active == total - unused
    logits = model(torch.arange(12).reshape(1, 12)).logits
    assert logits.shape == (1, 12, 4096)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["deepseek_v3", "deepseek_v3_full_q"])
def test_count_is_exact_for_other_configurations(name):
    model = tiny_model(name)
    assert count_parameters(model.config)[0] == model.num_parameters()
    tied = tiny_model(name, tie_word_embeddings=True)
    assert count_parameters(tied.config)[0] == model.num_parameters() - 128 * 64


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_kimi_k2s_character(preset):
    config = kimi_k2_config(preset)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    first, *others = model.model.layers
    assert isinstance(model, DeepseekV3ForCausalLM)
    assert not hasattr(first.mlp, "experts")
    assert all(hasattr(layer.mlp, "experts") and hasattr(layer.mlp, "shared_experts") for layer in others)
    assert all(hasattr(layer.mlp.gate, "e_score_correction_bias") for layer in others)
    assert first.self_attn.q_a_proj is not None
    assert config.num_key_value_heads == config.num_attention_heads
    assert config.rope_parameters["rope_theta"] == 50000.0
    assert model.lm_head.weight is not model.model.embed_tokens.weight


def test_overrides_replace_the_presets_fields():
    config = kimi_k2_config("nano", vocab_size=1000, num_attention_heads=6, eos_token_id=3, q_lora_rank=None)
    assert (config.vocab_size, config.num_attention_heads, config.num_key_value_heads) == (1000, 6, 6)
    assert (config.eos_token_id, config.bos_token_id, config.q_lora_rank) == (3, None, None)


def test_a_configuration_does_not_share_state_with_the_table():
    kimi_k2_config("nano").rope_parameters["rope_theta"] = 1.0
    assert kimi_k2_config("nano").rope_parameters["rope_theta"] == 50000.0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"preset": "huge"}, "preset must be one of ['full', 'nano'], got 'huge'"),
        ({"num_heads": 4}, "must name a field of DeepseekV3Config, got ['num_heads']"),
        (
            {"num_key_value_heads": 3},
            "must equal num_attention_heads, because MLA expands one key for each head; got 3",
        ),
        ({"num_experts_per_tok": 17}, "must not exceed the 16 experts that the router can choose from"),
        ({"n_group": 4, "topk_group": 1, "num_experts_per_tok": 5}, "must not exceed the 4 experts"),
        ({"n_group": 3}, "must divide into n_group groups of at least 2"),
        ({"n_group": 16}, "must divide into n_group groups of at least 2"),
        ({"n_group": 2, "topk_group": 3}, "topk_group must not exceed n_group, got 3 of 2"),
        ({"qk_rope_head_dim": 15}, "qk_rope_head_dim must be even"),
        ({"q_lora_rank": 0}, "q_lora_rank must be at least 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"hidden_size": "large"}, "expected int, got str (value: 'large')"),
        ({"first_k_dense_replace": 5}, "must lie in 0..num_hidden_layers = 4, got 5"),
        ({"eos_token_id": 4096}, "eos_token_id must lie in 0..vocab_size - 1 = 4095, got 4096"),
        ({"eos_token_id": [1, -1]}, "eos_token_id must lie in 0..vocab_size - 1 = 4095, got -1"),
    ],
)
def test_impossible_configurations_are_refused(overrides, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kimi_k2_config(**overrides)
