"""The example measures a checkpoint from a shell, and a real model is measured as what it is."""

import runpy
from pathlib import Path

import pytest
from processes import run_script
from tiny_models import tiny_model, tiny_tokenizer, words

from hf_muonclip.evaluation import (
    AvgAtK,
    EvaluationData,
    Perplexity,
    Question,
    load_results,
    measure_avg_at_k,
    measure_perplexity,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_folder_is_measured_and_its_answers_kept(tmp_path: Path) -> None:
    tiny_model("deepseek_v3").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "text.md").write_text("\n\n".join(f"# w{index}\n\n{words(40, index)}" for index in range(8)))
    arguments = [EXAMPLES / "evaluate_checkpoint.py", "--model", "model", "--text", "text.md", "--context-length", 32]
    arguments += ["--questions", 5, "--runs", 2, "--token-cap", 6, "--answers", "answers.jsonl"]
    output = run_script(*arguments, folder=tmp_path)
    perplexity, avg_at_k = load_results(tmp_path / "evaluation.json")
    assert isinstance(perplexity, Perplexity)
    assert isinstance(avg_at_k, AvgAtK)
    assert len(perplexity.document_losses) == 6
    assert len(avg_at_k.answers) == 10
    assert f"Perplexity on text, its first 6 sections: {perplexity.value:.4g} ±" in output
    assert "Avg@2 on reasoning-gym chain_sum (size=5, seed=0, " in output
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 1 + 10


@pytest.mark.slow
def test_a_real_model_reads_english_and_answers_in_its_chat_template() -> None:
    load_smollm2 = runpy.run_path(str(EXAMPLES / "finetune.py"))["load_smollm2"]
    model, tokenizer = load_smollm2()
    sentence = "The sun rises in the east and sets in the west, and the moon shines at night."
    shuffled = " ".join(sorted(sentence.split()))
    data = EvaluationData(name="one sentence")
    as_written, as_sorted = (measure_perplexity(model, [text], tokenizer, data=data) for text in (sentence, shuffled))
    assert as_written.value < 20 < as_sorted.value
    assert 0 < as_written.bits_per_byte < 1.5

    asked = [Question("What is the capital of France? Answer with one word.", "Paris")]

    def names_it(question: Question, answer: str) -> float:
        return float(question.reference in answer)

    found = measure_avg_at_k(
        model, asked, names_it, tokenizer, data=EvaluationData(name="one question"), k=1, temperature=0.0, token_cap=24
    )
    assert found.value == 1.0
    assert found.truncation_rate == 0.0
    assert found.prompts == "chat template without a thinking switch (thinking off was asked for)"
