"""Relations in plain text: where the expressions on both sides of a sign begin and end among words."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from .tokens import FUNCTIONS

_LONGEST = 60  # tokens on a side
# Words that are no variable and no unit.
_NO_VARIABLES = """the an is are was were be has have had and or so then if that this these those which who since
    because thus hence therefore of for to in on at by with from as we you he she they it get gets
    got make makes makes gives give equals equal where when while but not let solve find total and
    per each there here hence also again now finally next step und oder also dann ist sind hat
    haben wir der die das ein eine für mit von zu im et ou donc est sont le la les un une des pour
    avec dans nous on alors ainsi how what why answer remainder rem rest reste"""
_STOP = frozenset(_NO_VARIABLES.split())
_TOKEN = re.compile(
    r"(?P<break>[A-Za-z]*\d+(?:\.\d+){2,}|(?<!\w)[A-Za-z]+\d*\.\d+"  # versions
    r"|\\(?:implies|Rightarrow|Longrightarrow|rightarrow|to|iff|text|mbox)(?![A-Za-z])"
    r"|=>|->|→|⇒|⟹|⇔|<-|</?[A-Za-z][^<>\n]*>|:(?!=)(?!(?<=\d:)\d)|[;\n|`#&@\"“”„«»。,、:;!?]|,|\.(?!\d)|\?)"
    r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:,\d+)*)(?:\.\d+)?(?:\.\.\.|…)?|\.\d+|[½¼¾⅓⅔⅕⅛])"
    r"|(?P<gap>[ \t\u00a0\u2009\u202f]+|\\(?:left|right|quad|qquad)(?![A-Za-z])|\\[,;:! ])"
    r"|(?P<sign>==|:=|!=|<=|>=|~=|[=≈≃≅≠<>≤≥⩽⩾≡]|\\(?:approx|leq?|geq?|neq?|equiv)(?![A-Za-z]))"
    r"|(?P<operator>\*\*|[-+−–*·×∙÷/∕^±:√]|\\(?:cdot|times|div|pm)(?![A-Za-z]))"  # noqa: RUF001
    r"|(?P<word>\\[A-Za-z]+|[^\W\d_\u3040-\u9fff\uac00-\ud7af]+(?:['’][a-z]+)?(?:_\w+|_\{[^{}\n]*\}|\d+)?)"  # noqa: RUF001
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])"
    r"|(?P<postfix>[%°!⁰¹²³⁴⁵⁶⁷⁸⁹])"
    r"|(?P<currency>[$€£¥₹])"
    r"|(?P<other>.)",
    re.DOTALL,
)
_SIGNS = {
    **{sign: sign for sign in "=≈≠<>≤≥≡"},
    **{"==": "=", ":=": "=", "~=": "≈", "≃": "≈", "≅": "≈", "\\approx": "≈", "!=": "≠", "\\ne": "≠", "\\neq": "≠"},
    **{"<=": "≤", "⩽": "≤", "\\le": "≤", "\\leq": "≤", ">=": "≥", "⩾": "≥", "\\ge": "≥", "\\geq": "≥", "\\equiv": "≡"},
}
_EMPHASIS = re.compile(r"\*\*(?!(?<=[\w)]\*\*)[\w(])|__|(?<![\w*)])\*(?=[\w(])|(?<=[\w.)%])\*(?![\w*( \t])")
_CONTINUED = re.compile(r"(?<=[=+*/×·÷≈<>≤≥-])[ \t]*\n(?![ \t]*\n)|\n(?=[ \t]*[=≈≤≥])")
_BULLET = re.compile(r"(?m)^([ \t>]*)(?:[-*+•]|\d{1,2}[.)])(?=[ \t])")
_TIMES = re.compile(r"(?<=[\d)%])([ \t]*)[xX]([ \t]*)(?=[$€£]?[\d(])")
_MODULUS = re.compile(r"\s*\(?\s*mod(?:ulo)?\s*(\d+)\s*\)?")
_REMAINDER = re.compile(r"[ \t]*,?[ \t]*(?:(?:with )?(?:a )?(?:remainder|rem\b|Rest\b|reste\b)|[rR]\.?[ \t]*\d|余)")


class Chain(NamedTuple):
    """Sides and signs of plain text.

    Attributes:
        parts: side, sign, side and so on.
        start: of its first side.
        stop: behind its last one.
        modulus: that follows it, or 0.
    """

    parts: list[str]
    start: int
    stop: int
    modulus: int


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    stop: int
    spaced: bool


def plain_chains(text: str) -> Iterator[Chain]:
    """Yield the chains of relations in a text without formulas, in order."""
    text = _BULLET.sub(lambda found: found[1] + " " * (len(found[0]) - len(found[1])), text)
    text = _EMPHASIS.sub(lambda found: " " * len(found[0]), text)
    text = _CONTINUED.sub(lambda found: " " * len(found[0]), text)
    text = _TIMES.sub(r"\1×\2", text)
    for stretch in _stretches(text):
        yield from _chains(text, stretch)


def _stretches(text: str) -> Iterator[list[_Token]]:
    """Yield the tokens between breaks, where a sign is among them."""
    stretch: list[_Token] = []
    spaced = False
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "other"
        if kind == "gap":
            spaced = True
            continue
        if kind in ("break", "other"):
            if any(token.kind == "sign" for token in stretch):
                yield stretch
            stretch = []
        else:
            stretch.append(_Token(kind, found[0], found.start(), found.end(), spaced))
        spaced = False
    if any(token.kind == "sign" for token in stretch):
        yield stretch


def _chains(text: str, stretch: list[_Token]) -> Iterator[Chain]:
    sides: list[list[_Token]] = [[]]
    signs: list[str] = []
    for token in stretch:
        if token.kind == "sign":
            signs.append(_SIGNS[token.text])
            sides.append([])
        else:
            sides[-1].append(token)
    chain: list[list[_Token]] = [_end_of(sides[0])]
    own: list[str] = []
    for sign, side in zip(signs, sides[1:], strict=True):
        begin = side[: _extent(side[:_LONGEST])]
        chain.append(begin)
        own.append(sign)
        if len(begin) < len(side) or not begin:
            yield from _chain(text, chain, own)
            chain, own = [_end_of(side[len(begin) :])], []
    if own:
        yield from _chain(text, chain, own)


def _chain(text: str, chain: list[list[_Token]], signs: list[str]) -> Iterator[Chain]:
    if not chain[-1]:
        chain, signs = chain[:-1], signs[:-1]
    if not chain[0]:
        chain, signs = chain[1:], signs[1:]
    if not signs:
        return
    parts = [text[chain[0][0].start : chain[0][-1].stop]]
    for sign, side in zip(signs, chain[1:], strict=True):
        parts += [sign, text[side[0].start : side[-1].stop]]
    stop = chain[-1][-1].stop
    if _REMAINDER.match(text, stop):
        parts = parts[:-2]
    modulus = _MODULUS.match(text, stop)
    if len(parts) > 1:
        yield Chain(parts, chain[0][0].start, stop, int(modulus[1]) if modulus else 0)


def _end_of(side: list[_Token]) -> list[_Token]:
    """Return the longest end of some tokens that is an expression."""
    side = side[-_LONGEST:]
    for first in range(len(side)):
        if _extent(side[first:]) == len(side) - first:
            return side[first:]
    return []


def _extent(tokens: list[_Token]) -> int:
    """Return how many of the first tokens are an expression; 0 where they are none."""
    longest = depth = 0
    after = False  # a value, where an operator may follow
    place = 0
    while place < len(tokens):
        token = tokens[place]
        before = tokens[place - 1] if place else None
        if not after:
            if token.kind in ("number", "word") and not _is_stop(token):
                after = token.text not in FUNCTIONS
            elif token.kind == "open" and (place or token.text != "{"):
                depth += 1
            elif not (token.kind == "currency" or token.text in ("-", "−", "+", "±", "√")):  # noqa: RUF001
                break
        elif token.kind == "operator" or token.text == "mod" or _is_of(tokens, place):
            after = False
        elif token.kind == "close" and depth:
            depth -= 1
        elif token.kind == "open" and not token.spaced:
            after, depth = False, depth + 1
        elif token.kind == "word" and before and _may_follow(token, before):
            if token.text in "rR" and tokens[place + 1 : place + 2] and tokens[place + 1].kind == "number":
                break  # 17 / 5 = 3 R 2
        elif token.kind == "number":
            if not _is_mixed(tokens, place):
                break
        elif not _is_mark(token, before):
            break
        place += 1
        if after and depth == 0:
            longest = place
    return longest


def _is_mark(token: _Token, before: _Token | None) -> bool:
    """Return whether a token is a sign behind a value, such as % or €."""
    if token.kind == "currency":
        return before is not None and before.kind == "number"
    return token.kind == "postfix" and not token.spaced


def _is_stop(token: _Token) -> bool:
    return token.kind == "word" and token.text.casefold() in _STOP


def _is_of(tokens: list[_Token], place: int) -> bool:
    """Return whether "of" stands between a percentage or a fraction and the number that it is a part of."""
    ahead = tokens[place + 1].kind if place + 1 < len(tokens) else ""
    if tokens[place].text != "of" or ahead not in ("number", "currency", "open"):
        return False
    tokens = tokens[:place]
    if tokens[-1].text == "%" or tokens[-1].text in "½¼¾⅓⅔⅕⅛":
        return True
    return len(tokens) > 2 and tokens[-1].kind == "number" and tokens[-2].text == "/" and tokens[-3].kind == "number"


def _may_follow(token: _Token, before: _Token) -> bool:
    """Return whether a word can be a unit, or a variable, behind a value."""
    if _is_stop(token) or token.text == "a":
        return False
    if before.kind == "word":
        return before.text.casefold() in ("square", "cubic", "sq")
    return before.kind in ("number", "postfix", "close")


def _is_mixed(tokens: list[_Token], place: int) -> bool:
    """Return whether a whole number and a fraction are one number, as 2 1/2."""
    before, ahead = tokens[place - 1], tokens[place : place + 3]
    if before.kind != "number" or tokens[place].text in "½¼¾⅓⅔⅕⅛":
        return before.kind == "number"
    return (
        [token.kind for token in ahead] == ["number", "operator", "number"]
        and ahead[1].text == "/"
        and all(token.text.isdigit() for token in (before, ahead[0], ahead[2]))
        and int(ahead[0].text) < int(ahead[2].text)
    )
