"""The presets against the published configuration, the counts against built models, and every refusal."""

import copy

import pytest
import torch
from error_messages import naming
from published_fields import PUBLISHED
from tiny_models import tiny_model
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.kimi_k2 import PRESETS, count_parameters, kimi_k2_config

# What no DeepseekV3Config has as a field: what transformers' class does without being told (the next test asks it),
# and what says nothing of the model's function.
BUILT_IN = {"scoring_func", "topk_method", "moe_layer_freq"}
OF_THE_FILE = {
    "architectures",
    "auto_map",
    "model_type",
    "torch_dtype",
    "transformers_version",
    "quantization_config",
    "aux_loss_alpha",
    "seq_aux",
}
# Total, active, by preset.
SIZES = {
    "micro": (3_049_952, 2_017_760),
    "nano": (6_407_104, 4_084_672),
    "tiny": (32_135_104, 6_145_984),
    "small": (130_024_192, 16_827_136),
    "base": (1_040_833_792, 79_813_888),
    "large": (16_656_801_536, 1_132_633_856),
    "full": (1_026_408_209_408, 32_861_477_888),
}


def test_full_preset_has_every_published_field():
    config = kimi_k2_config("full")
    fields = {name: value for name, value in PUBLISHED.items() if name not in BUILT_IN | OF_THE_FILE}
    rope = dict(fields.pop("rope_scaling"))
    theta = fields.pop("rope_theta")
    assert {name: getattr(config, name) for name in fields} == fields
    assert config.rope_parameters == {"rope_type": rope.pop("type"), "rope_theta": theta, **rope}


def test_transformers_reads_the_published_file_as_the_full_preset():
    published = {name: copy.deepcopy(value) for name, value in PUBLISHED.items() if name not in OF_THE_FILE}
    read, ours = (config.to_dict() for config in (DeepseekV3Config(**published), kimi_k2_config("full")))
    for name in BUILT_IN:  # kept, and used by nothing
        del read[name]
    assert read["rope_parameters"].pop("type") == read["rope_parameters"]["rope_type"]  # kept under its old name too
    assert read == ours


