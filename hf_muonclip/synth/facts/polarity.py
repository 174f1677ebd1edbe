"""Claims turned round: a negation that came or went, or a word replaced by its opposite.

Each word has a side: that of an antonym, turned by a negation in front of it or by a prefix ("not rise" is on the side
of "fall", "unable" on that of "not able"). A word contradicts where its surroundings are found in the other text around
the opposite side only. A negation whose word was rephrased is looked for in the whole sentence, where anything negative
excuses it.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from .alignment import Alignment
from .antonyms import CONVERSES, POLES, pole_form
from .context import Bound, context_of
from .evidence import FAINTEST, Evidence, graded
from .misfit import Misfit, worst_misfit
from .negation import denied_by_prefix, negative_around
from .reading import Facts
from .tables import word_set
from .words import LIGHT_STEMS, head_of, stem

_LEAST_FIT, _LEAST_GAP = 0.3, 0.5
_LEAST_NEGATED_FIT, _LEAST_NEGATED_GAP = 0.45, 0.3
_AROUND, _LEAST_AROUND, _LEAST_SAID = 3, 2.5, 0.58
_MOST_OCCURRENCES = 8
# As neighbours they tell nothing: the negation itself is what is compared.
_CUES_BEFORE = frozenset(("<no", "<not", "<never", "<without", "<cannot", "<to", "<any"))
_GOING = word_set("go goes went gone going moved move moves push pushed bring brought brings is was are were")


_TIMES = word_set("before until till unless after afterwards beforehand first yet")


class _Side(NamedTuple):
    token: int
    sign: int


def compare_polarity(source: Facts, rewritten: Facts, alignment: Alignment) -> list[Evidence]:
    """Return each claim that the rewriting turns round."""
    ours, theirs = _sides(source), _sides(rewritten)
    found: list[Evidence] = []
    for pair in ours.keys() & theirs.keys():
        signs = {side.sign for side in ours[pair]} | {side.sign for side in theirs[pair]}
        if len(signs) < 2 or len(ours[pair]) > _MOST_OCCURRENCES or len(theirs[pair]) > _MOST_OCCURRENCES:
            continue
        by_negation = pair.startswith("=")
        for one, other, one_sides, other_sides in (
            (rewritten, source, theirs[pair], ours[pair]),
            (source, rewritten, ours[pair], theirs[pair]),
        ):
            for side in one_sides:
                if (side.sign > 0) if by_negation else (one is source):
                    continue  # negations are seen from their own side, opposites from that of the rewriting
                misfit, strength = _misfit(one, other, side, other_sides, by_negation)
                if misfit and not _linked(alignment, one is source, one, misfit.bound.first, other, misfit.rival.first):
                    continue
                if not misfit or _is_excused(one, other, misfit, pair, len({side.sign for side in other_sides}) == 1):
                    continue
                places = (one.text.sentence_of[misfit.bound.first], other.text.sentence_of[misfit.rival.first])
                places = places if one is source else places[::-1]
                kind = "negation" if by_negation else "opposite"
                found.append(Evidence(kind, strength, _reason(source, rewritten, places)))
    return found + _lone_negations(source, rewritten, alignment)


def _sides(facts: Facts) -> dict[str, list[_Side]]:
    """Return the sides of a text's words: of each antonym pair, and under "=" and its lemma of each word."""
    text = facts.text
    negated = {negation.head for negation in facts.negations}
    names = {at for name in facts.names if name.sure for at in range(name.first, name.last + 1)}
    found: dict[str, list[_Side]] = defaultdict(list)
    for index, token in enumerate(text.tokens):
        if token.kind != "word" or index in names:
            continue
        sign = -1 if index in negated else 1
        word = token.lower
        if word in ("up", "down") and index and text.tokens[index - 1].lower in _GOING:
            word = "increase" if word == "up" else "decrease"
        for pair, side in POLES.get(pole_form(word), ()):
            found[pair].append(_Side(index, side * sign))
        if text.lemmas[index] and stem(token.lower) not in LIGHT_STEMS:
            found["=" + text.lemmas[index]].append(_Side(index, sign))
            if base := denied_by_prefix(token.lower):
                found["=" + head_of(base)].append(_Side(index, -sign))
    return found


