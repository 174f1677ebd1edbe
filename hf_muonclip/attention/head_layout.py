"""Which rows of which weights feed each attention head.

To scale one head's logits by gamma, QK-Clip must know the rows of the query and key projections that make that head and
no other. The rules here read them off the running module and refuse, by name, what they do not cover; `proof` shows by
behaviour that a layout is right.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

Role = Literal["query", "query of shared key", "key"]


@dataclass(frozen=True)
class HeadRows:
    """Rows of one parameter that feed one head each.

    Attributes:
        parameter: name relative to the attention module, e.g. "q_proj.weight".
        rows: one range of rows (first dimension) per attention head.
        role: what factor the rows take: "query" gamma^alpha and "key" gamma^(1-alpha) where the head owns its key, and
            "query of shared key" the whole gamma where several heads share the key, which is then left alone.
    """

    parameter: str
    rows: tuple[range, ...]
    role: Role

    def exponent(self, alpha: float) -> float:
        """Return the power of gamma that these rows take."""
        return {"query": alpha, "key": 1 - alpha, "query of shared key": 1.0}[self.role]


@dataclass(frozen=True)
class AttentionLayout:
    """The heads of one attention module.

    Attributes:
        name: of the module in the model.
        attention_class: name of its class.
        kind: "separate" (q_proj, k_proj) or "mla" (multi-head latent attention).
        num_attention_heads: query heads.
        num_key_value_heads: key heads.
        head_dim: width of a query or key head.
        head_rows: the rows to scale.
    """

    name: str
    attention_class: str
    kind: Literal["separate", "mla"]
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    head_rows: tuple[HeadRows, ...]


class HeadLayout(Mapping[str, AttentionLayout]):
    """The attention modules of a model by name; `str()` gives a readable table."""

    def __init__(self, modules: Mapping[str, AttentionLayout]) -> None:
        self._modules = dict(modules)

    def __getitem__(self, name: str) -> AttentionLayout:
        return self._modules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __str__(self) -> str:
        header = ("module", "class", "layout", "heads", "kv heads", "head dim", "scaled by the clip")
        table = [header]
        for layout in self.values():
            scaled = ", ".join(f"{rows.parameter} ({rows.role})" for rows in layout.head_rows)
            heads, kv_heads = str(layout.num_attention_heads), str(layout.num_key_value_heads)
            row = (layout.name, layout.attention_class, layout.kind, heads, kv_heads, str(layout.head_dim), scaled)
            table.append(row)
        widths = [max(len(row[column]) for row in table) for column in range(len(header))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        )


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the innermost attention modules of a model by name.

    Raises:
        ValueError: there is none.
    """
    candidates = {
        name: module
        for name, module in model.named_modules()
        if "attention" in type(module).__name__.lower() and any(True for _ in module.parameters())
    }
    innermost = {
        name: module
        for name, module in candidates.items()
        if not any(other.startswith(f"{name}.") for other in candidates)
    }
    if not innermost:
        children = ", ".join(name for name, _ in model.named_children()) or "none"
        raise ValueError(
            f"QK-Clip needs softmax attention, and {type(model).__name__} has no module whose class is named an "
            f"attention (its children: {children}). Pass qk_clip_threshold=None for Muon alone."
        )
    return innermost


def detect_head_layout(model: nn.Module) -> HeadLayout:
    """Read the head layout of every attention module off the running model.

    Covers separate q and k projections (MHA, GQA, MQA, with biases) and multi-head latent attention (with and without a
    low-rank query), in modules that call transformers' attention interface.

    Args:
        model: a transformers model, on any device, the meta device included; weights are not read.

    Returns:
        One `AttentionLayout` per attention module.

    Raises:
        ValueError: no attention, an encoder-decoder, or a module that no rule covers, with what was found in it.
    """
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise ValueError(
            f"{type(model).__name__} is an encoder-decoder, and the mask of its cross-attention does not say which "
            "queries are padding, so its max logits cannot be measured. Pass qk_clip_threshold=None for Muon alone."
        )
    modules = attention_modules(model)
    layout = HeadLayout({name: _detect(name, module) for name, module in modules.items()})
    _require_own_weights(modules, layout)
    return layout


