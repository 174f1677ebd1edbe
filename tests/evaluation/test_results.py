"""Results say all that their number depends on, to people and to the Hub, and come back from their file whole."""

import dataclasses
import math
import statistics
from pathlib import Path

import pytest
from error_messages import naming
from huggingface_hub import ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

from hf_muonclip.evaluation import Answer, AvgAtK, EvaluationData, Perplexity, load_results, save_results

PERPLEXITY = Perplexity(
    data=EvaluationData(name="Hamlet (Act I)"),
    loss=2.5,
    loss_standard_error=0.125,
    standard_error_over="documents",
    bits_per_byte=0.75,
    document_losses=(2.0, 3.0),
    tokens=64,
    context_length=32,
    stride=16,
)
SCORES = ((1.0, 0.0, 1.0), (0.0, 0.0, 1.0))  # of two runs


def avg_at_2(**changes: object) -> AvgAtK:
    answers = [
        Answer(
            question=question,
            run=run,
            seed=f"0/{run}/{question}",
            text='a "b"\n',
            tokens=5,
            truncated=run == 1,
            score=s,
        )
        for run, scores in enumerate(SCORES)
        for question, s in enumerate(scores)
    ]
    fields = {
        "data": EvaluationData(name="GSM8K", hub_id="openai/gsm8k", task_id="gsm8k", config="main", split="test"),
        "answers": tuple(answers),
        "k": 2,
        "questions": 3,
        "token_cap": 5,
        "prompts": "chat template, thinking off (enable_thinking)",
        "temperature": 0.6,
        "top_k": 0,
        "top_p": 0.95,
        "seed": 0,
    }
    return AvgAtK(**{**fields, **changes})


def test_perplexity_is_the_loss_seen_otherwise() -> None:
    assert PERPLEXITY.value == pytest.approx(math.exp(2.5))
    assert PERPLEXITY.standard_error == pytest.approx(math.exp(2.5) * 0.125)
    assert PERPLEXITY.mean_document_perplexity == pytest.approx((math.exp(2) + math.exp(3)) / 2)


def test_settings_are_what_a_reader_needs() -> None:
    assert PERPLEXITY.settings == {
        "tokens": 64,
        "documents": 2,
        "loss (nats per token)": 2.5,
        "bits per byte": 0.75,
        "standard error over": "documents",
        "context length": 32,
        "stride": 16,
    }
    assert avg_at_2().settings == {
        "questions": 3,
        "runs": 2,
        "standard deviation over runs": pytest.approx(statistics.stdev([2 / 3, 1 / 3]), rel=1e-5),
        "standard error over": "questions",
        "token cap": 5,
        "truncated answers": 0.5,
        "mean tokens per answer": 5.0,
        "prompts": "chat template, thinking off (enable_thinking)",
        "temperature": 0.6,
        "top p": 0.95,
        "seed": 0,
    }


def test_questions_are_the_units_of_the_standard_error() -> None:
    # As if six independent questions had been asked, it would be 0.22.
    assert avg_at_2().value == 0.5
    assert avg_at_2().question_means == (0.5, 0.0, 1.0)
    assert avg_at_2().standard_error == pytest.approx(0.5 / math.sqrt(3))


def test_a_result_without_all_of_its_answers_cannot_be_made() -> None:
    answers = avg_at_2().answers
    twice = (*answers[:-1], answers[0])
    for wrong in (answers[:-1], (*answers, answers[0]), twice, answers[::-1], ()):
        with pytest.raises(ValueError, match=naming(6, len(wrong))):
            avg_at_2(answers=wrong)
    with pytest.raises(ValueError, match=naming("answers", 0)):
        avg_at_2(answers=(), questions=0)


def test_the_model_index_holds_value_error_and_settings() -> None:
    results = [*PERPLEXITY.to_eval_results(), *avg_at_2().to_eval_results()]
    card = ModelCardData(model_name="tiny", eval_results=results)
    _, read = model_index_to_eval_results(card.to_dict()["model-index"])
    assert [(r.dataset_type, r.dataset_name, r.metric_type, r.metric_name, r.metric_value) for r in read] == [
        ("hamlet-act-i", "Hamlet (Act I)", "perplexity", "Perplexity", 12.1825),
        ("hamlet-act-i", "Hamlet (Act I)", "bits_per_byte", "Bits per byte", 0.75),
        ("openai/gsm8k", "GSM8K", "avg_at_k", "Avg@2", 0.5),
    ]
    assert (read[2].dataset_config, read[2].dataset_split) == ("main", "test")
    assert read[2].metric_args["standard error"] == 0.288675
    assert read[2].metric_args["prompts"] == "chat template, thinking off (enable_thinking)"
    assert "standard error" not in read[1].metric_args


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    alone = dataclasses.replace(PERPLEXITY, loss_standard_error=None, document_losses=(2.5,))
    path = save_results([PERPLEXITY, avg_at_2(), alone], tmp_path / "new" / "evaluation.json")
    assert load_results(path) == [PERPLEXITY, avg_at_2(), alone]


@pytest.mark.parametrize(
    "content", ["{", '[{"metric": "bleu"}]', '[{"metric": "perplexity", "loss": 1}]', '{"a": 1}', "[1]"]
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(ValueError, match=naming("save_results", "other.json")):
        load_results(tmp_path / "other.json")


def test_a_task_without_its_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("task_id='gsm8k'")):
        EvaluationData(name="GSM8K", task_id="gsm8k")
