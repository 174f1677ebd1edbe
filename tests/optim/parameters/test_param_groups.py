"""Which algorithm updates which parameter: every parameter of every tiny model, and models that need special care."""

import re

import pytest
import torch
from census_models import census_model
from error_messages import naming
from tiny_models import TINY_MODEL_NAMES, tiny_model
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Llama4ForCausalLM,
    Llama4TextConfig,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from hf_muonclip.optim.matrix_view import PLAIN, MatrixView, to_matrices
from hf_muonclip.optim.parameters.param_groups import (
    PlannedParameter,
    describe_plan,
    param_groups,
    plan_parameters,
)

LINEAR = r"layers\.\d+\.(self_attn|mlp|mlp\.shared_experts)\.\w+_proj(_with_mqa)?"
# Pattern of a name -> algorithm, whether decay applies, what the reason names. The first match counts.
EXPECTED = {
    r"embed_tokens\.weight$": ("adamw", True, "embedding"),
    r"^lm_head\.weight$": ("adamw", True, "output head"),
    r"experts\.\w+_proj_bias$": ("adamw", False, "bias", "experts"),
    r"bias$": ("adamw", False, "bias"),
    r"norm\.weight$": ("adamw", False, "vector"),
    r"sinks$": ("adamw", False, "vector"),
    r"mlp\.(gate|router)\.weight$": ("adamw", True, "router"),
    r"mlp\.experts\.gate_up_proj$": ("muon", True, 4, "experts", "gate", "up"),
    r"mlp\.experts\.down_proj$": ("muon", True, 4, "experts"),
    LINEAR + r"\.weight$": ("muon", True, "hidden matrix"),
}


def by_name(model: nn.Module) -> dict[str, PlannedParameter]:
    plan = plan_parameters(model)
    assert len({planned.name for planned in plan}) == len(plan)
    return {planned.name: planned for planned in plan}


@pytest.mark.parametrize("model_name", TINY_MODEL_NAMES)
def test_every_parameter_of_every_tiny_model(model_name: str) -> None:
    model = tiny_model(model_name)
    plan = by_name(model)
    assert list(plan) == [name for name, _ in model.named_parameters()]
    patterns_used = set()
    for name, parameter in model.named_parameters():
        pattern = next(pattern for pattern in EXPECTED if re.search(pattern, name))
        patterns_used.add(pattern)
        algorithm, decays, *named = EXPECTED[pattern]
        planned = plan[name]
        assert (planned.algorithm, planned.decays) == (algorithm, decays), name
        assert re.search(naming(*named), planned.reason), name
        assert planned.shape == tuple(parameter.shape)
        view = PLAIN
        if "experts." in name and algorithm == "muon":
            half = parameter.shape[2 if model_name == "gpt_oss" else 1] // 2
            view = MatrixView(transposed=model_name == "gpt_oss")
            if name.endswith("gate_up_proj"):
                view = (
                    MatrixView((1, 1), half, transposed=True) if model_name == "gpt_oss" else MatrixView((half, half))
                )
        assert planned.view == view, name
    if "deepseek" in model_name or model_name in ("mixtral", "gpt_oss"):
        assert {r"mlp\.(gate|router)\.weight$", r"mlp\.experts\.gate_up_proj$"} <= patterns_used


