"""Max logits of sequences that are spread over ranks: those of the whole sequence, or a refusal."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from accelerate.big_modeling import _attach_context_parallel_hooks
from error_messages import naming
from parallel_models import assert_same_on_all_ranks, between
from processes import run_on_ranks
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_gather_tensor_autograd
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor.experimental import context_parallel
from torch.distributed.tensor.experimental._attention import (
    _disable_context_parallel_dispatcher,
    _enable_context_parallel_dispatcher,
)
from transformers import AttentionInterface, PreTrainedModel

from hf_muonclip import MuonClip, capture_max_logits
from hf_muonclip.attention.capture.sequence_shards import require_known_sequence


class RingAttention:
    """What torch's ring attention computes, which runs on GPUs alone: local queries against the keys of all ranks."""

    def __init__(self, mesh: DeviceMesh) -> None:
        self.mesh = mesh

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        assert attention_mask is None
        assert kwargs.get("is_causal", module.is_causal)
        positions = kwargs["position_ids"].expand(len(query), -1)
        every = torch.cat(self._parts(positions), dim=1)
        key, value = (all_gather_tensor_autograd(states.contiguous(), 2, self.mesh) for states in (key, value))
        groups = query.shape[1] // key.shape[1]
        scores = query @ key.repeat_interleave(groups, dim=1).mT * kwargs["scaling"]
        scores = scores.masked_fill((every[:, None] > positions[:, :, None])[:, None], -torch.inf)
        attended = scores.softmax(dim=-1) @ value.repeat_interleave(groups, dim=1)
        return attended.transpose(1, 2), None

    def _parts(self, positions: Tensor) -> list[Tensor]:
        parts = [torch.empty_like(positions) for _ in range(self.mesh.size())]
        dist.all_gather(parts, positions.contiguous())
        return parts


def spread_batch(batch: dict[str, Tensor]) -> list[Tensor]:
    """Return (input_ids, position_ids, labels, attention_mask), shifted and cloned, ready to be buffers."""
    positions = torch.arange(batch["input_ids"].shape[1]).expand_as(batch["input_ids"])
    labels = nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=-100)
    return [t.clone() for t in (batch["input_ids"], positions, labels, batch["attention_mask"])]


def forward(model: PreTrainedModel, mesh: DeviceMesh, buffers: list[Tensor]) -> None:
    with context_parallel(mesh, buffers=buffers, buffer_seq_dims=[1] * len(buffers)):
        ids, position_ids, labels, mask = buffers
        assert ids.shape[1] == 16 // mesh.size()
        told = {"position_ids": position_ids, "attention_mask": mask}
        model(input_ids=ids, shift_labels=labels, labels=labels, **told).loss.backward()
    for parameter in model.parameters():  # as DDP over the same ranks does
        dist.all_reduce(parameter.grad)


def measure_spread_sequences() -> None:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),), mesh_dim_names=("cp",))
    for name in ("llama_gqa", "deepseek_v3"):
        whole, model = tiny_model(name, attn_implementation="eager"), tiny_model(name, attn_implementation="sdpa")
        batches = [random_batch(whole, padding="right", seed=seed) for seed in range(2)]
        with torch.no_grad(), capture_max_logits(whole) as expected:
            for batch in batches:
                whole(**batch)
        threshold = between(expected)
        AttentionInterface.register("sdpa", RingAttention(mesh))
        _attach_context_parallel_hooks(model)
        optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=threshold, exact_max_logits=name == "llama_gqa")
        for batch in batches:
            forward(model, mesh, spread_batch(batch))
        optimizer.step()
        assert any((gamma < 1).any() for gamma in optimizer.gammas.values())
        for key, value in expected.items():
            exceeds = value > threshold
            kept = slice(None) if optimizer.config.exact_max_logits else exceeds
            torch.testing.assert_close(optimizer.max_logits[key][kept], value[kept], rtol=1e-5, atol=1e-9)
            assert torch.equal(optimizer.gammas[key] < 1, exceeds)
        assert_same_on_all_ranks(optimizer.gammas)
        optimizer.detach()


@pytest.mark.parametrize("world_size", [2, 4])
def test_max_logits_inside_context_parallel_are_those_of_the_whole_sequence(world_size: int) -> None:
    run_on_ranks(world_size, measure_spread_sequences)


