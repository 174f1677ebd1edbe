"""MuonClip as a whole: one step against the reference, what it refuses, its life with the model, several processes."""

import copy
import gc
import logging
import math
import re
import weakref
from typing import Any

import pytest
import reference
import torch
import torch.distributed as dist
from error_messages import naming
from processes import run_on_ranks
from tiny_models import random_batch, tiny_model
from tiny_parameters import state_tensors
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from hf_muonclip import MuonClip, capture_max_logits
from hf_muonclip.optim.parameters.param_groups import plan_parameters
from hf_muonclip.projection_views import projection_views

NAN, INF = float("nan"), float("inf")
LR, DECAY = 0.01, 0.1
EPS = 1e-15  # beside which tiny models' gradients are large, whether momentum is a sum or an average


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def sharpen(model: PreTrainedModel, factor: float = 6.0) -> PreTrainedModel:
    """Make some heads' logits large and spread: scale query rows, more from head to head."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("q_proj.weight", "q_b_proj.weight")):
                heads = parameter.view(4, -1, parameter.shape[1])
                heads.mul_(factor * torch.tensor([1.0, 0.3, 2.0, 0.1]).view(4, 1, 1))
    return model


def backward(model: nn.Module, batch: dict[str, Tensor]) -> None:
    model(**batch).loss.backward()


def prepared(model_name: str) -> tuple[PreTrainedModel, dict[str, Tensor], float]:
    """Return a model, a batch and a threshold between its heads' max logits."""
    model = sharpen(tiny_model(model_name))
    batch = random_batch(model)
    with capture_max_logits(model) as logits, torch.no_grad():
        model(**batch)
    values = torch.cat(list(logits.values())).sort().values
    threshold = float(values[len(values) // 2 - 1 : len(values) // 2 + 1].mean())
    assert threshold > 0
    return model, batch, threshold


def reference_clip(weights: dict[str, Tensor], prefix: str, model: PreTrainedModel, gamma: list[float]) -> None:
    """Clip one attention module's weights, biases included. In place of the dict."""
    config = model.config

    def entries(child: str) -> list[str]:
        return [name for kind in ("weight", "bias") if (name := f"{prefix}.{child}.{kind}") in weights]

    if f"{prefix}.kv_b_proj.weight" in weights:
        query = "q_b_proj" if f"{prefix}.q_b_proj.weight" in weights else "q_proj"
        dims = config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim
        names = f"{prefix}.{query}.weight", f"{prefix}.kv_b_proj.weight"
        weights[names[0]], weights[names[1]] = reference.qk_clip_mla(*(weights[n] for n in names), gamma, *dims)
    elif config.num_key_value_heads == config.num_attention_heads:
        for q, k in zip(entries("q_proj"), entries("k_proj"), strict=True):
            weights[q], weights[k] = reference.qk_clip_mha(weights[q], weights[k], gamma, 16)
    else:
        for q in entries("q_proj"):
            weights[q] = reference.qk_clip_gqa(weights[q], gamma, 16)


def reference_update(name: str, parameter: Tensor) -> Tensor:
    """Return a parameter after one step, by rules written out here: nothing is asked of the package."""
    assert parameter.grad is not None, name
    weight, gradient = parameter.detach(), parameter.grad
    if name.endswith(("bias", "norm.weight")):
        return reference.adamw_step(weight, gradient, 0 * weight, 0 * weight, 1, LR, weight_decay=0.0)[0]
    if name.endswith(("embed_tokens.weight", "lm_head.weight", "gate.weight")):
        return reference.adamw_step(weight, gradient, 0 * weight, 0 * weight, 1, LR, weight_decay=DECAY)[0]

    def step(matrix: Tensor, gradient: Tensor) -> Tensor:
        return reference.muon_step(matrix, gradient, 0 * matrix, LR, DECAY, eps=EPS)[0]

    fused = {
        "kv_b_proj.weight": (16, 16),
        "kv_a_proj_with_mqa.weight": (16, 8),
    }  # [k_nope | v] per head, [latent | rope]
    widths = next((widths for end, widths in fused.items() if name.endswith(end)), None)
    if widths is not None:
        second = torch.arange(len(weight)) % sum(widths) >= widths[0]
        stepped = torch.empty_like(weight, dtype=torch.float64)
        for rows in (~second, second):
            stepped[rows] = step(weight[rows], gradient[rows])
        return stepped
    if weight.ndim == 2:
        return step(weight, gradient)
    stepped = torch.empty_like(weight, dtype=torch.float64)  # (num_experts, out, in)
    for expert in range(len(weight)):
        rows = weight.shape[1]
        half = rows // 2 if name.endswith("gate_up_proj") else rows
        for part in (slice(0, half), slice(half, rows)):  # gate, then up; the second is empty for down_proj
            if part.start < part.stop:
                stepped[expert, part] = step(weight[expert, part], gradient[expert, part])
    return stepped


@pytest.mark.parametrize(
    "model_name", ["llama_mha", "llama_gqa", "llama_mqa", "qwen2", "mixtral", "deepseek_v3", "deepseek_v3_full_q"]
)
def test_one_step_equals_the_reference(model_name: str) -> None:
    model, batch, threshold = prepared(model_name)
    with capture_max_logits(model) as logits, torch.no_grad():
        model(**batch)
    max_logits = {name: values.clone() for name, values in logits.items()}
    settings: dict[str, Any] = {"lr": LR, "weight_decay": DECAY, "eps": EPS, "ns_coefficients": "jordan"}
    optimizer = MuonClip(model, qk_clip_threshold=threshold, ns_dtype="float32", **settings)
    backward(model, batch)
    wanted = {name: reference_update(name, parameter) for name, parameter in model.named_parameters()}
    for name, values in max_logits.items():
        reference_clip(wanted, name, model, reference.qk_clip_gamma(values, threshold))

    optimizer.step()

    assert wanted.keys() == weights_of(model).keys()
    for name, parameter in model.named_parameters():
        # AdamW's first step divides each gradient by its own size, which magnifies the rounding of tiny gradients.
        torch.testing.assert_close(parameter.double(), wanted[name], atol=1e-5, rtol=1e-5, msg=lambda m, n=name: n + m)
    gammas = torch.cat(list(optimizer.gammas.values()))
    assert 0 < int((gammas < 1).sum()) < gammas.numel()  # clipped heads and others: both sides were tested
    for name, values in max_logits.items():
        wanted_gamma = torch.tensor(reference.qk_clip_gamma(values, threshold))
        torch.testing.assert_close(optimizer.gammas[name], wanted_gamma, atol=1e-6, rtol=1e-5)
        clipped = wanted_gamma < 1
        torch.testing.assert_close(optimizer.max_logits[name][clipped], values[clipped], atol=1e-6, rtol=1e-5)
    assert (optimizer.updates, optimizer.skipped_steps) == (1, 0)


def test_clipped_heads_land_on_the_threshold_when_nothing_else_moves() -> None:
    model, batch, threshold = prepared("deepseek_v3")
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold, exact_max_logits=True)
    backward(model, batch)
    optimizer.step()
    optimizer.detach()
    first = next(iter(optimizer.max_logits))  # later layers see other inputs once this one is clipped
    with capture_max_logits(model) as logits, torch.no_grad():
        model(**batch)
    clipped = optimizer.gammas[first] < 1
    assert clipped.any()
    torch.testing.assert_close(
        logits[first][clipped], torch.full((int(clipped.sum()),), threshold), atol=1e-6, rtol=1e-4
    )
    torch.testing.assert_close(logits[first][~clipped], optimizer.max_logits[first][~clipped], atol=1e-6, rtol=1e-5)


def test_all_micro_batches_since_the_last_step_count_and_no_earlier_ones() -> None:
    model = sharpen(tiny_model("llama_gqa"))
    batches = [random_batch(model, seed=seed) for seed in range(3)]
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=INF)
    single = []
    for batch in batches:
        backward(model, batch)
        optimizer.step()
        single.append(torch.cat(list(optimizer.max_logits.values())))
    for batch in batches:
        backward(model, batch)
    optimizer.step()
    together = torch.cat(list(optimizer.max_logits.values()))
    torch.testing.assert_close(together, torch.stack(single).amax(0), atol=1e-6, rtol=1e-6)
    # No head's maximum is always in the last batch, or the comparison would be empty.
    assert (together > single[-1]).any()


