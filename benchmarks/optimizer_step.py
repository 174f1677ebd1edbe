"""How long is one optimizer step on the parameters of real models, and how orthogonal is what it writes?

Every variant steps the same matrices and gradients, in float32, and AdamW (fused) all other parameters, so that totals
compare. Variants take turns within one process, so that a machine whose speed drifts does not decide. Afterwards each
optimizer steps two matrices with a decaying spectrum from zero, once, and what it wrote is compared with U·Vᵀ.

    OMP_NUM_THREADS=2 python benchmarks/optimizer_step.py      # minutes; appends rows to results/optimizer_step.jsonl
    python benchmarks/tables.py                                # renders the newest run into the READMEs

Peers (`peers.py`) that are not importable are left out, and the table says why.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import torch
from measure import append_rows, interleaved, quantiles_ms, ratio_p50
from peers import BASELINE, OURS, OURS_FLOAT32, PEERS, PEERS_LEFT_OUT, Peer, reason_to_leave_out
from torch import Tensor, nn
from torch.optim import Optimizer
from workloads import WORKLOADS, Workload, quick

from hf_muonclip import MuonClip
from hf_muonclip.optim.newton_schulz import newton_schulz_flops, preferred_dtype

ADAMW = "torch.optim.AdamW, fused"
REST = "of each: AdamW for the other parameters"
FLOOR = "of MuonClip's: its products, at the speed of a plain one"
LEARNING_RATE, WEIGHT_DECAY = 1e-5, 0.1
QUALITY_SHAPES = ((576, 1536), (576, 576))
QUALITY_DECADES = 4


def device_type() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def variant_names() -> list[str]:
    """Return every variant that can be chosen, peers first; whether a peer runs here is another question."""
    return [peer.name for peer in PEERS] + [ADAMW, OURS.name]


def build_optimizers(variant: str, load: Workload, rest: Optimizer) -> list[Optimizer]:
    """Return the optimizers that together step all of a workload's parameters; `rest` is for a peer's other ones."""
    if variant == OURS.name:
        return [MuonClip(load.model, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, qk_clip_threshold=None)]
    if variant == ADAMW:
        return [adamw([*load.model.parameters()])]
    peer = next(peer for peer in PEERS if peer.name == variant)
    return [peer.build(load.stacks if peer.takes_stacks else load.matrices, LEARNING_RATE, WEIGHT_DECAY), rest]


def step_all(optimizers: Sequence[Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.step()


def adamw(parameters: Sequence[nn.Parameter]) -> Optimizer:
    return torch.optim.AdamW(parameters, LEARNING_RATE, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY, fused=True)


def changes_gradients(variant: str) -> bool:
    return any(peer.changes_gradients for peer in PEERS if peer.name == variant)


def time_steps(load: Workload, variants: Sequence[str], rounds: int) -> list[dict[str, object]]:
    """Return one row for each variant, for the AdamW that they share, and for the floor."""
    rest = adamw(load.rest)
    steps = {variant: partial(step_all, build_optimizers(variant, load, rest)) for variant in variants}
    steps[REST] = rest.step
    probe, probe_flops = gemm_probe(device_type())
    steps[FLOOR] = probe
    if any(map(changes_gradients, variants)):
        load.keep_gradients()

    spoiled = False

    def prepare(variant: str) -> None:
        # Right before the next variant and not right behind the one that made it necessary: the order changes.
        nonlocal spoiled
        if spoiled:
            load.restore()
        spoiled = changes_gradients(variant)
        load.prepare()

    # A compiler that meets other shapes than at first compiles once more, so the second step is warm-up too.
    left_out: list[dict[str, object]] = []
    for variant, step in list(steps.items()):
        prepare(variant)
        started = time.perf_counter()
        try:
            step()
        except Exception as error:  # of foreign code, which may raise anything; ours and torch's must not
            if not any(peer.name == variant for peer in PEERS if peer.name != BASELINE.name):
                raise
            reason = f"on {load.name} it raises {type(error).__name__}"
            left_out.append({"question": "left out", "model": load.name, "variant": variant, "reason": reason})
            print(f"{load.name}: {variant} is left out: {reason}", flush=True)
            del steps[variant]
            continue
        print(f"{load.name}: {variant} is warm after {time.perf_counter() - started:.1f} s", flush=True)
    seconds, _ = interleaved(steps, rounds, prepare=prepare)
    floor = gemm_floor(load.shapes(), probe_flops, device_type())
    seconds[FLOOR] = [floor * probe_seconds for probe_seconds in seconds[FLOOR]]
    baseline = BASELINE.name if BASELINE.name in seconds else next(iter(seconds))
    numel = sum(parameter.numel() for parameter in load.model.parameters())
    rows: list[dict[str, object]] = [
        {
            "question": "step",
            "model": load.name,
            "shape": f"{sum(m.numel() for m in load.matrices):,} of {numel:,} weights in {len(load.matrices)} matrices",
            "variant": variant,
            "version": version(variant),
            "baseline": baseline,
            "ratio_p50": ratio_p50(measured, seconds[baseline]),
            **quantiles_ms(measured),
            "rounds": rounds,
            "dtype": "float32",
        }
        for variant, measured in seconds.items()
    ]
    if OURS.name in seconds:
        next(row for row in rows if row["variant"] == FLOOR)["ours_ratio_p50"] = ratio_p50(
            seconds[OURS.name], seconds[FLOOR]
        )
    return [*rows, *left_out]


def version(variant: str) -> str:
    return next((peer.version() for peer in (*PEERS, OURS) if peer.name == variant), "")


def gemm_probe(device: str) -> tuple[Callable[[], None], int]:
    """Return products that keep the device at its full speed, in the dtype that MuonClip takes, and their FLOPs."""
    size, repeats = (4096, 20) if device == "cuda" else (1024, 20)
    dtype = preferred_dtype(torch.device(device))
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)

    def probe() -> None:
        for _ in range(repeats):
            torch.mm(left, right, out=product)

    return probe, 2 * size**3 * repeats


def gemm_floor(shapes: Mapping[tuple[int, int], int], probe_flops: int, device: str) -> float:
    """Return how many times the probe's FLOPs MuonClip's products take, in the dtype that it takes on the device."""
    flops = sum(newton_schulz_flops((count, *shape), device=torch.device(device)) for shape, count in shapes.items())
    return flops / probe_flops


def decaying_matrix(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return a matrix like a momentum, its singular values evenly spread over decades, and its U·Vᵀ, float64."""
    generator = torch.Generator().manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(shape, generator=generator, dtype=torch.float64), full_matrices=False)
    values = torch.logspace(0, -QUALITY_DECADES, min(shape), dtype=torch.float64)
    return u * values @ vh, u @ vh


