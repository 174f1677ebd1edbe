"""The README's tables say what the benchmark rows say, and the benchmark measures what it names."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tiny_models import tiny_model

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def overhead() -> ModuleType:
    spec = importlib.util.spec_from_file_location("overhead", BENCHMARKS / "overhead.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_rendered_from_the_rows() -> None:
    command = [sys.executable, str(BENCHMARKS / "tables.py"), "--check"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_captured_variants_really_capture(overhead: ModuleType) -> None:
    variants, meter = overhead.capture_variants(tiny_model("llama_gqa"), 1, 32)
    _, metered = overhead.interleaved(variants, 2, meter)
    assert all(seconds == 0 for seconds in metered["no capture"])
    assert all(seconds > 0 for name in ("screened", "always exact") for seconds in metered[name])


def test_both_optimizers_step_the_same_matrices(overhead: ModuleType) -> None:
    variants = overhead.step_variants(tiny_model("deepseek_v3"))
    seconds, metered = overhead.interleaved(variants, 2)
    rows = overhead.rows("step", "tiny", "all parameters", "torch.optim.Muon", seconds, metered)
    assert [row["variant"] for row in rows] == ["torch.optim.Muon", "MuonClip"]
    assert rows[0]["ratio_p50"] == 1.0
    assert rows[1]["p20_ms"] <= rows[1]["p50_ms"] <= rows[1]["p80_ms"]
