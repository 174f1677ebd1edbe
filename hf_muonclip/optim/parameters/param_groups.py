"""Plan which algorithm updates which parameter, and why.

Muon is for matrices that map hidden vectors to hidden vectors. AdamW keeps what is indexed rather than multiplied
(embeddings), what leaves the hidden space (the output head), what picks rather than transforms (routers), and
everything that is no matrix (norm gains, biases). The rules look at modules first, and at names last.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from ...common.text_table import aligned
from ..matrix_view import PLAIN, MatrixView
from .frozen import can_be_unfrozen
from .fused_weights import (
    is_convolution,
    is_linear,
    read_parametrized,
    view_of_experts,
    view_of_kernel,
    view_of_linear,
)
from .lora_weights import is_magnitude, read_factor, read_lora_factor, reason_for_adamw
from .output_heads import OUTSIDE_BASE, find_output_heads

_ROUTER_NAME = re.compile(r"(^|\.)(router|router_gate|gate|shared_expert_gate)(\.|$)")


@dataclass(frozen=True)
class PlannedParameter:
    """One parameter with the algorithm that will update it.

    Attributes:
        name: as in `model.named_parameters()`.
        shape: shape of the parameter.
        algorithm: "muon" or "adamw".
        decays: whether weight decay applies; norm gains and biases do not decay, as in `Trainer`.
        reason: why this algorithm, in a few words.
        view: how a Muon parameter holds its matrices. A convolution's kernel has its view already while AdamW updates
            it, so that a change of algorithm is all that Muon needs.
        settings: settings of its param group that an override set.
    """

    name: str
    shape: tuple[int, ...]
    algorithm: str
    decays: bool
    reason: str
    view: MatrixView = PLAIN
    settings: Mapping[str, Any] = field(default_factory=dict)


def plan_parameters(
    model: nn.Module, views: Mapping[str, tuple[MatrixView, str]] | None = None, *, frozen: bool = False
) -> list[PlannedParameter]:
    """Return for every trainable parameter of a model whether Muon or AdamW updates it.

    Args:
        model: any module; transformers models also state their embeddings, head, routers and experts.
        views: how projections that the caller knows hold their matrices, {parameter name: (view, what is split, in
            words)}; a parameter named here is a linear map, whatever its module.
        frozen: plan the frozen parameters that can be unfrozen instead.

    Returns:
        One entry per parameter, in the order of `model.named_parameters()`; tied parameters appear once.
    """
    heads = find_output_heads(model)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    routers = _router_classes(model)
    inside_router = {p for module in model.modules() if isinstance(module, routers) for p in _router_parameters(module)}
    num_experts = _num_experts(model)
    views = views or {}
    plan = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad == frozen or (frozen and not can_be_unfrozen(parameter)):
            continue
        path = name.rpartition(".")[0]
        module = model.get_submodule(path)
        algorithm, reason, view = "adamw", "", PLAIN
        factor = read_lora_factor(model, name, views) or read_factor(model, name, views)
        if adapter := reason_for_adamw(name):
            reason = adapter
        elif id(parameter) in tables or (name in heads.looked_up and parameter.ndim == 2 and is_linear(module)):
            reason = "embedding: rows are looked up, not multiplied"
        elif heads.reasons.get(name, "").startswith("output head"):
            reason = heads.reasons[name]
        elif parameter.ndim < 2:
            reason = "bias" if name.endswith("bias") else "vector: no matrix to orthogonalize"
        elif name.endswith("bias"):
            reason = "bias of several experts"
        elif parameter in inside_router or (
            _ROUTER_NAME.search(name) and (factor.outputs if factor else parameter.shape[0]) in (1, *num_experts)
        ):
            reason = "router: picks experts"
        elif name in heads.reasons and (name not in views or heads.reasons[name] == OUTSIDE_BASE):
            reason = heads.reasons[name]
        elif is_convolution(module):
            kernel = view_of_kernel(module)
            reason = "convolution kernel" if kernel else "transposed convolution kernel"
            if kernel:
                view = kernel
                reason += f"; {_said_of_kernel(kernel, parameter.shape)} if a group override gives it to muon"
        elif factor is not None:
            algorithm, reason, view = "muon", factor.reason, factor.view
        elif (experts := view_of_experts(model, name)) is not None:
            view, count, split = experts
            algorithm, reason = "muon", ", ".join(filter(None, [f"{count} expert{'s' * (count > 1)}", split]))
        elif name in views or (parameter.ndim == 2 and name.endswith("weight") and is_linear(module)):
            view, split = views[name] if name in views else view_of_linear(model, path)
            said = ["hidden matrix", split, "" if name in views else heads.doubts.get(name)]
            algorithm, reason = "muon", ", ".join(filter(None, said))
        elif (made := read_parametrized(model, name)) is not None:
            linear, is_matrix, reason = made
            if f"{linear}.weight" in heads.reasons:
                reason = f"{heads.reasons[f'{linear}.weight']}, {reason}"
            elif is_matrix:
                view, split = view_of_linear(model, linear)
                algorithm, reason = "muon", ", ".join(filter(None, [reason, split]))
        else:
            reason = f"not known as a linear map ({type(module).__name__})"
        decays = parameter.ndim >= 2 and not name.endswith("bias") and not is_magnitude(name)
        plan.append(PlannedParameter(name, tuple(parameter.shape), algorithm, decays, reason, view))
    return plan


def override_plan(
    plan: Iterable[PlannedParameter], overrides: Mapping[str, Mapping[str, Any]]
) -> list[PlannedParameter]:
    """Return a plan with the settings of every pattern given to the parameters whose names it matches.

    Args:
        plan: plan of a model.
        overrides: {pattern: settings of a param group}, * and ? as in file names; where several match, the later wins.

    Raises:
        ValueError: a pattern matches no trainable parameter.
    """
    plan = list(plan)
    for pattern, settings in overrides.items():
        if not any(fnmatchcase(planned.name, pattern) for planned in plan):
            names = ", ".join(planned.name for planned in plan[:3])
            raise ValueError(
                f"a pattern of group_overrides must match a trainable parameter; {pattern!r} matches none of "
                f"{len(plan)} ({names}, ...). * stands for any characters, also dots: '*.q_proj.weight'."
            )
        plan = [
            replace(
                planned,
                algorithm=settings.get("algorithm", planned.algorithm),
                decays=settings.get("weight_decay", planned.decays) != 0,
                settings={**planned.settings, **settings},
                reason=f"{planned.reason}; {pattern} sets {', '.join(f'{k}={v}' for k, v in settings.items())}",
            )
            if fnmatchcase(planned.name, pattern)
            else planned
            for planned in plan
        ]
    return plan


def param_groups(
    model: nn.Module, plan: Iterable[PlannedParameter], weight_decay: float, frozen: Iterable[PlannedParameter] = ()
) -> list[dict[str, Any]]:
    """Return a plan as named param groups: Muon, AdamW with decay, AdamW without, then those that overrides set apart.

    Args:
        model: holds the parameters.
        plan: plan of its trainable parameters.
        weight_decay: weight decay of the groups that decay.
        frozen: the plan of frozen parameters that the groups hold too; they follow in groups of their own.

    Raises:
        ValueError: nothing is trainable, or nothing is left for Muon.
    """
    plan, frozen = list(plan), list(frozen)
    if not plan or not any(planned.algorithm == "muon" for planned in [*plan, *frozen]):
        found = "\n".join(f"  {planned.name} {planned.shape}: {planned.reason}" for planned in plan[:10])
        raise ValueError(
            f"Muon needs at least one trainable hidden matrix; {type(model).__name__} has {len(plan)} trainable "
            f"parameters, and none of them is one:\n{found or '  (none)'}\n{_advice(model, plan)}"
        )
    return [*_groups_of(model, plan, weight_decay), *_groups_of(model, frozen, weight_decay)]


def _advice(model: nn.Module, plan: Iterable[PlannedParameter]) -> str:
    """Return advice for a model without matrices for Muon."""
    unknown = [planned for planned in plan if planned.reason.startswith(("not known as a linear map", "convolution"))]
    matrices = [planned.name for planned in unknown if min(planned.shape[:2]) > 1]
    given = f"give it one with group_overrides={{{matrices[0]!r}: {{'algorithm': 'muon'}}}}" if matrices else ""
    configs = getattr(model, "peft_config", None)
    if not isinstance(configs, Mapping) or not plan:
        also = f", {given}" if given else ""
        return (
            "Unfreeze the layers, build the optimizer before another engine flattens or shards the parameters"
            f"{also}, or train with AdamW."
        )
    types = [getattr(config, "peft_type", config) for config in configs.values()]
    methods = " and ".join(sorted({str(getattr(kind, "value", kind)) for kind in types}))
    return (
        f"The adapter method {methods} trains no matrices here that Muon could orthogonalize. Train it with "
        f"AdamW{f', or {given}' if given else ''}; LoRA and the other methods that train "
        "low-rank matrices suit Muon."
    )


def _groups_of(model: nn.Module, plan: Iterable[PlannedParameter], weight_decay: float) -> list[dict[str, Any]]:
    parameters = dict(model.named_parameters())
    members: dict[tuple[bool, bool, bool, str], list[PlannedParameter]] = {}
    for planned in plan:
        settings = repr(sorted(planned.settings.items()))
        key = (bool(planned.settings), planned.algorithm != "muon", not planned.decays, settings)
        members.setdefault(key, []).append(planned)
    return [
        {
            "params": [(planned.name, parameters[planned.name]) for planned in members[key]],
            "algorithm": members[key][0].algorithm,
            "weight_decay": weight_decay if members[key][0].decays else 0.0,
            **members[key][0].settings,
        }
        for key in sorted(members)
    ]


def describe_plan(plan: Iterable[PlannedParameter]) -> str:
    """Return a plan as a table: parameter, shape, algorithm, weight decay, reason."""
    rows = [
        (p.name, "x".join(map(str, p.shape)), p.algorithm, "decay" if p.decays else "no decay", p.reason) for p in plan
    ]
    return "\n".join(aligned(rows))


def _router_classes(model: nn.Module) -> tuple[type[nn.Module], ...]:
    """Return the module classes whose router logits the model records."""
    classes: list[type[nn.Module]] = []
    for module in model.modules():
        recorded = (getattr(module, "_can_record_outputs", None) or {}).get("router_logits")
        for recorder in recorded if isinstance(recorded, list) else [recorded]:
            target = getattr(recorder, "target_class", recorder)
            # Some models name plain nn.Linear with a layer_name; that class does not identify the router.
            if isinstance(target, type) and issubclass(target, nn.Module) and target is not nn.Linear:
                classes.append(target)
    return tuple(set(classes))


def _router_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that pick experts in a module whose router logits are recorded.

    It is the router, or, as in older transformers and in Doge, the whole layer around the router and its experts.
    """
    if any(view_of_experts(module, name) is not None for name, _ in module.named_parameters()):
        return []  # then the router is found by its name and its number of outputs
    inside = [child for name, child in module.named_modules() if _ROUTER_NAME.search(name)]
    return [parameter for part in inside or [module] for parameter in part.parameters()]


def _num_experts(model: nn.Module) -> set[int]:
    """Return the numbers of experts that a router of the model may choose from, also with zero-computation experts."""
    config: Any = getattr(model, "config", None)
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    names = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    counts = {int(count) for name in names if isinstance(count := getattr(text_config, name, None), int)}
    unchanging = getattr(text_config, "zero_expert_num", None)  # LongCat-Flash
    return counts | {count + unchanging for count in counts if isinstance(unchanging, int)}


def _said_of_kernel(view: MatrixView, shape: torch.Size) -> str:
    ((count, out_features, in_features),) = view.matrix_shapes(shape)
    return f"{'one matrix' if count == 1 else f'{count} matrices'} of {out_features} x {in_features}"
