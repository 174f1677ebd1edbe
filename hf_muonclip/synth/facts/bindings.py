"""Numbers, dates and names at the wrong place: two of them swapped, or one put where the source has another.

All are still in the text, so that counting them finds nothing. Each is held against its surroundings instead: see
`context`.
"""

from collections.abc import Callable
from typing import NamedTuple

from .context import Bound, context_of
from .misfit import Misfit, shared, worst_misfit
from .names import Name
from .number_match import unit_class
from .reading import Facts

# One misfit alone has to be clearer than two that point at each other.
_LEAST_FIT = 0.4
_LEAST_GAP = 0.2
_LEAST_MUTUAL_GAP = 0.08
_PRONOUNS = frozenset("he she it they his her its their him them who which".split())


class _Item(NamedTuple):
    """A number, date or name with what tells it from others."""

    bound: Bound
    keys: frozenset[str]
    group: str


def swapped_numbers(source: Facts, rewritten: Facts) -> list[str]:
    """Return a sentence for each number or date of the rewriting that stands where the source has another one."""
    ours, theirs = _numbers(source), _numbers(rewritten)
    return _swaps(source, rewritten, ours, theirs, [], lambda a, b: a.group == b.group and a.keys.isdisjoint(b.keys))


def swapped_names(source: Facts, rewritten: Facts) -> list[str]:
    """Return a sentence for each name of the rewriting that stands where the source has another one.

    Where the source has a pronoun, any name shortly before it may stand.
    """
    ours, theirs = _names(source), _names(rewritten)
    if len({key for item in theirs for key in item.keys}) < 2:
        return []
    return _swaps(source, rewritten, ours, theirs, _named_by_pronouns(source), lambda a, b: a.keys.isdisjoint(b.keys))


def _numbers(facts: Facts) -> list[_Item]:
    items = []
    for number in facts.numbers:
        if number.soft:
            continue
        own = f"#{number.value:.10g}{number.text}"
        bound = Bound(own, number.first, number.last, context_of(facts, number.first, number.last))
        items.append(_Item(bound, frozenset((number.key,)), unit_class(number)))
    for date in facts.dates:
        if date.span:
            continue
        own = f"#{date.year}" if date.year and not date.month else f"#{date.key}"
        bound = Bound(own, date.first, date.last, context_of(facts, date.first, date.last))
        keys = {f"{date.year}"} if date.month is None else {f"{date.month}-{date.day}"}
        items.append(_Item(bound, frozenset(keys), "year" if date.month is None else "day"))
    return items


def _names(facts: Facts) -> list[_Item]:
    return [
        _Item(
            Bound(name.keys[-1], name.first, name.last, context_of(facts, name.first, name.last, roles=True)),
            frozenset(name.keys),
            "name",
        )
        for name in facts.names
        if name.sure or _is_sure_elsewhere(facts, name)
    ]


def _is_sure_elsewhere(facts: Facts, name: Name) -> bool:
    return any(other.sure and not set(other.keys).isdisjoint(name.keys) for other in facts.names)


def _named_by_pronouns(facts: Facts) -> list[_Item]:
    """Return the pronouns of a text as occurrences of each name in their sentence and the two before."""
    text = facts.text
    items = []
    for index, token in enumerate(text.tokens):
        if token.lower not in _PRONOUNS:
            continue
        sentence = text.sentence_of[index]
        nearby = [n for n in facts.names if n.first < index and sentence - 2 <= text.sentence_of[n.first] <= sentence]
        if nearby:
            keys = frozenset(key for name in nearby for key in name.keys)
            items.append(_Item(Bound("", index, index, context_of(facts, index, index, roles=True)), keys, "name"))
    return items


def _swaps(
    source: Facts,
    rewritten: Facts,
    ours: list[_Item],
    theirs: list[_Item],
    stand_ins: list[_Item],
    are_rivals: Callable[[_Item, _Item], bool],
) -> list[str]:
    misfits: list[tuple[_Item, _Item, Misfit]] = []
    for item in theirs:
        own = [other.bound for other in (*ours, *stand_ins) if not item.keys.isdisjoint(other.keys)]
        if not own or max(shared(item.bound.context, place.context, ()) for place in own) > 1 - _LEAST_MUTUAL_GAP:
            continue
        rivals = {id(other.bound): other for other in ours if are_rivals(item, other)}
        worst = worst_misfit(item.bound, own, [rival.bound for rival in rivals.values()], _own_names(item, rivals))
        if worst and worst.gap >= _LEAST_MUTUAL_GAP and worst.fit >= _LEAST_FIT:
            misfits.append((item, rivals[id(worst.rival)], worst))
    reasons: dict[str, None] = {}
    for item, rival, misfit in misfits:
        mutual = any(
            not other.keys.isdisjoint(rival.keys) and not back.keys.isdisjoint(item.keys) for other, back, _ in misfits
        )
        if mutual or misfit.gap >= _LEAST_GAP:
            here = rewritten.text.quote(item.bound.first, item.bound.last)
            there = source.text.quote(rival.bound.first, rival.bound.last)
            sentence = rewritten.text.quote_sentence(rewritten.text.sentence_of[item.bound.first])
            reasons[f'"{here}" stands where the source has "{there}": "{sentence}"'] = None
    return list(reasons)


def _own_names(item: _Item, rivals: dict[int, _Item]) -> Callable[[Bound, Bound], set[str]]:
    def hidden(bound: Bound, rival: Bound) -> set[str]:
        return {bound.key, rival.key} | item.keys | rivals[id(rival)].keys

    return hidden
