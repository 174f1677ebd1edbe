"""Prove a head layout by behaviour: move every head on its own and see that only it moves.

Two probes per attention module, on one forward of the model with random tokens:

- Gradients. The rows of a projection that a head's query or key depends on must be the rows that the layout names, for
  its weight and its bias; this finds swapped heads, and rows that feed something else, such as values or a gate.
- Scaling. Every head gets a binary code; for each bit, the heads that have it are scaled by gamma = 1/4 through the
  rows that the layout names, and the module runs again. Each head's scores must shrink by exactly its gamma and the
  values not at all. Factors are powers of two, so the comparison is sharp in any dtype.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .head_layout import AttentionLayout, HeadLayout
from .interface import start_observing, stop_observing
from .qk_clip import scale_heads_

_PROBE_LENGTH = 8  # tokens; enough that no score is special
_GAMMA = 0.25  # its square root is a power of two as well
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


class _Operands:
    """Keeps the query, key and value of the last attention call."""

    def __init__(self) -> None:
        self.query = self.key = self.value = torch.empty(0)

    def observe(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, kwargs: dict[str, Any]
    ) -> None:
        self.query, self.key, self.value = query, key, value

    def scores(self) -> Tensor:
        """Return query·key, (num_attention_heads, batch, query_length, key_length), float32."""
        groups = self.query.shape[1] // self.key.shape[1]
        key = self.key.float().repeat_interleave(groups, dim=1)
        return (self.query.float() @ key.mT).detach().transpose(0, 1)


def verify_head_layout(model: nn.Module, layout: HeadLayout) -> None:
    """Prove that a layout names the rows that feed each head, all of them, and no others.

    Runs the model once on a few random tokens and each attention module a few times. Weights are restored bit for bit,
    also when the proof fails.

    Args:
        model: a transformers model that takes `input_ids`, with weights.
        layout: from `detect_head_layout`, or written by hand.

    Raises:
        ValueError: a head did not move as the layout says, with its module, head and rows; a projection that the layout
            names does not exist; a module did not run; the model takes no tokens, or is on the meta device.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError(
            "a proof runs the model, so it needs weights; got a model on the meta device. Load it first; "
            "detect_head_layout works without weights."
        )
    modules = {name: model.get_submodule(name) for name in layout}
    for name, module in modules.items():
        _require_parameters(name, module, layout[name])
    operands = {name: _Operands() for name in modules}
    start_observing(modules, operands)
    try:
        with _evaluation_mode(model):
            calls = _calls_in_one_forward(model, modules)
            for name, module in modules.items():
                args, kwargs = calls[name]
                _prove_by_gradient(layout[name], module, operands[name], args, kwargs)
                _prove_by_scaling(layout[name], module, operands[name], args, kwargs)
    finally:
        stop_observing(modules)


