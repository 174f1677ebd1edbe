"""Owners, shares and boxes: arithmetic on shapes that every rank must do alike."""

import itertools

import pytest
import torch
from error_messages import naming
from tiny_parameters import KINDS, VIEWS, every_kind
from torch import nn
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.placement_types import Partial, _StridedShard

from hf_muonclip.optim.distributed.sharding import (
    Unit,
    assign_owners,
    cut_shares,
    cut_units,
    holds_whole_slices,
    num_slices,
    placed_boxes,
    unit_scale,
)
from hf_muonclip.optim.matrix_view import PLAIN, MatrixView

GROUP = {
    "ns_coefficients": "minimax",
    "ns_steps": None,
    "adjust_lr_fn": "match_rms_adamw",
    "normalize_neurons": False,
}


def units_of(shapes: dict[str, tuple[int, ...]], parts: int) -> list[Unit]:
    return [
        unit
        for name, shape in shapes.items()
        for unit in cut_units(name, torch.empty(shape, device="meta"), PLAIN, 0, GROUP, torch.float32, parts)
    ]


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
@pytest.mark.parametrize("name", [name for name, (_, view) in KINDS.items() if view is not None])
def test_units_cover_a_parameter_once_with_the_views_of_its_matrices(name: str, parts: int) -> None:
    parameter, view = every_kind()[name], VIEWS.get(name, PLAIN)
    units = cut_units(name, parameter, view, 0, GROUP, torch.float32, parts)
    assert [row for unit in units for row in range(unit.rows.start, unit.rows.stop)] == list(range(len(parameter)))
    assert len(units) <= parts or len(units) == 1
    matrices = [unit.part_view.matrix_shapes(unit.shape) for unit in units]
    per_section = [sum(counts) for counts in zip(*[[c for c, _, _ in of_unit] for of_unit in matrices], strict=True)]
    assert per_section == [count for count, _, _ in view.matrix_shapes(parameter.shape)]
    assert sum(unit.flops for unit in units) == cut_units(name, parameter, view, 0, GROUP, torch.float32, 1)[0].flops


@pytest.mark.parametrize("ranks", [2, 4, 7])
def test_the_busiest_rank_has_a_tenth_more_than_its_part_at_most(ranks: int) -> None:
    layers = {
        f"{layer}.{n}": (n, m) for layer in range(30) for n, m in ((576, 576), (192, 577), (1536, 576), (576, 1536))
    }
    loads = [0] * ranks
    owned = assign_owners(units_of(layers, ranks), loads)
    assert sum(map(len, owned)) == len(layers)
    assert loads == [sum(unit.flops for unit in of_rank) for of_rank in owned]
    assert max(loads) <= 1.1 * sum(loads) / ranks
    for rank, of_rank in enumerate(owned):
        assert {unit.owner for unit in of_rank} <= {rank}
        shapes = [unit.shape for unit in of_rank]
        assert [shape for shape, _ in itertools.groupby(shapes)] == list(dict.fromkeys(shapes))  # together


@pytest.mark.parametrize("sent", [[0, 0, 0], [100, 0, 0], [5, 7, 400], [0, 12, 12]])
def test_shares_cover_every_entry_and_even_out_what_ranks_send(sent: list[int]) -> None:
    members = [("a", nn.Parameter(torch.empty(7, 5)), 1), ("b", nn.Parameter(torch.empty(11)), 2)]
    shares = cut_shares(members, sent)
    for name, parameter, group in members:
        ranges = [(s.start, s.stop) for of_rank in shares for s in of_rank if s.name == name]
        assert [entry for a, b in ranges for entry in range(a, b)] == list(range(parameter.numel()))
        assert all(s.group == group for of_rank in shares for s in of_rank if s.name == name)
    totals = [own + sum(s.nbytes for s in of_rank) for own, of_rank in zip(sent, shares, strict=True)]
    filled = [total for total, of_rank in zip(totals, shares, strict=True) if of_rank]
    assert max(filled) - min(filled) <= 4  # one entry
    assert all(total >= max(filled) - 4 for total in totals)


@pytest.mark.parametrize(
    ("shape", "mesh", "placements", "wanted"),
    [
        ((7, 3), (3,), [Shard(0)], [(0, 3), (3, 6), (6, 7)]),
        ((2, 3), (3,), [Shard(0)], [(0, 1), (1, 2), None]),
        ((4, 3), (2, 2), [Replicate(), Shard(0)], [(0, 2), (2, 4)] * 2),
        # FSDP2 over tensor parallel: rows are cut by the second dimension first.
        ((8, 3), (2, 2), [_StridedShard(0, split_factor=2), Shard(0)], [(0, 2), (4, 6), (2, 4), (6, 8)]),
    ],
)
def test_boxes_are_what_torch_gives_each_rank(shape, mesh, placements, wanted) -> None:  # type: ignore[no-untyped-def]
    boxes = placed_boxes(shape, mesh, range(len(wanted)), placements)
    found = [box.ranges[0][0] if box.numel else None for box in boxes.values()]
    assert found == wanted


def test_partial_sums_are_refused() -> None:
    with pytest.raises(ValueError, match=naming("w", repr(Partial()))):
        placed_boxes((8, 3), (2,), [0, 1], [Partial()], "w")


def test_a_box_of_several_ranges_is_taken_and_put_back() -> None:
    whole = torch.arange(48.0).view(2, 8, 3)
    boxes = placed_boxes((2, 8, 3), (2,), [0, 1], [_StridedShard(1, split_factor=2)])
    assert boxes[1].ranges[1] == ((2, 4), (6, 8))
    torch.testing.assert_close(boxes[1].take(whole), whole[:, [2, 3, 6, 7]], atol=0, rtol=0)
    again = torch.zeros_like(whole)
    for box in boxes.values():
        box.put_(again, box.take(whole))
    assert torch.equal(again, whole)
    assert boxes[1].rows(1, 2).shape == (1, 4, 3)


def test_experts_sharded_by_expert_are_whole_and_rows_of_a_matrix_are_not() -> None:
    boxes = placed_boxes((5, 6, 4), (2,), [0, 1], [Shard(0)])
    assert holds_whole_slices(boxes, (5, 6, 4), PLAIN)
    assert not holds_whole_slices(placed_boxes((5, 6, 4), (2,), [0, 1], [Shard(1)]), (5, 6, 4), PLAIN)
    assert not holds_whole_slices(placed_boxes((6, 4), (2,), [0, 1], [Shard(0)]), (6, 4), PLAIN)
    stacked = MatrixView(stacked=3)
    assert num_slices((12, 4), stacked) == 3
    assert holds_whole_slices(placed_boxes((12, 4), (3,), [0, 1, 2], [Shard(0)]), (12, 4), stacked)
    assert not holds_whole_slices(placed_boxes((12, 4), (2,), [0, 1], [Shard(0)]), (12, 4), stacked)


def test_matrices_of_other_shapes_in_one_weight_keep_their_own_scale() -> None:
    (unit,) = cut_units("qkv", torch.empty(40, 9), MatrixView(sections=(20, 12, 8)), 0, GROUP, torch.float32, 4)
    scale = unit_scale(unit, GROUP)
    assert isinstance(scale, torch.Tensor)
    wanted = torch.tensor([20.0] * 20 + [12.0] * 12 + [9.0] * 8).sqrt() * 0.2
    torch.testing.assert_close(scale, wanted[:, None].expand(40, 9), atol=1e-6, rtol=1e-6)
