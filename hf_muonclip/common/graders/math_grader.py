r"""Whether an answer equals a gold answer, by math-verify; runs in worker processes, because it may not return.

Corrected, before and after math-verify 0.9:

- Both sides are wrapped whole in `$...$`; it would read a bare `2\sqrt{2}` as 2, `10^{6}` as 10 and `5:3` as 5. - Texts
(`\text{A}`, `C`, `Tuesday`) are compared as texts; it reads them as products of letters, or not at all. - A number must
be answered by a number: `2+2` and `8/2` earn nothing for 4, or repeating a question would answer it. - It takes any two
numbers below about 1e-15 as equal; here they may differ by a thousandth of the gold.
- An equation that is false (`5=4`) or whose other side is not a single unknown (`5` for `x+y=5`) earns nothing.
- Its own timeouts are off (they need the main thread, and cancel the host's alarm); the pool's deadline holds.

It ignores units (3 m is 3 km), accepts 50% for 0.5 and for 50, and does not distinguish `N` from `n`.
"""

import functools
import logging
import re
from typing import Any

import sympy
from math_verify import LatexExtractionConfig, parse, verify
from sympy.core.relational import Relational

from .answers import undecorated
from .not_measured import NotMeasured

LONGEST = 1000  # characters of an answer, and of a gold answer

logging.getLogger("math_verify").setLevel(logging.ERROR)  # in this process only: it would warn that timeouts are off

