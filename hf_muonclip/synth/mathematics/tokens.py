r"""The tokens of one side of a relation, in LaTeX or in plain text.

What is here is read; any other sign or command is refused. sympy's and math-verify's own readers take what they do not
know for something else: `3 4` for 7, `\sin 30^\circ` for the sine of 30 radians, `3\,000` for 0, `12_7` for 12.
"""

import re
from typing import NamedTuple

LONGEST = 400  # characters of a side

FUNCTIONS = {
    **{name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "exp", "ln", "lg")},
    **{"log": "log", "sqrt": "sqrt", "abs": "abs", "gcd": "gcd", "lcm": "lcm", "min": "min", "max": "max"},
    **{"arcsin": "asin", "arccos": "acos", "arctan": "atan", "asin": "asin", "acos": "acos", "atan": "atan"},
}
_GREEK = """alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau
    upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell"""
_OPERATORS = {
    **dict.fromkeys(("cdot", "times", "ast"), "*"),
    **{"div": "/", "pm": "±", "mp": "∓", "bmod": "mod", "mod": "mod"},
}
_BRACKETS = {"lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "lvert": "|", "rvert": "|", "vert": "|"}
_FRACTIONS = {"frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac"}
_BINOMIALS = {"binom": "binom", "dbinom": "binom", "tbinom": "binom"}
_TEXTS = ("text", "textrm", "textbf", "textit", "mathrm", "mathbf", "mathit", "mbox", "operatorname")
_NOTHING = """left right big Big bigl bigr Bigl Bigr bigg Bigg displaystyle textstyle limits boxed fbox
    mathstrut strut phantom nonumber notag quad qquad"""
_SIGNS = {
    **dict.fromkeys("·×∙*", "*"),
    **dict.fromkeys("−–-", "-"),  # noqa: RUF001
    **dict.fromkeys("÷/∕", "/"),  # noqa: RUF001
    **{sign: sign for sign in "+^_!|()[]{}±∓⌊⌋⌈⌉,'°%"},
    **{":": "/", "√": "sqrt", "π": "pi"},
}
_POWERS = {sign: str(power) for power, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
_PARTS = {"½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3), "⅕": (1, 5), "⅛": (1, 8)}

_GAP = r"(?:,|\{,\}|\\,|[\u00a0\u2009\u202f ])"
_NUMBER = re.compile(
    rf"\d{{1,3}}(?:{_GAP}\d{{3}})+(?!\d)(?:\.\d+)?|\d+\.(?=\\(?:overline|bar|dot))|\d+(?:\.\d+)?|\.\d+"
)
_DOTS = re.compile(r"\s*(?:\\[lc]?dots|…|\.\.\.)")
_REPEATED = re.compile(r"\\(?:overline|bar|dot)\s*\{?(\d+)\}?")
_SPACE = re.compile(r"(?:\s|~|\\[,;:!> ]|\\\n|[\u00a0\u2009\u202f])+")
_COMMAND = re.compile(r"\\([A-Za-z]+|[%$#{}|&])")
_BRACED = re.compile(r"\s*\{([^{}]*)\}")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]{2,})*")
_UNIT = re.compile(  # of plain text: km/h, miles/hour, and m, h or m/s behind a number
    r"(?:[^\W\d_]{2,}|(?<=\d )[a-z])(?:/[^\W\d_]+)+(?!\s*[\d(])|(?<=\d )[hmsglL](?![\w^(])"
)
_CURRENCY = "$€£¥₹"


class UnreadError(ValueError):
    """The text is no expression that is read here."""


class Token(NamedTuple):
    r"""A token.

    Attributes:
        kind: "number", "name" (a variable), "words" (of \text, or a word of plain text), "function", "greek",
            "repeated" (digits that repeat), "part" (½), or the operator or bracket itself.
        text: a number without the marks of its groups, a name, words.
        spaced: whether white space stands before it.
        inexact: of a number, whether dots follow it.
    """

    kind: str
    text: str
    spaced: bool = False
    inexact: bool = False


def tokens_of(side: str, plain: bool) -> list[Token]:
    """Return the tokens of one side of a relation.

    Args:
        side: without the marks around a formula.
        plain: whether it is plain text, where letters side by side are a word; in LaTeX they are factors.

    Raises:
        UnreadError: it holds something that is not known here, or is longer than `LONGEST`.
    """
    if len(side) > LONGEST:
        raise UnreadError(f"it has {len(side)} characters")
    found: list[Token] = []
    place, spaced = 0, False
    while place < len(side):
        if gap := _SPACE.match(side, place):
            place, spaced = gap.end(), True
            continue
        place, more = _next(side, place, plain, spaced, bool(found))
        found += more
        spaced = False
    return found


def _next(side: str, place: int, plain: bool, spaced: bool, after: bool) -> tuple[int, list[Token]]:
    """Return where the next token ends, and what it is: none, one, or some."""
    character = side[place]
    if number := _NUMBER.match(side, place):
        text = re.sub(_GAP, "", number[0])
        dots = _DOTS.match(side, number.end()) if "." in text else None
        return dots.end() if dots else number.end(), [Token("number", text, spaced, inexact=bool(dots))]
    if character == "\\":
        return _command(side, place, spaced)
    if side.startswith("**", place):
        return place + 2, [Token("^", "^", spaced)]
    if character in _CURRENCY:
        return place + 1, []
    if character in _POWERS:
        end = place
        while end < len(side) and side[end] in _POWERS:
            end += 1
        power = "".join(_POWERS[sign] for sign in side[place:end])
        return end, [Token("^", "^"), Token("number", power)]
    if character in _PARTS:
        return place + 1, [Token("part", character, spaced)]
    if sign := _SIGNS.get(character):
        kind = {"sqrt": "function", "pi": "greek"}.get(sign, sign)
        return place + 1, [Token(kind, sign, spaced)]
    if plain and (unit := _UNIT.match(side, place)):
        return unit.end(), [Token("words", unit[0], spaced)]
    if word := _WORD.match(side, place):
        return _letters(word[0], word.end(), place, plain, spaced)
    if character == "." and after and not side[place + 1 :].strip():
        return place + 1, []  # the end of its sentence
    raise UnreadError(f"{character!r} is not read")


def _letters(word: str, end: int, place: int, plain: bool, spaced: bool) -> tuple[int, list[Token]]:
    if word in FUNCTIONS and (plain or len(word) > 2):
        return end, [Token("function", FUNCTIONS[word], spaced)]
    if word == "pi":
        return end, [Token("greek", "pi", spaced)]
    if not plain:
        return place + 1, [Token("name", word[0], spaced)]
    if word in ("mod", "of"):
        return end, [Token({"of": "*"}.get(word, word), word, spaced)]
    return end, [Token("name" if len(word) == 1 else "words", word, spaced)]


def _command(side: str, place: int, spaced: bool) -> tuple[int, list[Token]]:
    if repeated := _REPEATED.match(side, place):
        return repeated.end(), [Token("repeated", repeated[1], spaced)]
    command = _COMMAND.match(side, place)
    if command is None:
        raise UnreadError(f"{side[place : place + 2]!r} is not read")
    name, end = command[1], command.end()
    if name in _TEXTS:
        braced = _BRACED.match(side, end)
        if braced is None:
            raise UnreadError(f"\\{name} without a text in braces")
        words = braced[1].strip().strip("~").replace("\\", "")
        return braced.end(), [Token("words", words, spaced)] if words else []
    if name in ("circ", "degree"):
        return end, [Token("°", "°", spaced)]
    if name in ("$", "#", "&"):
        return end, []
    known = {**_OPERATORS, **_BRACKETS, **_FRACTIONS, **_BINOMIALS, "%": "%", "{": "(", "}": ")", "|": "|"}
    if name in known:
        return end, [Token(known[name], known[name], spaced)]
    if name in FUNCTIONS:
        return end, [Token("function", FUNCTIONS[name], spaced)]
    if name == "pi" or name in _GREEK.split():
        return end, [Token("greek", name, spaced)]
    if name in _NOTHING.split():
        return end, []
    raise UnreadError(f"\\{name} is not read")


def part(sign: str) -> tuple[int, int]:
    """Return numerator and denominator of a sign such as ½."""
    return _PARTS[sign]
