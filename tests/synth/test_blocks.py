"""What a document's blocks are, and that they are all of it."""

import pytest
from hard_documents import hard_document

from hf_muonclip.synth.blocks import blocks
from hf_muonclip.synth.markup import protected_spans


def found(text: str) -> list[tuple[str, str]]:
    return [(text[block.start : block.stop], block.kind) for block in blocks(text, protected_spans(text))]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", []),
        (" \n\n", ["verbatim"]),
        ("\ufeff", ["verbatim"]),
        ("\ufeff# A\n", ["verbatim", "heading"]),
        ("\n\nA.", ["verbatim", "prose"]),
        ("A.\nB.\n\nC.", ["prose", "prose"]),
        ("# A\nB.", ["heading", "prose"]),
        ("A\n===\nB.", ["heading", "prose"]),
        ("A\n---\n", ["heading"]),
        ("A.\nB.\n---\nC.", ["prose", "verbatim", "prose"]),
        ("A" * 200 + ".\n---\n", ["prose", "verbatim"]),
        ("Title\n~~~~~\n\nB.", ["heading", "prose"]),
        ("== A ==\nB.", ["heading", "prose"]),
        ("<h2>A</h2>\nB.", ["heading", "prose"]),
        (r"\section*{A $x^{2}$}" + "\nB.", ["heading", "prose"]),
        (r"\paragraph{A} B.", ["prose"]),
        ("#tag\n", ["prose"]),
        ("A.\n\n* * *\n\nB.", ["prose", "verbatim", "prose"]),
        ("- a\n- b\n  b\n\n  b\n\nC.", ["item", "item", "prose"]),
        ("A:\n- a\n  - b\n1. c\n2) d", ["prose", "item", "item", "item", "item"]),
        ("It was in\n1990. Then more.", ["prose"]),
        ("It was\n1. a", ["prose", "item"]),
        ("- a\n  ```\n  b\n  ```\n- c", ["verbatim", "item"]),
        ("- a\n```\nb\n```\n", ["item", "verbatim"]),
        ("- a\n\n        b\n- c", ["verbatim", "item"]),
        ("- a\n\n  | b | c |\n  |---|---|\n", ["verbatim"]),
        ("A.\n\n    b\n\n    c\n\nD.", ["prose", "verbatim", "prose"]),
        ("A.\n\tb\n", ["prose"]),
        ("    A paragraph begins\nand goes on.", ["prose"]),
        ("    " + "A long line. " * 20 + "\n\n    " + "Another one. " * 20, ["prose", "prose"]),
        ("| a | b |\n|---|---|\n| c | d |\nE.", ["verbatim", "prose"]),
        ("a | b\n:-: | -\nc | d\n\ne | f", ["verbatim", "prose"]),
        ("+---+\n| a |\n+---+\n", ["verbatim"]),
        ("A | B.\nC | D.", ["prose"]),
        ("We have\n$$\nx\n$$\nwhere x.", ["prose", "verbatim", "prose"]),
        ("So that $$ a\n- b\n# c $$ holds.", ["prose"]),
        ("A. <table></table> B.", ["prose", "verbatim", "prose"]),
        ("> a\n> b\n\n> c", ["prose", "prose"]),
        ("A.\r\n\r\nB.\r\rC.", ["prose", "prose", "prose"]),
    ],
)
def test_kinds(text: str, kinds: list[str]) -> None:
    pieces = found(text)
    assert [kind for _, kind in pieces] == kinds
    assert "".join(piece for piece, _ in pieces) == text


def test_blank_lines_belong_to_the_block_before() -> None:
    assert found("\n# A\n\n \t\nB.\n\n") == [("\n", "verbatim"), ("# A\n\n \t\n", "heading"), ("B.\n\n", "prose")]


def test_blocks_are_all_of_a_document() -> None:
    for seed in range(300):
        text, _ = hard_document(seed)
        assert "".join(piece for piece, _ in found(text)) == text
