"""What every benchmark shares: interleaved timing, quantiles, and the stamp that each row of results carries."""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers

import hf_muonclip

HERE = Path(__file__).parent


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    rounds: int,
    meter: Callable[[], float] = lambda: 0.0,
    prepare: Callable[[str], None] = lambda name: None,
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Time every variant once a round, after one round of warm-up. Each round begins with another variant.

    `prepare` gets a variant's name before each of its runs, and its time does not count.

    Returns:
        Seconds per variant, and the part of them that `meter`, a running total in seconds, counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    metered: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for round_index in range(rounds + 1):
        first = round_index % len(names)
        for name in names[first:] + names[:first]:
            prepare(name)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            metered_before, started = meter(), time.perf_counter()
            variants[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_index > 0:
                seconds[name].append(time.perf_counter() - started)
                metered[name].append(meter() - metered_before)
    return seconds, metered


def quantiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p20, p50 and p80 in milliseconds."""
    deciles = statistics.quantiles(seconds, n=10)
    return {f"p{decile}0_ms": round(deciles[decile - 1] * 1e3, 3) for decile in (2, 5, 8)}


def ratio_p50(seconds: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the median over rounds of this variant's time over the baseline's of the same round."""
    return round(statistics.median(a / b for a, b in zip(seconds, baseline, strict=True)), 4)


def device_name() -> str:
    """Return the accelerator's name, or else the processor's."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return models[0].partition(":")[2].strip() if models else platform.processor() or platform.machine()


def stamp() -> dict[str, str | int]:
    """Return what a row must say of where and with what it was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    ).stdout.strip()
    return {
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "hf_muonclip": hf_muonclip.__version__,
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
    }


def append_rows(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Append rows, each with the stamp, to results/NAME.jsonl."""
    stamped = [dict(row) | stamp() for row in rows]
    path = HERE / "results" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in stamped)
