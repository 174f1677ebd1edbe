"""Muon and AdamW groups of one optimizer: numbers against the reference, state, and what is refused."""

import copy
import io
import logging
import math
from typing import Any

import pytest
import reference
import torch
from torch import Tensor, nn

from hf_muonclip.matrix_view import MatrixView, from_matrices, to_matrices
from hf_muonclip.muon import Muon, update_scale

EXACT = {"ns_dtype": "float32"}  # on every machine, whatever its CPU prefers
NAN, INF = float("nan"), float("inf")


def parameter(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype))


def gradient(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like.dtype)


def set_gradients(parameters: dict[str, nn.Parameter], step: int) -> None:
    for index, weight in enumerate(parameters.values()):
        weight.grad = gradient(weight, 100 * step + index)


def copy_of(parameters: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(weight.detach().clone()) for name, weight in parameters.items()}


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[tuple[int, str], Tensor]:
    states = optimizer.state_dict()["state"]
    return {(index, key): value.clone() for index, state in states.items() for key, value in state.items()}


def mixed_model() -> tuple[dict[str, nn.Parameter], list[dict[str, Any]], dict[str, MatrixView]]:
    """Two matrices of one shape, a tall one, fused and transposed experts, and two AdamW groups."""
    parameters = {
        "a": parameter(6, 10, seed=0),
        "b": parameter(6, 10, seed=1),
        "tall": parameter(12, 5, seed=2),
        "gate_up": parameter(3, 8, 6, seed=3),  # (experts, 2·intermediate, hidden)
        "transposed": parameter(3, 6, 8, seed=4),  # (experts, hidden, 2·intermediate), interleaved
        "embedding": parameter(20, 6, seed=5),
        "gain": parameter(6, seed=6),
    }
    views = {"gate_up": MatrixView(parts=2), "transposed": MatrixView(parts=2, interleaved=True, transposed=True)}
    names = list(parameters)
    groups: list[dict[str, Any]] = [
        {"params": [(name, parameters[name]) for name in names[:5]]},
        {"params": [("embedding", parameters["embedding"])], "algorithm": "adamw"},
        {"params": [("gain", parameters["gain"])], "algorithm": "adamw", "weight_decay": 0.0},
    ]
    return parameters, groups, views


def scale_of(shape: tuple[int, int], adjust_lr_fn: str) -> float:
    n, m = shape
    return {"match_rms_adamw": 0.2 * max(n, m) ** 0.5, "original": max(1.0, n / m) ** 0.5, "none": 1.0}[adjust_lr_fn]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"nesterov": False},
        {"weight_decay": 0.0},
        {"momentum": 0.0},
        {"adjust_lr_fn": "original"},
        {"adjust_lr_fn": "none", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
    ],
    ids=str,
)
def test_steps_equal_the_reference(settings: dict[str, Any]) -> None:
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "nesterov": True, **settings}
    parameters, groups, views = mixed_model()
    optimizer = Muon(groups, views=views, adamw_betas=(0.8, 0.9), adamw_eps=1e-6, **settings, **EXACT)
    wanted = {name: weight.detach().double() for name, weight in parameters.items()}
    momenta = {name: torch.zeros_like(weight) for name, weight in wanted.items()}
    moments = {name: (torch.zeros_like(weight), torch.zeros_like(weight)) for name, weight in wanted.items()}
    for step in range(1, 4):
        set_gradients(parameters, step)
        optimizer.step()
        for name, weight in parameters.items():
            if name in ("embedding", "gain"):
                decay = settings["weight_decay"] if name == "embedding" else 0.0
                wanted[name], *moments[name] = reference.adamw_step(  # type: ignore[assignment]
                    wanted[name], weight.grad, *moments[name], step, settings["lr"], (0.8, 0.9), 1e-6, decay
                )
                continue
            view = views.get(name, MatrixView())
            stacks = [to_matrices(t, view) for t in (wanted[name], weight.grad.double(), momenta[name])]
            stepped = [
                reference.muon_step(
                    *matrices,
                    settings["lr"],
                    settings["weight_decay"],
                    settings["momentum"],
                    settings["nesterov"],
                    settings.get("ns_coefficients", (3.4445, -4.7750, 2.0315)),
                    settings.get("ns_steps", 5),
                    settings.get("eps", 1e-7),
                    scale_of(matrices[0].shape, settings.get("adjust_lr_fn", "match_rms_adamw")),
                )
                for matrices in zip(*stacks, strict=True)
            ]
            wanted[name] = from_matrices(torch.stack([w for w, _ in stepped]), view, weight.shape)
            momenta[name] = from_matrices(torch.stack([m for _, m in stepped]), view, weight.shape)
        for name, weight in parameters.items():
            torch.testing.assert_close(weight.double(), wanted[name], atol=2e-6, rtol=1e-5, msg=f"{name}, step {step}")
    for name in views:
        momentum = optimizer.state[parameters[name]]["momentum_buffer"]
        torch.testing.assert_close(momentum.double(), momenta[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(6, 10), (10, 6), (7, 7)])
