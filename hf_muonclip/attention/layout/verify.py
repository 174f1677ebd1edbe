"""Prove a head layout by behaviour: move every head on its own and see that only it moves.

Two probes per attention module, on one forward of the model with random tokens:

- Gradients. The rows of a parameter that a head's scores depend on must be the rows that the layout names; this finds
  swapped heads, and rows that feed something else, such as values or a gate.
- Scaling. Every head, or group of heads that are scaled as one, gets a binary code; for each bit, the heads that have
  it are scaled by gamma = 1/4 through the rows that the layout names, and the module runs again. Each head's scores
  must shrink by exactly its gamma and the values not at all. Factors are powers of two, so the comparison is sharp in
  any dtype.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..head_layout import AttentionLayout, HeadLayout
from ..modules.find import unwrap
from ..modules.random_inputs import evaluation_mode
from ..qk_clip import scale_heads_
from .probe import Observed, Probe, describe_rows, differentiable, rows_with_gradient

_GAMMA = 0.25  # its square root is a power of two as well
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def verify_head_layout(model: nn.Module, layout: HeadLayout, inputs: Mapping[str, Any] | None = None) -> None:
    """Prove that a layout names the rows that feed each head, all of them, and no others.

    Runs the model once on a few random tokens and each attention module a few times. Weights are restored bit for bit,
    also when the proof fails.

    Args:
        model: a transformers model with weights.
        layout: from `detect_head_layout`, or written by hand.
        inputs: the arguments of one forward that reaches every module; by default a few random tokens, which models
            that take images or sound do not all accept.

    Raises:
        ValueError: a head did not move as the layout says, with its module, head and rows; a projection that the layout
            names does not exist; a module did not run; the model takes no tokens, or is on the meta device.
    """
    model = unwrap(model)
    modules = {name: model.get_submodule(name) for name in layout}
    for name, module in modules.items():
        _require_parameters(name, module, layout[name])
    with evaluation_mode(model):
        probe = Probe(model, modules, inputs)
        if probe.not_run:
            raise ValueError(
                f"every module of the layout must run in the proof's forward; {', '.join(probe.not_run)} did not. Pass "
                "inputs={...} that reach them, or HeadLayout({...}) without these modules: what does not run cannot be "
                "proven."
            )
        for name, module in modules.items():
            _prove(layout[name], module, probe)


def _prove(layout: AttentionLayout, module: nn.Module, probe: Probe) -> None:
    parameters = _named_and_beside(layout, module)
    if not parameters:
        with torch.no_grad():
            _require_head_counts(layout, probe.run(layout.name))
        return
    with differentiable(parameters):
        observed = probe.run(layout.name)
        _require_head_counts(layout, observed)
        _prove_by_gradient(layout, observed, parameters)
    with torch.no_grad():
        _prove_by_scaling(layout, module, probe, observed)


def _prove_by_gradient(layout: AttentionLayout, observed: Observed, parameters: Mapping[str, nn.Parameter]) -> None:
    scores = observed.flat()
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(scores.shape[1], generator=generator).to(scores) + 0.5
    dims = dict.fromkeys(parameters, 0) | {rows.parameter: rows.dim for rows in layout.head_rows}
    feeds: list[dict[str, set[int]]] = []  # per head
    for head in range(layout.num_attention_heads):
        gradients = torch.autograd.grad(
            scores[head] @ weights, list(parameters.values()), retain_graph=True, allow_unused=True
        )
        rows = (rows_with_gradient(g, dims[name]) for name, g in zip(parameters, gradients, strict=True))
        feeds.append(dict(zip(parameters, rows, strict=True)))
    for head, fed in enumerate(feeds):
        for name in parameters:
            named = {row for rows in layout.head_rows if rows.parameter == name for row in rows.rows[head]}
            # One fused weight may hold the keys too; those that several heads share are rightly not named.
            others = {row for other, by_name in enumerate(feeds) if other != head for row in by_name[name]}
            if named - fed[name] or (fed[name] - named) - others:
                raise ValueError(
                    f"head {head} of {layout.name} ({layout.attention_class}) depends on rows "
                    f"{describe_rows(fed[name])} of {name}, and the layout names {describe_rows(named)}."
                )


def _named_and_beside(layout: AttentionLayout, module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that the layout names, and the others of the same projections, such as a bias."""
    parameters: dict[str, nn.Parameter] = {}
    # Under DoRA's magnitudes the weight gives the direction alone, so that only a bias beside it is scaled.
    adapted = (rows.parameter.partition(".lora_magnitude_vector.") for rows in layout.head_rows)
    directions = {f"{projection}.base_layer" for projection, found, _ in adapted if found}
    for rows in layout.head_rows:
        owner = rows.parameter.rpartition(".")[0]
        made = owner.endswith(".parametrizations.weight")  # beside a direction
        known = not owner or owner in directions or made
        beside = () if known else module.get_submodule(owner).named_parameters(prefix=owner, recurse=False)
        parameters |= {
            name: parameter
            for name, parameter in beside
            if parameter.is_floating_point() and not name.endswith(".weight_v")
        }
        parameters[rows.parameter] = module.get_parameter(rows.parameter)
    return parameters


