"""Questions and scorers for Avg@k."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .results import EvaluationData


@dataclass(frozen=True)
class Question:
    """A question and what its scorer needs to judge an answer.

    Attributes:
        prompt: what the model is asked.
        reference: the right answer, or whatever else the scorer judges by; the model does not see it.
    """

    prompt: str
    reference: Any = None


# A minus behind a digit, a letter or a bracket subtracts: "5-3" ends in 3.
_NUMBER = r"(?:(?<![\w)])-)?\d+(?:,\d{3})*(?:\.\d+)?"

# The score of an answer; 1 for a right one and 0 for a wrong one where nothing lies between.
Scorer = Callable[[Question, str], float]


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    """Questions with their scorer.

    Attributes:
        questions: in the order of their indices.
        score: function that scores an answer.
        data: where the questions come from.
    """

    questions: list[Question]
    score: Scorer = field(repr=False)
    data: EvaluationData


def reasoning_gym_questions(
    name: str,
    *,
    size: int,
    seed: int = 0,
    instruction: str = "Give only the final answer, without any explanation.",
    **settings: Any,
) -> QuestionSet:
    """Return verifiable questions of a task of the `reasoning_gym` package, which generates and scores them by rule.

    The `final_answer` of an answer is scored. It scores 1 where the task's own scorer gives full marks, and 0
    otherwise: the package's partial marks are meant for training.

    Args:
        name: name of the task, for example "chain_sum".
        size: number of questions.
        seed: seed of the questions.
        instruction: text appended to each question.
        settings: settings of the task, for example `min_digits=1`.

    Raises:
        ValueError: the task or a setting is unknown.
    """
    import reasoning_gym

    try:
        dataset = reasoning_gym.create_dataset(name, seed=seed, size=size, **settings)
    except TypeError as error:
        raise ValueError(f"settings must be those of the task {name}, got {settings}: {error}") from None
    entries = [dataset[index] for index in range(size)]

    def full_marks(question: Question, answer: str) -> float:
        return float(
            dataset.score_answer(final_answer(answer, question.reference["answer"]), question.reference) >= 1.0
        )

    shown = ", ".join(f"{key}={value}" for key, value in {"size": size, "seed": seed, **settings}.items())
    return QuestionSet(
        questions=[Question(f"{entry['question']}\n{instruction}".strip(), entry) for entry in entries],
        score=full_marks,
        data=EvaluationData(name=f"reasoning-gym {name} ({shown})"),
    )


def final_answer(text: str, expected: str) -> str:
    """Return the part of an answer that is scored, without surrounding space.

    That is what stands in the last <answer></answer> tags; else, where a number is expected, the last number of the
    text, so that "5 - 3 = 2. The answer is 2." counts as 2; else the whole text.

    Args:
        text: the whole answer.
        expected: the right answer, which shows whether a number is expected.
    """
    if tagged := re.findall(r"<answer>(.*?)</answer>", text, flags=re.DOTALL):
        return str(tagged[-1]).strip()
    if re.fullmatch(_NUMBER, expected.strip()) and (numbers := re.findall(_NUMBER, text)):
        return str(numbers[-1])
    return text.strip()


def metric_scorer(metric: Any, key: str, **settings: Any) -> Scorer:
    """Return a scorer that compares each answer with its question's reference by a metric of the `evaluate` package.

    Args:
        metric: an `evaluate` module, or what `evaluate.load` takes: a name on the Hub or the folder of a metric script,
            which needs no network.
        key: name of the wanted number in the metric's result, for example "exact_match" or "rougeL".
        settings: settings of the metric, for example `ignore_case=True`.
    """
    if isinstance(metric, str):
        import evaluate

        metric = evaluate.load(metric)

    def score(question: Question, answer: str) -> float:
        found = metric.compute(predictions=[answer], references=[question.reference], **settings)
        if key not in found:
            raise ValueError(f"key must be one of what {metric.name} returns, {sorted(found)}, got {key!r}")
        return float(found[key])

    return score
