"""What is generated of the pages is up to date, and the benchmarks measure what they name."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from error_messages import naming
from tiny_models import tiny_model
from torch import nn
from transformers import Trainer

from hf_muonclip import MuonClip
from hf_muonclip.optim import newton_schulz
from hf_muonclip.optim.matrix_view import PLAIN

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # last: coverage.py there must not hide the package of that name

import headlines  # noqa: E402
import memory  # noqa: E402
import optimizer_step  # noqa: E402
import orthogonalize  # noqa: E402
import orthogonalize_figures  # noqa: E402
import overhead  # noqa: E402
import peers  # noqa: E402
import tables  # noqa: E402
import workloads  # noqa: E402

VERSIONS = {"torch": "2", "transformers": "5", "commit": "abc", "date": "2026-01-01"}
PEERS_IN_TORCH = [peer.name for peer in peers.PEERS if peer.module == "torch"]


@pytest.fixture
def load() -> workloads.Workload:
    return workloads.workload("tiny", tiny_model("deepseek_v3"))


def test_generated_pages_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    tables.main()  # or it exits with what is not


def test_captured_variants_really_capture() -> None:
    variants, meter = overhead.capture_variants(tiny_model("llama_gqa"), 1, 32)
    _, metered = overhead.interleaved(variants, 2, meter)
    assert all(seconds == 0 for seconds in metered["no capture"])
    assert all(seconds > 0 for name in ("screened", "always exact") for seconds in metered[name])


def test_the_callback_is_timed_where_it_is_and_a_log_takes_more_than_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, int] = {}
    timed_steps = overhead.timed_steps

    def watched(trainer: Trainer) -> tuple[float, float]:
        found = timed_steps(trainer)
        logged[Path(trainer.args.output_dir).name] = sum(
            "qk_clip/max_logit" in log for log in trainer.state.log_history
        )
        return found

    monkeypatch.setattr(overhead, "timed_steps", watched)
    made = overhead.callback_rows(lambda: tiny_model("llama_gqa"), "tiny", 32, 2, tmp_path)
    rows = {row["variant"]: row for row in made}
    between, without, each, none = (
        f"{who}, {when}" for when in ("between logs", "a log every step") for who in ("callback", "no callback")
    )
    assert logged == {between: 0, without: 0, each: overhead.STEPS + 1, none: 0}
    assert rows[without]["share_p50"] == rows[none]["share_p50"] == 0
    assert 0 < rows[between]["share_p50"] < rows[each]["share_p50"] < 1
    assert [rows[name]["baseline"] for name in (between, each)] == [without, none]
    shown = tables.callback_table([row | {"device": "a chip", "threads": 1} | VERSIONS for row in made])
    assert f"| callback, between logs, 1x32 tokens | tiny | {rows[between]['ratio_p50']:.3f} |" in shown
    assert "a chip, threads: 1, torch 2" in shown
    assert tables.callback_table([]) == ""


def matrices_of(load: workloads.Workload) -> list[torch.Tensor]:
    """Return the model's own matrices as they are now, in the order of `load.matrices`."""
    planned = MuonClip(load.model, qk_clip_threshold=None)
    return [
        matrix
        for group in planned.param_groups
        if group["algorithm"] == "muon"
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
        for stack in workloads.stacked(parameter.detach(), planned.views[name])
        for matrix in stack.clone()
    ]


def test_matrices_and_stacks_are_the_models(load: workloads.Workload) -> None:
    for parameters in (
        load.matrices,
        [matrix for stack in load.stacks for matrix in workloads.stacked(stack, PLAIN)[0]],
    ):
        for matrix, owned in zip(parameters, matrices_of(load), strict=True):
            torch.testing.assert_close(matrix.detach(), owned, atol=0.0, rtol=0.0)
    weights = sum(parameter.numel() for parameter in load.model.parameters())
    assert sum(parameter.numel() for parameter in (*load.matrices, *load.rest)) == weights
    assert {matrix.ndim for matrix in load.matrices} == {2}
    assert 3 in {stack.ndim for stack in load.stacks}
    pointers = {parameter.untyped_storage().data_ptr() for parameter in load.model.parameters()}
    shared = sum(m.numel() for m in load.matrices if m.untyped_storage().data_ptr() in pointers)
    assert shared > 0.8 * sum(m.numel() for m in load.matrices)


