"""OpenEnv environments as Specs, against openenv's own server, and what becomes of one that fails."""

import functools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from tiny_tools import call, readme_snippet, scripted_trainer, served, turns
from transformers.utils import get_json_schema

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.environments import openenv_spec
from hf_muonclip.rl.environments.episode import EpisodeReward, environment_class
from hf_muonclip.rl.environments.openenv import OpenEnvEpisode, TypedAction, _Session
from hf_muonclip.rl.rewards.spec import Spec

pytest.importorskip("openenv", reason="the servers are openenv's")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served("openenv_server.py", 8) as (url, _):
        yield url


@pytest.fixture
def guessing(server: str) -> str:
    return f"{server}/guessing"


@pytest.fixture
def counting(server: str) -> str:
    return f"{server}/counting"


def spec_of(url: str, tasks: Any = 4, **more: Any) -> Spec:
    return openenv_spec(url, tasks, prompt="Guess.", **more)


def rewards_of(spec: Spec, *episodes: Any) -> list[Any]:
    (function,) = spec.reward_funcs
    return list(function(completions=[""] * len(episodes), environments=list(episodes)))


def test_the_readme(guessing: str) -> None:
    names: dict[str, Any] = {}
    exec(readme_snippet("openenv_spec").replace("http://localhost:8000", guessing), names)
    assert len(names["spec"].train_dataset) == 1000


def test_a_typed_action_is_one_tool_with_its_fields(guessing: str) -> None:
    episode = spec_of(guessing).environment_factory()
    schema = get_json_schema(episode.step)["function"]
    assert schema["name"] == "step"
    assert schema["description"] == "Guess the hidden number."
    assert schema["parameters"]["required"] == ["number"]
    number, tone = schema["parameters"]["properties"].values()
    assert number["type"] == "integer"
    assert number["description"].startswith("What you think it is.")
    assert '"maximum": 9' in number["description"]
    assert tone["enum"] == ["calm", "loud"]


def test_only_the_environments_tools_can_be_called(guessing: str, counting: str) -> None:
    def tools(url: str) -> set[str]:
        return {name for name in dir(spec_of(url).environment_factory) if not name.startswith("_")} - {"reset"}

    assert tools(guessing) == {"step"}
    assert tools(counting) == {"add", "several", "nothing", "refuse", "submit"}


def test_an_episode_earns_the_sum_of_its_steps_and_is_seeded_by_its_row(guessing: str) -> None:
    spec = spec_of(guessing)
    assert spec.train_dataset["seed"] == [0, 1, 2, 3]
    episode = spec.environment_factory()
    seen = episode.reset(**spec.train_dataset[3])
    assert seen.startswith("\n\nIt is between 0 and 9.")
    assert "hidden" not in seen
    assert "metadata" not in seen
    assert [episode.step(number=9), episode.step(number=4), episode.step(number=3)] == ["too high", "too high", "right"]
    assert episode.step(number=3) == "The episode is over."
    assert rewards_of(spec, episode) == [1.25]
    last = spec_of(guessing, episode_reward=lambda rewards: rewards[-1] if rewards else 0.0)
    assert last.reward_funcs[0](completions=[""], environments=[]) == []


def test_nothing_of_an_episode_is_left_in_the_next(guessing: str) -> None:
    spec = spec_of(guessing)
    episode = spec.environment_factory()
    first = episode.reset(**spec.train_dataset[0])
    episode.step(number=1)
    assert episode.reset(**spec.train_dataset[0]) == first  # the environment counts its guesses over all resets
    assert rewards_of(spec, episode) == [0]  # the model left it without a guess


def test_sessions_are_closed_once_they_are_scored(guessing: str) -> None:
    """The server takes 8 sessions at a time."""
    spec = spec_of(guessing)
    for _ in range(3):
        episodes = [spec.environment_factory() for _ in range(8)]
        for episode in episodes:
            assert episode.reset(**spec.train_dataset[0])
        assert rewards_of(spec, *episodes) == [0] * 8