@pytest.mark.parametrize("model_name", ["llama_gqa", "deepseek_v3"])
def test_a_tied_head_appears_once_as_embedding(model_name: str) -> None:
    model = tiny_model(model_name, tie_word_embeddings=True)
    plan = by_name(model)
    assert "lm_head.weight" not in plan
    assert "embedding" in plan["model.embed_tokens.weight"].reason
    assert plan["model.embed_tokens.weight"].algorithm == "adamw"
    groups = param_groups(model, plan.values(), 0.1)
    grouped = [id(parameter) for group in groups for _, parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


def test_the_view_of_gpt_oss_separates_what_the_model_computes_as_gate_and_up() -> None:
    model = tiny_model("gpt_oss")
    experts = model.model.layers[0].mlp.experts
    view = by_name(model)["model.layers.0.mlp.experts.gate_up_proj"].view
    matrices = to_matrices(experts.gate_up_proj.detach(), view)
    hidden = torch.randn(5, experts.gate_up_proj.shape[1], generator=torch.Generator().manual_seed(0))
    gate_up = hidden @ experts.gate_up_proj.detach()[1]
    gate, up = gate_up[..., ::2], gate_up[..., 1::2]  # as the model's own forward cuts them
    torch.testing.assert_close(hidden @ matrices[0][1].T, gate, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(hidden @ matrices[1][1].T, up, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("intermediate", [16, 32, 48])  # 16: 2·16 is the hidden size, so gate_up_proj is square
def test_llama4_experts_say_nothing_and_their_shapes_do(intermediate: int) -> None:
    hidden = 32
    model = Llama4ForCausalLM(
        Llama4TextConfig(
            vocab_size=64,
            hidden_size=hidden,
            intermediate_size=intermediate,
            intermediate_size_mlp=48,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            num_local_experts=4,
            num_experts_per_tok=1,
            pad_token_id=0,
        )
    )
    plan = by_name(model)
    fused = plan["model.layers.0.feed_forward.experts.gate_up_proj"]
    assert fused.shape == (4, hidden, 2 * intermediate)
    assert fused.view == MatrixView(sections=(intermediate, intermediate), transposed=True)
    assert fused.view.matrix_shapes(fused.shape) == ((4, intermediate, hidden),) * 2
    assert plan["model.layers.0.feed_forward.experts.down_proj"].view == MatrixView(transposed=True)
    assert "router" in plan["model.layers.0.feed_forward.router.weight"].reason


@pytest.mark.parametrize("model_type", ["llama4_text", "aria_text", "jetmoe", "longcat_flash", "exaone_moe", "mixtral"])
def test_a_router_is_adamws_and_the_experts_that_it_picks_are_muons(model_type: str) -> None:
    plan = by_name(census_model(model_type))
    routers = [name for name, planned in plan.items() if "router" in planned.reason]
    assert routers
    assert all(re.search(r"(router|gate)(\.layer|\.classifier)?\.weight$", name) for name in routers)
    experts = [planned for name, planned in plan.items() if ".experts." in name and len(planned.shape) == 3]
    assert experts
    assert all(planned.algorithm == "muon" for planned in experts)


def test_a_router_over_products_of_keys_is_adamws_and_its_layer_is_muons() -> None:
    plan = by_name(census_model("doge", is_moe=True, num_experts=16, num_experts_per_tok=2))
    layer = {name.rpartition("mlp.")[2]: planned for name, planned in plan.items() if ".layers.0.mlp." in name}
    assert "router" in layer["router_gate.weight"].reason
    assert [layer[f"{name}_proj.weight"].algorithm for name in ("gate", "up", "down")] == ["muon"] * 3
    assert all("embedding" in layer[f"{name}_embed.weight"].reason for name in ("up", "down"))


def test_undecorated_experts_stored_out_in_are_not_taken_for_transposed() -> None:
    class Experts(nn.Module):
        def __init__(self, intermediate: int, hidden: int) -> None:
            super().__init__()
            self.num_experts = 2
            self.gate_up_proj = nn.Parameter(torch.zeros(2, 2 * intermediate, hidden))
            self.down_proj = nn.Parameter(torch.zeros(2, hidden, intermediate))

    for intermediate in (2, 4, 8, 16):
        model = nn.ModuleDict({"experts": Experts(intermediate, 8)})
        assert by_name(model)["experts.gate_up_proj"].view == MatrixView(sections=(intermediate, intermediate))


def test_conv1d_is_transposed_and_its_tied_head_an_embedding() -> None:
    plan = by_name(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=64, n_positions=16)))
    planned = plan["transformer.h.0.mlp.c_fc.weight"]
    assert (planned.algorithm, planned.view) == ("muon", MatrixView(transposed=True))
    assert planned.shape == (32, 128)
    assert plan["transformer.wte.weight"].algorithm == plan["transformer.wpe.weight"].algorithm == "adamw"


def test_a_fused_gate_up_linear_is_split() -> None:
    mlp = nn.ModuleDict({"gate_up_proj": nn.Linear(8, 12), "down_proj": nn.Linear(6, 8)})
    plan = by_name(mlp)
    assert plan["gate_up_proj.weight"].view == MatrixView(sections=(6, 6))
    assert re.search(naming("gate", "up"), plan["gate_up_proj.weight"].reason)
    assert plan["down_proj.weight"].view == PLAIN


def test_a_kernel_holds_its_view_before_any_override() -> None:
    model = nn.ModuleDict({"grouped": nn.Conv2d(4, 6, 3, groups=2), "back": nn.ConvTranspose1d(4, 6, 3)})
    plan = by_name(model)
    grouped, back = plan["grouped.weight"], plan["back.weight"]
    assert (grouped.algorithm, grouped.view) == ("adamw", MatrixView(stacked=2, kernel=True))
    assert grouped.view.matrix_shapes(grouped.shape) == ((2, 3, 18),)
    assert re.search(naming("convolution", 2, "3 x 18", "muon"), grouped.reason)
    assert (back.algorithm, back.view) == ("adamw", PLAIN)
    assert re.search(naming("transposed convolution"), back.reason)


def test_a_given_view_makes_any_parameter_a_linear_map() -> None:
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "router": nn.Linear(4, 1)})
    views = {
        "attention.in_proj_weight": (MatrixView(sections=(4, 4, 4)), "query, key and value split"),
        "router.weight": (MatrixView(sections=(1,)), "never"),
        "not.there": (PLAIN, ""),
    }
    plan = {planned.name: planned for planned in plan_parameters(model, views)}
    fused = plan["attention.in_proj_weight"]
    assert (fused.algorithm, fused.view) == ("muon", MatrixView(sections=(4, 4, 4)))
    assert re.search(naming(views["attention.in_proj_weight"][1]), fused.reason)
    assert (plan["router.weight"].algorithm, plan["router.weight"].view) == ("adamw", PLAIN)
    assert by_name(model)["attention.in_proj_weight"].algorithm == "adamw"


