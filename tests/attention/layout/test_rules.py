"""Every kind of attention module is read right: rows, dimensions, roles, offsets and groups, written out by hand."""

import json
import re
from typing import Any

import pytest
import torch
import transformers
from census_check import check_type
from census_models import CENSUS, census_batch, census_model, skip_absent
from error_messages import naming
from torch import nn
from transformers import PreTrainedModel

from hf_muonclip import capture_max_logits, detect_head_layout, verify_head_layout
from hf_muonclip.attention import AttentionLayout, HeadRows


def tiny_on_meta(model_type: str, **overrides: Any) -> PreTrainedModel:
    skip_absent(model_type)
    entry = CENSUS[model_type]
    fields = json.loads(json.dumps(entry.config))
    config = getattr(transformers, entry.config_class)(**{**fields, **overrides})
    with torch.device("meta"):
        return getattr(transformers, entry.model_class)(config)


def layouts_on_meta(model_type: str, **overrides: Any) -> list[AttentionLayout]:
    return list(detect_head_layout(tiny_on_meta(model_type, **overrides)).values())


def starting_at(*starts: int, width: int = 16) -> tuple[range, ...]:
    return tuple(range(start, start + width) for start in starts)


FIRST_FOUR = starting_at(0, 16, 32, 48)
SECOND_FOUR = starting_at(64, 80, 96, 112)
SHARED_GAIN = (range(0, 16),) * 4
# [q k v] of one head after the other: 48 rows a head.
QUERIES_PER_HEAD = starting_at(0, 48, 96, 144)
KEYS_PER_HEAD = starting_at(16, 64, 112, 160)
SHARED_KEY = "query of shared key"

