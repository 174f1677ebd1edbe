"""What attends out of sight is named on every rank of a sharded model, whose training goes on as it was."""

import logging
from typing import Any

import pytest
import torch
from own_attention import LooksUp, Mixer, OwnLayer, Switching, own_model, own_tokens
from processes import run_on_ranks
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from hf_muonclip import MuonClip
from hf_muonclip.clip import logger

STEPS = 3


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def train(reshard: bool) -> tuple[list[str], list[str], list[float]]:
    heard = Heard()
    logger.addHandler(heard)
    model = own_model(Switching, Mixer, LooksUp)
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for module in (*model.layers, model):
        fully_shard(module, mesh=mesh, reshard_after_forward=reshard)
    optimizer = MuonClip(model, lr=1e-4, qk_clip_threshold=1.0)
    layer: OwnLayer = model.layers[2]  # type: ignore[assignment]
    true = []
    for _ in range(STEPS):
        layer.truth.fill_(-torch.inf)
        model(own_tokens(), labels=own_tokens()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        true.append(float(layer.truth.max()))
    return list(optimizer.max_logits), heard.said, true


@pytest.mark.slow
@pytest.mark.parametrize("reshard", [True, False])
def test_sharded_layers_out_of_sight_are_named_and_the_others_clipped(reshard: bool) -> None:
    outcomes: list[Any] = run_on_ranks(2, train, reshard)
    for measured, said, true in outcomes:
        assert measured == ["layers.2"]
        [naming] = [text for text in said if "does not measure" in text]
        assert "layers.0 (Switching), layers.1 (Mixer)." in naming
        assert true[0] > 2
        assert all(value < 1.01 for value in true[1:])  # an update at this rate moves it by less
