"""YaRN on a live model: it equals one loaded with the new config, and the clip's capture sees the same."""

import copy
import math
from pathlib import Path
from typing import Any

import census_models
import pytest
import torch
import transformers
from error_messages import naming
from reference import max_logits
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from hf_muonclip import capture_max_logits
from hf_muonclip.kimi_k2 import (
    PRESETS,
    Phase,
    TokenSchedule,
    apply_context_,
    extend_context_,
    kimi_k2_config,
    kimi_k2_schedule,
)

ORIGINAL, EXTENDED = 128, 4096
FACTOR = 32
MSCALE = 0.1 * math.log(FACTOR) + 1


def qwen3() -> PreTrainedModel:
    sizes = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 16}
    torch.manual_seed(0)
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": ORIGINAL}
    return Qwen3ForCausalLM(Qwen3Config(**sizes, **heads, rope_theta=10000.0))


def build(name: str) -> PreTrainedModel:
    return (qwen3() if name == "qwen3" else tiny_model(name)).eval()


def loaded_again(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    model.save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def derived(model: nn.Module) -> dict[str, Any]:
    """Every number, word and buffer of every module."""
    found: dict[str, Any] = dict(model.named_buffers())
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute[0] != "_" and attribute != "name_or_path" and isinstance(value, int | float | str):
                found[f"{name}.{attribute}"] = value
    return found


def assert_same_model(live: PreTrainedModel, fresh: PreTrainedModel, length: int = 300) -> None:
    ours, theirs = derived(live), derived(fresh)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        same = torch.equal(ours[name], value) if isinstance(value, Tensor) else ours[name] == value
        assert same, (name, ours[name], value)
    batch = random_batch(live, 1, length)
    with torch.no_grad():
        assert torch.equal(live(**batch).logits, fresh(**batch).logits)


@pytest.mark.parametrize("name", ["deepseek_v3", "deepseek_v3_full_q", "llama_gqa", "qwen3", "mixtral"])
def test_an_extended_model_equals_one_loaded_from_its_checkpoint(name: str, tmp_path: Path, one_thread: None) -> None:
    model = build(name)
    batch = random_batch(model, 1, 100)
    before = model(**batch).logits
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    extend_context_(model, EXTENDED)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    fresh = loaded_again(model, tmp_path)
    assert fresh.config.max_position_embeddings == EXTENDED
    assert fresh.config.rope_parameters == model.config.rope_parameters
    assert_same_model(model, fresh)
    assert not torch.allclose(before, model(**batch).logits, rtol=1e-3, atol=1e-3)


def test_the_published_rope_parameters_come_out() -> None:
    """From what Kimi K2 was trained with to what its checkpoint says, in transformers' own form."""
    rope = {"rope_type": "default", "rope_theta": 50000.0}
    config = kimi_k2_config("nano", max_position_embeddings=4096, rope_parameters=rope)
    with torch.device("meta"):
        model = transformers.DeepseekV3ForCausalLM(config)
    said = extend_context_(model, 131072)
    assert said == model.config.rope_parameters == PRESETS["full"]["rope_parameters"]
    assert model.config.max_position_embeddings == PRESETS["full"]["max_position_embeddings"]
    assert model.model.layers[0].self_attn.scaling == pytest.approx((128 + 64) ** -0.5 * MSCALE**2, rel=1e-12)


def yarn_frequencies(dim: int, theta: float) -> Tensor:
    """arXiv 2309.00071, with beta_fast = beta_slow = 1: a frequency is kept or divided, with one between the two."""
    turn = dim * math.log(ORIGINAL / (2 * math.pi)) / (2 * math.log(theta))  # where it turns once in the original
    low, high = max(math.floor(turn), 0), min(math.ceil(turn), dim - 1)
    found = []
    for index in range(dim // 2):
        frequency = theta ** (-2 * index / dim)
        divided = min(max((index - low) / (high - low), 0.0), 1.0)
        found.append(frequency * (1 - divided) + frequency / FACTOR * divided)
    return torch.tensor(found, dtype=torch.float64)


def test_frequencies_are_yarns() -> None:
    model = build("llama_gqa")
    extend_context_(model, EXTENDED)
    rotary = model.model.rotary_emb
    torch.testing.assert_close(rotary.inv_freq.double(), yarn_frequencies(16, 10000.0), rtol=1e-6, atol=0)
    assert 0 < (rotary.inv_freq != build("llama_gqa").model.rotary_emb.inv_freq).sum() < 8


def test_the_temperature_comes_through_the_scaling_of_mla_and_through_the_rotation_elsewhere() -> None:
    """Kimi K2's mscale fields on Llama would leave its softmax without YaRN's temperature, in silence."""
    mla = build("deepseek_v3")
    plain = mla.model.layers[0].self_attn.scaling
    rope = extend_context_(mla, EXTENDED)
    assert (rope["mscale"], rope["mscale_all_dim"]) == (1.0, 1.0)
    assert mla.model.layers[0].self_attn.scaling == pytest.approx(plain * MSCALE**2, rel=1e-12)
    assert mla.model.rotary_emb.attention_scaling == 1.0
    llama = build("llama_gqa")
    rope = extend_context_(llama, EXTENDED)
    assert "mscale" not in rope
    assert llama.model.layers[0].self_attn.scaling == 16**-0.5
    assert llama.model.rotary_emb.attention_scaling == pytest.approx(MSCALE, rel=1e-12)


def mla_operands(model: PreTrainedModel, batch: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return query and key (batch, heads, length, dim) of every layer in float64, rotated by hand."""
    inputs: list[Tensor] = []
    handles = [
        layer.self_attn.register_forward_pre_hook(
            lambda module, args, kwargs: inputs.append(kwargs["hidden_states"]), with_kwargs=True
        )
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(**batch)
    for handle in handles:
        handle.remove()
    model = copy.deepcopy(model).double()
    angles = torch.arange(batch["input_ids"].shape[1])[:, None] * yarn_frequencies(8, 10000.0)

    def rotated(states: Tensor) -> Tensor:
        # DeepSeek's pairs are neighbours; the order of dimensions is the same for q and k and does not matter.
        even, odd = states[..., 0::2], states[..., 1::2]
        return torch.cat((even * angles.cos() - odd * angles.sin(), even * angles.sin() + odd * angles.cos()), -1)

    operands = []
    for layer, hidden in zip(model.model.layers, inputs, strict=True):
        attention, hidden = layer.self_attn, hidden.double()
        query = attention.q_b_proj(attention.q_a_layernorm(attention.q_a_proj(hidden)))
        query = query.unflatten(-1, (4, 24)).transpose(1, 2)
        latent, key_rope = attention.kv_a_proj_with_mqa(hidden).split([16, 8], -1)
        key = attention.kv_b_proj(attention.kv_a_layernorm(latent)).unflatten(-1, (4, 32)).transpose(1, 2)[..., :16]
        key_rope = rotated(key_rope)[:, None].expand(-1, 4, -1, -1)
        operands.append((torch.cat((query[..., :16], rotated(query[..., 16:])), -1), torch.cat((key, key_rope), -1)))
    return operands


def test_max_logits_after_the_extension_are_those_of_brute_force() -> None:
    """With YaRN's frequencies and mscale² written by hand: QK-Clip would otherwise miss its threshold by 1.8 times."""
    model = build("deepseek_v3")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_b_proj.weight.mul_(8)
    extend_context_(model, EXTENDED)
    batch = random_batch(model, 1, 200)  # more than the model could read before
    with torch.no_grad(), capture_max_logits(model) as measured:
        model(**batch)
        found = dict(measured)
    truth = mla_operands(model, batch)
    allowed = torch.ones(1, 200, 200, dtype=torch.bool).tril()
    assert len(found) == len(truth) == 3
    for (query, key), got in zip(truth, found.values(), strict=True):
        wanted = max_logits(query, key, 24**-0.5 * MSCALE**2, allowed)
        torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-5)


def test_a_second_call_changes_nothing_and_a_further_one_counts_from_the_same_original(tmp_path: Path) -> None:
    model = build("deepseek_v3")
    rope = extend_context_(model, 1024)
    before = {name: copy.deepcopy(value) for name, value in derived(model).items()}
    assert extend_context_(model, 1024) == rope
    for name, value in derived(model).items():
        assert torch.equal(value, before[name]) if isinstance(value, Tensor) else value == before[name], name
    rope = extend_context_(model, EXTENDED)
    assert (rope["original_max_position_embeddings"], rope["factor"]) == (ORIGINAL, FACTOR)
    assert_same_model(model, loaded_again(model, tmp_path))


def test_a_config_changed_by_hand_is_made_good(tmp_path: Path) -> None:
    """Rope parameters set on a live model's config alone do nothing, in silence; the function must not believe them."""
    model, wanted = build("deepseek_v3"), build("deepseek_v3")
    rope = extend_context_(wanted, EXTENDED)
    model.config.max_position_embeddings = EXTENDED
    model.config.rope_parameters = dict(rope)
    extend_context_(model, EXTENDED)
    assert_same_model(model, wanted)


def test_a_model_cast_to_bfloat16_gets_frequencies_in_full_precision(tmp_path: Path) -> None:
    """`model.bfloat16()` rounds them too, which a model loaded in bfloat16 does not."""
    model = build("deepseek_v3").bfloat16()
    assert model.model.rotary_emb.inv_freq.dtype == torch.bfloat16
    extend_context_(model, EXTENDED)
    model.save_pretrained(tmp_path)
    fresh = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    assert_same_model(model, fresh)


def test_buffers_keep_their_place_and_the_random_state_its_value() -> None:
    model = build("llama_gqa")
    buffer, state = model.model.rotary_emb.inv_freq, torch.get_rng_state()
    extend_context_(model, EXTENDED)
    assert model.model.rotary_emb.inv_freq is buffer
    assert torch.equal(torch.get_rng_state(), state)


def test_a_wrapped_model_is_extended_inside() -> None:
    inner = build("llama_gqa")
    compiled = torch.compile(inner, backend="eager")
    extend_context_(compiled, EXTENDED)
    wanted = build("llama_gqa")
    extend_context_(wanted, EXTENDED)
    assert_same_model(inner, wanted)


def bloom() -> PreTrainedModel:
    return transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=128, hidden_size=64, n_layer=1, n_head=4))


