r"""The final answer of a solution, in the languages that solutions are translated from.

By the rule of `common/graders/answers.py`: what is marked (`\boxed{}`, `<answer>`, `####`), else what is announced
last. Nothing else is an answer: the last line of a document says something else as a rule.
"""

import re

from ...common.graders.answers import ANNOUNCED, gold_answer, stated_formula, undecorated

_ANNOUNCED = re.compile(
    ANNOUNCED.pattern
    + r"|\b(?:antwort|ergebnis|réponse|résultat|respuesta|resultado|risposta|risultato|resposta)\b[^.\n:=$]{0,60}?"
    r"(?:\b(?:ist|lautet|beträgt|est|es|vale|é)\b:?|\bè|[:=])"
    r"|(?:答案|最终答案|最后结果|答え|答)(?:应该|就)?(?:是|为|:|\uff1a|は|等于)+"
    r"|\bответ\b[^.\n:=$]{0,40}?[:=—-]|(?:정답|답)(?:은|:)",  # noqa: RUF001
    re.IGNORECASE | re.MULTILINE,
)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox)\s*\{([^{}]*)\}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{2,}|[\u3040-\u9fff]")
_NUMBER = re.compile(r"[-\u2212]?(?:\\frac\{\d+\}\{\d+\}|\d[\d.,]*(?:\{,\}\d+)*(?:/\d+)?(?<=\d)(?:\s*\\?%)?)")


def final_answer(text: str, decimal_comma: bool = False) -> str:
    """Return the final answer that a text states; "" where it states none.

    Of an answer in words with one number ("She has 8 apples left") it is the number.

    Args:
        text: a solution, a note, a document.
        decimal_comma: whether its language writes 3,5 for three and a half.
    """
    return _bare(stated_formula(text, _ANNOUNCED) or "", decimal_comma)


def given_answer(given: object) -> str:
    """Return the answer that a row gives beside its text; "" where it gives none."""
    return _bare(gold_answer(given), False)


def _bare(answer: str, decimal_comma: bool) -> str:
    answer = undecorated(answer).rstrip("\u3002.")
    words = _COMMAND.sub(" ", _TEXT.sub(r" \1 ", answer))
    numbers = _NUMBER.findall(answer)
    if len(numbers) == 1 and (_WORD.search(words) or answer.strip()[-1:] in "°€$"):
        answer = numbers[0]
    if decimal_comma:
        answer = re.sub(r"(?<=\d)\.(?=\d{3}(?!\d))", "", answer)
        answer = re.sub(r"(?<=\d)(?:,|\{,\})(?=\d)", ".", answer)
    return answer.strip()
