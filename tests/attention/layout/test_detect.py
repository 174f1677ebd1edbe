"""Detection finds the attention modules of a model, whatever wraps it, and of a config; it refuses what has none."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from census_models import CENSUS, census_batch, census_model, skip_absent
from error_messages import naming
from own_attention import HEADS, Functional, LooksUp, Mixer, OwnLayer, Scripted, own_model, own_tokens
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hf_muonclip import MuonClip, capture_max_logits, detect_head_layout, verify_head_layout
from hf_muonclip.attention.modules.find import is_cross_attention
from hf_muonclip.kimi_k2 import kimi_k2_config


def tiny_config(model_type: str, **overrides: Any) -> PretrainedConfig:
    skip_absent(model_type)
    entry = CENSUS[model_type]
    fields = json.loads(json.dumps(entry.config))
    return getattr(transformers, entry.config_class)(**{**fields, **overrides})


def tiny_on_meta(model_type: str, **overrides: Any) -> Any:
    skip_absent(model_type)
    with torch.device("meta"):
        return getattr(transformers, CENSUS[model_type].model_class)(tiny_config(model_type, **overrides))


@pytest.mark.parametrize(
    "model_type",
    ["llama", "gpt2", "bart", "t5", "phi3", "gemma3", "deepseek_v3", "qwen3_next", "falcon", "nanochat"],
)
def test_a_config_has_the_layout_of_its_model(model_type: str) -> None:
    of_config, of_model = detect_head_layout(tiny_config(model_type)), detect_head_layout(census_model(model_type))
    assert len(of_config) > 0
    assert dict(of_config) == dict(of_model)
    assert of_config.not_applicable == of_model.not_applicable
    assert of_config.found_by_behavior == of_model.found_by_behavior == ()


def test_a_config_that_names_its_class_is_built_as_that_class() -> None:
    names = list(detect_head_layout(tiny_config("vit", architectures=["ViTForImageClassification"])))
    # Older transformers nests them deeper: vit.encoder.layer.0.attention.attention.
    assert [re.sub(r"encoder\.layer\.(\d)\.attention", r"layers.\1", name) for name in names] == [
        "vit.layers.0.attention",
        "vit.layers.1.attention",
    ]
    assert [f"vit.{name}" for name in detect_head_layout(tiny_config("vit"))] == names


def test_kimi_k2_in_full_size_is_read_from_its_config() -> None:
    layout = detect_head_layout(kimi_k2_config("full"))
    assert list(layout) == [f"model.layers.{index}.self_attn" for index in range(61)]
    for module in layout.values():
        assert (module.kind, module.granularity, module.num_attention_heads, module.head_dim) == (
            "mla",
            "head",
            64,
            192,
        )
        nope, rope, key = module.head_rows
        assert (nope.parameter, nope.role, nope.rows[63]) == ("q_b_proj.weight", "query", range(12096, 12224))
        assert (rope.role, rope.rows[63]) == ("query of shared key", range(12224, 12288))
        assert (key.parameter, key.role, key.rows[63]) == ("kv_b_proj.weight", "key", range(16128, 16256))


@pytest.mark.parametrize(
    ("model_type", "sizes", "message"),
    [
        ("llama", {"num_key_value_heads": 3}, naming("q_proj", 4, 16, "k_proj", 3)),
        ("olmo2", {"num_key_value_heads": 3}, naming("q_proj", 4, 16, "k_proj", 3)),
    ],
)
def test_heads_that_do_not_divide_are_refused_from_a_config(
    model_type: str, sizes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        detect_head_layout(tiny_config(model_type, **sizes))
    assert "model.layers.0.self_attn" in str(refusal.value)
    assert "qk_clip_threshold=None" in str(refusal.value)


@pytest.mark.parametrize("model_type", ["segformer", "conditional_detr", "parakeet_ctc", "videoprism_vision_model"])
def test_what_only_running_tells_is_found_on_pixels_and_sounds_of_the_stated_sizes(model_type: str) -> None:
    model = census_model(model_type)
    layout = detect_head_layout(model)
    assert layout.found_by_behavior
    given = detect_head_layout(model, inputs=census_batch(model_type, model))
    assert layout == given


@pytest.mark.parametrize("model_type", ["timesfm", "granite_speech"])
def test_what_no_random_input_reaches_is_found_on_the_given_inputs(model_type: str) -> None:
    model = census_model(model_type)
    with pytest.raises(ValueError, match=naming("inputs=")):
        MuonClip(model)
    inputs = census_batch(model_type, model)
    optimizer = MuonClip(model, inputs=inputs)
    assert optimizer.layout is not None
    assert optimizer.layout.found_by_behavior
    optimizer.add_param_group({"params": [("added", nn.Parameter(torch.ones(4, 4)))]})  # looks for attention again


@pytest.mark.parametrize(
    ("model_type", "sizes", "named"),
    [
        ("gpt2", {"n_head": 5}, ("GPT2Config", "num_heads")),
        ("bert", {"num_attention_heads": 5}, ("BertConfig", "(64)", "(5)")),
        ("llama", {"num_key_value_heads": 0}, ("LlamaConfig", "zero")),
    ],
)
def test_a_config_of_which_no_model_can_be_built_is_refused(
    model_type: str, sizes: dict[str, Any], named: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        detect_head_layout(tiny_config(model_type, **sizes))


def doubly_wrapped(model: nn.Module) -> Any:
    return torch.compile(nn.DataParallel(model))


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, doubly_wrapped])
def test_wrappers_leave_no_trace_in_the_names(wrap: Callable[[nn.Module], Any]) -> None:
    model = census_model("llama")
    plain = detect_head_layout(model)
    wrapped = wrap(model)
    assert any(not name.startswith("model.") for name, _ in wrapped.named_parameters())
    layout = detect_head_layout(wrapped)
    assert list(layout) == ["model.layers.0.self_attn", "model.layers.1.self_attn"]
    assert dict(layout) == dict(plain)


@pytest.mark.parametrize(
    ("model_type", "attention", "other", "reason"),
    [
        ("qwen3_next", "model.layers.1.self_attn", "model.layers.0.linear_attn", "Qwen3NextGatedDeltaNet"),
        ("jamba", "model.layers.1.self_attn", "model.layers.0", "Jamba"),
    ],
)
def test_the_other_layers_of_a_hybrid_are_listed_with_a_reason(
    model_type: str, attention: str, other: str, reason: str
) -> None:
    layout = detect_head_layout(tiny_on_meta(model_type))
    assert list(layout) == [attention]
    ((name, why),) = layout.not_applicable.items()
    assert name.startswith(other)
    assert why.startswith(reason)
    assert re.search(naming(name, why), str(layout).splitlines()[-1])


@pytest.mark.parametrize("model_type", ["falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"])
def test_a_type_without_softmax_attention_is_refused(model_type: str) -> None:
    message = naming("QK-Clip", CENSUS[model_type].model_class, "qk_clip_threshold=None")
    for model in (tiny_on_meta(model_type), tiny_config(model_type)):
        with pytest.raises(ValueError, match=message):
            detect_head_layout(model)


def test_layers_may_have_head_counts_of_their_own() -> None:
    few, many = detect_head_layout(tiny_on_meta("laguna", num_attention_heads_per_layer=[4, 8])).values()
    assert (few.num_attention_heads, few.num_key_value_heads, few.head_dim) == (4, 2, 16)
    assert (many.num_attention_heads, many.num_key_value_heads, many.head_dim) == (8, 2, 16)
    assert (len(few.head_rows[0].rows), len(many.head_rows[0].rows)) == (4, 8)


def test_layers_may_have_a_head_width_of_their_own() -> None:
    sliding, full = detect_head_layout(tiny_on_meta("gemma4_text", per_layer_config={"1": {"head_dim": 32}})).values()
    assert (sliding.head_dim, full.head_dim) == (16, 32)
    assert [each.num_attention_heads for each in (sliding, full)] == [4, 4]
    assert [each.head_rows[0].rows for each in (sliding, full)] == [(range(16),) * 4, (range(32),) * 4]


@pytest.mark.parametrize(("model_type", "own", "cross"), [("bart", 2, "encoder_attn"), ("t5", 4, "EncDecAttention")])
def test_cross_attention_is_told_by_its_name(model_type: str, own: int, cross: str) -> None:
    model = tiny_on_meta(model_type)
    kinds = {name: is_cross_attention(name, model.get_submodule(name)) for name in detect_head_layout(model)}
    assert sorted(kinds.values()) == [False] * own + [True] * 2
    assert all(name.endswith(cross) for name, crosses in kinds.items() if crosses)


class OddAttention(nn.Module):
    """Self-attention whose parts have names that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.is_causal = True
        self.seek, self.offer, self.carry, self.gather = (nn.Linear(32, 32) for _ in range(4))

    def forward(self, hidden: Tensor) -> Tensor:
        parts = (self.seek, self.offer, self.carry)
        query, key, value = (part(hidden).unflatten(-1, (4, 8)).transpose(1, 2) for part in parts)
        return self.gather(self.mix(query, key, value).flatten(2))

    def mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        raise NotImplementedError


