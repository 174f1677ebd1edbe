"""NeMo-Gym's resource servers as Specs, and what becomes of one that fails.

The server speaks nemo-gym's schema; it is nemo-gym's own where NEMO_GYM_PYTHON names an interpreter that has the
package, which wants Python 3.12 or newer and dependencies of its own.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from tiny_tools import call, readme_snippet, scripted_trainer, served, turns
from transformers.utils import get_json_schema

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.environments import nemo_gym_spec
from hf_muonclip.rl.rewards.spec import Spec, mix

PYTHON = os.environ.get("NEMO_GYM_PYTHON", sys.executable)
SERVER = "nemo_gym_server.py"
INCREMENT = {
    "type": "function",
    "name": "increment_counter",
    "description": "",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"count": {"type": "integer", "description": ""}},
        "required": ["count"],
        "additionalProperties": False,
    },
}
RESET = {"type": "function", "name": "reset", "description": "Begin at zero.", "parameters": None, "strict": True}
NOT_AVAILABLE = "The environment is not available."


def row(*tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    params = {"input": [{"role": "user", "content": "Add 2."}], "tools": [*tools]}
    return {"responses_create_params": params, "initial_count": 3, "expected_count": 5, **more}


@pytest.fixture(scope="module")
def counter() -> Iterator[str]:
    with served(SERVER, "counter", python=PYTHON) as (url, _):
        yield url


def spec_of(url: str, *rows: dict[str, Any], **more: Any) -> Spec:
    return nemo_gym_spec(url, [*(rows or (row(INCREMENT),))], **more)


def asked(*names: str) -> dict[str, Any]:
    calls = [{"type": "function", "function": {"name": name, "arguments": {"count": 2}}} for name in names]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def answered(name: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "name": name, "content": text}


DONE = {"role": "assistant", "content": "I am done."}


def reward_of(spec: Spec, episode: Any, completion: Any) -> Any:
    (function,) = spec.reward_funcs
    (reward,) = function(completions=[completion], environments=[episode])
    return reward


def test_the_readme(counter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps(row(INCREMENT)))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(readme_snippet("nemo_gym_spec").replace("http://localhost:8000", counter), names)
    assert len(names["spec"].train_dataset) == 1


def test_an_episode_is_verified_in_its_own_session(counter: str) -> None:
    spec = spec_of(counter)
    assert spec.train_dataset["prompt"][0] == [{"role": "user", "content": "Add 2."}]
    episodes = [spec.environment_factory() for _ in range(3)]
    for episode in episodes:
        assert episode.reset(**spec.train_dataset[0]) is None
    right, wrong, _ = episodes
    shown = right.increment_counter(count=2)
    assert json.loads(shown) == {"success": True, "now": [5]}
    assert json.loads(wrong.increment_counter(count=1))["now"] == [4]
    called = [asked("increment_counter"), answered("increment_counter", shown), DONE]
    (function,) = spec.reward_funcs
    assert function(completions=[called, called[:2], [DONE]], environments=episodes) == [1.5, 0.0, 0.5]
    right.reset(**spec.train_dataset[0])
    assert json.loads(right.increment_counter(count=2))["now"] == [5]  # begun anew


def test_rows_without_tools_need_no_environment(counter: str) -> None:
    spec = spec_of(counter, row(expected_count=3), row(expected_count=4))
    assert spec.environment_factory is None
    (function,) = spec.reward_funcs
    rewards = function(completions=[[DONE], "nothing"], **{c: spec.train_dataset[c] for c in ("nemo_gym_row",)})
    assert rewards == [1.5, 0.0]


def test_rows_without_tools_are_verified_in_a_mixture_with_environments(counter: str) -> None:
    mixed = mix([spec_of(counter, row(expected_count=3), name="plain"), spec_of(counter, name="tools")])
    plain, _ = mixed.reward_funcs
    given = {"completions": [[DONE]] * 2, "domain": ["plain", "tools"], "nemo_gym_row": [None] * 2}
    given["nemo_gym_row"] = [next(r["nemo_gym_row"] for r in mixed.train_dataset if r["domain"] == "plain")] * 2
    episodes = [mixed.environment_factory[name]() for name in given["domain"]]
    assert plain(**given, environments=episodes) == [1.5, None]


def test_rows_with_different_tools_mix_with_others(counter: str) -> None:
    several = spec_of(counter, row(INCREMENT), row(INCREMENT, RESET), name="several")
    mixed = mix([several, spec_of(counter, row(INCREMENT), row(INCREMENT), name="one")])
    names = mixed.train_dataset["environment"]
    assert (
        sorted(names)
        == ["one", "one", "several/several", "several/several_1"]
        == sorted([*mixed.environment_factory, "one"])
    )
    rewards = []
    for example in mixed.train_dataset:
        episode = mixed.environment_factory[example["environment"]]()
        episode.reset(**{name: value for name, value in example.items() if name != "environment"})
        episode.increment_counter(count=2)
        assert hasattr(episode, "tool_reset") == (example["environment"] == "several/several_1")
        given = {"completions": [[DONE]], "environments": [episode], "domain": [example["domain"]]}
        rewards.append(
            [function(**given, nemo_gym_row=[example["nemo_gym_row"]])[0] for function in mixed.reward_funcs]
        )
    assert sorted(map(str, rewards)) == ["[1.5, None]"] * 2 + ["[None, 1.5]"] * 2


def test_rows_with_different_tools_are_different_environments(counter: str) -> None:
    spec = spec_of(counter, row(INCREMENT), row(INCREMENT, RESET), row(INCREMENT))
    assert spec.train_dataset["environment"] == ["nemo_gym", "nemo_gym_1", "nemo_gym"]
    assert {*spec.environment_factory} == {"nemo_gym", "nemo_gym_1"}
    episode = spec.environment_factory["nemo_gym_1"]()
    episode.reset(**{k: v for k, v in spec.train_dataset[1].items() if k != "environment"})
    # A tool that is called as the method that begins an episode is seen, and called, under another name.
    assert get_json_schema(episode.tool_reset)["function"]["description"] == "Begin at zero."
    assert json.loads(episode.tool_reset()) == {"success": True}
    assert json.loads(episode.increment_counter(count=5))["now"] == [5]
    assert reward_of(spec, episode, [asked("tool_reset"), answered("tool_reset", ""), DONE]) == 1.5


def test_invalid_arguments_are_the_models_fault(counter: str) -> None:
    spec = spec_of(counter)
    episode = spec.environment_factory()
    episode.reset(**spec.train_dataset[0])
    assert "count" in episode.increment_counter(count="many")
    episode.increment_counter(count=2)
    assert reward_of(spec, episode, [DONE]) == 1.5


@pytest.mark.parametrize(
    ("fault", "count", "cause"),
    [
        ("seed raises", 2, "error"),
        ("seed is late", 2, "timeout"),
        ("", 13, "error"),
        ("", 14, "timeout"),
        ("verify is late", 2, "timeout"),
        ("judge", 2, "error"),
        ("mask", 2, "error"),
        ("no number", 2, "missing"),
    ],
)
def test_a_failure_of_the_server_is_no_reward(fault: str, count: int, cause: str, counter: str) -> None:
    spec = spec_of(counter, row(INCREMENT, fault=fault), deadline=2.0 if cause == "timeout" else 60.0)
    episode = spec.environment_factory()
    assert episode.reset(**spec.train_dataset[0]) is None
    shown = episode.increment_counter(count=count)
    assert (shown == NOT_AVAILABLE) == (fault.startswith("seed") or count != 2)
    reward = reward_of(spec, episode, [DONE])
    assert isinstance(reward, NotMeasured)
    assert reward.cause == cause
    assert ("judge" in reward.detail) == (fault == "judge")


def test_a_row_that_the_server_does_not_take(counter: str) -> None:
    unfit = row(INCREMENT)
    del unfit["expected_count"]
    spec = spec_of(counter, unfit)
    episode = spec.environment_factory()
    episode.reset(**spec.train_dataset[0])
    reward = reward_of(spec, episode, [DONE])
    assert (reward.cause, "expected_count" in reward.detail) == ("error", True)


def test_a_server_that_dies() -> None:
    with served(SERVER, "counter", python=PYTHON) as (url, process):
        spec = spec_of(url)
        episodes = [spec.environment_factory() for _ in range(2)]
        for episode in episodes:
            episode.reset(**spec.train_dataset[0])
        assert episodes[0].increment_counter(count=15) == NOT_AVAILABLE
        process.wait()
        (function,) = spec.reward_funcs
        rewards = function(completions=[[DONE]] * 2, environments=episodes)
        assert [reward.cause for reward in rewards] == ["unreachable"] * 2
        with pytest.raises(ConnectionError, match=naming(url)):
            spec_of(url)


def test_what_cannot_be_adapted_is_refused(counter: str) -> None:
    with served(SERVER, "gymnasium") as (url, _), pytest.raises(ValueError, match=naming("/verify", "/step")):
        spec_of(url)
    images = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
    with pytest.raises(ValueError, match=naming("fly")):
        spec_of(counter, row(INCREMENT | {"name": "fly"}))
    with pytest.raises(ValueError, match=naming("web_search")):
        spec_of(counter, row({"type": "web_search"}))
    with pytest.raises(ValueError, match=naming("input_image")):
        spec_of(counter, {"responses_create_params": {"input": images}})
    with pytest.raises(ValueError, match=naming("responses_create_params", "question")):
        spec_of(counter, {"question": 1})


def test_a_jsonl_file_and_dialogues_with_calls(counter: str, tmp_path: Path) -> None:
    dialogue = [
        {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"role": "user", "content": "Add 2."},
        {"type": "function_call", "call_id": "a", "name": "increment_counter", "arguments": '{"count": 2}'},
        {"type": "function_call_output", "call_id": "a", "output": '{"success": true}'},
    ]
    lines = [row(INCREMENT), row(INCREMENT)]
    lines[1]["responses_create_params"]["input"] = dialogue
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    spec = nemo_gym_spec(counter, path)
    assert isinstance(spec.train_dataset, Dataset)
    system, _, asking, result = spec.train_dataset[1]["prompt"]
    assert (system["role"], system["content"]) == ("system", "Be brief.")
    assert asking["tool_calls"][0]["function"] == {"name": "increment_counter", "arguments": '{"count": 2}'}
    assert (result["role"], result["name"]) == ("tool", "increment_counter")


@pytest.mark.slow
def test_a_run_goes_on_when_its_server_dies(tmp_path: Path) -> None:
    with served(SERVER, "counter", python=PYTHON) as (url, process):
        spec = spec_of(url, *[row(INCREMENT)] * 4)

        def script(dialogue: str, place: int) -> str:
            if trainer.state.global_step == 1 and turns(dialogue) == 1 and process.poll() is None:
                process.kill()
                process.wait()
            return call("increment_counter", count=2 + place % 2) if not turns(dialogue) else "I am done."

        trainer = scripted_trainer(tmp_path, spec, script, max_steps=2)
        trainer.train()
    alive, dead = trainer.sampled
    assert alive["advantages"].tolist() == pytest.approx([0.5, -0.5] * 2)
    assert dead["sample_weights"].tolist() == [0] * 4
    assert +trainer.not_measured.total == {("nemo_gym", "unreachable"): 4}
    assert trainer.state.global_step == 2
