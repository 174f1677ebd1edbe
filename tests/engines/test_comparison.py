"""The comparison sees what an engine can do wrong, and nothing where it does all right."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import SIZES
from comparison import compare, log_probabilities
from engines import ask
from transformers import DeepseekV3ForCausalLM

from hf_muonclip.export import save_checkpoint
from hf_muonclip.kimi_k2 import kimi_k2_config

PROMPTS = [[1, 5, 9, 2, 7, 7, 3], [4, 4, 8]]
NEW_TOKENS = 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = DeepseekV3ForCausalLM(kimi_k2_config("nano", **SIZES, bos_token_id=None, eos_token_id=None))
    model.lm_head.weight.data.mul_(4)  # some tokens far more likely than others, as after training
    return save_checkpoint(model, tmp_path_factory.mktemp("comparison") / "checkpoint")


@pytest.fixture(scope="module")
def right(checkpoint: Path) -> dict[str, Any]:
    """What an engine answers that is transformers itself."""
    texts = copy.deepcopy(PROMPTS)
    for _ in range(NEW_TOKENS):
        for text, rows in zip(
            texts, log_probabilities(checkpoint, torch.float32, [[*t, 0] for t in texts]), strict=True
        ):
            text.append(int(rows[-1].argmax()))
    rows = log_probabilities(checkpoint, torch.float32, texts)
    given = [row.gather(-1, torch.tensor(t[1:])[:, None])[:, 0].tolist() for row, t in zip(rows, texts, strict=True)]
    return {
        "prompt_logprobs": [each[:-NEW_TOKENS] for each in given],
        "greedy_tokens": [text[-NEW_TOKENS:] for text in texts],
        "greedy_logprobs": [each[-NEW_TOKENS:] for each in given],
    }


def test_the_right_answer(checkpoint: Path, right: dict[str, Any]) -> None:
    found = compare(checkpoint, "float32", PROMPTS, right)
    assert found.positions == sum(map(len, PROMPTS)) - len(PROMPTS) + NEW_TOKENS * len(PROMPTS)
    assert found.greedy_tokens == found.greedy_equal == NEW_TOKENS * len(PROMPTS)
    assert found.largest < 1e-5
    assert found.mean_noise > 1e-4
    assert found.is_rounding("float32")
    assert compare(checkpoint, "bfloat16", PROMPTS, right).is_rounding("bfloat16")


def test_one_wrong_log_probability(checkpoint: Path, right: dict[str, Any]) -> None:
    wrong = copy.deepcopy(right)
    wrong["prompt_logprobs"][1][0] += 0.5
    for dtype in ("float32", "bfloat16"):
        found = compare(checkpoint, dtype, PROMPTS, wrong)
        assert found.largest == pytest.approx(0.5, abs=0.1)
        assert not found.is_rounding(dtype)


def test_a_greedy_token_that_is_not_the_best(checkpoint: Path, right: dict[str, Any]) -> None:
    text = PROMPTS[0] + right["greedy_tokens"][0]
    (rows,) = log_probabilities(checkpoint, torch.float32, [text])
    worst = int(rows[-1].argmin())
    wrong = copy.deepcopy(right)
    wrong["greedy_tokens"][0][-1], wrong["greedy_logprobs"][0][-1] = worst, rows[-1, worst].item()
    found = compare(checkpoint, "float32", PROMPTS, wrong)
    assert found.largest < 1e-5  # its log-probability is right: the choice alone is wrong
    assert found.greedy_wrong == 1
    assert not found.is_rounding("float32")


def test_an_engine_that_fails_says_why(tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\necho no kernel for this processor >&2\nexit 3\n")
    interpreter.chmod(0o755)
    with pytest.raises(AssertionError, match="no kernel for this processor"):
        ask(str(interpreter), "vllm_runner.py", [])
