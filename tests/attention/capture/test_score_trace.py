"""Scores are followed through hand-written attention code, and the hooks that do it come and go without a trace."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reference
import torch
import torch.nn.functional as F  # noqa: N812, the field's name for it
from tiny_models import random_batch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack as active_modes
from transformers import BloomConfig, BloomForCausalLM, GPTNeoConfig, GPTNeoForCausalLM, PreTrainedModel

from hf_muonclip import capture_max_logits, qk_clip_
from hf_muonclip.attention import HeadLayout, MaxLogitCapture
from hf_muonclip.attention.capture import max_logits
from hf_muonclip.attention.capture.score_trace import ScoreTrace
from hf_muonclip.attention.layout.rules import read_layout
from hf_muonclip.attention.modules.find import attention_modules

BATCH, HEADS, LENGTH, DIM = 2, 3, 5, 4
SCALE = 0.5
SHAPE = (BATCH, HEADS, LENGTH, LENGTH)
BIAS = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
CAUSAL = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
PAST = ~CAUSAL
LOWEST = torch.finfo(torch.float32).min


@pytest.fixture(autouse=True)
def leaves_no_mode_active() -> Iterator[None]:
    yield
    assert active_modes() == []


class Watch:
    """Keeps what a trace reports of a piece of code."""

    def __init__(self, code: Callable[[], Any], keep_graph: bool = False) -> None:
        self.scores: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self.operands: list[tuple[Tensor, Tensor, Tensor, Any, dict[str, Any]]] = []
        with ScoreTrace(lambda *seen: self.scores.append(seen), lambda *seen: self.operands.append(seen), keep_graph):
            self.result = code()


def draw(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator), torch.randn(*shape, generator=generator)


def products(query: Tensor, key: Tensor) -> Tensor:
    """Return q·k of every pair in float64, one multiplication and one sum at a time."""
    return (query.double()[..., :, None, :] * key.double()[..., None, :, :]).sum(-1)


def flat(states: Tensor) -> Tensor:
    return states.reshape(BATCH * HEADS, LENGTH, -1)


def in_place_bias(q: Tensor, k: Tensor) -> Tensor:
    scores = q @ k.mT
    scores *= SCALE
    scores += BIAS
    return scores


def in_place_mask(q: Tensor, k: Tensor) -> Tensor:
    scores = torch.matmul(q, k.mT).mul_(SCALE)
    scores.masked_fill_(PAST, LOWEST)
    return scores


def masked_by_setitem(q: Tensor, k: Tensor) -> Tensor:
    scores = (q * SCALE) @ k.mT
    scores[:, :, PAST] = -math.inf
    return scores


def multiplied_by_a_mask(q: Tensor, k: Tensor) -> Tensor:
    mask = CAUSAL.float()
    return (q * SCALE) @ k.mT * mask + -1e4 * (1 - mask)


def head_by_head(q: Tensor, k: Tensor) -> Tensor:
    scores = q.new_zeros(SHAPE)
    for head in range(HEADS):
        scores[:, head] = q[:, head] @ k[:, head].mT * SCALE
    return scores + BIAS


def method_where(q: Tensor, k: Tensor) -> Tensor:
    return ((q @ k.mT) * SCALE).where(CAUSAL, torch.tensor(LOWEST))


def view_and_back(q: Tensor, k: Tensor) -> Tensor:
    scores = torch.bmm(flat(q), flat(k).mT).view(SHAPE) / 2 + BIAS
    return scores.masked_fill(PAST, LOWEST).view(BATCH * HEADS, LENGTH, LENGTH)


def blocked_by(final: Tensor) -> Tensor:
    return final.masked_fill(PAST, -math.inf)


# What the softmax takes, computed from query and key as models do; and from SCALE·q·k in float64.
CODE: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "matmul, scaled after": (lambda q, k: torch.matmul(q, k.transpose(-1, -2)) * SCALE, lambda s: s),
    "scaled before": (lambda q, k: (q * SCALE) @ k.mT, lambda s: s),
    "scaled both sides": (lambda q, k: (q * SCALE**0.5) @ (k.mT * SCALE**0.5), lambda s: s),
    "divided in place": (lambda q, k: (q @ k.mT).div_(2), lambda s: s),
    "scaled by a left factor": (lambda q, k: SCALE * q.matmul(k.mT), lambda s: s),
    "bmm": (lambda q, k: torch.bmm(flat(q) * SCALE, flat(k).mT), lambda s: s),
    "einsum": (lambda q, k: torch.einsum("bhqd,bhkd->bhqk", q, k) * SCALE, lambda s: s),
    "einsum of a list": (lambda q, k: torch.einsum("bhqd,bhkd->bhqk", [q, k]) * SCALE, lambda s: s),
    "einsum, queries first": (
        lambda q, k: (torch.einsum("bhqd,bhkd->bqhk", q, k) * SCALE).transpose(1, 2),
        lambda s: s,
    ),
    "baddbmm": (
        lambda q, k: torch.baddbmm(flat(BIAS), flat(q), flat(k).mT, beta=2.0, alpha=SCALE),
        lambda s: s + 2 * BIAS.double(),
    ),
    "baddbmm with keyword operands": (
        lambda q, k: flat(BIAS).baddbmm(batch1=flat(q), batch2=flat(k).mT, beta=1.0, alpha=SCALE).view(SHAPE),
        lambda s: s + BIAS.double(),
    ),
    "baddbmm with keywords in odd order": (
        lambda q, k: flat(BIAS).baddbmm(alpha=SCALE, batch2=flat(k).mT, batch1=flat(q)),
        lambda s: s + BIAS.double(),
    ),
    "bias": (lambda q, k: q @ k.mT * SCALE + BIAS, lambda s: s + BIAS.double()),
    "bias on the left": (lambda q, k: BIAS + q @ k.mT * SCALE, lambda s: s + BIAS.double()),
    "bias before scaling": (lambda q, k: (q @ k.mT + BIAS) * SCALE, lambda s: s + SCALE * BIAS.double()),
    "in-place bias": (in_place_bias, lambda s: s + BIAS.double()),
    "masked_fill": (lambda q, k: (q @ k.mT * SCALE).masked_fill(PAST, LOWEST), blocked_by),
    "masked_fill of minus infinity": (lambda q, k: (q @ k.mT * SCALE).masked_fill(PAST, -math.inf), blocked_by),
    "in-place mask": (in_place_mask, blocked_by),
    "mask by setitem": (masked_by_setitem, blocked_by),
    "where": (lambda q, k: torch.where(CAUSAL, q @ k.mT * SCALE, torch.tensor(LOWEST)), blocked_by),
    "where, blocked first": (lambda q, k: torch.where(PAST, torch.tensor(LOWEST), q @ k.mT * SCALE), blocked_by),
    "where as a method": (method_where, blocked_by),
    "0/1 mask and -1e4": (multiplied_by_a_mask, blocked_by),
    "soft-cap": (lambda q, k: torch.tanh(q @ k.mT * SCALE / 3) * 3, lambda s: (s / 3).tanh() * 3),
    "cast": (lambda q, k: (q @ k.mT).double() * SCALE, lambda s: s),
    "view to (batch * heads) and back": (view_and_back, lambda s: blocked_by(s + BIAS.double())),
    "written head by head": (head_by_head, lambda s: s + BIAS.double()),
    "a second product added": (
        lambda q, k: q @ k.mT * SCALE + q.flip(-1) @ k.mT,
        lambda s: s + products(QUERY.flip(-1), KEY),
    ),
}
QUERY, KEY = draw(BATCH, HEADS, LENGTH, DIM)


@pytest.mark.parametrize(
    "name",
    CODE,
)
def test_scores_are_followed_without_what_is_added_to_them(name: str) -> None:
    code, expected_final = CODE[name]
    watch = Watch(lambda: F.softmax(code(QUERY, KEY), dim=-1))
    [(scores, final, blocked)] = watch.scores
    expected = SCALE * products(QUERY, KEY)
    must_block = expected_final(expected).isneginf()
    seen_blocked = final <= -1e4 if blocked is None else blocked | (final <= -1e4)
    assert scores.shape == final.shape
    assert torch.equal(seen_blocked.view(SHAPE), must_block)
    scores, final = scores.double().view(SHAPE), final.double().view(SHAPE)
    # What stands in the scores at blocked pairs does not count.
    torch.testing.assert_close(scores[~must_block], expected[~must_block], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(final[~must_block], expected_final(expected)[~must_block], rtol=1e-5, atol=1e-6)
    assert torch.equal(watch.result, F.softmax(code(QUERY, KEY), dim=-1))  # the code computes the same bits
    assert watch.operands == []


@pytest.mark.parametrize(
    "end",
    [
        lambda scores: scores.softmax(-1),
        lambda scores: torch.softmax(input=scores, dim=-1),
        lambda scores: nn.Softmax(dim=-1)(scores),
        lambda scores: scores.log_softmax(-1).exp(),
        lambda scores: (scores - torch.logsumexp(scores, dim=-1, keepdim=True)).exp(),
    ],
)
def test_every_way_to_take_the_softmax_is_seen(end: Callable[[Tensor], Tensor]) -> None:
    watch = Watch(lambda: end(QUERY @ KEY.mT) @ KEY)
    [(scores, _, _)] = watch.scores
    torch.testing.assert_close(scores.double(), products(QUERY, KEY), rtol=1e-5, atol=1e-6)
    expected = products(QUERY, KEY).softmax(-1) @ KEY.double()
    torch.testing.assert_close(watch.result.double(), expected, rtol=1e-5, atol=1e-5)


def test_a_softmax_without_a_product_is_not_reported() -> None:
    weight = torch.randn(DIM, DIM)
    watch = Watch(lambda: (QUERY.softmax(-1), F.linear(QUERY @ KEY.mT @ KEY, weight).softmax(-1), weight @ weight))
    assert watch.scores == watch.operands == []


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": CAUSAL, "scale": 0.3}, {"attn_mask": BIAS}])
def test_the_operands_of_sdpa_are_handed_over(options: dict[str, Any]) -> None:
    watch = Watch(lambda: F.scaled_dot_product_attention(QUERY, KEY, KEY, **options))
    [(query, key, value, mask, kwargs)] = watch.operands
    assert query is QUERY
    assert key is value is KEY
    assert mask is options.get("attn_mask")
    assert kwargs == {"is_causal": options.get("is_causal", False), "scaling": options.get("scale")}
    assert watch.scores == []


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": CAUSAL, "scale": 0.3}, {"attn_mask": BIAS}])
def test_scores_of_sdpa_with_five_dimensions_are_computed(options: dict[str, Any]) -> None:
    query, key = draw(2, BATCH, HEADS, LENGTH, DIM)
    watch = Watch(lambda: F.scaled_dot_product_attention(query, key, key, **options))
    [(scores, final, blocked)] = watch.scores
    expected = products(query, key) * options.get("scale", DIM**-0.5)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-6)
    mask = CAUSAL if options.get("is_causal") else options.get("attn_mask", torch.zeros(()))
    expected = expected.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else expected + mask
    torch.testing.assert_close(final.double(), expected, rtol=1e-5, atol=1e-6)
    assert blocked is None
    assert watch.operands == []


@pytest.mark.parametrize("masks", ["none", "bool", "float", "per head"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_scores_of_torchs_own_attention_are_computed(masks: str, batch_first: bool, bias: bool) -> None:
    module = nn.MultiheadAttention(HEADS * DIM, HEADS, batch_first=batch_first, bias=bias).eval()
    states, other = draw(BATCH, LENGTH, HEADS * DIM)
    padding = torch.tensor([[False] * LENGTH, [False] * (LENGTH - 2) + [True] * 2])
    mask: Any = {"bool": PAST, "float": BIAS[0, 0], "per head": flat(BIAS)}.get(masks)
    options = {} if masks == "none" else {"attn_mask": mask, "key_padding_mask": padding}
    arguments = [s if batch_first else s.transpose(0, 1) for s in (states, other, other)]
    with torch.no_grad():  # where torch would take its fused kernel
        [(scores, final, _)] = Watch(lambda: module(*arguments, **options)).scores
        q, k = (
            (s.double() @ w.double().mT + (b.double() if bias else 0)).view(BATCH, LENGTH, HEADS, DIM).transpose(1, 2)
            for s, w, b in zip(
                (states, other),
                module.in_proj_weight.chunk(3),
                module.in_proj_bias.chunk(3) if bias else (None, None, None),
                strict=False,
            )
        )
    expected = products(q, k) * DIM**-0.5
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-5)
    if masks != "none":
        expected = expected.masked_fill(PAST, -math.inf) if masks == "bool" else expected
        expected = expected + {"float": BIAS[0, 0], "per head": BIAS}.get(masks, torch.zeros(()))
        expected = expected.masked_fill(padding[:, None, None], -math.inf)
    torch.testing.assert_close(final.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"kdim": 20, "vdim": 12}, {"add_bias_kv": True}, {"add_bias_kv": True, "kdim": 20}]
)
@pytest.mark.parametrize("batched", [False, True])
def test_torchs_own_attention_is_measured_with_other_widths_and_a_learned_key(
    options: dict[str, Any], batched: bool
) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(HEADS * DIM, HEADS, batch_first=True, **options).eval()
    states, keys = torch.randn(BATCH, 5, HEADS * DIM), torch.randn(BATCH, LENGTH, module.kdim)
    values = torch.randn(BATCH, LENGTH, module.vdim)
    padding = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    padding[1, -2:] = True
    call = (states, keys, values) if batched else (states[1], keys[1], values[1])
    told = padding if batched else padding[1]
    with torch.no_grad():
        [(scores, final, _)] = Watch(lambda: module(*call, key_padding_mask=told)).scores
        weights = (module.q_proj_weight, module.k_proj_weight)
        weights = module.in_proj_weight.chunk(3)[:2] if module.in_proj_weight is not None else weights
        q, k = (
            (s.double() @ w.double().mT + b.double())
            for s, w, b in zip((states, keys), weights, module.in_proj_bias.chunk(3), strict=False)
        )
        if module.bias_k is not None:
            k = torch.cat([k, module.bias_k.double().expand(BATCH, -1, -1)], dim=1)
            padding = F.pad(padding, (0, 1))
        q, k = (s.unflatten(-1, (HEADS, DIM)).transpose(1, 2) for s in (q, k))
    expected, blocked = products(q, k) * DIM**-0.5, padding[:, None, None]
    if not batched:
        expected, blocked = expected[1:], blocked[1:]
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(final.double(), expected.masked_fill(blocked, -math.inf), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{"kdim": 20, "vdim": 12}, {"add_bias_kv": True}, {"bias": False}])
def test_the_clip_lands_on_torchs_own_attention(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(HEADS * DIM, HEADS, batch_first=True, **options)
    call = tuple(torch.randn(BATCH, 5, width) for width in (HEADS * DIM, module.kdim, module.vdim))
    layout = HeadLayout({"": read_layout("", module)})
    before = measured_alone(module, call, layout)
    asked = torch.where(torch.arange(HEADS) == 1, 1.25, -math.inf)  # one head to 0.8 of what it is
    qk_clip_(module, layout, {"": asked}, threshold=1.0)
    expected = before * torch.where(torch.arange(HEADS) == 1, 0.8, 1.0)
    torch.testing.assert_close(measured_alone(module, call, layout), expected, rtol=1e-5, atol=1e-6)


def measured_alone(module: nn.Module, call: tuple[Tensor, ...], layout: HeadLayout) -> Tensor:
    capture = MaxLogitCapture({"": module}, layout=layout)
    try:
        module(*call)
        return capture[""].clone()
    finally:
        capture.close()


@pytest.mark.parametrize("name", ["baddbmm", "in-place bias", "mask by setitem", "soft-cap", "written head by head"])
@pytest.mark.parametrize("keep_graph", [False, True])
def test_the_graph_is_kept_where_it_is_wanted(name: str, keep_graph: bool) -> None:
    query = QUERY.clone().requires_grad_()
    watch = Watch(lambda: F.softmax(CODE[name][0](query, KEY), dim=-1), keep_graph)
    [(scores, _, _)] = watch.scores
    (watch.result.view(SHAPE) * BIAS).sum().backward(retain_graph=True)  # the model's own graph is whole
    torch.testing.assert_close(query.grad, own_gradient(name), rtol=1e-5, atol=1e-6)
    if keep_graph and name != "mask by setitem":
        [gradient] = torch.autograd.grad(scores.sum(), query)  # of the scores alone: no tanh, no bias
        expected = SCALE * KEY.sum(dim=-2, keepdim=True).expand_as(QUERY)
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)


def own_gradient(name: str) -> Tensor:
    query = QUERY.clone().requires_grad_()
    (F.softmax(CODE[name][0](query, KEY), dim=-1).view(SHAPE) * BIAS).sum().backward()
    assert query.grad is not None
    return query.grad


def tiny_bloom(**overrides: Any) -> PreTrainedModel:
    sizes = {"vocab_size": 128, "hidden_size": 64, "n_layer": 2, "n_head": 4, "use_cache": False, "pad_token_id": 0}
    return seeded(BloomForCausalLM, BloomConfig(**{**sizes, **overrides}))


def tiny_neo() -> PreTrainedModel:
    sizes = {"vocab_size": 128, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "intermediate_size": 96}
    kinds = {"attention_types": [[["global", "local"], 1]], "window_size": 8, "max_position_embeddings": 64}
    return seeded(GPTNeoForCausalLM, GPTNeoConfig(**sizes, **kinds, use_cache=False))


def seeded(model_class: type[PreTrainedModel], config: Any) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config)
    return model.train()


def brute_force(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the max logits of a Bloom, from the output of its fused projections, by the reference."""
    fused: dict[str, Tensor] = {}
    modules = attention_modules(model)
    handles = [
        module.query_key_value.register_forward_hook(lambda _, args, out, name=name: fused.update({name: out}))
        for name, module in modules.items()
    ]
    with torch.no_grad():
        model(**batch)
    for handle in handles:
        handle.remove()
    allowed = reference.allowed_pairs(batch["attention_mask"])
    found = {}
    for name, states in fused.items():
        query, key, _ = states.unflatten(-1, (4, 3, 16)).permute(3, 0, 2, 1, 4)
        found[name] = reference.max_logits(query, key, 16**-0.5, allowed)
    return found


