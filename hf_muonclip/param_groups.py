"""Which algorithm updates which parameter, and why.

Muon is for matrices that map hidden vectors to hidden vectors. AdamW keeps what is indexed rather than multiplied
(embeddings), what leaves the hidden space (the output head), what picks rather than transforms (routers), and
everything that is no matrix (norm gains, biases). The rules ask modules what they are before they look at any name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from .matrix_view import MatrixView

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ROUTER_NAME = re.compile(r"(^|\.)(router|gate|shared_expert_gate)(\.|$)")
_FUSED_GATE_UP_NAME = re.compile(r"(^|\.)gate_up_proj(\.|$)")


@dataclass(frozen=True)
class PlannedParameter:
    """One trainable parameter and what will update it.

    Attributes:
        name: as in `model.named_parameters()`.
        shape: of the parameter.
        algorithm: "muon" or "adamw".
        decays: whether weight decay applies; norm gains and biases do not decay, as in `Trainer`.
        reason: why, in a few words.
        view: how a Muon parameter holds its matrices.
    """

    name: str
    shape: tuple[int, ...]
    algorithm: str
    decays: bool
    reason: str
    view: MatrixView = MatrixView()


def plan_parameters(model: nn.Module) -> list[PlannedParameter]:
    """Decide for every trainable parameter of a model whether Muon or AdamW updates it.

    Args:
        model: any module; transformers models also tell their embeddings, head, routers and experts.

    Returns:
        One entry per parameter, in the order of `model.named_parameters()`; tied parameters appear once.
    """
    head = _output_head(model)
    routers = _router_classes(model)
    num_experts = _num_experts(model)
    inside_base = _inside_base(model)
    plan = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        module = model.get_submodule(name.rpartition(".")[0])
        algorithm, reason, view = "adamw", "", MatrixView()
        if isinstance(module, nn.Embedding):
            reason = "embedding: rows are looked up, not multiplied"
        elif head is not None and parameter is getattr(head, "weight", None):
            reason = "output head: maps to the vocabulary"
        elif parameter.ndim < 2:
            reason = "bias" if name.endswith("bias") else "vector: no matrix to orthogonalize"
        elif name.endswith("bias"):
            reason = "bias of several experts"
        elif isinstance(module, routers) or (_ROUTER_NAME.search(name) and parameter.shape[0] in (1, num_experts)):
            reason = "router: picks experts"
        elif inside_base is not None and parameter not in inside_base:
            reason = "head: stands outside the base model"
        elif isinstance(module, _CONVOLUTIONS):
            reason = "convolution kernel"
        elif parameter.ndim == 3 and _is_experts(module, parameter.shape[0]):
            algorithm, view = "muon", _experts_view(module, name)
            reason = f"{parameter.shape[0]} experts" + (", gate and up split" if view.parts == 2 else "")
        elif parameter.ndim == 2 and name.endswith("weight") and _is_linear(module):
            parts = 2 if _FUSED_GATE_UP_NAME.search(name) else 1
            algorithm, view = "muon", MatrixView(parts=parts, transposed=_is_conv1d(module))
            reason = "hidden matrix" + (", gate and up split" if parts == 2 else "")
        else:
            reason = f"not known as a linear map ({type(module).__name__})"
        decays = parameter.ndim >= 2 and not name.endswith("bias")
        plan.append(PlannedParameter(name, tuple(parameter.shape), algorithm, decays, reason, view))
    return plan


def param_groups(model: nn.Module, plan: Iterable[PlannedParameter], weight_decay: float) -> list[dict[str, Any]]:
    """Turn a plan into named param groups: Muon, AdamW with decay, AdamW without.

    Raises:
        ValueError: nothing is left for Muon.
    """
    plan = list(plan)
    if not any(planned.algorithm == "muon" for planned in plan):
        found = "\n".join(f"  {planned.name} {planned.shape}: {planned.reason}" for planned in plan[:10])
        raise ValueError(
            f"Muon needs at least one trainable hidden matrix; {type(model).__name__} offers {len(plan)} trainable "
            f"parameters and none is one:\n{found or '  (none)'}\nUnfreeze the layers, build the optimizer before "
            "another engine flattens or shards the parameters, or train with AdamW."
        )
    parameters = dict(model.named_parameters())
    groups = []
    for algorithm, decays in (("muon", True), ("adamw", True), ("adamw", False)):
        members = [p.name for p in plan if p.algorithm == algorithm and p.decays == decays]
        if members:
            groups.append(
                {
                    "params": [(name, parameters[name]) for name in members],
                    "algorithm": algorithm,
                    "weight_decay": weight_decay if decays else 0.0,
                }
            )
    return groups


def describe_plan(plan: Iterable[PlannedParameter]) -> str:
    """Return a plan as a table: parameter, shape, algorithm, weight decay, reason."""
    rows = [
        (p.name, "x".join(map(str, p.shape)), p.algorithm, "decay" if p.decays else "no decay", p.reason) for p in plan
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row[:4], widths, strict=True)), row[4]]) for row in rows]
    return "\n".join(lines)


def _output_head(model: nn.Module) -> nn.Module | None:
    get_output_embeddings = getattr(model, "get_output_embeddings", None)
    return get_output_embeddings() if callable(get_output_embeddings) else None


def _router_classes(model: nn.Module) -> tuple[type[nn.Module], ...]:
    """Return the classes that the model itself records router logits from."""
    classes: list[type[nn.Module]] = []
    for module in model.modules():
        recorded = (getattr(module, "_can_record_outputs", None) or {}).get("router_logits")
        for recorder in recorded if isinstance(recorded, list) else [recorded]:
            target = getattr(recorder, "target_class", recorder)
            # Some models name plain nn.Linear with a layer_name; that class says nothing of the module.
            if isinstance(target, type) and issubclass(target, nn.Module) and not issubclass(target, nn.Linear):
                classes.append(target)
    return tuple(set(classes))


def _num_experts(model: nn.Module) -> int | None:
    config: Any = getattr(model, "config", None)
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in ("num_local_experts", "num_experts", "n_routed_experts"):
        if isinstance(getattr(text_config, name, None), int):
            return int(getattr(text_config, name))
    return None


def _inside_base(model: nn.Module) -> set[nn.Parameter] | None:
    """Return the parameters of the base model under the heads; None for a model without a base of its own."""
    inner: Any = model
    if hasattr(model, "get_base_model"):  # PEFT's wrapper
        inner = inner.get_base_model()
    prefix = getattr(inner, "base_model_prefix", "")
    base = getattr(inner, prefix, None) if prefix else None
    return set(base.parameters()) if isinstance(base, nn.Module) else None


def _is_conv1d(module: nn.Module) -> bool:
    """Tell transformers' Conv1D: a linear map whose weight is stored (in, out)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or _is_conv1d(module)


