"""What Muon refuses, and the steps that it does not take: by name, with the way out, and without a trace."""

import logging
import math
import re
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_parameters import (
    EXACT,
    VIEWS,
    assert_equal_weights,
    copy_of,
    every_kind,
    gradient,
    muon,
    nothing_written,
    parameter,
    set_gradients,
    take_steps,
    trained,
)
from torch import Tensor, nn

from hf_muonclip.optim.gradient_measures import all_finite, measured_gradients
from hf_muonclip.optim.matrix_view import MatrixView
from hf_muonclip.optim.muon import Muon
from hf_muonclip.optim.settings import GROUP_SETTINGS

NAN, INF = float("nan"), float("inf")

# ----------------------------------------------------------------------------------------------- what changes nothing


def test_without_lr_no_weight_changes() -> None:
    parameters = every_kind()
    before = copy_of(parameters)
    optimizer = muon(parameters, lr=0.0)
    for gradients in (torch.zeros_like, torch.randn_like):
        for weight in parameters.values():
            weight.grad = gradients(weight)
        optimizer.step()
        assert_equal_weights(parameters, before)


@pytest.mark.parametrize("cautious", [False, True])
def test_a_zero_gradient_decays_the_weights_of_adamw_alone(cautious: bool) -> None:
    parameters = every_kind()
    before = copy_of(parameters)
    for weight in parameters.values():
        weight.grad = torch.zeros_like(weight)
    muon(parameters, lr=0.1, weight_decay=0.5, cautious_weight_decay=cautious).step()
    for name, weight in parameters.items():
        factor = 1 - 0.1 * 0.5 if name == "embedding" else 1.0
        torch.testing.assert_close(weight.data, before[name].data * factor, atol=1e-7, rtol=1e-6)


def test_a_parameter_without_gradient_is_left_alone() -> None:
    parameters = every_kind()
    before = copy_of(parameters)
    optimizer = muon(parameters, lr=0.1)
    set_gradients(parameters, 0)
    idle = ("b", "gate_up", "embedding")
    for name in idle:
        parameters[name].grad = None
    optimizer.step()
    for name, weight in parameters.items():
        assert torch.equal(weight, before[name]) == (name in idle), name
        # It has its moments all the same: a checkpoint must not lack what a later one has.
        assert all(bool(moment.any()) == (name not in idle) for moment in optimizer.state[weight].values())


@pytest.mark.parametrize("pieces", [1, 3, 0])
def test_parameters_that_were_flattened_since_are_refused(pieces: int) -> None:
    weights = [parameter(4, 4, seed=seed) for seed in range(3)]
    optimizer = Muon([(f"weight{index}", weight) for index, weight in enumerate(weights)])
    flat = torch.cat([weight.detach().flatten() for weight in weights])
    optimizer.param_groups[0]["params"] = [nn.Parameter(piece) for piece in flat.chunk(pieces)] if pieces else []
    for piece in optimizer.param_groups[0]["params"]:
        piece.grad = torch.ones_like(piece)
    found = {1: (1, "(48,)"), 3: (3, "(16,), (16,)"), 0: (0,)}[pieces]
    with pytest.raises(ValueError, match=naming("Muon", 3, *found, "FSDP2")):
        optimizer.step()
    assert not optimizer.state


def test_a_step_without_any_gradient_does_nothing() -> None:
    parameters, optimizer = trained()
    optimizer.zero_grad()
    with nothing_written(parameters, optimizer):
        optimizer.step()


@pytest.mark.parametrize("algorithm", ["muon", "adamw"])
def test_an_empty_parameter_is_passed_over(algorithm: str) -> None:
    empty, weight = nn.Parameter(torch.zeros(0, 4)), parameter(4, 4, seed=0)
    empty.grad, weight.grad = torch.zeros(0, 4), gradient(weight, 1)
    Muon([{"params": [empty, weight], "algorithm": algorithm}]).step()
    assert not torch.equal(weight, parameter(4, 4, seed=0))


# ------------------------------------------------------------------------------------------- gradients with NaN or Inf


