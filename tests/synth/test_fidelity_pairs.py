"""The labelled pairs: enough, of all kinds in both splits, no text in both, and labels that hold by themselves."""

from collections import Counter
from random import Random

import pytest
from corrupting_changes import (
    CHANGES_OF_FACTS,
    CHANGES_OF_WHOLE_TEXTS,
    names_swapped,
    negated,
    number_swapped,
    off_by_one,
    quantifier_changed,
    times_ten,
)
from faithful_changes import FAITHFUL, contracted, digits_for_words, other_dates, other_units, sentences
from fidelity_pairs import SPLITS, Pair, pairs, written_passages
from fidelity_passage import KINDS_OF_TEXT, Passage
from installed_passages import installed_passages

from hf_muonclip.synth import check_fidelity

PAIRS = {split: pairs(split) for split in SPLITS}
WRITTEN = {split: [pair for pair in found if pair.origin != "installed"] for split, found in PAIRS.items()}
PASSAGES = [passage for split in SPLITS for passage in written_passages(split)]
CORRUPTED = {rule.change for rule in (*CHANGES_OF_FACTS, *CHANGES_OF_WHOLE_TEXTS)} | {"date changed", "roles swapped"}
KEPT = {change for change, _ in FAITHFUL} | {"paraphrased", "unchanged"}


def test_there_are_a_thousand_pairs_without_installed_texts() -> None:
    assert sum(map(len, WRITTEN.values())) >= 1000


@pytest.mark.parametrize("split", SPLITS)
def test_every_kind_is_in_each_split(split: str) -> None:
    found = WRITTEN[split]
    by_text = Counter((pair.kind_of_text, pair.faithful) for pair in found)
    assert {kind for kind, _ in by_text} == set(KINDS_OF_TEXT)
    assert all(by_text[kind, True] >= 40 and by_text[kind, False] >= 100 for kind in KINDS_OF_TEXT)
    assert {pair.change for pair in found if not pair.faithful} >= CORRUPTED
    assert {pair.change for pair in found if pair.faithful} >= KEPT


def test_no_text_is_in_both_splits() -> None:
    development, held_out = (
        {text for pair in found for text in (pair.source, pair.rewritten) if pair.change != "refused"}
        for found in PAIRS.values()
    )
    assert not development & held_out
    assert not {pair.passage for pair in PAIRS["development"]} & {pair.passage for pair in PAIRS["held_out"]}


def test_nothing_corrupted_is_also_faithful() -> None:
    found = [pair for split in SPLITS for pair in PAIRS[split]]
    said = {(pair.source, pair.rewritten): pair.faithful for pair in found}
    same = {passage.name: set(passage.texts) for passage in PASSAGES}
    for pair in found:
        assert said[pair.source, pair.rewritten] == pair.faithful, pair
        assert pair.rewritten.strip()
        if not pair.faithful:
            assert " ".join(pair.rewritten.split()) not in {pair.source, pair.before}
            assert pair.rewritten not in same.get(pair.passage, set()), pair


def test_pairs_are_the_same_every_time() -> None:
    for split in SPLITS:
        again: list[Pair] = pairs(split)
        assert PAIRS[split] == again
        assert len(set(again)) == len(again)


def test_passages_say_what_rules_need() -> None:
    assert len({passage.name for passage in PASSAGES}) == len(PASSAGES)
    for passage in PASSAGES:
        assert passage.paraphrases
        assert passage.corruptions or passage.rivals or passage.strangers
        assert all(50 <= len(text.split()) <= 200 for text in passage.texts), passage.name
        assert len(sentences(passage.source)) >= 3
        assert passage.translated is None or passage.translated[0] < len(sentences(passage.source))
        for change, old, new in (*passage.corruptions, *passage.rewordings):
            assert any(old in text for text in passage.texts), (passage.name, change, old)
            assert old != new
        for name in [name for pair in passage.rivals for name in pair] + [name for name, _ in passage.strangers]:
            assert name.lower() in passage.source.lower(), (passage.name, name)
        for _, stranger in passage.strangers:
            assert stranger not in passage.source, (passage.name, stranger)


def test_installed_passages_are_read_from_python_at_least() -> None:
    for split in SPLITS:
        found = installed_passages(split)
        assert sum(passage.name.startswith("topic ") for passage in found) == 6
        assert all(50 <= len(passage.source.split()) <= 170 for passage in found)


def test_faithful_rules_say() -> None:
    passage = PASSAGES[0]
    assert digits_for_words("Thirty-six men and one dog", passage) == "36 men and one dog"
    assert other_dates("On 3 May 1926 and 4 June", passage) == "On May 3, 1926 and June 4"
    assert other_dates("On May 3, 1926", passage) == "On 3 May 1926"
    assert other_units("5 km in 3 percent", passage) == "5 km in 3%"
    assert other_units("5 km for €3.50.", passage) == "5 kilometres for 3.50 euros."
    assert contracted("It did not, it cannot", passage) == "It didn't, it can't"
    assert contracted("Nothing", passage) is None


class Last(Random):
    """Chooses the last."""

    def choice(self, seq: list) -> object:  # type: ignore[override]
        return seq[-1]


def test_corrupting_rules_say() -> None:
    passage = Passage("race", "encyclopedic", "", rivals=(("Amundsen", "Scott"),))
    draw = Last()
    assert number_swapped("From 3 to 5 it fell.", passage, draw) is None
    assert number_swapped("In 1920 it had 17 seats.", passage, draw) == "In 17 it had 1920 seats."
    assert off_by_one("It has 2,000 seats.", passage, draw) == "It has 1,999 seats."
    assert off_by_one("It has 2.50 m.", passage, draw) == "It has 2.49 m."
    assert off_by_one("It has three seats.", passage, draw) == "It has four seats."
    assert times_ten("On 5 May 1920 it had 3,500 seats.", passage, draw) == "On 5 May 1920 it had 35,000 seats."
    assert times_ten("On 5 May 1920", passage, draw) is None
    assert names_swapped("Amundsen beat Scott.", passage, draw) == "Scott beat Amundsen."
    assert names_swapped("Amundsen won.", passage, draw) is None
    assert negated("It never fell before it was closed.", passage, draw) is None
    assert negated("It fell. It was closed.", passage, draw) == "It fell. It was not closed."
    assert quantifier_changed("Some 300 men saw all ships.", passage, draw) == "Some 300 men saw some ships."


def share_right(found: list[Pair]) -> float:
    return sum(check_fidelity(pair.source, pair.rewritten).faithful == pair.faithful for pair in found) / len(found)


def test_the_gate_on_every_tenth_pair_that_it_was_not_made_with() -> None:
    """Below the target of 0.95 and 0.90: benchmarks/fidelity.md says where."""
    found = WRITTEN["held_out"][::10]
    assert share_right([pair for pair in found if not pair.faithful]) > 0.8
    assert share_right([pair for pair in found if pair.faithful]) > 0.75
