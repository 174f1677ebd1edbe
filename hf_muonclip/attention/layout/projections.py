"""Which rows of every attention projection of a model are queries, keys and values.

Read by rule alone, so that it works without weights and runs nothing; what a layout has found by behaviour already
counts too. Where neither knows, a weight whose name says that it is fused is named, with the reason.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from ..head_layout import HeadLayout, ProjectionRows
from ..modules.find import attention_modules
from .rules import read_layout

_FUSED_WEIGHT = re.compile(
    r"^((w?qkv\w*|query_key_value|queries_keys_values|c_attn|to_kv|kv_proj|kv|in_proj|kv_[ab]_proj\w*)"
    r"(\.linear|\.base_layer)?\.weight)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelProjections:
    """The attention projections of a model.

    Attributes:
        known: {parameter name in the model: what its rows make}.
        kept_whole: {parameter name in the model: why} of the weights that are fused, by their name or their behaviour,
            and not known.
    """

    known: Mapping[str, ProjectionRows] = field(default_factory=dict)
    kept_whole: Mapping[str, str] = field(default_factory=dict)


def read_projections(model: nn.Module, layout: HeadLayout | None = None) -> ModelProjections:
    """Return what the rows of every attention projection make. Refuses nothing.

    Args:
        model: on any device, also without weights.
        layout: the model's layout if it was detected already; it is then not read again.
    """
    try:
        modules = (
            attention_modules(model, run=False)
            if layout is None
            else {name: model.get_submodule(name) for name in layout}
        )
    except ValueError:  # no attention
        return ModelProjections()
    known: dict[str, ProjectionRows] = {}
    kept_whole: dict[str, str] = {}
    for name, module in modules.items():
        prefix = f"{name}." if name else ""
        both: set[str] = set()
        if layout is not None:
            projections = layout[name].projections
            if name in layout.found_by_behavior:
                both = {rows.parameter for rows in layout[name].head_rows if rows.role == "query and key"}
        else:
            projections = _read(name, module)
        known |= {f"{prefix}{rows.parameter}": rows for rows in projections}
        for own, parameter in module.named_parameters():
            if parameter.ndim < 2:
                continue
            if (own in both or _FUSED_WEIGHT.search(own)) and f"{prefix}{own}" not in known:
                kept_whole[f"{prefix}{own}"] = "its layout is not known"
    return ModelProjections(known, kept_whole)


def _read(name: str, module: nn.Module) -> tuple[ProjectionRows, ...]:
    try:
        return read_layout(name, module).projections
    except (ValueError, TypeError, AttributeError, RuntimeError):
        # Without the clip nothing depends on the layout, so whatever reading a foreign module raises is no reason to
        # refuse the model: its weights stay whole.
        return ()
