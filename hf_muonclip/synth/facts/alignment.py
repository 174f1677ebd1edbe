"""Which sentence of a rewriting says what which sentence of its source says.

By the weights of words, names and numbers that they share; a sentence may be split or merged with others, so that each
is compared with the few that together cover most of it.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

from .reading import Facts

_MOST_JOINED = 3
_LEAST_GAIN = 0.12


@dataclass(frozen=True, slots=True)
class Match:
    """What some sentences of one text share with one sentence of the other.

    Attributes:
        sentences: of the other text, best first; empty where none shares anything.
        share: of the sentence's weight that they cover, in [0, 1].
        weight: of the sentence: about the number of its content words.
        common: how many of its words, names and numbers the first of them shares.
    """

    sentences: tuple[int, ...]
    share: float
    weight: float
    common: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """Sentences of two texts.

    Attributes:
        of_source: for each sentence of the source, what covers it in the rewriting.
        of_rewritten: for each sentence of the rewriting, what it is taken from.
    """

    of_source: list[Match]
    of_rewritten: list[Match]

    def link(self, source: int, rewritten: int) -> bool:
        """Return whether two sentences belong together, as a whole or in part."""
        return source in self.of_rewritten[rewritten].sentences or rewritten in self.of_source[source].sentences

    def from_source(self, sentence: int) -> set[int]:
        """Return the source's sentences that a sentence of the rewriting is taken from, or that it covers."""
        covered = {i for i, match in enumerate(self.of_source) if sentence in match.sentences[:1]}
        return covered.union(self.of_rewritten[sentence].sentences)


def align(source: Facts, rewritten: Facts) -> Alignment:
    """Return which sentences belong together."""
    spread = Counter(feature for sentence in source.weights for feature in sentence)
    ours, theirs = _rarer(source, spread), _rarer(rewritten, spread)
    in_ours, in_theirs = _index(ours), _index(theirs)
    return Alignment([_match(s, theirs, in_theirs) for s in ours], [_match(s, ours, in_ours) for s in theirs])


def _rarer(facts: Facts, spread: Counter[str]) -> list[dict[str, float]]:
    """Return the weights of each sentence, less of what many sentences of the source hold."""
    return [
        {feature: weight / max(spread[feature], 1) ** 0.5 for feature, weight in sentence.items()}
        for sentence in facts.weights
    ]


def _index(sentences: list[dict[str, float]]) -> dict[str, list[int]]:
    """Return, of each feature, the sentences that hold it."""
    index: dict[str, list[int]] = defaultdict(list)
    for number, sentence in enumerate(sentences):
        for feature in sentence:
            index[feature].append(number)
    return index


def _match(sentence: dict[str, float], others: list[dict[str, float]], index: dict[str, list[int]]) -> Match:
    total = sum(sentence.values())
    left = dict(sentence)
    chosen: list[int] = []
    covered, common = 0.0, 0
    while left and len(chosen) < _MOST_JOINED:
        gains: dict[int, float] = defaultdict(float)
        for feature, weight in left.items():
            for number in index.get(feature, ()):
                gains[number] += weight
        if not gains:
            break
        best = max(gains, key=lambda number: (gains[number], -number))
        if chosen and gains[best] < _LEAST_GAIN * total:
            break
        if not chosen:
            common = len(sentence.keys() & others[best].keys())
        chosen.append(best)
        covered += gains[best]
        left = {feature: weight for feature, weight in left.items() if feature not in others[best]}
    return Match(tuple(chosen), covered / total if total else 1.0, total, common)
