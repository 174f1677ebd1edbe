"""Avg@k keeps every answer, repeats them from their seeds alone, and leaves the model as it was."""

import datetime
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import tiny_model, tiny_tokenizer
from transformers import PreTrainedModel
from transformers.utils import chat_template_utils

from hf_muonclip.evaluation import AvgAtK, EvaluationData, Question, measure_avg_at_k
from hf_muonclip.evaluation.questions import Scorer

DATA = EvaluationData(name="words")
QUESTIONS = [Question(prompt) for prompt in ("w4 w5 w6", "w7", "w8 w9 w10 w11 w12", "w13 w14")]
END = 2


def sharp_model(name: str = "llama_gqa") -> PreTrainedModel:
    """A tiny model whose next tokens differ clearly in probability and depend on those before."""
    model = tiny_model(name)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(10)
        model.get_input_embeddings().weight.mul_(20)
    return model


def score(question: Question, answer: str) -> float:
    """The share of even words: any number in [0, 1] that depends on the answer will do."""
    words = answer.split()
    return sum(int(word[1:]) % 2 == 0 for word in words if word[0] == "w") / max(len(words), 1)


def measure(model: PreTrainedModel | None = None, questions: Any = QUESTIONS, **settings: Any) -> AvgAtK:
    settings = {"score": score, "k": 3, "token_cap": 12, "data": DATA, **settings}
    return measure_avg_at_k(model or sharp_model(), questions, tokenizer=tiny_tokenizer(), **settings)


def test_mean_and_both_spreads_are_those_of_the_scores() -> None:
    found = measure()
    scores = [[score(QUESTIONS[a.question], a.text) for a in found.answers if a.run == run] for run in range(3)]
    assert [len(of_run) for of_run in scores] == [4, 4, 4]
    table = torch.tensor(scores, dtype=torch.float64)
    assert table.unique().numel() > 3
    assert found.name == "Avg@3"
    assert found.value == pytest.approx(table.mean().item())
    assert found.run_means == pytest.approx(table.mean(1).tolist())
    assert found.standard_deviation == pytest.approx(table.mean(1).std(correction=1).item())
    assert found.standard_error == pytest.approx(table.mean(0).std(correction=1).item() / 2)
    assert found.mean_answer_tokens == statistics.fmean(answer.tokens for answer in found.answers)


def test_one_run_has_no_deviation_and_one_question_no_error() -> None:
    found = measure(questions=QUESTIONS[:1], k=1)
    assert found.standard_deviation is None
    assert found.standard_error is None
    assert not any("deviation" in name or "error" in name for name in found.settings)


def test_equal_questions_and_equal_answers_are_all_kept() -> None:
    asked = []

    def counting_score(question: Question, answer: str) -> float:
        asked.append(answer)
        return 1.0

    found = measure(questions=[Question("w4 w5")] * 5, k=4, temperature=1e-4, score=counting_score)
    assert len(set(asked)) == 1  # so cold that every answer is the most likely one
    assert len(asked) == len(found.answers) == 20
    assert [(a.run, a.question) for a in found.answers] == [
        (run, question) for run in range(4) for question in range(5)
    ]
    assert len({answer.seed for answer in found.answers}) == 20


@pytest.mark.parametrize("name", ["llama_gqa", "deepseek_v3"])
def test_answers_do_not_depend_on_the_batch(name: str) -> None:
    model = sharp_model(name)
    one, all_at_once = measure(model, batch_size=1), measure(model, batch_size=16)
    assert one == all_at_once
    assert len({answer.text for answer in one.answers}) > 8


def test_an_answer_depends_on_its_own_seed_alone() -> None:
    model = sharp_model()
    assert measure(model) == measure(model)
    assert measure(model, k=5).answers[: 3 * 4] == measure(model).answers
    texts, others = ([answer.text for answer in measure(model, seed=seed).answers] for seed in (0, 1))
    assert all(text != other for text, other in zip(texts, others, strict=True))


def test_greedy_is_what_generate_gives() -> None:
    model = sharp_model().eval()
    found = measure(model, k=1, temperature=0.0)
    for answer, question in zip(found.answers, QUESTIONS, strict=True):
        ids = tiny_tokenizer()(question.prompt, return_tensors="pt")["input_ids"]
        generated = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        assert answer.text == tiny_tokenizer().decode(generated[0, ids.shape[1] :], skip_special_tokens=True)


def test_nothing_but_end_tokens_comes_from_the_generation_config() -> None:
    model = sharp_model()
    plain = measure(model)
    model.generation_config.update(repetition_penalty=50.0, suppress_tokens=list(range(60)), num_beams=3, top_k=1)
    own = model.generation_config
    assert measure(model) == plain
    assert model.generation_config is own
    model.generation_config.eos_token_id = [END, *range(4, 128)]
    stopped = measure(model)
    assert {answer.text for answer in stopped.answers} == {""}
    assert max(answer.tokens for answer in stopped.answers) < 12
    assert stopped.truncation_rate == 0


def test_an_answer_that_ends_on_its_last_token_is_not_truncated() -> None:
    model = sharp_model()
    with torch.no_grad():
        model.lm_head.weight[END] = model.lm_head.weight[20:40].mean(0)
    long = measure(model, token_cap=100)
    ended = next(answer for answer in long.answers if not answer.truncated and answer.tokens > 3)
    place = ended.run * len(QUESTIONS) + ended.question
    exact = measure(model, token_cap=ended.tokens).answers[place]
    assert (exact.text, exact.tokens, exact.truncated) == (ended.text, ended.tokens, False)
    short = measure(model, token_cap=ended.tokens - 1).answers[place]
    assert (short.text, short.tokens, short.truncated) == (ended.text, ended.tokens - 1, True)
    assert long.truncation_rate == statistics.fmean(answer.tokens == 100 for answer in long.answers)


