"""Param groups that a user adds to an optimizer of a whole model, named and planned as the model's own."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..matrix_view import PLAIN
from .frozen import named_members
from .param_groups import PlannedParameter


def completed_group(
    param_group: Mapping[str, Any], model: nn.Module, plan: Iterable[PlannedParameter]
) -> dict[str, Any]:
    """Return a user's param group with names, and with an algorithm if the plan has only one for its parameters.

    Args:
        param_group: what `add_param_group` was given.
        model: the model whose parameter names are used; other parameters keep the user's names.
        plan: plan of all of the model's parameters.

    Raises:
        ValueError: the group names no algorithm, and the plan has both for its parameters.
    """
    members = named_members(param_group, {id(parameter): name for name, parameter in model.named_parameters()})
    algorithms = {planned.name: planned.algorithm for planned in plan}
    by_algorithm: dict[str, list[str]] = {}
    for name, _ in members:
        by_algorithm.setdefault(algorithms.get(name, "muon"), []).append(name)
    if "algorithm" not in param_group and len(by_algorithm) > 1:
        muon, adamw = by_algorithm["muon"], by_algorithm["adamw"]
        raise ValueError(
            f"a param group needs one algorithm; {muon[0]} ({len(muon)} in all) is planned for Muon and {adamw[0]} "
            f"({len(adamw)} in all) for AdamW. Add two groups, with algorithm='muon' and algorithm='adamw'."
        )
    return {"algorithm": next(iter(by_algorithm), "muon"), **param_group, "params": members}


def added_to_plan(
    plan: Iterable[PlannedParameter], known: Mapping[str, PlannedParameter], group: Mapping[str, Any]
) -> list[PlannedParameter]:
    """Return a plan with the members of a group that was added.

    Args:
        plan: the plan before.
        known: {name: what was planned} for parameters of the model.
        group: the added group, as the optimizer holds it.
    """
    added = []
    for name, parameter in zip(group["param_names"], group["params"], strict=True):
        before = known.get(name)
        reason = f"{before.reason}; added by add_param_group" if before else "added by add_param_group"
        view = before.view if before else PLAIN
        decays = group["weight_decay"] != 0
        added.append(PlannedParameter(name, tuple(parameter.shape), group["algorithm"], decays, reason, view))
    return [*plan, *added]
