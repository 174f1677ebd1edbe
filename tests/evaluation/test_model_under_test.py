"""What can be measured, and what a tokenizer writes by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from safetensors.torch import load_file, save_file
from tiny_models import TINY_MODEL_NAMES, tiny_model, tiny_tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import LlamaModel, T5Config, T5ForConditionalGeneration
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.evaluation import model_under_test
from hf_muonclip.evaluation.model_under_test import context_limit, leading_special_tokens, load, measuring


def test_a_model_in_memory_stays_and_needs_its_tokenizer() -> None:
    model, tokenizer = tiny_model("llama_gqa"), tiny_tokenizer()
    assert load(model, tokenizer) == (model, tokenizer)
    with pytest.raises(ValueError, match=naming("LlamaForCausalLM", "tokenizer")):
        load(model, None)


def test_other_models_are_refused() -> None:
    headless = LlamaModel(tiny_model("llama_gqa").config)
    with pytest.raises(ValueError, match=naming("LlamaModel")):
        load(headless, tiny_tokenizer())
    config = T5Config(vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    with pytest.raises(ValueError, match=naming("T5ForConditionalGeneration")):
        load(T5ForConditionalGeneration(config), tiny_tokenizer())


@pytest.mark.parametrize("tie_word_embeddings", [True, False])
@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_what_transformers_saves_is_loaded(name: str, tie_word_embeddings: bool, tmp_path: Path) -> None:
    model = tiny_model(name, tie_word_embeddings=tie_word_embeddings)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    torch.save({}, tmp_path / "training_args.bin")  # as the Trainer does
    loaded, tokenizer = load(tmp_path, None)
    assert type(loaded) is type(model)
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key].cpu(), tensor, atol=0, rtol=0)


def save_without_a_tensor(folder: Path) -> None:
    tiny_model("llama_gqa").save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    tiny_tokenizer().save_pretrained(folder)


def test_a_folder_without_some_weights_is_refused(tmp_path: Path) -> None:
    save_without_a_tensor(tmp_path)
    with pytest.raises(ValueError, match=naming("missing", "model.layers.1.mlp.up_proj.weight")):
        load(tmp_path, None)


def test_a_name_on_the_hub_without_some_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_pretrained = AutoModelForCausalLM.from_pretrained

    def from_folder(source: str, **arguments: Any) -> Any:
        assert source == "me/model"
        return from_pretrained(tmp_path, **arguments)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_folder)
    monkeypatch.setattr(model_under_test, "find_adapter_config_file", lambda source: None)
    save_without_a_tensor(tmp_path)
    with pytest.raises(ValueError, match=naming("me/model", "missing_keys", "model.layers.1.mlp.up_proj.weight")):
        load("me/model", tiny_tokenizer())
    model = tiny_model("llama_gqa")
    model.save_pretrained(tmp_path)
    loaded, _ = load("me/model", tiny_tokenizer())
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key].cpu(), tensor, atol=0, rtol=0)


def test_a_folder_with_an_adapter_is_its_base_with_it(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = tiny_model("llama_gqa")
    base.save_pretrained(tmp_path / "base")
    base.name_or_path = str(tmp_path / "base")
    adapted = peft.get_peft_model(base, peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.arange(4, 12)[None]
    with torch.no_grad():
        expected = adapted.eval()(ids).logits
        loaded, _ = load(tmp_path / "adapter", tiny_tokenizer())
        torch.testing.assert_close(loaded.eval()(ids.to(loaded.device)).logits.cpu(), expected, atol=1e-5, rtol=1e-5)


def test_an_adapter_on_a_base_without_some_weights_is_refused(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    save_without_a_tensor(tmp_path / "base")
    base = tiny_model("llama_gqa")
    base.name_or_path = str(tmp_path / "base")
    peft.get_peft_model(base, peft.LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match=naming("base", "missing_keys", "model.layers.1.mlp.up_proj.weight")):
        load(tmp_path / "adapter", tiny_tokenizer())


def test_training_flags_come_back_after_an_error() -> None:
    model = tiny_model("llama_gqa")
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]

    def interrupted() -> None:
        with measuring(model):
            assert not any(module.training for module in model.modules())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [module.training for module in model.modules()] == before
    assert len(set(before)) == 2


@pytest.mark.parametrize(("template", "leading"), [("$A", []), ("[BOS] $A [EOS]", [1]), ("[EOS] [BOS] $A", [2, 1])])
def test_special_tokens_in_front_are_found(template: str, leading: list[int]) -> None:
    tokenizer = tiny_tokenizer()
    special = [("[BOS]", 1), ("[EOS]", 2)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=special)
    assert leading_special_tokens(tokenizer) == leading


def test_the_context_is_the_configurations() -> None:
    assert context_limit(tiny_model("llama_gqa", max_position_embeddings=77)) == 77
