"""Tiny mixtures of experts beside DeepSeek-V3 whose routers have a correction bias, each holding it in its own way."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

# A buffer of the router; a buffer of the mixture of experts; a parameter (1, num_experts) that no optimizer steps.
ROUTED_MODELS: dict[str, dict[str, Any]] = {
    "glm4_moe": {"n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1},
    "minimax_m2": {"num_local_experts": 4},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_layer_start_index": 1, "moe_num_shared_experts": 1},
}


def routed_model(model_type: str) -> PreTrainedModel:
    """Build one with 3 layers, 4 experts and 2 for each token, in float32 and training mode; the same every time."""
    config = AutoConfig.for_model(
        model_type,
        vocab_size=128,
        hidden_size=64,
        intermediate_size=96,
        moe_intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        num_experts_per_tok=2,
        first_k_dense_replace=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **ROUTED_MODELS[model_type],
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model.train()
