"""Perplexity against the slow truth, token by token in float64, and against what transformers itself calls loss."""

import copy
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
from error_messages import naming
from tiny_models import tiny_model, tiny_tokenizer, words
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer, PreTrainedModel, PreTrainedTokenizerFast

from hf_muonclip.evaluation import EvaluationData, Perplexity, measure_perplexity

DATA = EvaluationData(name="words")


TEXTS = [words(23, 0), words(5, 1), words(40, 2), words(2, 3)]


def tokenizer_that_adds(template: str) -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    special = [("[BOS]", 1), ("[EOS]", 2)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=special)
    return tokenizer


def sharp_model(name: str = "llama_gqa", **overrides: Any) -> PreTrainedModel:
    """A tiny model that prefers some tokens clearly: losses near log(128) everywhere would hide a wrong position."""
    model = tiny_model(name, **overrides)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)
        model.get_input_embeddings().weight.mul_(20)
    return model


def measure(model: PreTrainedModel, texts: list[str] = TEXTS, tokenizer: Any = None, **settings: Any) -> Perplexity:
    return measure_perplexity(model, texts, tokenizer or tiny_tokenizer(), data=DATA, **settings)


def slow_truth(model: PreTrainedModel, documents: list[list[int]], *window: int) -> tuple[float, list[list[float]]]:
    exact = copy.deepcopy(model).double().eval()
    exact.config._experts_implementation = "eager"  # the grouped product knows no float64
    return reference.perplexity(exact, documents, 1, *window)


@pytest.mark.parametrize(
    ("name", "context_length", "stride", "batch_size"),
    [
        ("llama_gqa", 64, 32, 1),
        ("llama_gqa", 8, 4, 3),
        ("llama_gqa", 8, 7, 3),
        ("llama_gqa", 5, 1, 16),
        ("mixtral", 8, 4, 3),
        ("deepseek_v3", 8, 4, 3),
    ],
)
def test_every_token_counts_once_as_in_the_slow_truth(
    name: str, context_length: int, stride: int, batch_size: int
) -> None:
    model = sharp_model(name)
    found = measure(model, context_length=context_length, stride=stride, batch_size=batch_size)
    documents = [tiny_tokenizer()(text)["input_ids"] for text in TEXTS]
    truth, losses = slow_truth(model, documents, context_length, stride)
    assert found.tokens == sum(map(len, losses)) == sum(map(len, documents)) - len(documents)
    assert found.value == pytest.approx(truth, rel=1e-4)
    assert found.document_losses == pytest.approx([statistics.fmean(of_one) for of_one in losses], rel=1e-4)
    assert abs(found.loss - math.log(128)) > 0.1


