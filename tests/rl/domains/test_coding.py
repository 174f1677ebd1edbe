"""Coding as a Spec: programs in completions, rewards in real processes, tricks, the executor's faults."""

import logging
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from odd_completions import ODD

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.domains.coding import CodeReward, code_spec, program_in
from hf_muonclip.rl.graders.sandbox import Execution, Limits, SubprocessExecutor

TESTS = ["assert add(2, 3) == 5", "assert add(-1, 1) == 0"]
RIGHT = "def add(a, b):\n    return a + b"
DOUBLE = [{"input": "4\n", "output": "8\n"}, {"input": "-3", "output": "-6"}]


@pytest.fixture(scope="module")
def executor() -> SubprocessExecutor:
    return SubprocessExecutor()


def block(program: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{program}\n```\nThat is all."


def rewards(executor: Any, completions: list[Any], **more: Any) -> list[float]:
    limits = more.pop("limits", Limits(cpu=2, wall=10))
    columns = more or {"tests": TESTS}
    reward = CodeReward(executor=executor, limits=limits)
    count = len(completions)
    return reward(
        prompts=["?"] * count, completions=completions, **{name: [value] * count for name, value in columns.items()}
    )


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (block("x = 1"), "x = 1"),
        (block("x = 1", ""), "x = 1"),
        (block("x = 1", "Py"), "x = 1"),
        ("~~~python3\nx = 1\n~~~", "x = 1"),
        ("````\nx = '''\n```\n'''\n````", "x = '''\n```\n'''"),
        (block("x = 1") + block("x = 2"), "x = 2"),
        (block("x = 1") + block("SELECT 1", "sql"), "x = 1"),
        (block("x = 1") + "```python\nx = 2", "x = 1"),  # the last one is not closed
        ("```python\nx = 1", None),
        ("x = 1", "x = 1"),
        ("def f():\n    return 1\n", "def f():\n    return 1\n"),
        ("The answer is x = 1", None),
        ("", None),
        (" \n", None),
        (block("SELECT 1", "sql"), None),
        ("Use this: ```python\nx = 1\n```.", "x = 1"),
        ("**```python\nx = 1\n```**", "x = 1"),
        ("<answer>```python\nx = 1\n```</answer>", "x = 1"),
        ("Inline ```x = 1``` code", None),
        ("```python\n\n```", ""),
        ("  - item\n    ```python\nx = 1\n    ```", "x = 1"),
    ],
)
def test_the_program_is_the_last_closed_block_of_python(text: str, program: str | None) -> None:
    assert program_in(text) == program


def test_right_programs_earn_1_and_wrong_ones_nothing(executor: SubprocessExecutor) -> None:
    completions = [
        block(RIGHT),
        [{"role": "assistant", "content": block(RIGHT)}],
        block("print('5')\nadd = lambda a, b: a + b"),
        block("def add(a, b):\n    return 5"),
        block("def add(a, b):\n    raise ValueError"),
        block("def subtract(a, b):\n    return a - b"),
        block("def add(a, b)"),
        "",
        "I would return a + b.",
    ]
    assert rewards(executor, completions) == [1, 1, 1, 0, 0, 0, 0, 0, 0]


TRICKS = {
    "ends well": "import sys\nsys.exit(0)",
    "ends at once": "import os\nos._exit(0)",
    "ends when called": "import os\ndef add(a, b): os._exit(0)",
    "prints what tests print": "print('passed')\nprint('ok')\ndef add(a, b): return None",
    "equals everything": """
class E(int):
    def __eq__(self, other): return True
def add(a, b): return E(7)
""",
    "no assertion fails": """
import builtins
builtins.AssertionError = type("Never", (Exception,), {})
def add(a, b): return 7
""",
    "reads its tests": """
import sys
def add(a, b):
    frame, seen = sys._getframe(), ""
    while frame:
        seen += str(frame.f_locals)
        frame = frame.f_back
    return 5 if "== 5" in seen else 7
""",
    "reads its folder": """
import os
def add(a, b):
    return 5 if any("== 5" in open(path).read() for path in os.listdir(".")) else 7
""",
    "swallows everything": """
def add(a, b):
    try:
        raise SystemExit
    except BaseException:
        return 7
""",
    "writes wherever it can": """
import os
for descriptor in range(1, 10):
    try:
        os.write(descriptor, b"ok")
    except OSError:
        pass
def add(a, b): return 7
""",
    "takes its time": "while True: pass",
    "takes memory": "x = bytearray(1 << 40)",
}


