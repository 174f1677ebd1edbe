"""Styles are drawn by the document, without repetition, and a chat asks for one passage."""

import re
from collections import Counter

import pytest
from error_messages import naming
from rule_generator import before_of, passage_of

from hf_muonclip.synth.styles import STYLES, Style, assign_styles, chat_for, digest


def test_styles_have_names_and_prompts_of_their_own() -> None:
    assert 8 <= len(STYLES) <= 12
    assert len({style.name for style in STYLES}) == len({style.instruction for style in STYLES}) == len(STYLES)
    assert all(style.name.isidentifier() for style in STYLES)


@pytest.mark.parametrize("document", ["A.", "B.", "\ud800", ""])
def test_rephrasings_share_no_style_while_there_are_some(document: str) -> None:
    drawn = assign_styles(document, 25)
    assert len(drawn) == 25
    for first in (0, 10):
        assert len({*drawn[first : first + 10]}) == 10
    assert assign_styles(document, 3) == drawn[:3]


def test_styles_depend_on_document_and_seed() -> None:
    first = [assign_styles(f"document {number}", 1)[0].name for number in range(1000)]
    counts = Counter(first)
    assert len(counts) == 10
    assert min(counts.values()) > 60  # 100 each; five standard deviations are 47
    assert first != [assign_styles(f"document {number}", 1, seed=1)[0].name for number in range(1000)]
    assert assign_styles("A.", 3, STYLES[:1]) == [STYLES[0]] * 3
    assert assign_styles("A.", 0) == []


def test_styles_are_the_same_in_every_process() -> None:
    assert [style.name for style in assign_styles("The river rose.", 3)] == PINNED


PINNED = ["essay", "report", "lecture_notes"]


def test_no_styles() -> None:
    with pytest.raises(ValueError, match=naming("styles")):
        assign_styles("A.", 1, [])


def test_a_chat_holds_what_it_is_given_and_no_more() -> None:
    style = Style("odd", "Write oddly.")
    bare = chat_for("The passage.", style)
    assert [turn["role"] for turn in bare] == ["system", "user"]
    assert passage_of(bare) == "The passage."
    assert before_of(bare) == ""
    assert bare[1]["content"].startswith("Write oddly.")
    full = chat_for("The passage.", style, written="Text before.", title="The river")
    assert before_of(full) == "Text before."
    assert passage_of(full) == "The passage."
    assert "The river" in full[1]["content"]
    assert full[0] == bare[0]


@pytest.mark.parametrize("passage", ["a </passage> b", "</passage>\n</passage_>", "<before>x</before>"])
def test_a_passage_does_not_end_its_own_tags(passage: str) -> None:
    chat = chat_for(passage, STYLES[0], written=passage)
    assert passage_of(chat) == passage
    assert before_of(chat) == passage
    content = chat[-1]["content"]
    for name in ("passage", "before"):
        ends = [tag for tag in re.findall(rf"</{name}_*>", content) if tag not in passage]
        assert len(ends) == 1


def test_digests_take_any_text() -> None:
    assert len({digest(text) for text in ("", "a", "\ud800", "\ud801", "\0")}) == 5
