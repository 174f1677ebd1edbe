"""LoRA's factors are matrices of their own: one for each expert, cut as the outputs that they adapt."""

import re
from typing import Any

import pytest
import torch
from error_messages import naming
from peft import LoraConfig, get_peft_model
from tiny_models import tiny_model
from torch import Tensor, nn
from transformers import Phi3Config, Phi3ForCausalLM, PretrainedConfig

from hf_muonclip import MuonClip
from hf_muonclip.optim.matrix_view import PLAIN, MatrixView
from hf_muonclip.optim.parameters.lora_weights import read_lora_factor
from hf_muonclip.optim.parameters.param_groups import PlannedParameter, plan_parameters

RANK = 3
EXPERTS = 4
PARAMETERS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def adapted(name: str, **settings: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(tiny_model(name, num_hidden_layers=2), LoraConfig(r=RANK, **settings))
        with torch.no_grad():
            for path, parameter in model.named_parameters():
                if "lora_B" in path:
                    parameter.normal_(std=0.05)
    return model.train()


def planned(model: nn.Module) -> dict[str, PlannedParameter]:
    return {entry.name.removeprefix("base_model.model."): entry for entry in plan_parameters(model)}


def of_experts(name: str, factor: Tensor) -> Tensor:
    """Return (experts, rank, ...) of an A, (experts, ..., rank) of a B, by the shapes in which PEFT multiplies them."""
    if ".lora_A." in name:
        return factor.reshape(EXPERTS, RANK, -1)
    return factor.reshape(factor.shape[0], RANK, EXPERTS).permute(2, 0, 1)


@pytest.mark.parametrize(
    "name", ["mixtral", "gpt_oss"]
)  # experts stored (out, in), and (in, out) with gates interleaved
def test_every_factor_of_every_expert_is_orthogonalized_on_its_own(name: str) -> None:
    model = adapted(name, target_modules=["q_proj"], target_parameters=PARAMETERS)
    exact: dict[str, Any] = {"ns_steps": 8, "ns_dtype": "float32", "adjust_lr_fn": "none", "qk_clip_threshold": None}
    optimizer = MuonClip(model, lr=1.0, weight_decay=0.0, **exact)
    before = {path: p.detach().clone() for path, p in model.named_parameters() if p.requires_grad}
    for seed, path in enumerate(before):  # of full rank, which few tokens for an expert would not give
        parameter = model.get_parameter(path)
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    optimizer.step()
    checked = 0
    for path, parameter in model.named_parameters():
        if not parameter.requires_grad or "experts" not in path:
            continue
        moved = of_experts(path, parameter.detach() - before[path])
        parts = [moved]
        # The innermost adapter is that of gate_up_proj; releases of PEFT differ in which factor makes its outputs.
        outputs, dim = 2 * 96, 1 if ".lora_B." in path else 2
        if "experts.base_layer.lora_" in path and moved.shape[dim] == outputs:
            places = torch.arange(outputs)
            halves = (places[0::2], places[1::2]) if name == "gpt_oss" else places.chunk(2)
            parts = [moved.index_select(dim, half) for half in halves]
        for part in parts:
            small = part @ part.mT if part.shape[1] < part.shape[2] else part.mT @ part
            torch.testing.assert_close(small, torch.eye(RANK).expand_as(small), rtol=0.0, atol=2e-3)
            checked += 1
    assert checked == 2 * (4 + 1)  # layers; A and B of two parameters, one of which is cut in two


def test_a_factor_says_what_it_is() -> None:
    plan = planned(adapted("mixtral", target_modules=["q_proj"], target_parameters=PARAMETERS))
    experts = "model.layers.0.mlp.experts"
    first = plan[f"{experts}.base_layer.lora_A.default.weight"]
    second = plan[f"{experts}.base_layer.lora_B.default.weight"]
    if second.shape[0] == 2 * 96:
        assert (first.view, second.view) == (MatrixView(stacked=EXPERTS), MatrixView((96, 96), interleaved=EXPERTS))
        cut_factor = second
    else:  # an older PEFT, whose A makes the outputs
        cut = MatrixView((96, 96), transposed=True, stacked=EXPERTS)
        assert (first.view, second.view) == (cut, MatrixView(interleaved=EXPERTS))
        cut_factor = first
    for letter, factor in (("A", first), ("B", second)):
        assert re.search(naming(f"LoRA {letter}", RANK, EXPERTS), factor.reason)
        assert bool(re.search(naming("gate", "up"), factor.reason)) == (factor is cut_factor)
    query = plan["model.layers.0.self_attn.q_proj.lora_A.default.weight"]
    assert (query.algorithm, query.view) == ("muon", PLAIN)
    assert re.search(naming("LoRA A", RANK), query.reason)


def test_what_is_no_matrix_of_its_own_goes_to_adamw() -> None:
    settings: dict[str, Any] = {"use_dora": True, "modules_to_save": ["lm_head"]}
    plan = planned(adapted("llama_gqa", target_modules=["q_proj", "embed_tokens"], **settings))
    magnitudes = plan["model.layers.0.self_attn.q_proj.lora_magnitude_vector.default.weight"]
    assert (magnitudes.algorithm, magnitudes.decays) == ("adamw", False)
    assert re.search(naming("DoRA"), magnitudes.reason)
    for letter in "AB":
        embedding = plan[f"model.embed_tokens.lora_embedding_{letter}.default"]
        assert embedding.algorithm == "adamw"
        assert re.search(naming("embedding"), embedding.reason)
    head = plan["lm_head.modules_to_save.default.weight"]
    assert head.algorithm == "adamw"
    assert re.search(naming("output head"), head.reason)


def test_magnitudes_of_convolutions_do_not_decay_either() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 8))
    tuned: Any = get_peft_model(model, LoraConfig(r=2, target_modules=["0", "2"], use_dora=True))
    plan = planned(tuned)
    assert len(plan["0.lora_magnitude_vector.default.weight"].shape) == 4
    assert not plan["0.lora_magnitude_vector.default.weight"].decays
    assert [plan[f"0.lora_{letter}.default.weight"].algorithm for letter in "AB"] == ["adamw", "adamw"]
    assert [plan[f"2.lora_{letter}.default.weight"].algorithm for letter in "AB"] == ["muon", "muon"]


