"""The examples run as a reader runs them: as scripts, in a process of their own, on real text."""

import re
import runpy
import time
from pathlib import Path

import pytest
from fresh_process import run_fresh
from processes import Script, run_script
from tiny_models import tiny_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

EXAMPLES = Path(__file__).parents[2] / "examples"
FLOAT = r"(\d+\.\d+)"
Finetuned = tuple[Path, tuple[object, ...], str]  # folder, arguments, what was printed


def numbers(pattern: str, output: str) -> list[float]:
    found = [float(number) for number in re.findall(pattern, output)]
    assert found, f"{pattern} is not in:\n{output}"
    return found


@pytest.fixture(scope="module")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved Llama of 100,000 parameters whose tokens are the 256 bytes."""
    folder = tmp_path_factory.mktemp("tiny") / "llama"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    tiny_model("llama_gqa", vocab_size=256).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_plain_loop_learns_and_reports_clips(tmp_path: Path) -> None:
    # In a fresh interpreter, as a reader runs it; the other examples are forked.
    output = run_fresh(
        EXAMPLES / "plain_loop.py", "--max-steps", 20, "--log-every", 5, "--qk-clip-threshold", 0.8, folder=tmp_path
    )
    losses = numbers(rf"loss {FLOAT}", output)
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    max_logits = numbers(rf"max logit +{FLOAT}", output)
    clipped = numbers(r"clipped heads (\d+)", output)
    # A printed logit of 0.80 says nothing: it is rounded.
    assert all((count > 0) == (logit > 0.8) for logit, count in zip(max_logits, clipped, strict=True) if logit != 0.8)
    assert any(clipped)
    assert not all(clipped)


@pytest.mark.slow
def test_finetune_improves_smollm2(tmp_path: Path) -> None:
    output = run_script(
        EXAMPLES / "finetune.py",
        *("--max-steps", 1, "--batch-size", 4, "--sequence-length", 48, "--eval-blocks", 8, "--output", "tuned"),
        folder=tmp_path,
    )
    (before,) = numbers(rf"perplexity before: {FLOAT}", output)
    (after,) = numbers(rf"perplexity after: +{FLOAT}", output)
    # A perplexity of this size says that the real weights were there before the first step.
    assert after < before < 200

    reload = """
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained("tuned/model"), AutoTokenizer.from_pretrained("tuned/model")
prompt = tokenizer("To be, or not to", return_tensors="pt")
generated = model.generate(**prompt, max_new_tokens=3, do_sample=False)[0]
print(model.num_parameters(), tokenizer.decode(generated))
"""
    num_parameters, _, text = run_script("-c", reload, folder=tmp_path).strip().partition(" ")
    assert int(num_parameters) == 134_515_008
    assert text.startswith("To be, or not to be")


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Finetuned:
    """A run on a model folder and a text folder."""
    folder = tmp_path_factory.mktemp("finetuned")
    texts = folder / "texts"
    texts.mkdir()
    for index, suffix in enumerate(("md", "txt")):
        (texts / f"{index}.{suffix}").write_text("It was the best of times, it was the worst of times. " * 100)
    (texts / "ignored.csv").write_bytes(b"\xff\xfe")
    arguments = ("--model", tiny_model_folder, "--text", texts, "--max-steps", 200, "--learning-rate", 3e-3)
    arguments += ("--sequence-length", 64)
    printed = run_script(EXAMPLES / "finetune.py", *arguments, "--output", "whole", folder=folder)
    return folder, arguments, printed


@pytest.mark.slow
def test_finetune_takes_a_model_folder_and_a_text_folder(finetuned: Finetuned) -> None:
    (before,) = numbers(rf"perplexity before: {FLOAT}", finetuned[2])
    (after,) = numbers(rf"perplexity after: +{FLOAT}", finetuned[2])
    assert after < 0.5 * before


@pytest.mark.slow
def test_an_interrupted_finetune_goes_on_to_the_same_weights(finetuned: Finetuned) -> None:
    folder, arguments, _ = finetuned
    script = EXAMPLES / "finetune.py"
    process = Script(script, *arguments, "--output", "interrupted", folder=folder)
    log, deadline = folder / "interrupted" / "qk_clip.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.interrupt()
    code, printed, errors = process.ended()
    assert code == 130, errors
    assert "--resume" in printed
    run_script(script, *arguments, "--output", "interrupted", "--resume", folder=folder)
    first, second = ((folder / name / "model" / "model.safetensors").read_bytes() for name in ("interrupted", "whole"))
    assert first == second


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", [], "text.txt"),
        (" \n\t\n", [], "text.txt"),
        ("too short", [], "128 tokens"),
        (b"\xff\xfe\x00", [], "UTF-8"),
        (None, [], "UTF-8"),
        ("text " * 200, ["--output", "taken"], "taken"),
        ("text " * 200, ["--model", "nobody/no-such-model"], "got 'nobody/no-such-model'"),
        ("text " * 200, ["--model", "no-such-folder/"], "got 'no-such-folder/'"),
        ("text " * 200, ["--resume"], "--resume"),
        ("text " * 200, ["--max-steps", "0"], "--max-steps"),
        ("text " * 200, ["--learning-rate", "-1"], "-1"),
        ("text " * 200, ["--qk-clip-threshold", "0"], "qk_clip_threshold"),
    ],
)
def test_finetune_says_what_is_wrong(
    text: str | bytes | None,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    tiny_model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    Path("taken").mkdir()
    Path("taken", "config.json").write_text("{}")
    if text is not None:
        Path("text.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    command = ["finetune.py", "--model", str(tiny_model_folder), "--text", "text.txt", "--output", "new", *arguments]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(EXAMPLES / "finetune.py"), run_name="__main__")
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err.rpartition("error: ")[2]  # behind the usage, which names every option
    assert not Path("new").exists()
    assert Path("taken", "config.json").read_text() == "{}"
