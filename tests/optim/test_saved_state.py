"""Saved state: what loads, from Muon and from torch.optim.Muon, what it becomes, and what is refused."""

import copy
import io
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_parameters import (
    assert_equal_states,
    assert_equal_weights,
    every_kind,
    gradient,
    muon,
    nothing_written,
    parameter,
    set_gradients,
    state_tensors,
    take_steps,
    trained,
)
from torch import Tensor, nn

from hf_muonclip.optim.matrix_view import MatrixView
from hf_muonclip.optim.muon import Muon
from hf_muonclip.optim.saved_state import checked_state


def continued(
    parameters: dict[str, nn.Parameter], optimizer: Muon, state_dict: dict[str, Any], **settings: Any
) -> tuple[dict[str, nn.Parameter], Muon]:
    """Return the parameters in a new optimizer with the loaded state; both took two more steps."""
    twins = every_kind(next(iter(parameters.values())).dtype)
    for name, weight in twins.items():
        weight.data.copy_(parameters[name])
    resumed = muon(twins, **settings)
    resumed.load_state_dict(state_dict)
    take_steps(parameters, optimizer, (2, 3))
    take_steps(twins, resumed, (2, 3))
    return twins, resumed


def through_a_file(state_dict: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


# ----------------------------------------------------------------------------------------------------------- our own


@pytest.mark.parametrize("carry", [copy.deepcopy, through_a_file], ids=["in memory", "through a file"])
@pytest.mark.parametrize("momentum_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lr", [0.02, torch.tensor(0.02)], ids=["float", "tensor"])
def test_a_loaded_optimizer_goes_on_bit_for_bit(carry: Any, momentum_dtype: str, lr: float | Tensor) -> None:
    parameters, optimizer = trained(lr=lr, momentum_dtype=momentum_dtype)
    saved = carry(optimizer.state_dict())
    # The saved groups bring their own lr.
    twins, resumed = continued(parameters, optimizer, saved, lr=0.5, momentum_dtype=momentum_dtype)
    assert_equal_weights(twins, parameters)
    assert_equal_states(state_tensors(resumed), state_tensors(optimizer))


def test_moments_of_bfloat16_weights_stay_float32() -> None:
    parameters = every_kind(torch.bfloat16)
    optimizer = muon(parameters, lr=0.02)
    take_steps(parameters, optimizer, range(2))
    saved = state_tensors(optimizer)
    assert {key for _, key in saved} == {"momentum_buffer", "step", "exp_avg", "exp_avg_sq"}
    assert all(tensor.dtype == torch.float32 for tensor in saved.values())
    # Values that bfloat16 cannot hold, or the comparison below could not fail.
    assert any(not torch.equal(t, t.bfloat16().float()) for (_, key), t in saved.items() if key != "step")
    twins, resumed = continued(parameters, optimizer, through_a_file(optimizer.state_dict()))
    assert_equal_weights(twins, parameters)
    assert_equal_states(state_tensors(resumed), state_tensors(optimizer))


@pytest.mark.parametrize(("saved_dtype", "dtype"), [("float32", torch.bfloat16), ("bfloat16", torch.float32)])
def test_momentum_takes_the_dtype_of_the_optimizer_that_loads(saved_dtype: str, dtype: torch.dtype) -> None:
    _, optimizer = trained(momentum_dtype=saved_dtype)
    resumed = muon(every_kind(), momentum_dtype=str(dtype).removeprefix("torch."))
    resumed.load_state_dict(optimizer.state_dict())
    for (index, key), tensor in state_tensors(resumed).items():
        saved = optimizer.state_dict()["state"][index][key]
        assert tensor.dtype == (dtype if key == "momentum_buffer" else torch.float32)
        assert torch.equal(tensor, saved.to(tensor.dtype))


def test_state_of_before_the_first_step_loads() -> None:
    parameters, twins = every_kind(), every_kind()
    fresh, resumed = muon(parameters), muon(twins)
    resumed.load_state_dict(fresh.state_dict())
    take_steps(parameters, fresh, range(2))
    take_steps(twins, resumed, range(2))
    assert_equal_weights(twins, parameters)


def test_settings_younger_than_the_checkpoint_take_their_defaults() -> None:
    parameters, optimizer = trained(cautious_weight_decay=True)
    saved = copy.deepcopy(optimizer.state_dict())
    for group in saved["param_groups"]:
        del group["cautious_weight_decay"]
    twins, resumed = continued(parameters, optimizer, saved, cautious_weight_decay=True)
    assert all(group["cautious_weight_decay"] for group in resumed.param_groups)
    assert_equal_weights(twins, parameters)


def test_moments_saved_with_other_strides_load() -> None:
    parameters, optimizer = trained()
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        for key, moment in state.items():
            if moment.ndim > 1:
                state[key] = moment.mT.contiguous().mT
    twins, _ = continued(parameters, optimizer, saved)
    assert_equal_weights(twins, parameters)


def test_loading_leaves_the_saved_state_alone() -> None:
    _, optimizer = trained()
    saved = copy.deepcopy(optimizer.state_dict())
    before = copy.deepcopy(saved)
    muon(every_kind(torch.bfloat16), momentum_dtype="bfloat16").load_state_dict(saved)
    assert saved["param_groups"] == before["param_groups"]
    assert saved["state"].keys() == before["state"].keys()
    for index, state in saved["state"].items():
        assert all(torch.equal(moment, before["state"][index][key]) for key, moment in state.items())


def test_batches_are_made_again_and_a_group_can_be_added_after_loading() -> None:
    parameters, optimizer = trained()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    late = parameter(4, 6, seed=9)
    optimizer.add_param_group({"params": [("late", late)]})
    late.grad = gradient(late, 1)
    take_steps(parameters, optimizer, [5])
    assert not torch.equal(late, parameter(4, 6, seed=9))


# -------------------------------------------------------------------------------------------------------- torch's Muon


def torchs(
    weights: list[nn.Parameter], steps: int = 3, **settings: Any
) -> tuple[torch.optim.Muon, list[list[nn.Parameter]]]:
    """Return torch's Muon after some steps, with the weights in two groups of their own rates."""
    groups = [weights[:1], weights[1:]]
    optimizer = torch.optim.Muon([{"params": groups[0]}, {"params": groups[1], "lr": 0.3}], lr=0.2, **settings)
    for step in range(steps):
        give_gradients(weights, step)
        optimizer.step()
    return optimizer, groups


def give_gradients(weights: list[nn.Parameter], step: int) -> None:
    for index, weight in enumerate(weights):
        weight.grad = gradient(weight, 10 * step + index)


@pytest.mark.parametrize("with_adamw", [False, True])
@pytest.mark.parametrize("adjust_lr_fn", [None, "original", "match_rms_adamw"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_of_torchs_muon_goes_on_as_there(dtype: torch.dtype, adjust_lr_fn: str | None, with_adamw: bool) -> None:
    theirs = [parameter(12, 20, seed=i, dtype=dtype) for i in range(3)]
    optimizer, _ = torchs(theirs, adjust_lr_fn=adjust_lr_fn, momentum=0.9, weight_decay=0.2)
    ours = [nn.Parameter(weight.detach().clone()) for weight in theirs]
    before = [weight.detach().clone() for weight in theirs]
    gain = parameter(7, seed=9)
    adamw = [{"params": [gain], "algorithm": "adamw"}] if with_adamw else []
    # An AdamW group in front, so that the saved numbers of parameters are others.
    resumed = Muon([*adamw, {"params": ours[:1]}, {"params": ours[1:]}], ns_dtype="bfloat16")
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch, too, shares moments with what it loads
    for weight, twin in zip(ours, theirs, strict=True):
        momentum = resumed.state[weight]["momentum_buffer"]
        assert momentum.dtype == torch.float32
        assert torch.equal(momentum, optimizer.state[twin]["momentum_buffer"].float())
    give_gradients(theirs, 3)
    give_gradients(ours, 3)
    gain.grad = gradient(gain, 1)
    optimizer.step()
    resumed.step()
    for weight, twin, start in zip(ours, theirs, before, strict=True):
        moved, wanted = (weight - start).double(), (twin - start).double()
        # Both iterate in bfloat16, from differently rounded starts. Without the momentum it would be 45% of the move.
        noise = 0.06 if dtype == torch.float32 else 0.12  # torch rounds such weights twice
        assert (moved - wanted).norm() < noise * wanted.norm()
    if with_adamw:
        assert resumed.state[gain]["step"] == 1  # fresh


def test_settings_of_torchs_muon_come_along() -> None:
    weights = [parameter(4, 6, seed=i) for i in range(2)]
    settings: dict[str, Any] = {
        "weight_decay": 0.3,
        "momentum": 0.8,
        "nesterov": False,
        "ns_coefficients": (2.0, -1.5, 0.5),
        "eps": 1e-5,
        "ns_steps": 3,
    }
    optimizer, _ = torchs(weights, **settings)
    resumed = Muon([{"params": weights[:1]}, {"params": weights[1:], "cautious_weight_decay": True}])
    resumed.load_state_dict(optimizer.state_dict())
    for group, lr, cautious in zip(resumed.param_groups, (0.2, 0.3), (False, True), strict=True):
        assert {key: group[key] for key in settings} == settings
        assert group["lr"] == lr
        assert group["adjust_lr_fn"] == "original"
        assert group["algorithm"] == "muon"
        assert group["cautious_weight_decay"] is cautious


def test_the_scale_that_torch_has_since_2_14_comes_along() -> None:
    weight = parameter(12, 3, seed=1)
    optimizer, _ = torchs([weight, parameter(4, 6, seed=2)], weight_decay=0.0)
    saved = copy.deepcopy(optimizer.state_dict())
    for group in saved["param_groups"]:
        group["adjust_lr_fn"] = "spectral_unclamped"
    moved = {}
    for scale in ("spectral_unclamped", None):
        twin = nn.Parameter(weight.detach().clone())
        resumed = Muon([{"params": [twin]}, {"params": [parameter(4, 6, seed=2)]}], ns_dtype="float32")
        for group in saved["param_groups"]:
            group["adjust_lr_fn"] = scale
        resumed.load_state_dict(copy.deepcopy(saved))
        resumed.param_groups[0]["adjust_lr_fn"] = scale or "none"
        twin.grad = gradient(twin, 5)
        resumed.step()
        moved[scale] = twin.detach() - weight.detach()
    # The same direction, times sqrt(12 / 3).
    torch.testing.assert_close(moved["spectral_unclamped"], 2 * moved[None], atol=1e-6, rtol=1e-5)
    assert moved[None].norm() > 0.1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"adjust_lr_fn": "spectral_norm"}, naming("adjust_lr_fn", "'spectral_norm'")),
        ({"maximize": True}, naming("maximize", True)),
        (
            {"decoupled_decay": 0.5},
            naming("torch.optim.Muon", "decoupled_decay=0.5"),
        ),
        ({"momentum": 1.5}, naming("momentum", 1.5)),
    ],
)
def test_what_a_saved_group_says_and_no_step_would_follow_is_refused_before_anything_loads(
    setting: dict[str, Any], message: str
) -> None:
    weights = [parameter(4, 6, seed=i) for i in range(2)]
    optimizer, _ = torchs(weights)
    ours = Muon([{"params": weights[:1]}, {"params": weights[1:]}])
    own = copy.deepcopy(ours.state_dict())
    foreign = copy.deepcopy(optimizer.state_dict())
    foreign["param_groups"][1] |= setting
    groups = copy.deepcopy(ours.param_groups)
    with pytest.raises(ValueError, match=message):
        ours.load_state_dict(foreign)
    assert not ours.state
    assert [{k: v for k, v in g.items() if k != "params"} for g in ours.param_groups] == [
        {k: v for k, v in g.items() if k != "params"} for g in groups
    ]
    if "decoupled_decay" not in setting:
        own["param_groups"][0] |= setting
        with pytest.raises(ValueError, match=message):
            ours.load_state_dict(own)


