"""A source and its rewriting beside each other, with the words marked that only one of them has.

Long texts are cut: what both have at length, what stands far behind the first differences.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal, NamedTuple

from ..answer_checks import UNSPACED

_AROUND = 14  # words of what both have that stay before and behind a difference
_MOST_COMPARED = 600  # words of each text
_MOST_SHOWN = 240
_LONGEST_WORD = 80  # characters; of a longer one the rest is left out
_MOST_CHARACTERS = 8000  # of each text that are kept to be compared
_STEP = 100  # characters compared at a time
_TOKEN = re.compile(rf"(?:[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+(?:['\u2019](?:(?![{UNSPACED}])\w)+)*|[^\w\s])\s*")

Kind = Literal["same", "changed", "cut"]


class Piece(NamedTuple):
    """A part of a text.

    Attributes:
        text: with the white space behind it.
        kind: "same" where the other text has it too, "changed" where it has not, "cut" for what is left out.
    """

    text: str
    kind: Kind


@dataclass(frozen=True)
class SideBySide:
    """Two texts, in pieces."""

    source: list[Piece]
    rewritten: list[Piece]


def excerpts(source: str, rewritten: str) -> tuple[str, str]:
    """Return parts of two texts of some thousand characters: from a little before their first difference on.

    A beginning that is left out has become an ellipsis.
    """
    shorter = min(len(source), len(rewritten))
    steps = range(0, shorter, _STEP)
    common = next(
        (place for place in steps if source[place : place + _STEP] != rewritten[place : place + _STEP]), shorter
    )
    if max(len(source), len(rewritten)) <= _MOST_CHARACTERS or common < _MOST_CHARACTERS // 4:
        return source[:_MOST_CHARACTERS], rewritten[:_MOST_CHARACTERS]
    start = max(source.rfind(" ", 0, common - _MOST_CHARACTERS // 8), 0)
    return tuple(f"…{text[start : start + _MOST_CHARACTERS]}" for text in (source, rewritten))  # type: ignore[return-value]


def side_by_side(source: str, rewritten: str) -> SideBySide:
    """Return two texts with their differences marked, word by word, without regard to case and white space."""
    tokens = [_TOKEN.findall(text) for text in (source, rewritten)]
    keys = [["".join(token.split()).casefold() for token in own[:_MOST_COMPARED]] for own in tokens]
    steps = SequenceMatcher(a=keys[0], b=keys[1], autojunk=False).get_opcodes()
    sides: list[list[Piece]] = [[], []]  # a piece per token
    ends = [0, 0]  # tokens that have been gone through
    for number, (tag, *bounds) in enumerate(steps):
        runs = [own[first:last] for own, first, last in zip(tokens, bounds[::2], bounds[1::2], strict=True)]
        common = tag == "equal" and any(token[0].isalnum() for token in runs[0])  # a comma alone is nothing
        before, after = (_AROUND if number else 0), (_AROUND if number < len(steps) - 1 else 0)
        for side, run in zip(sides, runs, strict=True):
            if common and len(run) > before + after + _AROUND:
                side += [Piece(token, "same") for token in run[:before]]
                side.append(Piece("… ", "cut"))
                side += [Piece(token, "same") for token in run[len(run) - after :]]
            else:
                side += [Piece(token, "same" if common else "changed") for token in run]
        ends = bounds[1::2]
        if max(map(len, sides)) >= _MOST_SHOWN:
            break
    for side, own, end in zip(sides, tokens, ends, strict=True):
        if len(side) > _MOST_SHOWN or end < len(own):
            side[_MOST_SHOWN:] = [Piece("…", "cut")]
    return SideBySide(*map(_joined, sides))


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Return neighbours of one kind as one; the white space behind a changed one is nobody's difference."""
    joined: list[Piece] = []
    for kind, group in groupby(pieces, key=lambda piece: piece.kind):
        text = "".join(_shortened(piece.text) for piece in group)
        bare = text.rstrip() if kind == "changed" else text
        joined.append(Piece(bare, kind))
        if len(bare) < len(text):
            joined.append(Piece(text[len(bare) :], "same"))
    return joined


def _shortened(token: str) -> str:
    bare = token.rstrip()
    return token if len(bare) <= _LONGEST_WORD else f"{bare[:_LONGEST_WORD]}…{token[len(bare) :]}"
