"""Tests of programs: what is due stays here, values travel, and what a program says of itself does not count."""

import contextlib
import io
import math
import os
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from error_messages import naming

from hf_muonclip.rl.domains.code_tests import CodeTests
from hf_muonclip.rl.domains.code_values import Opaque, decode, encode

WORD = "v00c0ffee"


def output_of(program: str, tests: CodeTests, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a program and its tests print, run in this process; an exception of theirs is raised."""
    read, write = os.pipe()
    monkeypatch.setattr(os, "write", lambda fd, data, _write=os.write: _write(write, data))
    scope: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(program, scope)
            exec(tests.source(WORD), scope)
    finally:
        monkeypatch.undo()
        os.close(write)
    with os.fdopen(read) as recorded:
        return printed.getvalue() + recorded.read()


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(10**40), 1.5, -0.0, math.inf, -math.inf, 2 + 3j, "", "a\0\ud800\n\U0001f9d1", b"\0\xff",
        [], (), set(), {}, [1, (2, [3]), {4: {5, 6}}], {(1, 2): "a", None: [b"b"]}, frozenset({1}),
    ],
)  # fmt: skip
def test_plain_values_travel(value: Any) -> None:
    found = decode(encode(value))
    assert found == value
    assert type(found) is type(value)


def test_values_of_other_classes_travel_as_plain_ones_or_as_opaque() -> None:
    class Everything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None

    class Liar(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode(10**5000)) == 10**5000  # beyond what Python writes in digits
    assert decode(encode(np.int64(3))) == 3
    assert decode(encode(np.array([[1, 2]]))) == [[1, 2]]
    assert decode(encode(Fraction(1, 2))) == decode(encode(Decimal("0.5"))) == 0.5
    assert type(decode(encode(Liar("a")))) is str
    assert isinstance(decode(encode(Everything())), Opaque)
    assert decode(encode([Everything()])) != [1]
    assert isinstance(decode(encode(np.int64)), Opaque)


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "null", '["int", 3]', '["set", [["list", []]]]', '["no", 1]', "[" * 10_000]
)
def test_what_is_not_encoded_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (json's own among them)
        decode(text)


@pytest.mark.parametrize(
    ("tests", "weak"),
    [
        (["assert f(2) == 4"], 0),
        (["assert 4 == f(2), f'not {f(2)}'"], 0),
        (["assert f(2) == 4 and f(3) == 9"], 0),
        (["for n in range(3):\n    assert f(n) >= 0"], 0),
        (["def check(candidate):\n    assert candidate(-2) == 4\ncheck(f)"], 0),
        (["x = f(2)", "assert x in (4, 5)", "assert 4 in [x]", "assert x not in [5]", "assert x != 5"], 0),
        (["assert f(2) is not None", "assert (f(2) == 4) is True"], 0),
        (["assert f(2) == 4.0", "assert 3 < f(2)", "assert abs(f(1.5) - 2.25) < 1e-9"], 0),
        (["assert f(2) == 2 * 2"], 1),
        (["assert isinstance(f(2), int)"], 1),
        (["assert not f(0)", "assert 1 < f(2) < 9"], 2),
        (["for n in range(3):\n    assert f(n) == n * n"], 1),
        (["try:\n    f('a')\n    assert False\nexcept TypeError:\n    pass", "assert f(1) == 1"], 0),
    ],
)
def test_a_right_program_passes_and_wrong_ones_do_not(
    tests: list[str], weak: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_tests = CodeTests(tests)
    assert of_tests.weak == weak
    assert of_tests.passed(WORD, output_of("print('hello')\ndef f(n): return n ** 2", of_tests, monkeypatch))
    if weak != len(tests) or "isinstance" not in tests[0]:
        with contextlib.suppress(Exception):
            output = output_of("def f(n): return None if n == 'a' else -7", of_tests, monkeypatch)
            assert not of_tests.passed(WORD, output)


def test_what_is_due_does_not_reach_the_program() -> None:
    source = CodeTests(["assert f(2) == 123456789, 'should be 987654321'"]).source(WORD)
    assert "f(2)" in source
    assert "123456789" not in source
    assert "987654321" not in source


EVERYTHING = """
class Everything:
    def __eq__(self, other): return True
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __ne__ = __eq__
    def __hash__(self): return 4
    def __bool__(self): return True
def f(n): return Everything()
"""


@pytest.mark.parametrize(
    "tests", [["assert f(2) == 4"], ["assert f(2) in [4]"], ["assert f(2) < 5"], ["y = 4", "assert f(2) == y"]]
)
def test_an_object_that_equals_everything_passes_nothing(tests: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    of_tests = CodeTests(tests)
    assert not of_tests.passed(WORD, output_of(EVERYTHING, of_tests, monkeypatch))


def test_objects_of_the_tasks_own_classes_are_compared_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    of_tests = CodeTests(["assert Point(1) == Point(1)", "assert Point(1) != Point(2)"])
    assert of_tests.weak == 2
    right = "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int"
    assert of_tests.passed(WORD, output_of(right, of_tests, monkeypatch))
    wrong = "class Point:\n    def __init__(self, x): pass"
    assert not of_tests.passed(WORD, output_of(wrong, of_tests, monkeypatch))


def test_a_program_may_shadow_names_that_the_tests_use_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    of_tests = CodeTests(["assert f(2) == 4"])
    program = (
        "import sys as os\noperator = json = encode = list = str = print = isinstance = None\ndef f(n): return n * n"
    )
    assert of_tests.passed(WORD, output_of(program, of_tests, monkeypatch))


@pytest.mark.parametrize(
    "output",
    [
        "",
        "passed",
        f"{WORD} []",
        f"{WORD} true",
        f"{WORD} [[0, true, []]]",
        f'{WORD} [[0, true, ["[\\"int\\", \\"0x5\\"]"]]]',
        f"{WORD} [[9, true, []]]",
        f"{WORD} [[-1, true, []]]",
        f"{WORD} {'[' * 10_000}",
        f"{WORD} [[0, true, {{}}]]",
        'v0ther000 [[0, false, ["[\\"int\\", \\"0x4\\"]"]]]',
        f'{WORD} [[0, false, ["[\\"int\\", \\"0x4\\"]"]]]\nmore',
    ],
)
def test_output_that_proves_nothing(output: str) -> None:
    assert not CodeTests(["assert f(2) == 4"]).passed(WORD, output)


def test_an_assertion_that_was_not_come_to_is_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    of_tests = CodeTests(["assert f(2) == 4", "if False:\n    assert f(3) == 9"])
    assert not of_tests.passed(WORD, output_of("def f(n): return n * n", of_tests, monkeypatch))


@pytest.mark.parametrize("tests", [[], [""], ["f(2)"], ["assert"], ["def f(:"], ["assert True"], ["x = '\0'"]])
def test_tests_that_are_none_are_refused(tests: list[str]) -> None:
    with pytest.raises(ValueError, match=naming("tests")):
        CodeTests(tests)
