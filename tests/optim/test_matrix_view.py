"""Every way in which a parameter holds matrices, cut apart by hand, and put back exactly."""

import random

import pytest
import torch
from error_messages import naming
from torch import Size, Tensor

from hf_muonclip.optim.matrix_view import PLAIN, MatrixView, from_matrices, matrix_blocks, to_matrices

D = 2  # rows of a head
# (view, output rows it needs)
CUTS = [
    (PLAIN, 6),
    (MatrixView(sections=(3, 3)), 6),
    (MatrixView(sections=(1, 1), periods=3), 6),
    (MatrixView(sections=(8, 4, 4)), 16),
    (MatrixView(sections=(D, D, D), periods=4), 24),
    (MatrixView(sections=(2 * D, D, D), periods=2), 16),
    (MatrixView(sections=(2 * D, D, D), periods=2, head_rows=(D, D, D)), 16),
    (MatrixView(sections=(8, 4, 4), head_rows=(D, 0, D)), 16),
    (MatrixView(sections=(8,), head_rows=(D,)), 8),
    (MatrixView(sections=(D,), periods=3), 6),
    (MatrixView(sections=(1,), head_rows=(1,)), 1),
]


def turned(view: MatrixView, **changes: object) -> MatrixView:
    return MatrixView(**{**{field: getattr(view, field) for field in view.__dataclass_fields__}, **changes})


def there_and_back(parameter: Tensor, view: MatrixView) -> list[Tensor]:
    stacks = to_matrices(parameter, view)
    assert [tuple(stack.shape) for stack in stacks] == list(view.matrix_shapes(parameter.shape))
    assert sum(stack.numel() for stack in stacks) == parameter.numel()
    # Of copies, so that nothing can come back through shared memory.
    back = from_matrices([stack.clone() for stack in stacks], view, parameter.shape)
    assert back.is_contiguous()
    assert torch.equal(back, parameter)
    return stacks


@pytest.mark.parametrize("columns", [0, 1, 5])
@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 3), (0,)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("view", "rows"), CUTS)
def test_there_and_back_is_exact(
    view: MatrixView, rows: int, transposed: bool, leading: tuple[int, ...], columns: int
) -> None:
    shape = (*leading, columns, rows) if transposed else (*leading, rows, columns)
    view = turned(view, transposed=True) if transposed else view
    parameter = torch.arange(Size(shape).numel(), dtype=torch.float32).reshape(shape)
    there_and_back(parameter, view)


def test_there_and_back_is_exact_for_random_views() -> None:
    draw = random.Random(0)
    for _ in range(300):
        sections, head_rows = [], []
        for _ in range(draw.randint(1, 4)):
            head = draw.randint(1, 3)
            sections.append(head * draw.randint(1, 3))
            head_rows.append(draw.choice([0, head]))
        view = MatrixView(
            tuple(sections),
            draw.randint(1, 4),
            tuple(head_rows) if draw.random() < 0.5 else (),
            transposed := draw.random() < 0.5,
            stacked := 1 if transposed else draw.randint(1, 3),
        )
        rows, columns = sum(sections) * view.periods * stacked, draw.randint(0, 5)
        leading = tuple(draw.randint(0, 3) for _ in range(draw.randint(0, 2)))
        shape = (*leading, columns, rows) if transposed else (*leading, rows, columns)
        there_and_back(torch.arange(Size(shape).numel()).reshape(shape), view)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("view", "rows"), CUTS)
def test_blocks_share_memory_and_hold_the_same_numbers(view: MatrixView, rows: int, transposed: bool) -> None:
    view = turned(view, transposed=True) if transposed else view
    parameter = torch.randn((2, 5, rows) if transposed else (2, rows, 5))
    stacks = to_matrices(parameter, view)
    for block, stack in zip(matrix_blocks(parameter, view), stacks, strict=True):
        assert block.untyped_storage().data_ptr() == parameter.untyped_storage().data_ptr()
        assert torch.equal(block.reshape(stack.shape), stack)
        block.zero_()
    assert not parameter.any()


def test_a_plain_matrix_is_itself_also_a_vector_and_an_empty_one() -> None:
    for shape in [(6, 4), (1, 8), (8, 1), (1, 1), (0, 4), (4, 0)]:
        parameter = torch.randn(shape)
        (stack,) = there_and_back(parameter, PLAIN)
        assert torch.equal(stack, parameter[None])


def test_a_parameter_that_is_not_contiguous_is_cut_as_it_reads() -> None:
    parameter = torch.arange(24.0).reshape(4, 6).T
    first, second = to_matrices(parameter, MatrixView(sections=(2, 4)))
    assert torch.equal(first[0], parameter[:2])
    assert torch.equal(second[0], parameter[2:])


