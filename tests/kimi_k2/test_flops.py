"""Operations by arithmetic against operations that torch counts, the paper's figure, and every refusal."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from error_messages import naming
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, DynamicCache, LlamaConfig
from transformers.models.deepseek_v3 import modeling_deepseek_v3

from hf_muonclip.kimi_k2 import PRESETS, count_parameters, kimi_k2_config
from hf_muonclip.kimi_k2 import flops as module
from hf_muonclip.kimi_k2.flops import (
    KIMI_K2_ACTIVE,
    Flops,
    decode_flops,
    head_costs,
    main,
    mean_keys,
    prefill_flops,
    sizes_of,
    token_flops,
    training_flops,
)

# Every size another one, so that none can stand in for a second.
TINY = {
    "vocab_size": 72,
    "hidden_size": 40,
    "num_hidden_layers": 5,
    "num_attention_heads": 3,
    "q_lora_rank": 28,
    "kv_lora_rank": 18,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "intermediate_size": 52,
    "moe_intermediate_size": 24,
    "n_routed_experts": 7,
    "num_experts_per_tok": 2,
    "bos_token_id": None,
    "eos_token_id": None,
}
VARIANTS = {
    "Kimi K2's form": {},
    "two dense layers, two shared experts": {"first_k_dense_replace": 2, "n_shared_experts": 2},
    "no dense layer, whole queries": {"first_k_dense_replace": 0, "q_lora_rank": None},
    "tied embeddings": {"tie_word_embeddings": True},
    "no experts": {"first_k_dense_replace": 5},
}


def tiny_config(**overrides: object) -> DeepseekV3Config:
    return kimi_k2_config("nano", **(TINY | overrides))


def tiny_model(config: DeepseekV3Config) -> DeepseekV3ForCausalLM:
    """Return a model whose products all are ones that FlopCounterMode knows: it has no formula for grouped_mm."""
    torch.manual_seed(0)
    model = DeepseekV3ForCausalLM(config).eval()
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    return model


def counted_parts(counter: FlopCounterMode) -> dict[str, int]:
    """Return what was counted, by the names of Flops; scores and values, two products of one module, as one."""
    parts = dict.fromkeys(
        ("projections", "pairs", "dense_mlp", "router", "experts", "shared_experts", "output_head"), 0
    )
    for name, by_product in counter.get_flop_counts().items():
        path, products = name.split("."), sum(by_product.values())
        if path[-1] == "self_attn":
            parts["pairs"] += products
        elif path[-2:-1] == ["self_attn"]:
            parts["projections"] += products
            parts["pairs"] -= products
        elif path[-2:] == ["mlp", "gate"]:
            parts["router"] += products
        elif path[-2:] == ["mlp", "experts"]:
            parts["experts"] += products
        elif path[-1] == "shared_experts":
            parts["shared_experts"] += products
        elif path[-2:-1] == ["mlp"] and path[-1].endswith("_proj"):
            parts["dense_mlp"] += products
        elif path[-1] == "lm_head":
            parts["output_head"] += products
    assert sum(parts.values()) == total_flops(counter)
    return parts


def total_flops(counter: FlopCounterMode) -> int:
    """Return what was counted, without rotary angles, which some versions compute as a product."""
    angles = [sum(p.values()) for name, p in counter.get_flop_counts().items() if name.endswith("rotary_emb")]
    return counter.get_total_flops() - sum(angles)


def by_part(flops: Flops) -> dict[str, float]:
    parts = dict(vars(flops))
    return parts | {"pairs": parts.pop("scores") + parts.pop("values")}


def count(run: Callable[[], object]) -> FlopCounterMode:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_forward_is_what_torch_counts_part_by_part(overrides: dict[str, object]) -> None:
    config = tiny_config(**overrides)
    model, ids = tiny_model(config), torch.randint(0, 72, (2, 11))
    with torch.no_grad():
        counter = count(lambda: model(input_ids=ids, use_cache=False))
    # Eager attention multiplies the whole square: every token meets all 11 keys.
    assert counted_parts(counter) == by_part(token_flops(config, 11) * 22)


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[pytest.mark.slow] if name == "full" else []) for name in PRESETS]
)
def test_every_preset_is_what_torch_counts(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Older transformers asks torch for autocast on the meta device, which has none.
    monkeypatch.setattr(modeling_deepseek_v3, "maybe_autocast", lambda **options: nullcontext(), raising=False)
    config = kimi_k2_config(preset)
    with torch.device("meta"):
        model = DeepseekV3ForCausalLM(config)
        model.set_attn_implementation("eager")
        model.set_experts_implementation("batched_mm")  # eager experts look at values, which meta tensors lack
        ids, mask = torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 1, 3, 3)
        with torch.no_grad():
            counter = count(lambda: model(input_ids=ids, attention_mask=mask, use_cache=False))
    assert counted_parts(counter) == by_part(token_flops(config, 3) * 3)


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_training_takes_three_times_the_forward(overrides: dict[str, object]) -> None:
    config = tiny_config(**overrides)
    model, ids = tiny_model(config).train(), torch.randint(0, 72, (2, 11))
    counter = count(lambda: model(input_ids=ids, labels=ids, use_cache=False).loss.backward())
    assert total_flops(counter) == training_flops(config, 22, 11, causal=False).total


def test_decoding_with_a_cache_is_what_torch_counts() -> None:
    config = tiny_config()
    model, ids, cache = tiny_model(config), torch.randint(0, 72, (1, 11)), DynamicCache(config=config)
    with torch.no_grad():
        prefill = count(lambda: model(input_ids=ids[:, :-1], past_key_values=cache, logits_to_keep=1))
        decode = count(lambda: model(input_ids=ids[:, -1:], past_key_values=cache))
    assert counted_parts(prefill) == by_part(prefill_flops(config, 10, causal=False))
    # transformers kept heads' own keys and values in its cache before it kept latents there.
    holds_latents = cache.layers[0].keys.shape[-1] == config.kv_lora_rank
    mla = "expanded again" if holds_latents else "expanded"
    assert counted_parts(decode) == by_part(decode_flops(config, 11, mla))


def absorbed_pairs(
    query: Tensor, latents: Tensor, rotated: Tensor, up_key: Tensor, up_value: Tensor, scaling: float
) -> Tensor:
    """Attend in latent space (arXiv 2405.04434, section 2.1.2).

    Args:
        query: (heads, nope + rope) of one token.
        latents: (keys, kv_lora).
        rotated: (keys, rope), the key that heads share.
        up_key: (heads, nope, kv_lora).
        up_value: (heads, v, kv_lora).
        scaling: of scores.

    Returns:
        (heads, v).
    """
    nope = up_key.shape[1]
    turned = torch.bmm(query[:, None, :nope], up_key).squeeze(1)
    scores = torch.cat([turned, query[:, nope:]], dim=-1) @ torch.cat([latents, rotated], dim=-1).T
    mixed = (scores * scaling).softmax(-1) @ latents
    return torch.bmm(up_value, mixed[..., None]).squeeze(-1)


def test_absorbed_attention_is_the_same_function_at_the_counted_cost() -> None:
    sizes = sizes_of(tiny_config(num_hidden_layers=1))
    heads, keys, generator = sizes.num_attention_heads, 9, torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    query = draw(heads, sizes.qk_nope_head_dim + sizes.qk_rope_head_dim)
    latents, rotated = draw(keys, sizes.kv_lora_rank), draw(keys, sizes.qk_rope_head_dim)
    up_key = draw(heads, sizes.qk_nope_head_dim, sizes.kv_lora_rank)
    up_value = draw(heads, sizes.v_head_dim, sizes.kv_lora_rank)

    def expanded() -> Tensor:
        key = torch.cat([latents @ up_key.mT, rotated.expand(heads, -1, -1)], dim=-1)
        weights = (torch.bmm(key, query[..., None]).squeeze(-1) * 0.1).softmax(-1)
        return torch.bmm(weights[:, None], latents @ up_value.mT).squeeze(1)

    def absorbed() -> Tensor:
        return absorbed_pairs(query, latents, rotated, up_key, up_value, 0.1)

    torch.testing.assert_close(absorbed(), expanded(), atol=1e-12, rtol=1e-12)
    for run, mla in ((expanded, "expanded again"), (absorbed, "absorbed")):
        flops = token_flops(sizes, keys, mla)
        others = token_flops(sizes, keys).projections - 2 * up_key.numel() - 2 * up_value.numel()
        assert count(run).get_total_flops() == flops.projections - others + flops.scores + flops.values


@pytest.mark.parametrize("preset", PRESETS)
def test_weights_are_twice_the_active_matrices(preset: str) -> None:
    config = kimi_k2_config(preset)
    with torch.device("meta"):
        model = DeepseekV3ForCausalLM(config)
    gains = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 1)
    active = count_parameters(config)[1] - gains - config.vocab_size * config.hidden_size
    assert token_flops(config, 1).weights == 2 * active


def test_causal_means_are_those_of_every_token() -> None:
    config = tiny_config()
    every = [token_flops(config, keys) for keys in range(1, 14)]
    assert training_flops(config, 13, 13).total == 3 * sum(flops.total for flops in every)
    prefill = prefill_flops(config, 13)
    assert prefill.output_head == every[0].output_head
    assert prefill.total - prefill.output_head == sum(flops.total - flops.output_head for flops in every)
    assert mean_keys(1) == 1


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        # 2 x 32.6B held fixed, all keys counted, causal mean, absorbed, expanded again
        (4096, [1.136, 1.282, 1.228, 1.461, 1.988]),
        (32768, [1.557, 1.636, 1.493, 1.845, 1.998]),
        (128_000, [1.831, 1.862, 1.763, 1.954, 2.000]),
        (131_072, [1.834, 1.865, 1.767, 1.955, 2.000]),
    ],
)
def test_the_papers_figure_for_128_heads_and_what_else_it_could_be(context: int, expected: list[float]) -> None:
    costs = head_costs(kimi_k2_config("full"), 128, context, KIMI_K2_ACTIVE)
    assert [cost.ratio for cost in costs] == pytest.approx(expected, abs=5e-4)


def test_weights_count_the_output_head_and_not_the_embedding() -> None:
    flops = token_flops(kimi_k2_config("full"), 1)
    assert flops.weights == pytest.approx(2 * 31.7e9, rel=1e-3)
    assert flops.weights - flops.output_head == pytest.approx(2 * 30.5e9, rel=1e-3)


def test_the_papers_figure_by_hand() -> None:
    pairs = 61 * 2 * (128 + 64 + 128) * 128_000  # of one head, in all layers
    papers = head_costs(kimi_k2_config("full"), 128, 128_000, KIMI_K2_ACTIVE)[0]
    assert (papers.before, papers.after) == (2 * 32.6e9 + 64 * pairs, 2 * 32.6e9 + 128 * pairs)
    own = head_costs(kimi_k2_config("full"), 128, 128_000)[0]
    assert own.ratio == pytest.approx(1.835, abs=5e-4)


def test_a_file_counts_as_its_config(tmp_path: Path) -> None:
    config = tiny_config()
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert sizes_of(written) == sizes_of(config)
    assert token_flops(written | {"model_type": "kimi_k2", "moe_layer_freq": 1}, 5) == token_flops(config, 5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "llama"}, naming("model_type", "'llama'")),
        ({"model_type": None}, naming("model_type", None)),
        ({"hidden_size": 0}, naming("hidden_size", 0)),
        ({"v_head_dim": "16"}, naming("v_head_dim", "'16'")),
        ({"n_shared_experts": None}, naming("n_shared_experts", None)),
        ({"first_k_dense_replace": 6}, naming("num_hidden_layers = 5", 6)),
        ({"num_experts_per_tok": 8}, naming("n_routed_experts = 7", 8)),
        ({"moe_layer_freq": 2}, naming("moe_layer_freq", 1, 2)),
    ],
)
def test_other_configurations_are_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sizes_of(tiny_config().to_dict() | changed)


def test_incomplete_and_foreign_configurations_are_refused() -> None:
    given = tiny_config().to_dict()
    del given["kv_lora_rank"]
    with pytest.raises(ValueError, match=naming("'kv_lora_rank'")):
        token_flops(given, 5)
    with pytest.raises(ValueError, match=naming("'llama'")):
        token_flops(LlamaConfig(), 5)


def test_senseless_contexts_forms_and_heads_are_refused() -> None:
    config = tiny_config()
    with pytest.raises(ValueError, match=naming("keys", 1)):
        decode_flops(config, 0)
    for flops in (lambda: training_flops(config, 10, 0), lambda: prefill_flops(config, 0)):
        with pytest.raises(ValueError, match=naming("context", 1)):
            flops()
    with pytest.raises(ValueError, match=naming("mla", '"expanded"')):
        token_flops(config, 5, "naive")
    with pytest.raises(ValueError, match=naming("heads", 0)):
        head_costs(config, 0, 5)


def test_the_command_prints_the_papers_figure_beside_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    lines = {line.strip().partition("  ")[0]: line.split() for line in said.splitlines()}
    assert re.search(naming(128, 64), said)
    assert lines["2 x 32.6B held fixed, all keys"][-4:] == ["+13.6%", "+55.7%", "+83.1%", "+83.4%"]
    assert lines["absorbed decode"][-2] == "+95.4%"
    assert lines["output head"][-4:] == ["2.35"] * 4


def test_the_command_reads_a_config_and_says_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_config().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    main([str(path), "--contexts", "64", "--heads", "5"])
    said = capsys.readouterr().out
    assert re.search(naming(5, 3), said)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    for name, why in (
        ("nothing.json", "must be a config.json or one of the presets"),
        ("list.json", "must hold a JSON object"),
        ("broken.json", "Expecting property name"),
    ):
        with pytest.raises(SystemExit):
            main([str(tmp_path / name)])
        assert why in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--heads", "0"])
    assert re.search(naming("heads", 1), capsys.readouterr().err)


def test_the_arithmetic_needs_no_torch(tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    script = (
        "import importlib.util, json, sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "spec = importlib.util.spec_from_file_location('flops', sys.argv[1])\n"
        "flops = importlib.util.module_from_spec(spec); sys.modules['flops'] = flops; spec.loader.exec_module(flops)\n"
        "print(flops.token_flops(json.load(open(sys.argv[2])), 5).total)\n"
    )
    command = [sys.executable, "-c", script, str(module.__file__), str(tmp_path / "config.json")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(printed) == token_flops(tiny_config(), 5).total
