"""Which orthogonalization is the most accurate for its time, and how near is it to what its products alone cost?

torch.optim.Muon's Newton–Schulz, ours with every set of coefficients (also with every step taken one by one, where the
Gram form is what is used otherwise), and an SVD take turns on the shapes of real models. So do plain products of the
same shapes and dtypes: the FLOPs of a method at their rate, measured in the same rounds, are its floor. What they make
of given matrices, among them momentum of a short training run, is compared with U·Vᵀ of an SVD in float64.

    OMP_NUM_THREADS=2 python benchmarks/orthogonalize.py   # appends rows to results/orthogonalize.jsonl, then draws
    python benchmarks/orthogonalize.py --plot              # draws the picture from the rows alone
    python benchmarks/tables.py                            # renders the newest run into the READMEs

Other people's functions (`PEER_FUNCTIONS`) run where `peers.py` says that their packages do; the table names the rest.
"""

import argparse
import importlib.util
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import torch
from convergence import Settings, batches, corpus
from measure import append_rows, interleaved, quantiles_ms, ratio_p50
from orthogonalize_figures import BASELINE, DEFAULT, EXACT, INPUTS, MODEL, PICTURE, SINGLY, draw, read_rows
from peers import PEERS, reason_to_leave_out
from torch import Tensor
from torch.optim._muon import _zeropower_via_newtonschulz
from transformers import LlamaConfig, LlamaForCausalLM

from hf_muonclip import MuonClip
from hf_muonclip.optim import newton_schulz
from hf_muonclip.optim.batching import MOST_ON_ONE_THREAD
from hf_muonclip.optim.symmetric_matmul import symmetric_flops
from hf_muonclip.optim.thread_per_batch import for_each_batch

LAYERS = 30
SMOLLM2 = {(576, 1536): LAYERS, (1536, 576): 2 * LAYERS, (576, 576): 2 * LAYERS, (192, 576): 2 * LAYERS}
LARGE_SHAPE = (1024, 3072)
BATCH_BYTES = 2**24  # of the float32 matrices that every method gets at once
QUALITY_SHAPES = ((576, 1536), (576, 576))
DECADES = 4
DOMINANCE = 100.0
TRAINING_STEPS = 30
TORCH_STEPS, TORCH_EPS = 5, 1e-7  # defaults of torch.optim.Muon

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Method:
    """A way to orthogonalize.

    Attributes:
        name: as tables call it.
        run: (batch, n, m) float32 -> (batch, n, m).
        dtype: of its products.
        flops: (batch, n, m) -> FLOPs of products with the long side, and of those of the short side alone; None where
            they are not what it takes.
        same_as: (n, m) -> the method that does the very same on this shape, or "".
        most: matrices in a batch; an SVD of many would take all the time that there is.
    """

    name: str
    run: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    flops: Callable[[Shape], tuple[int, int]] | None = None
    same_as: Callable[[int, int], str] = lambda n, m: ""
    most: int | None = None


def torch_function(matrices: Tensor) -> Tensor:
    """Orthogonalize as torch.optim.Muon does, one matrix after the other."""
    coefficients = newton_schulz.JORDAN_COEFFICIENTS
    return torch.stack([_zeropower_via_newtonschulz(m, coefficients, TORCH_STEPS, TORCH_EPS) for m in matrices])


def torch_flops(shape: Shape) -> tuple[int, int]:
    """Return the FLOPs of torch's steps: X·Xᵀ and P·X with the long side, G² without."""
    batch, n, m = shape[0], min(shape[1:]), max(shape[1:])
    return batch * TORCH_STEPS * 4 * n * n * m, batch * TORCH_STEPS * 2 * n**3


@contextmanager
def one_by_one() -> Iterator[None]:
    """Make the package take every step by itself, never in the Gram form."""
    planned = newton_schulz._plan
    newton_schulz._plan = lambda n, m, coefficients, dtype, device: tuple((step,) for step in coefficients)
    try:
        yield
    finally:
        newton_schulz._plan = planned


