"""Find idle matrices of a step: their gradient is zero everywhere, as that of an expert that no token chose.

Newton–Schulz makes any momentum large, however far it has shrunk, so momentum alone would move an idle matrix at full
size for hundreds of steps. An idle matrix is therefore neither moved nor decayed; its momentum shrinks as usual. A
matrix is idle as a whole, not a rank's part of it: ranks agree on one flag for each, in an all-reduce that a step needs
anyway.

Flags become masks that hold one entry for each output row of a matrix and broadcast over its inputs, so that they are
cut by views and shards as the parameter is.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .batching import MatrixBlock
from .distributed.sharding import Box, local_shard
from .matrix_view import PLAIN, MatrixView, matrix_blocks
from .parameters.frozen import is_updated


@dataclass
class _Member:
    """A Muon parameter with the flags of its matrices.

    Attributes:
        parameter: the parameter, with its global shape.
        view: how the parameter holds its matrices.
        box: this rank's box; None for the whole.
        flags: (matrices,), bool: which have a gradient; None if all are known to.
        mask: mask of the whole parameter; None if all matrices have a gradient.
    """

    parameter: Tensor
    view: MatrixView
    box: Box | None
    flags: Tensor | None
    mask: Tensor | None = None


class ActiveMatrices:
    """Flags of the matrices that have a gradient in a step: first on this rank and, after ranks agreed, on any.

    Args:
        named: names and parameters of all Muon groups, also those without a gradient.
        views: how parameters hold their matrices; plain where not named.
        certain: parameters whose gradient on this rank is known not to be zero.
        box_of: returns this rank's box of a parameter; None for the whole.
    """

    def __init__(
        self,
        named: Sequence[tuple[str, Tensor]],
        views: Mapping[str, MatrixView],
        certain: Collection[Tensor],
        box_of: Callable[[Tensor], Box | None],
    ) -> None:
        self._members: dict[Tensor, _Member] = {}
        for name, parameter in named:
            view, box = views.get(name, PLAIN), box_of(parameter)
            is_certain = parameter in certain and _num_matrices(parameter, view) == 1
            flags = None if is_certain else _flags_of(parameter, view, box)
            self._members[parameter] = _Member(parameter, view, box, flags)

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters of all Muon groups, in order."""
        return list(self._members)

    def packed(self, device: torch.device) -> Tensor:
        """Return (matrices of all parameters,) uint8: 1 for a gradient on this rank. In one order on all ranks."""
        one = torch.ones(1, dtype=torch.uint8, device=device)
        found = [one if m.flags is None else m.flags.to(device, torch.uint8) for m in self._members.values()]
        return torch.cat(found) if found else one[:0]

    def agree(self, packed: Tensor, steps_alone: Callable[[Tensor], bool]) -> None:
        """Set the flags to the maximum of `packed` over all ranks.

        Args:
            packed: (matrices of all parameters,).
            steps_alone: returns whether each rank updates a parameter by its own gradient; such a parameter keeps its
                flags.
        """
        counts = [_num_matrices(m.parameter, m.view) for m in self._members.values()]
        for member, flags in zip(self._members.values(), packed.split(counts), strict=True):
            if member.flags is not None and not steps_alone(member.parameter):
                member.flags = flags.to(member.parameter.device).bool()

    def make_masks(self, finite: Tensor | None) -> None:
        """Turn flags into masks.

        Args:
            finite: 0-dim bool; where it is False no matrix counts as active. None for True; on a CPU, where reading
                flags costs nothing, parameters without an idle matrix then get no mask.
        """
        for member in self._members.values():
            flags = member.flags
            if flags is None or flags.numel() == 0 or not is_updated(member.parameter):
                continue
            if finite is not None:
                flags = flags & finite.to(flags.device)
            elif flags.device.type == "cpu" and bool(flags.all()):
                continue
            member.mask = _spread(flags, _mask_shape(member.parameter.shape, member.view), member.view)

    def whole(self, parameter: Tensor) -> Tensor | None:
        """Return a bool tensor that broadcasts over the whole parameter: False where a matrix is idle.

        None for a parameter without idle matrices.
        """
        return self._members[parameter].mask

    def local(self, parameter: Tensor) -> Tensor | None:
        """Return this rank's part of the mask."""
        member = self._members[parameter]
        if member.mask is None or member.box is None:
            return member.mask
        return _within(member.box, member.mask).take(member.mask)

    def num_active(self, parameter: Tensor) -> Tensor | int:
        """Return how many weights of a parameter are in active matrices; 0-dim where that is on the device."""
        mask = self.whole(parameter)
        return parameter.numel() if mask is None else mask.sum() * (parameter.numel() // mask.numel())

    def idle_share(self) -> float:
        """Return the share of idle matrices among those of all parameters that require a gradient; 0 without any.

        Waits for the device.
        """
        members = [m for m in self._members.values() if m.parameter.requires_grad]
        total = sum(_num_matrices(m.parameter, m.view) for m in members)
        flags = [m.flags.to(members[0].parameter.device) for m in members if m.flags is not None]
        active = len(members) - len(flags) + (int(torch.cat(flags).sum()) if flags else 0)
        return 1 - active / total if total else 0.0


def active_in_batch(batch: Sequence[MatrixBlock], masks: Sequence[Tensor | None]) -> Tensor | None:
    """Return (matrices of the batch,) bool from the masks of its blocks; None where all are active."""
    if all(mask is None for mask in masks):
        return None
    device = next(mask.device for mask in masks if mask is not None)
    flags = [
        torch.ones(block.num_matrices, dtype=torch.bool, device=device)
        if mask is None
        else mask.reshape(block.num_matrices, block.matrix_shape[0], -1)[:, 0, 0]
        for block, mask in zip(batch, masks, strict=True)
    ]
    return flags[0] if len(flags) == 1 else torch.cat(flags)


def _num_matrices(parameter: Tensor, view: MatrixView) -> int:
    return sum([count for count, _, _ in view.matrix_shapes(parameter.shape)]) if parameter.numel() else 0


def _flags_of(parameter: Tensor, view: MatrixView, box: Box | None) -> Tensor:
    """Return (matrices,) bool: which have an entry on this rank that is not zero."""
    count = _num_matrices(parameter, view)
    if not is_updated(parameter) or parameter.grad is None or local_shard(parameter.grad).numel() == 0:
        return torch.zeros(count, dtype=torch.bool, device=parameter.device)
    gradient, inputs = local_shard(parameter.grad), _input_dims(view, parameter.ndim)
    # No norm, because the squares of tiny entries vanish; and nothing as large as the gradient is made.
    found = (
        (gradient.amax(inputs, keepdim=True) > 0) | (gradient.amin(inputs, keepdim=True) < 0)
        if inputs
        else gradient != 0
    )
    shape = _mask_shape(parameter.shape, view)
    if box is not None:
        whole = torch.zeros(shape, dtype=torch.bool, device=found.device)
        _within(box, whole).put_(whole, found)
        found = whole
    blocks, shapes = matrix_blocks(found.contiguous(), view), view.matrix_shapes(shape)
    flags = [block.reshape(c, n * m).any(1) for block, (c, n, m) in zip(blocks, shapes, strict=True)]
    return flags[0] if len(flags) == 1 else torch.cat(flags)


def _spread(flags: Tensor, shape: Sequence[int], view: MatrixView) -> Tensor:
    """Return a mask of that shape in which every matrix has its flag."""
    mask = torch.empty(shape, dtype=torch.bool, device=flags.device)
    counts = [count for count, _, _ in view.matrix_shapes(shape)]
    for block, of_section in zip(matrix_blocks(mask, view), flags.split(counts), strict=True):
        leading = 0  # dimensions that count matrices
        while math.prod(block.shape[:leading]) < len(of_section):
            leading += 1
        block.copy_(of_section.view(*block.shape[:leading], *[1] * (block.ndim - leading)))
    return mask


def _input_dims(view: MatrixView, ndim: int) -> tuple[int, ...]:
    """Return the dimensions along which a parameter's entries stay in one matrix."""
    if view.interleaved > 1 or (view.transposed and view.stacked > 1):
        return ()
    if view.kernel:
        return (0,) if view.transposed else tuple(range(1, ndim))
    return (ndim - 2,) if view.transposed else (ndim - 1,)


def _mask_shape(shape: Sequence[int], view: MatrixView) -> tuple[int, ...]:
    inputs = _input_dims(view, len(shape))
    return tuple(1 if dim in inputs else length for dim, length in enumerate(shape))


def _within(box: Box, mask: Tensor) -> Box:
    """Return a parameter's box as a box of its mask, whose input dimensions have one entry."""
    if box.numel == 0:
        return box
    return Box(tuple(((0, 1),) if n == 1 else r for n, r in zip(mask.shape, box.ranges, strict=True)))
