"""Prompts with instructions that code can check, written by rule, each with an answer that follows them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

_TOPICS = ("the sea", "rain", "a bakery", "bees", "an old clock", "the moon", "a garden", "trains", "bread")
_WORDS = ("amber", "bridge", "candle", "dragon", "ember", "feather", "harbor", "island", "jacket", "kettle", "lantern")
_PHRASES = ("That is all.", "This is the end.", "Nothing else to say.")
# It follows none of the instructions below, and says that it follows all of them.
_WRONG = "Certainly, I have followed all of your instructions!"


@dataclass(frozen=True)
class _Kind:
    """An instruction of IFEval: its arguments, its sentence, and how a text that ignores it is made to follow it."""

    instruction_id: str
    draw: Callable[[random.Random], dict[str, Any]]
    sentence: Callable[[dict[str, Any]], str]
    apply: Callable[[str, dict[str, Any]], str]


# In the order in which they can be applied to one text without undoing each other.
_KINDS = (
    _Kind(
        "keywords:existence",
        lambda draw: {"keywords": sorted(draw.sample(_WORDS, 2))},
        lambda given: f"Include the keywords {' and '.join(given['keywords'])}.",
        lambda text, given: f"{text} Think of {' and '.join(given['keywords'])}.",
    ),
    _Kind(
        "length_constraints:number_words",
        lambda draw: {"num_words": draw.randrange(20, 60), "relation": "at least"},
        lambda given: f"Answer with at least {given['num_words']} words.",
        lambda text, given: f"{text} {'It goes on and on. ' * (given['num_words'] // 5 + 1)}".strip(),
    ),
    _Kind(
        "detectable_format:number_bullet_lists",
        lambda draw: {"num_bullets": draw.randrange(2, 5)},
        lambda given: (
            f"Your answer must contain exactly {given['num_bullets']} bullet points, such as: * This is a point."
        ),
        lambda text, given: text + "\n* one more thing" * given["num_bullets"],
    ),
    _Kind(
        "detectable_format:title",
        lambda draw: {},
        lambda given: "Your answer must contain a title, wrapped in double angular brackets, such as <<a title>>.",
        lambda text, given: f"<<a few words>>\n{text}",
    ),
    _Kind(
        "detectable_content:postscript",
        lambda draw: {"postscript_marker": "P.S."},
        lambda given: "At the end, add a postscript that starts with P.S.",
        lambda text, given: f"{text}\nP.S. I liked this.",
    ),
    _Kind(
        "startend:end_checker",
        lambda draw: {"end_phrase": draw.choice(_PHRASES)},
        lambda given: f"Finish with exactly this phrase: {given['end_phrase']}",
        lambda text, given: f"{text}\n{given['end_phrase']}",
    ),
    _Kind(
        "punctuation:no_comma",
        lambda draw: {},
        lambda given: "Do not use any commas.",
        lambda text, given: text.replace(",", ""),
    ),
    _Kind(
        "change_case:english_lowercase",
        lambda draw: {},
        lambda given: "Answer in English and in lowercase letters only.",
        lambda text, given: text.lower(),
    ),
)


def instruction_rows(size: int, *, seed: int = 0, most: int = 2, chat: bool = False) -> Dataset:
    """Return prompts with one to `most` instructions of IFEval each, and answers that follow and that break them.

    Args:
        size: rows.
        seed: the same rows for the same seed.
        most: instructions of a row; at most 8.
        chat: prompts as chats instead of texts.

    Returns:
        Columns prompt, instruction_id_list, kwargs, gold and wrong, as `instruction_spec` takes them.

    Raises:
        ValueError: a number is out of range.
    """
    if not 1 <= most <= len(_KINDS):
        raise ValueError(f"most must be in [1, {len(_KINDS)}]; got {most!r}.")
    if size < 1:
        raise ValueError(f"size must be 1 or more; got {size!r}.")
    draw = random.Random(seed)
    rows = []
    for _ in range(size):
        kinds = [_KINDS[place] for place in sorted(draw.sample(range(len(_KINDS)), draw.randint(1, most)))]
        arguments = [kind.draw(draw) for kind in kinds]
        topic = draw.choice(_TOPICS)
        sentences = [kind.sentence(given) for kind, given in zip(kinds, arguments, strict=True)]
        prompt = " ".join([f"Write something about {topic}.", *sentences])
        gold = f"Here are some thoughts about {topic}, as they come to mind."
        for kind, given in zip(kinds, arguments, strict=True):
            gold = kind.apply(gold, given)
        rows.append(
            {
                "prompt": [{"role": "user", "content": prompt}] if chat else prompt,
                "instruction_id_list": [kind.instruction_id for kind in kinds],
                "kwargs": [{name: given.get(name) for name in _NAMES} for given in arguments],
                "gold": gold,
                "wrong": [_WRONG],
            }
        )
    return Dataset.from_list(rows)


_NAMES = ("keywords", "num_words", "relation", "num_bullets", "postscript_marker", "end_phrase")
