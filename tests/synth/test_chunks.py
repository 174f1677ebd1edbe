"""Chunks are the document, none is too large, and nothing is torn."""

import time
from collections.abc import Callable
from itertools import accumulate

import pytest
from error_messages import naming
from hard_documents import hard_document

from hf_muonclip.synth.chunks import Chunk, cut, first_heading

SENTENCE = "The river rose over the old bridge in spring. "


def texts_of(document: str, max_size: int, size: Callable[[str], int] = len) -> list[str]:
    return [chunk.text for chunk in cut(document, max_size, size)]


def words_and_spaces(text: str) -> int:
    """A size that is larger for a whole than for its parts, as a tokenizer's may be."""
    return len(text) + text.count(" ") // 7


@pytest.mark.parametrize("max_size", [1, 40, 200, 1000])
def test_random_documents_are_cut_without_loss_and_nothing_is_torn(max_size: int) -> None:
    for seed in range(250):
        document, whole = hard_document(seed)
        chunks = cut(document, max_size)
        assert "".join(chunk.text for chunk in chunks) == document
        assert all(chunk.text for chunk in chunks)
        assert all(chunk.verbatim or len(chunk.text) <= max_size for chunk in chunks), seed
        places = [0, *accumulate(len(chunk.text) for chunk in chunks)]
        for start, stop, verbatim in whole:
            assert not any(start < place < stop for place in places), (seed, document[start:stop])
            if verbatim:
                holds = max(number for number, place in enumerate(places) if place <= start)
                assert chunks[holds].verbatim, (seed, document[start:stop])


def test_what_is_larger_than_a_chunk_is_one_block() -> None:
    for seed in range(250):
        document, whole = hard_document(seed)
        places = [(start, stop) for start, stop, _ in whole]
        begin = 0
        for chunk in cut(document, 60):
            stop = begin + len(chunk.text)
            if len(chunk.text) > 60:
                held = [(a, b) for a, b in places if a < stop and b > begin]
                assert len(held) == 1, (seed, chunk.text)
            begin = stop


def test_prose_is_no_verbatim() -> None:
    document = "# Title\n\n" + SENTENCE * 3 + "\n\n```\ncode of some length\n```\n\n" + SENTENCE + "\n"
    assert cut(document, 500) == [
        Chunk("# Title\n\n", True),
        Chunk(SENTENCE * 3 + "\n\n", False),
        Chunk("```\ncode of some length\n```\n\n", True),
        Chunk(SENTENCE + "\n", False),
    ]
    assert texts_of(document, 500) == [chunk.text for chunk in cut(document, 500)]


@pytest.mark.parametrize(
    ("document", "max_size", "texts"),
    [
        ("", 10, []),
        (" \r\n\t", 1, [" \r\n\t"]),
        ("\ufeff", 1, ["\ufeff"]),
        (f"{SENTENCE}\n\n{SENTENCE}\n\n{SENTENCE}", 110, [f"{SENTENCE}\n\n{SENTENCE}\n\n", SENTENCE]),
        (f"{SENTENCE}\n{SENTENCE}{SENTENCE}\n{SENTENCE}", 100, [f"{SENTENCE}\n", SENTENCE * 2 + "\n", SENTENCE]),
        (SENTENCE * 4, 100, [SENTENCE * 2, SENTENCE * 2]),
        (f"{SENTENCE[:-2]}\n{SENTENCE}", 60, [f"{SENTENCE[:-2]}\n", SENTENCE]),
        ("one two three four", 9, ["one two ", "three ", "four"]),
        ("\u65e5\u672c\u8a9e" * 4, 6, ["\u65e5\u672c\u8a9e" * 2] * 2),
        (
            "\u65e5\u672c\uff0c\u65e5\u672c\u3002\u65e5\u672c",
            4,
            ["\u65e5\u672c\uff0c", "\u65e5\u672c\u3002", "\u65e5\u672c"],
        ),
        ("x" * 100, 10, ["x" * 100]),
        ("- " + SENTENCE * 4, 50, ["- " + SENTENCE * 4]),
        ("10\u00a0km 20\u00a0km", 7, ["10\u00a0km ", "20\u00a0km"]),
    ],
)
def test_where_documents_are_cut(document: str, max_size: int, texts: list[str]) -> None:
    assert texts_of(document, max_size) == texts


