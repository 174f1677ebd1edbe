"""Every way in which a parameter holds matrices, cut apart by hand, and put back exactly."""

import pytest
import torch
from torch import Size

from hf_muonclip.matrix_view import PLAIN, MatrixView, from_matrices, to_matrices

SHAPES = [(6, 4), (4, 6), (1, 8), (8, 1), (3, 6, 4), (2, 4, 10), (2, 3, 4, 6)]
VIEWS = [
    MatrixView(parts=parts, interleaved=interleaved, transposed=transposed)
    for parts in (1, 2)
    for interleaved in (False, True)
    for transposed in (False, True)
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("view", VIEWS)
def test_there_and_back_is_exact(shape: tuple[int, ...], view: MatrixView) -> None:
    parameter = torch.randn(shape)
    if (shape[-1] if view.transposed else shape[-2]) % view.parts:
        with pytest.raises(ValueError, match=r"must be a multiple of 2; got 1 in a parameter of shape \("):
            to_matrices(parameter, view)
        return
    matrices = to_matrices(parameter, view)
    assert matrices.shape[1:] == view.matrix_shape(parameter.shape)
    assert matrices.numel() == parameter.numel()
    # Of a fresh tensor, so that nothing can come back through shared memory.
    assert torch.equal(from_matrices(matrices.clone(), view, parameter.shape), parameter)


def test_a_plain_matrix_is_itself() -> None:
    parameter = torch.randn(6, 4)
    assert torch.equal(to_matrices(parameter, PLAIN), parameter[None])
    assert PLAIN.matrix_shape(Size((6, 4))) == (6, 4)


def test_conv1d_is_stored_in_out() -> None:
    parameter = torch.randn(4, 6)  # 4 in, 6 out
    view = MatrixView(transposed=True)
    assert view.matrix_shape(parameter.shape) == (6, 4)
    assert torch.equal(to_matrices(parameter, view)[0], parameter.T)


def test_fused_gate_up_is_two_matrices() -> None:
    gate, up = torch.randn(3, 4), torch.randn(3, 4)
    matrices = to_matrices(torch.cat([gate, up]), MatrixView(parts=2))
    assert torch.equal(matrices, torch.stack([gate, up]))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("interleaved", [False, True])
def test_experts_are_cut_into_gate_and_up_of_each(transposed: bool, interleaved: bool) -> None:
    num_experts, intermediate, hidden = 3, 5, 4
    gate, up = torch.randn(num_experts, intermediate, hidden), torch.randn(num_experts, intermediate, hidden)
    if interleaved:
        stored = torch.empty(num_experts, 2 * intermediate, hidden)
        stored[:, ::2], stored[:, 1::2] = gate, up  # as in gpt_oss
    else:
        stored = torch.cat([gate, up], dim=1)
    if transposed:
        stored = stored.mT.contiguous()
    matrices = to_matrices(stored, MatrixView(parts=2, interleaved=interleaved, transposed=transposed))
    wanted = torch.stack([half[expert] for expert in range(num_experts) for half in (gate, up)])
    assert torch.equal(matrices, wanted)


def test_an_odd_split_is_refused_with_the_shape() -> None:
    with pytest.raises(ValueError, match=r"must be a multiple of 2; got 5 in a parameter of shape \(5, 4\)"):
        to_matrices(torch.zeros(5, 4), MatrixView(parts=2))
    with pytest.raises(ValueError, match=r"must be a multiple of 2; got 3 in a parameter of shape \(2, 4, 3\)"):
        MatrixView(parts=2, transposed=True).matrix_shape(Size((2, 4, 3)))
