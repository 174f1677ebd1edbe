"""Every adapter method of PEFT trains as its plan says, or is refused by its name with advice that fits."""

import dataclasses
import re
from typing import Any

import peft
import pytest
import torch
from error_messages import naming
from peft import PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from tiny_models import random_batch, tiny_model

from hf_muonclip import MuonClip, detect_head_layout
from hf_muonclip.optim.matrix_view import MatrixView

TARGETS = ["q_proj", "up_proj"]
# What the smallest model asks of a method's settings, by field.
SETTINGS: dict[str, Any] = {
    "total_step": 10,
    "oft_block_size": 8,
    "boft_block_size": 8,
    "n_frequency": 10,
    "vector_length": 8,
    "block_size": 8,
    "group_size": 16,
    "n_tasks": 2,
    "effective_rank": 4,
    "num_virtual_tokens": 4,
}
# Its matrices -> the shapes that Muon orthogonalizes, (count, out, in), of q_proj (64, 64).
MATRICES: dict[str, dict[str, tuple[int, int, int]]] = {
    "ADALORA": {"lora_A": (1, 12, 64), "lora_B": (1, 64, 12)},
    "DEFT": {"deft_P": (1, 64, 8), "deft_R": (1, 8, 64)},
    "DELORA": {"delora_A": (1, 8, 64), "delora_B": (1, 64, 8)},
    "GRALORA": {"gralora_A": (2, 32, 32), "gralora_B": (2, 32, 32)},
    "HIRA": {"hira_A": (1, 32, 64), "hira_B": (1, 64, 32)},
    "LOHA": {"hada_w1_a": (1, 64, 8), "hada_w1_b": (1, 8, 64), "hada_w2_a": (1, 64, 8), "hada_w2_b": (1, 8, 64)},
    "LOKR": {"lokr_w1": (1, 8, 8), "lokr_w2": (1, 8, 8)},
    "OSF": {"U_low": (1, 64, 60), "V_low": (1, 60, 64)},
    "POLY": {"poly_lora_A": (4, 8, 64), "poly_lora_B": (4, 64, 8)},
}
NO_MATRICES = [
    "IA3",
    "VERA",
    "FOURIERFT",
    "PROMPT_TUNING",
    "PREFIX_TUNING",
    "SHIRA",
    "ROAD",
    "HRA",
    "OFT",
    "BOFT",
    "RANDLORA",
]
FORWARD_OF_THEIR_OWN = {"POLY", "SHADOW"}  # task numbers, states of another class
WITH_OTHER_NEEDS = {"ADAMSS", "XLORA", "FROD"}  # scikit-learn, an adapter to mix, a decomposition of the whole model


