# ruff: noqa: E501
"""Rewritings that keep the facts pass, edited ones do not, each for the reason that applies, and fast."""

import random
import statistics
import time
from collections import defaultdict
from dataclasses import replace

import pytest
from error_messages import naming
from fidelity_pairs import written_passages
from fidelity_passage import Passage

from hf_muonclip.synth.facts.reading import read_facts
from hf_muonclip.synth.fidelity import DEFAULT, Fidelity, Thresholds, check_fidelity

FIRST = (  # with which the gate's rules were begun
    *("bridge", "war", "bird", "chemist", "river", "harbour", "market", "wolf", "pump", "protocol", "compiler"),
    *("budget", "trial", "match", "census"),
)
PASSAGES = [passage for passage in written_passages("development") if passage.name in FIRST]
FRENCH = "Le reste du texte se trouve dans une autre langue, qui est celle des habitants de la ville et du port."


def sentences(text: str) -> list[str]:
    read = read_facts(text).text
    return [read.quote(sentence[0], sentence[-1]) for sentence in read.sentences]


def corruptions(passage: Passage) -> list[tuple[str, str, str]]:
    """Return (kind, source, corrupted): every edit wherever it applies, and what happens to whole texts."""
    found = []
    for text in passage.texts:
        for kind, old, new in passage.corruptions:
            if old in text:
                found.append((kind, passage.source, text.replace(old, new, 1)))
        said = sentences(text)
        half = len(said) // 2
        found += [
            ("truncated", passage.source, " ".join(said[:-2])),
            ("truncated", passage.source, " ".join(said[:half])),
            ("truncated", passage.source, text[: int(len(text) * 0.8)].rsplit(" ", 1)[0]),
            ("doubled", passage.source, f"{text} {text}"),
            ("doubled", passage.source, " ".join([*said, said[2]])),
            ("half-translated", passage.source, " ".join([*said[:-2], FRENCH])),
            ("meta", passage.source, f"Here is the rewritten passage:\n\n{text}"),
            ("meta", passage.source, f"Sure! {text}"),
            ("markup", passage.source, f"<p>{text}</p>"),
            ("refusal", passage.source, "I'm sorry, but I cannot rewrite this text."),
        ]
    return found


def test_nine_of_ten_rewritings_that_keep_the_facts_pass() -> None:
    lost = []
    for passage in PASSAGES:
        for rewritten in passage.paraphrases:
            found = check_fidelity(passage.source, rewritten)
            assert all(0 <= score <= 1 for score in found.scores.values())
            lost += [] if found.faithful else [(passage.name, found.reasons)]
    assert len(lost) <= 0.1 * sum(len(passage.paraphrases) for passage in PASSAGES), lost


def test_most_corruptions_are_caught_and_almost_all_of_numbers_and_form() -> None:
    caught: dict[str, list[bool]] = defaultdict(list)
    for passage in PASSAGES:
        for kind, source, corrupted in corruptions(passage):
            found = check_fidelity(source, corrupted)
            assert found.faithful == (not found.reasons)
            caught[kind].append(not found.faithful)
    everything = [one for kind in caught.values() for one in kind]
    assert len(everything) > 700
    assert sum(everything) >= 0.9 * len(everything)
    hard = ("number changed", "number off by one", "number times ten", "date changed", "doubled", "half-translated")
    for kind in (*hard, "meta", "markup", "refusal"):
        assert sum(caught[kind]) >= 0.9 * len(caught[kind]), kind


@pytest.mark.parametrize(
    ("old", "new", "score"),
    [
        ("312 metres", "313 metres", "numbers"),
        ("312 metres", "312 feet", "units"),
        ("3 May 1926", "3 June 1926", "dates"),
        ("312 metres, and the deck stands 47 metres", "47 metres, and the deck stands 312 metres", "number_places"),
        ("Margaret Dunne", "Robert Maillart", "entities_novelty"),
        ("The city of Corby now owns the bridge, while Selwick", "The city of Selwick now owns the bridge, while Corby", "roles"),
        ("increased sharply", "decreased sharply", "polarity"),
        ("most of them in falls", "none of them in falls", "quantifiers"),
        ("after the Second World War", "before the Second World War", "order"),
        ("The city of Corby", "Here is the rewritten text: The city of Corby", "meta_text"),
    ],
)  # fmt: skip
def test_each_score_falls_for_its_own_reason(old: str, new: str, score: str) -> None:
    source = PASSAGES[0].source
    assert old in source
    rewritten = source.replace(old, new)
    if score == "meta_text":
        rewritten = "Here is the rewritten text: " + source
    found = check_fidelity(source, rewritten)
    assert not found.faithful
    assert found.scores[score] < 1
    assert found.reasons


