"""The proof passes for every right layout and fails, by name, for every wrong one."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import TINY_MODEL_NAMES, tiny_model
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers.modeling_utils import AttentionInterface

from hf_muonclip import detect_head_layout, verify_head_layout
from hf_muonclip.attention import AttentionLayout, HeadLayout, HeadRows

FIRST = "model.layers.0.self_attn"


def runnable_implementations(name: str) -> tuple[str, ...]:
    return ("eager",) if name == "gpt_oss" else ("eager", "sdpa")  # SDPA has no attention sinks


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_every_detected_layout_is_proven_and_the_model_left_as_it_was(name: str, dtype: torch.dtype) -> None:
    for implementation in runnable_implementations(name):
        model = tiny_model(name, attn_implementation=implementation).to(dtype)
        model.model.layers[1].eval()
        modes = {key: module.training for key, module in model.named_modules()}
        before = {key: value.clone() for key, value in model.state_dict().items()}
        random_state = torch.get_rng_state()
        original = AttentionInterface.get_interface
        started = time.perf_counter()
        verify_head_layout(model, detect_head_layout(model))
        assert time.perf_counter() - started < 2
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        assert {key: module.training for key, module in model.named_modules()} == modes
        assert torch.equal(torch.get_rng_state(), random_state)
        assert all(parameter.grad is None for parameter in model.parameters())
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert AttentionInterface.get_interface is original
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_float64_and_odd_head_counts_are_proven() -> None:
    model = tiny_model("llama_mha", hidden_size=56, num_attention_heads=7, num_key_value_heads=7, head_dim=8).double()
    verify_head_layout(model, detect_head_layout(model))


def change_rows(
    parameter: str, change: Callable[[tuple[range, ...]], tuple[range, ...]]
) -> Callable[[AttentionLayout], AttentionLayout]:
    def changed(layout: AttentionLayout) -> AttentionLayout:
        assert any(rows.parameter == parameter for rows in layout.head_rows)
        head_rows = tuple(
            replace(rows, rows=change(rows.rows)) if rows.parameter == parameter else rows for rows in layout.head_rows
        )
        return replace(layout, head_rows=head_rows)

    return changed


def change_all_rows(change: Callable[[HeadRows], HeadRows | None]) -> Callable[[AttentionLayout], AttentionLayout]:
    def changed(layout: AttentionLayout) -> AttentionLayout:
        head_rows = tuple(rows for rows in map(change, layout.head_rows) if rows is not None)
        assert head_rows != layout.head_rows
        return replace(layout, head_rows=head_rows)

    return changed


def swap_first_two(rows: tuple[range, ...]) -> tuple[range, ...]:
    return (rows[1], rows[0], *rows[2:])


def shift_by_one(rows: tuple[range, ...]) -> tuple[range, ...]:
    return (range(rows[0].start + 1, rows[0].stop + 1), *rows[1:])


def shorten(rows: tuple[range, ...]) -> tuple[range, ...]:
    return (*rows[:-1], rows[-1][:-1])


def swap_roles(rows: HeadRows) -> HeadRows:
    return replace(rows, role="query" if rows.role == "query of shared key" else "query of shared key")


SHARED_KEYS = HeadRows("k_proj.weight", (range(0, 16), range(0, 16), range(16, 32), range(16, 32)), "key")
WRONG = {
    "swapped heads": ("llama_mha", change_rows("q_proj.weight", swap_first_two), "head 0", r"q_proj\.weight.*16-31"),
    "swapped keys": ("llama_mha", change_rows("k_proj.weight", swap_first_two), "head 0", r"k_proj\.weight.*16-31"),
    "swapped heads everywhere": (
        "llama_mha",
        change_all_rows(lambda rows: replace(rows, rows=swap_first_two(rows.rows))),
        "head 0",
        r"q_proj\.weight.*16-31",
    ),
    "swapped heads of one key": (
        "llama_gqa",
        change_rows("q_proj.weight", swap_first_two),
        "head 0",
        r"q_proj\.weight.*16-31",
    ),
    "shifted rows": ("llama_mqa", change_rows("q_proj.weight", shift_by_one), "head 0", r"q_proj\.weight.*1-16"),
    "a row too few": ("llama_gqa", change_rows("q_proj.weight", shorten), "head 3", r"q_proj\.weight.*48-62"),
    "missing bias": (
        "qwen2",
        change_all_rows(lambda rows: None if rows.parameter == "q_proj.bias" else rows),
        "head 0",
        r"rows 0-15 of q_proj\.bias, and the layout names none",
    ),
    "missing keys": (
        "llama_mha",
        change_all_rows(lambda rows: None if rows.role == "key" else rows),
        "head 0",
        r"should shrink to 0\.25.*q_proj\.weight 0-15 \(query\)",
    ),
    "shared keys scaled": (
        "llama_gqa",
        lambda layout: replace(layout, head_rows=(*layout.head_rows, SHARED_KEYS)),
        "head 0",
        r"k_proj\.weight 0-15 \(key\)",
    ),
    "wrong role": ("llama_gqa", change_all_rows(swap_roles), "head 0", r"q_proj\.weight 0-15 \(query\)"),
    "wrong role of owned keys": ("llama_mha", change_all_rows(swap_roles), "head 0", r"0-15 \(query of shared key\)"),
    "the rotary part as if it owned its key": (
        "deepseek_v3",
        change_all_rows(lambda rows: replace(rows, role="query") if rows.role == "query of shared key" else rows),
        "head 0",
        r"q_b_proj\.weight 16-23 \(query\)",
    ),
    "values among the keys": (
        "deepseek_v3_full_q",
        change_rows("kv_b_proj.weight", lambda rows: tuple(range(r.start, r.start + 32) for r in rows)),
        "head 0",
        r"rows 0-15 of kv_b_proj\.weight, and the layout names 0-31",
    ),
    "rotary rows of the query forgotten": (
        "deepseek_v3",
        change_all_rows(lambda rows: None if rows.role == "query of shared key" else rows),
        "head 0",
        r"rows 0-23 of q_b_proj\.weight, and the layout names 0-15",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_layout_fails_with_module_head_and_rows(wrong: str) -> None:
    name, change, head, rows = WRONG[wrong]
    model = tiny_model(name)
    right = detect_head_layout(model)
    last = list(right)[-1]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    layout = HeadLayout({**right, last: change(right[last])})
    with pytest.raises(ValueError, match=rf"(?s)^{head} of {last} .*{rows}"):
        verify_head_layout(model, layout)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    verify_head_layout(model, right)  # and nothing was left behind


def test_key_weights_that_are_also_the_values_fail() -> None:
    model = tiny_model("llama_mha")
    attention: Any = model.get_submodule(FIRST)
    attention.v_proj.weight = attention.k_proj.weight
    with pytest.raises(ValueError, match=naming(FIRST, "values")):
        verify_head_layout(model, detect_head_layout(model))


@pytest.mark.parametrize(("query_heads", "key_heads"), [(2, 2), (4, 1), (8, 2)])
def test_wrong_head_counts_fail(query_heads: int, key_heads: int) -> None:
    model = tiny_model("llama_gqa")
    layout = detect_head_layout(model)
    wrong = replace(layout[FIRST], num_attention_heads=query_heads, num_key_value_heads=key_heads)
    message = naming(4, 2, query_heads, key_heads)
    with pytest.raises(ValueError, match=message):
        verify_head_layout(model, HeadLayout({FIRST: wrong}))


def test_a_renamed_projection_fails() -> None:
    model = tiny_model("llama_gqa")
    layout = detect_head_layout(model)
    attention: Any = model.get_submodule(FIRST)
    attention.query = attention.q_proj
    del attention.q_proj
    with pytest.raises(ValueError, match=naming("q_proj.weight", FIRST, "query")):
        verify_head_layout(model, layout)


def test_rows_beyond_the_end_fail() -> None:
    model = tiny_model("llama_gqa")
    layout = detect_head_layout(tiny_model("llama_gqa", head_dim=32))
    with pytest.raises(ValueError, match=naming("row 127", "q_proj.weight", 64)):
        verify_head_layout(model, layout)


def test_the_meta_device_is_refused() -> None:
    config = tiny_model("llama_gqa").config
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    with pytest.raises(ValueError, match=naming("weights", "meta")):
        verify_head_layout(model, detect_head_layout(model))


def test_a_module_that_does_not_run_is_not_proven() -> None:
    model = tiny_model("llama_gqa")
    model.spare = tiny_model("llama_gqa").get_submodule(FIRST)
    layout = detect_head_layout(model)
    assert "spare" in layout
    with pytest.raises(ValueError, match=naming("spare")):
        verify_head_layout(model, layout)
    verify_head_layout(model, HeadLayout({name: layout[name] for name in layout if name != "spare"}))


def test_a_model_without_one_token_embedding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama_gqa")
    monkeypatch.setattr(model, "get_input_embeddings", lambda: nn.ModuleList())
    with pytest.raises(ValueError, match=naming("LlamaForCausalLM", "ModuleList")):
        verify_head_layout(model, detect_head_layout(model))


def test_weights_are_restored_when_the_model_fails_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model: PreTrainedModel = tiny_model("llama_mha")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attention, calls = model.get_submodule(FIRST), []
    forward = attention.forward

    def fails_at_the_fourth_call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            assert any(not torch.equal(value, before[key]) for key, value in model.state_dict().items())
            raise RuntimeError("half way")
        return forward(*args, **kwargs)

    monkeypatch.setattr(attention, "forward", fails_at_the_fourth_call)
    with pytest.raises(RuntimeError, match="half way"):
        verify_head_layout(model, detect_head_layout(model))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
