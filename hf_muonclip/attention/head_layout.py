"""What a head layout is: which slices of which weights feed each attention head.

To scale one head's logits by gamma, QK-Clip must know the weights that make that head and no other.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..common.text_table import aligned

Role = Literal["query", "key", "query of shared key", "key alone", "query and key"]


@dataclass(frozen=True)
class HeadRows:
    """Slices of one parameter that feed one head each.

    Attributes:
        parameter: name relative to the attention module, e.g. "q_proj.weight".
        rows: one range of indices per attention head; heads that share a weight name the same range.
        role: the power of gamma that the rows take. "query" alpha and "key" 1 - alpha where the head owns both; the
            whole gamma for "query of shared key", where the key is left alone, and for "key alone", where the query
            cannot be scaled; a half for "query and key", one weight that both pass through.
        dim: the dimension of the parameter that `rows` index; 1 for transformers' Conv1D, stored (in, out).
        offset: added to the weight before it acts: 1 for norms that multiply by 1 + w, so that 1 + w is scaled.
    """

    parameter: str
    rows: tuple[range, ...]
    role: Role
    dim: int = 0
    offset: float = 0.0

    def exponent(self, alpha: float) -> float:
        """Return the power of gamma by which these rows are scaled."""
        if self.role == "query and key":
            return 0.5
        return {"query": alpha, "key": 1 - alpha}.get(self.role, 1.0)


@dataclass(frozen=True)
class ProjectionPart:
    """Rows of a projection that compute one thing.

    Attributes:
        name: "query", "key", "value", "gate", "latent", "rotary key", "position key" or "output"; "query and key" or
            "key and value" for rows that are both.
        rows: number of consecutive rows, in each period of the projection.
        head_rows: number of rows per head; 0 where the rows are not divided by heads.
    """

    name: str
    rows: int
    head_rows: int = 0


@dataclass(frozen=True)
class ProjectionRows:
    """Which rows of a projection's weight compute queries, keys, values and anything else.

    Attributes:
        parameter: name of the weight relative to the attention module.
        parts: in the order of the rows; together with `periods` they are all of them.
        periods: how often the parts repeat: 1 for [Q | K | V], the number of heads for [q k v] of one head after the
            other.
        dim: the dimension of the weight that is the output; 1 where it is stored (in, out).
        flat: the dimensions after the first are one, as in XLNet's (hidden, num_heads, head_dim).
    """

    parameter: str
    parts: tuple[ProjectionPart, ...]
    periods: int = 1
    dim: int = 0
    flat: bool = False

    def heads(self, name: str) -> tuple[range, ...]:
        """Return the rows of each head of a part."""
        period = sum(part.rows for part in self.parts)
        index = next(i for i, part in enumerate(self.parts) if part.name == name)
        start, part = sum(part.rows for part in self.parts[:index]), self.parts[index]
        return tuple(
            range(first, first + part.head_rows)
            for offset in range(start, start + self.periods * period, period)
            for first in range(offset, offset + part.rows, part.head_rows)
        )


@dataclass(frozen=True)
class AttentionLayout:
    """The heads of one attention module.

    Attributes:
        name: the module's name in the model.
        attention_class: name of its class.
        kind: how its projections hold the heads, e.g. "separate", "mla", "fused [Q|K|V]".
        num_attention_heads: query heads.
        num_key_value_heads: key heads.
        head_dim: width of a query or key head.
        head_rows: what to scale; empty where nothing can be, and `note` says why.
        gamma_groups: one number per head; heads with the same number share a weight that the clip scales, so they take
            the smallest gamma among them. Empty: every head takes its own.
        note: what a user should know: why the module is only monitored, or what bounds its logits.
        shares_weights_with: the earlier module whose weights this one uses; both are scaled once, by the smaller gamma.
        projections: what the rows of its projections make, also of those that the clip leaves alone.
    """

    name: str
    attention_class: str
    kind: str
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    head_rows: tuple[HeadRows, ...]
    gamma_groups: tuple[int, ...] = ()
    note: str = ""
    shares_weights_with: str | None = None
    projections: tuple[ProjectionRows, ...] = ()

    @property
    def granularity(self) -> Literal["head", "key head", "layer", "monitored"]:
        """What is scaled as one: a head, the heads of one key head, or the whole layer; "monitored": nothing is."""
        if not self.head_rows:
            return "monitored"
        groups = len(set(self.gamma_groups)) if self.gamma_groups else self.num_attention_heads
        if groups == self.num_attention_heads:
            return "head"
        return "layer" if groups == 1 else "key head"

    def scaled(self) -> str:
        """Return what the clip scales, in words."""
        if not self.head_rows:
            return f"nothing: {self.note}"
        return ", ".join(
            f"{'1 + ' if rows.offset else ''}{rows.parameter} ({rows.role})" for rows in self.head_rows
        ) + (f"; {self.note}" if self.note else "")


class HeadLayout(Mapping[str, AttentionLayout]):
    """The attention modules of a model by name; `str()` gives a readable table.

    Attributes:
        not_applicable: {module name: why} of the modules that look like attention and have no softmax over q·k.
        found_by_behavior: names of the modules that no rule covers, whose layout was found, and thereby proven, by
            running them.
    """

    def __init__(
        self,
        modules: Mapping[str, AttentionLayout],
        not_applicable: Mapping[str, str] | None = None,
        found_by_behavior: tuple[str, ...] = (),
    ) -> None:
        self._modules = dict(modules)
        self.not_applicable = dict(not_applicable or {})
        self.found_by_behavior = found_by_behavior

    def with_modules(self, modules: Mapping[str, AttentionLayout]) -> "HeadLayout":
        """Return a copy with other module layouts."""
        return HeadLayout(modules, self.not_applicable, self.found_by_behavior)

    def __getitem__(self, name: str) -> AttentionLayout:
        return self._modules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __str__(self) -> str:
        header = ("module", "class", "layout", "heads", "kv heads", "head dim", "clipped by", "scaled by the clip")
        table = [header]
        for layout in self.values():
            heads, kv_heads = str(layout.num_attention_heads), str(layout.num_key_value_heads)
            kind = layout.kind + (", found by behavior" if layout.name in self.found_by_behavior else "")
            row = (layout.name, layout.attention_class, kind, heads, kv_heads, str(layout.head_dim))
            table.append((*row, layout.granularity, layout.scaled()))
        lines = aligned(table)
        lines += [f"{name}: not applicable, {reason}" for name, reason in self.not_applicable.items()]
        return "\n".join(lines)


def around_frozen(layout: AttentionLayout, frozen: Collection[str]) -> AttentionLayout:
    """Return a layout that leaves frozen parameters alone: the other side takes the whole gamma where it can.

    Args:
        layout: the layout of one attention module.
        frozen: names of parameters that must not be written.

    Returns:
        The layout itself if none is frozen; without rows, and with the reason, if no side can be scaled on its own.
    """
    touched = {rows.parameter for rows in layout.head_rows} & set(frozen)
    if not touched:
        return layout
    queries = [rows for rows in layout.head_rows if rows.role in ("query", "query of shared key")]
    keys = [rows for rows in layout.head_rows if rows.role == "key"]
    # A head of which only a part owns its key (the rotary part of latent attention shares it) needs its whole query.
    by_key = len(keys) + len([rows for rows in queries if rows.role == "query"]) == len(layout.head_rows)
    free: tuple[HeadRows, ...] = ()
    if queries and not any(rows.parameter in frozen for rows in queries):
        free = tuple(replace(rows, role="query of shared key") for rows in queries)
        note = "its key weights are frozen, so the query takes the whole factor"
    elif keys and by_key and not any(rows.parameter in frozen for rows in keys):
        free = tuple(replace(rows, role="key alone") for rows in keys)
        note = "its query weights are frozen, so the key takes the whole factor"
    else:
        note = "its query or key weights are frozen"
    return replace(layout, head_rows=free, note="; ".join(filter(None, [layout.note, note])))