@pytest.mark.parametrize("poison", [NAN, INF, -INF])
@pytest.mark.parametrize("where", ["b", "gate_up", "kernel", "gain"])
def test_a_nonfinite_gradient_raises_by_name_and_writes_nothing(where: str, poison: float) -> None:
    parameters, optimizer = trained(steps=1)
    set_gradients(parameters, 1)
    parameters[where].grad.view(-1)[3] = poison  # type: ignore[union-attr]
    message = naming("gradient", where, "NaN", "nonfinite='skip'")
    with nothing_written(parameters, optimizer), pytest.raises(FloatingPointError, match=message):
        optimizer.step()
    assert optimizer.skipped_steps == 1


def test_a_first_step_that_is_not_finite_leaves_no_state() -> None:
    parameters = every_kind()
    optimizer = muon(parameters)
    set_gradients(parameters, 1)
    parameters["gain"].grad[0] = NAN  # type: ignore[index]
    with pytest.raises(FloatingPointError):
        optimizer.step()
    assert not optimizer.state


def test_the_message_names_the_first_four_and_counts_the_rest() -> None:
    parameters = every_kind()
    for weight in parameters.values():
        weight.grad = torch.full_like(weight, NAN)
    with pytest.raises(FloatingPointError, match=naming("a, b, tall, experts", len(parameters) - 4)):
        muon(parameters).step()


def test_skip_passes_over_the_step_warns_counts_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    parameters, twins = every_kind(), every_kind()
    skipping, undisturbed = muon(parameters, nonfinite="skip"), muon(twins)
    for step in range(3):
        if step == 1:
            set_gradients(parameters, 77)
            parameters["tall"].grad[0, 0] = NAN  # type: ignore[index]
            with caplog.at_level(logging.WARNING):
                skipping.step()
            assert skipping.skipped_steps == 1
            assert re.search(naming("tall", "NaN", 1), caplog.messages[-1])
        take_steps(parameters, skipping, [step])
        take_steps(twins, undisturbed, [step])
    assert_equal_weights(parameters, twins)
    assert skipping.skipped_steps == 1


def test_every_gradient_with_nan_or_inf_is_named_and_no_huge_one() -> None:
    huge = torch.full((4, 4), 1e30)  # the square of its norm overflows
    named = [("huge", huge), ("empty", torch.zeros(0, 4)), ("small", torch.ones(3))]
    assert all(measured.finite for measured in measured_gradients(named, parts=True).values())
    assert all_finite([gradient for _, gradient in named])
    for poison in (NAN, INF, -INF):
        bad = [("first", torch.tensor([1.0, poison])), *named, ("last", torch.full((2, 2), poison))]
        found = measured_gradients(bad, parts=True)
        assert [name for name, measured in found.items() if not measured.finite] == ["first", "last"]
        assert not all_finite([gradient for _, gradient in bad])
    assert measured_gradients([], parts=True) == {}
    assert all_finite([])


def test_huge_gradients_move_a_weight_as_far_as_usual() -> None:
    # Newton–Schulz forgets the scale; a norm that overflows must neither raise nor change the direction.
    moves = []
    for scale in (1.0, 1e20, 1e36):
        weight = parameter(6, 8, seed=0)
        weight.grad = gradient(weight, 1) * scale
        Muon([weight], lr=0.1, weight_decay=0.0, ns_dtype="float32").step()
        moves.append(weight.detach() - parameter(6, 8, seed=0))
    for move in moves[1:]:
        torch.testing.assert_close(move, moves[0], atol=1e-6, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------ settings

OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("lr", -1e-3),
    ("lr", NAN),
    ("lr", INF),
    ("lr", "fast"),
    ("weight_decay", -0.1),
    ("weight_decay", INF),
    ("momentum", 1.0),
    ("momentum", NAN),
    ("nesterov", "yes"),
    ("ns_coefficients", (1.0, NAN, 1.0)),
    ("ns_coefficients", (1.0,)),
    ("ns_coefficients", ((1.0, 2.0, 3.0), (1.0, 2.0))),
    ("ns_coefficients", "jordans"),
    ("eps", 0.0),
    ("ns_steps", 0),
    ("ns_steps", 2.5),
    ("adjust_lr_fn", "rms"),
    ("cautious_weight_decay", 1),
    ("normalize_neurons", "all"),
    ("adamw_betas", (0.9, 1.0)),
    ("adamw_betas", (0.9,)),
    ("adamw_betas", 0.9),
    ("adamw_eps", 0.0),
    ("adamw_eps", NAN),
]


