r"""One side of a relation as a sympy expression, exact: decimals are fractions, and nothing huge is computed.

What can be meant in more than one way is read in each: `1/2x`, `2 1/2`, `25%` (a hundredth, or its unit), sines of
degrees without their sign, `\log`, a letter `e` or `i`, and a "!" that ends a sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy

from .bounded import MOST_FACTORIAL, factorial, modulo, quotient, raised
from .quantities import units_of
from .tokens import Token, UnreadError, part, tokens_of

DEEPEST = 40  # brackets within brackets

# How each can be meant otherwise than it is read first.
READINGS = {
    "tight": "a product without a sign before a division: 1/2x as 1/(2x)",
    "product": "a number before a fraction as a factor: 2 1/2 as 2 times 1/2",
    "percent": "% as a unit: 100 times 1/4 = 25%",
    "degrees": "the argument of sin, cos and tan in degrees",
    "log": "log as the natural logarithm",
    "letter": "e and i as variables",
    "exclaimed": "a ! at the end as the end of its sentence",
}
_APPLIED = frozenset("fghFGPEVTQ")  # letters that are functions before a bracket
_TRIGONOMETRIC = ("sin", "cos", "tan", "cot", "sec", "csc")
_SEVERAL = {"gcd": sympy.gcd, "lcm": sympy.lcm, "min": sympy.Min, "max": sympy.Max}
_CLOSING = {"(": ")", "[": "]", "{": "}", "|": "|", "⌊": "⌋", "⌈": "⌉"}
_FACTOR = frozenset(("number", "name", "function", "greek", "frac", "binom", "part", "(", "[", "{", "⌊", "⌈"))


@dataclass
class Side:
    """One side of a relation, read.

    Attributes:
        value: the expression; units are symbols in it, named as in `units`.
        units: names of symbols that are units.
        converted: whether one of its units is among those that are converted.
        met: what can be meant otherwise, of `READINGS`.
        literal: its digits where it is one number, with a unit and a power of ten at most; else None.
        inexact: whether dots follow one of its numbers.
        decimals: numbers with a point, as they are written.
        is_computed: whether something is computed in it.
        is_name: whether it is a variable alone.
    """

    value: Any
    units: set[str] = field(default_factory=set)
    converted: bool = False
    met: set[str] = field(default_factory=set)
    literal: str | None = None
    inexact: bool = False
    decimals: list[str] = field(default_factory=list)
    is_computed: bool = False
    is_name: bool = False


def read_side(
    text: str,
    plain: bool,
    choices: frozenset[str] = frozenset(),
    *,
    convert: bool = True,
    nudged: Mapping[str, Fraction] | None = None,
) -> Side:
    """Return one side of a relation.

    Args:
        text: in LaTeX without the marks around it, or plain.
        plain: which of them.
        choices: of `READINGS`, what is meant otherwise.
        convert: whether units that are known are converted; else each word is a unit of its own.
        nudged: decimals, as they are written, with the values to take for them.

    Raises:
        UnreadError: it is no expression, or one that is not computed here.
    """
    tokens = tokens_of(text, plain)
    if not tokens:
        raise UnreadError("it is empty")
    reader = _Reader(tokens, choices, convert, nudged or {})
    value = reader.sum()
    if reader.place < len(tokens):
        raise UnreadError(f"{tokens[reader.place].text!r} is not expected")
    side = reader.side
    side.value = value
    side.is_computed = reader.computed
    side.is_name = len(tokens) == 1 and tokens[0].kind in ("name", "greek", "words") and bool(value.free_symbols)
    side.literal = _literal(tokens)
    side.inexact = any(token.inexact for token in tokens)
    return side


def _literal(tokens: list[Token]) -> str | None:
    """Return the digits of a side that is one number, with a sign, a unit and a power of ten at most; else None."""
    bare = [token for token in tokens if token.kind not in ("-", "+", "%", "°", "words", "{", "}")]
    if [token.kind for token in bare[1:]] == ["*", "number", "^", "number"] and bare[2].text == "10":
        bare = bare[:1]
    return bare[0].text if len(bare) == 1 and bare[0].kind == "number" else None


class _Reader:
    """Reads tokens by recursive descent: sums of products of powers."""

    def __init__(
        self, tokens: list[Token], choices: frozenset[str], convert: bool, nudged: Mapping[str, Fraction]
    ) -> None:
        self.tokens, self.choices, self.convert, self.nudged = tokens, choices, convert, nudged
        self.place = self.depth = 0
        self.side = Side(None)
        self.computed = False
        self._of_bars = 0

    def sum(self) -> Any:
        value = self._signed()
        while self._kind() in ("+", "-", "±", "∓"):
            self.computed = True
            sign = self._take().kind
            value = value + self._with_sign(sign, self._product())
        return value

    def _signed(self) -> Any:
        if self._kind() in ("+", "-", "±", "∓"):
            sign = self._take().kind
            return self._with_sign(sign, self._signed())
        return self._product()

    def _with_sign(self, sign: str, value: Any) -> Any:
        both = sympy.Symbol("±")
        return {"+": value, "-": -value, "±": both * value, "∓": -both * value}[sign]

    def _product(self) -> Any:
        value = self._factors()
        while (kind := self._kind()) in ("*", "/", "mod"):
            self.computed = True
            self._take()
            negative = False
            while self._kind() in ("+", "-"):
                negative ^= self._take().kind == "-"
            if kind == "/":
                value = quotient(value, self._divisor(value, negative))
            else:
                other = self._factors()
                other = -other if negative else other
                value = value * other if kind == "*" else modulo(value, other)
        return value

    def _divisor(self, dividend: Any, negative: bool) -> Any:
        """Return what is divided by: one factor, or all that follow without a sign."""
        divisor = self._power()
        sign = -1 if negative else 1
        if self._implicit():
            self.side.met.add("tight")
            while "tight" in self.choices and self._implicit():
                divisor = divisor * self._power()
            if "tight" not in self.choices:
                rest = self._power()
                while self._implicit():
                    rest = rest * self._power()
                return quotient(sign * divisor, rest)
        return sign * divisor

    def _factors(self) -> Any:
        value = self._power()
        while self._implicit():
            self.computed = True
            value = value * self._power()
        return value

    def _implicit(self) -> bool:
        kind = self._kind()
        if kind == "|" and not self._of_bars:
            return True
        if kind == "number":
            return self.tokens[self.place - 1].kind in (")", "]", "}", "|", "!") and (
                not self.tokens[self.place].spaced or self.tokens[self.place - 1].kind == "!"
            )
        return kind in _FACTOR

    def _power(self) -> Any:
        start = self.tokens[self.place : self.place + 1]
        value = self._base()
        if start and start[0].kind == "number" and value.is_Integer:
            value = self._mixed(value)
        return self._postfixes(value)

    def _postfixes(self, value: Any) -> Any:
        while True:
            kind = self._kind()
            if kind == "^":
                self._take()
                if self._degree():
                    value = self._unit(value, "°")
                else:
                    self.computed = True
                    value = raised(value, self._exponent())
            elif kind == "!":
                if self.place == len(self.tokens) - 1:
                    self.side.met.add("exclaimed")
                self._take()
                if self.place < len(self.tokens) or "exclaimed" not in self.choices:
                    self.computed = True
                    value = factorial(value)
            elif kind == "%":
                self._take()
                self.side.met.add("percent")
                value = value if "percent" in self.choices else value / 100
            elif kind == "°":
                self._take()
                value = self._unit(value, "°")
            elif kind == "words":
                value = self._unit(value, self._take().text)
            else:
                return value

    def _degree(self) -> bool:
        for length, kinds in ((1, ["°"]), (3, ["{", "°", "}"])):
            if [token.kind for token in self.tokens[self.place : self.place + length]] == kinds:
                self.place += length
                return True
        return False

    def _exponent(self) -> Any:
        sign = 1
        while self._kind() in ("+", "-"):
            sign = -sign if self._take().kind == "-" else sign
        value = self._base()
        if self._kind() == "^":
            self._take()
            value = raised(value, self._exponent())
        return sign * value

    def _mixed(self, whole: Any) -> Any:
        """Return a number with the fraction that follows it, as 2 1/2."""
        kinds = [token.kind for token in self.tokens[self.place : self.place + 7]]
        if kinds[:1] == ["part"]:
            return whole + sympy.Rational(*part(self._take().text))
        if kinds[:3] == ["number", "/", "number"] and self.tokens[self.place].spaced:
            top, _, bottom = (self._take().text for _ in range(3))
        elif kinds == ["frac", "{", "number", "}", "{", "number", "}"]:
            texts = [self._take().text for _ in kinds]
            top, bottom = texts[2], texts[5]
        else:
            return whole
        self.side.met.add("product")
        fraction = quotient(sympy.Rational(top), sympy.Rational(bottom))
        return whole * fraction if "product" in self.choices else whole + fraction

    def _base(self) -> Any:
        if self.place >= len(self.tokens):
            raise UnreadError("it breaks off")
        token = self._take()
        kind = token.kind
        if kind in _CLOSING:
            return self._bracket(kind)
        if kind == "number":
            return self._number(token)
        if kind == "part":
            return sympy.Rational(*part(token.text))
        if kind == "frac":
            self.computed = True
            top = self._argument()
            return quotient(top, self._argument())
        if kind == "binom":
            self.computed = True
            top, bottom = self._argument(), self._argument()
            if not (top.is_Integer and bottom.is_Integer and 0 <= bottom <= top <= MOST_FACTORIAL):
                raise UnreadError("a binomial of something else than small numbers")
            return sympy.binomial(top, bottom)
        if kind == "function":
            self.computed = True
            return self._function(token.text)
        if kind in ("name", "greek", "words"):
            return self._name(token)
        raise UnreadError(f"{token.text!r} is not expected")

    def _bracket(self, opening: str) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnreadError(f"more than {DEEPEST} brackets are open")
        bars, self._of_bars = self._of_bars, int(opening == "|")
        value = self.sum()
        self._of_bars = bars
        if self._kind() != _CLOSING[opening]:
            raise UnreadError(f"{_CLOSING[opening]!r} is missing")
        self._take()
        self.depth -= 1
        if opening in "|⌊⌈":
            self.computed = True
        return {"|": sympy.Abs, "⌊": sympy.floor, "⌈": sympy.ceiling}.get(opening, lambda inner: inner)(value)

    def _number(self, token: Token) -> Any:
        if self._kind() == "_":
            raise UnreadError("a number in another base")
        text = token.text
        if "." not in text:
            return sympy.Integer(text)
        if self._kind() == "repeated":
            digits = self._take().text
            places = len(text.partition(".")[2])
            return sympy.Rational(f"{text}0") + sympy.Rational(int(digits), (10 ** len(digits) - 1) * 10**places)
        self.side.decimals.append(text)
        if text in self.nudged:
            return sympy.Rational(self.nudged[text].numerator, self.nudged[text].denominator)
        return sympy.Rational(text)

    def _argument(self) -> Any:
        """Return what a command takes: a group, or one digit or sign."""
        token = self.tokens[self.place] if self.place < len(self.tokens) else None
        if token and token.kind == "number" and len(token.text) > 1 and "." not in token.text and not token.spaced:
            self.tokens = [*self.tokens]
            self.tokens[self.place] = token._replace(text=token.text[1:])
            return sympy.Integer(token.text[0])
        return self._base()

    def _function(self, name: str) -> Any:
        if name == "sqrt":
            root = sympy.Integer(2)
            if self._kind() == "[":
                self._take()
                root = self._bracket("[")
            return raised(self._base(), sympy.Integer(1) / root)
        base = sympy.Integer(10) if name in ("log", "lg") else sympy.E
        if name == "log" and self._kind() == "_":
            self._take()
            base = self._argument()
        elif name == "log":
            self.side.met.add("log")
            base = sympy.E if "log" in self.choices else base
        power = None
        if self._kind() == "^":
            self._take()
            power = self._exponent()
        arguments = self._arguments()
        if name in _SEVERAL:
            if len(arguments) < 2:
                raise UnreadError(f"{name} of one number")
            return _SEVERAL[name](*arguments)
        if len(arguments) != 1:
            raise UnreadError(f"{name} of {len(arguments)} numbers")
        value = self._applied(name, arguments[0], base, inverse=power == -1)
        return value if power is None or power == -1 else raised(value, power)

    def _arguments(self) -> list[Any]:
        if self._kind() == "(":
            self._take()
            found = [self.sum()]
            while self._kind() == ",":
                self._take()
                found.append(self.sum())
            if self._kind() != ")":
                raise UnreadError("')' is missing")
            self._take()
            return found
        value = self._power()
        while self._implicit() and self._kind() not in ("function", "("):
            value = value * self._power()
        return [value]

    def _applied(self, name: str, value: Any, base: Any, inverse: bool) -> Any:
        if name in ("log", "ln", "lg"):
            if value.is_zero or base.is_zero or base == 1:
                raise UnreadError("a logarithm that does not exist")
            return sympy.log(value) / sympy.log(base)
        if name == "abs":
            return sympy.Abs(value)
        degree = sympy.Symbol("°")
        if name in _TRIGONOMETRIC and not inverse:
            if value.has(degree):
                value = value.subs(degree, sympy.pi / 180)
            elif value.is_Rational and abs(value) > 6:
                self.side.met.add("degrees")
                value = value * sympy.pi / 180 if "degrees" in self.choices else value
        function = getattr(sympy, f"a{name}" if inverse else name)
        return function(value)

    def _name(self, token: Token) -> Any:
        name = token.text
        if name == "pi":
            return sympy.pi
        while self._kind() in ("_", "'"):
            sign = self._take().kind
            name += sign + (self._subscript() if sign == "_" else "")
        if name in ("e", "i"):
            self.side.met.add("letter")
            if "letter" not in self.choices:
                return sympy.E if name == "e" else sympy.I
        if name in _APPLIED and self._kind() == "(" and not self.tokens[self.place].spaced:
            self.computed = True
            return sympy.Function(name)(*self._arguments())
        return sympy.Symbol(" ".join(name.split()))

    def _subscript(self) -> str:
        if self._kind() not in ("{", "(", "["):
            return self._take().text
        depth, texts = 0, []
        while True:
            token = self._take()
            depth += (token.kind in "{([") - (token.kind in "})]")
            texts.append(token.text)
            if depth == 0:
                return "".join(texts[1:-1])

    def _unit(self, value: Any, words: str) -> Any:
        if words == "°":
            self.side.units.add("°")
            return value * sympy.Symbol("°")
        units = units_of(words, self.convert)
        if units is None:
            raise UnreadError(f"{words!r} is no unit")
        for unit in units:
            self.side.converted |= unit.known
            value = value * sympy.Rational(unit.factor.numerator, unit.factor.denominator) ** unit.power
            if unit.name:
                self.side.units.add(unit.name)
                value = value * sympy.Symbol(unit.name) ** unit.power
        return value

    def _kind(self) -> str:
        return self.tokens[self.place].kind if self.place < len(self.tokens) else ""

    def _take(self) -> Token:
        if self.place >= len(self.tokens):
            raise UnreadError("it breaks off")
        self.place += 1
        return self.tokens[self.place - 1]
