"""What a step costs each rank: against numbers by hand, and against what real ranks hold and send."""

from collections import Counter
from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_messages import naming
from processes import run_on_ranks
from tiny_models import tiny_model
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from hf_muonclip import MuonClip
from hf_muonclip.inspection.step_cost import Mesh, OptimizerCost, StepCost, count_step
from hf_muonclip.optim.newton_schulz import newton_schulz_flops
from hf_muonclip.optim.parameters.param_groups import PlannedParameter

HEADS = 7
SHAPES = {"a": (6, 5), "experts": (2, 4, 4), "gain": (5,)}
A, EXPERT = (newton_schulz_flops((1, n, m), device=torch.device("meta")) for n, m in ((6, 5), (4, 4)))


def tiny_step(mesh: Mesh) -> StepCost:
    """Return what a matrix, two experts and a gain in float32 cost; updates travel in bfloat16."""
    model = nn.Module()
    for name, shape in SHAPES.items():
        model.register_parameter(name, nn.Parameter(torch.empty(shape, device="meta")))
    plan = [PlannedParameter(n, s, "adamw" if n == "gain" else "muon", n != "gain", "") for n, s in SHAPES.items()]
    return count_step(model, plan, HEADS, mesh)


def sent(cost: OptimizerCost) -> dict[str, list[int]]:
    return {what: nbytes.tolist() for what, nbytes in cost.sent.items() if "all-reduce" not in what}


def test_under_fsdp_a_divided_matrix_goes_to_its_owner_and_experts_stay() -> None:
    step = tiny_step(Mesh.parse("fsdp", 2))
    adamw, replicated, ours = step.optimizers
    # Rank 0 holds 3 rows of a, an expert and 3 entries of the gain; rank 1 has one entry less.
    assert step.weights.tolist() == step.gradients.tolist() == [4 * 34, 4 * 33]
    assert adamw.state.tolist() == [8 * 34, 8 * 33]
    assert replicated.state.tolist() == ours.state.tolist() == [4 * 31 + 8 * 3, 4 * 31 + 8 * 2]
    assert adamw.flops.tolist() == [0, 0]
    assert replicated.flops.tolist() == [A + 2 * EXPERT] * 2
    assert ours.flops.tolist() == [A + EXPERT, EXPERT]
    assert ours.balance == pytest.approx((A + EXPERT) / (A / 2 + EXPERT), abs=0, rel=1e-12)
    # 15 entries of 2 bytes, padded to 8.
    assert sent(ours) == {"all-to-all to owners": [0, 32], "all-to-all back": [32, 0]}
    assert sent(replicated) == {"all-gather of directions": [30 + 32] * 2}
    assert ours.sent["all-reduce of flags"].tolist() == [4 * (2 + 7 * 3 + 3)] * 2
    assert ours.sent["all-reduce of max logits"].tolist() == [4 * (2 + HEADS)] * 2
    assert ours.all_sent.tolist() == [32 + 104 + 36] * 2


def test_copies_of_the_model_send_to_the_owner_once_and_all_get_the_update() -> None:
    step = tiny_step(Mesh.parse("hsdp:2x2", 4))
    ours = step.optimizers[2]
    assert step.weights.tolist() == [4 * 34, 4 * 33] * 2
    assert sent(ours) == {"all-to-all to owners": [0, 32, 0, 0], "all-to-all back": [96, 0, 0, 0]}
    assert ours.flops.tolist() == [A + EXPERT, EXPERT, EXPERT, EXPERT]  # of local experts, every copy does its own


def test_under_ddp_the_stream_of_the_longest_rank_counts() -> None:
    step = tiny_step(Mesh.parse("ddp", 2))
    adamw, replicated, ours = step.optimizers
    assert step.weights.tolist() == [4 * 67] * 2
    assert adamw.state.tolist() == [8 * 67] * 2
    assert replicated.state.tolist() == [4 * 62 + 8 * 5] * 2
    assert sent(replicated) == {}
    # Rank 0 owns a and two entries of the gain, rank 1 both experts and the other three.
    assert ours.flops.tolist() == [A, 2 * EXPERT]
    assert ours.state.tolist() == [4 * 30 + 8 * 2, 4 * 32 + 8 * 3]
    # 60 -> 64 and 8 bytes; 32, 32 and 12 -> 16 bytes.
    assert sent(ours) == {"all-gather of results": [80, 80]}


def test_expert_parallel_ranks_are_neighbours_and_fsdp_may_leave_some_without_experts() -> None:
    step = tiny_step(Mesh.parse("ep=2,fsdp=2", 4))
    # Ranks 0 and 1 have an expert each to orthogonalize anyhow, so the matrix goes to the next.
    assert step.optimizers[2].flops.tolist() == [EXPERT, EXPERT, A, 0]
    assert step.weights.tolist() == [4 * (10 + 16 + 2), 4 * (10 + 16 + 2), 4 * (10 + 1), 0]
    assert step.placements[-1].endswith("2 of 4 ranks hold some")


def test_experts_cut_in_their_second_dimension_are_spread_and_travel() -> None:
    step = tiny_step(Mesh.parse("ep=2,fsdp=2", 4, experts_dim=1))
    ours = step.optimizers[2]
    assert step.weights.tolist() == [4 * (10 + 8 + 2), 4 * (10 + 8 + 2), 4 * (10 + 8 + 1), 4 * 8]
    # Ranks 0 and 2 hold the first expert's halves of 16 bytes, ranks 1 and 3 the second's. Rank 0 owns a, so the
    # experts, of another mesh, go to ranks 1 and 2. Of a, ranks 1 and 2 send two rows of 20 bytes, padded to 24.
    assert ours.flops.tolist() == [A, EXPERT, EXPERT, 0]
    assert sent(ours) == {"all-to-all to owners": [16, 24 + 16, 24 + 16, 16], "all-to-all back": [48, 32, 32, 0]}