def test_threshold_inf_measures_and_never_clips() -> None:
    model, batch, _ = prepared("llama_gqa")
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=INF)
    before = weights_of(model)
    backward(model, batch)
    optimizer.step()
    assert torch.cat(list(optimizer.max_logits.values())).isfinite().all()
    assert (torch.cat(list(optimizer.gammas.values())) == 1).all()
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_threshold_none_is_muon_alone_and_leaves_attention_be() -> None:
    clipped, batch, _ = prepared("llama_gqa")
    plain = sharpen(tiny_model("llama_gqa"))
    optimizer = MuonClip(plain, lr=LR, qk_clip_threshold=None)
    assert optimizer.layout is optimizer.capture is None
    assert not any(hasattr(module, "_attention_observer") for module in plain.modules())
    monitored = MuonClip(clipped, lr=LR, qk_clip_threshold=INF)
    for model, each in ((plain, optimizer), (clipped, monitored)):
        backward(model, batch)
        each.step()
    assert optimizer.max_logits == optimizer.gammas == {}
    assert optimizer.updates == 1
    for name, weight in plain.named_parameters():
        assert torch.equal(weight, clipped.get_parameter(name))
    assert "QK-Clip: off" in str(optimizer)


def test_alpha_shares_the_factor() -> None:
    for alpha, moved, still in ((1.0, "q_proj", "k_proj"), (0.0, "k_proj", "q_proj")):
        model, batch, threshold = prepared("llama_mha")
        optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold, qk_clip_alpha=alpha)
        before = weights_of(model)
        backward(model, batch)
        optimizer.step()
        changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
        assert any(moved in name for name in changed)
        assert not any(still in name for name in changed)


