"""Frozen parameters: a step does not change them, and trains them from the step at which they are unfrozen.

`requires_grad` is read at every step, so layers may be frozen and unfrozen while training goes on (LISA, gradual
unfreezing). A model's frozen parameters are in param groups of their own from the start: schedulers, checkpoints and
other ranks then see the same groups before and after. They have no state until they are unfrozen.
"""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def is_updated(parameter: Tensor) -> bool:
    """Return whether a step taken now updates the parameter: it has a gradient and is not frozen.

    An `nn.Parameter` with `requires_grad=False` is frozen. A plain tensor, such as the float32 master copies that some
    engines put into param groups, never requires a gradient and is updated whenever it has one.
    """
    if parameter.grad is None:
        return False
    return parameter.requires_grad or not isinstance(parameter, nn.Parameter)


def can_be_unfrozen(parameter: Tensor) -> bool:
    """Return whether a frozen parameter can be unfrozen; one that is quantized, packed or without storage cannot."""
    plain = type(parameter) in (nn.Parameter, Tensor) or isinstance(parameter, DTensor)
    return plain and parameter.is_floating_point() and parameter.layout == torch.strided and not parameter.is_meta


def named_members(param_group: Mapping[str, Any], names: Mapping[int, str]) -> list[tuple[str, Tensor]]:
    """Return the parameters that a user's group holds, each with a name.

    Args:
        param_group: its `params` is a tensor, or an iterable of tensors or of (name, tensor) pairs.
        names: {id of a parameter: its name in the model}, which wins over the user's.
    """
    given = param_group["params"]
    members = []
    for place, entry in enumerate([given] if isinstance(given, Tensor) else given):
        name, parameter = entry if isinstance(entry, tuple) else (f"added parameter {place}", entry)
        members.append((names.get(id(parameter), name), parameter))
    return members


def take_out_(groups: Sequence[MutableMapping[str, Any]], parameters: Iterable[Tensor]) -> None:
    """Take parameters out of named param groups. In place; a group may be left empty, as schedulers count groups."""
    taken = {id(parameter) for parameter in parameters}
    for group in groups:
        kept = [(name, p) for name, p in zip(group["param_names"], group["params"], strict=True) if id(p) not in taken]
        group["param_names"] = [name for name, _ in kept]
        group["params"] = [parameter for _, parameter in kept]