def test_chunks_of_a_section_are_about_equal() -> None:
    sizes = [len(text) for text in texts_of(SENTENCE * 23, 1000)]
    assert len(sizes) == 2
    assert max(sizes) - min(sizes) <= 2 * len(SENTENCE)


@pytest.mark.parametrize(
    ("text", "verbatim"),
    [("Short it is", True), ("* * *", True), ("It is long enough", False), ("![A picture of it](a.png)", True)],
)
def test_too_few_letters_to_rewrite(text: str, verbatim: bool) -> None:
    assert cut(text, 100) == [Chunk(text, verbatim)]


def test_a_size_that_does_not_add_up_holds_too() -> None:
    for seed in range(100):
        document, _ = hard_document(seed)
        chunks = cut(document, 80, words_and_spaces)
        assert "".join(chunk.text for chunk in chunks) == document
        assert all(chunk.verbatim or words_and_spaces(chunk.text) <= 80 for chunk in chunks)
    assert texts_of(SENTENCE * 4, 10, lambda text: len(text.split())) == [SENTENCE] * 4


@pytest.mark.parametrize("max_size", [0, -1])
def test_a_size_must_be_positive(max_size: int) -> None:
    with pytest.raises(ValueError, match=naming("max_size", max_size)):
        cut("Some text.", max_size)


@pytest.mark.parametrize("document", [SENTENCE * 20_000, "word " * 200_000, "\u65e5" * 500_000, "A.\n\n" * 100_000])
def test_sizes_are_taken_of_a_few_times_the_document(document: str) -> None:
    measured = 0

    def size(text: str) -> int:
        nonlocal measured
        measured += len(text)
        return len(text)

    assert "".join(texts_of(document, 2000, size)) == document
    assert measured <= 7 * len(document)  # once whole, once a level, once a chunk


MARKS = (
    "` ~ $ $$ $a$ \\[ \\( \\begin{a} \\end{a} \\begin{a}\\end{b} "
    "<table> </table> <b <!-- --> [ [a]( [a](b) . .. ... a = * "
    "- | |- > # \u65e5 \u3002 \u2026 http:// \\ _ 1. +"
)
LINES = ("\n", "\r", "\r\n", "a\n", "- a\n", "- a\n\n", "    a\n", "    ***\n", "| a\n", "a | b\n", "```\n", "~~~~\n")
LINES += (
    "\0",
    " ",
    "\t",
    "a ",
    ". ",
    "A. ",
    "Mr. ",
    '." ',
    "``` ",
    "` `` ",
    "$\\$",
    "\n\n",
    "# a\n",
    "> ```\n",
    "[a](b ",
)


@pytest.mark.parametrize("piece", [*MARKS.split(), *LINES])
def test_time_grows_in_proportion(piece: str) -> None:
    def seconds(length: int) -> float:
        document = (piece * (length // len(piece) + 1))[:length] + "end"
        began = time.process_time()
        assert "".join(texts_of(document, 2000)) == document
        return time.process_time() - began

    # 8 where it is linear, 64 where it is quadratic; a machine that does other things is asked again.
    assert any(seconds(80_000) < 24 * max(min(seconds(10_000), seconds(10_000)), 1e-3) for _ in range(5))


@pytest.mark.parametrize(
    ("document", "title"),
    [
        ("# The river\n\nIt rose.", "The river"),
        ("It rose.\n\n## The *river* ##\n", "The *river*"),
        ("The river\n=========\n", "The river"),
        (r"\section{The river}" + "\n", "The river"),
        ("<h1 class='a'>The river</h1>\n", "The river"),
        ("It rose.", ""),
        ("", ""),
        ("It rose. " * 1000 + "\n\n# Too late", ""),
    ],
)
def test_first_headings(document: str, title: str) -> None:
    assert first_heading(document) == title
