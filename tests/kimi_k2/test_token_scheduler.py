"""The scheduler in plain loops: rates by tokens, groups in proportion, resuming at any batch size."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from error_messages import naming
from tiny_models import random_batch, tiny_model
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hf_muonclip import MuonClip
from hf_muonclip.kimi_k2 import Phase, TokenSchedule, TokenScheduler, checkpoint_tokens, kimi_k2_schedule

SCHEDULE = kimi_k2_schedule(10_000, peak_lr=0.2, warmup_tokens=1_000, context_length=8)


def optimizer(lr: float = 0.2, *own_rates: float) -> Optimizer:
    groups: list[dict[str, Any]] = [{"params": [nn.Parameter(torch.zeros(2))]}]
    groups += [{"params": [nn.Parameter(torch.zeros(2))], "lr": rate} for rate in own_rates]
    return SGD(groups, lr=lr)


def rates(scheduler: TokenScheduler) -> list[float]:
    found = [float(group["lr"]) for group in scheduler.optimizer.param_groups]
    assert found == scheduler.get_last_lr()
    return found


def move(scheduler: TokenScheduler, tokens: int) -> None:
    """Make one step end at `tokens`."""
    scheduler.optimizer.step()
    scheduler.step(tokens_seen=tokens)


def train(scheduler: TokenScheduler, tokens: int, batch: int) -> list[float]:
    """Step to `tokens`; return the rate that every step used."""
    used = []
    while scheduler.tokens_seen < tokens:
        used += rates(scheduler)[:1]
        move(scheduler, scheduler.tokens_seen + batch)
    return used


def test_every_step_uses_the_rate_at_the_tokens_before_it() -> None:
    scheduler = TokenScheduler(optimizer(), SCHEDULE)
    used = train(scheduler, 10_000, batch=250)
    assert used == [SCHEDULE.lr(tokens) for tokens in range(0, 10_000, 250)]
    assert used[0] == 0.0
    assert used[4] == 0.2
    assert rates(scheduler) == [SCHEDULE.lr(10_000)]


def test_groups_keep_their_ratios() -> None:
    scheduler = TokenScheduler(optimizer(0.2, 0.05, 0.0), SCHEDULE)
    for tokens in (0, 500, 1_000, 9_000, 9_980):
        move(scheduler, tokens)
        now = SCHEDULE.lr(tokens)
        assert rates(scheduler) == [now, pytest.approx(now / 4, rel=1e-12), 0.0]


def test_a_constant_step_needs_no_argument() -> None:
    scheduler = TokenScheduler(optimizer(), SCHEDULE, tokens_per_step=300)
    assert scheduler.tokens_seen == 0
    for _ in range(5):
        scheduler.optimizer.step()
        scheduler.step()
    assert scheduler.tokens_seen == 1_500


def test_rates_that_are_tensors_stay_the_same_tensors() -> None:
    rate = torch.tensor(0.2)
    scheduler = TokenScheduler(SGD([nn.Parameter(torch.zeros(2))], lr=rate), SCHEDULE)
    tensor = scheduler.optimizer.param_groups[0]["lr"]
    move(scheduler, 500)
    state = scheduler.state_dict()
    move(scheduler, 9_900)
    scheduler.load_state_dict(state)
    assert scheduler.optimizer.param_groups[0]["lr"] is tensor
    assert float(tensor) == pytest.approx(0.1)


@pytest.mark.parametrize("stop", [500, 1_000, 3_000, 7_000, 9_800, 9_975])  # in every phase, and on a boundary
@pytest.mark.parametrize("batch", [25, 50])
def test_progress_resumes_in_every_phase_at_any_batch_size(stop: int, batch: int) -> None:
    whole = train(TokenScheduler(optimizer(0.2, 0.05), SCHEDULE), 10_000, batch=25)
    first = TokenScheduler(optimizer(0.2, 0.05), SCHEDULE)
    used = train(first, stop, batch=25)
    file = io.BytesIO()
    torch.save({"optimizer": first.optimizer.state_dict(), "scheduler": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    for order in (("optimizer", "scheduler"), ("scheduler", "optimizer")):
        second = TokenScheduler(optimizer(0.2, 0.05), SCHEDULE, tokens_per_step=batch)
        for name in order:
            (second.optimizer if name == "optimizer" else second).load_state_dict(saved[name])
        assert second.tokens_seen == stop
        assert second.tokens_per_step == batch
        assert second.last_epoch == first.last_epoch == stop // 25
        assert rates(second) == rates(first)
        rest = train(second, 10_000, batch)
        assert used + rest == whole[: stop // 25] + whole[stop // 25 :: batch // 25]


def test_a_loop_resumed_at_another_batch_size_trains_a_model_on(one_thread: None) -> None:
    """MuonClip itself: the same rates reach both of its algorithms after its own load_state_dict."""

    def build() -> tuple[nn.Module, TokenScheduler]:
        model = tiny_model("deepseek_v3")
        return model, TokenScheduler(MuonClip(model, lr=0.2), SCHEDULE)

    def steps(model: nn.Module, scheduler: TokenScheduler, count: int) -> None:
        for _ in range(count):
            batch = random_batch(model, 2, 8, seed=scheduler.tokens_seen)
            model(**batch).loss.backward()
            scheduler.optimizer.step()
            scheduler.optimizer.zero_grad()
            scheduler.step(tokens_seen=scheduler.tokens_seen + 500)

    whole, whole_scheduler = build()
    steps(whole, whole_scheduler, 5)
    half, half_scheduler = build()
    steps(half, half_scheduler, 3)
    resumed, resumed_scheduler = build()
    resumed.load_state_dict(half.state_dict())
    resumed_scheduler.optimizer.load_state_dict(half_scheduler.optimizer.state_dict())
    resumed_scheduler.load_state_dict(half_scheduler.state_dict())
    steps(resumed, resumed_scheduler, 2)
    assert {group["lr"] for group in resumed_scheduler.optimizer.param_groups} == {SCHEDULE.lr(2_500)}
    for (name, wanted), got in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(wanted, got), name


def test_a_run_may_be_lengthened_where_the_rate_does_not_jump() -> None:
    scheduler = TokenScheduler(optimizer(), SCHEDULE)
    move(scheduler, 3_000)
    state = scheduler.state_dict()
    longer = kimi_k2_schedule(20_000, peak_lr=0.2, warmup_tokens=1_000, context_length=8)
    resumed = TokenScheduler(optimizer(), longer)
    resumed.load_state_dict(state)
    move(resumed, 20_000)
    assert rates(resumed) == [longer.lr(20_000)]


def test_a_schedule_whose_rate_would_jump_is_refused() -> None:
    scheduler = TokenScheduler(optimizer(), SCHEDULE)
    move(scheduler, 8_000)
    other = TokenScheduler(optimizer(), kimi_k2_schedule(20_000, peak_lr=0.2))
    with pytest.raises(ValueError, match=naming("learning rate", "8,000", 0.2)):
        other.load_state_dict(scheduler.state_dict())
    assert other.tokens_seen == 0


def test_accelerate_neither_multiplies_nor_loses_tokens() -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = nn.Linear(2, 2)
    raw = TokenScheduler(SGD(model.parameters(), lr=0.2), SCHEDULE)
    model, prepared, scheduler = accelerator.prepare(model, raw.optimizer, raw)
    assert scheduler is not raw
    seen = 0
    for _ in range(6):
        with accelerator.accumulate(model):
            accelerator.backward(model(torch.ones(1, 2)).sum())
            prepared.step()
            seen += 250
            scheduler.step(tokens_seen=seen)
            prepared.zero_grad()
    assert raw.tokens_seen == 1_500
    for _ in range(3):  # as with several processes, each of which steps it for all
        raw.step(tokens_seen=1_500)
    assert raw.tokens_seen == 1_500


def test_going_on_after_the_end_is_told_once_it_happens() -> None:
    scheduler = TokenScheduler(optimizer(), SCHEDULE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(scheduler, 10_000, batch=30)  # the last batch reaches beyond the end, which is no fault
    assert scheduler.tokens_seen == 10_020
    with pytest.warns(UserWarning, match=naming("10,000", "15,000")):
        move(scheduler, 15_000)
    assert rates(scheduler) == [SCHEDULE.lr(10_000)]


def test_a_phase_that_a_step_passes_by_is_told() -> None:
    """A small budget scaled to Kimi K2's shares: its long context would never be trained, in silence."""
    scheduler = TokenScheduler(optimizer(), SCHEDULE)
    train(scheduler, 9_000, batch=1_000)
    with pytest.warns(UserWarning, match=naming("1,000", "anneal", "long context")) as told:
        train(scheduler, 10_000, batch=1_000)
    assert len(told) == 1