def _require_own_weights(modules: Mapping[str, nn.Module], layout: HeadLayout) -> None:
    owners: dict[nn.Parameter, str] = {}
    for name, module in modules.items():
        for rows in layout[name].head_rows:
            owner = owners.setdefault(module.get_parameter(rows.parameter), name)
            if owner != name:
                raise _refusal(name, module, f"its {rows.parameter} is also {owner}'s, and would be scaled twice")


def _detect(name: str, module: nn.Module) -> AttentionLayout:
    # A child without parameters counts as well: a weightless norm makes the projections' scale inert.
    children = {child for child, submodule in module.named_children() if not _leaves_logits_alone(child, submodule)}
    own_parameters = {parameter for parameter, _ in module.named_parameters(recurse=False)}
    if not _calls_attention_interface(module):
        raise _refusal(name, module, "it does not call transformers' attention interface")
    # A sink only enlarges the softmax's denominator; it is no logit of a query and a key.
    if own_parameters - {"sinks"}:
        raise _refusal(name, module, f"its own parameters {sorted(own_parameters)} may act on queries or keys")
    clamp = getattr(getattr(module, "config", None), "clip_qkv", None)
    if clamp is not None:
        raise _refusal(name, module, f"its config clamps queries and keys (clip_qkv={clamp})")
    if "kv_b_proj" in children:
        return _detect_mla(name, module, children)
    if {"q_proj", "k_proj"} <= children:
        return _detect_separate(name, module, children)
    raise _refusal(name, module, "it has neither q_proj and k_proj nor multi-head latent attention's projections")