def test_model_and_random_state_are_given_back_as_they_were() -> None:
    model = sharp_model()
    model.lm_head.eval()
    training = {name: module.training for name, module in model.named_modules()}
    state = torch.get_rng_state()
    measure(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: module.training for name, module in model.named_modules()} == training
    assert torch.is_grad_enabled()


def test_an_interrupted_evaluation_goes_on_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "answers.jsonl"
    scored = []

    def failing_score(question: Question, answer: str) -> float:
        if len(scored) == 7:
            raise KeyboardInterrupt
        return same_score(question, answer)

    def same_score(question: Question, answer: str) -> float:
        scored.append(answer)
        return score(question, answer)

    model = sharp_model()
    with pytest.raises(KeyboardInterrupt):
        measure(model, answers_file=path, score=failing_score, batch_size=3)
    assert model.training
    before = path.read_bytes()
    assert len(before.splitlines()) == 1 + 6
    with path.open("a") as file:
        file.write('{"question": 1, "run"')  # the power went off
    whole = measure(model, answers_file=path, score=same_score, batch_size=3)
    assert path.read_bytes().startswith(before)
    assert len(scored) == 7 + 12
    assert whole == measure(model)

    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert head["settings"]["token cap"] == 12
    assert len(lines) == 12
    assert {line["prompt"] for line in lines} == {question.prompt for question in QUESTIONS}
    assert measure(model, answers_file=path, score=same_score, k=4) == measure(model, k=4)
    assert len(scored) == 19 + 16


class NextDay(datetime.datetime):
    """The clock of the day on which an evaluation is resumed."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return datetime.datetime(2077, 12, 31)


def test_an_evaluation_with_a_dated_template_goes_on_another_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "w{{ strftime_now('%d') | int + 9 }} {% for m in messages %}{{ m.content }}{% endfor %}"
    model, path = sharp_model(), tmp_path / "answers.jsonl"
    asked: dict[str, Any] = {"data": DATA, "token_cap": 4, "answers_file": path}
    measure_avg_at_k(model, QUESTIONS, score, tokenizer, k=1, **asked)
    monkeypatch.setattr(chat_template_utils, "datetime", NextDay)
    resumed = measure_avg_at_k(model, QUESTIONS, score, tokenizer, k=2, **asked)
    whole = measure_avg_at_k(model, QUESTIONS, score, tokenizer, k=2, **{**asked, "answers_file": None})
    assert resumed == whole
    assert whole.prompts.endswith("dated 2025-01-01")
    with pytest.raises(ValueError, match=naming("date", "2025-01-01", "2026-11-30")):
        measure_avg_at_k(model, QUESTIONS, score, tokenizer, k=2, date=datetime.date(2026, 11, 30), **asked)


def test_answers_of_a_file_are_scored_by_the_scorer_and_references_of_now(tmp_path: Path) -> None:
    """Closures of one maker share a name: answers once kept the scores of another metric."""

    def scorer(scale: float) -> Scorer:
        return lambda question, answer: scale * question.reference

    path, model = tmp_path / "answers.jsonl", sharp_model()
    measure(model, [Question("w4", 1.0)], score=scorer(1.0), answers_file=path)
    sampled = path.read_bytes()
    found = measure(model, [Question("w4", 0.5)], score=scorer(3.0), answers_file=path)
    assert {answer.score for answer in found.answers} == {1.5}
    assert path.read_bytes() == sampled


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, naming("seed", 0, 1)),
        ({"token_cap": 13}, naming("token cap", 12, 13)),
        ({"questions": QUESTIONS[:3]}, naming("prompts")),
    ],
)
def test_answers_of_another_evaluation_are_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    path = tmp_path / "answers.jsonl"
    model = sharp_model()
    measure(model, answers_file=path, k=1)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=named):
        measure(model, answers_file=path, **{"k": 1, **change})
    assert path.read_bytes() == before


def test_answers_of_other_weights_are_refused(tmp_path: Path) -> None:
    model = sharp_model()
    measure(model, answers_file=tmp_path / "answers.jsonl", k=1)
    with torch.no_grad():
        model.model.norm.weight[3] += 1e-3
    with pytest.raises(ValueError, match="weights"):
        measure(model, answers_file=tmp_path / "answers.jsonl", k=1)


def test_a_folder_gives_what_its_model_gives(tmp_path: Path) -> None:
    model = sharp_model()
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert measure_avg_at_k(tmp_path, QUESTIONS, score, k=3, token_cap=12, data=DATA) == measure(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, naming("temperature", "k=3", "k=1")),
        ({"temperature": -1.0}, naming("temperature", -1.0)),
        ({"temperature": math.nan}, naming("temperature", "nan")),
        ({"top_p": 0.0}, naming("top_p", 0.0)),
        ({"top_k": -1}, naming("top_k", -1)),
        ({"k": 0}, naming("k", 0)),
        ({"token_cap": 0}, naming("token_cap", 0)),
        ({"batch_size": 0}, naming("batch_size", 0)),
        ({"questions": []}, naming("questions", 0)),
        ({"token_cap": 124}, naming(128, 5, "token_cap=124")),
        ({"score": lambda question, answer: math.nan}, naming("nan", "question")),
    ],
)
def test_what_cannot_be_measured_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(**settings)


def test_a_longest_prompt_that_just_fits_is_answered() -> None:
    assert measure(token_cap=123, k=1).token_cap == 123