def our_flops(shape: Shape, coefficients: str, steps: int, dtype: torch.dtype, device: torch.device) -> tuple[int, int]:
    """Return the FLOPs of our products: every group of steps takes one Gram matrix of X and one product with X."""
    total = newton_schulz.newton_schulz_flops(shape, coefficients, steps, dtype, device)
    batch, n, m = shape[0], min(shape[1:]), max(shape[1:])
    groups = len(newton_schulz._plan(n, m, newton_schulz.resolve_coefficients(coefficients, steps), dtype, device))
    with_long_side = batch * groups * (symmetric_flops(n, m, device, dtype) + 2 * n * n * m)
    return with_long_side, total - with_long_side


def ours(
    coefficients: str, dtype: torch.dtype, device: torch.device, singly: bool = False, steps: int | None = None
) -> Method:
    name = coefficients if steps is None else f"{coefficients}, {steps} steps"
    steps = steps or newton_schulz.DEFAULT_STEPS[coefficients]
    if dtype != newton_schulz.preferred_dtype(device):
        name += f", {str(dtype).removeprefix('torch.')}"

    def run(matrices: Tensor) -> Tensor:
        """Orthogonalize as a step does: on a CPU small batches side by side."""
        at_once = MOST_ON_ONE_THREAD // (4 * matrices.shape[-2] * matrices.shape[-1])
        if device.type != "cpu" or at_once == 0:
            return newton_schulz.newton_schulz(matrices, coefficients, steps, dtype=dtype)
        result = torch.empty(matrices.shape, dtype=dtype)

        def run_batch(batch: tuple[Tensor, Tensor]) -> None:
            given, made = batch
            made.copy_(newton_schulz.newton_schulz(given, coefficients, steps, dtype=dtype))

        for_each_batch(run_batch, list(zip(matrices.split(at_once), result.split(at_once), strict=True)))
        return result

    def flops(shape: Shape) -> tuple[int, int]:
        return our_flops(shape, coefficients, steps, dtype, device)

    if not singly:
        return Method(name, run, dtype, flops)

    def run_singly(matrices: Tensor) -> Tensor:
        with one_by_one():
            return run(matrices)

    def flops_singly(shape: Shape) -> tuple[int, int]:
        with one_by_one():
            return flops(shape)

    def same_as(n: int, m: int) -> str:
        triples = newton_schulz.resolve_coefficients(coefficients, steps)
        plan = newton_schulz._plan(min(n, m), max(n, m), triples, dtype, device)
        return name if all(len(group) == 1 for group in plan) else ""

    return Method(name + SINGLY, run_singly, dtype, flops_singly, same_as)


def polar_factor(matrices: Tensor, resolution: float = torch.finfo(torch.float32).eps) -> tuple[Tensor, Tensor]:
    """Return U·Vᵀ and the rank of each matrix; directions within the resolution of their entries count as none."""
    u, values, vh = torch.linalg.svd(matrices, full_matrices=False)
    kept = values > values[..., :1] * resolution * max(matrices.shape[-2:])
    return (u * kept.unsqueeze(-2)) @ vh, kept.sum(-1)


def gram_newton_schulz_function(device: torch.device) -> Callable[[Tensor], Tensor]:
    from gram_newton_schulz import GramNewtonSchulz

    kernels = importlib.util.find_spec("quack") is not None and device.type == "cuda"
    return GramNewtonSchulz(ns_use_kernels=kernels)


def optimuon_function(device: torch.device) -> Callable[[Tensor], Tensor]:
    from optimuon import newton_schulz_batched

    return lambda matrices: torch.stack(newton_schulz_batched([*matrices]))


def pytorch_optimizer_function(device: torch.device) -> Callable[[Tensor], Tensor]:
    from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5

    return zero_power_via_newton_schulz_5