def assert_measured(logits: Any, expected: dict[str, Tensor]) -> None:
    assert dict(logits).keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(logits[name].double(), expected[name], rtol=1e-5, atol=1e-7)


def assert_untouched(model: nn.Module) -> None:
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_always_called
        assert not [name for name in vars(module) if name.startswith("_attention_")]


@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_max_logits_equal_the_reference_without_alibi_and_padding(padding: Any) -> None:
    model = tiny_bloom()
    batch = random_batch(model, padding=padding)
    expected = brute_force(model, batch)
    with torch.no_grad(), capture_max_logits(model) as logits:
        model(**batch)
    assert_measured(logits, expected)


@pytest.mark.parametrize("build", [tiny_bloom, tiny_neo])
@pytest.mark.parametrize(
    "interruption",
    [
        ValueError("inside"),
        KeyboardInterrupt(),  # for which torch calls no hook
    ],
)
def test_nothing_is_left_behind_by_a_forward_that_fails(build: Any, interruption: BaseException) -> None:
    model = build()
    batch = random_batch(model)

    def fail(*_: Any) -> None:
        assert len(active_modes()) == 1
        raise interruption

    first = next(iter(attention_modules(model).values()))
    inner = next(module for module in first.modules() if isinstance(module, nn.Linear))
    try:
        with torch.no_grad(), capture_max_logits(model) as logits:
            handle = inner.register_forward_hook(fail)
            with pytest.raises(type(interruption)):
                model(**batch)
            handle.remove()
            if isinstance(interruption, Exception):
                assert active_modes() == []
                model(**batch)
                assert len(logits) == 2
        assert active_modes() == []
        assert_untouched(model)
    finally:
        while active_modes():
            active_modes()[-1].__exit__(None, None, None)