@pytest.mark.parametrize("variant", [*PEERS_IN_TORCH, optimizer_step.ADAMW, optimizer_step.OURS.name])
def test_every_variant_steps_every_parameter(variant: str, load: workloads.Workload) -> None:
    whole = variant not in PEERS_IN_TORCH
    parameters = list(load.model.parameters()) if whole else [*load.matrices, *load.rest]
    before = [parameter.detach().clone() for parameter in parameters]
    rest = optimizer_step.adamw(load.rest)
    optimizer_step.step_all(optimizer_step.build_optimizers(variant, load, rest))
    for parameter, old in zip(parameters, before, strict=True):
        assert (parameter != old).float().mean() > 0.9, parameter.shape


def test_muon_steps_the_same_matrices_in_every_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(newton_schulz.COEFFICIENT_SETS, "minimax", (newton_schulz.JORDAN_COEFFICIENTS,))  # as torch's
    monkeypatch.setitem(newton_schulz.DEFAULT_STEPS, "minimax", 5)
    written = []
    for variant in (*PEERS_IN_TORCH, optimizer_step.OURS.name):
        torch.manual_seed(0)
        load = workloads.workload("tiny", tiny_model("deepseek_v3"))
        before = matrices_of(load)
        optimizer_step.step_all(optimizer_step.build_optimizers(variant, load, optimizer_step.adamw(load.rest)))
        after = load.matrices if variant in PEERS_IN_TORCH else matrices_of(load)
        written.append([new.detach() - old for new, old in zip(after, before, strict=True)])
    for theirs, ours in zip(*written, strict=True):
        # A step of 1e-5 in float32 and products in bfloat16 agree in direction, not in every digit.
        assert nn.functional.cosine_similarity(theirs.flatten(), ours.flatten(), dim=0) > 0.98


def test_gradients_that_an_optimizer_takes_or_writes_come_back(load: workloads.Workload) -> None:
    load.keep_gradients()
    parameters = [*load.model.parameters(), *load.matrices, *load.stacks]
    before = [parameter.grad.clone() for parameter in parameters]
    for parameter in parameters:
        if parameter.grad is not None:  # a model's parameter is a matrix too
            parameter.grad.add_(1.0)
            parameter.grad = None
    load.restore()
    load.prepare()
    for parameter, gradient in zip(parameters, before, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=0.0, rtol=0.0)


def test_a_step_is_timed_for_every_variant(load: workloads.Workload) -> None:
    variants = [*PEERS_IN_TORCH, optimizer_step.ADAMW, optimizer_step.OURS.name]
    rows = {row["variant"]: row for row in optimizer_step.time_steps(load, variants, 2)}
    assert set(rows) >= {*variants, optimizer_step.REST}
    assert rows["torch.optim.Muon"]["ratio_p50"] == 1.0
    assert all(row["p20_ms"] <= row["p50_ms"] <= row["p80_ms"] for row in rows.values())
    assert rows[optimizer_step.FLOOR]["ours_ratio_p50"] > 1


