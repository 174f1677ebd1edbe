"""A document as blocks without gaps between them: paragraphs, items of lists, headings, code, tables, formulas.

Markdown first, with what LaTeX, HTML and MediaWiki write for the same.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .markup import BYTE_ORDER_MARK, LINE, Span

Kind = Literal["prose", "item", "heading", "verbatim"]

_INDENT = re.compile(r"[ \t]*")
_PREFIX = re.compile(r"[ \t>]*")
_BLANK = re.compile(r"\s*\Z")
_HEADING = re.compile(
    r" {0,3}#{1,6}(?:[ \t]|[\r\n]*\Z)"
    r"|[ \t]*\\(?:part|chapter|(?:sub)*section|title)\*?[ \t]*(?:\[[^\]\r\n]*\])?\{.*\}\s*\Z"
    r"|[ \t]*={2,6}[^=\r\n]+={2,6}\s*\Z"
    r"|[ \t]*<(?:h|H)[1-6][\s>].*</(?:h|H)[1-6]>\s*\Z"
)
_UNDERLINE = re.compile(r" {0,3}(?:={2,}|-{2,}|~{4,}|\^{4,})\s*\Z")
_LONGEST_TITLE = 120  # characters; a line under more is a rule between paragraphs
_RULE = re.compile(r"[ \t>]*+([-*_])[ \t]*+(?:\1[ \t]*+){2,}+\s*\Z")
_ITEM = re.compile(r"[ \t>]*(?:[-*+\u2022\u25e6\u25aa\u2023\u00b7]|(?P<number>\d{1,9})[.)])[ \t]+\S")
_DELIMITER = re.compile(r"[ \t>]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?\s*\Z")
_GRID = re.compile(r"[ \t]*\+[-=+]{3,}\+\s*\Z")
_LONGEST_CODE_LINE = 120  # characters; longer indented lines are paragraphs of plain texts


class Block(NamedTuple):
    """A block with the blank lines that follow it.

    Attributes:
        start: of its first character.
        stop: behind its last one, where the next block begins.
        kind: "prose", a paragraph; "item", of a list; "heading"; "verbatim", code, a table, a displayed formula, a rule
            between paragraphs, blank lines before everything, or an item that holds code or a table.
    """

    start: int
    stop: int
    kind: Kind


def blocks(text: str, spans: Sequence[Span]) -> list[Block]:
    """Return the blocks of a text.

    Indented code is what is indented by four spaces or a tab after a blank line, unless a line of it is longer than
    120 characters or goes on without indentation, as paragraphs of plain texts do. An item ends where the next begins,
    one inside of it too.

    Args:
        text: any.
        spans: its protected spans.
    """
    reading = _Reading(text, spans)
    for number in range(len(reading.lines)):
        reading.read(number)
    starts = [start for start, _ in reading.begun]
    stops = [*starts, len(text)][1:]
    return [Block(start, stop, kind) for (start, kind), stop in zip(reading.begun, stops, strict=True)]


class _Reading:
    """The lines of a text, and the blocks begun in those that were read."""

    def __init__(self, text: str, spans: Sequence[Span]) -> None:
        self.text = text
        self.begun: list[tuple[int, Kind]] = []
        self._inside = ""  # what kind of block the line before belongs to
        self._after_blank = True
        self._lines_of_block = 0
        self._indent_of_item = 0
        self._prose_until = 0  # no code begins in lines before
        start = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
        if start:
            self._begin(0, "verbatim", "blank")
        self.lines = _lines(text, start, spans)

    def read(self, number: int) -> None:
        """Add a line to the block at hand, or begin one."""
        line = self.lines[number]
        words = self.text[line.start : line.stop]
        if not line.block and _BLANK.match(words):
            if not self.begun:
                self._begin(line.start, "verbatim", "blank")
            self._after_blank = True
            return
        if line.block or self._starts_table(number, words):
            inside = self._inside == "item" and _width(_PREFIX, words) > self._indent_of_item
            if inside:
                self._turn("verbatim")
            else:
                self._begin(line.start, "verbatim", "block" if line.block else "table")
        elif not self._goes_on(number, words):
            self._begin_of(number, words)
        self._after_blank = False
        self._lines_of_block += 1

    def _goes_on(self, number: int, words: str) -> bool:
        """Return whether a line belongs to the block at hand."""
        indent = _width(_INDENT, words)
        if self._inside == "code":
            return indent >= 4
        if self._inside == "table":
            return not self._after_blank and ("|" in words or _GRID.match(words) is not None)
        if self._inside == "item":
            if _ITEM.match(words) or _HEADING.match(words) or _RULE.match(words):
                return False
            if self._after_blank and indent >= self._indent_of_item + 6:
                self._turn("verbatim")  # code, indented behind the item's own text
            return not self._after_blank or _width(_PREFIX, words) > self._indent_of_item
        if self._inside != "prose" or self._after_blank or _HEADING.match(words):
            return False
        item = _ITEM.match(words)
        if item:
            return item["number"] not in (None, "1")  # a year may stand where a line begins
        title = self._lines_of_block == 1 and self._length(number - 1) <= _LONGEST_TITLE
        if title and _UNDERLINE.match(words):
            self._turn("heading")
            self._inside = "heading"
            return True
        return _RULE.match(words) is None

    def _begin_of(self, number: int, words: str) -> None:
        start = self.lines[number].start
        if _width(_INDENT, words) >= 4 and self._is_code(number):
            self._begin(start, "verbatim", "code")
        elif _HEADING.match(words):
            self._begin(start, "heading", "heading")
        elif _RULE.match(words):
            self._begin(start, "verbatim", "rule")
        elif _ITEM.match(words):
            self._begin(start, "item", "item")
            self._indent_of_item = _width(_PREFIX, words)
        else:
            self._begin(start, "prose", "prose")

    def _is_code(self, number: int) -> bool:
        """Return whether indented lines from here on are code."""
        if self._inside == "item" or number < self._prose_until:
            return False
        for following in range(number, len(self.lines)):
            line = self.lines[following]
            words = self.text[line.start : line.stop]
            if line.block or _BLANK.match(words):
                return True
            if _width(_INDENT, words) < 4 or self._length(following) > _LONGEST_CODE_LINE:
                self._prose_until = following
                return False
        return True

    def _starts_table(self, number: int, words: str) -> bool:
        if self._inside == "table" and not self._after_blank:
            return False
        if _GRID.match(words):
            return True
        following = self.lines[number + 1] if number + 1 < len(self.lines) else None
        if "|" not in words or following is None or following.block:
            return False
        below = self.text[following.start : following.stop]
        rows = words.lstrip(" \t>").startswith("|") and below.lstrip(" \t>").startswith("|")
        return rows or ("|" in below and _DELIMITER.match(below) is not None)

    def _length(self, number: int) -> int:
        return self.lines[number].stop - self.lines[number].start

    def _begin(self, start: int, kind: Kind, inside: str) -> None:
        self.begun.append((start, kind))
        self._inside, self._lines_of_block = inside, 0

    def _turn(self, kind: Kind) -> None:
        self.begun[-1] = (self.begun[-1][0], kind)


def _width(pattern: re.Pattern[str], words: str) -> int:
    found = pattern.match(words)
    return len(found.group().expandtabs(4)) if found else 0


def _lines(text: str, start: int, spans: Sequence[Span]) -> list[Span]:
    """Return a text as blocks and the lines between them; lines between which a span lies are one."""
    lines: list[Span] = []
    inline = [span for span in spans if not span.block]
    place = 0
    for block in [*(span for span in spans if span.block), Span(len(text), len(text), True)]:
        begin = start
        for line in LINE.finditer(text, start, block.start):
            stop = line.end()
            while place < len(inline) and inline[place].stop <= stop:
                place += 1
            if place < len(inline) and inline[place].start < stop < block.start:
                continue
            lines.append(Span(begin, stop, False))
            begin = stop
        if block.start < block.stop:
            lines.append(block)
        start = block.stop
    return lines
