"""Names in a text: what is written with a capital where no sentence starts, codes and abbreviations.

A word that starts a sentence may be a name or not. It is one for certain where it is written with a capital elsewhere
too; `compare_names` asks both texts.
"""

import unicodedata
from functools import lru_cache
from typing import NamedTuple

from .place_names import PLACES
from .tables import word_set
from .text import Text
from .words import FUNCTION_WORDS, LIGHT_STEMS, stem

# They come and go with a name, or stand for it.
TITLES = word_set("""mr mrs ms miss dr sir dame lord lady president king queen prince princess emperor empress tsar
general colonel captain
    major admiral professor prof minister chancellor governor senator pope bishop saint st count countess duke duchess
    baron sultan prime doctor judge justice chief mayor ceo father mother uncle aunt brother sister""")
GENERIC = word_set("""river lake mount mountain mountains sea ocean bay gulf city town village university college
school street avenue
    road bridge war battle empire republic kingdom island islands company corporation inc ltd party church cathedral
    castle palace house hall museum park station airport valley desert peninsula county province state district
    parliament government army navy force ministry department council court treaty act law bank institute society
    association organization organisation committee commission union federal national royal international prize award
    festival league cup championship world earth sun moon god internet bible english""")
_PARTICLES = word_set("of de von van der den la le du da di bin ibn al el del & - y")


class Name(NamedTuple):
    """A name as it stands in a text.

    Attributes:
        first: its first token.
        last: its last token.
        keys: what its words have in common with other spellings.
        sure: whether it is a name beyond doubt; else it only starts a sentence.
    """

    first: int
    last: int
    keys: tuple[str, ...]
    sure: bool


@lru_cache(maxsize=1 << 15)
def name_key(word: str) -> str:
    """Return what the spellings of a name's word have in common: no case, accent, possessive or adjective's ending."""
    word = "usa" if word == "US" else word.lower().removesuffix("'s")
    if word in PLACES:
        return PLACES[word]
    word = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    word = word.replace(".", "").replace("-", "")
    if len(word) > 5:
        for ending in ("ians", "ian", "ish", "ese", "ia"):
            if word.endswith(ending) and len(word) - len(ending) >= 4:
                return word[: -len(ending)]
    return stem(word) if len(word) > 4 else word


def read_names(text: Text, taken: set[int]) -> list[Name]:
    """Return the names of a text, in their order.

    Args:
        text: to read.
        taken: tokens that belong to numbers and dates.
    """
    names: list[Name] = []
    lower = {token.text for token in text.tokens if token.kind == "word" and token.text[0].islower()}
    for sentence in text.sentences:
        heading = _is_heading(text, sentence)
        index = sentence.start
        while index < sentence.stop:
            token = text.tokens[index]
            if token.text[0].islower() and token.kind == "word":
                index += 1
                continue
            if index in taken or not _may_be_name(text, index):
                index += 1
                continue
            last = _end_of_name(text, index, sentence.stop, taken)
            initial = _starts(text, index, sentence.start)
            if initial and last > index and not _may_be_name(text, index + 1):
                last = index  # "Citizens of Rome"
            capitals = text.tokens[index].text.isupper() and len(text.tokens[index].text) > 1
            if initial and last == index and stem(token.lower) in LIGHT_STEMS:
                index += 1
                continue
            sure = not heading and (not initial or last > index or capitals)
            sure = sure or (not heading and last == index and _looks_like_one(text, index, lower))
            keys = tuple(name_key(text.tokens[at].text) for at in range(index, last + 1) if _counts(text, at))
            if keys:
                names.append(Name(index, last, keys, sure or keys[0] in _PLACE_KEYS))
            index = last + 1
    return names


_PLACE_KEYS = frozenset(PLACES.values())
_NO_NAME_ENDINGS = ("ing", "tion", "sion", "ment", "ness", "ity", "ly", "s", "ed", "ers", "ism", "ance", "ence", "age")
_FINITE = word_set("""is was has had were are did does will would can could must may should became began said made
took went wrote won woke
    ran gave told found came beat led left met saw knew felt held kept built fought taught brought bought sold sent
    lost put
    never then also only soon""")


def _may_be_name(text: Text, index: int) -> bool:
    token = text.tokens[index]
    if token.kind in ("code", "initials"):
        return token.kind == "code" or token.text[0].isupper()
    if token.kind != "word" or not token.text[0].isupper() or token.text.startswith("I'"):
        return False
    is_short_form = token.text.isupper() and len(token.text) > 1  # "WHO", "US"
    if token.lower.partition("'")[0] in FUNCTION_WORDS and not is_short_form:
        return False
    inner = token.text.removesuffix("'s").partition("'")[2]  # "O'Brien" is a name, "I'll" is not
    return token.lower not in TITLES and token.text != "I" and (not inner or inner[0].isupper())


def _counts(text: Text, index: int) -> bool:
    return text.tokens[index].lower not in _PARTICLES | {"the"} and text.tokens[index].kind in (
        "word",
        "code",
        "initials",
    )


def _end_of_name(text: Text, index: int, stop: int, taken: set[int]) -> int:
    last = index
    at = index + 1
    while at < stop and at not in taken:
        if _may_be_name(text, at) and text.tokens[at - 1].lower.removesuffix("'s") == text.tokens[at - 1].lower:
            last = at
        elif at > last + 2 or not (text.tokens[at].lower in _PARTICLES or _is_article(text, at)):
            break
        at += 1
    return last


def _is_article(text: Text, index: int) -> bool:
    return text.tokens[index].lower == "the" and text.tokens[index - 1].lower == "of"


def _starts(text: Text, index: int, start: int) -> bool:
    """Return whether nothing but marks stands before a token in its sentence, or a mark that starts one within it."""
    before = index - 1
    if before >= start and text.tokens[before].text in ('"', ":", "("):
        return True
    return all(text.tokens[at].kind == "mark" for at in range(start, index))


def _looks_like_one(text: Text, index: int, lower: set[str]) -> bool:
    """Return whether a word that starts a sentence reads as a name: "Napoleon was", "Curie's", never "Scientists"."""
    word = text.tokens[index].lower.removesuffix("'s")
    if word in lower or index + 1 >= len(text.tokens):
        return False
    if text.tokens[index].lower.endswith("'s"):
        return True
    following = text.tokens[index + 1].lower
    is_verb = following in _FINITE or (following.endswith("ed") and len(following) > 4)
    return is_verb and not word.endswith(_NO_NAME_ENDINGS)


def _is_heading(text: Text, sentence: range) -> bool:
    """Return whether nearly all words of a sentence have capitals, as in headings, so that capitals tell nothing."""
    words = [text.tokens[at] for at in sentence if text.tokens[at].kind == "word" and text.lemmas[at]]
    capitals = sum(word.text[0].isupper() for word in words)
    return len(words) > 2 and capitals >= 0.75 * len(words) and text.tokens[sentence[-1]].text not in ".!?"
