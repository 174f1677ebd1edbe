"""The model type `kimi_k2`: DeepSeek-V3's architecture under the name that Kimi K2's published config.json has.

transformers has no such type of its own. Without the registration below it cannot read such a folder, and DeepSeek-V3's
class, asked for by name, reads it wrong: it finds the way to join experts by model type, and leaves them random.
"""

from typing import Any

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    DeepseekV3Model,
)
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING


class KimiK2Config(DeepseekV3Config):  # type: ignore[no-untyped-call]
    """DeepSeek-V3's configuration under the model type `kimi_k2`; `DeepseekV3ForCausalLM` runs it."""

    model_type = "kimi_k2"


def register_kimi_k2() -> None:
    """Let transformers' Auto classes read and write checkpoints whose config.json says `kimi_k2`. Idempotent.

    Importing `hf_muonclip.kimi_k2` does it. Where transformers knows the type itself, its own way to read it stays, and
    only models that were built from `KimiK2Config` are added.
    """
    if KimiK2Config.model_type not in CONFIG_MAPPING:
        AutoConfig.register(KimiK2Config.model_type, KimiK2Config)
    conversions_of: Any = get_checkpoint_conversion_mapping
    if conversions_of(KimiK2Config.model_type) is None:
        register_checkpoint_conversion_mapping(KimiK2Config.model_type, conversions_of(DeepseekV3Config.model_type))
    # Not AutoModelForCausalLM.register: it wants a model class for each configuration class, and a class of another
    # name would write that name into config.json, where engines look for DeepseekV3ForCausalLM.
    model_mapping: Any = MODEL_MAPPING
    causal_lm_mapping: Any = MODEL_FOR_CAUSAL_LM_MAPPING
    model_mapping.register(KimiK2Config, DeepseekV3Model, exist_ok=True)
    causal_lm_mapping.register(KimiK2Config, DeepseekV3ForCausalLM, exist_ok=True)
