"""Read the heads of one attention module off its parts: projections, norms, adapters.

The rules know parts, not models: how a query or key projection is called, how a fused one is arranged, where a norm
stands. What a norm does is not taken from its name either: a copy of it is run. A part of unknown purpose is no guess
but a refusal, with everything that was found.
"""

import copy
import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .head_layout import AttentionLayout, HeadRows, Role

_SEPARATE = (
    ("q_proj", "k_proj"),
    ("query", "key"),
    ("q_lin", "k_lin"),
    ("query_proj", "key_proj"),
    ("project_q", "project_k"),
    ("queries", "keys"),
    ("linear_q", "linear_k"),
    ("to_q", "to_k"),
    ("wq", "wk"),
    ("Wq", "Wk"),
    ("q", "k"),
    ("vision_proj", "text_proj"),
)
# A fused projection's rows: "blocks" [Q | K | V], "heads" [q k v] of one head after the other, "groups" [q..., k, v] of
# one key head after the other, "parallel" codegen's four blocks of [q | v | k].
_FUSED = {
    "qkv_proj": "blocks",
    "query_key_value": "heads",
    "c_attn": "blocks",
    "Wqkv": "blocks",
    "qkv": "blocks",
    "in_proj": "blocks",
}
_NORM = re.compile(r"^(q|k|query|key|qk)_?(layer_?)?(norm|ln)$|^(layer_?norm|norm|ln)_(q|k|query|key)$")
# What stands behind the scores, beside them, or drops out: it changes no query and no key.
_HARMLESS = re.compile(
    r"^((v|o|out|value|output|post|c|dt|r|b)_?(proj|lin|projection)?(_current|_delayed)?|value_layer|project_v|Wv|Wo|wv|wo|"
    r"dense|proj|projection|to_v|to_out|attention_out|linear_v|linear_out|values|"
    r"(o_)?g(ate)?_proj|gate|attn_sub_norm|o_norm|exclusive_self_attention|inner_attn_ln|sub_norm|groupnorm|v_norm|(k|v)_sconv|"
    r".*dropout.*|.*_drop|.*(indexer|compressor).*|sink_proj|"
    r"rotary.*|.*rotary_emb|rope|softmax|act.*|"
    r"rel(ative)?_.*|.*(position|pos|rpe|distance)_?.*(bias|proj|emb|embedding|embeddings|mlp).*|.*_bias|"
    r"k_rope_only_layernorm|attn_fn|attention_function|[lL]ayer_?[nN]orm|.*conv.*_layer|output|projection_layer|(query|key|value)_global|(out|values)_(vision|text)_proj)$"
)
# Own parameters that act behind the scores (lambdas, gates), in the softmax (sinks), or add to scores.
_HARMLESS_PARAMETERS = re.compile(
    r"^(sinks|lambda_.*|gate_bias|A|rel_pos_(h|w)|relative_.*|.*position_bias.*|dense_bias|per_dim_scale|emb_rel_(k|v)|gating.*)$"
)
_NORMED_INPUTS = {"BltCrossAttention"}  # its q_norm and k_norm stand in front of the projections
_HEAD_DIM = ("head_dim", "attention_head_size", "head_size", "dim_per_head", "dim_head", "d_head", "kv_channels")
_HEAD_COUNT = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "num_attn_heads", "nb_heads", "groups")


@dataclass(frozen=True)
class Projection:
    """Where a projection keeps its weights.

    Attributes:
        path: of the linear map, relative to the attention module.
        out_features: its output width.
        dim: the dimension of the weight that is the output; 1 for Conv1D.
        parameters: the names of what must be scaled with a row, relative to the attention module.
        note: why it can only be monitored; empty if it can be scaled.
    """

    path: str
    out_features: int
    dim: int
    parameters: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Norm:
    """What a norm behind a projection does.

    Attributes:
        path: relative to the attention module.
        per_head: whether every head has a gain of its own.
        gain: name of the gain, relative to the attention module; None for a weightless norm.
        bias: name of the bias; None without one.
        offset: 1 where the norm multiplies by 1 + gain.
        head_axis: whether the gain is (num_heads, head_dim).
    """

    path: str
    per_head: bool
    gain: str | None
    bias: str | None
    offset: float
    head_axis: bool = False


