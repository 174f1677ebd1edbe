"""What a run is made of is seen where it decides about results, and is the same in every process."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from fresh_process import run_python
from number_gate import same_numbers

from hf_muonclip.synth.fidelity import Thresholds, check_fidelity
from hf_muonclip.synth.run_folder import fingerprint, keep_manifest

LIMIT = 3


def longer_than(limit: int) -> Callable[[str, str], bool]:
    def gate(source: str, rewritten: str) -> bool:
        return len(rewritten) > limit

    return gate


class Gate:
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, source: str, rewritten: str) -> bool:
        return len(rewritten) > self.limit


def strict(claims: float) -> Any:
    return functools.partial(check_fidelity, thresholds=Thresholds(claims=claims))


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (strict(1.0), strict(0.5)),
        (Gate(3), Gate(4)),
        (longer_than(3), longer_than(4)),
        (lambda source, rewritten: len(source) > 3, lambda source, rewritten: len(source) > 4),
        (check_fidelity, same_numbers),
        (len, str.__len__),
    ],
    ids=["thresholds", "attribute", "closure", "lambda", "function", "built in"],
)
def test_functions_that_differ_have_other_fingerprints(one: Any, another: Any) -> None:
    assert fingerprint(one) != fingerprint(another)
    assert fingerprint(one) == fingerprint(one)


FINGERPRINTS = """
import functools, json
from hf_muonclip.synth.fidelity import Thresholds, check_fidelity
from hf_muonclip.synth.run_folder import fingerprint
def of_script(source, rewritten):
    return len(rewritten) > LIMIT
LIMIT = {limit}
strict = functools.partial(check_fidelity, thresholds=Thresholds(claims=0.5))
found = [strict, lambda source, rewritten: True, of_script]
print(json.dumps([fingerprint(one) for one in found]))
"""


def test_fingerprints_are_those_of_another_process(tmp_path: Path) -> None:
    first, same, other = (json.loads(run_python(FINGERPRINTS.format(limit=n), tmp_path)) for n in (3, 3, 4))
    assert first == same
    assert first[0] == fingerprint(strict(0.5))
    assert first[:2] == other[:2]
    assert first[2] != other[2]


def test_a_module_that_changed_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "gate_of_a_user.py"
    path.write_text("LIMIT = 3\ndef gate(source, rewritten):\n    return len(source) > LIMIT\n")
    import gate_of_a_user

    before = fingerprint(gate_of_a_user.gate)
    path.write_text(path.read_text().replace("3", "4"))
    assert fingerprint(gate_of_a_user.gate) != before


def test_a_difference_is_told_where_it_is(tmp_path: Path) -> None:
    inputs = [[f"{number}.jsonl", 10, 5] for number in range(100)]
    keep_manifest(tmp_path, {"inputs": inputs, "seed": 0})
    keep_manifest(tmp_path, {"inputs": inputs, "seed": 0})
    changed = [*inputs[:70], ["70.jsonl", 11, 6], *inputs[71:]]
    with pytest.raises(ValueError, match=naming("inputs", '["70.jsonl", 10, 5]', '["70.jsonl", 11, 6]')):
        keep_manifest(tmp_path, {"inputs": changed, "seed": 0})
    with pytest.raises(ValueError, match=naming("inputs", '["99.jsonl", 10, 5]', "null")):
        keep_manifest(tmp_path, {"inputs": inputs[:-1], "seed": 0})
    (tmp_path / "manifest.json").write_text("[]x")
    with pytest.raises(ValueError, match=naming("manifest.json")):
        keep_manifest(tmp_path, {"inputs": inputs, "seed": 0})
