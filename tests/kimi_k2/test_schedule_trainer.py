"""Schedules in a real Trainer: every phase trained, left and taken up again, with the same rates and weights."""

import copy
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_models import tiny_model
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from hf_muonclip import MuonClip, MuonClipCallback, attach, muonclip, muonclip_factory
from hf_muonclip.kimi_k2 import (
    Phase,
    TokenSchedule,
    TokenScheduleCallback,
    TokenScheduler,
    attach_schedule,
    checkpoint_tokens,
    extend_context_,
    kimi_k2_schedule,
)
from hf_muonclip.runs.figure_names import FIGURES

TOKENS_PER_STEP = 256
STEPS = 24
PEAK = 0.01
THRESHOLD = 0.06  # which some heads exceed
STREAM = torch.randint(3, 128, (STEPS * TOKENS_PER_STEP,), generator=torch.Generator().manual_seed(0))
# Kimi K2's five phases, in whole steps: 2 of warm-up, 8 constant, 6 of cosine, 4 of anneal and 4 of long context.
SCHEDULE = TokenSchedule(
    (
        Phase("warm-up", 2 * TOKENS_PER_STEP, 0.0, PEAK, 16, "linear"),
        Phase("constant", 8 * TOKENS_PER_STEP, PEAK, context_length=16),
        Phase("cosine", 6 * TOKENS_PER_STEP, PEAK, PEAK / 10, 16, "cosine"),
        Phase("anneal", 4 * TOKENS_PER_STEP, PEAK / 10, PEAK / 20, 16, "linear"),
        Phase("long context", 4 * TOKENS_PER_STEP, PEAK / 20, PEAK / 30, 128, "linear"),
    ),
    final_context_length=512,
)


def cut(context_length: int) -> list[dict[str, Tensor]]:
    """The one stream of tokens, in rows of a context's length."""
    return [{"input_ids": row, "labels": row} for row in STREAM.view(-1, context_length)]


class Watch(TrainerCallback):
    """Keep the rate of every step, and stop where asked, as an interruption would."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.rates: list[float] = []

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        rates = {group["lr"] for group in kwargs["optimizer"].param_groups}
        self.rates.append(rates.pop())
        assert not rates

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step == self.stop_at:
            control.should_save = control.should_training_stop = True


def arguments(folder: Path, context_length: int = 16, **settings: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {
        "max_steps": STEPS,
        "per_device_train_batch_size": TOKENS_PER_STEP // context_length // 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": PEAK,
        "weight_decay": 0.1,
        "logging_steps": 1,
        "save_steps": 1000,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return TrainingArguments(str(folder), **{**defaults, **settings})


def stage_trainer(
    optimizer: MuonClip,
    folder: Path,
    watch: Watch,
    tokens_seen: int,
    tokens_per_step: int | None,
    model: PreTrainedModel,
) -> Trainer:
    context_length = SCHEDULE.context_length(tokens_seen)
    trainer = Trainer(
        model,
        arguments(folder, context_length),
        train_dataset=cut(context_length),
        optimizers=(optimizer, None),
        callbacks=[MuonClipCallback(), watch],
    )
    attach_schedule(trainer, SCHEDULE, tokens_per_step)
    return trainer


def train_through(
    folder: Path, tokens_per_step: int | None, stops: tuple[int, ...] = ()
) -> tuple[PreTrainedModel, list[float], list[dict[str, Any]]]:
    """Train all stages by the loop of `attach_schedule`'s docstring; after a stop nothing is left in memory."""
    rates: list[float] = []
    waiting = list(stops)
    checkpoint = None
    model = tiny_model("deepseek_v3")
    optimizer, _ = muonclip(model, arguments(folder), qk_clip_threshold=THRESHOLD)
    while (seen := checkpoint_tokens(checkpoint)) < SCHEDULE.total_tokens:
        watch = Watch(waiting[0] if waiting else None)
        trainer = stage_trainer(optimizer, folder, watch, seen, tokens_per_step, model)
        trainer.accelerator.gradient_accumulation_steps = 1  # older Trainers divide by theirs once more
        trainer.train(resume_from_checkpoint=checkpoint)
        rates += watch.rates
        checkpoint = get_last_checkpoint(str(folder))
        if trainer.state.global_step in waiting:
            waiting.remove(trainer.state.global_step)
            model = tiny_model("deepseek_v3", initializer_range=0.5)
            optimizer, _ = muonclip(model, arguments(folder), qk_clip_threshold=THRESHOLD)
    assert not waiting
    return model, rates, trainer.state.log_history


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, list[float], list[dict[str, Any]]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    result = train_through(tmp_path_factory.mktemp("whole"), TOKENS_PER_STEP)
    torch.set_num_threads(threads)
    return result


