"""The order of events: what a text says came before what.

Said by words ("before", "after", "then", "finally"), or in a narrative by the order of its sentences. Two sentences of
an encyclopedic text may change places, two of a story may not; `is_narrative` decides by cues.
"""

from itertools import pairwise
from typing import NamedTuple

from .alignment import Alignment
from .evidence import FAINTEST, Evidence, graded
from .reading import Facts
from .tables import word_set
from .text import Text

_LEAST_FIT, _LEAST_GAP = 0.3, 0.12
_LEAST_SHARE, _LEAST_COMMON, _LEAST_STORY_WEIGHT = 0.4, 2, 2.0
_STEPS = word_set("""then next later afterwards afterward subsequently finally eventually soon second secondly third
thirdly lastly
    thereafter ultimately""")
_FIRST = word_set("first firstly initially originally")
_BEFORE = frozenset(("before", "until", "till"))
_AFTER = frozenset(("after", "once", "following"))
_UNITS_OF_TIME = word_set("second minute hour day week month year decade century years months weeks days night evening")
_SIDES = {"before": "before", "after": "after", "when": "after", "once": "after", "following": "after"}
_STORY = word_set("he she they i we him her his them my me our suddenly then when")
_PAST = word_set("""was were had went came said took gave saw found made got knew thought told felt left kept held
stood sat ran began
    heard brought turned looked asked""")


class Claim(NamedTuple):
    """That one thing came before another: each as features with weights."""

    earlier: dict[str, float]
    later: dict[str, float]
    token: int


def compare_order(source: Facts, rewritten: Facts, alignment: Alignment) -> list[Evidence]:
    """Return each order of events that the rewriting turns round."""
    reasons = _turned_claims(source, rewritten) + _turned_words(source, rewritten)
    ours, theirs = _step_of(source.text), _step_of(rewritten.text)
    narrative = is_narrative(source.text)
    weights = [match.share * match.weight for match in alignment.of_rewritten]
    places = [
        (sentence, match.sentences[0])
        for sentence, match in enumerate(alignment.of_rewritten)
        if match.sentences and match.share >= _LEAST_SHARE / 2 and match.common >= _LEAST_COMMON
    ]
    place_of = dict(places)
    told = [(first, second) for first, second in pairwise(range(len(theirs))) if _follows(theirs, first, second)]
    told += _told_by_source(ours, places)
    told += [
        (first, second)
        for (first, _), (second, _) in pairwise(places)
        if narrative and min(weights[first], weights[second]) >= _LEAST_STORY_WEIGHT
    ]
    for first, second in dict.fromkeys(told):
        if first not in place_of or second not in place_of or place_of[first] <= place_of[second]:
            continue
        if not _also_later(alignment, second, place_of[first]):
            one, other = rewritten.text.quote_sentence(first, 60), rewritten.text.quote_sentence(second, 60)
            reason = f'The source tells "{other}" before "{one}"; the rewriting turns the order round.'
            shares = (alignment.of_rewritten[at].share / _LEAST_SHARE for at in (first, second))
            reasons.append(Evidence("order", graded(*shares), reason))
    return reasons


