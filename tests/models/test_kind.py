"""A model's task, noun and loading class follow from its own class; what nobody else can load is refused."""

from typing import Any

import pytest
import torch
import transformers
from error_messages import naming
from peft import LoraConfig, get_peft_model
from tiny_models import tiny_model
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import (
    BertConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    ViTConfig,
    WhisperConfig,
)

from hf_muonclip.kimi_k2.model_type import KimiK2Config
from hf_muonclip.models.kind import _KINDS, UnknownKindError, base_model_of, kind_of

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 32,
}
BERT = BertConfig(**SMALL, num_labels=3)
VIT = ViTConfig(**{**SMALL, "image_size": 16, "patch_size": 8}, num_labels=5)
T5 = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, num_labels=3)
WHISPER = WhisperConfig(
    vocab_size=32,
    d_model=16,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
)
KINDS = [
    ("LlamaForCausalLM", LlamaConfig(**SMALL), "AutoModelForCausalLM", "text-generation", "a causal language model"),
    ("BertForMaskedLM", BERT, "AutoModelForMaskedLM", "fill-mask", "a masked language model"),
    ("BertForSequenceClassification", BERT, None, "text-classification", "a text classifier with 3 classes"),
    ("BertForTokenClassification", BERT, None, "token-classification", "a token classifier with 3 classes"),
    ("BertForQuestionAnswering", BERT, None, "question-answering", "an extractive question-answering model"),
    ("BertModel", BERT, "AutoModel", "feature-extraction", "a model without a head"),
    ("ViTForImageClassification", VIT, None, "image-classification", "an image classifier with 5 classes"),
    ("ViTModel", VIT, "AutoModel", "image-feature-extraction", "a model without a head"),
    ("T5ForConditionalGeneration", T5, "AutoModelForSeq2SeqLM", "text2text-generation", "an encoder-decoder language"),
    ("T5ForSequenceClassification", T5, None, "text-classification", "a text classifier with 3 classes"),
    ("WhisperForConditionalGeneration", WHISPER, "AutoModelForSpeechSeq2Seq", "automatic-speech-recognition", "an enc"),
    ("WhisperForAudioClassification", WHISPER, None, "audio-classification", "an audio classifier with 2 classes"),
]


@pytest.mark.parametrize(("name", "config", "auto", "task", "noun"), KINDS, ids=[each[0] for each in KINDS])
def test_kinds_are_told_by_class(name: str, config: Any, auto: str | None, task: str, noun: str) -> None:
    with torch.device("meta"):
        model = getattr(transformers, name)(config)
    kind = kind_of(model)
    auto = auto or f"AutoModelFor{name.partition('For')[2]}"
    assert (kind.pipeline_tag, kind.library_name) == (task, "transformers")
    assert kind.noun.startswith(noun)
    assert kind.loading == (f"model = {auto}.from_pretrained(name)",)
    assert kind.imports == (f"from transformers import {auto}",)
    assert kind.continues_text == (task in ("text-generation", "text2text-generation"))


def test_a_class_of_no_auto_class_is_imported_itself() -> None:
    config = CLIPVisionConfig(**{name: size for name, size in SMALL.items() if name != "vocab_size"})
    with torch.device("meta"):
        kind = kind_of(transformers.CLIPVisionModelWithProjection(config))
    assert kind.imports == ("from transformers import CLIPVisionModelWithProjection",)
    assert kind.pipeline_tag is None


def test_a_backbone_is_loaded_by_its_own_class() -> None:
    sizes = {name: size for name, size in SMALL.items() if name != "vocab_size"}
    with torch.device("meta"):
        kind = kind_of(transformers.Dinov2Backbone(transformers.Dinov2Config(**sizes, image_size=28, patch_size=14)))
    assert kind.loading == ("model = Dinov2Backbone.from_pretrained(name)",)
    assert (kind.noun, kind.pipeline_tag) == ("a vision backbone", "image-feature-extraction")


@pytest.mark.parametrize(
    ("tags", "noun"), [(None, "a text model that gives one number"), (["trl", "reward-trainer"], "a reward model")]
)
def test_one_number_is_no_class(tags: list[str] | None, noun: str) -> None:
    model = transformers.LlamaForSequenceClassification(LlamaConfig(**SMALL, num_labels=1, pad_token_id=0))
    if tags:
        model.add_model_tags(tags)
    assert kind_of(model).noun == noun


