"""Only a loss that the model makes of labels of tokens counts as one whose exponential is a perplexity."""

from typing import Any

import pytest
import torch
from tiny_models import random_batch, tiny_model
from transformers import BertConfig, BertForSequenceClassification

from hf_muonclip.models.token_loss import TokenLoss


def seen(model: Any, **inputs: Any) -> bool | None:
    look = TokenLoss(model)
    model(**inputs)
    look.close()
    assert not model._forward_hooks
    return look.seen


def test_a_language_models_own_loss_is_one_of_tokens() -> None:
    model = tiny_model("llama_gqa")
    assert seen(model, **random_batch(model)) is True


def test_without_labels_the_trainer_computes_another_loss() -> None:
    model = tiny_model("llama_gqa")
    assert seen(model, input_ids=random_batch(model)["input_ids"]) is False


def test_a_router_loss_is_none_of_tokens() -> None:
    model = tiny_model("mixtral", output_router_logits=True)
    assert seen(model, **random_batch(model)) is False


def test_labels_of_classes_are_no_tokens() -> None:
    model = BertForSequenceClassification(
        BertConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    assert seen(model.train(), input_ids=torch.ones(2, 4, dtype=torch.int64), labels=torch.tensor([0, 1])) is False


@pytest.mark.parametrize("training", [False, True])
def test_the_first_training_forward_decides(training: bool) -> None:
    model = tiny_model("llama_gqa").train(training)
    batch = random_batch(model)
    look = TokenLoss(model)
    model(**batch)
    model(input_ids=batch["input_ids"])
    assert look.seen is (True if training else None)