@dataclass(frozen=True)
class Knob:
    """The weights through which every query, or every key, can be scaled.

    Attributes:
        slices: (parameter, ranges per head, dim, offset).
        per_head: whether each head has slices of its own.
        note: why there is none.
    """

    slices: tuple[tuple[str, tuple[range, ...], int, float], ...]
    per_head: bool
    note: str = ""


class UnknownLayoutError(ValueError):
    """No rule covers an attention module."""


def read_layout(name: str, module: nn.Module, scale_lora_base: bool = False) -> AttentionLayout:
    """Read the heads of an attention module off its parts.

    Args:
        name: of the module in its model.
        module: with weights or on the meta device.
        scale_lora_base: scale the frozen base weight of a LoRA layer together with its adapter.

    Raises:
        UnknownLayoutError: no rule covers the module, with what was found in it.
    """
    return _Reader(name, module, scale_lora_base).read()


def stated_heads(module: nn.Module) -> int | None:
    """Return the number of attention heads that a module, or its config, states."""
    for owner in (module, getattr(module, "config", None)):
        for attribute in _HEAD_COUNT:
            value = getattr(owner, attribute, None)
            if isinstance(value, int) and value > 0:
                return value
    return None


class _Reader:
    """One module being read; its methods return parts of the layout or refuse."""

    def __init__(self, name: str, module: nn.Module, scale_lora_base: bool) -> None:
        self.name, self.module, self.scale_lora_base = name, module, scale_lora_base
        self.children = dict(module.named_children())
        self.used: set[str] = set()  # children and parameters that a rule has placed
        self.notes: list[str] = []

    def read(self) -> AttentionLayout:
        self._require_known_kind()
        if isinstance(self.module, nn.MultiheadAttention):
            layout = self._torch_multihead_attention()
        elif {"kv_b_proj", "kv_a_layernorm"} <= self.children.keys():
            layout = self._latent()
        elif {"q_b_norm", "kv_norm"} <= self.children.keys():
            layout = self._key_is_value()
        elif {"experts", "kv_proj"} <= self.children.keys():
            layout = self._expert_queries()
        elif "qk_norm" in self.children and hasattr(self.children["qk_norm"], "temp"):
            layout = self._convolved()
        else:
            layout = self._projected()
        self._require_nothing_unknown()
        return layout

    # Layouts.

    def _projected(self) -> AttentionLayout:
        for fused, arrangement in _FUSED.items():
            if fused in self.children and not hasattr(self.module, "q_bias"):
                return self._fused(fused, arrangement)
        for query, key in _SEPARATE:
            if query in self.children and key in self.children:
                return self._separate(query, key)
        if "query_key" in self.children:
            return self._shared_query_and_key()
        if "in_proj" in self.children and hasattr(self.module, "q_bias"):
            return self._fused_with_query_bias()
        own = {name: parameter.shape for name, parameter in self.module.named_parameters(recurse=False)}
        if {"q", "k"} <= own.keys() and len(own["q"]) == 3 and "r_w_bias" in own:
            return self._relative_parameters(*own["q"][1:])
        raise self.refusal("it has no query and key projections that the rules know")

    def _separate(self, query: str, key: str) -> AttentionLayout:
        self.used |= {query, key}
        q, k = self.projection(query), self.projection(key)
        head_dim = self.head_dim(q.out_features)
        key_heads = self.divide(key, k.out_features, head_dim)
        heads = self.divide(query, q.out_features, head_dim)
        groups = getattr(self.module, "num_key_value_groups", None)
        kind, width = "separate", head_dim
        if groups and heads == 2 * groups * key_heads:
            # [query | gate] of one head after the other (Qwen3-Next).
            kind, width, heads = "separate, gated query", 2 * head_dim, heads // 2
        if heads % key_heads or (groups and groups != heads // key_heads):
            raise self.contradiction(
                f"{query} gives {heads} heads of {head_dim}, {key} {key_heads}, and the module's "
                f"num_key_value_groups is {groups}: these do not divide"
            )
        if hasattr(self.module, "logit_scale"):
            self.used.add("logit_scale")
            note = "cosine similarities, times a scale of each head that the model itself caps"
            return self.layout("separate, cosine", heads, key_heads, head_dim, (), note=note)
        q_rows = tuple(range(h * width, h * width + head_dim) for h in range(heads))
        k_rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(key_heads))
        return self.with_norms(kind, heads, key_heads, head_dim, self.knob(q, q_rows), self.knob(k, k_rows))

    def _fused(self, child: str, arrangement: str) -> AttentionLayout:
        self.used.add(child)
        qkv = self.projection(child)
        name = type(self.module).__name__
        if name == "ZayaAttention":
            raise self.refusal("a convolution mixes queries and keys")
        heads, key_heads, head_dim = self.fused_heads(qkv.out_features)
        q_width, kv_width = heads * head_dim, key_heads * head_dim
        queries, keys = range(heads), range(key_heads)
        if name.startswith("CodeGen"):
            arrangement = "parallel"
        if name.startswith("Falcon") and getattr(self.module, "new_decoder_architecture", False):
            arrangement = "groups"
        elif key_heads != heads:
            arrangement = "blocks"
        elif name.startswith("GPTBigCode"):
            arrangement = "heads"
        if arrangement == "blocks":
            q_rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in queries)
            k_rows = tuple(range(q_width + h * head_dim, q_width + (h + 1) * head_dim) for h in keys)
            kind = "fused [Q|K|V]"
        elif arrangement == "heads":
            q_rows = tuple(range(3 * h * head_dim, (3 * h + 1) * head_dim) for h in queries)
            k_rows = tuple(range((3 * h + 1) * head_dim, (3 * h + 2) * head_dim) for h in queries)
            kind = "fused per head [q k v]"
        elif arrangement == "groups":
            per_group = heads // key_heads
            width = (per_group + 2) * head_dim
            starts = [(h // per_group) * width + (h % per_group) * head_dim for h in queries]
            q_rows = tuple(range(start, start + head_dim) for start in starts)
            k_rows = tuple(range((g + 1) * width - 2 * head_dim, (g + 1) * width - head_dim) for g in keys)
            kind = "fused per key head [q... k v]"
        else:
            blocks = 4
            local = heads // blocks
            width = 3 * local * head_dim
            starts = [(h // local) * width + (h % local) * head_dim for h in queries]
            q_rows = tuple(range(start, start + head_dim) for start in starts)
            k_rows = tuple(range(start + 2 * local * head_dim, start + (2 * local + 1) * head_dim) for start in starts)
            kind = "fused, 4 blocks [Q|V|K]"
        if qkv.dim == 1:
            kind += " Conv1D"
        if qkv.out_features != q_width + 2 * kv_width:
            raise self.contradiction(
                f"{child} has {qkv.out_features} rows where {heads} query heads and twice {key_heads} of {head_dim} "
                f"need {q_width + 2 * kv_width}"
            )
        return self.with_norms(kind, heads, key_heads, head_dim, self.knob(qkv, q_rows), self.knob(qkv, k_rows))

    def _fused_with_query_bias(self) -> AttentionLayout:
        # DeBERTa: rows [q k v] of one head after the other, and a bias of the queries beside them.
        self.used |= {"in_proj", "q_bias", "v_bias"}
        qkv, heads = self.projection("in_proj"), self.heads()
        head_dim = self.divide("in_proj", qkv.out_features, 3 * heads)
        q_rows = tuple(range(3 * h * head_dim, (3 * h + 1) * head_dim) for h in range(heads))
        k_rows = tuple(range((3 * h + 1) * head_dim, (3 * h + 2) * head_dim) for h in range(heads))
        bias_rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(heads))
        query = (*self.rows_of(self.knob(qkv, q_rows), "query"), HeadRows("q_bias", bias_rows, "query"))
        key = self.rows_of(self.knob(qkv, k_rows), "key")
        return self.layout("fused per head [q k v]", heads, heads, head_dim, query + key)

    def _latent(self) -> AttentionLayout:
        query_name = next((n for n in ("q_b_proj", "q_gate_proj", "q_proj") if n in self.children), None)
        if query_name is None:
            raise self.refusal("latent attention without a query projection that the rules know")
        self.used |= {query_name, "kv_b_proj"}
        self.used |= {"q_a_proj", "q_a_layernorm", "kv_a_proj_with_mqa", "kv_a_layernorm"} & self.children.keys()
        query, key_value = self.projection(query_name), self.projection("kv_b_proj")
        try:
            nope, rope, value = (int(getattr(self.module, f"{part}_head_dim")) for part in ("qk_nope", "qk_rope", "v"))
        except AttributeError as error:
            raise self.contradiction(f"latent attention without {error.name}") from error
        width = nope + rope + (value if query_name == "q_gate_proj" else 0)
        heads = self.divide(query_name, query.out_features, width)
        if key_value.out_features != heads * (nope + value):
            raise self.contradiction(
                f"kv_b_proj has {key_value.out_features} rows where {heads} heads need {nope} + {value} each"
            )
        # Rows of a head: the query is [nope | rope], kv_b_proj [k_nope | value]. k_rope is shared by all heads, so the
        # rope part of the query takes the whole factor (Kimi K2, Algorithm 1).
        q_nope = tuple(range(h * width, h * width + nope) for h in range(heads))
        q_rope = tuple(range(h * width + nope, h * width + nope + rope) for h in range(heads))
        k_nope = tuple(range(h * (nope + value), h * (nope + value) + nope) for h in range(heads))
        knobs = [self.knob(query, q_nope), self.knob(query, q_rope), self.knob(key_value, k_nope)]
        kind = "mla" if query_name != "q_gate_proj" else "mla, gated query"
        note = next((knob.note for knob in knobs if knob.note), "")
        if note:
            return self.layout(kind, heads, heads, nope + rope, (), note=note)
        roles: tuple[Role, ...] = ("query", "query of shared key", "key")
        head_rows = tuple(
            HeadRows(parameter, rows, role, dim, offset)
            for knob, role in zip(knobs, roles, strict=True)
            for parameter, rows, dim, offset in knob.slices
        )
        return self.layout(kind, heads, heads, nope + rope, head_rows)

    def _key_is_value(self) -> AttentionLayout:
        # DeepSeek-V4: queries are normed without a gain, and the one key head is the value too.
        heads, head_dim = self.heads(), self.head_dim(0)
        self.used |= {"q_a_proj", "q_a_norm", "q_b_proj", "q_b_norm", "kv_proj", "kv_norm", "o_a_proj", "o_b_proj"}
        note = "queries are normed without a gain and the key is the value too; the norms bound the logits"
        return self.layout("key is value", heads, 1, head_dim, (), note=note)

    def _expert_queries(self) -> AttentionLayout:
        # JetMoE: the top experts of a token make its queries, so any expert may serve any query head; key head j meets
        # query head j of each of them.
        self.used |= {"experts", "kv_proj"}
        key_heads, slots = int(self.module.num_key_value_heads), int(self.module.top_k)  # type: ignore[arg-type]
        head_dim = self.head_dim(0)
        key = self.projection("kv_proj")
        if key.out_features != 2 * key_heads * head_dim:
            raise self.contradiction(
                f"kv_proj has {key.out_features} rows where {key_heads} heads need {2 * head_dim} each"
            )
        rows = tuple(
            range((h % key_heads) * head_dim, (h % key_heads + 1) * head_dim) for h in range(slots * key_heads)
        )
        groups = tuple(h % key_heads for h in range(slots * key_heads))
        head_rows = tuple(HeadRows(parameter, rows, "key alone", key.dim) for parameter in key.parameters)
        return self.layout("queries by experts", len(rows), key_heads, head_dim, head_rows, groups, key.note)

    def _convolved(self) -> AttentionLayout:
        # Zaya: queries and keys are mixed by a convolution and L2-normed; each key head has a temperature.
        self.used |= {"qkv_proj", "qk_norm"}
        head_dim = self.head_dim(0)
        heads, key_heads = self.heads(), int(self.module.num_key_value_heads)  # type: ignore[arg-type]
        groups = tuple(h // (heads // key_heads) for h in range(heads))
        rows = tuple(range(g, g + 1) for g in groups)
        return self.layout(
            "convolved q and k", heads, key_heads, head_dim, (HeadRows("qk_norm.temp", rows, "key alone"),), groups
        )

    def _shared_query_and_key(self) -> AttentionLayout:
        # Reformer's LSH attention: keys are the queries at unit length, so the scale of the weight acts once.
        self.used.add("query_key")
        shared = self.projection("query_key")
        head_dim = self.head_dim(shared.out_features)
        heads = self.divide("query_key", shared.out_features, head_dim)
        rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(heads))
        head_rows = tuple(HeadRows(p, rows, "query of shared key", shared.dim) for p in shared.parameters)
        return self.layout("query is key", heads, heads, head_dim, head_rows, note=shared.note)

    def _relative_parameters(self, heads: int, head_dim: int) -> AttentionLayout:
        # XLNet: q and k are parameters (hidden, num_heads, head_dim); r_w_bias is added to the query of q·k.
        self.used |= {"q", "k", "v", "o", "r", "r_r_bias", "r_s_bias", "r_w_bias", "seg_embed", "layer_norm"}
        rows = tuple(range(h, h + 1) for h in range(heads))
        head_rows = (
            HeadRows("q", rows, "query", 1),
            HeadRows("r_w_bias", rows, "query", 0),
            HeadRows("k", rows, "key", 1),
        )
        return self.layout("separate, by head", heads, heads, head_dim, head_rows)

    def _torch_multihead_attention(self) -> AttentionLayout:
        module: Any = self.module
        self.used |= {"in_proj_weight", "in_proj_bias", "out_proj"}
        if module.in_proj_weight is None or module.bias_k is not None or module.add_zero_attn:
            raise self.refusal("torch's nn.MultiheadAttention with other widths or extra keys")
        heads, head_dim, width = module.num_heads, module.head_dim, module.embed_dim
        q_rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(heads))
        k_rows = tuple(range(width + h * head_dim, width + (h + 1) * head_dim) for h in range(heads))
        names = ("in_proj_weight", "in_proj_bias") if module.in_proj_bias is not None else ("in_proj_weight",)
        head_rows = tuple(HeadRows(n, q_rows, "query") for n in names) + tuple(
            HeadRows(n, k_rows, "key") for n in names
        )
        return self.layout("fused [Q|K|V]", heads, heads, head_dim, head_rows)

    # Norms.

    def with_norms(
        self, kind: str, heads: int, key_heads: int, head_dim: int, query: Knob, key: Knob
    ) -> AttentionLayout:
        """Let norms behind the projections take over, and decide which side takes which share of gamma."""
        query_norm, key_norm = self.norm("q", heads, head_dim), self.norm("k", key_heads, head_dim)
        shared_norm = self.norm("qk", heads, head_dim)
        if shared_norm is not None:
            query_norm = key_norm = shared_norm
            if shared_norm.gain is not None:
                gain = HeadRows(shared_norm.gain, (range(head_dim),) * heads, "query and key", 0, shared_norm.offset)
                return self.layout(kind, heads, key_heads, head_dim, (gain,), (0,) * heads)
        if query_norm is not None:
            query = self.norm_knob(query_norm, heads, head_dim)
            kind += ", normed"
        if key_norm is not None:
            key = self.norm_knob(key_norm, key_heads, head_dim)
        owned = heads == key_heads and query.per_head and key.per_head
        if query.slices and owned and key.slices:
            return self.layout(
                kind, heads, key_heads, head_dim, self.rows_of(query, "query") + self.rows_of(key, "key")
            )
        if query.slices:
            groups = () if query.per_head else (0,) * heads
            return self.layout(kind, heads, key_heads, head_dim, self.rows_of(query, "query of shared key"), groups)
        if query_norm is not None and query_norm.gain is None and key.slices:
            # The query is normed without a gain; the key alone can be scaled, for all query heads that share it.
            per_key = heads // key_heads
            repeated = tuple((p, tuple(r[h // per_key] for h in range(heads)), d, o) for p, r, d, o in key.slices)
            groups = tuple(h // per_key for h in range(heads)) if key.per_head else (0,) * heads
            rows = self.rows_of(replace(key, slices=repeated), "key alone")
            return self.layout(kind, heads, key_heads, head_dim, rows, groups if len(set(groups)) < heads else ())
        note = query.note or key.note
        if query_norm is not None and query_norm.gain is None:
            bound = self.weightless_bound(query_norm, key_norm, head_dim)
            note = "norms without a gain " + (f"bound its logits to {bound:.4g}" if bound else "bound its logits")
        return self.layout(kind, heads, key_heads, head_dim, (), note=note)

    def norm(self, side: str, heads: int, head_dim: int) -> Norm | None:
        """Return the norm behind the queries ("q"), the keys ("k") or both ("qk")."""
        names = {"q": ("q", "query"), "k": ("k", "key"), "qk": ("qk",)}[side]
        for child, submodule in self.children.items():
            match = _NORM.match(child)
            if match is None or (match.group(1) or match.group(5)) not in names:
                continue
            self.used.add(child)
            if isinstance(submodule, nn.Identity) or type(self.module).__name__ in _NORMED_INPUTS:
                return None
            return self._read_norm(child, submodule, heads, head_dim)
        return None

    def _read_norm(self, path: str, module: nn.Module, heads: int, head_dim: int) -> Norm:
        parameters = dict(module.named_parameters())
        norms = getattr(module, "norms", None)
        if isinstance(norms, nn.ModuleList):  # one norm per head (StableLM)
            first = self._read_norm(f"{path}.norms.0", norms[0], 1, head_dim)
            return replace(first, path=f"{path}.norms", per_head=True)
        if not parameters:
            return Norm(path, False, None, None, 0.0)
        if not parameters.keys() <= {"weight", "bias"} or "weight" not in parameters:
            raise self.refusal(f"{path} has {', '.join(parameters)}, which is no norm that the rules know")
        shape = tuple(parameters["weight"].shape)
        offset = _gain_offset(module)
        if offset is None:
            raise self.refusal(f"{path} does not norm: its output is not proportional to its gain")
        bias = f"{path}.bias" if "bias" in parameters else None
        if shape == (head_dim,) and heads * head_dim != head_dim:
            return Norm(path, False, f"{path}.weight", bias, offset)
        if shape == (heads * head_dim,):
            return Norm(path, True, f"{path}.weight", bias, offset)
        if shape == (heads, head_dim):
            return Norm(path, True, f"{path}.weight", bias, offset, head_axis=True)
        raise self.refusal(
            f"{path} has a gain of shape {shape}, neither one head's ({head_dim}) nor all {heads} heads'"
        )

    def norm_knob(self, norm: Norm, heads: int, head_dim: int) -> Knob:
        if norm.gain is None:
            return Knob((), False, "its norm has no gain")
        if norm.path.endswith(".norms"):
            raise self.refusal("norms in a list")
        names = [(norm.gain, norm.offset)] + ([(norm.bias, 0.0)] if norm.bias else [])
        if norm.head_axis:
            rows = tuple(range(h, h + 1) for h in range(heads))
        elif norm.per_head:
            rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(heads))
        else:
            rows = (range(head_dim),) * heads
        return Knob(tuple((name, rows, 0, offset) for name, offset in names), norm.per_head)

    def weightless_bound(self, query: Norm, key: Norm | None, head_dim: int) -> float | None:
        """Return scaling·‖q‖·‖k‖, which norms without gains fix; None unless both sides have one."""
        if key is None or key.gain is not None:
            return None
        lengths = [_output_length(self.module.get_submodule(norm.path), head_dim) for norm in (query, key)]
        return lengths[0] * lengths[1] * self.scaling(head_dim)

    # Projections.

    def projection(self, child: str) -> Projection:
        """Find the linear map behind a child: itself, wrapped, quantized, or under an adapter."""
        return self._projection(child, self.module.get_submodule(child))

    def _projection(self, path: str, linear: nn.Module) -> Projection:
        if hasattr(linear, "base_layer") and hasattr(linear, "lora_A"):
            return self._adapted(path, linear)
        weight: Any = getattr(linear, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 2 and type(linear).__name__ == "Conv1D":
            names = ("weight", "bias") if getattr(linear, "bias", None) is not None else ("weight",)
            return Projection(path, weight.shape[1], 1, tuple(f"{path}.{name}" for name in names))
        if isinstance(linear, nn.Linear) or (isinstance(weight, Tensor) and hasattr(linear, "out_features")):
            out_features = int(linear.out_features)  # type: ignore[arg-type]
            if not weight.is_floating_point() or weight.shape[0] != out_features or weight.element_size() < 2:
                note = f"{path} is quantized ({type(linear).__name__}, {weight.dtype}), and its rows cannot be scaled"
                return Projection(path, out_features, 0, (), note)
            if type(linear).forward is not nn.Linear.forward and not type(linear).__module__.startswith(
                ("torch.", "transformers.")
            ):
                raise self.refusal(f"{path} is a {type(linear).__name__}, whose forward is not nn.Linear's")
            names = ("weight", "bias") if getattr(linear, "bias", None) is not None else ("weight",)
            return Projection(path, out_features, 0, tuple(f"{path}.{name}" for name in names))
        inner = getattr(linear, "linear", None)
        if isinstance(inner, nn.Linear) and type(linear).__module__.startswith("transformers."):
            scale = getattr(getattr(linear, "norm", None), "scale", None)
            if isinstance(scale, nn.Parameter) and scale.ndim == 2:
                self.notes.append("an L2 clip also bounds queries and keys; gamma is exact where it does not act")
            elif list(linear.children()) != [inner] and not hasattr(linear, "sconv"):
                raise self.refusal(f"{path} is a {type(linear).__name__}, more than a linear map")
            if hasattr(linear, "sconv"):  # a convolution along time keeps heads apart, but not its rows' scale alone
                return Projection(f"{path}.linear", inner.out_features, 0, (f"{path}.linear.weight",))
            return self._projection(f"{path}.linear", inner)
        raise self.refusal(f"{path} is a {type(linear).__name__}, not an nn.Linear")

    def _adapted(self, path: str, linear: Any) -> Projection:
        base = self._projection(f"{path}.base_layer", linear.base_layer)
        if base.note or linear.merged or linear.disable_adapters or not linear.active_adapters:
            return base
        active = [adapter for adapter in linear.active_adapters if adapter in linear.lora_A]
        if not active:
            return base
        dora = [adapter for adapter in active if adapter in getattr(linear, "lora_magnitude_vector", {})]
        biases = tuple(name for name in base.parameters if name.endswith(".bias"))
        if dora == active and len(dora) == 1:
            if biases:
                return replace(base, parameters=(), note=f"{path} is a DoRA layer whose frozen bias cannot follow")
            return replace(base, parameters=(f"{path}.lora_magnitude_vector.{dora[0]}.weight",))
        if not self.scale_lora_base:
            note = (
                f"{path} is a LoRA layer: its frozen base cannot follow, and scaling the adapter alone would miss tau. "
                "Pass scale_lora_base=True to scale the base too (then save the whole model, not the adapter alone)"
            )
            return replace(base, parameters=(), note=note)
        adapters = []
        for adapter in active:
            adapters.append(f"{path}.lora_B.{adapter}.weight")
            if linear.lora_B[adapter].bias is not None:
                adapters.append(f"{path}.lora_B.{adapter}.bias")
        return replace(base, parameters=(*base.parameters, *adapters))

    def knob(self, projection: Projection, rows: tuple[range, ...]) -> Knob:
        slices = []
        for name in projection.parameters:
            vector = self.module.get_parameter(name).ndim == 1
            slices.append((name, rows, 0 if vector else projection.dim, 0.0))
        return Knob(tuple(slices), True, projection.note)

    def rows_of(self, knob: Knob, role: Role) -> tuple[HeadRows, ...]:
        return tuple(HeadRows(name, rows, role, dim, offset) for name, rows, dim, offset in knob.slices)

    # Head counts.

    def head_dim(self, features: int) -> int:
        for attribute in _HEAD_DIM:
            value = getattr(self.module, attribute, None)
            if isinstance(value, int) and value > 0:
                return value
        heads = stated_heads(self.module)
        if heads and features and features % heads == 0:
            return features // heads
        raise self.refusal("it does not say its head_dim")

    def heads(self) -> int:
        heads = stated_heads(self.module)
        if heads is None:
            raise self.refusal("it does not say how many heads it has")
        return heads

    def fused_heads(self, features: int) -> tuple[int, int, int]:
        """Return query heads, key heads and head_dim of a fused projection."""
        heads = self.heads()
        head_dim = next((v for a in _HEAD_DIM if isinstance(v := getattr(self.module, a, None), int) and v > 0), None)
        key_heads = next(
            (
                v
                for a in ("num_key_value_heads", "num_kv_heads", "kv_heads")
                if isinstance(v := getattr(self.module, a, None), int) and v > 0
            ),
            heads,
        )
        groups = getattr(self.module, "num_key_value_groups", None)
        if key_heads == heads and isinstance(groups, int) and groups > 1:
            key_heads = heads // groups
        if head_dim is None:
            head_dim = features // (heads + 2 * key_heads)
        if features == 3 * heads * head_dim:
            key_heads = heads
        elif features == (heads + 2) * head_dim:
            key_heads = 1
        return heads, key_heads, head_dim

    def divide(self, projection: str, features: int, head_dim: int) -> int:
        if features % head_dim:
            raise self.contradiction(f"{projection} has {features} rows, which heads of {head_dim} do not divide")
        return features // head_dim

    def scaling(self, head_dim: int) -> float:
        scaling = getattr(self.module, "scaling", None)
        return float(scaling) if isinstance(scaling, int | float) else head_dim**-0.5

    # Refusals.

    def _require_known_kind(self) -> None:
        clamp = getattr(getattr(self.module, "config", None), "clip_qkv", None)
        if clamp is None:
            clamp = getattr(self.module, "clip_qkv", None)
        if clamp is not None:
            self.notes.append(f"the model clamps queries and keys to ±{clamp:g}; gamma is exact where none is clamped")

    def _require_nothing_unknown(self) -> None:
        unknown = sorted(
            child
            for child, submodule in self.children.items()
            if child not in self.used
            and not _HARMLESS.match(child)
            and not isinstance(submodule, nn.Dropout | nn.Identity)
        )
        if unknown:
            raise self.refusal(f"what {', '.join(unknown)} does to queries and keys is not known")
        own = sorted(
            name
            for name, _ in self.module.named_parameters(recurse=False)
            if name not in self.used and not _HARMLESS_PARAMETERS.match(name)
        )
        if own:
            raise self.refusal(f"its own parameters {own} may act on queries or keys")

    def layout(
        self,
        kind: str,
        heads: int,
        key_heads: int,
        head_dim: int,
        head_rows: tuple[HeadRows, ...],
        groups: tuple[int, ...] = (),
        note: str = "",
    ) -> AttentionLayout:
        note = "; ".join([note, *self.notes] if note else self.notes)
        return AttentionLayout(
            self.name, type(self.module).__name__, kind, heads, key_heads, head_dim, head_rows, groups, note
        )

    def contradiction(self, what: str) -> ValueError:
        """Return the error for parts that the rules know, whose sizes do not fit together."""
        return ValueError(f"{self.refusal(what)} Pass qk_clip_threshold=None to train with Muon alone.")

    def refusal(self, what: str) -> UnknownLayoutError:
        """Return the error for parts that the rules do not know; the module's behaviour may still tell."""
        found = []
        for child, submodule in self.module.named_children():
            weight = getattr(submodule, "weight", None)
            shape = f" {tuple(weight.shape)}" if isinstance(weight, Tensor) else ""
            found.append(f"{child} {type(submodule).__name__}{shape}")
        return UnknownLayoutError(
            f"the head layout of {self.name} ({type(self.module).__name__}) is not one that QK-Clip knows: {what}. "
            f"Found: {', '.join(found) or 'no children'}."
        )


def _on_cpu(norm: nn.Module) -> nn.Module:
    """Return a copy of a norm on the CPU in float32, with gain 1 and bias 0; works from the meta device."""
    twin = copy.deepcopy(norm).to_empty(device="cpu").float()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return twin


@torch.no_grad()
def _gain_offset(norm: nn.Module) -> float | None:
    """Return 0 for a norm whose output is proportional to its gain, 1 for one proportional to 1 + gain, else None."""
    twin = _on_cpu(norm)
    gain: Any = twin.get_parameter("weight")
    states = torch.linspace(-1.0, 2.0, gain.numel()).reshape(1, *gain.shape)
    if gain.ndim == 2:
        states = states[:, None]
    one = twin(states)
    if not torch.allclose(twin(states * 16), one, rtol=0.05, atol=1e-3):
        return None
    gain.zero_()
    zero = twin(states)
    if not zero.any():
        return 0.0
    return 1.0 if torch.allclose(2 * zero, one, rtol=1e-4, atol=1e-5) else None


@torch.no_grad()
def _output_length(norm: nn.Module, head_dim: int) -> float:
    """Return the Euclidean length that a weightless norm gives to every vector."""
    return float(_on_cpu(norm)(torch.linspace(-1.0, 2.0, head_dim)[None, None, None]).norm())