def refuse_what_hides_keys() -> None:
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("cp",))
    AttentionInterface.register("sdpa", RingAttention(mesh))
    model = tiny_model("llama_gqa", attn_implementation="sdpa", num_hidden_layers=1)
    batch = random_batch(model)

    def step(buffers: list[Tensor]) -> None:
        optimizer = MuonClip(model, lr=0.0, qk_clip_threshold=1e-3)
        try:
            forward(model, mesh, buffers)
            optimizer.step()
        finally:
            optimizer.detach()

    masked = spread_batch(batch)
    masked[3][:, [0, 5]] = 0  # on both ranks
    with pytest.raises(ValueError, match=naming("mask", "qk_clip_threshold=None")):
        step(masked)  # accelerate's hooks would have taken the mask away
    _attach_context_parallel_hooks(model)
    packed = spread_batch(batch)
    packed[1] %= 8
    with pytest.raises(ValueError, match=naming("position_ids", "qk_clip_threshold=None")):
        step(packed)
    step(spread_batch(batch))  # nothing is wrong with these

    layer = model.get_submodule("model.layers.0.self_attn")
    query, key = torch.randn(2, 4, 8, 16), torch.randn(2, 2, 8, 16)
    with capture_max_logits(model) as capture, context_parallel(mesh, buffers=[packed[1]], buffer_seq_dims=[1]):
        observe = capture._recorders["model.layers.0.self_attn"].observe
        with pytest.raises(ValueError, match=naming("position_ids", "buffers")):
            observe(layer, query, key, key, None, {"scaling": 1.0, "is_causal": True}, "sdpa")

    # A compiled model leaves the graph to be measured, or is refused where it must not.
    for fullgraph in (False, True):
        torch.compiler.reset()
        compiled: Any = torch.compile(model.model, backend="eager", fullgraph=fullgraph)
        buffers = spread_batch(batch)
        with capture_max_logits(model) as capture, context_parallel(mesh, buffers=buffers[:2], buffer_seq_dims=[1, 1]):
            if fullgraph:
                with pytest.raises(Exception, match="uncompiled"):
                    compiled(input_ids=buffers[0], position_ids=buffers[1])
                continue
            compiled(input_ids=buffers[0], position_ids=buffers[1])
            measured = dict(capture)
            capture.reset()
            model.model(input_ids=buffers[0], position_ids=buffers[1])
            for key, value in capture.items():
                torch.testing.assert_close(measured[key], value, rtol=1e-5, atol=1e-9)


def test_calls_inside_context_parallel_that_do_not_tell_their_pairs_are_refused() -> None:
    run_on_ranks(2, refuse_what_hides_keys)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("deepspeed.runtime.sequence_parallel.ulysses_sp", "UlyssesSPAttentionHF.register_with_transformers.wrapper"),
        ("ring_flash_attn.adapters.hf_adapter", "flash_attention_forward"),
        ("elsewhere", "zigzag_attention"),
    ],
)
def test_attention_that_spreads_sequences_by_name_is_refused(module: str, name: str) -> None:
    attention = SimpleNamespace(__module__=module, __qualname__=name)
    with pytest.raises(ValueError, match=naming("LlamaAttention", name, "qk_clip_threshold=None")):
        require_known_sequence("LlamaAttention", attention)
    model = tiny_model("llama_gqa", attn_implementation="sdpa")
    before = AttentionInterface._global_mapping["sdpa"]

    def spreading(*args: Any, **kwargs: Any) -> Any:
        return before(*args, **kwargs)

    spreading.__module__, spreading.__qualname__ = module, name
    AttentionInterface.register("sdpa", spreading)
    try:
        with pytest.raises(ValueError, match=naming("LlamaAttention", name)), capture_max_logits(model):
            model(**random_batch(model))
    finally:
        AttentionInterface.register("sdpa", before)


@pytest.mark.parametrize(
    "attention", AttentionInterface._global_mapping.values(), ids=AttentionInterface._global_mapping
)
def test_attention_of_transformers_is_known(attention: Any) -> None:
    require_known_sequence("LlamaAttention", attention)


def test_context_parallel_by_module_is_refused() -> None:
    _enable_context_parallel_dispatcher()
    try:
        with pytest.raises(ValueError, match=naming("LlamaAttention", "context parallel dispatcher")):
            require_known_sequence("LlamaAttention", AttentionInterface._global_mapping["sdpa"])
    finally:
        _disable_context_parallel_dispatcher()
    require_known_sequence("LlamaAttention", AttentionInterface._global_mapping["sdpa"])