@pytest.mark.parametrize("adjust_lr_fn", ["match_rms_adamw", "original", "none"])
def test_update_scale(n: int, m: int, adjust_lr_fn: str) -> None:
    assert update_scale((n, m), adjust_lr_fn) == pytest.approx(scale_of((n, m), adjust_lr_fn), rel=1e-12)


def test_plain_matrices_equal_torchs_muon() -> None:
    ours, theirs = parameter(12, 20, seed=0), parameter(12, 20, seed=0)
    settings: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    optimizers = Muon([ours], **settings, ns_dtype="bfloat16"), torch.optim.Muon([theirs], **settings)
    for step in range(3):
        # torch.optim.Muon averages, M = mu·M + (1 - mu)·G: its direction is the same, and its norm cancels.
        ours.grad, theirs.grad = gradient(ours, step), gradient(theirs, step)
        for optimizer in optimizers:
            optimizer.step()
    # Both iterate in bfloat16, from differently rounded starts.
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0.0)
    assert (ours - parameter(12, 20, seed=0)).abs().max() > 0.02


def test_adamw_groups_equal_torchs_adamw() -> None:
    parameters = {name: parameter(*shape, seed=i) for i, (name, shape) in enumerate([("e", (9, 4)), ("g", (5,))])}
    twins = copy_of(parameters)
    settings = {"lr": 0.01, "weight_decay": 0.2}
    groups = [{"params": list(parameters.items()), "algorithm": "adamw"}]
    ours = Muon(groups, adamw_betas=(0.8, 0.99), adamw_eps=1e-7, **settings)
    theirs = torch.optim.AdamW(twins.values(), betas=(0.8, 0.99), eps=1e-7, **settings)
    for step in range(5):
        set_gradients(parameters, step)
        set_gradients(twins, step)
        ours.step()
        theirs.step()
    for name, weight in parameters.items():
        torch.testing.assert_close(weight, twins[name], atol=1e-7, rtol=1e-6)


def test_weights_of_equal_shape_in_one_batch_equal_weights_alone() -> None:
    together = {name: parameter(6, 10, seed=i) for i, name in enumerate("abc")}
    alone = copy_of(together)
    optimizer = Muon(together.items(), **EXACT)
    set_gradients(together, 1)
    set_gradients(alone, 1)
    optimizer.step()
    for name, weight in alone.items():
        Muon([weight], **EXACT).step()
        torch.testing.assert_close(together[name], weight, atol=1e-6, rtol=1e-6)


def test_a_batch_is_bounded_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {name: parameter(6, 10, seed=i) for i, name in enumerate("abcde")}
    wanted = copy_of(parameters)
    batches = []

    class Watched(Muon):
        def orthogonalize(self, matrices: Tensor, group: Any) -> Tensor:
            batches.append(len(matrices))
            return super().orthogonalize(matrices, group)

    set_gradients(parameters, 1)
    set_gradients(wanted, 1)
    Muon(wanted.items(), **EXACT).step()
    monkeypatch.setattr("hf_muonclip.muon._MAX_CPU_BATCH_ELEMENTS", 120)
    Watched(parameters.items(), **EXACT).step()
    assert batches == [2, 2, 1]
    for name, weight in parameters.items():
        torch.testing.assert_close(weight, wanted[name], atol=1e-6, rtol=1e-6)