def _is_experts(module: nn.Module, leading: int) -> bool:
    return hasattr(module, "is_transposed") or getattr(module, "num_experts", None) == leading


def _experts_view(module: nn.Module, name: str) -> MatrixView:
    # Modules that transformers' `use_experts_implementation` decorated say how they store their weights.
    fused = bool(_FUSED_GATE_UP_NAME.search(name)) and getattr(module, "has_gate", True)
    return MatrixView(
        parts=2 if fused else 1,
        interleaved=fused and not getattr(module, "is_concatenated", True),
        transposed=_stores_in_out(module),
    )


def _stores_in_out(module: nn.Module) -> bool:
    """Tell whether experts are stored (E, in, out): as the module says, or else as its shapes do."""
    stated = getattr(module, "is_transposed", None)
    if stated is not None:
        return bool(stated)
    gate_up, down = getattr(module, "gate_up_proj", None), getattr(module, "down_proj", None)
    if isinstance(gate_up, nn.Parameter) and isinstance(down, nn.Parameter):
        # Of (E, 2·I, H), (E, H, I) and (E, H, 2·I), (E, I, H) only the second has these sizes in common (Llama 4).
        return gate_up.shape[2] == 2 * down.shape[1] and gate_up.shape[1] == down.shape[2]
    return False
