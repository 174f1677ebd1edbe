"""Sampling by which an answer gets the same tokens in any batch."""

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


def answer_seed(seed: int, run: int, question: int) -> str:
    """Return the seed of one answer: different for each, and independent of what else is evaluated."""
    return f"{seed}/{run}/{question}"


class SeededDraw(LogitsProcessor):
    """Draw every row's token with the row's own random numbers, and mask all others.

    `generate` draws a whole batch from torch's global generator, so that an answer depends on its neighbours. Here a
    row takes one uniform number per token and inverts its cumulative distribution, in float64 and in the order of the
    vocabulary; greedy search then takes the one token left. torch's random state is not touched.

    Args:
        seeds: one for each row of the batch.
    """

    def __init__(self, seeds: Sequence[str]) -> None:
        self._generators = [random.Random(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return 0 for each row's token and -inf for all others.

        Args:
            input_ids: (rows, length); not read.
            scores: (rows, vocabulary), logits after all other processors.
        """
        cumulative = scores.double().softmax(-1).cumsum(-1)
        draws = torch.tensor([generator.random() for generator in self._generators], dtype=torch.float64)
        points = draws[:, None].to(scores.device) * cumulative[:, -1:]
        # The first token whose cumulative probability exceeds the point; the last one needs no comparison.
        tokens = torch.searchsorted(cumulative[:, :-1].contiguous(), points, right=True)
        return torch.full_like(scores, -math.inf).scatter_(1, tokens, 0.0)


def sampling_processors(seeds: Sequence[str], temperature: float, top_k: int, top_p: float) -> LogitsProcessorList:
    """Return the processors that make greedy search sample; none for temperature 0.

    Args:
        seeds: one for each row of the batch.
        temperature: 0 is greedy.
        top_k: 0 is off.
        top_p: 1 is off.
    """
    processors: list[object] = []
    if temperature > 0:
        processors = [TemperatureLogitsWarper(float(temperature))]
        processors += [TopKLogitsWarper(top_k)] if top_k else []
        processors += [TopPLogitsWarper(top_p)] if top_p < 1 else []
        processors += [SeededDraw(seeds)]
    return LogitsProcessorList(processors)
