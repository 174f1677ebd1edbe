"""Where sentences end."""

import time

import pytest

from hf_muonclip.rl.domains.sentences import sentences


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \n\t", []),
        ("...!?\n---\n***", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It cost 3.5 dollars. Then 4.", ["It cost 3.5 dollars.", "Then 4."]),
        ("Dr. Smith met Mr. Jones. They left.", ["Dr. Smith met Mr. Jones.", "They left."]),
        ("J. S. Bach wrote it, e.g. this one.", ["J. S. Bach wrote it, e.g. this one."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("**Bold one.** Next one.", ["**Bold one.**", "Next one."]),
        ("A heading\n\n- first item\n- second item", ["A heading", "- first item", "- second item"]),
        ("Wait... what? Yes.", ["Wait...", "what?", "Yes."]),
        ("\u4f60\u597d\u3002\u518d\u89c1\uff01", ["\u4f60\u597d\u3002", "\u518d\u89c1\uff01"]),
        ("no end", ["no end"]),
        ("  padded.  \r\nnext.  ", ["padded.", "next."]),
    ],
)
def test_sentences_end_at_marks_and_lines(text: str, found: list[str]) -> None:
    assert sentences(text) == found


@pytest.mark.parametrize("piece", ["a. ", ".", "Mr. ", '."', "\n", "\0", "a" * 10, "!\u201d"])
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    began = time.process_time()
    sentences(piece * 100_000)
    assert time.process_time() - began < 5
