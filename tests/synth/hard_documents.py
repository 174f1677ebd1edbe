"""Random documents made of what is hard to cut, and where in them lies what must stay whole."""

import random
from typing import NamedTuple

_PLAIN = (
    "river bridge council harvest engine winter theory market island letter copper forest signal captain measure "
    "garden window border museum factory village weather journey station harbour"
)
_WORDS = _PLAIN.split()
_HARD = (
    "Dr. J. S. Miller",
    "about 3.14 metres",
    "e.g. the U.S. Navy",
    "on Jan. 5",
    "No. 47",
    "$x_1. Then$",
    r"\(a. B\)",
    "`a. B c`",
    "https://example.org/a.b?c=d. ",
    '[see vol. 2. More](https://example.org/x_(y) "A. B")',
    '<span title="One. Two three">',
    "wait... what",
)
_WHOLE_IN_LINE = ("$x_1. Then$", r"\(a. B\)", "`a. B c`", "https://example.org/a.b?c=d", _HARD[9], _HARD[10])
_VERBATIM = (
    "```python\ndef f():\n\n    return '$$'  # A. B\n\n# Not a heading\n- no item\n```",
    "~~~\n```\nA. B. C.\n\n\\[ not closed\n~~~",
    "````\n```\nnested. Fence\n```\n````",
    "    for row in table:\n        print(row)\n\n    # A comment. Another",
    "\tindented by a tab\n\t$$ and a price",
    "| name | year |\n|:-----|-----:|\n| A. B | 1990 |\n| C. D | 2001 |",
    "name | year\n--- | ---\nA. B | 1990",
    "+------+------+\n| A. B | C. D |\n+------+------+",
    "<table>\n<tr><td>A. B</td></tr>\n\n<tr><td><table><tr><td>C. D</td></tr></table></td></tr>\n</table>",
    "<pre>\nA. B\n\n# C\n</pre>",
    "$$\na = b. C\n- d\n$$",
    "\\[\n\\sum_i x_i. Y\n\\]",
    "\\begin{align}\na &= b \\\\\n\n\\begin{align} c. D \\end{align}\n\\end{align}",
    "<!-- a comment. Not\n\ntext -->",
)
_ITEMS = (
    "- an item. With two sentences of some length\n  and a second line",
    "* starred item about the harvest",
    "12. a numbered item. Its second sentence",
    "- an item\n\n  with a second paragraph of its own. And more",
    "  - a nested item about the old bridge",
    "- an item with code:\n\n  ```\n  A. B\n\n  C\n  ```",
)
_HEADINGS = (
    "# A heading. With a stop",
    "## Another one ##",
    "Underlined title\n================",
    "\\section{On A. B}",
)
_CHINESE = "\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd\u3002\u5b83\u6709\u60a0\u4e45\u7684\u5386\u53f2\uff01"


class Whole(NamedTuple):
    """What must not be torn: its place, and whether it must stay as it is."""

    start: int
    stop: int
    verbatim: bool


def hard_document(seed: int) -> tuple[str, list[Whole]]:
    """Return a document and what in it must stay whole."""
    draw = random.Random(seed)
    newline = draw.choice(["\n", "\n", "\r\n"])
    text = draw.choice(["", "", "\ufeff", "\n \n", "\0\n\n"])
    whole: list[Whole] = []

    def add(piece: str, verbatim: bool | None) -> None:
        nonlocal text
        piece = piece.replace("\n", newline)
        if verbatim is not None:
            whole.append(Whole(len(text), len(text) + len(piece), verbatim))
        text += piece

    for _ in range(draw.randrange(1, 14)):
        kind = draw.randrange(6)
        if kind == 0:
            add(piece := draw.choice(_VERBATIM), True)
            if piece[0].isspace():
                add("\n\nA line follows the code", None)
        elif kind == 1:
            for _ in range(draw.randrange(1, 4)):
                item = draw.choice(_ITEMS)
                add(item, "```" in item)
                add("\n", None)
            add("\nA line follows the list", None)
        elif kind == 2:
            add(draw.choice(_HEADINGS), True)
        elif kind == 3:
            add(_CHINESE * draw.randrange(1, 12), None)
        else:
            start = len(text)
            add(_paragraph(draw), None)
            for part in _WHOLE_IN_LINE:
                place = text.find(part, start)
                while place >= 0:
                    whole.append(Whole(place, place + len(part), False))
                    place = text.find(part, place + 1)
        add(draw.choice(["\n\n", "\n\n", "\n \t\n", "\n\n\n\n"]), None)
    ending = draw.randrange(4)
    if ending == 0:
        add("```\nA. B\n\n# not closed\n\nC. D", True)
    elif ending == 1:
        text = text.rstrip()
        whole = [part for part in whole if part.stop <= len(text)]
    return text, whole


def _paragraph(draw: random.Random) -> str:
    sentences = []
    for _ in range(draw.randrange(1, 12)):
        words = draw.choices(_WORDS, k=draw.randrange(3, 14))
        if draw.random() < 0.4:
            words.insert(draw.randrange(len(words)), draw.choice(_HARD))
        if draw.random() < 0.2:
            words.insert(draw.randrange(len(words)), "\n")
        words[0] = words[0].capitalize() if words[0] in _WORDS else f"It {words[0]}"
        sentences.append(" ".join(words))
    return draw.choice([". ", "! ", ".  ", '." ']).join(sentences).replace(" \n ", "\n") + "."
