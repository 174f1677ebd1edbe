"""Numbers, dates and names at the wrong place: two of them swapped, or one put where the source has another.

All are still in the text, so that counting them finds nothing. Each is held against its surroundings instead: see
`context`.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

from .antonyms import are_converse
from .context import Bound, context_of
from .evidence import FAINTEST, Evidence, graded
from .misfit import Misfit, compare_places, gap, shared
from .number_match import can_be_swapped, unit_class
from .reading import Facts
from .tables import word_set

# Two things that point at each other's places may each fit them less well than one that stands there alone.
_LEAST_FIT, _LEAST_GAP, _LEAST_PRO = 0.35, 0.42, 0.65
_LEAST_MUTUAL_FITS = (0.12, 0.25)
_LEAST_MUTUAL_GAP, _LEAST_MUTUAL_PRO = 0.45, 0.9
_MOST_OCCURRENCES = 12
_AT_HOME = 0.93
_TO = frozenset(("to", "-", "–", "—", "until", "till", "through"))
_JOINING = frozenset(("and", "or", ",", "&", "the"))
_PRONOUNS = word_set("he she it they his her its their him them who which")


class _Item(NamedTuple):
    """A number, date or name with what tells it from others."""

    bound: Bound
    keys: frozenset[str]
    group: str


def swapped_numbers(source: Facts, rewritten: Facts) -> list[Evidence]:
    """Return each number or date of the rewriting that stands where the source has another one."""
    ours, theirs = _numbers(source), _numbers(rewritten)
    return _swaps("number_places", source, rewritten, ours, theirs, [], _are_rival_numbers) + _turned_ranges(
        source, rewritten
    )


def _turned_ranges(source: Facts, rewritten: Facts) -> list[Evidence]:
    """Return each range whose ends have changed places: "from 1850 to 1910", "1910-1850"."""
    ours, theirs = _ranges(source), _ranges(rewritten)
    return [
        Evidence(
            "ranges",
            1.0,
            f'"{rewritten.text.quote(*theirs[start, end])}" is "{source.text.quote(*ours[end, start])}" in the source.',
        )
        for start, end in theirs.keys() - ours.keys()
        if (end, start) in ours.keys() - theirs.keys()
    ]


def _ranges(facts: Facts) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the ranges of a text by the keys of their ends, with their first and last token."""
    tokens = facts.text.tokens
    ends = [(number.first, number.last, number.key) for number in facts.numbers]
    ends = sorted([*ends, *((date.first, date.last, date.key) for date in facts.dates)])
    found = {}
    for (first, last, start), (after, end_last, end) in itertools.pairwise(ends):
        between = [token.lower for token in tokens[last + 1 : after]]
        opens = tokens[first - 1].lower if first else ""
        if (len(between) == 1 and between[0] in _TO) or (between == ["and"] and opens == "between"):
            found[start, end] = first, end_last
    return found


def swapped_names(source: Facts, rewritten: Facts) -> list[Evidence]:
    """Return each name of the rewriting that stands where the source has another one.

    Where the source has a pronoun, any name shortly before it may stand.
    """
    ours, theirs = _names(source, rewritten), _names(rewritten, source)
    if len({key for item in theirs for key in item.keys}) < 2:
        return []
    joined = _joined(source)

    def are_rivals(one: _Item, other: _Item) -> bool:
        return one.keys.isdisjoint(other.keys) and one.keys.isdisjoint(joined.get(other.bound.first, ()))

    swapped = _swaps("roles", source, rewritten, ours, theirs, _named_by_pronouns(source), are_rivals)
    return swapped + _turned_deeds(ours, theirs, source, rewritten)


def _turned_deeds(ours: list[_Item], theirs: list[_Item], source: Facts, rewritten: Facts) -> list[Evidence]:
    """Return each deed whose doer and whose object have changed places."""
    done, told = _deeds(ours, source), _deeds(theirs, rewritten)
    reasons = []
    for doer, deed, other in told.keys() - done.keys():
        turned = (other, deed, doer)
        here = told[doer, deed, other]
        if turned in done.keys() - told.keys() and not _are_converse(source, done[turned], rewritten, here):
            sentence = rewritten.text.quote_sentence(here)
            reason = f'The source has who does what to whom the other way round: "{sentence}"'
            reasons.append(Evidence("deeds", 1.0, reason))
    return reasons


def _deeds(items: list[_Item], facts: Facts) -> dict[tuple[str, str, str], int]:
    """Return, of each sentence, which name stands on which side of which word: (doer, word, other name)."""
    found: dict[tuple[str, str, str], int] = {}
    by_sentence: dict[int, list[_Item]] = {}
    for item in items:
        by_sentence.setdefault(facts.text.sentence_of[item.bound.first], []).append(item)
    for sentence, named in by_sentence.items():
        for doer in named:
            deeds = [feature[1:] for feature in doer.bound.context if feature[0] == "{"]
            for other in named:
                if other is not doer and doer.keys.isdisjoint(other.keys):
                    for deed in deeds:
                        if "}" + deed in other.bound.context and "{" + deed not in other.bound.context:
                            found.update({(a, deed, b): sentence for a in doer.keys for b in other.keys})
    return found


