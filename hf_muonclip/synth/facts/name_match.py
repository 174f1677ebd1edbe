"""Names of two texts side by side: which are missing, which are new."""

from typing import NamedTuple

from .names import GENERIC, TITLES, Name
from .place_names import LONG_FORMS, PLACES
from .reading import Facts
from .tables import word_set
from .words import stem

_GENERIC_STEMS = frozenset(map(stem, GENERIC | TITLES)) | GENERIC | TITLES
# What may end a name or the adjective made of it: "Texas" and "Texan", "Darwin" and "Darwinian".
_ENDINGS = word_set("n an ian ean ese ish i s er ers ic a o y ans ians us e as ite ist") | {""}


class NameDifferences(NamedTuple):
    """How the names of a rewriting differ from those of its source.

    Attributes:
        missing: names of the source that the rewriting does not mention, as written.
        novel: names that only the rewriting mentions.
        recall: the share of the source's names that the rewriting mentions, in [0, 1].
        novelty: the share of the rewriting's names that the source has, in [0, 1]; 1 where none is new.
    """

    missing: list[str]
    novel: list[str]
    recall: float
    novelty: float


def compare_names(source: Facts, rewritten: Facts) -> NameDifferences:
    """Return how the names of two texts differ; any part of a name mentions it, new parts are new names.

    Adjectives ("German"), abbreviations of names in either text and words like "river" or "king" make no difference.
    """
    ours, theirs = _sure(source, rewritten), _sure(rewritten, source)
    known = source.vocabulary | _short_forms(source, rewritten)
    said = rewritten.vocabulary | _short_forms(rewritten, source)
    missing = [name for name in ours if not any(_is_known(key, said) for key in name.keys if key not in _GENERIC_STEMS)]
    missing = [name for name in missing if any(key not in _GENERIC_STEMS for key in name.keys)]
    novel = [
        name
        for name in theirs
        if any(key not in _GENERIC_STEMS and not _is_known(key, known) for key in name.keys)
        or _is_mixed(name, rewritten, source)
    ]
    return NameDifferences(
        [source.text.quote(name.first, name.last) for name in missing],
        [rewritten.text.quote(name.first, name.last) for name in novel],
        1 - len(missing) / len(ours) if ours else 1.0,
        1 - len(novel) / len(theirs) if theirs else 1.0,
    )


def _is_mixed(name: Name, facts: Facts, other: Facts) -> bool:
    """Return whether a name joins parts of two: "Otto Hoek" of "Otto Brandl" and "Maria Hoek"."""
    if len(name.keys) != 2 or name.last != name.first + 1 or not name.sure:
        return False
    if any(key in _GENERIC_STEMS or key in PLACES.values() for key in name.keys):
        return False
    partners = [
        {key for there in other.names if len(there.keys) > 1 and own in there.keys for key in there.keys}
        for own in name.keys
    ]
    return all(partners) and name.keys[1] not in partners[0]


def _sure(facts: Facts, other: Facts) -> list[Name]:
    """Return the names of a text, each once; a word that starts a sentence where either text has it as a name."""
    sure_there = {key for name in other.names if name.sure for key in name.keys}
    sure_here = {key for name in facts.names if name.sure for key in name.keys}
    found: dict[tuple[str, ...], Name] = {}
    for name in facts.names:
        if name.first == name.last and facts.text.tokens[name.first].lower in other.lower_words:
            continue
        if name.sure or name.keys[0] in sure_here or name.keys[0] in sure_there:
            found.setdefault(name.keys, name)
    return list(found.values())


def _short_forms(facts: Facts, other: Facts) -> set[str]:
    """Return the abbreviations that stand for names of a text, and the words that its abbreviations stand for."""
    found: set[str] = set()
    words = facts.vocabulary
    candidates = {key for name in other.names for key in name.keys if 2 <= len(key) <= 6}
    initials = {_initials(facts, name) for name in facts.names if name.last > name.first}
    initials |= _initials_of_words(facts, candidates)
    found |= candidates & initials
    own = {key for name in facts.names for key in name.keys if 2 <= len(key) <= 6}
    for name in other.names:
        if name.last > name.first and _initials(other, name) in own:
            found.update(name.keys)
    for short, long in LONG_FORMS.items():
        if short in words or short in own:
            found.update(map(stem, long), long)
        elif all(word in words or stem(word) in words for word in long):
            found.add(short)
    return found


def _initials(facts: Facts, name: Name) -> str:
    words = [facts.text.tokens[at] for at in range(name.first, name.last + 1)]
    return "".join(word.lower[0] for word in words if word.text[0].isupper())


def _initials_of_words(facts: Facts, wanted: set[str]) -> set[str]:
    """Return which of some abbreviations are initials of neighbouring words, in any case: "central bank rate" CBR."""
    if not wanted:
        return set()
    words = [token.lower[0] for token in facts.text.tokens if token.kind == "word" and len(token.text) > 3]
    run = "".join(words)
    return {short for short in wanted if len(short) > 2 and short in run}


def _is_known(key: str, words: frozenset[str] | set[str]) -> bool:
    if key in words:
        return True
    if len(key) < 4:
        return False
    for word in words:
        if len(word) >= 4 and word[:3] == key[:3]:
            shared = next(
                (i for i, (a, b) in enumerate(zip(word, key, strict=False)) if a != b), min(len(word), len(key))
            )
            if shared >= max(4, len(key) - 4) and word[shared:] in _ENDINGS and key[shared:] in _ENDINGS:
                return True
    return False
