"""Tiny causal language models that the tests share: one per attention layout and expert layout, float32, fixed seed.

Every model has 4 query heads of width 16, hidden size 64 and a vocabulary of 128. Parameters that transformers starts
at 0 or 1 (biases, norm gains, the router's correction bias, attention sinks) are moved away from there: a test on a
bias that is zero, or on a gain that is one, cannot fail.
"""

from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    DeepseekV3ForCausalLM,
    GptOssForCausalLM,
    LlamaForCausalLM,
    MixtralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
)

PAD_TOKEN_ID = 0
IGNORED_LABEL = -100

_SHARED: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_act": "silu",
    "max_position_embeddings": 128,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
    "use_cache": False,
    "pad_token_id": PAD_TOKEN_ID,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "attention_dropout": 0.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
_DEEPSEEK_V3: dict[str, Any] = {
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "first_k_dense_replace": 1,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "rope_interleave": True,
    "num_mtp_layers": 0,
}
# Name -> model class and what its configuration adds to _SHARED. gpt_oss runs eager only: SDPA has no sinks.
_MODELS: dict[str, tuple[type[PreTrainedModel], dict[str, Any]]] = {
    "llama_mha": (LlamaForCausalLM, {"num_key_value_heads": 4, "head_dim": 16}),
    "llama_gqa": (LlamaForCausalLM, {"num_key_value_heads": 2, "head_dim": 16}),
    "llama_mqa": (LlamaForCausalLM, {"num_key_value_heads": 1, "head_dim": 16}),
    "qwen2": (Qwen2ForCausalLM, {"num_key_value_heads": 2, "use_sliding_window": False}),
    "mixtral": (
        MixtralForCausalLM,
        {
            "num_key_value_heads": 2,
            "head_dim": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": None,
        },
    ),
    "deepseek_v3": (DeepseekV3ForCausalLM, _DEEPSEEK_V3),
    "deepseek_v3_full_q": (DeepseekV3ForCausalLM, {**_DEEPSEEK_V3, "q_lora_rank": None}),
    "gpt_oss": (
        GptOssForCausalLM,
        {
            "num_key_value_heads": 2,
            "head_dim": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 150000.0,
                "factor": 4.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": 32,
            },
        },
    ),
}
TINY_MODEL_NAMES = tuple(_MODELS)


def tiny_model(name: str, **overrides: Any) -> PreTrainedModel:
    """Build a tiny model in float32 and training mode; the same weights every time, the global seed untouched.

    Args:
        name: one of `TINY_MODEL_NAMES`.
        overrides: configuration fields to change; `attn_implementation` too.
    """
    model_class, fields = _MODELS[name]
    config = model_class.config_class(**{**_SHARED, **fields, **overrides})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config)
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if (tensor == 0).all() or (tensor == 1).all():
                    tensor.add_(0.1 * torch.randn_like(tensor))
    return model.train()


def random_batch(
    model: PreTrainedModel,
    batch_size: int = 2,
    length: int = 16,
    padding: Literal["none", "left", "right"] = "none",
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Draw random tokens for a model; padded positions carry attention 0 and a label that the loss ignores.

    With padding every row but the first loses between one token and half of its length; a batch of one is padded too.
    The first token after left padding carries an ignored label as well: it would be predicted from padding, where
    attention implementations differ.

    Returns:
        `input_ids`, `attention_mask` and `labels`, each (batch_size, length), int64.
    """
    generator = torch.Generator().manual_seed(seed)
    first_plain_token = 3  # after padding, beginning and end of text
    input_ids = torch.randint(first_plain_token, model.config.vocab_size, (batch_size, length), generator=generator)
    attention_mask = torch.ones_like(input_ids)
    if padding != "none":
        for row in range(0 if batch_size == 1 else 1, batch_size):
            dropped = int(torch.randint(1, length // 2 + 1, (), generator=generator))
            attention_mask[row, slice(dropped) if padding == "left" else slice(length - dropped, None)] = 0
    input_ids = input_ids.masked_fill(attention_mask == 0, PAD_TOKEN_ID)
    labels = input_ids.masked_fill(attention_mask == 0, IGNORED_LABEL)
    labels[:, 1:][attention_mask[:, :-1] == 0] = IGNORED_LABEL
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


def tiny_tokenizer(size: int = 128) -> PreTrainedTokenizerFast:
    """A tokenizer with `size` words: [PAD] [BOS] [EOS] [UNK] w4 w5 ..."""
    words = ["[PAD]", "[BOS]", "[EOS]", "[UNK]"] + [f"w{index}" for index in range(4, size)]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]", unk_token="[UNK]"
    )


def words(count: int, seed: int) -> str:
    """Return words that `tiny_tokenizer` knows, the same for the same seed."""
    numbers = torch.randint(4, 128, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    return " ".join(f"w{number}" for number in numbers)
