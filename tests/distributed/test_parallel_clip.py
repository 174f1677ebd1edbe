"""The clip on real ranks: what each writes into its shards is bit for bit the clip of the whole model."""

import copy
from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_messages import naming
from parallel_models import parallel_model, shard, whole
from processes import run_on_ranks
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.placement_types import _StridedShard

from hf_muonclip import detect_head_layout, qk_clip_
from hf_muonclip.attention import AttentionLayout, HeadLayout, HeadRows

NAMES = ("llama_mha with biases", "deepseek_v3", "qwen3", "olmo2", "gemma3", "gpt_neox", "gpt2")


def uneven_logits(layout: HeadLayout) -> dict[str, torch.Tensor]:
    """Return max logits of which every second head, another in each layer, exceeds 100, each by a factor of its own."""
    logits = {}
    for index, (name, attention) in enumerate(layout.items()):
        heads = torch.arange(attention.num_attention_heads)
        logits[name] = torch.where((heads + index) % 2 == 0, 110.0 + 37 * heads + 5 * index, 50.0)
    return logits


def clip_sharded_models(how: str, names: tuple[str, ...]) -> None:
    for name in names:
        model = parallel_model(name)
        untouched = copy.deepcopy(model)
        sharded = shard(model, how)
        layout = detect_head_layout(sharded)
        assert str(layout) == str(detect_head_layout(model)), name
        logits = uneven_logits(layout)
        expected_gammas = qk_clip_(model, layout, logits, alpha=0.3)
        with CommDebugMode() as communication:
            gammas = qk_clip_(sharded, layout, logits, alpha=0.3)
        assert communication.get_total_counts() == 0, name
        assert all(torch.equal(gammas[module], expected_gammas[module]) for module in layout)
        changed = set()
        for key, parameter in sharded.named_parameters():
            assert isinstance(parameter, DTensor) or parameter.ndim < 2, key
            assert torch.equal(whole(parameter), model.get_parameter(key)), (name, key)
            if not torch.equal(model.get_parameter(key), untouched.get_parameter(key)):
                changed.add(key)
        named = {f"{module}.{rows.parameter}" for module in layout for rows in layout[module].head_rows}
        assert changed == named, name


# Three ranks divide neither 64 rows, nor a head of 16, nor 4 heads.
@pytest.mark.parametrize(
    ("world_size", "how"), [(3, "fsdp"), (3, "rows"), (3, "columns"), (4, "hsdp"), (4, "fsdp and rows")]
)
def test_the_clip_of_shards_is_the_clip_of_the_whole(world_size: int, how: str) -> None:
    run_on_ranks(world_size, clip_sharded_models, how, NAMES)


def read_layout_of_sharded_modules() -> None:
    mesh = init_device_mesh("cpu", (2,))
    for name in NAMES:
        model = parallel_model(name)
        expected = str(detect_head_layout(model))
        for module in list(model.modules())[::-1]:
            if any(True for _ in module.parameters(recurse=False)) or type(module).__name__.endswith("Attention"):
                fully_shard(module, mesh=mesh)  # attention, projections and norms each on their own
        assert str(detect_head_layout(model)) == expected


def test_the_layout_is_read_whatever_modules_fsdp_wraps() -> None:
    run_on_ranks(2, read_layout_of_sharded_modules)


def one_attention(rows: int, **weights: Any) -> tuple[nn.Module, HeadLayout]:
    """Return a model of one attention module with two heads in `rows` rows of each weight."""
    module = nn.Module()
    heads = (range(rows // 2), range(rows // 2, rows))
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight if isinstance(weight, DTensor) else weight.clone()))
    head_rows = tuple(
        HeadRows(name, heads, role, offset=float(name == "gain"))
        for name, role in zip(weights, ("query", "key", "query of shared key"), strict=False)
    )
    layout = AttentionLayout("attention", "Module", "by hand", 2, 2, rows // 2, head_rows)
    return nn.ModuleDict({"attention": module}), HeadLayout({"attention": layout})


def clip_odd_shards() -> None:
    mesh = init_device_mesh("cpu", (2, 2))
    logits = {"attention": torch.tensor([150.0, 400.0])}
    # Two rows leave ranks empty; rows of a packed weight are no box.
    for rows, placements in (
        (2, [Shard(0), Shard(0)]),
        (6, [Shard(0), Replicate()]),
        (6, [Replicate(), _StridedShard(0, split_factor=2)]),
        (10, [_StridedShard(0, split_factor=2), Shard(0)]),
        (6, [Shard(1), Shard(0)]),
    ):
        weights = {name: torch.randn(rows, 5, generator=torch.Generator().manual_seed(3)) for name in ("q", "k")}
        weights["gain"] = torch.linspace(-1, 1, rows)
        model, layout = one_attention(rows, **weights)
        cut = {
            name: distribute_tensor(
                weight, mesh, [p if _cuts(p, weight.ndim) else Replicate() for p in placements], src_data_rank=None
            )
            for name, weight in weights.items()
        }
        sharded, _ = one_attention(rows, **cut)
        qk_clip_(model, layout, logits)
        qk_clip_(sharded, layout, logits)
        for name in weights:
            parameter = sharded.get_parameter(f"attention.{name}")
            expected = distribute_tensor(
                model.get_parameter(f"attention.{name}").detach(), mesh, parameter.placements, src_data_rank=None
            )
            assert torch.equal(parameter.to_local(), expected.to_local()), (rows, placements, name)
            assert not torch.equal(model.get_parameter(f"attention.{name}"), weights[name])


def _cuts(placement: Any, ndim: int) -> bool:
    return placement.is_replicate() or placement.dim < ndim


def test_shards_that_are_empty_strided_or_of_both_dimensions() -> None:
    run_on_ranks(4, clip_odd_shards)


def refuse_what_no_rank_holds() -> None:
    mesh = init_device_mesh("cpu", (2,))
    logits = {"attention": torch.tensor([150.0, 400.0])}
    summand = DTensor.from_local(torch.ones(4, 3), mesh, [Partial()], run_check=False)
    part = torch.ones(2, 3)  # one rank's rows, and does not say so
    mislaid = DTensor.from_local(torch.ones(3, 3), mesh, [Shard(0)], run_check=False, shape=(4, 3), stride=(3, 1))
    for weight, message in (
        (summand, naming("DTensor", "(4, 3)", "(Partial")),
        (part, naming("4 rows", "(2, 3)", "DTensor")),
        (mislaid, naming("2 rows", 3)),
    ):
        model, layout = one_attention(4, q=weight)
        before = copy.deepcopy(weight)
        with pytest.raises(ValueError, match=message) as refusal:
            qk_clip_(model, layout, logits)
        assert "qk_clip_threshold=None" in str(refusal.value)
        after = model.get_parameter("attention.q")
        local = [t.to_local() if isinstance(t, DTensor) else t for t in (before, after)]
        assert torch.equal(*local)
    dist.barrier()


def test_weights_that_no_rank_holds_rows_of_are_refused() -> None:
    run_on_ranks(2, refuse_what_no_rank_holds)
