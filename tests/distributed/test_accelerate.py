"""A plain Accelerate loop on several ranks trains as one process does, and goes on after a save, on other ranks too."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.parallelism_config import ParallelismConfig
from accelerate.utils import FullyShardedDataParallelPlugin, set_seed
from fsdp_on_cpu import fsdp_on_cpu
from parallel_models import whole
from processes import run_on_ranks
from tiny_trainer import sharp_model, token_rows
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

from hf_muonclip import MuonClip

GLOBAL_BATCH = 8
STEPS = 4
THRESHOLDS = {"llama_gqa": 0.5, "deepseek_v3": 0.08}


def muonclip_of(model_name: str, model: nn.Module) -> MuonClip:
    return MuonClip(
        model,
        lr=0.01,
        weight_decay=0.1,
        qk_clip_threshold=THRESHOLDS[model_name],
        exact_max_logits=True,
        # Only the order of sums is to differ between one process and several: no bfloat16, and no gradient so small
        # that it is rounding alone and that AdamW would make a step of.
        ns_dtype="float32",
        adamw_eps=1e-5,
    )


@dataclass(frozen=True)
class Run:
    """One training on every rank of a group.

    Attributes:
        how: "ddp", "fsdp2", or "hsdp", which cuts weights in two and lets pairs of ranks hold them.
        accumulation: micro-batches that each rank takes for one step.
        save: folder to save the state in, after half of the steps.
        load: folder of such a state, from which to go on.
    """

    how: str
    model_name: str = "llama_gqa"
    accumulation: int = 1
    activation_checkpointing: bool = False
    state_dict_type: str = "SHARDED_STATE_DICT"
    save: str | None = None
    load: str | None = None


@dataclass
class Outcome:
    """What a run left: whole weights by name, what `optimizer.gammas` held after every step, and what was logged."""

    weights: dict[str, Tensor]
    gammas: list[dict[str, Tensor]]
    optimizer_bytes: int
    warnings: tuple[str, ...] = ()


class Warnings(logging.Handler):
    """Keep what the package logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def rows() -> list[dict[str, Tensor]]:
    return token_rows(count=GLOBAL_BATCH * STEPS)


