"""The weights of a checkpoint, written shard by shard and read back piece by piece."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from .saved_form import Piece, SavedForm
from .weight_headers import INDEX
from .writing_rank import WritingRank


class WeightWriter:
    """Writes one model's weights, and verifies what it wrote. Beyond the model it holds one shard at a time.

    Attributes:
        main_dtype: the dtype of most weights on disk.
    """

    def __init__(
        self,
        form: SavedForm,
        state: Mapping[str, Tensor],
        *,
        dtype: torch.dtype | None,
        max_shard_size: int | str,
    ) -> None:
        """Plan the shards.

        Args:
            form: the form of the model's architecture.
            state: `form.state_of(model)`.
            dtype: dtype of floating-point weights on disk; None keeps each weight's own.
            max_shard_size: bytes, or text such as "5GB".

        Raises:
            ValueError: the dtype or the size is not supported.
        """
        if dtype not in (None, torch.float32, torch.bfloat16):
            raise ValueError(
                f"dtype must be torch.float32 or torch.bfloat16, which lose no large weight, got {dtype}. Kimi K2 is "
                "published in torch.bfloat16."
            )
        if isinstance(max_shard_size, int) and max_shard_size < 1:
            raise ValueError(f'max_shard_size must be positive, got {max_shard_size}. Use "5GB".')
        self._form, self._state, self._dtype = form, state, dtype
        self._gathered: tuple[str, Tensor] | None = None
        self._pieces = {name: piece for piece in form.pieces for name in piece.names}
        planned = {
            name: torch.empty(
                tensor.shape, dtype=self._stored_dtype(name, state[self._pieces[name].keys[0]].dtype), device="meta"
            )
            for name, tensor in form.tensors.items()
        }
        elements: dict[torch.dtype, int] = {}
        for tensor in planned.values():
            elements[tensor.dtype] = elements.get(tensor.dtype, 0) + tensor.numel()
        self.main_dtype = max(elements, key=lambda kind: elements[kind])
        self._elements = sum(elements.values())
        self._split = split_state_dict_into_shards_factory(
            planned,
            get_storage_size=_nbytes,
            filename_pattern="model{suffix}.safetensors",
            max_shard_size=max_shard_size,
        )

    def write(self, folder: Path, ranks: WritingRank) -> None:
        """Write all shards, and the index. Collective: call on every rank."""
        for shard, names in self._split.filename_to_tensors.items():
            ranks.write(partial(_write_shard, self._shard(names, ranks), folder / shard))
        # One file needs no index, but whoever reads a mixture of experts expects one.
        if self._split.is_sharded or any(piece.row is not None for piece in self._form.pieces):
            index = {
                "metadata": {"total_parameters": self._elements, **self._split.metadata},
                "weight_map": self._split.tensor_to_filename,
            }
            ranks.write(lambda: _write_text(folder / INDEX, json.dumps(index, indent=2, sort_keys=True) + "\n"))

    def verify(self, folder: Path, ranks: WritingRank) -> None:
        """Read every tensor back and compare it with the model's, bit for bit. Collective: call on every rank.

        What is read is joined as `from_pretrained` joins it, piece by piece.

        Raises:
            RuntimeError: a tensor differs from the model's.
        """
        with ExitStack() as stack:
            files: dict[str, Any] = {}

            def compare(piece: Piece, expected: Mapping[str, Tensor]) -> None:
                try:
                    saved = {}
                    for name in piece.names:
                        shard = self._split.tensor_to_filename[name]
                        if shard not in files:
                            files[shard] = stack.enter_context(safe_open(folder / shard, "pt"))
                        saved[name] = files[shard].get_tensor(name)
                except (SafetensorError, OSError) as error:
                    raise _unlike(f"{piece.names[0]} cannot be read: {error}") from error
                if difference := self._difference(saved, expected):
                    raise _unlike(difference)

            for piece in self._form.pieces:
                self._take(piece, ranks, partial(compare, piece))
        self._gathered = None
        ranks.write(lambda: None)  # what was found stops every rank

    def _difference(self, saved: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
        """Return what is wrong with a piece that was read back; "" if nothing is."""
        restored = self._form.restored(saved)
        for key in sorted(expected.keys() | restored.keys()):
            if key not in restored or key not in expected:
                return f"{key} is joined from other tensors"
            rounded = expected[key].to(restored[key].dtype)
            # Compared as bytes: a NaN equals itself there.
            if rounded.shape != restored[key].shape or not torch.equal(_as_bytes(rounded), _as_bytes(restored[key])):
                return f"{key} did not"
        return ""

    def _shard(self, names: list[str], ranks: WritingRank) -> dict[str, Tensor]:
        """Return the tensors of one shard as they are stored, in the order of the names; nothing on other ranks."""
        # Sorted by tensor in memory, so that each is gathered once for a shard.
        pieces = sorted({self._pieces[name] for name in names}, key=lambda piece: (piece.keys, piece.row or 0))
        wanted = set(names)
        made: dict[str, Tensor] = {}

        def convert(piece: Piece, taken: Mapping[str, Tensor]) -> None:
            for name, tensor in self._form.saved(piece, taken).items():
                if name in wanted:
                    made[name] = tensor.to(self._stored_dtype(name, tensor.dtype)).contiguous()

        for piece in pieces:
            self._take(piece, ranks, partial(convert, piece))
        return {name: made[name] for name in names if name in made}

    def _take(self, piece: Piece, ranks: WritingRank, use: Callable[[Mapping[str, Tensor]], None]) -> None:
        """Call `use` with the tensors of a piece on the CPU, without a copy where they are there, on the writing rank.

        Collective: call on every rank. Only the gathering may raise here; all else is attempted, because the other
        ranks go on to gather what comes next.
        """
        taken: dict[str, Tensor] = {}

        def put(key: str, tensor: Tensor) -> None:
            taken[key] = (tensor if piece.row is None else tensor[piece.row : piece.row + 1]).cpu()

        for key in piece.keys:
            tensor = self._state[key].detach()
            if isinstance(tensor, DTensor):
                if self._gathered is None or self._gathered[0] != key:
                    self._gathered = None  # before the next: one at a time
                    self._gathered = (key, tensor.full_tensor())
                tensor = self._gathered[1]
            ranks.attempt(partial(put, key, tensor))
        ranks.attempt(partial(use, taken))

    def _stored_dtype(self, name: str, dtype: torch.dtype) -> torch.dtype:
        if name in self._form.float32_names:
            return torch.float32
        return self._dtype if self._dtype is not None and dtype.is_floating_point else dtype


def _unlike(problem: str) -> RuntimeError:
    return RuntimeError(
        f"Every tensor must come back bit for bit from the written checkpoint, but {problem}. The disk or the "
        "memory is at fault, or the model was changed meanwhile: save it again."
    )


def _write_shard(tensors: dict[str, Tensor], path: Path) -> None:
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, {"format": "pt"})
    path.chmod(mode)  # safetensors leaves a file that only its owner can read


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _nbytes(tensor: Tensor) -> int:
    return tensor.nbytes


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
