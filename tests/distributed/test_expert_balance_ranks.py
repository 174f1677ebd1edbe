"""Ranks that each see a part of the batch balance the experts as one process that sees the whole."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_messages import naming
from processes import run_on_ranks
from routed_models import routed_model
from tiny_models import random_batch, tiny_model
from tiny_trainer import token_rows
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel, Trainer, TrainingArguments

from hf_muonclip.kimi_k2 import ExpertBalanceCallback, ExpertBalancer
from hf_muonclip.kimi_k2.routers import BIAS

RANKS, STEPS, RATE = 2, 3, 0.01


@dataclass
class Outcome:
    """Of every step, by layer: the loads and the biases; and whether the bias was a DTensor."""

    loads: list[dict[str, Tensor]]
    biases: list[dict[str, Tensor]]
    sharded_bias: bool


def build(name: str) -> PreTrainedModel:
    return tiny_model(name) if name == "deepseek_v3" else routed_model(name)


def train(name: str, how: str) -> Outcome:
    """Take three steps of two micro-batches on this rank's rows of every batch."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    model: Any = build(name)
    if how == "fsdp2":
        mesh = init_device_mesh("cpu", (world,))
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    elif how == "ddp":
        model = DistributedDataParallel(model)  # broadcasts buffers before every forward
        assert model.broadcast_buffers
    balancer = ExpertBalancer(model, RATE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loads, biases = [], []
    for step in range(STEPS):
        for micro in range(2):
            batch = random_batch(build(name), batch_size=4, seed=2 * step + micro)
            (model(**{field: rows.chunk(world)[rank] for field, rows in batch.items()}).loss / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
        balancer.update()
        loads.append(dict(balancer.loads))
        biases.append(balancer.biases())
    held = [getattr(module, BIAS) for module in model.modules() if isinstance(getattr(module, BIAS, None), Tensor)]
    return Outcome(loads, biases, any(isinstance(bias, DTensor) for bias in held))


@pytest.mark.parametrize(
    ("name", "how", "sharded_bias"),
    [("deepseek_v3", "ddp", False), ("deepseek_v3", "fsdp2", False), ("ernie4_5_moe", "fsdp2", True)],
)
def test_ranks_balance_as_one_process(name: str, how: str, sharded_bias: bool) -> None:
    one = train(name, "alone")
    ranks = run_on_ranks(RANKS, train, name, how)
    assert [rank.sharded_bias for rank in ranks] == [sharded_bias] * RANKS
    for rank in ranks:
        for mine, expected in zip((*rank.loads, *rank.biases), (*one.loads, *one.biases), strict=True):
            # FSDP2 leaves the names, DDP puts its own in front.
            for (layer, values), (wanted, of_one) in zip(mine.items(), expected.items(), strict=True):
                assert layer.removeprefix("module.") == wanted
                assert torch.equal(values, of_one)
    for layer in one.loads[0]:
        assert len({tuple(biases[layer].tolist()) for biases in one.biases}) > 1


def balance_on_the_first_ranks(counting: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Update after a forward on so many of the ranks; return loads and biases."""
    model = build("deepseek_v3")
    balancer = ExpertBalancer(model, RATE)
    if (dist.get_rank() if dist.is_initialized() else 0) < counting:
        model(**random_batch(model))
    balancer.update()
    return balancer.loads, balancer.biases()


def test_a_rank_that_counted_nothing_adds_nothing() -> None:
    expected = balance_on_the_first_ranks(1)
    for found in run_on_ranks(RANKS, balance_on_the_first_ranks, 1):
        for mine, of_one in zip(found, expected, strict=True):
            assert mine.keys() == of_one.keys()
            assert all(torch.equal(mine[layer], of_one[layer]) for layer in of_one)


def test_ranks_that_all_counted_nothing_leave_the_biases() -> None:
    before = ExpertBalancer(build("deepseek_v3")).biases()
    for loads, biases in run_on_ranks(RANKS, balance_on_the_first_ranks, 0):
        assert all(not load.any() for load in loads.values())
        assert all(torch.equal(biases[layer], bias) for layer, bias in before.items())


def balance_in_bfloat16() -> str:
    """Shard a bias that is a bfloat16 parameter, and return how it is refused."""
    model = build("ernie4_5_moe").to(torch.bfloat16)
    fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    with pytest.raises(ValueError, match=naming("float32")) as refused:
        ExpertBalancer(model)
    return str(refused.value)


def test_a_bias_that_is_sharded_in_bfloat16_is_refused() -> None:
    for said in run_on_ranks(RANKS, balance_in_bfloat16):
        assert re.search(naming("FSDP2", "torch.bfloat16"), said)


def trained(folder: str) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Train with a Trainer; return the logged figures and the final biases."""
    world = dist.get_world_size() if dist.is_initialized() else 1
    args = TrainingArguments(
        folder,
        max_steps=4,
        per_device_train_batch_size=4 // world,
        gradient_accumulation_steps=2,
        learning_rate=0.01,
        logging_steps=2,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        adam_epsilon=1e-5,  # a gradient that is rounding alone makes no step of AdamW's
    )
    model = tiny_model("deepseek_v3")
    rows = token_rows(count=32)
    trainer = Trainer(model, args, train_dataset=rows, callbacks=[ExpertBalanceCallback(RATE)])
    trainer.train()
    logged = [
        {name: value for name, value in row.items() if name.startswith("expert_load/")}
        for row in trainer.state.log_history
        if "loss" in row
    ]
    return logged, {name: tensor.clone() for name, tensor in model.state_dict().items() if name.endswith(BIAS)}


def test_the_trainer_on_ranks_logs_and_balances_as_one_process(tmp_path: Path) -> None:
    logged, biases = trained(str(tmp_path))
    assert len(logged) == 2
    assert logged[0]["expert_load/max_violation"] > 0
    environment = {"LOCAL_WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    for of_rank, biases_of_rank in run_on_ranks(RANKS, trained, str(tmp_path), environment=environment):
        assert of_rank == logged
        assert biases_of_rank.keys() == biases.keys()
        assert all(torch.equal(biases_of_rank[name], bias) for name, bias in biases.items())
