"""Read the head layout of one attention module from its parts.

The rules know parts, not models: how a query or key projection is called, how a fused one is arranged, where a norm
stands; `families` has the layouts that one family alone has. A part of unknown purpose is refused, with everything that
was found, and never guessed.
"""

import re
from dataclasses import replace

from torch import nn

from ..head_layout import AttentionLayout, HeadRows, ProjectionPart
from ..modules.class_source import own_class
from .families import FamilyRules
from .parts import Knob

_SEPARATE = (
    ("q_proj", "k_proj", "v_proj"),
    ("query", "key", "value"),
    ("q_lin", "k_lin", "v_lin"),
    ("query_proj", "key_proj", "value_proj"),
    ("project_q", "project_k", "project_v"),
    ("queries", "keys", "values"),
    ("linear_q", "linear_k", "linear_v"),
    ("to_q", "to_k", "to_v"),
    ("wq", "wk", "wv"),
    ("Wq", "Wk", "Wv"),
    ("q", "k", "v"),
    ("vision_proj", "text_proj", ""),
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
_PARALLEL_BLOCKS = 4  # codegen's mp_num
# What stands behind the scores, beside them, or drops out: it changes no query and no key.
_HARMLESS = re.compile(
    r"^((v|o|out|value|output|post|c|dt|r|b)_?(proj|lin|projection)?(_current|_delayed)?|value_layer|project_v|Wv|Wo|wv|wo|"
    r"dense|proj|projection|to_v|to_out|attention_out|linear_v|linear_out|values|"
    r"(o_)?g(ate)?_proj|gate|attn_sub_norm|o_norm|exclusive_self_attention|inner_attn_ln|sub_norm|groupnorm|v_norm|(k|v)_sconv|"
    r".*dropout.*|.*_drop|.*(indexer|compressor).*|sink_proj|"
    r"rotary.*|.*rotary_emb|rope|softmax|act.*|"
    r"(gru_)?rel(ative)?_.*|.*(position|pos|rpe|distance)_?.*(bias|proj|emb|embedding|embeddings|mlp).*|.*_bias|"
    r"k_rope_only_layernorm|attn_fn|attention_function|[lL]ayer_?[nN]orm|.*conv.*_layer|output|projection_layer|(query|key|value)_global|(out|values)_(vision|text)_proj)$"
)
# Own parameters that act behind the scores (lambdas, gates), in the softmax (sinks), or add to scores.
_HARMLESS_PARAMETERS = re.compile(
    r"^(sinks|gru_rel_.*|lambda_.*|gate_bias|A|rel_pos_(h|w)|relative_.*|.*position_bias.*|dense_bias|per_dim_scale|emb_rel_(k|v)|gating.*)$"
)


def read_layout(name: str, module: nn.Module, scale_lora_base: bool = False) -> AttentionLayout:
    """Read the head layout of an attention module from its parts.

    Args:
        name: the module's name in its model.
        module: with weights or on the meta device.
        scale_lora_base: scale the frozen base weight of a LoRA layer together with its adapter.

    Raises:
        UnknownLayoutError: no rule covers the module, with what was found in it.
    """
    return _Reader(name, module, scale_lora_base).read()


class _Reader(FamilyRules):
    """Recognizes how the parts of a module make its heads."""

    def read(self) -> AttentionLayout:
        self._note_clamp()
        if isinstance(self.module, nn.MultiheadAttention):
            layout = self.torch_multihead_attention()
        elif {"kv_b_proj", "kv_a_layernorm"} <= self.children.keys():
            layout = self.latent()
        elif {"q_b_norm", "kv_norm"} <= self.children.keys():
            layout = self.key_is_value()
        elif {"experts", "kv_proj"} <= self.children.keys():
            layout = self.expert_queries()
        elif "qk_norm" in self.children and hasattr(self.children["qk_norm"], "temp"):
            layout = self.convolved()
        else:
            layout = self._projected()
        self._require_nothing_unknown()
        return layout

    # Layouts.

    def _projected(self) -> AttentionLayout:
        if {"q_attn", "c_attn"} <= self.children.keys():
            return self._beside_fused("q_attn", "c_attn")
        for fused, arrangement in _FUSED.items():
            if fused in self.children and not hasattr(self.module, "q_bias"):
                return self._fused(fused, arrangement)
        for query, key, value in _SEPARATE:
            if query in self.children and key in self.children:
                return self._separate(query, key, value)
        if "query_key" in self.children:
            return self.shared_query_and_key()
        if "in_proj" in self.children and hasattr(self.module, "q_bias"):
            return self.fused_with_query_bias()
        own = {name: parameter.shape for name, parameter in self.module.named_parameters(recurse=False)}
        if {"q", "k"} <= own.keys() and len(own["q"]) == 3 and "r_w_bias" in own:
            return self.relative_parameters(*own["q"][1:])
        raise self.refusal("it has no query and key projections that the rules know")

    def _separate(self, query: str, key: str, value: str) -> AttentionLayout:
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
        gate = (ProjectionPart("gate", head_dim, head_dim),) if width > head_dim else ()
        queries = self.state(q, ProjectionPart("query", head_dim, head_dim), *gate, periods=heads)
        keys = self.state(k, ProjectionPart("key", key_heads * head_dim, head_dim))
        self.state_value(value, key_heads)
        if hasattr(self.module, "logit_scale"):
            self.used.add("logit_scale")
            note = "cosine similarities, times a scale of each head that the model itself caps"
            return self.layout("separate, cosine", heads, key_heads, head_dim, (), note=note)
        query_knob, key_knob = self.knob(q, queries.heads("query")), self.knob(k, keys.heads("key"))
        return self.with_norms(kind, heads, key_heads, head_dim, query_knob, key_knob)

    def _fused(self, child: str, arrangement: str) -> AttentionLayout:
        self.used.add(child)
        qkv = self.projection(child)
        name = own_class(self.module).__name__
        heads, key_heads, head_dim = self.fused_heads(qkv.out_features)
        if heads % key_heads:
            raise self.contradiction(f"{child} holds {heads} query and {key_heads} key heads: these do not divide")
        if name.startswith("CodeGen"):
            arrangement = "parallel"
        if name.startswith("Falcon") and getattr(self.module, "new_decoder_architecture", False):
            arrangement = "groups"
        elif key_heads != heads:
            arrangement = "blocks"
        elif name.startswith("GPTBigCode"):
            arrangement = "heads"
        periods, per_group = {
            "blocks": (1, heads),
            "heads": (heads, 1),
            "groups": (key_heads, heads // key_heads),
            "parallel": (_PARALLEL_BLOCKS, heads // _PARALLEL_BLOCKS),
        }[arrangement]
        if per_group * periods != heads:
            raise self.contradiction(f"{child} holds {periods} blocks, which {heads} heads do not divide into")
        rows, kv_rows = per_group * head_dim, key_heads * head_dim // periods
        needed = periods * (rows + 2 * kv_rows)
        if qkv.out_features != needed:
            raise self.contradiction(
                f"{child} has {qkv.out_features} rows where {heads} query heads and twice {key_heads} of {head_dim} "
                f"need {needed}"
            )
        query, key, value = (
            ProjectionPart(part, n, head_dim) for part, n in (("query", rows), ("key", kv_rows), ("value", kv_rows))
        )
        parts = (query, value, key) if arrangement == "parallel" else (query, key, value)
        stated = self.state(qkv, *parts, periods=periods)
        kind = {
            "blocks": "fused [Q|K|V]",
            "heads": "fused per head [q k v]",
            "groups": "fused per key head [q... k v]",
            "parallel": f"fused, {_PARALLEL_BLOCKS} blocks [Q|V|K]",
        }[arrangement] + (" Conv1D" if qkv.dim == 1 else "")
        query_knob, key_knob = (self.knob(qkv, stated.heads(part)) for part in ("query", "key"))
        return self.with_norms(kind, heads, key_heads, head_dim, query_knob, key_knob)

    def _beside_fused(self, query: str, key_value: str) -> AttentionLayout:
        # GPT-2's cross-attention: a query projection beside a fused [K | V].
        self.used |= {query, key_value}
        q, kv = self.projection(query), self.projection(key_value)
        head_dim = self.head_dim(q.out_features)
        heads = self.divide(query, q.out_features, head_dim)
        if kv.out_features != 2 * q.out_features:
            raise self.contradiction(
                f"{key_value} has {kv.out_features} rows where twice {heads} heads of {head_dim} need "
                f"{2 * q.out_features}"
            )
        queries = self.state(q, ProjectionPart("query", q.out_features, head_dim))
        keys = self.state(kv, *(ProjectionPart(part, q.out_features, head_dim) for part in ("key", "value")))
        kind = "query beside fused [K|V]" + (" Conv1D" if kv.dim == 1 else "")
        query_knob, key_knob = self.knob(q, queries.heads("query")), self.knob(kv, keys.heads("key"))
        return self.with_norms(kind, heads, heads, head_dim, query_knob, key_knob)

    def with_norms(
        self, kind: str, heads: int, key_heads: int, head_dim: int, query: Knob, key: Knob
    ) -> AttentionLayout:
        """Clip through the norms behind the projections where there are any, and decide how gamma is split."""
        query_norm, key_norm = self.norm("q", heads, head_dim), self.norm("k", key_heads, head_dim)
        shared_norm = self.norm("qk", heads, head_dim)
        unread = next((norm.note for norm in (query_norm, key_norm, shared_norm) if norm and norm.note), "")
        if unread:
            return self.layout(f"{kind}, normed", heads, key_heads, head_dim, (), note=unread)
        if shared_norm is not None:
            if shared_norm.bias is not None or shared_norm.per_head:
                raise self.refusal(f"{shared_norm.path} norms queries and keys with a bias, or head by head")
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

    def _note_clamp(self) -> None:
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
