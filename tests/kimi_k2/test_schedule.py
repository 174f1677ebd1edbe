"""The recipe in tokens, against the paper's numbers written out by hand in float64."""

import json
import math
from typing import Any

import pytest
from error_messages import naming

from hf_muonclip.kimi_k2 import Phase, Stage, TokenSchedule, kimi_k2_schedule

T, B = 10**12, 10**9
K2_TOKENS = 15_960 * B


def k2_lr(tokens: float) -> float:
    """Kimi K2's learning rate, from the paper's sentences, one after the other."""
    if tokens < 500 * 67e6:
        return 2e-4 * tokens / (500 * 67e6)
    if tokens < 10e12:
        return 2e-4
    if tokens < 15.5e12:
        angle = math.pi * (tokens - 10e12) / 5.5e12
        return 2e-5 + 0.5 * (2e-4 - 2e-5) * (1 + math.cos(angle))
    if tokens < 15.96e12:
        return 2e-5 - (2e-5 - 7e-6) * (tokens - 15.5e12) / 460e9
    return 7e-6


def k2_context(tokens: float) -> int:
    return 4096 if tokens < 15.9e12 else 32768


def two_phases(**final: Any) -> TokenSchedule:
    phases = (Phase("first", 100, 1.0, context_length=8), Phase("second", 50, 1.0, 0.0, 16, "linear"))
    return TokenSchedule(phases, **final)


def test_kimi_k2s_schedule_has_the_papers_rates_and_contexts() -> None:
    schedule = kimi_k2_schedule()
    edges = [0, 33.5 * B, 10 * T, 15.5 * T, 15.9 * T, 15.96 * T]
    assert schedule.boundaries == tuple(edges)
    counts = {round(K2_TOKENS * share / 997) for share in range(998)}
    counts |= {round(edge) + offset for edge in edges for offset in (-67 * 10**6, -1, 0, 1) if edge + offset >= 0}
    for tokens in sorted(counts):
        assert schedule.lr(tokens) == pytest.approx(k2_lr(tokens), rel=1e-9, abs=1e-18), tokens
        assert schedule.context_length(tokens) == k2_context(tokens), tokens
    assert [schedule.lr(round(edge)) for edge in edges[1:4]] == [2e-4, 2e-4, pytest.approx(2e-5, rel=1e-15)]
    assert schedule.lr(K2_TOKENS) == pytest.approx(7e-6, rel=1e-15)
    assert schedule.peak_lr == 2e-4
    assert schedule.final_context_length == 131072
    assert schedule.steps(67 * 10**6) == 238_209  # 15.96e12 / 67e6 = 238208.96


@pytest.mark.parametrize("total", [1_000, 999_983, 2 * 10**9, 31 * T])
def test_a_scaled_schedule_keeps_every_proportion(total: int) -> None:
    schedule = kimi_k2_schedule(total, peak_lr=1e-2, context_length=64)
    assert schedule.total_tokens == total
    for ours, theirs in zip(schedule.boundaries, kimi_k2_schedule().boundaries, strict=True):
        assert abs(ours - theirs * total / K2_TOKENS) <= 0.5
    assert [phase.context_length for phase in schedule.phases] == [64, 64, 64, 64, 512]
    assert schedule.final_context_length == 2048
    for share in (0.001, 0.3, 0.8, 0.98, 1.0):
        wanted = 50 * k2_lr(share * K2_TOKENS)  # the peak is 50 times Kimi K2's
        # One token is at most this much of the way through the shortest phase, the warm-up.
        assert schedule.lr(round(share * total)) == pytest.approx(wanted, rel=1e-6, abs=1e-2 * 1000 / total)


def test_warmup_tokens_come_out_of_the_constant_phase() -> None:
    schedule = kimi_k2_schedule(1e6, warmup_tokens=1e5)
    usual = kimi_k2_schedule(1e6)
    assert schedule.boundaries[1] == 100_000
    assert schedule.boundaries[2:] == usual.boundaries[2:]
    assert schedule.lr(50_000) == pytest.approx(1e-4)


