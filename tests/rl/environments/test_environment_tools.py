"""Tools from JSON schemas as methods that transformers can show and TRL can call."""

import sys
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from transformers.utils import get_json_schema

from hf_muonclip.common.graders.not_measured import NotMeasured
from hf_muonclip.rl.environments import openenv_spec, verifiers_spec
from hf_muonclip.rl.environments.episode import NOT_AVAILABLE, Episode, EpisodeError, EpisodeReward, environment_class
from hf_muonclip.rl.environments.tools import Tool, as_text
from hf_muonclip.rl.rewards.spec import Spec, mix


class Recorded(Episode):
    """Keeps what it is asked, and fails where a test says so."""

    fails_at = ""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def _begin(self, columns: dict[str, Any]) -> str | None:
        self.asked.append(("reset", columns))
        if self.fails_at == "reset":
            raise EpisodeError("unreachable", "no server")
        return "seen"

    def _act(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        self.asked.append((tool.name, arguments))
        if self.fails_at == tool.name:
            raise EpisodeError("timeout", "late")
        self._rewards.append(1.0)
        return [1, None]


def method(properties: dict[str, Any], *required: str, name: str = "act", description: str = "", **more: Any) -> Any:
    schema = {"type": "object", "properties": properties, "required": [*required], **more}
    episode = environment_class(Recorded, "recorded", [Tool(name, description, schema)])()
    return episode, getattr(episode, name)


def shown(function: Any) -> dict[str, Any]:
    return dict(get_json_schema(function)["function"])


def test_types_of_arguments() -> None:
    point = {"type": "object", "properties": {"x": {"type": "number"}}, "description": "Where."}
    _, act = method(
        {
            "count": {"type": "integer", "description": "How many.\nAt least one.", "minimum": 1},
            "names": {"type": "array", "items": {"type": "string"}},
            "kind": {"enum": ["a", 1], "default": "a"},
            "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "either": {"type": ["string", "boolean"]},
            "at": {"$ref": "#/$defs/Point"},
            "tree": {"$ref": "#/$defs/Tree"},
            "any": {},
            "odd": {"type": "tensor"},
        },
        "count",
        "at",
        **{"$defs": {"Point": point, "Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
    )
    of = shown(act)["parameters"]
    assert of["required"] == ["count", "at"]
    properties = of["properties"]
    assert properties["count"]["type"] == "integer"
    assert properties["count"]["description"].startswith("How many. At least one. ")
    assert '"minimum": 1' in properties["count"]["description"]
    assert properties["names"]["items"] == {"type": "string"}
    assert properties["kind"]["enum"] == ["a", 1]
    assert (properties["maybe"]["type"], properties["maybe"]["nullable"]) == ("number", True)
    assert {*properties["either"]["type"]} == {"string", "boolean"}
    assert properties["at"]["type"] == "object"
    assert '"x": {"type": "number"}' in properties["at"]["description"]
    assert properties["tree"]["type"] == "array"


def test_descriptions_that_docstrings_would_misread() -> None:
    description = 'Act.\n\nArgs:\n    number: How many.\n        Of them.\n\nReturns:\n    The "sum".'
    tricky = "Raises: a hand (choices: left, right)"
    _, act = method({"number": {"type": "integer"}, "hand": {"description": tricky}}, description=description)
    assert shown(act)["description"] == "Act."
    properties = shown(act)["parameters"]["properties"]
    assert properties["number"]["description"] == "How many. Of them."
    assert properties["hand"]["description"] == "Raises - a hand (one of: left, right)"
    _, act = method({"number": {"type": "integer"}})
    assert shown(act)["description"] == "Call act."


def test_arguments_whose_names_are_no_python_names() -> None:
    episode, act = method({"class": {"type": "string"}, "user-id": {}, "3d": {}, "self": {}}, "class", "self")
    assert {*shown(act)["parameters"]["properties"]} == {"class_", "user_id", "_3d", "self_"}
    act(class_="a", user_id=1, self_=2)
    assert episode.asked == [("act", {"class": "a", "user-id": 1, "self": 2})]
    with pytest.raises(ValueError, match=naming("user-id", "user_id")):
        method({"user-id": {}, "user_id": {}})


@pytest.mark.parametrize(
    ("name", "seen"), [("reset", "tool_reset"), ("get_reward", "tool_get_reward"), ("_x", "tool_x")]
)
def test_tools_with_names_that_mean_something_to_trl(name: str, seen: str) -> None:
    episode = environment_class(Recorded, "recorded", [Tool(name, "", {})])()
    getattr(episode, seen)()
    assert episode.asked == [(name, {})]
    with pytest.raises(ValueError, match=naming(seen)):
        environment_class(Recorded, "recorded", [Tool(name, "", {}), Tool(seen, "", {})])


def test_missing_and_unknown_arguments_do_not_reach_the_environment() -> None:
    episode, act = method({"number": {"type": "integer"}}, "number")
    for arguments in ({}, {"number": 1, "size": 1}):
        with pytest.raises(TypeError, match=naming("size" if arguments else "number")):
            act(**arguments)
    assert episode.asked == []


@pytest.mark.parametrize(
    ("value", "text"),
    [("as it is", "as it is"), ([], "[]"), (None, "null"), ({"é": 1}, '{"é": 1}'), (True, "true"), ("", "")],
    ids=str,
)
def test_what_a_model_is_shown(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_a_row_s_columns_and_the_first_observation() -> None:
    episode, act = method({})
    prompt = [{"role": "user", "content": "Begin."}]
    assert episode.reset(prompt=prompt, seed=3, of_another_domain=None) == "\n\nseen"
    assert episode.asked == [("reset", {"prompt": prompt, "seed": 3})]
    assert episode.reset(prompt=[{"role": "user", "content": ""}]) == "seen"
    assert act() == "[1, null]"


@pytest.mark.parametrize("fails_at", ["reset", "act"])
def test_a_failure_is_told_to_nobody_but_the_reward(fails_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    episode, act = method({})
    reward = EpisodeReward("recorded", type(episode))
    monkeypatch.setattr(Recorded, "fails_at", fails_at)
    seen = episode.reset(prompt=[{"role": "user", "content": "Begin."}])
    assert seen == (None if fails_at == "reset" else "\n\nseen")
    assert [act(), act()] == [NOT_AVAILABLE] * 2
    assert len(episode.asked) == (1 if fails_at == "reset" else 2)  # asked no more
    (failed,) = reward(completions=[""], environments=[episode])
    assert isinstance(failed, NotMeasured)
    assert (failed.cause, failed.detail) == (
        ("unreachable", "no server") if fails_at == "reset" else ("timeout", "late")
    )
    monkeypatch.setattr(Recorded, "fails_at", "")
    episode.reset()
    act()
    act()
    assert reward(completions=[""] * 2, environments=[episode, Recorded()]) == [2.0, None]


@pytest.mark.parametrize(
    ("value", "cause"), [(float("nan"), "missing"), (float("inf"), "infinite"), (None, "missing"), ("1", "error")]
)
def test_odd_rewards(value: Any, cause: str) -> None:
    episode, _ = method({})
    reward = EpisodeReward("recorded", type(episode), lambda rewards: value)
    episode.reset()
    (odd,) = reward(completions=[""], environments=[episode])
    assert odd.cause == cause


@pytest.mark.parametrize(
    ("module", "adapt", "pip"),
    [
        ("websockets.sync.client", lambda: openenv_spec("http://localhost", 1, prompt=""), "pip install websockets"),
        ("verifiers.v1", lambda: verifiers_spec(None), "pip install 'verifiers"),
    ],
    ids=["openenv", "verifiers"],
)
def test_what_is_not_installed_is_named(module: str, adapt: Any, pip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=naming(pip)):
        adapt()


def test_a_mixture_with_a_domain_without_environments() -> None:
    kind = type(method({})[0])
    prompts = [[{"role": "user", "content": "Begin."}]]
    played = Spec("played", Dataset.from_dict({"prompt": prompts, "seed": [3]}), [EpisodeReward("p", kind)], kind)
    plain = Spec("plain", Dataset.from_dict({"prompt": prompts}), [lambda completions, **_: [0.5] * len(completions)])
    both = mix([played, plain])
    environments = []
    for row in both.train_dataset:
        environments.append(both.environment_factory[row.pop("environment")]())
        environments[-1].reset(**row)
    domains = both.train_dataset["domain"]
    rewards = [f(completions=[""] * 2, environments=environments, domain=domains) for f in both.reward_funcs]
    place = domains.index("played")
    assert [of_function[place] for of_function in rewards] == [0, None]
    assert [of_function[1 - place] for of_function in rewards] == [None, 0.5]
    assert environments[place].asked[0][1]["seed"] == 3


def test_an_episode_that_ended_without_a_reward() -> None:
    episode, _ = method({})
    episode.reset()
    episode._done = True
    (missing,) = EpisodeReward("recorded", type(episode))(completions=[""], environments=[episode])
    assert missing.cause == "missing"
