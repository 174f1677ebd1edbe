"""A source and its rewriting beside each other, with the words marked that only one of them has.

Long texts are cut: what both have at length, what stands far behind the first differences.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from ..answer_checks import UNSPACED

_AROUND = 14  # words of what both have that stay before and behind a difference
_MOST_COMPARED = 600  # words of each text
_MOST_SHOWN = 240
_LONGEST_WORD = 80  # characters; of a longer one the rest is left out
_MOST_CHARACTERS = 8000  # of each text that are kept to be compared
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
    common = next((place for place in range(shorter) if source[place] != rewritten[place]), shorter)
    if max(len(source), len(rewritten)) <= _MOST_CHARACTERS or common < _MOST_CHARACTERS // 4:
        return source[:_MOST_CHARACTERS], rewritten[:_MOST_CHARACTERS]
    start = max(source.rfind(" ", 0, common - _MOST_CHARACTERS // 8), 0)
    return tuple(f"…{text[start : start + _MOST_CHARACTERS]}" for text in (source, rewritten))  # type: ignore[return-value]


def side_by_side(source: str, rewritten: str) -> SideBySide:
    """Return two texts with their differences marked, word by word, without regard to case and white space."""
    tokens = [_TOKEN.findall(text) for text in (source, rewritten)]
    keys = [["".join(token.split()).casefold() for token in own[:_MOST_COMPARED]] for own in tokens]
    steps = SequenceMatcher(None, *keys, autojunk=False).get_opcodes()
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    shown, ended = [0, 0], False
    for number, (_, *ends) in enumerate(steps):
        runs = [own[first:last] for own, first, last in zip(tokens, ends[::2], ends[1::2], strict=True)]
        common = steps[number][0] == "equal" and any(token[0].isalnum() for token in runs[0])  # a comma is nothing
        before, after = (_AROUND if number else 0), (_AROUND if number < len(steps) - 1 else 0)
        for side, (pieces, run) in enumerate(zip(sides, runs, strict=True)):
            if common and len(run) > before + after + _AROUND:
                parts = [_same(run[:before]), [Piece("… ", "cut")], _same(run[len(run) - after :])]
                pieces += [piece for part in parts for piece in part]
                shown[side] += before + after
            else:
                room = _MOST_SHOWN - shown[side]
                pieces += _same(run[:room]) if common else _changed(run[:room])
                shown[side] += len(run)
        ended = max(shown) >= _MOST_SHOWN
        if ended:
            break
    left_out = [
        count >= _MOST_SHOWN or ended or len(own) > _MOST_COMPARED for count, own in zip(shown, tokens, strict=True)
    ]
    return SideBySide(
        *([*pieces, *([Piece("…", "cut")] if cut else [])] for pieces, cut in zip(sides, left_out, strict=True))
    )


def _same(run: Sequence[str]) -> list[Piece]:
    return [Piece("".join(map(_shortened, run)), "same")] if run else []


def _changed(run: Sequence[str]) -> list[Piece]:
    """Return a changed piece without the white space behind it, which is nobody's difference."""
    text = "".join(map(_shortened, run))
    bare = text.rstrip()
    behind = [Piece(text[len(bare) :], "same")] if len(bare) < len(text) else []
    return [Piece(bare, "changed"), *behind] if bare else []


def _shortened(token: str) -> str:
    bare = token.rstrip()
    return token if len(bare) <= _LONGEST_WORD else f"{bare[:_LONGEST_WORD]}…{token[len(bare) :]}"