def test_tricks_earn_nothing(executor: SubprocessExecutor) -> None:
    found = rewards(executor, [block(program) for program in TRICKS.values()], limits=Limits(cpu=1, wall=60))
    assert dict(zip(TRICKS, found, strict=True)) == dict.fromkeys(TRICKS, 0.0)


def test_waiting_earns_nothing(executor: SubprocessExecutor) -> None:
    assert rewards(executor, [block("import time\ntime.sleep(600)")], limits=Limits(wall=4)) == [0]


def test_outputs_are_compared_for_each_input(executor: SubprocessExecutor) -> None:
    completions = [
        block("print(2 * int(input()))"),
        block("print(2 * int(input()), end='  \\n\\n')"),
        block("import sys\nprint(2 * int(input()))\nsys.exit(0)"),
        block("print(8)"),
        block("input()\nprint(8)\nprint(-6)"),
        block("print(2 * int(input()))\nraise ValueError"),
        block(""),
    ]
    assert rewards(executor, completions, io=DOUBLE) == [1, 1, 1, 0, 0, 0, 0]


def test_tests_and_outputs_can_both_be_due(executor: SubprocessExecutor) -> None:
    both = "def add(a, b):\n    return a + b\nif __name__ == '__main__':\n    print(2 * int(input() or 0))"
    with_both = {"tests": ["assert add(1, 1) == 2"], "io": DOUBLE[:1]}
    neither = rewards(executor, [block(RIGHT), block("print(2 * int(input()))")], **with_both)
    assert neither == [0, 0]
    tolerant = both.replace("input() or 0", "sys.stdin.read() or 0").replace("def add", "import sys\ndef add")
    assert rewards(executor, [block(tolerant)], **with_both) == [1]


def test_a_spec_is_made_of_solutions_that_pass(executor: SubprocessExecutor) -> None:
    rows = Dataset.from_list(
        [
            {"prompt": "Add.", "tests": TESTS, "io": None, "gold": RIGHT},
            {"prompt": "Double.", "tests": None, "io": DOUBLE, "gold": "print(2 * int(input()))"},
            {"prompt": "Unknown.", "tests": TESTS, "io": None, "gold": None},
        ]
    )
    spec = code_spec(rows, executor=executor)
    assert spec.report.passed
    assert len(spec.train_dataset) == 3
    assert {case.name for case in spec.report.cases} >= {"period", "bold", "dollars", "answer tags", "empty", "wrong"}


