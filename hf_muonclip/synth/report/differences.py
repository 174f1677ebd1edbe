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
    ours, theirs = _TOKEN.findall(source), _TOKEN.findall(rewritten)
    a, b = (["".join(token.split()).casefold() for token in tokens[:_MOST_COMPARED]] for tokens in (ours, theirs))
    same_in_a: list[bool] = [False] * len(a)
    same_in_b: list[bool] = [False] * len(b)
    for first, second, length in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        if any(token[0].isalnum() for token in a[first : first + length]):  # a comma alone is nothing in common
            same_in_a[first : first + length] = same_in_b[second : second + length] = [True] * length
    return SideBySide(_pieces(ours, same_in_a), _pieces(theirs, same_in_b))


def _pieces(tokens: Sequence[str], same: Sequence[bool]) -> list[Piece]:
    """Return a text's pieces: neighbours of one kind joined, long common ones cut in the middle."""
    runs: list[tuple[bool, list[str]]] = []
    for token, common in zip(tokens, same, strict=False):
        if not runs or runs[-1][0] != common:
            runs.append((common, []))
        runs[-1][1].append(_shortened(token))
    pieces: list[Piece] = []
    shown = 0
    for place, (common, run) in enumerate(runs):
        if shown >= _MOST_SHOWN:
            break
        room = _MOST_SHOWN - shown
        if not common:
            pieces += _marked("".join(run[:room]))
            shown += min(len(run), room)
            if len(run) > room:
                break
            continue
        before = 0 if place == 0 else _AROUND
        after = 0 if place == len(runs) - 1 else _AROUND
        if len(run) <= before + after + _AROUND:
            pieces.append(Piece("".join(run), "same"))
            shown += len(run)
            continue
        pieces += [Piece("".join(run[:before]), "same")] if before else []
        pieces.append(Piece("… ", "cut"))
        pieces += [Piece("".join(run[len(run) - after :]), "same")] if after else []
        shown += before + after
    else:
        if len(tokens) > len(same):
            pieces.append(Piece("…", "cut"))
        return pieces
    return [*pieces, Piece("…", "cut")]


def _marked(text: str) -> list[Piece]:
    """Return a changed piece without the white space behind it, which is nobody's difference."""
    bare = text.rstrip()
    return [Piece(bare, "changed"), *([Piece(text[len(bare) :], "same")] if len(bare) < len(text) else [])]


def _shortened(token: str) -> str:
    bare = token.rstrip()
    return token if len(bare) <= _LONGEST_WORD else f"{bare[:_LONGEST_WORD]}…{token[len(bare) :]}"
