"""The headers of a folder's safetensors files, read without the weights."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..common.wording import some_of

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# By safetensors' names; all dtypes that fill whole bytes.
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor on disk.

    Attributes:
        shape: the stored shape.
        dtype: safetensors' name: "BF16", "F32".
        nbytes: bytes of its elements.
        shard: name of the file that holds it.
    """

    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    shard: str


def read_headers(folder: Path) -> dict[str, StoredTensor]:
    """Return {name: stored tensor} from the headers of all shards in a folder.

    Raises:
        ValueError: a shard is missing, unlisted, damaged or truncated, or the index disagrees with the shards.
    """
    present = {path.name for path in folder.glob("*.safetensors")}
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX)
        shard_of = _weight_map(folder, index)
        listed = set(shard_of.values())
    elif WEIGHTS in present:
        index, shard_of, listed = {}, None, {WEIGHTS}
    else:
        raise ValueError(
            f"A checkpoint must have {INDEX} or {WEIGHTS}, got {some_of(present) or 'no weights'} in {folder}. If it "
            "was interrupted, save or download it again."
        )
    if missing := listed - present:
        raise ValueError(
            f"Every shard that {INDEX} lists must be in the folder, but {len(missing)} of {len(listed)} "
            f"{'is' if len(missing) == 1 else 'are'} missing: {some_of(missing)} in {folder}. Save or download the "
            "checkpoint again."
        )
    if surplus := present - listed:
        raise ValueError(
            f"Every .safetensors file must be part of the checkpoint, got {some_of(surplus)} beside "
            f"{INDEX if shard_of is not None else WEIGHTS}, which does not know of it, in {folder}. If it is left from "
            "another save, move it away."
        )
    stored: dict[str, StoredTensor] = {}
    for shard in sorted(listed):
        for name, tensor in _read_header(folder / shard).items():
            if name in stored:
                raise ValueError(
                    f"A tensor must be in one shard, but {name} is in {stored[name].shard} and in {shard} of {folder}. "
                    "Shards of two saves are mixed: save or download the checkpoint again."
                )
            stored[name] = tensor
    if shard_of is not None:
        _compare_with_index(folder, shard_of, index.get("metadata") or {}, stored)
    return stored


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        ValueError: the file holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(
            f"{path.name} must be JSON, but {path} is not: {error}. It may be half-written: save or download it again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path.name} must hold a JSON object, got {type(content).__name__} in {path}. Save or download it again."
        )
    return content


def _weight_map(folder: Path, index: Mapping[str, Any]) -> dict[str, str]:
    """Return the shard of each tensor as the index says it."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise ValueError(
            f"{INDEX} must hold weight_map, the shard of each tensor, got {type(weight_map).__name__} in {folder}. "
            "Save or download it again."
        )
    return weight_map


def _read_header(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of one file; safetensors itself compares the header with the file's length."""
    tensors = {}
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (the file is no mapping)
                part = file.get_slice(name)
                shape, dtype = tuple(part.get_shape()), part.get_dtype()
                if dtype not in _BYTES:
                    raise ValueError(
                        f"The dtype of a tensor must be one of {', '.join(_BYTES)}, got {dtype} for {name} in {path}. "
                        "Convert it before."
                    )
                tensors[name] = StoredTensor(shape, dtype, math.prod(shape) * _BYTES[dtype], path.name)
    except SafetensorError as error:
        raise ValueError(
            f"A shard must be a whole safetensors file, but {path} ({path.stat().st_size:,} bytes) is truncated or "
            f"damaged: {error}. Save or download it again."
        ) from error
    return tensors


def _compare_with_index(
    folder: Path, shard_of: Mapping[str, str], metadata: Mapping[str, Any], stored: Mapping[str, StoredTensor]
) -> None:
    """Raise ValueError unless the index says what the shards hold."""
    found = {name: tensor.shard for name, tensor in stored.items()}
    if wrong := sorted(name for name in found.keys() | shard_of.keys() if found.get(name) != shard_of.get(name)):
        name = wrong[0]
        raise ValueError(
            f"{INDEX} must say of every tensor in which shard it is, but is wrong for {len(wrong)} of {len(found)}: "
            f"{name} is in {found.get(name, 'no shard')}, and the index says {shard_of.get(name, 'nothing')}, in "
            f"{folder}. Shards of two saves are mixed, or one was replaced: save or download the checkpoint again."
        )
    total = sum(tensor.nbytes for tensor in stored.values())
    if metadata.get("total_size", total) != total:
        raise ValueError(
            f"total_size in {INDEX} must be the bytes of all tensors, {total}, got {metadata['total_size']} in "
            f"{folder}. Shards of two saves are mixed, or weights were cast: save the checkpoint again."
        )