def test_a_phase_takes_in_its_first_token_and_leaves_out_the_one_after_its_last() -> None:
    schedule = two_phases()
    assert [schedule.phase(count).name for count in (0, 99, 100, 149, 150, 10**6)] == ["first"] * 2 + ["second"] * 4
    assert [schedule.lr(count) for count in (99, 100, 125, 150, 10**6)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert [schedule.context_length(count) for count in (99, 100)] == [8, 16]


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine"])
def test_every_shape_is_exact_at_its_ends_and_half_way(shape: Any) -> None:
    end = 0.3 if shape == "constant" else 0.1
    phase = Phase("phase", 1000, 0.3, end, shape=shape)
    assert (phase.lr(0), phase.lr(1000)) == (0.3, end)
    assert phase.lr(500) == pytest.approx((0.3 + end) / 2, rel=1e-12)
    if shape == "cosine":
        assert phase.lr(250) == pytest.approx(0.1 + 0.2 * (1 + math.sqrt(0.5)) / 2, rel=1e-12)


def test_a_stage_is_what_has_one_context_length() -> None:
    schedule = kimi_k2_schedule()
    short, long = schedule.stages
    assert short == Stage(0, 15_900 * B, 4096)
    assert long == Stage(15_900 * B, K2_TOKENS, 32768)
    assert [schedule.stage(count) for count in (0, 15_900 * B - 1, 15_900 * B, K2_TOKENS)] == [short, short, long, long]
    back = TokenSchedule((Phase("a", 10, 1.0), Phase("b", 10, 1.0, context_length=8), Phase("c", 10, 1.0)))
    assert [(stage.start, stage.end) for stage in back.stages] == [(0, 10), (10, 20), (20, 30)]


def test_a_schedule_survives_json() -> None:
    for schedule in (kimi_k2_schedule(1e9), two_phases(final_context_length=64), two_phases()):
        assert TokenSchedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": 0}, naming("tokens", "'p'", 0)),
        ({"tokens": 1.5}, naming("tokens", 1.5)),
        ({"tokens": True}, naming("tokens", True)),
        ({"tokens": math.inf}, naming("tokens", "inf")),
        ({"tokens": "2e9"}, naming("tokens", "'2e9'")),
        ({"context_length": -4}, naming("context_length", "'p'", -4)),
        ({"lr_start": -1e-4}, naming("lr_start", "'p'", -0.0001)),
        ({"lr_end": math.nan}, naming("lr_end", "nan")),
        ({"lr_start": None}, naming("lr_start", None)),
        ({"shape": "wsd"}, naming("shape", "'wsd'")),
        ({"lr_end": 1e-5}, naming("constant", "shape='linear'")),
    ],
)
def test_a_phase_refuses_what_it_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Phase(**{"name": "p", "tokens": 10, "lr_start": 1e-4, **arguments})


@pytest.mark.parametrize(
    ("phases", "final", "message"),
    [
        ((), None, naming("phases", "()")),
        ((1,), None, naming("phases", "(1,)")),
        ((Phase("a", 1, 0.0),), None, naming("learning rate")),
        ((Phase("a", 1, 1.0),), 4096, naming("final_context_length", 4096)),
        ((Phase("a", 1, 1.0), Phase("b", 1, 1.0, context_length=8192)), 6000, naming("final_context_length", 6000)),
        ((Phase("a", 1, 1.0),), 0.5, naming("final_context_length", 0.5)),
    ],
)
def test_a_schedule_refuses_what_it_cannot_be(phases: Any, final: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenSchedule(phases, final)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_tokens": -1}, naming("total_tokens", -1)),
        ({"total_tokens": 100}, naming("total_tokens", 100)),
        ({"peak_lr": 0}, naming("peak_lr", 0)),
        ({"warmup_tokens": 0}, naming("warmup_tokens", 0)),
        ({"total_tokens": 1e6, "warmup_tokens": 7e5}, naming("warmup_tokens", 700000.0)),
        ({"context_length": 0}, naming("context_length", 0)),
    ],
)
def test_the_recipe_refuses_what_it_cannot_scale(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kimi_k2_schedule(**arguments)


def test_tokens_before_the_start_are_refused() -> None:
    for ask in (kimi_k2_schedule().lr, kimi_k2_schedule().context_length, kimi_k2_schedule().stage):
        with pytest.raises(ValueError, match=naming("tokens", -1)):
            ask(-1)