def test_the_wrappers_of_torch_do_not_hide_a_class() -> None:
    model = tiny_model("llama_gqa")
    expected = kind_of(model)
    compiled = nn.Module()
    compiled._orig_mod = model  # as torch.compile keeps it
    assert kind_of(compiled) == expected
    sharded = type("FSDPLlamaForCausalLM", (FSDPModule, LlamaForCausalLM), {"__module__": FSDPModule.__module__})
    model.__class__ = sharded
    assert kind_of(model) == expected


def test_a_type_of_another_package_is_registered_first() -> None:
    model = tiny_model("deepseek_v3")
    model.config = KimiK2Config(**{k: v for k, v in model.config.to_dict().items() if k != "model_type"})
    first, second = kind_of(model).imports
    assert first == "import hf_muonclip.kimi_k2.model_type  # registers the type kimi_k2"
    assert second == "from transformers import AutoModelForCausalLM"


class OwnConfig(LlamaConfig):
    model_type = "own_of_a_test"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig


def test_a_class_of_ones_own_is_imported_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = OwnModel(OwnConfig(**SMALL))
    kind = kind_of(model)
    assert kind.imports == (f"from {__name__} import OwnModel",)
    assert kind.loading == ("model = OwnModel.from_pretrained(name)",)
    monkeypatch.setattr(OwnModel, "__module__", "__main__")
    with pytest.raises(UnknownKindError, match=naming("OwnModel", "__main__")):
        kind_of(model)
    model.config.auto_map = {"AutoModelForCausalLM": "modeling_own.OwnModel"}
    kind = kind_of(model)
    assert kind.loading == ("model = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=True)",)
    assert kind.pipeline_tag == "text-generation"


def adapted(base: PreTrainedModel, name: str) -> Any:
    base.name_or_path = name
    return get_peft_model(base, LoraConfig(target_modules=["q_proj"]))


def test_an_adapter_is_loaded_onto_its_base() -> None:
    kind = kind_of(adapted(tiny_model("llama_gqa"), "ada/base"))
    assert (kind.library_name, kind.base_model, kind.pipeline_tag) == ("peft", "ada/base", "text-generation")
    assert kind.noun == "a LoRA adapter for a causal language model"
    assert kind.loading == (
        'base = AutoModelForCausalLM.from_pretrained("ada/base")',
        "model = PeftModel.from_pretrained(base, name)",
    )
    assert kind.file == "adapter_config.json"


def test_a_base_without_a_name_of_the_hub_is_refused(tmp_path: Any) -> None:
    for name in ("", str(tmp_path)):
        with pytest.raises(UnknownKindError, match=naming("Hub", "base")):
            kind_of(adapted(tiny_model("llama_gqa"), name))


def test_a_models_own_adapter_finds_its_base() -> None:
    model = tiny_model("llama_gqa")
    model.name_or_path = "ada/base"
    # What model.add_adapter sets, which asks for a newer PEFT.
    model._hf_peft_config_loaded = True
    model.peft_config = {"default": LoraConfig(base_model_name_or_path="ada/base")}
    kind = kind_of(model)
    assert (kind.base_model, kind.file) == ("ada/base", "adapter_config.json")
    assert kind.loading[0].startswith("model = AutoModelForCausalLM.from_pretrained(name)")


class Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny_model("llama_gqa")


@pytest.mark.parametrize("module", [Wrapper(), nn.Sequential(nn.Linear(2, 2))])
def test_of_any_other_module_the_weights_are_loaded(module: nn.Module) -> None:
    kind = kind_of(module)
    assert (kind.noun, kind.pipeline_tag, kind.library_name) == ("a PyTorch module", None, None)
    assert (kind.result, kind.file) == ("weights.keys()", "model.safetensors")


def test_models_of_other_libraries_know_their_own_card() -> None:
    module = nn.Linear(2, 2)
    module.save_pretrained = lambda folder: None  # type: ignore[assignment]
    with pytest.raises(UnknownKindError, match=naming("Linear", "library")):
        kind_of(module)


def test_folders_are_no_names_on_the_hub(tmp_path: Any) -> None:
    assert base_model_of("openai-community/gpt2") == "openai-community/gpt2"
    assert [base_model_of(name) for name in ("", None, str(tmp_path), "/not/here", "C:\\models\\mine", 7)] == [None] * 6


@pytest.mark.skipif(
    not hasattr(transformers, "AutoModelForRNNT"), reason="this transformers lacks kinds that the table knows"
)
def test_every_auto_class_of_the_table_is_one_of_transformers() -> None:
    assert [auto for auto, _, _ in _KINDS if not hasattr(transformers, auto)] == []
