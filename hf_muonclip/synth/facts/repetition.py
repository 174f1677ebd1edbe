"""Text that is there twice: sentences that the rewriting repeats and its source does not, and loops."""

from collections import Counter

from .reading import Facts

_RUN = 6


def repeated_share(facts: Facts) -> float:
    """Return the share of a text's words that belong to a run of six that stood there before, in [0, 1]."""
    words = [token.lower for token in facts.text.tokens if token.kind != "mark"]
    seen: set[tuple[str, ...]] = set()
    repeated = [False] * len(words)
    for start in range(len(words) - _RUN + 1):
        run = tuple(words[start : start + _RUN])
        if run in seen:
            repeated[start : start + _RUN] = [True] * _RUN
        seen.add(run)
    return sum(repeated) / len(words) if words else 0.0


def repeated_sentences(facts: Facts) -> Counter[tuple[str, ...]]:
    """Return how often each sentence stands in a text, by its content words in order; of one or two, by all words."""
    return Counter(key for sentence in range(len(facts.text.sentences)) if len(key := _key(facts, sentence)) > 2)


def _key(facts: Facts, sentence: int) -> tuple[str, ...]:
    words = tuple(place.feature for place in facts.text.places[sentence])
    return words if len(words) > 2 else tuple(facts.text.words_of(sentence))


def compare_repetition(source: Facts, rewritten: Facts) -> tuple[float, list[int]]:
    """Return how far the rewriting repeats itself where its source does not.

    Returns:
        The share of its words in runs that it repeats, less that of the source; and of each sentence that stands in it
        more often than in the source, or twice, its first place.
    """
    ours, theirs = repeated_sentences(source), repeated_sentences(rewritten)
    more = {words for words, count in theirs.items() if count > max(ours[words], 1)}
    first: dict[tuple[str, ...], int] = {}
    for number in range(len(rewritten.text.sentences)):
        first.setdefault(_key(rewritten, number), number)
    runs = max(0.0, repeated_share(rewritten) - repeated_share(source))
    return runs, [number for words, number in first.items() if words in more]
