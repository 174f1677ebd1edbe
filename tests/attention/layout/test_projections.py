"""Each section of a projection is what its name says: taken away, exactly the query, the key or the value goes."""

import json
import logging
import re
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
import transformers
from census_models import CENSUS, census_model, skip_absent
from error_messages import naming
from packaging.version import Version
from tiny_models import tiny_model
from torch import Size, Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import AttentionInterface

from hf_muonclip import MuonClip, detect_head_layout
from hf_muonclip.attention import ProjectionPart, ProjectionRows, read_projections
from hf_muonclip.optim.matrix_view import PLAIN, MatrixView, from_matrices, matrix_blocks, to_matrices
from hf_muonclip.optim.parameters.param_groups import plan_parameters
from hf_muonclip.projection_views import projection_views

TOKENS = torch.randint(3, 60, (2, 7), generator=torch.Generator().manual_seed(0))
SIDES = ("query", "key", "value")
# Models outside of the attention interface: a method that returns query, key and value, and the dimension of heads.
OWN_SPLIT = {
    "falcon": ("_split_heads", 2),
    "bloom": ("_reshape", 1),
}
# (model type, overrides, weight, parts in the order of the rows)
CASES: dict[str, tuple[str, dict[str, Any], str, tuple[str, ...]]] = {
    "phi3": ("phi3", {}, "qkv_proj", SIDES),
    # Its experts are as wide as its hidden states, or older transformers does not run it.
    "dbrx": ("dbrx", {"ffn_config": {"hidden_size": 64, "ffn_hidden_size": 64}}, "Wqkv", SIDES),
    "gpt2": ("gpt2", {}, "c_attn", SIDES),
    "gpt_neox": ("gpt_neox", {}, "query_key_value", SIDES),
    "persimmon": ("persimmon", {}, "query_key_value", SIDES),
    "gpt_bigcode, one key head": ("gpt_bigcode", {}, "c_attn", SIDES),
    "gpt_bigcode, a key per head": ("gpt_bigcode", {"multi_query": False}, "c_attn", SIDES),
    "falcon, one key head": ("falcon", {}, "query_key_value", SIDES),
    "falcon, a key per head": ("falcon", {"multi_query": False, "num_kv_heads": 4}, "query_key_value", SIDES),
    "falcon, groups": ("falcon", {"new_decoder_architecture": True}, "query_key_value", SIDES),
    "bloom": ("bloom", {}, "query_key_value", SIDES),
    "codegen": ("codegen", {"n_head": 8}, "qkv_proj", ("query", "value", "key")),
    "qwen3_next": ("qwen3_next", {}, "q_proj", ("query", "gate")),
    "axk2": ("axk2", {}, "q_gate_proj", ("query", "gate")),
    "deepseek_v3, up": ("deepseek_v3", {}, "kv_b_proj", ("key", "value")),
    "deepseek_v3, down": ("deepseek_v3", {}, "kv_a_proj_with_mqa", ("latent", "rotary key")),
    "jetmoe": ("jetmoe", {}, "kv_proj", ("key", "value")),
    "llama's query": ("llama", {}, "q_proj", ("query",)),
    "llama's key": ("llama", {}, "k_proj", ("key",)),
    "llama's value": ("llama", {}, "v_proj", ("value",)),
}
MOVES = {"latent": {"key", "value"}, "rotary key": {"key"}, "gate": set()}


def built(model_type: str, **overrides: Any) -> PreTrainedModel:
    if not overrides:
        return census_model(model_type)
    entry = CENSUS[model_type]
    fields = json.loads(json.dumps(entry.config)) | overrides
    config = getattr(transformers, entry.config_class)(**fields, attn_implementation="eager")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, entry.model_class)(config).float().eval()


