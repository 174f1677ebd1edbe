"""Why a rephrasing is dropped, and what of that an answer shows by itself, before its facts are compared.

A cause is one word to count by; a reason is a sentence with the values at hand.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from .styles import TAGS

# Of each cause, what was wrong.
CAUSES = {
    "not_text": "the document is not a text",
    "not_utf8": "the document or an answer holds characters that UTF-8 cannot write",
    "too_long": "the document is longer than allowed",
    "empty": "the document holds nothing but white space",
    "binary": "too many of the document's characters are no text",
    "nothing_to_rewrite": "the document has no prose of some length: code, tables, formulas, headings alone",
    "chat_too_long": "a chat leaves the model's window no room for the most tokens allowed",
    "chat_refused": "the server refused a chat, and answered others",
    "unfinished": "the answer was ended at the most tokens allowed, or by a filter of the server",
    "no_answer": "the answer is empty",
    "markup": "the answer holds tags of the prompt",
    "loop": "the answer repeats itself",
    "echo": "the answer is the passage again",
    "repeats_context": "the answer repeats what was rewritten before",
    "unfaithful": "the gate found that a passage or the whole does not say what the source says",
    "wrong_answer": "the final answer of the note is not that of the source",
    "answer_not_verified": "the final answers could not be compared",
    "false_equation": "an equation of the note is false and is not so in the source",
    "numbers": "the translation lacks numbers of the source, or has others",
    "language": "the note is not in the language that it must be in",
    "already_english": "the document is in English and needs no translation",
    "meta_text": "the answer speaks of itself, or refuses",
    "alike": "another rephrasing of the document says it in the same words",
}

MOST_REPEATED = 0.25  # share of an answer that may repeat it, beyond what the passage repeats
ECHO = 0.8  # likeness from which an answer is the passage again
ALIKE = 0.8  # likeness from which two rephrasings are alike
MOST_OF_CONTEXT = 0.4  # share of the text before that an answer may say again, beyond what the source says again
LEAST_REPEATED = 10  # runs of five words; fewer are names and set phrases
MOST_CONTROL_CHARACTERS = 0.01  # of a document, U+FFFD among them

UNSPACED = "\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_])+")
_SPACE = re.compile(r"\s+")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_REPEATED = 16  # characters
_NAMES = "|".join(TAGS)
_TAG = re.compile(rf"</?(?:{_NAMES})_*>")
_WRAPPED = re.compile(rf"\s*<((?:{_NAMES})_*)>(.*)</\1>\s*", re.DOTALL)


class Fault(NamedTuple):
    """Why something is dropped.

    Attributes:
        cause: one of `CAUSES`.
        reasons: a sentence each.
    """

    cause: str
    reasons: list[str]


def document_fault(document: object, most_characters: int) -> Fault | None:
    """Return why a document cannot be rewritten at all; None where it can."""
    if not isinstance(document, str):
        return Fault("not_text", [f"a document must be a str; got {type(document).__name__}"])
    if len(document) > most_characters:
        return Fault("too_long", [f"{len(document)} characters are more than {most_characters}"])
    if is_not_utf8(document):
        return Fault("not_utf8", ["the document holds lone surrogates, which no UTF-8 text has"])
    if not document.strip().strip("\ufeff").strip():
        return Fault("empty", [f"{len(document)} characters hold nothing but white space"])
    control = len(_CONTROL.findall(document))
    if control > MOST_CONTROL_CHARACTERS * len(document):
        return Fault("binary", [f"{control} of {len(document)} characters are NUL, other controls or U+FFFD"])
    return None


def unwrapped(answer: str) -> str:
    """Return an answer without surrounding white space, and without the prompt's own tags where they enclose it all.

    Nothing else is ever taken off an answer.
    """
    enclosed = _WRAPPED.fullmatch(answer)
    return (enclosed[2] if enclosed else answer).strip()


def answer_fault(text: str, finished: bool, passage: str, written: str, preceding: str) -> Fault | None:
    """Return what an answer shows to be wrong with it by itself; None where nothing is.

    Args:
        text: of the answer, unwrapped.
        finished: whether the model ended it.
        passage: that was to be rewritten.
        written: what the chat showed of the text before.
        preceding: the end of the source before the passage, of about the same length.
    """
    if not finished:
        return Fault("unfinished", [f"the answer was ended at its token limit or by a filter, behind {text[-40:]!r}"])
    if is_not_utf8(text):
        return Fault("not_utf8", ["the answer holds lone surrogates, which no UTF-8 text has"])
    if not text:
        return Fault("no_answer", ["the answer is empty"])
    if (tag := _TAG.search(text)) and tag.group() not in passage:
        return Fault("markup", [f"the answer holds {tag.group()}, a tag of the prompt"])
    repeated, own = repeated_share(text), repeated_share(passage)
    if repeated > own + MOST_REPEATED:
        return Fault("loop", [f"{repeated:.0%} of the answer repeats the rest of it, {own:.0%} of the passage"])
    like = likeness(shingles(text), shingles(passage))
    if like >= ECHO:
        return Fault("echo", [f"the answer shares {like:.0%} of its runs of three words with the passage"])
    again, own = _said_again(text, written), _said_again(passage, preceding)
    if again > own + MOST_OF_CONTEXT:
        return Fault(
            "repeats_context", [f"{again:.0%} of what was rewritten before is said again, {own:.0%} in the source"]
        )
    return None


def _said_again(text: str, before: str) -> float:
    """Return the share that two texts have in common of the shorter one's runs of five words; few are none."""
    one, other = shingles(text, 5), shingles(before, 5)
    again = len(one & other)
    return again / min(len(one), len(other)) if again >= LEAST_REPEATED else 0.0


def is_not_utf8(text: str) -> bool:
    """Return whether a text holds lone surrogates, as wrongly decoded bytes leave them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def units(text: str) -> list[str]:
    """Return a text's words, without case and punctuation; of Chinese and Japanese, its characters."""
    return _UNIT.findall(text.casefold())


def shingles(text: str, width: int = 3) -> frozenset[tuple[str, ...]]:
    """Return all runs of so many units; a text of fewer is one run."""
    own = units(text)
    if len(own) < width:
        return frozenset([tuple(own)] if own else [])
    return frozenset(zip(*(own[first:] for first in range(width)), strict=False))


def likeness(one: Collection[tuple[str, ...]], other: Collection[tuple[str, ...]]) -> float:
    """Return the share of two texts' runs of words that both have, in [0, 1]; 1 where neither has any."""
    one, other = frozenset(one), frozenset(other)
    return len(one & other) / len(one | other) if one or other else 1.0


def repeated_share(text: str) -> float:
    """Return the share of a text's runs of 16 characters that stood in it before, in [0, 1)."""
    plain = _SPACE.sub(" ", text.casefold())
    runs = len(plain) - _REPEATED + 1
    if runs < 1:
        return 0.0
    return 1 - len({plain[first : first + _REPEATED] for first in range(runs)}) / runs
