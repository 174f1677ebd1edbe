"""PTX: next-token loss on curated text, mixed into reinforcement learning so that the model keeps what it knows.

Kimi K2 (arXiv 2507.20534), section 3.2.3, adds it as an auxiliary loss and gives no numbers. Documents are packed into
full rows; position ids that begin again at 0 keep them apart in attention, and no document is predicted from another.
The rows of a step depend on the step alone, so that a resumed run continues where it stopped.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from datasets import Dataset, IterableDataset
from datasets.distributed import split_dataset_by_node
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..common.loggers import get_logger
from .ptx_documents import Document, documents

logger = get_logger(__name__)

IGNORED_LABEL = -100


class PackedRow(NamedTuple):
    """Whole documents and parts of them, one after the other; each (length,), int64.

    Attributes:
        input_ids: tokens.
        position_ids: from 0 at the beginning of each document, and of the row.
        labels: the same tokens, ignored where a document begins and where it is not trained.
    """

    input_ids: Tensor
    position_ids: Tensor
    labels: Tensor


def packed_rows(texts: Iterable[Document], length: int) -> Iterator[PackedRow]:
    """Yield rows of `length` tokens; an incomplete last row is left out.

    Args:
        texts: documents.
        length: tokens per row; a document that does not fit continues in the next row, as if it began there.
    """
    ids: list[int] = []
    positions: list[int] = []
    trained: list[bool] = []
    for text in texts:
        begin = 0
        while begin < len(text.ids):
            part = text.ids[begin : begin + length - len(ids)]
            ids += part
            positions += range(len(part))
            trained += [place > begin and place >= text.begin for place in range(begin, begin + len(part))]
            begin += len(part)
            if len(ids) == length:
                tokens = torch.tensor(ids)
                yield PackedRow(
                    tokens, torch.tensor(positions), tokens.masked_fill(~torch.tensor(trained), IGNORED_LABEL)
                )
                ids, positions, trained = [], [], []


class PTXBatches:
    """The packed rows of each micro-batch: every rank has its own, and each pass shuffles them again.

    Args:
        dataset: as for `documents`.
        tokenizer: as for `documents`.
        length: tokens per row.
        batch_size: rows per rank and micro-batch.
        rank: this process's rank.
        world_size: number of ranks.
        seed: of the order; the same on all ranks.

    Attributes:
        rows: all packed rows.

    Raises:
        ValueError: a row cannot be read, or all documents together fill no row of `length` tokens.
    """

    def __init__(
        self, dataset: Dataset, tokenizer: Any, length: int, batch_size: int, rank: int, world_size: int, seed: int
    ) -> None:
        self.rows = list(packed_rows(documents(dataset, tokenizer), length))
        if not self.rows:
            raise _fills_no_row(length, f"its {len(dataset)} documents do not")
        self._batch_size, self._rank, self._world_size, self._seed = batch_size, rank, world_size, seed
        self._order: tuple[int, list[int]] = (-1, [])

    def passes(self, micro_batches: int) -> float:
        """Return how many passes through the rows `micro_batches` on every rank are."""
        return micro_batches * self._world_size * self._batch_size / len(self.rows)

    def window(self, first: int, count: int) -> list[PackedRow]:
        """Return this rank's batches for `count` micro-batches of one step.

        Args:
            first: micro-batches per rank in earlier steps.
            count: micro-batches of this step.
        """
        per_micro = self._world_size * self._batch_size
        own = []
        for micro in range(first, first + count):
            begin = micro * per_micro + self._rank * self._batch_size
            own.append(_stacked([self._row(place) for place in range(begin, begin + self._batch_size)]))
        return own

    def _row(self, place: int) -> PackedRow:
        number, index = divmod(place, len(self.rows))
        if self._order[0] != number:
            generator = torch.Generator().manual_seed(self._seed + number)
            self._order = (number, torch.randperm(len(self.rows), generator=generator).tolist())
        return self.rows[self._order[1][index]]


class PTXStream:
    """The same for a stream, whose documents are split between ranks and read in the stream's own order.

    For another order, shuffle the stream; it is then shuffled again at each pass. A resumed run reads the rows of
    earlier steps without training on them.

    Args:
        dataset: as for `documents`.
        tokenizer: as for `documents`.
        length: tokens per row.
        batch_size: rows per rank and micro-batch.
        rank: this process's rank.
        world_size: number of ranks.

    Raises:
        ValueError: this rank's documents fill no row, or one of them cannot be read.
    """

    def __init__(
        self, dataset: IterableDataset, tokenizer: Any, length: int, batch_size: int, rank: int, world_size: int
    ) -> None:
        self._dataset = split_dataset_by_node(dataset, rank, world_size) if world_size > 1 else dataset
        self._tokenizer, self._length, self._batch_size = tokenizer, length, batch_size
        next(self._read())  # raises before training if a document cannot be read
        self._rows = self._read()
        self._place = 0  # rows read

    def passes(self, micro_batches: int) -> float:
        """Return how many times this rank has read its part of the stream to the end."""
        return float(self._ended)

    def window(self, first: int, count: int) -> list[PackedRow]:
        """Return this rank's batches for `count` micro-batches of one step; as for `PTXBatches`."""
        if self._place > first * self._batch_size:
            self._rows, self._place = self._read(), 0
        while self._place < first * self._batch_size:
            self._next()
        return [_stacked([self._next() for _ in range(self._batch_size)]) for _ in range(count)]

    def _next(self) -> PackedRow:
        self._place += 1
        return next(self._rows)

    def _read(self) -> Iterator[PackedRow]:
        self._ended = 0
        while True:
            self._dataset.set_epoch(self._ended)
            rows = 0
            for row in packed_rows(documents(self._dataset, self._tokenizer), self._length):
                rows += 1
                yield row
            if not rows:
                raise _fills_no_row(self._length, "this rank's documents of the stream do not")
            if not self._ended:
                logger.warning("ptx_dataset ended after %d rows on this rank, and begins again.", rows)
            self._ended += 1