def test_it_is_the_loss_of_transformers_where_a_window_holds_the_text() -> None:
    model = sharp_model()
    found = measure(model, TEXTS[:1])
    ids = tiny_tokenizer()(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert found.loss == pytest.approx(float(model(input_ids=ids, labels=ids).loss), rel=1e-5)


def test_a_start_token_is_context_and_an_end_token_is_left_out() -> None:
    model = sharp_model()
    tokenizer = tokenizer_that_adds("[BOS] $A [EOS]")
    found = measure(model, tokenizer=tokenizer, context_length=8, stride=4)
    documents = [[1, *tiny_tokenizer()(text)["input_ids"]] for text in TEXTS]
    truth, losses = slow_truth(model, documents, 8, 4)
    assert found.tokens == sum(map(len, losses)) == sum(len(text.split()) for text in TEXTS)
    assert found.value == pytest.approx(truth, rel=1e-4)


def test_one_word_can_be_predicted_from_a_start_token_only() -> None:
    assert measure(sharp_model(), ["w7"], tokenizer_that_adds("[BOS] $A")).tokens == 1
    with pytest.raises(ValueError, match=naming("text 0", "1 tokens", 0)):
        measure(sharp_model(), ["w7"])
    with pytest.raises(ValueError, match=naming("text 1", "0 tokens", 1)):
        measure(sharp_model(), ["w7", ""], tokenizer_that_adds("[BOS] $A"))


def test_bits_per_byte_are_of_the_predicted_bytes() -> None:
    found = measure(sharp_model(), ["w7 w8 w9"])
    assert found.bits_per_byte == pytest.approx(found.loss / math.log(2) * 2 / len(" w8 w9"))
    found = measure(sharp_model(), ["w7 w8 w9"], tokenizer_that_adds("[BOS] $A"))
    assert found.bits_per_byte == pytest.approx(found.loss / math.log(2) * 3 / len("w7 w8 w9"))


def test_a_first_token_that_does_not_decode_to_its_text_counts_its_own_bytes() -> None:
    found = measure(sharp_model(), ["é w8 w9"])  # [UNK] w8 w9
    assert found.bits_per_byte == pytest.approx(found.loss / math.log(2) * 2 / len(" w8 w9"))


def test_bytes_are_counted_for_tokenizers_in_python_too() -> None:
    tokenizer = ByT5Tokenizer(extra_ids=0)  # each byte is a token, behind three special ones
    assert not tokenizer.is_fast
    found = measure(sharp_model(vocab_size=259), ["hello"], tokenizer)
    assert found.tokens == 4
    assert found.bits_per_byte == pytest.approx(found.loss / math.log(2))


def test_standard_error_over_documents_of_equal_length_is_that_of_their_mean() -> None:
    found = measure(sharp_model(), [words(9, seed) for seed in range(6)])
    expected = statistics.stdev(found.document_losses) / math.sqrt(6)
    assert found.standard_error_over == "documents"
    assert found.loss_standard_error == pytest.approx(expected, rel=1e-6)
    assert found.standard_error == pytest.approx(found.value * expected, rel=1e-6)


def test_standard_error_counts_long_documents_for_more() -> None:
    # Two documents far from the ratio on either side: the delta method written out for two units.
    found = measure(sharp_model(), TEXTS[:2])
    (a, b), (m, n) = found.document_losses, (22, 4)
    ratio = (a * m + b * n) / (m + n)
    expected = math.sqrt(2 * ((a - ratio) ** 2 * m**2 + (b - ratio) ** 2 * n**2)) / (m + n)
    assert found.loss == pytest.approx(ratio)
    assert found.loss_standard_error == pytest.approx(expected)


def test_a_single_document_is_judged_over_its_windows() -> None:
    found = measure(sharp_model(), TEXTS[2:3], context_length=8, stride=4)
    assert found.standard_error_over == "windows"
    assert found.loss_standard_error is not None
    assert 0 < found.loss_standard_error < found.loss
    alone = measure(sharp_model(), TEXTS[2:3])
    assert alone.loss_standard_error is None
    assert alone.standard_error is None
    assert "standard error over" not in alone.settings


def test_model_and_random_state_are_given_back_as_they_were() -> None:
    model = tiny_model("llama_gqa", attention_dropout=0.5)
    model.lm_head.eval()
    state = torch.get_rng_state()
    training = {name: module.training for name, module in model.named_modules()}
    first = measure(model)
    assert measure(model) == first  # no dropout
    assert {name: module.training for name, module in model.named_modules()} == training
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_a_folder_gives_what_its_model_gives(tmp_path: Path) -> None:
    model = sharp_model()
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert measure_perplexity(tmp_path, TEXTS, data=DATA) == measure(model)


def test_none_takes_the_context_that_the_model_has() -> None:
    found = measure(sharp_model())
    assert (found.context_length, found.stride) == (128, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_length": 129}, naming("context_length", 2, 128, 129)),
        ({"context_length": 1}, naming("context_length", 2, 128, 1)),
        ({"context_length": 8, "stride": 8}, naming("stride", 7, 8)),
        ({"batch_size": 0}, naming("batch_size", 0)),
        ({"texts": []}, naming("text")),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(sharp_model(), **settings)


def test_logits_that_are_not_finite_have_no_perplexity() -> None:
    model = sharp_model()
    with torch.no_grad():
        model.lm_head.weight[5] = math.nan
    with pytest.raises(ValueError, match=naming("words", "nan")):
        measure(model)