_CLOSE = 1e-3  # relative, for numbers that math-verify takes as equal
_DEEPEST = 10  # nested brackets; the parser's time doubles with each level
_LARGEST_EXPONENT = 400  # of a power of ten that counts as a number written out
_WORDS = re.compile(r"[A-Za-z](?:[A-Za-z' -]*[A-Za-z])?")
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_CHOICE = re.compile(r"\(?([A-Za-z])(?:\)|[.:](?=\s|$)).*|\[([A-Za-z])\]", re.DOTALL)
_DIVISION = re.compile(r"\\[dt]?frac|\\div|[\d)}]\s*[/:÷]\s*[\d({]")
_UNIT = (
    r"(?:(?:mm|cm|dm|km|kg|mg|ml|mL|ft|in|yd|mi|hrs?|sec|min|mph|sq|lbs?|oz|mol|(?<=\s)[A-Za-z]{4,20})(?![A-Za-z])|(?<=/)[A-Za-z])"
    r"\.?(?:\^\{?[23]\}?)?"
)
_NAMES = {"pi": r"\pi", "infinity": r"\infty", "infty": r"\infty"}
_REWRITTEN = (
    (re.compile(r"\\(?:left|right)(?![a-zA-Z])|\\[!,;: ]|~"), " "),
    (re.compile(r"(?<!\\)%"), r"\\%"),
    (re.compile(r"\\?[$€£]"), ""),
    (re.compile(r"(?<=\d)(?:\{,\}| )(?=\d{3}(?!\d))"), ""),  # 1 000 and 1{,}000
    (re.compile(r"(?<![A-Za-z\\])(-?\d+(?:\.\d+)?)[eE]([-+]?\d+)(?![\d.])"), r"\1 \\times 10^{\2}"),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^\s*(-?\d{2,}|-\d)"), r"^{\1}"),
    (re.compile(r"(?<![A-Za-z\\])(pi|infinity|infty)(?![A-Za-z])"), lambda found: _NAMES[found[1]]),
    (re.compile(rf"(\d)\s*(?:\\,)?\s*(?!sqrt){_UNIT}(?:[ /]{_UNIT})*$"), r"\1"),  # 18 dollars, 6 cm^2, 7 km/h
    (
        re.compile(r"(?<=\d)([a-zA-Z]{1,3})(?![a-zA-Z(])"),
        lambda found: "".join(f"{{{letter}}}" for letter in found[1]),
    ),  # 6ab
)
_CHARACTERS = {
    **{"−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": r"\div ", "π": r"\pi ", "∞": r"\infty "},  # noqa: RUF001
    **{"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "°": r"^\circ ", "±": r"\pm ", "∪": r"\cup ", "∈": r"\in "},  # noqa: RUF001
    **{"½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}"},
    **{character: f"^{power}" for power, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{"√": r"\sqrt"},
}


def grade(gold: str, answer: str) -> float | NotMeasured:
    """Return 1.0 if the answer equals the gold answer, else 0.0; `NotMeasured("gold")` if the latter cannot be read.

    Args:
        gold: the right answer, nothing else.
        answer: the final answer, nothing else; "" for none.
    """
    try:
        wanted = _gold(gold)
    except ValueError as error:
        return NotMeasured("gold", str(error))
    answer = undecorated(answer) if len(answer) <= LONGEST else ""
    return float(bool(answer) and _equal(wanted, answer))


def read_gold(gold: str) -> str | None:
    """Return why a gold answer cannot be graded against; None if it can.

    Args:
        gold: the right answer alone.
    """
    try:
        _gold(gold)
    except ValueError as error:
        return str(error)
    return None


class _Gold:
    """A gold answer, read once: its text, or math-verify's parse of it."""

    def __init__(self, answer: str) -> None:
        self.text = undecorated(answer)
        self.words = _words(self.text)
        self.parsed = None if self.words else _parsed(self.text)
        self.is_system = self.parsed is not None and _is_equation_of_many(self.parsed)
        self.is_number = self.parsed is not None and not self.is_system and _is_number(self.parsed)
        self.is_whole = self.is_number and _is_whole(_last_side(self.parsed).doit())


@functools.lru_cache(maxsize=4096)
def _gold(answer: str) -> _Gold:
    """Return a gold answer that can be read and equals itself.

    Raises:
        ValueError: it cannot be read, or does not equal itself.
    """
    if not 0 < len(answer.strip()) <= LONGEST:
        raise ValueError(f"a gold answer must have 1 to {LONGEST} characters; got {len(answer)}")
    gold = _Gold(answer)
    if gold.words is None:
        if gold.parsed is None:
            raise ValueError(f"math-verify cannot read the gold answer {answer!r}")
        if not _equal_formulas(gold, gold.text):
            raise ValueError(f"math-verify does not find the gold answer {answer!r} equal to itself")
    return gold


def _equal(gold: _Gold, answer: str) -> bool:
    if gold.words is None:
        return _plain(answer) == _plain(gold.text) or _equal_formulas(gold, answer)
    if _words(answer) == gold.words:
        return True
    choice = _CHOICE.fullmatch(_unwrapped(answer)) if len(gold.words) == 1 else None
    return choice is not None and (choice[1] or choice[2]).casefold() == gold.words


def _equal_formulas(gold: _Gold, answer: str) -> bool:
    parsed = _parsed(answer)
    if parsed is None or not _is_consistent(parsed):
        return False
    if gold.is_number:
        parsed = _last_side(parsed)
        if not _is_number(parsed) or (gold.is_whole and _DIVISION.search(answer)):
            return _plain(answer) == _plain(gold.text)
    elif gold.is_system and not isinstance(parsed, Relational):
        return False
    return _verified(gold.parsed, parsed) and _is_close(gold.parsed, parsed)


def _verified(gold: Any, answer: Any) -> bool:
    try:
        return bool(verify(gold, answer, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True))
    except MemoryError:
        raise
    except Exception:  # sympy cannot compare what the answer says with this gold
        return False


def _parsed(answer: str) -> Any | None:
    """Return the sympy object of the whole answer; None if math-verify cannot parse it."""
    if _depth(answer) > _DEEPEST:
        return None
    try:
        found = parse(
            f"${_latex(answer)}$",
            extraction_config=[LatexExtractionConfig()],
            fallback_mode="no_fallback",
            parsing_timeout=None,
        )
    except RecursionError:
        return None
    return found[0] if found else None


def _depth(answer: str) -> int:
    """Return the depth of nested brackets."""
    deepest = depth = 0
    for character in answer:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _latex(answer: str) -> str:
    answer = "".join(_CHARACTERS.get(character, character) for character in answer)
    answer = re.sub(r"\\sqrt\s*(\d+|[a-z])", r"\\sqrt{\1}", answer)
    for pattern, written in _REWRITTEN:
        answer = pattern.sub(written, answer)
    return " ".join(answer.split())


def _plain(answer: str) -> str:
    """Return an answer without spaces, except between two words or numbers."""
    return re.sub(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])", "", _latex(answer))


def _unwrapped(answer: str) -> str:
    return undecorated(_TEXT.sub(r"\1", answer))


def _words(answer: str) -> str | None:
    """Return the words of an answer that consists of words, or of one letter; None for any other."""
    answer = _unwrapped(answer)
    if answer.startswith("(") and answer.endswith(")"):
        answer = answer[1:-1].strip()
    if not _WORDS.fullmatch(answer) or answer in _NAMES:
        return None
    return " ".join(answer.casefold().split())


def _last_side(parsed: Any) -> Any:
    """Return the right side of an equation, the last in a chain; the element of a set of one; else the object."""
    if isinstance(parsed, sympy.logic.boolalg.And) and parsed.args:
        parsed = getattr(parsed, "_unsorted_args", parsed.args)[-1]
    if isinstance(parsed, sympy.Eq):
        parsed = parsed.rhs
    if isinstance(parsed, sympy.FiniteSet) and len(parsed) == 1:
        parsed = parsed.args[0]
    return parsed


def _is_number(parsed: Any) -> bool:
    """Return whether a number is written out: no sum, product, root or factorial, except `a * 10^n` and percent."""
    parsed = _last_side(parsed)
    if not isinstance(parsed, sympy.Mul):
        return _is_factor(parsed)
    digits = [factor for factor in parsed.args if factor.is_Number and factor != -1]
    return len(digits) <= 1 and all(_is_factor(factor) for factor in parsed.args)


def _is_factor(parsed: Any) -> bool:
    if isinstance(parsed, sympy.Pow):
        base, exponent = parsed.args
        return bool(base == 10 and exponent.is_Integer and abs(int(exponent)) <= _LARGEST_EXPONENT)
    return isinstance(parsed, sympy.UnevaluatedExpr) or bool(getattr(parsed, "is_Number", False))


def _is_whole(number: Any) -> bool:
    return bool(number.is_finite) and bool((number - sympy.floor(number)).is_zero)


def _is_equation_of_many(gold: Any) -> bool:
    return isinstance(gold, sympy.Eq) and not isinstance(gold.lhs, sympy.Symbol) and bool(gold.lhs.free_symbols)


def _is_consistent(parsed: Any) -> bool:
    """Return whether no equation in an answer is false in itself."""
    if isinstance(parsed, sympy.logic.boolalg.And):
        return all(_is_consistent(part) for part in getattr(parsed, "_unsorted_args", parsed.args))
    if isinstance(parsed, sympy.Eq) and not parsed.free_symbols:
        return _verified(parsed.lhs, parsed.rhs)
    return parsed not in (sympy.false, sympy.nan, sympy.zoo)


def _is_close(gold: Any, answer: Any) -> bool:
    """Return whether two small numbers that math-verify takes as equal are within a thousandth of the gold one."""
    try:
        wanted, found = (complex(_last_side(side).doit()) for side in (gold, answer))
    except (TypeError, ValueError, AttributeError, OverflowError):
        return True  # no numbers
    return abs(wanted - found) <= _CLOSE * abs(wanted) or abs(wanted) >= 1