@pytest.mark.parametrize(
    ("model", "lengths", "message"),
    [
        (lambda: nn.Linear(2, 2), (EXTENDED,), naming("PreTrainedModel", "Linear")),
        (bloom, (EXTENDED,), naming("BloomForCausalLM", "rope_parameters")),
        (lambda: tiny_model("llama_mha"), (ORIGINAL,), naming(128)),
        (lambda: tiny_model("llama_mha"), (64, 256), naming(256, 64)),
        (
            lambda: tiny_model(
                "llama_mha",
                rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
            ),
            (EXTENDED,),
            naming("LlamaForCausalLM", "'linear'"),
        ),
        (lambda: tiny_model("gpt_oss"), (EXTENDED, 64), naming(32, 64)),
    ],
)
def test_what_cannot_be_extended_is_refused_and_left_alone(model: Any, lengths: tuple[int, ...], message: str) -> None:
    model = model()
    before = {name: copy.deepcopy(value) for name, value in derived(model).items()}
    config = str(getattr(model, "config", None))
    with pytest.raises(ValueError, match=message):
        extend_context_(model, *lengths)
    assert str(getattr(model, "config", None)) == config
    for name, value in derived(model).items():
        assert torch.equal(value, before[name]) if isinstance(value, Tensor) else value == before[name], name