def test_the_router_does_what_the_published_file_asks_for():
    """`scoring_func` sigmoid; `topk_method` noaux_tc: the bias decides the choice and not the weights."""
    config = kimi_k2_config("micro")
    experts = DeepseekV3ForCausalLM(config).model.layers[1].mlp
    router = experts.gate
    hidden = torch.randn(3, config.hidden_size, generator=torch.Generator().manual_seed(0))
    router.e_score_correction_bias[5] = 10.0
    routed = router(hidden)
    if isinstance(routed, torch.Tensor):  # older transformers chooses outside of the router
        routed = routed, *reversed(experts.route_tokens_to_experts(routed))
    logits, weights, chosen = routed
    scores = logits.double().sigmoid().gather(1, chosen)
    assert (chosen == 5).any(dim=1).all()
    expected = 2.827 * scores / scores.sum(dim=1, keepdim=True)
    torch.testing.assert_close(weights.double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_counts_its_size(preset):
    assert count_parameters(kimi_k2_config(preset)) == SIZES[preset]


def test_full_preset_counts_the_published_size():
    total, active = count_parameters(kimi_k2_config("full"))
    # The numbers in published weights (of Kimi K2.5's text model), as reported for a conversion of them.
    assert total + 60 * 384 == 1_026_408_232_448
    # The paper's table, which does not say how it counts.
    assert total / 1.04e12 - 1 == pytest.approx(-0.0131, abs=1e-4)
    assert active / 32.6e9 - 1 == pytest.approx(0.0080, abs=1e-4)


def test_what_is_said_of_other_conventions():
    total, active = SIZES["full"]
    hidden, expert, router = 7168, 3 * 7168 * 2048, 384 * 7168
    dense, embedding = 3 * hidden * 18432, 163840 * hidden
    all_experts = total - dense + router + (384 + 1) * expert
    assert all_experts == pytest.approx(1.043e12, abs=5e8)
    attention = hidden * (1536 + 576) + 1536 * 64 * 192 + 512 * 64 * 256 + 64 * 128 * hidden
    prediction = attention + router + (384 + 1) * expert + 2 * hidden * hidden
    assert total + prediction == pytest.approx(1.044e12, abs=5e8)
    assert active - dense + router + (8 + 1) * expert == active + router  # the dense layer is as wide
    for left_out, said in ((embedding, 31.7e9), (2 * embedding, 30.5e9), (60 * router, 32.7e9)):
        assert active - left_out == pytest.approx(said, abs=5e7)
    compressed = 61 * hidden * 576
    assert all_experts - compressed == pytest.approx(1.043e12, abs=5e8)
    assert active + router - compressed == pytest.approx(32.6e9, abs=5e7)


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


@pytest.mark.parametrize("preset", ["micro", "nano"])
def test_small_presets_count_their_built_models_and_run(preset):
    config = kimi_k2_config(preset)
    model = DeepseekV3ForCausalLM(config)
    total, active = count_parameters(config)
    assert total == sum(parameter.numel() for parameter in model.parameters())
    unused = (
        14 / 16 * sum(p.numel() for name, p in model.named_parameters() if name.endswith(("_up_proj", "s.down_proj")))
    )
    assert active == total - unused
    logits = model(torch.arange(12).reshape(1, 12)).logits
    assert logits.shape == (1, 12, config.vocab_size)
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


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_kimi_k2s_proportions(preset):
    config = kimi_k2_config(preset)
    hidden, chosen = config.hidden_size, config.num_experts_per_tok
    assert config.n_routed_experts / chosen == (8 if preset in ("micro", "nano") else 48)
    # A dense layer is as wide as the experts that a token uses, the shared one included.
    assert config.intermediate_size == (chosen + 1) * config.moe_intermediate_size
    # Kimi K2's are 2.57, 1.14 and 0.21; the fewest heads that engines take are wide for the smallest.
    assert 1.5 <= config.intermediate_size / hidden <= 2.7
    assert 1.0 <= config.num_attention_heads * config.v_head_dim / hidden <= 2.0
    assert 0.2 <= config.q_lora_rank / hidden <= 0.35


def test_large_is_a_quarter_of_kimi_k2():
    large, full = kimi_k2_config("large"), kimi_k2_config("full")
    for name in ("hidden_size", "intermediate_size", "moe_intermediate_size", "q_lora_rank", "num_attention_heads"):
        assert 4 * getattr(large, name) == getattr(full, name)
    assert large.num_hidden_layers == round(full.num_hidden_layers / 4) + 1
    for name in ("n_routed_experts", "num_experts_per_tok", "vocab_size", "bos_token_id", "eos_token_id"):
        assert getattr(large, name) == getattr(full, name)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_sizes_that_engines_take(preset):
    config = kimi_k2_config(preset)
    # vLLM's MLA kernels, decode and prefill; llama.cpp's flash attention.
    assert (config.kv_lora_rank, config.qk_rope_head_dim) == (512, 64)
    assert (config.qk_nope_head_dim, config.v_head_dim) == (128, 128)
    heads = config.num_attention_heads
    assert heads >= 2
    assert heads & (heads - 1) == 0
    # Grouped products on a CPU and GGUF's blocks; vLLM's padding of the vocabulary.
    for name in ("hidden_size", "intermediate_size", "moe_intermediate_size", "q_lora_rank"):
        assert getattr(config, name) % (128 if preset in ("base", "large", "full") else 32) == 0
    assert config.vocab_size % 64 == 0
    # llama.cpp takes these numbers of layers for DeepSeek-V2-Lite and others.
    assert config.num_hidden_layers not in (26, 27, 47, 48)
    assert config.n_routed_experts <= 1024
    assert config.num_experts_per_tok <= 32


def test_overrides_replace_the_presets_fields():
    config = kimi_k2_config("nano", vocab_size=1000, num_attention_heads=6, eos_token_id=3, q_lora_rank=None)
    assert (config.vocab_size, config.num_attention_heads, config.num_key_value_heads) == (1000, 6, 6)
    assert (config.eos_token_id, config.bos_token_id, config.q_lora_rank) == (3, None, None)


def test_a_configuration_does_not_share_state_with_the_table():
    kimi_k2_config("nano").rope_parameters["rope_theta"] = 1.0
    assert kimi_k2_config("nano").rope_parameters["rope_theta"] == 50000.0


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"preset": "huge"}, ("preset", *PRESETS, "'huge'")),
        ({"num_heads": 4}, ("DeepseekV3Config", "'num_heads'")),
        ({"num_key_value_heads": 3}, ("num_key_value_heads", "num_attention_heads", 3)),
        ({"num_experts_per_tok": 17}, ("num_experts_per_tok", 16, 17)),
        ({"n_group": 4, "topk_group": 1, "num_experts_per_tok": 5}, ("num_experts_per_tok", 4, 5)),
        ({"n_group": 3}, ("n_routed_experts", "n_group", 3)),
        ({"n_group": 16}, ("n_routed_experts", "n_group", 16)),
        ({"n_group": 2, "topk_group": 3}, ("topk_group", "n_group", 3, 2)),
        ({"qk_rope_head_dim": 15}, ("qk_rope_head_dim", 15, 16)),
        ({"q_lora_rank": 0}, ("q_lora_rank", 1, 0)),
        ({"hidden_size": 0}, ("hidden_size", 1, 0)),
        ({"hidden_size": "large"}, ("int", "str", "'large'")),
        ({"first_k_dense_replace": 5}, ("first_k_dense_replace", "num_hidden_layers = 4", 5)),
        ({"eos_token_id": 4096}, ("eos_token_id", "vocab_size", 4095, 4096)),
        ({"eos_token_id": [1, -1]}, ("eos_token_id", "vocab_size", 4095, -1)),
    ],
)
def test_impossible_configurations_are_refused(overrides, named):
    with pytest.raises(ValueError, match=naming(*named)):
        kimi_k2_config(**overrides)
