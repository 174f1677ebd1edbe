"""Muon and AdamW groups of one optimizer: numbers against the reference, what a step costs, and what is refused."""

import gc
import math
import weakref
from itertools import accumulate
from typing import Any

import pytest
import reference
import torch
from error_messages import naming
from tiny_parameters import (
    EXACT,
    KINDS,
    VIEWS,
    assert_close_weights,
    assert_equal_weights,
    copy_of,
    every_kind,
    gradient,
    groups_of,
    muon,
    parameter,
    set_gradients,
    take_steps,
)
from torch import Tensor, nn
from torch._C._dynamo.eval_frame import set_eval_frame
from torch.utils._python_dispatch import TorchDispatchMode

from hf_muonclip.optim import batching as matrix_batches
from hf_muonclip.optim import local_update
from hf_muonclip.optim.matrix_view import MatrixView, from_matrices, to_matrices
from hf_muonclip.optim.muon import Muon
from hf_muonclip.optim.newton_schulz import COEFFICIENT_SETS
from hf_muonclip.optim.update_rules import update_scale

NAN, INF = float("nan"), float("inf")
JORDAN = (3.4445, -4.7750, 2.0315)


class Watched(Muon):
    """Keeps the shapes of the batches that it orthogonalizes."""

    def orthogonalize(self, matrices: Tensor, group: Any) -> Tensor:
        self.__dict__.setdefault("seen", []).append(tuple(matrices.shape))
        return super().orthogonalize(matrices, group)


# ------------------------------------------------------------------------------------------------------------- numbers


def scale_of(shape: tuple[int, int], adjust_lr_fn: str) -> float:
    n, m = shape
    scales = {"match_rms_adamw": 0.2 * max(n, m) ** 0.5, "original": max(1.0, n / m) ** 0.5, "none": 1.0}
    return {**scales, "spectral_unclamped": (n / m) ** 0.5}[adjust_lr_fn]