def _detect_separate(name: str, module: nn.Module, children: set[str]) -> AttentionLayout:
    unknown = children - {"q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "dense"}
    if unknown:
        raise _refusal(name, module, f"what {', '.join(sorted(unknown))} does to queries and keys is not known")
    q_proj, k_proj = _linear(name, module, "q_proj"), _linear(name, module, "k_proj")
    head_dim = _head_dim(name, module)
    num_attention_heads = _divide(name, module, "q_proj", q_proj.out_features, head_dim)
    num_key_value_heads = _divide(name, module, "k_proj", k_proj.out_features, head_dim)
    groups = getattr(module, "num_key_value_groups", None)
    if num_attention_heads % num_key_value_heads or (groups and groups != num_attention_heads // num_key_value_heads):
        raise _refusal(
            name,
            module,
            f"q_proj gives {num_attention_heads} heads of {head_dim}, k_proj {num_key_value_heads}, and the module's "
            f"num_key_value_groups is {groups}: these do not divide",
        )
    owned = num_attention_heads == num_key_value_heads
    rows = tuple(range(head * head_dim, (head + 1) * head_dim) for head in range(num_attention_heads))
    head_rows = _weight_and_bias("q_proj", q_proj, rows, "query" if owned else "query of shared key")
    if owned:
        head_rows += _weight_and_bias("k_proj", k_proj, rows, "key")
    return AttentionLayout(
        name, type(module).__name__, "separate", num_attention_heads, num_key_value_heads, head_dim, head_rows
    )


def _detect_mla(name: str, module: nn.Module, children: set[str]) -> AttentionLayout:
    low_rank_query = {"q_a_proj", "q_a_layernorm", "q_b_proj"}
    known = {"q_proj", "kv_a_proj_with_mqa", "kv_a_layernorm", "kv_b_proj", "o_proj"} | low_rank_query
    if children - known or not ({"q_proj"} <= children or low_rank_query <= children):
        raise _refusal(name, module, "latent attention with other parts than DeepSeek-V3's")
    query_name = "q_b_proj" if "q_b_proj" in children else "q_proj"
    query, key_value = _linear(name, module, query_name), _linear(name, module, "kv_b_proj")
    try:
        nope, rope, value = (int(getattr(module, f"{part}_head_dim")) for part in ("qk_nope", "qk_rope", "v"))
    except AttributeError as error:
        raise _refusal(name, module, f"latent attention without {error.name}") from error
    num_attention_heads = _divide(name, module, query_name, query.out_features, nope + rope)
    if key_value.out_features != num_attention_heads * (nope + value):
        raise _refusal(
            name,
            module,
            f"kv_b_proj has {key_value.out_features} rows where {num_attention_heads} heads need {nope} + {value} each",
        )
    width, heads = nope + rope, range(num_attention_heads)
    # Rows of a head: the query is [nope | rope], kv_b_proj [k_nope | value]. k_rope is shared by all heads, so the rope
    # part of the query takes the whole factor (Kimi K2, Algorithm 1).
    q_nope = tuple(range(h * width, h * width + nope) for h in heads)
    q_rope = tuple(range(h * width + nope, (h + 1) * width) for h in heads)
    k_nope = tuple(range(h * (nope + value), h * (nope + value) + nope) for h in heads)
    head_rows = (
        *_weight_and_bias(query_name, query, q_nope, "query"),
        *_weight_and_bias(query_name, query, q_rope, "query of shared key"),
        *_weight_and_bias("kv_b_proj", key_value, k_nope, "key"),
    )
    return AttentionLayout(
        name, type(module).__name__, "mla", num_attention_heads, num_attention_heads, width, head_rows
    )


def _weight_and_bias(name: str, linear: nn.Linear, rows: tuple[range, ...], role: Role) -> tuple[HeadRows, ...]:
    parameters = ("weight", "bias") if linear.bias is not None else ("weight",)
    return tuple(HeadRows(f"{name}.{parameter}", rows, role) for parameter in parameters)


def _linear(name: str, module: nn.Module, child: str) -> nn.Linear:
    projection = getattr(module, child)
    if type(projection) is not nn.Linear:
        raise _refusal(name, module, f"{child} is a {type(projection).__name__}, not an nn.Linear")
    return projection


def _head_dim(name: str, module: nn.Module) -> int:
    head_dim = getattr(module, "head_dim", None) or getattr(module, "attention_head_size", None)
    if not head_dim:
        raise _refusal(name, module, "it does not say its head_dim")
    return int(head_dim)


def _divide(name: str, module: nn.Module, projection: str, features: int, head_dim: int) -> int:
    if features % head_dim:
        raise _refusal(name, module, f"{projection} has {features} rows, which heads of {head_dim} do not divide")
    return features // head_dim


def _leaves_logits_alone(child: str, submodule: nn.Module) -> bool:
    return isinstance(submodule, nn.Dropout | nn.Identity) or child == "rotary_emb"


def _calls_attention_interface(module: nn.Module) -> bool:
    for cls in type(module).__mro__:
        if cls is nn.Module:
            return False
        try:
            source = inspect.getsource(cls)
        except (OSError, TypeError):  # no source at hand: the first step tells whether anything was measured
            return True
        if "get_interface" in source:
            return True
    return False


def _refusal(name: str, module: nn.Module, what: str) -> ValueError:
    found = []
    for child, submodule in module.named_children():
        weight = getattr(submodule, "weight", None)
        shape = "" if weight is None else f" {tuple(weight.shape)}"
        found.append(f"{child} {type(submodule).__name__}{shape}")
    return ValueError(
        f"the head layout of {name} ({type(module).__name__}) is not one that QK-Clip knows: {what}. Found: "
        f"{', '.join(found) or 'no children'}. Known are separate q_proj and k_proj without a norm behind them, and "
        "DeepSeek-V3's multi-head latent attention. Pass qk_clip_threshold=None to train with Muon alone."
    )
