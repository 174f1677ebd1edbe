"""Run llama.cpp's own converter on a checkpoint: `convert_to_gguf.py LLAMA_CPP CHECKPOINT OUTFILE OUTTYPE`.

LLAMA_CPP is llama.cpp's source tree; the source distribution of llama-cpp-python holds it as vendor/llama.cpp. The
converter knows a pre-tokenizer by a hash over the ids of one sentence, so it knows no tokenizer that was trained
again. This script names it instead: byte-level BPE with GPT-2's splitting. That the name is right is tested, by
tokenizing the same text in llama.cpp and in transformers.

It runs under this project's interpreter, because the converter loads the tokenizer through transformers' Auto classes,
and those fail on the model type kimi_k2 unless it is registered.
"""

import sys
from pathlib import Path

llama_cpp, checkpoint, outfile, outtype = sys.argv[1:]
sys.path[:0] = [llama_cpp, str(Path(llama_cpp, "gguf-py"))]

import convert_hf_to_gguf  # noqa: E402
from conversion.base import TextModel  # noqa: E402

from hf_muonclip.kimi_k2 import register_kimi_k2  # noqa: E402

register_kimi_k2()
TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
sys.argv = ["convert_hf_to_gguf.py", checkpoint, "--outfile", outfile, "--outtype", outtype]
convert_hf_to_gguf.main()