def assert_equal_models(first: nn.Module, second: nn.Module) -> None:
    ours, theirs = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (first, second))
    assert ours.keys() == theirs.keys()
    assert [name for name, value in ours.items() if not torch.equal(value, theirs[name])] == []


def test_every_phase_is_trained_at_its_rate_context_and_rope(whole: Any, one_thread: None, tmp_path: Path) -> None:
    model, rates, history = whole
    assert rates == [SCHEDULE.lr(step * TOKENS_PER_STEP) for step in range(STEPS)]
    logs = [log for log in history if "loss" in log]
    assert [log["schedule/tokens"] for log in logs] == [(step + 1) * TOKENS_PER_STEP for step in range(STEPS)]
    assert [log["schedule/phase"] for log in logs] == [1] + [2] * 8 + [3] * 6 + [4] * 4 + [5] * 5
    assert [log["schedule/context_length"] for log in logs] == [16] * 19 + [128] * 5
    assert model.config.max_position_embeddings == 512
    assert (model.config.rope_parameters["rope_type"], model.config.rope_parameters["factor"]) == ("yarn", 32.0)
    assert {log["qk_clip/clipped_heads"] > 0 for log in logs} == {True, False}
    # The same by hand, without Trainer, callback or scheduler: rows, rates, rope and clip of every step.
    by_hand = tiny_model("deepseek_v3")
    optimizer = MuonClip(by_hand, lr=PEAK, adamw_betas=(0.9, 0.999), qk_clip_threshold=THRESHOLD)
    counting = Trainer(by_hand, arguments(tmp_path))
    for step in range(STEPS):
        context_length = 16 if step < 20 else 128
        if step == 20:
            extend_context_(by_hand, 512, 16)
        rows = order(cut(context_length), step, TOKENS_PER_STEP // context_length)
        for group in optimizer.param_groups:
            group["lr"] = SCHEDULE.lr(step * TOKENS_PER_STEP)
        # Older Trainers divide a step's loss by all of its labels, newer ones by those that are predicted.
        _, counted = counting.get_batch_samples(iter([{"labels": rows}]), 1, rows.device)
        for half in rows.chunk(2):
            loss = by_hand(input_ids=half, labels=half).loss * (half[:, 1:].numel() / int(counted))
            loss.backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    for (name, wanted), got in zip(by_hand.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def order(rows: list[dict[str, Tensor]], step: int, per_step: int) -> Tensor:
    """The rows that the Trainer's sampler, seeded with its data seed, gives to a step of the first epoch."""
    seeded = torch.Generator().manual_seed(42)
    picked = torch.randperm(len(rows), generator=seeded)[step * per_step : (step + 1) * per_step]
    return torch.stack([rows[int(index)]["input_ids"] for index in picked])


@pytest.mark.slow
@pytest.mark.parametrize("tokens_per_step", [TOKENS_PER_STEP, None])
def test_stopped_in_every_phase_and_resumed_it_ends_at_the_same_weights(
    whole: Any, tokens_per_step: int | None, tmp_path: Path, one_thread: None
) -> None:
    model, rates, history = whole
    stopped, stopped_rates, stopped_history = train_through(tmp_path, tokens_per_step, stops=(1, 5, 13, 18, 22))
    assert stopped_rates == rates
    assert_equal_models(model, stopped)
    assert model.config.rope_parameters == stopped.config.rope_parameters
    losses, resumed_losses = ([log["loss"] for log in h if "loss" in log] for h in (history, stopped_history))
    assert resumed_losses == losses


def test_a_saved_stage_loads_as_it_trained(whole: Any, tmp_path: Path, one_thread: None) -> None:
    model = whole[0]
    model.save_pretrained(tmp_path)
    fresh = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = STREAM[None, :400]  # within the 512 that YaRN gives
    with torch.no_grad():
        assert torch.equal(fresh.eval()(ids).logits, model.eval()(ids).logits)


Build = Callable[[PreTrainedModel, TrainingArguments], Trainer]
SHORT = TokenSchedule((Phase("up", 512, 0.0, PEAK, 16, "linear"), Phase("down", 512, PEAK, 0.0, 16, "linear")))


def with_optimizer(model: PreTrainedModel, args: TrainingArguments) -> Trainer:
    return Trainer(model, args, train_dataset=cut(16), optimizers=muonclip(model, args))


def with_factory(model: PreTrainedModel, args: TrainingArguments) -> Trainer:
    return Trainer(model, args, train_dataset=cut(16), optimizer_cls_and_kwargs=muonclip_factory(args))


def attached(model: PreTrainedModel, args: TrainingArguments) -> Trainer:
    trainer = Trainer(model, args, train_dataset=cut(16))
    attach(trainer)
    return trainer


def initialized(model: PreTrainedModel, args: TrainingArguments) -> Trainer:
    fresh: Callable[[], PreTrainedModel] = lambda: copy.deepcopy(model)  # noqa: E731
    return Trainer(args=args, model_init=fresh, train_dataset=cut(16), optimizer_cls_and_kwargs=muonclip_factory(args))


@pytest.mark.parametrize("build", [with_optimizer, with_factory, attached, initialized])
def test_a_schedule_joins_every_way_of_muonclip_into_the_trainer(build: Build, tmp_path: Path) -> None:
    watch = Watch()
    trainer = build(tiny_model("llama_gqa"), arguments(tmp_path, save_strategy="no"))
    trainer.add_callback(watch)
    attach_schedule(trainer, SHORT, TOKENS_PER_STEP)
    trainer.train()
    assert trainer.state.global_step == 4  # of 24: the schedule stops it
    assert watch.rates == [SHORT.lr(step * TOKENS_PER_STEP) for step in range(4)] == [0.0, PEAK / 2, PEAK, PEAK / 2]
    trainer.train()  # begins again, like the Trainer's own schedulers
    assert watch.rates[4:] == watch.rates[:4]


def test_tokens_are_counted_where_batches_differ(tmp_path: Path) -> None:
    """The last batch of the data is half a batch: 40 rows in batches of 16."""
    rows = cut(16)[:40]
    model = tiny_model("llama_gqa")
    args = arguments(tmp_path, save_strategy="no", num_train_epochs=2, max_steps=-1)
    trainer = Trainer(model, args, train_dataset=rows, optimizers=muonclip(model, args), callbacks=[watch := Watch()])
    attach_schedule(trainer, TokenSchedule((Phase("down", 1280, PEAK, 0.0, 16, "linear"),)))
    trainer.train()
    used = [0, 256, 512, 640, 896, 1152]
    assert watch.rates == pytest.approx([PEAK * (1 - tokens / 1280) for tokens in used], rel=1e-12)
    assert trainer.state.num_input_tokens_seen == 1280
    assert trainer.state.global_step == 6


def test_padding_is_not_counted_where_the_trainer_is_told_so(tmp_path: Path) -> None:
    rows = [{**row, "attention_mask": torch.tensor([1] * 12 + [0] * 4)} for row in cut(16)]
    model = tiny_model("llama_gqa")
    args = arguments(tmp_path, save_strategy="no", include_num_input_tokens_seen="non_padding", max_steps=3)
    trainer = Trainer(model, args, train_dataset=rows, optimizers=muonclip(model, args), callbacks=[watch := Watch()])
    attach_schedule(trainer, TokenSchedule((Phase("down", 576, PEAK, 0.0, 16, "linear"),)))
    trainer.train()
    assert watch.rates == pytest.approx([PEAK, PEAK * 2 / 3, PEAK / 3], rel=1e-12)  # 192 of 256 tokens a step


def test_figures_reach_the_tracker_and_the_last_checkpoint(tmp_path: Path) -> None:
    model = tiny_model("llama_gqa")
    args = arguments(tmp_path / "run", report_to="tensorboard")
    trainer = Trainer(model, args, train_dataset=cut(16), optimizers=muonclip(model, args))
    attach_schedule(trainer, SHORT, TOKENS_PER_STEP)
    trainer.train()
    events = EventAccumulator(str(next(tmp_path.rglob("events*")))).Reload()
    tag = next(tag for tag in events.Tags()["scalars"] if tag.endswith("schedule/tokens"))
    assert [event.value for event in events.Scalars(tag)][:4] == [256, 512, 768, 1024]
    checkpoint = Path(get_last_checkpoint(str(tmp_path / "run")))
    assert checkpoint.name == "checkpoint-4"  # where the schedule ends, not where save_steps says
    assert checkpoint_tokens(checkpoint) == 1024
    saved = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    assert [log["schedule/phase"] for log in saved if "loss" in log] == [1, 2, 2, 2]
    assert {name for log in saved for name in log if name.startswith("schedule/")} <= FIGURES.keys()


def short_trainer(folder: Path, schedule: TokenSchedule = SHORT, rows: Any = None, **settings: Any) -> Trainer:
    model = tiny_model("llama_gqa")
    args = arguments(folder, **{"save_strategy": "no", **settings})
    trainer = Trainer(model, args, train_dataset=rows or cut(16), optimizers=muonclip(model, args))
    attach_schedule(trainer, schedule, TOKENS_PER_STEP)
    return trainer


def test_too_few_steps_are_told_with_the_number_that_is_needed(tmp_path: Path) -> None:
    trainer = short_trainer(tmp_path, max_steps=3)
    with pytest.warns(UserWarning, match=naming(3, 256, 768, "1,024", "max_steps=4")):
        trainer.train()
    model = tiny_model("llama_gqa")
    args = arguments(tmp_path, save_strategy="no", max_steps=2)
    trainer = Trainer(model, args, train_dataset=cut(16), optimizers=muonclip(model, args))
    attach_schedule(trainer, SHORT)  # knows after the first step what a step holds
    with pytest.warns(UserWarning, match=naming(2, 256, "max_steps=4")):
        trainer.train()


def test_enough_steps_and_fitting_data_are_told_nothing(tmp_path: Path) -> None:
    trainer = short_trainer(tmp_path, max_steps=4)
    hooks = list(trainer.model._forward_pre_hooks)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.train()
    assert list(trainer.model._forward_pre_hooks) == hooks


def test_data_cut_longer_than_the_context_is_refused(tmp_path: Path) -> None:
    trainer = short_trainer(tmp_path, rows=cut(32))
    with pytest.raises(ValueError, match=naming("context", 16, 32)):
        trainer.train()


def test_data_that_is_not_what_was_said_is_told(tmp_path: Path) -> None:
    trainer = short_trainer(tmp_path, rows=cut(8))
    with pytest.warns(UserWarning, match=naming(8, 16, 64)):
        trainer.train()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr_scheduler_type": "cosine"}, naming("TrainingArguments", {"lr_scheduler_type": "cosine"})),
        ({"warmup_steps": 5}, naming("TrainingArguments", {"warmup_steps": 5})),
    ],
)
def test_a_second_schedule_in_the_arguments_is_refused(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        short_trainer(tmp_path, **settings)


def test_a_trainer_with_a_scheduler_is_refused(tmp_path: Path) -> None:
    model = tiny_model("llama_gqa")
    optimizer = MuonClip(model, lr=PEAK)
    scheduler = TokenScheduler(optimizer, SHORT)
    trainer = Trainer(model, arguments(tmp_path), train_dataset=cut(16), optimizers=(optimizer, scheduler))
    with pytest.raises(ValueError, match=naming("TokenScheduler", "optimizers=")):
        attach_schedule(trainer, SHORT)


def test_the_callback_alone_is_refused(tmp_path: Path) -> None:
    model = tiny_model("llama_gqa")
    args = arguments(tmp_path)
    trainer = Trainer(model, args, train_dataset=cut(16), callbacks=[TokenScheduleCallback()])
    with pytest.raises(ValueError, match=naming("TokenScheduler", "LambdaLR", "attach_schedule")):
        trainer.train()


def test_another_learning_rate_is_refused_before_the_first_step(tmp_path: Path) -> None:
    trainer = short_trainer(tmp_path, learning_rate=5e-5)
    with pytest.raises(ValueError, match=naming("5e-05", 0.01, "learning_rate")):
        trainer.train()


def test_a_finished_schedule_and_a_checkpoint_without_its_scheduler_are_refused(tmp_path: Path) -> None:
    short_trainer(tmp_path, save_strategy="steps").train()
    checkpoint = get_last_checkpoint(str(tmp_path))
    with pytest.raises(ValueError, match=naming("1,024 tokens", "checkpoint")):
        short_trainer(tmp_path).train(resume_from_checkpoint=checkpoint)
    (Path(checkpoint) / "scheduler.pt").unlink()
    with pytest.raises(ValueError, match=naming("scheduler.pt", "step 4")):
        short_trainer(tmp_path).train(resume_from_checkpoint=checkpoint)


def test_the_steps_of_a_small_budget() -> None:
    """2B tokens in steps of 0.5M: the long phase is 15 steps, and the default warm-up 8."""
    schedule = kimi_k2_schedule(2e9)
    assert schedule.steps(2**19) == 3815
    lengths = [math.ceil(phase.tokens / 2**19) for phase in schedule.phases]
    assert lengths == [9, 2383, 1315, 96, 15]
