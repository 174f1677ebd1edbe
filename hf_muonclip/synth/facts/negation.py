"""Where a text denies something, and of which word."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from .antonyms import COMPARATIVES as _SIDED
from .tables import word_set
from .text import Text
from .words import stem

_CUES = word_set("not never no none nobody nothing neither nor without cannot nowhere non")
_CUES_BEFORE_TO = word_set("fail refuse decline unable unwilling impossible failure refusal inability unlikely")
_CUE_STEMS_BEFORE_TO = frozenset(map(stem, _CUES_BEFORE_TO))
_WHOLE_CLAUSE = word_set("nobody nothing none neither nowhere nor")
_NO_CUES_BEFORE = word_set("only just merely simply until necessarily doubt sooner least unlike")
_BOUNDS = word_set("more less fewer later earlier greater better worse")
_DETERMINERS = frozenset(("no", "none", "nobody", "nothing"))
_NO_HEADS = word_set("account means circumstances way case condition")  # "on no account"
_STOPS = frozenset(
    (",", ";", ":", ".", "(", ")", "but", "while", "whereas", "although", "though", "because", "which", "—")
)
# Said in other words: "did not survive" and "perished" are the same, so these excuse a negation that went or came.
_NEGATIVE = """
lack fail refuse reject deny prevent avoid absent absence missing stop cease ban forbid prohibit exclude hardly
barely scarcely few rare rarely seldom unable impossible unlikely unknown unaware collapse lose loss perish abandon
neglect ignore decline oppose despite except unless instead rather only free devoid empty void zero false wrong
incapable without minus omit resist escape keep cancel halt dismiss disagree doubt contrary opposite otherwise
solely merely exempt spare immune withdraw withhold discontinue abolish defunct extinct former formerly unsuccessful
vain futile useless silent mute unharmed intact unchanged untouched hinder inhibit block stall bar insufficient
inadequate incomplete fewer less least away gone mere alone stay remain
remove first too stranger secret obstacle disappear idle dead nowhere vanish suspend terminate alien
foreigner exception excess excessive
"""
_NEGATIVE_STEMS = frozenset(map(stem, word_set(_NEGATIVE)))
# Words that start with "in" or "im" deny something only where they are listed.
_DENYING = frozenset(
    map(
        stem,
        word_set("""inactive incapable inadequate incorrect incomplete indirect inexpensive infrequent informal
        insecure insufficient
        invalid invisible inaccurate inability inconclusive inconsistent ineffective inefficient infertile intolerant
        indefinite inedible inflexible insane insoluble intact involuntary impossible impractical imperfect improbable
        immobile immoral impatient impolite impure immature inaccessible unable"""),
    )
)
_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "mis")
# They start like negations and are none.
_NO_PREFIX = frozenset(
    map(
        stem,
        word_set("""under until unit unite union unique universe university uniform understand inform information
        increase include
        indeed income industry invent invest infant input inside intend interest international into invade involve inner
        install instance instrument insist inspire instant intense internal interval introduce inhabit inherit initial
        impress import imprint improve impact imply impose important immediate imagine image impulse display discover
        discuss disease district discount distance distinct disc dish disk distribute dispatch dispute dismay miss
        mission
        mist mister missile none nonetheless illustrate illness iron irony island uncle unto discipline disciple
        discharge disposition dispose indifferent"""),
    )
)


@dataclass(frozen=True, slots=True)
class Negation:
    """A negation of a text.

    Attributes:
        cue: its token.
        head: the word that it denies, a token; -1 where it denies a whole clause, or only up to some time.
    """

    cue: int
    head: int


def negations(text: Text) -> list[Negation]:
    """Return the negations of a text; "not only", "no more than five" and the like are none."""
    return [
        Negation(index, _head(text, index))
        for index, token in enumerate(text.tokens)
        if (token.lower in _CUES or token.lower.endswith("n't") or _word(text, index + 1) == "to")
        and _is_cue(text, index)
    ]


def _is_cue(text: Text, index: int) -> bool:
    token = text.tokens[index]
    following = text.tokens[index + 1].lower if index + 1 < len(text.tokens) else ""
    if token.lower.endswith("n't"):
        return following not in _NO_CUES_BEFORE
    if token.lower in _CUES:
        if token.lower == "not" and following in ("more", "less", "at") and index + 2 < len(text.tokens):
            return following == "at" and _word(text, index + 2) == "all"
        if following in _NO_CUES_BEFORE or _compares(text, index):
            return False
        if "but" in (following, _word(text, index + 2), _word(text, index + 3)) and token.lower in (
            "no",
            "nothing",
            "none",
        ):
            return False  # "no company but his dog"
        if token.lower == "no" and (following == "." or following.isdigit()):
            return False
        return not (token.lower == "not" and _word(text, index - 1) == "or")
    return following == "to" and stem(token.lower) in _CUE_STEMS_BEFORE_TO


def _compares(text: Text, cue: int) -> bool:
    """Return whether a negation makes a bound or a superlative: "no more than five", "no peak is higher than this"."""
    stop = min(cue + 9, text.sentences[text.sentence_of[cue]].stop)
    for at in range(cue + 1, stop):
        word = text.tokens[at].lower
        if word in _STOPS:
            return False
        if word == "longer" and at == cue + 1:
            continue  # "no longer"
        if text.tokens[cue].lower in _DETERMINERS and (
            word in ("more", "less") or (word.endswith("er") and word in _SIDED)
        ):
            return True
        if word == "than":
            before = {text.tokens[at - 1].lower, text.tokens[at - 2].lower}
            return any(one in _BOUNDS or one.endswith("er") for one in before)
    return False


def _word(text: Text, index: int) -> str:
    return text.tokens[index].lower if 0 <= index < len(text.tokens) else ""


def _head(text: Text, cue: int) -> int:
    """Return the first word behind a cue that says something, adverbs only where nothing else follows."""
    if text.tokens[cue].lower in _WHOLE_CLAUSE:
        return -1
    second = -1
    for index in range(cue + 1, min(cue + 7, text.sentences[text.sentence_of[cue]].stop)):
        token = text.tokens[index]
        if token.lower in _STOPS:
            break
        if token.lower == "like" and index <= cue + 2:  # "did not like"
            return index
        if token.lower in _NO_HEADS and index == cue + 1:
            continue
        if not text.lemmas[index] or (token.lower == "longer" and index == cue + 1):
            continue
        if not token.lower.endswith("ly"):
            return -1 if "until" in (_word(text, at) for at in range(index + 1, index + 5)) else index
        second = second if second >= 0 else index
    return second


@lru_cache(maxsize=1 << 15)
def denied_by_prefix(word: str) -> str:
    """Return the stem of what a prefix denies, "" without one: "possibl" of "impossible"; see if a text holds it."""
    if stem(word) in _NO_PREFIX:
        return ""
    for prefix in _PREFIXES:
        if prefix in ("in", "im") and stem(word) not in _DENYING:
            continue
        if word.startswith(prefix) and len(word) - len(prefix) >= 4:
            return stem(word[len(prefix) :].lstrip("-"))
    if word.endswith("less") and len(word) > 7:
        return stem(word[:-4])
    return ""


@lru_cache(maxsize=1 << 15)
def _is_negative(word: str) -> bool:
    return word.endswith("n't") or word in _CUES or stem(word) in _NEGATIVE_STEMS or bool(denied_by_prefix(word))


def negative_around(text: Text, index: int) -> set[str]:
    """Return the stems of what the clause of a token says negatively, in whatever words."""
    sentence = text.sentences[text.sentence_of[index]]
    found = set()
    for step in (-1, 1):
        at = index
        while at in sentence and not (at != index and text.tokens[at].lower in _STOPS):
            if _is_negative(text.tokens[at].lower):
                found.add(stem(text.tokens[at].lower))
            at += step
    return found


def negative_words(text: Text, sentence: int) -> Counter[str]:
    """Return the stems of what a sentence says negatively, in whatever words, and how often."""
    return Counter(stem(word) for word in text.words_of(sentence) if _is_negative(word))