# ---------------------------------------------------------------------------------------------------- narrow weights


def test_bfloat16_weights_are_updated_in_float32_and_rounded_once() -> None:
    weight = parameter(16, 24, seed=0, dtype=torch.bfloat16)
    bias = parameter(40, seed=1, dtype=torch.bfloat16)
    weight.grad, bias.grad = gradient(weight, 2), gradient(bias, 3)
    settings: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}
    zeros = torch.zeros_like(weight)
    wanted_weight, _ = reference.muon_step(weight, weight.grad, zeros, **settings)
    wanted_bias, *_ = reference.adamw_step(
        bias, bias.grad, torch.zeros_like(bias), torch.zeros_like(bias), 1, **settings
    )
    groups = [{"params": [weight]}, {"params": [bias], "algorithm": "adamw"}]
    Muon(groups, **settings, **EXACT).step()
    for found, wanted in ((weight, wanted_weight), (bias, wanted_bias)):
        assert found.dtype == torch.bfloat16
        same = found == wanted.to(torch.bfloat16)
        assert same.float().mean() > 0.99  # the rest are ties of the last bit
        torch.testing.assert_close(found.double(), wanted, atol=0.0, rtol=2**-8)


def test_float64_weights_keep_their_precision() -> None:
    parameters = {"w": parameter(6, 4, seed=0, dtype=torch.float64), "e": parameter(6, 4, seed=1, dtype=torch.float64)}
    for weight in parameters.values():
        weight.data += 1e-12  # beyond float32
    before = copy_of(parameters)
    groups = [{"params": [parameters["w"]]}, {"params": [parameters["e"]], "algorithm": "adamw"}]
    optimizer = Muon(groups, lr=0.0)
    set_gradients(parameters, 0)
    optimizer.step()
    for name, weight in parameters.items():
        assert torch.equal(weight, before[name])
        assert {t.dtype for k, t in optimizer.state[weight].items() if k != "step"} == {torch.float64}


def test_moments_are_float32_for_bfloat16_weights_also_after_loading() -> None:
    def build() -> tuple[dict[str, nn.Parameter], Muon]:
        parameters = {
            "w": parameter(8, 6, seed=0, dtype=torch.bfloat16),
            "e": parameter(9, 6, seed=1, dtype=torch.bfloat16),
        }
        groups = [{"params": [("w", parameters["w"])]}, {"params": [("e", parameters["e"])], "algorithm": "adamw"}]
        return parameters, Muon(groups, lr=0.02)

    parameters, optimizer = build()
    for step in range(3):
        set_gradients(parameters, step)
        optimizer.step()
    saved = state_tensors(optimizer)
    assert {key for _, key in saved} == {"momentum_buffer", "step", "exp_avg", "exp_avg_sq"}
    moments = {index: tensor for index, tensor in saved.items() if index[1] != "step"}
    assert all(t.dtype == torch.float32 for t in saved.values())
    # A value that bfloat16 cannot hold, or the comparison below could not fail.
    assert any(not torch.equal(t, t.bfloat16().float()) for t in moments.values())

    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    for state_dict in (copy.deepcopy(optimizer.state_dict()), torch.load(file, weights_only=True)):
        twins, loaded = build()
        for name, weight in twins.items():
            weight.data.copy_(parameters[name])
        loaded.load_state_dict(state_dict)
        restored = state_tensors(loaded)
        assert restored.keys() == saved.keys()
        for index, tensor in saved.items():
            assert restored[index].dtype == tensor.dtype
            assert torch.equal(restored[index], tensor)
        # And both go on alike, bit for bit.
        originals, original = build()
        for name, weight in originals.items():
            weight.data.copy_(parameters[name])
        original.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for step in range(3, 6):
            set_gradients(twins, step)
            set_gradients(originals, step)
            loaded.step()
            original.step()
        for name, weight in twins.items():
            assert torch.equal(weight, originals[name])


