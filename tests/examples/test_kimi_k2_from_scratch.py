"""The small Kimi K2 that is written to be read computes what transformers' own class computes, and trains as told."""

import importlib.util
import re
import runpy
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from processes import run_script
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DeepseekV3ForCausalLM, PreTrainedTokenizerFast

from hf_muonclip import MuonClip

FOLDER = Path(__file__).parents[2] / "examples" / "kimi_k2_from_scratch"
STORIES = (FOLDER / "stories.txt").read_text(encoding="utf-8").strip().split("\n\n")
TAU = 1.0


def load(name: str) -> ModuleType:
    """Import a file of the example under a name that no other example's file has."""
    spec = importlib.util.spec_from_file_location(f"kimi_k2_from_scratch_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


written, by_hand, words = load("model"), load("qk_clip"), load("tokenizer")


def both(dtype: torch.dtype = torch.float32, **overrides: Any) -> tuple[DeepseekV3ForCausalLM, nn.Module]:
    """Return transformers' model and the written one with the same weights; every gain and bias away from its start."""
    real = tiny_model("deepseek_v3", initializer_range=0.2, experts_implementation="eager", **overrides).to(dtype)
    told = {field.name: getattr(real.config, field.name, None) for field in fields(written.KimiK2Config)}
    told["rope_theta"] = real.config.rope_parameters["rope_theta"]
    ours = written.KimiK2(written.KimiK2Config(**told)).to(dtype)
    ours.load_state_dict(real.state_dict())
    return real, ours


@pytest.mark.parametrize(
    ("dtype", "attention", "tolerance", "padding"),
    [
        (torch.float32, "sdpa", 1e-5, "left"),
        (torch.float32, "eager", 1e-5, "left"),
        (torch.float32, "eager", 1e-5, "right"),
        # In float64 transformers' own eager attention gives nan to the rows of padding on the left.
        (torch.float64, "eager", 1e-10, "none"),
        (torch.float64, "eager", 1e-10, "right"),
    ],
)
def test_logits_loss_and_gradients_are_those_of_transformers(
    dtype: torch.dtype, attention: str, tolerance: float, padding: str
) -> None:
    real, ours = both(dtype, attn_implementation=attention)
    batch = random_batch(real, batch_size=3, length=20, padding=padding)
    expected, found = real(**batch), ours(**batch)
    attended = batch["attention_mask"].bool()
    torch.testing.assert_close(found.logits[attended], expected.logits[attended], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found.loss, expected.loss.to(found.loss), atol=tolerance, rtol=tolerance)
    expected.loss.backward()
    found.loss.backward()
    theirs = dict(real.named_parameters())
    assert [name for name, _ in ours.named_parameters()] == list(theirs)
    for name, parameter in ours.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        torch.testing.assert_close(
            parameter.grad, theirs[name].grad, atol=tolerance, rtol=tolerance, msg=lambda said, at=name: f"{at}: {said}"
        )


def test_a_state_dict_of_one_loads_into_the_other() -> None:
    real, ours = both()
    theirs = real.state_dict()
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == {n: t.shape for n, t in theirs.items()}
    fresh = written.KimiK2(ours.config)
    again = fresh.to_transformers(eos_token_id=2)
    assert again.config.eos_token_id == 2
    batch = random_batch(real)["input_ids"]
    torch.testing.assert_close(again(batch).logits, fresh(batch).logits, atol=1e-5, rtol=1e-5)
    again.load_state_dict(ours.state_dict())
    torch.testing.assert_close(again(batch).logits, real(batch).logits, atol=1e-6, rtol=1e-6)


def test_tied_embeddings_are_one_matrix() -> None:
    real, ours = both(tie_word_embeddings=True)
    assert ours.lm_head.weight is ours.model.embed_tokens.weight
    batch = random_batch(real)["input_ids"]
    torch.testing.assert_close(ours(batch).logits, real(batch).logits, atol=1e-5, rtol=1e-5)


def test_the_router_chooses_by_the_bias_and_weighs_without_it() -> None:
    real, ours = both()
    experts = real.model.layers[1].mlp
    theirs, router = experts.gate, ours.model.layers[1].mlp.gate
    tokens = torch.randn(200, 64, generator=torch.Generator().manual_seed(1))
    seen = []
    for push in (0.0, 10.0):
        for gate in (theirs, router):
            gate.e_score_correction_bias[3] += push
        routed = theirs(tokens)
        if isinstance(routed, Tensor):  # older transformers chooses outside of the router
            routed = routed, *reversed(experts.route_tokens_to_experts(routed))
        _, expected_weights, expected = routed
        chosen, weights = router(tokens)
        order, expected_order = chosen.argsort(dim=-1), expected.argsort(dim=-1)
        assert torch.equal(chosen.gather(1, order), expected.gather(1, expected_order))
        torch.testing.assert_close(weights.gather(1, order), expected_weights.gather(1, expected_order))
        torch.testing.assert_close(weights.sum(dim=-1), torch.full((200,), 2.5))
        seen.append((chosen == 3).any(dim=-1).float().mean().item())
    assert seen[0] < 0.9
    assert seen[1] == 1.0


def test_no_token_sees_what_comes_after_it_or_padding() -> None:
    _, ours = both(torch.float64)
    tokens = torch.randint(3, 128, (1, 12), generator=torch.Generator().manual_seed(0))
    logits = ours(tokens).logits
    changed = tokens.clone()
    changed[0, 8] = (tokens[0, 8] + 1) % 128
    after = ours(changed).logits
    torch.testing.assert_close(after[:, :8], logits[:, :8], atol=1e-12, rtol=1e-12)
    assert (after[:, 8:] - logits[:, 8:]).abs().amax(dim=-1).min() > 1e-3
    # Only distances count, so a text that begins three tokens later reads the same.
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), tokens], dim=1)
    mask = (torch.arange(15) >= 3).long()[None]
    torch.testing.assert_close(ours(padded, mask).logits[:, 3:], logits, atol=1e-4, rtol=1e-4)
    assert (ours(padded).logits[:, 3:] - logits).abs().max() > 1e-2


