"""Does rephrasing 100,000 documents take more memory than 1,000, and how fast is it beside the generator?

Documents of lognormal lengths (median 330 characters, a twentieth above 1,450) in invented words are rephrased by rule,
in each way that the package has: into a folder of shards, in `Dataset.map`, as a stream. Each way and number of
documents is a run of its own, all of whose processes are watched.

    OMP_NUM_THREADS=1 python benchmarks/rephrase_scale.py    # an hour of two cores
    python benchmarks/tables.py
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, chain
from pathlib import Path

from hf_muonclip.synth import CachedGenerator, Rephraser, run_rephrasing

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "synth")]

from rule_generator import RuleGenerator  # noqa: E402

COUNTS = (1_000, 10_000, 100_000)
PER_FILE = 5_000
_WORDS = "ka lo mer tin su bra del fo gar his ne pol ri sta vu wen or ath el im"
_SYLLABLES = _WORDS.split()
_SENTENCES = (
    "In {year} the {a} of {Name} {verb} {number} {b} for the {c}",
    "{Name} {verb} the {a} because the {b} had not been {c} before",
    "About {number} people of {Name} and {Other} {verb} a {a} {b} every {c}",
    "The {a} was {number} metres long, and {Other} {verb} it after {year}",
)


def documents(count: int) -> Iterator[str]:
    """Yield texts; the more, the more words: some are frequent, and there is always a new one."""
    draw = random.Random(0)
    vocabulary = ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4))) for _ in range(60_000)]
    weights = list(accumulate(1 / place for place in range(1, len(vocabulary) + 1)))
    for _ in range(count):
        length, text = draw.lognormvariate(5.8, 0.9), ""
        while len(text) < length:
            words = draw.choices(vocabulary, cum_weights=weights, k=6)
            values = dict(zip(("a", "b", "c", "verb", "Name", "Other"), words, strict=True))
            values |= {"Name": values["Name"].capitalize(), "Other": values["Other"].capitalize()}
            numbers = {"year": draw.randint(1500, 2000), "number": draw.randint(2, 9_999)}
            text += draw.choice(_SENTENCES).format(**values, **numbers) + draw.choice([". ", ". ", ".\n\n"])
        yield text.strip()


def write_documents(folder: Path, count: int) -> None:
    folder.mkdir()
    texts = documents(count)
    for number in range(0, count, PER_FILE):
        lines = [json.dumps({"text": next(texts)}) + "\n" for _ in range(min(PER_FILE, count - number))]
        (folder / f"{number:06d}.jsonl").write_text("".join(lines), encoding="utf-8")


def in_a_folder(source: Path, output: Path, gated: bool, workers: int) -> int:
    rephraser = rephraser_of(output.with_suffix(".sqlite"), gated)
    return run_rephrasing([source], output, rephraser, workers=workers).kept


def in_map(source: Path, output: Path, num_proc: int | None) -> int:
    from datasets import load_dataset

    rephraser = rephraser_of(None, False)
    dataset = load_dataset("json", data_dir=str(source), split="train", cache_dir=str(output.with_suffix(".cache")))
    found = dataset.map(
        rephraser,
        batched=True,
        batch_size=256,
        remove_columns=dataset.column_names,
        features=rephraser.features,
        num_proc=num_proc,
    )
    output.mkdir()
    found.to_parquet(output / "all.parquet")
    return sum(chain.from_iterable(batch["kept"] for batch in found.select_columns("kept").iter(1_000)))


def streamed(source: Path, output: Path) -> int:
    from datasets import load_dataset

    rephraser = rephraser_of(None, False)
    dataset = load_dataset("json", data_dir=str(source), split="train", streaming=True)
    found = dataset.map(rephraser, batched=True, batch_size=256, remove_columns=["text"], features=rephraser.features)
    output.mkdir()
    kept = 0
    with (output / "all.jsonl").open("w", encoding="utf-8") as file:
        for row in found:
            kept += row["kept"]
            file.write(json.dumps(row) + "\n")
    return kept


def rephraser_of(cache: Path | None, gated: bool) -> Rephraser:
    generator = RuleGenerator() if cache is None else CachedGenerator(RuleGenerator(), cache)
    return Rephraser(generator) if gated else Rephraser(generator, gate=None)


WAYS: dict[str, Callable[[Path, Path], int]] = {
    "run_rephrasing": lambda source, output: in_a_folder(source, output, gated=False, workers=1),
    "Dataset.map": lambda source, output: in_map(source, output, None),
    "Dataset.map, num_proc=2": lambda source, output: in_map(source, output, 2),
    "IterableDataset.map": streamed,
    "run_rephrasing, 2 workers, fidelity gate": lambda source, output: in_a_folder(source, output, True, 2),
}


def measured(way: str, source: Path, output: Path) -> dict:
    """Return a row: what a run in a process of its own took, with all processes that it started."""
    began = time.perf_counter()
    peaks: dict[int, dict[str, int]] = {}
    command = [sys.executable, __file__, "--way", way, "--source", str(source), "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            for one in family(process.pid):
                own = peaks.setdefault(one, {})
                for name, value in memory_of(one).items():
                    own[name] = max(value, own.get(name, 0))
            time.sleep(0.05)
        said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{way} ended with {process.returncode}")
    main = peaks.pop(process.pid)
    others = sorted((one for one in peaks.values() if one), key=lambda one: -one["VmHWM"])
    told = json.loads(said.splitlines()[-1])
    files = [path for path in output.rglob("*") if path.is_file()]
    return {
        "question": "rephrase_scale",
        "way": way,
        **told,
        "total_seconds": round(time.perf_counter() - began, 2),
        "output_bytes": sum(path.stat().st_size for path in files),
        "main_mib": mib(main["VmHWM"]),
        "main_anonymous_mib": mib(main["RssAnon"]),
        "others_mib": [mib(one["VmHWM"]) for one in others],
        "others_anonymous_mib": [mib(one["RssAnon"]) for one in others],
    }


def mib(kib: int) -> float:
    return round(kib / 1024, 1)


def family(process: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        threads = [path.name for path in Path(f"/proc/{process}/task").iterdir() if path.name != str(process)]
        for thread in threads:
            children += Path(f"/proc/{process}/task/{thread}/children").read_text().split()
    except OSError:  # it has ended
        children = []
    return [process, *chain.from_iterable(family(int(child)) for child in children)]


def memory_of(process: int) -> dict[str, int]:
    """Return the greatest resident memory of a process until now, and its memory that is no file's, in KiB."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    values = dict(line.split(":", 1) for line in lines)
    return {name: int(values[name].split()[0]) for name in ("VmHWM", "RssAnon") if name in values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="documents")
    parser.add_argument("--way", choices=[*WAYS], help="one way")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)  # these two are for a run's own process
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.source:
        began = time.perf_counter()
        kept = WAYS[arguments.way](arguments.source, arguments.output)
        print(json.dumps({"seconds": round(time.perf_counter() - began, 2), "kept": kept}))
        return
    from measure import append_rows  # imports torch, which would be in the memory of each process that is measured

    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in")
            write_documents(source, count)
            size = sum(path.stat().st_size for path in source.iterdir())
            for place, way in enumerate([arguments.way] if arguments.way else WAYS):
                row = measured(way, source, Path(folder, f"out-{place}"))
                row |= {"documents": count, "input_bytes": size, "processors": os.cpu_count()}
                print(json.dumps(row))
                append_rows("rephrase_scale", [row])


if __name__ == "__main__":
    main()
