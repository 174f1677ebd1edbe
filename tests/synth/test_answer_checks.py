"""What documents and answers show to be wrong with them by themselves."""

import random
from typing import Any

import pytest
from rule_generator import echo, loop, rewritten, say_it_again, stammer

from hf_muonclip.synth.answer_checks import (
    CAUSES,
    answer_fault,
    document_fault,
    likeness,
    repeated_share,
    shingles,
    unwrapped,
)

PASSAGE = (
    "The bridge over the river was built in 1844 by the town's council. It fell in the flood of 1901, and for nine "
    "years people crossed by boat. A new one of steel, 120 metres long, was opened in May 1910 by the governor. Since "
    "then it has been painted every seventh year, last in 2018. Ships still have to wait for it in the evening."
)
BEFORE = (
    "The town lies where two valleys meet. Its market is held on Thursdays, and farmers come from both valleys to sell "
    "what they grow. There are two schools, a theatre, and since 1923 a museum of glass."
)
CHINESE = (
    "\u8fd9\u5ea7\u6865\u5efa\u4e8e\u4e00\u516b\u56db\u56db\u5e74\uff0c"
    "\u7531\u5f53\u5730\u653f\u5e9c\u51fa\u8d44\u4fee\u5efa\u3002"
)


def good() -> str:
    return rewritten(PASSAGE, random.Random(1))


def cause(text: str, finished: bool = True, passage: str = PASSAGE, written: str = BEFORE, preceding: str = "") -> str:
    fault = answer_fault(text, finished, passage, written, preceding)
    if fault is None:
        return ""
    assert fault.cause in CAUSES
    assert fault.reasons
    assert all(isinstance(reason, str) and reason for reason in fault.reasons)
    return fault.cause


def test_an_answer_without_faults() -> None:
    assert cause(good()) == ""
    assert cause(good(), written="") == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (good()[:100], "unfinished"),
        ("", "no_answer"),
        ("<passage> " + good(), "markup"),
        (good() + " </before_>", "markup"),
        (good() + " \udcff", "not_utf8"),
        (PASSAGE, "echo"),
        (echo(PASSAGE, "", random.Random(0)), "echo"),
        (PASSAGE.replace("council", "board"), "echo"),
        ("\n".join(PASSAGE.split(" ")), "echo"),
        (good() + " " + good(), "loop"),
        (loop(PASSAGE, "", random.Random(0)), "loop"),
        (stammer(PASSAGE, "", random.Random(0)), "loop"),
        (good() + "\u54c8" * 300, "loop"),
        (str(say_it_again(PASSAGE, BEFORE, random.Random(0))), "repeats_context"),
        (BEFORE, "repeats_context"),
    ],
)
def test_each_fault_of_an_answer_has_its_cause(text: str, found: str) -> None:
    assert cause(text, finished=found != "unfinished") == found


def test_what_the_passage_has_itself_is_no_fault() -> None:
    refrain = " ".join(["Row, row, row your boat, gently down the stream."] * 6)
    other = refrain.replace("Row", "Pull").replace("your", "our").replace("gently", "slowly")
    assert cause(other, passage=refrain) == ""
    assert cause(other) == "loop"
    assert cause(good(), written=good(), preceding=PASSAGE) == ""
    assert cause(good(), written=good()) == "repeats_context"
    tagged = PASSAGE + " The tag <passage> begins it."
    assert cause(rewritten(tagged, random.Random(0)), passage=tagged) == ""


def test_scripts_without_spaces() -> None:
    assert cause(CHINESE.replace("\uff0c", " "), passage=CHINESE) == "echo"
    assert cause(CHINESE * 6, passage=CHINESE) == "loop"


def test_names_said_again_are_no_repetition() -> None:
    named = "The Museum of Glass of the town of both valleys opened. "
    assert cause(good() + " " + named, written=BEFORE + " " + named) == ""


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (" a \n", "a"),
        ("<passage>\na\n</passage>\n", "a"),
        ("<passage_>a</passage_>", "a"),
        ("<passage>a</before>", "<passage>a</before>"),
        ("Here: <passage>a</passage>", "Here: <passage>a</passage>"),
        ('"a"', '"a"'),
        ("Here is the rewritten passage:\n\na", "Here is the rewritten passage:\n\na"),
    ],
)
def test_only_the_prompts_own_tags_are_taken_off(answer: str, text: str) -> None:
    assert unwrapped(answer) == text


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("A text.", ""),
        ("A text" * 100 + "\0", ""),
        ("\ufeffA text.", ""),
        (None, "not_text"),
        (b"bytes", "not_text"),
        (3.5, "not_text"),
        (["a"], "not_text"),
        ("", "empty"),
        (" \n\t\u3000", "empty"),
        ("\ufeff\n", "empty"),
        ("\0\0", "binary"),
        ("a" * 2001, "too_long"),
        ("caf\udce9", "not_utf8"),
        ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("caf\ufffd", "binary"),
        ("abc\0def", "binary"),
    ],
)
def test_each_fault_of_a_document_has_its_cause(document: Any, found: str) -> None:
    fault = document_fault(document, 2000)
    assert (fault.cause if fault else "") == found
    if fault:
        assert found in CAUSES
        assert len(fault.reasons) == 1


def test_shingles_and_likeness() -> None:
    assert shingles("One, two; THREE four!") == {("one", "two", "three"), ("two", "three", "four")}
    assert shingles("\u65e5\u672c\u8a9e", 2) == {("\u65e5", "\u672c"), ("\u672c", "\u8a9e")}
    assert shingles("A b") == {("a", "b")}
    assert shingles("...") == frozenset()
    assert likeness(shingles("a b c d"), shingles("a b c e")) == pytest.approx(1 / 3)
    assert likeness([], []) == 1.0
    assert likeness([], shingles("a")) == 0.0


def test_the_share_that_repeats() -> None:
    assert repeated_share("short") == 0.0
    assert repeated_share(PASSAGE) < 0.05
    assert repeated_share(PASSAGE + " " + PASSAGE) == pytest.approx(0.5, abs=0.05)
    assert repeated_share("ab" * 1000) > 0.99
