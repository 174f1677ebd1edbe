"""Whether a tokenizer and a model's vocabulary belong together."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tiktoken.model")
_PADDED_TO = 64  # a vocabulary is padded to a multiple of this, at least
_PADDING = 1 / 32  # of the vocabulary at most; gpt-oss leaves 1069 of 201088 unused, Qwen2.5 271 of 151936


def count_ids(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the largest id that a tokenizer can produce, plus 1."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def refuse_unfit_tokenizer(tokenizer_size: int, vocab_size: int, *, allow_unused_ids: bool = False) -> None:
    """Raise ValueError unless a tokenizer fits the model's vocabulary.

    Ids without an embedding cannot run. Embeddings without an id are what padding leaves, if they are few and the
    vocabulary is a multiple of 64; more of them are the sign of another model's tokenizer.

    Args:
        tokenizer_size: the result of `count_ids`.
        vocab_size: rows of the input embedding.
        allow_unused_ids: accept any number of embeddings without an id.
    """
    if tokenizer_size > vocab_size:
        raise ValueError(
            f"The tokenizer's ids must fit in the model's vocabulary, got ids up to {tokenizer_size - 1} and "
            f"{vocab_size} embeddings. Save the tokenizer that the model was trained with, or call "
            f"model.resize_token_embeddings({tokenizer_size}) before training."
        )
    unused = vocab_size - tokenizer_size
    is_padding = vocab_size % _PADDED_TO == 0 and unused < max(_PADDED_TO, vocab_size * _PADDING)
    if unused and not is_padding and not allow_unused_ids:
        raise ValueError(
            f"The tokenizer must have the model's vocabulary, up to padding (to a multiple of {_PADDED_TO}, less than "
            f"1/{1 / _PADDING:.0f} of it), got {tokenizer_size} ids for {vocab_size} embeddings. Save the tokenizer "
            f"that the model was trained with. If it is this one, drop the unused rows: model.resize_token_embeddings("
            f"{tokenizer_size}, pad_to_multiple_of={_PADDED_TO}); or keep them with allow_unused_ids=True."
        )


def count_ids_in(folder: Path) -> int | None:
    """Return `count_ids` of the tokenizer in a folder; None if there is none.

    Raises:
        ValueError: it does not load.
    """
    if not any((folder / name).is_file() for name in _FILES):
        return None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception for a file that it cannot read
        raise ValueError(
            f"transformers must load the tokenizer in {folder}, but says: {error} Save it with "
            "tokenizer.save_pretrained, or remove its files."
        ) from error
    return count_ids(tokenizer)
