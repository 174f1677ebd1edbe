"""A schedule on several ranks: each counts the tokens of all, extends its model, and ends where one process does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from fsdp_on_cpu import fsdp_on_cpu
from parallel_models import whole
from processes import run_on_ranks
from tiny_models import tiny_model
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from hf_muonclip import MuonClipCallback, muonclip, muonclip_factory
from hf_muonclip.kimi_k2 import Phase, TokenSchedule, attach_schedule, checkpoint_tokens

TOKENS_PER_STEP = 256
PEAK = 0.01
SCHEDULE = TokenSchedule(
    (
        Phase("down", 3 * TOKENS_PER_STEP, PEAK, PEAK / 2, 16, "linear"),
        Phase("long context", 2 * TOKENS_PER_STEP, PEAK / 2, 0.0, 64, "linear"),
    ),
    final_context_length=256,
)
STREAM = torch.randint(3, 128, (5 * TOKENS_PER_STEP,), generator=torch.Generator().manual_seed(0))


@dataclass
class Outcome:
    weights: dict[str, Tensor]
    rates: list[float]
    tokens: list[int]
    buffers: dict[str, Tensor]


def train(folder: str, sharded: bool, tokens_per_step: int | None) -> Outcome:
    """Train both stages, each with a model of its own that resumes. Collective: call on every rank."""
    world_size = dist.get_world_size() if dist.is_initialized() else 1
    checkpoint = None
    while (seen := checkpoint_tokens(checkpoint)) < SCHEDULE.total_tokens:
        context_length = SCHEDULE.context_length(seen)
        fsdp: dict[str, Any] = {"fsdp": True, "fsdp_config": {"state_dict_type": "FULL_STATE_DICT"}} if sharded else {}
        args = TrainingArguments(
            folder,
            max_steps=10,
            per_device_train_batch_size=TOKENS_PER_STEP // context_length // world_size,
            learning_rate=PEAK,
            adam_epsilon=1e-5,  # a gradient that is rounding alone makes no step of AdamW's
            logging_steps=1,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            **fsdp,
        )
        settings: dict[str, Any] = {"qk_clip_threshold": 0.06, "ns_dtype": "float32"}
        model = tiny_model("deepseek_v3")
        ways: dict[str, Any] = (
            {"optimizer_cls_and_kwargs": muonclip_factory(args, **settings)}
            if sharded
            else {"optimizers": muonclip(model, args, **settings)}
        )
        rows = [{"input_ids": row, "labels": row} for row in STREAM.view(-1, context_length)]
        with fsdp_on_cpu():
            trainer = Trainer(model, args, train_dataset=rows, callbacks=[MuonClipCallback()], **ways)
        attach_schedule(trainer, SCHEDULE, tokens_per_step)
        trainer.train(resume_from_checkpoint=checkpoint)
        assert {isinstance(parameter, DTensor) for parameter in trainer.model.parameters()} == {sharded}
        checkpoint = get_last_checkpoint(folder)
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return Outcome(
        {name: whole(parameter).detach().clone() for name, parameter in trainer.model.named_parameters()},
        [log["learning_rate"] for log in logs],
        [log["schedule/tokens"] for log in logs],
        {name: buffer.clone() for name, buffer in trainer.model.named_buffers() if "inv_freq" in name},
    )


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return train(str(tmp_path_factory.mktemp("one")), False, TOKENS_PER_STEP)


@pytest.mark.slow
@pytest.mark.parametrize(("sharded", "tokens_per_step"), [(False, TOKENS_PER_STEP), (False, None), (True, None)])
def test_two_ranks_end_where_one_process_does(
    sharded: bool, tokens_per_step: int | None, one_process: Outcome, tmp_path: Path
) -> None:
    environment = {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    for outcome in run_on_ranks(2, train, str(tmp_path), sharded, tokens_per_step, environment=environment):
        assert outcome.rates == one_process.rates == [SCHEDULE.lr(step * TOKENS_PER_STEP) for step in range(5)]
        assert outcome.tokens == one_process.tokens == [(step + 1) * TOKENS_PER_STEP for step in range(5)]
        assert outcome.weights.keys() == one_process.weights.keys()
        for name, wanted in one_process.buffers.items():
            assert torch.equal(outcome.buffers[name], wanted), name
        for name, wanted in one_process.weights.items():
            torch.testing.assert_close(outcome.weights[name], wanted, rtol=1e-3, atol=2e-5)
