"""Words on another side than in the sentence that says the same: one denies what the other says, or says its opposite.

Sentence against sentence, whatever stands around the word: what a free rewriting leaves of the wording is little.
"""

from .alignment import Alignment, Match
from .antonyms import CONVERSES, POLES, pole_form
from .evidence import FAINTEST, Evidence, graded
from .names import TITLES
from .reading import Facts
from .tables import word_set
from .words import LIGHT_STEMS, stem

_LEAST_SHARE = 0.5
_TIMES = word_set("before until till unless after yet first")


def compare_sides(source: Facts, rewritten: Facts, alignment: Alignment) -> list[Evidence]:
    """Return the words that a sentence denies or turns round and the sentence that it is taken from does not."""
    found = []
    for at, match in enumerate(alignment.of_rewritten):
        found += _denied(rewritten, at, source, match, source_first=False)
        found += _exchanged(source, rewritten, at, match)
    for at, match in enumerate(alignment.of_source):
        found += _denied(source, at, rewritten, match, source_first=True)
    return found


def _denied(one: Facts, at: int, other: Facts, match: Match, *, source_first: bool) -> list[Evidence]:
    found = []
    strength = graded(match.share / _LEAST_SHARE)
    if strength < FAINTEST:
        return []
    for negation in one.negations:
        if one.text.sentence_of[negation.cue] != at or negation.head < 0:
            continue
        lemma = one.text.lemmas[negation.head]
        if not lemma or stem(one.text.tokens[negation.head].lower) in LIGHT_STEMS:
            continue
        denied_there = {n.head for n in other.negations}
        if not _TIMES.isdisjoint(one.text.words_of(at)):
            continue
        places = [p.token for s in match.sentences[:1] for p in other.text.places[s] if p.feature == lemma]
        if not places or any(p in denied_there for p in places):
            continue
        if any(other.negative[s] for s in {other.text.sentence_of[p] for p in places}):
            continue
        if any(n.head >= -1 and other.text.sentence_of[n.cue] in match.sentences for n in other.negations):
            continue
        there = other.text.sentence_of[places[0]]
        pair = (one.text.quote_sentence(at), other.text.quote_sentence(there))
        ours, theirs = pair if source_first else pair[::-1]
        found.append(Evidence("denied", strength, f'The source says "{ours}", the rewriting the opposite: "{theirs}".'))
    return found


def _exchanged(source: Facts, rewritten: Facts, at: int, match: Match) -> list[Evidence]:
    strength = graded(match.share / _LEAST_SHARE)
    if strength < FAINTEST or not match.sentences:
        return []
    ours = _poles(source, match.sentences[:2])
    theirs = _poles(rewritten, (at,))
    if "than" in rewritten.text.words_of(at):
        return []  # "gold is heavier than silver", "silver is lighter than gold"
    found = []
    for pair, (side, word) in theirs.items():
        if side == 0 or pair not in ours or ours[pair][0] != -side:
            continue
        if source.negative[match.sentences[0]] != rewritten.negative[at]:
            continue
        before, after = source.text.tokens[ours[pair][1]].lower, rewritten.text.tokens[word].lower
        if pair in CONVERSES:
            continue
        quoted = rewritten.text.quote_sentence(at)
        found.append(Evidence("exchanged", strength, f'"{before}" of the source has become "{after}": "{quoted}".'))
    return found


def _poles(facts: Facts, sentences: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """Return the side that some sentences take of each antonym pair, 0 where both, and a token that does."""
    negated = {negation.head for negation in facts.negations}
    names = {at for name in facts.names if name.sure for at in range(name.first, name.last + 1)}
    found: dict[str, tuple[int, int]] = {}
    for sentence in sentences:
        for at in facts.text.sentences[sentence]:
            word = facts.text.tokens[at].lower
            if at in names or word in TITLES:
                continue
            for pair, side in POLES.get(pole_form(word), ()):
                if at in negated:
                    side = -side
                known = found.get(pair)
                found[pair] = (side, at) if known is None or known[0] == side else (0, at)
    return found