@pytest.mark.parametrize("lr", [0.1, 2e-4])
def test_an_optimizer_of_another_rate_is_refused(lr: float) -> None:
    with pytest.raises(ValueError, match=naming(lr, 0.2)):
        TokenScheduler(optimizer(lr), SCHEDULE)


def test_steps_that_say_nothing_or_the_wrong_thing_are_refused() -> None:
    scheduler = TokenScheduler(optimizer(), SCHEDULE)
    with pytest.raises(ValueError, match=naming("tokens_seen")):
        scheduler.step()
    move(scheduler, 500)
    with pytest.raises(ValueError, match=naming(250, 500)):
        move(scheduler, 250)
    with pytest.raises(ValueError, match=naming("tokens", "epochs", 250)):
        scheduler.step(250)
    with pytest.raises(ValueError, match=naming("tokens_per_step", None, 0)):
        TokenScheduler(optimizer(), SCHEDULE, tokens_per_step=0)
    with pytest.raises(ValueError, match=naming("tokens", -1)):
        TokenScheduler(optimizer(), SCHEDULE, tokens_seen=-1)
    assert scheduler.tokens_seen == 500


def test_the_state_of_another_scheduler_is_refused() -> None:
    foreign = LambdaLR(optimizer(), lambda step: 1.0).state_dict()
    with pytest.raises(ValueError, match=naming("TokenScheduler", "last_epoch")):
        TokenScheduler(optimizer(), SCHEDULE).load_state_dict(foreign)


def test_a_scheduler_may_begin_anywhere() -> None:
    scheduler = TokenScheduler(optimizer(), SCHEDULE, tokens_seen=8_000)
    assert rates(scheduler) == [SCHEDULE.lr(8_000)]


def test_a_checkpoint_says_its_tokens(tmp_path: Path) -> None:
    assert checkpoint_tokens(None) == 0
    with pytest.raises(FileNotFoundError, match=naming("save_only_model=False")):
        checkpoint_tokens(tmp_path)
    torch.save(LambdaLR(optimizer(), lambda step: 1.0).state_dict(), tmp_path / "scheduler.pt")
    with pytest.raises(ValueError, match=naming("TokenScheduler")):
        checkpoint_tokens(tmp_path)
    scheduler = TokenScheduler(optimizer(), TokenSchedule((Phase("all", 100, 0.2),)), tokens_seen=7)
    torch.save(scheduler.state_dict(), tmp_path / "scheduler.pt")
    assert checkpoint_tokens(tmp_path) == 7
    json.dumps(scheduler.state_dict())  # nothing but plain types
