"""What can be measured, and what a tokenizer writes by itself."""

import pytest
from tiny_models import tiny_model, tiny_tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import LlamaModel, T5Config, T5ForConditionalGeneration

from hf_muonclip.evaluation.model_under_test import context_limit, leading_special_tokens, load, measuring


def test_a_model_in_memory_stays_and_needs_its_tokenizer() -> None:
    model, tokenizer = tiny_model("llama_gqa"), tiny_tokenizer()
    assert load(model, tokenizer) == (model, tokenizer)
    with pytest.raises(ValueError, match=r"in memory \(LlamaForCausalLM\) needs its tokenizer"):
        load(model, None)


def test_other_models_are_refused() -> None:
    headless = LlamaModel(tiny_model("llama_gqa").config)
    with pytest.raises(ValueError, match="only causal language models are evaluated, got LlamaModel"):
        load(headless, tiny_tokenizer())
    config = T5Config(vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    with pytest.raises(ValueError, match="got T5ForConditionalGeneration"):
        load(T5ForConditionalGeneration(config), tiny_tokenizer())


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