def test_a_loaded_optimizer_goes_on_bit_for_bit() -> None:
    parameters, groups, views = mixed_model()
    optimizer = Muon(groups, views=views)
    for step in range(2):
        set_gradients(parameters, step)
        optimizer.step()
    twins, twin_groups, _ = mixed_model()
    for name, weight in twins.items():
        weight.data.copy_(parameters[name])
    resumed = Muon(twin_groups, lr=0.5, views=views)  # the saved groups bring their lr
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(2, 4):
        set_gradients(parameters, step)
        set_gradients(twins, step)
        optimizer.step()
        resumed.step()
    for name, weight in parameters.items():
        assert torch.equal(weight, twins[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_train(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 16, generator=generator).to(dtype)
    targets = (inputs @ torch.randn(16, 8, generator=generator).to(dtype) * 0.3).tanh()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 8)).to(dtype)
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    biases = [weight for weight in model.parameters() if weight.ndim == 1]
    optimizer = Muon([{"params": matrices}, {"params": biases, "algorithm": "adamw"}], lr=0.02, weight_decay=0.0)
    losses = []
    for _ in range(60):
        loss = nn.functional.mse_loss(model(inputs).float(), targets.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert all(weight.dtype == dtype for weight in model.parameters())


# ----------------------------------------------------------------------------------------------- what changes nothing


def test_zero_gradient_and_zero_lr_change_no_weight() -> None:
    parameters, groups, views = mixed_model()
    before = copy_of(parameters)
    optimizer = Muon(groups, lr=0.0, views=views)
    for gradients in (torch.zeros_like, torch.randn_like):
        for weight in parameters.values():
            weight.grad = gradients(weight)
        optimizer.step()
        for name, weight in parameters.items():
            assert torch.equal(weight, before[name]), name


def test_a_zero_gradient_moves_a_weight_by_its_decay_alone() -> None:
    parameters, groups, views = mixed_model()
    before = copy_of(parameters)
    for weight in parameters.values():
        weight.grad = torch.zeros_like(weight)
    Muon(groups, lr=0.1, weight_decay=0.5, views=views).step()
    for name, weight in parameters.items():
        factor = 1.0 if name == "gain" else 1 - 0.1 * 0.5
        torch.testing.assert_close(weight.data, before[name].data * factor, atol=1e-7, rtol=1e-6)


def test_a_parameter_without_gradient_is_left_alone() -> None:
    parameters, groups, views = mixed_model()
    before = copy_of(parameters)
    optimizer = Muon(groups, lr=0.1, views=views)
    set_gradients(parameters, 0)
    idle = ("b", "gate_up", "embedding")
    for name in idle:
        parameters[name].grad = None
    optimizer.step()
    for name, weight in parameters.items():
        assert torch.equal(weight, before[name]) == (name in idle), name
        assert bool(optimizer.state[weight]) == (name not in idle)
    for weight in parameters.values():
        weight.grad = None
    before = copy_of(parameters)
    optimizer.step()
    for name, weight in parameters.items():
        assert torch.equal(weight, before[name])


def test_an_empty_parameter_is_passed_over() -> None:
    empty, weight = nn.Parameter(torch.zeros(0, 4)), parameter(4, 4, seed=0)
    empty.grad, weight.grad = torch.zeros(0, 4), gradient(weight, 1)
    Muon([empty, weight], **EXACT).step()
    assert not torch.equal(weight, parameter(4, 4, seed=0))


# ------------------------------------------------------------------------------------------- gradients with NaN or Inf


@pytest.mark.parametrize("poison", [NAN, INF, -INF])
@pytest.mark.parametrize("where", ["b", "gate_up", "gain"])
def test_a_nonfinite_gradient_raises_by_name_and_writes_nothing(where: str, poison: float) -> None:
    parameters, groups, views = mixed_model()
    optimizer = Muon(groups, views=views)
    set_gradients(parameters, 0)
    optimizer.step()
    weights, state = copy_of(parameters), state_tensors(optimizer)
    set_gradients(parameters, 1)
    parameters[where].grad.view(-1)[3] = poison  # type: ignore[union-attr]
    with pytest.raises(FloatingPointError, match=rf"the gradient of {where} holds NaN or Inf.*nonfinite='skip'"):
        optimizer.step()
    assert all(torch.equal(weight, weights[name]) for name, weight in parameters.items())
    after = state_tensors(optimizer)
    assert after.keys() == state.keys()
    assert all(torch.equal(tensor, state[index]) for index, tensor in after.items())
    assert optimizer.skipped_steps == 1


def test_the_message_names_the_first_four_and_counts_the_rest() -> None:
    parameters, groups, views = mixed_model()
    for weight in parameters.values():
        weight.grad = torch.full_like(weight, NAN)
    with pytest.raises(FloatingPointError, match="of a, b, tall, gate_up and 3 more holds"):
        Muon(groups, views=views).step()


def test_skip_passes_over_the_step_warns_counts_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    parameters, groups, views = mixed_model()
    twins, twin_groups, _ = mixed_model()
    skipping, undisturbed = Muon(groups, views=views, nonfinite="skip"), Muon(twin_groups, views=views)
    for step in range(3):
        if step == 1:
            set_gradients(parameters, 77)
            parameters["tall"].grad[0, 0] = NAN  # type: ignore[index]
            with caplog.at_level(logging.WARNING):
                skipping.step()
            assert skipping.skipped_steps == 1
            assert "the gradient of tall holds NaN or Inf" in caplog.text
            assert "Steps skipped so far: 1." in caplog.text
        for parameters_, optimizer in ((parameters, skipping), (twins, undisturbed)):
            set_gradients(parameters_, step)
            optimizer.step()
    for name, weight in parameters.items():
        assert torch.equal(weight, twins[name])
    assert skipping.skipped_steps == 1


def test_huge_and_tiny_gradients_move_a_weight_as_far_as_usual() -> None:
    # Newton–Schulz forgets the scale; a norm that overflows or vanishes must not.
    moves = []
    for scale in (1.0, 1e20, 1e36):
        weight = parameter(6, 8, seed=0)
        weight.grad = gradient(weight, 1) * scale
        Muon([weight], lr=0.1, weight_decay=0.0, **EXACT).step()
        moves.append(weight.detach() - parameter(6, 8, seed=0))
    for move in moves[1:]:
        torch.testing.assert_close(move, moves[0], atol=1e-6, rtol=1e-5)


# --------------------------------------------------------------------------------------------------- what torch expects


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


def test_lr_schedulers_drive_both_algorithms() -> None:
    weight, gain = parameter(4, 6, seed=0), parameter(4, seed=1)
    optimizer = Muon([{"params": [weight]}, {"params": [gain], "algorithm": "adamw"}], lr=0.1, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: [1.0, 0.5, 0.0][step])
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


def test_add_param_group_trains_the_group_by_its_own_settings() -> None:
    first, second, gain = parameter(4, 6, seed=0), parameter(4, 6, seed=1), parameter(4, seed=2)
    wanted, _ = reference.muon_step(second, gradient(second, 3), torch.zeros(4, 6), lr=0.5, weight_decay=0.0)
    optimizer = Muon([("first", first)], lr=0.1, **EXACT)
    optimizer.add_param_group({"params": [("second", second)], "lr": 0.5, "weight_decay": 0.0})
    optimizer.add_param_group({"params": [("gain", gain)], "algorithm": "adamw"})
    assert [group["algorithm"] for group in optimizer.param_groups] == ["muon", "muon", "adamw"]
    first.grad, second.grad, gain.grad = gradient(first, 4), gradient(second, 3), gradient(gain, 5)
    optimizer.step()
    torch.testing.assert_close(second.double(), wanted, atol=1e-6, rtol=1e-5)
    assert not torch.equal(gain, parameter(4, seed=2))


def test_hooks_run_once_a_step_and_a_subclass_too() -> None:
    class Derived(Muon):
        pass

    for optimizer_class in (Derived, Muon, Derived):
        weight = parameter(4, 4, seed=0)
        optimizer = optimizer_class([weight])
        calls = []
        optimizer.register_step_pre_hook(lambda *_, calls=calls: calls.append("pre"))
        optimizer.register_step_post_hook(lambda *_, calls=calls: calls.append("post"))
        weight.grad = gradient(weight, 1)
        optimizer.step()
        assert calls == ["pre", "post"]


def test_orthogonalize_can_be_overridden() -> None:
    class SignDescent(Muon):
        def orthogonalize(self, matrices: Tensor, group: Any) -> Tensor:
            return matrices.sign()

    weight = parameter(4, 6, seed=0)
    weight.grad = gradient(weight, 1)
    SignDescent([weight], lr=0.1, weight_decay=0.0, adjust_lr_fn="none").step()
    torch.testing.assert_close(
        weight.detach(), parameter(4, 6, seed=0).detach() - 0.1 * weight.grad.sign(), atol=1e-7, rtol=1e-6
    )


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("lr", -1e-3, "lr must be finite and >= 0"),
        ("lr", NAN, "lr must be finite and >= 0"),
        ("lr", INF, "lr must be finite and >= 0"),
        ("lr", "fast", "lr must be finite and >= 0"),
        ("weight_decay", -0.1, "weight_decay must be finite and >= 0"),
        ("weight_decay", INF, "weight_decay must be finite and >= 0"),
        ("momentum", 1.0, r"momentum must be in \[0, 1\)"),
        ("momentum", NAN, r"momentum must be in \[0, 1\)"),
        ("ns_coefficients", (1.0, NAN, 1.0), "ns_coefficients must be three finite numbers"),
        ("ns_coefficients", (1.0,), "ns_coefficients must be three finite numbers"),
        ("eps", 0.0, r"eps must be in \(0, 1\)"),
        ("ns_steps", 0, "ns_steps must be a whole number"),
        ("adjust_lr_fn", "rms", "adjust_lr_fn must be one of"),
        ("adamw_betas", (0.9, 1.0), r"adamw_betas must be two numbers in \[0, 1\)"),
        ("adamw_betas", (0.9,), r"adamw_betas must be two numbers in \[0, 1\)"),
        ("adamw_betas", 0.9, r"adamw_betas must be two numbers in \[0, 1\)"),
        ("adamw_eps", 0.0, r"adamw_eps must be in \(0, 1\)"),
        ("adamw_eps", NAN, r"adamw_eps must be in \(0, 1\)"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_arguments_and_in_groups(setting: str, value: Any, rule: str) -> None:
    weight = parameter(4, 4, seed=0)
    with pytest.raises(ValueError, match=f"^{rule}.*; got ") as refusal:
        Muon([weight], **{setting: value})
    assert repr(value) in str(refusal.value)
    with pytest.raises(ValueError, match=f"^{rule}.*; got "):
        Muon([{"params": [weight], setting: value}])


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("ns_dtype", "float16", "ns_dtype must be one of .*; got 'float16'"),
        ("ns_dtype", "half of it", "ns_dtype must be one of"),
        ("nonfinite", "ignore", "nonfinite must be one of .*; got 'ignore'"),
    ],
)
def test_an_unknown_mode_is_refused(setting: str, value: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Muon([parameter(4, 4, seed=0)], **{setting: value})


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (torch.zeros(4), r"Muon orthogonalizes matrices.*; odd has shape \(4,\)\. .*algorithm='adamw'"),
        (torch.zeros(()), r"Muon orthogonalizes matrices.*; odd has shape \(\)\."),
        (torch.zeros(4, 4, dtype=torch.complex64), "must be real and dense; odd has dtype torch.complex64"),
        (torch.zeros(4, 4).to_sparse(), "must be real and dense; odd has .* layout torch.sparse_coo"),
    ],
)
def test_what_is_no_dense_real_matrix_is_refused_by_name(refused: Tensor, message: str) -> None:
    odd = nn.Parameter(refused)
    with pytest.raises(ValueError, match=message):
        Muon([("odd", odd)])
    optimizer = Muon([("weight", parameter(4, 4, seed=0))])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [("odd", odd)]})
    assert len(optimizer.param_groups) == 1  # a refused group leaves no trace