def _told_by_source(steps: list[int], places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs of sentences of the rewriting whose order the source tells in words, as they now stand."""
    at: dict[int, int] = {}
    for sentence, place in places:
        at.setdefault(place, sentence)
    return [
        (min(at[i], at[j]), max(at[i], at[j]))
        for i, j in pairwise(range(len(steps)))
        if _follows(steps, i, j) and i in at and j in at
    ]


def _follows(steps: list[int], first: int, second: int) -> bool:
    """Return whether words say that a sentence follows the one before: a step at it, or "first" at the other."""
    return steps[second] > 0 or steps[first] < 0


def _also_later(alignment: Alignment, sentence: int, place: int) -> bool:
    """Return whether a sentence is also taken from a later place of the source, so that its order stays open."""
    return any(origin > place for origin in alignment.of_rewritten[sentence].sentences)


def _step_of(text: Text) -> list[int]:
    """Return, of each sentence, 1 where its start says that it comes after the one before, -1 where it comes first."""
    steps = []
    for sentence in text.sentences:
        words = [text.tokens[at].lower for at in sentence[:5]]
        if any(word in _FIRST for word in words[:1]):
            steps.append(-1)
        elif any(word in _STEPS for word in words[:4]) or words[:2] == ["after", "that"] or "next" in words[:3]:
            steps.append(1)
        else:
            steps.append(0)
    return steps


def is_narrative(text: Text) -> bool:
    """Return whether a text tells a story, so that the order of its sentences says what came first.

    At least one word in 25 is a pronoun of persons, "then" or "when", one in 20 a verb in the past; few are numbers.
    """
    words = [token.lower for token in text.tokens if token.kind == "word"]
    numbers = sum(token.kind == "number" for token in text.tokens)
    if len(words) < 25 or numbers > len(words) / 40:
        return False
    story = sum(word in _STORY for word in words)
    past = sum(word in _PAST or word.endswith("ed") for word in words)
    return story >= len(words) / 25 and past >= len(words) / 20


def _claims(facts: Facts) -> list[Claim]:
    """Return what words say of the order within sentences: "X before Y", "after Y, X", "X, then Y"."""
    text = facts.text
    found: list[Claim] = []
    told_apart = _no_order(facts)
    for number, sentence in enumerate(text.sentences):
        for index in sentence:
            word = text.tokens[index].lower
            if word == "prior" and index + 1 < sentence.stop and text.tokens[index + 1].lower == "to":
                word = "before"
            if index in told_apart:
                continue
            if word in _BEFORE or (word in _AFTER and _introduces(text, index, sentence)):
                parts = _parts(facts, number, index, sentence)
                if parts:
                    main, other = parts
                    found.append(Claim(main, other, index) if word in _BEFORE else Claim(other, main, index))
            elif word in ("then", "afterwards", "subsequently", "finally") and index > sentence.start + 3:
                earlier, later = (
                    _weights(facts, number, sentence.start, index),
                    _weights(facts, number, index, sentence.stop),
                )
                if earlier and later:
                    found.append(Claim(earlier, later, index))
    return found


def _no_order(facts: Facts) -> set[int]:
    """Return the tokens that tell no order of two events: "the year before", "before: 1.05", "not cut before"."""
    text = facts.text
    denied = {text.sentence_of[negation.cue] for negation in facts.negations}
    return {
        at
        for at, token in enumerate(text.tokens)
        if (token.lower in _BEFORE or token.lower in _AFTER)
        and (
            text.sentence_of[at] in denied
            or (at + 1 < len(text.tokens) and text.tokens[at + 1].kind == "mark")
            or (at > 0 and text.tokens[at - 1].lower in _UNITS_OF_TIME)
        )
    }


def _introduces(text: Text, index: int, sentence: range) -> bool:
    """Return whether "following" and the like join events: not "the following list", "since he was ill" is left in."""
    before = text.tokens[index - 1].lower if index > sentence.start else ""
    return before not in ("the", "a", "his", "her", "their", "its", "at", "all", "named")


def _parts(facts: Facts, number: int, index: int, sentence: range) -> tuple[dict[str, float], dict[str, float]] | None:
    """Return what the main clause of a sentence says, and what the clause behind "before" or "after" says."""
    text = facts.text
    leads = all(not text.lemmas[at] for at in range(sentence.start, index))
    commas = [at for at in range(index + 1, sentence.stop) if text.tokens[at].text in (",", ";")]
    end = commas[0] if commas and (leads or commas[0] - index > 2) else sentence.stop
    if leads and not commas:
        return None
    other = _weights(facts, number, index + 1, end)
    main = _weights(facts, number, end, sentence.stop) if leads else _weights(facts, number, sentence.start, index)
    return (main, other) if main and other else None


def _weights(facts: Facts, number: int, first: int, stop: int) -> dict[str, float]:
    return {place.feature: place.weight for place in facts.text.places[number] if first <= place.token < stop}


def _turned_claims(source: Facts, rewritten: Facts) -> list[Evidence]:
    ours, theirs = _claims(source), _claims(rewritten)
    reasons = []
    for claim in theirs:
        straight = crossed = 0.0
        for other in ours:
            same = (_fit(claim.earlier, other.earlier), _fit(claim.later, other.later))
            turned = (_fit(claim.earlier, other.later), _fit(claim.later, other.earlier))
            straight = max(straight, sum(same) / 2)
            if min(turned) >= _LEAST_FIT / 2:
                crossed = max(crossed, sum(turned) / 2)
        strength = graded(crossed / _LEAST_FIT, (crossed - straight) / _LEAST_GAP)
        if strength >= FAINTEST:
            sentence = rewritten.text.quote_sentence(rewritten.text.sentence_of[claim.token])
            reason = f'The source tells the events of "{sentence}" the other way round.'
            reasons.append(Evidence("order_claim", strength, reason))
    return reasons


def _turned_words(source: Facts, rewritten: Facts) -> list[Evidence]:
    """Return each "before" that has become "after", or the reverse, in front of the same words."""
    ours, theirs = _openings(source), _openings(rewritten)
    reasons = []
    for word, said, rest, sentence in theirs:
        same = [other for other in ours if not set(other[1]).isdisjoint(said)]
        if not same or any(other[0] == word for other in same):
            continue
        fit = max((_fit(rest, other[2]) for other in same if rest and other[2]), default=0.0)
        if (strength := graded(fit / _LEAST_FIT)) >= FAINTEST:
            quoted = rewritten.text.quote_sentence(sentence)
            reason = f'The source tells the events of "{quoted}" the other way round.'
            reasons.append(Evidence("order_word", strength, reason))
    return reasons


def _openings(facts: Facts) -> list[tuple[str, tuple[str, ...], dict[str, float], int]]:
    """Return each "before" and "after": which of them, the words right behind, those of the rest, and the sentence."""
    found = []
    told_apart = _no_order(facts)
    for number, places in enumerate(facts.text.places):
        for index in facts.text.sentences[number]:
            word = facts.text.tokens[index].lower
            if word not in _SIDES or index in told_apart:
                continue
            behind = [place for place in places if place.token > index][:2]
            rest = {place.feature: place.weight for place in places if place not in behind}
            if behind:
                found.append((_SIDES[word], tuple(place.feature for place in behind), rest, number))
    return found


def _fit(one: dict[str, float], other: dict[str, float]) -> float:
    small = min(sum(one.values()), sum(other.values()))
    return sum(min(weight, other[feature]) for feature, weight in one.items() if feature in other) / small
