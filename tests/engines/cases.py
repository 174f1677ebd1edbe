"""What the engines are asked about, and what must come out; the tests and the report share it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checkpoints import plays
from comparison import Difference, compare
from engines import ask, convert_to_gguf
from transformers import AutoTokenizer

MAX_LENGTH = 256
NEW_TOKENS = 6
TEXT_LENGTHS = (140, 70, 50, 33, 21, 9, 5, 2, *range(8, 56, 3))  # up to twice the original context of the YaRN ones


@dataclasses.dataclass(frozen=True)
class Case:
    """A checkpoint and how an engine runs it."""

    checkpoint: str
    dtype: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    truth: str | None = None  # the checkpoint to compare with, where this one has a fault on purpose

    def __str__(self) -> str:
        words = [self.checkpoint, self.dtype, *(f"{name}={value}" for name, value in self.settings.items())]
        return ", ".join(words)


# vLLM's rotary kernel for CPUs misreads DeepSeek's (tokens, heads, dimensions); its PyTorch form does not. Compiled
# models take the second, eager ones, which start faster, the first.
NATIVE_ROPE = {"custom_ops": ["-rotary_embedding"]}

VLLM_EQUAL = [
    Case("yarn", "float32"),
    Case("yarn", "bfloat16"),
    Case("yarn", "float32", {"mla": False}),
    Case("kimi_k2", "float32"),
    Case("kimi_k2", "bfloat16"),
    Case("default", "float32", NATIVE_ROPE),
    Case("default", "bfloat16", NATIVE_ROPE),
    Case("default", "float32", NATIVE_ROPE | {"mla": False}),
]
VLLM_ROTARY_KERNEL = Case("default", "float32")
VLLM_DIFFERENT = [
    Case("zero bias", "float32", truth="yarn"),
    Case("no scoring_func", "float32", truth="yarn"),
]

# llama.cpp's DeepSeek does not read the file's yarn_beta_fast (src/models/deepseek2.cpp; the default of 32 stands in
# src/llama-hparams.h), so Kimi K2's 1 must be given: --yarn-beta-fast 1.
BETA_FAST = {"yarn_beta_fast": 1.0}

LLAMA_CPP_EQUAL = [
    Case("default", "float32"),
    Case("default", "bfloat16"),
    Case("yarn", "float32", BETA_FAST),
    Case("yarn", "bfloat16", BETA_FAST),
    Case("kimi_k2", "float32", BETA_FAST),
    Case("kimi_k2", "bfloat16", BETA_FAST),
]
LLAMA_CPP_YARN_FROM_FILE = Case("yarn", "float32")
LLAMA_CPP_DIFFERENT = [dataclasses.replace(case, settings=BETA_FAST) for case in VLLM_DIFFERENT]


def prompts_of(checkpoint: Path) -> list[list[int]]:
    """Return the compared texts as token ids."""
    ids = AutoTokenizer.from_pretrained(checkpoint)(plays(), verbose=False)["input_ids"]
    return [ids[2000 + 500 * i :][:length] for i, length in enumerate(TEXT_LENGTHS)]


def tokenized_text() -> str:
    """Return what the engine's tokenizer is tried on: a play, and what a play does not have."""
    return plays()[:20_000] + "\n \n\ttabs,  spaces   3.14159 naïve ÜBER I'll we'VE 日本語, 🦙🚀\u200d ======\r\nend "


def ask_vllm(python: str, checkpoints: dict[str, Path], cases: list[Case]) -> list[dict[str, Any]]:
    """Return vLLM's answers, from one process."""
    return ask(
        python,
        "vllm_runner.py",
        [{"mla": True, "custom_ops": []} | _request(case, checkpoints, checkpoints[case.checkpoint]) for case in cases],
    )


def ask_llama_cpp(
    python: str, source: Path, checkpoints: dict[str, Path], cases: list[Case], folder: Path
) -> list[dict[str, Any]]:
    """Convert the checkpoints, and return llama.cpp's answers, from one process."""
    requests = []
    for case in cases:
        outfile = folder / f"{checkpoints[case.checkpoint].name}.{case.dtype}.gguf"
        if not outfile.exists():
            outtype = {"float32": "f32", "bfloat16": "bf16"}[case.dtype]
            convert_to_gguf(source, checkpoints[case.checkpoint], outfile, outtype)
        always = {"text": tokenized_text(), "yarn_beta_fast": -1.0}  # negative: from the file
        requests.append(always | _request(case, checkpoints, outfile))
    return ask(python, "llama_cpp_runner.py", requests)


def differences(
    checkpoints: dict[str, Path], cases: list[Case], answers: list[dict[str, Any]]
) -> Iterator[tuple[Case, Difference]]:
    """Hold each answer against transformers."""
    for case, answer in zip(cases, answers, strict=True):
        truth = checkpoints[case.truth or case.checkpoint]
        yield case, compare(truth, case.dtype, prompts_of(truth), answer)


def _request(case: Case, checkpoints: dict[str, Path], model: Path) -> dict[str, Any]:
    return {
        "checkpoint": str(model),
        "dtype": case.dtype,
        "prompts": prompts_of(checkpoints[case.checkpoint]),
        "new_tokens": NEW_TOKENS,
        "max_length": MAX_LENGTH,
    } | case.settings
