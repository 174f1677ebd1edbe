"""The rules under which reasoning-gym's scores become rewards: one table, with reasons.

A generator without a rule is used unchanged: an answer is right if it is the gold answer, or if the generator's own
scorer gives it full marks. `benchmarks/graders.md` shows what each does with and without its rule.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule of one generator.

    Args:
        why: the reason: what its own scorer does wrong.
        excluded: whether its puzzles are not offered at all.
        gold: key of the entry's metadata with a right answer, or a list of all, if the entry's answer is missing or
            only one.
        text: whether only the text of a gold answer is right; the scorer is not called.
        ignore_case: whether case is ignored in that text.
        form: regular expression of the answers, with single spaces, that are passed to the scorer; others are wrong.
        valid: function of an answer of that form and the entry, which must return True too.
    """

    why: str
    excluded: bool = False
    gold: str = ""
    text: bool = False
    ignore_case: bool = False
    form: str = ""
    valid: Callable[[str, dict[str, Any]], bool] | None = None


def _uses_the_numbers(answer: str, entry: dict[str, Any]) -> bool:
    """Return whether an expression uses each given number once, and is exact."""
    return sorted(map(int, re.findall(r"\d+", answer))) == sorted(entry["metadata"]["numbers"])


def _same_numbers(answer: str, entry: dict[str, Any]) -> bool:
    """Return whether two lists hold equal numbers in the same order."""
    found, wanted = (json.loads(text.replace("'", '"')) for text in (answer, entry["answer"]))
    return [*map(float, found)] == [*map(float, wanted)]


_NUMBER = r"\s*-?(?:\d[\d,]*\.?\d*|\.\d+)\s*"
_ARITHMETIC = r"[\d\s()+\-/]*(?:(?<!\*)\*(?!\*)[\d\s()+\-/]*)*"  # no powers
_MONOMIAL = r"\s*(?:\d+|\d*(?:\s*\*?\s*[a-zA-Z](?:\s*(?:\*\*|\^)\s*\d{1,2})?)+)\s*"
_FUNCTION = r"(?:sin|cos|tan|exp|log|ln|sqrt|asin|acos|atan|sinh|cosh|tanh|pi|E|C)"
_ANTIDERIVATIVE = (
    rf"(?:[\d\s.()+\-/]|{_FUNCTION}(?![A-Za-z])|(?<![A-Za-z])[A-Za-z](?![A-Za-z])"
    r"|(?<!\*)\*(?!\*)|\*\*\s*-?\d{1,2}(?![\d*])|\*\*\s*\(-?\d{1,2}/\d{1,2}\))*"
)

RULES: dict[str, Rule] = {
    "composite": Rule(excluded=True, why="mixes other generators and has none by itself"),
    "boxnet": Rule(excluded=True, why="has no answer of its own to check its scorer by, and raises on some JSON"),
    "rush_hour": Rule(excluded=True, why="has no answer of its own to check its scorer by"),
    "propositional_logic": Rule(
        excluded=True, why="has no answer of its own, and pays in full for a premise copied from the question"
    ),
    "rubiks_cube": Rule(gold="example_correct_answer", why="keeps its answer in the metadata"),
    "graph_color": Rule(gold="possible_answer", why="keeps its answer in the metadata"),
    "game_of_life_halting": Rule(
        text=True, ignore_case=True, why="pays every answer that is not empty: it compares the truth of two texts"
    ),
    "complex_arithmetic": Rule(form=r"[\d\s.,ij()+\-]+", why="pays answers that are not finite in full"),
    "prime_factorization": Rule(form=r"\s*\d+(?:\s*×\s*\d+)*\s*", why="raises on anything but numbers joined by ×"),
    "binary_matrix": Rule(text=True, why="evaluates other answers as code, for a tenth"),
    "spiral_matrix": Rule(text=True, why="evaluates other answers as code, for a tenth"),
    "string_insertion": Rule(text=True, why="evaluates other answers as code, for a tenth"),
    "n_queens": Rule(text=True, gold="valid_answers", why="evaluates other answers as code, for a half"),
    "countdown": Rule(form=_ARITHMETIC, valid=_uses_the_numbers, why="evaluates any expression, however large"),
    "puzzle24": Rule(
        form=_ARITHMETIC,
        valid=_uses_the_numbers,
        why="pays any four allowed numbers that make 24, not those of the question, and rounds down",
    ),
    "polynomial_multiplication": Rule(
        form=rf"\s*[+\-]?{_MONOMIAL}(?:[+\-]{_MONOMIAL})*", why="evaluates any expression, however large"
    ),
    "simple_integration": Rule(form=_ANTIDERIVATIVE, why="evaluates any expression, however large"),
    "intermediate_integration": Rule(form=_ANTIDERIVATIVE, why="evaluates any expression, however large"),
    "letter_jumble": Rule(text=True, ignore_case=True, why="reads no further than the gold answer has words"),
    "figlet_font": Rule(text=True, ignore_case=True, why="pays any answer that shares ten letters"),
    "number_sorting": Rule(valid=_same_numbers, why="lets each number be off by one"),
    "gsm_symbolic": Rule(form=_NUMBER, why="takes the first number of any text"),
    "knights_knaves": Rule(
        form=r"\s*[^\W\d]+ is an? [a-z]+(?:(?:,? and |, )[^\W\d]+ is an? [a-z]+)*\.?\s*",
        why="finds its words anywhere in a text",
    ),
    "quantum_lock": Rule(form=r"[A-Ca-c\s,→>\-]+", why="takes every a, b and c of any text for a button"),
    "sokoban": Rule(form=r"[UDLR\s]+", why="takes every U, D, L and R of any text for a move"),
    "coin_flip": Rule(form=rf"{_NUMBER}(?:/{_NUMBER})?", why="reads exponents of any size"),
    "kakurasu": Rule(form=r"[01 ]+", why="takes every 0 and 1 of any text for a cell"),
}
