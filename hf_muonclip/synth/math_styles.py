"""What a model is asked to make of a mathematical text: a learning note, or its translation into English.

The prompts are ours; Kimi K2 (arXiv 2507.20534, section 2.2) names both and publishes none.
"""

from .styles import Style, marked

MATH_STYLES = (
    Style(
        "learning_note",
        "Write a learning note: what is asked, what is known, and then each step with the reason for it and its "
        "computation written out in full, so that a student can follow without the text. Leave out what teaches "
        "nothing: navigation, names of users, dates of posts, advertisements, remarks on other pages.",
    ),
    Style(
        "translation",
        "Translate it into English, sentence by sentence. Keep every number, formula and variable; write numbers as "
        "English does (3.5, 1,000).",
    ),
)
TRANSLATION = "translation"

_SYSTEM = (
    "You write about mathematics. Everything that you write is true: compute each step again, and write no equation "
    "that does not hold. What is asked, what is given and the final answer are those of the text. Write formulas in "
    "LaTeX between dollar signs. Answer with the text alone: no introduction, no comment."
)


def math_chat(passage: str, style: Style, *, problem: str = "", answer: str = "") -> list[dict[str, str]]:
    """Return the chat that asks a model for a note of one text.

    Args:
        passage: a solution, or a document.
        style: how.
        problem: that the solution is of; "" where the passage holds all.
        answer: its final answer, which the note must state; "" where it has none.
    """
    parts = [style.instruction]
    if style.name != TRANSLATION:
        parts.append("Write in the language of the text.")
    if answer:
        parts.append(f"The final answer is {answer}. End with it, in the form: Final answer: $\\boxed{{...}}$")
    if problem:
        parts.append(f"The problem, which belongs to what you write:\n{marked('problem', problem)}")
    parts.append(f"The text:\n{marked('passage', passage)}")
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]
