"""PTX: next-token loss on curated text, mixed into reinforcement learning so that the model keeps what it knows.

Kimi K2 (arXiv 2507.20534), section 3.2.3, adds it as an auxiliary loss and gives no numbers. Documents are packed into
full rows; position ids that begin again at 0 keep them apart in attention, and no document is predicted from another.
Which row comes when follows from the step alone, so that ranks need no talk and a resumed run reads on.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

IGNORED_LABEL = -100


class PackedRow(NamedTuple):
    """Whole documents and parts of them, one after the other; each (length,), int64.

    Attributes:
        input_ids: tokens.
        position_ids: from 0 at the beginning of each document, and of the row.
        labels: the same tokens, ignored where a document begins.
    """

    input_ids: Tensor
    position_ids: Tensor
    labels: Tensor


def tokenized(dataset: Dataset, tokenizer: Any) -> Iterable[list[int]]:
    """Yield the tokens of each document, with an end token after each text.

    Args:
        dataset: with a column "input_ids", or "text".
        tokenizer: for texts.

    Raises:
        TypeError: not a map-style dataset.
        ValueError: neither column.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"ptx_dataset must be a datasets.Dataset; got {type(dataset).__name__}. Of a stream, take a part: "
            "Dataset.from_list(list(stream.take(n)))."
        )
    if "input_ids" in dataset.column_names:
        yield from (list(ids) for ids in dataset["input_ids"])
    elif "text" in dataset.column_names:
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        yield from (tokenizer(text)["input_ids"] + end for text in dataset["text"])
    else:
        raise ValueError(
            f"ptx_dataset must have a column input_ids or text; it has {dataset.column_names}. Rename one of them."
        )


def packed_rows(documents: Iterable[list[int]], length: int) -> list[PackedRow]:
    """Return rows of `length` tokens; what is left at the end and fills none is left out.

    Args:
        documents: tokens of each.
        length: of a row; a document that does not fit goes on in the next, as if it began there.
    """
    rows: list[PackedRow] = []
    ids: list[int] = []
    positions: list[int] = []
    for document in documents:
        begin = 0
        while begin < len(document):
            part = document[begin : begin + length - len(ids)]
            ids += part
            positions += range(len(part))
            begin += len(part)
            if len(ids) == length:
                tokens, places = torch.tensor(ids), torch.tensor(positions)
                rows.append(PackedRow(tokens, places, tokens.masked_fill(places == 0, IGNORED_LABEL)))
                ids, positions = [], []
    return rows


class PTXBatches:
    """The rows for the micro-batches of each step: every rank has its own, and each pass shuffles them again.

    Args:
        dataset: documents; as for `tokenized`.
        tokenizer: for texts.
        length: tokens of a row.
        batch_size: rows per rank and micro-batch.
        rank: of this process.
        world_size: number of ranks.
        seed: of the order; the same on all ranks.

    Attributes:
        rows: all of them.

    Raises:
        TypeError, ValueError: the dataset is none, or does not fill one row.
    """

    def __init__(
        self, dataset: Dataset, tokenizer: Any, length: int, batch_size: int, rank: int, world_size: int, seed: int
    ) -> None:
        self.rows = packed_rows(tokenized(dataset, tokenizer), length)
        if not self.rows:
            raise ValueError(
                f"ptx_dataset must fill a row of ptx_max_length={length} tokens; its {len(dataset)} documents do not. "
                "Lower ptx_max_length or add documents."
            )
        self._batch_size, self._rank, self._world_size, self._seed = batch_size, rank, world_size, seed
        self._order: tuple[int, list[int]] = (-1, [])

    def passes(self, micro_batches: int) -> float:
        """Return how many times so many micro-batches on every rank go through the rows."""
        return micro_batches * self._world_size * self._batch_size / len(self.rows)

    def window(self, first: int, count: int) -> tuple[list[PackedRow], int]:
        """Return this rank's batches for `count` micro-batches of one step, and the targets of all ranks' batches.

        Args:
            first: micro-batches that every rank had in the steps before.
            count: of the step.
        """
        per_micro = self._world_size * self._batch_size
        targets = 0
        own: list[PackedRow] = []
        for micro in range(first, first + count):
            drawn = [self._row(place) for place in range(micro * per_micro, (micro + 1) * per_micro)]
            targets += sum(int((row.labels != IGNORED_LABEL).sum()) for row in drawn)
            mine = drawn[self._rank * self._batch_size : (self._rank + 1) * self._batch_size]
            own.append(PackedRow(*map(torch.stack, zip(*mine, strict=True))))
        return own, targets

    def _row(self, place: int) -> PackedRow:
        number, index = divmod(place, len(self.rows))
        if self._order[0] != number:
            generator = torch.Generator().manual_seed(self._seed + number)
            self._order = (number, torch.randperm(len(self.rows), generator=generator).tolist())
        return self.rows[self._order[1][index]]


def next_token_loss(model: nn.Module, batch: PackedRow, device: torch.device) -> Tensor:
    """Return the summed negative log-likelihood of a batch's targets, at temperature 1.

    By the model's ordinary forward: TRL's scoring head would divide the logits by the sampling temperature.
    """
    ids, positions, labels = (tensor.to(device) for tensor in batch)
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    return cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )
