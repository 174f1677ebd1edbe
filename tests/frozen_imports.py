"""Imported last by the server that forks ranks: what it has read is no garbage, and no child looks through it.

That includes the source of models, which is read for an optimizer and kept with their class.
"""

import atexit
import gc

from parallel_models import parallel_model

from hf_muonclip import MuonClip

for name in ("llama_gqa", "deepseek_v3", "mixtral", "gemma3", "gpt2", "gpt_neox", "olmo2", "phi3", "qwen3"):
    MuonClip(parallel_model(name)).detach()
gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # or libraries complain of what is left at the end