def test_times_are_those_of_the_busiest_rank() -> None:
    cost = OptimizerCost("x", torch.zeros(2), torch.tensor([1, 3]) * 10**12, {"y": torch.tensor([10**9, 0])})
    assert cost.seconds(tflops=6, gbps=4) == (0.5, 2.0)


@pytest.mark.parametrize(
    ("text", "world", "message"),
    [
        ("pp=2", 2, naming("mesh", "ddp", "'pp=2'")),
        ("hsdp:2", 2, naming("mesh", "'hsdp:2'")),
        ("hsdp:2xB", 2, naming("mesh", "'fsdp=B'")),
        ("ep=2,ep=2", 4, naming("mesh", "'ep=2'")),
        ("ep=0,fsdp=2", 2, naming("mesh", "'ep=0'")),
        ("replicate=8,shard=256", 2000, naming(8, 256, 2048, 2000, "--world")),
        ("fsdp", 0, naming("world", 1, 0)),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(text: str, world: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mesh.parse(text, world)


def test_words_and_sizes_name_the_same_mesh() -> None:
    assert Mesh.parse("hsdp:8x4", 32) == Mesh.parse("replicate=8,shard=4", 32) == Mesh(replicate=8, fsdp=4)
    assert Mesh.parse("fsdp", 6) == Mesh.parse("fsdp=6", 6)


# Real ranks -----------------------------------------------------------------------------------------------------------


def measure(name: str, kind: str) -> dict[str, Any]:
    """Take two steps on this rank; return bytes of state, and operations and bytes sent by collective in the second."""
    world, rank = dist.get_world_size(), dist.get_rank()
    model: nn.Module = tiny_model(name).train()
    if kind == "ddp":
        model = DistributedDataParallel(model)
    else:
        shape, names = ((2, world // 2), ("replicate", "shard")) if kind != "fsdp" else ((world,), ("shard",))
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
        fully_shard(model, mesh=mesh)
    optimizer = MuonClip(model, ns_dtype="float32")
    counted: Counter[str] = Counter()
    for _ in range(2):
        tokens = torch.randint(1, 128, (2, 8), generator=torch.Generator().manual_seed(rank))
        model(input_ids=tokens, labels=tokens).loss.backward()
        with pytest.MonkeyPatch.context() as patch:
            counted.clear()
            count_bytes(patch, counted, rank)
            with FlopCounterMode(display=False) as flops:
                optimizer.step()
        optimizer.zero_grad()
    moments = [m for state in optimizer.state.values() for key, m in state.items() if key != "step"]
    local = [m.to_local() if isinstance(m, DTensor) else m for m in moments]
    state = sum(m.numel() * m.element_size() for m in local)
    return {"state": state, "flops": flops.get_total_flops(), **counted}


def count_bytes(patch: pytest.MonkeyPatch, counted: Counter[str], rank: int) -> None:
    def wrap(name: str, count: Any) -> None:
        collective = getattr(dist, name, None)
        if collective is not None:
            patch.setattr(dist, name, lambda *args, **kw: (count(*args), collective(*args, **kw))[1])

    def gathered(output: Tensor, own: Tensor, *_: Any) -> None:
        counted["all-gather"] += own.numel() * own.element_size()

    def exchanged(output: Tensor, own: Tensor, into: Any, out: Any, *_: Any) -> None:
        counted["all-to-all"] += sum(nbytes for place, nbytes in enumerate(out) if place != rank)

    def reduced(tensor: Tensor, *_: Any) -> None:
        counted["all-reduce"] += tensor.numel() * tensor.element_size()

    wrap("all_gather_single", gathered)
    wrap("all_gather_into_tensor", gathered)
    wrap("all_to_all_single", exchanged)
    wrap("all_reduce", reduced)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "world", "name"),
    [
        ("ddp", 2, "deepseek_v3"),
        ("ddp", 3, "llama_gqa"),
        ("fsdp", 2, "llama_gqa"),
        ("fsdp", 3, "deepseek_v3"),
        ("hsdp:2x2", 4, "deepseek_v3"),
    ],
)
def test_real_ranks_hold_and_send_what_the_plan_says(name: str, kind: str, world: int) -> None:
    found = run_on_ranks(world, measure, name, kind)
    model = tiny_model(name)
    optimizer = MuonClip(model, ns_dtype="float32")
    heads = sum(layout.num_attention_heads for layout in (optimizer.layout or {}).values())
    step = count_step(model, optimizer.plan, heads, Mesh.parse(kind, world), torch.float32)
    ours = step.optimizers[2]
    assert [of_rank["state"] for of_rank in found] == ours.state.tolist()
    assert [of_rank["flops"] for of_rank in found] == ours.flops.tolist()
    if kind == "ddp":
        streams = [of_rank["all-gather"] * (world - 1) for of_rank in found]
        assert streams == ours.sent["all-gather of results"].tolist()
    else:
        both = ours.sent["all-to-all to owners"] + ours.sent["all-to-all back"]
        assert [of_rank["all-to-all"] for of_rank in found] == both.tolist()
    around = 2 * (world - 1)
    for of_rank in found:
        flags, maxima = of_rank["all-reduce"] - 4 * (2 + heads), 4 * (2 + heads)
        assert ours.sent["all-reduce of flags"].tolist() == [flags * around // world] * world
        assert ours.sent["all-reduce of max logits"].tolist() == [maxima * around // world] * world
