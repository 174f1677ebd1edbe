"""Answer requests with llama.cpp: read JSON from standard input, write JSON to the file named by the argument.

It runs under the engine's own interpreter and imports nothing of this project.
"""

import json
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return log-probabilities of the prompts' tokens, and greedy continuations with theirs."""
    # The cache of keys and values is half precision unless told, and would hide behind its rounding what is looked for.
    cache = {"float32": llama_cpp.GGML_TYPE_F32, "bfloat16": llama_cpp.GGML_TYPE_F16}[request["dtype"]]
    engine = llama_cpp.Llama(
        request["checkpoint"],
        n_ctx=request["max_length"],
        n_threads=1,
        n_threads_batch=1,
        logits_all=True,
        type_k=cache,
        type_v=cache,
        verbose=False,
        yarn_beta_fast=request["yarn_beta_fast"],
    )
    answers: dict[str, Any] = {"prompt_logprobs": [], "greedy_tokens": [], "greedy_logprobs": []}
    for ids in request["prompts"]:
        engine.reset()
        engine.eval(ids)
        rows = log_softmax(engine.scores[: len(ids)])
        answers["prompt_logprobs"].append([float(row[token]) for row, token in zip(rows[:-1], ids[1:], strict=True)])
        row, tokens, logprobs = rows[-1], [], []
        for _ in range(request["new_tokens"]):
            tokens.append(int(row.argmax()))
            logprobs.append(float(row.max()))
            engine.eval(tokens[-1:])
            row = log_softmax(engine.scores[engine.n_tokens - 1])
        answers["greedy_tokens"].append(tokens)
        answers["greedy_logprobs"].append(logprobs)
    answers["text_tokens"] = engine.tokenize(request["text"].encode(), add_bos=False, special=False)
    engine.close()
    return {"version": f"llama-cpp-python {llama_cpp.__version__}"} | answers


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps([answer(request) for request in json.load(sys.stdin)]))
