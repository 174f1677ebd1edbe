"""Does the router's bias balance the experts, and what does it do to the loss?

One small model of Kimi K2's architecture on Shakespeare's plays, trained by MuonClip from the same initial weights on
the same batches: with its router's bias left at zero, and with the bias moved after every step, at two rates. Loads
are counted at every step by the same code in all.

    OMP_NUM_THREADS=1 python benchmarks/expert_balance.py       # appends a row a run; go on after an interruption
    python benchmarks/expert_balance.py --plot                  # draws the picture from the rows
    python benchmarks/tables.py                                 # renders the rows into the READMEs
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from convergence import batches, corpus, lr_share, validation_loss
from convergence_figures import read_rows
from expert_balance_figures import ROWS, draw
from measure import stamp
from torch import Tensor
from transformers import DeepseekV3ForCausalLM

import hf_muonclip
from hf_muonclip import MuonClip
from hf_muonclip.kimi_k2 import ExpertBalancer, kimi_k2_config
from hf_muonclip.kimi_k2.expert_balance import max_violation

RATES = (0.0, 1e-3, 1e-2)  # the bias stays; DeepSeek-V3's, for many thousand steps; one for a few hundred


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers; what has run already with equal settings is not run again."""

    update_rate: float
    seed: int
    steps: int = 240
    preset: str = "micro"
    lr: float = 4e-3
    weight_decay: float = 0.1
    warmup: float = 0.1  # of the steps; then linear to zero
    batch_size: int = 4
    length: int = 128
    vocab_size: int = 2048
    window: int = 10  # steps over which a row adds loads up


def train(settings: Settings, training: Tensor, validation: Tensor) -> dict[str, Any]:
    """Run once and return the row, without the stamp."""
    torch.manual_seed(settings.seed)
    config = kimi_k2_config(settings.preset, vocab_size=settings.vocab_size)
    model = DeepseekV3ForCausalLM(config).train()
    optimizer = MuonClip(model, lr=settings.lr, weight_decay=settings.weight_decay)
    balancer = ExpertBalancer(model, settings.update_rate)
    losses: list[float] = []
    violations: list[list[float]] = []
    windows: list[list[list[int]]] = []
    in_window: list[Tensor] = []
    balancing, started = 0.0, time.perf_counter()
    for step, batch in enumerate(
        itertools.islice(batches(training, settings.batch_size, settings.seed), settings.steps)
    ):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * lr_share(step, settings.steps, settings.warmup)
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        before = time.perf_counter()
        balancer.update()
        balancing += time.perf_counter() - before
        loads = list(balancer.loads.values())
        losses.append(round(loss.item(), 4))
        violations.append([round(float(max_violation(load)), 3) for load in loads])
        in_window.append(torch.stack(loads))
        if len(in_window) == settings.window or step + 1 == settings.steps:
            windows.append(torch.stack(in_window).sum(0).tolist())
            in_window.clear()
    seconds = time.perf_counter() - started
    ranges = [round(float(bias.max() - bias.min()), 4) for bias in balancer.biases().values()]
    balancer.detach()
    return {
        "settings": asdict(settings),
        "num_experts_per_tok": config.num_experts_per_tok,
        "losses": losses,
        "validation_loss": round(validation_loss(model, validation), 5),
        "violations": violations,  # of every step, by layer
        "loads": windows,  # of every window, by layer and expert
        "bias_range": ranges,
        "seconds_per_step": round(seconds / settings.steps, 4),
        "update_share": round(balancing / seconds, 5),
    }


class Runs:
    """Runs what has not run yet, and keeps every row in a file as soon as it is there."""

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path, self._fresh = path, fresh
        self._corpora: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, settings: Settings) -> dict[str, Any]:
        """Return the run's row, from the file if it holds one of these settings and package version."""
        wanted = {"settings": asdict(settings), "hf_muonclip": hf_muonclip.__version__}
        if not self._fresh:
            for row in reversed(read_rows(self.path)):
                if all(row[name] == value for name, value in wanted.items()):
                    return row
        shape = settings.vocab_size, settings.length
        if shape not in self._corpora:
            self._corpora[shape] = corpus(*shape)
        row = train(settings, *self._corpora[shape]) | stamp()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        last = [sum(layers) / len(layers) for layers in row["violations"][-50:]]
        print(
            f"update rate {settings.update_rate:<6g} seed {settings.seed}: max violation {sum(last) / len(last):.2f} "
            f"at the end, validation loss {row['validation_loss']:.3f}, {row['seconds_per_step']:.2f} s a step",
            flush=True,
        )
        return row


def benchmark(base: Settings, seeds: list[int], run: Callable[[Settings], dict[str, Any]]) -> None:
    for seed, rate in itertools.product(seeds, RATES):
        run(replace(base, seed=seed, update_rate=rate))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--preset", default=Settings.preset, help="size, a preset of hf_muonclip.kimi_k2")
    parser.add_argument("--fresh", action="store_true", help="run again what has run already")
    parser.add_argument("--quick", action="store_true", help="a few steps, into a temporary folder")
    parser.add_argument("--plot", action="store_true", help="only draw the picture")
    arguments = parser.parse_args()
    base = Settings(0.0, 0, arguments.steps, arguments.preset)
    path, seeds = ROWS, arguments.seeds
    if arguments.quick:
        path, seeds = Path(tempfile.mkdtemp()) / ROWS.name, seeds[:1]
        base = replace(base, steps=12, length=32, vocab_size=512, window=4)
    if not arguments.plot:
        benchmark(base, seeds, Runs(path, arguments.fresh))
    if rows := read_rows(path):
        print(f"wrote {draw(rows, path.with_suffix('.png'))}")


if __name__ == "__main__":
    main()
