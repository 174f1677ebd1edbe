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
    "copied_words": ("copied_word", "copied_swapped"),
}
# Of each score: its weight, and what is added in a rewriting that copies all of its source's words.
WEIGHTS: dict[str, tuple[float, float]] = dict.fromkeys(KINDS, (1.0, 1.0))
STRONGEST, COPIED, BIAS = 0.0, 0.0, 0.0


def doubt(strengths: Mapping[str, float], copied: float) -> float:
    """Return how probable it is that a rewriting says something else, in [0, 1); 0 without any evidence.

    Args:
        strengths: of the strongest evidence by score, in [0, 1]; those that are 0 may be left out.
        copied: share of the rewriting that is copied, in [0, 1].
    """
    if not any(strengths.values()):
        return 0.0
    total = BIAS + COPIED * copied + STRONGEST * max(strengths.values())
    for name, strength in strengths.items():
        free, more = WEIGHTS[name]
        total += strength * (free + more * copied)
    return 1 / (1 + math.exp(-total))
