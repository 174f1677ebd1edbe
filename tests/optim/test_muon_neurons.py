"""Neuron normalization of Muon's updates, against loops over rows in float64."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hf_muonclip.optim.matrix_view import MatrixView, from_matrices, to_matrices
from hf_muonclip.optim.muon import Muon
from hf_muonclip.optim.newton_schulz import newton_schulz

LR, BETA2, MOMENTUM = 0.1, 0.95, 0.9
VIEWS = {
    "plain": ((6, 10), MatrixView()),
    "experts": ((5, 8, 6), MatrixView(sections=(4, 4))),  # (experts, 2·intermediate, hidden)
    "fused": ((10, 6), MatrixView(sections=(6, 2, 2))),
    "by_head": ((8, 6), MatrixView(sections=(4, 4), head_rows=(2, 0))),
    "stored_in_out": ((6, 8), MatrixView(transposed=True)),
}


def parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, (shape, _) in VIEWS.items()}


def set_gradients(weights: dict[str, nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for weight in weights.values():
        weight.grad = torch.randn(weight.shape, generator=generator)


def optimizer_of(weights: dict[str, nn.Parameter], **settings: Any) -> Muon:
    views = {name: view for name, (_, view) in VIEWS.items()}
    settings = {"lr": LR, "weight_decay": 0.0, "momentum": MOMENTUM, "adjust_lr_fn": "none"} | settings
    return Muon(weights.items(), views=views, normalize_neurons=True, ns_dtype="float32", **settings)


def evened(update: Tensor, moment: Tensor) -> tuple[Tensor, Tensor]:
    """Return one matrix's update with its rows evened out, and the new second moments, row by row."""
    normalized, moment = torch.empty_like(update), moment.clone()
    for row in range(len(update)):
        moment[row] = BETA2 * moment[row] + (1 - BETA2) * float((update[row] ** 2).mean())
        normalized[row] = update[row] / (moment[row].sqrt() + 1e-8)
    return normalized * (update.norm() / normalized.norm()), moment


@pytest.mark.parametrize("max_batch_bytes", [None, 1], ids=["together", "one by one"])
def test_rows_are_evened_out_as_in_the_loop(max_batch_bytes: int | None) -> None:
    weights = parameters()
    optimizer = optimizer_of(weights, max_batch_bytes=max_batch_bytes)
    wanted = {name: weight.detach().double() for name, weight in weights.items()}
    momenta = {name: torch.zeros_like(weight) for name, weight in wanted.items()}
    moments: dict[tuple[str, int, int], Tensor] = {}
    for step in range(3):
        set_gradients(weights, step)
        optimizer.step()
        for name, weight in weights.items():
            assert weight.grad is not None
            gradient, view = weight.grad.double(), VIEWS[name][1]
            momenta[name] = MOMENTUM * momenta[name] + gradient
            stacks = []
            for section, stack in enumerate(to_matrices(gradient + MOMENTUM * momenta[name], view)):
                made = []
                for index, matrix in enumerate(stack):
                    update = newton_schulz(matrix[None].float(), dtype=torch.float32)[0].double()
                    moment = moments.get((name, section, index), torch.zeros(len(update), dtype=torch.float64))
                    update, moments[name, section, index] = evened(update, moment)
                    made.append(update)
                stacks.append(torch.stack(made))
            wanted[name] -= LR * from_matrices(stacks, view, weight.shape)
            torch.testing.assert_close(weight.double(), wanted[name], atol=1e-4, rtol=1e-4, msg=f"{name}, step {step}")
    for name, weight in weights.items():
        found = optimizer.state[weight]["neuron_second_moment"]
        sections: dict[int, list[Tensor]] = {}
        for (owner, section, _), moment in sorted(moments.items()):
            if owner == name:
                sections.setdefault(section, []).append(moment)
        rows = torch.cat([torch.cat(of_section).view(len(found), -1) for of_section in sections.values()], dim=1)
        torch.testing.assert_close(found.double(), rows, atol=1e-6, rtol=1e-3)


def test_the_size_of_a_matrix_and_not_its_rows_stays() -> None:
    weights = {"w": nn.Parameter(torch.zeros(16, 48))}
    weights["w"].grad = (
        torch.randn(16, 48, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, 3, 16)[:, None]
    )
    Muon(weights.items(), lr=1.0, adjust_lr_fn="none", normalize_neurons=True, ns_dtype="float32").step()
    plain = nn.Parameter(torch.zeros(16, 48))
    plain.grad = weights["w"].grad
    Muon([plain], lr=1.0, adjust_lr_fn="none", ns_dtype="float32").step()
    torch.testing.assert_close(weights["w"].norm(), plain.norm(), atol=1e-5, rtol=1e-5)
    rows = weights["w"].detach().norm(dim=1)
    assert rows.std() < 1e-3 * rows.mean()
    assert plain.detach().norm(dim=1).std() > 0.02 * rows.mean()


def test_it_goes_on_bit_for_bit_after_loading() -> None:
    weights = parameters()
    optimizer = optimizer_of(weights)
    for step in range(2):
        set_gradients(weights, step)
        optimizer.step()
    twins = {name: nn.Parameter(weight.detach().bfloat16().float()) for name, weight in weights.items()}
    for name, twin in twins.items():
        twin.data.copy_(weights[name])
    resumed = optimizer_of(twins)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(2, 4):
        for pair, trained in ((weights, optimizer), (twins, resumed)):
            set_gradients(pair, step)
            trained.step()
    assert all(torch.equal(weights[name], twins[name]) for name in weights)


def test_a_step_that_is_not_finite_leaves_the_moments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_muonclip.optim.muon._host_must_not_wait", lambda: True)
    weights = parameters()
    optimizer = optimizer_of(weights)
    set_gradients(weights, 0)
    optimizer.step()
    before = [state["neuron_second_moment"].clone() for state in optimizer.state.values()]
    set_gradients(weights, 1)
    weights["fused"].grad[0, 0] = float("nan")  # type: ignore[index]
    optimizer.step()
    after = [state["neuron_second_moment"] for state in optimizer.state.values()]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert all(moment.isfinite().all() for moment in after)
