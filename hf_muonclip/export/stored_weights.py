"""The forms in which Kimi K2's weights are published: plain, FP8 in blocks (K2), INT4 in groups (K2 Thinking).

transformers 5.24 does not read the quantized ones. Its FP8 divides a shape by the number of factors, and not by the
block: the 576 rows of Kimi K2's `kv_a_proj_with_mqa` in 5 blocks of 128 fail, and 192 columns in 2 become blocks of 96
without a word. For INT4 it wants another package. Undoing either takes a few lines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..common.wording import some_of
from .weight_headers import StoredTensor

Read = Callable[[str], Tensor]  # a tensor by its name on disk

_PER_WORD = 8  # 4-bit values in an int32


@dataclass(frozen=True)
class PlainWeight:
    """A tensor stored as it is."""

    name: str
    shape: tuple[int, ...]

    def read(self, read: Read) -> Tensor:
        """Return the weight in the dtype that it is stored in."""
        return read(self.name)


@dataclass(frozen=True)
class Fp8Weight:
    """A matrix in float8_e4m3fn, with one float32 factor for each block; the last blocks may be cut off."""

    name: str
    shape: tuple[int, ...]
    block: tuple[int, int]

    def read(self, read: Read) -> Tensor:
        """Return the weight in float32."""
        rows, columns = self.shape
        factors = read(f"{self.name}_scale_inv").float()
        factors = factors.repeat_interleave(self.block[0], 0)[:rows].repeat_interleave(self.block[1], 1)[:, :columns]
        return read(self.name).float() * factors


@dataclass(frozen=True)
class Int4Weight:
    """A matrix of 4-bit integers, eight in an int32 and offset by 8, with one factor for each group in a row."""

    name: str
    shape: tuple[int, ...]
    group_size: int

    def read(self, read: Read) -> Tensor:
        """Return the weight in float32.

        Raises:
            ValueError: the stored shape is not the one that the packed integers have.
        """
        if (stored := tuple(read(f"{self.name}_shape").tolist())) != self.shape:
            raise ValueError(
                f"{self.name}_shape must be the shape of the packed integers, {list(self.shape)}, got {list(stored)}. "
                "Download the checkpoint again."
            )
        shifts = torch.arange(0, 32, 4, dtype=torch.int32)
        integers = (read(f"{self.name}_packed").unsqueeze(-1) >> shifts & 15).reshape(self.shape) - 8
        return integers.float() * read(f"{self.name}_scale").float().repeat_interleave(self.group_size, 1)


Weight = PlainWeight | Fp8Weight | Int4Weight


def weights_in(folder: Path, stored: Mapping[str, StoredTensor], quantization: Any) -> dict[str, Weight]:
    """Return {name: weight} of the weights that stored tensors encode.

    Args:
        folder: the checkpoint's folder, for messages.
        stored: stored tensors by name.
        quantization: `quantization_config` of config.json; None if there is none.

    Raises:
        ValueError: the quantization is not one of Kimi K2's, or its parts do not fit together.
    """
    match quantization:
        case None:
            if encoded := [name for name, tensor in stored.items() if tensor.dtype.startswith(("F8", "F4"))]:
                raise ValueError(
                    f"FP8 weights need a quantization_config in config.json that says how to read them, got none in "
                    f"{folder} for {some_of(encoded)}. Put back the config.json that they were saved with."
                )
            return {name: PlainWeight(name, tensor.shape) for name, tensor in stored.items()}
        case {"quant_method": "fp8", "weight_block_size": [int(rows), int(columns)]}:
            return _fp8_weights(folder, stored, (rows, columns))
        case {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": dict(groups)}:
            sizes = {_group_size(group) for group in groups.values()}
            if len(sizes) == 1 and (size := sizes.pop()) is not None:
                return _int4_weights(folder, stored, size)
    raise ValueError(
        f"quantization_config must be one that Kimi K2 is published with: fp8 with weight_block_size, or "
        f"compressed-tensors in pack-quantized format with symmetric 4-bit integers in groups; got {quantization} in "
        f"{folder}. Load it with the package that made it, and save the dequantized model."
    )


def _group_size(group: Any) -> int | None:
    """Return the group size of a scheme of compressed-tensors; None if it is another than Kimi K2 Thinking's."""
    match group:
        case {
            "weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": int(size)}
        } if group.get("input_activations") is None:
            return size
    return None


def _fp8_weights(folder: Path, stored: Mapping[str, StoredTensor], block: tuple[int, int]) -> dict[str, Weight]:
    weights: dict[str, Weight] = {}
    for name, tensor in stored.items():
        if tensor.dtype != "F8_E4M3":
            if name.removesuffix("_scale_inv") == name or name.removesuffix("_scale_inv") not in stored:
                weights[name] = PlainWeight(name, tensor.shape)
            continue
        factors = stored.get(f"{name}_scale_inv")
        grid = tuple(-(-size // edge) for size, edge in zip(tensor.shape, block, strict=True))
        if factors is None or factors.shape != grid:
            raise ValueError(
                f"An FP8 weight needs a factor for each block of {block[0]}x{block[1]}: {name} of {list(tensor.shape)} "
                f"must have {list(grid)} in {name}_scale_inv, got {list(factors.shape) if factors else 'none'} in "
                f"{folder}. Download the checkpoint again, or correct weight_block_size."
            )
        weights[name] = Fp8Weight(name, tensor.shape, block)
    return weights


def _int4_weights(folder: Path, stored: Mapping[str, StoredTensor], group_size: int) -> dict[str, Weight]:
    weights: dict[str, Weight] = {}
    packed = {name.removesuffix("_packed") for name in stored if name.endswith(".weight_packed")}
    parts = {f"{name}_{part}" for name in packed for part in ("packed", "scale", "shape")}
    if missing := parts - stored.keys():
        raise ValueError(
            f"A 4-bit weight is stored in three parts, weight_packed, weight_scale and weight_shape, but "
            f"{some_of(missing)} {'is' if len(missing) == 1 else 'are'} missing in {folder}. Download it again."
        )
    for name in packed:
        rows, words = stored[f"{name}_packed"].shape
        shape = (rows, words * _PER_WORD)
        factors = stored[f"{name}_scale"].shape
        if factors != (rows, shape[1] // group_size) or shape[1] % group_size:
            raise ValueError(
                f"A 4-bit weight needs a factor for each group of {group_size} in a row: {name} of {list(shape)} has "
                f"{list(factors)} in {folder}. Download it again, or correct group_size."
            )
        weights[name] = Int4Weight(name, shape, group_size)
    return weights | {name: PlainWeight(name, tensor.shape) for name, tensor in stored.items() if name not in parts}