def test_more_episodes_than_the_server_takes_sessions(guessing: str) -> None:
    spec = spec_of(guessing)
    episodes = [spec.environment_factory() for _ in range(9)]
    for episode in episodes:
        episode.reset(**spec.train_dataset[0])
    *within, beyond = rewards_of(spec, *episodes)
    assert within == [0] * 8
    assert isinstance(beyond, NotMeasured)
    assert beyond.cause == "unreachable"
    assert "max_concurrent_envs" in beyond.detail


def test_invalid_arguments_are_the_models_fault(guessing: str) -> None:
    spec = spec_of(guessing)
    episode = spec.environment_factory()
    episode.reset(**spec.train_dataset[1])
    told = json.loads(episode.step(number=99))
    assert "number" in told["error"]
    assert "number" in json.loads(episode.step(number="many"))["error"]
    for arguments in ({}, {"number": 1, "size": 2}):
        with pytest.raises(TypeError, match=naming("size" if arguments else "number")):
            episode.step(**arguments)
    assert episode.step(number=1) == "right"
    assert rewards_of(spec, episode) == [1.0]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("reset raises", "error"),
        ("reset is late", "timeout"),
        ("step raises", "error"),
        ("step is late", "timeout"),
        ("no reward", "missing"),
    ],
)
def test_a_failure_of_the_server_is_no_reward(fault: str, cause: str, guessing: str) -> None:
    spec = spec_of(guessing, [{"seed": 1, "fault": fault}], deadline=2.0 if cause == "timeout" else 60.0)
    episode = spec.environment_factory()
    seen = episode.reset(**spec.train_dataset[0])
    assert (seen is None) == fault.startswith("reset")
    shown = [episode.step(number=1), episode.step(number=1)]
    assert shown == (["over", "The episode is over."] if fault == "no reward" else 2 * [NOT_AVAILABLE])
    (reward,) = rewards_of(spec, episode)
    assert isinstance(reward, NotMeasured)
    assert reward.cause == cause
    assert "database" not in "".join(shown)
    fine = spec_of(guessing).train_dataset[1]
    assert episode.reset(**fine)
    episode.step(number=1)
    assert rewards_of(spec, episode) == [1.0]


NOT_AVAILABLE = "The environment is not available."


def test_a_server_that_dies_and_one_that_comes_back_blank() -> None:
    with served("openenv_server.py", 8) as (url, process):
        spec = spec_of(f"{url}/guessing", [{"seed": 1, "fault": ""}, {"seed": 1, "fault": "dies"}])
        episode = spec.environment_factory()
        episode.reset(**spec.train_dataset[0])
        dying = spec.environment_factory()
        dying.reset(**spec.train_dataset[1])
        assert dying.step(number=1) == NOT_AVAILABLE
        process.wait()
        assert episode.step(number=1) == NOT_AVAILABLE  # no new session on a new server either
        never = spec.environment_factory()
        assert never.reset(**spec.train_dataset[0]) is None
        assert [reward.cause for reward in rewards_of(spec, episode, dying, never)] == ["unreachable"] * 3
        with pytest.raises(ConnectionError, match=naming(url)):
            spec_of(url)


def test_results_of_mcp_tools_are_texts(counting: str) -> None:
    spec = openenv_spec(counting, [{"seed": 5}], prompt="Add.")
    episode = spec.environment_factory()
    assert not episode.reset(**spec.train_dataset[0])
    assert episode.add(number=2) == "7"
    assert episode.several() == "[7, 14]"
    assert episode.nothing() == "null"
    assert "not today" in json.loads(episode.refuse())["error"]
    schema = get_json_schema(episode.add)["function"]["parameters"]
    assert schema["required"] == ["number"]
    assert schema["properties"]["number"]["description"].startswith("to add")
    assert episode.submit(total=7) == "thank you"
    assert rewards_of(spec, episode) == [1.0]