def test_how_torch_computes_a_step_is_no_obstacle() -> None:
    weights = [parameter(4, 6, seed=i) for i in range(2)]
    optimizer, _ = torchs(weights)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0] |= {"foreach": True, "capturable": True, "new_in_some_torch": None}
    ours = Muon([{"params": weights[:1]}, {"params": weights[1:]}])
    ours.load_state_dict(saved)
    assert len(ours.state) == 2


def test_momentum_of_transposed_gradients_loads_into_a_fused_weight() -> None:
    weight = parameter(16, 5, seed=0)
    theirs = torch.optim.Muon([weight])
    weight.grad = gradient(weight, 1).T.contiguous().T
    theirs.step()
    assert not theirs.state[weight]["momentum_buffer"].is_contiguous()
    ours = Muon([("qkv", weight)], views={"qkv": MatrixView(sections=(8, 4, 4))})
    ours.load_state_dict({**theirs.state_dict()})
    ours.step()
    assert ours.state[weight]["momentum_buffer"].is_contiguous()


def test_torchs_muon_before_its_first_step_loads() -> None:
    weights = [parameter(4, 6, seed=i) for i in range(2)]
    optimizer, _ = torchs(weights, steps=0)
    resumed = Muon([{"params": weights[:1]}, {"params": weights[1:]}])
    resumed.load_state_dict(optimizer.state_dict())
    assert not resumed.state
    give_gradients(weights, 0)
    resumed.step()