@contextmanager
def watching(model_type: str, module: nn.Module) -> Iterator[list[dict[str, Tensor]]]:
    """Collect query, key and value of every attention call of a module, heads in dimension 1."""
    seen: list[dict[str, Tensor]] = []
    if model_type in OWN_SPLIT:
        method, head_dimension = OWN_SPLIT[model_type]
        original = getattr(module, method)

        def split(*args: Any, **kwargs: Any) -> Any:
            states = original(*args, **kwargs)
            seen.append({side: s.transpose(1, head_dimension).clone() for side, s in zip(SIDES, states, strict=True)})
            return states

        with mock.patch.object(module, method, split):
            yield seen
        return
    if hasattr(module, "_attn"):  # of older transformers
        attend = module._attn

        def attention(*states: Tensor, **kwargs: Any) -> Any:
            seen.append({side: s.clone() for side, s in zip(SIDES, states[:3], strict=True)})
            return attend(*states, **kwargs)

        with mock.patch.object(module, "_attn", attention):
            yield seen
        return
    get_interface = AttentionInterface.get_interface

    def interface(self: AttentionInterface, name: str, default: Any) -> Any:
        function = get_interface(self, name, default)

        def call(caller: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
            if caller is module:
                seen.append(dict(zip(SIDES, (query.clone(), key.clone(), value.clone()), strict=True)))
            return function(caller, query, key, value, *args, **kwargs)

        return call

    with mock.patch.object(AttentionInterface, "get_interface", interface):
        yield seen


def moved(before: Tensor, after: Tensor) -> bool:
    return not torch.equal(before, after)


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_a_section_taken_away_takes_its_side_and_no_other(case: str) -> None:
    model_type, overrides, child, names = CASES[case]
    model = built(model_type, **overrides)
    name, stated = next(
        (name, rows) for name, rows in read_projections(model).known.items() if f".{child}." in f".{name}."
    )
    assert tuple(part.name for part in stated.parts) == names
    path, weight = name.removesuffix(f".{stated.parameter}"), model.get_parameter(name)
    module, plan = model.get_submodule(path), {p.name: p for p in plan_parameters(model, projection_views(model))}
    view = plan[name].view
    assert plan[name].algorithm == "muon"
    assert (len(view.sections) == len(names)) or (view == PLAIN and len(names) == 1)

    def run() -> dict[str, Tensor]:
        with watching(model_type, module) as seen:
            model(input_ids=TOKENS)
        return seen[0]

    before, saved = run(), weight.clone()
    assert all(before[side].any() for side in SIDES)
    for index, part in enumerate(names):
        matrix_blocks(weight, view)[index].zero_()
        assert moved(saved, weight)
        after = run()
        assert {side for side in SIDES if moved(before[side], after[side])} == MOVES.get(part, {part})
        weight.copy_(saved)
    by_head = projection_views(model, split_heads=True)[name][0]
    for index, part in enumerate(stated.parts):
        stacks = to_matrices(weight, by_head)
        if part.name not in SIDES:
            assert len(stacks[index]) == 1  # gates and latents stay whole
            continue
        heads = before[part.name].shape[1]
        key_heads = len(stacks[index])
        repeated = heads // key_heads  # falcon and jetmoe repeat a key for its queries themselves
        for head in range(len(stacks[index])):
            changed = [stack.clone() for stack in stacks]
            changed[index][head].zero_()
            weight.copy_(from_matrices(changed, by_head, weight.shape))
            after = run()
            differing = {h for h in range(heads) if moved(before[part.name][:, h], after[part.name][:, h])}
            wanted = (
                range(head, heads, key_heads) if case == "jetmoe" else range(head * repeated, (head + 1) * repeated)
            )
            assert differing == set(wanted)
            assert not any(moved(before[side], after[side]) for side in SIDES if side != part.name)
            weight.copy_(saved)


def test_latent_queries_are_one_matrix_and_heads_only_on_request() -> None:
    model = tiny_model("deepseek_v3")
    whole, by_head = projection_views(model), projection_views(model, split_heads=True)
    attention = "model.layers.0.self_attn"
    assert whole[f"{attention}.q_b_proj.weight"] == (PLAIN, "")
    for found, name, view, parts in (
        (by_head, "q_b_proj", MatrixView((24,), 4, (24,)), ("query", "head")),
        (whole, "kv_b_proj", MatrixView((16, 16), 4), ("key", "value")),
        (by_head, "kv_b_proj", MatrixView((16, 16), 4, (16, 16)), ("key", "value", "head")),
    ):
        cut, said = found[f"{attention}.{name}.weight"]
        assert cut == view
        assert re.search(naming(*parts), said)
    assert f"{attention}.o_proj.weight" not in by_head
    gated = projection_views(built("qwen3_next"), split_heads=True)
    (said,) = {said for name, (_, said) in gated.items() if name.endswith("q_proj.weight")}
    assert re.search(naming("query", "gate", "head"), said)


def test_xlnets_parameters_are_the_maps_of_its_einsums() -> None:
    model = built("xlnet")
    name = "transformer.layer.0.rel_attn"
    plan = {planned.name: planned for planned in plan_parameters(model, projection_views(model))}
    hidden, attention = torch.randn(3, 64), model.get_submodule(name)
    (query,) = to_matrices(attention.q.detach(), plan[f"{name}.q"].view)
    wanted = torch.einsum("ih,hnd->ind", hidden, attention.q.detach()).flatten(1)
    torch.testing.assert_close(hidden @ query[0].T, wanted, atol=1e-6, rtol=1e-5)
    (output,) = to_matrices(attention.o.detach(), plan[f"{name}.o"].view)
    heads = torch.randn(3, 4, 16)
    wanted = torch.einsum("ind,hnd->ih", heads, attention.o.detach())
    torch.testing.assert_close(heads.flatten(1) @ output[0].T, wanted, atol=1e-5, rtol=1e-5)
    assert {plan[f"{name}.{own}"].algorithm for own in "qkvor"} == {"muon"}
    assert {plan[f"{name}.{own}"].algorithm for own in ("r_w_bias", "seg_embed")} == {"adamw"}


def test_rows_of_heads_come_in_the_order_of_the_heads() -> None:
    rows = ProjectionRows("w", (ProjectionPart("query", 4, 2), ProjectionPart("key", 2, 2)), 2)
    assert rows.heads("query") == (range(0, 2), range(2, 4), range(6, 8), range(8, 10))
    assert rows.heads("key") == (range(4, 6), range(10, 12))


class OddAttention(nn.Module):
    """Fused, with a part whose purpose no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim = 2, 4
        self.qkv = nn.Linear(8, 24)
        self.twist = nn.Linear(8, 8)

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = self.qkv(hidden).chunk(3, dim=-1)
        return torch.softmax(query @ self.twist(key).mT, dim=-1) @ value


def test_what_no_rule_knows_stays_whole_with_a_reason_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.ModuleDict({"first": OddAttention(), "second": OddAttention(), "feed": nn.Linear(8, 8)})
    with caplog.at_level(logging.WARNING):
        plan = {planned.name: planned for planned in plan_parameters(model, projection_views(model))}
    assert plan["first.qkv.weight"].view == PLAIN
    assert plan["first.qkv.weight"].reason != plan["second.twist.weight"].reason
    (record,) = caplog.records
    assert re.search(naming("first.qkv.weight", 1), record.getMessage())


def test_an_unknown_layout_is_refused_by_the_clip_alone(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.ModuleDict({"only": OddAttention()})
    with pytest.raises(ValueError, match="qk_clip_threshold=None"):
        MuonClip(model)
    optimizer = MuonClip(model, qk_clip_threshold=None)
    reasons = {planned.name: planned.reason for planned in optimizer.plan}
    assert reasons["only.qkv.weight"] != reasons["only.twist.weight"]
    assert ["only.qkv.weight" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("threshold", [None, 100.0])
def test_the_optimizer_holds_the_views_of_its_plan(threshold: float | None) -> None:
    model = tiny_model("deepseek_v3")
    for split_heads in (False, True):
        optimizer = MuonClip(model, qk_clip_threshold=threshold, split_heads=split_heads)
        views = projection_views(model, split_heads=split_heads)
        assert {planned.name: planned.view for planned in optimizer.plan if planned.name in views} == {
            name: view for name, (view, _) in views.items()
        }
        optimizer.detach()


def test_a_model_without_attention_has_no_projections(caplog: pytest.LogCaptureFixture) -> None:
    assert projection_views(nn.Sequential(nn.Linear(4, 4))) == {}
    assert not caplog.records


def test_weights_that_layers_share_are_named_once() -> None:
    model = tiny_model("llama_gqa")
    first, second = (layer.self_attn for layer in model.model.layers)
    second.q_proj.weight, second.k_proj = first.q_proj.weight, first.k_proj
    views = projection_views(model, split_heads=True)
    assert views["model.layers.0.self_attn.q_proj.weight"][0] == MatrixView((16,), 4, (16,))
    assert views.keys().isdisjoint({f"model.layers.1.self_attn.{name}_proj.weight" for name in "qk"})


def test_sharing_that_cuts_differently_stays_whole(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model("llama_gqa")
    first = model.model.layers[0].self_attn
    first.v_proj.weight = first.q_proj.weight = nn.Parameter(torch.randn(64, 64))
    first.v_proj.out_features = 64
    name = "model.layers.0.self_attn.q_proj.weight"
    view, said = projection_views(model, split_heads=True)[name]
    assert view == PLAIN
    assert said
    assert [name in record.getMessage() for record in caplog.records] == [True]


class OwnAttention(nn.Module):
    """Attention whose projections have names that no rule knows: one for each side, or one for both."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.n_head = 2
        self.seek = nn.Linear(8, 24 if fused else 8)
        if not fused:
            self.offer, self.carry = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, hidden: Tensor) -> Tensor:
        fused = self.seek.out_features == 24
        states = (
            self.seek(hidden).chunk(3, -1) if fused else (self.seek(hidden), self.offer(hidden), self.carry(hidden))
        )
        query, key, value = (side.unflatten(-1, (2, 4)).transpose(1, 2) for side in states)
        return (torch.softmax(query @ key.mT, dim=-1) @ value).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("fused", [False, True])
