"""Steps that cannot look at their numbers: compiled, or captured in a CUDA graph."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from tiny_parameters import (
    EXACT,
    VIEWS,
    assert_close_weights,
    copy_of,
    every_kind,
    groups_of,
    muon,
    nothing_written,
    set_gradients,
    state_tensors,
    take_steps,
    trained,
)
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hf_muonclip.optim import muon as muon_module
from hf_muonclip.optim.muon import Muon

SETTINGS: list[dict[str, Any]] = [
    {},
    {"cautious_weight_decay": True},
    {"weight_decay": 0.0, "nesterov": False},
    {"momentum_dtype": "bfloat16"},
]


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make steps behave as if they were captured."""
    monkeypatch.setattr(muon_module, "_host_must_not_wait", lambda: True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_finite_step_equals_an_ordinary_one(
    dtype: torch.dtype, settings: dict[str, Any], as_tensor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters, wanted = every_kind(dtype), every_kind(dtype)
    lr = torch.tensor(0.25) if as_tensor else 0.25
    optimizer, ordinary = muon(parameters, lr=lr, **settings), muon(wanted, lr=0.25, **settings)
    take_steps(wanted, ordinary, range(3))
    monkeypatch.setattr(muon_module, "_host_must_not_wait", lambda: True)
    take_steps(parameters, optimizer, range(3))
    if dtype == torch.bfloat16:  # ties of the last bit
        assert all((weight == wanted[name]).float().mean() > 0.95 for name, weight in parameters.items())
    else:
        assert_close_weights(parameters, wanted, atol=1e-6, rtol=1e-6)
    found, expected = state_tensors(optimizer), state_tensors(ordinary)
    assert found.keys() == expected.keys()
    for index, tensor in found.items():
        torch.testing.assert_close(tensor, expected[index], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["b", "gate_up", "gain"])
@pytest.mark.parametrize("settings", [*SETTINGS, {"lr": torch.tensor(0.1)}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("blind")
def test_a_gradient_that_is_not_finite_writes_nothing(
    where: str, poison: float, settings: dict[str, Any], dtype: torch.dtype
) -> None:
    parameters = every_kind(dtype)
    optimizer = muon(parameters, **{"lr": 0.1, **settings})
    take_steps(parameters, optimizer, range(2))
    weights = copy_of(parameters)
    set_gradients(parameters, 2)
    parameters[where].grad.view(-1)[3] = poison  # type: ignore[union-attr]
    with nothing_written(parameters, optimizer):
        optimizer.step()
    assert optimizer.skipped_steps == 0  # which nobody could know
    take_steps(parameters, optimizer, [2])
    assert all(not torch.equal(weight, weights[name]) for name, weight in parameters.items())


@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1e30), (torch.bfloat16, 1e30), (torch.float16, 1e4)])
@pytest.mark.usefixtures("blind")
def test_huge_gradients_are_finite(dtype: torch.dtype, scale: float) -> None:
    # Their squares are not, and nobody can look again.
    parameters = {name: weight for name, weight in every_kind(dtype).items() if weight.ndim > 1}
    before = copy_of(parameters)
    optimizer = Muon(list(parameters.items()), ns_dtype="float32", lr=0.1)
    set_gradients(parameters, 0)
    for weight in parameters.values():
        weight.grad *= scale  # type: ignore[operator]
    optimizer.step()
    for name, weight in parameters.items():
        assert weight.isfinite().all()
        assert not torch.equal(weight, before[name]), name


@pytest.mark.usefixtures("blind")
def test_a_step_without_any_gradient_does_nothing() -> None:
    parameters, optimizer = trained()
    optimizer.zero_grad()
    with nothing_written(parameters, optimizer):
        optimizer.step()


class NothingIsRead(TorchDispatchMode):
    """Raises when a number is read off a tensor."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        assert not any(read in name for read in ("_local_scalar_dense", "is_nonzero", "item", "equal.default")), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [*SETTINGS, {"lr": torch.tensor(0.1)}], ids=str)
def test_no_number_is_read_off_the_device(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a number was read")

    _, optimizer = trained(**settings)
    with NothingIsRead(), pytest.raises(AssertionError):
        optimizer.step()  # an ordinary step looks whether its gradients are finite
    # Newton–Schulz, too, asks whether it is compiled, since looking costs nothing on a CPU.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for method in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(Tensor, method, refuse)
    with NothingIsRead():
        optimizer.step()


def compiled(optimizer: Muon, **options: Any) -> Callable[[], Any]:
    torch._dynamo.reset()
    return torch.compile(lambda: optimizer.step(), **options)


def some_kinds(adamw: bool) -> tuple[dict[str, nn.Parameter], list[dict[str, Any]]]:
    """Return parameters and groups, not all, because compiling takes its time for each."""
    parameters = {
        name: weight for name, weight in every_kind().items() if name in ("a", "gate_up", "embedding", "gain")
    }
    groups = groups_of(parameters)
    if adamw:
        return parameters, groups
    return {name: parameters[name] for name in ("a", "gate_up")}, groups[:1]


NARROW = {"momentum_dtype": "bfloat16", "cautious_weight_decay": True}


@pytest.mark.parametrize(
    ("backend", "adamw", "settings"),
    [
        ("eager", False, {}),
        ("eager", False, NARROW),
        pytest.param("eager", True, {}, marks=pytest.mark.slow),
        pytest.param("inductor", False, NARROW, marks=pytest.mark.slow),
        pytest.param("inductor", True, {}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_compiled_steps_equal_ordinary_ones(backend: str, adamw: bool, settings: dict[str, Any]) -> None:
    # Jordan's, because the better sets amplify the roundings in which the two differ.
    settings = {"ns_coefficients": "jordan", "views": {"gate_up": VIEWS["gate_up"]}, **EXACT, **settings}
    (parameters, groups), (wanted, others) = some_kinds(adamw), some_kinds(adamw)
    lr = torch.tensor(0.02)
    optimizer, ordinary = Muon(groups, lr=lr, **settings), Muon(others, lr=0.02, **settings)
    # Muon's groups are one graph. torch.compile does not enter torch's fused AdamW and breaks the graph there.
    step = compiled(optimizer, backend=backend, fullgraph=not adamw)
    outside = torch.__version__ < (2, 13)  # which would compile the step wrongly, so it runs outside of the graph
    if outside:
        if not adamw:
            set_gradients(parameters, 0)
            with pytest.raises(torch._dynamo.exc.Unsupported, match=r"torch 2\.13"):
                step()
        step = compiled(optimizer, backend=backend)
    for count, rate in enumerate((0.02, 0.01, 0.0, 0.03)):
        lr.fill_(rate)
        for group in ordinary.param_groups:
            group["lr"] = rate
        set_gradients(parameters, count)
        step()
        take_steps(wanted, ordinary, [count])
    atol, rtol = (1e-3, 1e-2) if "momentum_dtype" in settings else (2e-6, 1e-5)  # its roundings fall to either side
    assert_close_weights(parameters, wanted, atol, rtol)
    set_gradients(parameters, 4)
    parameters["a"].grad[1, 1] = float("nan")  # type: ignore[index]
    with nothing_written(parameters, optimizer), pytest.raises(FloatingPointError) if outside else nullcontext():
        step()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures a CUDA graph")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_captured_step_equals_ordinary_ones(settings: dict[str, Any]) -> None:
    parameters = {name: nn.Parameter(weight.detach().cuda()) for name, weight in every_kind().items()}
    wanted = copy_of(parameters)
    lr = torch.tensor(0.02, device="cuda")
    optimizer, ordinary = muon(parameters, lr=lr, **settings), muon(wanted, lr=0.02, **settings)

    def fill(step: int) -> None:
        for own in (parameters, wanted):
            for weight, source in zip(own.values(), fresh(step), strict=True):
                weight.grad = source if weight.grad is None else weight.grad.copy_(source)

    def fresh(step: int) -> list[Tensor]:
        twins = every_kind()
        set_gradients(twins, step)
        return [weight.grad.cuda() for weight in twins.values() if weight.grad is not None]

    fill(0)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        optimizer.step()  # makes the state
    torch.cuda.current_stream().wait_stream(stream)
    ordinary.step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for step, rate in enumerate((0.02, 0.01, 0.03), start=1):
        fill(step)
        lr.fill_(rate)
        for group in ordinary.param_groups:
            group["lr"] = rate
        graph.replay()
        ordinary.step()
    assert_close_weights(parameters, wanted)
    parameters["tall"].grad[1, 1] = float("nan")  # type: ignore[index]
    with nothing_written(parameters, optimizer):
        graph.replay()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_learning_rate_on_the_cpu_drives_weights_on_a_gpu(settings: dict[str, Any]) -> None:
    parameters = {name: nn.Parameter(weight.detach().cuda()) for name, weight in every_kind().items()}
    wanted = every_kind()
    optimizer = Muon(groups_of(parameters), lr=torch.tensor(0.02), ns_dtype="float32", **settings)
    ordinary = Muon(groups_of(wanted), lr=0.02, ns_dtype="float32", **settings)
    for step in range(2):
        take_steps(wanted, ordinary, [step])
        for name, weight in parameters.items():
            weight.grad = wanted[name].grad.cuda()  # type: ignore[union-attr]
        optimizer.step()
    for name, weight in parameters.items():
        torch.testing.assert_close(weight.cpu(), wanted[name], atol=1e-4, rtol=1e-3)