def test_rows_whose_solution_fails_are_refused_or_left_out(
    executor: SubprocessExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    right = {"prompt": "Add.", "tests": TESTS, "gold": RIGHT}
    rows = Dataset.from_list([right, right, {**right, "gold": "def add(a, b):\n    return a"}])
    with pytest.raises(ValueError, match=naming("row 2", "1 of 3", "drop")):
        code_spec(rows, executor=executor)
    with caplog.at_level(logging.WARNING):
        assert len(code_spec(rows, executor=executor, drop=True, rows_checked=1).train_dataset) == 2
    assert "1 of 3" in caplog.text
    with pytest.raises(ValueError, match=naming("1 of 1")):
        code_spec(rows.select([2]), executor=executor, drop=True)


def test_weak_assertions_are_told(executor: SubprocessExecutor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        code_spec(Dataset.from_list([{"prompt": "?", "tests": ["assert callable(add)", *TESTS]}]), executor=executor)
    assert re.search(r"\b1 assertions .*\b3 tests", caplog.text)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"prompt": "?"}, ("tests", "io")),
        ({"tests": TESTS}, ("prompt",)),
        ({"prompt": "?", "tests": []}, ("row 0",)),
        ({"prompt": "?", "tests": ["add(1, 2)"]}, ("row 0", "assert")),
        ({"prompt": "?", "tests": ["assert ("]}, ("row 0",)),
    ],
)
def test_rows_that_cannot_be_tested_are_refused(
    executor: SubprocessExecutor, row: dict[str, Any], named: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        code_spec(Dataset.from_list([row]), executor=executor)


@pytest.mark.parametrize("columns", [{"tests": TESTS}, {"io": DOUBLE}], ids=["tests", "io"])
def test_right_values_of_a_program_that_ends_badly_earn_nothing(
    executor: SubprocessExecutor, columns: dict[str, Any]
) -> None:
    def badly(*given: Any) -> Execution:
        found = executor(*given)
        assert isinstance(found, Execution)
        return replace(found, end="cpu")

    right = block("print(2 * int(input()))" if "io" in columns else RIGHT)
    assert rewards(badly, [right], **columns) == [0]
    assert rewards(executor, [right], **columns) == [1]


def missing(program: str, tests: str, stdin: str, limits: Limits) -> Execution:
    raise FileNotFoundError("docker")


def sleeping(program: str, tests: str, stdin: str, limits: Limits) -> Execution:
    time.sleep(3)
    raise AssertionError


@pytest.mark.parametrize(
    ("executor", "cause"),
    [
        (missing, "error"),
        (sleeping, "timeout"),
        (lambda *_: NotMeasured("unreachable"), "unreachable"),
        (lambda *_: None, "error"),
        (lambda *_: "passed", "error"),
        (lambda *_: 1 / 0, "error"),
    ],
)
@pytest.mark.parametrize("columns", [{"tests": TESTS}, {"io": DOUBLE}], ids=["tests", "io"])
def test_faults_of_the_executor_are_not_measured(
    executor: Any, cause: str, columns: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_muonclip.rl.domains.coding._SLACK", 0.1)
    limits = Limits(wall=0.2)
    found = rewards(executor, [block(RIGHT), "no program"], limits=limits, **columns)
    assert found[0].cause == cause
    assert found[1] == 0


def test_a_program_that_its_executor_could_not_start_fails_the_spec() -> None:
    rows = Dataset.from_list([{"prompt": "Add.", "tests": TESTS, "gold": RIGHT}])
    with pytest.raises(ValueError, match=naming("row 0", "FileNotFoundError")):
        code_spec(rows, executor=missing)


def test_odd_completions_earn_nothing_in_time(executor: SubprocessExecutor) -> None:
    began = time.monotonic()
    found = rewards(executor, [*ODD.values(), *map(block, ODD.values())], limits=Limits(cpu=1, wall=5))
    assert time.monotonic() - began < 120
    assert all(value == 0 or isinstance(value, NotMeasured) for value in found)


def test_workers_must_be_positive(executor: SubprocessExecutor) -> None:
    with pytest.raises(ValueError, match=naming("workers", 0)):
        CodeReward(executor=executor, workers=0)


def test_a_program_without_a_test_is_not_measured() -> None:
    reward, program = CodeReward(), "```python\nx = 1\n```"
    given = {"prompts": [""] * 3, "completions": [program, "no program", program]}
    found = reward(**given, tests=[None, [], ["assert x == 1"]], io=None)
    assert [getattr(one, "cause", one) for one in found] == ["gold", "gold", 1.0]
    with pytest.raises(ValueError, match=naming("'tests'", "'io'")):
        reward(**given)