# ------------------------------------------------------------------------------------------------------- what is logged


def test_str_lists_every_parameter_group_and_reason_and_the_layout() -> None:
    model = tiny_model("deepseek_v3")
    text = str(MuonClip(model))
    lines = text.splitlines()
    plan = plan_parameters(model, projection_views(model))
    for planned in plan:
        line = next(line for line in lines if line.startswith(planned.name + " "))
        assert f" {planned.algorithm} " in line
        assert line.endswith(planned.reason)
    counted = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", lines[0])]
    planned_by = {
        algorithm: [model.get_parameter(p.name).numel() for p in plan if p.algorithm == algorithm]
        for algorithm in ("muon", "adamw")
    }
    assert counted == [of_them for sizes in planned_by.values() for of_them in (len(sizes), sum(sizes))]
    assert any(re.search(naming("QK-Clip", 100), line) for line in lines)
    assert "model.layers.2.self_attn" in text.split("QK-Clip")[1]


# --------------------------------------------------------------------------------------------------- NaN, Inf, frozen


@pytest.mark.parametrize("mode", ["raise", "skip"])
@pytest.mark.parametrize("exact", [False, True])
def test_nonfinite_logits_are_named_and_write_nothing(mode: str, exact: bool, caplog: pytest.LogCaptureFixture) -> None:
    model, batch, threshold = prepared("llama_mha")
    optimizer = MuonClip(model, qk_clip_threshold=threshold, nonfinite=mode, exact_max_logits=exact)
    backward(model, batch)
    optimizer.step()
    healthy = model.model.layers[1].self_attn.q_proj.weight[37, 5].item()  # row 37 feeds head 2
    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight[37, 5] = INF
    model.zero_grad()
    backward(model, batch)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)  # the logits alone must be enough
    before, moments = weights_of(model), state_tensors(optimizer)
    message = naming("head 2", "model.layers.1.self_attn")
    if mode == "raise":
        with pytest.raises(FloatingPointError, match=message):
            optimizer.step()
    else:
        with caplog.at_level(logging.WARNING):
            optimizer.step()
        assert re.search(message, caplog.text)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert all(torch.equal(tensor, moments[index]) for index, tensor in state_tensors(optimizer).items())
    assert (optimizer.updates, optimizer.skipped_steps) == (1, 1)
    assert optimizer.gammas == {}

    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight[37, 5] = healthy
    model.zero_grad()
    backward(model, batch)
    optimizer.step()  # the bad maximum does not stay behind
    assert optimizer.updates == 2