def test_what_is_found_by_behavior_counts_where_the_sides_stand_apart(fused: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(64, 8)
            self.attention = OwnAttention(fused)

        def get_input_embeddings(self) -> nn.Embedding:
            return self.embedding

        def forward(self, input_ids: Tensor, **_: Any) -> Tensor:
            return self.attention(self.embedding(input_ids))

    model = Model()
    layout = detect_head_layout(model)
    assert layout.found_by_behavior == ("attention",)
    views = projection_views(model, layout, split_heads=True)
    per_head = MatrixView((4,), 2, (4,))
    wanted = {"seek": PLAIN} if fused else {"seek": per_head, "offer": per_head}
    assert {name: view for name, (view, _) in views.items()} == {f"attention.{n}.weight": v for n, v in wanted.items()}
    assert all(said for _, said in views.values())


FUSED = re.compile(
    r"(qkv_proj|query_key_value|c_attn|Wqkv|qkv|kv_b_proj|kv_a_proj_with_mqa|gate_up_proj|in_proj_qkvz?|in_proj_ba|in_proj"
    r"|Wi|x_proj|q_gate_proj)(\.weight)?$|in_proj_weight$"
)


def on_meta(model_type: str) -> PreTrainedModel:
    skip_absent(model_type)
    entry = CENSUS[model_type]
    config = getattr(transformers, entry.config_class)(**json.loads(json.dumps(entry.config)))
    with torch.device("meta"):
        return getattr(transformers, entry.model_class)(config)


@pytest.mark.slow
def test_no_fused_weight_of_any_causal_model_is_left_whole(caplog: pytest.LogCaptureFixture) -> None:
    checked: set[tuple[MatrixView, tuple[int, ...]]] = set()
    left = []
    for model_type in [model_type for model_type, entry in CENSUS.items() if entry.causal]:
        try:
            model = on_meta(model_type)
        except (unittest.SkipTest, ValueError):  # older transformers lacks it, or wants other fields
            assert Version(transformers.__version__) < Version("5.24")
            continue
        for planned in plan_parameters(model, projection_views(model, split_heads=True)):
            if planned.algorithm == "muon" and FUSED.search(planned.name) and len(planned.view.sections) < 2:
                left.append((model_type, planned.name))
            if planned.algorithm == "muon" or planned.view != PLAIN:
                checked.add((planned.view, planned.shape))
    assert left == []
    assert "kept whole" not in caplog.text
    for view, shape in checked:
        parameter = torch.arange(Size(shape).numel()).reshape(shape)
        stacks = [stack.clone() for stack in to_matrices(parameter, view)]
        assert [tuple(stack.shape) for stack in stacks] == list(view.matrix_shapes(shape))
        assert torch.equal(from_matrices(stacks, view, parameter.shape), parameter)
