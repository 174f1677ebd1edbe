"""Which sentences claim that an instruction was followed."""

from typing import Any

import pytest

from hf_muonclip.rl.domains.false_claims import claimed, claims_everything

PARAGRAPHS = ("length_constraints:number_paragraphs", {"num_paragraphs": 3})
NO_COMMA = ("punctuation:no_comma", {})
LOWERCASE = ("change_case:english_lowercase", {})
BULLETS = ("detectable_format:number_bullet_lists", {"num_bullets": 2})
JSON = ("detectable_format:json_format", {})
PALINDROMES = ("words:palindrome", {})
FORBIDDEN = ("keywords:forbidden_words", {"forbidden_words": ["rain"]})


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("I have used exactly 3 paragraphs.", PARAGRAPHS),
        ("I've written three paragraphs for you.", PARAGRAPHS),
        ("Well, as requested, here are the paragraphs.", PARAGRAPHS),
        ("This response contains exactly three paragraphs!", PARAGRAPHS),
        ("There are exactly 3 paragraphs above.", PARAGRAPHS),
        ("I carefully followed all of your instructions.", PARAGRAPHS),
        ("My answer meets all the given requirements.", PARAGRAPHS),
        ("I have avoided commas.", NO_COMMA),
        ("This text contains no commas.", NO_COMMA),
        ("I did not use any commas.", NO_COMMA),
        ("I have written everything in lowercase.", LOWERCASE),
        ("my response is entirely in lower case.", LOWERCASE),
        ("I used 2 bullet points.", BULLETS),
        ("The whole answer is valid JSON.", JSON),
        ("I included ten palindromes.", PALINDROMES),
        ("I have not used the forbidden words.", FORBIDDEN),
        ("**I have used exactly 3 paragraphs.**", PARAGRAPHS),
        ("Rain.\n\nAs instructed, I kept to three paragraphs\n", PARAGRAPHS),
    ],
)
def test_claims(text: str, instruction: tuple[str, dict[str, Any]]) -> None:
    assert claimed(text, [instruction[0]], [instruction[1]]) == [True]


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("", PARAGRAPHS),
        ("Paragraphs are useful.", PARAGRAPHS),
        ("I have used 4 paragraphs.", PARAGRAPHS),  # true or not, it claims something else
        ("I have not used exactly 3 paragraphs.", PARAGRAPHS),
        ("I could not write 3 paragraphs.", PARAGRAPHS),
        ("I will use exactly 3 paragraphs.", PARAGRAPHS),
        ("Should this response have 3 paragraphs?", PARAGRAPHS),
        ("Sorry, I used only three paragraphs.", PARAGRAPHS),
        ("I have used two bullet points.", PARAGRAPHS),
        ("I have used commas.", NO_COMMA),
        ("There are many commas in English.", NO_COMMA),
        ("I did not follow all instructions.", PARAGRAPHS),
        ("I have never been so happy in all my life.", NO_COMMA),
        ("We put the letter in the box.", PARAGRAPHS),
        ("I have used " + "very " * 100 + "many paragraphs.", PARAGRAPHS),  # beyond LONGEST_CLAIM
    ],
)
def test_no_claims(text: str, instruction: tuple[str, dict[str, Any]]) -> None:
    assert claimed(text, [instruction[0]], [instruction[1]]) == [False]


def test_each_instruction_is_told_apart() -> None:
    ids, kwargs = zip(PARAGRAPHS, NO_COMMA, BULLETS, strict=True)
    assert claimed("I have used 3 paragraphs. I used no commas.", ids, kwargs) == [True, True, False]


@pytest.mark.parametrize(
    ("text", "everything"),
    [
        ("I have followed all the instructions.", True),
        ("As requested, this essay satisfies every constraint.", True),
        ("I have not followed all the instructions.", False),
        ("Please follow all the instructions.", False),
        ("I have used three paragraphs.", False),
    ],
)
def test_a_claim_of_everything(text: str, everything: bool) -> None:
    assert claims_everything(text) is everything
