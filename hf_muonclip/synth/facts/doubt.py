"""How sure the evidence makes it that a rewriting says something else: all of it weighed together.

A free rewriting shows faint evidence of many kinds, and the same in a text that is copied but for one sentence is
plain. So no kind decides by itself: a logistic regression weighs them, each kind more the more of the text was copied.
Its weights are fitted on the development pairs by `benchmarks/fidelity_weights.py`, which also validates them on
texts left out; with numbers, dates and form it has nothing to do.
"""

import math
from collections.abc import Mapping

KINDS = {  # of scores: the kinds of evidence that they count, at the strongest
    "number_places": ("number_places", "ranges"),
    "roles": ("roles", "deeds"),
    "polarity": ("opposite", "exchanged"),
    "negations": ("negation", "denied", "lone_negation"),
    "quantifiers": ("quantifiers",),
    "order": ("order", "order_claim", "order_word"),
    "complete": ("dropped",),
    "grounded": ("invented",),
    "entities_novelty": ("novel",),
    "entities_recall": ("missing",),
    "copied_claims": ("copied_turned", "copied_quantifier"),
    "copied_words": ("copied_swapped",),
}
# Of each score: its weight, and what is added in a rewriting that copies all of its source's words.
WEIGHTS: dict[str, tuple[float, float]] = {
    "number_places": (0.90, 3.14),
    "roles": (0.00, 2.32),
    "polarity": (1.44, 3.84),
    "negations": (0.33, 4.66),
    "quantifiers": (0.82, 2.40),
    "order": (0.14, 1.21),
    "complete": (0.20, 4.37),
    "grounded": (3.22, 3.41),
    "entities_novelty": (1.46, 3.07),
    "entities_recall": (2.11, 0.79),
    "copied_claims": (0.00, 0.00),
    "copied_words": (0.02, 1.88),
}
STRONGEST, COPIED, BIAS = 0.50, 0.26, -1.18
_NOISE = 0.4  # strength that any free rewriting shows


def weighed(strength: float) -> float:
    """Return how much evidence of a strength counts, in [0, 1]: nothing where any free rewriting shows as much."""
    return max(0.0, strength - _NOISE) / (1 - _NOISE)


def doubt(strengths: Mapping[str, float], copied: float) -> float:
    """Return how probable it is that a rewriting says something else, in [0, 1); 0 without any evidence.

    Args:
        strengths: of the strongest evidence by score, in [0, 1]; those that are 0 may be left out.
        copied: share of the rewriting that is copied, in [0, 1].
    """
    if not any(strengths.values()):
        return 0.0
    counted = {name: weighed(strength) for name, strength in strengths.items()}
    total = BIAS + COPIED * copied + STRONGEST * max(counted.values())
    for name, value in counted.items():
        free, more = WEIGHTS[name]
        total += value * (free + more * copied)
    return 1 / (1 + math.exp(-total))