def test_complex_weights_are_refused_for_adamw_too() -> None:
    odd = nn.Parameter(torch.zeros(4, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"must be real and dense; odd has dtype torch\.complex64"):
        Muon([{"params": [("odd", odd)], "algorithm": "adamw"}])


@pytest.mark.parametrize("algorithm", ["muon", "adamw"])
def test_a_sparse_gradient_is_refused_by_name(algorithm: str) -> None:
    embedding = nn.Embedding(6, 4, sparse=True)
    before = embedding.weight.detach().clone()
    optimizer = Muon([{"params": [("words", embedding.weight)], "algorithm": algorithm}])
    embedding(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match=r"gradient of words is sparse.*sparse=False"):
        optimizer.step()
    assert torch.equal(embedding.weight, before)


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="algorithm must be 'muon' or 'adamw'; got 'sgd'"):
        Muon([{"params": [parameter(4, 4, seed=0)], "algorithm": "sgd"}])


def test_views_that_fit_no_parameter_are_refused() -> None:
    named = [("w", parameter(5, 4, seed=0))]
    with pytest.raises(ValueError, match="views must name parameters of the groups; got typo"):
        Muon(named, views={"typo": MatrixView(parts=2)})
    with pytest.raises(ValueError, match=r"must be a multiple of 2; got 5 in a parameter of shape \(5, 4\)"):
        Muon(named, views={"w": MatrixView(parts=2)})


