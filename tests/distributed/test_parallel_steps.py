"""Whole steps of MuonClip on models that transformers itself cuts: tensor and expert parallel, FSDP2, and mixtures."""

from pathlib import Path

import pytest
import torch
from parallel_models import load, parallel_model, whole
from processes import run_on_ranks
from tiny_models import random_batch
from torch.distributed.tensor import DTensor

from hf_muonclip import MuonClip

STEPS = 3


def compare_with_whole_model(folders: dict[str, str], sizes: dict[str, int]) -> None:
    for name, folder in folders.items():
        model_class = type(parallel_model(name)).__name__
        model, alone = load(folder, model_class, **sizes), load(folder, model_class)
        assert any(isinstance(parameter, DTensor) for parameter in model.parameters())
        settings = {"lr": 5e-3, "qk_clip_threshold": 0.03, "ns_dtype": "float32"}
        optimizer, reference = MuonClip(model, **settings), MuonClip(alone, **settings, shard_optimizer=False)
        optimizer.measure_update_rms = reference.measure_update_rms = True
        clipped = 0
        for step in range(STEPS):
            batch = random_batch(alone, seed=step)
            for trained, by in ((model, optimizer), (alone, reference)):
                trained(**batch).loss.backward()
                by.step()
                by.zero_grad()
            assert optimizer.update_rms == pytest.approx(reference.update_rms, rel=1e-4)
            for module, gamma in reference.gammas.items():
                assert torch.equal(optimizer.gammas[module] < 1, gamma < 1), (name, module)
                clipped += int((gamma < 1).sum())
        assert clipped
        for key, parameter in model.named_parameters():
            wanted = alone.get_parameter(key)
            torch.testing.assert_close(whole(parameter), wanted, atol=2e-5, rtol=1e-5, msg=f"{name}: {key}")
        optimizer.detach()
        reference.detach()


@pytest.mark.parametrize(
    ("world_size", "sizes", "names"),
    [
        (2, {"tp_size": 2}, ("llama_gqa", "mixtral", "deepseek_v3")),
        (2, {"tp_size": 2, "ep_size": 2}, ("mixtral", "deepseek_v3")),
        (2, {"fsdp_size": 2, "ep_size": 2}, ("mixtral",)),
        (4, {"fsdp_size": 2, "tp_size": 2}, ("llama_gqa",)),
        (4, {"fsdp_size": 2, "tp_size": 2, "ep_size": 2}, ("mixtral",)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_steps_are_those_of_the_whole_model(
    tmp_path: Path, world_size: int, sizes: dict[str, int], names: tuple[str, ...]
) -> None:
    folders = {}
    for name in names:
        parallel_model(name).save_pretrained(tmp_path / name)
        folders[name] = str(tmp_path / name)
    run_on_ranks(world_size, compare_with_whole_model, folders, sizes)