def test_the_cache_holds_latents_and_changes_nothing() -> None:
    _, ours = both(torch.float64)
    tokens = torch.randint(3, 128, (2, 11), generator=torch.Generator().manual_seed(0))
    cache = written.LatentCache()
    parts = [ours(part, cache=cache).logits for part in tokens.split([5, 1, 1, 4], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), ours(tokens).logits, atol=1e-5, rtol=1e-5)
    assert len(cache) == 11
    kept = sum(part.numel() for layer in cache.layers.values() for part in layer)
    assert kept == 2 * 11 * 3 * (16 + 8)  # sequences, tokens, layers, latent and rotary key


def test_generation_is_decided_by_its_seed() -> None:
    real, ours = both()
    ours.eval()
    prompt = torch.tensor([[5, 17, 90]])

    def generate(seed: int = 0, **settings: Any) -> list[int]:
        return ours.generate(prompt, 20, generator=torch.Generator().manual_seed(seed), **settings)[0].tolist()

    assert generate() == generate()
    assert generate(top_k=5) != generate(seed=1, top_k=5)
    greedy = generate(temperature=0)
    assert generate(seed=1, top_k=1) == greedy
    real.generation_config.eos_token_id = None
    assert real.eval().generate(prompt, max_new_tokens=20, do_sample=False, use_cache=True)[0].tolist() == greedy
    assert generate(temperature=0, eos_token_id=greedy[6]) == greedy[: greedy.index(greedy[6], 3) + 1]


# The clip.


def clipped_run(model: nn.Module, tau: float | None) -> tuple[list[dict[str, Tensor]], MuonClip]:
    """Train a few steps of two micro-batches; return every step's max logits. Clip by hand where tau is None."""
    optimizer = MuonClip(model, lr=0.02, qk_clip_threshold=tau, exact_max_logits=True, ns_dtype="float32")
    seen = []
    for step in range(4):
        for part in range(2):
            batch = random_batch(tiny_batches, batch_size=2, padding=("left", "right")[part], seed=2 * step + part)
            model(**batch).loss.backward()
        optimizer.step()
        seen.append(dict(optimizer.max_logits) if tau is not None else by_hand.qk_clip_(model, TAU))
        optimizer.zero_grad()
    return seen, optimizer


