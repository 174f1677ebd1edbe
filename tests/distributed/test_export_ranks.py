"""A model that ranks share is saved by all of them as the whole model is by one; an error stops all."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from parallel_models import shard
from processes import outcomes_of_ranks, run_on_ranks
from tiny_models import tiny_model, tiny_tokenizer
from torch.distributed.tensor import DTensor

from hf_muonclip.export import save_checkpoint, weight_writer
from hf_muonclip.export.saved_form import SavedForm


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def save_shared(how: str, folder: Path, **arguments: Any) -> list[str]:
    """Return what this rank finds in the folder when the call returns."""
    model = shard(tiny_model("deepseek_v3", tie_word_embeddings=how == "fsdp"), how)
    assert any(isinstance(tensor, DTensor) for tensor in model.state_dict().values())
    save_checkpoint(model, folder, tokenizer=tiny_tokenizer(), max_shard_size="100KB", **arguments)
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("how", "ranks"), [("fsdp", 2), ("rows", 2), ("fsdp and rows", 4)])
def test_ranks_save_what_one_process_saves(how: str, ranks: int, tmp_path: Path) -> None:
    whole = save_checkpoint(
        tiny_model("deepseek_v3", tie_word_embeddings=how == "fsdp"),
        tmp_path / "whole",
        tokenizer=tiny_tokenizer(),
        max_shard_size="100KB",
        dtype=torch.bfloat16,
    )
    found = run_on_ranks(ranks, _save_rounded, how, tmp_path / "shared")
    assert found == [sorted(contents(whole))] * ranks
    assert contents(tmp_path / "shared") == contents(whole)


def _save_rounded(how: str, folder: Path) -> list[str]:
    return save_shared(how, folder, dtype=torch.bfloat16)


def _fail_in_the_middle(folder: Path) -> None:
    save_file, written = weight_writer.save_file, []

    def full(*args: Any) -> None:
        if len(written) == 2:
            raise OSError("disk full")
        written.append(args)
        save_file(*args)

    if dist.get_rank() == 0:
        weight_writer.save_file = full
    save_shared("fsdp", folder)


def test_a_full_disk_stops_every_rank_and_leaves_nothing(tmp_path: Path) -> None:
    first, second = outcomes_of_ranks(2, _fail_in_the_middle, tmp_path / "run", timeout=60)
    assert "OSError: disk full" in first.error
    assert "OSError: disk full" in second.error
    assert not first.hung
    assert not second.hung
    assert list(tmp_path.iterdir()) == []


def _fail_between_gatherings(folder: Path, method: str) -> None:
    """Let the third piece's conversion fail where the others still have tensors to gather."""
    original, calls = getattr(SavedForm, method), []

    def broken(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise MemoryError("none left")
        return original(*args)

    if dist.get_rank() == 0:
        setattr(SavedForm, method, broken)
    save_shared("fsdp", folder)


@pytest.mark.parametrize("method", ["saved", "restored"])
def test_a_failed_conversion_stops_every_rank(method: str, tmp_path: Path) -> None:
    first, second = outcomes_of_ranks(2, _fail_between_gatherings, tmp_path / "run", method, timeout=60)
    assert not first.hung
    assert not second.hung
    assert "MemoryError: none left" in first.error
    assert "MemoryError: none left" in second.error
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_folder_stops_every_rank(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights").write_text("another run")
    first, second = outcomes_of_ranks(2, save_shared, "fsdp", tmp_path / "run", timeout=60)
    assert "FileExistsError" in first.error
    assert "FileExistsError" in second.error


def _damage_what_was_written(folder: Path) -> None:
    save_file = weight_writer.save_file

    def truncated(tensors: Any, path: Path, metadata: Any) -> None:
        save_file(tensors, path, metadata)
        path.write_bytes(path.read_bytes()[:-1])

    weight_writer.save_file = truncated
    save_shared("fsdp", folder)


def test_a_failed_proof_stops_every_rank(tmp_path: Path) -> None:
    first, second = outcomes_of_ranks(2, _damage_what_was_written, tmp_path / "run", timeout=60)
    assert "RuntimeError" in first.error
    assert "RuntimeError" in second.error
    assert list(tmp_path.iterdir()) == []
