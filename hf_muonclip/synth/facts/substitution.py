"""Words exchanged, put in or left out where all around them was copied.

A rewriting changes words everywhere. Where only one or two differ between words that both texts have in the same order,
what differs can be named, and judged: a synonym, another word, a negation, a quantifier.
"""

from collections import defaultdict
from typing import NamedTuple

from .antonyms import POLES, pole_form
from .evidence import Evidence
from .quantifiers import LEVEL_WORDS, LEVELS
from .reading import Facts
from .tables import word_set
from .text import Text

_LONGEST = 2  # words exchanged on either side
_REACH = 4  # words compared on each side
_LEAST_RUN = 3
_MOST_PLACES = 8  # of two words; those of more are everywhere
_TURNING = word_set("not never no none neither nor without cannot only hardly barely scarcely nobody nothing except")


class _Change(NamedTuple):
    """What stands between the same words: ranges of tokens, either may be empty; and how many words around agree."""

    ours: range
    theirs: range
    run: int


def copied_share(source: Facts, rewritten: Facts) -> float:
    """Return the share of the rewriting's runs of three words that its source has, in [0, 1]."""
    ours, theirs = _runs(source.text), _runs(rewritten.text)
    return len(theirs & ours) / len(theirs) if theirs else 0.0


def _runs(text: Text) -> set[tuple[str, str, str]]:
    words = [token.lower for token in text.tokens if token.kind != "mark"]
    return set(zip(words, words[1:], words[2:], strict=False))


def compare_copied(source: Facts, rewritten: Facts) -> list[Evidence]:
    """Return what was exchanged, put in or left out within copied words."""
    found = []
    for change in _changes(source.text, rewritten.text):
        kind = _kind(source, rewritten, change)
        if kind:
            strength = min(1.0, change.run / (2 * _REACH))
            found.append(Evidence(kind, strength, _reason(source.text, rewritten.text, change)))
    return found


def _changes(ours: Text, theirs: Text) -> list[_Change]:
    """Return the short stretches that differ between words that agree."""
    mine, his = _words(ours), _words(theirs)
    my_words, his_words = [ours.tokens[at].lower for at in mine], [theirs.tokens[at].lower for at in his]
    places: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for length in range(_LONGEST + 1):
        for start, pair in enumerate(zip(my_words, my_words[length + 1 :], strict=False)):
            places[pair].append((start, length))
    found = []
    for length in range(_LONGEST + 1):
        for start, pair in enumerate(zip(his_words, his_words[length + 1 :], strict=False)):
            candidates = places.get(pair, ())
            if len(candidates) > _MOST_PLACES:
                continue
            between = his_words[start + 1 : start + 1 + length]
            if any(size == length and my_words[at + 1 : at + 1 + size] == between for at, size in candidates):
                continue
            best = max(
                (
                    (_run(my_words, at, at + size + 1, his_words, start, start + length + 1), at, size)
                    for at, size in candidates
                    if size or length
                ),
                default=None,
            )
            if best and best[0] >= _LEAST_RUN:
                run, at, size = best
                found.append(
                    _Change(_tokens(mine, at + 1, at + 1 + size), _tokens(his, start + 1, start + 1 + length), run)
                )
    return found


def _words(text: Text) -> list[int]:
    return [at for at, token in enumerate(text.tokens) if token.kind != "mark"]


def _tokens(words: list[int], start: int, stop: int) -> range:
    return range(words[start], words[stop - 1] + 1) if stop > start else range(words[start], words[start])


def _run(mine: list[str], left: int, right: int, his: list[str], his_left: int, his_right: int) -> int:
    before = after = 0
    while before < _REACH and min(left, his_left) >= before and mine[left - before] == his[his_left - before]:
        before += 1
    while (
        after < _REACH
        and right + after < len(mine)
        and his_right + after < len(his)
        and mine[right + after] == his[his_right + after]
    ):
        after += 1
    return before + after


def _kind(source: Facts, rewritten: Facts, change: _Change) -> str:
    """Return what a change is, or "" where it changes nothing or is for another check."""
    ours = [token for token in source.text.tokens[change.ours.start : change.ours.stop] if token.kind != "mark"]
    theirs = [
        token for token in rewritten.text.tokens[change.theirs.start : change.theirs.stop] if token.kind != "mark"
    ]
    if (
        any(token.kind != "word" for token in ours + theirs)
        or _is_unit(source, change.ours)
        or _is_unit(rewritten, change.theirs)
    ):
        return ""  # numbers and dates are counted
    before, after = {token.lower for token in ours}, {token.lower for token in theirs}
    if not before.isdisjoint(after):
        return ""  # a shorter change says it
    different = before | after
    if any(_turns(word) for word in before) != any(_turns(word) for word in after) or (
        "with" in different and "without" in different
    ):
        return "copied_turned"
    poles = [{pole for word in words for pole in POLES.get(pole_form(word), ())} for words in (before, after)]
    if any((pair, -side) in poles[1] for pair, side in poles[0]):
        return "copied_turned"
    if different & LEVEL_WORDS:
        return "copied_quantifier" if _level(before) != _level(after) else ""
    if not ours or not theirs:
        return ""
    lemmas = [
        {source.text.lemmas[at] for at in change.ours} - {""},
        {rewritten.text.lemmas[at] for at in change.theirs} - {""},
    ]
    if not lemmas[0] or not lemmas[1] or lemmas[0] & lemmas[1]:
        return ""
    is_swapped = lemmas[1] <= source.vocabulary and lemmas[0] <= rewritten.vocabulary
    return "copied_swapped" if is_swapped else ""  # any other word may be a synonym


def _turns(word: str) -> bool:
    return word in _TURNING or word.endswith("n't")


def _level(words: set[str]) -> set[tuple[str, int]]:
    return {level for word in words for level in LEVELS.get(word, ())}


def _is_unit(facts: Facts, tokens: range) -> bool:
    """Return whether some tokens belong to a number or a date."""
    spans = [*((one.first, one.last) for one in facts.numbers), *((one.first, one.last) for one in facts.dates)]
    return any(first < tokens.stop and tokens.start <= last for first, last in spans)


def _reason(ours: Text, theirs: Text, change: _Change) -> str:
    if not change.ours:
        return f'"{theirs.quote(change.theirs[0], change.theirs[-1])}" was put in: "{_around(theirs, change.theirs)}".'
    if not change.theirs:
        return f'"{ours.quote(change.ours[0], change.ours[-1])}" was left out of "{_around(ours, change.ours)}".'
    before, after = ours.quote(change.ours[0], change.ours[-1]), theirs.quote(change.theirs[0], change.theirs[-1])
    return f'"{before}" has become "{after}" in "{_around(theirs, change.theirs)}".'


def _around(text: Text, tokens: range) -> str:
    sentence = text.sentences[text.sentence_of[tokens.start]]
    return text.quote(max(tokens.start - 4, sentence.start), min(tokens.stop + 3, sentence.stop - 1))