class Reference:
    """What the reference makes of the parameters of `every_kind`, step by step."""

    def __init__(self, parameters: dict[str, nn.Parameter], coefficients: Any, settings: dict[str, Any]) -> None:
        self.weights = {name: weight.detach().double() for name, weight in parameters.items()}
        self.momenta = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.moments = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in self.weights.items()}
        self.coefficients, self.settings, self.steps = coefficients, settings, 0

    def step(self, parameters: dict[str, nn.Parameter]) -> None:
        self.steps += 1
        for name, weight in parameters.items():
            assert weight.grad is not None
            view = KINDS[name][1]
            if view is None:
                decay = self.settings["weight_decay"] if name == "embedding" else 0.0
                self.weights[name], *moments = reference.adamw_step(
                    self.weights[name],
                    weight.grad,
                    *self.moments[name],
                    self.steps,
                    self.settings["lr"],
                    (0.8, 0.9),
                    1e-6,
                    decay,
                )
                self.moments[name] = tuple(moments)  # type: ignore[assignment]
            else:
                self._muon_step(name, weight.grad.double(), view)

    def _muon_step(self, name: str, gradient: Tensor, view: MatrixView) -> None:
        shape = self.weights[name].shape
        weights, momenta = [], []
        for stacks in zip(
            *(to_matrices(t, view) for t in (self.weights[name], gradient, self.momenta[name])), strict=True
        ):
            stepped = [self._matrix_step(*matrices) for matrices in zip(*stacks, strict=True)]
            weights.append(torch.stack([w for w, _ in stepped]))
            momenta.append(torch.stack([m for _, m in stepped]))
        self.weights[name] = from_matrices(weights, view, shape)
        self.momenta[name] = from_matrices(momenta, view, shape)

    def _matrix_step(self, weight: Tensor, gradient: Tensor, momentum_buffer: Tensor) -> tuple[Tensor, Tensor]:
        s = self.settings
        return reference.muon_step(
            weight,
            gradient,
            momentum_buffer,
            s["lr"],
            s["weight_decay"],
            s["momentum"],
            s["nesterov"],
            self.coefficients,
            s.get("ns_steps", 5),
            # The package keeps the momentum times 1 - mu, so that eps weighs as much more.
            s.get("eps", 1e-7) / (1 - s["momentum"]),
            scale_of(weight.shape, s.get("adjust_lr_fn", "match_rms_adamw")),  # type: ignore[arg-type]
            s.get("cautious_weight_decay", False),
        )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"nesterov": False},
        {"weight_decay": 0.0},
        {"cautious_weight_decay": True, "weight_decay": 0.5},
        {"cautious_weight_decay": True, "weight_decay": 0.5, "nesterov": False, "adjust_lr_fn": "none"},
        {"cautious_weight_decay": True, "weight_decay": 0.0},
        {"momentum": 0.0},
        {"momentum": 0.0, "nesterov": False},
        {"adjust_lr_fn": "original"},
        {"adjust_lr_fn": "spectral_unclamped"},
        {"adjust_lr_fn": "none", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
        {"ns_steps": 7, "max_batch_bytes": 300},
        {"ns_steps": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("lr", [0.02, torch.tensor(0.02)], ids=["lr", "lr tensor"])
def test_steps_equal_the_reference(settings: dict[str, Any], lr: float | Tensor) -> None:
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "nesterov": True, **settings}
    coefficients = settings.pop("ns_coefficients", JORDAN)
    parameters = every_kind()
    optimizer = muon(
        parameters, **{**settings, "lr": lr}, ns_coefficients=coefficients, adamw_betas=(0.8, 0.9), adamw_eps=1e-6
    )
    wanted = Reference(parameters, coefficients, settings)
    for step in range(4):
        take_steps(parameters, optimizer, [step])
        wanted.step(parameters)
        for name, weight in parameters.items():
            torch.testing.assert_close(
                weight.double(), wanted.weights[name], atol=2e-6, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )
    for name, weight in parameters.items():
        if KINDS[name][1] is not None:
            average = wanted.momenta[name] * (1 - settings["momentum"])
            torch.testing.assert_close(
                optimizer.state[weight]["momentum_buffer"].double(), average, atol=1e-6, rtol=1e-6
            )


@pytest.mark.parametrize("name", COEFFICIENT_SETS)
def test_every_set_of_coefficients_reaches_newton_schulz(name: str) -> None:
    # Singular values written out, because the sets differ from step to step.
    weight = parameter(6, 10, seed=0)
    u, s, v = torch.linalg.svd(gradient(weight, 1).double(), full_matrices=False)
    weight.grad = gradient(weight, 1)
    Muon([weight], lr=0.1, weight_decay=0.0, adjust_lr_fn="none", ns_coefficients=name, ns_steps=6, **EXACT).step()
    values = s / s.norm()
    for i in range(6):
        row = COEFFICIENT_SETS[name][min(i, len(COEFFICIENT_SETS[name]) - 1)]
        values = sum(coefficient * values ** (2 * power + 1) for power, coefficient in enumerate(row))  # type: ignore[assignment]
    wanted = parameter(6, 10, seed=0).double() - 0.1 * u @ values.diag() @ v
    torch.testing.assert_close(weight.double(), wanted, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(6, 10), (10, 6), (7, 7)])
@pytest.mark.parametrize("adjust_lr_fn", ["match_rms_adamw", "original", "spectral_unclamped", "none"])
def test_update_scale(n: int, m: int, adjust_lr_fn: str) -> None:
    assert update_scale((n, m), adjust_lr_fn) == pytest.approx(scale_of((n, m), adjust_lr_fn), rel=1e-12)


def test_a_scale_that_a_group_was_given_later_is_refused_by_the_step_if_nobody_knows_it() -> None:
    weight = nn.Parameter(torch.eye(3))
    optimizer = Muon([weight])
    optimizer.param_groups[0]["adjust_lr_fn"] = "spectral"
    weight.grad = torch.ones_like(weight)
    with pytest.raises(ValueError, match=naming("adjust_lr_fn", "'spectral'")):
        optimizer.step()
    assert torch.equal(weight, torch.eye(3))


def test_plain_matrices_equal_torchs_muon() -> None:
    ours, theirs = parameter(12, 20, seed=0), parameter(12, 20, seed=0)
    settings: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    optimizers = (
        Muon([ours], **settings, ns_coefficients="jordan", ns_dtype="bfloat16"),
        torch.optim.Muon([theirs], **settings),
    )
    for step in range(3):
        ours.grad, theirs.grad = gradient(ours, step), gradient(theirs, step)
        for optimizer in optimizers:
            optimizer.step()
    # Both iterate in bfloat16, from differently rounded starts.
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0.0)
    assert (ours - parameter(12, 20, seed=0)).abs().max() > 0.02
    momenta = [optimizer.state[w]["momentum_buffer"] for optimizer, w in zip(optimizers, (ours, theirs), strict=True)]
    torch.testing.assert_close(*momenta, atol=1e-6, rtol=1e-6)