def _require_head_counts(layout: AttentionLayout, observed: Observed) -> None:
    heads = {scores.shape[0] for scores in observed.scores}
    key_heads = set(observed.key_heads)
    if heads != {layout.num_attention_heads} or key_heads - {layout.num_key_value_heads, layout.num_attention_heads}:
        seen = f"{max(key_heads)} key heads" if key_heads else "keys to match"
        raise ValueError(
            f"{layout.name} attends with {max(heads)} query and {seen}, and the layout says "
            f"{layout.num_attention_heads} and {layout.num_key_value_heads}."
        )


def _prove_by_scaling(layout: AttentionLayout, module: nn.Module, probe: Probe, before: Observed) -> None:
    heads = layout.num_attention_heads
    scores = before.flat().detach()
    values = [value.detach().clone() for value in before.values]
    largest = scores.abs().amax(dim=1).clamp(min=1e-20)
    dtype = module.get_parameter(layout.head_rows[0].parameter).dtype
    tolerance = max(_TOLERANCE[dtype], _TOLERANCE[before.queries[0].dtype] if before.queries else 0.0)
    saved = {rows.parameter: module.get_parameter(rows.parameter).clone() for rows in layout.head_rows}
    codes = layout.gamma_groups or tuple(range(heads))
    for bit in range((max(codes) + 1).bit_length()):
        scaled = torch.tensor([bool((code + 1) >> bit & 1) for code in codes])
        gamma = torch.where(scaled, _GAMMA, 1.0)
        try:
            scale_heads_(module, layout, gamma, alpha=0.5)
            after = probe.run(layout.name)
        finally:
            for parameter, original in saved.items():
                module.get_parameter(parameter).data.copy_(original)
        expected = scores * gamma.to(scores).view(-1, 1)
        error = (after.flat() - expected).abs().amax(dim=1) / largest
        for head in (~(error <= tolerance)).nonzero().flatten().tolist():
            raise ValueError(_disproof(layout, head, bool(scaled[head]), float(error[head])))
        if not all(map(torch.equal, after.values, values)):
            raise ValueError(f"scaling query and key rows of {layout.name} as the layout says changes its values too.")


def _require_parameters(name: str, module: nn.Module, layout: AttentionLayout) -> None:
    for rows in layout.head_rows:
        try:
            length = module.get_parameter(rows.parameter).shape[rows.dim]
        except AttributeError as error:
            children = ", ".join(child for child, _ in module.named_children())
            raise ValueError(
                f"the layout names {rows.parameter} in {name}, which has no such parameter (children: {children}). "
                "Detect the layout again on this model."
            ) from error
        if max(rows.rows[-1], default=0) >= length:
            raise ValueError(
                f"the layout names row {max(rows.rows[-1])} of {name}.{rows.parameter}, which has {length}."
            )


def _disproof(layout: AttentionLayout, head: int, scaled: bool, error: float) -> str:
    rows = "; ".join(f"{r.parameter} {describe_rows(set(r.rows[head]))} ({r.role})" for r in layout.head_rows)
    said = f"shrink to {_GAMMA}" if scaled else "stay as they are while other heads shrink"
    return (
        f"head {head} of {layout.name} ({layout.attention_class}) does not follow its rows: its scores should {said}, "
        f"and are off by {error:.2g} of their largest. Rows that the layout names: {rows}."
    )
