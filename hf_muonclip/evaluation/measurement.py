"""Perplexity as a module of the `evaluate` package, for code that is written around such modules.

Its own "perplexity" is a script on the Hub: it needs a network, sees a text as one window, and reports the mean of the
texts' perplexities alone. This one takes the same call and returns the same two keys, of texts of any length, and more.
"""

from typing import Any

import evaluate
from datasets import Features, Value

from .perplexity import measure_perplexity
from .results import EvaluationData


class PerplexityMeasurement(evaluate.Measurement):  # type: ignore[misc] # evaluate is untyped
    """Perplexity of texts under a causal language model.

    PerplexityMeasurement().compute(data=texts, model_id="a/name or folder")

    `compute` takes what `measure_perplexity` takes beside the texts, and returns `perplexity` with `standard_error`,
    `bits_per_byte` and `tokens`, and evaluate's own `perplexities` and `mean_perplexity`.
    """

    def _info(self) -> Any:
        return evaluate.MeasurementInfo(
            module_type="measurement",
            description="exp of the mean negative log-likelihood of a text's tokens, each predicted once",
            citation="",
            inputs_description="data: list of texts; model_id: a folder, a name on the Hub, or a model in memory",
            features=Features({"data": Value("string")}),
            reference_urls=["https://huggingface.co/docs/transformers/perplexity"],
        )

    def _compute(self, data: list[str], model_id: Any, **settings: Any) -> dict[str, Any]:
        result = measure_perplexity(model_id, data, data=EvaluationData(name="texts"), **settings)
        return {
            "perplexity": result.value,
            "standard_error": result.standard_error,
            "bits_per_byte": result.bits_per_byte,
            "tokens": result.tokens,
            "perplexities": list(result.document_perplexities),
            "mean_perplexity": result.mean_document_perplexity,
        }
