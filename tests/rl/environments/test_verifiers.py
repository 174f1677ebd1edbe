"""verifiers' tasksets as Specs: rewards, toolsets, and what becomes of those that fail. Skips without verifiers."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from tiny_tools import call, readme_snippet, scripted_trainer, turns
from transformers.utils import get_json_schema

vf = pytest.importorskip("verifiers.v1", reason="verifiers cannot be installed beside openenv, which CI has")

import verifiers_tasks as tasks  # noqa: E402 (needs verifiers)

from hf_muonclip.common.graders.grader_pool import GraderPool  # noqa: E402
from hf_muonclip.common.graders.not_measured import NotMeasured  # noqa: E402
from hf_muonclip.rl.environments import verifiers_spec  # noqa: E402
from hf_muonclip.rl.rewards.spec import Spec  # noqa: E402

CONFIG = vf.TasksetConfig()


@pytest.fixture(scope="module")
def pool() -> Any:
    with GraderPool(workers=1, deadline=3.0) as pool:
        yield pool


def reward_of(spec: Spec, row: int, said: Any, episode: Any = None, **more: Any) -> Any:
    (function,) = spec.reward_funcs
    completion = said if isinstance(said, list) else [{"role": "assistant", "content": said}]
    columns = {name: [spec.train_dataset[row][name]] for name in spec.train_dataset.column_names if name != "prompt"}
    given = {"prompts": [spec.train_dataset[row]["prompt"]], "completions": [completion], **columns, **more}
    (reward,) = function(**given, **({} if episode is None else {"environments": [episode]}))
    return reward


def test_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_tasks", tasks)
    names: dict[str, Any] = {}
    exec(readme_snippet("verifiers_spec"), names)
    assert len(names["spec"].train_dataset) == 2


def test_rewards_of_a_task_are_awaited_weighed_and_logged(pool: GraderPool) -> None:
    spec = verifiers_spec(tasks.Sums(CONFIG), pool=pool)
    assert spec.environment_factory is None
    assert spec.train_dataset["prompt"][1] == [
        {"role": "system", "content": "Add."},
        {"role": "user", "content": "What is 1 + 5?"},
    ]
    logged: dict[str, float] = {}
    assert reward_of(spec, 1, "6", log_metric=logged.__setitem__) == 2.5
    assert logged == {"verifiers/right": 1.0, "verifiers/brief": 0.5}
    assert reward_of(spec, 0, "It is certainly 6.") == 0
    assert reward_of(spec, 1, "It is certainly 6.") == 2


def test_mathematics_is_checked_where_verifiers_can(pool: GraderPool) -> None:
    """In any thread but the main one, verifiers gives right answers 0."""
    spec = verifiers_spec(tasks.BoxedSums(CONFIG), pool=pool)
    assert reward_of(spec, 0, r"\boxed{5}") == 1
    assert reward_of(spec, 0, r"\boxed{6}") == 0


@pytest.mark.parametrize(("fault", "cause"), [("raises", "error"), ("nan", "missing"), ("blocks", "timeout")])
def test_a_reward_that_fails_is_no_zero(
    fault: str, cause: str, pool: GraderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.Sums, "faults", (fault, ""))
    spec = verifiers_spec(tasks.Sums(CONFIG), pool=pool)
    reward = reward_of(spec, 0, "5")
    assert isinstance(reward, NotMeasured)
    assert reward.cause == cause
    assert reward_of(spec, 1, "6") == 2.5


def test_toolsets_are_tools_with_a_state_of_their_own(pool: GraderPool) -> None:
    spec = verifiers_spec(tasks.Counts(CONFIG), pool=pool, deadline=2.0)
    episode, other = spec.environment_factory(), spec.environment_factory()
    schema = get_json_schema(episode.count_add)["function"]
    assert schema["description"] == "Add to the total."
    assert schema["parameters"]["properties"]["number"]["description"].startswith("to add.")
    for one in (episode, other):
        one.reset(**spec.train_dataset[0])
    assert episode.count_add(number=2).split() == ["5", "1"]
    assert other.count_add(number=7).split() == ["10", "1"]
    assert "refuse" in json.loads(episode.count_refuse())["error"]
    called = [
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "count_add", "arguments": {}}}]},
        {"role": "tool", "name": "count_add", "content": "5"},
        {"role": "assistant", "content": "done"},
    ]
    assert reward_of(spec, 0, called, episode) == 2.75
    assert reward_of(spec, 0, "done", other) == 7
    episode.reset(**spec.train_dataset[0])
    assert episode.count_add(number=0).split() == ["3", "1"]


def test_a_toolset_that_fails_is_no_reward(pool: GraderPool) -> None:
    spec = verifiers_spec(tasks.Counts(CONFIG), pool=pool, deadline=0.5)
    episode = spec.environment_factory()
    episode.reset(**spec.train_dataset[1])
    assert episode.count_add(number=1) == "The environment is not available."
    assert reward_of(spec, 1, "done", episode).cause == "error"
    episode.reset(**spec.train_dataset[0])
    assert episode.count_add(number=14) == "The environment is not available."
    assert reward_of(spec, 0, "done", episode).cause == "timeout"


@pytest.mark.parametrize(
    ("kind", "data", "named"),
    [
        ("NeedsRuntime", {}, "runs"),
        ("NeedsSetup", {}, "setup"),
        ("Stops", {}, "stop"),
        ("Nothing", {}, "reward"),
        ("SumTask", {"prompt": None}, "user"),
        ("SumTask", {"image": "ubuntu"}, "container"),
    ],
)
def test_what_cannot_be_adapted_is_refused(
    kind: str, data: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.Of, "kind", getattr(tasks, kind))
    monkeypatch.setattr(tasks.Of, "data", data)
    with pytest.raises(ValueError, match=naming("task 0", "Of", named)):
        verifiers_spec(tasks.Of(CONFIG))


def test_tasks_that_do_not_pickle_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.Of, "kind", type("Local", (tasks.SumTask,), {}))
    with pytest.raises(ValueError, match=naming("pickle", "Local")):
        verifiers_spec(tasks.Of(CONFIG))


def test_endless_tasksets_and_other_environments(pool: GraderPool) -> None:
    with pytest.raises(ValueError, match=naming("Endless", "take")):
        verifiers_spec(tasks.Endless(CONFIG))
    assert len(verifiers_spec(tasks.Endless(CONFIG).take(1), pool=pool).train_dataset) == 1
    with pytest.raises(TypeError, match=naming("Taskset", "SumTask")):
        verifiers_spec(next(iter(tasks.Sums(CONFIG))))


@pytest.mark.slow
def test_a_run(tmp_path: Path, pool: GraderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.Counts, "faults", ("",) * 4)
    spec = verifiers_spec(tasks.Counts(CONFIG), pool=pool)

    def script(dialogue: str, place: int) -> str:
        return "done" if turns(dialogue) else call("count_add", number=place % 2)

    trainer = scripted_trainer(tmp_path, spec, script, max_steps=1)
    trainer.train()
    assert trainer.sampled[0]["advantages"].tolist() == pytest.approx([-0.5, 0.5] * 2)
    assert trainer.state.log_history[0]["tools/failure_frequency"] == 0
