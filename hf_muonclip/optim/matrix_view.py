"""View one parameter as the stacks of matrices that it holds, and convert back.

Orthogonalizing a tensor that holds several matrices as if it were one mixes their singular values. A fused QKV
projection holds three, gate_up two, a 3-D expert tensor one per expert (two where gate and up are fused), and some are
stored transposed, interleaved or stacked. A `MatrixView` describes how. `matrix_blocks` are strided views that share
memory with the parameter, so an update is written where it belongs; `to_matrices` and `from_matrices` are each other's
exact inverse.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Size, Tensor


@dataclass(frozen=True)
class MatrixView:
    """Description of how a parameter of shape (..., rows, columns) holds matrices.

    The output dimension repeats a pattern of sections `periods` times; the rows that a section has in all periods are
    one matrix. Examples, with heads of width d: gate and up one after the other `sections=(I, I)`; alternating output
    by output `sections=(1, 1), periods=I`; [Q|K|V] blocks `sections=(q, k, v)`; [q|k|v] per head
    `sections=(d, d, d), periods=heads`; per key head its queries, then k and v
    `sections=(g·d, d, d), periods=kv_heads`.

    Attributes:
        sections: rows of each section within one period; () is one section, all rows.
        periods: how often the sections repeat along the output dimension.
        head_rows: per section, the rows of one head, each then a matrix of its own (per-head orthogonalization); 0
            keeps the section one matrix. () keeps all whole.
        transposed: a slice is stored (in, out) instead of (out, in).
        stacked: matrices that a 2-D parameter holds one below the other (DBRX's experts).
        kernel: the dimensions after the first are flattened into one. A convolution's (out, in/groups, *kernel_size) is
            `stacked` = groups matrices (out/groups, in/groups·prod(kernel_size)); XLNet's (hidden, num_heads, head_dim)
            is one, transposed.
        interleaved: matrices whose columns take turns, one column each (PEFT's LoRA B of stacked experts, stored
            (out, rank·experts)).
    """

    sections: tuple[int, ...] = ()
    periods: int = 1
    head_rows: tuple[int, ...] = ()
    transposed: bool = False
    stacked: int = 1
    kernel: bool = False
    interleaved: int = 1

    def matrix_shapes(self, shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
        """Return (count, out, in) of the matrices of each section.

        Raises:
            ValueError: the shape does not divide as the view says.
        """
        leading, rows, columns = self._slices(shape)
        out_features, in_features = (columns, rows) if self.transposed else (rows, columns)
        sections = self.sections or (out_features // self.periods,)
        if sum(sections) * self.periods != out_features:
            raise ValueError(
                f"sections times periods must equal the output dimension; got {sections} x {self.periods} for "
                f"{out_features} outputs in a parameter of shape {tuple(shape)}."
            )
        head_rows = self.head_rows or (0,) * len(sections)
        if len(head_rows) != len(sections) or any(h and s % h for h, s in zip(head_rows, sections, strict=True)):
            raise ValueError(
                f"head_rows must name a divisor, or 0, for each section; got {head_rows} for sections {sections} in a "
                f"parameter of shape {tuple(shape)}."
            )
        if in_features % self.interleaved:
            raise ValueError(
                f"interleaved matrices must divide the columns; got {self.interleaved} for {in_features} columns in a "
                f"parameter of shape {tuple(shape)}."
            )
        leading, in_features = leading * self.interleaved, in_features // self.interleaved
        return tuple(
            (leading * self.periods * (size // head), head, in_features)
            if head
            else (leading, size * self.periods, in_features)
            for size, head in zip(sections, head_rows, strict=True)
        )

    def _slices(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return (leading, rows, columns) of the slices before the output dimension is cut."""
        if len(shape) < 2:
            raise ValueError(f"matrices need two dimensions or more; got a parameter of shape {tuple(shape)}.")
        leading, rows, columns = (
            (1, shape[0], math.prod(shape[1:])) if self.kernel else (math.prod(shape[:-2]), shape[-2], shape[-1])
        )
        if rows % self.stacked:
            raise ValueError(
                f"stacked matrices must divide the rows; got {self.stacked} for {rows} rows in a parameter of shape "
                f"{tuple(shape)}."
            )
        return leading * self.stacked, rows // self.stacked, columns


PLAIN = MatrixView()


def matrix_blocks(parameter: Tensor, view: MatrixView) -> list[Tensor]:
    """Return each section of a parameter as a strided view that shares its memory.

    Args:
        parameter: contiguous, (..., rows, columns).
        view: how the parameter holds its matrices.

    Returns:
        Per section a view of shape (slices, ..., rows, in) that a contiguous (count, out, in), with the numbers of
        `MatrixView.matrix_shapes`, can be viewed as. Its first dimension counts slices, each a whole number of
        matrices.
    """
    if view is PLAIN and parameter.ndim <= 3:
        return [parameter if parameter.ndim == 3 else parameter.unsqueeze(0)]
    view.matrix_shapes(parameter.shape)  # refuses what does not divide
    slices = parameter.view(view._slices(parameter.shape))
    if view.transposed:
        slices = slices.mT
    sections = view.sections or (slices.shape[1] // view.periods,)
    if sections == (slices.shape[1],) and not any(view.head_rows):
        return [_apart(slices, view)]
    period = slices.unflatten(1, (view.periods, sum(sections)))  # (slices, periods, rows, in)
    blocks = period.split(sections, dim=2)
    return [
        _apart(block.unflatten(2, (-1, head)) if head else block, view)
        for block, head in zip(blocks, view.head_rows or (0,) * len(sections), strict=True)
    ]


def _apart(block: Tensor, view: MatrixView) -> Tensor:
    """Return a (slices, ..., in·interleaved) block as (slices, interleaved, ..., in); shares memory."""
    if view.interleaved == 1:
        return block
    apart: Tensor = block.unflatten(-1, (block.shape[-1] // view.interleaved, view.interleaved))
    return apart.movedim(-1, 1)


def to_matrices(parameter: Tensor, view: MatrixView) -> list[Tensor]:
    """Cut a parameter apart into its matrices.

    Args:
        parameter: (..., rows, columns).
        view: how the parameter holds its matrices.

    Returns:
        One stack (count, out, in) per section; shares memory with `parameter` where strides allow it.

    Raises:
        ValueError: the shape does not divide as the view says.
    """
    shapes = view.matrix_shapes(parameter.shape)
    return [
        block.reshape(shape) for block, shape in zip(matrix_blocks(parameter.contiguous(), view), shapes, strict=True)
    ]


def from_matrices(stacks: Sequence[Tensor], view: MatrixView, shape: Size) -> Tensor:
    """Put stacks from `to_matrices` back together: the exact inverse.

    Args:
        stacks: (count, out, in) per section.
        view: how the parameter holds its matrices.
        shape: shape of the parameter.

    Returns:
        A new contiguous tensor of `shape`.
    """
    parameter = stacks[0].new_empty(shape)
    for block, stack in zip(matrix_blocks(parameter, view), stacks, strict=True):
        block.copy_(stack.view(block.shape))
    return parameter