@pytest.mark.parametrize("sizes", [[2], [1, 2], [2, 1], [1, 1, 1]])
def test_other_groups_than_those_of_torchs_muon_are_refused(sizes: list[int]) -> None:
    saved = torchs([parameter(4, 6, seed=i) for i in range(2)])[0].state_dict()
    weights = iter([parameter(4, 6, seed=i) for i in range(3)])
    optimizer = Muon([{"params": [next(weights) for _ in range(size)]} for size in sizes])
    with pytest.raises(ValueError, match=naming("groups", "[1, 1]", sizes)):
        optimizer.load_state_dict(saved)
    assert not optimizer.state


# ---------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("foreign_class", [torch.optim.AdamW, torch.optim.SGD])
def test_state_of_another_optimizer_is_refused_with_the_reason(foreign_class: Any) -> None:
    weight = parameter(4, 4, seed=0)
    weight.grad = gradient(weight, 1)
    foreign = foreign_class([weight], lr=0.1)
    foreign.step()
    optimizer = Muon([weight])
    with pytest.raises(ValueError, match=naming("MuonClip", "torch.optim.Muon", "groups")):
        optimizer.load_state_dict(foreign.state_dict())
    assert not optimizer.state
    assert optimizer.param_groups[0]["algorithm"] == "muon"


