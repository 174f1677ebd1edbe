"""The clip against the slow truth, and against the next forward on the same batch."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import reference
import torch
from error_messages import naming
from tiny_models import TINY_MODEL_NAMES, random_batch, tiny_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hf_muonclip import capture_max_logits, detect_head_layout, qk_clip_
from hf_muonclip.attention import AttentionLayout, HeadLayout, HeadRows, around_frozen, qk_clip_gamma

ALPHAS = (0.0, 0.5, 1.0)


def max_logits(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad(), capture_max_logits(model) as logits:
        model(**batch)
    return dict(logits)


def threshold_between_heads(logits: Tensor) -> float:
    """Return a threshold in the widest gap between two heads: some exceed it, some do not, none by a hair."""
    ordered = logits.sort().values
    below = int(ordered.diff().argmax())
    threshold = float((ordered[below] + ordered[below + 1]) / 2)
    assert threshold > 0
    assert ((logits / threshold - 1).abs() > 1e-2).all()
    return threshold


def expected_weights(
    module: nn.Module, before: dict[str, Tensor], gamma: list[float], alpha: float
) -> dict[str, Tensor]:
    """Return every parameter of an attention module after the clip, by the reference."""
    expected = {name: parameter.double() for name, parameter in before.items()}
    query = "q_b_proj" if "q_b_proj.weight" in before else "q_proj"
    for part in ("weight", "bias"):
        q, k, kv = f"{query}.{part}", f"k_proj.{part}", f"kv_b_proj.{part}"
        if q not in before:
            continue
        if kv in before:
            sizes = (module.qk_nope_head_dim, module.qk_rope_head_dim, module.v_head_dim)
            expected[q], expected[kv] = reference.qk_clip_mla(before[q], before[kv], gamma, *sizes, alpha)
        elif module.num_key_value_groups == 1:
            expected[q], expected[k] = reference.qk_clip_mha(before[q], before[k], gamma, module.head_dim, alpha)
        else:
            expected[q] = reference.qk_clip_gqa(before[q], gamma, module.head_dim)
    return expected


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", [*TINY_MODEL_NAMES, "llama_mha with biases"])
def test_weights_equal_the_reference_and_all_others_stay(name: str, alpha: float) -> None:
    biased = name.endswith("biases")
    model = tiny_model("llama_mha", attention_bias=True) if biased else tiny_model(name)
    layout, logits = detect_head_layout(model), max_logits(model, random_batch(model))
    clipped = list(layout)[-1]
    module = model.get_submodule(clipped)
    threshold = threshold_between_heads(logits[clipped])
    gamma = reference.qk_clip_gamma(logits[clipped], threshold)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    own = {key: parameter.detach().clone() for key, parameter in module.named_parameters()}
    expected = expected_weights(module, own, gamma, alpha)

    gammas = qk_clip_(model, layout, {clipped: logits[clipped]}, threshold, alpha)

    assert gammas.keys() == {clipped}
    assert gammas[clipped].dtype == torch.float32
    torch.testing.assert_close(gammas[clipped].double(), torch.tensor(gamma).double(), rtol=1e-6, atol=0)
    assert 0 < sum(factor < 1 for factor in gamma) < len(gamma)
    for key, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), expected[key], rtol=1e-6, atol=1e-9)
        # Where the reference changes nothing, not one bit may move: unclipped heads, keys that are shared, values.
        same = expected[key] == own[key].double()
        assert torch.equal(parameter.detach()[same], own[key][same]), key
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {f"{clipped}.{key}" for key in own if not torch.equal(expected[key], own[key].double())}
    assert changed


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_the_next_forward_has_every_clipped_head_at_the_threshold(name: str, alpha: float) -> None:
    batch = random_batch(tiny_model(name), padding="left")
    for clipped in detect_head_layout(tiny_model(name)):  # one layer at a time: a clip changes what later layers see
        model = tiny_model(name)
        before = max_logits(model, batch)
        threshold = threshold_between_heads(before[clipped])
        exceeds = before[clipped] > threshold
        qk_clip_(model, detect_head_layout(model), {clipped: before[clipped]}, threshold, alpha)
        after = max_logits(model, batch)
        at_threshold = torch.full((int(exceeds.sum()),), threshold)
        torch.testing.assert_close(after[clipped][exceeds], at_threshold, rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(after[clipped][~exceeds], before[clipped][~exceeds], rtol=1e-5, atol=1e-9)


def test_shared_keys_are_left_alone_so_that_no_other_head_moves() -> None:
    # One key head, four query heads with max logits 400, 120, 50 and 20.
    model = tiny_model("llama_mqa", num_hidden_layers=1)
    batch, layout, name = random_batch(model), detect_head_layout(model), "model.layers.0.self_attn"
    query = model.get_submodule(name).q_proj.weight
    wanted = torch.tensor([400.0, 120.0, 50.0, 20.0])
    with torch.no_grad():
        query.mul_((wanted / max_logits(model, batch)[name]).repeat_interleave(16)[:, None])
    key = model.get_submodule(name).k_proj.weight.clone()
    before = max_logits(model, batch)
    torch.testing.assert_close(before[name], wanted, rtol=1e-5, atol=1e-4)
    gammas = qk_clip_(model, layout, before, threshold=100.0)
    torch.testing.assert_close(gammas[name], torch.tensor([0.25, 100 / 120, 1.0, 1.0]), rtol=1e-5, atol=1e-6)
    after = max_logits(model, batch)[name]
    torch.testing.assert_close(after, torch.tensor([100.0, 100.0, 50.0, 20.0]), rtol=1e-4, atol=1e-4)
    assert torch.equal(model.get_submodule(name).k_proj.weight, key)


@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_bfloat16_weights_are_rounded_once(name: str) -> None:
    model = tiny_model(name).to(torch.bfloat16)
    layout, logits = detect_head_layout(model), max_logits(model, random_batch(model))
    clipped = next(iter(layout))
    module = model.get_submodule(clipped)
    threshold = threshold_between_heads(logits[clipped])
    own = {key: parameter.detach().clone() for key, parameter in module.named_parameters()}
    expected = expected_weights(module, own, reference.qk_clip_gamma(logits[clipped], threshold), 0.5)
    qk_clip_(model, layout, {clipped: logits[clipped]}, threshold)
    for key, parameter in module.named_parameters():
        assert parameter.dtype == torch.bfloat16
        same = expected[key] == own[key].double()
        assert torch.equal(parameter.detach()[same], own[key][same])
        # Half a unit in the last place of bfloat16 is 2^-9 of the value at most.
        torch.testing.assert_close(parameter.detach().double(), expected[key], rtol=1.001 * 2**-8, atol=1e-30)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_rows_need_not_be_contiguous(alpha: float) -> None:
    module = nn.Module()
    module.qk = nn.Linear(3, 8)
    model = nn.ModuleDict({"attention": module})
    query, key = (range(0, 4, 2), range(1, 4, 2)), (range(4, 8, 2), range(5, 8, 2))
    head_rows = (HeadRows("qk.weight", query, "query"), HeadRows("qk.weight", key, "key"))
    layout = HeadLayout({"attention": AttentionLayout("attention", "Module", "separate", 2, 2, 2, head_rows)})
    before = module.qk.weight.detach().clone()
    qk_clip_(model, layout, {"attention": torch.tensor([1.0, 8.0])}, 2.0, alpha)
    factors = torch.tensor([1.0, 0.25**alpha, 1.0, 0.25**alpha, 1.0, 0.25 ** (1 - alpha), 1.0, 0.25 ** (1 - alpha)])
    torch.testing.assert_close(module.qk.weight.detach(), before * factors[:, None], rtol=1e-6, atol=1e-9)


def test_weights_in_parts_are_opened_only_where_a_head_is_clipped_and_scaled_alike() -> None:
    whole, in_parts = tiny_model("llama_mha"), tiny_model("llama_mha")
    layout = detect_head_layout(whole)
    first, second = layout
    logits = {first: torch.tensor([1.0, 2.0, 4.0, 8.0]), second: torch.full((4,), 1.0)}
    opened = []

    @contextmanager
    def writable(parameter: nn.Parameter) -> Iterator[Tensor]:
        opened.append(next(name for name, other in in_parts.named_parameters() if other is parameter))
        weight = parameter.detach().clone()
        yield weight
        parameter.data.copy_(weight)

    gammas = qk_clip_(whole, layout, logits, threshold=2.0)
    again = qk_clip_(in_parts, layout, logits, threshold=2.0, writable=writable)
    assert opened == [f"{first}.q_proj.weight", f"{first}.k_proj.weight"]
    assert all(torch.equal(gammas[name], again[name]) for name in layout)
    for name, weight in in_parts.named_parameters():
        assert torch.equal(weight, whole.get_parameter(name))
        assert torch.equal(weight, tiny_model("llama_mha").get_parameter(name)) == (name not in opened)


def test_gamma_equals_the_reference() -> None:
    logits = torch.tensor([-math.inf, -500.0, 0.0, 99.99999, 100.0, 100.00001, 120.0, 400.0, 1e30])
    gamma = qk_clip_gamma(logits, 100.0)
    torch.testing.assert_close(
        gamma, torch.tensor(reference.qk_clip_gamma(logits, 100.0)), rtol=1e-6, atol=0, check_dtype=False
    )
    assert gamma[:5].tolist() == [1.0] * 5
    assert ((gamma > 0) & (gamma <= 1)).all()


def test_an_infinite_threshold_clips_nothing() -> None:
    assert qk_clip_gamma(torch.tensor([-math.inf, 1e38]), math.inf).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan])
def test_a_threshold_that_is_not_positive_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=naming("threshold", threshold)):
        qk_clip_gamma(torch.ones(2), threshold)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_an_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=naming("alpha", alpha)):
        qk_clip_(nn.Module(), HeadLayout({}), {}, alpha=alpha)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_max_logits_that_are_not_finite_are_refused_before_any_weight_is_written(value: float) -> None:
    model = tiny_model("llama_mha")
    layout = detect_head_layout(model)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    first, second = layout
    bad = {first: torch.full((4,), 400.0), second: torch.tensor([1.0, value, 1.0, 1.0])}
    with pytest.raises(FloatingPointError, match=naming("max logits", "[1]")):
        qk_clip_(model, layout, bad)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (
            {"model.layers.7.self_attn": torch.ones(4)},
            naming("'model.layers.7.self_attn'", "model.layers.0.self_attn"),
        ),
        ({"model.layers.0.self_attn": torch.ones(3)}, naming("model.layers.0.self_attn", 4, "(3,)")),
    ],
)
def test_logits_of_another_model_are_refused(logits: Any, message: str) -> None:
    model = tiny_model("llama_mha")
    with pytest.raises(ValueError, match=message):
        qk_clip_(model, detect_head_layout(model), logits)


TWO_HEADS = (range(0, 2), range(2, 4))
BOTH_HEADS = (range(2), range(2))


def one_module(module: nn.Module, *head_rows: HeadRows, **fields: Any) -> tuple[nn.Module, HeadLayout]:
    layout = AttentionLayout("attention", "Module", "by hand", 2, 2, 2, head_rows, **fields)
    return nn.ModuleDict({"attention": module}), HeadLayout({"attention": layout})


@pytest.mark.parametrize("alpha", ALPHAS)
def test_conv1d_is_scaled_along_its_second_dimension(alpha: float) -> None:
    module = nn.Module()
    module.qkv = Conv1D(12, 3)  # (3, 12): queries, keys, values
    nn.init.normal_(module.qkv.bias)
    keys = (range(4, 6), range(6, 8))
    rows = [
        HeadRows(f"qkv.{part}", heads, role, dim)
        for heads, role in ((TWO_HEADS, "query"), (keys, "key"))
        for part, dim in (("weight", 1), ("bias", 0))
    ]
    model, layout = one_module(module, *rows)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    qk_clip_(model, layout, {"attention": torch.tensor([8.0, 1.0])}, 2.0, alpha)
    for name, parameter in module.named_parameters():
        expected = before[name].double()
        expected[..., 0:2] *= 0.25**alpha
        expected[..., 4:6] *= 0.25 ** (1 - alpha)
        torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-6, atol=0)
        same = expected == before[name].double()
        assert torch.equal(parameter.detach()[same], before[name][same])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_gain_that_acts_as_one_plus_w_is_scaled_as_such(dtype: torch.dtype) -> None:
    module = nn.Module()
    gain = torch.tensor([0.3, -0.7, 1e-8, -0.1, 1e-3, 0.7], dtype=dtype)  # the third is lost in 1 + w
    module.norm = nn.ParameterDict({"weight": nn.Parameter(gain.clone())})
    model, layout = one_module(module, HeadRows("norm.weight", TWO_HEADS, "query of shared key", offset=1.0))
    qk_clip_(model, layout, {"attention": torch.tensor([8.0, 1.0])}, 2.0)
    after = module.norm["weight"].detach()
    resolution = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(1 + after[:2].double(), 0.25 * (1 + gain[:2].double()), rtol=resolution, atol=resolution)
    assert torch.equal(after[2:], gain[2:])


@pytest.mark.parametrize(("logits", "gamma"), [([8.0, 4.0], 0.25), ([1.0, 4.0], 0.5), ([1.0, 2.0], 1.0)])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_heads_that_share_a_gain_take_the_smallest_gamma(logits: list[float], gamma: float, offset: float) -> None:
    module = nn.Module()
    module.norm = nn.ParameterDict({"weight": nn.Parameter(torch.tensor([0.3, -0.7]))})
    rows = HeadRows("norm.weight", BOTH_HEADS, "query of shared key", offset=offset)
    model, layout = one_module(module, rows, gamma_groups=(0, 0))
    before = module.norm["weight"].detach().clone()
    gammas = qk_clip_(model, layout, {"attention": torch.tensor(logits)}, 2.0)
    assert gammas["attention"].tolist() == [gamma, gamma]
    after = module.norm["weight"].detach()
    torch.testing.assert_close(offset + after, gamma * (offset + before), rtol=1e-6, atol=1e-7)
    assert gamma < 1 or torch.equal(after, before)


def test_groups_of_heads_take_their_own_smallest_gamma() -> None:
    module = nn.Module()
    module.k = nn.Linear(3, 4, bias=False)
    rows = HeadRows("k.weight", (range(0, 2), range(2, 4), range(0, 2), range(2, 4)), "key alone")
    attention = AttentionLayout("attention", "Module", "by hand", 4, 2, 2, (rows,), gamma_groups=(0, 1, 0, 1))
    assert attention.granularity == "key head"
    before = module.k.weight.detach().clone()
    model = nn.ModuleDict({"attention": module})
    logits = {"attention": torch.tensor([1.0, 4.0, 8.0, 20.0])}
    gammas = qk_clip_(model, HeadLayout({"attention": attention}), logits, 2.0, alpha=0.3)
    torch.testing.assert_close(gammas["attention"], torch.tensor([0.25, 0.1, 0.25, 0.1]))
    factors = torch.tensor([0.25, 0.25, 0.1, 0.1])[:, None]
    torch.testing.assert_close(module.k.weight.detach(), before * factors, rtol=1e-6, atol=0)


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first"), ("second",)])
def test_shared_weights_are_scaled_once_by_the_smaller_gamma(order: tuple[str, ...]) -> None:
    module = nn.Module()
    module.q = nn.Linear(3, 4)
    model = nn.ModuleDict({"first": module, "second": module})
    rows = (HeadRows("q.weight", TWO_HEADS, "query of shared key"),)
    layouts = {
        "first": AttentionLayout("first", "Module", "by hand", 2, 1, 2, rows),
        "second": AttentionLayout("second", "Module", "by hand", 2, 1, 2, rows, shares_weights_with="first"),
    }
    before = module.q.weight.detach().clone()
    logits = {"first": torch.tensor([8.0, 1.0]), "second": torch.tensor([4.0, 4.0])}
    gammas = qk_clip_(model, HeadLayout(layouts), {name: logits[name] for name in order}, 2.0)
    expected = [0.25 if "first" in order else 0.5, 0.5]
    assert {name: gamma.tolist() for name, gamma in gammas.items()} == dict.fromkeys(order, expected)
    factors = torch.tensor(expected).repeat_interleave(2)[:, None]
    torch.testing.assert_close(module.q.weight.detach(), before * factors, rtol=1e-6, atol=0)


def test_a_module_that_is_only_monitored_keeps_gamma_one() -> None:
    model, layout = one_module(nn.Linear(3, 4), note="its weights are quantized")
    assert layout["attention"].granularity == "monitored"
    before = model["attention"].weight.detach().clone()
    gammas = qk_clip_(model, layout, {"attention": torch.tensor([8.0, 1e30])}, 2.0)
    assert gammas["attention"].tolist() == [1.0, 1.0]
    assert torch.equal(model["attention"].weight, before)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("frozen", "scaled"), [("k_proj", "q_proj"), ("q_proj", "k_proj")])
def test_the_other_side_of_a_frozen_weight_takes_the_whole_factor(frozen: str, scaled: str, alpha: float) -> None:
    model, name = tiny_model("llama_mha", num_hidden_layers=1), "model.layers.0.self_attn"
    batch = random_batch(model)
    layout = HeadLayout({name: around_frozen(detect_head_layout(model)[name], [f"{frozen}.weight"])})
    assert {rows.parameter for rows in layout[name].head_rows} == {f"{scaled}.weight"}
    assert re.search(naming("query", "key", "frozen"), layout[name].note)
    weights = model.get_submodule(name).get_parameter(f"{frozen}.weight")
    frozen_before, before = weights.detach().clone(), max_logits(model, batch)
    threshold = threshold_between_heads(before[name])
    qk_clip_(model, layout, before, threshold, alpha)
    assert torch.equal(weights, frozen_before)
    torch.testing.assert_close(max_logits(model, batch)[name], before[name].clamp(max=threshold), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "frozen", "scaled"),
    [
        ("llama_mha", ["v_proj.weight"], "itself"),
        ("llama_mha", ["q_proj.weight", "k_proj.weight"], None),
        ("llama_gqa", ["k_proj.weight"], "itself"),
        ("llama_gqa", ["q_proj.weight"], None),
        ("deepseek_v3", ["kv_b_proj.weight"], {"q_b_proj.weight"}),
        ("deepseek_v3", ["q_b_proj.weight"], None),  # the rotary key is shared: kv_b_proj alone cannot land the head
    ],
)
def test_what_is_left_to_scale_beside_frozen_weights(name: str, frozen: list[str], scaled: Any) -> None:
    layout = next(iter(detect_head_layout(tiny_model(name)).values()))
    around = around_frozen(layout, frozen)
    if scaled == "itself":
        assert around is layout
        return
    assert {rows.parameter for rows in around.head_rows} == (scaled or set())
    assert all(rows.exponent(0.3) == 1 for rows in around.head_rows)
    assert (around.granularity == "monitored") is (scaled is None)
    assert scaled or "frozen" in around.note
