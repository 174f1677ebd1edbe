"""What MuonClip would do to a model.

`inspect_model` reads the head layout, the parameter plan and the proof of one model. They are given out as JSON, as a
tree of modules, and by `display` as tables.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import nn

from ..attention import AttentionLayout, HeadLayout, detect_head_layout, verify_head_layout
from ..attention.layout.parts import NeedsWeightsError
from ..attention.layout.probe import Probe
from ..attention.modules.random_inputs import evaluation_mode
from ..common.name_ranges import fold_names, ranges
from ..optim.parameters.param_groups import PlannedParameter, plan_parameters
from ..projection_views import projection_views

ProofStatus = Literal["passed", "partial", "failed", "not_run"]

# What a forward on random tokens raises in models that take something else.
_FORWARD_ERRORS = (ValueError, TypeError, RuntimeError, AttributeError, KeyError, IndexError, AssertionError)
_NEEDS_WEIGHTS = "the proof runs the model and needs weights; --weights loads them"


@dataclass(frozen=True)
class Proof:
    """Whether the layout was proven by behaviour.

    Attributes:
        status: "passed" all modules, "partial" those that the forward reached, "failed", or "not_run".
        detail: why, in a sentence.
        modules: {module name: "passed", "failed" or "not reached"}; empty if nothing was run.
    """

    status: ProofStatus
    detail: str
    modules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspection:
    """All that is known of one model.

    Attributes:
        source: the name that the user gave.
        model: with weights or on the meta device.
        has_weights: whether the model has its weights.
        layout: the head layout; empty if it was refused.
        refusal: why the layout was refused; empty if it was not.
        needs_weights: whether it was refused because the model has no weights to run with.
        plan: what updates which parameter.
        proof: the proof of the layout.
    """

    source: str
    model: nn.Module
    has_weights: bool
    layout: HeadLayout
    refusal: str
    needs_weights: bool
    plan: list[PlannedParameter]
    proof: Proof

    @property
    def frozen(self) -> list[str]:
        """Names of the parameters that nothing updates."""
        planned = {parameter.name for parameter in self.plan}
        return [name for name, _ in self.model.named_parameters() if name not in planned]

    @property
    def model_type(self) -> str:
        """The model_type of the model's config."""
        return str(getattr(getattr(self.model, "config", None), "model_type", "") or "unknown type")


def inspect_model(source: str, model: nn.Module) -> Inspection:
    """Return what MuonClip would do to a model.

    Args:
        source: where the model comes from, in the user's words.
        model: with weights, then the layout is proven, or on the meta device.
    """
    has_weights = not any(parameter.is_meta for parameter in model.parameters())
    refusal, needs_weights = "", False
    try:
        layout = detect_head_layout(model)
    except ValueError as error:
        layout, refusal, needs_weights = HeadLayout({}), str(error), isinstance(error, NeedsWeightsError)
    proof = prove(model, layout) if has_weights else Proof("not_run", _NEEDS_WEIGHTS)
    if refusal:
        proof = Proof("not_run", "there is no layout to prove")
    plan = plan_parameters(model, projection_views(model, None if refusal else layout))
    return Inspection(source, model, has_weights, layout, refusal, needs_weights, plan, proof)


def prove(model: nn.Module, layout: HeadLayout) -> Proof:
    """Prove the modules that a forward on random tokens reaches, and say which it does not."""
    try:
        with evaluation_mode(model):
            missed = set(Probe(model, {name: model.get_submodule(name) for name in layout}, None).not_run)
    except _FORWARD_ERRORS as error:
        return Proof("not_run", f"the model does not run on random tokens: {_one_line(error)}")
    reached = {name: module for name, module in layout.items() if name not in missed}
    if not reached:
        return Proof("not_run", "random tokens reach none of the attention modules")
    modules = {name: "passed" if name in reached else "not reached" for name in layout}
    reason = _disproof(model, reached)
    if reason:
        modules |= {name: "failed" for name, module in reached.items() if _disproof(model, {name: module})}
        return Proof("failed", reason, modules)
    proven = f"{len(reached)} module{'' if len(reached) == 1 else 's'}"
    if missed:
        names = ", ".join(fold_names([name for name in layout if name in missed]))
        return Proof("partial", f"{proven} passed; random tokens do not reach {names}", modules)
    return Proof("passed", f"{proven} moved head by head as the layout says", modules)


def _disproof(model: nn.Module, modules: Mapping[str, AttentionLayout]) -> str:
    try:
        verify_head_layout(model, HeadLayout(modules))
    except ValueError as error:
        return str(error)
    return ""


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()


