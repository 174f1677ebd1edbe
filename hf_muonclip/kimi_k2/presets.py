"""Kimi K2's architecture in named sizes, from one that trains on two CPU cores to Kimi K2 itself.

What makes a configuration Kimi K2's (arXiv 2507.20534, section 2.3) stands once, in `_ARCHITECTURE`: MLA with a
compressed query and one key per head, a sigmoid router with a correction bias and no expert groups, one shared expert,
one dense layer in front, untied embeddings. A preset only adds sizes. transformers runs all of them as
`DeepseekV3ForCausalLM`; sigmoid scores and the correction bias are built into that class.

The sizes keep Kimi K2's proportions as far as their own size lets them: 48 experts for each active one from "tiny" on
(8 below, where 48 would leave nothing of an expert), a dense layer as wide as the experts and the shared expert that a
token uses together, heads whose values together are about as wide as the hidden state, and a query compressed to about
a quarter of it. "large" is Kimi K2 with every width, and the depth, divided by four.
"""

import copy
import inspect
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

# Older transformers, whose configuration has no such field, keeps it under the name that it is published with.
_PREDICTION_LAYERS = "num_mtp_layers" if hasattr(DeepseekV3Config, "num_mtp_layers") else "num_nextn_predict_layers"

_ARCHITECTURE: dict[str, Any] = {
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.827,
    # Kimi K2's own at every size: kernels are compiled for them. vLLM's MLA decodes a latent of 512 + 64 alone, its
    # prefill takes (128, 64, 128) on all GPUs, and llama.cpp's flash attention wants 576 and 512. A small model has
    # fewer heads, at least two and a power of two.
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "num_key_value_heads": None,  # as many as num_attention_heads
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
    _PREDICTION_LAYERS: 0,
    "pretraining_tp": 1,
    "use_cache": True,
    # Of the size's own tokenizer, unless a preset says Kimi K2's.
    "bos_token_id": None,
    "eos_token_id": None,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0},
}

_KIMI_K2_TOKENS = {"vocab_size": 163840, "bos_token_id": 163584, "eos_token_id": 163585}

# Widths are multiples of 32, which engines' expert kernels and GGUF's blocks need, and of 128 from "base" on, for the
# blocks of fp8. No preset has 26, 27, 47 or 48 layers: llama.cpp would take it for another model by that number.
PRESETS: dict[str, dict[str, Any]] = {
    "micro": {
        "vocab_size": 2048,
        "hidden_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "q_lora_rank": 32,
        "intermediate_size": 288,
        "moe_intermediate_size": 96,
        "n_routed_experts": 16,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 512,
    },
    "nano": {
        "vocab_size": 4096,
        "hidden_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "q_lora_rank": 64,
        "intermediate_size": 288,
        "moe_intermediate_size": 96,
        "n_routed_experts": 16,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 512,
    },
    "tiny": {
        "vocab_size": 8192,
        "hidden_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "q_lora_rank": 64,
        "intermediate_size": 480,
        "moe_intermediate_size": 160,
        "n_routed_experts": 96,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 4096,
    },
    "small": {
        "vocab_size": 16384,
        "hidden_size": 256,
        "num_hidden_layers": 8,
        "num_attention_heads": 2,
        "q_lora_rank": 64,
        "intermediate_size": 672,
        "moe_intermediate_size": 224,
        "n_routed_experts": 96,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 4096,
    },
    "base": {
        "vocab_size": 32768,
        "hidden_size": 512,
        "num_hidden_layers": 14,
        "num_attention_heads": 4,
        "q_lora_rank": 128,
        "intermediate_size": 1280,
        "moe_intermediate_size": 256,
        "n_routed_experts": 192,
        "num_experts_per_tok": 4,
        "max_position_embeddings": 4096,
    },
    "large": {
        **_KIMI_K2_TOKENS,
        "hidden_size": 1792,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "q_lora_rank": 384,
        "intermediate_size": 4608,
        "moe_intermediate_size": 512,
        "n_routed_experts": 384,
        "num_experts_per_tok": 8,
        "max_position_embeddings": 4096,
    },
    # As first published, at a context of 131072; the release of September 2025 has YaRN's factor at 64 and a context
    # of 262144.
    "full": {
        **_KIMI_K2_TOKENS,
        "hidden_size": 7168,
        "num_hidden_layers": 61,
        "num_attention_heads": 64,
        "q_lora_rank": 1536,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "n_routed_experts": 384,
        "num_experts_per_tok": 8,
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
    },
}

