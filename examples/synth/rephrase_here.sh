#!/usr/bin/env bash
# Four rephrasings of each document, written by a model in this process: no server, one command.
#   bash examples/synth/rephrase_here.sh documents.jsonl rephrased
# Run again, it goes on where it was ended. Options behind the two names win over those below; a GPU takes more at a
# time (--batch-size 64) and a larger model.
set -euo pipefail
input=$1
output=$2
shift 2

hf-muonclip synth rephrase "$input" "$output" \
    --model HuggingFaceTB/SmolLM2-1.7B-Instruct \
    --rephrasings 4 \
    --styles encyclopedic textbook question_and_answer plain essay \
    --chunk-size 1500 \
    --max-new-tokens 768 \
    --batch-size 8 \
    --documents-per-shard 64 \
    "$@"
