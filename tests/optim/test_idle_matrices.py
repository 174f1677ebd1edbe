"""A matrix whose gradient is zero everywhere rests: its weights stay, its momentum shrinks, no other notices."""

from collections.abc import Sequence
from typing import Any

import pytest
import reference
import torch
from tiny_parameters import (
    EXACT,
    MATRICES,
    assert_equal_weights,
    copy_of,
    every_kind,
    gradient,
    muon,
    parameter,
    set_gradients_of_some,
    state_tensors,
    take_steps,
)
from torch import Tensor, nn

from hf_muonclip.optim import muon as muon_module
from hf_muonclip.optim.matrix_view import from_matrices, to_matrices
from hf_muonclip.optim.muon import Muon

STEPS, LR, DECAY, MOMENTUM = 4, 0.05, 0.3, 0.9


def steps(parameters: dict[str, nn.Parameter], optimizer: Muon, absent: bool = False) -> None:
    for step in range(STEPS):
        set_gradients_of_some(parameters, step, absent)
        optimizer.step()


SETTINGS: list[dict[str, Any]] = [
    {},
    {"nesterov": False},
    {"cautious_weight_decay": True},
    {"adjust_lr_fn": "original", "max_batch_bytes": 300},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("how", ["ordinary", "captured", "absent"])
def test_matrices_that_rest_keep_their_weights_as_in_the_loop(
    how: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon_module, "_host_must_not_wait", lambda: how == "captured")
    parameters, start = every_kind(), every_kind()
    given = {"lr": LR, "weight_decay": DECAY, "momentum": MOMENTUM, **settings}
    steps(parameters, muon(parameters, ns_coefficients=(2.0, -1.5, 0.5), ns_steps=5, **given), how == "absent")
    for name, view in MATRICES.items():
        gradients = []
        for step in range(STEPS):
            set_gradients_of_some(start, step)
            gradients.append(to_matrices(start[name].grad, view))  # type: ignore[arg-type]
        stacks = []
        for section, stack in enumerate(to_matrices(start[name].detach(), view)):
            made = []
            for index, matrix in enumerate(stack):
                weight, momentum = matrix.double(), torch.zeros_like(matrix)
                n, m = matrix.shape
                for step in range(STEPS):
                    before = weight
                    weight, momentum = reference.muon_step(
                        weight,
                        gradients[step][section][index],
                        momentum,
                        LR,
                        DECAY,
                        MOMENTUM,
                        settings.get("nesterov", True),
                        (2.0, -1.5, 0.5),
                        5,
                        1e-7 / (1 - MOMENTUM),
                        max(1.0, n / m) ** 0.5 if "adjust_lr_fn" in settings else 0.2 * max(n, m) ** 0.5,
                        settings.get("cautious_weight_decay", False),
                    )
                    assert torch.equal(weight, before) == (not gradients[step][section][index].any())
                made.append(weight)
            stacks.append(torch.stack(made))
        wanted = from_matrices(stacks, view, start[name].shape)
        torch.testing.assert_close(parameters[name].double(), wanted, atol=5e-6, rtol=1e-5, msg=f"{name}, {how}")


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("settings", [{}, {"normalize_neurons": True}, {"cautious_weight_decay": True}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_resting_expert_keeps_every_bit_and_the_others_do_not_notice(
    dtype: torch.dtype, settings: dict[str, Any], captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon_module, "_host_must_not_wait", lambda: captured)
    momentum_dtype = "bfloat16" if dtype == torch.bfloat16 else "float32"
    found, wanted = parameter(5, 6, 10, seed=0, dtype=dtype), parameter(5, 6, 10, seed=0, dtype=dtype)
    own, twin = (
        Muon([w], lr=0.1, weight_decay=0.5, momentum_dtype=momentum_dtype, **EXACT, **settings) for w in (found, wanted)
    )
    for step in range(4):
        found.grad, wanted.grad = gradient(found, step), gradient(wanted, step)
        before = found.detach()[2].clone()
        if step in (1, 2):
            found.grad[2] = 0
            moment = own.state[found].get("neuron_second_moment", torch.zeros(5, 6)).clone()
        own.step()
        twin.step()
        others = [0, 1, 3, 4]
        assert torch.equal(found[others], wanted[others])
        assert torch.equal(found[2], before) == (step in (1, 2))
        if step in (1, 2):
            now = own.state[found].get("neuron_second_moment", torch.zeros(5, 6))
            assert torch.equal(now[2], moment[2])
            assert torch.equal(now[0], moment[0]) == ("normalize_neurons" not in settings)
    momenta = own.state[found]["momentum_buffer"], twin.state[wanted]["momentum_buffer"]
    assert torch.equal(momenta[0][others], momenta[1][others])


def test_momentum_does_not_move_a_matrix_for_hundreds_of_steps() -> None:
    weight = parameter(2, 8, 12, seed=0)
    optimizer = Muon([weight], lr=0.1, weight_decay=0.0, **EXACT)
    for step in range(3):
        weight.grad = gradient(weight, step)
        optimizer.step()
    before, momentum = weight.detach().clone(), optimizer.state[weight]["momentum_buffer"].clone()
    for step in range(20):
        weight.grad = gradient(weight, step)
        weight.grad[1] = 0
        optimizer.step()
    assert torch.equal(weight[1], before[1])
    assert not torch.equal(weight[0], before[0])
    shrunk = optimizer.state[weight]["momentum_buffer"][1]
    torch.testing.assert_close(shrunk, 0.95**20 * momentum[1], atol=1e-7, rtol=1e-5)


def test_experts_in_a_list_without_gradients_are_those_of_a_stack_with_zeros() -> None:
    stack = parameter(3, 6, 10, seed=0)
    experts = [nn.Parameter(expert.clone()) for expert in stack.detach()]
    stacked, listed = Muon([stack], lr=0.1, **EXACT), Muon(experts, lr=0.1, **EXACT)
    for step in range(6):
        stack.grad = gradient(stack, step)
        for index, expert in enumerate(experts):
            expert.grad = stack.grad[index].clone()
            if (step + index) % 3:
                stack.grad[index] = 0
                expert.grad = None
        stacked.step()
        listed.step()
    torch.testing.assert_close(stack.detach(), torch.stack(experts).detach(), atol=1e-6, rtol=1e-6)
    momenta = torch.stack([listed.state[expert]["momentum_buffer"] for expert in experts])
    torch.testing.assert_close(stacked.state[stack]["momentum_buffer"], momenta, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("tiny", [1e-30, 1e-45])
@pytest.mark.parametrize("captured", [False, True])
def test_a_gradient_whose_square_vanishes_is_a_gradient(
    tiny: float, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon_module, "_host_must_not_wait", lambda: captured)
    alone, stack = parameter(4, 6, seed=0), parameter(2, 4, 6, seed=1)
    before = alone.detach().clone(), stack.detach().clone()
    alone.grad, stack.grad = torch.zeros_like(alone), torch.zeros_like(stack)
    alone.grad[3, 2] = stack.grad[1, 0, 5] = -tiny
    Muon([alone, stack], lr=0.1, weight_decay=0.5, **EXACT).step()
    assert not torch.equal(alone, before[0])  # it decays, if nothing else
    assert torch.equal(stack[0], before[1][0])
    assert not torch.equal(stack[1], before[1][1])


class MakesSomethingOfNothing(Muon):
    def orthogonalize(self, matrices: Tensor, group: Any) -> Tensor:
        return torch.full_like(matrices, torch.nan).where(matrices.flatten(1).any(1)[:, None, None], 1.0)


def test_what_another_method_makes_of_an_idle_matrix_is_not_written() -> None:
    weight = parameter(2, 4, 6, seed=0)
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    MakesSomethingOfNothing([weight], lr=0.1).step()
    assert torch.equal(weight, before)


@pytest.mark.parametrize("idle", [(), (1,), (0, 1, 2)])
def test_the_share_of_idle_matrices_and_the_size_of_the_others_updates_are_measured(idle: Sequence[int]) -> None:
    experts, plain, frozen = parameter(3, 6, 10, seed=0), parameter(6, 10, seed=1), parameter(6, 10, seed=2)
    frozen.requires_grad_(False)
    optimizer = Muon([experts, plain, frozen], lr=0.1, weight_decay=0.0, **EXACT)
    before = experts.detach().clone(), plain.detach().clone()
    for measured in (True, False):
        optimizer.measure_update_rms = measured
        experts.grad, plain.grad = gradient(experts, 1), gradient(plain, 2)
        experts.grad[list(idle)] = 0
        optimizer.step()
        assert (optimizer.idle_matrices is None) == (not measured)
        if measured:
            assert optimizer.idle_matrices == pytest.approx(len(idle) / 4)  # three experts and one more
            moving = [index for index in range(3) if index not in idle]
            written = [(before[0] - experts)[moving].flatten(), (before[1] - plain).flatten()]
            rms = torch.cat(written).detach().square().mean().sqrt() / 0.1
            assert optimizer.update_rms == pytest.approx(float(rms), rel=1e-4)
    plain.grad = None
    experts.grad = None
    optimizer.measure_update_rms = True
    optimizer.step()
    assert optimizer.idle_matrices == 1.0
    assert optimizer.update_rms is None


def test_a_step_without_any_gradient_shrinks_nothing() -> None:
    parameters = every_kind()
    optimizer = muon(parameters)
    take_steps(parameters, optimizer, range(2))
    before, state = copy_of(parameters), state_tensors(optimizer)
    optimizer.zero_grad()
    optimizer.step()
    assert_equal_weights(parameters, before)
    assert all(torch.equal(tensor, state[key]) for key, tensor in state_tensors(optimizer).items())


def test_without_idle_matrices_a_captured_step_is_an_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found, wanted = every_kind(), every_kind()
    own, twin = muon(found, lr=0.1), muon(wanted, lr=0.1)
    take_steps(wanted, twin, range(3))
    monkeypatch.setattr(muon_module, "_host_must_not_wait", lambda: True)
    take_steps(found, own, range(3))
    for name in MATRICES:
        assert torch.equal(found[name], wanted[name]), name