# (model type, overrides): kind, heads, key heads, head_dim, granularity, gamma_groups, head_rows; heads are 16 wide.
EXPECTED: dict[str, tuple[str, dict[str, Any], tuple[str, int, int, int, str, tuple[int, ...]], list[HeadRows]]] = {
    "gpt2 stores its weight (in, out)": (
        "gpt2",
        {},
        ("fused [Q|K|V] Conv1D", 4, 4, 16, "head", ()),
        [
            HeadRows("c_attn.weight", FIRST_FOUR, "query", 1),
            HeadRows("c_attn.bias", FIRST_FOUR, "query", 0),
            HeadRows("c_attn.weight", SECOND_FOUR, "key", 1),
            HeadRows("c_attn.bias", SECOND_FOUR, "key", 0),
        ],
    ),
    "phi3 with shared key heads": (
        "phi3",
        {},
        ("fused [Q|K|V]", 4, 2, 16, "head", ()),
        [HeadRows("qkv_proj.weight", FIRST_FOUR, SHARED_KEY)],
    ),
    "phi3 with a key per head": (
        "phi3",
        {"num_key_value_heads": 4},
        ("fused [Q|K|V]", 4, 4, 16, "head", ()),
        [HeadRows("qkv_proj.weight", FIRST_FOUR, "query"), HeadRows("qkv_proj.weight", SECOND_FOUR, "key")],
    ),
    "gpt_neox": (
        "gpt_neox",
        {},
        ("fused per head [q k v]", 4, 4, 16, "head", ()),
        [
            HeadRows("query_key_value.weight", QUERIES_PER_HEAD, "query"),
            HeadRows("query_key_value.bias", QUERIES_PER_HEAD, "query"),
            HeadRows("query_key_value.weight", KEYS_PER_HEAD, "key"),
            HeadRows("query_key_value.bias", KEYS_PER_HEAD, "key"),
        ],
    ),
    "falcon has one key head": (
        "falcon",
        {},
        ("fused [Q|K|V]", 4, 1, 16, "head", ()),
        [HeadRows("query_key_value.weight", FIRST_FOUR, SHARED_KEY)],
    ),
    "falcon without multi-query": (
        "falcon",
        {"multi_query": False, "num_kv_heads": 4},
        ("fused per head [q k v]", 4, 4, 16, "head", ()),
        [
            HeadRows("query_key_value.weight", QUERIES_PER_HEAD, "query"),
            HeadRows("query_key_value.weight", KEYS_PER_HEAD, "key"),
        ],
    ),
    "falcon's new architecture: [q q k v] of two key heads": (
        "falcon",
        {"new_decoder_architecture": True},
        ("fused per key head [q... k v]", 4, 2, 16, "head", ()),
        [HeadRows("query_key_value.weight", starting_at(0, 16, 64, 80), SHARED_KEY)],
    ),
    "codegen: 4 blocks of [q q | v v | k k]": (
        "codegen",
        {"n_head": 8},
        ("fused, 4 blocks [Q|V|K]", 8, 8, 8, "head", ()),
        [
            HeadRows("qkv_proj.weight", starting_at(0, 8, 48, 56, 96, 104, 144, 152, width=8), "query"),
            HeadRows("qkv_proj.weight", starting_at(32, 40, 80, 88, 128, 136, 176, 184, width=8), "key"),
        ],
    ),
    "qwen3_next: a gate beside each query, and a norm by 1 + gain": (
        "qwen3_next",
        {},
        ("separate, gated query, normed", 4, 2, 16, "layer", (0, 0, 0, 0)),
        [HeadRows("q_norm.weight", SHARED_GAIN, SHARED_KEY, 0, 1.0)],
    ),
    "qwen3: one gain for all heads": (
        "qwen3",
        {},
        ("separate, normed", 4, 2, 16, "layer", (0, 0, 0, 0)),
        [HeadRows("q_norm.weight", SHARED_GAIN, SHARED_KEY)],
    ),
    "olmo2: a gain as wide as all heads": (
        "olmo2",
        {},
        ("separate, normed", 4, 2, 16, "head", ()),
        [HeadRows("q_norm.weight", FIRST_FOUR, SHARED_KEY)],
    ),
    "cohere: a gain of shape (heads, head_dim)": (
        "cohere",
        {"use_qk_norm": True},
        ("separate, normed", 4, 2, 16, "head", ()),
        [HeadRows("q_norm.weight", starting_at(0, 1, 2, 3, width=1), SHARED_KEY)],
    ),
    "axk2: [nope 16 | rope 8 | gate 16] a head": (
        "axk2",
        {},
        ("mla, gated query", 4, 4, 24, "head", ()),
        [
            HeadRows("q_gate_proj.weight", starting_at(0, 40, 80, 120), "query"),
            HeadRows("q_gate_proj.weight", starting_at(16, 56, 96, 136, width=8), SHARED_KEY),
            HeadRows("kv_b_proj.weight", starting_at(0, 32, 64, 96), "key"),
        ],
    ),
    "zaya: a temperature per key head, each for two neighbouring query heads": (
        "zaya",
        {},
        ("convolved q and k", 4, 2, 16, "key head", (0, 0, 1, 1)),
        [HeadRows("qk_norm.temp", starting_at(0, 0, 1, 1, width=1), "key alone")],
    ),
    "jetmoe: both experts of a token meet the same two key heads": (
        "jetmoe",
        {},
        ("queries by experts", 4, 2, 16, "key head", (0, 1, 0, 1)),
        [HeadRows("kv_proj.weight", starting_at(0, 16, 0, 16), "key alone")],
    ),
    "xlnet: parameters of shape (hidden, heads, head_dim)": (
        "xlnet",
        {},
        ("separate, by head", 4, 4, 16, "head", ()),
        [
            HeadRows("q", starting_at(0, 1, 2, 3, width=1), "query", 1),
            HeadRows("r_w_bias", starting_at(0, 1, 2, 3, width=1), "query", 0),
            HeadRows("k", starting_at(0, 1, 2, 3, width=1), "key", 1),
        ],
    ),
    "deberta: a bias of the queries beside [q k v] per head": (
        "deberta",
        {},
        ("fused per head [q k v]", 4, 4, 16, "head", ()),
        [
            HeadRows("in_proj.weight", QUERIES_PER_HEAD, "query"),
            HeadRows("q_bias", FIRST_FOUR, "query"),
            HeadRows("in_proj.weight", KEYS_PER_HEAD, "key"),
        ],
    ),
}


@pytest.mark.parametrize("case", EXPECTED)
def test_rows_roles_and_groups(case: str) -> None:
    model_type, overrides, summary, rows = EXPECTED[case]
    layouts = layouts_on_meta(model_type, **overrides)
    assert layouts
    for layout in layouts:
        heads = (layout.num_attention_heads, layout.num_key_value_heads, layout.head_dim)
        assert (layout.kind, *heads, layout.granularity, layout.gamma_groups) == summary
        assert list(layout.head_rows) == rows
        assert (layout.note, layout.shares_weights_with) == ("", None)


@pytest.mark.parametrize("case", [case for case, (_, overrides, _, _) in EXPECTED.items() if overrides])
def test_what_the_census_does_not_build_is_proven_here(case: str) -> None:
    model_type, overrides, _, _ = EXPECTED[case]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = type(tiny_on_meta(model_type))(tiny_on_meta(model_type, **overrides).config)
    verify_head_layout(model, detect_head_layout(model))


