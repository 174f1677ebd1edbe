"""Which parts of a text must stay in one piece: code, tables, formulas, links, tags, addresses.

One pass from left to right, so that what looks like an opening mark inside of code opens nothing. It takes time in
proportion to the text, whatever is left unclosed.
"""

import re
from functools import cached_property
from typing import NamedTuple

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
BYTE_ORDER_MARK = "\ufeff"

_OPENER = re.compile(r"[`~$\\<\[]")
_BLANK_LINE = re.compile(r"(?:\r\n|\n|\r(?!\n))[ \t\f\v]*[\r\n]")
_INDENT = re.compile(r"[ \t>]*")
_REST_OF_BLOCK = re.compile(r"[ \t.,;:]*(?:\r\n|\r|\n|\Z)")
_BEFORE_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?")
_LONGEST_BEFORE_FENCE = 200  # characters; so that a long line full of backticks is not read again for each
_LONGEST_CODE_MARK = 8  # backticks around code in a line; each length may be searched for once per paragraph
_BACKTICKS = re.compile(r"`+")
_FORMULA = re.compile(r"\$(?![\s$])(?:[^$\\\r\n]|\\[^\r\n]|(?:\r\n|[\r\n])(?![ \t]*[\r\n]))*+(?<!\s)\$(?!\d)")
_ENVIRONMENT = re.compile(r"\\(begin|end)[ \t]*\{([^{}\r\n]{1,64})\}")
_ELEMENT = re.compile(r"<(/?)(table|pre|script|style|math|svg)\b[^<>]*+>?", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>\r\n]*+>")
_LINK = re.compile(r"\[[^\[\]\r\n]*+\]\((?:[^()\r\n]|\([^()\r\n]*+\))*+\)")
# Up to white space, brackets and the punctuation of Chinese and Japanese, which writes no space behind an address.
_ADDRESS = re.compile(r"(?:https?|ftp)://[^\s<>\"\u3001\u3002\u300a-\u3011\uff01\uff08\uff09\uff0c\uff1b\uff1f]+")


class Span(NamedTuple):
    """A part of a text that is not cut.

    Attributes:
        start: of its first character.
        stop: behind its last one.
        block: whether it stands by itself: code, a table, a displayed formula, with the lines that it fills. Otherwise
            it belongs to the sentence around it.
    """

    start: int
    stop: int
    block: bool


def protected_spans(text: str) -> list[Span]:
    r"""Return the spans of a text, in order, none overlapping another.

    Blocks are fenced code (``` and ~~~; an unclosed fence reaches to the end of the text, as in CommonMark), the HTML
    elements table, pre, script, style, math and svg, and, where nothing else is on their lines, $$…$$, \[…\], LaTeX
    environments (all but `document`) and HTML comments. Inside of a line stand those four too, $…$, \(…\), `code`,
    links, tags and addresses. Formulas end in their paragraph: TeX allows no blank line in them. What is not closed is
    text, but for fences.
    """
    scan = _Scan(text)
    place = 0
    while opener := _OPENER.search(text, place):
        place = scan.after(opener.group(), opener.start())
    addresses = [Span(*found.span(), False) for found in _ADDRESS.finditer(text)]
    merged: list[Span] = []
    for span in sorted([*scan.spans, *addresses]):
        if merged and span.start < merged[-1].stop:
            last = merged[-1]
            merged[-1] = Span(last.start, max(last.stop, span.stop), last.block or span.block)
        else:
            merged.append(span)
    return merged