def test_copies_and_adapters_of_fused_weights_are_cut_as_these() -> None:
    config = Phi3Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, pad_token_id=0
    )
    copied: Any = get_peft_model(
        Phi3ForCausalLM(config),
        LoraConfig(r=2, target_modules=["o_proj"], modules_to_save=["qkv_proj", "gate_up_proj"]),
    )
    views = {p.name.removeprefix("base_model.model.model.layers.0."): p.view for p in MuonClip(copied).plan}
    assert views["self_attn.qkv_proj.modules_to_save.default.weight"].sections == (32, 32, 32)
    assert views["mlp.gate_up_proj.modules_to_save.default.weight"].sections == (48, 48)
    tuned: Any = get_peft_model(Phi3ForCausalLM(config), LoraConfig(r=2, target_modules="all-linear"))
    views = {p.name.removeprefix("base_model.model.model.layers.0."): p.view for p in MuonClip(tuned).plan}
    assert views["self_attn.qkv_proj.lora_B.default.weight"].sections == (32, 32, 32)
    assert views["mlp.gate_up_proj.lora_B.default.weight"].sections == (48, 48)


def test_both_factors_of_a_routers_adapter_go_the_routers_way() -> None:
    model = nn.ModuleDict({"router": nn.Linear(8, 4, bias=False), "up": nn.Linear(8, 8)})
    model.config = PretrainedConfig(num_experts=4)  # type: ignore[assignment]
    tuned: Any = get_peft_model(model, LoraConfig(r=2, target_modules=["router", "up"]))  # type: ignore[arg-type]
    plan = planned(tuned)
    for letter in "AB":
        factor = plan[f"router.lora_{letter}.default.weight"]
        assert factor.algorithm == "adamw"
        assert re.search(naming("router"), factor.reason)
    assert [plan[f"up.lora_{letter}.default.weight"].algorithm for letter in "AB"] == ["muon", "muon"]


def test_other_parameters_are_no_factors() -> None:
    model = adapted("llama_gqa", target_modules=["q_proj"])
    assert read_lora_factor(model, "base_model.model.lm_head.weight", {}) is None


def test_overrides_give_a_factor_another_algorithm_or_rate() -> None:
    overrides = {"*lora_A*": {"algorithm": "adamw"}, "*lora_B*": {"lr": 3e-3}}
    optimizer = MuonClip(adapted("llama_gqa", target_modules="all-linear"), lr=1e-3, group_overrides=overrides)
    algorithms = {(".lora_B." in p.name, p.algorithm) for p in optimizer.plan}
    assert algorithms == {(False, "adamw"), (True, "muon")}
    rates = {group["algorithm"]: group["lr"] for group in optimizer.param_groups}
    assert rates == {"adamw": 1e-3, "muon": 3e-3}
    assert re.search(naming("LoRA A", RANK, "*lora_A*", "algorithm=adamw"), str(optimizer))


@pytest.mark.parametrize("rank", [2, 16])
def test_both_factors_move_by_the_rms_of_adamw_whatever_the_rank(rank: int) -> None:
    model: Any = get_peft_model(nn.Sequential(nn.Linear(64, 96)), LoraConfig(r=rank, target_modules=["0"]))
    exact: dict[str, Any] = {"weight_decay": 0.0, "ns_steps": 8, "ns_dtype": "float32", "qk_clip_threshold": None}
    optimizer = MuonClip(model, lr=1e-2, **exact)
    before = {path: p.detach().clone() for path, p in model.named_parameters() if p.requires_grad}
    for seed, path in enumerate(before):
        parameter = model.get_parameter(path)
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    optimizer.step()
    moved = [model.get_parameter(path) - weight for path, weight in before.items()]
    assert [float(change.square().mean().sqrt()) for change in moved] == pytest.approx([0.2 * 1e-2] * 2, rel=1e-2)