tiny_batches = tiny_model("deepseek_v3")  # only its configuration is used, to draw tokens


def test_the_clip_by_hand_is_the_packages_step_by_step() -> None:
    theirs, ours = both(torch.float64)
    _, package = both(torch.float64)
    expected, of_theirs = clipped_run(theirs, TAU)
    clipped = [bool((logits > TAU).any()) for step in expected for logits in step.values()]
    heads = torch.cat([logits for step in expected for logits in step.values()])
    assert any(clipped)
    assert (heads > TAU).sum() > 5
    assert (heads < TAU).sum() > 5
    for model, tau in ((ours, None), (package, TAU)):
        found, optimizer = clipped_run(model, tau)
        # What updates which parameter, and as which matrices, does not depend on who wrote the model.
        for field in ("name", "algorithm", "decays", "view"):
            assert [getattr(p, field) for p in optimizer.plan] == [getattr(p, field) for p in of_theirs.plan]
        for step, logits in zip(found, expected, strict=True):
            assert step.keys() == logits.keys()
            for name in step:
                torch.testing.assert_close(step[name].float(), logits[name], atol=1e-5, rtol=1e-5)
        weights = model.state_dict()
        for name, weight in theirs.state_dict().items():
            torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=1e-5)


def test_a_clipped_head_lands_on_tau_and_no_other_weight_moves() -> None:
    _, ours = both(torch.float64)
    batch = random_batch(tiny_batches, padding="right")
    ours(**batch)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    first = "model.layers.0.self_attn"
    tau = ours.get_submodule(first).max_logits.sort().values[1:3].mean().item()  # between the second and the third head
    highest = by_hand.qk_clip_(ours, tau)
    over = highest[first] > tau
    assert over.sum() == 2
    moved = {name for name, tensor in ours.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".self_attn.")[-1] for name in moved} == {"q_b_proj.weight", "kv_b_proj.weight"}
    for part, rows in (("q_b_proj", 24), ("kv_b_proj", 32)):
        name = f"{first}.{part}.weight"
        change = (ours.state_dict()[name] - before[name]).view(4, rows, -1).abs().amax(dim=(1, 2))
        assert torch.equal(change > 0, over)
    values = f"{first}.kv_b_proj.weight"
    kept = [tensor[values].view(4, 32, -1)[:, 16:] for tensor in (before, ours.state_dict())]
    assert torch.equal(*kept)
    ours(**batch)  # the first layer's input is the same as before
    landed = ours.get_submodule(first).max_logits
    torch.testing.assert_close(landed[over], torch.full((2,), tau).to(landed), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(landed[~over], highest[first][~over], atol=1e-6, rtol=1e-6)


def test_only_training_counts() -> None:
    _, ours = both()
    batch = random_batch(tiny_batches)
    with torch.no_grad():
        ours(**batch)
    ours.eval()(**batch)
    assert all(torch.isinf(logits).all() for logits in by_hand.qk_clip_(ours, TAU).values())


# The tokenizer.


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return words.train_tokenizer(STORIES)


@pytest.mark.parametrize(
    ("text", "tokens", "decoded"),
    [
        ("Mia RAN.", "mia ran .", "mia ran."),
        ("“Wait!” said Ben.", "“ wait ! ” said ben .", "“wait!” said ben."),
        ('"Wait!" said Ben. "No."', "“ wait ! ” said ben . “ no . ”", "“wait!” said ben. “no.”"),
        ("He didn't, he doesn\N{RIGHT SINGLE QUOTATION MARK}t.", "he didn't , he doesn't .", "he didn't, he doesn't."),
        ("a  bear\n\nwho (soon) slept...", "a bear who ( soon ) slept . . .", "a bear who (soon) slept..."),
        ("Wait; why: no-one?", "wait ; why : no - one ?", "wait; why: no - one?"),
        ("", "", ""),
    ],
)
def test_words_and_punctuation_are_tokens(text: str, tokens: str, decoded: str) -> None:
    trained = words.train_tokenizer([text])
    ids = trained(text)["input_ids"]
    assert trained.convert_ids_to_tokens(ids) == tokens.split()
    assert trained.decode(ids) == decoded
    assert trained(decoded)["input_ids"] == ids


def test_stories_come_back_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(STORIES) > 40
    for story in STORIES:
        ids = tokenizer(story)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == story.lower()


def test_any_tokens_are_found_again_in_what_they_spell(tokenizer: PreTrainedTokenizerFast) -> None:
    draw = torch.Generator().manual_seed(0)
    for _ in range(50):
        ids = torch.randint(2, len(tokenizer), (30,), generator=draw).tolist()
        assert tokenizer(tokenizer.decode(ids))["input_ids"] == ids


def test_frequent_words_come_first_and_rare_ones_are_unknown(tmp_path: Path) -> None:
    trained = words.train_tokenizer(["the cat and the dog", "The cat.", "the end"], vocab_size=4)
    assert trained.convert_ids_to_tokens(range(4)) == ["<unk>", "<|endoftext|>", "the", "cat"]
    ids = trained("The dog<|endoftext|>the cat")["input_ids"]
    assert ids == [2, 0, 1, 2, 3]
    assert trained.decode(ids, skip_special_tokens=True) == "the the cat"
    assert "dog" not in words.train_tokenizer(["the cat and the dog", "the cat"], min_frequency=2).get_vocab()
    trained.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("The dog<|endoftext|>the cat")["input_ids"] == ids
    assert (again.eos_token, again.unk_token, again.decode([2, 3])) == ("<|endoftext|>", "<unk>", "the cat")


# The run.

SETTINGS = ("--steps", 24, "--batch-size", 4, "--length", 48, "--learning-rate", 0.04, "--tau", 1)


@pytest.mark.slow
def test_it_trains_draws_writes_and_opens_in_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As a reader runs it: without the Hub here, so on the stories beside it.
    printed = run_script(FOLDER / "train.py", "--output", "run", *SETTINGS, folder=tmp_path)
    assert "training on stories.txt" in printed
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", printed)]
    assert losses[-1] < losses[0] - 1.5
    clipped = [int(count) for count in re.findall(r"clipped heads +(\d+) of 16", printed)]
    assert clipped[0] == 0
    assert max(clipped) > 0
    assert printed.count("\n\nben had a red kite.") == 1
    with Image.open(tmp_path / "run" / "training.png") as picture:
        assert picture.size == (960, 900)

    folder = tmp_path / "run" / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert isinstance(model, DeepseekV3ForCausalLM)
    biases = [layer.mlp.gate.e_score_correction_bias for layer in model.model.layers[1:]]
    assert all(bias.abs().max() > 0.01 for bias in biases)  # the router was balanced
    inputs = tokenizer("\n".join(STORIES[:8]), return_tensors="pt")
    with torch.no_grad():
        loss = model(input_ids=inputs["input_ids"], labels=inputs["input_ids"]).loss.item()
    assert abs(loss - losses[-1]) < 0.8  # these are the weights that were trained

    # And with the clip by hand: the same run.
    for name, module in (("model", written), ("qk_clip", by_hand), ("tokenizer", words)):
        monkeypatch.setitem(sys.modules, name, module)
    arguments = ("train.py", "--output", tmp_path / "by_hand", "--stories", "embedded", "--clip-by-hand", *SETTINGS)
    monkeypatch.setattr("sys.argv", [*map(str, arguments)])
    runpy.run_path(str(FOLDER / "train.py"), run_name="__main__")
    steps = re.findall(r"step .*", printed)
    assert len(steps) == 24
    assert re.findall(r"step .*", capsys.readouterr().out) == steps
