"""The weights of a checkpoint, written shard by shard and read back piece by piece."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from .export_ranks import WritingRank
from .saved_form import Piece, SavedForm
from .weight_headers import INDEX

# Kimi K2 and DeepSeek-V3 publish it in float32 among bfloat16 weights: it is moved by 1e-3 at a time.
_ALWAYS_FLOAT32 = ".e_score_correction_bias"


class WeightWriter:
    """Writes one model's weights, and proves what it wrote. Beyond the model it holds one shard at a time.

    Attributes:
        main_dtype: what most weights have on disk.
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
            form: of the model's architecture.
            state: `form.state_of(model)`.
            dtype: of floating-point weights on disk; None keeps each in its own.
            max_shard_size: bytes, or text such as "5GB".

        Raises:
            ValueError: the dtype or the size cannot be.
        """
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype must be a floating-point one, got {dtype}. Kimi K2 is trained in torch.bfloat16.")
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
            ranks.write(partial(save_file, self._shard(names, ranks), folder / shard, {"format": "pt"}))
        # One file needs no index, but whoever reads a mixture of experts expects one.
        if self._split.is_sharded or any(piece.row is not None for piece in self._form.pieces):
            index = {
                "metadata": {"total_parameters": self._elements, **self._split.metadata},
                "weight_map": self._split.tensor_to_filename,
            }
            ranks.write(lambda: _write_text(folder / INDEX, json.dumps(index, indent=2, sort_keys=True) + "\n"))

    def prove(self, folder: Path, ranks: WritingRank) -> None:
        """Read every tensor back and compare it with the model's, bit for bit. Collective: call on every rank.

        What is read is joined as `from_pretrained` joins it, piece by piece.

        Raises:
            RuntimeError: a tensor is not what it was.
        """
        wrong: list[str] = []
        with ExitStack() as stack:
            files: dict[str, Any] = {}
            if ranks.is_writer:
                for shard in self._split.filename_to_tensors:
                    files[shard] = stack.enter_context(safe_open(folder / shard, "pt"))
            for piece in self._form.pieces:
                expected = self._take(piece, ranks)
                if files and not wrong:
                    where = self._split.tensor_to_filename
                    saved = {name: files[where[name]].get_tensor(name) for name in piece.names}
                    wrong = self._differences(piece, saved, expected)
        self._gathered = None
        ranks.write(lambda: _refuse_differences(wrong))

    def _differences(self, piece: Piece, saved: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
        restored = self._form.restored(piece, saved)
        wrong = sorted(restored.keys() ^ expected.keys())
        for key in expected.keys() & restored.keys():
            rounded = expected[key].to(restored[key].dtype)
            # Compared as bytes: a NaN equals itself there.
            if rounded.shape != restored[key].shape or not torch.equal(_as_bytes(rounded), _as_bytes(restored[key])):
                wrong.append(key)
        return wrong

    def _shard(self, names: list[str], ranks: WritingRank) -> dict[str, Tensor]:
        """Return the tensors of one shard as they are stored, in the order of the names; nothing on other ranks."""
        # Sorted by tensor in memory, so that each is gathered once for a shard.
        pieces = sorted({self._pieces[name] for name in names}, key=lambda piece: (piece.keys, piece.row or 0))
        wanted = set(names)
        made: dict[str, Tensor] = {}
        for piece in pieces:
            taken = self._take(piece, ranks)
            if taken:
                made |= {name: tensor for name, tensor in self._form.saved(piece, taken).items() if name in wanted}
        return {
            name: made[name].to(self._stored_dtype(name, made[name].dtype)).contiguous()
            for name in names
            if name in made
        }

    def _take(self, piece: Piece, ranks: WritingRank) -> dict[str, Tensor]:
        """Return the tensors of a piece on the CPU, without a copy where they are there; nothing on other ranks."""
        taken = {}
        for key in piece.keys:
            tensor = self._state[key].detach()
            if isinstance(tensor, DTensor):
                if self._gathered is None or self._gathered[0] != key:
                    self._gathered = None  # before the next: one at a time
                    self._gathered = (key, tensor.full_tensor())
                tensor = self._gathered[1]
            if ranks.is_writer:
                taken[key] = (tensor if piece.row is None else tensor[piece.row : piece.row + 1]).cpu()
        return taken

    def _stored_dtype(self, name: str, dtype: torch.dtype) -> torch.dtype:
        if name.endswith(_ALWAYS_FLOAT32):
            return torch.float32
        return self._dtype if self._dtype is not None and dtype.is_floating_point else dtype


def _refuse_differences(wrong: list[str]) -> None:
    if wrong:
        raise RuntimeError(
            f"Every tensor must come back bit for bit from the written checkpoint, but {wrong[0]} did not. The disk or "
            "the memory is at fault, or the model was changed meanwhile: save it again."
        )


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _nbytes(tensor: Tensor) -> int:
    return tensor.nbytes


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
