"""Perplexity of texts: every token is predicted once, with as much context before it as the window allows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from .model_under_test import context_limit, leading_special_tokens, load, measuring
from .results import EvaluationData, Perplexity, StrPath

# Longer windows are rarely worth their memory: logits take batch x context x vocabulary x 4 bytes.
_DEFAULT_CONTEXT = 1024


@dataclass(frozen=True)
class _Window:
    """Tokens of one document that go through the model together; those from `first_target` on are predicted."""

    document: int
    tokens: Tensor
    first_target: int


def measure_perplexity(
    model: PreTrainedModel | StrPath,
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    data: EvaluationData,
    context_length: int | None = None,
    stride: int | None = None,
    batch_size: int = 4,
) -> Perplexity:
    """Return the perplexity of texts: exp of the mean negative log-likelihood of all their tokens.

    A window of `context_length` tokens moves over each document by `stride`; each token is predicted in the first
    window that reaches it, as in transformers' guide to the perplexity of fixed-length models, so that behind the first
    window every token has at least `context_length - stride` tokens in front of it. What the tokenizer puts in front of
    a text by itself is context and is never predicted; where it puts nothing, a document's first token is context.
    Special tokens at the end are left out. Differs from the `evaluate` package's measurement, which sees each text
    as one window and averages the perplexities of texts, long and short alike: `mean_document_perplexity` is that mean.

    Logits are taken to float32, sums to float64. The standard error is the ratio estimator's, over documents, or over
    the windows of a single document, whose neighbours depend on each other: read it then as a lower bound.

    Args:
        model: in memory, a folder, or a name on the Hub.
        texts: documents; none may be without a token to predict.
        tokenizer: needed for a model in memory.
        data: where the texts come from.
        context_length: in tokens; at most the model's; None takes 1024, or the model's if that is less.
        stride: in tokens, from 1 to `context_length - 1`; None takes half of `context_length`.
        batch_size: windows per forward; changes the result by rounding only.

    Raises:
        ValueError: a setting is out of its range, a text has nothing to predict, or the model answers with numbers
            that are not finite.
    """
    model, tokenizer = load(model, tokenizer)
    limit = context_limit(model)
    if context_length is None:
        context_length = min(_DEFAULT_CONTEXT, limit or _DEFAULT_CONTEXT)
    if context_length < 2 or context_length > (limit or context_length):
        raise ValueError(
            f"context_length must be from 2 to the model's {limit}, got {context_length}; None always fits"
        )
    if stride is None:
        stride = context_length // 2
    if not 1 <= stride < context_length:
        raise ValueError(
            f"stride must be from 1 to context_length - 1 = {context_length - 1}, so that every token is predicted "
            f"from another, got {stride}"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if not texts:
        raise ValueError("perplexity needs at least one text, got none")

    prefix = leading_special_tokens(tokenizer)
    windows: list[_Window] = []
    num_bytes = 0
    for document, text in enumerate(texts):
        tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(prefix) + len(tokens) < 2 or not tokens:
            raise ValueError(
                f"every text needs a token that can be predicted, but text {document} has {len(tokens)} tokens, with "
                f"{len(prefix)} in front of it; leave it out"
            )
        num_bytes += len((text if prefix else _behind_first_token(tokenizer, text)).encode())
        windows += _cut(document, torch.tensor(prefix + tokens), max(len(prefix), 1), context_length, stride)

    sums = _window_sums(model, windows, batch_size)
    counts = torch.tensor([len(window.tokens) - window.first_target for window in windows], dtype=torch.float64)
    documents = torch.tensor([window.document for window in windows])
    document_sums = torch.zeros(len(texts), dtype=torch.float64).index_add_(0, documents, sums)
    document_counts = torch.zeros(len(texts), dtype=torch.float64).index_add_(0, documents, counts)
    loss = float(sums.sum() / counts.sum())
    if not math.isfinite(loss):
        raise ValueError(
            f"the loss of {data.name} is {loss}: the model's logits are not finite, so it has no perplexity"
        )
    units = (document_sums, document_counts) if len(texts) > 1 else (sums, counts)
    return Perplexity(
        data=data,
        loss=loss,
        loss_standard_error=_ratio_standard_error(*units),
        standard_error_over="documents" if len(texts) > 1 else "windows",
        bits_per_byte=float(sums.sum()) / math.log(2) / num_bytes,
        document_losses=tuple((document_sums / document_counts).tolist()),
        tokens=int(counts.sum()),
        context_length=context_length,
        stride=stride,
    )


def _behind_first_token(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    if tokenizer.is_fast:
        return text[
            tokenizer(text, add_special_tokens=False, verbose=False, return_offsets_mapping=True)["offset_mapping"][0][
                1
            ] :
        ]
    first = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:1]
    return text[len(str(tokenizer.decode(first))) :]


def _cut(document: int, tokens: Tensor, first_target: int, context_length: int, stride: int) -> Iterator[_Window]:
    """Yield windows of at most `context_length` tokens, whose targets together are `tokens[first_target:]`."""
    begin, target = 0, first_target
    while target < len(tokens):
        end = min(begin + context_length, len(tokens))
        if end > target:
            yield _Window(document, tokens[begin:end], target - begin)
            target = end
        begin += stride


def _window_sums(model: PreTrainedModel, windows: Sequence[_Window], batch_size: int) -> Tensor:
    """Return the negative log-likelihood of each window's targets, (windows,), float64, on the CPU."""
    sums = torch.zeros(len(windows), dtype=torch.float64)
    by_length = sorted(range(len(windows)), key=lambda index: -len(windows[index].tokens))
    with measuring(model):
        for start in logging.tqdm(range(0, len(windows), batch_size), desc="perplexity"):
            batch = by_length[start : start + batch_size]
            lengths = [len(windows[index].tokens) for index in batch]
            input_ids = torch.zeros(len(batch), max(lengths), dtype=torch.long)
            attention_mask = torch.zeros_like(input_ids)
            for row, index in enumerate(batch):
                input_ids[row, : lengths[row]] = windows[index].tokens
                attention_mask[row, : lengths[row]] = 1
            input_ids, attention_mask = input_ids.to(model.device), attention_mask.to(model.device)
            logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
            for row, index in enumerate(batch):
                first, end = windows[index].first_target, lengths[row]
                # Row by row: a float32 copy of the whole batch could be as large as all that the model holds.
                losses = cross_entropy(
                    logits[row, first - 1 : end - 1].float(),
                    input_ids[row, first:end].to(logits.device),
                    reduction="none",
                )
                sums[index] = losses.sum(dtype=torch.float64).cpu()
    return sums


def _ratio_standard_error(sums: Tensor, counts: Tensor) -> float | None:
    """Return the standard error of sums.sum() / counts.sum(), to first order; None for a single unit.

    With r the ratio and D units: sqrt(D / (D - 1) · Σ (sum_d - r · count_d)²) / Σ count_d.
    """
    units = len(sums)
    if units < 2:
        return None
    residuals = sums - sums.sum() / counts.sum() * counts
    return math.sqrt(units / (units - 1) * float(residuals.square().sum())) / float(counts.sum())
