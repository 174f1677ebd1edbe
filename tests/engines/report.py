"""Measure the engines that are installed and write benchmarks/results/engines.jsonl: one row for each case.

    HF_MUONCLIP_VLLM_PYTHON=... HF_MUONCLIP_LLAMA_CPP_PYTHON=... HF_MUONCLIP_LLAMA_CPP_SOURCE=... \\
        python tests/engines/report.py [--output FILE]

An engine that is not installed keeps the rows that the file has of it.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from cases import (
    LLAMA_CPP_DIFFERENT,
    LLAMA_CPP_EQUAL,
    LLAMA_CPP_YARN_FROM_FILE,
    VLLM_DIFFERENT,
    VLLM_EQUAL,
    VLLM_ROTARY_KERNEL,
    Case,
    ask_llama_cpp,
    ask_vllm,
    differences,
)
from checkpoints import make_checkpoints
from engines import LLAMA_CPP_PYTHON, LLAMA_CPP_SOURCE, VLLM_PYTHON

REPOSITORY = Path(__file__).parents[2]
DEFAULT_OUTPUT = REPOSITORY / "benchmarks" / "results" / "engines.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how far engines are from transformers.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    output = parser.parse_args().output
    vllm, llama_cpp = os.environ.get(VLLM_PYTHON), os.environ.get(LLAMA_CPP_PYTHON)
    if vllm is None and llama_cpp is None:
        parser.error(f"set {VLLM_PYTHON}, or {LLAMA_CPP_PYTHON} and {LLAMA_CPP_SOURCE}: no engine to measure")

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = make_checkpoints(Path(folder))
        if vllm is not None:
            cases = [*VLLM_EQUAL, VLLM_ROTARY_KERNEL, *VLLM_DIFFERENT]
            rows += rows_of("vLLM", checkpoints, cases, ask_vllm(vllm, checkpoints, cases))
        if llama_cpp is not None:
            cases = [*LLAMA_CPP_EQUAL, LLAMA_CPP_YARN_FROM_FILE, *LLAMA_CPP_DIFFERENT]
            source = Path(os.environ[LLAMA_CPP_SOURCE])
            answers = ask_llama_cpp(llama_cpp, source, checkpoints, cases, Path(folder))
            rows += rows_of("llama.cpp", checkpoints, cases, answers)
    for row in rows:
        print(row)
    measured = {row["engine"] for row in rows}
    kept = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    rows = [row for row in kept if row["engine"] not in measured] + rows
    output.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_of(
    engine: str, checkpoints: dict[str, Path], cases: list[Case], answers: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return one row for each case."""
    about = {
        "device": f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "commit": commit(),
    }
    return [
        {"engine": engine, "version": answers[0]["version"], "checkpoint": case.checkpoint, "dtype": case.dtype}
        | {"settings": case.settings, "same_function": difference.is_rounding(case.dtype)}
        | dataclasses.asdict(difference)
        | about
        for case, difference in differences(checkpoints, cases, answers)
    ]


def commit() -> str:
    """Return the commit, marked where files are changed."""
    git = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