class OddInterfaceAttention(OddAttention):
    def mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attend = ALL_ATTENTION_FUNCTIONS.get_interface("sdpa", None)
        return attend(self, query, key, value, None, scaling=8**-0.5, dropout=0.0)[0]


class OddMatmulAttention(OddAttention):
    num_heads = 4  # nothing else tells which dimension of its scores are the heads

    def mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = torch.matmul(query, key.transpose(-1, -2)) * 8**-0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, torch.finfo(scores.dtype).min)
        return torch.matmul(torch.softmax(scores, dim=-1), value).transpose(1, 2)


class OddModel(nn.Module):
    def __init__(self, attention_class: type[OddAttention]) -> None:
        super().__init__()
        self.words, self.mixes = nn.Embedding(50, 32), nn.ModuleList(attention_class() for _ in range(2))

    def get_input_embeddings(self) -> nn.Embedding:
        return self.words

    def forward(self, input_ids: Tensor, **_: Any) -> Tensor:
        hidden = self.words(input_ids)
        for mix in self.mixes:
            hidden = hidden + mix(hidden)
        return hidden


@pytest.mark.parametrize("attention_class", [OddInterfaceAttention, OddMatmulAttention])
def test_a_module_of_ones_own_with_odd_names_is_found_by_behavior(attention_class: type[OddAttention]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = OddModel(attention_class)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layout = detect_head_layout(model)
    assert layout.found_by_behavior == tuple(layout) == ("mixes.0", "mixes.1")
    for module in layout.values():
        assert (module.kind, module.num_attention_heads, module.granularity) == ("as it behaves", 4, "head")
        roles = {rows.parameter: rows.role for rows in module.head_rows}
        query, key = dict.fromkeys(("seek.weight", "seek.bias"), "query"), {"offer.weight": "key", "offer.bias": "key"}
        assert roles == query | key
        assert all(rows.rows == tuple(range(8 * h, 8 * h + 8) for h in range(4)) for rows in module.head_rows)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    verify_head_layout(model, layout)
    with pytest.raises(ValueError, match=naming(attention_class.__name__, "load the model")):
        detect_head_layout(model.to("meta"))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("kind", [LooksUp, Mixer, Functional])
def test_attention_outside_of_the_interface_is_found_by_running_and_clipped(
    kind: type[OwnLayer], native: bool, implementation: str
) -> None:
    model = own_model(kind, native=native, attn_implementation=implementation)
    optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=1.0, exact_max_logits=True)
    assert list(optimizer.max_logits) == []
    layer: OwnLayer = model.layers[0]  # type: ignore[assignment]
    for clipped in (False, True):
        layer.truth.fill_(-torch.inf)
        model(own_tokens(), labels=own_tokens()).loss.backward()
        optimizer.step()
        assert list(optimizer.max_logits) == ["layers.0"] + ["native.self_attn"] * native
        torch.testing.assert_close(optimizer.max_logits["layers.0"], layer.truth, rtol=1e-5, atol=1e-5)
        if clipped:
            torch.testing.assert_close(layer.truth, torch.ones(HEADS), rtol=1e-4, atol=1e-5)
        else:
            assert layer.truth.min() > 2


