"""Documents cut at natural boundaries into chunks that are rewritten one by one; joined, they are the document again.

What may be cut and where is told by `markup` (parts that stay whole), `blocks` (paragraphs, items, headings, code) and
`sentence_ends`; here blocks are put together to chunks, and cut where one is too large.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

from .blocks import blocks
from .markup import protected_spans
from .sentence_ends import sentence_ends

LEAST_LETTERS = 12  # of a chunk that is worth rewriting, outside of links and the like
_SEARCHED_FOR_HEADING = 4096  # characters
_APART = 64

_LETTER = re.compile(r"[^\W\d_]")
_LINE_END = re.compile(r"[\r\n]+\s*")
_WORD_END = re.compile(r"[^\S\u00a0\u2007\u202f]+|[\u3001\uff0c\uff1a\uff1b](?!\s)")
# Between characters of scripts that write no space; a mark is never the first of a line.
_BETWEEN_CHARACTERS = re.compile(
    r"(?<=[\u3041-\u3096\u30a1-\u30fa\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
    r"(?=[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)


@dataclass(frozen=True)
class Chunk:
    """A piece of a document.

    Attributes:
        text: with all white space that surrounds it in the document.
        verbatim: whether it stays as it is: code, a table, a displayed formula, a heading, white space, too few letters
            to be rewritten, or a block larger than a chunk that cannot be cut.
    """

    text: str
    verbatim: bool


def cut(document: str, max_size: int, size: Callable[[str], int] = len) -> list[Chunk]:
    """Return a document as chunks whose texts, joined, equal it exactly.

    Chunks end at blocks that stay as they are (headings, code, tables, displayed formulas, rules), then between
    paragraphs and items of lists, then, in a paragraph larger than a chunk, where a line ends with a sentence, between
    sentences, lines, words, and between Chinese or Japanese characters. Within that, chunks are made of about equal
    size. White space belongs to what precedes it.

    Never cut are code, tables, formulas, items of lists, links, tags, addresses and words. One that is larger than a
    chunk is a chunk by itself, of any size, and verbatim: it is passed through and not rewritten. All other chunks hold
    at most max_size.

    Args:
        document: any text; takes time in proportion to its length.
        max_size: of a chunk that is rewritten, in the unit of `size`.
        size: of a text, such as its number of tokens; at least 1 for a text that is not empty.

    Raises:
        ValueError: max_size is not positive.
    """
    if max_size < 1:
        raise ValueError(f"max_size must be 1 or more; got {max_size!r}. 2000 characters are some paragraphs.")
    spans = protected_spans(document)
    cutter = _Cutter(document, [span[:2] for span in spans if not span.block], max_size, size)
    chunks: list[Chunk] = []
    prose: list[_Piece] = []
    for block in blocks(document, spans):
        if block.kind in ("prose", "item"):
            prose.append(_Piece(block.start, block.stop, whole=block.kind == "item"))
            continue
        chunks += cutter.chunks(prose)
        chunks.append(Chunk(document[block.start : block.stop], verbatim=True))
        prose = []
    return [*chunks, *cutter.chunks(prose)]


def first_heading(document: str) -> str:
    """Return the first heading near the beginning of a document, without its marks; "" where there is none."""
    beginning = document[:_SEARCHED_FOR_HEADING]
    for block in blocks(beginning, protected_spans(beginning)):
        if block.kind == "heading":
            first = beginning[block.start : block.stop].strip().splitlines()[0]
            bare = re.sub(r"^\\\w+\*?(?:\[[^\]]*\])?\{|\}$|</?h[1-6][^>]*>", "", first, flags=re.IGNORECASE)
            return bare.strip(" \t#=")
    return ""


class _Piece(NamedTuple):
    start: int
    stop: int
    whole: bool = False  # it must not be cut


def _sentences_that_end_lines(text: str) -> Iterator[int]:
    for end in sentence_ends(text) if "\n" in text or "\r" in text else ():
        if text[max(end - 16, 0) : end].rstrip(" \t").endswith(("\n", "\r")):
            yield end


def _ends(pattern: re.Pattern[str]) -> Callable[[str], Iterable[int]]:
    return lambda text: (found.end() for found in pattern.finditer(text))


def _some_ends(pattern: re.Pattern[str]) -> Callable[[str], Iterable[int]]:
    """As `_ends`, so many characters apart: sizes of few pieces are soon taken, and each is far below a chunk's."""

    def some(text: str) -> Iterator[int]:
        last = 0
        for found in pattern.finditer(text):
            if found.end() - last >= _APART:
                last = found.end()
                yield last

    return some