@torch.no_grad()
def _calls_in_one_forward(model: nn.Module, modules: dict[str, nn.Module]) -> dict[str, tuple[Any, Any]]:
    """Return {module name: (args, kwargs)} of every module's call in one forward on random tokens."""
    embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    if not isinstance(embedding, nn.Embedding):
        raise ValueError(
            f"the proof feeds random tokens to one nn.Embedding; {type(model).__name__} takes its input through a "
            f"{type(embedding).__name__}, so its layout cannot be proven."
        )
    calls: dict[str, tuple[Any, Any]] = {}

    def remember(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls[name] = (args, kwargs)

        return hook

    handles = [m.register_forward_pre_hook(remember(name), with_kwargs=True) for name, m in modules.items()]
    try:
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(embedding.num_embeddings, (1, _PROBE_LENGTH), generator=generator)
        model(input_ids=tokens.to(embedding.weight.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    missing = modules.keys() - calls.keys()
    if missing:
        raise ValueError(
            f"every module of the layout must run in a forward on tokens alone; {', '.join(sorted(missing))} did not. "
            "What does not run cannot be proven: pass HeadLayout({...}) without these modules."
        )
    return calls


def _prove_by_gradient(layout: AttentionLayout, module: nn.Module, operands: _Operands, args: Any, kwargs: Any) -> None:
    projections = list(dict.fromkeys(rows.parameter.rpartition(".")[0] for rows in layout.head_rows))
    outputs: dict[str, Tensor] = {}

    def start_graph(name: str) -> Any:
        def hook(projection: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            outputs[name] = output.detach().requires_grad_()
            return outputs[name]

        return hook

    handles = [module.get_submodule(name).register_forward_hook(start_graph(name)) for name in projections]
    try:
        with torch.enable_grad():
            module(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    _require_head_counts(layout, operands)
    groups = layout.num_attention_heads // operands.key.shape[1]
    for head in range(layout.num_attention_heads):
        named: dict[str, set[int]] = {
            f"{name}.{parameter}": set()
            for name in projections
            for parameter, _ in module.get_submodule(name).named_parameters(recurse=False)
        }
        for rows in layout.head_rows:
            named[rows.parameter].update(rows.rows[head])
        query_and_key = operands.query[:, head].square().sum() + operands.key[:, head // groups].square().sum()
        gradients = torch.autograd.grad(query_and_key, list(outputs.values()), retain_graph=True, allow_unused=True)
        fed = dict(zip(outputs, map(_nonzero_features, gradients), strict=True))
        for parameter, names in named.items():
            feeds = fed[parameter.rpartition(".")[0]]
            if feeds != names:
                raise ValueError(
                    f"head {head} of {layout.name} ({layout.attention_class}) depends on rows {_ranges(feeds)} of "
                    f"{parameter}, and the layout names {_ranges(names)}."
                )


def _nonzero_features(gradient: Tensor | None) -> set[int]:
    return set() if gradient is None else set(gradient.flatten(0, -2).abs().amax(0).nonzero().flatten().tolist())


def _require_head_counts(layout: AttentionLayout, operands: _Operands) -> None:
    heads, key_heads = operands.query.shape[1], operands.key.shape[1]
    if heads != layout.num_attention_heads or key_heads not in (layout.num_key_value_heads, heads):
        raise ValueError(
            f"{layout.name} attends with {heads} query and {key_heads} key heads, and the layout says "
            f"{layout.num_attention_heads} and {layout.num_key_value_heads}."
        )


@torch.no_grad()
def _prove_by_scaling(layout: AttentionLayout, module: nn.Module, operands: _Operands, args: Any, kwargs: Any) -> None:
    heads = layout.num_attention_heads
    module(*args, **kwargs)
    before, value = operands.scores(), operands.value.clone()
    largest = before.abs().amax(dim=(1, 2, 3)).clamp(min=1e-20)
    tolerance = _TOLERANCE[operands.query.dtype]
    saved = {rows.parameter: module.get_parameter(rows.parameter).clone() for rows in layout.head_rows}
    for bit in range((heads + 1).bit_length()):
        scaled = torch.tensor([bool((head + 1) >> bit & 1) for head in range(heads)])
        gamma = torch.where(scaled, _GAMMA, 1.0)
        try:
            scale_heads_(module, layout, gamma, alpha=0.5)
            module(*args, **kwargs)
        finally:
            for parameter, original in saved.items():
                module.get_parameter(parameter).copy_(original)
        expected = before * gamma.to(before.device).view(-1, 1, 1, 1)
        error = (operands.scores() - expected).abs().amax(dim=(1, 2, 3)) / largest
        for head in (~(error <= tolerance)).nonzero().flatten().tolist():
            raise ValueError(_disproof(layout, head, bool(scaled[head]), float(error[head])))
        if not torch.equal(operands.value, value):
            raise ValueError(f"scaling query and key rows of {layout.name} as the layout says changes its values too.")


def _require_parameters(name: str, module: nn.Module, layout: AttentionLayout) -> None:
    for rows in layout.head_rows:
        try:
            length = module.get_parameter(rows.parameter).shape[0]
        except AttributeError as error:
            children = ", ".join(child for child, _ in module.named_children())
            raise ValueError(
                f"the layout names {rows.parameter} in {name}, which has no such parameter (children: {children}). "
                "Detect the layout anew on this model."
            ) from error
        if max(rows.rows[-1], default=0) >= length:
            raise ValueError(
                f"the layout names row {max(rows.rows[-1])} of {name}.{rows.parameter}, which has {length}."
            )


def _disproof(layout: AttentionLayout, head: int, scaled: bool, error: float) -> str:
    rows = "; ".join(f"{r.parameter} {_ranges(set(r.rows[head]))} ({r.role})" for r in layout.head_rows)
    said = f"shrink to {_GAMMA}" if scaled else "stay as they are while other heads shrink"
    return (
        f"head {head} of {layout.name} ({layout.attention_class}) does not follow its rows: its scores should {said}, "
        f"and are off by {error:.2g} of their largest. Rows that the layout names: {rows}."
    )


def _ranges(rows: set[int]) -> str:
    """Return sorted rows as ranges, e.g. "0-15, 32-47"."""
    parts: list[list[int]] = []
    for row in sorted(rows):
        if parts and row == parts[-1][1] + 1:
            parts[-1][1] = row
        else:
            parts.append([row, row])
    return ", ".join(f"{first}-{last}" for first, last in parts) or "none"


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
