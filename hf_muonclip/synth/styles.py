"""How a passage may be rewritten: styles, which of them each rephrasing gets, and the chat that asks for one passage.

The prompts are ours; Kimi K2 (arXiv 2507.20534) publishes none.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """A way of writing.

    Attributes:
        name: as it stands in results.
        instruction: what the model is asked to do, in one or two sentences.
    """

    name: str
    instruction: str


STYLES = (
    Style("encyclopedic", "Write as an encyclopedia does: impersonal, compact, with exact terms."),
    Style(
        "textbook", "Write as a textbook does: state each fact, and make plain how it follows from what precedes it."
    ),
    Style(
        "lecture_notes", "Write as a lecturer's notes: short sentences that bring one point each, in the same order."
    ),
    Style("question_and_answer", "Write as questions and answers: a short question for each point, then its answer."),
    Style("dialogue", "Write as a conversation in which one person explains the matter and another asks about it."),
    Style("conversational", "Write as you would tell a friend: spoken language, simple words, no jargon."),
    Style("plain", "Write for readers who learn the language: short sentences, common words, one idea in each."),
    Style("concise", "Write as briefly as you can while every fact stays: no filler and no repetition."),
    Style("report", "Write as a news report does: what is most telling in each sentence first, sober and direct."),
    Style("essay", "Write as an essayist does: flowing, varied sentences that lead from one thought to the next."),
)

TAGS = ("passage", "before", "problem")  # around what is to be rewritten, what was, and what a solution is of

_SYSTEM = (
    "You rewrite passages of documents in other words. What you write says exactly what the passage says: nothing is "
    "added, left out or changed. Keep every number with its unit, every date, every name, every quotation and formula "
    "as it is, keep what is denied denied, and keep the order of events. Write in the language of the passage. Answer "
    "with the rewritten passage alone: no introduction, no comment, no heading that the passage does not have."
)


def assign_styles(document: str, rephrasings: int, styles: Sequence[Style] = STYLES, seed: int = 0) -> list[Style]:
    """Return a style for each rephrasing of a document, drawn by its text: the same wherever and whenever it is done.

    Rephrasings of one document share no style before all styles are used, and then none before all are used twice.

    Args:
        document: its text.
        rephrasings: how many.
        styles: to draw from.
        seed: another one draws others.

    Raises:
        ValueError: there are no styles.
    """
    if not styles:
        raise ValueError("styles must hold one style or more; got none. STYLES has ten.")
    drawn: list[Style] = []
    while len(drawn) < rephrasings:
        key = f"{seed} {len(drawn)} {digest(document)}"
        drawn += random.Random(digest(key)).sample(list(styles), len(styles))
    return drawn[:rephrasings]


def checked_styles(styles: Sequence[Style | str], offered: Sequence[Style] = STYLES) -> tuple[Style, ...]:
    """Return styles, of which some are named.

    Args:
        styles: names of offered ones, or one's own.
        offered: what a name can mean.

    Raises:
        ValueError: one is unknown or named twice, or there is none.
    """
    known = {style.name: style for style in offered}
    if unknown := [style for style in styles if isinstance(style, str) and style not in known]:
        raise ValueError(f"styles must be of {[*known]}, or Style objects; got {unknown}.")
    found = tuple(known[style] if isinstance(style, str) else style for style in styles)
    names = [style.name for style in found]
    if not names or len({*names}) < len(names):
        raise ValueError(f"styles must be one or more, of different names; got {names}.")
    return found


def chat_for(passage: str, style: Style, *, written: str = "", title: str = "") -> list[dict[str, str]]:
    """Return the chat that asks a model to rewrite one passage.

    Args:
        passage: without surrounding white space.
        style: how.
        written: the end of what was already rewritten before this passage, so that the new text goes on from it.
        title: of the document.
    """
    parts = [style.instruction]
    if title:
        parts.append(f"The passage is from a document with the title: {title}")
    if written:
        parts.append(
            "What you rewrote before ends with the text below. Go on from there in the same manner, and repeat nothing "
            f"of it.\n{marked('before', written)}"
        )
    parts.append(f"Rewrite this passage:\n{marked('passage', passage)}")
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


def digest(text: str) -> str:
    """Return a hash of a text, the same in all processes; of texts that are no UTF-8 too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def marked(name: str, text: str) -> str:
    """Return a text between tags that it does not hold itself."""
    while f"{name}>" in text:
        name += "_"
    return f"<{name}>\n{text}\n</{name}>"