# Where a piece that is too large may be cut, coarsest first.
_LEVELS: tuple[Callable[[str], Iterable[int]], ...] = (
    _sentences_that_end_lines,
    sentence_ends,
    _ends(_LINE_END),
    _some_ends(_WORD_END),
    _ends(_WORD_END),
    _some_ends(_BETWEEN_CHARACTERS),
    _ends(_BETWEEN_CHARACTERS),
)


class _Cutter:
    """Makes chunks of pieces of a document that follow each other.

    Args:
        document: all of it.
        kept: starts and stops of what is not cut, in order.
        max_size: of a chunk.
        size: of a text.
    """

    def __init__(self, document: str, kept: list[tuple[int, int]], max_size: int, size: Callable[[str], int]) -> None:
        self._document, self._max_size, self._size = document, max_size, size
        self._kept, self._starts = kept, [start for start, _ in kept]

    def chunks(self, pieces: Iterable[_Piece], level: int = 0) -> Iterator[Chunk]:
        """Yield chunks of pieces, of which those that are too large are cut at a level or finer."""
        fitting: list[tuple[_Piece, int]] = []
        for piece in pieces:
            size = self._size(self._document[piece.start : piece.stop])
            if size <= self._max_size:
                fitting.append((piece, size))
                continue
            yield from self._packed(fitting)
            fitting = []
            yield from self._cut(piece, level)
        yield from self._packed(fitting)

    def _cut(self, piece: _Piece, level: int) -> Iterator[Chunk]:
        text = self._document[piece.start : piece.stop]
        for finer in range(level, len(_LEVELS)) if not piece.whole else ():
            ends = [end for end in _LEVELS[finer](text) if 0 < end < len(text) and self._may_end(piece.start + end)]
            if ends:
                places = [piece.start, *(piece.start + end for end in ends), piece.stop]
                yield from self.chunks((_Piece(*pair) for pair in pairwise(places)), finer + 1)
                return
        yield Chunk(text, verbatim=True)

    def _may_end(self, place: int) -> bool:
        before = bisect_left(self._starts, place) - 1
        return before < 0 or place >= self._kept[before][1]

    def _packed(self, sized: list[tuple[_Piece, int]]) -> Iterator[Chunk]:
        total = sum(size for _, size in sized)
        target = total / max(math.ceil(total / self._max_size), 1)
        group: list[_Piece] = []
        filled = 0
        for piece, size in sized:
            if group and (filled + size > self._max_size or filled >= target):
                yield from self._joined(group)
                group, filled = [], 0
            group.append(piece)
            filled += size
        if group:
            yield from self._joined(group)

    def _joined(self, group: list[_Piece]) -> Iterator[Chunk]:
        """Yield a group of pieces as a chunk, or as some where a text is larger than its parts are together."""
        text = self._document[group[0].start : group[-1].stop]
        if len(group) > 1 and self._size(text) > self._max_size:
            yield from self._joined(group[: len(group) // 2])
            yield from self._joined(group[len(group) // 2 :])
        else:
            yield Chunk(text, verbatim=not self._has_letters(group[0].start, group[-1].stop))

    def _has_letters(self, start: int, stop: int) -> bool:
        """Return whether there are enough letters to rewrite, outside of links, tags, formulas and code."""
        letters = 0
        number = bisect_left(self._starts, start)
        while letters < LEAST_LETTERS and start < stop:
            kept = self._kept[number] if number < len(self._kept) and self._starts[number] < stop else (stop, stop)
            letters += sum(1 for _ in islice(_LETTER.finditer(self._document, start, kept[0]), LEAST_LETTERS))
            start, number = kept[1], number + 1
        return letters >= LEAST_LETTERS