def as_json(inspection: Inspection) -> dict[str, Any]:
    """Return the facts as one JSON object, unfolded; `hf-muonclip inspect --help` documents the keys."""
    model, layout = inspection.model, inspection.layout
    return {
        "model": {
            "source": inspection.source,
            "class": type(model).__name__,
            "model_type": inspection.model_type,
            "weights": sum(parameter.numel() for parameter in model.parameters()),
            "loaded": inspection.has_weights,
        },
        "refusal": inspection.refusal or None,
        "layouts": [
            {
                "name": name,
                "attention_class": module.attention_class,
                "kind": module.kind,
                "num_attention_heads": module.num_attention_heads,
                "num_key_value_heads": module.num_key_value_heads,
                "head_dim": module.head_dim,
                "granularity": module.granularity,
                "head_rows": [
                    [rows.parameter, rows.dim, rows.role, rows.offset, [[r.start, r.stop] for r in rows.rows]]
                    for rows in module.head_rows
                ],
                "gamma_groups": list(module.gamma_groups),
                "note": module.note,
                "shares_weights_with": module.shares_weights_with,
                "found_by_behavior": name in layout.found_by_behavior,
                "proof": inspection.proof.modules.get(name, "not run"),
            }
            for name, module in layout.items()
        ],
        "not_applicable": dict(layout.not_applicable),
        "parameters": [
            {
                "name": planned.name,
                "shape": list(planned.shape),
                "algorithm": planned.algorithm,
                "decays": planned.decays,
                "reason": planned.reason,
            }
            for planned in inspection.plan
        ],
        "frozen": inspection.frozen,
        "proof": {"status": inspection.proof.status, "detail": inspection.proof.detail},
    }


@dataclass(frozen=True)
class Node:
    """A module, or several equal ones, with what MuonClip does to it.

    Attributes:
        name: the module's name, or folded numbers such as "0-29".
        class_name: the module's class.
        facts: (kind, text) lines: an attention's granularity with its layout, a parameter's algorithm with its reason.
        children: submodules that hold parameters.
        count: number of equal modules that this stands for.
    """

    name: str
    class_name: str
    facts: tuple[tuple[str, str], ...]
    children: tuple["Node", ...]
    count: int = 1

    @property
    def title(self) -> str:
        """Return name, class and count."""
        return f"{self.name} {self.class_name}" + (f" x{self.count}" if self.count > 1 else "")


def module_tree(inspection: Inspection) -> Node:
    """Return the modules that hold parameters, equal layers folded."""
    treated = {planned.name: (planned.algorithm, planned.reason) for planned in inspection.plan}
    owners: dict[nn.Parameter, str] = {}
    for name, parameter in inspection.model.named_parameters():
        owners[parameter] = name

    def facts(path: str, module: nn.Module) -> tuple[tuple[str, str], ...]:
        lines: list[tuple[str, str]] = []
        if path in inspection.layout:
            layout = inspection.layout[path]
            heads = f"{layout.num_attention_heads} heads, {layout.num_key_value_heads} kv heads"
            clipped = "monitored only" if layout.granularity == "monitored" else f"clipped by {layout.granularity}"
            lines.append((layout.granularity, f"{layout.kind}, {heads}, head dims {head_dims(layout)}, {clipped}"))
        elif path in inspection.layout.not_applicable:
            lines.append(("not applicable", f"not applicable, {inspection.layout.not_applicable[path]}"))
        for own, parameter in module.named_parameters(recurse=False):
            name = f"{path}.{own}" if path else own
            shape = "x".join(map(str, parameter.shape)) or "scalar"
            if owners[parameter] != name:
                lines.append(("tied", f"{own} {shape} tied to {owners[parameter]}"))
                continue
            algorithm, reason = treated.get(name, ("frozen", "requires no gradient"))
            lines.append((algorithm, f"{own} {shape} {algorithm}: {reason}"))
        return tuple(lines)

    def grow(name: str, path: str, module: nn.Module) -> Node:
        children = [
            grow(child_name, f"{path}.{child_name}" if path else child_name, child)
            for child_name, child in module.named_children()
            if any(True for _ in child.parameters())
        ]
        return Node(name, type(module).__name__, facts(path, module), tuple(_fold_nodes(children)))

    return grow(inspection.source, "", inspection.model)


def _fold_nodes(nodes: Sequence[Node]) -> list[Node]:
    groups: dict[Node, list[Node]] = {}
    for node in nodes:
        groups.setdefault(replace(node, name="") if node.name.isdigit() else node, []).append(node)
    return [
        replace(group[0], name=ranges(int(node.name) for node in group), count=len(group))
        if len(group) > 1
        else group[0]
        for group in groups.values()
    ]


def head_dims(layout: AttentionLayout) -> str:
    """Return the width of a head, in parts where latent attention splits it: own key + shared key."""
    own = {rows.parameter: len(rows.rows[0]) for rows in layout.head_rows if rows.role == "query"}
    for rows in layout.head_rows:
        width = own.get(rows.parameter)
        if rows.role == "query of shared key" and width and width + len(rows.rows[0]) == layout.head_dim:
            return f"{width}+{len(rows.rows[0])}"
    return str(layout.head_dim)
