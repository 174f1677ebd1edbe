"""Tables of words, written as lines of text."""


def word_set(words: str) -> frozenset[str]:
    """Return the words of some lines."""
    return frozenset(words.split())