def test_the_reason_names_the_values() -> None:
    found = check_fidelity("The mast is 47 m high and old.", "The mast is 48 m high and old.")
    assert found.reasons == [
        'The number "47 m" of the source is missing.',
        'The number "48 m" is not in the source.',
    ]
    assert found.scores["numbers"] == 0


def test_a_threshold_decides() -> None:
    source, rewritten = "The mast is 47 m high. It is old.", "The mast is 48 m high. It is old."
    assert not check_fidelity(source, rewritten).faithful
    assert check_fidelity(source, rewritten, thresholds=replace(DEFAULT, numbers=0.0)).faithful
    for name in ("numbers", "similarity"):
        for value in (-0.1, 1.1, float("nan")):
            with pytest.raises(ValueError, match=naming(name, value)):
                Thresholds(**{name: value})


def test_similarity_is_a_floor() -> None:
    source, rewritten = PASSAGES[0].source, PASSAGES[0].paraphrases[0]
    low = check_fidelity(source, rewritten, similarity=lambda a, b: 0.1)
    assert (low.faithful, low.scores["similarity"]) == (False, pytest.approx(0.1))
    assert "0.100" in low.reasons[0]
    assert check_fidelity(source, rewritten, similarity=lambda a, b: -0.5).scores["similarity"] == 0
    high = check_fidelity("He has 47 cars.", "He has 48 cars.", similarity=lambda a, b: 1.0)
    assert not high.faithful
    assert check_fidelity(source, rewritten, similarity=lambda a, b: 1.0).faithful
    with pytest.raises(ValueError, match=naming("2.0")):
        check_fidelity(source, rewritten, similarity=lambda a, b: 2.0)


def test_the_judge_is_asked_only_where_all_else_is_well() -> None:
    source, rewritten = PASSAGES[0].source, PASSAGES[0].paraphrases[0]
    asked: list[tuple[str, str]] = []

    def judge(one: str, other: str) -> bool:
        asked.append((one, other))
        return False

    found = check_fidelity(source, rewritten, judge=judge)
    assert (found.faithful, found.scores["judge"], len(found.reasons)) == (False, 0.0, 1)
    assert asked == [(source, rewritten)]
    assert not check_fidelity(source, rewritten.replace("47", "48"), judge=judge).faithful
    assert len(asked) == 1
    assert check_fidelity(source, rewritten, judge=lambda a, b: True).scores["judge"] == 1.0
    unsure = check_fidelity(source, rewritten, judge=lambda a, b: None)
    assert unsure.faithful
    assert "judge" not in unsure.scores


def test_a_judge_that_fails_gives_no_verdict() -> None:
    def judge(one: str, other: str) -> bool:
        raise ConnectionError("the endpoint is gone")

    with pytest.raises(ConnectionError, match="gone"):
        check_fidelity(PASSAGES[0].source, PASSAGES[0].paraphrases[0], judge=judge)


@pytest.mark.parametrize(("source", "rewritten", "faithful"), [("", "", True), ("  ", "\n", True), ("A text.", " ", False), ("", "A text.", False)])  # fmt: skip
def test_empty_texts_have_a_verdict(source: str, rewritten: str, faithful: bool) -> None:
    found = check_fidelity(source, rewritten)
    assert found.faithful == faithful
    assert len(found.reasons) == (not faithful)


def test_odd_texts_have_a_verdict() -> None:
    generator = random.Random(0)
    alphabet = "ab 1.,;-–'\"()[]{}<>|*#_~^°%$€½²\n\t\x00\u200bäßЖ漢🙂\ud800"
    for length in (1, 2, 3, 10, 100, 1000):
        for _ in range(40):
            one = "".join(generator.choices(alphabet, k=length))
            other = "".join(generator.choices(alphabet, k=length))
            assert isinstance(check_fidelity(one, other), Fidelity)
            same = check_fidelity(one, one)
            assert all(0 <= score <= 1 for score in same.scores.values())
    for piece in ("a ", "1 ", "A ", "one ", "1,", "- ", "not ", "before ", "May ", "<", "(", "*", "I'm sorry "):
        started = time.perf_counter()
        check_fidelity(piece * 3000, piece * 2900)
        assert time.perf_counter() - started < 10


def test_a_text_is_faithful_to_itself() -> None:
    for passage in PASSAGES:
        for text in passage.texts:
            found = check_fidelity(text, text)
            assert found.faithful, found.reasons
            assert min(found.scores.values()) == 1.0


def test_a_pair_takes_milliseconds() -> None:
    seconds = []
    for passage in PASSAGES:
        for rewritten in passage.paraphrases:
            read_facts.cache_clear()
            started = time.process_time()
            check_fidelity(passage.source, rewritten)
            seconds.append(time.process_time() - started)
    assert statistics.median(seconds) < 0.02  # the aim is 0.005 on an idle machine