def test_what_a_step_saw_and_did_is_one_object() -> None:
    model, batch, threshold = prepared("llama_mha")
    optimizer = MuonClip(model, qk_clip_threshold=threshold, nonfinite="skip")
    assert optimizer.last_step is None
    assert (optimizer.max_logits, optimizer.gammas, optimizer.update_rms) == ({}, {}, None)
    optimizer.measure_update_rms = True
    backward(model, batch)
    optimizer.step()
    first = optimizer.last_step
    assert first is not None
    assert (first.taken, first.refusal) == (True, "")
    assert first.max_logits is optimizer.max_logits
    assert any((gamma < 1).any() for gamma in first.gammas.values())
    assert first.update_rms is not None
    assert 0 < first.update_rms == optimizer.update_rms
    assert first.idle_matrices == 0.0

    model.zero_grad()
    backward(model, batch)
    model.lm_head.weight.grad[0, 0] = NAN
    optimizer.step()
    second = optimizer.last_step
    assert second is not None
    assert second is not first
    assert not second.taken
    assert re.search(naming("lm_head.weight"), second.refusal)
    assert second.max_logits.keys() == first.max_logits.keys()
    assert (second.gammas, second.update_rms, second.idle_matrices) == ({}, None, None)
    assert first.gammas  # is what it was


def test_an_error_leaves_no_earlier_outcome_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, threshold = prepared("llama_mha")
    optimizer = MuonClip(model, qk_clip_threshold=threshold)
    backward(model, batch)
    optimizer.step()
    first = dict(optimizer.max_logits)

    def fail(*args: Any) -> None:
        raise RuntimeError("no clip today")

    monkeypatch.setattr("hf_muonclip.clip.qk_clip_", fail)
    backward(model, batch)
    with pytest.raises(RuntimeError, match="no clip today"):
        optimizer.step()
    assert optimizer.updates == 2  # the weights were written
    assert any(not torch.equal(optimizer.max_logits[name], values) for name, values in first.items())
    assert optimizer.gammas == {}

    model.lm_head.weight.grad = model.lm_head.weight.grad.to_sparse()
    with pytest.raises(ValueError, match=naming("lm_head.weight", "sparse")):
        optimizer.step()
    assert optimizer.updates == 2
    assert (optimizer.last_step, optimizer.max_logits, optimizer.gammas) == (None, {}, {})


def test_without_the_clip_no_step_reads_the_learning_rate() -> None:
    model, batch, _ = prepared("llama_mha")

    class Unread(Tensor):
        """A rate whose value the host would have to wait for on an accelerator."""

        def __float__(self) -> float:
            raise AssertionError("read on the host")

    optimizer = MuonClip(model, lr=torch.tensor(1e-3).as_subclass(Unread), qk_clip_threshold=None)
    backward(model, batch)
    optimizer.step()
    assert optimizer.updates == 1


def test_a_nonfinite_gradient_writes_nothing_and_clips_nothing() -> None:
    model, batch, threshold = prepared("llama_mha")
    optimizer = MuonClip(model, qk_clip_threshold=threshold, nonfinite="skip")
    backward(model, batch)
    model.lm_head.weight.grad[0, 0] = NAN
    before = weights_of(model)
    optimizer.step()
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert (optimizer.updates, optimizer.skipped_steps) == (0, 1)
    assert optimizer.gammas == {}
    assert not optimizer.state


FIRST, SECOND = "model.layers.0.self_attn", "model.layers.1.self_attn"


@pytest.mark.parametrize(("model_name", "frozen"), [("llama_gqa", ["q_proj"]), ("llama_mha", ["q_proj", "k_proj"])])
def test_frozen_projections_are_monitored_with_a_warning(
    model_name: str, frozen: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, batch, threshold = prepared(model_name)
    for projection in frozen:
        model.get_submodule(FIRST).get_submodule(projection).requires_grad_(False)
    with caplog.at_level(logging.WARNING):
        optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold, exact_max_logits=True)
    assert re.search(naming("QK-Clip", 1, 2, FIRST, "frozen"), caplog.text)
    before = weights_of(model)
    backward(model, batch)
    optimizer.step()
    assert optimizer.max_logits[FIRST].max() > threshold
    assert (optimizer.gammas[FIRST] == 1).all()
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith(SECOND) for name in changed)