# What a peer's function is, with its own defaults; the others are measured as optimizers alone. (heavyball's compiles
# and tunes itself for ten seconds a shape, and its compiler fails on batches on a CPU.)
PEER_FUNCTIONS: dict[str, Callable[[torch.device], Callable[[Tensor], Tensor]]] = {
    "gram-newton-schulz": gram_newton_schulz_function,
    "optimuon": optimuon_function,
    "pytorch_optimizer": pytorch_optimizer_function,
}


def build_methods(device: torch.device) -> tuple[list[Method], dict[str, str]]:
    """Return what can be measured here, and why the other peers cannot."""
    preferred = newton_schulz.preferred_dtype(device)
    methods = [Method(BASELINE, torch_function, torch.bfloat16, torch_flops)]
    methods += [ours(coefficients, preferred, device) for coefficients in newton_schulz.COEFFICIENT_SETS]
    methods.append(ours(DEFAULT, preferred, device, steps=newton_schulz.DEFAULT_STEPS[DEFAULT] + 1))
    if preferred != torch.float32:
        methods.append(ours(DEFAULT, torch.float32, device))
    # bfloat16 takes every step by itself anyway.
    methods.append(ours(DEFAULT, torch.float32, device, singly=True))
    methods.append(Method(EXACT, lambda matrices: polar_factor(matrices)[0], torch.float32, most=1))
    left_out = {}
    for peer in PEERS:
        if peer.module == "torch":
            continue
        if peer.name not in PEER_FUNCTIONS:
            left_out[peer.name] = "measured as an optimizer alone, by optimizer_step.py"
        elif reason := reason_to_leave_out(peer, device.type):
            left_out[peer.name] = reason
        else:
            methods.append(Method(peer.name, PEER_FUNCTIONS[peer.name](device), torch.bfloat16))
    return methods, left_out


def products(batch: Tensor, dtype: torch.dtype) -> dict[str, Callable[[], Tensor]]:
    """Return plain products of a batch's shape, with the long side and of the short side alone."""
    x = batch.to(dtype)
    x = x.mT.contiguous() if x.shape[-2] > x.shape[-1] else x
    square = (x @ x.mT).contiguous()
    with_long_side = {f"long {dtype}": partial(torch.bmm, square, x)}
    return with_long_side | {f"square {dtype}": partial(torch.bmm, square, square)}


def floors(flops: tuple[int, int], shape: Shape, seconds: Mapping[str, Sequence[float]], dtype: object) -> list[float]:
    """Return the seconds that FLOPs take at the rate that plain products had, round by round.

    Args:
        flops: with the long side, and of the short side alone.
        shape: (batch, n, m) of the plain products.
        seconds: of the plain products, as `products` names them.
        dtype: whose.
    """
    batch, n, m = shape[0], min(shape[1:]), max(shape[1:])
    long_share, square_share = flops[0] / (2 * batch * n * n * m), flops[1] / (2 * batch * n**3)
    rounds = zip(seconds[f"long {dtype}"], seconds[f"square {dtype}"], strict=True)
    return [long_share * long + square_share * square for long, square in rounds]