def adapted(method: str) -> PeftModel:
    if method not in peft.PeftType.__members__:
        pytest.skip(f"peft {peft.__version__} has no {method}")
    config_class = PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(method)]
    fields = {field.name for field in dataclasses.fields(config_class)}
    settings = {name: value for name, value in SETTINGS.items() if name in fields}
    if "target_modules" in fields:
        settings["target_modules"] = TARGETS
    if "num_virtual_tokens" in fields or method in ("CPT", "ADAPTION_PROMPT"):
        settings["task_type"] = "CAUSAL_LM"
    if method == "CPT":
        settings |= {"cpt_token_ids": [1, 2, 3, 4], "cpt_tokens_type_mask": [1, 2, 2, 4]}
    elif method == "ADAPTION_PROMPT":
        settings = {"adapter_len": 4, "adapter_layers": 1, "task_type": "CAUSAL_LM"}
    elif method == "IA3":
        settings["feedforward_modules"] = []
    elif method == "TRAINABLE_TOKENS":
        settings = {"token_indices": [1, 2], "target_modules": ["embed_tokens"]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return get_peft_model(tiny_model("llama_mha", num_hidden_layers=1), config_class(**settings)).train()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", sorted({m.value for m in PEFT_TYPE_TO_CONFIG_MAPPING} - WITH_OTHER_NEEDS))
def test_every_method_trains_or_is_refused_by_its_name(method: str) -> None:
    model = adapted(method)
    refusal, optimizer = "", None
    try:
        optimizer = MuonClip(model, lr=0.01)
    except ValueError as error:
        refusal = str(error)
    if optimizer is None:
        assert re.search(naming(method, "AdamW"), refusal)
        assert method not in MATRICES
        return
    assert method not in NO_MATRICES
    if method in FORWARD_OF_THEIR_OWN:
        return
    for _ in range(2):  # the second factor has a gradient once the first has moved
        model(**random_batch(model.get_base_model())).loss.backward()
        optimizer.step()
    assert optimizer.updates == 2
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", MATRICES)
def test_the_factors_of_every_low_rank_method_are_matrices(method: str) -> None:
    optimizer = MuonClip(adapted(method), lr=0.01)
    found = {}
    for planned in optimizer.plan:
        if "q_proj" in planned.name and planned.algorithm == "muon":
            (own,) = [part for part in MATRICES[method] if part in planned.name.split(".")]
            (found[own],) = planned.view.matrix_shapes(planned.shape)
            assert own in planned.reason
    assert found == MATRICES[method]


@pytest.mark.filterwarnings("ignore")
def test_both_sides_of_a_factored_kronecker_product_are_matrices() -> None:
    config = peft.LoKrConfig(r=2, target_modules=TARGETS, decompose_both=True)
    optimizer = MuonClip(get_peft_model(tiny_model("llama_mha", num_hidden_layers=1), config))
    reasons = {p.name.split(".")[-2]: p.reason for p in optimizer.plan if "q_proj" in p.name and p.algorithm == "muon"}
    assert reasons.keys() == {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"}
    assert all(re.search(naming(name, 2), reason) for name, reason in reasons.items())


def test_the_rows_of_a_factor_are_those_of_its_base() -> None:
    from transformers import Phi3Config, Phi3ForCausalLM

    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "pad_token_id": 0}
    model = Phi3ForCausalLM(Phi3Config(**sizes, num_attention_heads=2, num_key_value_heads=2))
    optimizer = MuonClip(get_peft_model(model, peft.LoHaConfig(r=4, target_modules=["gate_up_proj"])))
    views = {p.name.split(".")[-2]: p.view for p in optimizer.plan if p.algorithm == "muon"}
    assert views["hada_w1_a"] == views["hada_w2_a"] == MatrixView(sections=(48, 48))
    assert views["hada_w1_b"] == MatrixView()


@pytest.mark.filterwarnings("ignore")
def test_a_method_without_matrices_beside_one_with_them_trains() -> None:
    model = adapted("IA3")
    model.base_model.model.model.layers[0].mlp.down_proj.weight.requires_grad_(True)
    algorithms = {planned.algorithm for planned in MuonClip(model).plan}
    assert algorithms == {"muon", "adamw"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("method", "said"), [("LOHA", "loha"), ("VERA", "vera"), ("IA3", "ia3"), ("DELORA", "delora")])
def test_the_clip_names_the_method_that_it_only_monitors(method: str, said: str) -> None:
    for layout in detect_head_layout(adapted(method)).values():
        assert layout.granularity == "monitored"
        assert re.search(rf"q_proj.*{said}", layout.note)


@pytest.mark.filterwarnings("ignore")
def test_adalora_lands_on_the_threshold_with_its_base() -> None:
    model = adapted("ADALORA")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_E" in name:
                parameter.fill_(0.5)
    assert all("AdaLoRA" in layout.note for layout in detect_head_layout(model).values())
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=0.01, scale_lora_base=True, exact_max_logits=True)
    for _ in range(2):
        model(**random_batch(model.get_base_model())).loss.backward()
        optimizer.step()
    for maxima in optimizer.max_logits.values():
        torch.testing.assert_close(maxima, torch.full_like(maxima, 0.01), atol=0.0, rtol=1e-4)
