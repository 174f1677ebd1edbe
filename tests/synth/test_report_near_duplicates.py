"""Near-duplicates are those that comparing all runs of words finds, however the texts are spread over a run."""

import random

import numpy
import pytest

from hf_muonclip.synth.answer_checks import likeness, shingles
from hf_muonclip.synth.report.near_duplicates import DuplicateSample, Repeats, run_hashes, word_hashes


def text_of(draw: random.Random, words: int = 200) -> str:
    return " ".join(f"w{draw.randrange(5000)}" for _ in range(words))


def edited(text: str, draw: random.Random, changes: int) -> str:
    words = text.split()
    for place in draw.sample(range(len(words)), changes):
        words[place] = f"new{draw.randrange(10**9)}"
    return " ".join(words)


def found_in(texts: list[str], size: int = 1000) -> Repeats:
    sample = DuplicateSample(size)
    for number, text in enumerate(texts):
        sample.add(str(number), text, run_hashes(word_hashes(text)))
    return sample.repeats()


def test_runs_are_the_shingles() -> None:
    texts = ["", "one", "one two", "One two, three!", "a b c a b c a", "七艘船离开了港口", "naïve Straße x y"]
    draw = random.Random(0)
    for text in [*texts, text_of(draw), text_of(draw, 3000)]:
        runs = run_hashes(word_hashes(text))
        assert len(runs) == len(shingles(text))
        assert len(numpy.unique(runs)) == len(runs)
    one, other = (run_hashes(word_hashes(text)) for text in ("a b c d", "x b c d"))
    assert len(numpy.intersect1d(one, other)) == 1
    assert not len(numpy.intersect1d(run_hashes(word_hashes("a b c")), run_hashes(word_hashes("c b a"))))


def test_pairs_are_those_that_are_alike_and_no_others() -> None:
    draw = random.Random(1)
    texts = [text_of(draw) for _ in range(60)]
    alike = [edited(text, draw, 2) for text in texts[:20]]  # six runs of 198 changed on either side
    unlike = [edited(text, draw, 40) for text in texts[20:40]]
    everything = [*texts, *alike, *unlike]
    truth = sum(
        any(likeness(shingles(text), shingles(later)) >= 0.8 for later in everything[number + 1 :])
        for number, text in enumerate(everything)
    )
    found = found_in(everything)
    assert (found.texts, found.sampled, found.repeated) == (100, 100, truth) == (100, 100, 20)
    for pair in found.pairs:
        first, second = (everything[int(name)] for name in pair.names)
        assert pair.texts == (first[:1500], second[:1500])
        assert pair.likeness == pytest.approx(likeness(shingles(first), shingles(second)), abs=0.12)


def test_a_sample_tells_the_share_of_all() -> None:
    draw = random.Random(2)
    once = [text_of(draw, 30) for _ in range(1500)]
    cluster = [text_of(draw, 30)] * 400
    pairs = [text_of(draw, 30) for _ in range(300)]
    everything = [*once, *cluster, *pairs, *pairs]
    draw.shuffle(everything)
    found = found_in(everything, size=500)
    assert (found.texts, found.sampled) == (2500, 500)
    truth = (399 + 300) / 2500
    assert found.repeated / found.sampled == pytest.approx(truth, abs=3 * (truth * (1 - truth) / 500) ** 0.5)


def test_texts_without_words_are_not_compared() -> None:
    assert found_in(["", "  ", "...", "!?"]) == Repeats(0, 0, 0, [])
    found = found_in(["one", "One.", "two"])
    assert (found.texts, found.repeated, found.pairs[0].names, found.pairs[0].likeness) == (3, 1, ("0", "1"), 1.0)
