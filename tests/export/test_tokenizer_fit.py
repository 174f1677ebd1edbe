"""Padding of a vocabulary is told from another model's tokenizer."""

from pathlib import Path

import pytest
from error_messages import naming
from tiny_models import tiny_tokenizer

from hf_muonclip.export.tokenizer_fit import count_ids, count_ids_in, refuse_unfit_tokenizer


@pytest.mark.parametrize(
    ("tokenizer_size", "vocab_size"),
    [
        (163_840, 163_840),
        (4000, 4000),
        (151_665, 151_936),  # Qwen2.5
        (128_815, 129_280),  # DeepSeek-V3
        (200_019, 201_088),  # gpt-oss
        (32_011, 32_064),  # Phi-3
        (50_277, 50_432),  # GPT-NeoX
        (65, 128),
    ],
)
def test_published_vocabularies_fit(tokenizer_size: int, vocab_size: int) -> None:
    refuse_unfit_tokenizer(tokenizer_size, vocab_size)


@pytest.mark.parametrize(
    ("tokenizer_size", "vocab_size"),
    [
        (49_152, 163_840),  # SmolLM2's beside Kimi K2
        (4095, 4097),  # not padded
        (64, 128),  # a whole multiple unused
    ],
)
def test_a_smaller_tokenizer_is_refused_unless_allowed(tokenizer_size: int, vocab_size: int) -> None:
    with pytest.raises(ValueError, match=naming(tokenizer_size, vocab_size, "allow_unused_ids=True")):
        refuse_unfit_tokenizer(tokenizer_size, vocab_size)
    refuse_unfit_tokenizer(tokenizer_size, vocab_size, allow_unused_ids=True)


def test_a_larger_tokenizer_is_always_refused() -> None:
    for allow_unused_ids in (False, True):
        with pytest.raises(ValueError, match=naming("128", "resize_token_embeddings")):
            refuse_unfit_tokenizer(129, 128, allow_unused_ids=allow_unused_ids)


def test_ids_are_counted_with_their_gaps(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(100)
    tokenizer.add_tokens(["<new>"])
    assert count_ids(tokenizer) == 101
    assert count_ids_in(tmp_path) is None
    tokenizer.save_pretrained(tmp_path)
    assert count_ids_in(tmp_path) == 101
