"""Find the head layout of a module that no rule covers, by what its weights do to its scores.

The scores of one head depend on some slices of some parameters. A slice that moves one head and no other is a
candidate; scaled, it must scale that head's scores by exactly the same factor. Where no parameter is split by heads,
one that scales all heads alike (a norm's gain) is taken for the layer. A layout found like this is thereby proven.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..head_layout import AttentionLayout, HeadRows, ProjectionPart, ProjectionRows, Role
from ..modules.random_inputs import evaluation_mode
from .probe import Observed, Probe, differentiable, rows_with_gradient

_FACTOR = 0.25
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Candidate:
    """Slices of the parameters of one submodule, one set per head."""

    owner: str  # path of the submodule, relative to the attention module
    slices: tuple[tuple[str, int, float, tuple[frozenset[int], ...]], ...]  # parameter, dim, offset, rows per head
    per_head: bool

    def is_inside(self, paths: set[str]) -> bool:
        """Return whether all of its parameters are among `paths`."""
        return bool(self.slices) and all(path in paths for path, *_ in self.slices)


def find_layouts(
    model: nn.Module, modules: Mapping[str, nn.Module], inputs: Mapping[str, Any] | None = None
) -> dict[str, AttentionLayout]:
    """Find by behaviour which weights scale each head of the given attention modules.

    Args:
        model: with weights.
        modules: attention modules of the model that no rule covers, by name.
        inputs: the arguments of one forward that reaches them; by default a few random tokens.

    Raises:
        ValueError: a module does not run, shows no scores, or none of its weights scales its heads one by one or all
            alike.
    """
    found = {}
    with evaluation_mode(model):
        probe = Probe(model, modules, inputs)
        if probe.not_run:
            raise ValueError(f"{', '.join(probe.not_run)} did not run in a forward on random tokens.")
        for name, module in modules.items():
            found[name] = _find(name, module, probe)
    return found


def _find(name: str, module: nn.Module, probe: Probe) -> AttentionLayout:
    parameters = {
        path: parameter
        for path, parameter in module.named_parameters()
        if parameter.is_floating_point() and parameter.ndim > 0
    }
    with differentiable(parameters):
        observed = probe.run(name)
        candidates = _candidates(observed, parameters)
        queries, keys = (_feeding(parameters, side) for side in (observed.queries, observed.keys))
        united = [_united(candidates, side) for side in (queries, keys)]
        known = {candidate.slices for candidate in candidates}
        candidates += [candidate for candidate in united if candidate.slices not in known]
    before = observed.flat().detach()
    heads = before.shape[0]
    working: dict[_Candidate, float] = {}
    with torch.no_grad():
        for candidate in candidates:
            for power in (1.0, 2.0):  # 2: a weight that queries and keys both pass through
                if candidate.slices and _scales(candidate, module, probe, name, before, power):
                    working[candidate] = power
                    break
    key_heads = observed.key_heads[0] if observed.key_heads else heads
    head_dim = observed.queries[0].shape[-1] if observed.queries else 0
    chosen: list[tuple[_Candidate, Role]] = []
    alone = [candidate for candidate, power in working.items() if power == 1 and candidate.per_head]
    if len(alone) >= 2:
        first, second = sorted(alone[:2], key=lambda candidate: not candidate.is_inside(queries))
        chosen = [(first, "query"), (second, "key")]
    elif working:
        best = (alone or sorted(working, key=lambda candidate: not candidate.per_head))[0]
        role: Role = "query and key" if working[best] == 2 else "query of shared key"
        if working[best] == 1 and not best.is_inside(queries) and best.is_inside(keys):
            role = "key alone"
        chosen = [(best, role)]
    else:
        raise ValueError(
            f"no weight of {name} ({type(module).__name__}) scales its heads one by one or all alike (its parameters: "
            f"{', '.join(sorted(parameters)) or 'none'})."
        )
    head_rows = tuple(rows for candidate, role in chosen for rows in _head_rows(candidate, role))
    per_head = chosen[0][0].per_head
    if not head_dim and per_head:
        head_dim = sum(len(rows.rows[0]) for rows in head_rows if rows.parameter == head_rows[0].parameter)
    groups = () if per_head else (0,) * heads
    of_class, found = type(module).__name__, _projections(head_rows, module) if per_head else ()
    return AttentionLayout(
        name, of_class, "as it behaves", heads, key_heads, head_dim, head_rows, groups, projections=found
    )


def _projections(head_rows: tuple[HeadRows, ...], module: nn.Module) -> tuple[ProjectionRows, ...]:
    """Return the projections among the found linear maps: those that feed one side only, head after head.

    A weight that feeds both sides moves the scores by both, so its queries and keys are not told apart.
    """
    found = []
    for rows in head_rows:
        linear, once = rows.parameter.rpartition(".")[0], [r.parameter for r in head_rows].count(rows.parameter) == 1
        if rows.role == "query and key" or not once or not isinstance(module.get_submodule(linear), nn.Linear):
            continue
        width = len(rows.rows[0])
        part = ProjectionPart("key" if rows.role in ("key", "key alone") else "query", width, width)
        stated = ProjectionRows(rows.parameter, (part,), len(rows.rows))
        weight = module.get_parameter(rows.parameter)
        covers = weight.ndim == 2 and weight.shape[0] == width * len(rows.rows)
        if covers and rows.dim == 0 and stated.heads(part.name) == rows.rows:
            found.append(stated)
    return tuple(found)


def _feeding(parameters: Mapping[str, nn.Parameter], side: list[Tensor]) -> set[str]:
    """Return the parameters that queries, or keys, depend on; an empty set if that is not known."""
    if not side:
        return set()
    total = torch.stack([states.float().square().sum() for states in side]).sum()
    gradients = torch.autograd.grad(total, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {path for path, g in zip(parameters, gradients, strict=True) if g is not None and g.any()}


def _united(candidates: list[_Candidate], fed: set[str]) -> _Candidate:
    """Return all per-head slices that feed one side together, where queries or keys are sums of several projections."""
    parts = [
        c for c in candidates if c.per_head and c.is_inside(fed) and not any(offset for _, _, offset, _ in c.slices)
    ]
    return _Candidate("", tuple(dict.fromkeys(part for c in parts for part in c.slices)), True)


def _candidates(observed: Observed, parameters: Mapping[str, nn.Parameter]) -> list[_Candidate]:
    """Return, submodule by submodule, the slices that feed one head each, or all heads alike."""
    scores = observed.flat()
    heads = scores.shape[0]
    if not scores.requires_grad:
        raise ValueError(f"the scores of {observed.name} do not depend on any of its weights")
    weights = torch.rand(scores.shape[1], generator=torch.Generator().manual_seed(0)).to(scores) + 0.5
    gradients: dict[str, list[Tensor | None]] = {path: [] for path in parameters}
    for head in range(heads):
        of_head = torch.autograd.grad(
            scores[head] @ weights, list(parameters.values()), retain_graph=True, allow_unused=True
        )
        for path, gradient in zip(parameters, of_head, strict=True):
            gradients[path].append(gradient)
    by_owner: dict[str, list[str]] = {}
    for path in parameters:
        if any(gradient is not None and gradient.any() for gradient in gradients[path]):
            by_owner.setdefault(path.rpartition(".")[0], []).append(path)
    candidates = []
    for owner, paths in by_owner.items():
        for exclusive in (True, False):
            groups = [_own_rows(gradients[path], parameters[path], heads, exclusive) for path in paths]
            if all(group is not None for group in groups):
                slices = [(path, *group) for path, group in zip(paths, groups, strict=True) if group is not None]
                for offset in (0.0, 1.0):
                    with_offset = tuple(
                        (path, dim, offset if parameters[path].ndim == 1 and len(paths) == 1 else 0.0, rows)
                        for path, dim, rows in slices
                    )
                    candidates.append(_Candidate(owner, with_offset, exclusive))
                break
    for path in parameters:  # a bias beside the query may be a parameter of the attention module itself
        if "." not in path and len(by_owner.get("", [])) > 1:
            group = _own_rows(gradients[path], parameters[path], heads, True)
            if group is not None:
                candidates.append(_Candidate("", ((path, group[0], 0.0, group[1]),), True))
    return candidates


def _own_rows(
    gradients: list[Tensor | None], parameter: nn.Parameter, heads: int, exclusive: bool
) -> tuple[int, tuple[frozenset[int], ...]] | None:
    """Return a dimension and the rows of each head that no other head depends on, or, if not exclusive, all of them."""
    for dim in range(parameter.ndim):
        fed = [frozenset(rows_with_gradient(gradient, dim)) for gradient in gradients]
        if not exclusive:
            return (dim, tuple(fed)) if len(set(fed)) == 1 and len(fed[0]) == parameter.shape[dim] else None
        own = [rows - frozenset().union(*(fed[:h] + fed[h + 1 :])) for h, rows in enumerate(fed)]
        if all(own) and heads > 1:
            return dim, tuple(own)
    return None


def _scales(candidate: _Candidate, module: nn.Module, probe: Probe, name: str, before: Tensor, power: float) -> bool:
    """Return whether scaling a candidate's slices of every second head scales those heads alone, by factor^power."""
    heads = before.shape[0]
    largest = before.abs().amax(dim=1).clamp(min=1e-20)
    for parity in (0, 1) if candidate.per_head else (None,):  # no head alone where all are alike
        scaled = [parity is None or head % 2 == parity for head in range(heads)]
        saved = {path: module.get_parameter(path).clone() for path, *_ in candidate.slices}
        try:
            for path, dim, offset, rows in candidate.slices:
                parameter = module.get_parameter(path).data
                index = sorted(set().union(*(rows[head] for head in range(heads) if scaled[head])))
                chosen = torch.tensor(index, device=parameter.device)
                part = parameter.index_select(dim, chosen)
                parameter.index_copy_(dim, chosen, (part + offset) * _FACTOR - offset)
            after = probe.run(name).flat()
        finally:
            for path, original in saved.items():
                module.get_parameter(path).data.copy_(original)
        factor = torch.tensor([_FACTOR**power if flag else 1.0 for flag in scaled]).to(before)
        if ((after - before * factor[:, None]).abs().amax(dim=1) / largest > _TOLERANCE).any():
            return False
    return True


def _head_rows(candidate: _Candidate, role: Role) -> list[HeadRows]:
    """Write each head's rows as ranges; heads whose rows fall into several runs take several entries."""
    found = []
    for path, dim, offset, rows in candidate.slices:
        runs = [_runs(sorted(of_head)) for of_head in rows]
        if len({len(of_head) for of_head in runs}) > 1:
            raise ValueError(f"the heads of {path} do not have rows of one shape")
        found += [HeadRows(path, tuple(part), role, dim, offset) for part in zip(*runs, strict=True)]
    return found


def _runs(rows: list[int]) -> list[range]:
    runs: list[range] = []
    for row in rows:
        if runs and row == runs[-1].stop:
            runs[-1] = range(runs[-1].start, row + 1)
        else:
            runs.append(range(row, row + 1))
    return runs