def _misfit(
    one: Facts, other: Facts, side: _Side, others: list[_Side], by_negation: bool
) -> tuple[Misfit | None, float]:
    if all(rival.sign == side.sign for rival in others):
        return None, 0.0

    def bound(facts: Facts, place: _Side) -> Bound:
        around = context_of(facts, place.token, place.token)
        context = {feature: weight for feature, weight in around.items() if feature not in _CUES_BEFORE}
        return Bound(str(place.sign), place.token, place.token, context)

    places = [bound(other, place) for place in others]
    key = str(side.sign)
    found = worst_misfit(
        bound(one, side),
        [place for place in places if place.key == key],
        [place for place in places if place.key != key],
    )
    fit, gap = (_LEAST_NEGATED_FIT, _LEAST_NEGATED_GAP) if by_negation else (_LEAST_FIT, _LEAST_GAP)
    strength = graded(found.fit / fit, found.gap / gap) if found else 0.0
    return (found, strength) if strength >= FAINTEST else (None, 0.0)


def _is_excused(one: Facts, other: Facts, misfit: Misfit, pair: str, is_only_side: bool) -> bool:
    """Return whether two words that differ in their side may still say the same."""
    if pair.startswith("="):
        # A negative word that both sentences have does not stand for the negation.
        if negative_around(other.text, misfit.rival.first) - _plain(one, misfit.bound.first).keys():
            return True
        sentences = one.text.sentence_of[misfit.bound.first], other.text.sentence_of[misfit.rival.first]
        if _both_tell_when(one, sentences[0], other, sentences[1]):
            return True
        # "should compress texts but not images": the word need not be said again
        return is_only_side and _cues_near(other, misfit.rival.first) >= _cues_near(one, misfit.bound.first)
    if _is_negated(one, misfit.bound.first) or _is_negated(other, misfit.rival.first):
        around = negative_around(other.text, misfit.rival.first), negative_around(one.text, misfit.bound.first)
        if around[0] - _plain(one, misfit.bound.first).keys() and around[1]:
            return True
    if _denies_loosely(one, misfit.bound.first) != _denies_loosely(other, misfit.rival.first):
        return True
    compared = _before_than(one, misfit.bound.first) or _before_than(other, misfit.rival.first)
    if not compared and pair not in CONVERSES:
        return False
    return _subject(one, misfit.bound.first) != _subject(other, misfit.rival.first)


def _denies_loosely(facts: Facts, index: int) -> bool:
    """Return whether the sentence of a word denies something as a whole: "nobody knew" is "it was unknown"."""
    sentence = facts.text.sentence_of[index]
    return any(
        (n.head < 0 or facts.text.tokens[n.cue].lower == "no") and facts.text.sentence_of[n.cue] == sentence
        for n in facts.negations
    )


def _is_negated(facts: Facts, index: int) -> bool:
    return any(negation.head == index for negation in facts.negations)


def _cues_near(facts: Facts, index: int) -> int:
    """Return how many negations the sentence of a token has."""
    sentence = facts.text.sentence_of[index]
    return sum(facts.text.sentence_of[negation.cue] == sentence for negation in facts.negations)


def _before_than(facts: Facts, index: int) -> bool:
    sentence = facts.text.sentences[facts.text.sentence_of[index]]
    return any(facts.text.tokens[at].lower == "than" for at in range(index + 1, min(index + 5, sentence.stop)))


def _subject(facts: Facts, index: int) -> str:
    """Return the first thing that a sentence says before a word."""
    places = facts.text.places[facts.text.sentence_of[index]]
    return next((place.feature for place in places if place.token < index), "")


