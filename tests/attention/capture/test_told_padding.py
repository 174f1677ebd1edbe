"""What a model was told of its padding holds for that forward alone, by whichever way a forward enters."""

import copy
import pickle
from typing import Any

import pytest
import torch
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedModel
from true_logits import brute_force

from hf_muonclip import capture_max_logits
from hf_muonclip.attention import MaxLogitCapture
from hf_muonclip.attention.capture.told_padding import ToldPadding
from hf_muonclip.attention.modules.find import attention_modules

BATCH, LENGTH = 2, 12


def sharp(name: str = "llama_gqa") -> PreTrainedModel:
    model = tiny_model(name).train()
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if path.endswith(("q_proj.weight", "q_b_proj.weight")):
                parameter.mul_(40)
    return model


def batch(model: nn.Module, seed: int, real: int = LENGTH) -> dict[str, Tensor]:
    """Return a batch of one shape, of which only the first tokens of the last sequence are no padding."""
    tokens = random_batch(model, batch_size=BATCH, seed=seed)["input_ids"][:, :LENGTH]
    mask = torch.ones_like(tokens)
    mask[-1, real:] = 0
    return {"input_ids": tokens, "attention_mask": mask}


def assert_same(found: Any, truth: dict[str, Tensor]) -> None:
    assert set(found) == set(truth)
    for name, values in truth.items():
        torch.testing.assert_close(found[name].double(), values, rtol=1e-5, atol=1e-6)


class Sees(nn.Module):
    """A forward inside of a model, which keeps the padding that it is told of."""

    def __init__(self, told: "list[Any]") -> None:
        super().__init__()
        self.told = told
        self.seen: list[Tensor | None] = []

    def forward(self, states: Tensor) -> Tensor:
        self.seen.append(self.told[0].padding)
        return states


def followed() -> tuple[PreTrainedModel, ToldPadding, list[Tensor | None]]:
    """Return a model, what follows it, and the padding that its first layer's attention output saw, call by call."""
    model, holder = tiny_model("llama_gqa").train(), []
    sees = Sees(holder)
    layer = model.model.layers[0]
    layer.input_layernorm = nn.Sequential(layer.input_layernorm, sees)
    holder.append(ToldPadding(model))
    return model, holder[0], sees.seen


@pytest.mark.parametrize("before", ["no gradients", "gradients", "an exception", "the encoder alone"])
def test_a_forward_of_the_base_model_knows_its_own_padding(before: str) -> None:
    model = sharp()
    padded, full = batch(model, 1, real=4), batch(model, 0)
    truth = brute_force(model, padded)
    with capture_max_logits(model) as logits:
        with logits.pause():
            if before == "no gradients":
                with torch.no_grad():
                    model(**full)
            elif before == "an exception":
                with pytest.raises(IndexError):
                    model(input_ids=full["input_ids"] + 1000, attention_mask=full["attention_mask"])
            elif before == "gradients":
                model(**full).logits.sum().backward()
            else:
                model.model(**full)
        model.model(**padded)
        assert_same(logits, truth)


def test_every_way_to_enter_tells_and_ends() -> None:
    model, told, seen = followed()
    padded = batch(model, 0, real=5)
    tokens, mask = padded["input_ids"], padded["attention_mask"]
    expected = mask == 0
    entries = (
        lambda: model(tokens, mask),  # by position
        lambda: model(**padded),
        lambda: model.model(tokens, mask),
        lambda: nn.DataParallel(model)(**padded),  # on a CPU it calls the model
        lambda: model(inputs_embeds=model.get_input_embeddings()(tokens), attention_mask=mask),
    )
    for enter in entries:
        enter()
        assert torch.equal(seen[-1], expected)
        assert told.forward is None
    for untold in ({}, {"attention_mask": None}, {"attention_mask": torch.ones(2, 1, LENGTH, LENGTH).tril().bool()}):
        model(input_ids=tokens, **untold)
        assert seen[-1] is None
    told.close()
    model(**padded)
    assert seen[-1] is None


