"""Sentences in which a text claims that it followed an instruction.

By rule, without a model: a sentence claims an instruction if it says what was done ("I have used ...", "this response
contains ...", "as requested, ..."), names what the instruction is about, does not deny or announce it, and has no
number that is not the instruction's. "I have used exactly 3 paragraphs" claims `number_paragraphs` with 3. It misses
claims in other languages, in other words, or in sentences of more than `LONGEST_CLAIM` characters, and takes such a
sentence for a claim even when a character in a story says it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .sentences import sentences

LONGEST_CLAIM = 400  # characters of a sentence

_DONE = (
    "used|written|wrote|included|followed|kept|made|avoided|ensured|given|gave|provided|added|highlighted|structured|"
    "formatted|ended|finished|repeated|limited|met|satisfied|adhered|complied|refrained|wrapped|put|placed|split|divided|"
    "organi[sz]ed|answered|responded|replied|contained|mentioned|obeyed|fulfilled|respected|observed"
)
_FRAMES = re.compile(
    rf"\b(?:I|we)(?:['\u2019]ve| have| did)?(?: not)?(?: \w+ly| carefully| also)? (?:{_DONE}|use|write|include)\b"
    r"|\b(?:this|my|the|that)(?: \w+){0,2} (?:response|answer|reply|text|output|message|essay|letter|story|poem)"
    r"(?: above| below)?(?: \w+ly| also| does not)? "
    r"(?:has|contains?|uses?|includes?|consists|follows?|meets?|satisf\w+|adheres?|complies|avoids?|is|ends|was)\b"
    r"|\bas (?:you )?(?:requested|instructed|required|specified|asked|wished|ordered)\b"
    r"|\b(?:as )?per (?:your|the) (?:request|instructions?)\b|\bin accordance with\b|\baccording to (?:your|the) instr"
    r"|\bthere (?:are|is) (?:exactly|precisely|no)\b",
    re.IGNORECASE,
)
_EVERYTHING = re.compile(
    r"\b(?:all|every|each|your|the)(?: of)?(?: the| your| given)*(?: \w+)? "
    r"(?:instructions?|constraints?|requirements?|rules|guidelines|conditions)\b",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"\b(?:unable|cannot|could|fail\w*|sorry|unfortunately|almost|nearly|tr(?:y|ied|ying)|attempt\w*|will|would|shall|"
    r"should|must|please|instead|ignor\w+|except|only partly|going to)\b|n['\u2019]t be\b|['\u2019]ll\b|\?$",
    re.IGNORECASE,
)
_NONE = re.compile(r"\b(?:no|not|never|without|zero|avoid\w*|refrain\w*|free|none)\b|n['\u2019]t\b", re.IGNORECASE)
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_NUMBER = re.compile(rf"\b(?:\d+|{'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)

# The subject of each instruction of IFEval.
_TOPICS = {
    "keywords:existence": r"key ?words?|required words?",
    "keywords:frequency": r"key ?words?|times|occurrences",
    "keywords:forbidden_words": r"key ?words?|words?",
    "keywords:letter_frequency": r"letters?",
    "language:response_language": r"languages?|English|French|German|Spanish|Italian|Portuguese|Russian|Hindi",
    "length_constraints:number_sentences": r"sentences?",
    "length_constraints:number_paragraphs": r"paragraphs?",
    "length_constraints:number_words": r"words?",
    "length_constraints:nth_paragraph_first_word": r"paragraphs?",
    "detectable_content:number_placeholders": r"placeholders?",
    "detectable_content:postscript": r"post ?scripts?|P\.? ?S",
    "detectable_format:number_bullet_lists": r"bullets?|bullet points?|points",
    "detectable_format:constrained_response": r"options?",
    "detectable_format:number_highlighted_sections": r"highlight\w*|sections?",
    "detectable_format:multiple_sections": r"sections?",
    "detectable_format:json_format": r"JSON",
    "detectable_format:title": r"title",
    "combination:two_responses": r"(?:two|both|different) (?:different )?(?:responses|answers)",
    "combination:repeat_prompt": r"(?:request|prompt|question)",
    "startend:end_checker": r"end\w*|finish\w*|phrase",
    "change_case:capital_word_frequency": r"capital\w*|upper ?case|caps",
    "change_case:english_capital": r"capital\w*|upper ?case|caps",
    "change_case:english_lowercase": r"lower ?case|small letters",
    "punctuation:no_comma": r"commas?",
    "startend:quotation": r"quot\w+",
}
_FORBIDS = {"keywords:forbidden_words", "punctuation:no_comma", "format:no_whitespace", "words:no_consecutive"}
_TOO_GENERAL = {"count", "number", "no", "range", "specific", "simple", "change", "first", "last"}


def claimed(text: str, ids: Sequence[str], kwargs: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Return, per instruction, whether a sentence of the text claims that it was followed.

    Args:
        text: a completion.
        ids: ids of the instructions.
        kwargs: arguments of each instruction, without None.
    """
    found = _claims(text)
    return [
        any(_is_about(sentence, name, arguments) for sentence in found)
        for name, arguments in zip(ids, kwargs, strict=True)
    ]


def claims_everything(text: str) -> bool:
    """Return whether a sentence of the text claims that all instructions were followed."""
    return any(_is_about_everything(sentence) for sentence in _claims(text))


def _claims(text: str) -> list[str]:
    return [
        sentence
        for sentence in sentences(text)
        if len(sentence) <= LONGEST_CLAIM and _FRAMES.search(sentence) and not _FAILED.search(sentence)
    ]


def _is_about_everything(claim: str) -> bool:
    return _EVERYTHING.search(claim) is not None and _NONE.search(claim) is None


def _is_about(claim: str, instruction_id: str, kwargs: Mapping[str, Any]) -> bool:
    if _is_about_everything(claim):
        return True
    if not re.search(rf"\b(?:{_topic(instruction_id)})\b", claim, re.IGNORECASE):
        return False
    if (_NONE.search(claim) is not None) is not (instruction_id in _FORBIDS):
        return False
    own = {value for value in kwargs.values() if isinstance(value, int | float)}
    said = {_value(number) for number in _NUMBER.findall(claim)}
    return not said or not own or not said.isdisjoint(own)


def _topic(instruction_id: str) -> str:
    if instruction_id in _TOPICS:
        return _TOPICS[instruction_id]
    parts = [part.rstrip("s") for part in re.split(r"[_-]", instruction_id.partition(":")[2])]
    return "|".join(rf"{re.escape(part)}\w*" for part in parts if part not in _TOO_GENERAL) or "instructions?"


def _value(number: str) -> int:
    return int(number) if number.isdigit() else _NUMBER_WORDS.index(number.lower())