@pytest.mark.parametrize(
    ("model_name", "frozen", "side", "scaled"),
    [
        ("llama_mha", "k_proj", "query", {"q_proj.weight"}),
        ("llama_mha", "q_proj", "key", {"k_proj.weight"}),
        ("deepseek_v3", "kv_b_proj", "query", {"q_b_proj.weight"}),
    ],
)
def test_the_side_that_is_not_frozen_takes_the_whole_factor(
    model_name: str, frozen: str, side: str, scaled: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, batch, threshold = prepared(model_name)
    model.get_submodule(FIRST).get_submodule(frozen).requires_grad_(False)
    for layer in model.model.layers[1:]:  # so that only the first layer's clip acts on the batch
        layer.self_attn.requires_grad_(False)
    with caplog.at_level(logging.WARNING):
        optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold, exact_max_logits=True)
    assert re.search(naming(FIRST, side), caplog.text)
    before = weights_of(model)
    backward(model, batch)
    optimizer.step()
    over = optimizer.max_logits[FIRST] > threshold
    assert over.any()
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {f"{FIRST}.{name}" for name in scaled}
    optimizer.detach()
    with capture_max_logits(model) as after:
        model(**batch)
    torch.testing.assert_close(after[FIRST][over], torch.full_like(after[FIRST][over], threshold), rtol=1e-4, atol=0)


# ------------------------------------------------------------------------------------------------ life with the model


def test_a_model_in_eval_mode_is_measured_never_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    model, batch, threshold = prepared("llama_gqa")
    optimizer = MuonClip(model, qk_clip_threshold=threshold)
    model.eval()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            backward(model, batch)
            optimizer.step()
    assert sum("train()" in message for message in caplog.messages) == 1
    assert all((values == -INF).all() for values in optimizer.max_logits.values())
    assert all((gamma == 1).all() for gamma in optimizer.gammas.values())


def test_evaluation_and_generation_record_nothing() -> None:
    model, batch, _ = prepared("deepseek_v3")
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=INF)
    assert optimizer.capture is not None
    model.generate(batch["input_ids"], max_new_tokens=2, do_sample=False)  # in training mode, without gradients
    with torch.no_grad():
        model(**batch)
    model.eval()
    model(**batch)
    assert len(optimizer.capture) == 0
    model.train()
    model(**batch)
    assert len(optimizer.capture) == 3


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_gradient_checkpointing_measures_the_same() -> None:
    model, batch, threshold = prepared("deepseek_v3")
    twin, _, _ = prepared("deepseek_v3")
    twin.gradient_checkpointing_enable()
    optimizers = [MuonClip(each, lr=LR, qk_clip_threshold=threshold) for each in (model, twin)]
    for each, optimizer in zip((model, twin), optimizers, strict=True):
        for _ in range(2):
            each.zero_grad()
            backward(each, batch)
            optimizer.step()
    for name, values in optimizers[0].max_logits.items():
        torch.testing.assert_close(optimizers[1].max_logits[name], values, atol=1e-6, rtol=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(twin.get_parameter(name), weight, atol=1e-6, rtol=1e-5)


def test_detach_leaves_no_trace_and_goes_on_as_muon() -> None:
    model, batch, threshold = prepared("llama_gqa")
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold)
    optimizer.detach()
    optimizer.detach()
    assert not any(hasattr(module, "_attention_observer") for module in model.modules())
    before = weights_of(model)
    backward(model, batch)
    optimizer.step()
    assert optimizer.updates == 1
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    MuonClip(model, qk_clip_threshold=threshold)  # free again


def test_a_second_optimizer_on_one_model_takes_over_and_the_first_refuses() -> None:
    model = tiny_model("llama_gqa")
    first = MuonClip(model)
    backward(model, random_batch(model))
    first.step()
    second = MuonClip(model)
    backward(model, random_batch(model))
    before = weights_of(model)
    with pytest.raises(ValueError, match=naming("MuonClip", "detach()")):
        first.step()
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    second.step()
    assert (second.updates, len(second.max_logits)) == (1, 2)
    assert not all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_optimizers_without_the_clip_are_ordinary_ones() -> None:
    model = tiny_model("llama_gqa")
    optimizers = [MuonClip(model, qk_clip_threshold=threshold) for threshold in (None, 100.0, None)]
    backward(model, random_batch(model))
    for optimizer in optimizers:
        optimizer.step()
    assert [optimizer.updates for optimizer in optimizers] == [1, 1, 1]


def test_a_detached_optimizer_goes_on_as_muon_beside_a_second() -> None:
    model = tiny_model("llama_gqa")
    first = MuonClip(model)
    first.detach()
    second = MuonClip(model)
    for optimizer in (first, second):
        backward(model, random_batch(model))
        optimizer.step()
    assert (first.updates, second.updates) == (1, 1)


