"""What an environment raises makes its episode not measured, where rewards can say so."""

import asyncio
import inspect
import pickle
from typing import Any

import pytest

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.rewards.guarded_environment import episode_failures, guarded_factory


class Room:
    """Its reset raises on odd seeds."""

    def __init__(self) -> None:
        self.seed = 0

    def reset(self, seed: int = 0, **_: Any) -> str:
        self.seed = seed
        if seed % 2:
            raise ConnectionError("no room")
        return f"room {seed}"

    def look(self) -> str:
        return "a door"


class Judged(Room):
    def get_reward(self) -> float:
        return 6 / self.seed


class JudgedLater(Room):
    async def get_reward(self) -> float:
        return 6 / self.seed


def test_a_reset_that_raises_is_remembered_until_the_next() -> None:
    room = guarded_factory(Room, rewards_see_failures=True)()
    other = guarded_factory({"room": Room}, rewards_see_failures=True)["room"]()
    assert type(room) is Room  # TRL tells environments apart by it
    assert room.reset(seed=2) == "room 2"
    assert room.reset(seed=3) is None
    assert other.reset(seed=4) == "room 4"
    failures = episode_failures([other, room])
    assert [*failures] == [1]
    assert failures[1].cause == "error"
    assert "Room" in failures[1].detail
    assert "no room" in failures[1].detail
    assert room.look() == "a door"
    assert room.reset(seed=4) == "room 4"
    assert episode_failures([other, room]) == {}
    assert episode_failures(None) == {}


@pytest.mark.parametrize("kind", [Judged, JudgedLater])
@pytest.mark.parametrize("rewards_see_failures", [False, True])
def test_an_own_reward_tells_of_failures(kind: Any, rewards_see_failures: bool) -> None:
    made = pickle.loads(pickle.dumps(guarded_factory(kind, rewards_see_failures=rewards_see_failures)))()
    later = kind is JudgedLater
    assert inspect.iscoroutinefunction(made.get_reward) is later

    def reward() -> Any:
        return asyncio.run(made.get_reward()) if later else made.get_reward()

    made.reset(seed=2)
    assert reward() == 3.0
    made.reset(seed=3)
    assert isinstance(reward(), NotMeasured)
    assert "no room" in reward().detail
    made.reset(seed=0)
    assert isinstance(reward(), NotMeasured)
    assert "ZeroDivisionError" in reward().detail


def test_without_a_reward_that_can_tell_a_reset_raises() -> None:
    room = guarded_factory(Room, rewards_see_failures=False)()
    with pytest.raises(ConnectionError):
        room.reset(seed=1)
    assert guarded_factory(None, rewards_see_failures=False) is None
