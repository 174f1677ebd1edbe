"""Layouts that one family of models has, or one module of a library: latent attention, XLNet, MultiheadAttention.

`rules` reads what many models share, and asks here where it recognizes a part that these families alone have.
"""

from typing import Any

from ..head_layout import AttentionLayout, HeadRows, ProjectionPart, ProjectionRows, Role
from ..modules.class_source import own_class
from .parts import PartReader


class FamilyRules(PartReader):
    """Reads the layouts of single families from the parts that a rule has recognized."""

    def latent(self) -> AttentionLayout:
        """Read DeepSeek's latent attention, also with a gate in its query projection."""
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
        gate = (ProjectionPart("gate", value, value),) if width > nope + rope else ()
        self.state(query, ProjectionPart("query", nope + rope, nope + rope), *gate, periods=heads)
        self.state(key_value, ProjectionPart("key", nope, nope), ProjectionPart("value", value, value), periods=heads)
        if "kv_a_proj_with_mqa" in self.children:
            down = self.projection("kv_a_proj_with_mqa")
            latent, shared = ProjectionPart("latent", down.out_features - rope), ProjectionPart("rotary key", rope)
            self.state(down, *((latent, shared) if rope else (latent,)))
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

    def key_is_value(self) -> AttentionLayout:
        """Read DeepSeek-V4, where queries are normed without a gain, and the one key head is the value too."""
        heads, head_dim = self.heads(), self.head_dim(0)
        self.used |= {"q_a_proj", "q_a_norm", "q_b_proj", "q_b_norm", "kv_proj", "kv_norm", "o_a_proj", "o_b_proj"}
        self.state(self.projection("q_b_proj"), ProjectionPart("query", heads * head_dim, head_dim))
        self.state(self.projection("kv_proj"), ProjectionPart("key and value", head_dim, head_dim))
        note = "queries are normed without a gain and the key is the value too; the norms bound the logits"
        return self.layout("key is value", heads, 1, head_dim, (), note=note)

    def expert_queries(self) -> AttentionLayout:
        """Read JetMoE, where a token's top experts make its queries: key head j meets query head j of each of them."""
        self.used |= {"experts", "kv_proj"}
        key_heads, slots = int(self.module.num_key_value_heads), int(self.module.top_k)  # type: ignore[arg-type]
        head_dim = self.head_dim(0)
        key = self.projection("kv_proj")
        if key.out_features != 2 * key_heads * head_dim:
            raise self.contradiction(
                f"kv_proj has {key.out_features} rows where {key_heads} heads need {2 * head_dim} each"
            )
        width = key_heads * head_dim
        self.state(key, ProjectionPart("key", width, head_dim), ProjectionPart("value", width, head_dim))
        rows = tuple(
            range((h % key_heads) * head_dim, (h % key_heads + 1) * head_dim) for h in range(slots * key_heads)
        )
        groups = tuple(h % key_heads for h in range(slots * key_heads))
        head_rows = tuple(HeadRows(parameter, rows, "key alone", key.dim) for parameter in key.parameters)
        return self.layout("queries by experts", len(rows), key_heads, head_dim, head_rows, groups, key.note)

    def convolved(self) -> AttentionLayout:
        """Read Zaya: queries and keys are mixed by a convolution and L2-normed; each key head has a temperature."""
        self.used |= {"qkv_proj", "qk_norm"}
        head_dim = self.head_dim(0)
        heads, key_heads = self.heads(), int(self.module.num_key_value_heads)  # type: ignore[arg-type]
        groups = tuple(h // (heads // key_heads) for h in range(heads))
        rows = tuple(range(g, g + 1) for g in groups)
        return self.layout(
            "convolved q and k", heads, key_heads, head_dim, (HeadRows("qk_norm.temp", rows, "key alone"),), groups
        )

    def fused_with_query_bias(self) -> AttentionLayout:
        """Read DeBERTa: rows [q k v] of one head after the other, and a bias of the queries beside them."""
        self.used |= {"in_proj", "q_bias", "v_bias"}
        qkv, heads = self.projection("in_proj"), self.heads()
        head_dim = self.divide("in_proj", qkv.out_features, 3 * heads)
        parts = (ProjectionPart(part, head_dim, head_dim) for part in ("query", "key", "value"))
        stated = self.state(qkv, *parts, periods=heads)
        bias_rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(heads))
        query = (*self.rows_of(self.knob(qkv, stated.heads("query")), "query"), HeadRows("q_bias", bias_rows, "query"))
        key = self.rows_of(self.knob(qkv, stated.heads("key")), "key")
        return self.layout("fused per head [q k v]", heads, heads, head_dim, query + key)

    def shared_query_and_key(self) -> AttentionLayout:
        """Read Reformer, whose keys are the queries at unit length, so the scale of the weight acts once."""
        self.used.add("query_key")
        shared = self.projection("query_key")
        head_dim = self.head_dim(shared.out_features)
        heads = self.divide("query_key", shared.out_features, head_dim)
        rows = tuple(range(h * head_dim, (h + 1) * head_dim) for h in range(heads))
        self.state(shared, ProjectionPart("query and key", shared.out_features, head_dim))
        self.state_value("value", heads)
        head_rows = tuple(HeadRows(p, rows, "query of shared key", shared.dim) for p in shared.parameters)
        return self.layout("query is key", heads, heads, head_dim, head_rows, note=shared.note)

    def relative_parameters(self, heads: int, head_dim: int) -> AttentionLayout:
        """Read XLNet: q and k are parameters (hidden, num_heads, head_dim); r_w_bias is added to the query of q·k."""
        self.used |= {"q", "k", "v", "o", "r", "r_r_bias", "r_s_bias", "r_w_bias", "seg_embed", "layer_norm"}
        for name, part in (("q", "query"), ("k", "key"), ("v", "value"), ("r", "position key")):
            width = heads * head_dim
            self.projections.append(ProjectionRows(name, (ProjectionPart(part, width, head_dim),), dim=1, flat=True))
        hidden = self.module.get_parameter("o").shape[0]
        self.projections.append(ProjectionRows("o", (ProjectionPart("output", hidden),), flat=True))
        rows = tuple(range(h, h + 1) for h in range(heads))
        head_rows = (
            HeadRows("q", rows, "query", 1),
            HeadRows("r_w_bias", rows, "query", 0),
            HeadRows("k", rows, "key", 1),
        )
        return self.layout("separate, by head", heads, heads, head_dim, head_rows)

    def torch_multihead_attention(self) -> AttentionLayout:
        """Read torch.nn.MultiheadAttention, whose weights are fused where queries, keys and values are equally wide."""
        module: Any = self.module
        self.used |= {"in_proj_weight", "in_proj_bias", "out_proj", "bias_k", "bias_v"}
        heads, head_dim, width = module.num_heads, module.head_dim, module.embed_dim
        blocks = tuple(ProjectionPart(part, width, head_dim) for part in ("query", "key", "value"))
        stated = ProjectionRows("in_proj_weight", blocks)
        q_rows, k_rows = stated.heads("query"), stated.heads("key")
        bias = module.in_proj_bias is not None  # of all three, in any case
        query = [HeadRows("in_proj_bias", q_rows, "query")] if bias else []
        key = [HeadRows("in_proj_bias", k_rows, "key")] if bias else []
        if module.bias_k is not None:  # a learned key beside the others, (1, 1, embed_dim)
            key.append(HeadRows("bias_k", q_rows, "key", dim=2))
        if module.in_proj_weight is not None:
            self.projections.append(stated)
            query.insert(0, HeadRows("in_proj_weight", q_rows, "query"))
            key.insert(0, HeadRows("in_proj_weight", k_rows, "key"))
            return self.layout("fused [Q|K|V]", heads, heads, head_dim, (*query, *key))
        for name, block in zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), blocks, strict=True):
            self.used.add(name)
            self.projections.append(ProjectionRows(name, (block,)))
        query.insert(0, HeadRows("q_proj_weight", q_rows, "query"))
        key.insert(0, HeadRows("k_proj_weight", q_rows, "key"))
        return self.layout("separate", heads, heads, head_dim, (*query, *key))

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
        """Return the layout with all that was noted while reading."""
        note = "; ".join([note, *self.notes] if note else self.notes)
        of_class, stated = own_class(self.module).__name__, tuple(self.projections)
        return AttentionLayout(
            self.name, of_class, kind, heads, key_heads, head_dim, head_rows, groups, note, projections=stated
        )
