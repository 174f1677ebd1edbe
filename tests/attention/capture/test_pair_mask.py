"""Every form of mask, pair by pair, against pairs that are written down from first principles."""

from types import SimpleNamespace
from typing import Any

import pytest
import reference
import torch
from error_messages import naming
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask
from transformers.modeling_flash_attention_utils import _is_packed_sequence, prepare_fa_kwargs_from_position_ids

from hf_muonclip.attention.capture.pair_mask import PairMask, documents_of_positions, flash_operands, tells_pairs

LENGTH = 7
LEFT_PADDED = torch.tensor([[1] * 7, [0, 0, 0, 1, 1, 1, 1]])
RIGHT_PADDED = torch.tensor([[1] * 7, [1, 1, 1, 1, 1, 0, 0]])
FULL = torch.ones(2, LENGTH, dtype=torch.long)
PADDINGS = [FULL, LEFT_PADDED, RIGHT_PADDED]
HEADS = 3


def pair_mask(
    convention: Any,
    attention_mask: Any = None,
    query_length: int = LENGTH,
    key_length: int = LENGTH,
    batch: int = 2,
    is_causal: bool = True,
    **kwargs: Any,
) -> PairMask:
    """Read a mask as the attention interface hands it over to a function of some convention."""
    module: Any = SimpleNamespace(is_causal=is_causal)
    query, key = torch.empty(batch, HEADS, query_length, 4), torch.empty(batch, 1, key_length, 4)
    if convention == "flash":
        query, key = flash_operands(query, key, attention_mask, kwargs)
    return PairMask.from_attention_call(module, query, key, attention_mask, kwargs, convention)


def allowed(mask: PairMask, tile: int = 3) -> Tensor:
    """Return (batch, heads, query_length, key_length) from tiles, as the measurement goes through them."""
    result = torch.zeros(mask.batch, HEADS, mask.query_length, mask.key_length, dtype=torch.bool)
    for start in range(0, mask.query_length, tile):
        stop = min(start + tile, mask.query_length)
        first, end = mask.key_range(start, stop)
        assert 0 <= first < end <= mask.key_length
        blocked = mask.blocked(start, stop, first, end)
        result[:, :, start:stop, first:end] = True if blocked is None else ~blocked
    return result


def assert_allows(mask: PairMask, truth: Tensor) -> None:
    if truth.ndim == 3:
        truth = truth[:, None]
    for tile in (1, 3, 100):
        assert torch.equal(allowed(mask, tile), truth.expand(mask.batch, HEADS, -1, -1))


def raw_pairs(padding: Tensor, causal: bool, window: int | None = None) -> Tensor:
    """What models put into a 4-D mask: padding blocks keys, and a padded query is as open as any."""
    keys = padding.bool()[:, None, :].expand(-1, LENGTH, -1)
    return (keys & reference.allowed_pairs(torch.ones_like(padding), causal, window))[:, None]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ["bool", "float32", "bfloat16", "float16", "minus infinity", "-1e9"])
def test_dense_masks(padding: Tensor, window: int | None, causal: bool, kind: str) -> None:
    raw = raw_pairs(padding, causal, window)
    mask: Tensor = raw
    if kind != "bool":
        dtype = getattr(torch, kind, torch.float32)
        lowest = {"minus infinity": -torch.inf, "-1e9": -1e9}.get(kind, torch.finfo(dtype).min)
        mask = torch.zeros(raw.shape, dtype=dtype).masked_fill(~raw, lowest)
    convention = "sdpa" if kind == "bool" else "eager"
    assert_allows(pair_mask(convention, mask), reference.allowed_pairs(padding, causal, window))


@pytest.mark.parametrize("padding", PADDINGS)
def test_dense_padding_alone_blocks_padded_queries_too(padding: Tensor) -> None:
    assert_allows(pair_mask("sdpa", padding.bool()[:, None, None, :]), reference.allowed_pairs(padding, causal=False))


def test_additive_biases_block_nothing() -> None:
    bias = -1000 * torch.rand(2, HEADS, LENGTH, LENGTH, generator=torch.Generator().manual_seed(0))
    raw = raw_pairs(LEFT_PADDED, causal=True)
    mask = bias + torch.zeros(raw.shape).masked_fill(~raw, torch.finfo(torch.float32).min)
    assert_allows(pair_mask("eager", mask), reference.allowed_pairs(LEFT_PADDED))