def test_state_of_another_optimizer_is_refused() -> None:
    weight = parameter(4, 4, seed=0)
    weight.grad = gradient(weight, 1)
    foreign = torch.optim.AdamW([weight])
    foreign.step()
    optimizer = Muon([weight])
    with pytest.raises(ValueError, match=r"Only state saved by Muon or MuonClip can be loaded.*got groups with \["):
        optimizer.load_state_dict(foreign.state_dict())
    assert not optimizer.state


def test_state_of_another_model_is_refused_by_name_and_leaves_the_state_alone() -> None:
    def trained(*shape: int) -> Muon:
        weight = parameter(*shape, seed=0)
        weight.grad = gradient(weight, 1)
        optimizer = Muon([("layers.0.weight", weight)])
        optimizer.step()
        return optimizer

    optimizer, other = trained(4, 4), trained(4, 6)
    before = state_tensors(optimizer)
    message = (
        r"momentum_buffer must have .* for layers.0.weight the saved state has \(4, 6\) and the parameter \(4, 4\)"
    )
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(other.state_dict())
    after = state_tensors(optimizer)
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, before[index]) for index, tensor in after.items())


def test_state_with_another_number_of_parameters_is_refused() -> None:
    one, two = Muon([parameter(4, 4, seed=0)]), Muon([parameter(4, 4, seed=0), parameter(4, 4, seed=1)])
    with pytest.raises(ValueError, match="doesn't match the size"):
        one.load_state_dict(two.state_dict())


def test_defaults_are_kimi_k2s() -> None:
    group = Muon([parameter(4, 4, seed=0)]).param_groups[0]
    assert group["weight_decay"] == 0.1
    assert group["momentum"] == 0.95
    assert group["adjust_lr_fn"] == "match_rms_adamw"
    assert update_scale((3, 12), "match_rms_adamw") == pytest.approx(0.2 * math.sqrt(12))