def test_adamw_groups_equal_torchs_adamw() -> None:
    parameters = {name: parameter(*shape, seed=i) for i, (name, shape) in enumerate([("e", (9, 4)), ("g", (5,))])}
    twins = copy_of(parameters)
    settings = {"lr": 0.01, "weight_decay": 0.2}
    groups = [{"params": list(parameters.items()), "algorithm": "adamw"}]
    ours = Muon(groups, adamw_betas=(0.8, 0.99), adamw_eps=1e-7, **settings)
    theirs = torch.optim.AdamW(twins.values(), betas=(0.8, 0.99), eps=1e-7, **settings)
    take_steps(parameters, ours, range(5))
    take_steps(twins, theirs, range(5))
    assert_close_weights(parameters, twins, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("algorithm", ["muon", "adamw"])
@pytest.mark.parametrize("strided", ["weight", "gradient", "both", "a part of a larger tensor"])
def test_strides_of_weights_and_gradients_change_nothing(algorithm: str, strided: str) -> None:
    def transposed(tensor: Tensor) -> Tensor:
        return tensor.mT.contiguous().mT

    plain, odd = parameter(6, 10, seed=0), parameter(6, 10, seed=0)
    if strided in ("weight", "both"):
        odd.data = transposed(odd.data)
    elif strided == "a part of a larger tensor":
        larger = torch.full((6, 13), 7.0)
        larger[:, :10] = odd.data
        odd.data = larger[:, :10]
    optimizers = [Muon([{"params": [w], "algorithm": algorithm}], lr=0.1, **EXACT) for w in (plain, odd)]
    for step in range(3):
        plain.grad, odd.grad = gradient(plain, step), gradient(plain, step)
        if strided in ("gradient", "both"):
            odd.grad = transposed(odd.grad)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(odd, plain, atol=1e-6, rtol=1e-6)
    if strided == "a part of a larger tensor":
        assert torch.equal(larger[:, 10:], torch.full((6, 3), 7.0))


def test_gradients_with_other_strides_reach_the_matrices_of_every_view() -> None:
    parameters, twins = every_kind(), every_kind()
    optimizer, twin = muon(parameters), muon(twins)
    for step in range(2):
        take_steps(twins, twin, [step])
        set_gradients(parameters, step)
        for weight in parameters.values():
            if weight.ndim > 1:
                weight.grad = weight.grad.transpose(0, -1).contiguous().transpose(0, -1)  # type: ignore[union-attr]
        optimizer.step()
    assert_close_weights(parameters, twins)


# -------------------------------------------------------------------------------------------------------------- dtypes


def test_bfloat16_weights_are_updated_in_float32_and_rounded_once() -> None:
    parameters = every_kind(torch.bfloat16)
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "nesterov": True}
    optimizer = muon(parameters, **settings, ns_coefficients="jordan", adamw_betas=(0.8, 0.9), adamw_eps=1e-6)
    for step in range(3):
        wanted = Reference(parameters, JORDAN, settings)  # from weights as they are now, and momenta as well
        for name, weight in parameters.items():
            state = optimizer.state[weight]
            if "momentum_buffer" in state:
                wanted.momenta[name] = state["momentum_buffer"].double() / (1 - 0.9)
            elif state:
                wanted.moments[name] = (state["exp_avg"].double(), state["exp_avg_sq"].double())
        wanted.steps = step
        take_steps(parameters, optimizer, [step])
        wanted.step(parameters)
        for name, weight in parameters.items():
            assert weight.dtype == torch.bfloat16
            same = weight == wanted.weights[name].bfloat16()
            assert same.float().mean() > 0.98, name  # the rest are ties of the last bit
            torch.testing.assert_close(weight.double(), wanted.weights[name], atol=1e-6, rtol=2**-8)


def test_float64_weights_keep_their_precision() -> None:
    parameters = {name: weight for name, weight in every_kind(torch.float64).items() if name != "gain"}
    for weight in parameters.values():
        weight.data += 1e-12  # beyond float32
    before = copy_of(parameters)
    groups = groups_of({**parameters, "gain": parameter(6, seed=9, dtype=torch.float64)})[:2]
    optimizer = Muon(groups, views=VIEWS, lr=0.0, momentum_dtype="bfloat16")
    take_steps(parameters, optimizer, range(2))
    assert_equal_weights(parameters, before)
    for weight in parameters.values():
        assert {t.dtype for key, t in optimizer.state[weight].items() if key != "step"} == {torch.float64}
    for group in optimizer.param_groups:
        group["lr"] = 1e-9  # a move that float32 would swallow
    optimizer.step()
    assert all((weight - before[name]).abs().max() > 0 for name, weight in parameters.items())