def test_without_weights_the_code_of_a_module_and_of_its_functions_tells() -> None:
    for kind in (LooksUp, Functional):
        model = own_model(kind).to("meta")
        model.get_input_embeddings = lambda: None  # type: ignore[method-assign, assignment, return-value]
        assert list(detect_head_layout(model)) == ["layers.0"]


def test_what_attends_and_cannot_be_measured_is_refused_by_its_true_name() -> None:
    message = naming("layers.0", "Scripted", "qk_clip_threshold=None")
    with pytest.raises(ValueError, match=message):
        detect_head_layout(own_model(Scripted, native=True))


def test_an_option_that_leaves_the_interface_is_measured() -> None:
    model = census_model("gpt2", reorder_and_upcast_attn=True).train()
    tokens = torch.randint(0, 100, (2, 8), generator=torch.Generator().manual_seed(0))
    states: dict[str, Tensor] = {}
    attention = model.transformer.h[0].attn
    handle = attention.c_attn.register_forward_hook(lambda module, args, out: states.update(out=out.detach()))
    with capture_max_logits(model) as logits:
        model(tokens, labels=tokens)
        measured = dict(logits)
    handle.remove()
    q, k, _ = states["out"].double().chunk(3, dim=-1)
    q, k = (s.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for s in (q, k))
    scores = (q @ k.mT * attention.head_dim**-0.5).masked_fill(torch.ones(8, 8).triu(1).bool(), -torch.inf)
    expected = scores.amax(dim=(0, 2, 3)).float()
    assert len(measured) == 2
    torch.testing.assert_close(measured["transformer.h.0.attn"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("own_ends", ["before", "after"])
def test_scores_beside_those_of_the_interface_are_not_measured(own_ends: str) -> None:
    model = own_model(LooksUp, attn_implementation="sdpa")
    (layer,) = model.layers
    through_interface = layer.attend

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        if own_ends == "before":
            torch.softmax(100 * q @ k.mT, dim=-1)
        out = through_interface(q, k, v, mask)
        if own_ends == "after":
            torch.softmax(100 * q @ k.mT, dim=-1)
        return out

    layer.attend = attend  # type: ignore[method-assign]
    with capture_max_logits(model) as logits:
        model(own_tokens(), labels=own_tokens())
        measured = dict(logits)
    torch.testing.assert_close(measured["layers.0"], layer.truth, rtol=1e-5, atol=1e-5)
