"""Parameters of every kind that Muon and AdamW groups hold, small and reproducible, and what compares two runs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hf_muonclip.optim.matrix_view import MatrixView, from_matrices, to_matrices
from hf_muonclip.optim.muon import Muon

EXACT = {"ns_dtype": "float32"}  # on every machine, whatever its CPU prefers
# Name -> (shape, view, None for AdamW). Two of one shape, a tall one, and one of each way to hold several matrices.
KINDS: dict[str, tuple[tuple[int, ...], MatrixView | None]] = {
    "a": ((6, 10), MatrixView()),
    "b": ((6, 10), MatrixView()),
    "tall": ((12, 5), MatrixView()),
    "experts": ((3, 6, 10), MatrixView()),
    "gate_up": ((3, 8, 6), MatrixView(sections=(4, 4))),
    "interleaved": ((3, 6, 8), MatrixView(sections=(1, 1), periods=4, transposed=True)),
    "qkv": ((16, 5), MatrixView(sections=(8, 4, 4))),
    "per_head": ((24, 5), MatrixView(sections=(4, 2, 2), periods=3, head_rows=(2, 2, 0))),
    "stacked": ((12, 5), MatrixView(stacked=3)),
    "kernel": ((6, 2, 3), MatrixView(stacked=2, kernel=True)),
    "embedding": ((20, 6), None),
    "gain": ((6,), None),
}
MATRICES = {name: view for name, (_, view) in KINDS.items() if view is not None}
VIEWS = {name: view for name, (_, view) in KINDS.items() if view not in (None, MatrixView())}


def parameter(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype))


def gradient(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like.dtype)


def set_gradients(parameters: dict[str, nn.Parameter], step: int) -> None:
    for index, weight in enumerate(parameters.values()):
        weight.grad = gradient(weight, 100 * step + index)


def rests(name: str, step: int, section: int, index: int) -> bool:
    """Return whether `set_gradients_of_some` leaves a matrix without: half of the time, none in the first step."""
    return step > 0 and (3 * step + 2 * section + index + len(name)) % 2 == 0


def set_gradients_of_some(parameters: dict[str, nn.Parameter], step: int, absent: bool = False) -> None:
    """Give every matrix a gradient or zeros; with `absent`, a parameter gets None where all of its matrices rest.

    In one step half of a matrix has a gradient: a rank's part of it may have none.
    """
    set_gradients(parameters, step)
    for name, view in MATRICES.items():
        weight = parameters[name]
        assert weight.grad is not None
        stacks = to_matrices(weight.grad, view)
        stacks = [stack.clone() for stack in stacks]
        for section, stack in enumerate(stacks):
            for index, matrix in enumerate(stack):
                if rests(name, step, section, index):
                    matrix.zero_()
        weight.grad = from_matrices(stacks, view, weight.shape)
        if step == 2 and name in ("b", "qkv"):
            weight.grad[: weight.shape[0] // 2] = 0
        if absent and not weight.grad.any():
            weight.grad = None


def copy_of(parameters: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(weight.detach().clone()) for name, weight in parameters.items()}


def every_kind(dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    return {name: parameter(*shape, seed=i, dtype=dtype) for i, (name, (shape, _)) in enumerate(KINDS.items())}


def groups_of(parameters: dict[str, nn.Parameter]) -> list[dict[str, Any]]:
    """Return a Muon group, an AdamW group, and one of AdamW without decay."""
    return [
        {"params": [(name, weight) for name, weight in parameters.items() if name not in ("embedding", "gain")]},
        {"params": [("embedding", parameters["embedding"])], "algorithm": "adamw"},
        {"params": [("gain", parameters["gain"])], "algorithm": "adamw", "weight_decay": 0.0},
    ]


def muon(parameters: dict[str, nn.Parameter], optimizer_class: type[Muon] = Muon, **settings: Any) -> Muon:
    views = {name: view for name, view in VIEWS.items() if name in parameters}
    return optimizer_class(groups_of(parameters), views=views, **{**EXACT, **settings})


def trained(steps: int = 2, **settings: Any) -> tuple[dict[str, nn.Parameter], Muon]:
    parameters = every_kind()
    optimizer = muon(parameters, **settings)
    take_steps(parameters, optimizer, range(steps))
    return parameters, optimizer


def take_steps(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, steps: Iterable[int]) -> None:
    for step in steps:
        set_gradients(parameters, step)
        optimizer.step()


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[tuple[int, str], Tensor]:
    states = optimizer.state_dict()["state"]
    return {(index, key): value.clone() for index, state in states.items() for key, value in state.items()}


def assert_equal_weights(found: dict[str, nn.Parameter], wanted: dict[str, nn.Parameter]) -> None:
    assert found.keys() == wanted.keys()
    for name, weight in found.items():
        assert torch.equal(weight, wanted[name]), name


def assert_close_weights(
    found: dict[str, nn.Parameter], wanted: dict[str, nn.Parameter], atol: float = 2e-6, rtol: float = 1e-5
) -> None:
    assert found.keys() == wanted.keys()
    for name, weight in found.items():
        torch.testing.assert_close(weight, wanted[name], atol=atol, rtol=rtol, msg=lambda m, name=name: f"{name}: {m}")


def assert_equal_states(found: dict[tuple[int, str], Tensor], wanted: dict[tuple[int, str], Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for index, tensor in found.items():
        assert tensor.dtype == wanted[index].dtype, index
        assert torch.equal(tensor, wanted[index]), index


@contextmanager
def nothing_written(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Fail if a weight, a moment or a count of steps changes in between."""
    weights, state = copy_of(parameters), state_tensors(optimizer)
    yield
    assert_equal_weights(parameters, weights)
    assert_equal_states(state_tensors(optimizer), state)
