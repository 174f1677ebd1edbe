"""Where sentences end, and where they only seem to."""

from itertools import pairwise

import pytest

from hf_muonclip.synth.sentence_ends import last_sentences, sentence_ends


def cut(text: str) -> list[str]:
    places = [0, *sentence_ends(text), len(text)]
    return [text[start:stop] for start, stop in pairwise(places)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["One. ", "Two!  ", "Three?\n", "Four"],
        ['He said "Stop." ', "Then he left."],
        ["Really?! ", "Yes."],
        ["It was in 1990. ", "Then more."],
        ["(A note.) ", "More."],
        ["\u4f60\u597d\u3002", "\u518d\u89c1\uff01\u300d ", "\u55ef"],
        ["It is 3.5 metres. ", "Then 4."],
    ],
)
def test_sentences_end(sentences: list[str]) -> None:
    assert cut("".join(sentences)) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "Dr. Smith met Prof. Jones",
        "J. S. Bach wrote it",
        "the U.S. Navy",
        "a Ph.D. student",
        "e.g. This one",
        "See Fig. 3 and No. 47, pp. 12",
        "on Jan. 5",
        "Smith et al. Show it",
        "Wait... What",
        "Wait\u2026 What",
        "version 3.14",
        "It is 3 m. Long",
        "a.b.c",
        "12. An item",
        "he asked? she said",
        "10\u00a0km.\u00a0Then",
    ],
)
def test_sentences_go_on(text: str) -> None:
    assert cut(text) == [text]


def test_no_is_a_word_too() -> None:
    assert cut("He said no. Then he left.") == ["He said no. ", "Then he left."]
    assert cut("See no. 5 there.") == ["See no. 5 there."]


@pytest.mark.parametrize(
    ("text", "most", "end"),
    [
        ("Short.", 100, "Short."),
        ("One sentence. Another sentence. The last.", 30, "The last."),
        ("One sentence. Another sentence. The last.", 35, "Another sentence. The last."),
        ("no end but\nlines of words", 20, "lines of words"),
        ("nothing but words here", 12, "words here"),
        ("x" * 50, 10, "x" * 10),
        ("", 10, ""),
    ],
)
def test_the_end_of_a_text_begins_at_a_boundary(text: str, most: int, end: str) -> None:
    assert last_sentences(text, most) == end