def test_bfloat16_momentum_halves_the_state_and_stays_close() -> None:
    narrow, wide = every_kind(), every_kind()
    optimizer, exact = muon(narrow, lr=0.02, momentum_dtype="bfloat16"), muon(wide, lr=0.02)
    start = copy_of(narrow)
    take_steps(narrow, optimizer, range(4))
    take_steps(wide, exact, range(4))
    for name, weight in narrow.items():
        if KINDS[name][1] is None:
            assert torch.equal(weight, wide[name])
            continue
        momentum, wanted = (o.state[w[name]]["momentum_buffer"] for o, w in ((optimizer, narrow), (exact, wide)))
        assert momentum.dtype == torch.bfloat16
        assert not torch.equal(momentum, wanted.bfloat16()) or name == "kernel"  # roundings of four steps
        torch.testing.assert_close(momentum.float(), wanted, atol=2e-3, rtol=2**-6)
        assert (weight - wide[name]).norm() < 0.05 * (wide[name] - start[name]).norm(), name


def test_bfloat16_momentum_enters_newton_schulz_before_it_is_rounded() -> None:
    weight, twin = parameter(6, 10, seed=0), parameter(6, 10, seed=0)
    weight.grad, twin.grad = gradient(weight, 1), gradient(weight, 1)
    Muon([weight], momentum_dtype="bfloat16", **EXACT).step()
    Muon([twin], **EXACT).step()
    assert torch.equal(weight, twin)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("momentum_dtype", ["float32", "bfloat16"])
