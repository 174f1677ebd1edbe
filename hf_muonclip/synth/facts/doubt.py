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
    "number_places": (0.68, 3.48),
    "roles": (0.00, 2.55),
    "polarity": (1.27, 3.97),
    "negations": (0.35, 4.96),
    "quantifiers": (0.73, 2.64),
    "order": (0.05, 1.38),
    "complete": (0.77, 4.74),
    "grounded": (3.25, 4.03),
    "entities_novelty": (1.05, 3.68),
    "entities_recall": (1.68, 1.06),
    "copied_claims": (0.00, 0.00),
    "copied_words": (0.14, 1.35),
}
STRONGEST, COPIED, BIAS = 0.61, -0.12, -1.13
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
