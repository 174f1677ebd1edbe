"""Reproduce a fault of vLLM 0.32.0 on CPUs: its rotary kernel, given DeepSeek's query, rotates the wrong rows.

    python vllm_rotary_fault.py        # under the interpreter that has vLLM; needs no checkpoint

`rotary_embedding` in vLLM's csrc/cpu/pos_encoding.cpp takes the second-to-last stride for the one from token to token,
and `size(-1) / head_size` for the number of heads. Both hold for a query of shape (tokens, heads × head_size).
DeepSeek's attention hands it (tokens, heads, head_size), through `RotaryEmbedding.forward_cpu`
(vllm/model_executor/layers/rotary_embedding/base.py): then row i of the tokens × heads rows is turned by position i,
for the first `tokens` rows, and the others are not turned at all. A key that is a view into a wider tensor is read
with the wrong stride likewise. Position 0 is right by chance: a token that sees itself alone needs no query.

Two ways do not pass there and are right: YaRN (`DeepseekScalingRotaryEmbedding.forward_native`), and a compiled model,
which is vLLM's default. With `--enforce-eager` and without YaRN, switch the kernel off:
`--compilation-config '{"custom_ops": ["-rotary_embedding"]}'`, or the same as an argument of `LLM`.
"""

import torch
import vllm
from vllm import _custom_ops as ops
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding
from vllm.platforms import current_platform

TOKENS, HEADS, ROPE_DIM, NOPE_DIM, LATENT = 6, 4, 64, 128, 512

current_platform.import_kernels()
torch.manual_seed(0)
angles = torch.arange(TOKENS)[:, None] / 50000.0 ** (torch.arange(0, ROPE_DIM, 2) / ROPE_DIM)
cos_sin = torch.cat((angles.cos(), angles.sin()), -1)
positions = torch.arange(TOKENS)
# As in the attention: the last dimensions of a head's query, and of the compressed key.
query = torch.randn(TOKENS, HEADS, NOPE_DIM + ROPE_DIM)[..., NOPE_DIM:]
key = torch.randn(TOKENS, LATENT + ROPE_DIM)[:, LATENT:].unsqueeze(1)

expected = RotaryEmbedding.forward_static(positions, query, key, ROPE_DIM, ROPE_DIM, cos_sin, False)
ops.rotary_embedding(positions, query, key, ROPE_DIM, cos_sin, False)  # in place

print(f"vLLM {vllm.__version__}: largest error of the rotary kernel, by token (rows) and head (columns)")
print("query", (query - expected[0]).abs().amax(-1), sep="\n")
print("key", (key - expected[1]).abs().amax(-1), sep="\n")