@pytest.mark.parametrize("moment", ["momentum_buffer", "exp_avg", "exp_avg_sq"])
def test_state_of_another_model_is_refused_by_name_and_leaves_the_state_alone(moment: str) -> None:
    parameters, optimizer = trained()
    saved = copy.deepcopy(optimizer.state_dict())
    index, name = (2, "tall") if moment == "momentum_buffer" else (10, "embedding")
    saved["state"][index][moment] = torch.zeros(4, 7)
    shape = tuple(parameters[name].shape)
    message = naming(moment, name, "(4, 7)", shape)
    with nothing_written(parameters, optimizer), pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)


def test_state_with_another_number_of_parameters_is_refused() -> None:
    one, two = Muon([parameter(4, 4, seed=0)]), Muon([parameter(4, 4, seed=0), parameter(4, 4, seed=1)])
    for optimizer, other in ((one, two), (two, one)):
        with pytest.raises(ValueError, match="doesn't match the size"):
            optimizer.load_state_dict(other.state_dict())


def test_checked_state_returns_our_own_as_it_is() -> None:
    parameters, optimizer = trained()
    saved = optimizer.state_dict()
    checked = checked_state(saved, optimizer.param_groups, list(parameters))
    assert checked == saved
    assert checked is not saved


def test_set_gradients_differ_from_step_to_step() -> None:
    # What the comparisons above rest on.
    parameters = every_kind()
    set_gradients(parameters, 0)
    first = [weight.grad for weight in parameters.values()]
    set_gradients(parameters, 1)
    assert not any(torch.equal(weight.grad, old) for weight, old in zip(parameters.values(), first, strict=True))
