r"""The relations that stand in a text: equations, inequalities, approximations, congruences.

A relation is a sign with what stands on both sides of it; a chain a = b = c is two. They are found in formulas
(`$...$`, `\(...\)`, environments) and in plain text around a sign. Code, links and tags hold none.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..markup import protected_spans
from .plain_relations import plain_chains

SIGNS = {
    **{"=": "=", "==": "=", ":=": "=", "\\eq": "="},
    **dict.fromkeys(("≈", "≃", "≅", "~=", "\\approx", "\\simeq", "\\doteq", "\\thickapprox"), "≈"),
    **dict.fromkeys(("≠", "!=", "\\ne", "\\neq"), "≠"),
    **dict.fromkeys(("<", "\\lt"), "<"),
    **dict.fromkeys((">", "\\gt"), ">"),
    **dict.fromkeys(("≤", "<=", "⩽", "\\le", "\\leq", "\\leqslant"), "≤"),
    **dict.fromkeys(("≥", ">=", "⩾", "\\ge", "\\geq", "\\geqslant"), "≥"),
    **dict.fromkeys(("≡", "\\equiv"), "≡"),
}
MOST = 500  # relations of a text
_WINDOW = 90  # characters around a relation in which its sentence is looked at

_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_JOINED = re.compile(r"(?<=[\w)}\]])\$[ \t]*([=≈≠<>≤≥])[ \t]*\$(?=[\w\\({\[-])")
_AFTER_FORMULA = re.compile(r"[ \t]*[=≈][ \t]*[$€£]?-?\d[\d.,]*(?<=\d)%?(?![\w^*/+])")
_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_DENIED = re.compile(
    r"\b(?:contradict\w*|impossible|incorrect|wrong|false|absurd|not true|not hold|no solution|mistake|suppose|assume"
    r"|widerspruch|falsch|unmöglich|impossible|faux|absurde)\b|矛盾|错误|不成立|假设",
    re.IGNORECASE,
)
_ROUNDED = re.compile(
    r"\b(?:round(?:s|ed|ing)?|approximat\w*|about|nearly|roughly|nearest|estimat\w*|gerundet|ungefähr|etwa|rund"
    r"|environ|arrondi\w*)\b|约|四舍五入|大约",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?。!?](?=\s|$)|\n|[。]")
_MODULUS = re.compile(r"\\pmod\s*(?:\{(\d+)\}|(\d))|\(\s*\\?(?:b?mod)\s*(\d+)\s*\)|\\pod\{(\d+)\}")

_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{(?!\w*matrix)[A-Za-z]+\*?\}(?:\[[^\]]*\])?(?:\{[lcr|@ ]+\})?")
_LABELS = re.compile(r"\\(?:label|tag|eqref|ref)\*?\{[^{}]*\}|(?<!\\)%[^\n]*|\\(?:hline|centering)\b")
_OVERSET = re.compile(r"\\(?:overset|stackrel)\s*\{([^{}]*)\}\s*\{?\s*(=|\\approx|<|>|\\leq?|\\geq?)\s*\}?")
_BOXED = re.compile(r"\\f?boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_WIDE = {ord(wide): wide_to for wide, wide_to in zip("0123456789+-=<>()/%", "0123456789+-=<>()/%", strict=True)}
_PIECE = re.compile(
    r"\\\\(?:\[[^\]]*\])?|\\[A-Za-z]+|\\.|\d{1,3}(?:,\d{3})+(?!\d)|==|:=|!=|<=|>=|=>|->|~=|.", re.DOTALL
)
_ARROWS = r"implies Rightarrow Longrightarrow rightarrow longrightarrow to iff Leftrightarrow Longleftrightarrow"
_BREAKS = {f"\\{name}" for name in f"{_ARROWS} therefore because land lor wedge vee qquad quad".split()}
_BREAKS |= {*"⇒→⟹⇔∴∵;,", "=>", "->"}
_CONNECTIVE = re.compile(
    r"\\(?:text|textrm|mbox|mathrm)\s*\{\s*(?:,?\s*\(|,?\s*(?:and|or|if|so|then|since|when|where|because|thus|hence|for|with"
    r"|by|therefore|which|as|is|und|oder|also|wenn|für|et|ou|donc|si|car)\b|[,;或且所以因当则即和])[^{}]*\}"
)


@dataclass(frozen=True)
class Relation:
    """A relation of a text.

    Attributes:
        left: as it is written, without the marks around a formula.
        sign: one of = ≠ < > ≤ ≥ ≈ ≡.
        right: as left.
        plain: whether both sides are plain text; else LaTeX.
        modulus: of a congruence, or 0.
        approximate: whether its sentence speaks of rounding.
        claimed: whether it is said to be true: not asked, supposed, or called false in its sentence.
    """

    left: str
    sign: str
    right: str
    plain: bool
    modulus: int = 0
    approximate: bool = False
    claimed: bool = True

    def __str__(self) -> str:
        modulus = f" (mod {self.modulus})" if self.modulus else ""
        return f"{self.left} {self.sign} {self.right}{modulus}"

    @property
    def texts(self) -> tuple[str, str, str, bool]:
        """Its sides, as `decide` takes them."""
        return self.left, self.sign, self.right, self.plain


def relations(text: str, decimal_comma: bool = False) -> list[Relation]:
    """Return the relations of a text, in order, as often as they stand there; `MOST` at most.

    Args:
        text: with formulas or without.
        decimal_comma: whether its language writes 3,5 for three and a half, and 1.000 for a thousand.
    """
    found: list[Relation] = []
    for relation in _all(text, decimal_comma):
        found.append(relation)
        if len(found) == MOST:
            break
    return found


def _all(text: str, decimal_comma: bool) -> Iterator[Relation]:
    text = text.translate(_WIDE)
    for annotation in _ANNOTATION.finditer(text):
        for chain in plain_chains(annotation[1]):
            yield from _of_chain(chain.parts, True)
    text = _JOINED.sub(r" \1 ", _ANNOTATION.sub("", text))
    if decimal_comma:
        text = _with_points(text)
    place = 0
    for span in protected_spans(text):
        yield from _of_plain(text, place, span.start)
        place = span.stop
        formula = _formula(text[span.start : span.stop])
        if formula is not None:
            more = _AFTER_FORMULA.match(text, span.stop)
            if more and not any(sign in formula for sign in "=<>≈"):
                formula, place = formula + more[0].replace("$", ""), more.end()
            for relation in _of_formula(formula):
                yield _judged(relation, text, span.start, place)
    yield from _of_plain(text, place, len(text))


def _with_points(text: str) -> str:
    """Return a text with 3.5 for 3,5 and 1000 for 1.000."""
    text = re.sub(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+)(?!\d|\.\d)", lambda found: found[1].replace(".", ""), text)
    return re.sub(r"(?<![\d.,])(\d+)(?:,|\{,\})(\d+)(?!\d|,\d)", r"\1.\2", text)


def _formula(span: str) -> str | None:
    """Return what stands between the marks of a formula; None where it is none."""
    bare = span.strip().lstrip("> \t")
    if bare.startswith("\\begin"):
        return bare
    for opening, closing in _DELIMITERS:
        if bare.startswith(opening) and bare.endswith(closing) and len(bare) >= len(opening) + len(closing):
            return bare[len(opening) : len(bare) - len(closing)]
    return None


def _judged(relation: Relation, text: str, start: int, stop: int) -> Relation:
    """Return a relation with what its sentence says of it."""
    before = _SENTENCE_END.split(text[max(start - _WINDOW, 0) : start])[-1]
    after = text[stop : stop + _WINDOW]
    end = _SENTENCE_END.search(after)
    asked = end is not None and end[0] in "??"
    after = after[: end.start()] if end else after
    said = f"{before} {after}"
    return replace(
        relation,
        approximate=bool(_ROUNDED.search(said)),
        claimed=relation.claimed and not asked and not _DENIED.search(said),
    )


def _of_plain(text: str, start: int, stop: int) -> Iterator[Relation]:
    for chain in plain_chains(text[start:stop]):
        for relation in _of_chain(chain.parts, True, chain.modulus):
            yield _judged(relation, text, start + chain.start, start + chain.stop)


def _of_chain(parts: list[str], plain: bool, modulus: int = 0) -> Iterator[Relation]:
    """Yield the relations of sides and signs in turn."""
    for place in range(1, len(parts) - 1, 2):
        left, sign, right = parts[place - 1 : place + 2]
        if left.strip() and right.strip():
            own = modulus if sign in ("=", "≡") else 0
            yield Relation(" ".join(left.split()), sign, " ".join(right.split()), plain, own)


def _of_formula(formula: str) -> Iterator[Relation]:
    formula = _LABELS.sub(" ", _ENVIRONMENT.sub(" ", formula))
    formula = _OVERSET.sub(lambda found: " ; " if "?" in found[1] else f" {found[2]} ", formula)
    formula = re.sub(r"\\not\s*=", r"\\neq ", formula)
    formula = _CONNECTIVE.sub(" ; ", _BOXED.sub(r" \1 ", formula))
    last = ""
    for piece, ended_line in _pieces(formula):
        modulus = 0
        if congruence := _MODULUS.search(piece):
            modulus = int(next(group for group in congruence.groups() if group))
            piece = piece[: congruence.start()] + piece[congruence.end() :]
        parts = _parts(piece)
        if len(parts) > 1 and not parts[0].strip() and last:
            parts[0] = last
        yield from _of_chain(parts, False, modulus)
        last = parts[-1] if ended_line and len(parts) > 1 else ""


def _pieces(formula: str) -> Iterator[tuple[str, bool]]:
    """Yield what stands between commas, arrows and ends of lines outside of brackets; and whether a line ends there."""
    piece: list[str] = []
    depth = 0
    for token in _PIECE.findall(formula):
        depth = max(depth + (token in "([{") - (token in ")]}") if len(token) == 1 else depth, 0)
        line = token.startswith("\\\\")
        if line or (depth == 0 and token in _BREAKS):
            yield "".join(piece), line
            piece, depth = [], 0
        elif token != "&":
            piece.append(token)
    yield "".join(piece), False


def _parts(piece: str) -> list[str]:
    """Return sides and signs of a piece in turn."""
    parts = [""]
    depth = 0
    for token in _PIECE.findall(piece):
        depth += (token in "([{") - (token in ")]}") if len(token) == 1 else 0
        if depth <= 0 and token in SIGNS:
            parts += [SIGNS[token], ""]
        else:
            parts[-1] += token
    return [part.strip().rstrip(".,;:") if place % 2 == 0 else part for place, part in enumerate(parts)]
