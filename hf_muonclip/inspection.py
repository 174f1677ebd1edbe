"""What MuonClip would do to a model: facts gathered once, shown in a terminal, in a pipe, or as JSON.

`inspect_model` reads the head layout, the parameter plan and the proof of one model. The rest of the file only arranges
them: equal layers fold into one row, a row becomes rich's in a terminal and aligned columns in a pipe.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from torch import nn

from .attention import AttentionLayout, HeadLayout, HeadRows, detect_head_layout, verify_head_layout
from .attention.probe import Probe, evaluation_mode
from .muon_clip import projection_views
from .param_groups import PlannedParameter, plan_parameters

ProofStatus = Literal["passed", "partial", "failed", "not_run"]

# What a forward on random tokens raises in models that take something else.
_FORWARD_ERRORS = (ValueError, TypeError, RuntimeError, AttributeError, KeyError, IndexError, AssertionError)
_NEEDS_WEIGHTS = "the proof runs the model and needs weights; --weights loads them"
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
        source: what the user named.
        model: with weights or on the meta device.
        has_weights: which of the two.
        layout: empty if it was refused.
        refusal: why the layout was refused; empty if it was not.
        plan: what updates which parameter.
        proof: of the layout.
    """

    source: str
    model: nn.Module
    has_weights: bool
    layout: HeadLayout
    refusal: str
    plan: list[PlannedParameter]
    proof: Proof

    @property
    def frozen(self) -> list[str]:
        """Names of the parameters that nothing updates."""
        planned = {parameter.name for parameter in self.plan}
        return [name for name, _ in self.model.named_parameters() if name not in planned]


def inspect_model(source: str, model: nn.Module) -> Inspection:
    """Gather what MuonClip would do to a model.

    Args:
        source: where the model comes from, in the user's words.
        model: with weights, then the layout is proven, or on the meta device.
    """
    has_weights = not any(parameter.is_meta for parameter in model.parameters())
    refusal = ""
    try:
        layout = detect_head_layout(model)
    except ValueError as error:
        layout, refusal = HeadLayout({}), str(error)
    proof = prove(model, layout) if has_weights else Proof("not_run", _NEEDS_WEIGHTS)
    if refusal:
        proof = Proof("not_run", "there is no layout to prove")
    plan = plan_parameters(model, projection_views(model, None if refusal else layout))
    return Inspection(source, model, has_weights, layout, refusal, plan, proof)


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
        names = ", ".join(_fold_names([name for name in layout if name in missed]))
        return Proof("partial", f"{proven} passed; random tokens do not reach {names}", modules)
    return Proof("passed", f"{proven} moved head by head as the layout says", modules)


def as_json(inspection: Inspection) -> dict[str, Any]:
    """Return the facts as one JSON object, unfolded; `hf-muonclip inspect --help` documents the keys."""
    model, layout = inspection.model, inspection.layout
    return {
        "model": {
            "source": inspection.source,
            "class": type(model).__name__,
            "model_type": _model_type(model),
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


def as_plain(inspection: Inspection, tree: bool = False) -> str:
    """Return lines for a pipe: aligned columns of full width, two spaces or more between them, no colours or frames."""
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
    """Return what a terminal of some width shows."""
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
    """Write what a terminal shows."""
    console.print(as_rich(inspection, console.width, tree), highlight=False)


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
                _head_dims(layout),
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
        said.append("3-D expert tensors: every expert is a matrix of its own to Muon")
    return said


def _layout_groups(inspection: Inspection) -> list[tuple[str, list[str]]]:
    def key(name: str) -> Any:
        layout = replace(inspection.layout[name], name="")
        return layout, name in inspection.layout.found_by_behavior, inspection.proof.modules.get(name)

    return fold({name: key(name) for name in inspection.layout})


def _head_dims(layout: AttentionLayout) -> str:
    """Return the width of a head, in parts where latent attention splits it: own key + shared key."""
    own = {rows.parameter: len(rows.rows[0]) for rows in layout.head_rows if rows.role == "query"}
    for rows in layout.head_rows:
        width = own.get(rows.parameter)
        if rows.role == "query of shared key" and width and width + len(rows.rows[0]) == layout.head_dim:
            return f"{width}+{len(rows.rows[0])}"
    return str(layout.head_dim)


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
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c.rjust(widths[2])}  {d.rjust(widths[3])}".rstrip()
        for a, b, c, d in rows
    ]


# Folding ------------------------------------------------------------------------------------------------------------


