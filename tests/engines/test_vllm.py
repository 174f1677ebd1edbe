"""vLLM computes from an exported checkpoint what transformers computes."""

from pathlib import Path
from typing import Any

import pytest
from cases import VLLM_DIFFERENT, VLLM_EQUAL, VLLM_ROTARY_KERNEL, Case, ask_vllm, differences
from comparison import FLOAT32_TOLERANCE, Difference
from engines import vllm_python

pytestmark = pytest.mark.slow

# Releases whose rotary kernel for CPUs is known to be wrong for DeepSeek's attention without YaRN.
FAULTY_ROTARY_KERNEL = {"0.32.0"}


@pytest.fixture(scope="session", autouse=True)  # the first of all: the checkpoints take long to make
def python() -> str:
    return vllm_python()


@pytest.fixture(scope="module")
def answers(python: str, checkpoints: dict[str, Path]) -> dict[str, Any]:
    cases = [*VLLM_EQUAL, *VLLM_DIFFERENT, VLLM_ROTARY_KERNEL]
    answers = ask_vllm(python, checkpoints, cases)
    found = differences(checkpoints, cases, answers)
    return {str(case): difference for case, difference in found} | {"version": answers[0]["version"]}


@pytest.mark.parametrize("case", VLLM_EQUAL, ids=str)
def test_same_log_probabilities_and_greedy_tokens(case: Case, answers: dict[str, Difference]) -> None:
    assert answers[str(case)].is_rounding(case.dtype), answers[str(case)]


@pytest.mark.parametrize("case", VLLM_DIFFERENT, ids=str)
def test_a_fault_of_the_router_is_seen(case: Case, answers: dict[str, Difference]) -> None:
    found = answers[str(case)]
    # A hundred times the tolerance, and more than bfloat16 would hide.
    assert found.largest > 100 * FLOAT32_TOLERANCE, found
    assert found.mean > 2 * found.mean_noise, found


def test_rotary_kernel(answers: dict[str, Any]) -> None:
    found = answers[str(VLLM_ROTARY_KERNEL)]
    if not found.is_rounding("float32") and answers["version"] in FAULTY_ROTARY_KERNEL:
        pytest.xfail(f"vLLM's CPU kernel rotates the wrong rows, see vllm_rotary_fault.py: {found}")
    assert found.is_rounding("float32"), found
