"""Tests of a program whose verdict does not come from the program: it computes values, which are compared here.

`assert solve(2) == 4` becomes a call that records solve(2); the 4 stays here. A program gains nothing by printing what
a test would print, ending early, redefining `assert`'s exceptions, returning objects that equal everything or reading
its tests: it has to compute 4. Tests that are not one comparison with a literal are weaker (`assert is_close(solve(2),
4)`, `assert solve(x) == y` in a loop): their verdict comes from the program's process.
"""

import ast
import inspect
import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import code_values
from .code_values import Opaque, decode

_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}

# Code around the tests in the program's process. The word in its names keeps them apart from the program's own.
_BEFORE = """
import operator as operator_{word}, os as os_{word}, sys as sys_{word}
values_{word} = {{"__name__": "values"}}
exec({source!r}, values_{word})
records_{word} = []
def record_{word}(place, truth, *values):
    if truth is not None and len(values) == 2:
        truth = getattr(operator_{word}, truth)(*values)
    records_{word}.append([place, bool(truth), [values_{word}["encode"](value) for value in values]])
"""
_AFTER = """
sys_{word}.stdout.flush()
records_{word} = memoryview(("\\n{word} " + values_{word}["json"].dumps(records_{word})).encode())
while records_{word}:
    records_{word} = records_{word}[os_{word}.write(1, records_{word}):]
"""
# How `record` computes a comparison of two values of the program.
_NAMES = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Is: "is_",
    ast.IsNot: "is_not",
}  # fmt: skip


@dataclass(frozen=True)
class _Check:
    """What one assertion expects: a comparison of one value with a literal or of two values, or a true value."""

    compare: Callable[[Any, Any], Any] | None = None
    literal: Any = None
    side: str = "truth"  # the literal's: "left", "right"; "both": two values of the program; "truth": no comparison

    def holds(self, truth: bool, values: list[Any]) -> bool:
        if self.compare is None:
            return truth
        if self.side == "both":
            left, right = values
            if isinstance(left, Opaque) and isinstance(right, Opaque):
                return truth  # objects of the program's own classes
        else:
            left, right = (self.literal, values[0]) if self.side == "left" else (values[0], self.literal)
        try:
            return bool(self.compare(left, right))
        except (TypeError, ValueError, RecursionError):
            return False


class CodeTests:
    """Tests as Python statements, with assertions anywhere in them.

    Args:
        statements: run one after another in the program's scope.

    Attributes:
        weak: assertions that are not one comparison with a literal.

    Raises:
        ValueError: the statements are not valid Python, or assert nothing.
    """

    def __init__(self, statements: Sequence[str]) -> None:
        try:
            self._tree = ast.parse("\n".join(statements))
        except (SyntaxError, ValueError, RecursionError) as error:
            raise ValueError(f"tests must be Python; got {list(statements)!r}: {error}") from None
        self._checks: list[_Check] = []
        rewriter = _Rewriter(self._checks)
        self._tree = ast.fix_missing_locations(rewriter.visit(self._tree))
        if not self._checks:
            raise ValueError(f"tests must assert something; got {list(statements)!r}.")
        self.weak = sum(check.side in ("both", "truth") for check in self._checks)

    def source(self, word: str) -> str:
        """Return the code that runs after a program: the tests without their expected values.

        Args:
            word: begins the last line of the output, and stands in names; unknown to the program.
        """
        own = ast.unparse(self._tree).replace(_RECORD, f"record_{word}")
        before = _BEFORE.format(word=word, source=inspect.getsource(code_values))
        return f"{before}\n{own}\n{_AFTER.format(word=word)}"

    def passed(self, word: str, output: str) -> bool:
        """Return whether every assertion was reached and held each time.

        Args:
            word: the one given to `source`.
            output: of the program and its tests.
        """
        last = output.rpartition("\n")[2]
        if not last.startswith(f"{word} "):
            return False
        reached = set()
        try:
            for place, truth, values in json.loads(last.removeprefix(f"{word} ")):
                if not self._checks[place].holds(truth is True, [decode(value) for value in values]):
                    return False
                reached.add(place)
        except (ValueError, TypeError, LookupError, RecursionError, MemoryError):  # the program wrote it
            return False
        return reached == {*range(len(self._checks))}


_RECORD = "record_of_the_tests"


class _Rewriter(ast.NodeTransformer):
    """Turns assertions into records of their values, and lists what each expects."""

    def __init__(self, checks: list[_Check]) -> None:
        self.checks = checks

    def visit_Assert(self, node: ast.Assert) -> Any:
        return [self._recorded(test) for test in _parts(node.test)]

    def _recorded(self, test: ast.expr) -> ast.stmt:
        if isinstance(test, ast.Constant):
            return ast.Assert(test)  # assert False: must not be reached
        truth: ast.expr = ast.Constant(None)
        values: list[ast.expr] = []
        check = _Check()
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            kind, left, right = type(test.ops[0]), test.left, test.comparators[0]
            compare = _OPERATORS[kind]
            if _is_literal(right):
                check, values = _Check(compare, ast.literal_eval(right), "right"), [left]
            elif _is_literal(left):
                check, values = _Check(compare, ast.literal_eval(left), "left"), [right]
            elif kind in _NAMES:
                check, values, truth = _Check(compare, None, "both"), [left, right], ast.Constant(_NAMES[kind])
        if not values:
            truth = test
        place = ast.Constant(len(self.checks))
        self.checks.append(check)
        return ast.Expr(ast.Call(ast.Name(_RECORD, ast.Load()), [place, truth, *values], []))


def _parts(test: ast.expr) -> list[ast.expr]:
    """Return the parts of an assertion: the operands of its `and`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return [part for value in test.values for part in _parts(value)]
    return [test]


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