def fold(items: Mapping[str, Any], star: bool = False) -> list[tuple[str, list[str]]]:
    """Fold names that differ in their layer numbers alone and whose values are equal.

    Args:
        items: {dotted name: value}.
        star: write "*" where all numbers that occur in this place are meant, and not their range.

    Returns:
        (folded name, its members) in the order of first members; "h.0-2,4.attn" for h.0, h.1, h.2 and h.4.
    """
    numbers: dict[tuple[str, ...], set[str]] = {}
    for name in items:
        tokens = tuple(name.split("."))
        for place, token in enumerate(tokens):
            if token.isdigit():
                numbers.setdefault(tokens[:place], set()).add(token)
    groups: list[tuple[tuple[str, ...], Any, list[str]]] = [
        (tuple(name.split(".")), value, [name]) for name, value in items.items()
    ]
    for place in range(max((len(tokens) for tokens, _, _ in groups), default=0) - 1, -1, -1):
        merged: dict[Any, list[tuple[tuple[str, ...], Any, list[str]]]] = {}
        for index, (tokens, value, members) in enumerate(groups):
            numbered = place < len(tokens) and tokens[place].isdigit()
            key = (tokens[:place], tokens[place + 1 :], value) if numbered else index
            merged.setdefault(key, []).append((tokens, value, members))
        groups = []
        for group in merged.values():
            tokens, value, _ = group[0]
            if len(group) > 1:
                found = [tokens[place] for tokens, _, _ in group]
                everything = star and set(found) == numbers[tokens[:place]]
                tokens = (*tokens[:place], "*" if everything else _ranges(map(int, found)), *tokens[place + 1 :])
            groups.append((tokens, value, [name for _, _, members in group for name in members]))
    return [(".".join(tokens), members) for tokens, _, members in groups]


def _fold_names(names: Sequence[str]) -> list[str]:
    return [name for name, _ in fold(dict.fromkeys(names))]


def _ranges(numbers: Iterable[int]) -> str:
    """Return numbers as "0-4,6,8-9"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


# Tree ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A module, or several equal ones, with what MuonClip does to it.

    Attributes:
        name: its own, or folded numbers such as "0-29".
        class_name: of the module.
        facts: (style, text) lines: the layout of an attention, or the algorithm of each parameter.
        children: submodules that hold parameters.
        count: how many equal modules this stands for.
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
            lines.append((layout.granularity, f"{layout.kind}, {heads}, head dims {_head_dims(layout)}, {clipped}"))
        elif path in inspection.layout.not_applicable:
            lines.append(("dim", f"not applicable, {inspection.layout.not_applicable[path]}"))
        for own, parameter in module.named_parameters(recurse=False):
            name = f"{path}.{own}" if path else own
            shape = "x".join(map(str, parameter.shape)) or "scalar"
            if owners[parameter] != name:
                lines.append(("dim", f"{own} {shape} tied to {owners[parameter]}"))
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
        replace(group[0], name=_ranges(int(node.name) for node in group), count=len(group))
        if len(group) > 1
        else group[0]
        for group in groups.values()
    ]


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
    facts = [Text(text, _STYLES.get(style, style)) for style, text in node.facts]
    shown: RenderableType = label.append("  ").append(facts[0]) if alone else label
    if facts and not alone:
        shown = Group(label, *(Padding(fact, (0, 0, 0, 2)) for fact in facts))
    tree = Tree(shown, guide_style="dim") if parent is None else parent.add(shown)
    for child in node.children:
        _rich_tree(child, tree)
    return tree


# Rich and plain -----------------------------------------------------------------------------------------------------


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
    table = [tuple(header), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return [
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for cell, width, name in zip(row, widths, header, strict=True)
        ).rstrip()
        for row in table
    ]


def _headline(inspection: Inspection) -> str:
    weights = sum(parameter.numel() for parameter in inspection.model.parameters())
    described = f"{type(inspection.model).__name__} ({_model_type(inspection.model)}), {weights:,} weights"
    return f"{inspection.source}: {described}, {'loaded' if inspection.has_weights else 'from the config alone'}"


def _model_type(model: nn.Module) -> str:
    return str(getattr(getattr(model, "config", None), "model_type", "") or "unknown type")


def _disproof(model: nn.Module, modules: Mapping[str, AttentionLayout]) -> str:
    try:
        verify_head_layout(model, HeadLayout(modules))
    except ValueError as error:
        return str(error)
    return ""


def _short(number: int) -> str:
    """Return a count with four digits at most: 1.026T."""
    for unit, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= unit:
            return f"{number / unit:.4g}{letter}"
    return str(number)


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()
