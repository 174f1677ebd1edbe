"""Tiny models, whole and sharded over real ranks, for the tests that compare the two."""

import copy
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import transformers
from tiny_models import tiny_model
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from transformers import PreTrainedModel

_SIZES: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED: dict[str, Any] = {**_SIZES, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": None}
# Beside `tiny_models`: a gain of one head, of all heads, that acts as 1 + w, and fused projections.
_MORE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", _GROUPED),
    "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", _GROUPED),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", {**_GROUPED, "sliding_window": 64}),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", _SIZES),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", _SIZES),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", _GROUPED),
}


def parallel_model(name: str) -> PreTrainedModel:
    """Build a tiny model, the same weights on every rank; "... with biases" has them in its projections."""
    if name.endswith(" with biases"):
        return tiny_model(name.removesuffix(" with biases"), attention_bias=True)
    if name not in _MORE:
        return tiny_model(name)
    model_class, config_class, fields = _MORE[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, model_class)(getattr(transformers, config_class)(**fields))
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if (tensor == 0).all() or (tensor == 1).all():
                    tensor.add_(0.1 * torch.randn_like(tensor))
    built: PreTrainedModel = model.train()
    return built


def load(folder: str | Path, model_class: str, **parallel: int) -> PreTrainedModel:
    """Load a model in float32 as transformers distributes it; whole without sizes."""
    from transformers.distributed import DistributedConfig

    transformers.utils.logging.disable_progress_bar()
    distributed = {"distributed_config": DistributedConfig(**parallel)} if parallel else {}
    loaded: PreTrainedModel = getattr(transformers, model_class).from_pretrained(
        folder, dtype=torch.float32, **distributed
    )
    return loaded.train()


def whole(parameter: Tensor) -> Tensor:
    """Return the whole tensor. Collective: call on every rank."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (parameter.full_tensor() if isinstance(parameter, DTensor) else parameter).detach()


def between(logits: Mapping[str, Tensor]) -> float:
    """Return a threshold that half of the heads exceed, none by a hair."""
    ordered = torch.cat(list(logits.values())).sort().values
    below = len(ordered) // 2 - 1
    threshold = float((ordered[below] + ordered[below + 1]) / 2)
    assert ((ordered / threshold - 1).abs() > 1e-4).all()
    return threshold


def assert_same_on_all_ranks(gammas: Mapping[str, Tensor]) -> None:
    """Compare bit for bit. Collective: call on every rank."""
    mine = torch.cat(list(gammas.values()))
    others = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(others, mine)
    assert all(torch.equal(mine, other) for other in others)


def shard(model: nn.Module, how: str) -> nn.Module:
    """Return a copy of a model, sharded over all ranks: "fsdp", "hsdp", "rows", "columns" or "fsdp and rows"."""
    model, ranks = copy.deepcopy(model), int(os.environ["WORLD_SIZE"])
    if how == "fsdp":
        return _fsdp(model, init_device_mesh("cpu", (ranks,), mesh_dim_names=("fsdp",)))
    if how == "hsdp":
        return _fsdp(model, init_device_mesh("cpu", (2, ranks // 2), mesh_dim_names=("replicate", "fsdp")))
    if how == "fsdp and rows":
        mesh = init_device_mesh("cpu", (2, ranks // 2), mesh_dim_names=("fsdp", "tp"))
        return _fsdp(_cut(model, mesh["tp"], Shard(0)), mesh["fsdp"])
    mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("tp",))
    return _cut(model, mesh, Shard(0) if how == "rows" else Shard(1))


def _fsdp(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    for module in [m for m in model.modules() if type(m).__name__.endswith(("DecoderLayer", "GPT2Block", "NeoXLayer"))]:
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def _cut(model: nn.Module, mesh: DeviceMesh, placement: Any) -> nn.Module:
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim > placement.dim:
                cut = distribute_tensor(parameter.detach(), mesh, [placement])
                module.register_parameter(name, nn.Parameter(cut, requires_grad=parameter.requires_grad))
    return model
