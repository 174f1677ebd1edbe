"""What inference engines are known to ignore, misread or refuse in a checkpoint that transformers reads correctly.

One table, for the architecture that it was measured on: DeepSeek-V3, which Kimi K2 has. A folder that meets a row is
still correct in transformers: `check_checkpoint` warns and lists the rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_ARCHITECTURES = ("deepseek_v3", "kimi_k2")
_LLAMA_CPP = "llama.cpp (llama-cpp-python 0.3.36)"
_VLLM = "vLLM 0.32.0"
_DEEPSEEK2 = "`src/models/deepseek2.cpp`"


@dataclass(frozen=True)
class EngineLimit:
    """Something in a config.json that an engine reads in another way than transformers.

    Attributes:
        setting: the field and value, or the field that is missing.
        engine: name and version.
        effect: what the engine does; "silently" where it computes something else and says nothing.
        way_out: what to do for this engine.
        source: a measurement (largest difference of a log-probability), or the engine's source.
        meets: function of config.json's content that returns whether the row applies.
    """

    setting: str
    engine: str
    effect: str
    way_out: str
    source: str
    meets: Callable[[Mapping[str, Any]], bool]

    def __str__(self) -> str:
        return f"{self.setting}: {self.engine} {self.effect}. {self.way_out}"


def _yarn(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of YaRN, from either form of config.json; none if it has another rope."""
    for name in ("rope_parameters", "rope_scaling"):
        rope = fields.get(name)
        if isinstance(rope, Mapping) and "yarn" in (rope.get("rope_type"), rope.get("type")):
            return rope
    return {}


def _is_taken_for_lite(fields: Mapping[str, Any]) -> bool:
    layers = fields.get("num_hidden_layers")
    return layers in (26, 27) or (layers == 48 and fields.get("vocab_size") == 128256)


ENGINE_LIMITS: tuple[EngineLimit, ...] = (
    EngineLimit(
        "rope_interleave = false",
        _LLAMA_CPP,
        "silently rotates interleaved pairs",
        "Train with rope_interleave=True, or serve with transformers",
        "measured: 1.77 nats",
        lambda fields: fields.get("rope_interleave") is False,
    ),
    EngineLimit(
        "rope_interleave = false",
        _VLLM,
        "silently rotates interleaved pairs",
        "Train with rope_interleave=True, or serve with transformers",
        "source: `is_neox_style=False` is fixed",
        lambda fields: fields.get("rope_interleave") is False,
    ),
    EngineLimit(
        "num_hidden_layers = 26 or 27 (48 with 128,256 tokens) with a q_lora_rank",
        _LLAMA_CPP,
        "takes the model for DeepSeek-V2-Lite by its number of layers and refuses it: `attn_q.weight` not found",
        "Train with another number of layers",
        f"measured (26, 27); {_DEEPSEEK2} (48)",
        lambda fields: _is_taken_for_lite(fields) and fields.get("q_lora_rank") is not None,
    ),
    EngineLimit(
        "q_lora_rank = null with other numbers of layers",
        _LLAMA_CPP,
        "refuses the model: it asks for the rank",
        "Train with a q_lora_rank",
        f"measured; {_DEEPSEEK2}",
        lambda fields: not _is_taken_for_lite(fields) and "q_lora_rank" in fields and fields["q_lora_rank"] is None,
    ),
    EngineLimit(
        "attention_bias = true",
        _LLAMA_CPP,
        "refuses the model: it has no place for the biases",
        "Train without attention_bias",
        f"measured; {_DEEPSEEK2}",
        lambda fields: bool(fields.get("attention_bias")),
    ),
    EngineLimit(
        "YaRN's beta_fast other than 32",
        _LLAMA_CPP,
        "silently takes 32, whatever the file says",
        "Give it the value: --yarn-beta-fast",
        f"measured; {_DEEPSEEK2}",
        lambda fields: bool(_yarn(fields)) and _yarn(fields).get("beta_fast", 32) != 32,
    ),
    EngineLimit(
        "YaRN's beta_slow other than 1",
        _LLAMA_CPP,
        "silently takes 1, whatever the file says",
        "Give it the value: --yarn-beta-slow",
        _DEEPSEEK2,
        lambda fields: bool(_yarn(fields)) and _yarn(fields).get("beta_slow", 1) != 1,
    ),
    EngineLimit(
        "hidden_act other than silu",
        _LLAMA_CPP,
        "silently computes silu",
        "Train with hidden_act='silu'",
        _DEEPSEEK2,
        lambda fields: fields.get("hidden_act", "silu") != "silu",
    ),
    EngineLimit(
        "hidden_act other than silu",
        _VLLM,
        "refuses the model",
        "Train with hidden_act='silu'",
        "source: `DeepseekV2MLP`",
        lambda fields: fields.get("hidden_act", "silu") != "silu",
    ),
    EngineLimit(
        "no scoring_func",
        _LLAMA_CPP,
        "silently routes by softmax instead of sigmoid",
        "Save the model with save_checkpoint, which writes it",
        "measured: 0.48 nats",
        lambda fields: "scoring_func" not in fields,
    ),
    EngineLimit(
        "no scoring_func",
        _VLLM,
        "silently routes by softmax instead of sigmoid",
        "Save the model with save_checkpoint, which writes it",
        "measured: 0.33 nats",
        lambda fields: "scoring_func" not in fields,
    ),
    EngineLimit(
        "topk_method other than noaux_tc, or none",
        _VLLM,
        "silently routes without the correction bias",
        "Save the model with save_checkpoint, which writes it",
        "source: `DeepseekV2MoE`; measured without the bias: 0.59 nats",
        lambda fields: fields.get("topk_method") != "noaux_tc",
    ),
    EngineLimit(
        "kv_lora_rank + qk_rope_head_dim other than 512 + 64",
        f"{_VLLM} on a CPU",
        "refuses latent attention, whose kernel is compiled for 576 alone",
        "Train with Kimi K2's sizes, or set VLLM_MLA_DISABLE=1",
        "source: its kernel for CPUs",
        lambda fields: (fields.get("kv_lora_rank"), fields.get("qk_rope_head_dim")) != (512, 64),
    ),
)


def limits_met(fields: Mapping[str, Any]) -> tuple[EngineLimit, ...]:
    """Return the rows of the table that a config.json meets.

    Args:
        fields: the content of config.json.
    """
    if fields.get("model_type") not in _ARCHITECTURES:
        return ()
    return tuple(limit for limit in ENGINE_LIMITS if limit.meets(fields))