def test_weights_train(dtype: torch.dtype, momentum_dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 16, generator=generator).to(dtype)
    targets = (inputs @ torch.randn(16, 8, generator=generator).to(dtype) * 0.3).tanh()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 8)).to(dtype)
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    biases = [weight for weight in model.parameters() if weight.ndim == 1]
    optimizer = Muon(
        [{"params": matrices}, {"params": biases, "algorithm": "adamw"}],
        lr=0.02,
        weight_decay=0.0,
        momentum_dtype=momentum_dtype,
    )
    losses = []
    for _ in range(60):
        loss = nn.functional.mse_loss(model(inputs).float(), targets.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert all(weight.dtype == dtype for weight in model.parameters())


# ------------------------------------------------------------------------------------------------ batches and memory


def test_weights_in_one_batch_equal_weights_alone() -> None:
    together = every_kind()
    alone = copy_of(together)
    take_steps(together, muon(together), [1])
    set_gradients(alone, 1)
    for name, weight in alone.items():
        algorithm = "adamw" if KINDS[name][1] is None else "muon"
        decay = 0.0 if name == "gain" else 0.1
        group = {"params": [(name, weight)], "algorithm": algorithm, "weight_decay": decay}
        Muon([group], views={name: VIEWS[name]} if name in VIEWS else None, **EXACT).step()
    assert_close_weights(together, alone, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("bound", [1, 240, 500, 1000])
def test_the_bound_holds_and_changes_no_result(bound: int) -> None:
    parameters, wanted = every_kind(), every_kind()
    optimizer = muon(parameters, Watched, max_batch_bytes=bound)
    unbounded = muon(wanted, Watched)
    take_steps(parameters, optimizer, range(3))
    take_steps(wanted, unbounded, range(3))
    assert_close_weights(parameters, wanted)
    per_head = 24 * 5  # the one kind whose slice, a whole 2-D parameter, holds several matrices
    for count, n, m in optimizer.seen:
        assert 4 * count * n * m <= max(bound, 4 * n * m) or count * n * m <= per_head
    assert len(optimizer.seen) > len(unbounded.seen)
    assert {(n, m) for _, n, m in optimizer.seen} == {(n, m) for _, n, m in unbounded.seen}
    assert len(unbounded.seen) == 3 * len({shape[1:] for shape in unbounded.seen})  # one batch a shape and step


def test_a_stack_of_experts_is_cut_between_its_slices() -> None:
    experts = parameter(5, 6, 10, seed=0)
    experts.grad = gradient(experts, 1)
    optimizer = Watched([experts], max_batch_bytes=torch.get_num_threads() * (2 * 240 + 239), **EXACT)
    optimizer.step()
    assert sorted(optimizer.seen) == [(1, 6, 10), (2, 6, 10), (2, 6, 10)]


def peak_temporary_bytes(optimizer: Muon) -> int:
    """Return the most memory that a step allocates over what was there before, once it has its state."""
    optimizer.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        optimizer.step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]  # type: ignore[union-attr]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0))


# Measured: Newton–Schulz holds up to five batches at once, and the step around it none but the one that it passes.
BATCHES_AT_ONCE = 5


@pytest.mark.parametrize(
    ("dtype", "settings"),
    [
        (torch.float32, {}),
        (torch.float32, {"nesterov": False}),
        (torch.float32, {"momentum_dtype": "bfloat16"}),
        (torch.bfloat16, {}),
        (torch.bfloat16, {"momentum_dtype": "bfloat16", "cautious_weight_decay": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("shape", "count", "view"),
    [
        ((64, 64), 128, MatrixView()),
        ((32, 128), 128, MatrixView()),
        ((128, 32), 128, MatrixView()),
        ((64, 48, 48), 4, MatrixView()),
        ((16, 64, 128), 4, MatrixView(sections=(1, 1), periods=64, transposed=True)),
        ((16, 128, 64), 4, MatrixView(sections=(96, 32))),
    ],
    ids=str,
)
@pytest.mark.usefixtures("one_thread")
def test_temporary_memory_is_a_few_batches(
    shape: tuple[int, ...], count: int, view: MatrixView, dtype: torch.dtype, settings: dict[str, Any]
) -> None:
    named = [(str(i), parameter(*shape, seed=i, dtype=dtype)) for i in range(count)]
    for _, weight in named:
        weight.grad = gradient(weight, 1)
    bound = 2**16
    views = {name: view for name, _ in named}
    peak = peak_temporary_bytes(Muon(named, views=views, max_batch_bytes=bound, **EXACT, **settings))
    largest = 4 * max(n * m for _, n, m in view.matrix_shapes(shape))
    everything = sum(4 * weight.numel() for _, weight in named)
    assert everything > 2 * (BATCHES_AT_ONCE * bound + largest)  # or the bound would hold without batches
    assert peak <= BATCHES_AT_ONCE * bound + largest


@pytest.mark.usefixtures("one_thread")
def test_temporary_memory_is_no_larger_while_dynamo_evaluates_frames() -> None:
    """As a compiled model leaves it in some processes: Python's own calls then keep their arguments alive."""
    named = [(str(i), parameter(64, 64, seed=i)) for i in range(128)]
    for _, weight in named:
        weight.grad = gradient(weight, 1)
    optimizer = Muon(named, max_batch_bytes=2**16, **EXACT)
    plain = peak_temporary_bytes(optimizer)
    before = set_eval_frame(False)  # runs what was compiled, and compiles nothing
    try:
        assert peak_temporary_bytes(optimizer) == plain
    finally:
        set_eval_frame(before)


class CountOperations(TorchDispatchMode):
    """Counts the operators that are called, but for those that only make views."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shape", [(6, 10), (3, 6, 10)])
@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["lr", "lr tensor"])
def test_the_number_of_operations_does_not_grow_with_the_parameters(shape: tuple[int, ...], lr: float | Tensor) -> None:
    counted = []
    for count in (2, 40):
        weights = [parameter(*shape, seed=i) for i in range(count)]
        gains = [parameter(6, seed=i) for i in range(count)]
        for weight in (*weights, *gains):
            weight.grad = gradient(weight, 1)
        optimizer = Watched([{"params": weights}, {"params": gains, "algorithm": "adamw"}], lr=lr, **EXACT)
        optimizer.step()
        operations = CountOperations()
        with operations:
            optimizer.step()
        # Conversions, and asking what to convert to, stay with each parameter; in float32 they do nothing.
        counted.append([name for name in operations.names if "_to_copy" not in name and "promote_types" not in name])
        assert optimizer.seen == 2 * [(math.prod(shape[:-2]) * count, *shape[-2:])]
    # Looking for idle matrices stays with each stack, and costs nothing where a parameter is one matrix.
    of_stacks = 38 * 8 if len(shape) == 3 else 0
    assert len(counted[1]) - len(counted[0]) <= of_stacks
    assert 10 < len(counted[0]) < 60 + 2 * 8


# ----------------------------------------------------------------------------------------------- batches planned once


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the names of the parameters of each plan, in the order in which plans are made."""
    made: list[list[str]] = []

    def counted(named: Any, *rest: Any) -> Any:
        named = list(named)
        made.append([name for name, _ in named])
        return matrix_batches.batches(named, *rest)

    monkeypatch.setattr(local_update, "batches", counted)
    return made


def test_batches_are_planned_once_and_again_when_other_parameters_have_gradients(plans: list[list[str]]) -> None:
    parameters, wanted = every_kind(), every_kind()
    optimizer = muon(parameters)
    matrices = [name for name in parameters if KINDS[name][1] is not None]
    take_steps(parameters, optimizer, range(3))
    assert plans == [matrices]
    optimizer.zero_grad()
    parameters["b"].grad = gradient(parameters["b"], 7)
    optimizer.step()
    optimizer.step()
    assert plans == [matrices, ["b"]]
    take_steps(parameters, optimizer, [4])
    assert plans == [matrices, ["b"], matrices]
    unplanned = muon(wanted)
    for steps in (range(3), [7, 7], [4]):
        for step in steps:
            unplanned._one_rank.transports[0]._batches.clear()
            if steps == [7, 7]:
                unplanned.zero_grad()
                wanted["b"].grad = gradient(wanted["b"], 7)
                unplanned.step()
            else:
                take_steps(wanted, unplanned, [step])
    assert_equal_weights(parameters, wanted)


def test_every_group_has_its_own_plan_also_one_that_is_added(plans: list[list[str]]) -> None:
    first, second = parameter(4, 6, seed=0), parameter(4, 6, seed=1)
    optimizer = Muon([("first", first)], **EXACT)
    first.grad, second.grad = gradient(first, 1), gradient(second, 2)
    optimizer.step()
    optimizer.add_param_group({"params": [("second", second)], "lr": 0.0})
    optimizer.step()
    optimizer.step()
    assert plans == [["first"], ["second"]]
    assert torch.equal(second, parameter(4, 6, seed=1))  # by the group's own rate


def swap(optimizer: Muon, new: nn.Parameter) -> None:
    """Put another parameter in the place of the first, with its state, as FSDP2 does."""
    (old,) = optimizer.param_groups[0]["params"]
    optimizer.param_groups[0]["params"][0] = new
    if old in optimizer.state:
        optimizer.state[new] = optimizer.state.pop(old)


def test_a_swapped_parameter_is_updated_and_the_old_one_no_more() -> None:
    weight, twin = parameter(4, 6, seed=0), parameter(4, 6, seed=0)
    optimizer, undisturbed = Muon([weight], **EXACT), Muon([twin], **EXACT)
    for step in range(20):
        old, before = weight, weight.detach().clone()
        old.grad = None
        weight = nn.Parameter(old.detach().clone())
        swap(optimizer, weight)
        weight.grad, twin.grad = gradient(weight, step), gradient(weight, step)
        optimizer.step()
        undisturbed.step()
        assert torch.equal(old, before)
        assert torch.equal(weight, twin)
        assert not torch.equal(weight, before)
        del old  # so that its memory is free for the next


def test_a_plan_holds_its_parameters_so_that_no_other_can_take_their_place() -> None:
    weight = parameter(4, 6, seed=0)
    held = weakref.ref(weight)
    optimizer = Muon([weight], **EXACT)
    weight.grad = gradient(weight, 1)
    optimizer.step()
    replacement = parameter(4, 6, seed=0)
    swap(optimizer, replacement)
    del weight
    gc.collect()
    assert held() is not None  # while the plan could still be taken for another's
    replacement.grad = gradient(replacement, 1)
    optimizer.step()
    gc.collect()
    assert held() is None  # and no longer


def test_an_empty_parameter_that_fills_is_updated() -> None:
    # Sharded training gives parameters their rows in place, and an empty one is in no batch that would hold it.
    weight = nn.Parameter(torch.zeros(0, 6))
    optimizer = Muon([weight], **EXACT)
    weight.grad = torch.zeros(0, 6)
    optimizer.step()
    weight.grad = None
    weight.data = parameter(4, 6, seed=0).data
    weight.grad = gradient(weight, 1)
    optimizer.step()
    assert not torch.equal(weight, parameter(4, 6, seed=0))