def test_the_error_of_an_update_is_that_of_what_was_written() -> None:
    class Exact(torch.optim.SGD):
        """Writes -3·U·Vᵀ."""

        @torch.no_grad()
        def step(self) -> None:
            (matrix,) = self.param_groups[0]["params"]
            u, _, vh = torch.linalg.svd(matrix.grad.double(), full_matrices=False)
            matrix.sub_(3.0 * (u @ vh))

    def exact(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Exact:
        return Exact(matrices, lr)

    def untouched(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.SGD:
        return torch.optim.SGD(matrices, lr)

    row = optimizer_step.orthogonality(peers.Peer("exact", "torch", exact), (24, 40), "cpu")
    # The matrix holds singular values down to 1e-4 in float32.
    assert row["orthogonality_error"] < 0.01
    assert row["smallest_singular_value"] == pytest.approx(row["largest_singular_value"], abs=0.02)
    row = optimizer_step.orthogonality(peers.Peer("no Muon", "torch", untouched), (24, 40), "cpu")
    assert row["orthogonality_error"] > 0.5


def test_the_floor_counts_the_products_of_every_matrix() -> None:
    # Square and small, so nothing is halved and no step in the Gram form: X·Xᵀ and P·X for three steps, and for P two,
    # two and three products.
    def flops(n: int) -> int:
        return (3 * 2 + 2 + 2 + 3) * 2 * n**3

    floor = optimizer_step.gemm_floor({(8, 8): 4, (16, 16): 2}, 17, "cpu")
    assert floor == pytest.approx((4 * flops(8) + 2 * flops(16)) / 17)


def test_a_peer_that_cannot_run_is_named_with_the_reason() -> None:
    def broken(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
        raise RuntimeError("no such kernel\nand more lines")

    assert peers.reason_to_leave_out(peers.BASELINE, "cpu") == ""
    absent = peers.Peer("absent", "not_a_module_of_anyone", peers.torch_muon)
    assert peers.reason_to_leave_out(absent, "cpu") == "ModuleNotFoundError: No module named 'not_a_module_of_anyone'"
    assert peers.reason_to_leave_out(peers.Peer("broken", "torch", broken), "cpu") == "RuntimeError: no such kernel"
    gpu = peers.Peer("gpu", "torch", peers.torch_muon, needs_cuda="it says so")
    assert peers.reason_to_leave_out(gpu, "cpu") == "needs a GPU: it says so"


def test_memory_counts_state_once_and_temporaries_at_their_peak(load: workloads.Workload) -> None:
    row = memory.measured(load, optimizer_step.ADAMW)
    weights = sum(parameter.numel() for parameter in load.model.parameters())
    steps = len(list(load.model.parameters()))
    assert row["state_bytes"] == 4 * (2 * weights + steps)

    def step() -> None:
        held = torch.zeros(1000)
        torch.zeros(2000)
        torch.zeros(500) + held[:500]

    assert memory.peak_temporary_bytes(step) == pytest.approx(4 * 3000, abs=1000)
    if (growth := memory.process_growth_bytes(lambda: torch.zeros(2**24))) is not None:
        assert growth == pytest.approx(2**26, rel=0.05)


def test_tables_show_the_newest_run_and_who_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = {"device": "a chip", "threads": 1, "torch": "2", "commit": "abc", "date": "2026-01-01"}
    step = {"question": "step", "model": "tiny", "shape": "8 weights", "baseline": "A", "version": "1", "p20_ms": 1.0}
    step |= {"p50_ms": 2.0, "p80_ms": 3.0}
    quality = {"question": "quality", "model": "2x2", "shape": "2x2", "variant": "A", "version": "1"}
    quality |= {"orthogonality_error": 0.25, "smallest_singular_value": 0.5, "largest_singular_value": 1.1}
    held = {"question": "memory", "model": "tiny", "version": "1", "parameter_bytes": 2**20}
    held |= {"peak_temporary_bytes": 2**19, "process_growth_bytes": None}
    written = {
        "optimizer_step": [
            {**step, "variant": "old", "ratio_p50": 9.0, "run": "1"},
            {**step, "variant": "A", "ratio_p50": 1.0, "run": "2"},
            {**step, "variant": "B", "ratio_p50": 0.5, "run": "2"},
            {**quality, "run": "2"},
            {"question": "left out", "model": "", "variant": "C", "reason": "it is gone", "run": "2"},
        ],
        "memory": [
            {**held, "variant": "AdamW", "state_bytes": 2**21, "run": "2"},
            {**held, "variant": "B", "state_bytes": 2**20, "run": "2"},
        ],
    }
    monkeypatch.setattr(tables, "HERE", tmp_path)
    assert tables.memory_table().startswith("Nothing measured")
    (tmp_path / "results").mkdir()
    for name, rows in written.items():
        lines = "".join(json.dumps(row | stamp) + "\n" for row in rows)
        (tmp_path / "results" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    shown = tables.optimizer_step_table()
    assert "old" not in shown
    assert shown.index("| tiny | B | 0.500 |") < shown.index("| tiny | A | 1.000 | 2.0 ms (1.0 to 3.0) |")
    assert "| 2x2 | A | 0.250 | 0.500 to 1.100 |" in shown
    assert "Left out: C (it is gone)." in shown
    assert "| tiny | B | 0.500 | 0.500 | 1.0 MiB | 0.5 MiB |  |" in tables.memory_table()


CPU = torch.device("cpu")


def orthogonalizations() -> dict[str, orthogonalize.Method]:
    methods = [
        orthogonalize.ours(name, torch.float32, CPU, singly)
        for name in newton_schulz.COEFFICIENT_SETS
        for singly in (0, 1)
    ]
    methods.append(orthogonalize.Method(orthogonalize.BASELINE, orthogonalize.torch_function, torch.bfloat16))
    return {method.name.replace(", float32", ""): method for method in methods}


def test_orthogonalizations_are_what_they_are_called() -> None:
    matrices = torch.randn(2, 128, 512, generator=torch.Generator().manual_seed(0))
    methods = orthogonalizations()
    more = orthogonalize.ours("minimax", torch.float32, CPU, steps=4)
    assert more.name.startswith("minimax, 4 steps")
    assert torch.equal(more.run(matrices), newton_schulz.newton_schulz(matrices, "minimax", 4, dtype=torch.float32))
    for name in newton_schulz.COEFFICIENT_SETS:
        expected = newton_schulz.newton_schulz(matrices, name, dtype=torch.float32)
        assert torch.equal(methods[name].run(matrices), expected)
        singly = methods[name + orthogonalize_figures.SINGLY]
        assert not singly.same_as(128, 512)
        # Rounding alone tells the two forms apart.
        assert not torch.equal(singly.run(matrices), expected)
        torch.testing.assert_close(singly.run(matrices), expected, atol=2e-3, rtol=2e-3)
        assert singly.same_as(128, 128) == methods[name].name
    jordan, theirs = methods["jordan"].run(matrices), methods[orthogonalize.BASELINE].run(matrices).float()
    assert 0 < (jordan - theirs).norm() / jordan.norm() < 0.03


def test_the_package_plans_again_after_an_error_in_one_by_one() -> None:
    planned = newton_schulz._plan

    def interrupted() -> None:
        with orthogonalize.one_by_one():
            assert newton_schulz._plan is not planned
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert newton_schulz._plan is planned


def test_a_floor_is_its_flops_at_the_rate_of_plain_products() -> None:
    batch, n, m = 3, 8, 32
    seconds = {"long float32": [2.0, 4.0], "square float32": [1.0, 1.0]}
    flops = (5 * 2 * batch * n * n * m, 7 * 2 * batch * n**3)  # five products with the long side, seven without
    for shape in ((batch, n, m), (batch, m, n)):
        assert orthogonalize.floors(flops, shape, seconds, "float32") == pytest.approx([17.0, 27.0])
    assert orthogonalize.torch_flops((batch, m, n)) == (10 * 2 * batch * n * n * m, 5 * 2 * batch * n**3)
    # Jordan's steps one by one, with nothing halved at this size, take what torch's take.
    singly = orthogonalize.ours("jordan", torch.float32, CPU, singly=True)
    assert singly.flops is not None
    assert singly.flops((batch, n, m)) == orthogonalize.torch_flops((batch, n, m))


def test_accuracy_is_the_distance_to_the_polar_factor() -> None:
    inputs = {name: orthogonalize.synthetic(name, 24, 40) for name in ("random", "low rank", "decaying", "dominated")}
    ranks = {name: int(orthogonalize.polar_factor(matrix.double())[1]) for name, matrix in inputs.items()}
    assert ranks == {"random": 24, "low rank": 3, "decaying": 24, "dominated": 24}
    values = torch.linalg.svdvals(inputs["dominated"])
    assert values[0] / values[1] == pytest.approx(orthogonalize.DOMINANCE, rel=1e-3)
    exact = orthogonalize.Method("exact", lambda x: orthogonalize.polar_factor(x)[0], torch.float32)
    twice = orthogonalize.Method("twice", lambda x: 2 * exact.run(x), torch.float32)
    rows = orthogonalize.accuracy_rows([exact, twice], {name: [matrix] for name, matrix in inputs.items()}, CPU)
    for row in rows:
        assert row["error"] == pytest.approx(0.0 if row["variant"] == "exact" else 1.0, abs=1e-3)
        size = 1.0 if row["variant"] == "exact" else 2.0
        assert [row[key] for key in ("smallest", "p1", "p50", "largest")] == pytest.approx([size] * 4, abs=1e-3)


def test_orthogonalizations_are_timed_a_matrix_beside_their_floors() -> None:
    named = orthogonalizations()
    methods = list(named.values())
    measured, floor = orthogonalize.time_shape((2, 16, 48), methods, 2, CPU)
    assert set(measured) == {method.name for method in methods}
    assert all(seconds > 0 for rounds in measured.values() for seconds in rounds)
    assert set(floor) == {method.name for method in methods if method.flops}
    square, _ = orthogonalize.time_shape((2, 16, 16), methods, 2, CPU)
    assert square[named["jordan, one by one"].name] is square[named["jordan"].name]


def test_recorded_momentum_is_every_matrix_of_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = torch.randint(64, (8, 16), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(orthogonalize, "corpus", lambda vocab_size, length: (blocks, blocks))
    kept = orthogonalize.recorded_momentum(steps=2, layers=1, hidden_size=36)
    shapes = sorted(tuple(matrix.shape) for matrix in kept)
    assert shapes == sorted([(36, 36), (12, 36), (12, 36), (36, 36), (96, 36), (96, 36), (36, 96)])
    assert all(matrix.dtype == torch.float32 and matrix.isfinite().all() for matrix in kept)


def test_the_orthogonalize_table_says_what_beats_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = {"device": "a chip", "threads": 1, "torch": "2", "commit": "abc", "date": "2026-01-01", "run": "1"}
    figures = {"torch.optim.Muon": (1.0, 0.3), "minimax": (0.5, 0.2), "jordan": (0.6, 0.1)}
    rows = []
    for variant, (ratio, error) in figures.items():
        floor = {"floor_ms": 1.0, "floor_ratio_p50": 0.4, "share_of_floor": 0.4 / ratio}
        quantiles = {"p20_ms": 1.0, "p50_ms": 2.0, "p80_ms": 3.0}
        for model in (orthogonalize_figures.MODEL, orthogonalize_figures.LARGE):
            rows.append({"question": "time", "model": model, "shape": "x", "ratio_p50": ratio, **quantiles, **floor})
            rows[-1] |= {"variant": variant}
        for name in orthogonalize_figures.INPUTS:
            rows.append({"question": "accuracy", "model": name, "shape": "y", "variant": variant, "error": error})
            rows[-1] |= {"smallest": 0.1, "p1": 0.2, "p50": 0.9, "largest": 1.1}
    monkeypatch.setattr(tables, "HERE", tmp_path)
    assert tables.orthogonalize_table("").startswith("Nothing measured")
    (tmp_path / "results").mkdir()
    lines = "".join(json.dumps(row | stamp) + "\n" for row in rows)
    (tmp_path / "results" / "orthogonalize.jsonl").write_text(lines, encoding="utf-8")
    shown = tables.orthogonalize_table("")
    assert (
        "| **minimax** | 0.50 | 0.50 | 0.200 | 0.200 | 0.200 | 0.200 | 0.200 | 0.10, 0.20, 0.90, 1.10 | 80% |" in shown
    )
    assert "jordan (0.60, 0.100)" in shown
    faster = [row | ({"ratio_p50": 0.4} if row["variant"] == "jordan" else {}) for row in rows]
    assert orthogonalize_figures.better(faster) == ["jordan"]
    assert "jordan (0.40" in orthogonalize_figures.sentence(faster)
    picture = orthogonalize_figures.draw([row | stamp for row in rows], tmp_path / "picture.png")
    assert 0 < picture.stat().st_size < 120_000


def test_headlines_are_ratios_of_the_rows() -> None:
    step = {"question": "step", "baseline": "B"}
    steps = [
        {**step, "variant": v, "model": m, "ratio_p50": r}
        for v, m, r in (("B", "tiny", 1.0), ("MuonClip", "tiny", 0.5))
    ]
    assert re.search(naming("B", "0.50", "tiny"), headlines.of_steps(steps))
    timed = {"question": "callback", "model": "tiny", "baseline": "no callback, between logs"}
    callback = [
        {**timed, "variant": "no callback, between logs", "share_p50": 0.0},
        {**timed, "variant": "callback, between logs", "share_p50": 0.005},
    ]
    assert re.search(naming("tiny", "0.50%"), headlines.of_callback(callback))
    assert headlines.of_callback([]) == ""
    held = {"question": "memory", "model": "tiny", "parameter_bytes": 1000, "peak_temporary_bytes": 25}
    memories = [
        {**held, "variant": "MuonClip", "state_bytes": 60},
        {**held, "variant": "fused AdamW", "state_bytes": 80},
    ]
    assert re.findall(r"[\d.]+%", headlines.of_memory(memories)) == ["75%", "2.5%"]
    rank = {"flops_busiest": 3, "flops_all_ranks": 12, "state_busiest": 3, "state_all_ranks": 10}
    ranks = [{**rank, "variant": "MuonClip", "model": "4 ranks, FSDP2"}]
    assert re.findall(r"\d+%", headlines.of_ranks(ranks)) == ["25%", "30%"]
    engine = {"same_function": True, "greedy_equal": 9, "greedy_tokens": 10}
    engines = [{**engine, "dtype": "float32", "largest": 1e-6}, {**engine, "dtype": "bfloat16", "largest": 1.0}]
    assert re.search(naming("9 of 10", "1e-06"), headlines.of_engines(engines))
    found = [{"status": status} for status in ("passes", "passes", "fails", "no softmax attention")]
    assert re.search(naming(2, 3), headlines.of_coverage(found))
