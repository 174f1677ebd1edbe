"""Modules that attend are told from those that take another softmax, by what runs, and running them leaves no trace."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812, the field's name for it
from torch import Tensor, nn

from hf_muonclip.attention.modules.attending import see_attending

WIDTH, HEADS = 16, 2


def heads_of(states: Tensor) -> Tensor:
    return states.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def by_matmul(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / 3, dim=-1) @ v


def by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k).masked_fill(torch.ones(4, 4).triu(1).bool(), -torch.inf)
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return (weights / weights.sum(-1, keepdim=True)) @ v


def in_parts(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.zeros(*q.shape[:3], k.shape[2])
    scores[..., :2] = torch.baddbmm(torch.zeros(1), q.flatten(0, 1), k[:, :, :2].flatten(0, 1).mT).unflatten(0, (-1, 2))
    scores[..., 2:].copy_(q @ k[:, :, 2:].mT)
    return F.dropout(F.log_softmax(scores.float(), -1).exp(), 0.1, training=False).to(v) @ v


def rotated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    turned = [
        torch.view_as_real(torch.view_as_complex(states.unflatten(-1, (-1, 2))) * 1j).flatten(3) for states in (q, k)
    ]
    return F.scaled_dot_product_attention(*turned, v)


class Attending(nn.Module):
    """Calls a function outside of any class."""

    def __init__(self, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.attend, self.join, self.leave = attend, nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, states: Tensor) -> Tensor:
        q, k, v = (heads_of(part) for part in self.join(states).chunk(3, dim=-1))
        return self.leave(self.attend(q, k, v).transpose(1, 2).flatten(2))


class Core(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.leave = nn.Linear(WIDTH, WIDTH)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.leave(by_matmul(q, k, v).transpose(1, 2).flatten(2))


class ProjectsAround(nn.Module):
    """Projects for a core that attends."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.offer, self.core = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH), Core()

    def forward(self, states: Tensor) -> Tensor:
        return self.core(*(heads_of(part) for part in (self.ask(states), *self.offer(states).chunk(2, dim=-1))))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, states: Tensor) -> Tensor:
        bias = torch.cat([self.q.bias, self.k.bias, self.v.bias])
        attended, _ = F.multi_head_attention_forward(
            states, states, states, WIDTH, HEADS, None, bias, None, None, False, 0.0, self.o.weight, self.o.bias,
            use_separate_proj_weight=True, q_proj_weight=self.q.weight, k_proj_weight=self.k.weight,
            v_proj_weight=self.v.weight,
        )  # fmt: skip
        return attended


