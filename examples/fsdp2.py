"""MuonClip on sharded weights: a small Llama learns the text of this script, on one device or on many.

accelerate launch --config_file examples/accelerate_configs/fsdp2.yaml examples/fsdp2.py
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM

from hf_muonclip import MuonClip

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--max-steps", type=int, default=20, help="optimizer steps (default: %(default)s)")
parser.add_argument("--learning-rate", type=float, default=1e-2, help="(default: %(default)s)")
parser.add_argument("--qk-clip-threshold", type=float, default=1.0, help="tau; 100 on long runs (default: %(default)s)")
parser.add_argument("--output", default="fsdp2-state", help="folder of the saved state (default: %(default)s)")
args = parser.parse_args()
set_seed(0)

accelerator = Accelerator()  # which processes there are, and whether they shard, comes from the config file
text = torch.frombuffer(bytearray(Path(__file__).read_bytes() * 8), dtype=torch.uint8).long()
blocks = text[: len(text) // 64 * 64].view(-1, 64)
config = LlamaConfig(
    vocab_size=256,
    hidden_size=128,
    intermediate_size=352,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
model = LlamaForCausalLM(config)
optimizer = MuonClip(model, lr=args.learning_rate, qk_clip_threshold=args.qk_clip_threshold)
model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(blocks, batch_size=4, shuffle=True))

model.train()
step = 0
while step < args.max_steps:
    for batch in loader:
        loss = model(input_ids=batch, labels=batch).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 5 == 0 or step == args.max_steps:
            clipped = sum(int((gamma < 1).sum()) for gamma in optimizer.optimizer.gammas.values())
            accelerator.print(f"step {step:4d}  loss {loss.item():.3f}  clipped heads {clipped}")
        if step == args.max_steps:
            break

accelerator.save_state(args.output)  # accelerator.load_state(args.output) goes on from there, on any number of ranks
moments = [moment for state in optimizer.state.values() for moment in state.values() if torch.is_tensor(moment)]
here = [moment.to_local() if isinstance(moment, DTensor) else moment for moment in moments]
kilobytes = gather_object([sum(moment.nbytes for moment in here) // 1024])
sharded = sum(isinstance(parameter, DTensor) for parameter in model.parameters())
accelerator.print(f"{sharded} of {len(list(model.parameters()))} parameters are DTensors")
accelerator.print(f"optimizer state of each rank: {kilobytes} KiB")
accelerator.end_training()
