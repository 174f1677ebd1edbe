"""Words that only one of two texts has are marked, and what is left out says so."""

import pytest

from hf_muonclip.synth.report.differences import Piece, excerpts, side_by_side


def marked(pieces: list[Piece]) -> list[str]:
    return [piece.text for piece in pieces if piece.kind == "changed"]


def told(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_only_what_differs_is_marked() -> None:
    found = side_by_side("The 7 ships left in 1803.", "the nine ships sailed in 1803!")
    assert marked(found.source) == ["7", "left", "."]
    assert marked(found.rewritten) == ["nine", "sailed", "!"]
    assert told(found.source) == "The 7 ships left in 1803."
    assert told(found.rewritten) == "the nine ships sailed in 1803!"


def test_texts_that_are_the_same_or_empty_have_no_marks() -> None:
    for text in ("The 7 ships\nleft.", "", "  "):
        found = side_by_side(text, text)
        assert marked(found.source) == marked(found.rewritten) == []
    assert marked(side_by_side("", "a b").rewritten) == ["a b"]


def test_marks_in_common_between_other_words_are_not_common_ground() -> None:
    found = side_by_side("red, green", "one, two")
    assert marked(found.source) == ["red, green"]
    assert marked(found.rewritten) == ["one, two"]


def test_chinese_is_compared_by_characters() -> None:
    found = side_by_side("七艘船离开了港口", "九艘船离开了港口")
    assert marked(found.source) == ["七"]
    assert marked(found.rewritten) == ["九"]


def test_what_both_have_at_length_is_cut_on_both_sides() -> None:
    words = [f"w{number}" for number in range(200)]
    found = side_by_side(" ".join(["first", *words, "end"]), " ".join(["begin", *words, "stop"]))
    for side, ends in ((found.source, ["first", "end"]), (found.rewritten, ["begin", "stop"])):
        assert marked(side) == ends
        assert [piece.kind for piece in side].count("cut") == 1
        assert len(told(side).split()) < 40
    same = side_by_side(" ".join(words), " ".join(words))
    assert told(same.source).count("w") < 40


@pytest.mark.parametrize("count", [1000, 5000])
def test_texts_that_differ_all_along_end_with_an_ellipsis(count: int) -> None:
    found = side_by_side(*(" ".join(f"{letter}{n}" for n in range(count)) for letter in "ab"))
    for side in (found.source, found.rewritten):
        assert side[-1] == Piece("…", "cut")
        assert 200 < len(told(side).split()) < 300


def test_both_sides_are_cut_at_the_same_place() -> None:
    words = [f"w{number}" for number in range(500)]
    found = side_by_side(" ".join(words), " ".join(word for pair in words for word in (pair, "so")))
    last = [
        [word for word in told(side).split() if word.startswith("w")][-1] for side in (found.source, found.rewritten)
    ]
    assert last[0] == last[1]
    assert found.source[-1].kind == found.rewritten[-1].kind == "cut"


def test_a_word_without_end_is_shortened() -> None:
    found = side_by_side("x" * 100_000, "y " + "x" * 100_000)
    assert len(told(found.source)) < 100
    assert marked(found.source) == []


def test_loops_take_no_time() -> None:
    found = side_by_side("a b c d e " * 100, "a b " * 4000)
    assert found.rewritten[-1].kind == "cut"


def test_an_excerpt_of_long_texts_begins_before_their_first_difference() -> None:
    same = "word " * 20_000
    source, rewritten = excerpts(same + "seven ships left", same + "nine ships left")
    assert len(source) < 10_000
    assert source.endswith("seven ships left")
    assert rewritten.endswith("nine ships left")
    assert source[0] == rewritten[0] == "…"
    assert excerpts("one", "two") == ("one", "two")
    ours, theirs = excerpts("a" * 50_000, "b" * 50_000)
    assert len(ours) == len(theirs) < 10_000
