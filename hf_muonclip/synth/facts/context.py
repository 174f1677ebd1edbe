"""What stands around a word, and how much two surroundings have in common.

Swapping two numbers, two names or two claims leaves all of them in the text. What changes is what stands around each.
So every check that binds something to its place compares surroundings, and only ever by the difference: a word of the
rewriting is suspicious where it fits the place of another word of the source clearly better than its own.
"""

from typing import NamedTuple

from .reading import Facts
from .tables import word_set

# Of a place's weight: next to the word itself it counts whole, and ever less with the distance.
_FALL, _FAR = -1.2, 0.07
_NEIGHBOUR, _SIDE, _BEFORE = 0.6, 0.6, 0.3
_BE = word_set("is are was were be been being gets got")
_PRONOUNS = word_set("he she it they his her its their this these him them")
_CLAUSE_ENDS = word_set("; : and but while whereas in on at for during since from with to into after before near")
_REACH = 8
_SKIPPED = frozenset(("and", "or", ",", "both", "the", "a", "an"))

Context = dict[str, float]


class Bound(NamedTuple):
    """Something that a text binds to a place.

    Attributes:
        key: what it is; the same key in the other text is the same thing.
        first: its first token.
        last: its last token.
        context: what stands around it.
    """

    key: str
    first: int
    last: int
    context: Context


def context_of(facts: Facts, first: int, last: int, *, roles: bool = False) -> Context:
    """Return what stands around some tokens of a sentence; it is kept with the facts, so do not change it.

    Args:
        facts: of the text.
        first: the first of the tokens.
        last: the last of them.
        roles: whether it matters on which side words stand (who defeats whom), the passive voice turned round.
    """
    known = facts.contexts.get((first, last, roles))
    if known is not None:
        return known
    text = facts.text
    sentence = text.sentence_of[first]
    places = text.places[sentence]
    here = next((place.at for place in places if place.token >= first), places[-1].at + 1 if places else 0.0)
    found: Context = {}
    for place in places:
        if first <= place.token <= last:
            continue
        weight = place.weight * max(max(abs(place.at - here), 1.0) ** _FALL, _FAR)
        if weight > found.get(place.feature, 0.0):
            found[place.feature] = weight
    if sentence and _leans_back(facts, sentence):
        for feature, weight in facts.weights[sentence - 1].items():
            found.setdefault(feature, _BEFORE * weight)
    _add_neighbours(facts, first, last, found, roles)
    if roles:
        _add_sides(facts, first, last, found)
    facts.contexts[first, last, roles] = found
    return found


def _leans_back(facts: Facts, sentence: int) -> bool:
    """Return whether a sentence starts with a pronoun, so that what it says is said of the sentence before."""
    tokens = facts.text.sentences[sentence]
    return any(facts.text.tokens[at].lower in _PRONOUNS for at in tokens[:3])


def _add_neighbours(facts: Facts, first: int, last: int, found: Context, roles: bool) -> None:
    """Add the words right before and right behind, function words too; names skip those they are joined with."""
    text = facts.text
    sentence = text.sentences[text.sentence_of[first]]
    names = {at for name in facts.names for at in range(name.first, name.last + 1)} if roles else set()
    before, after = first - 1, last + 1
    if roles:
        while before >= sentence.start and (before in names or text.tokens[before].lower in _SKIPPED):
            before -= 1
        while after < sentence.stop and (after in names or text.tokens[after].lower in _SKIPPED):
            after += 1
    if before >= sentence.start and text.tokens[before].lower not in _BE:
        found[f"<{text.lemmas[before] or text.tokens[before].lower}"] = _NEIGHBOUR
    if after < sentence.stop and text.tokens[after].lower not in _BE:
        found[f">{text.lemmas[after] or text.tokens[after].lower}"] = _NEIGHBOUR


def _add_sides(facts: Facts, first: int, last: int, found: Context) -> None:
    """Add on which side of a name the words next to it stand: before what it does, behind what is done to it."""
    text = facts.text
    sentence = text.sentences[text.sentence_of[first]]
    is_agent = any(text.tokens[at].lower == "by" for at in range(max(first - 2, sentence.start), first))
    is_owner = text.tokens[last].lower.endswith("'s")
    for word in _words_beside(facts, range(last + 1, sentence.stop)):
        is_done_to = is_owner or _is_passive(facts, word, sentence)
        found[("}" if is_done_to else "{") + text.lemmas[word]] = _SIDE
    for word in _words_beside(facts, range(first - 1, sentence.start - 1, -1)):
        found[("{" if is_agent else "}") + text.lemmas[word]] = _SIDE


def _words_beside(facts: Facts, tokens: range) -> list[int]:
    """Return the two words nearest to a name on one side, names and numbers left out, up to the end of its clause."""
    text = facts.text
    words: list[int] = []
    for at in tokens[:_REACH]:
        token = text.tokens[at]
        if token.lower in _CLAUSE_ENDS:
            break
        if text.lemmas[at] and not token.text[0].isupper() and not token.glued:
            words.append(at)
            if len(words) == 2:
                break
    return words


def _is_passive(facts: Facts, verb: int, sentence: range) -> bool:
    """Return whether a participle stands behind a form of "be", with at most two words between."""
    token = facts.text.tokens[verb].lower
    if not token.endswith(("ed", "en", "ught", "wn", "ung", "id", "ft", "lt", "ost", "ade", "eat", "un")):
        return False
    return any(facts.text.tokens[at].lower in _BE for at in range(max(verb - 3, sentence.start), verb))
