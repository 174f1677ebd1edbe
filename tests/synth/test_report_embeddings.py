"""Lexical vectors are TF-IDF, projections are principal components, and a named model is sentence-transformers'."""

import math
import sys
from pathlib import Path

import numpy
import pytest
from error_messages import naming

from hf_muonclip.synth.report.embeddings import embedder_named, lexical_vectors, projected


def test_texts_that_share_words_are_near_each_other() -> None:
    texts = [
        "The marsh bird lays four eggs in April.",
        "In April four eggs are laid by the marsh bird.",
        "Compilers rebuild only modules that changed.",
        "",
    ]
    vectors = lexical_vectors(texts)
    assert vectors.dtype == numpy.float32
    assert numpy.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-6)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.4 > 2 * cosines[0, 2]
    assert numpy.array_equal(lexical_vectors(["THE marsh, bird"]), lexical_vectors(["the marsh bird"]))


def test_vectors_are_tf_idf_of_words_and_runs_of_four_characters() -> None:
    # "ab" has one word and no run of four; of three texts two have it. "abcd" has a word and the run.
    vectors = lexical_vectors(["ab", "ab ab ab", "abcd"])
    rarity = math.log(4 / 3) + 1
    alone = vectors[0][vectors[0] > 0]
    assert alone == pytest.approx([1.0])
    assert rarity > 0
    word = int(vectors[0].argmax())
    runs = {"ab a", "b ab", " ab "}
    others = vectors[1][(vectors[1] > 0) & (numpy.arange(2048) != word)]
    assert 0 < len(others) <= len(runs)
    # Word: 1 + log 3, rarity of two texts; runs "ab a" and "b ab" and " ab ": counts 2, 2, 1, rarity of one text.
    wanted = [(1 + math.log(3)) * rarity]
    wanted += [(1 + math.log(count)) * (math.log(4 / 2) + 1) for count in (2, 2, 1)]
    assert vectors[1][word] == pytest.approx(wanted[0] / math.hypot(*wanted), rel=1e-5)


@pytest.mark.parametrize("shape", [(30, 200), (200, 30)])
def test_projections_are_the_first_principal_components(shape: tuple[int, int]) -> None:
    draw = numpy.random.default_rng(0)
    data = (draw.normal(size=shape) * numpy.linspace(3, 0.1, shape[1])).astype(numpy.float32)
    places, shares = projected(data)
    centred = data.astype(numpy.float64) - data.astype(numpy.float64).mean(0)
    left, values, _ = numpy.linalg.svd(centred, full_matrices=False)
    for axis in range(2):
        wanted = left[:, axis] * values[axis]
        assert numpy.abs(places[:, axis]) == pytest.approx(numpy.abs(wanted), abs=1e-6)
        assert places[numpy.abs(places[:, axis]).argmax(), axis] > 0
        assert shares[axis] == pytest.approx(values[axis] ** 2 / (values**2).sum())


@pytest.mark.parametrize("data", [numpy.zeros((0, 4)), numpy.ones((1, 4)), numpy.ones((5, 4))])
def test_texts_in_one_place_have_no_directions(data: numpy.ndarray) -> None:
    places, shares = projected(data.astype(numpy.float32))
    assert places.shape == (len(data), 2)
    assert not places.any()
    assert shares == (0.0, 0.0)


def test_a_model_needs_sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ValueError, match=naming("some/model", "sentence-transformers", "lexical")):
        embedder_named("some/model")
    assert embedder_named("lexical") is lexical_vectors


def test_a_model_of_sentence_transformers_makes_the_vectors(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import BoW

    words = ["ship", "harbour", "moon"]
    library.SentenceTransformer(modules=[BoW(vocab=words)]).save(str(tmp_path / "model"))
    vectors = embedder_named(str(tmp_path / "model"))(["ship ship", "moon"])
    assert vectors.tolist() == [[1, 0, 0], [0, 0, 1]] or vectors.tolist() == [[2, 0, 0], [0, 0, 1]]
    with pytest.raises(ValueError, match=naming("nothing-here")):
        embedder_named(str(tmp_path / "nothing-here"))
