"""The examples of TRL's trainers run with real weights on real text, shortened by their own arguments.

The model is loaded once for all; that takes longer than their steps. It keeps its first layers alone: all of them are
fine-tuned in test_examples.py.
"""

import copy
import json
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_trl import chat_tokenizer, policy, turn

from hf_muonclip.runs.log import read_log

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIPPED = re.compile(r"clipped heads: +(\d+) of (\d+)")
LAYERS = 6  # of 30
SHORT = ("--max_steps", "2", "--per_device_train_batch_size", "2", "--max_grad_norm", "0")


@pytest.fixture(scope="module")
def smollm2() -> Iterator[tuple[Any, Any]]:
    """The first layers of the real weights, and their tokenizer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        import finetune

        model, tokenizer = finetune.load_smollm2()
        model.model.layers = model.model.layers[:LAYERS]
        model.config.num_hidden_layers = LAYERS
        yield model, tokenizer
        for name in ("finetune", "dialogue", "trl_inputs"):
            sys.modules.pop(name, None)


@pytest.fixture
def run_example(
    smollm2: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr("trl_inputs.load_smollm2", lambda: copy.deepcopy(smollm2))
        monkeypatch.setattr("sys.argv", [f"{name}.py", *arguments])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def assert_reports(folder: Path, output: str, clips: bool) -> list[dict[str, Any]]:
    """Check what the reports are made of; return the rows of the Trainer's log."""
    found = CLIPPED.search(output)
    assert found
    assert int(found[2]) == 9 * LAYERS
    rows = read_log(folder)
    assert [row["step"] for row in rows] == [1, 2]
    clips_of = (zip(*(row["clips"][name] for row in rows), strict=True) for name in rows[0]["clips"])
    ever = sum(any(counts) for of_module in clips_of for counts in of_module)
    assert ever == int(found[1])
    assert (ever > 0) == clips
    assert f"hf-muonclip report {folder.name}" in output
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    steps = [row for row in history if "qk_clip/max_logit" in row]
    assert len(steps) == 2
    # The real weights were there: random ones have logits of a tenth of this.
    assert 5 < steps[0]["qk_clip/max_logit"] < 100
    return steps


@pytest.mark.slow
def test_sft(run_example: Any, tmp_path: Path) -> None:
    output = run_example("sft_trl", *SHORT, "--max_length", "64", "--qk_clip_threshold", "5")
    assert_reports(tmp_path / "muonclip-sft", output, clips=True)
    assert (tmp_path / "muonclip-sft" / "model.safetensors").exists()


@pytest.mark.slow
def test_dpo(run_example: Any, tmp_path: Path) -> None:
    output = run_example("dpo_trl", *SHORT, "--max_length", "64")
    steps = assert_reports(tmp_path / "muonclip-dpo", output, clips=False)  # tau is 100
    assert steps[0]["rewards/margins"] == 0  # the policy is its reference still
    assert steps[1]["rewards/margins"] != 0


@pytest.mark.slow
def test_grpo(run_example: Any, tmp_path: Path) -> None:
    output = run_example("grpo_trl", *SHORT, "--num_generations", "2", "--max_completion_length", "6")
    steps = assert_reports(tmp_path / "muonclip-grpo", output, clips=False)
    assert all(0 <= step["reward"] <= 1 for step in steps)
    assert "right answers: " in output
    assert all(step["completions/mean_length"] <= 6 for step in steps)


def test_a_yaml_file_another_model_and_another_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy().save_pretrained(tmp_path / "policy")
    chat_tokenizer().save_pretrained(tmp_path / "policy")
    (tmp_path / "chats").mkdir()
    rows = [{"messages": [turn("user", seed), turn("assistant", seed)]} for seed in range(16)]
    (tmp_path / "chats" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"model_name_or_path": str(tmp_path / "policy"), "dataset_name": str(tmp_path / "chats"), "max_length": 24}
    told |= {"qk_clip_threshold": 0.5, "output_dir": str(tmp_path / "run"), "max_steps": 3}
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(told))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("sys.argv", ["sft_trl.py", "--config", str(tmp_path / "sft.yaml"), "--max_steps", "2"])
    runpy.run_path(str(EXAMPLES / "sft_trl.py"), run_name="__main__")
    found = CLIPPED.search(capsys.readouterr().out)
    assert found
    assert found[1] != "0"
    assert {row["threshold"] for row in read_log(tmp_path / "run")} == {0.5}
    assert [row["step"] for row in read_log(tmp_path / "run")] == [1, 2]  # the command line wins
