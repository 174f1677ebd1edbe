"""Max logits on real ranks: whatever part of heads, layers' weights or batches a rank has, all ranks clip alike."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from error_messages import naming
from parallel_models import assert_same_on_all_ranks, between, load, parallel_model, whole
from processes import run_on_ranks
from tiny_models import random_batch, tiny_model
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from hf_muonclip import MuonClip, capture_max_logits, detect_head_layout, qk_clip_
from hf_muonclip.attention import MaxLogitCapture
from hf_muonclip.attention.layout.verify import verify_head_layout

# Heads of one projection each, latent, fused head by head, fused in blocks and gathered, normed as gathered, normed by
# a gain that all ranks hold; experts.
CUT_BY_HEADS = ("llama_gqa", "llama_mha with biases", "gpt_neox", "qwen3", "mixtral")
GATHERED = ("phi3", "olmo2", "deepseek_v3")


def max_logits(model: PreTrainedModel, *batches: dict[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad(), capture_max_logits(model) as logits:
        for batch in batches:
            model(**batch)
    return dict(logits)


def compare_with_whole_model(folders: dict[str, str], sizes: dict[str, int], local_heads: dict[str, int]) -> None:
    groups = sizes.get("fsdp_size", 1)
    for name, folder in folders.items():
        untouched = parallel_model(name)
        model = load(folder, type(untouched).__name__, **sizes)
        batches = [random_batch(untouched, padding="right", seed=seed) for seed in range(2 * groups)]
        expected = max_logits(untouched, *batches)
        optimizer = MuonClip(model, qk_clip_threshold=between(expected), exact_max_logits=True)
        assert optimizer.capture is not None
        assert optimizer.layout is not None
        group = dist.get_rank() // sizes.get("tp_size", 1)
        for batch in batches[2 * group : 2 * group + 2]:
            model(**batch).loss.backward()
        seen = {key: int((value > -torch.inf).sum()) for key, value in optimizer.capture.items()}
        assert set(seen.values()) == {local_heads.get(name, 4)}, (name, seen)
        with mock.patch.object(dist, "all_reduce", wraps=dist.all_reduce) as all_reduce:
            logits = optimizer.clip.collect(torch.device("cpu"))
        assert all_reduce.call_count == 1
        assert logits.keys() == expected.keys()
        for key in expected:
            torch.testing.assert_close(logits[key], expected[key], rtol=1e-5, atol=1e-9)

        threshold = optimizer.config.qk_clip_threshold
        assert threshold is not None
        gammas = qk_clip_(model, optimizer.layout, logits, threshold)
        assert any((gamma < 1).any() for gamma in gammas.values())
        assert_same_on_all_ranks(gammas)
        qk_clip_(untouched, detect_head_layout(untouched), logits, threshold)
        for key, parameter in model.named_parameters():
            assert torch.equal(whole(parameter), untouched.get_parameter(key)), (name, key)
        optimizer.detach()


def saved(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    for name in names:
        parallel_model(name).save_pretrained(folder / name)
    return {name: str(folder / name) for name in names}


@pytest.mark.parametrize(
    ("world_size", "sizes", "names"),
    [
        (2, {"tp_size": 2}, (*CUT_BY_HEADS, *GATHERED)),
        (2, {"tp_size": 2, "ep_size": 2}, ("mixtral", "deepseek_v3")),
        (2, {"fsdp_size": 2, "ep_size": 2}, ("mixtral",)),
        (4, {"fsdp_size": 2, "tp_size": 2}, ("llama_gqa", "gpt_neox", "qwen3")),
        (4, {"fsdp_size": 2, "tp_size": 2, "ep_size": 2}, ("mixtral",)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_max_logits_and_clip_are_those_of_the_whole_model(
    tmp_path: Path, world_size: int, sizes: dict[str, int], names: tuple[str, ...]
) -> None:
    heads = dict.fromkeys(CUT_BY_HEADS, 4 // sizes.get("tp_size", 1))
    run_on_ranks(world_size, compare_with_whole_model, saved(tmp_path, names), sizes, heads)


def step_with_and_without_batches() -> None:
    rank = dist.get_rank()
    model = tiny_model("llama_gqa")
    batches = [random_batch(model, seed=seed) for seed in range(4)]
    expected = max_logits(model, *batches)
    threshold = between(expected)

    # Two micro-batches a rank, gradients exchanged after the second.
    parallel: Any = DistributedDataParallel(tiny_model("llama_gqa"))
    optimizer = MuonClip(parallel, lr=0.0, qk_clip_threshold=threshold)
    with parallel.no_sync():
        parallel(**batches[2 * rank]).loss.backward()
    parallel(**batches[2 * rank + 1]).loss.backward()
    check_step(optimizer, expected)
    optimizer.detach()

    # The second rank saw no batch.
    alone = tiny_model("llama_gqa")
    optimizer = MuonClip(alone, lr=0.0, qk_clip_threshold=threshold, shard_optimizer=False)
    expected = max_logits(model, batches[0])
    if rank == 0:
        alone(**batches[0]).loss.backward()
    else:
        for parameter in alone.parameters():
            parameter.grad = torch.zeros_like(parameter)
    check_step(optimizer, expected)


def check_step(optimizer: MuonClip, expected: dict[str, Tensor]) -> None:
    with mock.patch.object(dist, "all_reduce", wraps=dist.all_reduce) as all_reduce:
        optimizer.step()
    sizes = [call.args[0].numel() for call in all_reduce.call_args_list if call.args[0].is_floating_point()]
    heads = sum(value.numel() for value in expected.values())
    assert len([size for size in sizes if heads <= size <= heads + 3]) == 1  # with what they are for, and a flag
    threshold = optimizer.config.qk_clip_threshold
    assert threshold is not None
    for name, value in expected.items():
        exceeds = value > threshold
        torch.testing.assert_close(optimizer.max_logits[name][exceeds], value[exceeds], rtol=1e-5, atol=1e-9)
        expected_gamma = torch.where(exceeds, threshold / value, 1.0)
        torch.testing.assert_close(optimizer.gammas[name], expected_gamma, rtol=1e-5, atol=1e-9)
    assert any((gamma < 1).any() for gamma in optimizer.gammas.values())
    assert_same_on_all_ranks(optimizer.gammas)


def test_gammas_are_the_same_under_accumulation_and_where_a_rank_saw_no_batch() -> None:
    run_on_ranks(2, step_with_and_without_batches)


def refuse_unknown_heads(folders: dict[str, str]) -> None:
    model = load(folders["llama_gqa"], "LlamaForCausalLM", tp_size=2)
    layout = detect_head_layout(model)
    name = next(iter(layout))
    with pytest.raises(ValueError, match=naming("DTensors")):
        verify_head_layout(model, layout)

    # Queries that are not of the heads whose rows the rank holds.
    module = model.get_submodule(name)
    module.q_proj.weight = torch.nn.Parameter(module.q_proj.weight.redistribute(placements=[Shard(1)]))
    capture = MaxLogitCapture({name: module}, layout=layout)
    length, width = 4, 16
    query, key = torch.randn(1, 2, length, width), torch.randn(1, 1, length, width)
    observe = capture._recorders[name].observe
    with pytest.raises(ValueError, match=naming("2 of 4 heads", "tp_size")):
        observe(module, query, key, key, None, {"scaling": 1.0}, "sdpa")
    capture.reset()

    # A plain tensor that is one rank's part says which rows it holds to nobody.
    module.q_proj.weight = torch.nn.Parameter(torch.randn(32, 64))
    with pytest.raises(ValueError, match=naming("64 rows", "(32, 64)")):
        observe(module, query, key, key, None, {"scaling": 1.0}, "sdpa")
    capture.reset()

    mesh = model.get_submodule("lm_head").weight.device_mesh
    along = [DTensor.from_local(states, mesh, [Shard(2)], run_check=False) for states in (query, key)]
    with pytest.raises(ValueError, match=naming("sequences", "(Shard(dim=2),)")):
        observe(module, *along, along[1], None, {"scaling": 1.0}, "sdpa")
    capture.close()

    model._pp_stage = object()
    with pytest.raises(ValueError, match=naming("pp_size > 1")):
        MuonClip(model)


def measure_compiled(folder: str) -> None:
    whole_model = tiny_model("llama_gqa", num_hidden_layers=1)
    batch = random_batch(whole_model)
    expected = max_logits(whole_model, batch)
    model = load(folder, "LlamaForCausalLM", tp_size=2)
    layout = detect_head_layout(model)
    forwards: list[Any] = [model, torch.compile(model, backend="eager", fullgraph=True)]
    for forward in forwards:
        with capture_max_logits(model, layout) as logits:
            forward(**batch)
            for name, value in expected.items():
                mine = logits[name] > -torch.inf
                assert mine.tolist() == [dist.get_rank() == head // 2 for head in range(4)]
                torch.testing.assert_close(logits[name][mine], value[mine], rtol=1e-5, atol=1e-9)
        with capture_max_logits(model) as logits:
            forward(**batch)
        assert all(value.shape == (2,) for value in logits.values())


def test_without_a_layout_the_heads_of_a_rank_stand_alone_also_in_a_compiled_model(tmp_path: Path) -> None:
    tiny_model("llama_gqa", num_hidden_layers=1).save_pretrained(tmp_path)
    run_on_ranks(2, measure_compiled, str(tmp_path))


def test_what_does_not_tell_its_heads_is_refused(tmp_path: Path) -> None:
    run_on_ranks(2, refuse_unknown_heads, saved(tmp_path, ("llama_gqa",)))