def _numbers(facts: Facts) -> list[_Item]:
    items = []
    seen: Counter[str] = Counter()  # what is everywhere is at home everywhere
    for number in facts.numbers:
        seen[number.key] += 1
        if number.soft or seen[number.key] > _MOST_OCCURRENCES:
            continue
        bound = Bound(number.feature, number.first, number.last, context_of(facts, number.first, number.last))
        items.append(_Item(bound, frozenset((number.key, f"{number.value:.10g}")), unit_class(number)))
    for date in facts.dates:
        seen[date.key] += 1
        if date.span or seen[date.key] > _MOST_OCCURRENCES:
            continue
        own = f"#{date.year}" if date.year and not date.month else f"#{date.key}"
        bound = Bound(own, date.first, date.last, context_of(facts, date.first, date.last))
        keys = {f"{date.year}"} if date.month is None else {f"{date.month}-{date.day}"}
        items.append(_Item(bound, frozenset(keys), "year" if date.month is None else "day"))
    return items


def _names(facts: Facts, other: Facts) -> list[_Item]:
    sure = {key for text in (facts, other) for name in text.names if name.sure for key in name.keys}
    return [
        _Item(
            Bound(name.keys[-1], name.first, name.last, context_of(facts, name.first, name.last, roles=True)),
            frozenset(name.keys),
            "name",
        )
        for name in facts.names
        if name.sure or not sure.isdisjoint(name.keys)
    ]


def _are_rival_numbers(one: _Item, other: _Item) -> bool:
    return one.keys.isdisjoint(other.keys) and can_be_swapped(one.group, other.group)


def _joined(facts: Facts) -> dict[int, set[str]]:
    """Return, of each name's first token, the names with only "and" and commas between: their order tells nothing."""
    joined: dict[int, set[str]] = {}
    text = facts.text
    for place, name in enumerate(facts.names):
        last = name.last
        for other in facts.names[place + 1 :]:
            if any(text.tokens[at].lower not in _JOINING for at in range(last + 1, other.first)):
                break
            if all(text.tokens[at].lower != "respectively" for at in text.sentences[text.sentence_of[name.first]]):
                joined.setdefault(name.first, set()).update(other.keys)
                joined.setdefault(other.first, set()).update(name.keys)
            last = other.last
    return joined


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
    kind: str,
    source: Facts,
    rewritten: Facts,
    ours: list[_Item],
    theirs: list[_Item],
    stand_ins: list[_Item],
    are_rivals: Callable[[_Item, _Item], bool],
) -> list[Evidence]:
    compared: list[tuple[_Item, _Item, Misfit]] = []
    for item in theirs:
        own = [other.bound.context for other in (*ours, *stand_ins) if not item.keys.isdisjoint(other.keys)]
        fit, home = max(((shared(item.bound.context, place), i) for i, place in enumerate(own)), default=(0.0, -1))
        if not own or fit > _AT_HOME:
            continue
        for rival in ours:
            if are_rivals(item, rival) and not item.bound.context.keys().isdisjoint(rival.bound.context):
                hidden = {item.bound.key, rival.bound.key} | item.keys | rival.keys
                compared.append((item, rival, compare_places(item.bound, own[home], rival.bound, hidden)))
    backwards: dict[tuple[str, str], list[Misfit]] = defaultdict(list)  # by what stands there, and at whose place
    for item, rival, misfit in compared:
        for pair in itertools.product(item.keys, rival.keys):
            backwards[pair].append(misfit)
    found: dict[str, float] = {}
    for item, rival, misfit in compared:
        others = (other for pair in itertools.product(rival.keys, item.keys) for other in backwards.get(pair, ()))
        strength = max((_mutual(misfit, other) for other in others), default=0.0) if misfit.pro else 0.0
        if _replaces(source, rewritten, item, rival):
            alone = graded(misfit.fit / _LEAST_FIT, misfit.gap / _LEAST_GAP, misfit.pro / _LEAST_PRO)
            strength = max(strength, alone)
        if strength >= FAINTEST:
            there = source.text.sentence_of[rival.bound.first]
            here = rewritten.text.sentence_of[item.bound.first]
            if _are_converse(source, there, rewritten, here):
                continue
            said = rewritten.text.quote(item.bound.first, item.bound.last)
            meant = source.text.quote(rival.bound.first, rival.bound.last)
            sentence = rewritten.text.quote_sentence(here)
            reason = f'"{said}" stands where the source has "{meant}": "{sentence}"'
            found[reason] = max(strength, found.get(reason, 0.0))
    return [Evidence(kind, strength, reason) for reason, strength in found.items()]


def _are_converse(source: Facts, there: int, rewritten: Facts, here: int) -> bool:
    """Return whether two sentences say the same from both ends: "Rome won", "Carthage lost"."""
    return are_converse(source.text.words_of(there), rewritten.text.words_of(here))


def _mutual(one: Misfit, other: Misfit) -> float:
    """Return how clearly two things stand at each other's places."""
    pro, contra = one.pro + other.pro, one.contra + other.contra
    return graded(
        gap(pro, contra) / _LEAST_MUTUAL_GAP,
        pro / _LEAST_MUTUAL_PRO,
        min(one.fit, other.fit) / _LEAST_MUTUAL_FITS[0],
        max(one.fit, other.fit) / _LEAST_MUTUAL_FITS[1],
    )


def _replaces(source: Facts, rewritten: Facts, item: _Item, rival: _Item) -> bool:
    """Return whether one thing has replaced another: the sentence has lost the one and gained the other."""
    here, there = rewritten.text.sentence_of[item.bound.first], source.text.sentence_of[rival.bound.first]
    lost = rival.bound.key not in rewritten.weights[here]
    return lost and _count(rewritten, here, item.bound.key) > _count(source, there, item.bound.key)


def _count(facts: Facts, sentence: int, feature: str) -> int:
    return sum(place.feature == feature for place in facts.text.places[sentence])
