"""The labelled pairs: enough, of all kinds, none in both parts, and each corrupted one really changed."""

from collections import Counter

import pytest
from fidelity_pairs import SPLITS, Pair, pairs

from hf_muonclip.synth import check_fidelity

PAIRS = {split: pairs(split) for split in SPLITS}
KINDS_OF_TEXT = {"encyclopedic", "narrative", "technical", "numeric"}
CHANGES = {
    *("number changed", "number off by one", "number times ten", "number swapped", "unit changed", "date changed"),
    *("negated", "antonym", "quantifier", "name replaced", "name swapped", "roles swapped", "order turned"),
    *("truncated", "doubled", "half translated", "invented", "meta text", "refused", "markup"),
}


def test_there_are_a_thousand_of_every_kind() -> None:
    assert sum(map(len, PAIRS.values())) >= 1000
    for found in PAIRS.values():
        assert {pair.kind_of_text for pair in found} == KINDS_OF_TEXT
        assert {pair.change for pair in found if not pair.faithful} >= CHANGES
        assert sum(pair.faithful for pair in found) >= 100


def test_no_text_is_in_both_parts() -> None:
    development, held_out = ({pair.source for pair in found} for found in PAIRS.values())
    assert not development & held_out
    assert not {pair.text for pair in PAIRS["development"]} & {pair.text for pair in PAIRS["held_out"]}


@pytest.mark.parametrize("split", SPLITS)
def test_labels(split: str) -> None:
    found = PAIRS[split]
    rewritings = {text for sample in SPLITS[split] for text in (sample.source, *sample.rewritings)}
    for pair in found:
        if not pair.faithful:
            assert pair.rewritten not in rewritings, (pair.text, pair.change)
    assert Counter(found) == Counter(pairs(split))  # the same in every run
    for sample in SPLITS[split]:
        for change, old, new in sample.edits:
            assert any(old in text for text in (sample.source, *sample.rewritings)), (sample.name, change, old)
            assert old != new


def share_right(found: list[Pair]) -> float:
    return sum(check_fidelity(pair.source, pair.rewritten).faithful == pair.faithful for pair in found) / len(found)


def test_the_gate_on_texts_that_it_was_not_made_with() -> None:
    """Below the target of 0.95 and 0.90 that the development texts reach: benchmarks/fidelity.md says where."""
    found = PAIRS["held_out"]
    assert share_right([pair for pair in found if not pair.faithful]) > 0.90
    assert share_right([pair for pair in found if pair.faithful]) > 0.6
