"""What modules say of their weights, held against what their own forwards do with them."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from census_models import census_model
from error_messages import naming
from torch import Tensor, nn

from hf_muonclip.optim.matrix_view import PLAIN, MatrixView, matrix_blocks, to_matrices
from hf_muonclip.optim.parameters.fused_weights import view_of_experts, view_of_kernel, view_of_linear

# (model type, pattern of the first fused parameter): experts and dense feed-forwards, gate and up in one weight.
GATED = [
    ("mixtral", r"experts\.gate_up_proj$"),
    ("gpt_oss", r"experts\.gate_up_proj$"),
    ("llama4_text", r"experts\.gate_up_proj$"),
    ("aria_text", r"experts\.(gate_up_proj|fc1\.weight)$"),  # the second in older transformers
    ("jetmoe", r"mlp\.input_linear\.weight$"),
    ("phi3", r"mlp\.gate_up_proj\.weight$"),
    ("glm", r"mlp\.gate_up_proj\.weight$"),
    ("modernbert-decoder", r"mlp\.Wi\.weight$"),
    ("granitemoehybrid", r"shared_mlp\.input_linear\.weight$"),
]


def built(model_type: str) -> nn.Module:
    if model_type != "granitemoehybrid":
        return census_model(model_type)
    try:
        return census_model(model_type)
    except ValueError:  # older transformers has other names for the kinds of layers
        return census_model(model_type, layer_types=["mamba", "attention"])


def view_of(model: nn.Module, name: str) -> MatrixView:
    experts = view_of_experts(model, name)
    return experts[0] if experts else view_of_linear(model, name.removesuffix(".weight"))[0]


def first(model: nn.Module, pattern: str) -> str:
    return next(name for name, _ in model.named_parameters() if re.search(pattern, name))


@torch.no_grad()
@pytest.mark.parametrize(("model_type", "pattern"), GATED)
def test_one_half_of_a_gated_layer_is_linear_and_the_other_is_not(model_type: str, pattern: str) -> None:
    model = built(model_type)
    name = first(model, pattern)
    weight, view = model.get_parameter(name), view_of(model, name)
    assert len(view.sections) == 2
    layer = model.get_submodule(re.split(r"\.(experts\.|gate_up_proj|Wi|input_linear)", name)[0])
    for own, bias in model.named_parameters():
        if own.endswith("bias"):
            bias.zero_()  # what is linear then doubles exactly
    hidden = 0.1 * torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(0))

    def run() -> Tensor:
        output = layer(hidden)
        return output[0] if isinstance(output, tuple) else output

    before, doubled = run(), []
    rest = torch.zeros_like(before)
    for section in range(2):
        matrix_blocks(weight, view)[section].zero_()
        if section == 0:
            rest = run()  # what other parts of the layer give, such as a shared expert
            assert not torch.allclose(rest, before)
        model.load_state_dict(built(model_type).state_dict() | zeroed_biases(model))
        matrix_blocks(weight, view)[section].mul_(2)
        doubled.append(torch.allclose(run() - rest, 2 * (before - rest), rtol=1e-4, atol=1e-7))
        model.load_state_dict(built(model_type).state_dict() | zeroed_biases(model))
    if model_type != "gpt_oss":  # which adds 1 to its up side, so neither is linear
        assert sorted(doubled) == [False, True]


def zeroed_biases(model: nn.Module) -> dict[str, Tensor]:
    return {name: torch.zeros_like(p) for name, p in model.named_parameters() if name.endswith("bias")}


@torch.no_grad()
def test_dbrx_uses_its_stacked_experts_as_the_view_cuts_them() -> None:
    model = census_model("dbrx")
    path = first(model, r"mlp\.w1$").removesuffix(".w1")
    glu: Any = model.get_submodule(path)
    if "expert_w1.T" not in inspect.getsource(type(glu).forward):
        pytest.skip("transformers' DBRX runs only where its experts are as wide as its hidden states")
    stacks = {}
    for own in ("w1", "v1", "w2"):
        found = view_of_experts(model, f"{path}.{own}")
        assert found is not None
        assert found[1:] == (4, "")
        (stacks[own],) = to_matrices(getattr(glu, own), found[0])
    hidden = torch.randn(3, 64)
    stored = {own: getattr(glu, own).view(4, 32, 64) for own in stacks}  # as the model's own loop cuts them
    for expert in range(4):
        wanted = glu(hidden, *(stored[own][expert] for own in ("w1", "v1", "w2")))
        gated = glu.activation_fn(hidden @ stacks["w1"][expert].T) * (hidden @ stacks["v1"][expert].T)
        torch.testing.assert_close(gated @ stacks["w2"][expert].T, wanted, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_qwen3_next_orders_its_deltanet_as_the_view_cuts_it() -> None:
    model = census_model("qwen3_next")
    path = first(model, r"in_proj_qkvz").removesuffix(".in_proj_qkvz.weight")
    deltanet: Any = model.get_submodule(path)
    hidden = torch.randn(1, 3, 64)
    wanted = deltanet.fix_query_key_value_ordering(deltanet.in_proj_qkvz(hidden), deltanet.in_proj_ba(hidden))
    found = []
    for child, parts in (("in_proj_qkvz", ("query", "key", "value", "gate")), ("in_proj_ba", ("beta", "decay"))):
        view, words = view_of_linear(model, f"{path}.{child}")
        assert re.search(naming(*parts), words)
        found += to_matrices(deltanet.get_submodule(child).weight, view)
    for stack, states in zip(found, wanted, strict=True):
        torch.testing.assert_close(hidden[0] @ stack[0].T, states[0].flatten(1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "pattern", "sections", "periods", "parts"),
    [
        ("qwen3_5", r"in_proj_qkv\.", (32, 32, 64), 1, ("query", "key", "value")),
        ("minimax", r"qkv_proj\.", (16, 16, 16), 4, ("query", "key", "value")),
        ("mamba2", r"mixer\.in_proj\.", (128, 128, 16, 16, 8), 1, ("gate", "x", "B", "C", "dt")),
        ("mamba", r"mixer\.in_proj\.", (128, 128), 1, ("x", "gate")),
        ("mamba", r"mixer\.x_proj\.", (4, 16, 16), 1, ("dt", "B", "C")),
        ("zamba", r"mamba\.in_proj\.", (1, 1), 128, ("x", "gate")),
        ("lfm2", r"conv\.in_proj\.", (64, 64, 64), 1, ("B", "C", "x")),
    ],
)
def test_what_other_mixers_split(
    model_type: str, pattern: str, sections: tuple[int, ...], periods: int, parts: tuple[str, ...]
) -> None:
    model = census_model(model_type)
    path = first(model, pattern).removesuffix(".weight")
    view, words = view_of_linear(model, path)
    assert view == MatrixView(sections, periods)
    assert re.search(naming(*parts), words)


def test_nemotron_h_and_inkling_have_experts_without_a_fused_gate() -> None:
    nemotron, inkling = census_model("nemotron_h"), census_model("inkling_text")
    assert view_of_experts(nemotron, first(nemotron, r"experts\.up_proj$")) == (PLAIN, 4, "")
    assert view_of_experts(inkling, first(inkling, r"shared_experts\.gate_proj$")) == (PLAIN, 1, "")


@pytest.mark.parametrize("build", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_each_group_of_a_kernel_is_the_map_of_its_patches(build: Callable[..., nn.Module], groups: int) -> None:
    module: Any = build(4, 8, 3, groups=groups, bias=False)
    view = view_of_kernel(module)
    assert view == MatrixView(stacked=groups, kernel=True)
    (matrices,) = to_matrices(module.weight.detach(), view)
    patch = torch.randn(4, *module.kernel_size)
    wanted = module(patch[None]).flatten().unflatten(0, (groups, -1))
    found = matrices @ patch.reshape(groups, -1, 1)
    torch.testing.assert_close(found[..., 0], wanted.detach(), atol=1e-5, rtol=1e-5)


def test_transposed_convolutions_and_other_modules_have_no_kernel_view() -> None:
    assert view_of_kernel(nn.ConvTranspose2d(4, 4, 3)) is None
    assert view_of_kernel(nn.Linear(4, 4)) is None


def test_a_halved_width_alone_makes_no_gate() -> None:
    model = nn.ModuleDict({"Wi": nn.Linear(4, 12), "Wo": nn.Linear(12, 4), "fc1": nn.Linear(4, 12)})
    assert view_of_linear(model, "Wi") == view_of_linear(model, "fc1") == (PLAIN, "")
