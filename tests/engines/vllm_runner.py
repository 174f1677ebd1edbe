"""Answer one request with vLLM: read JSON from standard input, write JSON to the file named by the argument.

It runs under the engine's own interpreter and imports nothing of this project.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return log-probabilities of the prompts' tokens, and greedy continuations with theirs."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_MLA_DISABLE"] = "0" if request["mla"] else "1"
    import vllm

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
        temperature=0.0, max_tokens=request["new_tokens"], prompt_logprobs=0, logprobs=0, ignore_eos=True, detokenize=False
    )
    outputs = engine.generate([{"prompt_token_ids": ids} for ids in request["prompts"]], sampling, use_tqdm=False)
    return {
        "engine": "vLLM",
        "version": vllm.__version__,
        "prompt_logprobs": [
            [entry[token].logprob for entry, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)]
            for output, ids in zip(outputs, request["prompts"], strict=True)
        ],
        "greedy_tokens": [list(output.outputs[0].token_ids) for output in outputs],
        "greedy_logprobs": [
            [entry[token].logprob for entry, token in zip(best.logprobs, best.token_ids, strict=True)]
            for best in (output.outputs[0] for output in outputs)
        ],
    }


if __name__ == "__main__":  # vLLM starts processes that import this file again
    Path(sys.argv[1]).write_text(json.dumps(answer(json.load(sys.stdin))))