class _Scan:
    """A pass over a text that notes spans, and what need not be searched for again."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: list[Span] = []
        self._line = self._looked = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
        self._paragraph_end = -1
        self._absent: set[str] = set()  # closing marks that the rest of the paragraph lacks

    def after(self, opener: str, place: int) -> int:
        """Note what is opened at a place, if anything is; return where to go on."""
        match opener:
            case "`" | "~":
                return self._code(opener, place)
            case "$":
                return self._dollar(place)
            case "\\":
                return self._backslash(place)
            case "<":
                return self._angle(place)
        link = _LINK.match(self.text, place)
        return self._note(place, link.end(), False) if link else place + 1

    def _code(self, mark: str, place: int) -> int:
        run = place
        while self.text.startswith(mark, run):
            run += 1
        length = run - place
        line = self._line_of(place)
        before = self.text[max(line, place - _LONGEST_BEFORE_FENCE) : place]
        fence = length >= 3 and _BEFORE_FENCE.fullmatch(before)
        if fence and not (mark == "~" and self._underlines(line, length)):
            opening = LINE.match(self.text, run)
            if mark == "~" or opening is None or "`" not in opening.group():
                return self._fence(line, opening.end() if opening else run, mark, length, ">" in before)
        if mark == "~" or length > _LONGEST_CODE_MARK:
            return run
        return self._closed(place, self._closing_backticks(run, length), run, False)

    def _underlines(self, line: int, length: int) -> bool:
        """Return whether a line of marks is as long as the line above it: it is a title's, not a fence."""
        above = self.text[max(line - length - 3, 0) : line].split("\n")
        return len(above) >= 2 and 4 <= len(above[-2].rstrip()) <= length

    def _fence(self, start: int, stop: int, mark: str, length: int, quoted: bool) -> int:
        for line in LINE.finditer(self.text, stop):
            words = line.group().strip()
            if quoted and not words.startswith(">"):
                break
            stop = line.end()
            words = words.lstrip("> \t") if quoted else words
            if len(words) >= length and not words.strip(mark):
                break
        self.spans.append(Span(start, stop, True))
        return stop

    def _closing_backticks(self, start: int, length: int) -> int:
        end, mark = self._end_of_paragraph(start), "`" * length
        if mark not in self._absent:
            for run in _BACKTICKS.finditer(self.text, start, end):
                if len(run.group()) == length:
                    return run.end()
            self._absent.add(mark)
        return -1

    def _dollar(self, place: int) -> int:
        if self.text.startswith("$$", place):
            return self._closed(place, self._closing("$$", place + 2), place + 2, None)
        formula = _FORMULA.match(self.text, place)
        return self._note(place, formula.end(), False) if formula else place + 1

    def _backslash(self, place: int) -> int:
        if self.text.startswith("\\[", place):
            return self._closed(place, self._closing("\\]", place + 2), place + 2, None)
        if self.text.startswith("\\(", place):
            return self._closed(place, self._closing("\\)", place + 2), place + 2, False)
        opening = _ENVIRONMENT.match(self.text, place)
        if opening is None or opening[1] == "end" or opening[2] == "document":
            return place + 2  # an escaped mark opens nothing
        last = self._last_ends.get(opening[2], -1)
        depth = 0
        for token in _ENVIRONMENT.finditer(self.text, place) if last > place else ():
            if token[2] == opening[2]:
                depth += 1 if token[1] == "begin" else -1
                if depth == 0 or token.start() == last:
                    return self._note(place, token.end(), None)
        return opening.end()

    def _angle(self, place: int) -> int:
        if self.text.startswith("<!--", place):
            stop = self.text.find("-->", place) if self._last_comment_end > place else -1
            return self._closed(place, stop + 3 if stop >= 0 else -1, place + 4, None)
        opening = _ELEMENT.match(self.text, place)
        if opening and not opening[1] and (last := self._last_elements.get(opening[2].lower(), -1)) > place:
            depth = 0
            for token in _ELEMENT.finditer(self.text, place):
                if token[2].lower() == opening[2].lower():
                    depth += -1 if token[1] else 1
                    if depth == 0 or token.start() == last:
                        return self._note(place, token.end(), True)
        tag = _TAG.match(self.text, place)
        return self._note(place, tag.end(), False) if tag else place + 1

    def _closed(self, start: int, stop: int, otherwise: int, block: bool | None) -> int:
        return self._note(start, stop, block) if stop >= 0 else otherwise

    def _note(self, start: int, stop: int, block: bool | None) -> int:
        """Note a span; `block` None is one where nothing else is on its lines. Return where it ends."""
        if block is not False:
            line = self._line_of(start)
            indent = _INDENT.match(self.text, line)
            begins = indent is not None and indent.end() >= start
            rest = _REST_OF_BLOCK.match(self.text, stop)
            block = block or (begins and rest is not None)
            if block:
                start, stop = line if begins else start, rest.end() if rest else stop
        self.spans.append(Span(start, stop, bool(block)))
        return stop

    def _line_of(self, place: int) -> int:
        """Return where the line of a place begins. Places never go back."""
        newest = max(self.text.rfind(mark, self._looked, place) for mark in "\r\n")
        self._looked = max(self._looked, place)
        if newest >= 0:
            self._line = newest + 1
        return self._line

    def _end_of_paragraph(self, place: int) -> int:
        if place >= self._paragraph_end:
            blank = _BLANK_LINE.search(self.text, place)
            self._paragraph_end = blank.start() if blank else len(self.text)
            self._absent.clear()
        return self._paragraph_end

    def _closing(self, mark: str, start: int) -> int:
        """Return where the next such mark of the paragraph ends; -1 without one."""
        end = self._end_of_paragraph(start)
        place = -1 if mark in self._absent else self.text.find(mark, start, end)
        if place < 0:
            self._absent.add(mark)
            return -1
        return place + len(mark)

    @cached_property
    def _last_ends(self) -> dict[str, int]:
        return {token[2]: token.start() for token in _ENVIRONMENT.finditer(self.text) if token[1] == "end"}

    @cached_property
    def _last_elements(self) -> dict[str, int]:
        return {token[2].lower(): token.start() for token in _ELEMENT.finditer(self.text) if token[1]}

    @cached_property
    def _last_comment_end(self) -> int:
        return self.text.rfind("-->")