@pytest.mark.parametrize("build", [tiny_bloom, tiny_neo])
def test_a_copy_of_a_measured_model_is_not_measured(build: Any) -> None:
    model = build().eval()
    batch = random_batch(model)
    with torch.no_grad(), capture_max_logits(model) as logits:
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(twin(**batch).logits, model(**batch).logits)
            assert len(logits) == 2
            logits.reset()
            twin(**batch)
            assert len(logits) == 0
            with capture_max_logits(twin) as of_twin:  # and can be measured on its own
                twin(**batch)
            assert (len(of_twin), len(logits)) == (2, 0)
    assert_untouched(model)


def test_two_models_are_measured_at_once() -> None:
    first, second = tiny_bloom(), tiny_bloom(initializer_range=0.1)
    batch = random_batch(first)
    truths = [brute_force(model, batch) for model in (first, second)]
    with torch.no_grad(), capture_max_logits(second) as of_second:
        with capture_max_logits(first) as of_first:
            first(**batch)
            second(**batch)
        assert_untouched(first)
        first(**batch)
    assert_measured(of_first, truths[0])
    assert_measured(of_second, truths[1])
    assert_untouched(second)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("training_only", [True, False])
def test_gradient_checkpointing_measures_once(
    use_reentrant: bool, training_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_bloom()
    batches = [random_batch(model, seed=seed) for seed in range(2)]
    truths = [brute_force(model, batch) for batch in batches]
    folds: list[Tensor] = []
    original = max_logits._Recorder._fold
    monkeypatch.setattr(max_logits._Recorder, "_fold", lambda self, m: (folds.append(m), original(self, m)))
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    capture = MaxLogitCapture(attention_modules(model), training_only=training_only, model=model)
    try:
        for micro_batch, batch in enumerate(batches, start=1):
            model(**batch).loss.backward()
            assert len(folds) == 2 * micro_batch
        assert_measured(capture, {name: torch.maximum(truths[0][name], truths[1][name]) for name in truths[0]})
    finally:
        capture.close()


@pytest.mark.parametrize("fullgraph", [True, False])
@pytest.mark.parametrize(
    "ran_before",
    [False, True],
)
def test_a_compiled_model_is_refused_or_measured_and_never_missed(fullgraph: bool, ran_before: bool) -> None:
    model = tiny_bloom(n_layer=1)
    batch = random_batch(model)
    expected = brute_force(model, batch)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=fullgraph)
    try:
        with torch.no_grad():
            if ran_before:
                compiled(**batch)
            with capture_max_logits(model) as logits:
                if fullgraph:
                    with pytest.raises(torch._dynamo.exc.Unsupported, match="attention inter"):
                        compiled(**batch)
                else:
                    compiled(**batch)
                    assert_measured(logits, expected)
    finally:
        torch._dynamo.reset()
    assert_untouched(model)
