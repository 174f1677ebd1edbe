"""A word-level tokenizer: one token for each lower-cased word and each punctuation mark.

    “Wait!” said Ben. He didn't run.   ->   “ wait ! ” said ben . he didn't run .

A small vocabulary lets a small model spend its weights on sentences instead of spelling. What the training text does
not have often enough becomes <unk>. Built of the `tokenizers` library's parts, so it loads as any other tokenizer.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

UNKNOWN, END_OF_TEXT = "<unk>", "<|endoftext|>"
_WORD = r"[\w]+(?:'[\w]+)*"  # with apostrophes inside: don't, o'clock
_CLOSING = r".,!?;:”)"


def train_tokenizer(texts: Iterable[str], vocab_size: int = 2048, min_frequency: int = 1) -> PreTrainedTokenizerFast:
    """Number the words by how often they occur.

    Args:
        texts: to count words in.
        vocab_size: at most so many tokens, <unk> (0) and <|endoftext|> (1) among them.
        min_frequency: a word must occur so often.
    """
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"),
            # A straight quote opens where a text or a word begins, and closes elsewhere: two tokens, so that the
            # model knows which of them it writes, and decoding where the space belongs.
            normalizers.Replace(Regex(r'(?<![^\s(“])"'), "“"),
            normalizers.Replace('"', "”"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(rf"{_WORD}|[^\w\s]"), behavior="isolated")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(Regex(rf"^(?![{_CLOSING}])"), " "),  # a space before all but what closes
            decoders.Fuse(),
            decoders.Replace(Regex(r"(?<=[“(]) "), ""),  # and none after what opens
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[UNKNOWN, END_OF_TEXT],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN, eos_token=END_OF_TEXT)