class OthersKeys(nn.Module):
    """Two layers, of which the second attends to the first one's keys."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict({"ask": nn.Linear(WIDTH, WIDTH)}) for _ in range(2))
        self.first, self.second = Asks(True), Asks(False)

    def forward(self, states: Tensor) -> Tensor:
        states, keys = self.first(states, None)
        return self.second(states, keys)[0]


class Asks(nn.Module):
    def __init__(self, offers: bool) -> None:
        super().__init__()
        self.ask = nn.Linear(WIDTH, WIDTH)
        self.offer = nn.Linear(WIDTH, WIDTH) if offers else None

    def forward(self, states: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        keys = heads_of(self.offer(states)) if self.offer is not None else keys
        assert keys is not None
        return by_matmul(heads_of(self.ask(states)), keys, keys).transpose(1, 2).flatten(2), keys


class Layer(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part, self.up, self.down = part, nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.part(states)
        return states + self.down(self.up(states).relu())


class Torchs(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options)

    def forward(self, states: Tensor) -> Tensor:
        return self.mha(states, states, states)[0]


def seen(part: nn.Module) -> set[str]:
    torch.manual_seed(0)
    model = Layer(part).eval()
    return set(see_attending(model, lambda: model(torch.randn(3, 4, WIDTH))).attended)


@pytest.mark.parametrize("attend", [by_matmul, by_einsum, by_hand, in_parts, rotated, F.scaled_dot_product_attention])
def test_attention_is_seen_wherever_its_code_stands(attend: Callable[..., Tensor]) -> None:
    assert seen(Attending(attend)) == {"part"}


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (ProjectsAround, {"part"}),
        (Functional, {"part"}),
        (Torchs, {"part.mha"}),
        (lambda: Torchs(kdim=WIDTH, vdim=WIDTH, add_bias_kv=True, bias=False), {"part.mha"}),
        (lambda: nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True), {"part.self_attn"}),
        (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True), 2),
         {"part.layers.0.self_attn", "part.layers.1.self_attn"}),
        (OthersKeys, {"part.first", "part.second"}),
    ],
)  # fmt: skip
def test_it_belongs_to_the_module_that_projects(build: Callable[[], nn.Module], names: set[str]) -> None:
    assert seen(build()) == names


class Router(nn.Module):
    """Mixes experts by a softmax over products with a weight, also normed."""

    def __init__(self, cosine: bool) -> None:
        super().__init__()
        self.cosine, self.centers = cosine, nn.Parameter(torch.randn(3, WIDTH))
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, states: Tensor) -> Tensor:
        centers = F.normalize(self.centers, dim=-1) if self.cosine else self.centers
        weights = (states @ centers.T).softmax(-1)
        made = torch.stack([expert(states) for expert in self.experts], dim=-2)
        return (weights.unsqueeze(-2) @ made).squeeze(-2)


class Pooling(nn.Module):
    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused, self.query = fused, nn.Parameter(torch.randn(1, 1, 1, WIDTH))
        self.key, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, states: Tensor) -> Tensor:
        query = self.query.expand(len(states), -1, -1, -1)
        key, value = (projection(states)[:, None] for projection in (self.key, self.value))
        attend = F.scaled_dot_product_attention if self.fused else by_matmul
        return attend(query, key, value)[:, 0]


class Vocabulary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, WIDTH)

    def forward(self, states: Tensor) -> Tensor:
        return (states @ self.words.weight.T).softmax(-1) @ self.words.weight


class Contrast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.text, self.image = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, states: Tensor) -> Tensor:
        logits = self.text(states[:, 0]) @ self.image(states[:, 1]).T
        return states + F.cross_entropy(logits, torch.arange(len(logits)))


class Linearized(nn.Module):
    """Softmaxes of queries and keys alone, and a gate by a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.join, self.gate = nn.Linear(WIDTH, 3 * WIDTH), nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, states: Tensor) -> Tensor:
        q, k, v = self.join(states).chunk(3, dim=-1)
        gate = self.gate(states.mT).softmax(1).mT
        return q.softmax(-1) @ (k.softmax(1).mT @ v) * gate


@pytest.mark.parametrize(
    "build",
    [
        lambda: Router(False), lambda: Router(True), lambda: Pooling(False), lambda: Pooling(True), Vocabulary,
        Contrast, Linearized,
    ],
)  # fmt: skip
def test_another_softmax_is_no_attention(build: Callable[[], nn.Module]) -> None:
    assert seen(build()) == set()


def test_what_did_not_run_is_told_from_what_does_not_attend() -> None:
    model = nn.ModuleDict({"ran": Linearized(), "idle": Attending(by_matmul)})

    def call() -> None:
        model["ran"](torch.randn(2, 4, WIDTH))
        raise KeyError("pixel_values")

    found = see_attending(model, call)
    assert not found.attended
    assert "ran" in found.used
    assert "idle" not in found.used


class Disturbing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part, self.norm = Attending(by_matmul), nn.BatchNorm1d(WIDTH)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, states: Tensor) -> Tensor:
        self.calls += 1
        noise = random.random()
        return F.dropout(self.norm(self.part(states).mT), 0.5) + noise


def test_running_leaves_no_trace() -> None:
    torch.manual_seed(0)
    model, states = Disturbing().train(), torch.randn(2, 4, WIDTH)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state(), random.getstate()
    assert see_attending(model, lambda: model(states)).attended == {"part"}
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(drawn[0], torch.get_rng_state())
    assert drawn[1] == random.getstate()
    assert model.training
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_compiled_code_is_seen_and_compiled_later() -> None:
    compiled = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    model = Layer(Attending(torch.compile(by_matmul, backend=backend)))
    states = torch.randn(3, 4, WIDTH)
    assert see_attending(model, lambda: model(states)).attended == {"part"}
    assert not compiled
    model(states)
    assert len(compiled) == 1


def test_a_model_without_weights_shows_its_attention() -> None:
    with torch.device("meta"):
        model, states = Layer(Attending(by_matmul)), torch.empty(3, 4, WIDTH)
    assert see_attending(model, lambda: model(states)).attended == {"part"}
