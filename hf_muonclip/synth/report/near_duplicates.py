"""How many texts say nearly what another one says: MinHash (Broder 1997) over a sample of bounded size.

Of a text drawn at random the duplicate is rarely drawn too. So texts are drawn by a hash of the smallest hash of their
runs of three words: two texts whose runs are alike to 80% have that one in common, and are drawn together, at least
four times in five. In the sample each text is compared with each, which needs no index.
"""

import heapq
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy

from ..answer_checks import ALIKE, units

_WIDTH = 3  # words of a run, as in `answer_checks.shingles`
_HASHES = 256  # of a signature: the likeness of two texts is found to within 0.025 or so
_BLOCK = 4096  # runs hashed at a time
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
        compared: those that were drawn.
        repeated: of these, those that are nearly the same as one before: what deduplication would remove.
        pairs: some of them, the most alike that are not equal first.
    """

    texts: int
    compared: int
    repeated: int
    pairs: list[Pair]


NO_REPEATS = Repeats(0, 0, 0, [])


@dataclass(order=True)
class _Drawn:
    rank: int  # negative, so that a heap has at its top what is dropped first
    place: int
    name: str = field(compare=False)
    excerpt: str = field(compare=False)
    signature: Any = field(compare=False)


class DuplicateSample:
    """Takes texts one by one, and holds so many of them.

    Args:
        size: texts that are compared, at most.
    """

    def __init__(self, size: int) -> None:
        self.size, self.texts = size, 0
        self._heap: list[_Drawn] = []
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
        self.texts += 1
        rank = -int(_mixed(runs[:1])[0])
        if len(self._heap) == self.size and (rank, -self.texts) < (self._heap[0].rank, self._heap[0].place):
            return
        drawn = _Drawn(rank, -self.texts, name, text[:_EXCERPT], self._signature(runs))
        (heapq.heappushpop if len(self._heap) == self.size else heapq.heappush)(self._heap, drawn)

    def repeats(self) -> Repeats:
        """Return what was found among the texts so far."""
        drawn = sorted(self._heap, key=lambda one: -one.place)
        signatures = numpy.array([one.signature for one in drawn])
        pairs, repeated = list[tuple[float, int, int]](), 0
        for later in range(1, len(drawn)):
            alike = (signatures[:later] == signatures[later]).mean(1)
            earlier = int(alike.argmax())
            if alike[earlier] >= ALIKE:
                repeated += 1
                pairs.append((float(alike[earlier]), earlier, later))
        pairs.sort(key=lambda pair: (pair[0] == 1, -pair[0], pair[1:]))
        examples = [
            Pair((drawn[a].name, drawn[b].name), (drawn[a].excerpt, drawn[b].excerpt), likeness)
            for likeness, a, b in pairs[:_MOST_EXAMPLES]
        ]
        return Repeats(self.texts, len(drawn), repeated, examples)

    def _signature(self, runs: Hashes) -> Any:
        """Return the smallest of the text's hashes under each of many hash functions; (hashes,), uint32."""
        smallest = numpy.full(_HASHES, 2**32 - 1, numpy.uint32)
        for first in range(0, len(runs), _BLOCK):
            block = runs[first : first + _BLOCK, None] * self._factors + self._offsets
            smallest = numpy.minimum(smallest, (block >> numpy.uint64(32)).astype(numpy.uint32).min(0))
        return smallest


def _mixed(values: Hashes) -> Hashes:
    """Return hashes whose bits all depend on all bits of the values."""
    values = (values ^ (values >> numpy.uint64(31))) * _MULTIPLIER
    return (values ^ (values >> numpy.uint64(29))) * numpy.uint64(0xBF58476D1CE4E5B9)
