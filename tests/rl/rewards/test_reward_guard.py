"""What reward functions say is kept beside the numbers, whatever they do; and what it means for a prompt's samples."""

import asyncio
import functools
import logging
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from trl.trainer.utils import is_async_callable

from hf_muonclip.common.graders.not_measured import CAUSES, NotMeasured
from hf_muonclip.rl.rewards.reward_guard import (
    EPISODE,
    MALFORMED,
    NONE,
    NUMBER,
    WINDOW,
    AsyncGuardedReward,
    GuardedReward,
    NotMeasuredCount,
    NotMeasuredWindow,
    causes_of,
    codes_of,
    guarded,
)

CODE = {cause: code for code, cause in enumerate(CAUSES, start=1)}


def giving(found: Any) -> Any:
    def reward(completions: list[Any], **_: Any) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    return reward


def giving_later(found: Any) -> Any:
    async def reward(completions: list[Any], **_: Any) -> Any:
        await asyncio.sleep(0)
        return giving(found)(completions)

    return reward


def called(function: Any, samples: int = 3) -> tuple[GuardedReward, list[Any]]:
    guard = guarded(function, "right")
    assert isinstance(guard, GuardedReward)
    assert guard.__name__ == "right"
    given = {"prompts": ["p"] * samples, "completions": ["c"] * samples}
    found = asyncio.run(guard(**given)) if isinstance(guard, AsyncGuardedReward) else guard(**given)  # type: ignore[arg-type]
    return guard, found


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("found", "codes"),
    [
        ([1.0, 0, True], [NUMBER] * 3),
        (np.array([1.0, 0.0, 0.5]), [NUMBER] * 3),
        (torch.tensor([1.0, 0.0, 0.5]), [NUMBER] * 3),
        ([1.0, None, NotMeasured("timeout")], [NUMBER, NONE, CODE["timeout"]]),
        (ZeroDivisionError("by none"), [CODE["error"]] * 3),
        ([1.0, 2.0], [MALFORMED] * 3),
        (1.0, [MALFORMED] * 3),
        (None, [MALFORMED] * 3),
        ("abc", [MALFORMED] * 3),
        ([[1.0, 2.0]] * 3, [MALFORMED] * 3),
    ],
    ids=str,
)
def test_what_a_function_says_is_kept(found: Any, codes: list[int], later: bool) -> None:
    function, rewards = called((giving_later if later else giving)(found))
    guard = function.guard
    assert guard.codes == codes
    assert len(rewards) == 3
    assert bool(guard.malformed) == (MALFORMED in codes)
    for reward, code in zip(rewards, codes, strict=True):
        assert (reward is None) if code == NONE else (math.isnan(reward) == (code != NUMBER))


def test_a_wrong_number_of_rewards_is_named() -> None:
    function, _ = called(giving([1.0] * 5))
    assert "5" in function.guard.malformed
    assert "3" in function.guard.malformed


def test_async_ones_stay_async_and_models_stay_models() -> None:
    class Judge:
        async def __call__(self, **_: Any) -> list[float]:
            return [1.0]

    for function in (giving_later([1.0]), Judge(), functools.partial(giving_later([1.0]))):
        assert isinstance(guarded(function, "f"), AsyncGuardedReward)
    assert is_async_callable(guarded(giving_later([1.0]), "f"))
    assert not is_async_callable(guarded(giving([1.0]), "f"))