def test_masks_may_differ_by_head() -> None:
    generator = torch.Generator().manual_seed(0)
    per_head = torch.rand(2, HEADS, LENGTH, LENGTH, generator=generator) > 0.4
    per_head |= torch.eye(LENGTH, dtype=torch.bool)
    mask = pair_mask("sdpa", per_head)
    assert_allows(mask, per_head)
    heads = torch.tensor([2, 0])
    assert torch.equal(~mask.of_heads(heads).blocked(0, LENGTH, 0, LENGTH), per_head[:, heads])


def test_a_dense_mask_longer_than_the_keys_is_cut() -> None:
    longer = torch.nn.functional.pad(raw_pairs(FULL, causal=True), (0, 5), value=True)
    assert_allows(pair_mask("sdpa", longer), reference.allowed_pairs(FULL))


def test_fewer_queries_than_keys_under_a_dense_mask() -> None:
    rows = raw_pairs(LEFT_PADDED, causal=True)[:, :, 4:]
    assert_allows(pair_mask("sdpa", rows, query_length=3), reference.allowed_pairs(LEFT_PADDED)[:, 4:])


@pytest.mark.parametrize("convention", ["eager", "flex"])
def test_no_mask_means_every_pair_where_the_implementation_adds_none(convention: str) -> None:
    assert_allows(pair_mask(convention), torch.ones(2, LENGTH, LENGTH, dtype=torch.bool))


@pytest.mark.parametrize("convention", ["sdpa", "flash"])
def test_no_mask_means_causal_where_the_implementation_says_so(convention: str) -> None:
    everything = torch.ones(2, LENGTH, LENGTH, dtype=torch.bool)
    assert_allows(pair_mask(convention), reference.allowed_pairs(FULL))
    assert_allows(pair_mask(convention, is_causal=False), everything)
    module: Any = SimpleNamespace(is_causal=True)
    operand = torch.empty(2, HEADS, LENGTH, 4)
    for stated, truth in ((False, everything), (None, everything.tril())):
        kwargs = {"is_causal": stated}
        assert_allows(PairMask.from_attention_call(module, operand, operand, None, kwargs, convention), truth)


@pytest.mark.parametrize("convention", ["sdpa", "flash"])
def test_one_query_without_a_mask_sees_every_key(convention: str) -> None:
    assert_allows(pair_mask(convention, query_length=1), torch.ones(2, 1, LENGTH, dtype=torch.bool))


def test_causal_sdpa_starts_at_the_first_key_and_flash_ends_at_the_last() -> None:
    everything = torch.ones(2, 3, LENGTH, dtype=torch.bool)
    assert_allows(pair_mask("sdpa", query_length=3), everything.tril())
    assert_allows(pair_mask("flash", query_length=3), everything.tril(LENGTH - 3))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("window", [None, 1, 3, 100])
def test_flash_takes_two_dimensional_padding_and_a_window(padding: Tensor, window: int | None) -> None:
    mask = pair_mask("flash", padding, sliding_window=window)
    assert_allows(mask, reference.allowed_pairs(padding, window=window))


def test_flash_window_without_causality_reaches_both_ways() -> None:
    mask = pair_mask("flash", is_causal=False, sliding_window=3)
    assert_allows(mask, reference.allowed_pairs(FULL, causal=False, window=3))


def packed(starts: Tensor, key_starts: Tensor | None = None) -> dict[str, Any]:
    lengths = {"max_length_q": int(starts.diff().max()), "max_length_k": int(starts.diff().max())}
    return {"cu_seq_lens_q": starts, "cu_seq_lens_k": starts if key_starts is None else key_starts, **lengths}


@pytest.mark.parametrize("window", [None, 2])
def test_flash_packing_by_cumulative_lengths(window: int | None) -> None:
    starts = torch.tensor([0, 3, 4, 7])
    mask = pair_mask("flash", batch=1, sliding_window=window, **packed(starts))
    documents = torch.tensor([[0, 0, 0, 1, 2, 2, 2]])
    assert_allows(mask, reference.allowed_pairs(FULL[:1], window=window, document_ids=documents))


def test_flash_packing_by_position_resets() -> None:
    positions, documents = torch.tensor([[0, 1, 2, 0, 0, 1, 2]]), torch.tensor([[0, 0, 0, 1, 2, 2, 2]])
    mask = pair_mask("flash", batch=1, position_ids=positions)
    assert_allows(mask, reference.allowed_pairs(FULL[:1], document_ids=documents))
    # With padding, and with more than one sequence, flash attention does not take resets for packing.
    padded = pair_mask("flash", FULL[:1], batch=1, position_ids=positions)
    assert_allows(padded, reference.allowed_pairs(FULL[:1]))
    two = pair_mask("flash", position_ids=positions.expand(2, -1))
    assert_allows(two, reference.allowed_pairs(FULL))


