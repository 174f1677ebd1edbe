"""Which weights should the fidelity gate give each kind of evidence?

Fits the logistic regression of `hf_muonclip/synth/facts/doubt.py` on the development pairs that numbers, dates and
form let pass, and prints the table to put there; then validates it on passages left out, a tenth of them at a time.
Faithful and corrupted pairs weigh the same; no weight may speak for a rewriting.

    OMP_NUM_THREADS=1 python benchmarks/fidelity_weights.py
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from hf_muonclip.synth.facts.alignment import align
from hf_muonclip.synth.facts.claims import compare_claims
from hf_muonclip.synth.facts.doubt import KINDS, weighed
from hf_muonclip.synth.facts.reading import read_facts
from hf_muonclip.synth.facts.substitution import copied_share
from hf_muonclip.synth.fidelity import DEFAULT, check_fidelity, evidence, strengths

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "synth")]

from fidelity_pairs import Pair, pairs  # noqa: E402

DECIDING = [name for name in vars(DEFAULT) if name not in ("claims", "similarity")]
PENALTY, STEPS, FOLDS = 3e-4, 800, 5


def main() -> None:
    known = {pair: row for pair in pairs("development") if _passes(pair) and (row := _row(pair))}
    found, rows = list(known), np.array(list(known.values()))
    corrupted = np.array([not pair.faithful for pair in found], float)
    passages = np.array([pair.passage for pair in found])
    names = sorted(set(passages))
    np.random.default_rng(0).shuffle(names)
    left_out = np.zeros(len(found))
    for fold in range(FOLDS):
        held = np.isin(passages, names[fold::FOLDS])
        left_out[held] = rows[held] @ fit(rows[~held], corrupted[~held], passages[~held])
    weights = fit(rows, corrupted, passages)
    print("WEIGHTS: dict[str, tuple[float, float]] = {")
    for place, name in enumerate(KINDS):
        print(f'    "{name}": ({weights[place]:.2f}, {weights[place + len(KINDS)]:.2f}),')
    print("}\nSTRONGEST, COPIED, BIAS = " + ", ".join(f"{weight:.2f}" for weight in weights[-3:]))
    right, all_ = Counter(), Counter()
    for pair, value in zip(found, left_out, strict=True):
        key = (pair.faithful, pair.change)
        all_[key] += 1
        right[key] += (value > 0) != pair.faithful
    for (faithful, change), count in sorted(all_.items()):
        share = right[faithful, change] / count
        print(f"left out: {'faithful ' if faithful else 'corrupted'} {change:24} {share:4.0%} of {count} right")


def _passes(pair: Pair) -> bool:
    """Return whether all scores but the claims let a pair pass."""
    scores = check_fidelity(pair.source, pair.rewritten).scores
    return all(scores[name] >= getattr(DEFAULT, name) for name in DECIDING)


def _row(pair: Pair) -> list[float]:
    """Return the evidence of a pair, the same times the share that was copied, the strongest, that share, and 1.

    Without any evidence there is nothing to weigh: an empty list.
    """
    ours, theirs = read_facts(pair.source), read_facts(pair.rewritten)
    alignment = align(ours, theirs)
    strong = list(strengths(evidence(ours, theirs, alignment, compare_claims(alignment))).values())
    if not any(strong):
        return []
    strong = [weighed(strength) for strength in strong]
    copied = copied_share(ours, theirs)
    return [*strong, *(value * copied for value in strong), max(strong), copied, 1.0]


def fit(rows: np.ndarray, corrupted: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Return the weights, by accelerated projected gradients.

    Args:
        rows: (pairs, weights).
        corrupted: (pairs,), 1 where it is.
        passages: (pairs,), their names.
    """
    share = np.ones(len(rows))
    for label in (0.0, 1.0):
        chosen = corrupted == label
        for passage in set(passages[chosen]):
            same = chosen & (passages == passage)
            share[same] = same.sum() ** -0.5
        share[chosen] /= share[chosen].sum()
    least = np.array([0.0] * (rows.shape[1] - 2) + [-np.inf] * 2)
    steepness = np.linalg.norm(rows * share[:, None] ** 0.5, 2) ** 2 / 4 + PENALTY
    weights = ahead = np.zeros(rows.shape[1])
    pace = 1.0
    for _ in range(STEPS):
        wrong = share * (1 / (1 + np.exp(-rows @ ahead)) - corrupted)
        slope = rows.T @ wrong + PENALTY * np.r_[ahead[:-1], 0.0]
        new = np.maximum(ahead - slope / steepness, least)
        following = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = new + (pace - 1) / following * (new - weights)
        weights, pace = new, following
    return weights


if __name__ == "__main__":
    main()
