r"""The final answer of a completion, by one rule for all tasks and graders.

1. Thinking is not read: what stands before the last `</think>`, or behind a `<think>` that is never closed.
2. The last closed mark wins: `<answer>...</answer>` or `\boxed{...}` (`\fbox{...}`), whichever ends last; of marks
   within a mark, the last inner one. A mark that is opened where none is ever closed is no answer, nor is anything
   beside it.
3. Without a mark: what the text announces last, up to the end of its sentence or line ("The answer is 4.",
   "**Final answer:** 4", "#### 4").
4. Without that: the last line that is not empty; the whole text where an answer has several lines.
5. Of a line with one formula in `$...$`, `$$...$$`, `\(...\)` or `\[...\]` and no number beside it, the formula is the
   answer (mathematics alone). Several formulas are candidates, not an answer.
"""

import math
import re
from typing import Any

REACH = 1_000_000  # characters at a completion's end that are read
_TAIL = 20_000  # of them, those that are searched for an announcement where no mark is found
_FORMULA_TAIL = 4_000  # likewise of a completion about mathematics
LONGEST_ANSWER = 20_000  # characters

_MARK = re.compile(r"\\(?:boxed|fbox)\s*\{|\\[\\{}]|[{}]|</?answer>", re.IGNORECASE)
_OPENED = re.compile(r"<answer>|\\(?:boxed|fbox)\s*\{", re.IGNORECASE)
ANNOUNCED = re.compile(r"\banswer\b[^.\n:=$]{0,60}?(?:\bis\b:?|\bare\b:?|[:=])|####", re.IGNORECASE)
_FORMULA = re.compile(
    r"\$\$(.{1,2000}?)\$\$|(?<!\\)\$((?:\\.|[^$\\\n]){1,2000})\$|\\\((.{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]", re.DOTALL
)
_SENTENCE_END = re.compile(r"\.(?=[\s*_]|$)")
_FENCE = re.compile(r"```\w*\n(.*?)\n?```", re.DOTALL)
_PAIRS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'))
_LOOSE = ("**", "__")  # left at one end by an announcement in bold


def final_formula(text: str) -> str | None:
    """Return the final answer of a completion about mathematics; None if there is none.

    Args:
        text: the completion.
    """
    marked, text = _marked(text)
    if marked is not None or not text:
        return marked
    text = text[-_FORMULA_TAIL:]
    announced = _announced(text)
    return _of_a_line(_last_line(text) if announced is None else _sentence(announced))


def stated_formula(text: str, announced: re.Pattern[str]) -> str | None:
    """Return the final answer of a text where one is marked or announced: rules 1 to 3; None where none is.

    Args:
        text: about mathematics.
        announced: what announces an answer, in any language; it stands behind each match.
    """
    marked, text = _marked(text)
    if marked is not None or not text:
        return marked
    found = _announced(text, announced)
    return None if found is None else _of_a_line(_sentence(found))


def final_text(text: str, several_lines: bool) -> str | None:
    """Return the final answer of a completion whose answer is a text; None if there is none.

    Args:
        text: the completion.
        several_lines: whether an answer has more than a line, as a grid has.
    """
    marked, text = _marked(text)
    if marked is not None or not text:
        return marked
    announced = _announced(text)
    if several_lines:
        return text if announced is None else announced
    return _last_line(text) if announced is None else announced.strip().partition("\n")[0]


def undecorated(answer: str) -> str:
    """Return an answer without surrounding space, emphasis, quotes, code fences, formula marks and full stops."""
    while True:
        before = answer
        answer = answer.strip().removesuffix(".")
        if fenced := _FENCE.fullmatch(answer):
            answer = fenced[1]
        for begin, end in _PAIRS:
            if len(answer) > len(begin) + len(end) and answer.startswith(begin) and answer.endswith(end):
                answer = answer[len(begin) : -len(end)]
        for mark in _LOOSE:
            answer = answer.removeprefix(mark).removesuffix(mark)
        if answer == before:
            return answer


def gold_answer(given: Any) -> str:
    r"""Return the answer alone of what a dataset holds as gold answer; "" where it holds none.

    Args:
        given: a number, or a text: an answer, or a solution that ends in `\boxed{...}` or `#### ...`.
    """
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        return ""
    if not isinstance(given, str) and not math.isfinite(given):
        return ""
    text = str(given)
    if "\\boxed" in text or "####" in text:
        text = final_formula(text) or ""
    return undecorated(text)


def _marked(text: str) -> tuple[str | None, str]:
    """Return the content of the last mark, or None and the text in which an answer may stand without a mark."""
    text = text[-REACH:].rpartition("</think>")[2].partition("<think>")[0]
    found = _last_mark(text)
    if found is None:
        return None, "" if _OPENED.search(text) else text.strip()
    for _ in range(3):
        inner = _last_mark(found)
        if inner is None:
            break
        found = inner
    return found, text


def _last_mark(text: str) -> str | None:
    """Return the content of the mark that closes last; one pass, however many marks there are and however deep."""
    found = None
    tag = None  # start of the content of an open <answer>
    braces: list[int | None] = []  # per open brace, the start of a box's content; None for others
    for token in _MARK.finditer(text):
        what = token[0]
        if what == "{":
            braces.append(None)
        elif what == "}":
            begin = braces.pop() if braces else None
            if begin is not None:
                found = text[begin : token.start()]
        elif what[0] == "<":
            if what[1] != "/":
                tag, braces = token.end(), []
            elif tag is not None:
                found, tag = text[tag : token.start()], None
        elif len(what) > 2:
            braces.append(token.end())
    return found


def _announced(text: str, announced: re.Pattern[str] = ANNOUNCED) -> str | None:
    """Return what follows the last announcement of an answer."""
    tail = text[-_TAIL:]
    end = max((found.end() for found in announced.finditer(tail)), default=None)
    return tail[end:] if end is not None and tail[end:].strip() else None


def _sentence(text: str) -> str:
    """Return the first sentence of the first line that is not empty, or its formulas if it begins with one."""
    text = text.lstrip("*_ \n\t")
    end = 0
    for formula in _FORMULA.finditer(text):
        if "\n" in (between := text[end : formula.start()]) or _SENTENCE_END.search(between):
            break
        end = formula.end()
    line = text.find("\n", end)
    text = text if line < 0 else text[:line]
    stop = _SENTENCE_END.search(text, end)
    return text[: stop.start()] if stop else text


def _last_line(text: str) -> str:
    """Return the last line, or the displayed formula that ends there."""
    bare = text.rstrip(".*_ ")
    for begin, end in (("$$", "$$"), ("\\[", "\\]")):
        start = bare.rfind(begin, 0, len(bare) - len(end)) if bare.endswith(end) else -1
        if start >= 0:
            return bare[start:]
    return text[text.rfind("\n") + 1 :]


def _of_a_line(line: str) -> str | None:
    """Return the answer in a line: all of it, or its only formula; None if there are several candidates."""
    formulas = [next(part for part in found if part) for found in _FORMULA.findall(line)]
    if not formulas:
        return line
    return None if len(formulas) > 1 or re.search(r"\d", _FORMULA.sub("", line)) else formulas[0]