@cache
def one_process(model_name: str) -> Outcome:
    """Train in this process, without Accelerate, on whole global batches."""
    model = sharp_model(model_name)
    optimizer = muonclip_of(model_name, model)
    gammas = []
    for batch in DataLoader(rows(), batch_size=GLOBAL_BATCH):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        gammas.append(dict(optimizer.gammas))
    return Outcome(whole_weights(model), gammas, state_bytes(optimizer))


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Collective: call on every rank."""
    return {
        name.replace("_checkpoint_wrapped_module.", ""): whole(parameter).detach().clone()
        for name, parameter in model.named_parameters()
    }


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return sum(tensor.to_local().nbytes if isinstance(tensor, DTensor) else tensor.nbytes for tensor in tensors)


def accelerator_of(run: Run) -> Accelerator:
    plugin = None
    if run.how != "ddp":
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            state_dict_type=run.state_dict_type,
            activation_checkpointing=run.activation_checkpointing,
        )
    return Accelerator(
        cpu=True,
        fsdp_plugin=plugin,
        gradient_accumulation_steps=run.accumulation,
        parallelism_config=ParallelismConfig(dp_replicate_size=2, dp_shard_size=2) if run.how == "hsdp" else None,
    )


def train(run: Run) -> Outcome:
    """Train as `run` says. Collective: call on every rank."""
    warnings = Warnings()
    logging.getLogger("hf_muonclip").addHandler(warnings)
    with fsdp_on_cpu():
        accelerator = accelerator_of(run)
    model = sharp_model(run.model_name)
    optimizer = muonclip_of(run.model_name, model)
    set_seed(dist.get_rank())  # what ranks draw by themselves must not matter
    loader = DataLoader(rows(), batch_size=GLOBAL_BATCH // dist.get_world_size() // run.accumulation)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    sharded = {isinstance(parameter, DTensor) for parameter in model.parameters()}
    assert sharded == {run.how != "ddp"}
    if run.load is not None:
        accelerator.load_state(run.load)
    gammas = []
    model.train()
    skipped = 0 if run.load is None else STEPS // 2
    for batch in accelerator.skip_first_batches(loader, skipped * run.accumulation):
        with accelerator.accumulate(model):
            accelerator.backward(model(**batch).loss)
            optimizer.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            gammas.append(dict(optimizer.optimizer.gammas))
            if run.save is not None and len(gammas) == STEPS // 2:
                accelerator.save_state(run.save)
    weights = whole_weights(accelerator.unwrap_model(model))
    return Outcome(weights, gammas, state_bytes(optimizer.optimizer), tuple(warnings.messages))


def on_ranks(world_size: int, run: Run) -> list[Outcome]:
    """Train on `world_size` ranks, which must all end with the same weights and clips."""
    environment = {"LOCAL_WORLD_SIZE": str(world_size), "ACCELERATE_USE_CPU": "true"}
    outcomes = run_on_ranks(world_size, train, run, environment=environment)
    for other in outcomes[1:]:
        assert_close(other, outcomes[0], atol=0.0)
    return outcomes


def assert_close(outcome: Outcome, expected: Outcome, atol: float) -> None:
    assert len(outcome.gammas) == len(expected.gammas)
    for step, (gammas, theirs) in enumerate(zip(outcome.gammas, expected.gammas, strict=True)):
        assert gammas.keys() == theirs.keys()
        for name, gamma in gammas.items():
            assert torch.equal(gamma < 1, theirs[name] < 1), (step, name)
            torch.testing.assert_close(gamma, theirs[name], atol=atol, rtol=0.0)
    assert outcome.weights.keys() == expected.weights.keys()
    for name, weight in outcome.weights.items():
        difference = float((weight - expected.weights[name]).abs().max())
        assert difference <= atol, (name, difference)


@dataclass
class SavedRun:
    """A whole run that saved its state half-way."""

    run: Run
    outcomes: list[Outcome]

    @property
    def second_half(self) -> Outcome:
        """What a run that goes on from the saved state must leave."""
        whole_run = self.outcomes[0]
        return Outcome(whole_run.weights, whole_run.gammas[STEPS // 2 :], 0)

    def resumed(self, world_size: int) -> Outcome:
        return on_ranks(world_size, replace(self.run, save=None, load=self.run.save))[0]


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SavedRun]:
    @cache
    def train_and_save(world_size: int, how: str, state_dict_type: str, model_name: str) -> SavedRun:
        run = Run(how, model_name, state_dict_type=state_dict_type, save=str(tmp_path_factory.mktemp(how)))
        return SavedRun(run, on_ranks(world_size, run))

    return train_and_save


# Ranks, how they share the weights, how they save them.
WAYS = [
    (2, "ddp", "FULL_STATE_DICT"),
    (4, "ddp", "FULL_STATE_DICT"),
    (2, "fsdp2", "FULL_STATE_DICT"),
    (4, "fsdp2", "FULL_STATE_DICT"),
    (2, "fsdp2", "SHARDED_STATE_DICT"),
    (4, "fsdp2", "SHARDED_STATE_DICT"),
    (4, "hsdp", "SHARDED_STATE_DICT"),
]


@pytest.mark.parametrize("model_name", THRESHOLDS)
def test_every_step_clips_some_heads_and_not_others(model_name: str) -> None:
    for gammas in one_process(model_name).gammas:
        clipped = torch.cat(list(gammas.values())) < 1
        assert clipped.any()
        assert not clipped.all()


@pytest.mark.parametrize("model_name", THRESHOLDS)
@pytest.mark.parametrize(("world_size", "how", "state_dict_type"), WAYS)
def test_ranks_train_as_one_process_does(
    world_size: int, how: str, state_dict_type: str, model_name: str, saved_run: Callable[..., SavedRun]
) -> None:
    saved = saved_run(world_size, how, state_dict_type, model_name)
    assert_close(saved.outcomes[0], one_process(model_name), atol=1e-5)


@pytest.mark.parametrize(("how", "copies"), [("fsdp2", 1), ("hsdp", 2)])
def test_sharded_ranks_share_the_optimizer_state(how: str, copies: int, saved_run: Callable[..., SavedRun]) -> None:
    saved = saved_run(4, how, "SHARDED_STATE_DICT", "llama_gqa")
    together = sum(outcome.optimizer_bytes for outcome in saved.outcomes)
    # AdamW's step counters, and nothing else, are on every rank.
    assert together == pytest.approx(copies * one_process("llama_gqa").optimizer_bytes, rel=0.01)


@pytest.mark.parametrize("how", ["ddp", "fsdp2"])
def test_gradient_accumulation_on_ranks(how: str) -> None:
    assert_close(on_ranks(2, Run(how, accumulation=2))[0], one_process("llama_gqa"), atol=1e-5)


@pytest.mark.parametrize("model_name", THRESHOLDS)
def test_activation_checkpointing_under_fsdp2(model_name: str) -> None:
    outcomes = on_ranks(2, Run("fsdp2", model_name, activation_checkpointing=True))
    assert_close(outcomes[0], one_process(model_name), atol=1e-5)


@pytest.mark.parametrize("model_name", THRESHOLDS)
@pytest.mark.parametrize(
    ("world_size", "how", "state_dict_type"), [way for way in WAYS if way[0] == 2 or way[1] == "hsdp"]
)
def test_a_resumed_run_equals_the_uninterrupted_one(
    world_size: int, how: str, state_dict_type: str, model_name: str, saved_run: Callable[..., SavedRun]
) -> None:
    saved = saved_run(world_size, how, state_dict_type, model_name)
    resumed = saved.resumed(world_size)
    assert_close(resumed, saved.second_half, atol=0.0)
    # FSDP2 fills the state of a new optimizer by a step of its own, before any forward: no reason to warn.
    assert resumed.warnings == ()


@pytest.mark.parametrize(("before", "after", "model_name"), [(2, 4, "deepseek_v3"), (4, 2, "llama_gqa")])
@pytest.mark.parametrize(
    ("how", "state_dict_type"),
    [("ddp", "FULL_STATE_DICT"), ("fsdp2", "FULL_STATE_DICT"), ("fsdp2", "SHARDED_STATE_DICT")],
)
def test_a_run_resumes_on_another_number_of_ranks(
    how: str, state_dict_type: str, before: int, after: int, model_name: str, saved_run: Callable[..., SavedRun]
) -> None:
    saved = saved_run(before, how, state_dict_type, model_name)
    assert_close(saved.resumed(after), saved.second_half, atol=1e-5)


@pytest.mark.parametrize("how", ["ddp", "fsdp2"])
def test_the_saved_optimizer_is_whole_and_holds_only_tensors_and_plain_values(
    how: str, saved_run: Callable[..., SavedRun]
) -> None:
    saved = saved_run(2, how, "FULL_STATE_DICT", "llama_gqa")
    assert saved.run.save is not None
    state = torch.load(Path(saved.run.save, "optimizer.bin"), weights_only=True)["state"]
    moments = [value for moments in state.values() for value in moments.values() if value.ndim > 0]
    weights = one_process("llama_gqa").weights
    assert {tuple(moment.shape) for moment in moments} == {tuple(weight.shape) for weight in weights.values()}
