"""The rows that the search finds are those that the module's own forward slices out, under whatever names."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812, the field's name for it
from error_messages import naming
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hf_muonclip import verify_head_layout
from hf_muonclip.attention import HeadLayout, HeadRows
from hf_muonclip.attention.layout.search import find_layouts

HIDDEN, HEADS, WIDTH, SCALE = 24, 4, 6, 6**-0.5


def heads_of(states: Tensor, heads: int = HEADS) -> Tensor:
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def mix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (F.softmax(query @ key.mT * SCALE, dim=-1) @ value).transpose(1, 2).flatten(2)


def ranges(start: int, step: int, width: int, count: int = HEADS) -> tuple[range, ...]:
    return tuple(range(start + head * step, start + head * step + width) for head in range(count))


class Odd(nn.Module):
    """Base of all: says how many heads it has, and nothing of where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.n_head = HEADS


class FusedByHead(Odd):
    """One matrix; each head's rows are value, key, query."""

    def __init__(self) -> None:
        super().__init__()
        self.blend = nn.Linear(HIDDEN, 3 * HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        value, key, query = heads_of(self.blend(x)).chunk(3, dim=-1)
        return mix(query, key, value)


class FusedByKind(Odd):
    """One matrix, stored (in, out), in the order keys, values, queries."""

    def __init__(self) -> None:
        super().__init__()
        self.stuff = nn.Parameter(torch.randn(HIDDEN, 3 * HIDDEN) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        key, value, query = (heads_of(part) for part in (x @ self.stuff).chunk(3, dim=-1))
        return mix(query, key, value)


class Interleaved(Odd):
    """Queries whose features of one head are every fourth row."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.tell = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        query = self.ask(x).unflatten(-1, (WIDTH, HEADS)).permute(0, 3, 1, 2)
        return mix(query, heads_of(self.tell(x)), heads_of(x))


class Grouped(Odd):
    """Two key heads, four query heads, through the interface."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.tell = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 2 * 2 * WIDTH)
        self.num_key_value_groups, self.is_causal = 2, True

    def forward(self, x: Tensor) -> Tensor:
        key, value = (heads_of(part, 2) for part in self.tell(x).chunk(2, dim=-1))
        attention = ALL_ATTENTION_FUNCTIONS.get_interface("sdpa", None)
        return attention(self, heads_of(self.ask(x)), key, value, None, scaling=SCALE)[0].flatten(2)


class SharedGain(Odd):
    """Normalized queries and keys, one gain for all heads' queries."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.tell = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.tame = nn.RMSNorm(WIDTH)
        nn.init.uniform_(self.tame.weight, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        key = F.normalize(heads_of(self.tell(x)), dim=-1)
        return mix(self.tame(heads_of(self.ask(x))), key, heads_of(x))


class OffsetGain(SharedGain):
    """The gain acts as 1 + w."""

    def __init__(self) -> None:
        super().__init__()
        self.tame = nn.Module()
        self.tame.w = nn.Parameter(torch.randn(WIDTH) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        query, key = (F.normalize(heads_of(part(x)), dim=-1) for part in (self.ask, self.tell))
        return mix(query * (1 + self.tame.w), key, heads_of(x))


class SummedQueries(Odd):
    """Queries are the sum of two projections, keys pass a fixed normalization: both must be scaled together."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.beg = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.tell = nn.Linear(HIDDEN, HIDDEN)
        self.num_key_value_groups, self.is_causal = 1, True

    def forward(self, x: Tensor) -> Tensor:
        query = heads_of(self.ask(x) + self.beg(x.flip(-1)))
        key = F.normalize(heads_of(self.tell(x)), dim=-1)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface("sdpa", None)
        return attention(self, query, key, heads_of(x), None, scaling=SCALE)[0].flatten(2)


class Unscalable(Odd):
    """Queries and keys are normalized after every weight."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.tell = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        query, key = (F.normalize(heads_of(part(x)), dim=-1) for part in (self.ask, self.tell))
        return mix(query, key, heads_of(x))


class Weightless(Odd):
    """Its weights touch the values alone."""

    def __init__(self) -> None:
        super().__init__()
        self.tell = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return mix(heads_of(x), heads_of(x), heads_of(self.tell(x)))


class NoAttention(Odd):
    """A gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.gate(x), dim=-1) * x


class Uncalled(FusedByHead):
    """The model never calls it."""


class TinyModel(nn.Module):
    def __init__(self, build: Callable[[], nn.Module]) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.words = nn.Embedding(32, HIDDEN)
            self.first, self.second = build(), build()
        self.drop = nn.Dropout(0.5)
        for parameter in self.parameters():
            parameter.data.add_(0.01)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.words

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Tensor:
        states = self.words(input_ids)
        if not isinstance(self.first, Uncalled):
            states = states + self.drop(self.first(states))
        return states + self.second(states)


SIX = ranges(0, WIDTH, WIDTH)
WHOLE_GAIN = (range(WIDTH),) * HEADS
SIDES: dict[type[nn.Module], tuple[HeadRows, ...]] = {
    Grouped: (
        HeadRows("ask.weight", SIX, "query of shared key"),
        HeadRows("ask.bias", SIX, "query of shared key"),
    ),
    SharedGain: (HeadRows("tame.weight", WHOLE_GAIN, "query of shared key"),),
    OffsetGain: (HeadRows("tame.w", WHOLE_GAIN, "query of shared key", offset=1.0),),
    SummedQueries: (
        HeadRows("ask.weight", SIX, "query of shared key"),
        HeadRows("ask.bias", SIX, "query of shared key"),
        HeadRows("beg.weight", SIX, "query of shared key"),
    ),
}


@pytest.mark.parametrize("attention", SIDES)
def test_the_rows_of_every_head_are_found(attention: type[nn.Module]) -> None:
    model = TinyModel(attention)
    found = find_layouts(model, {"first": model.first, "second": model.second})
    assert list(found) == ["first", "second"]
    for name, layout in found.items():
        assert (layout.name, layout.attention_class, layout.kind) == (name, attention.__name__, "as it behaves")
        assert layout.num_attention_heads == HEADS
        assert layout.head_rows == SIDES[attention]
        assert layout.granularity == ("layer" if "Gain" in attention.__name__ else "head")
    assert found["first"].num_key_value_heads == (2 if attention is Grouped else HEADS)
    verify_head_layout(model, HeadLayout(found))


# A fused matrix holds both sides of a head: scaled as one, they share the factor.
FUSED: dict[type[nn.Module], tuple[int, list[set[int]]]] = {
    FusedByHead: (0, [set(range(18 * h + 6, 18 * h + 18)) for h in range(HEADS)]),
    FusedByKind: (1, [{*range(6 * h, 6 * h + 6), *range(48 + 6 * h, 54 + 6 * h)} for h in range(HEADS)]),
}


@pytest.mark.parametrize("attention", FUSED)
def test_a_fused_weight_takes_half_of_the_factor_on_each_side(attention: type[nn.Module]) -> None:
    model = TinyModel(attention)
    layout = find_layouts(model, {"second": model.second})["second"]
    dim, expected = FUSED[attention]
    assert {rows.role for rows in layout.head_rows} == {"query and key"}
    assert {rows.dim for rows in layout.head_rows if rows.parameter.endswith(("weight", "stuff"))} == {dim}
    for parameter in {rows.parameter for rows in layout.head_rows}:
        named = [rows.rows for rows in layout.head_rows if rows.parameter == parameter]
        assert [set().union(*of_head) for of_head in zip(*named, strict=True)] == expected
    assert layout.granularity == "head"
    verify_head_layout(model, HeadLayout({"second": layout}))


def test_rows_far_apart_are_named_one_by_one() -> None:
    model = TinyModel(Interleaved)
    layout = find_layouts(model, {"first": model.first})["first"]
    by_role: dict[tuple[str, str], list[set[int]]] = {}
    for rows in layout.head_rows:
        heads = by_role.setdefault((rows.parameter, rows.role), [set() for _ in range(HEADS)])
        for head, of_head in enumerate(rows.rows):
            heads[head] |= set(of_head)
    strided = [set(range(head, HIDDEN, HEADS)) for head in range(HEADS)]
    contiguous = [set(of_head) for of_head in SIX]
    # Neither side of scores that the module takes itself is known: one is called query, the other key.
    sides = dict(by_role.keys())
    assert set(sides) == {"ask.weight", "ask.bias", "tell.weight"}
    assert sides["ask.weight"] == sides["ask.bias"] != sides["tell.weight"]
    assert set(sides.values()) == {"query", "key"}
    assert all(heads == (strided if path.startswith("ask") else contiguous) for (path, _), heads in by_role.items())
    verify_head_layout(model, HeadLayout({"first": layout}))


@pytest.mark.parametrize("attention", [FusedByHead, Grouped, OffsetGain, SummedQueries, Unscalable])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_model_is_left_as_it_was(attention: type[nn.Module], dtype: torch.dtype) -> None:
    model = TinyModel(attention).to(dtype)
    model.second.eval()
    next(model.first.parameters()).requires_grad_(False)
    modes = {name: module.training for name, module in model.named_modules()}
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    try:
        find_layouts(model, {"first": model.first, "second": model.second})
    except ValueError:
        assert attention is Unscalable
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == trained
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (Unscalable, naming("first", "Unscalable", "ask.bias", "ask.weight", "tell.bias", "tell.weight")),
        (Weightless, naming("first", "weights")),
        (NoAttention, naming("first", "NoAttention")),
        (Uncalled, naming("first")),
    ],
)
def test_what_cannot_be_scaled_is_refused_by_name(attention: Any, message: str) -> None:
    model = TinyModel(attention)
    with pytest.raises(ValueError, match=message):
        find_layouts(model, {"first": model.first})
