"""Answers on disk are taken for this evaluation's only where they are."""

import dataclasses
from pathlib import Path

import pytest
import torch
from error_messages import naming
from tiny_models import tiny_model

from hf_muonclip.evaluation import Answer
from hf_muonclip.evaluation.answers_file import AnswersFile, fingerprint, prompts_hash

SETTINGS = {"seed": 0, "token cap": 8}
# Line separators that are no line feeds, and characters of other scripts, must not cut or change a line.
ANSWER = Answer(question=1, run=0, seed="0/0/1", text="a\u2028b\nc\x85 中", tokens=3, truncated=False, score=0.5)


def test_answers_come_back(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    AnswersFile(path, SETTINGS).append([ANSWER], ["one", "two"])
    file = AnswersFile(path, SETTINGS)
    assert file.get(0, 1) == ANSWER
    assert file.get(1, 0) is None
    other = dataclasses.replace(ANSWER, run=1)
    file.append([other], ["one", "two"])
    assert AnswersFile(path, SETTINGS).get(1, 1) == other
    assert "中" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("rest", ['{"question": 1', '{"question": 1}', "中".encode()[:2]])
def test_a_line_cut_short_is_dropped(tmp_path: Path, rest: str | bytes) -> None:
    path = tmp_path / "answers.jsonl"
    AnswersFile(path, SETTINGS).append([ANSWER], ["one", "two"])
    before = path.read_bytes()
    path.write_bytes(before + (rest if isinstance(rest, bytes) else rest.encode()))
    assert AnswersFile(path, SETTINGS).get(0, 1) == ANSWER
    assert path.read_bytes() == before


@pytest.mark.parametrize("length", [0, 1, 15, -2, -1])
def test_a_first_line_cut_short_is_written_again(tmp_path: Path, length: int) -> None:
    path = tmp_path / "answers.jsonl"
    AnswersFile(path, SETTINGS)
    before = path.read_bytes()
    path.write_bytes(before[:length])
    AnswersFile(path, SETTINGS).append([ANSWER], ["one", "two"])
    assert path.read_bytes().startswith(before)
    assert AnswersFile(path, SETTINGS).get(0, 1) == ANSWER


@pytest.mark.parametrize(
    "content",
    [
        "notes of mine\n",
        "notes without an end",
        '{"settings": {"mine": 1',
        '{"a": 1}\n',
        '{"settings": {}}\n{"a": 1}\n',
    ],
)
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=naming("answers_file", path)):
        AnswersFile(path, SETTINGS)
    assert path.read_text() == content


def test_other_settings_are_named_and_a_repeated_answer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    file = AnswersFile(path, SETTINGS)
    with pytest.raises(ValueError, match=naming("token cap", 8, 9)):
        AnswersFile(path, {**SETTINGS, "token cap": 9})
    file.append([ANSWER, ANSWER], ["one", "two"])
    with pytest.raises(ValueError, match=naming("run 0", "question 1")):
        AnswersFile(path, SETTINGS)


def test_the_fingerprint_is_of_weights_and_buffers() -> None:
    model = tiny_model("deepseek_v3")
    before = fingerprint(model)
    assert fingerprint(tiny_model("deepseek_v3").eval()) == before
    buffer = next(buffer for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias"))
    with torch.no_grad():
        buffer[1] += 1e-4
    assert fingerprint(model) != before
    assert fingerprint(tiny_model("deepseek_v3").bfloat16()) != before


@pytest.mark.parametrize("part", [slice(64, 200), slice(1000, 1200), slice(-1, None)])
def test_the_fingerprint_looks_all_over_a_tensor(part: slice) -> None:
    model = tiny_model("llama_gqa")
    before = fingerprint(model)
    with torch.no_grad():
        model.lm_head.weight.view(-1)[part] += 1e-3
    assert fingerprint(model) != before


def test_the_fingerprint_takes_empty_and_single_entries() -> None:
    module = torch.nn.Module()
    module.register_buffer("empty", torch.zeros(0, 3))
    module.register_buffer("single", torch.tensor(1.0))
    before = fingerprint(module)
    module.single += 1
    assert fingerprint(module) != before


def test_the_hash_of_prompts_knows_their_order_and_borders() -> None:
    assert len({prompts_hash(prompts) for prompts in ([[1, 2], [3]], [[1], [2, 3]], [[3], [1, 2]], [[1, 2, 3]])}) == 4
