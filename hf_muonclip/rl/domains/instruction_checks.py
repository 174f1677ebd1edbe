"""if-verifiable's checkers, with what they leave open decided; runs in the worker processes of `GraderPool`.

Decided here: which arguments a checker must have (it draws those that are missing or out of range at random), data of
NLTK (never downloaded), languages (a seeded detector that needs some letters), and texts on which a checker raises.
"""

import csv
import importlib
import inspect
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import langdetect
import nltk

from .false_claims import claimed, claims_everything

LEAST_LETTERS = 20  # fewer do not show a text's language
# Kinds of problems: instructions that are wrong, and those that cannot be checked in this environment.
REFUSED, UNCHECKABLE = "refused", "uncheckable"

_ENGLISH_CASE = {"change_case:english_capital": str.isupper, "change_case:english_lowercase": str.islower}
# It raises on a text with neither letters nor quotes, which follows the instruction: it quotes nothing unexplained.
_TRUE_WHERE_IT_RAISES = "format:quote_unquote"
# Raised on texts without the parts that a checker reads, or that are not JSON, CSV or a number.
_OF_TEXTS = (IndexError, ValueError, RecursionError, csv.Error)
# Many sentences, words and lines, so that every checker runs to its end.
_PROBE = "\n".join(" ".join(["So the bird sang a song again"] * 9) + "." for _ in range(60)) + '\n"Yes"'

langdetect.DetectorFactory.seed = 0


def _registries() -> dict[str, Any]:
    """Return the checker of every instruction; IFBench's import, which would download data, is kept from it."""
    download, nltk.download = nltk.download, _download_nothing
    try:
        modules = [
            importlib.import_module(f"if_verifiable.{name}.instructions_registry") for name in ("ifeval", "ifbench")
        ]
    finally:
        nltk.download = download
    return {instruction_id: kind for module in modules for instruction_id, kind in module.INSTRUCTION_DICT.items()}


def _download_nothing(*_: object, **__: object) -> bool:
    return False


CHECKERS = _registries()


def problem(instruction_id: str, kwargs: Any) -> tuple[str, str] | None:
    """Return why an instruction cannot be checked; None if it can.

    Args:
        instruction_id: an id of IFEval or IFBench.
        kwargs: its arguments; those that are None count as absent.

    Returns:
        `REFUSED` or `UNCHECKABLE`, and the reason.
    """
    kind = CHECKERS.get(instruction_id)
    if kind is None:
        return REFUSED, "is not an instruction of IFEval or IFBench"
    if not isinstance(kwargs, Mapping):
        return REFUSED, f"must have a dict of arguments, {{}} for none; got {kwargs!r}"
    given = _given(kwargs)
    known = inspect.signature(kind.build_description).parameters.values()
    names = [
        parameter.name for parameter in known if parameter.name != "self" and parameter.kind != parameter.VAR_KEYWORD
    ]
    if foreign := sorted({*given} - {*names}):
        return REFUSED, f"takes the arguments {names}; got {foreign} too"
    if missing := [name for name in names if given.get(name) is None]:
        return REFUSED, f"needs the arguments {missing}, which would be drawn at random; got {given}"
    before = random.getstate()
    try:
        checker = kind(instruction_id)
        checker.build_description(**given)
    except Exception as error:
        return REFUSED, f"cannot have the arguments {given}: {error}"
    if random.getstate() != before:
        random.setstate(before)
        return REFUSED, f"would replace one of its arguments {given} at random, because it is out of range"
    try:
        checker.check_following(_PROBE)
    except _OF_TEXTS:
        pass
    except LookupError as error:
        return UNCHECKABLE, f"needs data of NLTK that is not here ({_resource(error)})"
    except Exception as error:  # a keyword that is not a regular expression, a number in place of a text
        return UNCHECKABLE, f"raises {type(error).__name__}: {error}"
    return None


def grade(ids: Sequence[str], kwargs: Sequence[Mapping[str, Any]], text: str) -> tuple[list[bool], list[bool], bool]:
    """Return which instructions a text follows, which it falsely claims to follow, and whether it claims to follow all.

    Args:
        ids: ids of instructions without a `problem`.
        kwargs: arguments of each instruction.
        text: a completion. A blank one follows nothing.

    Returns:
        Two bools per instruction, and one for the text.

    Raises:
        Exception: a checker raised for another reason than the text.
    """
    text = text.strip()
    followed = [follows(name, arguments, text) for name, arguments in zip(ids, kwargs, strict=True)]
    claims = claimed(text, ids, [_given(arguments) for arguments in kwargs])
    false = [claim and not right for claim, right in zip(claims, followed, strict=True)]
    return followed, false, claims_everything(text)


def follows(instruction_id: str, kwargs: Mapping[str, Any], text: str) -> bool:
    """Return whether a text, without surrounding space, follows an instruction."""
    if not text:
        return False
    given = _given(kwargs)
    if instruction_id in _ENGLISH_CASE:
        return bool(_ENGLISH_CASE[instruction_id](text)) and _language(text) == "en"
    if instruction_id == "language:response_language":
        return _language(text) == str(given["language"])
    checker = CHECKERS[instruction_id](instruction_id)
    checker.build_description(**given)
    try:
        return bool(checker.check_following(text))
    except _OF_TEXTS:
        return instruction_id == _TRUE_WHERE_IT_RAISES


def _language(text: str) -> str | None:
    """Return the code of a text's language; None for too few letters. It is less reliable on capitals."""
    if sum(map(str.isalpha, text)) < LEAST_LETTERS:
        return None
    try:
        return str(langdetect.detect(text.lower()))
    except langdetect.LangDetectException:
        return None


def _given(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are not None, whole numbers as integers: Arrow fills with None, and may make floats."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in kwargs.items()
        if value is not None
    }


def _resource(error: LookupError) -> str:
    """Return the name of NLTK's missing resource, from a message of many lines, with quotes or colors."""
    found = re.search(r"Resource\s+(?:\x1b\[\d+m|')?(\w+)", str(error))
    return found[1] if found else type(error).__name__