def momentum_like(shape: Shape, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    n = min(shape[1:])
    left, right = (torch.randn(shape[0], *sides, generator=generator) for sides in ((shape[1], n), (n, shape[2])))
    return (left * torch.logspace(0, -DECADES, n) @ right).to(device)


def time_shape(
    shape: Shape, methods: Sequence[Method], rounds: int, device: torch.device
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the seconds a matrix of every method, and of the floors that are known, round by round."""
    batch = momentum_like(shape, device)
    own = [method for method in methods if not method.same_as(*shape[1:])]
    probes: dict[str, Callable[[], object]] = {}
    for dtype in dict.fromkeys(method.dtype for method in own if method.flops):
        probes |= products(batch, dtype)
    timed = {method.name: partial(method.run, batch[: method.most]) for method in own}
    seconds, _ = interleaved(timed | probes, rounds)
    measured = {
        method.name: [s / min(method.most or shape[0], shape[0]) for s in seconds[method.name]] for method in own
    }
    floor = {
        method.name: [s / shape[0] for s in floors(method.flops(shape), shape, seconds, method.dtype)]
        for method in own
        if method.flops
    }
    for method in methods:
        if same := method.same_as(*shape[1:]):
            measured[method.name], floor[method.name] = measured[same], floor[same]
    return measured, floor


def time_rows(methods: Sequence[Method], rounds: int, device: torch.device) -> list[dict[str, object]]:
    """Return a row for every method on every shape, and on all the matrices of SmolLM2 together."""
    by_shape = {}
    for shape in (*SMOLLM2, LARGE_SHAPE):
        batch = max(1, BATCH_BYTES // (4 * shape[0] * shape[1]))
        by_shape[shape] = time_shape((batch, *shape), methods, rounds, device)
        print(f"timed {shape[0]}x{shape[1]} in batches of {batch}", flush=True)

    def weighted(part: int, name: str) -> list[float]:
        return [
            sum(count * by_shape[shape][part][name][index] for shape, count in SMOLLM2.items())
            for index in range(rounds)
        ]

    together = tuple({method: weighted(part, method) for method in by_shape[LARGE_SHAPE][part]} for part in (0, 1))
    shapes = ", ".join(f"{count} of {n}x{m}" for (n, m), count in SMOLLM2.items())
    rows = time_rows_of(MODEL, shapes, *together, methods)
    for (n, m), (measured, floor) in by_shape.items():
        rows += time_rows_of(f"{n}x{m}", "one matrix", measured, floor, methods)
    return [row | {"rounds": rounds} for row in rows]


def time_rows_of(
    model: str,
    shape: str,
    measured: Mapping[str, Sequence[float]],
    floor: Mapping[str, Sequence[float]],
    methods: Sequence[Method],
) -> list[dict[str, object]]:
    rows = []
    for method in methods:
        seconds, least = measured[method.name], floor.get(method.name)
        share = None
        if least is not None:
            share = round(statistics.median(f / s for f, s in zip(least, seconds, strict=True)), 4)
        rows.append(
            {
                "question": "time",
                "model": model,
                "shape": shape,
                "variant": method.name,
                "dtype": str(method.dtype).removeprefix("torch."),
                "baseline": BASELINE,
                "ratio_p50": ratio_p50(seconds, measured[BASELINE]),
                **quantiles_ms(seconds),
                "floor_ms": None if least is None else round(statistics.median(least) * 1e3, 3),
                "floor_ratio_p50": None if least is None else ratio_p50(least, measured[BASELINE]),
                "share_of_floor": share,
            }
        )
    return rows


class Recorded(MuonClip):
    """MuonClip that can keep what it orthogonalizes."""

    kept: list[Tensor] | None = None

    def orthogonalize(self, matrices: Tensor, group: Mapping[str, object]) -> Tensor:
        if self.kept is not None:
            self.kept += [matrix.float().clone() for matrix in matrices]
        return super().orthogonalize(matrices, group)


def recorded_momentum(steps: int = TRAINING_STEPS, layers: int = 2, hidden_size: int = 576) -> list[Tensor]:
    """Train a Llama of SmolLM2's shapes on Shakespeare's plays; return what the last step orthogonalizes."""
    settings = Settings("", "", lr=4e-3, seed=0, steps=steps, full_steps=steps, vocab_size=2048)
    torch.manual_seed(settings.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=settings.vocab_size,
            hidden_size=hidden_size,
            intermediate_size=hidden_size * 8 // 3,
            num_hidden_layers=layers,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=settings.length,
            tie_word_embeddings=True,
        )
    )
    optimizer = Recorded(model, lr=settings.lr, weight_decay=settings.weight_decay, qk_clip_threshold=None)
    blocks, _ = corpus(settings.vocab_size, settings.length)
    taken = islice(batches(blocks, settings.batch_size, settings.seed), steps)
    for step, ids in enumerate(taken):
        model(input_ids=ids, labels=ids).loss.backward()
        if step == steps - 1:
            optimizer.kept = []
        optimizer.step()
        optimizer.zero_grad()
    assert optimizer.kept
    return optimizer.kept


def synthetic(name: str, n: int, m: int) -> Tensor:
    """Return an (n, m) matrix, n <= m, of one of the kinds in `INPUTS`."""
    generator = torch.Generator().manual_seed(n + m)
    normal = torch.randn(n, m, generator=generator, dtype=torch.float64)
    if name == "random":
        return normal.float()
    if name == "low rank":
        rank = max(1, n // 8)
        return (normal[:, :rank] @ torch.randn(rank, m, generator=generator, dtype=torch.float64)).float()
    u, values, vh = torch.linalg.svd(normal, full_matrices=False)
    if name == "decaying":
        values = torch.logspace(0, -DECADES, n, dtype=torch.float64)
    else:
        assert name == "dominated", name
        values[0] = DOMINANCE * values[1]
    return (u * values @ vh).float()


def accuracy(run: Callable[[Tensor], Tensor], matrices: Sequence[tuple[Tensor, Tensor, int]]) -> dict[str, float]:
    """Compare what a method makes of matrices with U·Vᵀ.

    Args:
        run: the method.
        matrices: each with its U·Vᵀ in float64, and its rank.

    Returns:
        The relative Frobenius distance over all of them, and quantiles of all singular values in the ranks.
    """
    squares, total, values = 0.0, 0, []
    for matrix, target, rank in matrices:
        made = run(matrix[None])[0].cpu().double()
        squares += (made - target).square().sum().item()
        total += rank  # the squared norm of U·Vᵀ
        wide = made if made.shape[0] <= made.shape[1] else made.T
        values.append(torch.linalg.eigvalsh(wide @ wide.T).clamp_min(0).sqrt()[-rank:])
    spread = torch.cat(values)
    return {
        "error": round((squares / total) ** 0.5, 6),
        "smallest": round(spread.min().item(), 4),
        "p1": round(spread.quantile(0.01).item(), 4),
        "p50": round(spread.median().item(), 4),
        "largest": round(spread.max().item(), 4),
    }


def accuracy_rows(
    methods: Sequence[Method], inputs: Mapping[str, Sequence[Tensor]], device: torch.device
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, matrices in inputs.items():
        prepared = []
        for matrix in matrices:
            target, rank = polar_factor(matrix.double())
            prepared.append((matrix.to(device), target, int(rank)))
        shapes = ", ".join(dict.fromkeys(f"{matrix.shape[0]}x{matrix.shape[1]}" for matrix in matrices))
        shape = f"{len(matrices)} matrices of {shapes}"
        for method in methods:
            row = {"question": "accuracy", "model": name, "shape": shape, "variant": method.name}
            rows.append(row | accuracy(method.run, prepared))
        print(f"compared on {name}: {shape}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="of timing, at least 4 [%(default)s]")
    parser.add_argument("--plot", action="store_true", help="draw the picture from the rows, measure nothing")
    arguments = parser.parse_args()
    if arguments.plot:
        print(draw(read_rows(), PICTURE))
        return
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    methods, left_out = build_methods(device)
    rows: list[dict[str, object]] = [
        {"question": "left out", "model": "", "variant": name, "reason": reason} for name, reason in left_out.items()
    ]
    momentum = recorded_momentum()
    inputs = {
        name: momentum if name == "momentum" else [synthetic(name, *shape) for shape in QUALITY_SHAPES]
        for name in INPUTS
    }
    rows += accuracy_rows(methods, inputs, device)
    rows += time_rows(methods, arguments.rounds, device)
    run = datetime.now(UTC).isoformat(timespec="seconds")
    append_rows("orthogonalize", [row | {"run": run} for row in rows])
    for row in rows:
        said = row.get("reason") or row.get("ratio_p50") or row["error"]
        print(f"{row['question']:8} {row['model']:28} {row['variant']:30} {said}")
    print(draw(read_rows(), PICTURE))


if __name__ == "__main__":
    main()
