#!/usr/bin/env bash
# Four rephrasings of each document, written by a model behind a server with OpenAI's API, which is started before:
#   vllm serve Qwen/Qwen3-4B --max-model-len 8192
#   bash examples/synth/rephrase_with_server.sh documents.jsonl rephrased
# Run again, it goes on where it was ended; also when the server was. Options behind the two names win over those below:
# --server and --model for others, --api-key-file for a server that asks for a key, --price for what its tokens cost.
set -euo pipefail
input=$1
output=$2
shift 2

# 64 requests at a time of each of two processes, for one alone does not check answers as fast as a GPU writes them.
hf-muonclip synth rephrase "$input" "$output" \
    --server http://localhost:8000/v1 \
    --model Qwen/Qwen3-4B \
    --extra-body '{"chat_template_kwargs": {"enable_thinking": false}}' \
    --rephrasings 4 \
    --max-new-tokens 1024 \
    --batch-size 64 \
    --workers 2 \
    "$@"