class Adapted(nn.Module):
    """Has the names of PEFT's LoRA layer."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, base.out_features, bias=False)})


def test_the_rows_of_an_adapter_are_those_of_its_base() -> None:
    model = nn.ModuleDict({"gate_up_proj": Adapted(nn.Linear(8, 12)), "qkv": Adapted(nn.Linear(8, 6))})
    views = {"qkv.base_layer.weight": (MatrixView((1, 1, 1), 2), "query, key and value split")}
    plan = {planned.name: planned for planned in plan_parameters(model, views)}
    assert plan["gate_up_proj.lora_B.default.weight"].view == MatrixView(sections=(6, 6))
    assert plan["qkv.lora_B.default.weight"].view == MatrixView((1, 1, 1), 2)
    assert plan["qkv.lora_A.default.weight"].view == plan["gate_up_proj.lora_A.default.weight"].view == PLAIN


def test_empty_and_degenerate_matrices_are_planned() -> None:
    model = nn.ModuleDict({"rows": nn.Linear(5, 2), "column": nn.Linear(1, 5), "next": nn.Linear(2, 1)})
    model["empty"] = nn.Linear(4, 2)
    model["empty"].weight = nn.Parameter(torch.zeros(0, 4))
    for planned in by_name(model).values():
        if len(planned.shape) == 2 and planned.name != "next.weight":
            assert planned.algorithm == "muon"
            assert planned.view.matrix_shapes(planned.shape) == ((1, *planned.shape),)


def test_parameters_shared_by_layers_appear_once() -> None:
    model = tiny_model("llama_gqa")
    first, second = (layer.self_attn for layer in model.model.layers)
    second.q_proj.weight, second.v_proj = first.q_proj.weight, first.v_proj
    plan = by_name(model)
    assert "model.layers.0.self_attn.q_proj.weight" in plan
    assert plan.keys().isdisjoint({f"model.layers.1.self_attn.{name}_proj.weight" for name in "qv"})


def test_classification_heads_go_to_adamw() -> None:
    fields = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    llama = LlamaConfig(**fields, num_attention_heads=2, num_key_value_heads=2, num_labels=3, pad_token_id=0)
    plan = by_name(LlamaForSequenceClassification(llama))
    assert plan["score.weight"].algorithm == "adamw"
    assert re.search(naming("head"), plan["score.weight"].reason)
    assert plan["model.layers.0.mlp.up_proj.weight"].algorithm == "muon"

    bert = BertConfig(**fields, num_attention_heads=2, num_labels=3)
    plan = by_name(BertForSequenceClassification(bert))
    assert plan["classifier.weight"].algorithm == "adamw"
    assert "embedding" in plan["bert.embeddings.position_embeddings.weight"].reason
    assert plan["bert.encoder.layer.0.attention.self.query.weight"].algorithm == "muon"


def test_what_is_no_known_linear_map_goes_to_adamw_with_its_class() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(4, 4))
            self.cube = nn.Parameter(torch.zeros(3, 4, 4))

    model = nn.ModuleDict({"odd": Odd(), "conv": nn.Conv1d(4, 4, 3)})
    plan = by_name(model)
    for name in ("odd.table", "odd.cube"):
        assert re.search(naming("Odd"), plan[name].reason)
    assert re.search(naming("convolution", "4 x 12", "muon"), plan["conv.weight"].reason)
    assert {planned.algorithm for planned in plan.values()} == {"adamw"}


def test_frozen_parameters_are_left_out() -> None:
    model = tiny_model("llama_gqa")
    model.model.embed_tokens.requires_grad_(False)
    model.model.layers[0].requires_grad_(False)
    plan = by_name(model)
    assert not any("layers.0" in name or "embed_tokens" in name for name in plan)
    assert any("layers.1" in name for name in plan)


def test_groups_split_by_algorithm_and_decay() -> None:
    model = tiny_model("mixtral")
    plan = plan_parameters(model)
    groups = param_groups(model, plan, 0.25)
    assert [(group["algorithm"], group["weight_decay"]) for group in groups] == [
        ("muon", 0.25),
        ("adamw", 0.25),
        ("adamw", 0.0),
    ]
    parameters = dict(model.named_parameters())
    for group in groups:
        for name, parameter in group["params"]:
            assert parameter is parameters[name]
            assert (parameter.ndim < 2) == (group["weight_decay"] == 0.0)
    assert sum(len(group["params"]) for group in groups) == len(parameters)


def test_an_all_frozen_model_is_refused() -> None:
    model = tiny_model("llama_gqa").requires_grad_(False)
    with pytest.raises(ValueError, match=naming("Muon", "LlamaForCausalLM", 0)):
        param_groups(model, plan_parameters(model), 0.1)


def test_a_model_without_hidden_matrices_is_refused_with_what_was_found() -> None:
    model = nn.Sequential(nn.Embedding(8, 4), nn.LayerNorm(4))
    found = ("0.weight", "(8, 4)", "embedding", "1.weight", "(4,)", "1.bias")
    with pytest.raises(ValueError, match=naming("Sequential", 3, *found)):
        param_groups(model, plan_parameters(model), 0.1)


def test_the_table_shows_name_shape_algorithm_decay_and_reason() -> None:
    model = tiny_model("deepseek_v3")
    plan = plan_parameters(model)
    lines = describe_plan(plan).splitlines()
    assert len(lines) == len(plan)
    for line, planned in zip(lines, plan, strict=True):
        name, shape, algorithm, rest = line.split(maxsplit=3)
        assert name == planned.name
        assert shape == "x".join(map(str, planned.shape))
        assert algorithm == planned.algorithm
        assert rest.endswith(planned.reason)
        assert rest.startswith("decay" if planned.decays else "no decay")
    assert describe_plan([]) == ""
