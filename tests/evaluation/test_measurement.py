"""The module answers to calls as `evaluate`'s own do, with numbers that are ours."""

from pathlib import Path

import evaluate
import pytest
from test_perplexity import TEXTS, measure, sharp_model
from tiny_models import tiny_tokenizer

from hf_muonclip.evaluation.measurement import PerplexityMeasurement


@pytest.fixture
def module(tmp_path: Path) -> evaluate.Measurement:
    return PerplexityMeasurement(cache_dir=str(tmp_path / "cache"))


def test_it_returns_evaluates_keys_and_more(module: evaluate.Measurement, tmp_path: Path) -> None:
    model = sharp_model()
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    found = module.compute(data=TEXTS, model_id=str(tmp_path / "model"), context_length=8, stride=4)
    ours = measure(model, context_length=8, stride=4)
    assert found["perplexity"] == ours.value
    assert found["standard_error"] == ours.standard_error
    assert found["mean_perplexity"] == pytest.approx(sum(found["perplexities"]) / len(TEXTS))
    assert len(found["perplexities"]) == len(TEXTS)
    assert found["tokens"] == ours.tokens


def test_texts_can_be_added_batch_by_batch(module: evaluate.Measurement) -> None:
    module.add_batch(data=TEXTS[:3])
    module.add(data=TEXTS[3])
    found = module.compute(model_id=sharp_model(), tokenizer=tiny_tokenizer())
    assert found["perplexity"] == measure(sharp_model()).value
