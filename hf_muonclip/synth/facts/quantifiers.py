"""How many, how often and how surely: "all" is not "some", "always" not "rarely", "must" not "may"."""

from typing import NamedTuple

from .alignment import Alignment
from .antonyms import POLES, pole_form
from .context import Bound, context_of
from .evidence import FAINTEST, Evidence, graded
from .misfit import worst_misfit
from .reading import Facts
from .text import Text
from .words import stem

_LEAST_FIT, _LEAST_GAP = 0.35, 0.3
# Of each scale, its levels from most to least; a word of the rewriting contradicts where `_CLASH` of the levels is set.
_SCALES = {
    "share": (
        "all every each everyone everybody everything entire entirely",
        "most majority mostly",
        "many numerous",
        "some several certain",
        "few minority little",
        "none nobody nothing no",
    ),
    "frequency": (
        "always constantly invariably continually",
        "often frequently usually generally typically commonly normally regularly",
        "sometimes occasionally",
        "rarely seldom hardly infrequently",
        "never",
    ),
    "duty": (
        "must required require requires mandatory obligatory obliged compulsory shall",
        "should ought recommended advised",
        "may might can could optional optionally allowed permitted",
    ),
    "certainty": (
        "will certainly definitely undoubtedly surely certain proved proven proves confirmed",
        "probably likely",
        "may might could possibly perhaps possible suggested suggests",
    ),
    "amount": ("exactly precisely", "about approximately around roughly nearly almost circa"),
    "limit": ("at_least minimum", "at_most maximum up_to"),
}
_CLASHES = {
    "share": {(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (3, 5), (4, 5)},
    "frequency": {(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)},
    "duty": {(0, 2)},
    "certainty": {(0, 2)},
    "amount": {(0, 1)},
    "limit": {(0, 1)},
}
_NONE = 5  # the level of "none" on the scale of shares
_NONE_STEMS = frozenset(map(stem, _SCALES["share"][_NONE].split()))
LEVELS: dict[str, list[tuple[str, int]]] = {}
for _scale, _levels in _SCALES.items():
    for _level, _words in enumerate(_levels):
        for _word in _words.split():
            LEVELS.setdefault(_word, []).append((_scale, _level))


LEVEL_WORDS = frozenset(word for word in LEVELS if "_" not in word)
_FIRST_WORDS = frozenset((*LEVELS, "at", "up", "have", "has", "had", "needs", "need", "needed"))


class Quantifier(NamedTuple):
    """A quantifier of a text.

    Attributes:
        token: where it stands.
        scale: what it is compared on.
        level: its place there, 0 for the most.
    """

    token: int
    scale: str
    level: int


def quantifiers(text: Text) -> list[Quantifier]:
    """Return the quantifiers of a text; a negated "all" is "some"."""
    found = []
    for index, token in enumerate(text.tokens):
        word = token.lower
        if word not in _FIRST_WORDS:
            continue
        following = text.tokens[index + 1].lower if index + 1 < len(text.tokens) else ""
        before = text.tokens[index - 1].lower if index else ""
        if word in ("at", "up"):
            word = f"{word}_{following}"
        elif word in ("have", "has", "had", "needs", "need", "needed") and following == "to":
            word = "must"
        elif (
            (word == "most" and not (following == "of" or following.endswith("s")))
            or (word == "no" and following in ("longer", "more", "less", "fewer", "doubt", "."))
            or (word == "little" and before in ("a", "the"))
            or (word == "may" and token.text == "May")
            or (word == "certain" and before in ("is", "was", "are", "were"))
        ):
            continue
        for scale, level in LEVELS.get(word, ()):
            if scale == "share" and level == 0 and before == "not":
                level = 3
            elif scale == "duty" and (before == "not" or following in ("not", "never")):
                continue  # "must not" and "may not" are left to the negations
            found.append(Quantifier(index, scale, level))
    return found


def compare_quantifiers(source: Facts, rewritten: Facts, alignment: Alignment) -> list[Evidence]:
    """Return each quantifier that the rewriting replaces by one that says something else."""
    ours, theirs = quantifiers(source.text), quantifiers(rewritten.text)
    found = []
    for quantifier in theirs:
        rivals = [q for q in ours if q.scale == quantifier.scale and _clash(q, quantifier)]
        if not rivals:
            continue
        same = [q for q in ours if q.scale == quantifier.scale and not _clash(q, quantifier)]
        misfit = worst_misfit(
            _bound(rewritten, quantifier),
            [_bound(source, q) for q in same],
            [_bound(source, q) for q in rivals],
        )
        if misfit and (strength := graded(misfit.fit / _LEAST_FIT, misfit.gap / _LEAST_GAP)) >= FAINTEST:
            there, here = source.text.sentence_of[misfit.rival.first], rewritten.text.sentence_of[quantifier.token]
            if not alignment.link(there, here) or _is_excused(source, misfit.rival, rewritten, quantifier):
                continue
            before, after = _said(source.text, misfit.rival.first), _said(rewritten.text, quantifier.token)
            found.append(Evidence("quantifiers", strength, f'"{before}" of the source has become "{after}".'))
    return found


def _is_excused(source: Facts, rival: Bound, rewritten: Facts, quantifier: Quantifier) -> bool:
    """Return whether "none" and "all" may say the same, as something else is denied: "all alive", "none was lost"."""
    if quantifier.scale != "share" or (rival.key != str(_NONE)) == (quantifier.level != _NONE):
        return False
    there, here = source.text.sentence_of[rival.first], rewritten.text.sentence_of[quantifier.token]
    cues = _NONE_STEMS
    ours, theirs = set(source.negative[there]) - cues, set(rewritten.negative[here]) - cues
    if ours != theirs:
        return True
    poles = [
        {pole for word in facts.text.words_of(sentence) for pole in POLES.get(pole_form(word), ())}
        for facts, sentence in ((source, there), (rewritten, here))
    ]
    return any((pair, -side) in poles[1] for pair, side in poles[0])


def _said(text: Text, index: int) -> str:
    return text.quote(index, min(index + 3, text.sentences[text.sentence_of[index]].stop - 1))


def _bound(facts: Facts, quantifier: Quantifier) -> Bound:
    return Bound(
        f"{quantifier.level}",
        quantifier.token,
        quantifier.token,
        context_of(facts, quantifier.token, quantifier.token),
    )


def _clash(one: Quantifier, other: Quantifier) -> bool:
    return tuple(sorted((one.level, other.level))) in _CLASHES[one.scale]
