"""Sentences end where readers end them, and forms of a word have one stem."""

import pytest

from hf_muonclip.synth.facts.text import read
from hf_muonclip.synth.facts.words import lemma, stem


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        ("He left. She stayed.", 2),
        ("Dr. Smith left. Mr. Jones stayed.", 2),
        ("He lives in the U.S. The house is old.", 2),
        ("He lives in the U.S. and works.", 1),
        ("J. R. Smith left.", 1),
        ("It costs 3.5 million. It is old.", 2),
        ("Use version 3.11.7. It is old.", 2),
        ('He said "Go away." Then he left.', 2),
        ("He left!  She stayed?\nThey ate.", 3),
        ("A line that is\nwrapped here. Another.", 2),
        ("A heading\n\nA paragraph.", 2),
        ("Items:\n- one thing\n- another thing", 3),
        ("No. 5 was built by St. John e.g. in 1905.", 1),
        ("", 0),
        ("   ", 0),
    ],
)
def test_sentences_are_counted_as_readers_count_them(raw: str, count: int) -> None:
    text = read(raw)
    assert len(text.sentences) == count
    assert sum(map(len, text.sentences)) == len(text.tokens)


@pytest.mark.parametrize(
    "words",
    [
        "walk walks walked walking",
        "build built building",
        "construct constructed construction constructs",
        "city cities",
        "stop stopped stopping",
        "create created creation creating",
        "colour color",
        "organise organize organised",
        "die died death dying",
        "develop development developed",
        "dense density",
        "quick quickly",
        "church churches",
        "write wrote written",
    ],
)
def test_forms_of_a_word_have_one_stem(words: str) -> None:
    assert len({stem(word) for word in words.split()}) == 1


@pytest.mark.parametrize(
    "pair", ["bus busy", "new news", "king ring", "rise fall", "north south", "sing song", "bed red"]
)
def test_other_words_have_other_stems(pair: str) -> None:
    one, other = pair.split()
    assert stem(one) != stem(other)


@pytest.mark.parametrize("pair", ["big large", "begin started", "purchased bought", "residents inhabitants"])
def test_synonyms_have_one_lemma(pair: str) -> None:
    one, other = pair.split()
    assert lemma(one) == lemma(other) != ""
