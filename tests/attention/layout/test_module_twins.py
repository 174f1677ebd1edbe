"""Odd modules: detection gives a layout, monitoring with a note, or UnknownLayoutError, and nothing else escapes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from error_messages import naming
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from hf_muonclip import MuonClip, capture_max_logits, detect_head_layout, verify_head_layout
from hf_muonclip.attention.layout.module_twins import CannotRunError, follows_its_rows, gain_offset
from hf_muonclip.attention.layout.parts import UnknownLayoutError
from hf_muonclip.optim.parameters.param_groups import plan_parameters

ATTENTION = "model.layers.0.self_attn"
SIZES: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.5,
}


def llama(**settings: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES, **settings)).train()


class OwnLinear(nn.Linear):
    """A linear map with code of its own; linear in the rows of its weight, up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        rounded = self.weight.to(torch.float8_e4m3fn).to(self.weight.dtype)
        weight = self.weight + (rounded - self.weight).detach()
        return nn.functional.linear(input, weight, self.bias)


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(input, weight)
        return input @ weight.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        input, weight = ctx.saved_tensors
        return gradient @ weight, gradient.flatten(0, -2).T @ input.flatten(0, -2)


class OwnGradient(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return OwnFunction.apply(input, self.weight)


class RowsAtUnitLength(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, nn.functional.normalize(self.weight, dim=1))


class AtUnitNorm(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.weight / self.weight.norm())


class NoForward(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        raise RuntimeError("0 active drivers")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kind", "follows"),
    [(OwnLinear, True), (OwnGradient, True), (RowsAtUnitLength, False), (AtUnitNorm, False), (NoForward, False)],
)
def test_a_linear_map_is_known_by_what_it_does(
    kind: type[nn.Linear], follows: bool, bias: bool, dtype: torch.dtype
) -> None:
    linear = kind(16, 24, bias=bias and kind is OwnLinear, dtype=dtype)
    before = linear.weight.clone()
    assert follows_its_rows(linear) == follows
    assert torch.equal(linear.weight, before)
    assert follows_its_rows(kind(16, 24, bias=False, dtype=dtype, device="meta")) == follows


def scores(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    with torch.no_grad(), capture_max_logits(model) as logits:
        model(tokens)
    return logits[ATTENTION].double()


def float8_training(linear: nn.Linear) -> nn.Module:
    linear.__class__ = OwnLinear
    return linear


CLIPPED: dict[str, tuple[Callable[[nn.Linear], Any], str, float]] = {
    "linear with code of its own": (float8_training, "q_proj.weight", 0.1),
    "weight_norm": (parametrizations.weight_norm, "q_proj.parametrizations.weight.original0", 1e-4),
    "older weight_norm": (torch.nn.utils.weight_norm, "q_proj.weight_g", 1e-4),
    "pruned": (lambda linear: prune.random_unstructured(linear, "weight", 0.3), "q_proj.weight_orig", 1e-4),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", CLIPPED)
def test_heads_land_on_tau_through_what_scales_their_rows(kind: str, bias: bool) -> None:
    change, parameter, tolerance = CLIPPED[kind]
    model = llama(attention_bias=bias)
    attention = model.get_submodule(ATTENTION)
    for name in ("q_proj", "k_proj"):
        change(attention.get_submodule(name))
        if bias:
            attention.get_submodule(name).bias.data.normal_()
    layout = detect_head_layout(model)
    assert layout[ATTENTION].granularity == "head"
    assert layout[ATTENTION].head_rows[0].parameter == parameter
    if kind != "linear with code of its own":  # whose roundings the proof would meet
        verify_head_layout(model, layout)
    tokens = torch.arange(12)[None]
    tau = float(scores(model, tokens).min()) / 2
    optimizer = MuonClip(model, lr=0.0, weight_decay=0.0, qk_clip_threshold=tau)
    model(tokens, labels=tokens).loss.backward()
    optimizer.step()
    optimizer.detach()
    torch.testing.assert_close(scores(model, tokens), torch.full((2,), tau).double(), rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("parametrization", [parametrizations.spectral_norm, parametrizations.orthogonal])
def test_a_weight_that_no_parameter_scales_is_monitored(parametrization: Any) -> None:
    model = llama()
    parametrization(model.get_submodule(ATTENTION).q_proj)
    [layout] = detect_head_layout(model).values()
    assert layout.granularity == "monitored"
    assert re.search(naming("q_proj", "ParametrizedLinear"), layout.note)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_the_plan_says_what_a_parametrized_matrix_is() -> None:
    def planned(change: Any, name: str = "up_proj") -> dict[str, tuple[str, str]]:
        model = llama()
        change(model.model.layers[0].mlp.get_submodule(name) if name != "lm_head" else model.lm_head)
        plan = plan_parameters(model)
        return {p.name.rpartition(f"{name}.")[2]: (p.algorithm, p.reason) for p in plan if f"{name}." in p.name}

    for change, wanted, of in (
        (parametrizations.spectral_norm, {"original": "muon"}, "SpectralNorm"),
        (parametrizations.weight_norm, {"original0": "adamw", "original1": "muon"}, "WeightNorm"),
    ):
        found = planned(change)
        assert {name.rpartition(".")[2]: algorithm for name, (algorithm, _) in found.items()} == wanted
        assert all(re.search(naming(of), reason) for _, reason in found.values())
    assert [algorithm for algorithm, _ in planned(torch.nn.utils.weight_norm).values()] == ["adamw", "muon"]
    assert planned(lambda linear: prune.random_unstructured(linear, "weight", 0.3))["weight_orig"][0] == "muon"
    [(algorithm, reason)] = planned(parametrizations.orthogonal).values()
    assert algorithm == "adamw"
    assert re.search(naming("Orthogonal"), reason)
    assert {algorithm for algorithm, _ in planned(parametrizations.spectral_norm, "lm_head").values()} == {"adamw"}


class GpuNorm(nn.Module):
    """A norm whose kernel takes the tensors of a GPU alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, states: Tensor) -> Tensor:
        if states.device.type == "cpu":
            raise RuntimeError("Pointer argument (at 0) cannot be accessed from Triton (cpu tensor?)")
        return states * self.weight


def test_a_norm_that_cannot_run_here_is_monitored_with_a_note() -> None:
    model = Qwen3ForCausalLM(Qwen3Config(**SIZES))
    model.get_submodule(ATTENTION).q_norm = GpuNorm(8)
    [layout] = detect_head_layout(model).values()
    assert layout.granularity == "monitored"
    assert re.search(naming("q_norm", "GpuNorm", "RuntimeError", "cpu"), layout.note)
    with pytest.raises(CannotRunError):
        gain_offset(GpuNorm(8))


def lazy() -> nn.Module:
    return nn.LazyLinear(16, bias=False)


def without_weight() -> nn.Module:
    linear = nn.Linear(16, 16, bias=False)
    del linear.weight
    return linear


def weight_in_a_buffer() -> nn.Module:
    linear = without_weight()
    linear.register_buffer("weight", torch.randn(16, 16))
    return linear


def weight_in_integers() -> nn.Module:
    linear = without_weight()
    linear.weight = nn.Parameter(torch.ones(16, 16, dtype=torch.int8), requires_grad=False)
    return linear


class Raises(nn.Module):
    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.error = error
        self.inner = nn.Linear(16, 16)

    @property
    def weight(self) -> Tensor:
        raise self.error("no weight for you")

    def forward(self, states: Tensor) -> Tensor:
        raise self.error("no forward for you")


ODD: dict[str, Callable[[], nn.Module]] = {
    "lazy": lazy,
    "without weight": without_weight,
    "weight in a buffer": weight_in_a_buffer,
    "weight in integers": weight_in_integers,
    "no forward": lambda: NoForward(16, 16, bias=False),
    "rows at unit length": lambda: RowsAtUnitLength(16, 16, bias=False),
    "on the meta device": lambda: OwnLinear(16, 16, bias=False, device="meta"),
    "too few rows": lambda: nn.Linear(16, 13, bias=False),
    "vector": lambda: nn.LayerNorm(16),
    "identity": nn.Identity,
    "convolution": lambda: nn.Conv1d(16, 16, 1),
    "key error": lambda: Raises(KeyError),
    "zero division": lambda: Raises(ZeroDivisionError),
    "not implemented": lambda: Raises(NotImplementedError),
}


@pytest.mark.parametrize("place", ["q_proj", "k_proj", "q_norm", "rotary_fn"])
@pytest.mark.parametrize("odd", ODD)
def test_nothing_but_the_three_outcomes_escapes(odd: str, place: str) -> None:
    model = Qwen3ForCausalLM(Qwen3Config(**SIZES))
    setattr(model.get_submodule(ATTENTION), place, ODD[odd]())
    refused = ""
    try:
        [layout] = detect_head_layout(model).values()
    except UnknownLayoutError as refusal:
        refused = str(refusal)
    if refused:
        assert ATTENTION in refused
        assert "qk_clip_threshold=None" in refused
    else:
        assert layout.granularity != "monitored" or layout.note
        for rows in layout.head_rows:
            model.get_submodule(ATTENTION).get_parameter(rows.parameter)
