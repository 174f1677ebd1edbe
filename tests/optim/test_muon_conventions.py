"""What torch expects of an optimizer: copies, hooks, closures, schedulers, scalers, and learning rates as tensors."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from error_messages import naming
from tiny_parameters import (
    EXACT,
    assert_close_weights,
    assert_equal_states,
    assert_equal_weights,
    copy_of,
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
from torch.optim import lr_scheduler, swa_utils

from hf_muonclip.optim.muon import Muon


def own_parameters(optimizer: Muon) -> dict[str, nn.Parameter]:
    return {
        n: p for group in optimizer.param_groups for n, p in zip(group["param_names"], group["params"], strict=True)
    }


# --------------------------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"]
)
def test_a_copy_goes_on_bit_for_bit_and_keeps_every_attribute(duplicate: Callable[[Muon], Muon]) -> None:
    settings = {"ns_dtype": "bfloat16", "momentum_dtype": "bfloat16", "max_batch_bytes": 500, "nonfinite": "skip"}
    parameters, optimizer = trained(**settings)
    parameters["a"].grad[0, 0] = float("nan")  # type: ignore[index]
    optimizer.step()
    twin = duplicate(optimizer)
    twins = own_parameters(twin)
    torchs = vars(torch.optim.SGD([parameter(2, 2, seed=0)]))
    own = {name: value for name, value in vars(optimizer).items() if name not in torchs}
    assert {"skipped_steps", "views", "config", "last_step"} <= own.keys()
    for name, value in own.items():
        assert getattr(twin, name) == value or name == "_one_rank", name
    assert twin.skipped_steps == 1
    assert_equal_states(state_tensors(twin), state_tensors(optimizer))
    assert all(twins[name] is not weight for name, weight in parameters.items())
    take_steps(parameters, optimizer, (3, 4))
    before = copy_of(twins)
    assert any(not torch.equal(twins[name], weight) for name, weight in parameters.items())
    assert_equal_weights(twins, before)  # the original left it alone
    take_steps(twins, twin, (3, 4))
    assert_equal_weights(twins, parameters)
    late = parameter(4, 6, seed=9)
    twin.add_param_group({"params": [("late", late)]})
    late.grad = gradient(late, 1)
    twin.step()
    assert not torch.equal(late, parameter(4, 6, seed=9))


# ------------------------------------------------------------------------------------------- hooks, closures, gradients


def test_a_closure_runs_once_with_gradients_and_its_loss_comes_back() -> None:
    weight = parameter(4, 4, seed=0)
    optimizer = Muon([weight], lr=0.1)
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    before = weight.square().sum().item()
    assert optimizer.step(closure).item() == pytest.approx(before)
    assert calls == [True]
    assert weight.square().sum().item() < before
    assert optimizer.step() is None
    with torch.no_grad():
        optimizer.step(closure)
    assert calls == [True, True]


def test_hooks_run_once_a_step_and_a_subclass_too() -> None:
    class Derived(Muon):
        pass

    for optimizer_class in (Derived, Muon, Derived):
        weight = parameter(4, 4, seed=0)
        optimizer = optimizer_class([weight])
        calls: list[str] = []
        optimizer.register_step_pre_hook(lambda *_, calls=calls: calls.append("pre"))
        optimizer.register_step_post_hook(lambda *_, calls=calls: calls.append("post"))
        weight.grad = gradient(weight, 1)
        optimizer.step()
        assert calls == ["pre", "post"]


def test_state_dict_hooks_run_and_may_change_what_is_loaded() -> None:
    _, optimizer = trained()
    calls: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda *_: calls.append("save"))
    optimizer.register_state_dict_post_hook(lambda *_: calls.append("saved"))
    optimizer.register_load_state_dict_post_hook(lambda *_: calls.append("loaded"))

    def halve(_: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        calls.append("load")
        for group in state_dict["param_groups"]:
            group["lr"] /= 2
        return state_dict

    optimizer.register_load_state_dict_pre_hook(halve)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert calls == ["save", "saved", "load", "loaded"]
    assert [group["lr"] for group in optimizer.param_groups] == 3 * [1e-3 / 2]


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zeroed_gradients(set_to_none: bool) -> None:
    parameters, optimizer = trained(weight_decay=0.0, momentum=0.0)
    before, steps = copy_of(parameters), optimizer.state[parameters["gain"]]["step"].clone()
    optimizer.zero_grad(set_to_none=set_to_none)
    optimizer.step()
    for name, weight in parameters.items():
        assert (weight.grad is None) == set_to_none
        if name not in ("embedding", "gain") or set_to_none:  # AdamW's moments move on
            assert torch.equal(weight, before[name]), name
    assert optimizer.state[parameters["gain"]]["step"] == steps + (not set_to_none)


def test_clipped_gradients_are_what_the_step_sees() -> None:
    parameters, wanted = every_kind(), every_kind()
    optimizer, twin = muon(parameters), muon(wanted)
    for step in range(3):
        set_gradients(parameters, step)
        set_gradients(wanted, step)
        norm = nn.utils.clip_grad_norm_(parameters.values(), 0.5)
        for weight in wanted.values():
            weight.grad *= 0.5 / (norm + 1e-6)  # type: ignore[operator]
        optimizer.step()
        twin.step()
    assert_close_weights(parameters, wanted)


# ----------------------------------------------------------------------------------------------------------- schedulers


def test_lr_schedulers_drive_both_algorithms() -> None:
    weight, gain = parameter(4, 6, seed=0), parameter(4, seed=1)
    optimizer = Muon([{"params": [weight]}, {"params": [gain], "algorithm": "adamw"}], lr=0.1, weight_decay=0.0)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda step: [1.0, 0.5, 0.0][step])
    moves: list[tuple[float, float]] = []
    for _ in range(3):
        before = weight.detach().clone(), gain.detach().clone()
        weight.grad, gain.grad = gradient(weight, 5), gradient(gain, 6)  # constant: the direction stays
        optimizer.step()
        scheduler.step() if len(moves) < 2 else None
        moves.append(((weight - before[0]).norm().item(), (gain - before[1]).norm().item()))
    for full, half, none in zip(*moves, strict=True):
        assert half == pytest.approx(full / 2, rel=1e-2)
        assert none == 0.0


SCHEDULERS: dict[str, Callable[[Muon], lr_scheduler.LRScheduler]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, gamma=0.5),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=6),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.05, step_size_up=2),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=2), lr_scheduler.ConstantLR(o, 0.5)], [2]
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=0.002, anneal_epochs=3),
}


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_step_as_if_their_values_were_set_by_hand(name: str, as_tensor: bool) -> None:
    parameters, wanted = every_kind(), every_kind()
    lr = torch.tensor(0.02) if as_tensor else 0.02
    optimizer, twin = muon(parameters, lr=lr), muon(wanted, lr=0.02)
    scheduler = SCHEDULERS[name](optimizer)
    rates, momenta = [], []
    for step in range(5):
        for group, by_hand in zip(optimizer.param_groups, twin.param_groups, strict=True):
            by_hand["lr"], by_hand["momentum"] = float(group["lr"]), group["momentum"]
        rates.append(round(float(optimizer.param_groups[0]["lr"]), 9))
        momenta.append(optimizer.param_groups[0]["momentum"])
        take_steps(parameters, optimizer, [step])
        take_steps(wanted, twin, [step])
        scheduler.step()
    assert len(set(rates)) > 1
    assert (len(set(momenta)) > 1) == (name in ("OneCycleLR", "CyclicLR"))  # these cycle the momentum as well
    assert isinstance(optimizer.param_groups[0]["lr"], Tensor) == as_tensor
    assert_close_weights(parameters, wanted, atol=1e-6, rtol=1e-6)

    # What the scheduler keeps in the groups is saved, loaded and copied with them.
    twins = every_kind()
    for key, weight in twins.items():
        weight.data.copy_(parameters[key])
    resumed = muon(twins)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [group.keys() for group in resumed.param_groups] == [group.keys() for group in optimizer.param_groups]
    resumed.add_param_group(
        {**dict.fromkeys(("initial_lr", "max_lr", "min_lr"), 0.1), "params": [("z", parameter(2, 2, seed=0))]}
    )
    take_steps(parameters, optimizer, [5])
    take_steps(twins, resumed, [5])
    assert_equal_weights(twins, parameters)


def test_averaged_weights() -> None:
    model = nn.Linear(6, 4, bias=False)
    optimizer = Muon(model.parameters(), lr=0.1)
    averaged = swa_utils.AveragedModel(model)
    seen = []
    for step in range(3):
        model.weight.grad = gradient(model.weight, step)
        optimizer.step()
        averaged.update_parameters(model)
        seen.append(model.weight.detach().clone())
    torch.testing.assert_close(averaged.module.weight.detach(), torch.stack(seen).mean(0), atol=1e-6, rtol=1e-6)


# ---------------------------------------------------------------------------------------------- learning rate as tensor


@pytest.mark.parametrize("settings", [{}, {"cautious_weight_decay": True}, {"weight_decay": 0.0}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("lr_dtype", [torch.float32, torch.float64])
def test_a_learning_rate_as_tensor_equals_a_number_also_when_it_is_changed_in_place(
    lr_dtype: torch.dtype, dtype: torch.dtype, settings: dict[str, Any]
) -> None:
    parameters, wanted = every_kind(dtype), every_kind(dtype)
    lr = torch.tensor(0.25, dtype=lr_dtype)
    optimizer, twin = muon(parameters, lr=lr, **settings), muon(wanted, lr=0.25, **settings)
    for step, rate in enumerate((0.25, 0.125, 0.0, 0.5)):
        lr.fill_(rate)
        for group in twin.param_groups:
            group["lr"] = rate
        take_steps(parameters, optimizer, [step])
        take_steps(wanted, twin, [step])
    assert lr == 0.5
    if dtype == torch.bfloat16:  # ties of the last bit
        assert all((weight == wanted[name]).float().mean() > 0.95 for name, weight in parameters.items())
    else:
        assert_close_weights(parameters, wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("lr", [torch.tensor([0.1]), torch.tensor([0.1, 0.2]), torch.tensor(float("nan"))])
def test_other_tensors_than_a_finite_0_dim_one_are_refused(lr: Tensor) -> None:
    with pytest.raises(ValueError, match=naming("lr", repr(lr), "0-dim")):
        Muon([parameter(4, 4, seed=0)], lr=lr)


def test_a_learning_rate_on_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("lr", "CPU", "meta", "w")):
        Muon([("w", parameter(4, 4, seed=0))], lr=OnMeta())


class OnMeta(Tensor):
    """A number that says it is on another device, which no machine without one could hold."""

    @staticmethod
    def __new__(cls) -> "OnMeta":
        return torch.tensor(0.1).as_subclass(cls)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("meta")


# ------------------------------------------------------------------------------------------------------------------ amp


def scaled_step(
    parameters: dict[str, nn.Parameter], optimizer: Muon, scaler: Any, step: int, poison: bool = False
) -> None:
    """Take a step whose gradients come out of a scaled backward pass; they are those of `set_gradients`."""
    optimizer.zero_grad()
    loss = sum((weight * gradient(weight, 100 * step + i)).sum() for i, weight in enumerate(parameters.values()))
    scaler.scale(loss).backward()
    if poison:
        parameters["tall"].grad[2, 1] = float("inf")  # type: ignore[index]
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("clip", [False, True])
def test_scaled_steps_equal_unscaled_ones(clip: bool) -> None:
    parameters, wanted = every_kind(), every_kind()
    optimizer, twin = muon(parameters), muon(wanted)
    scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=2.0**10)  # a power of two: exact
    for step in range(3):
        scaled_step(parameters, optimizer, scaler, step)
        take_steps(wanted, twin, [step])
    assert_equal_weights(parameters, wanted)
    if clip:
        optimizer.zero_grad()
        scaler.scale(parameters["a"].square().sum()).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(parameters.values(), 0.1)
        assert norm == pytest.approx(2 * parameters["a"].norm().item(), rel=1e-5)
        scaler.step(optimizer)
        assert not torch.equal(parameters["a"], wanted["a"])


def test_a_step_that_overflows_is_skipped_by_the_scaler() -> None:
    parameters, optimizer = trained()
    weights = copy_of(parameters)
    scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=2.0**10)
    with nothing_written(parameters, optimizer):
        scaled_step(parameters, optimizer, scaler, 2, poison=True)
    assert optimizer.skipped_steps == 0  # the step was never called
    assert scaler.get_scale() == 2.0**9
    scaled_step(parameters, optimizer, scaler, 2)
    assert not torch.equal(parameters["tall"], weights["tall"])


# --------------------------------------------------------------------------------------------------------------- groups


def test_add_param_group_trains_the_group_by_its_own_settings() -> None:
    first, second, gain = parameter(4, 6, seed=0), parameter(4, 6, seed=1), parameter(4, seed=2)
    wanted, _ = reference.muon_step(second, gradient(second, 3), torch.zeros(4, 6), lr=0.5, weight_decay=0.0)
    optimizer = Muon([("first", first)], lr=0.1, ns_coefficients="jordan", **EXACT)
    optimizer.add_param_group({"params": [("second", second)], "lr": 0.5, "weight_decay": 0.0})
    optimizer.add_param_group({"params": [("gain", gain)], "algorithm": "adamw"})
    assert [group["algorithm"] for group in optimizer.param_groups] == ["muon", "muon", "adamw"]
    first.grad, second.grad, gain.grad = gradient(first, 4), gradient(second, 3), gradient(gain, 5)
    optimizer.step()
    torch.testing.assert_close(second.double(), wanted, atol=1e-6, rtol=1e-5)
    assert not torch.equal(gain, parameter(4, seed=2))


def test_two_groups_of_one_shape_keep_their_settings_apart() -> None:
    names = ("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "ns_steps", "adjust_lr_fn")
    others = dict(zip(names, (0.3, 0.5, 0.5, False, "cans", 7, "original"), strict=True))
    for name in (*names, "cautious_weight_decay"):
        setting = {name: others.get(name, True)}
        moved = []
        for groups in ([{}, setting], [{}, {}], [setting, setting]):
            weights = [parameter(6, 10, seed=0), parameter(6, 10, seed=0)]
            settings = [{"params": [weight], **group} for weight, group in zip(weights, groups, strict=True)]
            optimizer = Muon(settings, lr=0.1, **EXACT)
            for step in range(2):
                for weight in weights:
                    weight.grad = gradient(weight, step)
                optimizer.step()
            moved.append(weights)
        mixed, plain, changed = moved
        assert torch.equal(mixed[0], plain[0])
        assert torch.equal(mixed[1], changed[1])
        assert not torch.equal(mixed[0], mixed[1]), name


def test_orthogonalize_can_be_overridden() -> None:
    class SignDescent(Muon):
        def orthogonalize(self, matrices: Tensor, group: Any) -> Tensor:
            return matrices.sign()

    weight = parameter(4, 6, seed=0)
    weight.grad = gradient(weight, 1)
    SignDescent([weight], lr=0.1, weight_decay=0.0, adjust_lr_fn="none").step()
    wanted = parameter(4, 6, seed=0).detach() - 0.1 * weight.grad.sign()
    torch.testing.assert_close(weight.detach(), wanted, atol=1e-7, rtol=1e-6)
