"""The example measures a checkpoint from a shell."""

from pathlib import Path

import pytest
from test_examples import EXAMPLES, run_python
from test_perplexity import words
from tiny_models import tiny_model, tiny_tokenizer

from hf_muonclip.evaluation import AvgAtK, Perplexity, load_results


@pytest.mark.slow
def test_a_folder_is_measured_and_its_answers_kept(tmp_path: Path) -> None:
    tiny_model("deepseek_v3").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "text.md").write_text("\n\n".join(f"# w{index}\n\n{words(40, index)}" for index in range(8)))
    arguments = [EXAMPLES / "evaluate_checkpoint.py", "--model", "model", "--text", "text.md", "--context-length", 32]
    arguments += ["--questions", 5, "--runs", 2, "--token-cap", 6, "--answers", "answers.jsonl"]
    output = run_python(*arguments, cwd=tmp_path)
    perplexity, avg_at_k = load_results(tmp_path / "evaluation.json")
    assert isinstance(perplexity, Perplexity)
    assert isinstance(avg_at_k, AvgAtK)
    assert len(perplexity.document_losses) == 6
    assert len(avg_at_k.answers) == 10
    assert f"Perplexity on text, its first 6 sections: {perplexity.value:.4g} ±" in output
    assert "Avg@2 on reasoning-gym chain_sum (size=5, seed=0, " in output
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 1 + 10
