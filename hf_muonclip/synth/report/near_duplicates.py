"""How many texts say nearly what another one says: MinHash (Broder 1997) of some texts against all.

Of a text drawn at random the duplicate is rarely drawn too, so a sample must not be compared with itself. Here each
text is compared with a uniform sample of those before it. Of texts that are nearly the same, all but the last have one
behind them, as all but the first have one before them: the share of the sample that was met again is the share of all
texts that deduplication would remove. What is held does not grow with the number of texts.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy

from ..answer_checks import ALIKE, units
from .reservoir import Reservoir

_WIDTH = 3  # words of a run, as in `answer_checks.shingles`
_HASHES = 128  # of a signature: the likeness of two texts is found to within 0.035 or so
_BLOCK = 2048  # runs hashed at a time
_MOST_EXAMPLES = 5
_EXCERPT = 1500  # characters of a text that an example can show
_MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)

Hashes = numpy.ndarray[Any, numpy.dtype[numpy.uint64]]


def word_hashes(text: str) -> Hashes:
    """Return a hash per word of a text, in order, the same in all processes; (words,), uint64."""
    words = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in units(text)]
    return _mixed(numpy.array(words, dtype=numpy.uint64))


def run_hashes(words: Hashes) -> Hashes:
    """Return the hashes of all different runs of three words, sorted; fewer words are one run.

    Args:
        words: as `word_hashes` returns them.
    """
    runs = words[: max(len(words) - _WIDTH + 1, min(len(words), 1))].copy()
    for place in range(1, min(_WIDTH, len(words))):
        runs = _mixed(runs * _MULTIPLIER + words[place : place + len(runs)])
    return numpy.unique(runs)


@dataclass(frozen=True)
class Pair:
    """Two texts that are nearly the same.

    Attributes:
        names: of the earlier one and of the later one.
        texts: their beginnings.
        likeness: estimated share of their runs of three words that both have.
    """

    names: tuple[str, str]
    texts: tuple[str, str]
    likeness: float


@dataclass(frozen=True)
class Repeats:
    """What was found among texts.

    Attributes:
        texts: that hold a word.
        sampled: of these, those that all later ones were compared with.
        repeated: of the sample, those that a later text is nearly the same as.
        pairs: some of them; the least alike first, for equal texts show least.
    """

    texts: int
    sampled: int
    repeated: int
    pairs: list[Pair]


NO_REPEATS = Repeats(0, 0, 0, [])


class DuplicateSample:
    """Compares texts, which come one by one, with a sample of those before.

    Args:
        size: of the sample.
    """

    def __init__(self, size: int) -> None:
        self._sample = Reservoir(size)
        self._signatures = numpy.zeros((size, _HASHES), numpy.uint32)
        draw = numpy.random.default_rng(0)
        self._factors = draw.integers(0, 2**63, _HASHES, dtype=numpy.uint64) * numpy.uint64(2) + numpy.uint64(1)
        self._offsets = draw.integers(0, 2**63, _HASHES, dtype=numpy.uint64)

    def add(self, name: str, text: str, runs: Hashes) -> None:
        """Take a text.

        Args:
            name: for examples.
            text: whose beginning is kept for examples.
            runs: its `run_hashes`; a text without any is not counted.
        """
        if not len(runs):
            return
        signature, sample = self._signature(runs), self._sample.items
        alike = (self._signatures[: len(sample)] == signature).mean(1) if sample else numpy.zeros(0)
        for place in numpy.flatnonzero(alike >= ALIKE):
            earlier, excerpt, pair = sample[place]
            if pair is None:
                pair = Pair((earlier, name), (excerpt, text[:_EXCERPT]), float(alike[place]))
                sample[place] = (earlier, excerpt, pair)
        if (chosen := self._sample.place()) is not None:
            self._sample.put(chosen, (name, text[:_EXCERPT], None))
            self._signatures[chosen] = signature

    def repeats(self) -> Repeats:
        """Return what was found among the texts so far."""
        pairs = [pair for _, _, pair in self._sample.items if pair is not None]
        shown = sorted(pairs, key=lambda pair: (pair.likeness, pair.names))[:_MOST_EXAMPLES]
        return Repeats(self._sample.seen, len(self._sample.items), len(pairs), shown)

    def _signature(self, runs: Hashes) -> Any:
        """Return the smallest of the text's hashes under each of many hash functions; (hashes,), uint32."""
        smallest = numpy.full(_HASHES, 2**32 - 1, numpy.uint32)
        for first in range(0, len(runs), _BLOCK):
            block = runs[first : first + _BLOCK, None] * self._factors + self._offsets
            smallest = numpy.minimum(smallest, (block.min(0) >> numpy.uint64(32)).astype(numpy.uint32))
        return smallest


def _mixed(values: Hashes) -> Hashes:
    """Return hashes whose bits all depend on all bits of the values."""
    values = (values ^ (values >> numpy.uint64(31))) * _MULTIPLIER
    return (values ^ (values >> numpy.uint64(29))) * numpy.uint64(0xBF58476D1CE4E5B9)
