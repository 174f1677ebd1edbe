"""Answer requests with vLLM: read JSON from standard input, write JSON to the file named by the argument.

It runs under the engine's own interpreter and imports nothing of this project.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # one process for all requests: each start takes half a minute
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
import vllm


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return log-probabilities of the prompts' tokens, and greedy continuations with theirs."""
    os.environ["VLLM_MLA_DISABLE"] = "0" if request["mla"] else "1"
    engine = vllm.LLM(
        model=request["checkpoint"],
        dtype=request["dtype"],
        max_model_len=request["max_length"],
        enforce_eager=True,
        enable_prefix_caching=False,  # a cached prefix has no prompt log-probabilities
        compilation_config={"custom_ops": request["custom_ops"]},
        disable_log_stats=True,
    )
    sampling = vllm.SamplingParams(
        temperature=0.0,
        max_tokens=request["new_tokens"],
        prompt_logprobs=0,  # of the prompt's own tokens, no others
        logprobs=0,
        ignore_eos=True,
        detokenize=False,
    )
    outputs = engine.generate([{"prompt_token_ids": ids} for ids in request["prompts"]], sampling, use_tqdm=False)
    prompt_logprobs, greedy_tokens, greedy_logprobs = [], [], []
    for output, ids in zip(outputs, request["prompts"], strict=True):
        best = output.outputs[0]
        entries = zip(output.prompt_logprobs[1:], ids[1:], strict=True)
        prompt_logprobs.append([entry[token].logprob for entry, token in entries])
        greedy_tokens.append(list(best.token_ids))
        greedy_logprobs.append(
            [entry[token].logprob for entry, token in zip(best.logprobs, best.token_ids, strict=True)]
        )
    return {
        "version": vllm.__version__,
        "prompt_logprobs": prompt_logprobs,
        "greedy_tokens": greedy_tokens,
        "greedy_logprobs": greedy_logprobs,
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps([answer(request) for request in json.load(sys.stdin)]))