def named(**rows: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return matrices by name, with 4 columns, and all of them one below the other."""
    matrices = {name: torch.randn(count, 4) for name, count in rows.items()}
    return matrices, torch.cat(list(matrices.values()))


def test_blocks_of_query_key_value() -> None:
    matrices, stored = named(query=4 * D, key=2 * D, value=2 * D)
    stacks = there_and_back(stored, MatrixView(sections=(4 * D, 2 * D, 2 * D)))
    for stack, matrix in zip(stacks, matrices.values(), strict=True):
        assert torch.equal(stack, matrix[None])
    by_head = there_and_back(stored, MatrixView(sections=(4 * D, 2 * D, 2 * D), head_rows=(D, D, 0)))
    assert torch.equal(by_head[0], matrices["query"].unflatten(0, (4, D)))
    assert torch.equal(by_head[1], matrices["key"].unflatten(0, (2, D)))
    assert torch.equal(by_head[2], matrices["value"][None])


@pytest.mark.parametrize("transposed", [False, True])
def test_query_key_value_of_one_head_after_the_other(transposed: bool) -> None:
    heads = [named(query=D, key=D, value=D)[0] for _ in range(3)]
    stored = torch.cat([head[part] for head in heads for part in ("query", "key", "value")])
    stored = stored.T.contiguous() if transposed else stored
    whole = there_and_back(stored, MatrixView((D, D, D), 3, transposed=transposed))
    by_head = there_and_back(stored, MatrixView((D, D, D), 3, (D, D, D), transposed=transposed))
    for index, part in enumerate(("query", "key", "value")):
        assert torch.equal(whole[index], torch.cat([head[part] for head in heads])[None])
        assert torch.equal(by_head[index], torch.stack([head[part] for head in heads]))


def test_groups_of_queries_before_their_key_and_value() -> None:
    groups = [named(first=D, second=D, key=D, value=D)[0] for _ in range(2)]
    stored = torch.cat([matrix for group in groups for matrix in group.values()])
    query, key, value = there_and_back(stored, MatrixView((2 * D, D, D), 2))
    assert torch.equal(query[0], torch.cat([group[part] for group in groups for part in ("first", "second")]))
    assert torch.equal(key[0], torch.cat([group["key"] for group in groups]))
    assert torch.equal(value[0], torch.cat([group["value"] for group in groups]))
    query, _, _ = there_and_back(stored, MatrixView((2 * D, D, D), 2, (D, D, D)))
    assert torch.equal(query, torch.stack([group[part] for group in groups for part in ("first", "second")]))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("interleaved", [False, True])
def test_experts_are_cut_into_gate_and_up_of_each(transposed: bool, interleaved: bool) -> None:
    num_experts, intermediate, hidden = 3, 5, 4
    gate, up = torch.randn(num_experts, intermediate, hidden), torch.randn(num_experts, intermediate, hidden)
    if interleaved:
        stored = torch.empty(num_experts, 2 * intermediate, hidden)
        stored[:, ::2], stored[:, 1::2] = gate, up  # as in gpt_oss
        view = MatrixView(sections=(1, 1), periods=intermediate, transposed=transposed)
    else:
        stored = torch.cat([gate, up], dim=1)
        view = MatrixView(sections=(intermediate, intermediate), transposed=transposed)
    first, second = there_and_back(stored.mT.contiguous() if transposed else stored, view)
    assert torch.equal(first, gate)
    assert torch.equal(second, up)


def test_stacked_experts_in_two_dimensions() -> None:
    experts = torch.randn(3, 5, 4)  # as DBRX stores them: (3·5, 4)
    (up,) = there_and_back(experts.flatten(0, 1), MatrixView(stacked=3))
    assert torch.equal(up, experts)
    (down,) = there_and_back(experts.flatten(0, 1), MatrixView(transposed=True, stacked=3))
    assert torch.equal(down, experts.mT)


def test_kernels_are_one_matrix_a_group() -> None:
    kernel = torch.randn(6, 2, 3, 3)
    (matrices,) = there_and_back(kernel, MatrixView(stacked=2, kernel=True))
    assert torch.equal(matrices, torch.stack([kernel[:3].reshape(3, 18), kernel[3:].reshape(3, 18)]))
    by_head = torch.randn(4, 3, D)  # (hidden, num_heads, head_dim), as XLNet's query
    (matrices,) = there_and_back(by_head, MatrixView(sections=(3 * D,), head_rows=(D,), transposed=True, kernel=True))
    assert torch.equal(matrices, by_head.permute(1, 2, 0))


@pytest.mark.parametrize(
    ("view", "shape", "message"),
    [
        (PLAIN, (5,), naming("dimensions", "(5,)")),
        (MatrixView(sections=(2, 2)), (5, 4), naming("(2, 2)", 1, 5, "(5, 4)")),
        (MatrixView(sections=(1, 1), periods=2, transposed=True), (4, 3), naming("(1, 1)", 2, 3)),
        (MatrixView(periods=2), (5, 4), naming("periods", 2, 5)),
        (MatrixView(sections=(4, 2), head_rows=(3, 2)), (6, 4), naming("head_rows", "(3, 2)")),
        (MatrixView(sections=(4, 2), head_rows=(2,)), (6, 4), naming("head_rows", "(2,)")),
        (MatrixView(stacked=4), (6, 4), naming("stacked", 4, 6)),
    ],
)
def test_what_does_not_divide_is_refused(view: MatrixView, shape: tuple[int, ...], message: str) -> None:
    for act in (view.matrix_shapes, lambda size: to_matrices(torch.zeros(size), view)):
        with pytest.raises(ValueError, match=message):
            act(shape)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("view", "rows"), CUTS)
def test_interleaved_columns_are_matrices_of_their_own(view: MatrixView, rows: int, transposed: bool) -> None:
    count, columns = 3, 6
    whole = torch.arange(rows * columns, dtype=torch.float32).reshape(rows, columns)
    together = turned(view, interleaved=count, transposed=transposed)
    stacks = there_and_back(whole.mT.contiguous() if transposed else whole, together)
    alone = [to_matrices(whole[:, index::count], view) for index in range(count)]
    for section, stack in enumerate(stacks):
        assert torch.equal(stack, torch.cat([matrices[section] for matrices in alone]))


def test_interleaved_matrices_must_divide_the_columns() -> None:
    with pytest.raises(ValueError, match=naming("columns", 4, 6)):
        MatrixView(interleaved=4).matrix_shapes((2, 6))