# What each preset is for.
PURPOSES = {
    "micro": "tests and first tries",
    "nano": "two CPU cores, in minutes",
    "tiny": "the smallest with Kimi K2's sparsity, 48",
    "small": "ablations on one GPU",
    "base": "one GPU, including optimizer state; a thousandth of Kimi K2",
    "large": "one node: Kimi K2's widths and depth divided by four, with its tokenizer",
    "full": "Kimi K2 itself, in every published field that decides what it computes",
}

_POSITIVE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "intermediate_size",
    "moe_intermediate_size",
    "n_routed_experts",
    "num_experts_per_tok",
    "n_shared_experts",
    "n_group",
    "topk_group",
    "max_position_embeddings",
)


def kimi_k2_config(preset: str = "nano", **overrides: Any) -> DeepseekV3Config:
    """Return the configuration of a model with Kimi K2's architecture.

    `DeepseekV3ForCausalLM(kimi_k2_config("nano", vocab_size=len(tokenizer)))` builds the model.

    Args:
        preset: a size of `PRESETS`, with its parameters, total and active per token: "micro" (3.0M, 2.0M), "nano"
            (6.4M, 4.1M), "tiny" (32M, 6.1M), "small" (130M, 17M), "base" (1.04B, 80M), "large" (16.7B, 1.13B) or "full"
            (Kimi K2).
        overrides: fields of `DeepseekV3Config` that replace the preset's; `num_key_value_heads` follows
            `num_attention_heads` unless given.

    Raises:
        ValueError: the preset or a field is unknown, or the fields contradict one another.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {sorted(PRESETS)}, got {preset!r}.")
    known = {*inspect.signature(DeepseekV3Config.__init__).parameters, *_ARCHITECTURE} - {"self", "kwargs"}
    if unknown := sorted(set(overrides) - known):
        raise ValueError(
            f"An override must name a field of DeepseekV3Config, got {unknown}. Preset {preset!r} sets these, and each "
            f"can be overridden: {', '.join(sorted(_ARCHITECTURE | PRESETS[preset]))}."
        )
    # The configuration keeps and completes the dictionary that it is given: the table must not be that dictionary.
    fields = copy.deepcopy({**_ARCHITECTURE, **PRESETS[preset], **overrides})
    rope_dim = fields["qk_rope_head_dim"]
    if isinstance(rope_dim, int) and rope_dim % 2:
        raise ValueError(
            f"qk_rope_head_dim must be even, because rotary embeddings turn pairs of dimensions; got {rope_dim}. "
            f"Use {rope_dim + 1}."
        )
    try:
        config = DeepseekV3Config(**fields)
    except StrictDataclassError as error:
        raise ValueError(
            f"DeepseekV3Config must accept preset {preset!r} with {overrides}. {error} Correct that override."
        ) from error
    _check_sizes(config)
    return config


def count_parameters(config: DeepseekV3Config) -> tuple[int, int]:
    """Count the parameters of a model, and those that one token uses, without allocating it.

    A token uses every parameter except the routed experts that it is not sent to. Both embedding matrices count in both
    numbers, buffers (the router's correction bias) in neither.

    Kimi K2's published configuration counts 1,026,408,209,408 and 32,861,477,888 this way, and the weights published
    for it hold 1,026,408,232,448 numbers: these and the correction bias of 60 x 384 experts. The paper's table says
    1.04T and 32.6B and not how it counts. No common convention gives both. The total becomes 1.043T if all 61 layers
    are taken for mixtures of experts, which leaves the active count as it is but for a router's 3M, and 1.044T with a
    layer for multi-token prediction, which Kimi K2 does not have. The active count becomes 31.7B without one of the
    embeddings, 30.5B without both, and 32.7B without routers. Both figures come out, 1.043T and 32.6B, if 61 layers
    have experts and the projection to the compressed key and value (`kv_a_proj_with_mqa`) is left out, for which there
    is no reason.

    Returns:
        (total, active).
    """
    assert config.num_experts_per_tok is not None
    with torch.device("meta"):
        model = DeepseekV3ForCausalLM(config)
    total = sum(parameter.numel() for parameter in model.parameters())
    routed = sum(parameter.numel() for name, parameter in model.named_parameters() if ".mlp.experts." in name)
    # Each expert tensor has the experts as its first dimension, so the division is exact.
    return total, total - routed + routed // config.n_routed_experts * config.num_experts_per_tok


def _check_sizes(config: DeepseekV3Config) -> None:
    """Raise ValueError unless a model with these sizes can be built and run."""
    for name in (*_POSITIVE_FIELDS, "q_lora_rank", "first_k_dense_replace"):  # older transformers takes any type
        value = getattr(config, name)
        if value is not None and not isinstance(value, int):
            raise ValueError(
                f"{name} must be an integer: expected int, got {type(value).__name__} (value: {value!r}). Correct that "
                "override."
            )
    sizes: dict[str, int] = {}
    for name in _POSITIVE_FIELDS:
        size = getattr(config, name)
        if size is None or size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}. Leave it out for the preset's value.")
        sizes[name] = size
    if config.q_lora_rank is not None and config.q_lora_rank < 1:
        raise ValueError(
            f"q_lora_rank must be at least 1, got {config.q_lora_rank}. Give None for a query without compression."
        )
    if config.num_key_value_heads != config.num_attention_heads:
        raise ValueError(
            f"num_key_value_heads must equal num_attention_heads, because MLA expands one key for each head; got "
            f"{config.num_key_value_heads} and {config.num_attention_heads}. Leave num_key_value_heads out."
        )
    first_moe_layer, layers = config.first_k_dense_replace, sizes["num_hidden_layers"]
    if first_moe_layer is None or not 0 <= first_moe_layer <= layers:
        raise ValueError(
            f"first_k_dense_replace must lie in 0..num_hidden_layers = {layers}, got {first_moe_layer}. Kimi K2 has 1."
        )
    experts, groups, used_groups = sizes["n_routed_experts"], sizes["n_group"], sizes["topk_group"]
    if experts % groups or experts // groups < 2:
        raise ValueError(
            f"n_routed_experts must divide into n_group groups of at least 2, because the router ranks a group by its "
            f"two best experts; got {experts} experts in {groups} groups. Kimi K2 has 1 group."
        )
    if used_groups > groups:
        raise ValueError(f"topk_group must not exceed n_group, got {used_groups} of {groups}. Kimi K2 has 1 of 1.")
    if sizes["num_experts_per_tok"] > (selectable := experts // groups * used_groups):
        raise ValueError(
            f"num_experts_per_tok must not exceed the {selectable} experts that the router can choose from "
            f"(n_routed_experts = {experts}), got {sizes['num_experts_per_tok']}. Lower it, or raise n_routed_experts."
        )
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        token_ids = getattr(config, name)
        for token_id in token_ids if isinstance(token_ids, list) else [token_ids]:
            if token_id is not None and not 0 <= token_id < config.vocab_size:
                raise ValueError(
                    f"{name} must lie in 0..vocab_size - 1 = {config.vocab_size - 1}, got {token_id}. Take both from "
                    "the same tokenizer."
                )