def ptx_batches(
    dataset: Dataset | IterableDataset,
    tokenizer: Any,
    length: int,
    batch_size: int,
    rank: int,
    world_size: int,
    seed: int,
) -> PTXBatches | PTXStream:
    """Return the batches of a dataset or a stream; arguments are those of `PTXBatches`.

    Raises:
        TypeError: the dataset is neither.
        ValueError: as `PTXBatches` and `PTXStream`.
    """
    if isinstance(dataset, Dataset):
        return PTXBatches(dataset, tokenizer, length, batch_size, rank, world_size, seed)
    if isinstance(dataset, IterableDataset):
        return PTXStream(dataset, tokenizer, length, batch_size, rank, world_size)
    raise TypeError(
        f"ptx_dataset must be a datasets.Dataset or IterableDataset; got {type(dataset).__name__}. Make one from a "
        "list of rows with Dataset.from_list(rows)."
    )


def next_token_loss(model: nn.Module, batch: PackedRow, device: torch.device) -> Tensor:
    """Return the summed negative log-likelihood of a batch's targets, at temperature 1.

    Uses the model's ordinary forward: TRL's scoring head would divide the logits by the sampling temperature.
    """
    ids, positions, labels = (tensor.to(device) for tensor in batch)
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    return cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )


def targets(batches: Iterable[PackedRow]) -> Tensor:
    """Return the number of trained tokens in the batches; int64."""
    return torch.tensor(sum(int((batch.labels != IGNORED_LABEL).sum()) for batch in batches))


def _stacked(rows: list[PackedRow]) -> PackedRow:
    return PackedRow(*map(torch.stack, zip(*rows, strict=True)))


def _fills_no_row(length: int, which: str) -> ValueError:
    return ValueError(
        f"ptx_dataset must fill a row of ptx_max_length={length} tokens; {which}. Lower it or add documents."
    )