def _lone_negations(source: Facts, rewritten: Facts, alignment: Alignment) -> list[Evidence]:
    """Return each negation whose whole sentence has nothing negative in the other text."""
    found = []
    for number, one, other in ((1, rewritten, source), (0, source, rewritten)):
        for negation in one.negations:
            sentence = one.text.sentence_of[negation.cue]
            match = alignment.of_rewritten[sentence] if number else alignment.of_source[sentence]
            there = alignment.from_source(sentence) if number else set(match.sentences)
            said = {at: _share_around(one, negation.cue, other, at) for at in there}
            strength = graded(max(said.values(), default=0.0) / _LEAST_SAID)
            if strength < FAINTEST:
                continue
            best = max(said, key=said.__getitem__)
            plain = _plain(one, negation.cue)
            if any(other.negative[at] - plain or _both_tell_when(one, sentence, other, at) for at in there):
                continue
            if _says_opposite(one, negation.head, other, best):
                continue
            places = (best, sentence) if number else (sentence, best)
            found.append(Evidence("lone_negation", strength, _reason(source, rewritten, places)))
    return found


def _plain(one: Facts, index: int) -> Counter[str]:
    """Return the stems of the negative words in the sentence of a token that are no negations, and how often."""
    sentence = one.text.sentence_of[index]
    cues = (n.cue for n in one.negations if one.text.sentence_of[n.cue] == sentence)
    return one.negative[sentence] - Counter(stem(one.text.tokens[cue].lower) for cue in cues)


def _linked(alignment: Alignment, from_source: bool, one: Facts, at: int, other: Facts, there: int) -> bool:
    """Return whether the sentences of two tokens belong together."""
    sentences = (one.text.sentence_of[at], other.text.sentence_of[there])
    return alignment.link(*(sentences if from_source else sentences[::-1]))


def _both_tell_when(one: Facts, here: int, other: Facts, there: int) -> bool:
    """Return whether a time bounds two sentences: "not cut before it is cold", "has to be cold before it is cut"."""
    words = one.text.words_of(here), other.text.words_of(there)
    return not _TIMES.isdisjoint(words[0]) and not _TIMES.isdisjoint(words[1])


def _share_around(one: Facts, cue: int, other: Facts, sentence: int) -> float:
    """Return the share of the words around a negation that a sentence of the other text has."""
    tokens = one.text.tokens
    if tokens[cue].lower == "without":
        return 0.0  # "left without his hat", "left his hat behind"
    longer = cue + 1 if cue + 1 < len(tokens) and tokens[cue + 1].lower == "longer" else -1  # "no longer"
    places = [place for place in one.text.places[one.text.sentence_of[cue]] if place.token != longer]
    around = [p for p in places if p.token < cue][-_AROUND:] + [p for p in places if p.token > cue][:_AROUND]
    total = sum(place.weight for place in around)
    said = other.weights[sentence]
    share = sum(place.weight for place in around if place.feature in said) / total if total else 0.0
    if total < _LEAST_AROUND:  # of a short sentence, little as it is, all must be said
        return _LEAST_SAID if share > 0.95 else 0.0
    return share


def _says_opposite(one: Facts, head: int, other: Facts, sentence: int) -> bool:
    """Return whether a sentence says, without negation, the opposite of a denied word: "died" of "did not survive"."""
    if head < 0:
        return False
    denied = {(pair, -side) for pair, side in POLES.get(pole_form(one.text.tokens[head].lower), ())}
    words = (other.text.tokens[at].lower for at in other.text.sentences[sentence])
    return bool(denied) and any(pole in denied for word in words for pole in POLES.get(pole_form(word), ()))


def _reason(source: Facts, rewritten: Facts, places: tuple[int, int]) -> str:
    ours, theirs = source.text.quote_sentence(places[0]), rewritten.text.quote_sentence(places[1])
    return f'The source says "{ours}", the rewriting the opposite: "{theirs}".'
