"""Whose masks mean what: under transformers' own flash attention, and under functions and names of one's own.

The truth is what the attention function itself lets through, noted inside of it.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from error_messages import naming
from flash_on_cpu import NAME as FLASH
from flash_on_cpu import Kernels, flash_kernels
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, MistralConfig, MistralForCausalLM, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, flash_attention_mask, flex_attention_mask, sdpa_mask

from hf_muonclip import MuonClip, capture_max_logits
from hf_muonclip.attention.capture.mask_convention import convention_of_function, registered_convention

LAYER = "model.layers.0.self_attn"
LENGTH = 14


def mistral(implementation: str, window: int | None = None) -> PreTrainedModel:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.4,
        sliding_window=window,
        attn_implementation=implementation,
    )
    return MistralForCausalLM(config).train()


def tokens(batch: int = 2) -> Tensor:
    return torch.randint(1, 64, (batch, LENGTH), generator=torch.Generator().manual_seed(1))


def measured(model: PreTrainedModel, **inputs: Any) -> Tensor:
    with torch.no_grad(), capture_max_logits(model) as logits:
        model(use_cache=False, **inputs)
    return logits[LAYER].double()


def assert_close(found: Tensor, truth: Tensor) -> None:
    assert truth.isfinite().all()
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------ transformers' own flash attention


def lengths(*starts: int) -> dict[str, Any]:
    cuts = torch.tensor(starts, dtype=torch.int32)
    longest = int(cuts.diff().max())
    return {"cu_seq_lens_q": cuts, "cu_seq_lens_k": cuts.clone(), "max_length_q": longest, "max_length_k": longest}


def hole(*places: int) -> Tensor:
    mask = torch.ones(2, LENGTH, dtype=torch.long)
    mask[1, list(places)] = 0
    return mask


def positions(*parts: range) -> Tensor:
    return torch.tensor([[position for part in parts for position in part]])


FLASH_CALLS: dict[str, dict[str, Any]] = {
    "alone": {"batch": 2},
    "padding left": {"attention_mask": hole(0, 1, 2, 3)},
    "padding right": {"attention_mask": hole(9, 10, 11, 12, 13)},
    "padding inside": {"attention_mask": hole(3, 4, 5, 6, 9)},
    "padding hides packing": {"attention_mask": hole(0), "position_ids": positions(range(7), range(7)).expand(2, -1)},
    "packed": {"position_ids": positions(range(4), range(7), range(3))},
    "packed from 2": {"position_ids": positions(range(2, 6), range(2, 9), range(2, 5))},
    "late start": {"position_ids": positions(range(30, 44))},
    "skips (PoSE)": {"position_ids": positions(range(6), range(50, 58))},
    "skips in packed documents": {"position_ids": positions(range(3), range(20, 24), range(3), range(9, 13))},
    "a tail before the first start": {"position_ids": positions(range(5, 8), range(6), range(5))},
    "resets in a batch": {"position_ids": positions(range(7), range(7)).expand(2, -1)},
    "cumulative lengths": {"batch": 1, **lengths(0, 4, 11, 14)},
    "cumulative lengths of a batch": {"batch": 2, **lengths(0, 5, 14, 20, 28)},
    "a document over two sequences": {"batch": 2, **lengths(0, 5, 20, 28)},
    "cumulative lengths that end early": {"batch": 1, **lengths(2, 6, 11)},
    "cumulative lengths without the longest": {
        "batch": 1, "cu_seq_lens_q": lengths(0, 7, 14)["cu_seq_lens_q"], "cu_seq_lens_k": torch.tensor([0, 7, 14]),
    },
}  # fmt: skip


@pytest.fixture
def kernels() -> Iterator[Kernels]:
    with flash_kernels() as kernels:
        yield kernels


def cuts_documents_at_minimum() -> bool:
    """Return whether transformers starts packed documents at the lowest position; else at 0, and fails without one."""
    from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids

    (starts, _), _ = prepare_fa_kwargs_from_position_ids(torch.tensor([[-1, 0]]))
    return bool(starts.tolist() == [0, 2])


@pytest.mark.parametrize("window", [None, 4, LENGTH])
@pytest.mark.parametrize("call", FLASH_CALLS)
def test_flash_attention_counts_the_pairs_that_transformers_lets_through(
    call: str, window: int | None, kernels: Kernels
) -> None:
    if call == "packed from 2" and not cuts_documents_at_minimum():
        pytest.skip("transformers starts packed documents at position 0 alone")
    inputs = dict(FLASH_CALLS[call])
    told = inputs.get("attention_mask", inputs.get("position_ids"))
    batch = inputs.pop("batch", None) or len(told)
    found = measured(mistral(FLASH, window), input_ids=tokens(batch), **inputs)
    [truth] = kernels.maxima
    assert_close(found, truth)


def test_unequal_cumulative_lengths_end_together(kernels: Kernels) -> None:
    from transformers.modeling_flash_attention_utils import _flash_attention_forward

    from hf_muonclip.attention.capture.pair_mask import PairMask
    from hf_muonclip.attention.capture.tiled_maxima import exact_max_logits

    model = mistral(FLASH)
    query, key = torch.randn(1, 4, LENGTH, 8), torch.randn(1, 2, LENGTH, 8)
    packed = lengths(0, 4, 9, 14) | {"cu_seq_lens_k": torch.tensor([0, 7, 10, 14], dtype=torch.int32)}
    for window in (None, 3):
        kwargs = packed | {"sliding_window": window}
        states = (query.mT.mT.transpose(1, 2), key.transpose(1, 2), key.transpose(1, 2))
        _flash_attention_forward(*states, None, LENGTH, True, softmax_scale=0.5, **kwargs)
        mask = PairMask.from_attention_call(model.get_submodule(LAYER), query, key, None, kwargs, "flash")
        assert_close(exact_max_logits(query, key, mask, 0.5).double(), kernels.maxima[-1])


def test_a_head_over_tau_is_clipped_to_it_across_a_skip(kernels: Kernels) -> None:
    model = mistral(FLASH)
    inputs = {"input_ids": tokens(1), "position_ids": positions(range(6), range(50, 58)), "use_cache": False}
    optimizer = MuonClip(model, lr=0.0, weight_decay=0.0, qk_clip_threshold=1.0)
    model(labels=inputs["input_ids"], **inputs).loss.backward()
    optimizer.step()
    torch.testing.assert_close(
        optimizer.gammas[LAYER].double(), (1.0 / kernels.maxima[-1]).clamp(max=1), rtol=1e-5, atol=1e-6
    )


# ------------------------------------------------------------------------------ functions and names of one's own


def blocked_pairs(query: Tensor, attention_mask: Any, sliding_window: int | None) -> Tensor:
    """Return what the functions below block, (batch or 1, 1, length, length): causal, 2-D padding, a window."""
    place = torch.arange(query.shape[2])
    blocked = (place > place[:, None])[None, None]
    if sliding_window is not None:
        blocked = blocked | (place[:, None] - place >= sliding_window)
    if attention_mask is not None:
        blocked = blocked | (attention_mask == 0)[:, None, None]
    return blocked


class Attention:
    """Attention functions that take the same masks, and note the maxima over the pairs that they let through."""

    def __init__(self) -> None:
        self.maxima: list[Tensor] = []

    def note(self, query: Tensor, key: Tensor, scaling: float, blocked: Tensor, attention_mask: Any) -> None:
        scores = query.double() @ key.double().repeat_interleave(query.shape[1] // key.shape[1], 1).mT * scaling
        if attention_mask is not None:
            blocked = blocked | (attention_mask == 0)[:, None, :, None]
        self.maxima.append(scores.masked_fill(blocked, -torch.inf).amax((0, 2, 3)))

    def start(self, query: Tensor, key: Tensor, attention_mask: Any, kwargs: dict[str, Any]) -> Tensor:
        blocked = blocked_pairs(query, attention_mask, kwargs.get("sliding_window"))
        with torch.no_grad():
            self.note(query, key, kwargs["scaling"], blocked, attention_mask)
        return blocked

    def softmax(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        blocked = self.start(query, key, attention_mask, kwargs)
        groups = query.shape[1] // key.shape[1]
        scores = torch.matmul(query, key.repeat_interleave(groups, 1).transpose(2, 3)) * kwargs["scaling"]
        weights = scores.masked_fill(blocked, torch.finfo(scores.dtype).min).softmax(-1)
        return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2), None

    def grouped(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        blocked = self.start(query, key, attention_mask, kwargs)
        shared = query.unflatten(1, (key.shape[1], -1))
        scores = torch.einsum("bkgqd,bksd->bkgqs", shared, key) * kwargs["scaling"]
        sinks = torch.full((*scores.shape[:-1], 1), 100.0)  # beside the keys, as in gpt-oss
        scores = torch.cat([scores.masked_fill(blocked[:, None], -torch.inf), sinks], dim=-1)
        weights = torch.softmax(scores, dim=-1)[..., :-1]
        return torch.einsum("bkgqs,bksd->bkgqd", weights, value).flatten(1, 2).transpose(1, 2), None

    def sdpa(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        seen = ~self.start(query, key, attention_mask, kwargs)
        output = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, scale=kwargs["scaling"], enable_gqa=True
        )
        return output.transpose(1, 2), None

    def kernel(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        """Call nothing that looks like attention from outside, as a kernel does."""
        blocked = self.start(query, key, attention_mask, kwargs)
        groups = query.shape[1] // key.shape[1]
        scores = (query[:, :, :, None] * key.repeat_interleave(groups, 1)[:, :, None]).sum(-1) * kwargs["scaling"]
        weights = scores.masked_fill(blocked, -torch.inf).exp()
        weights = weights / weights.sum(-1, keepdim=True)
        return (weights[..., None] * value.repeat_interleave(groups, 1)[:, :, None]).sum(3).transpose(1, 2), None


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    """Register an attention function, and a mask function where there is one, for the time of a test."""
    names = []

    def add(name: str, attention: Any, mask: Any = None) -> None:
        names.append(name)
        AttentionInterface.register(name, attention)
        if mask is not None:
            AttentionMaskInterface.register(name, mask)

    yield add
    for name in names:
        AttentionInterface._global_mapping.pop(name)
        AttentionMaskInterface._global_mapping.pop(name, None)


@pytest.mark.parametrize("kind", ["softmax", "grouped", "sdpa", "kernel"])
@pytest.mark.parametrize(
    ("window", "padding"), [(None, hole(8, 9, 10, 11, 12, 13)), (4, None), (4, hole(0, 1, 2)), (None, None)]
)
def test_a_function_of_ones_own_is_measured_right(
    kind: str, window: int | None, padding: Tensor | None, register: Callable[..., None]
) -> None:
    attention = Attention()
    register("mine", getattr(attention, kind), flash_attention_mask)
    inputs = {} if padding is None else {"attention_mask": padding}
    found = measured(mistral("mine", window), input_ids=tokens(), **inputs)
    [truth] = attention.maxima
    assert_close(found, truth)


@pytest.mark.parametrize("kind", ["softmax", "grouped", "sdpa"])
def test_what_a_function_computes_says_enough_without_a_mask_function(kind: str, register: Callable[..., None]) -> None:
    attention = Attention()
    register("mine", getattr(attention, kind))
    found = measured(mistral("mine", 4), input_ids=tokens(), attention_mask=hole(8, 9))  # the mask reaches nobody
    [truth] = attention.maxima
    # Tokens 8 and 9 of the second sequence attend, and are padding all the same: the model was told so.
    assert (found <= truth + 1e-5).all()
    assert_close(measured(mistral("mine", 4), input_ids=tokens()), attention.maxima[-1])


def test_a_kernel_that_nobody_knows_is_refused_before_anything_is_clipped(register: Callable[..., None]) -> None:
    register("secret", Attention().kernel)
    model = mistral("secret")
    optimizer = MuonClip(model)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=naming(
            "'secret'", "MistralAttention", "AttentionMaskInterface.register('secret'", "qk_clip_threshold=None"
        ),
    ):
        model(input_ids=tokens(), labels=tokens()).loss.backward()
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    optimizer.detach()


def test_an_sdpa_wrapper_as_in_transformers_documentation(register: Callable[..., None]) -> None:
    def printing(*args: Any, **kwargs: Any) -> Any:
        return sdpa_attention_forward(*args, **kwargs)

    register("my_new_sdpa", printing)
    register("my_other_sdpa", printing, sdpa_mask)
    truth = measured(mistral("sdpa"), input_ids=tokens())
    assert_close(measured(mistral("my_new_sdpa"), input_ids=tokens()), truth)
    padded = {"input_ids": tokens(), "attention_mask": hole(0, 1, 2, 3)}
    assert_close(measured(mistral("my_other_sdpa"), **padded), measured(mistral("sdpa"), **padded))


def test_a_function_that_replaces_a_known_one_counts_by_what_it_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attention = Attention()
    monkeypatch.setitem(AttentionInterface._global_mapping, "sdpa", attention.softmax)
    monkeypatch.setitem(AttentionMaskInterface._global_mapping, "sdpa", flash_attention_mask)
    found = measured(mistral("sdpa", 4), input_ids=tokens(), attention_mask=hole(9, 10, 11, 12, 13))
    [truth] = attention.maxima
    assert_close(found, truth)


@pytest.mark.parametrize(
    ("mask", "convention"),
    [(eager_mask, "eager"), (sdpa_mask, "sdpa"), (flash_attention_mask, "flash"), (flex_attention_mask, "flex")],
)
def test_the_registered_mask_function_says_the_convention(
    mask: Any, convention: str, register: Callable[..., None]
) -> None:
    wrapped = functools.wraps(mask)(lambda *args, **kwargs: mask(*args, **kwargs))
    for name, function in (("flash_like", mask), ("partial", functools.partial(mask)), ("wrapped", wrapped)):
        register(name, sdpa_attention_forward, function)
        assert registered_convention(name) == convention
    assert convention_of_function(sdpa_attention_forward) == "sdpa"


def test_an_unknown_name_or_mask_function_says_nothing(register: Callable[..., None]) -> None:
    register("own_mask", sdpa_attention_forward, lambda *args, **kwargs: None)
    assert registered_convention("own_mask") is None
    assert registered_convention("flash_attention_of_mine") is None
    assert (registered_convention(None), registered_convention("paged|sdpa")) == ("eager", "sdpa")