def test_a_schedule_extends_a_model_where_its_context_first_grows() -> None:
    schedule = kimi_k2_schedule(1e6, context_length=64)
    model = build("deepseek_v3")
    assert apply_context_(model, schedule, 0) == 64
    assert model.config.rope_parameters["rope_type"] == "default"
    assert apply_context_(model, schedule, 999_999) == 512
    assert model.config.max_position_embeddings == 64 * 32
    assert model.config.rope_parameters["factor"] == 32.0
    assert model.config.rope_parameters["original_max_position_embeddings"] == 64  # that of training, not the config's
    frequencies = model.model.rotary_emb.inv_freq.clone()
    model.model.rotary_emb.inv_freq.zero_()  # a second call is cheap: it builds nothing again
    assert apply_context_(model, schedule, 999_999) == 512
    assert not model.model.rotary_emb.inv_freq.any()
    extend_context_(model, 64 * 32)
    assert torch.equal(model.model.rotary_emb.inv_freq, frequencies)


def test_a_phase_longer_than_the_model_is_refused() -> None:
    schedule = TokenSchedule((Phase("short", 10, 1.0, context_length=64), Phase("long", 10, 1.0, context_length=512)))
    model = build("deepseek_v3")
    assert apply_context_(model, schedule, 9) == 64
    with pytest.raises(ValueError, match=naming("'long'", 512, 128, "final_context_length")):
        apply_context_(model, schedule, 10)


CAUSAL = [name for name, entry in census_models.CENSUS.items() if entry.causal]


@pytest.mark.slow
def test_every_causal_model_is_extended_right_or_refused(one_thread: None) -> None:
    """Of all causal types: constructed again from the new config, the model computes the same; or nothing changed."""
    extended, refused = [], []
    for name in CAUSAL:
        model = census_models.census_model(name).eval()
        config: Any = model.config
        before = {key: copy.deepcopy(value) for key, value in derived(model).items()}
        said = str(config)
        try:
            extend_context_(model, 4 * max(getattr(config, "max_position_embeddings", 0) or 0, 64))
        except ValueError:
            refused.append(name)
            assert str(model.config) == said, name
            assert derived(model).keys() == before.keys(), name
            continue
        saved = type(config).from_dict(config.to_dict())
        saved._attn_implementation = config._attn_implementation
        fresh = type(model)(saved).eval()
        fresh.load_state_dict(model.state_dict())
        ids = torch.randint(3, 100, (1, 24), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            ours, theirs = (m(input_ids=ids, use_cache=False).logits for m in (model, fresh))
        assert torch.equal(ours, theirs), name
        extended.append(name)
    assert len(extended) >= 85
    assert {"deepseek_v2", "deepseek_v3", "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"} <= {*extended}
    assert {"bloom", "gpt2", "gemma3_text"} <= {*refused}