def test_tasks_without_prompts_and_of_no_json_are_refused(guessing: str) -> None:
    with pytest.raises(ValueError, match=naming("prompt", "seed")):
        openenv_spec(guessing, 4)
    own = openenv_spec(guessing, [{"prompt": "One."}, {"prompt": "Two."}])
    assert own.train_dataset["prompt"][1] == [{"role": "user", "content": "Two."}]
    assert own.train_dataset["seed"] == [0, 1]
    import datetime

    with pytest.raises(ValueError, match=naming("day")):
        openenv_spec(guessing, [{"day": datetime.date(2026, 1, 1)}], prompt="Guess.")


ODD_REWARD = '{"type": "observation", "data": {"observation": {}, "reward": "much"}}'


@pytest.mark.parametrize(
    "answer", ["", "[]", "{}", '{"type": "observation", "data": 1}', '{"type": "error", "data": {}}', ODD_REWARD]
)
def test_answers_of_another_form(answer: str) -> None:
    from websockets.sync.server import serve

    def speak(connection: Any) -> None:
        for _ in connection:
            connection.send(answer)

    with serve(speak, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        session = functools.partial(_Session, url, 5.0, None)
        kind = environment_class(OpenEnvEpisode, "odd", [TypedAction("step", "", {})], _connect=staticmethod(session))
        episode = kind()
        assert episode.reset() is None
        (reward,) = EpisodeReward("odd", kind)(completions=[""], environments=[episode])
        assert reward.cause == "error"
        server.shutdown()


def test_a_server_of_something_else_is_refused() -> None:
    with pytest.raises(ConnectionError, match=naming("http://127.0.0.1:9")):
        spec_of("http://127.0.0.1:9")


def guess_upwards(dialogue: str, row: int) -> str:
    return call("step", number=turns(dialogue) + row % 2) if turns(dialogue) < 2 else "I give up."


@pytest.mark.slow
def test_a_run_goes_on_when_its_server_dies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served("openenv_server.py", 8) as (url, process):
        spec = spec_of(f"{url}/guessing", [{"seed": 1}] * 4)
        killed: list[bool] = []

        def script(dialogue: str, row: int) -> str:
            if trainer.state.global_step == 1 and turns(dialogue) == 1 and not killed:
                process.kill()
                process.wait()
                killed.append(True)
            return guess_upwards(dialogue, row)

        trainer = scripted_trainer(tmp_path, spec, script, max_steps=3)
        trainer.train()
    assert killed
    assert trainer.state.global_step == 3
    alive, dead, deader = trainer.sampled
    assert alive["tool_mask"].eq(0).any()
    # Rows 0 and 2 guess 0, then 1; rows 1 and 3 guess 1, and are right at once.
    assert alive["advantages"].tolist() == pytest.approx([0.125, -0.125] * 2)
    assert dead["sample_weights"].tolist() == [0, 2, 0, 2]  # rows 1 and 3 were right before the server died
    assert deader["sample_weights"].tolist() == [0] * 4
    assert dead["advantages"].tolist() == deader["advantages"].tolist() == [0] * 4
    assert +trainer.not_measured.total == {("openenv", "unreachable"): 6}
    first, second, _ = trainer.state.log_history[:3]
    assert first["rewards/openenv/mean"] == pytest.approx(1.125)
    assert second["rewards/openenv/mean"] == 1


@pytest.mark.slow
def test_a_late_server_costs_only_its_own_samples(guessing: str, tmp_path: Path) -> None:
    rows = [{"seed": 1, "fault": "step is late"}, {"seed": 1, "fault": ""}] * 2
    spec = spec_of(guessing, rows, deadline=2.0)
    trainer = scripted_trainer(tmp_path, spec, guess_upwards, max_steps=1, num_generations=2, shuffle_dataset=False)
    trainer.train()
    weights = trainer.sampled[0]["sample_weights"].tolist()
    assert weights[:2] == [0, 0]
    assert all(weight > 0 for weight in weights[2:])