def orthogonality(peer: Peer, shape: tuple[int, int], device: str) -> dict[str, object]:
    """Step one matrix from zero and compare what was written, at its best scale, with U·Vᵀ."""
    momentum, target = decaying_matrix(shape)
    matrix = nn.Parameter(torch.zeros(shape, device=device))
    matrix.grad = momentum.to(device, torch.float32)
    peer.build([matrix], 1.0, 0.0).step()
    written = -matrix.detach().cpu().double()
    written *= (written * target).sum() / written.square().sum()
    values = torch.linalg.svdvals(written)
    return {
        "question": "quality",
        "model": f"{shape[0]}x{shape[1]}",
        "shape": f"{shape[0]}x{shape[1]}, singular values over {QUALITY_DECADES} decades",
        "variant": peer.name,
        "version": peer.version(),
        "orthogonality_error": round(((written - target).norm() / target.norm()).item(), 4),
        "smallest_singular_value": round(values.min().item(), 4),
        "largest_singular_value": round(values.max().item(), 4),
    }


def main() -> None:
    device = device_type()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20 if device == "cuda" else 3)
    parser.add_argument("--models", nargs="+", choices=list(WORKLOADS), default=quick(device))
    parser.add_argument("--variants", nargs="+", choices=variant_names(), default=variant_names())
    arguments = parser.parse_args()
    torch.manual_seed(0)
    left_out = dict(PEERS_LEFT_OUT)
    for peer in PEERS:
        if peer.name in arguments.variants and (reason := reason_to_leave_out(peer, device)):
            left_out[peer.name] = reason
    variants = [variant for variant in arguments.variants if variant not in left_out]
    rows: list[dict[str, object]] = [
        {"question": "left out", "model": "", "variant": name, "reason": reason} for name, reason in left_out.items()
    ]
    for peer in (*PEERS, OURS, OURS_FLOAT32):
        if peer.name in variants or (peer is OURS_FLOAT32 and OURS.name in variants):
            rows += [orthogonality(peer, shape, device) for shape in QUALITY_SHAPES]
    for key in arguments.models:
        rows += time_steps(WORKLOADS[key](device), variants, arguments.rounds)
    run = datetime.now(UTC).isoformat(timespec="seconds")
    append_rows("optimizer_step", [row | {"run": run} for row in rows])
    for row in rows:
        said = row.get("reason") or row.get("ratio_p50") or f"error {row['orthogonality_error']}"
        print(f"{row['question']:8} {row['model']:28} {row['variant']:40} {said}")


if __name__ == "__main__":
    main()