@pytest.mark.parametrize(("setting", "value"), OUT_OF_RANGE)
def test_a_setting_out_of_range_is_refused_in_arguments_and_in_groups(setting: str, value: Any) -> None:
    weight = parameter(4, 4, seed=0)
    with pytest.raises(ValueError, match=naming(setting, repr(value))):
        Muon([weight], **{setting: value})
    with pytest.raises(ValueError, match=naming(setting, repr(value))):
        Muon([{"params": [weight], setting: value}])


def test_every_setting_of_a_group_is_tried_above() -> None:
    assert {setting for setting, _ in OUT_OF_RANGE} | {"algorithm"} == GROUP_SETTINGS


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("ns_dtype", "float16"),
        ("ns_dtype", torch.bfloat16),
        ("momentum_dtype", "float16"),
        ("max_batch_bytes", 0),
        ("max_batch_bytes", 1e6),
        ("nonfinite", "ignore"),
    ],
)
def test_what_the_optimizer_cannot_do_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=naming(setting, repr(value))):
        Muon([parameter(4, 4, seed=0)], **{setting: value})


@pytest.mark.parametrize(
    "group",
    [
        {"betas": (0.9, 0.99)},
        {"lr_scale": 0.5},
        {"max_batch_bytes": 100},
        {"views": {}},
        {"fused": True, "foreach": True},
    ],
    ids=str,
)
def test_a_setting_that_no_group_has_is_refused_by_name(group: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=naming("param group", *group)):
        Muon([{"params": [parameter(4, 4, seed=0)], **group}])


@pytest.mark.parametrize("setting", ["maximize", "differentiable"])
def test_a_group_may_say_what_is_so_anyway(setting: str) -> None:
    # torch itself puts `differentiable` into groups that are added after loading.
    Muon([{"params": [parameter(4, 4, seed=0)], setting: False}])
    with pytest.raises(ValueError, match=naming(setting, False, True)):
        Muon([{"params": [parameter(4, 4, seed=0)], setting: True}])


# -------------------------------------------------------------------------------------------------- groups, parameters


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (
            {"params": [("odd", torch.zeros(4))]},
            naming("odd", "(4,)", "algorithm='adamw'"),
        ),
        ({"params": [("odd", torch.zeros(()))]}, naming("odd", "()", "algorithm='adamw'")),
        (
            {"params": [("odd", torch.zeros(4, 4, dtype=torch.complex64))]},
            naming("odd", "torch.complex64"),
        ),
        ({"params": [("odd", torch.zeros(4, 4).to_sparse())]}, naming("odd", "torch.sparse_coo")),
        (
            {"params": [("odd", torch.zeros(4, dtype=torch.complex64))], "algorithm": "adamw"},
            naming("odd", "torch.complex64"),
        ),
        (
            {"params": [("odd", torch.zeros(4, 4))], "algorithm": "sgd"},
            naming("algorithm", "'muon'", "'adamw'", "'sgd'"),
        ),
        ({"params": [("odd", torch.zeros(4, 4))], "lr": -1.0}, naming("lr", -1.0)),
        ({"params": [("odd", torch.zeros(4, 4))], "betas": (0.9, 0.9)}, naming("param group", "betas")),
        (
            {"params": [("odd", torch.zeros(2, 3, 4, 5).transpose(0, 1))]},
            naming("odd", "contiguous", "(3, 2, 4, 5)"),
        ),
    ],
    ids=str,
)
def test_a_refused_group_leaves_no_trace(group: dict[str, Any], message: str) -> None:
    group["params"] = [(name, nn.Parameter(tensor)) for name, tensor in group["params"]]
    with pytest.raises(ValueError, match=message):
        Muon([dict(group)])
    parameters, optimizer = trained()
    twins, twin = trained()
    groups = [dict(own) for own in optimizer.param_groups]
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group(group)
    assert [own.keys() for own in optimizer.param_groups] == [own.keys() for own in groups]
    assert [own["params"] for own in optimizer.param_groups] == [own["params"] for own in groups]
    take_steps(parameters, optimizer, [2])
    take_steps(twins, twin, [2])
    assert_equal_weights(parameters, twins)


