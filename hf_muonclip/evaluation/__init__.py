"""Evaluation of checkpoints with standard errors: perplexity of texts, and Avg@k of sampled answers."""

from .avg_at_k import measure_avg_at_k
from .hub_entries import write_eval_results
from .perplexity import measure_perplexity
from .questions import Question, QuestionSet, metric_scorer, reasoning_gym_questions
from .results import Answer, AvgAtK, EvaluationData, EvaluationResult, Perplexity, load_results, save_results

__all__ = [
    "Answer",
    "AvgAtK",
    "EvaluationData",
    "EvaluationResult",
    "Perplexity",
    "Question",
    "QuestionSet",
    "load_results",
    "measure_avg_at_k",
    "measure_perplexity",
    "metric_scorer",
    "reasoning_gym_questions",
    "save_results",
    "write_eval_results",
]
