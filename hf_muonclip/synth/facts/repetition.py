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
    """Return how often each sentence of at least three content words stands in a text, by its content words in order."""
    said = (tuple(place.feature for place in places) for places in facts.text.places)
    return Counter(words for words in said if len(words) > 2)


def compare_repetition(source: Facts, rewritten: Facts) -> tuple[float, list[str]]:
    """Return 1 less the share of the rewriting that repeats itself more than its source does, and why.

    The sentences for people name what is there twice.
    """
    ours, theirs = repeated_sentences(source), repeated_sentences(rewritten)
    reasons = []
    for words, count in theirs.items():
        if count > max(ours[words], 1):
            sentence = next(
                i for i, places in enumerate(rewritten.text.places) if tuple(p.feature for p in places) == words
            )
            reasons.append(f'The rewriting says "{rewritten.text.quote_sentence(sentence)}" {count} times.')
    more = max(0.0, repeated_share(rewritten) - repeated_share(source))
    return 1 - more, reasons
