"""Captured max logits against brute force, on operands that are rebuilt from the projections' own outputs."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reference
import torch
import torch.nn.attention.flex_attention
from error_messages import naming
from tiny_models import TINY_MODEL_NAMES, random_batch, tiny_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from true_logits import brute_force

from hf_muonclip import capture_max_logits, detect_head_layout
from hf_muonclip.attention import MaxLogitCapture
from hf_muonclip.attention.capture import max_logits
from hf_muonclip.attention.capture.pair_mask import PairMask
from hf_muonclip.attention.capture.tiled_maxima import exact_max_logits, max_logit_bound

RUNNABLE = [
    (name, implementation)
    for name in TINY_MODEL_NAMES
    for implementation in ("eager", "sdpa")
    if (name, implementation) != ("gpt_oss", "sdpa")  # SDPA has no attention sinks
]
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 16,
}


def sharp_model(name: str, **overrides: Any) -> PreTrainedModel:
    """Return a tiny model whose logits are of order one, not of order 1e-3."""
    model = tiny_model(name, **overrides)
    with torch.no_grad():
        for module_name, module in model.named_modules():
            if module_name.endswith(("q_proj", "q_b_proj")):
                for parameter in module.parameters():
                    parameter.mul_(40)
    return model


def measure(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad(), capture_max_logits(model) as logits:
        model(**batch)
    return dict(logits)


def assert_same(measured: dict[str, Tensor], truth: dict[str, Tensor]) -> None:
    assert measured.keys() == truth.keys()
    for name, expected in truth.items():
        assert measured[name].dtype == torch.float32
        assert expected.isfinite().all()
        torch.testing.assert_close(measured[name].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize(("name", "implementation"), RUNNABLE)
def test_every_layout_and_padding(name: str, implementation: str, padding: Any) -> None:
    model = sharp_model(name, attn_implementation=implementation)
    batch = random_batch(model, batch_size=3, padding=padding)
    assert_same(measure(model, batch), brute_force(model, batch))


@pytest.fixture
def uncompiled_flex_attention(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Flex attention compiles itself at the first call, which takes longer than all tests here."""
    monkeypatch.setattr(torch.nn.attention.flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    with torch._dynamo.config.patch(disable=True):
        yield


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.usefixtures("uncompiled_flex_attention")
def test_flex_attention(padding: Any) -> None:
    model = sharp_model("llama_gqa", attn_implementation="flex_attention")
    batch = random_batch(model, batch_size=3, padding=padding)
    assert_same(measure(model, batch), brute_force(model, batch))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_without_an_attention_mask(implementation: str) -> None:
    model = sharp_model("llama_gqa", attn_implementation=implementation)
    batch = {"input_ids": random_batch(model)["input_ids"]}
    assert_same(measure(model, batch), brute_force(model, batch))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_sliding_window(implementation: str, padding: Any) -> None:
    model = sharp_model("mixtral", sliding_window=3, attn_implementation=implementation)
    batch = random_batch(model, padding=padding)
    truth = brute_force(model, batch)
    assert_same(measure(model, batch), truth)
    first_layer = "model.layers.0.self_attn"
    without_window = brute_force(sharp_model("mixtral"), batch)[first_layer]
    assert (without_window > truth[first_layer] * 1.01).any(), "the window must matter here"


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_scaling_with_the_mscale_of_yarn(implementation: str) -> None:
    model = sharp_model("deepseek_v3", rope_parameters=YARN, attn_implementation=implementation)
    scaling = model.model.layers[0].self_attn.scaling
    assert scaling != pytest.approx(model.config.qk_head_dim**-0.5, rel=0.1)
    batch = random_batch(model)
    assert_same(measure(model, batch), brute_force(model, batch))


def test_a_scaling_that_a_module_sets_itself() -> None:
    model = sharp_model("llama_gqa")
    before = measure(model, batch := random_batch(model))
    model.model.layers[1].self_attn.scaling = -0.3  # negative: the smallest product becomes the largest logit
    after = measure(model, batch)
    assert_same(after, brute_force(model, batch))
    assert not torch.allclose(before["model.layers.1.self_attn"], after["model.layers.1.self_attn"])


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
@pytest.mark.usefixtures("uncompiled_flex_attention")
def test_packed_documents_do_not_see_each_other(implementation: str) -> None:
    model = sharp_model("llama_gqa", attn_implementation=implementation)
    lengths = (5, 8, 3)
    batch = {
        "input_ids": random_batch(model, batch_size=1, length=16)["input_ids"],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
    }
    documents = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    truth = brute_force(model, batch, documents)
    across = brute_force(model, batch)
    assert any((across[name] > truth[name] * 1.01).any() for name in truth), "the packing must matter here"
    assert_same(measure(model, batch), truth)


@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_bfloat16_models_against_their_bfloat16_operands(name: str) -> None:
    model = sharp_model(name).to(torch.bfloat16)
    batch = random_batch(model, padding="left")
    assert_same(measure(model, batch), brute_force(model, batch))


def test_sequences_longer_than_a_tile() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(1, 4, 600, 8, generator=generator), torch.randn(1, 2, 600, 8, generator=generator)
    query[:, :, 590] *= 10  # the maximum in the last tile, then in the first
    for _ in range(2):
        mask = PairMask(600, 600, query.device, causal=True)
        allowed = torch.ones(1, 600, 600, dtype=torch.bool).tril()
        truth = reference.max_logits(query, key, 0.3, allowed)
        torch.testing.assert_close(exact_max_logits(query, key, mask, 0.3).double(), truth, rtol=1e-5, atol=1e-6)
        query = query.flip(2)


def test_more_queries_than_keys_and_fewer() -> None:
    for query_length, key_length in ((3, 7), (7, 3)):
        generator = torch.Generator().manual_seed(0)
        query, key = (torch.randn(2, 4, length, 8, generator=generator) for length in (query_length, key_length))
        mask = PairMask(query_length, key_length, query.device)
        truth = reference.max_logits(query, key, 0.3, torch.ones(2, query_length, key_length, dtype=torch.bool))
        torch.testing.assert_close(exact_max_logits(query, key, mask, 0.3).double(), truth, rtol=1e-5, atol=1e-6)


def test_a_head_without_any_pair_is_minus_infinity() -> None:
    query = torch.ones(1, 2, 3, 4)
    blocked = torch.zeros(1, 2, 3, 3, dtype=torch.bool)
    blocked[:, 1] = True
    measured = exact_max_logits(query, query, PairMask(3, 3, query.device, dense_blocked=blocked), 0.5)
    assert measured.tolist() == [2.0, -math.inf]


def random_operands(generator: torch.Generator, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, float]:
    """Draw operands whose head maxima spread over orders of magnitude."""
    heads, key_heads = [(4, 4), (4, 2), (4, 1)][int(torch.randint(3, (), generator=generator))]
    spread = 10 ** (2 * torch.rand(1, heads, 1, 1, generator=generator) - 1)
    query = torch.randn(2, heads, 6, 8, generator=generator) * spread
    key = torch.randn(2, key_heads, 6, 8, generator=generator)
    return query.to(dtype), key.to(dtype), float(torch.randn((), generator=generator))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bound_is_never_below_the_maximum(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    every_pair = torch.ones(2, 6, 6, dtype=torch.bool)
    for trial in range(60):
        query, key, scaling = random_operands(generator, dtype)
        if trial % 3 == 0:  # aligned: bound and maximum coincide
            key = query[:, :1].clone()
        bound, truth = max_logit_bound(query, key, scaling), reference.max_logits(query, key, scaling, every_pair)
        assert (bound.double() >= truth * (1 - 1e-6)).all()
        assert (bound.double() <= 100 * abs(scaling) * query.double().norm(dim=-1).amax() * 100).all()


class PlainAttention(nn.Module):
    """Attention without projections: hands its arguments to the attention interface."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {"_attn_implementation": "eager"})()

    def forward(self, query: Tensor, key: Tensor, scaling: float, mask: Tensor | None = None) -> Tensor:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        attention = ALL_ATTENTION_FUNCTIONS.get_interface("eager", lambda module, query, *args, **kwargs: query)
        return attention(self, query, key, key, mask, scaling=scaling)


def screened(query: Tensor, key: Tensor, scaling: float, threshold: float, mask: Tensor | None = None) -> Tensor:
    module = PlainAttention()
    capture = MaxLogitCapture({"attention": module}, screen_threshold=threshold)
    try:
        module(query, key, scaling, mask)
        return capture["attention"]
    finally:
        capture.close()


def test_screening_never_misses_a_head_and_skips_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    every_pair = torch.ones(2, 6, 6, dtype=torch.bool)
    skipped = measured_heads = 0
    for _ in range(100):
        query, key, scaling = random_operands(generator)
        truth = reference.max_logits(query, key, scaling, every_pair)
        threshold = float(truth.abs().median())
        measured = screened(query, key, scaling, threshold)
        exceeds = truth > threshold * (1 + 1e-6)
        torch.testing.assert_close(measured[exceeds].double(), truth[exceeds], rtol=1e-5, atol=1e-6)
        under = max_logit_bound(query, key, scaling) < threshold * 0.99
        assert (measured[under] == -math.inf).all()
        between = measured > -math.inf
        torch.testing.assert_close(measured[between].double(), truth[between], rtol=1e-5, atol=1e-6)
        skipped += int(under.sum())
        measured_heads += int(exceeds.sum())
    assert min(skipped, measured_heads) > 50


@pytest.mark.parametrize("distance", [-1e-3, -1e-6, -1e-7, 0.0, 1e-7, 1e-6, 1e-3])
def test_screening_right_at_the_threshold(distance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        key = torch.randn(1, 3, 1, 16, generator=generator)
        query = key * torch.tensor([0.5, 1.0, 1.5]).view(1, 3, 1, 1)  # parallel: the bound is the maximum
        truth = reference.max_logits(query, key, 1.0, torch.ones(1, 1, 1, dtype=torch.bool))
        threshold = float(truth[1] / (1 + distance))
        measured = screened(query, key, 1.0, threshold)
        exceeds = truth > threshold
        torch.testing.assert_close(measured[exceeds].double(), truth[exceeds], rtol=1e-5, atol=1e-6)


def test_screening_with_a_mask_per_head() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 4, 6, 8, generator=generator), torch.randn(2, 2, 6, 8, generator=generator)
    query[:, 1] *= 1e-3  # head 1 is screened away, so that later heads must still find their own masks
    allowed = (torch.rand(2, 4, 6, 6, generator=generator) > 0.5) | torch.eye(6, dtype=torch.bool)
    truth = reference.max_logits(query, key, 0.5, allowed)
    measured = screened(query, key, 0.5, 0.1, allowed)
    assert measured[1] == -math.inf
    torch.testing.assert_close(measured[[0, 2, 3]].double(), truth[[0, 2, 3]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", ["query", "key"])
@pytest.mark.parametrize("threshold", [None, 1e6])
def test_operands_that_are_not_finite_reach_the_result(value: float, which: str, threshold: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(1, 4, 6, 8, generator=generator), torch.randn(1, 4, 6, 8, generator=generator)
    (query if which == "query" else key)[0, 2, 3, 0] = value
    measured = screened(query, key, 0.5, math.inf if threshold is None else threshold)
    if threshold is None:
        measured = exact_max_logits(query, key, PairMask(6, 6, query.device), 0.5)
    assert not math.isfinite(measured[2])
    assert measured[2] != -math.inf
    assert measured[[0, 1, 3]].isfinite().all() if threshold is None else (measured[[0, 1, 3]] == -math.inf).all()


def training_capture(model: PreTrainedModel) -> MaxLogitCapture:
    modules = {name: model.get_submodule(name) for name in detect_head_layout(model)}
    return MaxLogitCapture(modules, training_only=True)


@pytest.fixture
def count_measurements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    calls: list[tuple[int, ...]] = []

    def counted(query: Tensor, *args: Any) -> Tensor:
        calls.append(tuple(query.shape))
        return exact_max_logits(query, *args)

    monkeypatch.setattr(max_logits, "exact_max_logits", counted)
    return calls


def test_training_capture_ignores_evaluation_no_grad_and_generation() -> None:
    model = sharp_model("llama_gqa")
    batch = random_batch(model)
    capture = training_capture(model)
    try:
        with torch.no_grad():
            model(**batch)
            model.generate(batch["input_ids"], max_new_tokens=2, do_sample=False)
        model.eval()
        model(**batch)
        model.generate(batch["input_ids"], max_new_tokens=2, do_sample=False)
        assert dict(capture) == {}
        assert len(capture) == 0
        model.train()
        model(**batch)
        assert_same(dict(capture), brute_force(model, batch))
    finally:
        capture.close()


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("name", ["llama_gqa", "deepseek_v3", "gpt_oss"])
def test_gradient_checkpointing_measures_once_and_right(
    name: str, use_reentrant: bool, count_measurements: list[tuple[int, ...]]
) -> None:
    model = sharp_model(name)
    batches = [random_batch(model, seed=seed) for seed in range(2)]
    truths = [brute_force(model, batch) for batch in batches]
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    capture = training_capture(model)
    try:
        for micro_batch, batch in enumerate(batches, start=1):
            model(**batch).loss.backward()
            assert len(count_measurements) == micro_batch * model.config.num_hidden_layers
        assert_same(dict(capture), {name: torch.maximum(truths[0][name], truths[1][name]) for name in truths[0]})
    finally:
        capture.close()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_with_two_forwards_before_two_backwards(
    use_reentrant: bool, count_measurements: list[tuple[int, ...]]
) -> None:
    model = sharp_model("llama_gqa")
    batches = [random_batch(model, seed=seed) for seed in range(2)]
    truths = [brute_force(model, batch) for batch in batches]
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    capture = training_capture(model)
    try:
        for loss in [model(**batch).loss for batch in batches]:
            loss.backward()
        assert len(count_measurements) == 2 * model.config.num_hidden_layers
        assert_same(dict(capture), {name: torch.maximum(truths[0][name], truths[1][name]) for name in truths[0]})
    finally:
        capture.close()


def test_micro_batches_accumulate_until_reset_and_pauses_count_for_nothing() -> None:
    model = sharp_model("llama_mha")
    batches = [random_batch(model, seed=seed) for seed in range(3)]
    truths = [brute_force(model, batch) for batch in batches]
    names = truths[0].keys()
    winners = torch.stack([torch.stack([truth[name] for name in names]) for truth in truths]).argmax(0)
    assert len(winners.unique()) == 3, "every batch must hold some head's maximum"
    capture = training_capture(model)
    try:
        model(**batches[0])
        with capture.pause():
            with capture.pause():
                model(**batches[1])
            model(**batches[1])
        model(**batches[2])
        assert_same(dict(capture), {name: torch.maximum(truths[0][name], truths[2][name]) for name in names})
        capture.reset()
        assert dict(capture) == {}
        model(**batches[1])
        assert_same(dict(capture), truths[1])
    finally:
        capture.close()


def test_two_models_at_once() -> None:
    models = [sharp_model("llama_gqa"), sharp_model("deepseek_v3")]
    batch = random_batch(models[0])
    truths = [brute_force(model, batch) for model in models]
    with torch.no_grad(), capture_max_logits(models[0]) as first:
        models[1](**batch)
        assert dict(first) == {}
        with capture_max_logits(models[1]) as second:
            for model in models:
                model(**batch)
        assert_same(dict(second), truths[1])
    assert_same(dict(first), truths[0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_measured_model_is_not_measured(copied: Callable[[nn.Module], nn.Module]) -> None:
    model = sharp_model("llama_gqa")
    batch = random_batch(model)
    with torch.no_grad(), capture_max_logits(model) as logits:
        twin = copied(model)
        twin(**batch)
        assert dict(logits) == {}
        with capture_max_logits(twin) as of_twin:
            twin(**batch)
        assert dict(logits) == {}
    assert_same(dict(of_twin), brute_force(model, batch))


def test_a_capture_inside_a_capture_of_the_same_model_is_refused() -> None:
    model = sharp_model("llama_gqa")
    batch = random_batch(model)
    with torch.no_grad(), capture_max_logits(model) as logits:
        with pytest.raises(ValueError, match=naming("model.layers.0.self_attn", "detach()")):
            MaxLogitCapture({"model.layers.0.self_attn": model.get_submodule("model.layers.0.self_attn")})
        model(**batch)
    assert_same(dict(logits), brute_force(model, batch))


def test_the_implementation_may_change_while_measuring() -> None:
    model = sharp_model("llama_gqa", attn_implementation="eager")
    batch = random_batch(model, padding="right")
    truth = brute_force(model, batch)
    with torch.no_grad(), capture_max_logits(model) as logits:
        for implementation in ("eager", "sdpa"):
            model.set_attn_implementation(implementation)
            model(**batch)
            assert_same(dict(logits), truth)
            logits.reset()


def test_capture_needs_attention() -> None:
    with (
        pytest.raises(ValueError, match=naming("QK-Clip", "softmax attention")),
        capture_max_logits(nn.Sequential(nn.Linear(2, 2))),
    ):
        pass


def test_unmeasured_modules_are_absent() -> None:
    model = sharp_model("llama_gqa")
    with capture_max_logits(model) as logits:
        assert "model.layers.0.self_attn" not in logits
        with pytest.raises(KeyError):
            logits["model.layers.0.self_attn"]


def test_measuring_changes_no_gradient() -> None:
    gradients = []
    for measured in (False, True):
        model = sharp_model("llama_gqa")
        capture = training_capture(model) if measured else None
        model(**random_batch(model)).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
        if capture is not None:
            assert not any(logits.requires_grad for logits in capture.values())
            assert capture.seconds > 0
            capture.close()
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


EFFECTS_UNDER_CHECKPOINTING = "skip_fwd_side_effects_in_bwd_under_checkpoint"


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize(("checkpointing", "fullgraph"), [(False, True), (True, True), (True, False)])
def test_compiled_with_and_without_graph_breaks(backend: str, checkpointing: bool, fullgraph: bool) -> None:
    model = sharp_model("llama_gqa", num_hidden_layers=1)
    batches = [random_batch(model, seed=seed) for seed in range(2)]
    truths = [brute_force(model, batch) for batch in batches]
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    torch._dynamo.reset()
    capture = training_capture(model)
    try:
        compiled = torch.compile(model, fullgraph=fullgraph, backend=backend)
        if checkpointing and fullgraph and not hasattr(torch._dynamo.config, EFFECTS_UNDER_CHECKPOINTING):
            with pytest.raises(torch._dynamo.exc.Unsupported, match=r"Mutating a variable not in the current scope"):
                compiled(**batches[0])  # older torch measures such layers outside of the graph alone
            return
        for batch in batches:
            compiled(**batch).loss.backward()
        assert_same(dict(capture), {name: torch.maximum(truths[0][name], truths[1][name]) for name in truths[0]})
        capture.reset()
        compiled(**batches[0]).loss.backward()
        assert_same(dict(capture), truths[0])
    finally:
        capture.close()
        torch._dynamo.reset()


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_decoding_with_a_cache_sees_the_pairs_of_the_whole_text(implementation: str, cache: str) -> None:
    model = tiny_model("llama_gqa", attn_implementation=implementation).eval()
    prompt = random_batch(model)["input_ids"]
    with capture_max_logits(model) as decoded:
        text = model.generate(prompt, max_new_tokens=5, do_sample=False, eos_token_id=None, cache_implementation=cache)
    with capture_max_logits(model) as whole:
        model(input_ids=text[:, :-1])  # the last token is drawn, and attends to nothing
    assert text.shape[1] == prompt.shape[1] + 5
    for name in whole:
        torch.testing.assert_close(decoded[name], whole[name], rtol=1e-5, atol=1e-7)
