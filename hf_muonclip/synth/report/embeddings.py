"""Where texts lie: vectors of them, and their projection onto the two directions in which they differ most.

Lexical vectors need no model and no download: words and runs of four characters, hashed, weighed by how rare they are.
Texts are near each other there that share words, not those that say the same.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..answer_checks import units

LEXICAL = "lexical"
_DIMENSIONS = 2048
_CHARACTERS = 4  # of a run
_MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)

Vectors = numpy.ndarray[Any, numpy.dtype[numpy.float32]]
Embedder = Callable[[Sequence[str]], Vectors]


def embedder_named(name: str) -> Embedder:
    """Return what makes vectors of texts.

    Args:
        name: "lexical", or a folder or name on the Hub of a model of sentence-transformers.

    Raises:
        ValueError: sentence-transformers is not installed, or the model cannot be loaded.
    """
    if name == LEXICAL:
        return lexical_vectors
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "sentence_transformers":
            raise
        raise ValueError(
            f"embeddings of {name!r} need sentence-transformers, which is not installed. pip install "
            f"sentence-transformers, or leave the name out for {LEXICAL} ones."
        ) from error
    try:
        model = SentenceTransformer(name)
    except (OSError, ValueError) as error:
        raise ValueError(f"the embedding model {name!r} cannot be loaded: {error}") from error
    return lambda texts: numpy.asarray(model.encode(list(texts), show_progress_bar=False), dtype=numpy.float32)


def lexical_vectors(texts: Sequence[str]) -> Vectors:
    """Return TF-IDF vectors of length 1 of words and runs of four characters; (texts, 2048).

    Each is hashed to a place; (1 + log count) is weighed by log((1 + texts) / (1 + texts that have it)) + 1. A text
    without a word is zero.
    """
    vectors = numpy.zeros((len(texts), _DIMENSIONS), numpy.float32)
    for place, text in enumerate(texts):
        vectors[place] = numpy.bincount(_places(text), minlength=_DIMENSIONS)
    inside = (vectors > 0).sum(0)
    vectors = numpy.where(vectors > 0, 1 + numpy.log(numpy.maximum(vectors, 1)), 0)
    vectors *= numpy.log((1 + len(texts)) / (1 + inside)) + 1
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return numpy.asarray(vectors / numpy.where(lengths > 0, lengths, 1), dtype=numpy.float32)


def _places(text: str) -> Any:
    words = units(text)
    of_words = numpy.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words], dtype=numpy.uint64)
    codes = numpy.frombuffer(" ".join(words).encode("utf-32-le", "surrogatepass"), numpy.uint32).astype(numpy.uint64)
    runs = codes[: max(len(codes) - _CHARACTERS + 1, 0)].copy()
    for step in range(1, _CHARACTERS):
        runs = runs * numpy.uint64(0x110000) + codes[step : step + len(runs)]
    hashed = numpy.concatenate([of_words * _MULTIPLIER, runs * _MULTIPLIER])
    return (hashed >> numpy.uint64(53)).astype(numpy.int64)  # the upper 11 bits, 2048 places


def projected(vectors: Vectors) -> tuple[Any, tuple[float, float]]:
    """Return vectors on their first two principal components, and what share of the variance each has.

    Signs are such that the text farthest out along a component has a positive place.

    Args:
        vectors: (texts, dimensions).

    Returns:
        (texts, 2), float64, around 0; and two shares in [0, 1], 0 where all texts lie in one place.
    """
    centred = numpy.asarray(vectors, dtype=numpy.float64)
    centred = centred - centred.mean(0, keepdims=True) if len(centred) else centred
    places, shares = numpy.zeros((len(centred), 2)), [0.0, 0.0]
    total = float((centred**2).sum())
    if total < 1e-12:
        return places, (0.0, 0.0)
    wide = centred.shape[0] < centred.shape[1]  # the smaller of the two products has the same first components
    values, directions = numpy.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    for axis in range(min(2, len(values))):
        value = max(float(values[-1 - axis]), 0.0)
        along = directions[:, -1 - axis] * value**0.5 if wide else centred @ directions[:, -1 - axis]
        places[:, axis] = along if along[numpy.abs(along).argmax()] >= 0 else -along
        shares[axis] = value / total
    return places, (shares[0], shares[1])