def test_a_forward_inside_of_a_forward_leaves_the_outer_one_as_it_was() -> None:
    model, told, seen = followed()
    outer, inner = batch(model, 0, real=5), batch(model, 1, real=8)

    def enter_again(*_: Any) -> None:
        handle.remove()
        with torch.no_grad():
            model(**inner)

    handle = model.model.embed_tokens.register_forward_hook(enter_again)
    model(**outer)
    assert torch.equal(seen[0], inner["attention_mask"] == 0)
    assert torch.equal(seen[1], outer["attention_mask"] == 0)
    assert told.forward is None


def test_an_exception_in_any_depth_ends_its_forward() -> None:
    model, told, _ = followed()
    padded = batch(model, 0, real=5)

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle")

    for place in (model.model.layers[1].mlp, model.model.layers[1], model.model, model):
        for register in (place.register_forward_pre_hook, place.register_forward_hook):
            for prepend in (False, True):
                handle = register(fail, prepend=prepend)
                with pytest.raises(RuntimeError, match="in the middle"):
                    model(**padded)
                handle.remove()
                assert told.forward is None


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_checkpoint_repeats_the_forward_that_it_belongs_to(use_reentrant: bool, order: tuple[int, ...]) -> None:
    model, told, seen = followed()
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    batches = [batch(model, seed, real) for seed, real in enumerate((5, LENGTH, 9))]
    losses = [model(**each).logits.float().square().mean() for each in batches]
    with torch.no_grad():
        model(**batch(model, 3, real=2))
    del seen[:]
    for index in order:
        losses[index].backward()
    if use_reentrant:
        assert all(
            torch.equal(padding, batches[index]["attention_mask"] == 0)
            for padding, index in zip(seen, order, strict=True)
        )
    assert told.forward is None


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_micro_batches_in_flight_are_measured_each_with_its_own_padding(use_reentrant: bool) -> None:
    model = sharp()
    batches = [batch(model, seed, real) for seed, real in enumerate((4, LENGTH, 8))]
    truths = [brute_force(model, each) for each in batches]
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    capture = MaxLogitCapture(attention_modules(model), training_only=True, model=model)
    try:
        for loss in [model(**each).logits.square().mean() for each in batches]:
            loss.backward()
        assert_same(capture, {name: torch.stack([truth[name] for truth in truths]).amax(0) for name in truths[0]})
    finally:
        capture.close()


def test_an_encoder_and_its_decoder_each_know_their_own() -> None:
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=64,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=32,
    )
    model = BartForConditionalGeneration(config).train()
    told = ToldPadding(model)
    seen: dict[str, Tensor | None] = {}
    for name in ("encoder", "decoder"):
        layer = model.get_submodule(f"model.{name}.layers.0.self_attn")
        layer.register_forward_pre_hook(lambda *_, name=name: seen.update({name: told.padding}))
    tokens = torch.randint(1, 64, (BATCH, LENGTH))
    mask, decoder_mask = torch.ones_like(tokens), torch.ones_like(tokens)
    mask[0, 5:] = 0
    decoder_mask[1, 7:] = 0
    model(input_ids=tokens, attention_mask=mask, decoder_input_ids=tokens, decoder_attention_mask=decoder_mask)
    assert torch.equal(seen["encoder"], mask == 0)
    assert torch.equal(seen["decoder"], decoder_mask == 0)
    model(input_ids=tokens, attention_mask=mask, decoder_input_ids=tokens)
    assert torch.equal(seen["encoder"], mask == 0)
    assert seen["decoder"] is None  # the encoder's mask says nothing of it
    model.get_encoder()(tokens, attention_mask=decoder_mask)
    assert torch.equal(seen["encoder"], decoder_mask == 0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_not_followed(copied: Any) -> None:
    model, told = tiny_model("llama_gqa"), None
    told = ToldPadding(model)
    twin = copied(model)
    hook = twin.model.register_forward_hook(lambda *_: states.append(told.forward))
    states: list[Any] = []
    twin(**batch(model, 0, real=5))
    hook.remove()
    assert states == [None]