def test_gpt2_cross_attention_has_its_queries_beside_fused_keys_and_values() -> None:
    result = check_type("gpt2", add_cross_attention=True)
    assert (result.status, result.not_run) == ("passes", 0), result.reason
    assert result.layouts == ["fused [Q|K|V] Conv1D", "query beside fused [K|V] Conv1D"]
    layouts = detect_head_layout(census_model("gpt2", add_cross_attention=True))
    assert list(layouts["transformer.h.0.crossattention"].head_rows) == [
        HeadRows("q_attn.weight", FIRST_FOUR, "query", 1),
        HeadRows("q_attn.bias", FIRST_FOUR, "query", 0),
        HeadRows("c_attn.weight", FIRST_FOUR, "key", 1),
        HeadRows("c_attn.bias", FIRST_FOUR, "key", 0),
    ]


def test_reformer_has_a_layer_where_the_query_is_the_key() -> None:
    local, hashed = layouts_on_meta("reformer")
    assert (local.attention_class, local.kind) == ("LocalSelfAttention", "separate")
    assert local.head_rows == (
        HeadRows("query.weight", FIRST_FOUR, "query"),
        HeadRows("key.weight", FIRST_FOUR, "key"),
    )
    assert (hashed.attention_class, hashed.kind) == ("LSHSelfAttention", "query is key")
    assert hashed.head_rows == (HeadRows("query_key.weight", FIRST_FOUR, "query of shared key"),)
    assert (local.granularity, hashed.granularity) == ("head", "head")


@pytest.mark.parametrize(
    ("model_type", "kind", "heads", "note"),
    [
        ("nanochat", "separate, normed", [(4, 2, 16)] * 2, naming("gain", 4)),
        ("deepseek_v4", "key is value", [(4, 1, 32)] * 2, naming("queries", "gain")),
        ("swinv2", "separate, cosine", [(n, n, 16) for n in (1, 2, 4, 8)], naming("cosine", "scale")),
    ],
)
def test_what_the_model_itself_bounds_is_monitored(
    model_type: str, kind: str, heads: list[tuple[int, int, int]], note: str
) -> None:
    layouts = layouts_on_meta(model_type)
    assert [(each.num_attention_heads, each.num_key_value_heads, each.head_dim) for each in layouts] == heads
    for layout in layouts:
        assert (layout.kind, layout.granularity, layout.head_rows) == (kind, "monitored", ())
        assert re.search(note, layout.note)
        assert layout.scaled() == f"nothing: {layout.note}"


def test_the_bound_in_the_note_holds_however_large_the_weights() -> None:
    model = census_model("nanochat")
    layout = detect_head_layout(model)
    bounds = {name: float(each.note.rpartition(" ")[2]) for name, each in layout.items()}
    assert set(bounds.values()) == {4.0}  # 16^-1/2 times two vectors of length 16^1/2
    with torch.no_grad(), capture_max_logits(model) as logits:
        for name in layout:
            attention: Any = model.get_submodule(name)
            attention.q_proj.weight.mul_(1e4)
            attention.k_proj.weight.copy_(attention.q_proj.weight[:32])  # a token then meets its own query as a key
        model(**census_batch("nanochat", model))
    for name, bound in bounds.items():
        largest = float(logits[name].max())
        assert 0.5 * bound < largest <= bound * (1 + 1e-5)


def test_a_clamp_is_noted_and_changes_no_row() -> None:
    clamped, free = layouts_on_meta("olmo", clip_qkv=8.0), layouts_on_meta("olmo")
    assert [layout.head_rows for layout in clamped] == [layout.head_rows for layout in free]
    assert {layout.note for layout in free} == {""}
    assert all(re.search(naming("±8", "gamma"), layout.note) for layout in clamped)


class Int8Linear(nn.Linear):
    """Keeps its weight in eight bits, as quantized models do."""

    def __init__(self, features: int) -> None:
        super().__init__(features, features, bias=False)
        self.weight = nn.Parameter(torch.ones(features, features, dtype=torch.int8), requires_grad=False)


def test_a_quantized_query_is_monitored() -> None:
    model = census_model("llama")
    attention: Any = model.get_submodule("model.layers.0.self_attn")
    attention.q_proj = Int8Linear(64)
    first, *others = detect_head_layout(model).values()
    assert first.granularity == "monitored"
    assert re.search(naming("q_proj", "Int8Linear", "torch.int8"), first.note)
    assert {layout.granularity for layout in others} == {"head"}