def test_reward_models_too() -> None:
    class Judge(nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            if attention_mask.sum() == 0:
                raise ZeroDivisionError("nothing to judge")
            return SimpleNamespace(logits=torch.ones(len(input_ids), 1))

    judge = guarded(Judge(), "judge")
    assert isinstance(judge, nn.Module)
    ids = torch.ones(3, 4, dtype=torch.long)
    assert judge(input_ids=ids, attention_mask=ids).logits.tolist() == [[1.0]] * 3
    other = called(giving([1.0, None, 0.0]))[0]
    assert codes_of([judge, other], ids.device).tolist() == [[NUMBER, NUMBER], [NUMBER, NONE], [NUMBER, NUMBER]]
    assert judge(input_ids=ids, attention_mask=0 * ids).logits.isnan().tolist() == [[True]] * 3
    assert judge.guard.codes == [CODE["error"]] * 3
    assert "nothing to judge" in judge.guard.details["error"]


def test_an_exception_is_told_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    function = guarded(giving(ZeroDivisionError("by none")), "right")
    for _ in range(3):
        function(completions=["c"])
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "right" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_each_cause_is_told_once_with_what_was_seen(caplog: pytest.LogCaptureFixture) -> None:
    found = [NotMeasured("timeout", "10 s"), NotMeasured("gold", "'?'"), NotMeasured("gold", "'!'"), 1.0]
    function, rewards = called(giving(found), 4)
    count = NotMeasuredCount([function])
    causes = causes_of(torch.tensor(rewards).unsqueeze(1), codes_of([function], torch.device("cpu")), 2)
    for _ in range(2):
        count.shares(causes)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    for message, words in zip(told, (["timeout", "10 s", "1 of 4"], ["gold", "'?'", "2 of 4"]), strict=True):
        assert all(word in message for word in ["right", *words])


def test_why_rewards_are_missing() -> None:
    nan, inf = math.nan, math.inf
    timeout = CODE["timeout"]
    cases = [
        # One function that fails once and one that does not apply.
        ([(1.0, nan), (nan, nan), (nan, nan), (0.5, nan)], [(0, NONE), (timeout, NONE), (NONE, NONE), (0, NONE)],
         [(0, 0), (timeout, 0), (CODE["missing"], 0), (0, 0)]),
        # A bare NaN, an infinity, and a None beside a number of the other function.
        ([(nan, 2.0), (inf, 2.0), (1.0, nan), (-inf, 1.0)], [(0, 0), (0, 0), (0, NONE), (0, 0)],
         [(CODE["missing"], 0), (CODE["infinite"], 0), (0, CODE["missing"]), (CODE["infinite"], 0)]),
        # A whole prompt that failed is not one to which the function does not apply.
        ([(nan, 1.0)] * 4, [(timeout, 0)] * 4, [(timeout, 0)] * 4),
        ([(nan, 1.0)] * 4, [(0, 0)] * 4, [(CODE["missing"], 0)] * 4),
        # An environment that failed says nothing of whether a function applies.
        ([(1.0, nan), (nan, nan), (0.5, nan), (0.5, nan)], [(0, NONE), (EPISODE, EPISODE), (0, NONE), (0, NONE)],
         [(0, 0), (CODE["error"], 0), (0, 0), (0, 0)]),
        ([(nan, nan)] * 4, [(EPISODE, EPISODE)] * 4, [(CODE["error"], CODE["error"])] * 4),
        # Something must apply.
        ([(nan, nan)] * 4, [(NONE, NONE)] * 4, [(CODE["missing"], CODE["missing"])] * 4),
    ]  # fmt: skip
    rewards, codes, expected = (torch.tensor([row for case in cases for row in case[i]]) for i in range(3))
    assert causes_of(rewards, codes, 4).tolist() == expected.tolist()


def test_shares_by_function_and_cause_are_logged_once_seen() -> None:
    count = NotMeasuredCount([guarded(giving([]), name) for name in ("right", "long")])
    first = count.shares(torch.tensor([[0, 0], [CODE["timeout"], 0], [CODE["gold"], 0], [CODE["gold"], 0]]))
    assert first == {
        "rewards/right/not_measured": 0.75,
        "rewards/right/not_measured/timeout": 0.25,
        "rewards/right/not_measured/gold": 0.5,
        "rewards/long/not_measured": 0.0,
    }
    second = count.shares(torch.tensor([[0, 0], [0, CODE["crash"]]]))
    assert second["rewards/right/not_measured/gold"] == 0.0
    assert second["rewards/long/not_measured/crash"] == 0.5
    assert dict(+count.total) == {("right", "timeout"): 1, ("right", "gold"): 2, ("long", "crash"): 1}


@pytest.mark.parametrize(
    ("share", "failing", "stops_after"),
    [(0.5, 1.0, 3), (0.5, 0.5, None), (0.5, 0.6, WINDOW), (0.0, 0.1, 1), (1.0, 1.0, None), (0.2, 1.0, 1)],
)
def test_too_many(share: float, failing: float, stops_after: int | None) -> None:
    window = NotMeasuredWindow(share)
    for batch in range(1, 10):
        window.add(failing)
        if window.stop_reason:
            assert batch == stops_after
            for told in (f"max_not_measured={share:g}", f"{failing:.0%}", f"{batch} batches"):
                assert told in window.stop_reason
            return
    assert stops_after is None


def test_one_bad_batch_is_forgiven_and_forgotten() -> None:
    window = NotMeasuredWindow(0.5)
    for bad in (True, False, False, False, True, False, False, True):
        window.add(float(bad))
        assert not window.stop_reason


def test_what_was_missing_most_is_named() -> None:
    count = NotMeasuredCount([guarded(giving([]), name) for name in ("right", "long")])
    assert count.worst == ""
    count.shares(torch.tensor([[CODE["crash"], CODE["gold"]], [CODE["crash"], 0]]))
    assert count.worst == "right 2 by crash, long 1 by gold"


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_a_function_is_not_asked_about_episodes_that_failed(later: bool) -> None:
    asked: list[dict[str, Any]] = []

    def reward(**given: Any) -> list[float]:
        asked.append(given)
        return [1.0] * len(given["completions"])

    async def reward_later(**given: Any) -> list[float]:
        return reward(**given)

    guard = guarded(reward_later if later else reward, "right")
    assert isinstance(guard, GuardedReward)
    guard.guard.failures = {1: NotMeasured("error", "reset raised")}
    given = {"completions": ["a", "b", "c"], "answer": [1, 2, 3], "seed": 5}
    found: Any = guard(**given)
    rewards = asyncio.run(found) if later else found
    assert asked == [{"completions": ["a", "c"], "answer": [1, 3], "seed": 5}]
    assert [rewards[0], rewards[2]] == [1.0, 1.0]
    assert isinstance(rewards[1], NotMeasured)
    assert guard.guard.codes == [NUMBER, EPISODE, NUMBER]
    assert guard.guard.details == {"error": "reset raised"}
    guard.guard.failures = dict.fromkeys(range(3), NotMeasured("error"))
    found = guard(**given)
    assert all(isinstance(one, NotMeasured) for one in (asyncio.run(found) if later else found))
    assert len(asked) == 1  # there was nothing to ask