def test_positions_that_start_late_are_one_document() -> None:
    mask = pair_mask("flash", batch=1, position_ids=torch.arange(5, 5 + LENGTH)[None])
    assert_allows(mask, reference.allowed_pairs(FULL[:1]))


@pytest.mark.parametrize("padding", PADDINGS)
def test_block_masks(padding: Tensor) -> None:
    def mask_mod(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & padding.bool()[batch, key] & ((head != 1) | (query - key < 3))

    block_mask = create_block_mask(mask_mod, 2, HEADS, LENGTH, LENGTH, device="cpu")
    truth = torch.stack([reference.allowed_pairs(padding, window=3 if head == 1 else None) for head in range(HEADS)], 1)
    mask = pair_mask("flex", block_mask)
    assert_allows(mask, truth)
    heads = torch.tensor([1])
    assert torch.equal(~mask.of_heads(heads).blocked(0, LENGTH, 0, LENGTH), truth[:, heads])


def test_block_mask_with_fewer_queries_than_keys() -> None:
    block_mask = create_block_mask(lambda batch, head, query, key: key <= query + 4, 2, HEADS, 3, LENGTH, device="cpu")
    mask = pair_mask("flex", block_mask, query_length=3)
    assert_allows(mask, torch.ones(2, 3, LENGTH, dtype=torch.bool).tril(4))


def test_a_two_dimensional_mask_of_sdpa_is_laid_over_every_head() -> None:
    pairs = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril(1)
    assert_allows(pair_mask("sdpa", pairs), pairs.expand(2, -1, -1))
    additive = torch.zeros(LENGTH, LENGTH).masked_fill(~pairs, -torch.inf)
    assert_allows(pair_mask("eager", additive), pairs.expand(2, -1, -1))


def test_a_three_dimensional_mask_of_sdpa_is_one_of_heads() -> None:
    by_head = torch.ones(HEADS, LENGTH, LENGTH, dtype=torch.bool).tril(1)
    by_head[1, 5, 2] = False
    assert_allows(pair_mask("sdpa", by_head), by_head.expand(2, -1, -1, -1))


@pytest.mark.parametrize("convention", ["sdpa", "eager", "flex"])
def test_padding_in_two_dimensions_is_refused_where_nobody_takes_it(convention: str) -> None:
    with pytest.raises(TypeError, match=naming("(2, 7)", f"'{convention}'")):
        pair_mask(convention, FULL)


def test_a_dense_mask_of_integers_is_refused() -> None:
    with pytest.raises(TypeError, match=naming("bool", "torch.int64")):
        pair_mask("eager", torch.ones(2, 1, LENGTH, LENGTH, dtype=torch.long))


def test_without_a_convention_only_a_mask_that_names_its_pairs_is_read() -> None:
    pairs = torch.ones(2, 1, LENGTH, LENGTH, dtype=torch.bool).tril()
    assert_allows(pair_mask(None, pairs), pairs)
    assert tells_pairs(pairs)
    assert not tells_pairs(None)
    assert not tells_pairs(FULL)


def test_documents_are_cut_where_transformers_cuts_them() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        length = int(torch.randint(2, 9, (), generator=generator))
        positions = torch.randint(0, 4, (length,), generator=generator) + int(torch.randint(3, (), generator=generator))
        if torch.rand((), generator=generator) < 0.2:
            positions = torch.arange(length) + positions[0]
        documents = documents_of_positions(positions).tolist()
        truth = [1] * length
        if _is_packed_sequence(positions[None], 1):
            try:
                starts = prepare_fa_kwargs_from_position_ids(positions[None])[0][0].tolist()
            except RuntimeError:  # of older transformers, which starts documents at 0, where no position is 0
                assert positions.min() > 0
                continue
            truth = [sum(start <= place for start in starts[:-1]) for place in range(length)]
        assert documents == truth


@pytest.mark.parametrize("mask", [torch.ones(1, 2, 3, 4, 5), "causal", [[1, 1]]])
def test_an_unknown_mask_is_refused_with_what_was_found(mask: Any) -> None:
    found = r"SimpleNamespace passed " + (r"\(1, 2, 3, 4, 5\)" if isinstance(mask, Tensor) else type(mask).__name__)
    with pytest.raises(TypeError, match=found):
        pair_mask("sdpa", mask)