def test_an_optimizer_of_a_part_is_taken_over_and_one_of_another_model_is_not() -> None:
    model, other = tiny_model("llama_gqa"), tiny_model("llama_gqa")
    part, apart = MuonClip(model.model), MuonClip(other)
    MuonClip(model)
    assert (part.capture is None, apart.capture is None) == (True, False)
    part = MuonClip(model.model)
    assert part.capture is not None


def test_a_capture_block_must_be_left_before_an_optimizer_is_built() -> None:
    model = tiny_model("llama_gqa")
    with (
        capture_max_logits(model),
        pytest.raises(ValueError, match=naming("model.layers.0.self_attn")),
    ):
        MuonClip(model)


def test_a_collected_optimizer_releases_the_model() -> None:
    model = tiny_model("llama_gqa")
    optimizer = MuonClip(model)
    gone = weakref.ref(optimizer)
    assert any(hasattr(module, "_attention_observer") for module in model.modules())
    del optimizer
    gc.collect()
    assert gone() is None
    assert not any(hasattr(module, "_attention_observer") for module in model.modules())
    MuonClip(model)


def test_a_model_without_attention_is_refused_unless_the_clip_is_off() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
    with pytest.raises(ValueError, match=naming("Sequential", "qk_clip_threshold=None")):
        MuonClip(model)
    optimizer = MuonClip(model, qk_clip_threshold=None)
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    assert optimizer.updates == 1


def test_state_dict_round_trip_resumes_bit_for_bit() -> None:
    model, batch, threshold = prepared("deepseek_v3")
    optimizer = MuonClip(model, lr=LR, qk_clip_threshold=threshold)
    backward(model, batch)
    optimizer.step()
    twin = tiny_model("deepseek_v3")
    twin.load_state_dict(model.state_dict())
    resumed = MuonClip(twin, lr=0.5, qk_clip_threshold=threshold)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch does not copy
    for each, its_optimizer in ((model, optimizer), (twin, resumed)):
        each.zero_grad()
        backward(each, batch)
        its_optimizer.step()
    assert all(torch.equal(weight, twin.get_parameter(name)) for name, weight in model.named_parameters())


# ---------------------------------------------------------------------------------------------------- several processes

RANKS = 2
STEPS = 3


def training_run(batches: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Train a few steps, on this rank's part of every batch where there are ranks."""
    rank = dist.get_rank() if dist.is_initialized() else None
    model, _, threshold = prepared("deepseek_v3")
    optimizer = MuonClip(model, lr=LR, weight_decay=DECAY, qk_clip_threshold=threshold, ns_dtype="float32")
    running: nn.Module = model if rank is None else DistributedDataParallel(model)
    gammas, own_maxima = [], []
    for batch in batches:
        if rank is not None:
            batch = {key: value.chunk(RANKS)[rank] for key, value in batch.items()}
        running.zero_grad()
        backward(running, batch)
        assert optimizer.capture is not None
        own_maxima.append({name: values.clone() for name, values in optimizer.capture.items()})
        optimizer.step()
        gammas.append(optimizer.gammas)
    return {"weights": weights_of(model), "gammas": gammas, "own_maxima": own_maxima}


@pytest.mark.slow
def test_two_processes_clip_alike_and_equal_one() -> None:
    model = tiny_model("deepseek_v3")
    batches = [random_batch(model, batch_size=4, seed=seed) for seed in range(STEPS)]
    alone = training_run(batches)
    ranks = run_on_ranks(RANKS, training_run, batches)
    for name, weight in ranks[0]["weights"].items():
        assert torch.equal(weight, ranks[1]["weights"][name]), name
        torch.testing.assert_close(weight, alone["weights"][name], atol=1e-5, rtol=1e-5, msg=lambda m, n=name: n + m)
    clipped = 0
    for step in range(STEPS):
        for name, gamma in alone["gammas"][step].items():
            assert torch.equal(ranks[0]["gammas"][step][name], ranks[1]["gammas"][step][name])
            torch.testing.assert_close(ranks[0]["gammas"][step][name], gamma, atol=1e-5, rtol=1e-5)
            clipped += int((gamma < 1).sum())
    assert clipped > 0
    # Each rank alone had seen other maxima, so agreement is the collective's doing.
    first, second = (torch.cat(list(rank["own_maxima"][0].values())) for rank in ranks)
    assert not torch.allclose(first, second)
    assert math.isfinite(float(first.max()))
