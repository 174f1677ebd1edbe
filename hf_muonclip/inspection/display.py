"""An inspection in a terminal or a pipe: equal layers fold into one row, which becomes rich's or aligned columns."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..attention import AttentionLayout, HeadRows
from ..common.name_ranges import fold
from ..common.text_table import aligned
from ..common.wording import in_letters
from .inspect import Inspection, Node, head_dims, module_tree

_SQUEEZE = 30  # columns that a reason may lose to wrapping before each parameter becomes a paragraph of its own
_STYLES = {
    "muon": "green",
    "adamw": "yellow",
    "frozen": "dim",
    "head": "green",
    "key head": "cyan",
    "layer": "yellow",
    "monitored": "magenta",
    "passed": "green",
    "partial": "yellow",
    "failed": "bold red",
    "refused": "bold red",
}


def as_plain(inspection: Inspection, tree: bool = False) -> str:
    """Return lines for a pipe: aligned columns of full width, at least two spaces apart, without colours or frames."""
    lines = [_headline(inspection), ""]
    if tree:
        lines += _plain_tree(module_tree(inspection))
    else:
        if inspection.layout:
            lines += ["ATTENTION", *_aligned(_ATTENTION_COLUMNS, attention_rows(inspection)), ""]
        columns, rows = _PARAMETER_COLUMNS, parameter_rows(inspection, "{:,}".format)
        lines += ["PARAMETERS", *_aligned(columns, rows), "", *_totals(inspection, "{:,}".format)]
    lines += ["", "NOTES", *(f"- {note}" for note in notes(inspection))]
    return "\n".join([*lines, f"PROOF  {inspection.proof.status.replace('_', ' ')}: {inspection.proof.detail}"]) + "\n"


def as_rich(inspection: Inspection, width: int, tree: bool = False) -> RenderableType:
    """Return the tables for a terminal of a given width."""
    parts: list[RenderableType] = [Text(_headline(inspection), style="bold"), Text()]
    if tree:
        parts += [_rich_tree(module_tree(inspection)), Text()]
    else:
        if inspection.layout:
            parts.append(_rich_attention(inspection, width))
        parts += [_rich_parameters(inspection, width)]
        parts += [Text(line) for line in _totals(inspection, _short)] + [Text()]
    bullets = Table.grid(padding=(0, 1))
    for note in notes(inspection):
        bullets.add_row("•", Text(note))
    status = inspection.proof.status
    proof = Text.assemble(
        ("Proof ", "bold"), (status.replace("_", " "), _STYLES.get(status, "dim")), f": {inspection.proof.detail}"
    )
    return Group(*parts, Text("Notes", style="bold"), bullets, Text(), proof)


def show(inspection: Inspection, console: Console, tree: bool = False) -> None:
    """Write the tables to a terminal."""
    console.print(as_rich(inspection, console.width, tree), highlight=False)


def _headline(inspection: Inspection) -> str:
    weights = sum(parameter.numel() for parameter in inspection.model.parameters())
    described = f"{type(inspection.model).__name__} ({inspection.model_type}), {weights:,} weights"
    return f"{inspection.source}: {described}, {'loaded' if inspection.has_weights else 'from the config alone'}"


# Rows ---------------------------------------------------------------------------------------------------------------

_ATTENTION_COLUMNS = (
    "layer",
    "count",
    "attention class",
    "layout",
    "heads",
    "kv heads",
    "head dims",
    "queries clipped by",
    "keys clipped by",
    "granularity",
    "proof",
)
_PARAMETER_COLUMNS = ("parameter", "count", "shape", "algorithm", "decay", "why", "weights")
_NUMBERS = {"count", "heads", "kv heads", "head dims", "weights"}


def attention_rows(inspection: Inspection) -> list[tuple[str, ...]]:
    """Return one row per group of modules with equal layout; columns `_ATTENTION_COLUMNS`."""
    rows: list[tuple[str, ...]] = []
    for name, members in _layout_groups(inspection):
        layout = inspection.layout[members[0]]
        query, key = clip_in_words(layout)
        behavior = ", found by behavior" if layout.name in inspection.layout.found_by_behavior else ""
        rows.append(
            (
                name,
                str(len(members)),
                layout.attention_class,
                layout.kind + behavior,
                str(layout.num_attention_heads),
                str(layout.num_key_value_heads),
                head_dims(layout),
                query,
                key,
                layout.granularity,
                inspection.proof.modules.get(layout.name, "needs weights" if not inspection.has_weights else "not run"),
            )
        )
    return rows


def parameter_rows(inspection: Inspection, number: Callable[[int], str]) -> list[tuple[str, ...]]:
    """Return one row per group of parameters that are treated alike; columns `_PARAMETER_COLUMNS`."""
    parameters = dict(inspection.model.named_parameters())
    treated: dict[str, tuple[Any, ...]] = {
        p.name: (p.shape, p.algorithm, "yes" if p.decays else "no", p.reason) for p in inspection.plan
    }
    for name in inspection.frozen:
        treated[name] = (tuple(parameters[name].shape), "frozen", "no", "requires no gradient")
    rows: list[tuple[str, ...]] = []
    for name, members in fold({name: treated[name] for name in parameters}, star=True):
        shape, algorithm, decays, reason = treated[members[0]]
        shape_text = "x".join(map(str, shape)) or "scalar"
        weights = number(prod(shape) * len(members))
        rows.append((name, str(len(members)), shape_text, algorithm, decays, reason, weights))
    return rows


def clip_in_words(layout: AttentionLayout) -> tuple[str, str]:
    """Return through which weights the clip scales queries and keys, and by which power of gamma."""
    if not layout.head_rows:
        return "monitored only", "monitored only"
    powers = {"query": "gamma^alpha", "key": "gamma^(1-alpha)", "query and key": "gamma^1/2"}
    by_power: dict[tuple[bool, str], list[HeadRows]] = {}
    for rows in layout.head_rows:
        sides = (True, False) if rows.role == "query and key" else (rows.role.startswith("query"),)
        for side in sides:
            by_power.setdefault((side, powers.get(rows.role, "gamma")), []).append(rows)
    words: dict[bool, list[str]] = {True: [], False: []}
    for (side, power), members in by_power.items():
        also = {rows.parameter for (s, p), other in by_power.items() if s == side and p != power for rows in other}
        shared = power == "gamma" and {rows.parameter for rows in members} <= also
        names = dict.fromkeys(f"{'1 + ' if rows.offset else ''}{rows.parameter}" for rows in members)
        words[side].append(f"its shared part: {power}" if shared else f"{', '.join(names)}: {power}")
    if words[False] and any(rows.role == "query of shared key" for rows in layout.head_rows):
        words[False].append("its shared part: left alone")
    return "; ".join(words[True]) or "left alone", "; ".join(words[False]) or "left alone"


def notes(inspection: Inspection) -> list[str]:
    """Return what a user should know beside the tables, a sentence or two each."""
    said = []
    layouts = inspection.layout
    if inspection.refusal:
        said.append(f"attention layout refused: {inspection.refusal}")
    granularity = {layout.granularity for layout in layouts.values()}
    if granularity - {"monitored"}:
        said.append(
            "gamma = min(1, tau / max logit) of a head, tau = qk_clip_threshold; alpha = qk_clip_alpha, 0.5 by default"
        )
    roles = {rows.role for layout in layouts.values() for rows in layout.head_rows}
    if "query of shared key" in roles:
        said.append("heads that share a key: it is left alone, and the query takes the whole gamma")
    if "key head" in granularity:
        said.append("granularity key head: the heads of one key head share a clipped weight and its smallest gamma")
    if "layer" in granularity:
        said.append("granularity layer: all heads share a clipped weight, so the layer takes their smallest gamma")
    for name, members in _layout_groups(inspection):
        layout = layouts[members[0]]
        if layout.note:
            only = "monitored only, " if layout.granularity == "monitored" else ""
            said.append(f"{name}: {only}{layout.note}")
        if layout.shares_weights_with:
            owner = layout.shares_weights_with
            said.append(f"{name}: shares its weights with {owner}; both are scaled once, by the smaller gamma")
    for name, members in fold(layouts.not_applicable):
        said.append(f"{name}: not applicable, {layouts.not_applicable[members[0]]}")
    if any(planned.algorithm == "muon" and len(planned.shape) > 2 for planned in inspection.plan):
        said.append("3-D expert tensors: Muon treats every expert as its own matrix")
    return said


def _layout_groups(inspection: Inspection) -> list[tuple[str, list[str]]]:
    def key(name: str) -> Any:
        layout = replace(inspection.layout[name], name="")
        return layout, name in inspection.layout.found_by_behavior, inspection.proof.modules.get(name)

    return fold({name: key(name) for name in inspection.layout})


def _totals(inspection: Inspection, number: Callable[[int], str]) -> list[str]:
    counts: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    frozen = set(inspection.frozen)
    algorithms = {planned.name: planned.algorithm for planned in inspection.plan}
    for name, parameter in inspection.model.named_parameters():
        algorithm = "frozen" if name in frozen else algorithms[name]
        counts[algorithm] += 1
        weights[algorithm] += parameter.numel()
    whole = sum(weights.values())
    rows = [("total", f"{sum(counts.values())} parameters", f"{number(whole)} weights", "")]
    for name in ("frozen", "adamw", "muon"):
        if counts[name]:
            share = f"{weights[name] / whole:.2%}"
            rows.insert(0, (f"total {name}", f"{counts[name]} parameters", f"{number(weights[name])} weights", share))
    return aligned(rows, right=(1, 2, 3))


# Plain and rich -----------------------------------------------------------------------------------------------------


def _plain_tree(node: Node, depth: int = 0) -> list[str]:
    indent = "  " * depth
    alone = len(node.facts) == 1 and not node.children
    lines = [f"{indent}{node.title}" + (f"  {node.facts[0][1]}" if alone else "")]
    lines += [] if alone else [f"{indent}  - {text}" for _, text in node.facts]
    return lines + [line for child in node.children for line in _plain_tree(child, depth + 1)]


def _rich_tree(node: Node, parent: Tree | None = None) -> Tree:
    label = Text.assemble((node.name, "bold"), " ", (node.class_name, "cyan"))
    if node.count > 1:
        label.append(f" x{node.count}", "bold")
    alone = len(node.facts) == 1 and not node.children
    facts = [Text(text, _STYLES.get(kind, "dim")) for kind, text in node.facts]
    shown: RenderableType = label.append("  ").append(facts[0]) if alone else label
    if facts and not alone:
        shown = Group(label, *(Padding(fact, (0, 0, 0, 2)) for fact in facts))
    tree = Tree(shown, guide_style="dim") if parent is None else parent.add(shown)
    for child in node.children:
        _rich_tree(child, tree)
    return tree


def _rich_attention(inspection: Inspection, width: int) -> RenderableType:
    rows = attention_rows(inspection)
    table = _table("Attention")
    for column in ("layer, class", "layout", "heads", "kv\nheads", "head\ndims", "clipped by", "granularity", "proof"):
        right = "head" in column
        table.add_column(column, justify="right" if right else "left", no_wrap=column == "layer, class")
    for name, count, class_name, kind, heads, kv_heads, dims, query, key, granularity, proof in rows:
        layer = Text.assemble(_times(name, count), (f"\n{class_name}", "cyan"))
        clipped = Table.grid(padding=(0, 1))
        if query == key:
            clipped.add_row(query)
        else:
            clipped.add_row(Text("q", "dim"), query)
            clipped.add_row(Text("k", "dim"), key)
        per = Text(granularity, _STYLES[granularity])
        table.add_row(layer, kind, heads, kv_heads, dims, clipped, per, Text(proof, _STYLES.get(proof, "dim")))
    if _natural_width(table) > width:
        return _paragraphs("Attention", [_attention_paragraph(row) for row in rows])
    return table


def _attention_paragraph(row: tuple[str, ...]) -> RenderableType:
    name, count, class_name, kind, heads, kv_heads, dims, query, key, granularity, proof = row
    facts = Table.grid(padding=(0, 1))
    facts.add_row("", Text("class", "dim"), Text(class_name, "cyan"))
    facts.add_row("", Text("layout", "dim"), f"{kind}; {heads} heads, {kv_heads} kv heads, head dims {dims}")
    if query != key:
        facts.add_row("", Text("queries", "dim"), query)
        facts.add_row("", Text("keys", "dim"), key)
    per = Text(granularity, _STYLES[granularity])
    facts.add_row("", Text("clipped", "dim"), per if granularity == "monitored" else Text.assemble("by ", per))
    facts.add_row("", Text("proof", "dim"), Text(proof, _STYLES.get(proof, "dim")))
    return Group(_times(name, count), facts)


def _rich_parameters(inspection: Inspection, width: int) -> RenderableType:
    rows = parameter_rows(inspection, _short)
    table = _table("Parameters")
    for column in ("parameter", "shape", "updated by", "why", "weights"):
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=column != "why")
    for name, count, shape, algorithm, decays, reason, weights in rows:
        table.add_row(_times(name, count), shape, _updated_by(algorithm, decays), reason, weights)
    if _natural_width(table) > width + _SQUEEZE:
        return _paragraphs("Parameters", [_parameter_paragraph(row) for row in rows])
    return table


def _parameter_paragraph(row: tuple[str, ...]) -> RenderableType:
    name, count, shape, algorithm, decays, reason, weights = row
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column()
    line.add_column(justify="right", no_wrap=True)
    line.add_row(_times(name, count), weights)
    described = Text.assemble(_updated_by(algorithm, decays), (f"  {shape}  {reason}", "dim"))
    return Group(line, Padding(described, (0, 0, 0, 2)))


def _paragraphs(title: str, paragraphs: Sequence[RenderableType]) -> RenderableType:
    return Group(Text(title, "bold"), Rule(style="dim"), *paragraphs, Text())


def _natural_width(table: Table) -> int:
    return Console(width=10_000).measure(table).maximum


def _times(name: str, count: str) -> Text:
    return Text.assemble(name, ("" if count == "1" else f" x{count}", "bold"))


def _updated_by(algorithm: str, decays: str) -> Text:
    decay = "" if decays == "yes" or algorithm == "frozen" else ", no decay"
    return Text.assemble((algorithm, _STYLES[algorithm]), decay)


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return aligned([header, *rows], right=[column for column, name in enumerate(header) if name in _NUMBERS])


def _short(number: int) -> str:
    """Return a count with four digits at most: 1.026T."""
    return in_letters(number, 4)
