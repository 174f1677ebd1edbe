"""See one parameter as the stack of matrices that it holds, and put a stack back.

Orthogonalizing a tensor that holds several matrices as if it were one mixes their singular values. A fused gate_up
projection holds two, a 3-D expert tensor holds one per expert (two where gate and up are fused), and some models store
them transposed or interleaved. A `MatrixView` says how; the two functions are each other's exact inverse.
"""

from dataclasses import dataclass

from torch import Size, Tensor


@dataclass(frozen=True)
class MatrixView:
    """How a parameter of shape (..., rows, columns) holds matrices.

    Attributes:
        parts: matrices that share one (rows, columns) slice along the output dimension; 2 for gate and up.
        interleaved: the parts alternate output by output instead of standing one after the other.
        transposed: a slice is stored (in, out) instead of (out, in).
    """

    parts: int = 1
    interleaved: bool = False
    transposed: bool = False

    def matrix_shape(self, shape: Size) -> tuple[int, int]:
        """Return (out, in) of one matrix.

        Raises:
            ValueError: the output dimension does not divide into the parts.
        """
        out_features, in_features = (shape[-1], shape[-2]) if self.transposed else (shape[-2], shape[-1])
        if out_features % self.parts:
            raise ValueError(
                f"{self.parts} matrices of equal size share one output dimension, so it must be a multiple of "
                f"{self.parts}; got {out_features} in a parameter of shape {tuple(shape)}."
            )
        return out_features // self.parts, in_features


PLAIN = MatrixView()


def to_matrices(parameter: Tensor, view: MatrixView) -> Tensor:
    """Cut a parameter apart into its matrices.

    Args:
        parameter: (..., rows, columns).
        view: how it holds them.

    Returns:
        (count, out, in); shares memory with `parameter` where strides allow it.
    """
    view.matrix_shape(parameter.shape)
    slices = parameter.reshape(-1, *parameter.shape[-2:])  # (leading, rows, columns)
    if view.transposed:
        slices = slices.mT
    if view.parts == 1:
        return slices
    if view.interleaved:
        parted: Tensor = slices.unflatten(1, (-1, view.parts)).transpose(1, 2)
    else:
        parted = slices.unflatten(1, (view.parts, -1))
    return parted.flatten(0, 1)


def from_matrices(matrices: Tensor, view: MatrixView, shape: Size) -> Tensor:
    """Put a stack from `to_matrices` back together: the exact inverse.

    Args:
        matrices: (count, out, in).
        view: how the parameter holds them.
        shape: of the parameter.

    Returns:
        A tensor of `shape`; shares memory with `matrices` where strides allow it.
    """
    slices = matrices
    if view.parts > 1:
        parted = matrices.unflatten(0, (-1, view.parts))  # (leading, parts, out, in)
        slices = (parted.transpose(1, 2) if view.interleaved else parted).flatten(1, 2)
    if view.transposed:
        slices = slices.mT
    return slices.reshape(shape)