def test_a_group_without_parameters_is_refused() -> None:
    optimizer = Muon([parameter(4, 4, seed=0)])
    with pytest.raises(ValueError, match=naming("param group", "parameters")):
        optimizer.add_param_group({"params": []})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match=naming("param group", "parameters")):
        Muon([{"params": [parameter(4, 4, seed=0)]}, {"params": [], "algorithm": "adamw"}])


@pytest.mark.parametrize("name", VIEWS)
def test_what_holds_several_matrices_is_updated_whatever_its_strides_or_refused(name: str) -> None:
    odd, plain = every_kind()[name], every_kind()[name]
    odd.data = odd.data.transpose(0, -1).contiguous().transpose(0, -1)
    view = {"odd": VIEWS[name]}
    if name == "kernel":  # whose last dimensions must flow together
        with pytest.raises(ValueError, match=naming("odd", tuple(odd.shape), odd.stride(), "contiguous()")):
            Muon([("odd", odd)], views=view)
        return
    optimizers = [Muon([("odd", weight)], views=view, **EXACT) for weight in (odd, plain)]
    for step in range(2):
        for weight, optimizer in zip((odd, plain), optimizers, strict=True):
            weight.grad = gradient(plain, step)
            optimizer.step()
    assert not odd.is_contiguous()
    torch.testing.assert_close(odd, plain, atol=1e-6, rtol=1e-6)


def test_views_that_fit_no_parameter_are_refused() -> None:
    named = [("w", parameter(5, 4, seed=0))]
    with pytest.raises(ValueError, match=naming("views", "typo")):
        Muon(named, views={"typo": MatrixView(sections=(2, 3))})
    with pytest.raises(ValueError, match=naming("sections", "periods", "(2, 2)", 1, 5)):
        Muon(named, views={"w": MatrixView(sections=(2, 2))})


@pytest.mark.parametrize("algorithm", ["muon", "adamw"])
def test_a_sparse_gradient_is_refused_by_name(algorithm: str) -> None:
    embedding = nn.Embedding(6, 4, sparse=True)
    before = embedding.weight.detach().clone()
    optimizer = Muon([{"params": [("words", embedding.weight)], "algorithm": algorithm}])
    embedding(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match=naming("words", "sparse=False")):
        optimizer.step()
    assert torch.equal(embedding.weight, before)
    assert not optimizer.state


@pytest.mark.parametrize(("name", "moment"), [("tall", "momentum_buffer"), ("gain", "exp_avg"), ("gain", "exp_avg_sq")])
def test_a_parameter_moved_away_from_its_moments_is_refused_before_anything_is_written(name: str, moment: str) -> None:
    parameters, optimizer = trained()
    weights = copy_of(parameters)
    state = optimizer.state[parameters[name]]
    state[moment] = state[moment].to("meta")  # which nothing_written could not compare
    momentum = optimizer.state[parameters["a"]]["momentum_buffer"].clone()
    with pytest.raises(ValueError, match=naming(moment, name, "meta", "cpu")):
        optimizer.step()
    assert_equal_weights(parameters, weights)
    assert torch.equal(optimizer.state[parameters["a"]]["momentum_buffer"], momentum)


def test_defaults_are_kimi_k2s() -> None:
    group = Muon([parameter(4, 4, seed=0)]).param_groups[0]
    assert group["weight_decay"] == 0.1
    assert group["momentum"] == 0.95
    assert group["adjust_lr_fn"] == "match_rms_adamw"
    assert not group["cautious_weight_decay"]
    weight: Tensor = parameter(3, 12, seed=0)
    weight.grad = gradient(weight, 1)
    Muon([weight], lr=0.1, weight_decay=0.0).step()
    moved = (weight - parameter(3, 12, seed=0)).square().mean().sqrt().item()
    assert moved == pytest.approx(0.1 * 0.2 * math.sqrt(12) * math.sqrt(3 / 36), rel=0.2)
