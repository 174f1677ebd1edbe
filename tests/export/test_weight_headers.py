"""What headers and indexes say; each way to damage a folder is in `test_check.py`."""

import json
import struct
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from error_messages import naming
from packaging.version import Version
from safetensors.torch import save_file

from hf_muonclip.export.weight_headers import StoredTensor, read_headers, read_json


def test_headers_say_shape_dtype_bytes_and_shard(tmp_path: Path) -> None:
    tensors = {
        "matrix": torch.zeros(2, 3, dtype=torch.bfloat16),
        "scalar": torch.tensor(1.0),
        "empty": torch.zeros(0, 4),
        "eighth": torch.zeros(5, dtype=torch.float8_e4m3fn),
        "word": torch.zeros(2, dtype=torch.int32),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    assert read_headers(tmp_path) == {
        "matrix": StoredTensor((2, 3), "BF16", 12, "model.safetensors"),
        "scalar": StoredTensor((), "F32", 4, "model.safetensors"),
        "empty": StoredTensor((0, 4), "F32", 0, "model.safetensors"),
        "eighth": StoredTensor((5,), "F8_E4M3", 5, "model.safetensors"),
        "word": StoredTensor((2,), "I32", 8, "model.safetensors"),
    }


@pytest.mark.skipif(Version(version("safetensors")) < Version("0.6"), reason="safetensors does not know F4")
def test_dtypes_that_share_bytes_are_refused(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(ValueError, match=naming("BF16", "F4", "w")):
        read_headers(tmp_path)


def test_an_index_with_another_folder_in_it(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "run").mkdir()
    index = {"weight_map": {"w": "../model.safetensors"}}
    (tmp_path / "run" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=naming("../model.safetensors")):
        read_headers(tmp_path / "run")


def test_json_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=naming("config.json", "JSON")):
        read_json(tmp_path / "config.json")
